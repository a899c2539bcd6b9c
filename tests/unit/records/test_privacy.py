"""Personal fields become hashes or null, and their columns say so."""

from __future__ import annotations

import hashlib
import hmac
import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator  # type: ignore[import-untyped]

from tap_intercom.breadcrumbs import dotted
from tap_intercom.messages import record_line, typed_record_lines
from tap_intercom.records.coerce import Selected, prune_schema
from tap_intercom.records.parsing import Parsed, parse
from tap_intercom.records.privacy import Hasher, Rules, normal_contact, private
from tap_intercom.records.typed_records import TypedRecord
from unit.records.test_coerce import NAMES, SCHEMA_COLUMNS, VALUES, all_but, with_properties
from unit.records.test_typed_records import Table, fields_of, numbers, outcome, usual

KEY = "key"
TEXT = {"type": ["null", "string"]}
MARKS: dict[str, Any] = {
    "properties": {
        "id": {"type": "string"},
        "email": {**TEXT, "x-personal": "contact"},
        "body": {**TEXT, "x-personal": "text"},
        "custom_attributes": {"type": ["null", "object"], "x-personal": "text"},
        "other_attributes": {**TEXT, "x-personal": "text"},
        "tags": {"items": {"properties": {"by": {**TEXT, "x-personal": "name"}}}},
    }
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "email": TEXT,
        "body": TEXT,
        "custom_attributes": {
            "type": ["null", "object"],
            "properties": {"plan": TEXT, "nick": TEXT},
            "additionalProperties": True,
        },
        "other_attributes": TEXT,
        "tags": {"type": "array", "items": {"type": "object", "properties": {"by": TEXT}}},
    },
}


def record() -> dict[str, Any]:
    return {
        "id": "1",
        "email": " Ada@Example.com ",
        "body": "secret",
        "custom_attributes": {"plan": "pro", "nick": "ace", "new": "x"},
        "other_attributes": '{"plan":"pro","odd":1}',
        "tags": [{"by": "Ada"}],
        "unknown": "secret",
    }


def expected(text: str, key: str = KEY) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("key", ["k", "x" * 64, "ä" * 100])
@pytest.mark.parametrize("text", ["", "ada", "é"])
def test_hashes_are_hmac_sha256(key: str, text: str) -> None:
    assert Hasher(key).text(text) == expected(text, key)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (" Ada@Example.COM", "ada@example.com"),
        ("+44 (20) 123-4", "44201234"),
        (" Example.com ", "example.com"),
    ],
)
def test_contacts_are_compared_without_their_spelling(text: str, same: str) -> None:
    assert normal_contact(text) == same


def test_hash_keeps_what_joins_and_empties_the_rest() -> None:
    found = private(SCHEMA, MARKS, Rules("hash", KEY), keys=["id"])
    assert found.apply(record()) == {
        "id": "1",
        "email": expected("ada@example.com"),
        "body": None,
        "custom_attributes": None,
        "other_attributes": None,
        "tags": [{"by": expected("Ada")}],
    }
    assert found.schema["properties"]["email"] == TEXT
    assert (found.hashed, found.emptied) == (2, 3)


def test_drop_empties_all() -> None:
    found = private(SCHEMA, MARKS, Rules("drop", ""), keys=["id"]).apply(record())
    assert found == {**dict.fromkeys(SCHEMA["properties"]), "id": "1", "tags": [{"by": None}]}


def test_patterns_choose_fields_and_custom_attributes() -> None:
    rules = Rules("drop", KEY, ["email", "custom_attributes.nick"], ["custom_attributes.plan"])
    found = private(SCHEMA, MARKS, rules, keys=["id"]).apply(record())
    assert found["email"] == expected("ada@example.com")
    assert found["custom_attributes"] == {"plan": "pro", "nick": expected("ace")}
    assert found["other_attributes"] == '{"plan":"pro"}'


OPEN = {"type": ["null", "object"], "additionalProperties": True}


def test_patterns_reach_into_an_object_of_which_the_catalog_says_nothing() -> None:
    schema = {"properties": {"id": {"type": "string"}, "custom_attributes": OPEN}}
    rules = Rules("keep", KEY, ["custom_attributes.nick"])
    found = private(schema, MARKS, rules, keys=["id"])
    attributes = {**record()["custom_attributes"], "nick": expected("ace")}
    assert found.apply(record())["custom_attributes"] == attributes
    assert found.schema["properties"]["custom_attributes"] == OPEN
    rules = Rules("drop", KEY, (), ["custom_attributes.plan"])
    found = private(schema, MARKS, rules, keys=["id"])
    assert found.apply(record())["custom_attributes"] == {"plan": "pro"}


@pytest.mark.parametrize(
    "marks",
    [{}, {"x-personal": "text"}, {"additionalProperties": True}],
    ids=["public", "personal", "open"],
)
def test_patterns_reach_into_objects_inside(marks: dict[str, Any]) -> None:
    rules = Rules("keep", KEY, ["source.author.email", "source.all.email"])
    people = {"author": {"email": "a", "id": "1"}, "all": [{"email": "a"}, "a"]}
    found = private(
        {"properties": {"source": OPEN}}, {"properties": {"source": marks}}, rules, keys=[]
    )
    assert found.apply({"source": people})["source"] == {
        "author": {"email": expected("a"), "id": "1"},
        "all": [{"email": expected("a")}, "a"],
    }


