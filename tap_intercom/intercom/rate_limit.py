"""One budget of requests for all threads, paced within Intercom's 10-second windows.

Intercom splits its limit of requests per minute into windows of 10 seconds. The headers of each
answer have the limit, the remaining requests and the end of the current window.
Source: https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache

LOGGER = logging.getLogger("tap_intercom")

WINDOW_SECONDS = 10.0
LIMIT_WITHOUT_HEADERS = 150
# All apps of a workspace together may send this many times what one may (API-C1).
APPS_OF_A_WORKSPACE = 2.5
# The part of the allowance that may be used in a burst, so a late thread does not waste its turn.
# The pace is lowered by the same amount: no window gets more than its allowance.
BURST = 0.02
# The rest of a window is never spread over less time: it may have ended by then.
SHORTEST_REST_SECONDS = 0.2
# A wait that a user may wonder about.
LONG_WAIT_SECONDS = 5.0
# Nobody waits longer without a line in the log.
LONGEST_WAIT_SECONDS = 60.0
# The shortest wait after a 429. It doubles with each 429 that follows without another answer, up to
# a window: a 429 may ask for no wait at all, or name a window that is over.
FIRST_REFUSAL_SECONDS = 0.001
# Above every limit, and every Unix time of this millennium.
LARGEST_NUMBER = 1e11


@dataclass(frozen=True)
class RateLimitStatus:
    """What one answer says about the current window: requests, and seconds until it ends.

    window: identifies the window by its end, as the answer states it.
    """

    limit: int
    remaining: int
    reset_seconds: float
    window: float = 0.0


@lru_cache(maxsize=64)
def date_seconds(date: str) -> float | None:
    """Return the Unix seconds of an HTTP Date header, or None if it cannot be read."""
    try:
        instant = parsedate_to_datetime(date)
        # Python reads a date with -0000 as local time, without a time zone.
        return (instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _number(text: str) -> float:
    """Return a number in a header. Raises ValueError for a value that no rate limit can have."""
    number = float(text)
    if not 0 <= number <= LARGEST_NUMBER:
        raise ValueError
    return number


def read_headers(headers: Mapping[str, str]) -> RateLimitStatus | None:
    """Return the rate limit in the headers of an answer, or None if a header is missing.

    The end of the window is 0 to 10 seconds ahead. It is compared with the Date of the same answer,
    since this machine's clock may be wrong.
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
    """Return how many seconds a 429 answer asks everybody to wait, at most 60.

    Retry-After is a number of seconds or a date, which is compared with the answer's own.
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
    """Return the seconds between two requests that keep to the share and leave others theirs.

    Without other users, the share of the limit decides. Otherwise, the remaining requests of the
    window, less those still unanswered, are spread over its remaining time.
    """
    limit = LIMIT_WITHOUT_HEADERS if status is None else max(status.limit, 1)
    per_second = limit * share * (1 - BURST) / WINDOW_SECONDS
    if status is not None:
        rest = max(status.remaining - in_flight, 1)
        per_second = min(per_second, rest / max(status.reset_seconds, SHORTEST_REST_SECONDS))
    return 1.0 / per_second


def next_turn(now: float, due: float, interval: float) -> tuple[float, float]:
    """Return when the next request may start, and when the one after it is due.

    A turn missed by less than the burst is made up for; one missed by more is lost.

    due: the second result of the previous call.
    """
    burst_seconds = WINDOW_SECONDS * BURST
    at = max(due, now - burst_seconds)
    return max(at, now), at + interval


class _Budget:
    """The pace of one token. Its RateLimit has the lock."""

    def __init__(self, share: float, now: float) -> None:
        self._share = share
        self.in_flight = 0
        self.due = now
        self.blocked_until = now
        self._window_end = now
        self.interval = allowed_interval(None, share, 0)
        self.last: RateLimitStatus | None = None
        self._shortest_refusal = FIRST_REFUSAL_SECONDS

    @property
    def next_at(self) -> float:
        """When the next request is due, which may be past."""
        return max(self.due, self.blocked_until)

    def take(self, now: float, urgent: bool) -> float:
        """Take the next turn, and return when it is."""
        if urgent:
            self.due += self.interval
            return max(now, self.blocked_until)
        at, self.due = next_turn(now, self.next_at, self.interval)
        return at

    def learn(self, status: RateLimitStatus, now: float) -> None:
        """Set the pace.

        Date has whole seconds and comes late, so an answer states an end of its window that is up
        to a second after the true one and never before it. The earliest of a window counts.
        """
        end = now + status.reset_seconds
        if self.last is not None and self.last.window == status.window:
            end = min(end, self._window_end)
        self._window_end = end
        self.last = status = replace(status, reset_seconds=max(end - now, 0.0))
        self.interval = allowed_interval(status, self._share, self.in_flight)
        if status.remaining <= self.in_flight:
            self.block(now + status.reset_seconds)

    def block(self, until: float) -> None:
        self.blocked_until = max(self.blocked_until, until)

    def refuse(self, seconds: float, now: float) -> float:
        """Block the token after a 429, and return for how many seconds.

        Answers to requests that were sent before the last block ended say nothing new.
        """
        seconds = max(seconds, self._shortest_refusal)
        if now >= self.blocked_until:
            self._shortest_refusal = min(2 * self._shortest_refusal, WINDOW_SECONDS)
        self.block(now + seconds)
        return seconds

    def answered(self) -> None:
        """Note an answer that is no 429."""
        self._shortest_refusal = FIRST_REFUSAL_SECONDS


class RateLimit:
    """Assigns turns to all threads of a run; it knows no requests, only when one may start.

    Each access token has its own budget. The token with the earliest turn sends the next request.

    share: the part of each token's limit, and of the workspace's, that is used.
    tokens: how many access tokens there are. They are known by their positions.
    """

    def __init__(
        self,
        share: float,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        tokens: int = 1,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(concurrency)
        now = clock()
        share *= min(APPS_OF_A_WORKSPACE / tokens, 1.0)
        self._budgets = [_Budget(share, now) for _ in range(tokens)]
        self._told_until = float("-inf")
        self._told_refusal_at = now

    def last(self, tokens: Sequence[int] = (0,)) -> RateLimitStatus | None:
        """Return the sum of what the last answers say; None before one, or without headers."""
        known = [status for each in tokens if (status := self._budgets[each].last)]
        if not known:
            return None
        return RateLimitStatus(
            sum(each.limit for each in known),
            sum(each.remaining for each in known),
            max(each.reset_seconds for each in known),
        )

    @contextmanager
    def turn(self, urgent: bool = False, tokens: Sequence[int] = (0,)) -> Iterator[int]:
        """Wait until a request may start; the `with` body sends it with the token that is given.

        An urgent request goes before all waiting ones, and others leave room for it: a scroll ends
        one minute after its last page was requested (API-D3).

        tokens: the positions of those that may send the request.
        """
        if not urgent:
            self._places.acquire()
        try:
            token = self._wait_for_turn(urgent, tokens)
            try:
                yield token
            finally:
                with self._lock:
                    self._budgets[token].in_flight -= 1
        finally:
            if not urgent:
                self._places.release()

    def _wait_for_turn(self, urgent: bool, tokens: Sequence[int]) -> int:
        at = token = None
        while True:
            with self._lock:
                now = self._clock()
                if at is None or token is None or at < self._budgets[token].blocked_until:
                    token = min(tokens, key=lambda each: self._budgets[each].next_at)
                    at = self._budgets[token].take(now, urgent)
                budget = self._budgets[token]
                if at <= now:
                    budget.in_flight += 1
                    return token
                self._tell_long_wait(budget, now, at)
            self._sleep(min(at - now, LONGEST_WAIT_SECONDS / 2))

    def _tell_long_wait(self, budget: _Budget, now: float, at: float) -> None:
        """Log why nothing is sent, once for all waiting threads; at: when this one may send."""
        seconds = budget.blocked_until - now
        if seconds > LONG_WAIT_SECONDS and budget.blocked_until > self._told_until + 1.0:
            self._told_until = budget.blocked_until
            LOGGER.info("the rate limit is used up; waiting %.0f s for the next window", seconds)
        elif at - now > LONGEST_WAIT_SECONDS / 2 and now > self._told_until + LONG_WAIT_SECONDS:
            self._told_until = now
            LOGGER.info("the rate limit allows one request every %.1f s; waiting", budget.interval)

    def learn(self, headers: Mapping[str, str], token: int = 0) -> None:
        """Set the pace of a token from the headers of an answer that is no 429."""
        status = read_headers(headers)
        with self._lock:
            self._budgets[token].answered()
            if status is not None:
                self._budgets[token].learn(status, self._clock())

    def refused(self, headers: Mapping[str, str], token: int = 0) -> float:
        """Make all requests of a token wait after a 429 answer, and return the seconds to wait."""
        seconds = seconds_to_wait(headers)
        with self._lock:
            # Each wait may be too short for a log line, yet long together.
            now = self._clock()
            seconds = self._budgets[token].refuse(seconds, now)
            if now > self._told_refusal_at + LONGEST_WAIT_SECONDS / 2:
                self._told_refusal_at = now
                LOGGER.info("Intercom returned 429, too many requests; waiting %.1f s", seconds)
        return seconds
