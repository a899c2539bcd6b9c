"""What the log holds: metrics for programs, a line for each request on demand, nobody's data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Output, Tap
from singer import metrics
from truth import STREAMS
from warm_tap import WarmTap

from tap_intercom.sandbox.sample import generate

TOKEN = "secret-token-of-the-log"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    workspace = generate(seed=3, contacts=12, companies=5, conversations=6, parts=20)
    return start_tap_on(workspace, token=TOKEN)


class Logged:
    """A sync of all streams, without discovery, and what it logged."""

    def __init__(self, tap: Tap, warm_tap: WarmTap, catalog: dict[str, Any]) -> None:
        self._tap = tap
        self._warm_tap = warm_tap
        self._arguments = tap.arguments(catalog=catalog)

    def run(
        self,
        *arguments: str,
        numbers: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
    ) -> Output:
        return self._warm_tap.run(
            *self._arguments, *arguments, numbers=numbers, environment=environment
        )


@pytest.fixture
def logged(tap: Tap, warm_tap: WarmTap, plain_catalog: dict[str, Any]) -> Logged:
    return Logged(tap, warm_tap, plain_catalog)


def points(output: Output, metric: str) -> list[Any]:
    """The points of a metric, as singer-python reads them out of a log."""
    found = [metrics.parse(line) for line in output.log.splitlines()]
    return [point for point in found if point and point.metric == metric]


def documents(output: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.log.splitlines()]


def is_id(segment: str) -> bool:
    return any(not (character.islower() or character == "_") for character in segment)


def test_records_are_counted_by_stream(logged: Logged) -> None:
    output = logged.run()
    counts = {point.tags["stream"]: point.value for point in points(output, "record_count")}
    assert counts == {name: len(output.records(name)) for name in STREAMS}


def test_what_did_not_come_is_counted_with_its_reason(tap: Tap, logged: Logged) -> None:
    workspace = tap.sandbox.workspace
    conversation = workspace.add_conversation()
    workspace.load_parts(conversation, [{"body": str(number)} for number in range(812)])
    (point,) = points(logged.run(), "shortfall_count")
    assert point.value == 312
    assert point.tags["stream"] == "conversation_parts"
    assert "500" in point.tags["reason"]


def test_counts_of_a_long_run_come_in_parts(logged: Logged) -> None:
    output = logged.run(numbers={"metrics.INTERVAL_SECONDS": 0})
    told = points(output, "record_count")
    assert len(told) > len(STREAMS)
    counts: Counter[str] = Counter()
    for point in told:
        counts[point.tags["stream"]] += int(point.value)
    assert counts == {name: len(output.records(name)) for name in STREAMS}


def test_requests_are_timed_by_endpoint_and_without_ids(tap: Tap, logged: Logged) -> None:
    output = logged.run()
    told = points(output, "http_request_duration")
    endpoints = Counter({point.tags["endpoint"]: point.tags["count"] for point in told})
    asked = Counter(
        "/".join("{id}" if is_id(part) else part for part in request.path.split("/"))
        for request in tap.sandbox.requests
    )
    assert endpoints == asked
    assert "/conversations/{id}" in endpoints
    assert all(point.metric_type == "timer" and 0 < point.value < 60 for point in told)
    assert {point.tags["status"] for point in told} == {"succeeded"}


def test_requests_that_fail_are_timed_apart(tap: Tap, logged: Logged) -> None:
    tap.sandbox.faults.add("status", path="^/tags$", status=503)
    output = logged.run(numbers={"client.FIRST_RETRY_WAIT_SECONDS": 0.01})
    told = [
        point
        for point in points(output, "http_request_duration")
        if point.tags["endpoint"] == "/tags"
    ]
    assert {point.tags["status"]: point.tags["count"] for point in told} == {
        "failed": 1,
        "succeeded": 1,
    }


def test_streams_and_the_run_are_timed(tap: Tap, logged: Logged) -> None:
    tap.sandbox.options.permissions -= {"tags"}
    output = logged.run()
    status = {
        point.tags["stream"]: point.tags["status"] for point in points(output, "sync_duration")
    }
    assert status == {name: "failed" if name == "tags" else "succeeded" for name in STREAMS}
    (job,) = points(output, "job_duration")
    assert job.tags == {"job_type": "sync", "status": "failed"}
    assert 0 < max(point.value for point in points(output, "sync_duration")) <= job.value


def test_a_run_that_cannot_begin_is_timed(tap: Tap, warm_tap: WarmTap) -> None:
    output = warm_tap.run("--config", tap.config(access_token="another"))
    (job,) = points(output, "job_duration")
    assert job.tags["status"] == "failed"
    assert output.last_log_line.startswith("CRITICAL ")


def test_debug_holds_a_line_for_each_request_and_nothing_of_others(
    tap: Tap, logged: Logged
) -> None:
    output = logged.run(environment={"LOGLEVEL": "DEBUG"})
    lines = output.log_lines("DEBUG")
    assert Counter(line.split(": ")[0] for line in lines) == Counter(
        f"DEBUG {request.method} {request.path}" for request in tap.sandbox.requests
    )
    assert all(line.startswith(LEVELS) for line in output.log.splitlines())


def test_without_debug_no_line_is_doubled(logged: Logged) -> None:
    lines = logged.run().log.splitlines()
    assert len(lines) == len(set(lines))
    assert not any(line.startswith("DEBUG") for line in lines)


def test_not_even_debug_holds_people_texts_or_the_token(tap: Tap, logged: Logged) -> None:
    output = logged.run(environment={"LOGLEVEL": "DEBUG"})
    private = {TOKEN}
    for contact in tap.sandbox.truth("contacts"):
        private |= {contact["name"], contact["email"], contact["phone"]}
    for company in tap.sandbox.truth("companies"):
        private.add(company["name"])
    for part in tap.sandbox.truth("conversation_parts"):
        private |= {part["body"], part["author"]["name"], part["author"]["email"]}
    texts = {text for text in private if text}
    assert len(texts) > 30
    assert {text for text in texts if text in output.log} == set()


@pytest.mark.parametrize(
    ("environment", "levels"),
    [
        ({"LOGLEVEL": "WARNING"}, set()),
        ({"LOGLEVEL": "info"}, {"INFO"}),
        ({"TAP_INTERCOM_LOGLEVEL": "DEBUG"}, {"DEBUG", "INFO"}),
        ({"TAP_INTERCOM_LOGLEVEL": "ERROR", "LOGLEVEL": "DEBUG"}, set()),
        ({"TAP_INTERCOM_LOGLEVEL": "", "LOGLEVEL": "ERROR"}, set()),
        ({"LOGLEVEL": "loud"}, {"INFO", "WARNING"}),
    ],
    ids=["warning", "lower case", "own", "own wins", "empty own", "unknown"],
)
def test_the_environment_sets_the_level(
    logged: Logged, environment: dict[str, str], levels: set[str]
) -> None:
    output = logged.run(environment=environment)
    assert output.code == 0
    assert {line.split()[0] for line in output.log.splitlines()} == levels


def test_a_level_that_is_none_is_told(logged: Logged) -> None:
    (warning,) = logged.run(environment={"LOGLEVEL": "loud"}).log_lines("WARNING")
    assert "LOGLEVEL: 'LOUD' is no level" in warning


def test_programs_get_json(logged: Logged) -> None:
    output = logged.run("--log-format", "json")
    lines = documents(output)
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    assert {line["level"] for line in lines} == {"INFO"}
    counts = {
        line["metric"]["tags"]["stream"]: line["metric"]["value"]
        for line in lines
        if line.get("metric", {}).get("metric") == "record_count"
    }
    assert counts == {name: len(output.records(name)) for name in STREAMS}
    summary = {line["summary"]["stream"]: line["summary"] for line in lines if "summary" in line}
    assert {name: row["records"] for name, row in summary.items()} == counts


def test_a_bug_in_json_is_one_line_with_its_traceback(logged: Logged) -> None:
    output = logged.run("--log-format", "json", numbers={"sync.STREAMS_AT_ONCE": "no number"})
    assert output.code == 1
    line = documents(output)[-1]
    assert line["level"] == "CRITICAL"
    assert "report it" in line["message"]
    assert "TypeError" in line["exception"]


def test_json_does_not_show_the_token(tap: Tap, warm_tap: WarmTap) -> None:
    token = 'quote"and\\slash'
    tap.sandbox.faults.add("status", path="^/me$", status=401, message=f"Token {token} is bad")
    output = warm_tap.run("--config", tap.config(access_token=token), "--log-format", "json")
    assert "Token *** is bad" in documents(output)[-1]["message"]


def test_commands_log_json_too(tap: Tap, warm_tap: WarmTap) -> None:
    config = tap.config(access_token="another")
    output = warm_tap.run("check", "--config", config, "--log-format", "json")
    (line,) = documents(output)
    assert line["level"] == "CRITICAL"
