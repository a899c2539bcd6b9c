"""The progress of a run, for people and programs: bars or lines, metrics, a final table.

A separate thread reports it, so a waiting run shows that it is alive.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tap_intercom import log
from tap_intercom import text_table as tables
from tap_intercom.intercom import metrics
from tap_intercom.intercom.client import Client
from tap_intercom.reading.stream_run import Batch, Selection
from tap_intercom.shortfalls import Shortfalls
from tap_intercom.signals import start_thread
from tap_intercom.state import State
from tap_intercom.streams import stream_of

if TYPE_CHECKING:
    from tqdm import tqdm

LOGGER = logging.getLogger("tap_intercom")

LINE_SECONDS = 30.0
DRAW_SECONDS = 0.25
# For terminals that report zero columns or lines.
COLUMNS, LINES = 80, 24
BAR = "{percentage:3.0f}% |{bar:10}| {desc}"
TEXT_WITHOUT_BAR = "{desc}"

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
class _Current:
    """The streams that are written now, and how many of their root's records have passed."""

    rows: Mapping[str, _Row] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)
    expected: int = 0
    passed: int = 0


class Progress:
    """Gets what is written and reports how far a run is, while its context is open.

    A stream begins with `started`, continues with `wrote` and ends with `finished`.
    """

    def __init__(self, client: Client, state: State, shortfalls: Shortfalls) -> None:
        self._client = client
        self._state = state
        self._shortfalls = shortfalls
        self._rows: dict[str, _Row] = {}
        # By stream name in the catalog.
        self._written: dict[str, _Row] = {}
        self._current = _Current()
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

    def started(self, selections: Mapping[str, Selection]) -> None:
        """Note that the writing of streams that are read together begins."""
        LOGGER.info("%s: reading", " and ".join(selections))
        root = next(iter(selections))
        rows = {
            selection.name: _Row(name, root, self._state.updated_at(name))
            for name, selection in selections.items()
        }
        self._rows.update({row.name: row for row in rows.values()})
        self._written.update(rows)
        self._current = _Current(rows)

    def wrote(self, batch: Batch) -> None:
        current = self._current
        current.expected += batch.expected
        current.passed += batch.passed
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
        """Return the requests for a stream: a child's to its own path, the rest for its root."""
        requests = self._client.requests
        if row.name != row.root:
            return requests.count(row.root, stream_of(row.name).path)
        others = [each for each in self._rows.values() if each.root == row.name != each.name]
        return requests.count(row.root) - sum(self._requests(each) for each in others)

    def _tell(self) -> None:
        if log.is_watched():
            # A terminal may close at any time; that only ends the bar.
            with suppress(OSError, ValueError), _bar() as bar:
                while not self._ended.wait(DRAW_SECONDS):
                    self._draw(bar)
        else:
            while not self._ended.wait(LINE_SECONDS):
                LOGGER.info("%s", ", ".join(self._parts()))

    def _draw(self, bar: tqdm[Any]) -> None:
        current = self._current
        bar.ncols = (os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS) - 1
        bar.total = current.expected or None
        bar.n = min(current.passed, current.expected)
        bar.bar_format = BAR if current.expected else TEXT_WITHOUT_BAR
        counts, *parts = self._parts()
        # The end of the text may be cut off, so the least important part is last.
        bar.set_description_str(", ".join([*parts, counts]))

    def _parts(self) -> list[str]:
        """Return the parts of the progress text: records, time left if known, requests, limit."""
        current = self._current
        counts = [f"{row.records:,} {row.name}" for row in current.rows.values()]
        parts = [", ".join(counts) or "no stream yet"]
        if current.expected:
            passed = min(current.passed, current.expected)
            left = seconds_left(passed, current.expected, time.monotonic() - current.started_at)
            parts.append("time left unknown" if left is None else f"{duration(left)} left")
        parts.append(f"{self._client.requests.total:,} requests")
        limit = self._client.rate_limit
        if limit is not None and limit.limit > 0:
            parts.append(f"rate limit {1 - limit.remaining / limit.limit:.0%}")
        return parts


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


def _tell_count(row: _Row) -> None:
    tags = {"endpoint": row.name, "stream": row.name}
    metrics.emit("counter", "record_count", row.records - row.told, tags)
    row.told, row.told_at = row.records, time.monotonic()


def _status(is_whole: bool) -> dict[str, str]:
    return {"status": "succeeded" if is_whole else "failed"}


@contextmanager
def _bar() -> Iterator[tqdm[Any]]:
    """Show one bar at the bottom of the terminal; log lines continue above it."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    tqdm.monitor_interval = 0  # its own thread, which would redraw our bar
    with (
        logging_redirect_tqdm([LOGGER]),
        tqdm(file=sys.stderr, leave=False, bar_format=TEXT_WITHOUT_BAR, nrows=LINES) as bar,
    ):
        yield bar
