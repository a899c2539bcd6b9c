"""Counts of requests: by reader and endpoint, and their durations for the log."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tap_intercom.intercom.metrics import INTERVAL_SECONDS, Requests, emit


def points(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(text.removeprefix("METRIC: ")) for text in caplog.messages]


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, "tap_intercom.intercom.metrics")


def test_a_metric_has_the_form_of_singer(caplog: pytest.LogCaptureFixture) -> None:
    emit("counter", "record_count", 20, {"endpoint": "tags"})
    point = {
        "type": "counter",
        "metric": "record_count",
        "value": 20,
        "tags": {"endpoint": "tags"},
    }
    assert points(caplog) == [point]
    # The JSON form of the log has it as an object.
    (record,) = caplog.records
    assert vars(record)["fields"] == {"metric": point}


def test_requests_are_counted_by_reader_and_endpoint() -> None:
    requests = Requests()
    for reader, endpoint in (("tags", "/tags"), ("", "/me"), ("tags", "/tags"), ("tags", "/x")):
        requests.note(reader, endpoint, 0.5, is_answered=True)
    assert requests.total == 4
    assert (requests.count("tags"), requests.count("tags", "/tags")) == (3, 2)
    assert requests.count("teams") == 0


def test_durations_are_means_by_endpoint_and_outcome(caplog: pytest.LogCaptureFixture) -> None:
    requests = Requests()
    for endpoint, seconds, is_answered in (
        ("/tags", 0.1, True),
        ("/tags", 0.3, True),
        ("/tags", 9.0, False),
        ("/teams", 1.0, True),
    ):
        requests.note("tags", endpoint, seconds, is_answered)
    requests.emit()
    found = [(each["tags"], each["value"]) for each in points(caplog)]
    assert found == [
        ({"endpoint": "/tags", "status": "failed", "count": 1}, 9.0),
        ({"endpoint": "/tags", "status": "succeeded", "count": 2}, 0.2),
        ({"endpoint": "/teams", "status": "succeeded", "count": 1}, 1.0),
    ]
    caplog.clear()
    requests.emit()
    assert points(caplog) == []


def test_durations_are_logged_every_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    requests = Requests()
    now += INTERVAL_SECONDS - 1
    requests.note("tags", "/tags", 0.5, is_answered=True)
    assert points(caplog) == []
    now += 1
    requests.note("tags", "/tags", 0.5, is_answered=True)
    assert [each["tags"]["count"] for each in points(caplog)] == [2]


def test_a_reader_began_with_the_start_of_its_first_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    requests = Requests()
    assert requests.seconds_since_first("tags") == 0.0
    requests.note("tags", "/tags", 2.0, is_answered=True)
    now += 10
    requests.note("tags", "/tags", 2.0, is_answered=True)
    assert requests.seconds_since_first("tags") == 12.0
