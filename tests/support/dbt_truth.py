"""What the tables and answers of examples/dbt must hold, worked out from a workspace in Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from intercom_sandbox import Workspace
from intercom_sandbox.workspace import plain_text

Record = Mapping[str, Any]
Row = dict[str, Any]
Key = tuple[str, ...]

NO_END = datetime(9999, 12, 31, 23, 59, 59, 999000)
PEOPLE = ("user", "lead", "contact")
LINKS = {
    # The table, and where its ids are: the parents, their list and the list's entries.
    "contact_tag_history": ("contacts", "tags", "data"),
    "contact_company_history": ("contacts", "companies", "data"),
    "company_tag_history": ("companies", "tags", "tags"),
    "conversation_tag_history": ("conversations", "tags", "tags"),
    "conversation_contact_history": ("conversations", "contacts", "contacts"),
}
KEYS: dict[str, Key] = {
    "admin": ("id",),
    "team": ("id",),
    "team_admin": ("team_id", "admin_id"),
    "tag": ("id",),
    "contact_history": ("id",),
    "company_history": ("id",),
    "conversation_history": ("id",),
    "conversation_part_history": ("id",),
    "article_history": ("id",),
    "collection_history": ("id",),
    "help_center_history": ("id",),
    **{
        table: (f"{left}_id", f"{right}_id")
        for table in LINKS
        for left, right, _ in [table.split("_")]
    },
}


def is_active(row: Record) -> bool:
    """Whether Fivetran would say that Intercom has the record."""
    return bool(
        row["_fivetran_active"] if "_fivetran_active" in row else not row["_fivetran_deleted"]
    )


def normal(value: Any, kind: str) -> Any:
    """A value of any database as one of Python; PostgreSQL and DuckDB write times differently."""
    if value is None or value == "":
        return None
    if kind == "timestamp":
        return datetime.fromisoformat(value)
    return float(value) if kind == "number" else value


def instant(seconds: int | None) -> datetime | None:
    if seconds is None:
        return None
    # Some times of the sample are outside of what fromtimestamp takes everywhere.
    return datetime(1970, 1, 1) + timedelta(seconds=seconds)


def monday(at: datetime) -> date:
    return at.date() - timedelta(days=at.weekday())


# -- Tables --------------------------------------------------------------------------------------


def expected_table(workspace: Workspace, table: str) -> dict[Key, Row]:
    """The active rows of a table, by key; not the columns that Fivetran adds."""
    if table in LINKS:
        return dict(_links(workspace, table))
    if table == "team_admin":
        rows = workspace.truth("team_admin")
        return {(row["team_id"], row["admin_id"]): {} for row in rows}
    stream, make = _TABLES[table]
    return {(str(each["id"]),): make(workspace, each) for each in workspace.truth(stream)}


def _links(workspace: Workspace, table: str) -> Iterator[tuple[Key, Row]]:
    stream, name, entries = LINKS[table]
    updated_at = f"{table.split('_')[0]}_updated_at"
    for parent in workspace.truth(stream):
        for entry in (parent[name] or {}).get(entries, ()):
            yield (parent["id"], entry["id"]), {updated_at: instant(parent["updated_at"])}


def _same(record: Record, *names: str) -> Row:
    return {name: record.get(name) or None for name in names}


def _times(record: Record, *names: str) -> Row:
    return {name: instant(record.get(name)) for name in names}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _id(value: Any) -> str | None:
    """An id as text; 0 is none."""
    return str(value) if value and str(value) != "0" else None


def _text(value: str | None) -> str | None:
    return plain_text(value or "") or None


def _admin(_: Workspace, record: Record) -> Row:
    return _same(record, "name", "job_title")


def _named(_: Workspace, record: Record) -> Row:
    return _same(record, "name")


def _contact(_: Workspace, record: Record) -> Row:
    times = ("signed_up_at", "last_replied_at", "last_contacted_at", "last_email_opened_at")
    return {
        **_same(record, "email", "name", "role"),
        **_times(record, "created_at", "updated_at", *times, "last_email_clicked_at"),
        "admin_id": _id(record.get("owner_id")),
        "unsubscribed_from_emails": record["unsubscribed_from_emails"],
    }


def _company(_: Workspace, record: Record) -> Row:
    plan = record.get("plan") or {}
    return {
        **_same(record, "name", "website", "industry"),
        **_times(record, "created_at", "updated_at"),
        **{
            name: _number(record.get(name))
            for name in ("monthly_spend", "session_count", "user_count")
        },
        "plan_id": plan.get("id"),
        "plan_name": plan.get("name"),
    }


def _conversation(_: Workspace, record: Record) -> Row:
    admin, team = _id(record["admin_assignee_id"]), _id(record["team_assignee_id"])
    rating, reply = record.get("conversation_rating") or {}, record.get("first_contact_reply") or {}
    source, sla = record["source"], record.get("sla_applied") or {}
    author = source.get("author") or {}
    return {
        **_same(record, "state"),
        **_times(record, "created_at", "updated_at", "waiting_since", "snoozed_until"),
        "read": record["read"],
        "assignee_id": admin or team,
        "assignee_type": "admin" if admin else "team" if team else None,
        "conversation_rating_value": _number(rating.get("rating")),
        "conversation_rating_remark": rating.get("remark") or None,
        "first_contact_reply_created_at": instant(reply.get("created_at")),
        "first_contact_reply_type": reply.get("type"),
        "source_type": source.get("type"),
        "source_delivered_as": source.get("delivered_as"),
        "source_subject": _text(source.get("subject")),
        "source_body": _text(source.get("body")),
        "source_author_id": author.get("id"),
        "source_author_type": author.get("type"),
        "sla_name": sla.get("sla_name"),
        "sla_status": sla.get("sla_status"),
    }


def _part(workspace: Workspace, record: Record) -> Row:
    assignee = record.get("assigned_to") or {}
    conversation = workspace.conversations.get(record["conversation_id"])
    return {
        **_same(record, "conversation_id", "part_type"),
        **_times(record, "created_at", "updated_at"),
        "conversation_updated_at": instant(conversation["updated_at"]),
        "body": _text(record["body"]),
        "author_id": record["author"]["id"] or None,
        "author_type": record["author"]["type"],
        "assigned_to_id": _id(assignee.get("id")),
        "assigned_to_type": assignee.get("type"),
    }


def _article(workspace: Workspace, record: Record) -> Row:
    (statistics,) = [
        each for each in workspace.truth("article_statistics") if each["article_id"] == record["id"]
    ]
    parents = record["parent_ids"]
    same = ("title", "description", "body", "url", "type", "state", "default_locale")
    return {
        **_same(record, *same, "workspace_id"),
        **_times(record, "created_at", "updated_at"),
        "author_id": _id(record["author_id"]),
        "collection_id": str(parents[-1]) if parents else None,
        "parent_type": "collection" if parents else None,
        "section_id": None,
        "statistics_type": "article_statistics",
        "statistics_conversations": _number(statistics["conversions"]),
        **{
            f"statistics_{name}": _number(statistics[name])
            for name in (
                "views",
                "reactions",
                "happy_reaction_percentage",
                "neutral_reaction_percentage",
                "sad_reaction_percentage",
            )
        },
    }


def _collection(_: Workspace, record: Record) -> Row:
    same = ("name", "description", "url", "icon", "default_locale", "workspace_id")
    return {
        **_same(record, *same),
        **_times(record, "created_at", "updated_at"),
        "type": "collection",
        "order": _number(record["order"]),
        "parent_id": _id(record["parent_id"]),
        "help_center_id": _id(record["help_center_id"]),
    }


def _help_center(_: Workspace, record: Record) -> Row:
    return {
        **_same(record, "display_name", "identifier", "workspace_id"),
        **_times(record, "created_at", "updated_at"),
        "website_turned_on": record["website_turned_on"],
    }


_TABLES: dict[str, tuple[str, Callable[[Workspace, Record], Row]]] = {
    "admin": ("admins", _admin),
    "team": ("teams", _named),
    "tag": ("tags", _named),
    "contact_history": ("contacts", _contact),
    "company_history": ("companies", _company),
    "conversation_history": ("conversations", _conversation),
    "conversation_part_history": ("conversation_parts", _part),
    "article_history": ("articles", _article),
    "collection_history": ("collections", _collection),
    "help_center_history": ("help_centers", _help_center),
}


# -- Answers -------------------------------------------------------------------------------------


def first_responses(workspace: Workspace) -> dict[str, tuple[str, date, float | None]]:
    """Team, week and minutes until a teammate answered, of each conversation that people began."""
    messages = _messages_by_conversation(workspace)
    found = {}
    for conversation in workspace.truth("conversations"):
        if (conversation["source"].get("author") or {}).get("type") not in PEOPLE:
            continue
        team = workspace.teams.get(str(conversation["team_assignee_id"]), {"name": "No team"})
        began = conversation["created_at"]
        answers = [
            each["created_at"]
            for each in messages[conversation["id"]]
            if each["created_at"] >= began
        ]
        minutes = (min(answers) - began) / 60 if answers else None
        week = monday(datetime.fromtimestamp(began, timezone.utc))
        found[conversation["id"]] = (team["name"], week, minutes)
    return found


def reopenings(workspace: Workspace) -> dict[str, tuple[datetime, datetime | None, str | None]]:
    """First close, first reopening after it, and by whom, of each conversation that was closed."""
    found = {}
    for conversation_id, parts in _parts_by_conversation(workspace).items():
        closes = [each["created_at"] for each in parts if each["part_type"] == "close"]
        if not closes:
            continue
        later = [
            (each["created_at"], each["id"], each["author"]["type"])
            for each in parts
            if each["created_at"] > min(closes)
            and (each["part_type"] == "open" or "reopen" in each["part_type"])
        ]
        opened_at, _, opened_by = min(later, default=(None, None, None))
        closed_at = instant(min(closes))
        assert closed_at is not None
        found[conversation_id] = (closed_at, instant(opened_at), opened_by)
    return found


def load_by_hour(workspace: Workspace) -> dict[tuple[str, int], tuple[int, int]]:
    """Messages and conversations of each teammate in each hour of the day, UTC."""
    found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for conversation_id, messages in _messages_by_conversation(workspace).items():
        for each in messages:
            hour = datetime.fromtimestamp(each["created_at"], timezone.utc).hour
            found[each["author"]["id"], hour].append(conversation_id)
    return {key: (len(ids), len({*ids})) for key, ids in found.items()}


def _parts_by_conversation(workspace: Workspace) -> defaultdict[str, list[Record]]:
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for part in workspace.truth("conversation_parts"):
        found[part["conversation_id"]].append(part)
    return found


def _messages_by_conversation(workspace: Workspace) -> defaultdict[str, list[Record]]:
    """What teammates wrote to contacts."""
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for conversation_id, parts in _parts_by_conversation(workspace).items():
        found[conversation_id] = [part for part in parts if _is_message(part)]
    return found


def _is_message(part: Record) -> bool:
    is_note = part["part_type"].startswith("note")
    return part["author"]["type"] == "admin" and not is_note and bool(_text(part["body"]))
