"""Edits of a running sandbox, as people make them. Its figures still agree after each one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .figures import count_members, join_teams
from .records import Record
from .resources import RESOURCES

if TYPE_CHECKING:
    from .workspace import Workspace

# Tables whose edits the workspace names after one record; all others are resources.
_SINGULAR = {
    "companies": "company",
    "contacts": "contact",
    "conversations": "conversation",
    "segments": "segment",
    "tickets": "ticket",
}
# Tables whose records belong to one of another table, which the field names.
_PARTS = {
    "conversation_parts": ("conversation_id", "part"),
    "ticket_parts": ("ticket_id", "ticket_part"),
}
_ADDED_TO_PARENT = {
    "conversation_parts": ("conversation_id", "add_part"),
    "ticket_parts": ("ticket_id", "add_ticket_part"),
    "contact_notes": ("contact_id", "add_contact_note"),
    "company_notes": ("company_id", "add_company_note"),
}
_OTHERS = frozenset(
    name for name, each in RESOURCES.items() if not each.derive and not name.startswith("deleted_")
)
TABLES = sorted({*_SINGULAR, *_ADDED_TO_PARENT, "company_segments", *_OTHERS})


class EditError(Exception):
    """An edit that the sandbox cannot make; the message is for people."""


def listed(workspace: Workspace, table: str) -> list[Record]:
    _check(table, TABLES)
    return workspace.truth(table)


def add(workspace: Workspace, table: str, fields: Record) -> Record:
    """Add a record and return it."""
    _check(table, TABLES)
    if table in _ADDED_TO_PARENT:
        owner, method = _ADDED_TO_PARENT[table]
        if owner not in fields:
            raise EditError(f"{table}: name the owner with {owner}=ID")
        fields = dict(fields)
        key = _call(workspace, method, table, str(fields.pop(owner)), **fields)
    elif table == "company_segments":
        key = _call(workspace, "add_segment", table, of_companies=True, **fields)
    elif table in _SINGULAR:
        key = _call(workspace, f"add_{_SINGULAR[table]}", table, **fields)
    else:
        key = _call(workspace, "add_record", table, table, **fields)
    _agree(workspace)
    return record(workspace, table, str(key))


def edit(workspace: Workspace, table: str, key: str, fields: Record) -> Record:
    """Set fields of a record and return it."""
    before = record(workspace, table, key)
    if table in _PARTS:
        owner, name = _PARTS[table]
        _call(workspace, f"update_{name}", table, before[owner], key, **fields)
    elif table in _SINGULAR or table == "company_segments":
        name = _SINGULAR.get(table, "segment")
        _call(workspace, f"update_{name}", table, key, **fields)
    elif table in _OTHERS:
        _call(workspace, "update_record", table, table, key, **fields)
    else:
        raise EditError(f"{table}: the sandbox can add records here, but not edit them")
    _agree(workspace)
    return record(workspace, table, key)


def delete(workspace: Workspace, table: str, key: str) -> Record:
    """Delete a record, and return what it was."""
    before = record(workspace, table, key)
    if table == "contact_notes":
        _call(workspace, "delete_contact_note", table, before["contact"]["id"], key)
    elif table in _SINGULAR or table == "company_segments":
        _call(workspace, f"delete_{_SINGULAR.get(table, 'segment')}", table, key)
    elif table in _OTHERS:
        _call(workspace, "delete_record", table, table, key)
    else:
        raise EditError(f"{table}: Intercom does not delete records of this table")
    _agree(workspace)
    return before


def merge(workspace: Workspace, source_id: str, target_id: str) -> Record:
    """Merge a contact into another one, and return that one."""
    record(workspace, "contacts", source_id)
    record(workspace, "contacts", target_id)
    if source_id == target_id:
        raise EditError("contacts: a contact cannot be merged into itself")
    workspace.merge_contacts(source_id, target_id)
    _agree(workspace)
    return record(workspace, "contacts", target_id)


def record(workspace: Workspace, table: str, key: str) -> Record:
    """Return a record. Raises EditError if the table has none with this key."""
    for each in listed(workspace, table):
        if key == _key(table, each):
            return each
    raise EditError(f"{table}: no record has the id {key!r}")


def _key(table: str, record: Record) -> str:
    names = RESOURCES[table].key if table in RESOURCES else ("id",)
    return "/".join(str(record[name]) for name in names)


def _check(table: str, tables: list[str]) -> None:
    if table not in tables:
        raise EditError(f"{table!r} is not a table of the sandbox; use one of {', '.join(tables)}")


def _call(workspace: Workspace, method: str, table: str, *arguments: Any, **fields: Any) -> Any:
    try:
        return getattr(workspace, method)(*arguments, **fields)
    except KeyError as error:
        raise EditError(f"{table}: nothing has the id {error.args[0]!r}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise EditError(f"{table}: {error}") from None


def _agree(workspace: Workspace) -> None:
    """A company with other users has changed, so that incremental runs see its new count."""
    with workspace.lock:
        count_members(workspace, updated_at=int(workspace.clock()))
        join_teams(workspace)
