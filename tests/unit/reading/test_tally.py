"""Counts of one pass: when no record can be missing, and when one may be."""

from __future__ import annotations

from typing import Any

import pytest

from tap_intercom.intercom.pages import BrokenOffError
from tap_intercom.reading.tally import PAGE_SIZE, STEPS_THAT_SHOW_ORDER, PassCheck, TailPass

Records = list[dict[str, Any]]


def records(*times: int | None, first: int = 0) -> Records:
    return [{"id": str(number), "updated_at": at} for number, at in enumerate(times, start=first)]


def tally_of(
    *pages: tuple[Records, int | None], newest_first: bool = False, **how: Any
) -> PassCheck:
    tally = PassCheck(newest_first, **how)
    for page, total in pages:
        tally.add(page, total)
    return tally


def ascending(count: int, total: int | None = None) -> PassCheck:
    """A pass over two pages in order of change, with as many records as are counted."""
    half = count // 2
    total = count if total is None else total
    return tally_of(
        (records(*range(half)), total), (records(*range(half, count), first=half), total)
    )


def test_one_page_is_complete_if_it_has_as_many_as_counted() -> None:
    assert tally_of((records(1, 2), 2)).has_all
    assert tally_of((records(1, 2), None)).has_all
    assert not tally_of((records(1, 2), 3)).has_all


def test_several_pages_are_complete_with_exactly_the_counted_records() -> None:
    assert ascending(60).has_all
    assert not ascending(60, total=61).has_all
    assert not ascending(60, total=59).has_all
    # A record that came twice does not stand for another one.
    repeated = tally_of((records(1, 2), 4), (records(1, 2), 4))
    assert repeated.distinct == 2
    assert not repeated.has_all


@pytest.mark.parametrize("total", [None, 1])
def test_without_a_plausible_count_several_pages_prove_nothing(total: int | None) -> None:
    tally = tally_of((records(1, 2), total), (records(3, 4, first=2), 4))
    assert not tally.is_counted
    assert not tally.has_all


def test_a_pass_that_broke_off_is_not_complete() -> None:
    tally = ascending(60)
    tally.broken_off = BrokenOffError("the cursor expired")
    assert tally.is_broken_off
    assert not tally.has_all
    assert not tally.is_complete


def test_order_is_believed_after_many_steps_only() -> None:
    steps = STEPS_THAT_SHOW_ORDER
    assert not ascending(steps).is_sorted
    assert ascending(steps + 1).is_sorted
    # Equal times are no steps.
    assert not tally_of((records(*[5] * 60), 60)).is_sorted


@pytest.mark.parametrize(
    "page",
    [records(*range(50), 10), records(*range(50), None)],
    ids=["one is out of order", "one has no time"],
)
def test_one_record_out_of_order_ends_the_belief(page: Records) -> None:
    assert not tally_of((page, len(page))).is_sorted


def test_pages_must_follow_each_other_in_order() -> None:
    low, high = records(*range(40)), records(*range(40, 80), first=40)
    assert tally_of((low, 80), (high, 80)).is_sorted
    assert not tally_of((high, 80), (low, 80)).is_sorted


def test_newest_first_records_may_move_to_the_front() -> None:
    first = records(*range(80, 40, -1))
    overlapping = records(*range(45, 5, -1), first=35)
    assert tally_of((first, 80), (overlapping, 80), newest_first=True).is_sorted


def test_a_count_that_falls_shows_that_a_record_left() -> None:
    page = records(*range(40))
    assert tally_of((page, 80), (records(*range(40, 80), first=40), 80)).is_steady
    assert not tally_of((page, 80), (records(*range(40, 79), first=40), 79)).is_steady
    assert not tally_of((page, None), (records(*range(40, 80), first=40), 80)).is_steady


def test_records_that_arrive_hide_those_that_left_unless_the_order_is_certain() -> None:
    unsorted = tally_of((records(5, 1), 4), (records(9, 2, first=2), 4))
    assert unsorted.has_all_before(safe=10)
    assert not unsorted.has_all_before(safe=9)
    assert ascending(60).has_all_before(safe=0)
    assert not tally_of((records(5, 1), 5), (records(9, 2, first=2), 5)).has_all_before(safe=10)


def test_two_passes_with_the_same_records_agree() -> None:
    one, same = ascending(60, total=61), ascending(60, total=61)
    assert one.shows_the_same(same)
    assert not one.shows_the_same(None)
    assert not one.shows_the_same(ascending(60, total=62))
    assert not one.shows_the_same(ascending(61, total=61))
    same.broken_off = BrokenOffError("the cursor expired")
    assert not same.shows_the_same(one)


def test_a_list_that_grows_faster_than_it_is_read_is_noticed() -> None:
    tally = PassCheck(newest_first=True)
    for start in range(0, 2 * PAGE_SIZE, 100):
        tally.add(records(*range(100), first=start), 0)
        assert not tally.is_outrun
    tally.add(records(*range(100), first=1000), 0)
    assert tally.is_outrun


def test_many_records_are_told_apart() -> None:
    count = 120_000
    tally = PassCheck()
    tally.add([{"id": str(number % count)} for number in range(count + 5)], count)
    assert tally.distinct == count


# Records that changed while others were read

NOW = 1000


def tail(*page: tuple[str, int, int]) -> TailPass:
    """A pass after the records 1 and 2 came; each record has an id, created_at and updated_at."""
    tally = TailPass(since=NOW - 10, known={hash("1"), hash("2")}, now=NOW)
    tally.add(
        [{"id": i, "created_at": created, "updated_at": at} for i, created, at in page], len(page)
    )
    return tally


def test_a_record_that_did_not_come_before_is_owed_if_it_existed() -> None:
    assert tail(("3", NOW - 1, NOW)).owes_more
    assert not tail(("3", NOW, NOW)).owes_more
    assert not tail(("1", 0, NOW)).owes_more


def test_the_tail_ends_at_a_page_without_owed_records() -> None:
    tally = tail(("3", 0, NOW))
    assert not tally.is_past
    tally.add([{"id": "1", "created_at": 0, "updated_at": NOW - 20}], 2)
    assert tally.is_past
    assert tally.owes_more


@pytest.mark.parametrize(
    ("record_id", "at", "repeats"),
    [("1", NOW - 10, True), ("1", NOW - 9, False), ("3", NOW - 10, False)],
)
def test_a_record_that_did_not_change_is_not_sent_again(
    record_id: str, at: int, repeats: bool
) -> None:
    assert tail().repeats({"id": record_id, "updated_at": at}) == repeats
