"""The progress of a run, for people and programs: bars or lines, metrics, a final table.

A separate thread reports it, so a waiting run shows that it is alive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tap_intercom import log
from tap_intercom import text_table as tables
from tap_intercom.bar import Bar, SentBar, View, shown_bar
from tap_intercom.intercom import metrics
from tap_intercom.intercom.client import Client
from tap_intercom.reading.stream_run import Batch, Selection
from tap_intercom.shortfalls import Shortfalls
from tap_intercom.signals import start_thread
from tap_intercom.state import State
from tap_intercom.streams import stream_of

LOGGER = logging.getLogger("tap_intercom")

LINE_SECONDS = 30.0
DRAW_SECONDS = 0.25
HOUR_SECONDS = 3_600

COMPLETE = "complete"
SKIPPED = "skipped"
FAILED = "failed"
INTERRUPTED = "interrupted"


@dataclass
class _Row:
    """The result of a stream; seconds count from its first request."""

    name: str
    root: str
    bookmark: str | None
    records: int = 0
    told: int = 0
    told_at: float = field(default_factory=time.monotonic)
    seconds: float | None = None
    result: str = INTERRUPTED


@dataclass
class _Pace:
    """How many of the records that Intercom counts for a group of streams have passed."""

    started_at: float
    expected: int = 0
    passed: int = 0

    def note(self, batch: Batch) -> None:
        self.expected += batch.expected
        self.passed += batch.passed

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes, or None if that is not known."""
        seconds = time.monotonic() - self.started_at
        return seconds_left(min(self.passed, self.expected), self.expected, seconds)


@dataclass
class _Current:
    """The streams that are written now: their places among all streams, and their pace."""

    rows: Mapping[str, _Row]
    first: int
    pace: _Pace


