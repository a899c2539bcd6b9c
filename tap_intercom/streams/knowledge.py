"""What the workspace publishes and what its AI agent reads: articles, news, snippets, pages."""

from __future__ import annotations

from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import Numbered
from tap_intercom.reading.children import ChildStream, Parent
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.stream import OlderColumn, Opening, Record, StreamRun
from tap_intercom.streams.workspace import NOT_DOCUMENTED

READ_ARTICLES = "Read and list articles"
READ_NEWS = "Read and list news items and newsfeeds"
READ_CONTENT = "Read content data"
SECTIONS = frozenset({"sections as collections"})


class ArticleStatistics(ChildStream):
    """One record per article: how often it was read, and what readers made of it.

    Numbers move without a change of the article, so that all are read. Source: GET /articles/{id}.
    """

    name = "article_statistics"
    path = "/articles/{id}"
    permission = READ_ARTICLES
    request_cost = "1 for each article"
    key_properties = ("article_id",)
    from_parent = {"article_id": "id"}

    def child_records(self, run: StreamRun, parent: Parent, answer: Answer) -> list[Record]:
        statistics = answer.body.get("statistics")
        if not isinstance(statistics, dict):
            return []
        return [{"article_id": parent.id, **statistics}]


class ArticleVersions(ChildStream):
    """One record per version of each article that changed. Source: GET /articles/{id}/versions."""

    name = "article_versions"
    path = "/articles/{id}/versions"
    permission = READ_ARTICLES
    request_cost = "1 for each changed article"
    first_version = (2, 16)
    replication_key = "article_updated_at"
    instant_field = "created_at"
    from_parent = {"article_id": "id", "article_updated_at": "updated_at"}
    paging = Numbered(50, has_guessed_size=True)


class Articles(ListStream):
    """One record per article of a help center. Source: GET /articles."""

    name = "articles"
    path = "/articles"
    permission = READ_ARTICLES
    request_cost = "1 for 250 changed articles"
    replication_key = "updated_at"
    paging = Numbered(250, has_guessed_size=True)
    newest_first = True
    older_columns = {
        "parent_id": OlderColumn(
            (2, 16),
            {
                "type": ["null", "integer"],
                "description": "Id of the collection that the article is in; joins collections.id "
                "as text; null if in none.",
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
    """One record per internal article. Source: GET /internal_articles."""

    name = "internal_articles"
    path = "/internal_articles"
    permission = READ_ARTICLES
    request_cost = "1 for 50 articles"
    first_version = (2, 13)
    replication_key = "updated_at"
    paging = Numbered(50, has_guessed_size=True)


class Collections(ListStream):
    """One record per collection of articles. Source: GET /help_center/collections."""

    name = "collections"
    path = "/help_center/collections"
    permission = READ_ARTICLES
    request_cost = "1 for 150 changed collections"
    replication_key = "updated_at"
    paging = Numbered(150, has_guessed_size=True)
    newest_first = True

    def covers(self, opening: Opening) -> frozenset[str]:
        """Sections are collections from 2.10 on (API-A3)."""
        return SECTIONS if opening.settings.version >= (2, 10) else frozenset()


class Redirects(ChildStream):
    """One record per redirect of a help center.

    Source: GET /help_center/help_centers/{id}/redirects.
    """

    name = "redirects"
    path = "/help_center/help_centers/{id}/redirects"
    permission = "Help center redirects"
    request_cost = "1 for each help center and 250 redirects"
    first_version = (2, 16)
    from_parent = {"help_center_id": "id"}
    paging = Numbered(250)


class HelpCenters(ListStream):
    """One record per help center. Source: GET /help_center/help_centers."""

    name = "help_centers"
    path = "/help_center/help_centers"
    permission = READ_ARTICLES
    children = (Redirects(),)


class NewsItems(ListStream):
    """One record per news item. Source: GET /news/news_items."""

    name = "news_items"
    path = "/news/news_items"
    permission = READ_NEWS
    request_cost = "1 for 50 news items"
    paging = Numbered(50, has_guessed_size=True)


class NewsfeedItems(ChildStream):
    """One record per news item that a newsfeed shows. Source: GET /news/newsfeeds/{id}/items."""

    name = "newsfeed_items"
    path = "/news/newsfeeds/{id}/items"
    permission = READ_NEWS
    request_cost = "1 for each newsfeed and 50 items"
    key_properties = ("newsfeed_id", "id")
    from_parent = {"newsfeed_id": "id"}
    paging = Numbered(50, has_guessed_size=True)


class Newsfeeds(ListStream):
    """One record per newsfeed. Source: GET /news/newsfeeds."""

    name = "newsfeeds"
    path = "/news/newsfeeds"
    permission = READ_NEWS
    request_cost = "1 for 50 newsfeeds"
    paging = Numbered(50, has_guessed_size=True)
    children = (NewsfeedItems(),)


class ContentSnippets(ListStream):
    """One record per snippet for the AI agent. Source: GET /content_snippets."""

    name = "content_snippets"
    path = "/content_snippets"
    permission = "Content snippets"
    request_cost = "1 for 50 snippets"
    first_version = (2, 16)
    paging = Numbered(50)


class Audiences(ListStream):
    """One record per audience that content is for. Source: GET /audiences."""

    name = "audiences"
    path = "/audiences"
    permission = NOT_DOCUMENTED
    request_cost = "1 for 50 audiences"
    first_version = (2, 16)
    paging = Numbered(50)


class ContentImportSources(ListStream):
    """One record per source of external pages. Source: GET /ai/content_import_sources."""

    name = "content_import_sources"
    path = "/ai/content_import_sources"
    permission = READ_CONTENT
    request_cost = "1 for 50 sources"
    first_version = (2, 12)
    paging = Numbered(50, has_guessed_size=True)


class ExternalPages(ListStream):
    """One record per page that the AI agent reads. Source: GET /ai/external_pages."""

    name = "external_pages"
    path = "/ai/external_pages"
    permission = READ_CONTENT
    request_cost = "1 for 50 pages"
    first_version = (2, 12)
    paging = Numbered(50, has_guessed_size=True)


STREAMS = (
    Articles(),
    Audiences(),
    Collections(),
    ContentImportSources(),
    ContentSnippets(),
    ExternalPages(),
    HelpCenters(),
    InternalArticles(),
    Newsfeeds(),
    NewsItems(),
)
