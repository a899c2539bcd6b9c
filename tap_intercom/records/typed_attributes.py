"""Types for the custom attributes of a record, so that one call checks all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from tap_intercom.records.coerce import Column, Schema
from tap_intercom.records.plain_text import plain_text
from tap_intercom.records.typed_records import (
    FIELD_NAME,
    INSTANT,
    SIMPLE_TYPES,
    TypedRecord,
    make_type,
)
from tap_intercom.times import HOUR_TEXTS, SECOND_TEXTS

_OF_OBJECT = {"type", "properties", "additionalProperties", "description", "title"}
_OF_ATTRIBUTE = {"type", "format", "description", "title"}
# Values that stay as they are without a schema.
_OF_UNTYPED = str | bool | None


class TypedAttributes(TypedRecord):
    """Custom attributes of one record. An attribute that the record does not have is unset.

    times, html: the attribute of each field that is Unix seconds, or HTML, until `coerce`.
    """

    times: ClassVar[Sequence[str]] = ()
    html: ClassVar[Sequence[str]] = ()

    def coerce(self) -> TypedRecord:
        """Make texts of the times and of the HTML in place, and return the attributes."""
        for attribute in self.times:
            seconds = getattr(self, attribute)
            if type(seconds) is int:
                text = HOUR_TEXTS[seconds // 3600] + SECOND_TEXTS[seconds % 3600]
                setattr(self, attribute, text)
        for attribute in self.html:
            text = getattr(self, attribute)
            if type(text) is str:
                setattr(self, attribute, plain_text(text))
        return self


def type_of_attributes(
    schema: Any, columns: Mapping[str, Column], untyped: Collection[str], html: Collection[str]
) -> type[TypedAttributes] | None:
    """Return a type whose values fit the schema as they are; None if it would not be worth it.

    Convert to it with `strict`, so that a number as text stays for those who keep its digits. An
    attribute with another schema than those of discovery may only be null.

    columns: the selected attributes of the schema.
    untyped: attributes without a schema.
    html: attributes whose HTML becomes plain text.
    """
    if not isinstance(schema, Mapping) or schema.keys() - _OF_OBJECT:
        return None
    attributes = schema.get("properties") or {}
    types: dict[str, Any] = {
        name: _type_of(attributes[name], column.is_nullable) for name, column in columns.items()
    }
    if not types:
        return None
    if schema.get("additionalProperties") is True:
        types |= dict.fromkeys(untyped, _OF_UNTYPED)
    fields = {
        name: (type_ | msgspec.UnsetType, msgspec.UNSET)
        for name, type_ in types.items()
        if FIELD_NAME.fullmatch(name)
    }
    found: type[TypedAttributes] = make_type(fields, base=TypedAttributes)
    found.times = [
        attribute for name, attribute in found.attributes.items() if types[name] == INSTANT
    ]
    found.html = [found.attributes[name] for name in html if name in found.attributes]
    return found


def _type_of(schema: Schema, is_nullable: bool) -> Any:
    if not is_nullable:
        return msgspec.UnsetType
    if isinstance(schema, Mapping) and not schema.keys() - _OF_ATTRIBUTE:
        (name, *others) = sorted({*_listed(schema.get("type"))} - {"null"}) or [""]
        if not others and "format" not in schema and name in SIMPLE_TYPES:
            return SIMPLE_TYPES[name] | None
        if not others and name == "string" and schema.get("format") == "date-time":
            return INSTANT
    return type(None)


def _listed(types: Any) -> Sequence[str]:
    return [types] if isinstance(types, str) else types or []
