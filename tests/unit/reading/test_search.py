"""Searches: every change of a window is found, and nothing is taken for a neighbour's twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tap_intercom.reading.search import DAY_MARGIN, SearchStream, probe_search
from tap_intercom.reading.stream_run import StreamRun
from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS
from tap_intercom.windows import Window

DAY = 86_400
WINDOW = Window(1_000 * DAY, 1_010 * DAY)
OPEN = Window(1_000 * DAY, None)
CONTACTS, CONVERSATIONS = (
    cast(SearchStream, STREAMS[name]) for name in ("contacts", "conversations")
)


def run_with(**filters: Any) -> StreamRun:
    return cast(StreamRun, SimpleNamespace(settings=Settings(search_filters=filters)))


def bounds(query: dict[str, Any]) -> dict[str, int]:
    """The borders of updated_at in a query without filters."""
    assert query["operator"] == "AND"
    assert {each["field"] for each in query["value"]} == {"updated_at"}
    return {each["operator"]: each["value"] for each in query["value"]}


def test_a_search_by_seconds_begins_before_its_window() -> None:
    query = CONVERSATIONS.query(run_with(), WINDOW)["query"]
    assert bounds(query) == {">": WINDOW.start - 1, "<": WINDOW.end}


def test_a_search_by_days_has_a_margin_on_both_sides() -> None:
    query = CONTACTS.query(run_with(), WINDOW)["query"]
    assert bounds(query) == {">": WINDOW.start - DAY_MARGIN, "<": 1_010 * DAY + DAY_MARGIN}


def test_an_open_window_has_no_end() -> None:
    assert bounds(CONTACTS.query(run_with(), OPEN)["query"]).keys() == {">"}
    assert bounds(CONVERSATIONS.query(run_with(), OPEN)["query"]).keys() == {">"}


def test_no_search_begins_before_1970() -> None:
    for stream in (CONTACTS, CONVERSATIONS):
        assert bounds(stream.query(run_with(), Window(0, 10))["query"])[">"] == 0


@pytest.mark.parametrize(("newest_first", "order"), [(False, "ascending"), (True, "descending")])
def test_results_are_in_the_order_of_change(newest_first: bool, order: str) -> None:
    body = CONTACTS.query(run_with(), WINDOW, newest_first)
    assert body["sort"] == {"field": "updated_at", "order": order}


FILTER = {"field": "role", "operator": "=", "value": "user"}
GROUP = {"operator": "OR", "value": [FILTER, FILTER]}


@pytest.mark.parametrize(
    ("given", "group"), [(FILTER, {"operator": "AND", "value": [FILTER]}), (GROUP, GROUP)]
)
def test_filters_of_the_settings_are_added(given: Any, group: Any) -> None:
    query = CONTACTS.query(run_with(contacts=given), WINDOW)["query"]
    assert query["operator"] == "AND"
    times, filters = query["value"]
    assert times == CONTACTS.query(run_with(), WINDOW)["query"]
    assert filters == group
    # Another stream's filters change nothing.
    assert CONVERSATIONS.query(run_with(contacts=given), WINDOW) == CONVERSATIONS.query(
        run_with(), WINDOW
    )


def test_a_probe_asks_for_one_record() -> None:
    probe = probe_search("/contacts/search")
    assert probe.path == "/contacts/search"
    assert probe.body is not None
    assert probe.body["pagination"] == {"per_page": 1}
