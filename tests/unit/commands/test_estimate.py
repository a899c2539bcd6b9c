"""The estimate of requests: what Intercom's counts make of each kind of stream."""

from __future__ import annotations

import pytest

from tap_intercom.commands.estimate import (
    CHANGES,
    COUNT,
    REQUESTS_OF_AN_EXPORT,
    Amounts,
    Estimate,
    estimates,
    requests_at_start,
)
from tap_intercom.settings import Settings
from tap_intercom.streams import root_of

DAY = 86_400
NOW = 1_780_000_000
SETTINGS = Settings(start_date=NOW - 365 * DAY)
NONE = Amounts(None, None)


def estimate_of(
    name: str,
    *others: str,
    settings: Settings = SETTINGS,
    is_full: bool = False,
    **amounts: Amounts,
) -> Estimate:
    """The estimate of a stream that is read with others; amounts are those of root streams."""
    full = [name] if is_full else []
    found = estimates([name, *others], full, lambda root: amounts.get(root, NONE), settings, NOW)
    return {each.stream: each for each in found}[name]


def test_a_list_without_pages_is_one_request() -> None:
    assert estimate_of("tags", tags=Amounts(5000, 5000)) == Estimate("tags", 1, 1)


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (150, 1), (151, 4), (300, 4), (301, 6)])
def test_a_list_with_several_pages_is_read_twice(count: int, requests: int) -> None:
    found = estimate_of("collections", collections=Amounts(count, count))
    assert found.first_run == requests


def test_a_search_needs_more_requests_for_more_records() -> None:
    few, many = (
        estimate_of("conversations", conversations=Amounts(count, count, 10, 10))
        for count in (1_000, 100_000)
    )
    assert few.first_run < many.first_run
    assert many.first_run >= 100_000 / 150
    assert many.next_run < few.first_run
    assert not many.not_known


def test_a_full_read_costs_the_same_each_time() -> None:
    amounts = Amounts(100_000, 100_000, 10, 10)
    found = estimate_of("conversations", is_full=True, conversations=amounts)
    assert found.next_run == found.first_run
    assert CHANGES not in found.not_known


def test_a_child_costs_a_request_for_each_parent_that_changed() -> None:
    amounts = Amounts(total=500, first=400, changed=30, returned=40)
    found = estimate_of("contact_notes", contacts=amounts)
    assert (found.first_run, found.next_run) == (400, 30)


def test_what_intercom_does_not_count_is_told() -> None:
    assert COUNT in estimate_of("contact_notes").not_known
    assert CHANGES in estimate_of("contact_notes", contacts=Amounts(500, 400)).not_known


def test_exports_cost_jobs_for_each_window() -> None:
    year, week = (
        estimate_of(
            "content_export_receipt",
            settings=Settings(start_date=NOW - days * DAY, export_lookback_days=5),
        )
        for days in (365, 7)
    )
    assert week.first_run == REQUESTS_OF_AN_EXPORT
    assert year.first_run % REQUESTS_OF_AN_EXPORT == 0
    assert year.first_run > week.first_run
    assert year.next_run == week.next_run == REQUESTS_OF_AN_EXPORT


def test_parents_that_are_read_for_a_stream_are_estimated_too() -> None:
    found = estimates(["conversation_parts"], [], lambda root: NONE, SETTINGS, NOW)
    assert {each.stream for each in found} == {
        "conversation_parts",
        root_of("conversation_parts"),
    }


@pytest.mark.parametrize(
    ("names", "version", "requests"),
    [(["tags"], "2.16", 1), (["conversations"], "2.16", 2), (["conversations"], "2.9", 1)],
)
def test_a_run_begins_with_one_or_two_requests(
    names: list[str], version: str, requests: int
) -> None:
    assert requests_at_start(names, Settings(api_version=version)) == requests
