"""One budget of requests for all threads, paced within Intercom's 10-second windows.

Intercom cuts its limit of requests a minute into windows of 10 seconds and tells limit, rest and
end of the running window in the headers of every answer.
Source: https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache

LOGGER = logging.getLogger("tap_intercom")

WINDOW_SECONDS = 10.0
LIMIT_WITHOUT_HEADERS = 150
# Part of the allowance that may be used in a burst, so that a thread that comes late does not
# leave its turn unused. The pace is lowered by as much: no window gets more than its allowance.
BURST = 0.02
# What is left of a window is not spread over less: it may have ended by then.
SHORTEST_REST_SECONDS = 0.2
# A wait that a person may wonder about.
LONG_WAIT_SECONDS = 5.0
# Without a line in the log nobody waits longer.
LONGEST_WAIT_SECONDS = 60.0
# Above every limit, and every Unix time of this millennium.
LARGEST_NUMBER = 1e11


@dataclass(frozen=True)
class RateLimitStatus:
    """What one answer says of the running window: requests, and seconds until it ends.

    window tells windows apart: when it ends, as the answer says it.
    """

    limit: int
    remaining: int
    reset_seconds: float
    window: float = 0.0


@lru_cache(maxsize=64)
def date_seconds(date: str) -> float | None:
    """Unix seconds of an HTTP Date header, or None where it cannot be read."""
    try:
        instant = parsedate_to_datetime(date)
        # A date with -0000 has no time zone in Python, and would be read as local time.
        return (instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _number(text: str) -> float:
    """A number in a header. Raises ValueError for what no header of a rate limit can mean."""
    number = float(text)
    if not 0 <= number <= LARGEST_NUMBER:
        raise ValueError
    return number


def read_headers(headers: Mapping[str, str]) -> RateLimitStatus | None:
    """The rate limit as the headers of an answer state it, or None where one of them lacks.

    The end of the window is measured against the same answer's Date, since the clock of this
    machine may be wrong, and lies 0 to 10 seconds ahead.
    """
    try:
        limit = int(_number(headers["X-RateLimit-Limit"]))
        remaining = int(_number(headers["X-RateLimit-Remaining"]))
        reset = _number(headers["X-RateLimit-Reset"])
    except (KeyError, ValueError):
        return None
    if limit < 1:
        return None
    date = date_seconds(headers.get("Date", ""))
    wait = WINDOW_SECONDS if date is None else min(max(reset - date, 0.0), WINDOW_SECONDS)
    return RateLimitStatus(limit, remaining, wait, reset)


def seconds_to_wait(headers: Mapping[str, str]) -> float:
    """Seconds that an answer with status 429 asks everybody to wait, at most a minute.

    Retry-After is a number of seconds or a date, which is measured against the answer's own.
    """
    retry_after = headers.get("Retry-After", "")
    try:
        return min(_number(retry_after), LONGEST_WAIT_SECONDS)
    except ValueError:
        pass
    at, now = date_seconds(retry_after), date_seconds(headers.get("Date", ""))
    if at is not None:
        seconds = at - (time.time() if now is None else now)
        return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
    status = read_headers(headers)
    return WINDOW_SECONDS if status is None else status.reset_seconds


def allowed_interval(status: RateLimitStatus | None, share: float, in_flight: int) -> float:
    """Seconds between two requests that keep within the share and leave others their part.

    Alone, the share of the limit decides. When others use the window too, what remains of it,
    less the requests whose answers are still out, is spread over the time that is left.
    """
    limit = LIMIT_WITHOUT_HEADERS if status is None else max(status.limit, 1)
    per_second = limit * share * (1 - BURST) / WINDOW_SECONDS
    if status is not None:
        rest = max(status.remaining - in_flight, 1)
        per_second = min(per_second, rest / max(status.reset_seconds, SHORTEST_REST_SECONDS))
    return 1.0 / per_second


def next_turn(now: float, due: float, interval: float) -> tuple[float, float]:
    """When the next request may start, and when the one after it is due.

    `due` is what the last call returned second. A turn missed by less than the burst is made
    good; one missed by more is lost.
    """
    burst_seconds = WINDOW_SECONDS * BURST
    at = max(due, now - burst_seconds)
    return max(at, now), at + interval


class RateLimit:
    """Hands out turns to all threads of a run; knows no request, only when one may start."""

    def __init__(
        self,
        share: float,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(concurrency)
        self._in_flight = 0
        self._due = clock()
        self._blocked_until = self._due
        self._told_until = float("-inf")
        self._told_refusal_at = self._due
        self._window_end = self._due
        self._interval = allowed_interval(None, share, 0)
        self.last: RateLimitStatus | None = None

    @contextmanager
    def turn(self, urgent: bool = False) -> Iterator[None]:
        """Wait until a request may start; the body of the `with` sends it.

        An urgent request goes before all that wait, and the others make room for it: a scroll
        ends a minute after its last page was asked for (API-D3).
        """
        if not urgent:
            self._places.acquire()
        try:
            self._wait_for_turn(urgent)
            try:
                yield
            finally:
                with self._lock:
                    self._in_flight -= 1
        finally:
            if not urgent:
                self._places.release()

    def _wait_for_turn(self, urgent: bool) -> None:
        at = None
        while True:
            with self._lock:
                now = self._clock()
                if at is None or at < self._blocked_until:
                    if urgent:
                        at = max(now, self._blocked_until)
                        self._due += self._interval
                    else:
                        self._due = max(self._due, self._blocked_until)
                        at, self._due = next_turn(now, self._due, self._interval)
                if at <= now:
                    self._in_flight += 1
                    return
                self._tell_long_wait(now, at)
            self._sleep(min(at - now, LONGEST_WAIT_SECONDS / 2))

    def _tell_long_wait(self, now: float, at: float) -> None:
        """Log why nothing is sent, once for all who wait; at: when this one may be sent."""
        seconds = self._blocked_until - now
        if seconds > LONG_WAIT_SECONDS and self._blocked_until > self._told_until + 1.0:
            self._told_until = self._blocked_until
            LOGGER.info("the rate limit is used up; waiting %.0f s for the next window", seconds)
        elif at - now > LONGEST_WAIT_SECONDS / 2 and now > self._told_until + LONG_WAIT_SECONDS:
            self._told_until = now
            LOGGER.info("the rate limit allows a request every %.1f s; waiting", self._interval)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Set the pace by the headers of an answer."""
        status = read_headers(headers)
        if status is None:
            return
        with self._lock:
            self.last = status = self._narrowed(status)
            self._interval = allowed_interval(status, self._share, self._in_flight)
            if status.remaining <= self._in_flight:
                self._block(status.reset_seconds)

    def _narrowed(self, status: RateLimitStatus) -> RateLimitStatus:
        """A reading with the earliest end that any answer of its window told.

        Date has whole seconds and comes late, so that each answer tells an end that is up to a
        second after the true one, never one before it.
        """
        now = self._clock()
        end = now + status.reset_seconds
        if self.last is not None and self.last.window == status.window:
            end = min(end, self._window_end)
        self._window_end = end
        return replace(status, reset_seconds=max(end - now, 0.0))

    def refused(self, headers: Mapping[str, str]) -> float:
        """Stop everybody after an answer with status 429; returns the seconds to wait."""
        seconds = seconds_to_wait(headers)
        with self._lock:
            # Each wait may be too short for a line, and all of them together long.
            now = self._clock()
            if now > self._told_refusal_at + LONGEST_WAIT_SECONDS / 2:
                self._told_refusal_at = now
                LOGGER.info("Intercom answers 429, too many requests; waiting %.1f s", seconds)
            self._block(seconds)
        return seconds

    def _block(self, seconds: float) -> None:
        self._blocked_until = max(self._blocked_until, self._clock() + seconds)
