"""What the workspace publishes, and what its AI agent reads: articles, news, snippets, pages."""

from __future__ import annotations

from intercom_sandbox.records import Record
from intercom_sandbox.resource import Kept, Resource
from intercom_sandbox.resource_sample import DAY, Sample, spread
from intercom_sandbox.versions import PREVIEW

_AI_AVAILABILITY = {
    "ai_chatbot_availability": True,
    "ai_copilot_availability": True,
    "ai_sales_agent_availability": False,
}


def _help_centers(sample: Sample) -> None:
    for number, name in enumerate(("Acme Help", "Acme Premium Help")):
        sample.add(
            "help_centers",
            identifier=f"acme-{number + 1}",
            display_name=name,
            url=f"https://help{number + 1}.example.com",
            custom_domain=None if number else "help.example.com",
            default=number == 0,
            locales=["en", "de"],
            **sample.times(number, 2),
        )


HELP_CENTERS = Resource(
    "help_centers",
    "/help_center/help_centers",
    ("articles",),
    newer={"default": (2, 16), "locales": (2, 16)},
    shape={
        "id": "",
        "workspace_id": "",
        "identifier": "",
        "website_turned_on": True,
        "display_name": "",
        "url": "",
        "custom_domain": None,
        "default": False,
        "locales": ["en"],
    },
    sample=_help_centers,
)


def _collections(sample: Sample) -> None:
    help_center_ids = sample.keys("help_centers")
    collection_ids: list[str] = []
    for number in range(sample.count):
        name = sample.title(number)
        is_inner = number % 3 == 2
        collection_id = sample.add(
            "collections",
            name=name,
            description=sample.maybe(f"Articles about: {name}"),
            url=sample.maybe(f"https://help1.example.com/en/collections/{number + 1}"),
            icon="bookmark",
            order=number + 1,
            parent_id=collection_ids[number - 1] if is_inner else None,
            help_center_id=None if is_inner else int(help_center_ids[number % 2]),
            translated_content={
                "type": "group_translated_content",
                "en": {"type": "group_content", "name": name, "description": "In English"},
            },
            **sample.times(number),
        )
        collection_ids.append(collection_id)


COLLECTIONS = Resource(
    "collections",
    "/help_center/collections",
    ("articles",),
    paging="numbers",
    sizes=(20, 150),
    newest_first="updated_at",
    shape={
        "id": "",
        "workspace_id": "",
        "name": "",
        "description": None,
        "url": None,
        "icon": None,
        "order": 1,
        "default_locale": "en",
        "translated_content": None,
        "parent_id": None,
        "help_center_id": None,
    },
    sample=_collections,
)


def _redirects(sample: Sample) -> None:
    help_center_ids = sample.keys("help_centers")
    for number in range(sample.count):
        sample.add(
            "redirects",
            help_center_id=help_center_ids[number % 2],
            from_url=f"https://old.example.com/page-{number + 1}",
            target_type="article" if number % 2 else "collection",
            target_id=str(101 + number),
            **sample.times(number),
        )


REDIRECTS = Resource(
    "redirects",
    "/help_center/help_centers/{id}/redirects",
    ("help_center_redirects",),
    since=(2, 16),
    paging="numbers",
    sizes=(50, 250),
    newest_first="updated_at",
    parent="help_centers",
    parent_field="help_center_id",
    shape={
        "id": "",
        "type": "help_center_redirect",
        "from_url": "",
        "locale": "en",
        "help_center_id": "",
        "target_type": "article",
        "target_id": "",
    },
    sample=_redirects,
)


