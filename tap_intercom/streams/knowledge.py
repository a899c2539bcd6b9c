"""What the workspace publishes and what its AI agent reads: articles, news, snippets, pages."""

from __future__ import annotations

from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import Numbered
from tap_intercom.reading.children import ChildStream, Parent
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.stream import OlderColumn
from tap_intercom.reading.stream_run import Opening, Record, StreamRun
from tap_intercom.streams.workspace import NOT_DOCUMENTED

READ_ARTICLES = "Read and list articles"
READ_NEWS = "Read and list news items and newsfeeds"
READ_CONTENT = "Read content data"
SECTIONS = frozenset({"sections as collections"})


class ArticleStatistics(ChildStream):
    """Source: GET /articles/{id}.

    The numbers change without a change of the article, so all are read.
    """

    summary = "One record per article, with its views and the reactions of readers."
    name = "article_statistics"
    path = "/articles/{id}"
    permission = READ_ARTICLES
    request_cost = "1 per article"
    key_properties = ("article_id",)
    from_parent = {"article_id": "id"}

    def child_records(self, run: StreamRun, parent: Parent, answer: Answer) -> list[Record]:
        statistics = answer.body.get("statistics")
        if not isinstance(statistics, dict):
            return []
        return [{"article_id": parent.id, **statistics}]


class ArticleVersions(ChildStream):
    """Source: GET /articles/{id}/versions."""

    summary = "One record per version of each article that changed."
    name = "article_versions"
    path = "/articles/{id}/versions"
    permission = READ_ARTICLES
    request_cost = "1 per changed article"
    first_version = (2, 16)
    replication_key = "article_updated_at"
    instant_field = "created_at"
    from_parent = {"article_id": "id", "article_updated_at": "updated_at"}
    paging = Numbered(50, has_guessed_size=True)


class Articles(ListStream):
    """Source: GET /articles."""

    summary = "One record per article of a help center."
    name = "articles"
    path = "/articles"
    permission = READ_ARTICLES
    request_cost = "1 per 250 changed articles"
    replication_key = "updated_at"
    paging = Numbered(250, has_guessed_size=True)
    newest_first = True
    older_columns = {
        "parent_id": OlderColumn(
            (2, 16),
            {
                "type": ["null", "string"],
                "description": "Id of the collection that the article is in; joins collections.id; "
                "null if in none.",
            },
        ),
        "parent_type": OlderColumn(
            (2, 16),
            {
                "type": ["null", "string"],
                "description": "Kind of object that parent_id is of, such as collection.",
            },
        ),
        "content_id": OlderColumn(
            (2, 16),
            {
                "type": ["null", "string"],
                "description": "Id of the article's content; Intercom does not document it.",
            },
        ),
    }
    children = (ArticleStatistics(), ArticleVersions())


class InternalArticles(ListStream):
    """Source: GET /internal_articles."""

    summary = "One record per internal article."
    name = "internal_articles"
    path = "/internal_articles"
    permission = READ_ARTICLES
    request_cost = "1 per 50 articles"
    first_version = (2, 13)
    replication_key = "updated_at"
    paging = Numbered(50, has_guessed_size=True)


class Collections(ListStream):
    """Source: GET /help_center/collections."""

    summary = "One record per collection of articles."
    name = "collections"
    path = "/help_center/collections"
    permission = READ_ARTICLES
    request_cost = "1 per 150 changed collections"
    replication_key = "updated_at"
    paging = Numbered(150, has_guessed_size=True)
    newest_first = True

    def covers(self, opening: Opening) -> frozenset[str]:
        """Sections are collections from 2.10 on (API-A3)."""
        return SECTIONS if opening.settings.version >= (2, 10) else frozenset()


