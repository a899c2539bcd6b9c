"""The budget, as pure functions and with a clock that only the test moves."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from email.utils import formatdate
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_intercom.intercom.rate_limit import (
    SHORTEST_REST_SECONDS,
    WINDOW_SECONDS,
    RateLimit,
    RateLimitStatus,
    allowed_interval,
    next_turn,
    read_headers,
    seconds_to_wait,
)

DATE = "Tue, 24 Nov 2026 12:00:00 GMT"
NOON = 1795521600


class Clock:
    """A clock that a sleep moves, as if nothing else took time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def headers(limit: int, remaining: int, reset: float, date: str = DATE) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
        "Date": date,
    }


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        pytest.param(NOON + 7, 7.0, id="within the window"),
        pytest.param(NOON - 3, 0.0, id="already over"),
        pytest.param(NOON + 86_400, WINDOW_SECONDS, id="a day ahead is no window"),
    ],
)
def test_the_window_ends_by_the_answers_own_clock(reset: int, expected: float) -> None:
    assert read_headers(headers(166, 100, reset)) == RateLimitStatus(166, 100, expected, reset)


@pytest.mark.parametrize(
    "given_headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "5"}, id="no reset"),
        pytest.param(headers(10, 5, NOON) | {"X-RateLimit-Limit": "many"}, id="no number"),
    ],
)
def test_headers_that_tell_nothing(given_headers: dict[str, str]) -> None:
    assert read_headers(given_headers) is None


@pytest.mark.parametrize(
    ("given_headers", "expected"),
    [
        pytest.param({"Retry-After": "3"}, 3.0, id="retry-after"),
        pytest.param({"Retry-After": "3600"}, 60.0, id="retry-after is bounded"),
        pytest.param({"Retry-After": "1e9"}, 60.0, id="a huge number is bounded"),
        pytest.param(
            {"Retry-After": "Tue, 24 Nov 2026 12:00:07 GMT", "Date": DATE}, 7.0, id="a date"
        ),
        pytest.param(
            {"Retry-After": "Tue, 24 Nov 2026 12:00:07 -0000", "Date": DATE}, 7.0, id="-0000"
        ),
        pytest.param({"Retry-After": "Tue, 24 Nov 2099 12:00:07 GMT"}, 60.0, id="a far date"),
        pytest.param({"Retry-After": "Tue, 24 Nov 1999 12:00:07 GMT"}, 0.0, id="a past date"),
        pytest.param({"Retry-After": "-5"}, WINDOW_SECONDS, id="negative"),
        pytest.param({"Retry-After": "nan"}, WINDOW_SECONDS, id="nan"),
        pytest.param({"Retry-After": "inf"}, WINDOW_SECONDS, id="inf"),
        pytest.param({"Retry-After": "soon"}, WINDOW_SECONDS, id="a word"),
        pytest.param({"Retry-After": ""}, WINDOW_SECONDS, id="empty"),
        pytest.param(headers(10, 0, NOON + 4), 4.0, id="reset"),
        pytest.param({}, WINDOW_SECONDS, id="without headers a whole window"),
    ],
)
def test_how_long_a_429_makes_everybody_wait(
    given_headers: dict[str, str], expected: float
) -> None:
    assert seconds_to_wait(given_headers) == expected


ODD_NUMBERS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "nan",
            "inf",
            "-inf",
            "-1",
            "0",
            "0.5",
            "1e400",
            "9" * 400,
            "9" * 5000,
            "1_0",
            "x",
        ]
    ),
    st.floats().map(str),
    st.integers().map(str),
    st.text(max_size=5),
)
ODD_DATES = st.one_of(
    st.sampled_from([DATE, "", "x", "Fri, 31 Dec 9999 23:59:59 -9999", "0", "1 Jan 1 0:0:0 -0000"]),
    st.text(max_size=30),
)