def _articles(sample: Sample) -> None:
    """Articles with their statistics and versions."""
    collection_ids, tags = sample.keys("collections"), list(sample.workspace.tags.values())
    for number in range(sample.count * 2):
        title, times = sample.title(number), sample.times(number, sample.count * 2)
        is_live = number % 4 != 3
        admin_number = sample.admin_number()
        body = f"<p>{title}: see <b>Settings</b>.</p>"
        text = {
            "title": title,
            "description": f"About: {title}",
            "body": body,
            "author_id": admin_number,
            "state": "published" if is_live else "draft",
        }
        article_id = sample.add(
            "articles",
            **text,
            **times,
            body_markdown=f"{title}: see **Settings**.",
            created_by_id=admin_number,
            updated_by_id=sample.maybe(admin_number),
            has_unpublished_changes=number % 5 == 0,
            draft_updated_at=times["updated_at"] if number % 5 == 0 else None,
            url=f"https://help1.example.com/en/articles/{number + 1}" if is_live else None,
            parent_ids=(
                parent_ids := [
                    int(each) for each in sample.chance.sample(collection_ids, number % 3)
                ]
            ),
            parent_id=parent_ids[0] if parent_ids else None,
            parent_type="collection" if parent_ids else None,
            help_center_audience="everyone" if is_live else None,
            scheduled_publish_at=None if is_live else sample.end + DAY,
            scheduled_unpublish_at=sample.maybe(sample.end + 90 * DAY, 0.2),
            translated_content={
                "type": "article_translated_content",
                "en": {"type": "article_content", "url": "https://help1.example.com", **text},
            },
            tags={
                "type": "tag.list",
                "tags": [dict(each) for each in tags[:2][: number % 3]],
            },
            folder_id=101 + number % 3 if number % 2 else None,
        )
        views = sample.chance.randint(0, 900)
        sample.add(
            "article_statistics",
            article_id=article_id,
            views=views,
            conversions=views // 9,
            reactions=views // 5,
            happy_reaction_percentage=62.5,
            neutral_reaction_percentage=25.0,
            sad_reaction_percentage=12.5,
            fin_involvements=views // 4,
            fin_resolutions=views // 8,
            fin_resolution_rate=50.0,
        )
        before = None
        for version in range(1 + number % 3):
            before = sample.add(
                "article_versions",
                article_id=article_id,
                title=title,
                description=sample.maybe(f"Version {version + 1}"),
                author_id=str(admin_number),
                created_by_id=sample.maybe(str(admin_number)),
                created_via=sample.chance.choice(("web", "api")),
                from_version_id=before,
                state="published" if is_live else "draft",
                created_at=times["created_at"] + version * 3600,
            )


ARTICLES = Resource(
    "articles",
    "/articles",
    ("articles",),
    paging="numbers",
    sizes=(25, 250),
    newest_first="updated_at",
    newer={
        **dict.fromkeys(
            (
                "body_markdown",
                *_AI_AVAILABILITY,
                "created_by_id",
                "updated_by_id",
                "exclude_from_article_suggestions",
                "help_center_audience",
                "scheduled_publish_at",
                "scheduled_unpublish_at",
                "tags",
            ),
            (2, 13),
        ),
        "has_unpublished_changes": (2, 16),
        "draft_updated_at": (2, 16),
        "folder_id": PREVIEW,
    },
    older=dict.fromkeys(("parent_id", "parent_type", "content_id"), (2, 16)),
    shape={
        "type": "article",
        "id": "",
        "workspace_id": "",
        "title": "",
        "description": None,
        "body": None,
        "body_markdown": None,
        "author_id": 7000001,
        "created_by_id": None,
        "updated_by_id": None,
        "state": "draft",
        "has_unpublished_changes": False,
        "draft_updated_at": None,
        "url": None,
        "parent_ids": [],
        "parent_id": None,
        "parent_type": None,
        "content_id": "{id}",
        **_AI_AVAILABILITY,
        "exclude_from_article_suggestions": False,
        "help_center_audience": None,
        "scheduled_publish_at": None,
        "scheduled_unpublish_at": None,
        "default_locale": "en",
        "translated_content": None,
        "tags": {"type": "tag.list", "tags": []},
        "folder_id": None,
    },
    sample=_articles,
)