class Redirects(ChildStream):
    """Source: GET /help_center/help_centers/{id}/redirects."""

    summary = "One record per redirect of a help center."
    name = "redirects"
    path = "/help_center/help_centers/{id}/redirects"
    permission = "Help center redirects"
    request_cost = "1 per help center and 250 redirects"
    first_version = (2, 16)
    from_parent = {"help_center_id": "id"}
    paging = Numbered(250)


class HelpCenters(ListStream):
    """Source: GET /help_center/help_centers."""

    summary = "One record per help center."
    name = "help_centers"
    path = "/help_center/help_centers"
    permission = READ_ARTICLES
    children = (Redirects(),)


class NewsItems(ListStream):
    """Source: GET /news/news_items."""

    summary = "One record per news item."
    name = "news_items"
    path = "/news/news_items"
    permission = READ_NEWS
    request_cost = "1 per 50 news items"
    paging = Numbered(50, has_guessed_size=True)


class NewsfeedItems(ChildStream):
    """Source: GET /news/newsfeeds/{id}/items."""

    summary = "One record per news item that a newsfeed shows."
    name = "newsfeed_items"
    path = "/news/newsfeeds/{id}/items"
    permission = READ_NEWS
    request_cost = "1 per newsfeed and 50 items"
    key_properties = ("newsfeed_id", "id")
    from_parent = {"newsfeed_id": "id"}
    paging = Numbered(50, has_guessed_size=True)


class Newsfeeds(ListStream):
    """Source: GET /news/newsfeeds."""

    summary = "One record per newsfeed."
    name = "newsfeeds"
    path = "/news/newsfeeds"
    permission = READ_NEWS
    request_cost = "1 per 50 newsfeeds"
    paging = Numbered(50, has_guessed_size=True)
    children = (NewsfeedItems(),)


class ContentSnippets(ListStream):
    """Source: GET /content_snippets."""

    summary = "One record per snippet for the AI agent."
    name = "content_snippets"
    path = "/content_snippets"
    permission = "Content snippets"
    request_cost = "1 per 50 snippets"
    first_version = (2, 16)
    paging = Numbered(50)


class Audiences(ListStream):
    """Source: GET /audiences."""

    summary = "One record per audience for content."
    name = "audiences"
    path = "/audiences"
    permission = NOT_DOCUMENTED
    request_cost = "1 per 50 audiences"
    first_version = (2, 16)
    paging = Numbered(50)


class Folders(ListStream):
    """Source: GET /folders."""

    summary = "One record per folder of articles and other content."
    name = "folders"
    path = "/folders"
    permission = NOT_DOCUMENTED
    request_cost = "1 per 150 folders"
    first_version = (2, 17)
    paging = Numbered(150, has_guessed_size=True)


class DynamicContents(ListStream):
    """Source: GET /dynamic_contents."""

    summary = "One record per text that articles insert, with its variations."
    name = "dynamic_contents"
    path = "/dynamic_contents"
    permission = "Read dynamic content"
    request_cost = "1 per 50 dynamic contents"
    first_version = (2, 17)
    paging = Numbered(50)


class ContentImportSources(ListStream):
    """Source: GET /ai/content_import_sources."""

    summary = "One record per source of external pages."
    name = "content_import_sources"
    path = "/ai/content_import_sources"
    permission = READ_CONTENT
    request_cost = "1 per 50 sources"
    first_version = (2, 12)
    paging = Numbered(50, has_guessed_size=True)


class ExternalPages(ListStream):
    """Source: GET /ai/external_pages."""

    summary = "One record per page that the AI agent reads."
    name = "external_pages"
    path = "/ai/external_pages"
    permission = READ_CONTENT
    request_cost = "1 per 50 pages"
    first_version = (2, 12)
    paging = Numbered(50, has_guessed_size=True)


STREAMS = (
    Articles(),
    Audiences(),
    Collections(),
    ContentImportSources(),
    ContentSnippets(),
    DynamicContents(),
    ExternalPages(),
    Folders(),
    HelpCenters(),
    InternalArticles(),
    Newsfeeds(),
    NewsItems(),
)
