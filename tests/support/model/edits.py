"""What people do in a workspace: `EDITS`, by name.

An edit says what it does with an `Occasion`, whose properties choose records by number. Where there
is no such record, the edit does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from intercom_sandbox import Sandbox, Workspace
from model.history import DAY_SECONDS, Edit
from model.workspaces import (
    ADMIN,
    CONVERSATIONS,
    CUSTOM_OBJECT_TYPES,
    DATASETS,
    TIME_IN_STATE,
    add_conversation_row,
    add_news,
    add_time_in_state,
    send_message,
)

# Exports read the last 30 days again (export_lookback_days): later changes are not promised.
DAYS_OF_LATE_ROWS = 29


class NothingThere(Exception):
    """There is no record to edit."""


@dataclass(frozen=True)
class Occasion:
    """One edit of a workspace: its records are chosen by `which` and `other`, `name` is new."""

    sandbox: Sandbox
    which: int
    other: int
    number: int

    @property
    def workspace(self) -> Workspace:
        return self.sandbox.workspace

    @property
    def name(self) -> str:
        return f"Edit {self.number}"

    @property
    def now(self) -> int:
        return int(self.workspace.clock())

    @property
    def contact(self) -> str:
        return _pick(self.workspace.contacts.texts, self.which)

    @property
    def other_contact(self) -> str:
        return _pick(self.workspace.contacts.texts, self.other)

    @property
    def company(self) -> str:
        return _pick(self.workspace.companies.texts, self.which)

    @property
    def other_company(self) -> str:
        return _pick(self.workspace.companies.texts, self.other)

    @property
    def conversation(self) -> str:
        return _pick(self.workspace.conversations.texts, self.which)

    @property
    def other_conversation(self) -> str:
        return _pick(self.workspace.conversations.texts, self.other)

    @property
    def part(self) -> str:
        parts = self.workspace.parts[self.conversation]
        return _pick([json.loads(text)["id"] for text in parts], self.other)

    @property
    def ticket(self) -> str:
        return _pick(self.workspace.tickets.texts, self.which)

    @property
    def ticket_part(self) -> str:
        parts = self.workspace.ticket_parts[self.ticket]
        return _pick([json.loads(text)["id"] for text in parts], self.other)

    @property
    def side_conversation(self) -> str:
        of_conversation = self.workspace.side_conversations.get(self.conversation, ())
        return _pick([each["side_conversation_id"] for each in of_conversation], self.other)

    @property
    def note(self) -> str:
        return _pick(self.workspace.nested_ids(self.contact, "notes"), self.other)

    @property
    def segment(self) -> str:
        return _pick(chain(self.workspace.segments, self.workspace.company_segments), self.which)

    @property
    def tag(self) -> str:
        return _pick(self.workspace.tags, self.other)

    def record(self, table: str) -> str:
        return _pick(self.workspace.record_keys(table), self.which)

    def late_row(self, rows: list[dict[str, Any]], time: str) -> int:
        """A row of an export that later runs still read again."""
        oldest = self.now - DAYS_OF_LATE_ROWS * DAY_SECONDS
        found = [at for at, row in enumerate(rows) if row[time] >= oldest]
        if not found:
            raise NothingThere
        return found[self.which % len(found)]


def _pick(of: Any, number: int) -> str:
    found: list[str] = sorted(of)
    if not found:
        raise NothingThere
    return found[number % len(found)]


Do = Callable[[Occasion], object]


def _turn_contact(it: Occasion) -> None:
    role = it.workspace.contact(it.contact)["role"]
    it.workspace.update_contact(it.contact, role="lead" if role == "user" else "user")


def _merge_contacts(it: Occasion) -> None:
    if it.contact != it.other_contact:
        it.workspace.merge_contacts(it.contact, it.other_contact)


def _attach_company(it: Occasion) -> None:
    """Both change, since a run reads the links of what changed."""
    it.workspace.attach_company(it.contact, it.other_company)
    it.workspace.update_company(it.other_company)


def _detach_company(it: Occasion) -> None:
    it.workspace.detach_company(it.contact, it.other_company)
    it.workspace.update_company(it.other_company)


def _fill_contact(it: Occasion) -> None:
    """Give it more tags than the nested list of a search holds."""
    tags = [it.workspace.add_tag(name=f"{it.name} {number}") for number in range(12)]
    it.workspace.update_contact(it.contact, tags=tags)


def _add_late_ticket_part(it: Occasion) -> None:
    """A part that is newer than its ticket says: runs look for it in tickets of the last day."""
    updated_at = it.workspace.tickets.get(it.ticket)["updated_at"]
    if updated_at >= it.now - DAY_SECONDS:
        it.workspace.add_ticket_part(it.ticket, body=f"<p>{it.name}</p>", moves_ticket=False)


def _link_ticket(it: Occasion) -> None:
    it.workspace.link_ticket(it.ticket, it.other_conversation)


def _add_version(it: Occasion) -> None:
    article = it.record("articles")
    it.workspace.add_record("article_versions", article_id=article)
    it.workspace.update_record("articles", article)


def _open_message(it: Occasion) -> None:
    receipts = it.workspace.export_rows["receipt"]
    number = it.late_row(receipts, "sent_at")
    receipt = receipts[number]
    it.workspace.update_export_row("receipt", number, first_open=it.now)
    it.workspace.add_export_row(
        "open", receipt["sent_at"], receipt_id=receipt["receipt_id"], opened_at=it.now
    )


def _click_message(it: Occasion) -> None:
    receipt = it.workspace.export_rows["receipt"]
    receipt_of = receipt[it.late_row(receipt, "sent_at")]
    it.workspace.add_export_row(
        "click",
        receipt_of["sent_at"],
        receipt_id=receipt_of["receipt_id"],
        clicked_at=it.now,
        link_type="url",
        url=f"https://example.com/{it.number}",
    )


def _update_row(it: Occasion, dataset: str, column: str, value: object) -> None:
    time = next(each for each in DATASETS[dataset][1] if each.startswith("timestamp."))
    number = it.late_row(it.workspace.dataset_rows[dataset], time)
    it.workspace.update_dataset_row(dataset, number, {column: value})


PEOPLE: Mapping[str, Do] = {
    "add contact": lambda it: it.workspace.add_contact(name=it.name, role="user"),
    "update contact": lambda it: it.workspace.update_contact(it.contact, name=it.name),
    "turn contact": _turn_contact,
    "delete contact": lambda it: it.workspace.delete_contact(it.contact),
    "archive contact": lambda it: it.workspace.archive_contact(it.contact),
    "merge contacts": _merge_contacts,
    "tag contact": lambda it: it.workspace.tag_contact(it.contact, it.tag),
    "untag contact": lambda it: it.workspace.untag_contact(it.contact, it.tag),
    "fill contact": _fill_contact,
    "attach company": _attach_company,
    "detach company": _detach_company,
    "move contact": lambda it: it.workspace.update_contact(
        it.contact, segments=list(it.workspace.segments)[: it.other % 3]
    ),
    "write contact note": lambda it: it.workspace.add_contact_note(it.contact),
    "delete contact note": lambda it: it.workspace.delete_contact_note(it.contact, it.note),
    "add event": lambda it: it.workspace.add_event(it.contact, it.name),
    "add company": lambda it: it.workspace.add_company(
        name=it.name, segments=list(it.workspace.company_segments)[:1]
    ),
    "update company": lambda it: it.workspace.update_company(it.company, name=it.name),
    "fill company": lambda it: it.workspace.update_company(it.company, user_count=it.other % 3),
    "delete company": lambda it: it.workspace.delete_company(it.company),
    "tag company": lambda it: it.workspace.tag_company(it.company, it.tag),
    "untag company": lambda it: it.workspace.untag_company(it.company, it.tag),
    "write company note": lambda it: it.workspace.add_company_note(it.company),
    "add segment": lambda it: it.workspace.add_segment(
        name=it.name, of_companies=bool(it.other % 2)
    ),
    "update segment": lambda it: it.workspace.update_segment(it.segment, name=it.name),
    "delete segment": lambda it: it.workspace.delete_segment(it.segment),
    "add tag": lambda it: it.workspace.add_tag(name=it.name),
    "update tag": lambda it: it.workspace.update_record("tags", it.tag, name=it.name),
    "delete tag": lambda it: it.workspace.delete_record("tags", it.tag),
}
TALKS: Mapping[str, Do] = {
    "add conversation": lambda it: it.workspace.reply(
        it.workspace.add_conversation(
            title=it.name, contacts=sorted(it.workspace.contacts.texts)[: it.other % 3]
        )
    ),
    "update conversation": lambda it: it.workspace.update_conversation(
        it.conversation, title=it.name
    ),
    "delete conversation": lambda it: it.workspace.delete_conversation(it.conversation),
    "tag conversation": lambda it: it.workspace.tag_conversation(it.conversation, it.tag),
    "untag conversation": lambda it: it.workspace.untag_conversation(it.conversation, it.tag),
    "reply": lambda it: it.workspace.reply(it.conversation, f"<p>{it.name}</p>"),
    "update part": lambda it: it.workspace.update_part(
        it.conversation, it.part, body=f"<p>{it.name}</p>"
    ),
    "redact part": lambda it: it.workspace.redact_part(it.conversation, it.part),
    "make ticket of conversation": lambda it: it.workspace.update_conversation(
        it.conversation,
        ticket={"type": "ticket", "ticket_id": str(it.number), "category": "Customer"},
    ),
    "handle conversation": lambda it: it.workspace.add_handling_event(
        it.conversation, ADMIN, ("paused", "resumed")[it.other % 2]
    ),
    "add side conversation": lambda it: it.workspace.add_side_conversation(it.conversation),
    "reply aside": lambda it: it.workspace.add_side_conversation_part(
        it.conversation, it.side_conversation
    ),
    "call": lambda it: it.workspace.add_call(it.conversation, [{"text": it.name}]),
    "add ticket": lambda it: it.workspace.add_ticket(
        contacts=sorted(it.workspace.contacts.texts)[: it.other % 3]
    ),
    "update ticket": lambda it: it.workspace.update_ticket(it.ticket, open=bool(it.other % 2)),
    "delete ticket": lambda it: it.workspace.delete_ticket(it.ticket),
    "add ticket part": lambda it: it.workspace.add_ticket_part(it.ticket, body=it.name),
    "add late ticket part": _add_late_ticket_part,
    "update ticket part": lambda it: it.workspace.update_ticket_part(
        it.ticket, it.ticket_part, body=it.name
    ),
    "redact ticket part": lambda it: it.workspace.redact_ticket_part(it.ticket, it.ticket_part),
    "link ticket": _link_ticket,
    "unlink ticket": lambda it: it.workspace.unlink_ticket(it.ticket, it.other_conversation),
}
CONTENT: Mapping[str, Do] = {
    "add version": _add_version,
    "count view": lambda it: it.workspace.update_record(
        "article_statistics", it.record("article_statistics"), views=it.number
    ),
    "add redirect": lambda it: it.workspace.add_record(
        "redirects", help_center_id=it.record("help_centers")
    ),
    "add news": lambda it: add_news(it.workspace, it.record("newsfeeds"), it.now),
    "add deleted conversation": lambda it: it.workspace.add_record(
        "deleted_conversations", id=str(it.other), deleted_at=it.now
    ),
    "add execution": lambda it: it.workspace.add_record(
        "data_connector_executions", data_connector_id=it.record("data_connectors")
    ),
    "call nobody": lambda it: it.workspace.add_call(),
    "add custom_object_instances": lambda it: it.workspace.add_record(
        "custom_object_instances", type=CUSTOM_OBJECT_TYPES[it.other % 2]
    ),
}


def _of_a_list(table: str) -> Mapping[str, Do]:
    """What can be done with the records of any list."""
    return {
        f"add {table}": lambda it: it.workspace.add_record(table),
        f"update {table}": lambda it: it.workspace.update_record(table, it.record(table)),
        f"delete {table}": lambda it: it.workspace.delete_record(table, it.record(table)),
    }


LISTS = (
    *("articles", "collections", "internal_articles", "macros", "audiences", "content_snippets"),
    *("help_centers", "redirects", "newsfeeds", "news_items", "calls", "data_connectors"),
    *("activity_logs", "custom_object_instances"),
)
EXPORTS: Mapping[str, Do] = {
    "send message": lambda it: send_message(it.workspace, 1000 + it.number, it.now),
    "open message": _open_message,
    "click message": _click_message,
    "add conversation row": lambda it: add_conversation_row(it.workspace, 1000 + it.number, it.now),
    "update conversation row": lambda it: _update_row(
        it, CONVERSATIONS, "conversation.channel", it.name
    ),
    "add time in state": lambda it: add_time_in_state(it.workspace, 1000 + it.number, it.now),
    "update time in state": lambda it: _update_row(
        it, TIME_IN_STATE, "ticket.ticket_time_in_state", 1000 + it.number
    ),
}
INTERCOM: Mapping[str, Do] = {
    "let search catch up": lambda it: it.workspace.index_now(),
    "let cursors expire": lambda it: it.sandbox.expire_cursors(),
}
"""What Intercom itself does."""
EDITS: Mapping[str, Do] = {
    **dict(chain.from_iterable(_of_a_list(table).items() for table in LISTS)),
    **PEOPLE,
    **TALKS,
    **CONTENT,
    **EXPORTS,
    **INTERCOM,
}


def edits_of(tables: Collection[str]) -> tuple[str, ...]:
    """The edits that lists have in common, for these."""
    return tuple(edit for table in tables for edit in _of_a_list(table))


class People:
    """Those who work in a workspace, and edit it."""

    def __init__(self, sandbox: Sandbox, edits: Mapping[str, Do] = EDITS) -> None:
        self._sandbox = sandbox
        self._edits = edits
        self._count = 0

    def do(self, edit: Edit) -> None:
        """Do it, unless there is nothing to do it with."""
        with self._sandbox.workspace.lock:
            self._count += 1
            with suppress(NothingThere):
                self._edits[edit.kind](Occasion(self._sandbox, edit.which, edit.other, self._count))
