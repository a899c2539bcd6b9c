"""Custom attributes without a column, and values that do not fit theirs, are kept as JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_intercom.discovery import ATTRIBUTE_TYPES, attribute_schemas
from tap_intercom.records.coercions import KEPT_IN_OTHER_ATTRIBUTES, Coercions
from tap_intercom.records.other_attributes import OtherAttributes
from tap_intercom.records.parsing import ImpreciseNumber

FIELD, COLUMN = "custom_attributes", "other_attributes"
SCHEMA = {
    "properties": {
        FIELD: {
            "type": ["null", "object"],
            "properties": dict(ATTRIBUTE_TYPES),
            "additionalProperties": True,
        },
        COLUMN: {"type": ["null", "string"]},
    }
}


def others_of(
    *deselected: str, schema: Any = SCHEMA, untyped: tuple[str, ...] = ()
) -> OtherAttributes:
    def selected(breadcrumb: tuple[str, ...]) -> bool:
        return breadcrumb[-1] not in deselected

    return OtherAttributes(schema, selected, Coercions("contacts"), field=FIELD, untyped=untyped)


def filled(others: OtherAttributes, **attributes: Any) -> tuple[dict[str, Any], Any]:
    """What is left in the object before its coercion, and what the column contains."""
    record: dict[str, Any] = {FIELD: attributes}
    others.fill(record)
    text = record.get(COLUMN)
    return record[FIELD], text if text is None else json.loads(text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", {"a": 1}),
        *(("string", each) for each in ("text", "", 5, True)),
        *(("integer", each) for each in (12, -5, 12.0, "12", 2**63 - 1)),
        *(("float", each) for each in (0.5, 3, 1e300, "1.5", "-3", 2**70)),
        *(("boolean", each) for each in (True, False, "true", "false")),
        *(("date", each) for each in (0, 1_700_000_000, -1, 0.5, "2030-01-02")),
        ("files", [{"name": "a.png"}]),
        ("files", []),
        ("integer", None),
    ],
)
def test_value_that_fits_stays(kind: str, value: Any) -> None:
    others = others_of()
    assert filled(others, **{kind: value}) == ({kind: value}, None)
    assert not others.unknown


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("integer", each) for each in ("twelve", "012", "1.0", 1.5, True, [1], 2**63, "")),
        ("integer", {"a": 1}),
        *(("float", each) for each in ("n/a", "1.50", "1e3", False, [0.5], 2**70 + 1, "NaN")),
        *(("boolean", each) for each in (1, 0, "True", "maybe", [True], 0.0)),
        *(("date", each) for each in ("", "31/12/2020", 1_571_672_154_000, True, [1], "12")),
        *(("files", each) for each in ("a.png", 5)),
        ("files", {"name": "a.png"}),
    ],
)
def test_value_that_does_not_fit_is_null_and_kept(kind: str, value: Any) -> None:
    others = others_of()
    assert filled(others, **{kind: value}) == ({kind: None}, {kind: value})
    assert others._coercions.counts == {(f"{FIELD}.{kind}", KEPT_IN_OTHER_ATTRIBUTES): 1}


def test_attribute_without_a_column_is_kept_in_both_and_named() -> None:
    others = others_of(untyped=("Plan",))
    attributes = {"Plan": "a", "created later": {"a": [1.5, None]}, "empty": None, "integer": 1}
    kept = {"Plan": "a", "created later": {"a": [1.5, None]}}
    assert filled(others, **attributes) == (attributes, kept)
    assert others.unknown == {"created later"}


def test_all_are_kept_if_none_has_a_column() -> None:
    schema = {"properties": {**SCHEMA["properties"], FIELD: {"type": ["null", "object"]}}}
    attributes = {"a": 1, "b": "é"}
    assert filled(others_of(schema=schema), **attributes) == (attributes, attributes)


def test_deselected_attribute_is_not_kept() -> None:
    others = others_of("integer")
    assert filled(others, integer="twelve", float="n/a")[1] == {"float": "n/a"}
    assert not others.unknown


def test_without_the_column_values_stay_for_the_usual_coercion() -> None:
    others = others_of(COLUMN)
    assert not others.has_column
    assert filled(others, integer="twelve", later=1) == ({"integer": "twelve", "later": 1}, None)
    assert others.unknown == {"later"}


def test_catalog_that_allows_text_keeps_text_in_place() -> None:
    """As catalogs of earlier versions do."""
    or_text = {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}
    attributes = {"type": ["null", "object"], "properties": {"seats": or_text}}
    schema = {"properties": {**SCHEMA["properties"], FIELD: attributes}}
    for value in ("twelve", 1.5, True, [1]):
        assert filled(others_of(schema=schema), seats=value) == ({"seats": value}, None)


@pytest.mark.parametrize("value", [None, "text", [], 5])
def test_what_is_no_object_is_left_alone(value: Any) -> None:
    record = {FIELD: value}
    others_of().fill(record)
    assert record == {FIELD: value}


def test_text_has_all_digits_and_asks_for_them() -> None:
    others = others_of()
    assert filled(others, later=2**70 + 1)[1] == {"later": 2**70 + 1}
    for name in ("later", "integer"):
        with pytest.raises(ImpreciseNumber):
            filled(others, **{name: [float(2**70)]})


def test_value_that_is_nested_too_deeply_does_not_cost_the_others() -> None:
    nested: Any = "core"
    for _ in range(100_000):
        nested = [nested]
    assert filled(others_of(), deep=nested, later=1)[1] == {"later": 1}


def test_name_with_a_quote_has_no_column() -> None:
    """Some targets write names of columns between quotes without a change."""
    names = ('say "so"', "it's", "100 %")
    attributes = [{"name": name, "data_type": "string"} for name in names]
    assert list(attribute_schemas(attributes)) == ["it's", "100 %"]