@given(ODD_NUMBERS, ODD_NUMBERS, ODD_NUMBERS, ODD_DATES, st.one_of(ODD_NUMBERS, ODD_DATES))
def test_no_header_makes_a_request_fail_or_wait_long(
    limit: str, remaining: str, reset: str, date: str, retry_after: str
) -> None:
    odd = {
        "X-RateLimit-Limit": limit,
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": reset,
        "Date": date,
        "Retry-After": retry_after,
    }
    clock = Clock()
    budget = RateLimit(0.9, 4, clock, clock.sleep)
    budget.learn(odd)
    assert 0 <= budget.refused(odd) <= 60
    begin = clock.now
    with budget.turn():
        assert clock.now - begin <= 75


def test_no_wait_is_longer_than_a_minute_without_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tap_intercom")
    clock = Clock()
    said_at = [clock.now]
    handler = logging.Handler()
    handler.emit = lambda record: said_at.append(clock.now)  # type: ignore[method-assign]
    logging.getLogger("tap_intercom").addHandler(handler)
    try:
        budget = RateLimit(0.01, 4, clock, clock.sleep)
        budget.learn(headers(1, 1, NOON + 10))
        for _ in range(3):
            with budget.turn():
                pass
        for _ in range(200):
            budget.refused({"Retry-After": "1"})
            clock.sleep(1)
        said_at.append(clock.now)
    finally:
        logging.getLogger("tap_intercom").removeHandler(handler)
    assert clock.now > 1000 + 1500
    assert max(after - before for before, after in pairwise(said_at)) <= 60


@given(
    limit=st.integers(1, 100_000),
    used=st.floats(0, 1),
    reset=st.floats(0, 10),
    share=st.floats(0.01, 1),
    in_flight=st.integers(0, 64),
)
def test_the_pace_keeps_within_the_share_and_what_is_left(
    limit: int, used: float, reset: float, share: float, in_flight: int
) -> None:
    remaining = int(limit * (1 - used))
    interval = allowed_interval(RateLimitStatus(limit, remaining, reset), share, in_flight)
    assert interval > 0
    assert WINDOW_SECONDS / interval <= limit * share * (1 + 1e-9)
    requests_until_reset = max(reset, SHORTEST_REST_SECONDS) / interval
    assert requests_until_reset <= max(remaining - in_flight, 1) * (1 + 1e-9)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=300), st.floats(0.001, 1))
def test_no_window_gets_more_turns_than_its_allowance(pauses: list[float], interval: float) -> None:
    now, due = 0.0, 0.0
    turns: list[float] = []
    for pause in pauses:
        now += pause * interval
        at, due = next_turn(now, due, interval)
        assert at >= now
        now = at
        turns.append(at)
    allowance = WINDOW_SECONDS / interval * 1.02 + 2
    for first in turns:
        assert sum(first <= turn < first + WINDOW_SECONDS for turn in turns) <= allowance


def test_alone_the_whole_share_of_a_window_is_used() -> None:
    clock = Clock()
    limit = RateLimit(0.9, 4, clock, clock.sleep)
    limit.learn(headers(1667, 1666, NOON + 10))
    begin = clock.now
    turns = 0
    while clock.now < begin + WINDOW_SECONDS:
        with limit.turn():
            turns += 1
    assert 0.95 * 0.9 * 1667 <= turns <= 0.9 * 1667