class Progress:
    """Gets what is written and reports how far a run is, while its context is open.

    A run begins with `planned`. A stream begins with `started`, continues with `wrote` and ends
    with `finished`. Threads read streams ahead, and say so with `read` and `read_to_end`.

    pipe: what the bar is sent through, if another process shows it.
    """

    def __init__(
        self, client: Client, state: State, shortfalls: Shortfalls, pipe: int | None = None
    ) -> None:
        self._pipe = pipe
        self._streams = 0
        # The groups that are not read to their end, and the pace of those that are being read.
        self._unread: set[str] = set()
        self._ahead: dict[str, _Pace] = {}
        self._client = client
        self._state = state
        self._shortfalls = shortfalls
        self._rows: dict[str, _Row] = {}
        # By stream name in the catalog.
        self._written: dict[str, _Row] = {}
        self._current = _Current({}, 0, _Pace(time.monotonic()))
        self._ended = threading.Event()
        self._started_at = time.monotonic()

    def __enter__(self) -> Progress:
        self._thread = start_thread(self._tell)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._client.requests.emit()
        is_whole = error is None and all(
            row.result in (COMPLETE, SKIPPED) for row in self._rows.values()
        )
        seconds = time.monotonic() - self._started_at
        metrics.emit("timer", "job_duration", seconds, {"job_type": "sync", **_status(is_whole)})

    @property
    def records(self) -> int:
        """Number of records written."""
        return sum(row.records for row in self._rows.values())

    def planned(self, groups: Sequence[Collection[str]]) -> None:
        """Note the streams of the run, by the groups in which they are read together."""
        self._streams = sum(len(names) for names in groups)
        self._unread = {_root(names) for names in groups}

    def read(self, names: Collection[str], batch: Batch) -> None:
        """Note what was read of a group, perhaps long before it is written."""
        self._ahead.setdefault(_root(names), _Pace(time.monotonic())).note(batch)

    def read_to_end(self, names: Collection[str]) -> None:
        """Note that nothing is left to read of a group."""
        self._unread.discard(_root(names))

    def started(self, selections: Mapping[str, Selection]) -> None:
        """Note that the writing of streams that are read together begins."""
        LOGGER.info("%s: reading", " and ".join(selections))
        root = _root(selections)
        rows = {name: _Row(name, root, self._state.updated_at(name)) for name in selections}
        first = len(self._rows) + 1
        self._rows.update(rows)
        # Several streams may write rows of one table; the first one counts them.
        for name, selection in reversed(list(selections.items())):
            self._written[selection.name] = rows[name]
        self._current = _Current(rows, first, _Pace(time.monotonic()))

    def wrote(self, batch: Batch) -> None:
        self._current.pace.note(batch)
        for written_name, count in batch.counts.items():
            row = self._written[written_name]
            row.records += count
            if (
                row.seconds is not None
                or time.monotonic() - row.told_at >= metrics.INTERVAL_SECONDS
            ):
                _tell_count(row)

    def finished(self, stream: str, result: str) -> None:
        row = self._rows[stream]
        row.seconds = self._client.requests.seconds_since_first(row.root)
        row.result = result
        _tell_count(row)
        tags = {"stream": stream, **_status(result == COMPLETE)}
        metrics.emit("timer", "sync_duration", row.seconds, tags)
        for reason, count in self._shortfalls.of(row.name).items():
            metrics.emit("counter", "shortfall_count", count, {"stream": stream, "reason": reason})
        LOGGER.info("%s: %d records, %s", stream, row.records, result)

    def log_summary(self) -> None:
        """Log a table of all streams that began."""
        rows = [self._summary(row) for row in self._rows.values()]
        if not rows:
            return
        heads, *texts = tables.lines(rows)
        LOGGER.info("%s", heads)
        for row, text in zip(rows, texts, strict=True):
            LOGGER.info("%s", text, extra={"fields": {"summary": row}})
        self._explain_bookmarks()

    def _explain_bookmarks(self) -> None:
        """Say why bookmarks are far behind the run, so nobody takes that for a gap."""
        behind: dict[str, list[str]] = {}
        for row in self._rows.values():
            if self._state.updated_at(row.name) is not None:
                behind.setdefault(row.root, []).append(row.name)
        for root, names in behind.items():
            stream = stream_of(root)
            if stream.lookback_seconds:
                LOGGER.info(
                    "%s: the bookmark stays %d hours behind the start of the run, because %s; each "
                    "run reads that time again",
                    ", ".join(names),
                    stream.lookback_seconds // HOUR_SECONDS,
                    stream.lookback_reason,
                )

    def _summary(self, row: _Row) -> dict[str, Any]:
        seconds = row.seconds
        if seconds is None:
            seconds = self._client.requests.seconds_since_first(row.root)
        return {
            "stream": row.name,
            "result": row.result,
            "records": row.records,
            "requests": self._requests(row),
            "seconds": round(seconds, 1),
            "bookmark_before": row.bookmark,
            "bookmark_after": self._state.updated_at(row.name),
            "shortfalls": sum(self._shortfalls.of(row.name).values()),
        }

    def _requests(self, row: _Row) -> int:
        """Return the requests for a stream: a child's to its own path, the rest for its root.

        Children with the same path share their requests, and the first one counts them.
        """
        requests = self._client.requests
        paths = [
            (each, stream_of(each.name).path)
            for each in self._rows.values()
            if each.root == row.root != each.name
        ]
        firsts = {path: each.name for each, path in reversed(paths)}
        if row.name != row.root:
            path = stream_of(row.name).path
            return requests.count(row.root, path) if firsts[path] == row.name else 0
        return requests.count(row.root) - sum(requests.count(row.root, path) for path in firsts)

    def _tell(self) -> None:
        # A terminal, or the process that has it, may end at any time; that only ends the bar.
        if self._pipe is not None:
            with suppress(OSError, ValueError):
                self._draw(SentBar(self._pipe))
        elif log.is_watched():
            with suppress(OSError, ValueError), shown_bar() as bar:
                self._draw(bar)
        else:
            while not self._ended.wait(LINE_SECONDS):
                LOGGER.info("%s", ", ".join(self._parts()))

    def _draw(self, bar: Bar | SentBar) -> None:
        while not self._ended.wait(DRAW_SECONDS):
            pace = self._current.pace
            bar.draw(View(", ".join(self._parts()), pace.passed, pace.expected))

    def _parts(self) -> list[str]:
        """Return the parts of the progress text.

        The end of the text may be cut off on a terminal, so the least important part is last.
        """
        parts = [self._place(), self._time_left()]
        parts += [f"{row.records:,} {row.name}" for row in self._current.rows.values()]
        parts.append(f"{self._client.requests.total:,} requests")
        limit = self._client.rate_limit
        if limit is not None and limit.limit > 0:
            parts.append(f"rate limit {1 - limit.remaining / limit.limit:.0%}")
        return parts

    def _place(self) -> str:
        """Return which of how many streams are written now."""
        current = self._current
        if not current.rows:
            return "no stream yet"
        last = current.first + len(current.rows) - 1
        if last == current.first:
            return f"stream {last} of {self._streams}"
        return f"streams {current.first}-{last} of {self._streams}"

    def _time_left(self) -> str:
        """Return the time left for the whole run, as far as it is known.

        Intercom counts the records of searches only, and only once their reading begins. So other
        streams make it a minimum. Streams are read concurrently: the slowest decides.
        """
        current = next((row.root for row in self._current.rows.values()), None)
        paces = dict(self._ahead)
        unread = {root: paces.get(root) for root in list(self._unread) if root != current}
        lefts = [None if pace is None else pace.seconds_left for pace in unread.values()]
        if any(row.seconds is None for row in self._current.rows.values()):
            lefts.append(self._current.pace.seconds_left)
        known = [left for left in lefts if left is not None]
        is_whole = len(known) == len(lefts)
        if not known or (not is_whole and max(known) < 1):
            return "time left unknown"
        minimum = "" if is_whole else "at least "
        return f"{minimum}{duration(max(known))} left"


def seconds_left(passed: int, expected: int, seconds: float) -> float | None:
    """Return how long the rest takes at the present pace, or None before anything has passed."""
    return seconds / passed * (expected - passed) if passed else None


def duration(seconds: float) -> str:
    """Format a duration in its largest unit and the next one: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _root(names: Collection[str]) -> str:
    """Return the first stream of a group that is read together, which names it."""
    return next(iter(names))


def _tell_count(row: _Row) -> None:
    tags = {"endpoint": row.name, "stream": row.name}
    metrics.emit("counter", "record_count", row.records - row.told, tags)
    row.told, row.told_at = row.records, time.monotonic()


def _status(is_whole: bool) -> dict[str, str]:
    return {"status": "succeeded" if is_whole else "failed"}
