"""Data that a run could not get: counted by stream and kind, with some ids in the log."""

from __future__ import annotations

import logging

import pytest

from tap_intercom.shortfalls import IDS_SHOWN, Shortfalls


def test_cases_are_counted_by_stream_and_kind() -> None:
    shortfalls = Shortfalls()
    shortfalls.add("contacts", "records are gone", "1")
    shortfalls.add("contacts", "records are gone", "2", count=5)
    shortfalls.add("contacts", "records cannot be read", "3")
    shortfalls.add("tickets", "records are gone", "4")
    assert shortfalls.of("contacts") == {"records are gone": 6, "records cannot be read": 1}
    assert shortfalls.of("tickets") == {"records are gone": 1}
    assert shortfalls.of("companies") == {}


@pytest.mark.parametrize("count", [1, IDS_SHOWN - 1, IDS_SHOWN, 3 * IDS_SHOWN])
def test_the_log_shows_every_case_but_not_every_id(
    caplog: pytest.LogCaptureFixture, count: int
) -> None:
    shortfalls = Shortfalls()
    for number in range(count):
        shortfalls.add("contacts", "records are gone", f"id{number}")
    with caplog.at_level(logging.WARNING):
        shortfalls.report()
    (line,) = caplog.messages
    head, ids = line.split(" records are gone: ")
    assert head == f"contacts: {count}"
    shown = [each for each in ids.split(", ") if each != "…"]
    assert shown == [f"id{number}" for number in range(min(count, IDS_SHOWN))]
    assert ids.endswith("…") == (count >= IDS_SHOWN)


def test_each_stream_and_kind_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    shortfalls = Shortfalls()
    shortfalls.add("contacts", "a", "1")
    shortfalls.add("contacts", "b", "2")
    shortfalls.add("tickets", "a", "3")
    with caplog.at_level(logging.WARNING):
        shortfalls.report()
    assert sorted(caplog.messages) == ["contacts: 1 a: 1", "contacts: 1 b: 2", "tickets: 1 a: 3"]
