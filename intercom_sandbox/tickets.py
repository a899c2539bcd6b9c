"""The tickets of a workspace, including conversations that are tickets, and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from .base import Base
from .records import PARTS_LIMIT, Record, update
from .tables import json_text

_SAME_IN_CONVERSATION = (
    "updated_at",
    "open",
    "snoozed_until",
    "contacts",
    "admin_assignee_id",
    "team_assignee_id",
)
_OF_TICKET_IN_CONVERSATION = (
    "ticket_id",
    "category",
    "ticket_attributes",
    "ticket_state",
    "ticket_type",
)


def ticket(ticket_id: str, now: int) -> Record:
    """Return a ticket with no values set; an unsnoozed ticket has no `snoozed_until`."""
    return {
        "type": "ticket",
        "id": ticket_id,
        "ticket_id": ticket_id,
        "category": "Customer",
        "ticket_attributes": {},
        "ticket_state": None,
        "ticket_type": None,
        "contacts": {"type": "contact.list", "contacts": []},
        "admin_assignee_id": 0,
        "team_assignee_id": 0,
        "created_at": now,
        "updated_at": now,
        "open": True,
        "linked_objects": {"type": "list", "data": [], "total_count": 0, "has_more": False},
        "is_shared": True,
        "previous_ticket_state_id": None,
        "channel": "messenger",
    }


def ticket_part(part_id: str, now: int) -> Record:
    """Return a part of a ticket; it omits what does not apply."""
    return {
        "type": "ticket_part",
        "id": part_id,
        "part_type": "comment",
        "created_at": now,
        "updated_at": now,
        "author": {"type": "user", "id": "", "name": None, "email": ""},
        "attachments": [],
        "redacted": False,
    }


def ticket_state(state_id: str, category: str) -> Record:
    return {
        "type": "ticket_state",
        "id": state_id,
        "category": category,
        "internal_label": category.replace("_", " ").capitalize(),
        "external_label": category.replace("_", " ").capitalize(),
        "archived": False,
    }


def ticket_type(type_id: str, workspace_id: str, now: int) -> Record:
    return {
        "type": "ticket_type",
        "id": type_id,
        "category": "Customer",
        "name": f"Ticket type {type_id}",
        "description": "",
        "icon": "🎟",
        "workspace_id": workspace_id,
        "ticket_type_attributes": {"type": "list", "data": []},
        "archived": False,
        "created_at": now,
        "updated_at": now,
        "is_internal": False,
    }


def ticket_type_attribute(attribute_id: str, type_id: str, workspace_id: str, now: int) -> Record:
    return {
        "type": "ticket_type_attribute",
        "id": attribute_id,
        "workspace_id": workspace_id,
        "name": f"Attribute {attribute_id}",
        "description": "",
        "data_type": "string",
        "input_options": None,
        "order": 0,
        "required_to_create": False,
        "required_to_create_for_contacts": False,
        "visible_on_create": True,
        "visible_to_contacts": True,
        "default": False,
        "ticket_type_id": int(type_id),
        "archived": False,
        "created_at": now,
        "updated_at": now,
    }


class Tickets(Base):
    """Tickets; `ticket_ids` are the conversations that are tickets, which share their id."""

    def __init__(self, **names: str) -> None:
        super().__init__(**names)
        self.ticket_ids: set[str] = set()
        self.ticket_parts: dict[str, list[bytes]] = {}
        self.ticket_types: dict[str, Record] = {}
        self.ticket_states: dict[str, Record] = {}

    def add_ticket_type(self, **fields: Any) -> str:
        with self.lock:
            type_id = fields.get("id") or self._number_id("ticket_type", 100)
            record = ticket_type(type_id, self.app["id_code"], self._now())
            self.ticket_types[type_id] = record | fields
            return type_id

    def add_ticket_type_attribute(self, type_id: str, name: str, **fields: Any) -> str:
        """Add an attribute to a ticket type; existing tickets do not have it yet."""
        with self.lock:
            attribute_id = fields.get("id") or self._number_id("ticket_type_attribute", 200)
            of_type = self.ticket_types[type_id]
            attributes = of_type["ticket_type_attributes"]["data"]
            record = ticket_type_attribute(
                attribute_id, type_id, self.app["id_code"], self._now()
            ) | {"name": name, "order": len(attributes)}
            self.ticket_types[type_id] = of_type | {
                "ticket_type_attributes": {"type": "list", "data": [*attributes, record | fields]}
            }
            return attribute_id

    def add_ticket_state(self, category: str, **fields: Any) -> str:
        with self.lock:
            state_id = fields.get("id") or self._number_id("ticket_state", 8500)
            self.ticket_states[state_id] = ticket_state(state_id, category) | fields
            return state_id

    def add_ticket(self, **fields: Any) -> str:
        """Add a ticket; `ticket_type` and `ticket_state` may be ids, `contacts` a list of ids."""
        with self.lock:
            ticket_id = fields.get("id") or self._number_id("ticket", 900_000_000)
            record = ticket(ticket_id, self._now()) | {"ticket_id": str(self._number("ticket_id"))}
            if "created_at" in fields and "updated_at" not in fields:
                record["updated_at"] = fields["created_at"]
            self.ticket_parts[ticket_id] = []
            self._put_ticket(record, fields)
            return ticket_id

    def update_ticket(self, ticket_id: str, **fields: Any) -> None:
        """Set fields of a ticket; attributes are added to the existing ones."""
        with self.lock:
            self._put_ticket(self.tickets.get(ticket_id), self._stamped(fields))

    def delete_ticket(self, ticket_id: str) -> None:
        """Delete a ticket; a conversation that was one continues without it. Raises KeyError."""
        with self.lock:
            self.tickets.remove(ticket_id)
            del self.ticket_parts[ticket_id]
            if ticket_id in self.ticket_ids:
                self.ticket_ids.remove(ticket_id)
                conversation = self.conversations.get(ticket_id)
                self.conversations.put(conversation | self._stamped({"ticket": None}))

    def add_ticket_part(self, ticket_id: str, *, moves_ticket: bool = True, **fields: Any) -> str:
        """Add a part at the end.

        moves_ticket: whether updated_at of the ticket moves to that of the part. Often it does not:
            a part may be newer than its ticket.
        """
        with self.lock:
            part_id = fields.get("id") or self._number_id("ticket_part", 41_000_000)
            record = ticket_part(part_id, fields.get("created_at", self._now()))
            update(record, fields)
            self.ticket_parts[ticket_id].append(json_text(record))
            if moves_ticket:
                self._move_ticket(ticket_id, record["updated_at"])
            return part_id

    def update_ticket_part(
        self, ticket_id: str, part_id: str, *, moves_ticket: bool = True, **fields: Any
    ) -> None:
        with self.lock:
            parts = self.ticket_parts[ticket_id]
            for position, text in enumerate(parts):
                record = orjson.loads(text)
                if record["id"] == part_id:
                    update(record, self._stamped(fields))
                    parts[position] = json_text(record)
                    if moves_ticket:
                        self._move_ticket(ticket_id, record["updated_at"])
                    return
            raise KeyError(part_id)

    def redact_ticket_part(self, ticket_id: str, part_id: str) -> None:
        self.update_ticket_part(ticket_id, part_id, redacted=True, body="")

    def load_ticket_parts(self, ticket_id: str, parts: Sequence[Record]) -> list[str]:
        """Set all parts of a ticket at once without changing its updated_at."""
        with self.lock:
            self.ticket_parts[ticket_id] = []
            return [self.add_ticket_part(ticket_id, moves_ticket=False, **each) for each in parts]

    def link_ticket(self, ticket_id: str, other_id: str, kind: str = "conversation") -> None:
        """Link a ticket with a conversation or another ticket."""
        self._edit_links(ticket_id, other_id, kind, is_linked=True)

    def unlink_ticket(self, ticket_id: str, other_id: str, kind: str = "conversation") -> None:
        self._edit_links(ticket_id, other_id, kind, is_linked=False)

    def load_link(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """Link two records, each a kind and an id, without changing their updated_at."""
        with self.lock:
            for (kind, record_id), (other_kind, other_id) in ((one, other), (other, one)):
                table, others = (
                    self.tickets if each == "ticket" else self.conversations
                    for each in (kind, other_kind)
                )
                category = others.get(other_id)["category"] if other_kind == "ticket" else None
                here = table.get(record_id)
                table.put(here | _links(here, other_kind, other_id, category, is_linked=True))

    def ticket_text(self, ticket_id: str, text: bytes) -> bytes:
        """Return a ticket as the API sends it, with its newest parts."""
        parts = self.ticket_parts.get(ticket_id, [])
        return (
            b'%s,"ticket_parts":{"type":"ticket_part.list","ticket_parts":[%s],"total_count":%d}}'
            % (text[:-1], b",".join(parts[-PARTS_LIMIT:]), len(parts))
        )

    def _put_ticket(self, record: Record, fields: Record) -> None:
        fields = dict(fields)
        if isinstance(fields.get("contacts"), Sequence):
            fields["contacts"] = {
                "type": "contact.list",
                "contacts": [self._contact_reference(each) for each in fields["contacts"]],
            }
        if isinstance(fields.get("ticket_type"), str):
            fields["ticket_type"] = self.ticket_types[fields["ticket_type"]]
        if isinstance(fields.get("ticket_state"), str):
            state = self.ticket_states[fields["ticket_state"]]
            fields["ticket_state"] = {
                name: value for name, value in state.items() if name != "archived"
            }
            if record["ticket_state"]:
                fields.setdefault("previous_ticket_state_id", record["ticket_state"]["id"])
        update(record, fields)
        if record.get("snoozed_until", 0) is None:
            del record["snoozed_until"]
        self.tickets.put(record)

    def _move_ticket(self, ticket_id: str, updated_at: int) -> None:
        record = self.tickets.get(ticket_id)
        self._put_ticket(record, {"updated_at": max(updated_at, record["updated_at"] or 0)})

    def _put_ticket_of(self, conversation: Record) -> None:
        """Update a conversation's ticket, or remove it if the conversation is no longer one."""
        conversation_id = conversation["id"]
        of_ticket = conversation["ticket"]
        if not of_ticket:
            self._forget_ticket_of(conversation_id)
            return
        fields = {name: conversation[name] for name in _SAME_IN_CONVERSATION}
        fields |= {
            name: value for name, value in of_ticket.items() if name in _OF_TICKET_IN_CONVERSATION
        }
        type_id = (of_ticket.get("ticket_type") or {}).get("id")
        if type_id in self.ticket_types:
            fields["ticket_type"] = type_id
        if conversation_id in self.ticket_ids:
            record = self.tickets.get(conversation_id)
        else:
            record = ticket(conversation_id, conversation["created_at"])
            fields["linked_objects"] = conversation["linked_objects"]
            if "ticket_state" not in fields and self.ticket_states:
                fields["ticket_state"] = next(iter(self.ticket_states))
            self.ticket_ids.add(conversation_id)
            self.ticket_parts[conversation_id] = []
        self._put_ticket(record, fields)

    def _forget_ticket_of(self, conversation_id: str) -> None:
        if conversation_id in self.ticket_ids:
            self.ticket_ids.remove(conversation_id)
            self.tickets.remove(conversation_id)
            del self.ticket_parts[conversation_id]

    def _edit_links(self, ticket_id: str, other_id: str, kind: str, *, is_linked: bool) -> None:
        with self.lock:
            others = self.tickets if kind == "ticket" else self.conversations
            here = self.tickets.get(ticket_id)
            there = others.get(other_id) if other_id in others else None
            category = there["category"] if there and kind == "ticket" else None
            self._put_ticket(
                here, self._stamped(_links(here, kind, other_id, category, is_linked=is_linked))
            )
            if there is not None:
                links = _links(there, "ticket", ticket_id, here["category"], is_linked=is_linked)
                others.put(there | self._stamped(links))


def _links(
    record: Record, kind: str, other_id: str, category: str | None, *, is_linked: bool
) -> Record:
    """Return the linked objects of a record with another one added or removed."""
    data = [
        each
        for each in record["linked_objects"]["data"]
        if (each["type"], each["id"]) != (kind, other_id)
    ]
    if is_linked:
        data.append({"type": kind, "id": other_id, "category": category})
    return {"linked_objects": record["linked_objects"] | {"data": data, "total_count": len(data)}}
