"""When a run began, by clocks that may differ."""

from __future__ import annotations

import time

import pytest

from tap_intercom.intercom.clock import (
    CLOCK_MARGIN_SECONDS,
    RESET_AFTER_DATE_SECONDS,
    Clock,
    starts,
)

NOW = 1_780_000_000.0
SOON = max(RESET_AFTER_DATE_SECONDS)


@pytest.mark.parametrize(
    ("date", "reset", "here", "expected"),
    [
        # Both clocks of Intercom agree, so that of this machine does not matter.
        (NOW, str(NOW + SOON), NOW - 9999, (NOW, NOW)),
        (NOW, str(NOW + SOON), NOW + 9999, (NOW, NOW)),
        # They do not agree: the earlier clock dates the run.
        (NOW, str(NOW + SOON + 1000), NOW - 50, (NOW - 50, NOW)),
        (NOW, str(NOW - 1000), NOW + 50, (NOW, NOW + 50)),
        (NOW, "", NOW - 50, (NOW - 50, NOW)),
        (NOW, "nan", NOW + 50, (NOW, NOW + 50)),
        (NOW, "1e400", NOW + 50, (NOW, NOW + 50)),
        # Without a date, this machine may be wrong by its time zone.
        (None, str(NOW), NOW, (NOW - CLOCK_MARGIN_SECONDS, NOW)),
    ],
)
def test_a_run_is_dated_by_the_earlier_clock(
    date: float | None, reset: str, here: float, expected: tuple[float, float]
) -> None:
    assert starts(date, reset, here) == expected


def test_only_the_first_answer_dates_the_run() -> None:
    clock = Clock()
    assert clock.now() == pytest.approx(time.time(), abs=5)
    for date in ("Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 09:00:00 GMT"):
        clock.follow({"Date": date, "X-RateLimit-Reset": "1767225610"})
    assert clock.now() == pytest.approx(1767225600, abs=5)
    assert clock.latest() == pytest.approx(clock.now(), abs=5)