def test_patterns_reach_into_a_personal_list() -> None:
    marks = {"properties": {"tags": {"x-personal": "text"}}}
    tags = [{"by": "Ada", "at": "1"}, None]
    schema = deepcopy(SCHEMA["properties"]["tags"])
    schema["items"]["properties"]["at"] = TEXT
    for rules, expected_tags in (
        (Rules("keep", KEY, ["tags.by"]), [{"by": expected("Ada"), "at": "1"}, None]),
        (Rules("drop", KEY, (), ["tags.at"]), [{"by": None, "at": "1"}, None]),
        (Rules("drop", KEY), None),
    ):
        found = private({"properties": {"tags": schema}}, marks, rules, keys=[])
        assert found.apply({"tags": deepcopy(tags)}) == {"tags": expected_tags}


def test_hash_fields_alone_leave_the_rest() -> None:
    found = private(SCHEMA, MARKS, Rules("keep", KEY, ["tags.by"]), keys=["id"]).apply(record())
    assert found == {**record(), "tags": [{"by": expected("Ada")}]}


def test_a_catalog_that_does_not_say_what_is_inside_gives_nothing_away() -> None:
    for field in ({}, {"type": ["object", "null"]}, {"type": ["null", "array"]}):
        schema = {"properties": {"id": {"type": "string"}, "tags": field}}
        found = private(schema, MARKS, Rules("hash", KEY), keys=["id"]).apply(record())
        assert found == {"id": "1", "tags": None}


def test_drop_leaves_keys_as_they_are() -> None:
    found = private(SCHEMA, MARKS, Rules("drop", ""), keys=["id", "email"]).apply(record())
    assert found["email"] == record()["email"]


KINDS = ("identifier", "contact", "name", "text", "location", "device", "file")


class PrivateTable(Table):
    """A table whose personal fields change, both ways."""

    def __init__(
        self, properties: dict[str, Any], selected: Selected, marks: Any, rules: Rules
    ) -> None:
        super().__init__(properties, selected)
        self.schema = prune_schema(with_properties(id={"type": "string"}, **properties), selected)
        self.private = private(self.schema, marks, rules, keys=["id"])

    def _fitted(self, parsed: Parsed) -> list[Any]:
        records = parsed.value["data"]
        if records and isinstance(records[0], TypedRecord):
            changed = (self.private.coerce(each) for each in records)
            lines = typed_record_lines(b"{", changed)
            return [json.loads(line[1:-1]) for line in lines.splitlines()]
        return [self._line(self.private.apply(self.transform(each))) for each in records]

    def _fitted_plainly(self, parsed: Parsed) -> list[Any]:
        records = parsed.value["data"]
        return [self._line(self.private.apply(self.plain_transform(each))) for each in records]

    @staticmethod
    def _line(record: Any) -> Any:
        return json.loads(record_line(b"", record)[:-2])

    def kept(self, content: bytes) -> list[Any]:
        """The records before their personal fields change."""
        return super()._fitted_plainly(parse(content, exact=True))


def marked(draw: st.DrawFn, schema: Any) -> Any:
    """The schema file that belongs to a schema: some fields are marked, some are not there."""
    for name, field in list(schema.get("properties", {}).items()):
        fate = draw(st.sampled_from(["plain", "plain", "marked", "absent"]))
        if fate == "absent":
            del schema["properties"][name]
        elif isinstance(field, dict):
            if fate == "marked":
                field["x-personal"] = draw(st.sampled_from(KINDS))
            marked(draw, field)
    if isinstance(schema.get("items"), dict):
        marked(draw, schema["items"])
    return schema


@st.composite
def private_tables(draw: st.DrawFn) -> tuple[PrivateTable, list[dict[str, Any]]]:
    properties = draw(st.dictionaries(NAMES, SCHEMA_COLUMNS, min_size=1, max_size=4))
    fields = [*fields_of(with_properties(**properties), ())]
    deselected = draw(st.sets(st.sampled_from(fields), max_size=2))
    patterns = st.lists(st.sampled_from([*map(dotted, fields), "*"]), max_size=2)
    rules = Rules(
        draw(st.sampled_from(["keep", "hash", "drop"])), "key", draw(patterns), draw(patterns)
    )
    marks = marked(draw, deepcopy(with_properties(**properties)))
    values = {name: usual(column) for name, column in properties.items()}
    record = st.fixed_dictionaries({"id": st.just("1")}, optional=values)
    odd = st.dictionaries(NAMES, VALUES, max_size=3).map(lambda each: {"id": "1", **each})
    records = draw(st.lists(record | odd, min_size=1, max_size=3))
    return PrivateTable(properties, all_but(*deselected), marks, rules), records


@settings(max_examples=100, deadline=None)
@given(private_tables())
def test_both_ways_give_the_same_private_record(
    drawn: tuple[PrivateTable, list[dict[str, Any]]],
) -> None:
    table, records = drawn
    note(table.schema)
    content = json.dumps({"type": "list", "data": records}).encode()
    is_equal = all(abs(number) < 2**63 for number in numbers(records))
    found = outcome(table.read, content)
    plain = outcome(table.read_plainly, content)
    assert found == plain or not is_equal
    if isinstance(plain, type):
        return
    is_valid, was_valid = validator(table.private.schema), validator(table.schema)
    for line, before in zip(plain, table.kept(content), strict=True):
        assert is_valid(json.loads(line)) or not was_valid(before)


def validator(schema: Any) -> Any:
    return Draft4Validator(schema).is_valid