@settings(deadline=None, max_examples=40)
@given(
    share=st.sampled_from([0.5, 0.9, 1.0]),
    behind=st.floats(0, 10),
    latency=st.floats(0, 0.2),
    limit=st.sampled_from([167, 1667]),
)
def test_windows_are_used_whole_and_never_more_though_dates_have_whole_seconds(
    share: float, behind: float, latency: float, limit: int
) -> None:
    clock = Clock()
    budget = RateLimit(share, 64, clock, clock.sleep)
    used: Counter[int] = Counter()
    answers: deque[tuple[float, dict[str, str]]] = deque()

    def answer() -> dict[str, str]:
        """What Intercom, by its own clock, says to a request that comes now."""
        now = NOON + clock.now + behind
        window = int(now // WINDOW_SECONDS)
        used[window] += 1
        date = formatdate(int(now), usegmt=True)
        return headers(limit, limit - used[window], (window + 1) * WINDOW_SECONDS, date)

    budget.learn(answer())
    begin = clock.now
    while clock.now < begin + 4 * WINDOW_SECONDS:
        with budget.turn():
            answers.append((clock.now + latency, answer()))
        while answers and answers[0][0] <= clock.now:
            budget.learn(answers.popleft()[1])
    assert max(used.values()) <= limit
    whole = sorted(used)[1:-1]
    assert all(used[window] >= 0.95 * share * limit for window in whole)


@pytest.mark.parametrize(("tokens", "of_one"), [(1, 1.0), (2, 2.0), (3, 2.5), (5, 2.5)])
def test_many_tokens_keep_to_the_limit_of_the_workspace(tokens: int, of_one: float) -> None:
    """API-C1: 25,000 requests a minute for a workspace, and 10,000 for an app."""
    clock = Clock()
    rate_limit = RateLimit(1.0, 64, clock, clock.sleep, tokens=tokens)
    for token in range(tokens):
        rate_limit.learn(headers(1667, 1667, NOON + 10), token)
    began, count = clock.now, 0
    while clock.now < began + 10:
        with rate_limit.turn(tokens=range(tokens)) as token:
            rate_limit.learn(headers(1667, 1667, NOON + 10), token)
        count += 1
    assert 0.97 * of_one * 1667 <= count <= of_one * 1667


def test_without_headers_150_in_a_window() -> None:
    clock = Clock()
    limit = RateLimit(1.0, 4, clock, clock.sleep)
    begin = clock.now
    turns = 0
    while clock.now < begin + WINDOW_SECONDS:
        with limit.turn():
            turns += 1
    assert 140 <= turns <= 150


def test_a_429_stops_everybody_until_the_window_ends() -> None:
    clock = Clock()
    limit = RateLimit(0.9, 4, clock, clock.sleep)
    limit.learn(headers(1667, 1666, NOON + 10))
    begin = clock.now
    assert limit.refused(headers(1667, 0, NOON + 6)) == 6
    with limit.turn():
        assert clock.now >= begin + 6


@pytest.mark.parametrize(
    "refusal", [{"Retry-After": "0"}, headers(100_000, 0, NOON - 60)], ids=["no wait", "past"]
)
def test_a_429_that_asks_for_no_wait_is_not_repeated_at_full_pace(refusal: dict[str, str]) -> None:
    clock = Clock()
    limit = RateLimit(0.9, 4, clock, clock.sleep)
    limit.learn(headers(100_000, 99_999, NOON + 10))
    begin, turns = clock.now, 0
    while clock.now < begin + 600:
        with limit.turn():
            limit.refused(refusal)
            turns += 1
    assert turns < 100
    clock.sleep(10)
    limit.learn(headers(100_000, 99_999, NOON + 10))
    assert limit.refused(refusal) < 0.1


def test_the_429_of_requests_sent_together_count_as_one() -> None:
    clock = Clock()
    limit = RateLimit(0.9, 64, clock, clock.sleep)
    for _ in range(64):
        assert limit.refused({"Retry-After": "0.5"}) == 0.5
    clock.sleep(0.5)
    assert limit.refused({"Retry-After": "0"}) < 0.1


def test_the_pace_recovers_when_others_stop() -> None:
    clock = Clock()
    limit = RateLimit(0.9, 4, clock, clock.sleep)

    def seconds_for_ten_turns() -> float:
        begin = clock.now
        for _ in range(10):
            with limit.turn():
                pass
        return clock.now - begin

    limit.learn(headers(1000, 10, NOON + 10))
    while_others_use_it = seconds_for_ten_turns()
    limit.learn(headers(1000, 990, NOON + 10))
    assert seconds_for_ten_turns() < while_others_use_it / 4


def test_an_urgent_request_goes_before_those_that_wait_for_a_place() -> None:
    clock = Clock()
    limit = RateLimit(1.0, 1, clock, clock.sleep)
    went = threading.Event()

    def urgent() -> None:
        with limit.turn(urgent=True):
            went.set()

    with limit.turn():
        thread = threading.Thread(target=urgent)
        thread.start()
        assert went.wait(10)
        thread.join()