ARTICLE_STATISTICS = Resource(
    "article_statistics",
    "",
    key=("article_id",),
    times=(),
    hidden=("article_id",),
    parent="articles",
    parent_field="article_id",
    newer=dict.fromkeys(("fin_involvements", "fin_resolutions", "fin_resolution_rate"), (2, 13)),
    shape={
        "type": "article_statistics",
        "views": 0,
        "conversions": 0,
        "reactions": 0,
        "happy_reaction_percentage": 0.0,
        "neutral_reaction_percentage": 0.0,
        "sad_reaction_percentage": 0.0,
        "fin_involvements": 0,
        "fin_resolutions": 0,
        "fin_resolution_rate": 0.0,
    },
)


ARTICLE_VERSIONS = Resource(
    "article_versions",
    "/articles/{id}/versions",
    ("articles",),
    since=(2, 16),
    paging="numbers",
    sizes=(25, 50),
    newest_first="created_at",
    times=("created_at",),
    parent="articles",
    parent_field="article_id",
    from_parent={"article_updated_at": "updated_at"},
    shape={
        "type": "article_version",
        "id": "",
        "article_id": "",
        "title": "",
        "description": None,
        "author_id": "7000001",
        "created_by_id": None,
        "created_via": "web",
        "from_version_id": None,
        "state": "published",
    },
)


def _internal_articles(sample: Sample) -> None:
    tags = list(sample.workspace.tags.values())
    for number in range(sample.count):
        sample.add(
            "internal_articles",
            title=f"Internal: {sample.title(number)}",
            body=sample.maybe("<p>For teammates only</p>"),
            body_markdown=sample.maybe("For teammates only"),
            owner_id=sample.admin_number(),
            author_id=sample.admin_number(),
            audience_ids=sample.maybe([1, 2]),
            folder_id=101 if number % 2 else None,
            tags={"type": "tag.list", "tags": [dict(each) for each in tags[: number % 2]]},
            **sample.times(number),
        )


INTERNAL_ARTICLES = Resource(
    "internal_articles",
    "/internal_articles",
    ("articles",),
    since=(2, 13),
    paging="numbers",
    sizes=(25, 50),
    shape={
        "type": "internal_article",
        "id": "",
        "title": "",
        "body": None,
        "body_markdown": None,
        "owner_id": 7000001,
        "author_id": 7000001,
        "locale": "en",
        "audience_ids": None,
        **_AI_AVAILABILITY,
        "folder_id": None,
        "tags": {"type": "tag.list", "tags": []},
    },
    newer={"folder_id": PREVIEW, "tags": PREVIEW},
    sample=_internal_articles,
)


def _newsfeeds(sample: Sample) -> None:
    for number, name in enumerate(("Customers", "Visitors")):
        sample.add("newsfeeds", name=name, **sample.times(number, 2))


NEWSFEEDS = Resource(
    "newsfeeds",
    "/news/newsfeeds",
    ("news",),
    paging="numbers",
    sizes=(10, 20),
    shape={"id": "", "type": "newsfeed", "name": ""},
    sample=_newsfeeds,
)


def _news_items(sample: Sample) -> None:
    newsfeed_ids = [int(each) for each in sample.keys("newsfeeds")]
    for number in range(sample.count):
        times = sample.times(number)
        is_live = number % 3 != 0
        assignments = [
            {"newsfeed_id": each, "published_at": times["updated_at"]}
            for each in newsfeed_ids[: number % 3]
        ]
        sample.add(
            "news_items",
            title=f"What is new: {sample.title(number)}",
            body="<p>Hello there,</p>",
            sender_id=sample.admin_number(),
            state="live" if is_live else "draft",
            newsfeed_assignments=assignments,
            labels=["Product", "Update"][: number % 3],
            cover_image_url=sample.maybe("https://static.example.com/cover.png"),
            reactions=["😆", "😅", None, None],
            deliver_silently=number % 4 == 0,
            **times,
        )


