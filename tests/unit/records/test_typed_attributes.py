"""Custom attributes that get their types in one call come to the same as each looked at alone."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_intercom.discovery import ATTRIBUTE_TYPES
from tap_intercom.messages import record_line, typed_record_lines
from tap_intercom.records.coerce import compile_record
from tap_intercom.records.coercions import Coercions
from tap_intercom.records.other_attributes import OtherAttributes
from tap_intercom.records.parsing import ImpreciseNumber, parse
from tap_intercom.records.typed_attributes import TypedAttributes
from tap_intercom.records.typed_records import PageParser, TypedRecord
from unit.records.test_coerce import VALUES, everything

FIELD, COLUMN = "custom_attributes", "other_attributes"
# As in catalogs of earlier versions, or made by hand.
ODD_TYPES: dict[str, Any] = {
    "or text": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
    "never null": {"type": "integer"},
    "day": {"type": ["null", "string"], "format": "date"},
    "anything": {},
    'a "column"': {"type": ["null", "integer"]},
}
HTML = "list"
UNTYPED = ("Plan", "plan", 'say "so"')
NAMES = [*ATTRIBUTE_TYPES, *ODD_TYPES, *UNTYPED, "created later"]
USUAL = st.one_of(
    st.none(),
    st.booleans(),
    st.text(),
    st.just("<p>a</p>"),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), st.one_of(USUAL, VALUES))


def schema_of(is_open: bool) -> dict[str, Any]:
    attributes = {
        "type": ["null", "object"],
        "properties": {**ATTRIBUTE_TYPES, **ODD_TYPES},
        "additionalProperties": is_open,
    }
    texts = {"id": {"type": "string"}, COLUMN: {"type": ["null", "string"]}}
    return {"type": "object", "properties": {**texts, FIELD: attributes}}


class Reader:
    """Reads records, and counts what it had to repair."""

    def __init__(self, is_open: bool, deselected: str) -> None:
        def selected(breadcrumb: tuple[str, ...]) -> bool:
            return breadcrumb[-1] != deselected

        schema = schema_of(is_open)
        self.coercions = Coercions("contacts")
        html: dict[str, Any] = {"html_fields": [f"{FIELD}.{HTML}"]}
        self.others = OtherAttributes(
            schema, selected, self.coercions, field=FIELD, untyped=UNTYPED, **html
        )
        rules: dict[str, Any] = {"unknown_fields": "drop", "key_properties": ["id"], **html}
        self.transform = compile_record(schema, selected, self.coercions, **rules)
        self.parser = PageParser(
            schema,
            selected,
            self.coercions,
            nested={},
            records_key="data",
            instant_field="",
            **rules,
        )

    def plain(self, page: bytes) -> bytes:
        # With all digits from the start, as a second attempt would count its repairs twice.
        (record,) = parse(page, exact=True).value["data"]
        self.others.fill(record)
        return record_line(b"{", self.transform(record))

    def typed(self, page: bytes) -> bytes:
        (record,) = self.parser.parse(page).value["data"]
        self.others.fill(record)
        if isinstance(record, TypedRecord):
            return typed_record_lines(b"{", [record.coerce()])
        return record_line(b"{", self.transform(record))


def page_of(attributes: dict[str, Any]) -> bytes:
    return json.dumps({"data": [{"id": "1", FIELD: attributes}]}).encode()


@settings(max_examples=150, deadline=None)
@given(st.lists(ATTRIBUTES, max_size=4), st.booleans(), st.sampled_from([*NAMES, COLUMN]))
def test_both_ways_come_to_the_same(
    records: list[dict[str, Any]], is_open: bool, deselected: str
) -> None:
    plain, typed = Reader(is_open, deselected), Reader(is_open, deselected)
    for attributes in records:
        page = page_of(attributes)
        try:
            line = typed.typed(page)
        except ImpreciseNumber:
            # The page is then parsed again with all digits, and without types.
            return
        assert json.loads(line[1:-2]) == json.loads(plain.plain(page)[1:-2])
    assert typed.others.unknown == plain.others.unknown
    assert typed.coercions.counts == plain.coercions.counts


@pytest.mark.parametrize(
    ("attributes", "written"),
    [
        ({"integer": 5, "date": 0}, {"integer": 5, "date": "1970-01-01T00:00:00Z"}),
        ({"float": 3, "boolean": True, "string": "", "files": None},) * 2,
        ({"Plan": "a", "plan": None},) * 2,
        ({HTML: "<p>a<br>b</p>"}, {HTML: "a\nb"}),
        ({},) * 2,
    ],
)
def test_usual_attributes_get_types(attributes: dict[str, Any], written: dict[str, Any]) -> None:
    reader = Reader(is_open=True, deselected="")
    (record,) = reader.parser.parse(
        json.dumps({"data": [{"id": "1", FIELD: attributes}]}).encode()
    ).value["data"]
    reader.others.fill(record)
    assert isinstance(record[FIELD], TypedAttributes)
    line = json.loads(typed_record_lines(b"", [record.coerce()])[:-2])
    assert line[FIELD] == written
    assert line.get(COLUMN) == ('{"Plan":"a"}' if "Plan" in attributes else None)


def test_attributes_without_a_column_keep_their_order() -> None:
    reader = Reader(is_open=True, deselected="")
    texts = set()
    for names in permutations(UNTYPED):
        (record,) = reader.parser.parse(page_of(dict.fromkeys(names, "a"))).value["data"]
        reader.others.fill(record)
        assert [*json.loads(record[COLUMN])] == [*names]
        texts.add(record[COLUMN])
    assert len(texts) == 6


def test_a_table_without_attributes_has_no_type() -> None:
    schema = {"properties": {FIELD: {"type": ["null", "object"]}}}
    others = OtherAttributes(schema, everything, Coercions("contacts"), field=FIELD, untyped=())
    record: dict[str, Any] = {FIELD: {"a": 1}}
    others.fill(record)
    assert record == {FIELD: {"a": 1}}
