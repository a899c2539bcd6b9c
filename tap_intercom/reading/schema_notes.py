"""What the schema files say beyond JSON Schema. Catalogs and messages do not contain it.

references: the column that an id is of; or each column that it may be of, with the values of other
    fields that say so.
former_id_of: the column that an id was of; its record is gone.
copy_of: the table that has the content of a field, or of all fields of a table.
since: the first API version that fills a field.
x-personal: what a field says of a person: identifier, contact, name, text, location, device or
    file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any

import orjson

from tap_intercom.breadcrumbs import Breadcrumb
from tap_intercom.records.coerce import without_keywords
from tap_intercom.versions import PREVIEW, Version, version_of

NOTES = frozenset({"references", "former_id_of", "copy_of", "since", "x-personal"})

Schema = dict[str, Any]


def annotated_schema(name: str) -> Schema:
    """Return the schema file of a stream, with NOTES."""
    text = (files("tap_intercom") / "schemas" / f"{name}.json").read_bytes()
    schema: Schema = orjson.loads(text)
    return schema


def without_notes(schema: Schema) -> Schema:
    """Return a schema in the words of JSON Schema alone."""
    bare: Schema = without_keywords(schema, NOTES)
    return bare


def of_version(schema: Mapping[str, Any], version: Version) -> Schema:
    """Return an annotated schema without the fields that an API version never fills.

    Intercom may send a field of Preview in other versions before it documents that (API-L2).
    """
    kept = dict(schema)
    if "properties" in schema:
        kept["properties"] = {
            name: of_version(field, version)
            for name, field in schema["properties"].items()
            if version >= first_version(field) or first_version(field) == PREVIEW
        }
    if "items" in schema:
        kept["items"] = of_version(schema["items"], version)
    return kept


def first_version(field: Mapping[str, Any]) -> Version:
    """Return the first API version that fills a field."""
    return version_of(field.get("since", "0.0"))


def copies(
    schema: Mapping[str, Any], is_table: Callable[[str], bool], place: Breadcrumb = ()
) -> Iterator[Breadcrumb]:
    """Yield the places of all fields whose content another table has.

    Of a copied object, these are all fields but its id, which joins the table.

    is_table: whether the API version has a table.
    """
    is_copy = is_table(schema.get("copy_of", ""))
    for name, field in schema.get("properties", {}).items():
        inner = (*place, "properties", name)
        if (is_copy and name != "id") or _is_copied_whole(field, is_table):
            yield inner
        else:
            yield from copies(field, is_table, inner)


def _is_copied_whole(field: Mapping[str, Any], is_table: Callable[[str], bool]) -> bool:
    """Whether a field has no id that would join the table that it copies."""
    return is_table(field.get("copy_of", "")) and "id" not in field.get("properties", {})
