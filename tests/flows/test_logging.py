"""What the log holds: metrics for programs, a line for each request on demand, nobody's data."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import RUN, TIMEOUT_SECONDS, Output, Tap
from log_lines import TIME, without_times
from singer import metrics
from truth import STREAMS
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.times import epoch_seconds

TOKEN = "secret-token-of-the-log"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def build_workspace() -> Workspace:
    """A workspace of which a run has nothing to warn."""
    workspace = generate(seed=3, contacts=12, companies=5, conversations=6, parts=20)
    for contact in workspace.truth("contacts"):
        workspace.update_contact(contact["id"], custom_attributes={"seats": 1})
    return workspace


@pytest.fixture(scope="module")
def catalog_text(warm_tap: WarmTap, tmp_path_factory: pytest.TempPathFactory) -> str:
    with Sandbox(build_workspace()) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("catalog"))
        return warm_tap.run("--config", tap.config(), "--discover").stdout.decode()


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(build_workspace(), token=TOKEN)


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
def logged(tap: Tap, warm_tap: WarmTap, catalog_text: str) -> Logged:
    return Logged(tap, warm_tap, json.loads(catalog_text))


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
    output = logged.run(numbers={"intercom.metrics.INTERVAL_SECONDS": 0})
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
    output = logged.run(numbers={"intercom.client.FIRST_RETRY_WAIT_SECONDS": 0.01})
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
    assert "LOGLEVEL: unknown level 'LOUD'" in warning


def test_each_line_has_its_level_and_then_its_time_but_metrics(logged: Logged) -> None:
    begun = int(time.time())
    lines = logged.run().timed_log.splitlines()
    metric_lines = [line for line in lines if line.startswith("INFO METRIC: ")]
    assert metric_lines
    timed = [line for line in lines if line not in metric_lines]
    assert [line for line in timed if not TIME.match(line)] == []
    instants = [epoch_seconds(line.split()[1]) for line in timed]
    assert instants == sorted(instants)
    assert begun <= instants[0]
    assert instants[-1] <= time.time()


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


# -- Lines that are hard to write ----------------------------------------------------------------


ODD = "\x07\x1b[31m\r\x7f\x9b2J\u2028\u202e\u2066 \U0001f600"


def odd_refusal(tap: Tap) -> str:
    errors = [{"code": "unauthorized", "message": f"A{ODD}B"}]
    body = json.dumps({"type": "error.list", "errors": errors}).encode()
    tap.sandbox.faults.add("answer", path="^/me$", times=None, answer=lambda call: (401, {}, body))
    return tap.config()


def controls(text: str) -> set[str]:
    kinds = ("Cc", "Zl", "Zp", "Cs")
    return {
        each
        for each in text
        if each != "\n" and (unicodedata.category(each) in kinds or each in "\u202e\u2066")
    }


def test_a_text_of_intercom_does_not_control_a_terminal(tap: Tap, warm_tap: WarmTap) -> None:
    output = warm_tap.run("--config", odd_refusal(tap))
    assert controls(output.log) == set()
    assert r"A\x07\x1b[31m" in output.last_log_line
    assert "\U0001f600B" in output.last_log_line


def test_a_text_of_intercom_stays_valid_json(tap: Tap, warm_tap: WarmTap) -> None:
    output = warm_tap.run("--config", odd_refusal(tap), "--log-format", "json")
    assert controls(output.log) == set()
    assert f"A{ODD}B" in documents(output)[-1]["message"]


@pytest.mark.parametrize("token", ["level", '"', "e", "time"])
def test_a_token_that_is_a_part_of_json_leaves_it_valid(
    tap: Tap, warm_tap: WarmTap, token: str
) -> None:
    config = tap.config(access_token=token)
    (line,) = [
        each
        for each in documents(warm_tap.run("--config", config, "--log-format", "json"))
        if each["level"] == "CRITICAL"
    ]
    assert line.keys() == {"time", "level", "message"}


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_log_that_nobody_reads_stops_no_run(
    tap: Tap, plain_catalog: dict[str, Any], style: str
) -> None:
    arguments = [*tap.arguments(catalog=plain_catalog), "--log-format", style]
    for stderr in (None, "closed pipe"):
        process = start_with_stderr(arguments, stderr)
        stdout, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0
        assert Output(0, stdout, "").ids("contacts") == {
            contact["id"] for contact in tap.sandbox.truth("contacts")
        }


def start_with_stderr(arguments: list[str], stderr: str | None) -> subprocess.Popen[bytes]:
    """A run whose stderr is closed, or a pipe without a reader."""
    if stderr is None:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *RUN, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.Popen(
            [*RUN, *arguments], stdout=subprocess.PIPE, stderr=writer, stdin=subprocess.DEVNULL
        )
    finally:
        os.close(writer)


def test_a_full_log_that_does_not_block_gets_every_line_whole(
    tap: Tap, plain_catalog: dict[str, Any]
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n" * 4096)
    process = subprocess.Popen(
        [*RUN, *tap.arguments(catalog=plain_catalog), "--log-format", "json"],
        stdout=subprocess.DEVNULL,
        stderr=writer,
        stdin=subprocess.DEVNULL,
    )
    os.close(writer)
    # The tap can only go on once this reads; what it wrote by then is whole.
    with os.fdopen(reader, "rb") as file:
        lines = [json.loads(line) for line in file if line.strip()]
    assert process.wait(TIMEOUT_SECONDS) == 0
    assert lines[-1]["message"].startswith("done: ")


def test_a_line_that_cannot_be_made_is_replaced() -> None:
    code = (
        "from tap_intercom import log; log.set_up(); log.LOGGER.error('%d of %s', 'x');"
        "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, *_ = without_times(done.stderr).splitlines()
    assert first == "ERROR a log line could not be formatted (TypeError)"
    assert second == "CRITICAL a bug in tap-intercom; please report it"
