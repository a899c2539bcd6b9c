"""What histories are about. A subject keeps edits and faults near the tables that its runs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from truth import STREAMS as CORE

from model.edits import edits_of
from model.faults import OF_EXPORTS, OF_FILES, OF_SCROLL, OF_SEARCH
from model.workspaces import CUSTOM_OBJECT_TYPES

Selection = tuple[str, ...]
Settings = Mapping[str, Any]

USERS_ONLY: Settings = {
    "search_filters": {"contacts": {"field": "role", "operator": "=", "value": "user"}}
}
IMAGES: Settings = {"inline_images": True}
OLD_VERSION: Settings = {"api_version": "2.12"}
DEFAULTS: tuple[Settings, ...] = ({}, {}, {})
EVER, MONTHS = (3000, 3000, 3000, 45, 2), (100, 100, 45, 2)


@dataclass(frozen=True)
class Subject:
    """Tables that are selected together, and what meets them.

    selections      the streams of a run are one of these
    has             the records that a workspace begins with: at least and at most so many of a kind
    edits, busy     names of edits; busy ones are done before every request of a run
    paths           requests that faults hit, beside all
    faults          names of faults, beside those that may meet any request
    settings        settings of the tap that a run may have, the usual ones among them
    permissions     what the token may lack in a run
    start_days      ages of start_date
    weight          how many of a hundred histories are about it
    """

    selections: tuple[Selection, ...]
    has: Mapping[str, tuple[int, int]]
    edits: tuple[str, ...]
    paths: tuple[str, ...]
    busy: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    settings: tuple[Settings, ...] = ({},)
    permissions: tuple[str, ...] = ()
    start_days: tuple[int, ...] = EVER
    weight: int = 8
    streams: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        streams = frozenset(name for selection in self.selections for name in selection)
        object.__setattr__(self, "streams", streams)


CONTACTS = Subject(
    selections=(
        ("contacts",),
        ("contacts",),
        ("contact_tag", "contact_company"),
        ("contacts", "contact_tag", "contact_notes", "contact_segment", "events"),
        ("contact_notes", "events"),
    ),
    has={"companies": (0, 3), "contacts": (5, 10)},
    edits=(
        *("add contact", "update contact", "update contact", "delete contact", "merge contacts"),
        *("archive contact", "tag contact", "untag contact", "fill contact", "turn contact"),
        *("attach company", "detach company", "move contact"),
        *("write contact note", "write contact note", "delete contact note", "add event"),
    ),
    busy=("update contact",),
    paths=("^/contacts/search$", "^/contacts/.+/", "^/events$"),
    faults=tuple(OF_SEARCH),
    settings=(*DEFAULTS, USERS_ONLY, OLD_VERSION),
    weight=18,
)
CONVERSATIONS = Subject(
    selections=(
        ("conversations",),
        ("conversation_parts",),
        ("conversations", "conversation_parts"),
        ("conversations", "conversation_tag", "conversation_contact", "handling_events"),
        ("side_conversations", "side_conversation_parts", "call_transcripts"),
        ("conversation_parts", "side_conversation_parts", "handling_events"),
    ),
    has={"contacts": (0, 3), "conversations": (4, 8)},
    edits=(
        *("add conversation", "update conversation", "delete conversation"),
        *("tag conversation", "untag conversation", "make ticket of conversation"),
        *("reply", "reply", "update part", "redact part"),
        *("handle conversation", "add side conversation", "reply aside", "call"),
    ),
    busy=("update conversation",),
    paths=(
        *("^/conversations/search$", r"^/conversations/\d+$", "/side_conversations$"),
        *("/handling_events$", "^/calls/search$"),
    ),
    faults=tuple(OF_SEARCH),
    settings=(*DEFAULTS, OLD_VERSION),
    permissions=("tickets",),
    weight=16,
)
TICKETS = Subject(
    selections=(
        ("tickets",),
        ("ticket_parts",),
        ("tickets", "ticket_parts", "ticket_contact", "ticket_link"),
        ("ticket_contact", "ticket_link"),
    ),
    has={"contacts": (0, 3), "conversations": (0, 2), "tickets": (4, 8)},
    edits=(
        *("add ticket", "update ticket", "update ticket", "delete ticket"),
        *("add ticket part", "add ticket part", "add late ticket part"),
        *("update ticket part", "redact ticket part", "link ticket", "unlink ticket"),
        "make ticket of conversation",
    ),
    busy=("update ticket",),
    paths=("^/tickets/search$",),
    faults=tuple(OF_SEARCH),
    settings=(*DEFAULTS, OLD_VERSION),
    permissions=("tickets",),
    weight=10,
)
COMPANIES = Subject(
    selections=(
        ("companies",),
        ("companies", "company_segments", "segments", "tags"),
        ("companies", "company_tag", "company_segment", "company_notes", "company_contact"),
        ("company_contact", "company_notes"),
    ),
    has={"contacts": (0, 4), "companies": (4, 8)},
    edits=(
        *("add company", "update company", "fill company", "delete company"),
        *("tag company", "untag company", "write company note", "attach company"),
        *("attach company", "detach company"),
        *("add segment", "update segment", "delete segment", "add tag", "update tag", "delete tag"),
    ),
    busy=("update company",),
    paths=(
        *("^/companies/scroll$", "^/companies/scroll$", "^/companies/list$"),
        *("^/(tags|segments)$", "^/companies/.+/(notes|contacts)$"),
    ),
    faults=tuple(OF_SCROLL),
    settings=(*DEFAULTS, {"companies_source": "list"}, OLD_VERSION),
    weight=12,
)
ARTICLES = Subject(
    selections=(
        ("articles",),
        ("articles", "article_versions", "article_statistics"),
        ("article_versions",),
        ("article_statistics",),
        ("collections", "internal_articles"),
    ),
    has={"articles": (4, 8), "collections": (0, 6), "internal_articles": (0, 6)},
    edits=(
        *edits_of(("articles", "collections", "internal_articles")),
        *("update articles", "add version", "count view"),
    ),
    busy=("update articles", "update collections"),
    paths=("^/articles$", "^/articles/.+", "^/help_center/collections$", "^/internal_articles$"),
)
LISTS = Subject(
    selections=(
        ("macros",),
        ("macros", "deleted_conversations"),
        ("help_centers", "redirects", "audiences"),
        ("redirects",),
        ("newsfeeds", "newsfeed_items", "content_snippets"),
        ("calls", "audiences", "deleted_conversations"),
    ),
    has={
        **{"macros": (3, 8), "deleted_conversations": (3, 8), "audiences": (0, 6)},
        **{"help_centers": (0, 3), "newsfeeds": (0, 3), "content_snippets": (0, 6)},
        "calls": (0, 6),
    },
    edits=(
        *edits_of(("macros", "audiences", "redirects", "news_items", "calls")),
        *("update macros", "add deleted conversation", "add deleted conversation"),
        *("add redirect", "add news", "call nobody", "delete help_centers", "delete newsfeeds"),
    ),
    busy=("update macros",),
    paths=("^/macros$", "^/conversations/deleted$", "/redirects$", "/items$", "^/audiences$"),
)
LOGS = Subject(
    selections=(
        ("activity_logs",),
        ("data_connectors", "data_connector_executions"),
        ("data_connector_executions",),
        ("activity_logs", "data_connector_executions"),
    ),
    has={"activity_logs": (4, 10), "data_connectors": (1, 4)},
    edits=(
        *("add activity_logs", "add activity_logs", "add execution", "add execution"),
        *("add data_connectors", "update data_connectors", "delete data_connectors"),
    ),
    busy=("add activity_logs", "add execution", "update data_connectors"),
    paths=("^/admins/activity_logs$", "^/data_connectors$", "/execution_results$"),
    start_days=MONTHS,
)
CUSTOM_OBJECTS = Subject(
    selections=(("custom_object_instances",),),
    has={"custom_object_instances": (3, 9)},
    edits=edits_of(("custom_object_instances",)),
    busy=("update custom_object_instances",),
    paths=("^/custom_object_instances/", "^/conversations/attributes$"),
    settings=(
        {},
        *({"custom_object_types": [each]} for each in CUSTOM_OBJECT_TYPES),
        {"custom_object_types": list(CUSTOM_OBJECT_TYPES)},
    ),
    weight=6,
)
CONTENT_EXPORT = Subject(
    selections=(
        ("content_export_receipt",),
        ("content_export_receipt", "content_export_open", "content_export_click"),
        ("content_export_open",),
    ),
    has={"messages": (4, 10)},
    edits=("send message", "send message", "open message", "open message", "click message"),
    paths=("^/export/", "^/download/"),
    faults=tuple(OF_EXPORTS),
    start_days=MONTHS,
    weight=6,
)
REPORTING = Subject(
    selections=(
        ("reporting_conversation",),
        ("reporting_ticket_time_in_state",),
        ("reporting_conversation", "reporting_ticket_time_in_state"),
    ),
    has={"conversation_rows": (3, 8), "time_in_state_rows": (3, 8)},
    edits=(
        *("add conversation row", "update conversation row"),
        *("add time in state", "update time in state"),
    ),
    paths=("^/export/", "^/download/"),
    faults=tuple(OF_EXPORTS),
    start_days=MONTHS,
    weight=6,
)
DELETIONS = Subject(
    selections=(
        ("contacts", "deletions"),
        ("companies", "conversations", "contacts", "deletions"),
        ("conversations", "deletions"),
    ),
    has={"companies": (0, 5), "contacts": (3, 7), "conversations": (0, 5)},
    edits=(
        *("add contact", "update contact", "delete contact", "delete contact", "merge contacts"),
        *("archive contact", "add conversation", "delete conversation", "add company"),
        "delete company",
    ),
    busy=("update contact",),
    paths=("^/contacts$", "^/contacts/[0-9a-f]+$", "^/conversations/deleted$", "/scroll$"),
    settings=(
        *({"detect_deletes": "table"} for _ in range(3)),
        {"detect_deletes": "table", **OLD_VERSION},
    ),
    weight=6,
)
ATTACHMENTS = Subject(
    selections=(
        ("attachments",),
        ("conversations", "conversation_parts", "attachments"),
        ("conversation_parts", "attachments"),
        ("conversations", "conversation_parts"),
        ("tickets", "attachments"),
        ("tickets", "ticket_parts", "conversation_parts", "attachments"),
        ("side_conversations", "side_conversation_parts", "attachments"),
        ("calls", "attachments"),
    ),
    has={
        "conversations with files": (2, 5),
        "tickets with files": (0, 3),
        "recorded calls": (0, 2),
    },
    edits=(
        *("add conversation with files", "reply with files", "reply with files"),
        *("reply with image", "reply with known file", "replace file", "replace image"),
        *("replace file of source", "take file from part", "remove file", "let addresses expire"),
        *("let addresses expire", "update conversation", "delete conversation", "redact part"),
        *("add ticket with files", "add ticket part with files", "update ticket"),
        *("add late ticket part with files", "replace files of ticket", "delete ticket"),
        *("reply aside with files", "call with recording"),
    ),
    busy=("reply with files", "replace file", "reply with image"),
    paths=(
        *("^/conversations/search$", r"^/conversations/\d+$", "^/tickets/search$"),
        *("/side_conversations$", "^/calls/.+/recording$"),
    ),
    # Other faults may meet any request but those for files, which are no JSON.
    faults=(*OF_FILES, *OF_FILES, "dead cursor"),
    settings=(
        {},
        IMAGES,
        {"attachment_max_bytes": 1_000},
        {**IMAGES, "attachment_max_bytes": 1_000},
        {**IMAGES, "attachment_max_bytes": 10_000},
        {**IMAGES, **OLD_VERSION},
    ),
    permissions=("tickets",),
    weight=10,
)
_PARTS_OF_IT = (CONTACTS, CONVERSATIONS, TICKETS, COMPANIES, ARTICLES, LISTS, LOGS, CUSTOM_OBJECTS)
EVERYTHING = Subject(
    selections=(
        CORE,
        ("contacts", "conversations", "conversation_parts", "companies", "tickets"),
        ("contact_tag", "conversation_tag", "ticket_link", "company_tag", "article_versions"),
        tuple(sorted({name for part in _PARTS_OF_IT for name in part.streams})),
        *(selection for part in _PARTS_OF_IT for selection in part.selections),
    ),
    has={kind: (0, most // 2) for part in _PARTS_OF_IT for kind, (_, most) in part.has.items()},
    edits=tuple(edit for part in _PARTS_OF_IT for edit in part.edits),
    busy=tuple(edit for part in _PARTS_OF_IT for edit in part.busy),
    paths=tuple(path for part in _PARTS_OF_IT for path in part.paths),
    faults=(*OF_SEARCH, *OF_SCROLL),
    start_days=MONTHS,
)
SUBJECTS: Mapping[str, Subject] = {
    "contacts": CONTACTS,
    "conversations": CONVERSATIONS,
    "tickets": TICKETS,
    "companies": COMPANIES,
    "articles": ARTICLES,
    "lists": LISTS,
    "logs": LOGS,
    "custom objects": CUSTOM_OBJECTS,
    "content export": CONTENT_EXPORT,
    "reporting": REPORTING,
    "deletions": DELETIONS,
    "attachments": ATTACHMENTS,
    "everything": EVERYTHING,
}