NEWS_ITEMS = Resource(
    "news_items",
    "/news/news_items",
    ("news",),
    paging="numbers",
    sizes=(10, 20),
    shape={
        "id": "",
        "type": "news-item",
        "workspace_id": "",
        "title": "",
        "body": "",
        "sender_id": 7000001,
        "state": "draft",
        "newsfeed_assignments": [],
        "labels": [],
        "cover_image_url": None,
        "reactions": [],
        "deliver_silently": False,
    },
    sample=_news_items,
)


def _items_of_newsfeeds(kept: Kept) -> list[Record]:
    """The live news items that are assigned to each newsfeed."""
    return [
        item | {"newsfeed_id": str(each["newsfeed_id"])}
        for item in kept("news_items")
        if item["state"] == "live"
        for each in item["newsfeed_assignments"]
    ]


NEWSFEED_ITEMS = Resource(
    "newsfeed_items",
    "/news/newsfeeds/{id}/items",
    ("news",),
    paging="numbers",
    sizes=(20, 20),
    key=("newsfeed_id", "id"),
    hidden=("newsfeed_id",),
    parent="newsfeeds",
    parent_field="newsfeed_id",
    derive=_items_of_newsfeeds,
)


def _audiences(sample: Sample) -> None:
    predicate = {"attribute": "custom_attributes.Plan", "type": "string", "comparison": "eq"}
    role = {"attribute": "role", "type": "role", "comparison": "eq", "value": "user"}
    for number, plan in enumerate(("free", "team", "enterprise")):
        sample.add(
            "audiences",
            name=f"Plan {plan}",
            predicates=[predicate | {"value": plan}],
            role_predicates=[role],
            **sample.times(number, 3),
        )


AUDIENCES = Resource(
    "audiences",
    "/audiences",
    ("users_companies_read",),
    since=(2, 16),
    paging="numbers_on_top",
    sizes=(50, 50),
    shape={
        "type": "audience",
        "id": "",
        "name": "",
        "predicates": [],
        "role_predicates": [],
    },
    sample=_audiences,
)


def _content_snippets(sample: Sample) -> None:
    audience_ids = [int(each) for each in sample.keys("audiences")]
    for number in range(sample.count):
        sample.add(
            "content_snippets",
            title=sample.maybe(sample.title(number), 0.9),
            json_blocks=[{"type": "paragraph", "text": "See Settings."}],
            body_markdown=sample.maybe("See **Settings**."),
            audience_ids=sample.maybe(audience_ids),
            **sample.times(number),
        )


CONTENT_SNIPPETS = Resource(
    "content_snippets",
    "/content_snippets",
    ("content_snippets",),
    since=(2, 16),
    paging="numbers_on_top",
    sizes=(50, 50),
    shape={
        "type": "content_snippet",
        "id": "",
        "title": None,
        "locale": "en",
        "json_blocks": [],
        "body_markdown": None,
        "chatbot_availability": 1,
        "copilot_availability": 1,
        **_AI_AVAILABILITY,
        "audience_ids": None,
    },
    sample=_content_snippets,
)


def _content_import_sources(sample: Sample) -> None:
    """Sources with their pages."""
    audience_ids = [int(each) for each in sample.keys("audiences")]
    for number in range(2):
        times = sample.times(number, 2)
        source_id = sample.add(
            "content_import_sources",
            url=f"https://docs{number + 1}.example.com",
            sync_behavior=("api", "automatic")[number],
            status=("active", "deactivated")[number],
            last_synced_at=times["updated_at"],
            audience_ids=audience_ids[:number],
            **times,
        )
        for page in range(sample.count):
            times = sample.times(page)
            sample.add(
                "external_pages",
                title=sample.title(page),
                html="<h1>Hello world</h1><p>This is external content</p>",
                url=f"https://docs{number + 1}.example.com/{page + 1}",
                source_id=int(source_id),
                external_id=f"page-{page + 1}",
                last_ingested_at=times["updated_at"],
                **times,
            )


