"""The versions of the API, and the fields that newer ones add to what is not a resource."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .records import Record

Version = tuple[int, int]
PREVIEW: Version = (sys.maxsize, 0)
"""It is newer than every version with a number."""
DEFAULT_VERSION: Version = (2, 16)
NEWER_FIELDS: Mapping[str, Mapping[str, Version]] = {
    # Tickets came with 2.9 (API-A3).
    "conversations": {"ticket": (2, 9), "ai_topics": PREVIEW},
    "ticket_parts": {
        "app_package_code": (2, 13),
        "updated_attribute_data": (2, 14),
        "translations": PREVIEW,
    },
}
"""The fields of a table that a version added, with that version."""


def version_text(version: Version) -> str:
    return "Preview" if version == PREVIEW else ".".join(map(str, version))


def newer_fields(table: str, version: Version) -> set[str]:
    """Return the fields of a table that a version does not have yet."""
    return {name for name, since in NEWER_FIELDS.get(table, {}).items() if version < since}


def older_note(note: Record, version: Version) -> Record:
    """Return a note of a contact as a version sends it."""
    if version >= (2, 16):
        return note
    older = {name: value for name, value in note.items() if name != "company"}
    if author := note["author"]:
        newer = {"role"} if version >= (2, 13) else {"role", "away_status_reason_id"}
        older["author"] = {name: value for name, value in author.items() if name not in newer}
    return older


def older_ticket(ticket: Record, version: Version) -> Record:
    """Return a ticket without its parts as a version sends it."""
    if version >= (2, 16):
        return ticket
    older = {name: ticket[name] for name in ticket if name != "previous_ticket_state_id"}
    for assignee in ("admin_assignee_id", "team_assignee_id"):
        older[assignee] = str(ticket[assignee] or 0)
    state, ticket_type = ticket["ticket_state"], ticket["ticket_type"]
    if version < (2, 12) and ticket_type:
        older["ticket_type"] = {
            name: ticket_type[name] for name in ticket_type if name != "ticket_states"
        }
    if version < (2, 12) and state:
        older["ticket_state"] = state["category"]
        for label in ("internal_label", "external_label"):
            older[f"ticket_state_{label}"] = state[label]
    return older


def as_of(table: str, record: Record, version: Version) -> Record:
    """Return a record of a table as a version has it."""
    match table:
        case "contact_notes":
            return older_note(record, version)
        case "tickets":
            return older_ticket(record, version)
    newer = newer_fields(table, version)
    return {name: value for name, value in record.items() if name not in newer}
