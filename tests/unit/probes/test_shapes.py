"""The shape of an answer says nothing of what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from intercom_sandbox.sample import generate
from tap_intercom.probes.shapes import known_names, merged, names_of_free_objects, shape_of
from tap_intercom.streams import STREAMS

MARK = "M4rk3d"
MARKED_NUMBER = 7_654_321


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (None, "null"),
        (True, "boolean"),
        (1_700_000_000, "integer of 10 digits"),
        (-5, "integer of 1 digits"),
        (1.5, "number"),
        ("", "empty text"),
        ("Ada", "text"),
        ("12", "text of digits"),
        ("2026-01-31T12:00:00Z", "text of a time"),
        ("https://example.com/a", "text of an address"),
        ([], {"entries": "0", "each": []}),
        ([1, "a"], {"entries": "2", "each": ["integer of 1 digits", "text"]}),
        ({"id": "a", "email": None}, {"id": "text", "email": "null"}),
    ],
)
def test_a_value_becomes_a_word(value: Any, shape: Any) -> None:
    assert shape_of(value) == shape


def test_entries_of_a_list_share_one_shape() -> None:
    shape = shape_of([{"id": "a"}, {"id": 1, "name": "b"}])
    assert shape == {
        "entries": "2",
        "each": {"id": ["integer of 1 digits", "text"], "name": "text"},
    }


def test_words_beside_fields_stay() -> None:
    assert merged(["null", {"id": "text"}]) == {"id": "text", "or": ["null"]}


def test_names_that_somebody_chose_become_positions() -> None:
    value = {"custom_attributes": {"email": "a", "Secret plan": {"id": 1}}, "Salary": 3}
    assert shape_of(value) == {
        "custom_attributes": {"name 1": "text", "name 2": {"name 1": "integer of 1 digits"}},
        "name 1": "integer of 1 digits",
    }


def test_entries_of_a_list_that_somebody_named_are_only_counted() -> None:
    assert shape_of({"custom_attributes": [{"email": 1}]}) == {
        "custom_attributes": {"entries": "1"}
    }


def test_objects_that_schemas_leave_open_have_no_names() -> None:
    assert {"custom_attributes", "metadata"} <= names_of_free_objects()
    assert {"updated_at", "total_count"} <= known_names()


def marked(value: Any, is_free: bool = False) -> Any:
    """The value with a mark in each member, and in the names that somebody chose."""
    match value:
        case dict():
            free = names_of_free_objects()
            return {
                f"{MARK} {name}" if is_free else name: marked(each, is_free or name in free)
                for name, each in value.items()
            }
        case list():
            return [marked(each, is_free) for each in value]
        case bool() | None:
            return value
        case int() | float():
            return MARKED_NUMBER
    return f"{MARK} {value}"


def records() -> Iterator[tuple[str, Any]]:
    workspace = generate(seed=1, contacts=9, companies=6, conversations=8, parts=20, tickets=5)
    for stream in STREAMS:
        try:
            found = workspace.truth(stream)
        except (KeyError, ValueError):
            continue  # rows of files, which are no JSON
        if found:
            yield stream, found


RECORDS = dict(records())


@pytest.mark.parametrize("stream", RECORDS)
def test_no_value_of_a_record_is_in_its_shape(stream: str) -> None:
    text = json.dumps(marked(RECORDS[stream]))
    assert MARK in text or str(MARKED_NUMBER) in text
    shape = json.dumps(shape_of(marked(RECORDS[stream])))
    assert MARK not in shape
    assert str(MARKED_NUMBER) not in shape


def test_the_records_of_most_tables_are_marked() -> None:
    assert len(RECORDS) > len(STREAMS) / 2
