"""The joins between tables, from what the schema files say of each id: for docs/joins.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tap_intercom.catalog import WORKSPACE_ID, WORKSPACE_ID_COLUMN
from tap_intercom.commands.about import Table
from tap_intercom.reading.references import Holder, Reference, references_of
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.reading.stream import Stream

Schema = Mapping[str, Any]

# How a description begins to say what a value means that joins nothing.
NOTHING = re.compile(r"(?:usually |empty |null |0 |-1 )")


@dataclass(frozen=True)
class Place:
    """An object of a table in SQL: the row itself, or an object inside one of its columns.

    path: the object in words, with a dot at its end.
    tables: what follows `from`.
    prefix: what comes before the name of a field; that of a row's column is not JSON.
    """

    path: str
    tables: str
    prefix: str
    is_row: bool = False

    def text(self, name: str) -> str:
        """The value of a field as text. A dot leads into an object."""
        outer, _, inner = name.rpartition(".")
        if outer:
            return f"({self.json(outer)}->>'{inner}')"
        return f"{self.prefix}{name}" if self.is_row else f"({self.prefix}->>'{name}')"

    def json(self, name: str) -> str:
        """The value of a field as JSON."""
        return f"{self.prefix}{name}" if self.is_row else f"{self.prefix}->'{name}'"

    def entries(self, name: str, kind: str) -> tuple[str, str]:
        """What follows `from` for the entries of a list, and the name of an entry."""
        depth = self.tables.count("unnest(")
        entry = f"entry{depth + 1}" if depth else "entry"
        values = f"unnest(cast({self.json(name)} as {kind}[]))"
        return f"{self.tables} cross join {values} as list{depth or ''}({entry})", entry

    def inside(self, holder: Holder) -> Place:
        """The object, or an entry of the list of objects, in a field."""
        if holder.is_list:
            tables, entry = self.entries(holder.name, "json")
            return Place(f"{self.path}{holder.name}[].", tables, entry)
        return Place(f"{self.path}{holder.name}.", self.tables, self.json(holder.name))


def joins_of(stream: Stream) -> Table:
    """The joins from a stream to other tables, one for each table that an id may be of."""
    name = stream.name
    row = Place(f"{name}.", name, f"{name}.", is_row=True)
    schema = annotated_schema(name)
    if "copy_of" in schema:
        properties = {key: schema["properties"][key] for key in stream.key_properties}
        schema = {**schema, "properties": properties}
    return list(_joins(schema, row, stream.key_properties))


def workspace_join(table: str) -> Table:
    """The join of the column that `add_workspace_id` adds to each table, for one table."""
    row = Place(f"{table}.", table, f"{table}.", is_row=True)
    column = {**WORKSPACE_ID_COLUMN, "references": "workspace.id_code"}
    return list(_joins({"properties": {WORKSPACE_ID: column}}, row, (WORKSPACE_ID,)))


def _joins(schema: Schema, row: Place, keys: Sequence[str]) -> Iterator[dict[str, str]]:
    """The joins of a row, and of all objects inside it."""
    for reference in references_of(_without_copies(schema)):
        if reference.is_former:
            continue
        place = row
        for holder in reference.holders:
            place = place.inside(holder)
        is_key = not reference.holders and reference.name in keys
        yield _join(reference, place, is_key=is_key)


def _without_copies(schema: Schema) -> Schema:
    """A schema in which a field that copies another table has only its id."""
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {
            name: _without_copies(_content(field) if "copy_of" in field else field)
            for name, field in schema["properties"].items()
        }
    if "items" in schema:
        found["items"] = _without_copies(schema["items"])
    return found


def _content(column: Schema) -> Schema:
    """A field without what a table has: of an object, or of those of a list, the id is left."""
    ids = {"id": _objects(column)["id"]} if "id" in _objects(column) else {}
    if "items" in column:
        return {**column, "items": {**column["items"], "properties": ids}}
    return {**column, "properties": ids}


def _objects(column: Schema) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = column.get("items", column).get("properties", {})
    return properties


def _join(reference: Reference, place: Place, *, is_key: bool) -> dict[str, str]:
    name, column = reference.name, reference.field
    tables, path, value = place.tables, f"{place.path}{name}", place.text(name)
    is_number = "integer" in column.get("items", column)["type"]
    if "items" in column:
        tables, value = place.entries(name, "varchar")
        path = f"{path}[]"
    elif is_number and place.is_row:
        value = f"cast({value} as varchar)"
    return {
        "from": path,
        "to": f"`{reference.target}`",
        "cast": "to text" if is_number else "none",
        "0, null or empty": _without(column, is_key),
        "SQL": f"`{_sql(tables, reference.target, value, place, reference.conditions)}`",
    }


def _sql(
    tables: str, target: str, value: str, place: Place, conditions: Mapping[str, Sequence[str]]
) -> str:
    table, _, column = target.partition(".")
    # A table that joins itself needs another name.
    is_own = tables.split()[0] == table
    alias = f"other_{table}" if is_own else table
    joined = f"{table} as {alias}" if is_own else table
    tests = [f"{alias}.{column} = {value}"]
    tests += [
        f"{place.text(name)} in ({', '.join(repr(each) for each in values)})"
        for name, values in conditions.items()
    ]
    return f"select count(*) from {tables} join {joined} on {' and '.join(tests)}"


def _without(column: Schema, is_key: bool) -> str:
    """What the value is if it joins nothing, in the words of the description."""
    parts = column["description"].rstrip(".").split("; ")
    found = [each for each in parts if NOTHING.match(each)]
    if found:
        return "; ".join(found)
    if is_key:
        return "always set"
    return "empty if there is none" if "items" in column else "null if there is none"
