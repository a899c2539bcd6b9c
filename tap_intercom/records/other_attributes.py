"""Keep the custom attributes that have no column, and the values that do not fit their column.

Targets that flatten give each attribute of the schema a column with one type. They drop attributes
that the schema does not have, and refuse values of other types. So such values also go into one
text column of the record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tap_intercom.records.coerce import Breadcrumb, CoercionError, Column, Selected, compile_fields
from tap_intercom.records.coercions import KEPT_IN_OTHER_ATTRIBUTES, Coercions
from tap_intercom.records.parsing import exact_json
from tap_intercom.records.typed_records import TypedRecord

OTHER_ATTRIBUTES = "other_attributes"


class OtherAttributes:
    """Fills the column for other attributes of one table.

    field: the field that contains the custom attributes.
    untyped: attributes that discovery found and cannot give a column.
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
        self._deselected = attributes.keys() - self._columns.keys()
        self._untyped = frozenset(untyped)
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
        others = {}
        for name, value in attributes.items():
            column = self._columns.get(name)
            if value is None or (column is not None and type(value) in column.passes):
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
        if others and self.has_column:
            record[OTHER_ATTRIBUTES] = _text(others)


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
