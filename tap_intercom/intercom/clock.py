"""The clock that dates a run: Intercom's, as far as its answers can be trusted."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from tap_intercom.intercom.rate_limit import date_seconds

LOGGER = logging.getLogger("tap_intercom")

# Without Intercom's clock, this machine's clock dates the run. Machines are commonly wrong by
# minutes, or by the hour of summer time.
CLOCK_MARGIN_SECONDS = 3_600
# X-RateLimit-Reset, the end of a window, is 6 to 16 seconds after Date (API-C1).
RESET_AFTER_DATE_SECONDS = range(-5, 121)
# A smaller difference between two clocks is not reported.
CLOCK_DIFFERENCE_SECONDS = 300


class Clock:
    """Dates the run by the first answer; later ones may have waited in a queue."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._doubt = 0.0

    def now(self) -> float:
        """Return Unix seconds; by this machine's clock until there is an answer."""
        return time.time() if self._offset is None else time.monotonic() + self._offset

    def latest(self) -> float:
        """Return Unix seconds by the later clock if two differ."""
        return self.now() + self._doubt

    def follow(self, headers: Mapping[str, str]) -> None:
        """Adopt the time of an answer if it is the first one."""
        if self._offset is not None:
            return
        here = time.time()
        date = date_seconds(headers.get("Date", ""))
        earliest, latest = starts(date, headers.get("X-RateLimit-Reset", ""), here)
        if date is None:
            LOGGER.warning(
                "Intercom's answer has no Date header; the run uses this machine's clock minus "
                "one hour"
            )
        elif latest - here > CLOCK_DIFFERENCE_SECONDS and earliest < date:
            LOGGER.warning(
                "Intercom's Date header is %.0f s ahead of this machine's clock; the run uses the "
                "earlier time. Check this machine's clock",
                date - here,
            )
        self._offset = earliest - time.monotonic()
        self._doubt = latest - earliest


def starts(date: float | None, reset: str, here: float) -> tuple[float, float]:
    """Return the earliest and the latest instant when a run may have begun, in Unix seconds.

    Two Intercom clocks that agree are right. A Date alone may be a gateway's. A late bookmark loses
    records and an early one repeats some, so the earlier clock dates the run.

    date: the Date of an answer.
    reset: its X-RateLimit-Reset.
    here: this machine's clock.
    """
    if date is None:
        return here - CLOCK_MARGIN_SECONDS, here
    try:
        is_sure = int(float(reset) - date) in RESET_AFTER_DATE_SECONDS
    except (ValueError, OverflowError):
        is_sure = False
    return (date, date) if is_sure else (min(date, here), max(date, here))
