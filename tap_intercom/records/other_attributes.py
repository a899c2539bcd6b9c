"""Keep the custom attributes that have no column, and the values that do not fit their column.

Targets that flatten give each attribute of the schema a column with one type. They drop attributes
that the schema does not have, and refuse values of other types. So such values also go into one
text column of the record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from tap_intercom.records.coerce import Breadcrumb, CoercionError, Column, Selected, compile_fields
from tap_intercom.records.coercions import KEPT_IN_OTHER_ATTRIBUTES, Coercions
from tap_intercom.records.parsing import FIRST_UNSAFE_INTEGER, exact_json
from tap_intercom.records.typed_attributes import type_of_attributes
from tap_intercom.records.typed_records import TypedRecord
from tap_intercom.times import FIRST_SECOND, LAST_SECOND

OTHER_ATTRIBUTES = "other_attributes"
_KEYWORDS = {"type", "format", "description", "title"}


class OtherAttributes:
    """Fills the column for other attributes of one table.

    field: the field that contains the custom attributes.
    untyped: attributes that discovery found and cannot give a column.
    html_fields: the dotted paths of texts whose HTML becomes plain text.
    unknown: attributes with values that neither the schema nor `untyped` contains, once found.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        selected: Selected,
        coercions: Coercions,
        *,
        field: str,
        untyped: Collection[str],
        html_fields: Collection[str] = (),
    ) -> None:
        def selected_inside(breadcrumb: Breadcrumb) -> bool:
            return selected(("properties", field, *breadcrumb))

        properties = schema["properties"]
        attributes = properties[field].get("properties") or {}
        self._field = field
        self._coercions = coercions
        self._columns = compile_fields(
            properties[field], selected_inside, _Unnoted(coercions.stream)
        ).columns
        # Most values that are not text are such integers; a comparison costs less than a coercion.
        self._integers = {
            name: found
            for name in self._columns
            if (found := _integers_of(attributes[name])) is not None
        }
        self._deselected = attributes.keys() - self._columns.keys()
        self._untyped = frozenset(untyped)
        html = [name for name in attributes if f"{field}.{name}" in html_fields]
        self._type = type_of_attributes(properties[field], self._columns, untyped, html)
        self.has_column = OTHER_ATTRIBUTES in properties and selected(
            ("properties", OTHER_ATTRIBUTES)
        )
        self.unknown: set[str] = set()

    def fill(self, record: dict[str, Any] | TypedRecord) -> None:
        """Keep the values of a record that have no column or do not fit it, before its coercion.

        Raises ImpreciseNumber, see `parse`.
        """
        attributes = record.get(self._field)
        if type(attributes) is not dict:
            return
        others = self._untyped_only(record, attributes)
        if others is None:
            others = self._checked(attributes)
        if others and self.has_column:
            record[OTHER_ATTRIBUTES] = _text(others)

    def _untyped_only(
        self, record: dict[str, Any] | TypedRecord, attributes: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Give types to the attributes of a typed record, and return those without a column.

        Return None if one of them does not fit.
        """
        if self._type is None or not isinstance(record, TypedRecord):
            return None
        try:
            record[self._field] = msgspec.convert(attributes, self._type).coerce()
        except msgspec.ValidationError:
            return None
        # In the order of Intercom, as a set has another order in each run.
        return {
            name: value
            for name, value in attributes.items()
            if name in self._untyped and value is not None
        }

    def _checked(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Check each attribute, and return those without a column or that do not fit it."""
        others = {}
        for name, value in attributes.items():
            column = self._columns.get(name)
            if value is None or (column is not None and type(value) in column.passes):
                continue
            if type(value) is int and name in self._integers and value in self._integers[name]:
                continue
            if column is None:
                if name in self._deselected:
                    continue
                if name not in self._untyped:
                    self.unknown.add(name)
                others[name] = value
            elif self.has_column and not _fits(value, column):
                self._coercions.add(f"{self._field}.{name}", KEPT_IN_OTHER_ATTRIBUTES)
                others[name] = value
                attributes[name] = None
        return others


def _integers_of(schema: Any) -> range | None:
    """Return the integers that fit the schema of an attribute, if it has one type only."""
    if not isinstance(schema, Mapping) or schema.keys() - _KEYWORDS:
        return None
    types = {*schema.get("type", ())} - {"null"}
    if types == {"string"} and schema.get("format") == "date-time":
        return range(FIRST_SECOND, LAST_SECOND + 1)
    if types in ({"integer"}, {"number"}):
        return range(-FIRST_UNSAFE_INTEGER, FIRST_UNSAFE_INTEGER)
    return None


def _fits(value: Any, column: Column) -> bool:
    """Whether a column keeps all of a value. Text columns accept the text of any value."""
    if str in column.passes:
        return True
    if type(value) is bool:
        return False
    try:
        coerced = column.coerce(value)
    except CoercionError:
        return False
    if type(value) is str:
        # 1.5 fits as text too, but 01.50 would lose its digits. A number as text may be no time.
        is_scalar = isinstance(coerced, (int, float)) or _is_number(value)
        return not is_scalar or exact_json(coerced).decode() == value
    if type(coerced) is bool:
        return False
    return not isinstance(coerced, (int, float)) or bool(coerced == value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(attributes: Mapping[str, Any]) -> str | None:
    """Return the JSON text of the attributes, without those that are nested too deeply for it."""
    try:
        return exact_json(attributes).decode()
    except RecursionError:
        members = []
    for name, value in attributes.items():
        try:
            members.append(f"{exact_json(name).decode()}:{exact_json(value).decode()}")
        except RecursionError:
            continue
    return "{" + ",".join(members) + "}" if members else None


class _Unnoted(Coercions):
    """Ignores what is tried and not written."""

    def add(self, field: str, kind: str, count: int = 1) -> None:
        pass
