"""Singer metrics: what a run did, as log lines for programs.

    METRIC: {"type": "counter", "metric": "record_count", "value": 20, "tags": {"endpoint": "tags"}}

The form is that of `singer.metrics`. Requests are reported together, by endpoint and minute: a line
for each would hide everything else.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from tap_intercom.log import METRICS

INTERVAL_SECONDS = 60.0


def emit(
    kind: Literal["counter", "timer"], metric: str, value: float, tags: dict[str, Any]
) -> None:
    """Log one metric; the value of a timer is in seconds."""
    point = {"type": kind, "metric": metric, "value": round(value, 6), "tags": tags}
    METRICS.info("METRIC: %s", json.dumps(point), extra={"fields": {"metric": point}})


@dataclass
class _Timing:
    count: int = 0
    seconds: float = 0.0


class Requests:
    """Counts and times requests; safe to use from many threads.

    A reader is the stream, or the parent of a group of streams, that a request is sent for; "" is
    the run itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._began_at: dict[str, float] = {}
        self._timings: dict[tuple[str, bool], _Timing] = {}
        self._emitted_at = time.monotonic()

    @property
    def total(self) -> int:
        with self._lock:
            return self._counts.total()

    def count(self, reader: str, endpoint: str | None = None) -> int:
        """Return how many requests were sent for a reader, to one endpoint or to all."""
        with self._lock:
            return sum(
                count
                for (of, to), count in self._counts.items()
                if of == reader and endpoint in (None, to)
            )

    def seconds_since_first(self, reader: str) -> float:
        """Return how long ago a reader's first request was sent, or 0.0 without a request."""
        with self._lock:
            now = time.monotonic()
            return now - self._began_at.get(reader, now)

    def note(self, reader: str, endpoint: str, seconds: float, is_answered: bool) -> None:
        """Count a request and the seconds after which it was answered or failed."""
        with self._lock:
            self._counts[reader, endpoint] += 1
            self._began_at.setdefault(reader, time.monotonic() - seconds)
            timing = self._timings.setdefault((endpoint, is_answered), _Timing())
            timing.count += 1
            timing.seconds += seconds
            is_due = time.monotonic() - self._emitted_at >= INTERVAL_SECONDS
        if is_due:
            self.emit()

    def emit(self) -> None:
        """Log the mean request duration of each endpoint since the last call."""
        with self._lock:
            timings, self._timings = self._timings, {}
            self._emitted_at = time.monotonic()
        for (endpoint, is_answered), timing in sorted(timings.items()):
            status = "succeeded" if is_answered else "failed"
            tags = {"endpoint": endpoint, "status": status, "count": timing.count}
            emit("timer", "http_request_duration", timing.seconds / timing.count, tags)
