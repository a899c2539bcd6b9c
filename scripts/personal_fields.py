"""The personal columns of each stream, and what each mode makes of them: for the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_intercom.breadcrumbs import Breadcrumb, dotted
from tap_intercom.commands.about import Table
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.reading.stream import Stream
from tap_intercom.records.privacy import OTHER_ATTRIBUTES, Rules

Schema = Mapping[str, Any]
# A key is needed to hash; the page says nothing of its value.
MODES = {mode: Rules(mode, "key") for mode in ("keep", "hash", "drop")}


def personal_fields(stream: Stream) -> Table:
    """The personal columns of a stream, named as hash_fields and keep_fields name them."""
    return [
        {
            "column": dotted(place),
            "kind": field["x-personal"],
            **{mode: _result(rules, dotted(place), field) for mode, rules in MODES.items()},
        }
        for place, field in _marked(annotated_schema(stream.name), ())
    ]


def _marked(schema: Schema, place: Breadcrumb) -> Iterator[tuple[Breadcrumb, Schema]]:
    """Yield the outermost fields that have a mark, by their place."""
    for name, field in schema.get("properties", {}).items():
        inner = (*place, "properties", name)
        if "x-personal" in field:
            yield inner, field
        else:
            yield from _marked(field, inner)
    if isinstance(items := schema.get("items"), Mapping):
        yield from _marked(items, (*place, "items"))


def _result(rules: Rules, name: str, field: Schema) -> str:
    fate = rules.fate(name, field["x-personal"])
    if fate == "hash":
        is_list = "array" in field["type"]
        return "a hash of each entry" if is_list else "a hash"
    if fate == "drop" and name == OTHER_ATTRIBUTES:
        return "only attributes of `keep_fields` and `hash_fields`, else null"
    return "as sent" if fate == "keep" else "null"
