"""What Intercom lists apart from contacts, companies and conversations, and how."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from .options import Permission

Version = tuple[int, int]
Paging = Literal["none", "numbers", "numbers_on_top", "cursor", "one_object"]


@dataclass(frozen=True)
class TimeFilter:
    """A query parameter, in Unix seconds, that limits the times of records."""

    parameter: str
    field: str
    selects: Literal[">", ">=", "<="]
    is_required: bool = False
    default_age: int | None = None
    """The limit if the parameter is absent, in seconds before now."""


@dataclass(frozen=True)
class Resource:
    """One kind of record.

    name            its table
    path            where it is listed; empty if it only comes inside other answers
    permissions     one of these is needed
    since, until    the first and the last version that have it
    paging          all at once; pages by number, described in `pages` or beside the rows; pages by
                    cursor; or the only record as the whole answer
    sizes           the default and the maximum size of a page
    rows, kind      the name of the list in the answer, and the answer's `type`
    newest_first    the time that orders the list; otherwise the order of creation
    is_counted      whether numbered pages come with a total_count
    ids             the form of new ids; text is a number as text
    key             the fields that identify a record
    times           the fields with the times of creation and of the last edit
    times_in        Unix seconds or ISO 8601 text, which macros have with milliseconds
    parent          the table whose records this is listed for, one by one
    parent_field    the field with the id of the parent
    missing         the error code for a parent that does not exist
    hidden          fields that answers omit
    bodies          fields that only come with include_bodies=true
    only            the field that replaces the record in the answer
    """

    name: str
    path: str
    permissions: tuple[Permission, ...] = ()
    since: Version = (0, 0)
    paging: Paging = "none"
    sizes: tuple[int, int] = (0, 0)
    rows: str = "data"
    kind: str = "list"
    newest_first: str | None = None
    is_counted: bool = True
    filters: tuple[TimeFilter, ...] = ()
    ids: Literal["text", "integer", "uuid"] = "text"
    key: tuple[str, ...] = ("id",)
    times: tuple[str, ...] = ("created_at", "updated_at")
    times_in: Literal["seconds", "iso", "iso_milliseconds"] = "seconds"
    parent: str = ""
    parent_field: str = ""
    missing: str = "not_found"
    hidden: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()
    only: str = ""
    until: Version = (sys.maxsize, 0)


_ANY: Version = (0, 0)
# The documentation names no permission for these lists; this one is for the nearest data.
_TEAM: tuple[Permission, ...] = ("admins",)
_PEOPLE: tuple[Permission, ...] = ("users_companies_read",)
_TICKETS: tuple[Permission, ...] = ("tickets",)
_CONVERSATIONS: tuple[Permission, ...] = ("conversations",)
_ARTICLES: tuple[Permission, ...] = ("articles",)
_NEWS: tuple[Permission, ...] = ("news",)
_CONTENT: tuple[Permission, ...] = ("content_data",)
_LOGS: tuple[Permission, ...] = ("admins", "admin_activity_logs")
_CONNECTORS: tuple[Permission, ...] = ("data_connectors",)

_ACTIVITY_FILTERS = (
    TimeFilter("created_at_after", "created_at", ">=", is_required=True),
    TimeFilter("created_at_before", "created_at", "<="),
)
_EXECUTION_FILTERS = (
    TimeFilter("start_ts", "created_at", ">=", default_age=3600),
    TimeFilter("end_ts", "created_at", "<=", default_age=0),
)
_EXECUTION_BODIES = ("request_body", "response_body", "raw_response_body")

_ALL = (
    # People, tickets and conversations
    Resource("subscription_types", "/subscription_types", _PEOPLE, times=()),
    Resource("ticket_types", "/ticket_types", _TICKETS, (2, 9)),
    Resource("ticket_states", "/ticket_states", _TICKETS, (2, 12), times=()),
    Resource("calls", "/calls", _CONVERSATIONS, (2, 14), "numbers", (25, 25)),
    Resource(
        "macros", "/macros", _CONVERSATIONS, (2, 16), "cursor", (50, 150),
        newest_first="updated_at", times_in="iso_milliseconds",
        filters=(TimeFilter("updated_since", "updated_at", ">"),),
    ),
    Resource(
        "deleted_conversations", "/conversations/deleted", _CONVERSATIONS, (2, 16), "numbers",
        (20, 60), rows="conversations", kind="conversations.list",
        newest_first="deleted_at", times=("deleted_at",),
    ),
    Resource("custom_object_types", "", times=()),
    Resource(
        "custom_object_instances", "/custom_object_instances/{id}", ("custom_objects",), (2, 16),
        "numbers", (20, 150), key=("type", "id"), parent="custom_object_types", parent_field="type",
    ),
    # Knowledge
    Resource(
        "articles", "/articles", _ARTICLES, _ANY, "numbers", (25, 250),
        newest_first="updated_at",
    ),
    Resource(
        "article_statistics", "", key=("article_id",), times=(), hidden=("article_id",),
        parent="articles", parent_field="article_id",
    ),
    Resource(
        "article_versions", "/articles/{id}/versions", _ARTICLES, (2, 16), "numbers", (25, 50),
        newest_first="created_at", times=("created_at",),
        parent="articles", parent_field="article_id",
    ),
    Resource("internal_articles", "/internal_articles", _ARTICLES, (2, 13), "numbers", (25, 50)),
    Resource(
        "collections", "/help_center/collections", _ARTICLES, _ANY, "numbers", (20, 150),
        newest_first="updated_at",
    ),
    Resource("help_centers", "/help_center/help_centers", _ARTICLES),
    Resource(
        "redirects", "/help_center/help_centers/{id}/redirects", ("help_center_redirects",),
        (2, 16), "numbers", (50, 250), newest_first="updated_at",
        parent="help_centers", parent_field="help_center_id",
    ),
    Resource("news_items", "/news/news_items", _NEWS, _ANY, "numbers", (10, 20)),
    Resource("newsfeeds", "/news/newsfeeds", _NEWS, _ANY, "numbers", (10, 20)),
    # Made of the live news items that are assigned to the newsfeed.
    Resource(
        "newsfeed_items", "/news/newsfeeds/{id}/items", _NEWS, _ANY, "numbers", (20, 20),
        key=("newsfeed_id", "id"), hidden=("newsfeed_id",),
        parent="newsfeeds", parent_field="newsfeed_id",
    ),
    Resource(
        "content_snippets", "/content_snippets", ("content_snippets",), (2, 16), "numbers_on_top",
        (50, 50),
    ),
    Resource("audiences", "/audiences", _PEOPLE, (2, 16), "numbers_on_top", (50, 50)),
    Resource(
        "content_import_sources", "/ai/content_import_sources", _CONTENT, (2, 12), "numbers",
        (50, 50), ids="integer",
    ),
    Resource("external_pages", "/ai/external_pages", _CONTENT, (2, 12), "numbers", (50, 50)),
    # The workspace
    Resource(
        "activity_logs", "/admins/activity_logs", _LOGS, _ANY, "numbers", (20, 250),
        rows="activity_logs", kind="activity_log.list", newest_first="created_at",
        is_counted=False, filters=_ACTIVITY_FILTERS, ids="uuid", times=("created_at",),
    ),
    Resource(
        "activity_log_event_types", "/admins/activity_log_event_types", _LOGS, (2, 16),
        rows="event_types", kind="activity_log_event_type.list",
        key=("event_type",), times=(), only="event_type",
    ),
    Resource("away_status_reasons", "/away_status_reasons", _TEAM, (2, 14)),
    Resource(
        "office_hours_schedules", "/office_hours_schedules", _TEAM, (2, 16),
        kind="office_hours_schedule.list",
    ),
    Resource(
        "office_hours_exceptions", "/office_hours_schedules/{id}/office_hours_exceptions", _TEAM,
        (2, 16), kind="office_hours_exception.list",
        parent="office_hours_schedules", parent_field="office_hours_schedule_id",
    ),
    Resource("brands", "/brands", _TEAM, (2, 15)),
    Resource("email_settings", "/emails", _TEAM, (2, 15)),
    Resource(
        "data_connectors", "/data_connectors", _CONNECTORS, (2, 16), "cursor", (20, 50),
        newest_first="updated_at", times_in="iso",
    ),
    Resource(
        "data_connector_executions", "/data_connectors/{id}/execution_results", _CONNECTORS,
        (2, 16), "cursor", (10, 30), newest_first="created_at", filters=_EXECUTION_FILTERS,
        times=("created_at",), times_in="iso", bodies=_EXECUTION_BODIES,
        parent="data_connectors", parent_field="data_connector_id",
        missing="data_connector_not_found",
    ),
    Resource(
        "team_metrics", "/teams/{id}/metrics", _TEAM, (2, 16), kind="team_metric.list",
        key=("team_id", "admin_id"), times=(), hidden=("team_id",),
        parent="teams", parent_field="team_id", missing="team_not_found",
    ),
    Resource(
        "ip_allowlist", "/ip_allowlist", ("ip_allowlist",), (2, 14), "one_object",
        key=("workspace_id",), times=(), hidden=("workspace_id",), until=(2, 16),
    ),
)  # fmt: skip
RESOURCES: dict[str, Resource] = {each.name: each for each in _ALL}
