"""What all streams share: the records of an answer, their times, and keys for those without one."""

from __future__ import annotations

from typing import Any

import pytest

from tap_intercom.errors import ContractError
from tap_intercom.reading.stream import (
    columns_of,
    instant_of,
    list_of,
    load_schema,
    record_hash,
    times_of_change,
    updated_at,
)
from tap_intercom.records.parsing import ImpreciseNumber
from tap_intercom.streams import STREAMS


def test_the_records_of_an_answer_are_a_list_of_objects() -> None:
    assert list_of({"data": [{"id": "1"}]}, "data", "/x") == [{"id": "1"}]
    assert list_of({"data": []}, "data", "/x") == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "has no list 'data', so records may be missing"),
        ({"data": None}, "has no list 'data'"),
        ({"data": {}}, "has no list 'data'"),
        ({"data": [{"id": "1"}, None]}, "contains an entry that is not a record"),
        ({"data": ["1"]}, "contains an entry that is not a record"),
    ],
)
def test_another_answer_is_an_error(body: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContractError, match=f"^/x: .*{reason}"):
        list_of(body, "data", "/x")


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (1_767_225_600, 1_767_225_600),
        ("2026-01-01T00:00:00Z", 1_767_225_600),
        ("2026-01-01T00:00:00.999Z", 1_767_225_600),
        ("2026-01-01T02:00:00+02:00", 1_767_225_600),
        ("1969-12-31T23:59:59.5Z", -1),
        ("soon", None),
        (None, None),
        ([], None),
    ],
)
def test_times_are_whole_seconds(value: Any, instant: int | None) -> None:
    assert instant_of(value) == instant


def test_times_of_change_are_those_that_are_numbers() -> None:
    records: list[dict[str, Any]] = [
        {"updated_at": 5},
        {"updated_at": None},
        {},
        {"updated_at": "6"},
    ]
    assert times_of_change(records) == [5, None, None, None]
    assert times_of_change(records[:1]) == [5]
    assert [updated_at(each) for each in records] == [5, None, None, None]


def test_records_without_a_key_are_told_apart_by_their_values() -> None:
    one = record_hash(["contact", 5, {"a": 1, "b": [2]}])
    assert one == record_hash(["contact", 5, {"b": [2], "a": 1}])
    assert len({one, record_hash(["contact", 6, {}]), record_hash(["contact", "5", {}])}) == 3
    with pytest.raises(ImpreciseNumber):
        record_hash([1e19])


def test_every_stream_has_its_schema_with_its_key() -> None:
    for name, stream in STREAMS.items():
        assert set(stream.key_properties) <= load_schema(name)["properties"].keys(), name


def test_an_entry_gives_its_columns_by_their_names() -> None:
    entry = {"id": "1", "name": "VIP", "url": "/tags/1"}
    columns = {"tag_id": "id", "tag_name": "name", "applied_at": "applied_at"}
    assert columns_of(entry, columns) == {"tag_id": "1", "tag_name": "VIP", "applied_at": None}
    copy = columns_of(entry, {})
    assert copy == entry
    assert copy is not entry
