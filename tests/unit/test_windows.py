"""How periods are cut: nothing is left out, nothing is read twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_intercom.times import DAY_SECONDS
from tap_intercom.windows import Span, Window, spans, split, start_of_day

INSTANTS = st.integers(0, 2_000_000_000)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(INSTANTS)
    end = draw(st.none() | st.integers(start + 1, 2_100_000_000))
    return Window(start, end)


@given(
    start=INSTANTS,
    length=st.integers(1, 400_000_000),
    parts=st.integers(0, 100),
    unit=st.sampled_from([1, DAY_SECONDS]),
)
def test_the_parts_of_a_window_are_the_window(
    start: int, length: int, parts: int, unit: int
) -> None:
    pieces = split(Window(start, start + length), parts, unit)
    assert pieces[0].start == start
    assert pieces[-1].end == start + length
    assert len(pieces) <= max(parts, 1)
    for piece, following in pairwise(pieces):
        assert piece.end == following.start
        assert following.start % unit == 0


def test_a_window_of_one_second_cannot_be_cut() -> None:
    assert split(Window(5, 6), 10, 1) == [Window(5, 6)]


def test_an_open_window_cannot_be_cut() -> None:
    assert split(Window(5, None), 10, 1) == [Window(5, None)]


@pytest.mark.parametrize(
    ("wanted", "cuts", "expected"),
    [
        pytest.param({}, [10], [], id="nobody wants anything"),
        pytest.param(
            {"a": [Window(0, None)]},
            [10],
            [Span(Window(0, 10), frozenset("a")), Span(Window(10, None), frozenset("a"))],
            id="closed up to the cut, then open",
        ),
        pytest.param(
            {"a": [Window(20, None)]},
            [10],
            [Span(Window(20, None), frozenset("a"))],
            id="a start after the cut is open at once",
        ),
        pytest.param(
            {"parent": [Window(5, None)], "child": [Window(2, None)]},
            [8],
            [
                Span(Window(2, 5), frozenset(["child"])),
                Span(Window(5, 8), frozenset(["parent", "child"])),
                Span(Window(8, None), frozenset(["parent", "child"])),
            ],
            id="a child with an older bookmark",
        ),
        pytest.param(
            {"a": [Window(0, 3), Window(7, None)]},
            [9],
            [
                Span(Window(0, 3), frozenset("a")),
                Span(Window(7, 9), frozenset("a")),
                Span(Window(9, None), frozenset("a")),
            ],
            id="a missing period, then from the bookmark",
        ),
        pytest.param(
            {"a": [Window(0, 6)]},
            [4, 6, 8],
            [Span(Window(0, 4), frozenset("a")), Span(Window(4, 6), frozenset("a"))],
            id="an end closes the last window",
        ),
    ],
)
def test_windows_of_streams_are_cut_into_spans(
    wanted: dict[str, list[Window]], cuts: list[int], expected: list[Span]
) -> None:
    assert spans(wanted, cuts) == expected


@given(
    wanted=st.dictionaries(
        st.sampled_from("abc"), st.lists(windows(), min_size=1, max_size=3), min_size=1
    ),
    cuts=st.lists(INSTANTS, max_size=3),
    instant=st.integers(0, 2_200_000_000),
)
def test_an_instant_is_read_once_for_just_the_streams_that_want_it(
    wanted: dict[str, list[Window]], cuts: list[int], instant: int
) -> None:
    holding = [span for span in spans(wanted, cuts) if span.window.holds(instant)]
    wanting = {
        name for name, windows in wanted.items() if any(each.holds(instant) for each in windows)
    }
    assert len(holding) == (1 if wanting else 0)
    assert {name for span in holding for name in span.streams} == wanting


@given(INSTANTS)
def test_a_day_starts_at_midnight(instant: int) -> None:
    start = start_of_day(instant)
    assert start % DAY_SECONDS == 0
    assert start <= instant < start + DAY_SECONDS