CONTENT_IMPORT_SOURCES = Resource(
    "content_import_sources",
    "/ai/content_import_sources",
    ("content_data",),
    since=(2, 12),
    paging="numbers",
    sizes=(50, 50),
    ids="integer",
    newer={"audience_ids": (2, 15)},
    shape={
        "type": "content_import_source",
        "id": 0,
        "last_synced_at": 0,
        "sync_behavior": "api",
        "status": "active",
        "url": "",
        "audience_ids": [],
    },
    sample=_content_import_sources,
)


EXTERNAL_PAGES = Resource(
    "external_pages",
    "/ai/external_pages",
    ("content_data",),
    since=(2, 12),
    paging="numbers",
    sizes=(50, 50),
    shape={
        "type": "external_page",
        "id": "",
        "title": "",
        "html": "",
        "url": "",
        "ai_agent_availability": True,
        "ai_copilot_availability": True,
        "ai_sales_agent_availability": False,
        "fin_availability": True,
        "locale": "en",
        "source_id": 0,
        "external_id": "",
        "last_ingested_at": 0,
    },
)


def _folders(sample: Sample) -> None:
    folder_ids: list[str] = []
    for number, name in enumerate(("Product", "Billing", "Invoices")):
        parent_id = int(folder_ids[1]) if number == 2 else None
        folder_ids.append(
            sample.add(
                "folders",
                name=name,
                description=f"Articles about {name.lower()}" if number else None,
                emoji="📚" if number else None,
                parent_folder_id=parent_id,
                content_count=number + 3,
                **spread(sample, number, 3),
            )
        )


FOLDERS = Resource(
    "folders",
    "/folders",
    ("articles",),
    since=(2, 17),
    paging="numbers",
    sizes=(50, 150),
    ids="integer",
    shape={
        "id": 0,
        "name": "",
        "description": None,
        "emoji": None,
        "parent_folder_id": None,
        "content_count": 0,
    },
    sample=_folders,
)


def _dynamic_contents(sample: Sample) -> None:
    brand_ids = sample.keys("brands")
    for number, name in enumerate(("Support phone number", "Refund policy")):
        is_block = number == 1
        times = spread(sample, number, 2)
        blocks = [{"type": "paragraph", "text": "Within 30 days."}]
        sample.add(
            "dynamic_contents",
            name=name,
            key=name.lower().replace(" ", "-"),
            content_type="block" if is_block else "inline",
            variations=[
                {
                    "type": "dynamic_content_variation",
                    "id": f"{number + 1}0{at}",
                    "locale": locale,
                    "brand_id": brand_ids[at] if at else None,
                    "text_content": None if is_block else f"+1-555-010{at}",
                    "json_blocks": blocks if is_block else None,
                    "intentionally_empty": False,
                    **times,
                }
                for at, locale in enumerate(("en", "de"))
            ],
            **times,
        )


DYNAMIC_CONTENTS = Resource(
    "dynamic_contents",
    "/dynamic_contents",
    ("dynamic_content",),
    since=(2, 17),
    paging="numbers_on_top",
    sizes=(20, 50),
    newest_first="updated_at",
    shape={
        "type": "dynamic_content",
        "id": "",
        "name": "",
        "key": "",
        "content_type": "inline",
        "default_locale": "en",
        "variations": [],
    },
    sample=_dynamic_contents,
)


RESOURCES = (
    HELP_CENTERS,
    COLLECTIONS,
    REDIRECTS,
    ARTICLES,
    ARTICLE_STATISTICS,
    ARTICLE_VERSIONS,
    INTERNAL_ARTICLES,
    NEWSFEEDS,
    NEWS_ITEMS,
    NEWSFEED_ITEMS,
    AUDIENCES,
    CONTENT_SNIPPETS,
    CONTENT_IMPORT_SOURCES,
    EXTERNAL_PAGES,
    FOLDERS,
    DYNAMIC_CONTENTS,
)
