"""The ids in a table, from what its schema file says of the columns that they join."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Schema = Mapping[str, Any]


class Holder(NamedTuple):
    """An object, or a list of objects, that holds a field."""

    name: str
    is_list: bool


class Reference(NamedTuple):
    """A field with an id, and one column that it may be the id of.

    holders: what holds the field, from the row inwards.
    conditions: the values of fields beside it that say so.
    is_former: whether the record of the id is gone, so nothing joins.
    """

    holders: tuple[Holder, ...]
    name: str
    field: Schema
    target: str
    conditions: Mapping[str, Sequence[str]]
    is_former: bool = False


def references_of(schema: Schema, holders: tuple[Holder, ...] = ()) -> Iterator[Reference]:
    """Yield the references of an object, and of all objects inside it."""
    for name, field in schema.get("properties", {}).items():
        targets = field.get("references", {})
        if isinstance(targets, str):
            targets = {targets: {}}
        for target, conditions in targets.items():
            yield Reference(holders, name, field, target, conditions)
        if "former_id_of" in field:
            yield Reference(holders, name, field, field["former_id_of"], {}, is_former=True)
        if "properties" in field:
            yield from references_of(field, (*holders, Holder(name, is_list=False)))
        elif "properties" in field.get("items", {}):
            yield from references_of(field["items"], (*holders, Holder(name, is_list=True)))
