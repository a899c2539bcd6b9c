"""The true rows of tables that belong to a contact, a company, a conversation or a ticket.

A row is Intercom's own object, or a link between two records. It has the id and updated_at of the
record that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import orjson

from .records import Record

if TYPE_CHECKING:
    from .tables import Table
    from .workspace import Workspace

Rows = Iterator[Record]
Truth = Callable[["Workspace"], Rows]
TABLES: dict[str, Truth] = {}


def _table(truth: Truth) -> Truth:
    """Let a function tell the truth about the table of its name."""
    TABLES[truth.__name__] = truth
    return truth


@_table
def tickets(workspace: Workspace) -> Rows:
    """Return the tickets without their parts, which have their own table."""
    return workspace.tickets.records()


@_table
def ticket_parts(workspace: Workspace) -> Rows:
    for ticket, owner in _owners("ticket", workspace.tickets):
        for text in workspace.ticket_parts[ticket["id"]]:
            yield orjson.loads(text) | owner


@_table
def ticket_part_attachment(workspace: Workspace) -> Rows:
    for part in ticket_parts(workspace):
        owner = {name: part[name] for name in ("ticket_id", "ticket_updated_at")}
        yield from _attachments(part.get("attachments"), owner | {"ticket_part_id": part["id"]})


@_table
def ticket_contact(workspace: Workspace) -> Rows:
    for ticket, owner in _owners("ticket", workspace.tickets):
        yield from _contacts(ticket, owner)


@_table
def ticket_link(workspace: Workspace) -> Rows:
    for ticket, owner in _owners("ticket", workspace.tickets):
        yield from _links(ticket, owner)


@_table
def handling_events(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        for each in workspace.handling_events.get(conversation["id"], ()):
            yield each | owner | {"teammate_id": str(each["teammate"]["id"])}


@_table
def side_conversations(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        for each in workspace.side_conversations.get(conversation["id"], ()):
            side_id, total_count = each["side_conversation_id"], each["total_count"]
            yield {"side_conversation_id": side_id, "total_count": total_count} | owner


@_table
def side_conversation_parts(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        for each in workspace.side_conversations.get(conversation["id"], ()):
            for part in each["conversation_parts"]:
                yield part | owner | {"side_conversation_id": each["side_conversation_id"]}


@_table
def call_transcripts(workspace: Workspace) -> Rows:
    """Return all calls of conversations, even those without a transcript."""
    for call in workspace.calls.values():
        if call["conversation_id"] in workspace.conversations:
            conversation = workspace.conversations.get(call["conversation_id"])
            row = {"id": call["id"]} | _owner("conversation", conversation)
            yield row | workspace.call_transcripts[call["id"]]


@_table
def fin_voice_calls(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        for each in workspace.fin_voice_calls.get(conversation["id"], ()):
            yield each | owner


@_table
def conversation_contact(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        yield from _contacts(conversation, owner)


@_table
def conversation_tag(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        for tag in (conversation["tags"] or {}).get("tags") or ():
            applied = {name: tag.get(name) for name in ("applied_at", "applied_by")}
            yield owner | {"tag_id": tag["id"], "tag_name": tag["name"]} | applied


@_table
def conversation_teammate(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        teammates = conversation["teammates"] or {}
        for each in teammates.get("admins") or teammates.get("teammates") or ():
            yield owner | {"teammate_id": each["id"], "type": each["type"]}


@_table
def conversation_link(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        yield from _links(conversation, owner)


@_table
def conversation_attachment(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        yield from _attachments((conversation["source"] or {}).get("attachments"), owner)


@_table
def conversation_part_attachment(workspace: Workspace) -> Rows:
    for conversation, owner in _owners("conversation", workspace.conversations):
        for text in workspace.parts.get(conversation["id"], ()):
            part = orjson.loads(text)
            yield from _attachments(
                part["attachments"], owner | {"conversation_part_id": part["id"]}
            )


@_table
def contact_notes(workspace: Workspace) -> Rows:
    for contact, owner in _owners("contact", workspace.contacts):
        for each in workspace.contact_notes(contact["id"]):
            yield each | owner


@_table
def contact_segment(workspace: Workspace) -> Rows:
    for contact, owner in _owners("contact", workspace.contacts):
        for each in workspace.contact_segment_ids.get(contact["id"], ()):
            if each in workspace.segments:
                name = workspace.segments[each]["name"]
                yield owner | {"segment_id": each, "segment_name": name}


@_table
def contact_subscription(workspace: Workspace) -> Rows:
    for contact, owner in _owners("contact", workspace.contacts):
        for each in workspace.subscriptions(contact["id"]):
            yield owner | {
                "subscription_type_id": each["id"],
                "state": each["state"],
                "consent_type": each["consent_type"],
            }


@_table
def contact_merge_history(workspace: Workspace) -> Rows:
    for contact, owner in _owners("contact", workspace.contacts):
        if contact["role"] == "user":
            for each in workspace.merge_history.get(contact["id"], ()):
                yield each | owner


@_table
def events(workspace: Workspace) -> Rows:
    """Return the events of users that can still be listed."""
    for contact, owner in _owners("contact", workspace.contacts):
        if contact["role"] == "user":
            for each in workspace.listed_events(contact["id"]):
                yield each | owner


@_table
def event_summaries(workspace: Workspace) -> Rows:
    """Return the event summaries of users."""
    for contact, owner in _owners("contact", workspace.contacts):
        if contact["role"] == "user":
            for each in workspace.event_summaries(contact["id"]):
                yield each | owner


@_table
def contact_company(workspace: Workspace) -> Rows:
    for contact, owner in _owners("contact", workspace.contacts):
        for each in workspace.nested_ids(contact["id"], "companies"):
            yield owner | {"company_id": each}


@_table
def contact_tag(workspace: Workspace) -> Rows:
    for contact, owner in _owners("contact", workspace.contacts):
        for each in workspace.nested_ids(contact["id"], "tags"):
            yield owner | {"tag_id": each}


@_table
def company_notes(workspace: Workspace) -> Rows:
    for company, owner in _owners("company", workspace.companies):
        for each in workspace.company_notes(company["id"]):
            yield each | owner


@_table
def company_contact(workspace: Workspace) -> Rows:
    for company, owner in _owners("company", workspace.companies):
        for each in workspace.company_contact_ids(company["id"]):
            yield owner | {"contact_id": each}


@_table
def company_tag(workspace: Workspace) -> Rows:
    for company, owner in _owners("company", workspace.companies):
        for tag in (company.get("tags") or {}).get("tags") or ():
            yield owner | {"tag_id": tag["id"], "tag_name": tag["name"]}


@_table
def company_segment(workspace: Workspace) -> Rows:
    for company, owner in _owners("company", workspace.companies):
        for segment in (company.get("segments") or {}).get("segments") or ():
            yield owner | {"segment_id": segment["id"], "segment_name": segment["name"]}


def _owners(kind: str, table: Table) -> Iterator[tuple[Record, Record]]:
    for record in table.records():
        yield record, _owner(kind, record)


def _owner(kind: str, record: Record) -> Record:
    return {f"{kind}_id": record["id"], f"{kind}_updated_at": record["updated_at"]}


def _contacts(record: Record, owner: Record) -> Rows:
    for each in (record["contacts"] or {}).get("contacts") or ():
        yield owner | {"contact_id": each["id"], "external_id": each.get("external_id")}


def _attachments(attachments: list[Record] | None, owner: Record) -> Rows:
    for position, each in enumerate(attachments or ()):
        yield owner | {"position": position} | each


def _links(record: Record, owner: Record) -> Rows:
    for each in (record["linked_objects"] or {}).get("data") or ():
        yield owner | {
            "linked_object_type": each["type"],
            "linked_object_id": each["id"],
            "category": each.get("category"),
        }
