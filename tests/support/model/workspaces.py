"""The records that a workspace has before the first run of a history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from intercom_sandbox import Workspace
from model.history import DAY_SECONDS
from model.uploads import (
    add_conversation_with_files,
    add_recorded_call,
    add_ticket_with_files,
)

ADMIN = "7000001"
CUSTOM_OBJECT_TYPES = ("Order", "Invoice")
CONVERSATIONS, TIME_IN_STATE = "conversation", "ticket_time_in_state"
# The time of a dataset, and its attributes. Rows of the second one have no id.
DATASETS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    CONVERSATIONS: (
        "conversation_started_at",
        (
            "conversation.conversation_id",
            "timestamp.conversation_started_at",
            "conversation.channel",
        ),
    ),
    TIME_IN_STATE: (
        "ticket_created_at",
        (
            "ticket.ticket_id",
            "timestamp.ticket_created_at",
            "standard.current_ticket_state_category",
            "ticket.ticket_time_in_state",
        ),
    ),
}

Make = Callable[[Workspace, int, int], object]
"""Makes the n-th record of its kind, at an instant."""


def empty_workspace(timezone: str = "UTC") -> Workspace:
    """A workspace with the datasets that every workspace has."""
    workspace = Workspace(timezone=timezone)
    for name, (time, attributes) in DATASETS.items():
        workspace.add_dataset(name, time, attributes)
    return workspace


def _contact(workspace: Workspace, number: int, instant: int) -> None:
    contact = workspace.add_contact(
        name=f"Contact {number}",
        role=("user", "lead")[number % 3 == 2],
        segments=list(workspace.segments)[: number % 2],
        tags=list(workspace.tags)[: number % 2],
        created_at=instant,
    )
    workspace.load_events(contact, [{"event_name": "Signed up", "created_at": instant}])


def _company(workspace: Workspace, number: int, instant: int) -> None:
    workspace.add_company(
        name=f"Company {number}",
        created_at=instant,
        updated_at=None if number == 3 else instant,
        segments=list(workspace.company_segments)[: number % 2],
        tags=list(workspace.tags)[: number % 2],
        user_count=number % 3,
    )


def _conversation(workspace: Workspace, number: int, instant: int) -> None:
    conversation = workspace.add_conversation(
        title=f"Conversation {number}",
        created_at=instant,
        contacts=sorted(workspace.contacts.texts)[: number % 3],
        ticket={"type": "ticket", "ticket_id": str(number), "category": "Customer"}
        if number == 2
        else None,
    )
    for _ in range(number % 3):
        workspace.reply(conversation, f"<p>Part {number}</p>", created_at=instant)


def _ticket(workspace: Workspace, number: int, instant: int) -> None:
    ticket = workspace.add_ticket(
        created_at=instant, contacts=sorted(workspace.contacts.texts)[: number % 3]
    )
    parts = [{"body": f"<p>Part {number}</p>", "created_at": instant}] * (number % 3)
    workspace.load_ticket_parts(ticket, parts)


def _article(workspace: Workspace, number: int, instant: int) -> None:
    article = workspace.add_record("articles", title=f"Article {number}", created_at=instant)
    workspace.add_record("article_statistics", article_id=article, views=number)
    for _ in range(number % 4):
        workspace.add_record("article_versions", article_id=article, created_at=instant)


def _help_center(workspace: Workspace, number: int, instant: int) -> None:
    help_center = workspace.add_record("help_centers", created_at=instant)
    for _ in range(3 * number):
        workspace.add_record("redirects", help_center_id=help_center, created_at=instant)


def _newsfeed(workspace: Workspace, number: int, instant: int) -> None:
    newsfeed = workspace.add_record("newsfeeds", created_at=instant)
    for _ in range(3 * number):
        add_news(workspace, newsfeed, instant)


def _connector(workspace: Workspace, number: int, instant: int) -> None:
    connector = workspace.add_record("data_connectors", created_at=instant)
    for _ in range(3 * number):
        workspace.add_record(
            "data_connector_executions", data_connector_id=connector, created_at=instant
        )


def _listed(table: str, **fields: object) -> Make:
    return lambda workspace, number, instant: workspace.add_record(
        table, created_at=instant, **fields
    )


def add_news(workspace: Workspace, newsfeed: str, instant: int) -> None:
    workspace.add_record(
        "news_items",
        state="live",
        newsfeed_assignments=[{"newsfeed_id": newsfeed, "published_at": instant}],
        created_at=instant,
    )


def send_message(workspace: Workspace, number: int, instant: int) -> None:
    workspace.add_export_row(
        "receipt", instant, receipt_id=f"r{number}", user_id="u", received_at=instant
    )


def add_conversation_row(workspace: Workspace, number: int, instant: int) -> None:
    values = (str(number), instant, "email")
    workspace.add_dataset_row(
        CONVERSATIONS, dict(zip(DATASETS[CONVERSATIONS][1], values, strict=True))
    )


def add_time_in_state(workspace: Workspace, number: int, instant: int) -> None:
    """The rows of a ticket, one for each state that it was in."""
    for state in ("submitted", "open")[: 1 + number % 2]:
        values = (str(number), instant, state, 1)
        workspace.add_dataset_row(
            TIME_IN_STATE, dict(zip(DATASETS[TIME_IN_STATE][1], values, strict=True))
        )


MAKERS: Mapping[str, Make] = {
    "contacts": _contact,
    "companies": _company,
    "conversations": _conversation,
    "tickets": _ticket,
    "articles": _article,
    "help_centers": _help_center,
    "newsfeeds": _newsfeed,
    "data_connectors": _connector,
    "deleted_conversations": lambda workspace, number, instant: workspace.add_record(
        "deleted_conversations", id=str(5000 + number), deleted_at=instant
    ),
    "calls": lambda workspace, number, instant: workspace.load_call(
        None, None, created_at=instant, updated_at=instant
    ),
    "custom_object_instances": lambda workspace, number, instant: workspace.add_record(
        "custom_object_instances",
        type=CUSTOM_OBJECT_TYPES[number % 2],
        created_at=instant,
    ),
    "conversations with files": add_conversation_with_files,
    "tickets with files": add_ticket_with_files,
    "recorded calls": add_recorded_call,
    "messages": send_message,
    "conversation_rows": add_conversation_row,
    "time_in_state_rows": add_time_in_state,
    **{
        table: _listed(table)
        for table in (
            *("collections", "internal_articles", "macros", "audiences", "content_snippets"),
            "activity_logs",
        )
    },
}
"""How each kind of record is made."""


def fill(workspace: Workspace, ages: Mapping[str, Sequence[int]], now: int) -> None:
    """Make the records that are there before the first run, by their ages in seconds."""
    workspace.add_tag(name="VIP")
    workspace.add_segment(name="Active", updated_at=now - DAY_SECONDS)
    workspace.add_segment(name="Large", of_companies=True, updated_at=now - DAY_SECONDS)
    for each in CUSTOM_OBJECT_TYPES:
        workspace.add_record("custom_object_types", id=each)
        workspace.add_conversation_attribute(
            each, "relationship", reference={"type": "many", "object_type_id": each}
        )
    for kind, of_kind in ages.items():
        for number, age in enumerate(of_kind):
            MAKERS[kind](workspace, number, now - age)
