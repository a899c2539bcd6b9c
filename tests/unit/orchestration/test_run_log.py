from __future__ import annotations

import json
from typing import Any

import pytest

from tap_intercom.orchestration.run_log import Line, RunLog, StreamResult, metadata

SUMMARY = {
    "stream": "contacts",
    "result": "complete",
    "records": 12,
    "requests": 3,
    "seconds": 0.4,
    "bookmark_before": None,
    "bookmark_after": "2026-01-31T12:00:00Z",
    "shortfalls": 3,
}


def line(**fields: Any) -> str:
    return json.dumps({"time": "2026-01-31T12:00:00.000Z", "level": "INFO", **fields}) + "\n"


def shortfall(count: int, reason: str) -> str:
    tags = {"stream": "contacts", "reason": reason}
    metric = {"type": "counter", "metric": "shortfall_count", "value": count, "tags": tags}
    return line(process="tap", message="METRIC", metric=metric)


def result(**facts: Any) -> str:
    found = {"records": 12, "tap": 0, "target": 0, "has_taken_all": True, **facts}
    return line(message="done", result=found)


def read(*lines: str) -> RunLog:
    log = RunLog()
    for each in lines:
        log.read(each)
    return log


def test_summary_and_metrics_of_a_stream_are_its_result() -> None:
    log = read(
        shortfall(1, "gone"),
        shortfall(2, "cut"),
        line(process="tap", message="contacts 12", summary=SUMMARY),
        result(),
    )
    contacts = StreamResult(
        "contacts", "complete", 12, 3, 0.4, None, "2026-01-31T12:00:00Z", {"gone": 1, "cut": 2}
    )
    assert log.streams == {"contacts": contacts}
    assert log.loaded_streams == [contacts]
    assert log.records == 12
    assert metadata(contacts) == {
        "records": 12,
        "requests": 3,
        "seconds": 0.4,
        "shortfalls": 3,
        "shortfall_reasons": {"gone": 1, "cut": 2},
        "bookmark": "2026-01-31T12:00:00Z",
        "bookmark_before": None,
    }


@pytest.mark.parametrize("facts", [{"target": 1}, {"has_taken_all": False}])
def test_no_stream_is_loaded_if_the_target_failed(facts: dict[str, Any]) -> None:
    assert not read(line(process="tap", summary=SUMMARY), result(**facts)).loaded_streams


def test_no_stream_is_loaded_without_the_last_line() -> None:
    assert not read(line(process="tap", summary=SUMMARY)).loaded_streams


@pytest.mark.parametrize("ended", ["failed", "interrupted", "skipped"])
def test_a_complete_stream_is_loaded_beside_one_that_is_not(ended: str) -> None:
    log = read(
        line(process="tap", summary=SUMMARY),
        line(process="tap", summary={**SUMMARY, "stream": "tags", "result": ended}),
        result(tap=3),
    )
    assert [each.stream for each in log.loaded_streams] == ["contacts"]
    assert log.streams["tags"].result == ended


def test_the_last_error_says_why_a_run_failed() -> None:
    log = read(
        line(process="tap", level="CRITICAL", message="tags: no permission"),
        line(level="CRITICAL", message="failed: 0 records"),
        line(level="WARNING", message="later"),
    )
    assert log.last_error == "failed: 0 records"


def test_a_target_cannot_say_what_only_the_tap_knows() -> None:
    log = read(
        line(process="target", level="ERROR", summary=SUMMARY, result={"target": 0}),
        shortfall(0, "").replace('"tap"', '"target"'),
    )
    assert not log.streams
    assert not log.is_loaded
    assert log.last_error == ""


def test_each_line_is_text_for_people() -> None:
    log = RunLog()
    assert log.read(line(process="tap", message="reading")) == Line("INFO", "tap: reading")
    assert log.read(line(level="WARNING", message="why")) == Line("WARNING", "why")
    assert log.read(shortfall(1, "gone")).is_number
    for text in ("no JSON", "[1]", '"text"', "{", "[" * 100_000):
        assert log.read(f"{text}\n") == Line("INFO", text)
