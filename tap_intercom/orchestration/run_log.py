"""Reads the log of `tap-intercom run --log-format json`: each line, and the facts in it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COMPLETE = "complete"
SKIPPED = "skipped"
SHORTFALLS = "shortfalls"


@dataclass(frozen=True)
class Line:
    """One line for people. is_number: whether it is a metric, which only programs read."""

    level: str
    text: str
    is_number: bool = False


@dataclass(frozen=True)
class StreamResult:
    """How a stream ended.

    result: complete, skipped, failed or interrupted.
    shortfalls: number of missing or changed records for each reason.
    """

    stream: str
    result: str
    records: int
    requests: int
    seconds: float
    bookmark_before: str | None
    bookmark_after: str | None
    shortfalls: Mapping[str, int] = field(default_factory=dict)


class RunLog:
    """Collects what the lines of one run say.

    streams: the streams that began, in their order.
    last_error: the line that says why the run failed, or "".
    """

    def __init__(self) -> None:
        self.streams: dict[str, StreamResult] = {}
        self.last_error = ""
        self._shortfalls: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._result: Mapping[str, Any] = {}

    def read(self, line: str) -> Line:
        """Read one line and return it as text."""
        fields = _fields(line)
        level = str(fields.get("level", "INFO"))
        process = fields.get("process")
        message = str(fields.get("message", line.rstrip()))
        # The target may print what looks like facts about the run.
        if process != "target":
            self._note(fields)
            if level in ("ERROR", "CRITICAL"):
                self.last_error = message
        text = f"{process}: {message}" if process else message
        return Line(level, text, is_number="metric" in fields)

    @property
    def records(self) -> int:
        return int(self._result.get("records", 0))

    @property
    def is_loaded(self) -> bool:
        """Whether the target has loaded everything that the tap wrote.

        Then the streams that are complete arrived, even if another stream failed.
        """
        return bool(self._result.get("has_taken_all")) and self._result.get("target") == 0

    @property
    def loaded_streams(self) -> list[StreamResult]:
        """The complete streams whose rows are all in the target."""
        if not self.is_loaded:
            return []
        return [each for each in self.streams.values() if each.result == COMPLETE]

    def _note(self, fields: Mapping[str, Any]) -> None:
        metric, summary, result = (fields.get(name) for name in ("metric", "summary", "result"))
        if isinstance(metric, Mapping) and metric.get("metric") == "shortfall_count":
            tags = metric["tags"]
            self._shortfalls[tags["stream"]][tags["reason"]] += metric["value"]
        if isinstance(summary, Mapping):
            stream = summary["stream"]
            facts = {name: value for name, value in summary.items() if name != "shortfalls"}
            self.streams[stream] = StreamResult(**facts, shortfalls=self._shortfalls[stream])
        if isinstance(result, Mapping):
            self._result = result


def metadata(stream: StreamResult) -> dict[str, Any]:
    """Return the facts about a stream by the names that an engine shows."""
    return {
        "records": stream.records,
        "requests": stream.requests,
        "seconds": stream.seconds,
        SHORTFALLS: sum(stream.shortfalls.values()),
        "shortfall_reasons": dict(stream.shortfalls),
        "bookmark": stream.bookmark_after,
        "bookmark_before": stream.bookmark_before,
    }


def _fields(line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
