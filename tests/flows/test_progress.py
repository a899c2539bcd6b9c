"""How a run tells that it lives, why it waits, and in the end what it did."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import RUN, Output, Tap
from conftest import selecting as selecting_in_place
from terminal import Terminal
from truth import STREAMS
from warm_tap import SHORT_WAITS, WarmTap

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.sample import generate
from tap_intercom.intercom.client import Client
from tap_intercom.progress import Progress, duration, seconds_left
from tap_intercom.reading.stream_run import Batch
from tap_intercom.settings import Settings
from tap_intercom.shortfalls import Shortfalls
from tap_intercom.state import State
from tap_intercom.streams import STREAMS as EVERY_STREAM

Catalog = dict[str, Any]

OFTEN = {"progress.LINE_SECONDS": 0.02}
BOOKMARK = {"updated_at": "2020-01-01T00:00:00Z", "since": "2015-01-01T00:00:00Z"}
COLUMNS = [
    "stream",
    "result",
    "records",
    "requests",
    "seconds",
    "bookmark before",
    "bookmark after",
    "shortfalls",
]


def selecting(catalog: Catalog, *streams: str) -> Catalog:
    return selecting_in_place(deepcopy(catalog), *streams)


class Held:
    """Holds the sandbox's answers to a path back, until it is let go."""

    def __init__(self, sandbox: Sandbox, path: str) -> None:
        self._path = path
        self._is_let_go = threading.Event()
        sandbox.before_request(self._wait)

    def _wait(self, sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if path == self._path:
            assert self._is_let_go.wait(60)

    def let_go(self) -> None:
        self._is_let_go.set()


def summary(output: Output) -> dict[str, dict[str, str]]:
    """The table at the end of a log, by stream: its cells, cut where the heads begin."""
    lines = [line.removeprefix("INFO ") for line in output.log.splitlines()]
    (at,) = [number for number, line in enumerate(lines) if line.startswith("stream ")]
    head, *rows = lines[at:]
    rows = [row for row in rows if row.split()[0] in EVERY_STREAM]
    table = {}
    for row in rows:
        cells = re.split(r" {2,}", row)
        table[cells[0]] = dict(zip(COLUMNS, cells, strict=True))
    assert re.split(r" {2,}", head) == COLUMNS
    return table


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(generate(seed=2, contacts=12, companies=5, conversations=8, parts=30))


@pytest.fixture
def conversations(start_tap_on: Callable[..., Tap]) -> Tap:
    """A workspace of ten conversations, each with a part."""
    workspace = Workspace()
    for number in range(10):
        workspace.add_conversation(id=str(number))
        workspace.reply(str(number), "a reply")
    return start_tap_on(workspace)


# On a terminal


def on_a_terminal(
    sandbox: Sandbox,
    folder: Path,
    catalog: Catalog,
    *arguments: str,
    environment: dict[str, str] | None = None,
) -> str:
    """What a run of some seconds shows on a terminal, which its stdout does not go to."""
    sandbox.options.latency = 0.05
    tap = Tap(sandbox, folder)
    command = [*RUN, *tap.arguments(catalog=catalog, concurrency=1), *arguments]
    environment = {"TERM": "xterm", **(environment or {})}
    with Terminal(command, environment, stdout=subprocess.DEVNULL, columns=120) as terminal:
        code = terminal.end()
    assert code == 0, terminal.shown
    return terminal.shown


@pytest.fixture(scope="module")
def shown(plain_catalog_text: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run over 40 conversations showed."""
    workspace = generate(seed=2, contacts=3, companies=3, conversations=40, parts=80)
    catalog = selecting(json.loads(plain_catalog_text), "conversations", "conversation_parts")
    with Sandbox(workspace, rate_limit=100) as sandbox:
        return on_a_terminal(sandbox, tmp_path_factory.mktemp("terminal"), catalog)


def bars(shown: str) -> list[str]:
    return re.findall(r"\d+% \|[^|]+\| [^\r\n]+", shown)


def test_a_terminal_shows_a_bar_with_all_there_is_to_know(shown: str) -> None:
    whole = re.compile(
        r"\d+% \|.{10}\| streams 1-2 of 2, \d+ s left, \d+ conversations, "
        r"\d+ conversation_parts, \d+ requests, rate limit \d+%"
    )
    assert any(whole.match(bar) for bar in bars(shown)), shown


def test_the_bar_grows(shown: str) -> None:
    shares = [int(bar.split("%")[0]) for bar in bars(shown) if " conv" in bar]
    assert len(set(shares)) > 2, shown
    assert shares == sorted(shares)
    assert max(shares) <= 100


def test_lines_of_the_log_stand_above_the_bar(shown: str) -> None:
    lines = [line.rsplit("\r", 1)[-1] for line in shown.replace("\r\n", "\n").splitlines()]
    assert lines[-1].startswith("INFO done: ")
    assert sum(line.startswith("INFO conversations: 40 records") for line in lines) == 1


def test_a_terminal_is_spared_the_metrics(shown: str) -> None:
    assert "METRIC" not in shown


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ([], {"TERM": "dumb"}),
        ([], {"LOGLEVEL": "WARNING"}),
        (["--log-format", "json"], {}),
    ],
    ids=["dumb terminal", "quiet", "json"],
)
def test_no_bar_where_nobody_wants_one(
    conversations: Tap,
    plain_catalog: Catalog,
    tmp_path: Path,
    arguments: list[str],
    environment: dict[str, str],
) -> None:
    catalog = selecting(plain_catalog, "conversation_parts")
    shown = on_a_terminal(
        conversations.sandbox, tmp_path, catalog, *arguments, environment=environment
    )
    assert "|" not in shown
    assert "\r" not in shown.replace("\r\n", "\n")


# Elsewhere


def test_a_run_that_waits_for_intercom_says_that_it_lives(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    held = Held(tap.sandbox, "/me")
    run = warm_tap.start(*tap.arguments(catalog=plain_catalog), numbers=OFTEN)
    line = "INFO no stream yet, time left unknown, 0 requests\n"
    run.wait_for_log(line + line)
    held.let_go()
    assert run.wait().code == 0


def test_lines_tell_records_requests_rate_limit_and_time_left(
    conversations: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    held = Held(conversations.sandbox, "/conversations/0")
    catalog = selecting(plain_catalog, "conversations", "conversation_parts")
    run = warm_tap.start(
        *conversations.arguments(catalog=catalog, concurrency=1),
        numbers=OFTEN,
    )
    line = re.compile(
        r"INFO streams 1-2 of 2, \d+ s left, \d+ conversations, \d+ conversation_parts, "
        r"\d+ requests, rate limit \d+%"
    )
    run.wait_for_log("s left, ")
    held.let_go()
    output = run.wait()
    assert line.search(output.log), output.log


def test_time_left_is_a_minimum_while_other_streams_are_not_read(
    conversations: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    held = Held(conversations.sandbox, "/conversations/0")
    catalog = selecting(plain_catalog, "conversations", "conversation_parts", "tags")
    run = warm_tap.start(
        *conversations.arguments(catalog=catalog, concurrency=1),
        numbers={**OFTEN, "sync.STREAMS_AT_ONCE": 1},
    )
    run.wait_for_log(re.compile(r"INFO streams 1-2 of 3, at least \d+ s left, "))
    held.let_go()
    output = run.wait()
    assert output.code == 0, output.log
    assert not re.search(r"of 3, \d+ s left", output.log)


def test_time_left_is_that_of_the_whole_run_as_far_as_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    client = Client(Settings(access_token="t", start_date=0))
    progress = Progress(client, State({}), Shortfalls())
    groups: list[list[str]] = [["contacts"], ["conversations", "conversation_parts"], ["tags"]]
    progress.planned(groups)
    selection: Any = SimpleNamespace(name="contacts")
    progress.started({"contacts": selection})

    def told() -> str:
        return progress._parts()[1]

    assert told() == "time left unknown"
    progress.wrote(Batch(expected=100))
    assert told() == "time left unknown"
    now += 10
    progress.wrote(Batch(passed=20))
    assert told() == "at least 40 s left"
    # The slowest of the streams that are read together decides.
    progress.read(groups[1], Batch(expected=1_000))
    now += 10
    progress.read(groups[1], Batch(passed=100))
    assert told() == "at least 1 min 30 s left"
    progress.read_to_end(groups[2])
    assert told() == "1 min 30 s left"
    progress.read_to_end(groups[1])
    assert told() == "1 min 20 s left"
    progress.read_to_end(groups[0])
    progress.wrote(Batch(passed=80))
    assert told() == "0 s left"


def test_no_time_left_is_said_where_only_what_is_not_counted_is_left() -> None:
    client = Client(Settings(access_token="t", start_date=0))
    progress = Progress(client, State({}), Shortfalls())
    progress.planned([["contacts"], ["tags"]])
    selection: Any = SimpleNamespace(name="contacts")
    progress.started({"contacts": selection})
    progress.wrote(Batch(expected=100, passed=100))
    assert progress._parts()[1] == "time left unknown"


def test_lines_come_every_half_minute(tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog) -> None:
    output = warm_tap.run(*tap.arguments(catalog=plain_catalog))
    assert "requests, rate limit" not in output.log


def test_time_left_follows_the_pace_so_far() -> None:
    assert seconds_left(25, 100, 10.0) == 30.0
    assert seconds_left(0, 100, 10.0) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# Waits


def test_a_long_wait_for_the_rate_limit_is_told_once(
    conversations: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    conversations.sandbox.faults.add(
        "status", path="^/conversations/[0-9]$", times=4, status=429, headers={"Retry-After": "0.3"}
    )
    output = warm_tap.run(
        *conversations.arguments(catalog=selecting(plain_catalog, "conversation_parts")),
        numbers={"intercom.rate_limit.LONG_WAIT_SECONDS": 0.1},
    )
    assert output.code == 0, output.log
    told = [line for line in output.log_lines("INFO") if "rate limit is used up" in line]
    assert told == ["INFO the rate limit is used up; waiting 0 s for the next window"]


def test_a_short_wait_for_the_rate_limit_is_not_told(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    tap.sandbox.faults.add("status", path="^/tags$", status=429, headers={"Retry-After": "0.1"})
    output = warm_tap.run(*tap.arguments(catalog=selecting(plain_catalog, "tags")))
    assert output.code == 0, output.log
    assert "rate limit is used up" not in output.log


def test_a_retry_tells_its_cause_and_its_wait(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    tap.sandbox.faults.add("status", path="^/tags$", status=503)
    output = warm_tap.run(
        *tap.arguments(catalog=selecting(plain_catalog, "tags")), numbers=SHORT_WAITS
    )
    (line,) = [line for line in output.log_lines("INFO") if "retrying" in line]
    assert re.match(r"INFO GET /tags: 503, .*; retrying in 0\.0 s$", line)


def test_a_scroll_of_others_tells_that_it_is_waited_for(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    tap.sandbox.faults.add("scroll_exists", path="^/companies/scroll$", times=2)
    output = warm_tap.run(
        *tap.arguments(catalog=selecting(plain_catalog, "companies")), numbers=SHORT_WAITS
    )
    told = [line for line in output.log_lines("WARNING") if "another app is scrolling" in line]
    assert len(told) == 2
    assert all(line.endswith("retrying in 0 s") for line in told)


# The table at the end


def test_the_table_tells_what_was_written_and_asked(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    output = warm_tap.run(*tap.arguments(catalog=plain_catalog))
    table = summary(output)
    assert {name: int(row["records"]) for name, row in table.items()} == {
        name: len(output.records(name)) for name in STREAMS
    }
    assert {row["result"] for row in table.values()} == {"complete"}
    requests = {name: int(row["requests"]) for name, row in table.items()}
    paths = [request.path for request in tap.sandbox.requests]
    assert sum(requests.values()) + paths.count("/me") == len(paths)
    assert requests["conversation_parts"] == 8
    assert requests["conversations"] == sum(
        path in ("/conversations/search", "/tickets/search") for path in paths
    )
    assert output.last_log_line.startswith("INFO done: ")


def test_tables_of_one_path_share_their_requests(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    catalog = selecting(plain_catalog, "contacts", "events", "event_summaries", "contact_notes")
    output = warm_tap.run(*tap.arguments(catalog=catalog))
    requests = {name: int(row["requests"]) for name, row in summary(output).items()}
    paths = [request.path for request in tap.sandbox.requests]
    assert requests["events"] + requests["event_summaries"] == paths.count("/events") > 0
    assert sum(requests.values()) + paths.count("/me") == len(paths)


def test_the_table_tells_where_bookmarks_went(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    state = {"bookmarks": {"contacts": BOOKMARK}}
    catalog = selecting(plain_catalog, "contacts", "companies", "tags")
    output = warm_tap.run(*tap.arguments(catalog=catalog, state=state))
    table = summary(output)
    after = output.state["bookmarks"]["contacts"]["updated_at"]
    assert table["contacts"]["bookmark before"] == BOOKMARK["updated_at"]
    assert table["contacts"]["bookmark after"] == after
    assert table["companies"]["bookmark before"] == "-"
    assert table["tags"]["bookmark after"] == "-"


def test_a_bookmark_that_stays_behind_is_explained(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    catalog = selecting(plain_catalog, "contacts", "tickets", "ticket_parts")
    output = warm_tap.run(*tap.arguments(catalog=catalog))
    (line,) = [line for line in output.log_lines("INFO") if "stays" in line]
    assert line == (
        "INFO tickets, ticket_parts: the bookmark stays 24 hours behind the start of the run, "
        "because a ticket may get a part without a new updated_at; each run reads that time again"
    )


def test_the_table_counts_shortfalls(
    conversations: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    conversations.sandbox.faults.add("status", path="^/conversations/[37]$", times=2, status=404)
    catalog = selecting(plain_catalog, "conversation_parts")
    output = warm_tap.run(*conversations.arguments(catalog=catalog))
    assert output.code == 0, output.log
    assert summary(output)["conversation_parts"]["shortfalls"] == "2"


@pytest.mark.parametrize(
    ("on_missing_permission", "result", "last"),
    [("fail", "failed", "CRITICAL "), ("skip", "skipped", "INFO done: ")],
)
def test_the_table_names_streams_that_are_not_complete(
    tap: Tap,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
    on_missing_permission: str,
    result: str,
    last: str,
) -> None:
    tap.sandbox.options.permissions -= {"tags"}
    output = warm_tap.run(
        *tap.arguments(catalog=plain_catalog, on_missing_permission=on_missing_permission)
    )
    results = {name: row["result"] for name, row in summary(output).items()}
    assert results == {name: result if name == "tags" else "complete" for name in STREAMS}
    assert output.last_log_line.startswith(last)


def test_a_run_that_is_stopped_sums_up_what_it_began(
    conversations: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    held = Held(conversations.sandbox, "/conversations/5")
    catalog = selecting(plain_catalog, "admins", "conversation_parts", "tags")
    run = warm_tap.start(*conversations.arguments(catalog=catalog))
    run.wait_for_log("conversation_parts: reading")
    run.kill(15)
    output = run.wait()
    held.let_go()
    assert output.code == 143
    results = {name: row["result"] for name, row in summary(output).items()}
    assert results == {"admins": "complete", "conversation_parts": "interrupted"}


def test_a_stream_with_another_name_in_the_catalog_is_counted(
    tap: Tap, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    catalog = selecting(plain_catalog, "tags")
    for entry in catalog["streams"]:
        entry["stream"] = f"intercom_{entry['stream']}"
    output = warm_tap.run(*tap.arguments(catalog=catalog))
    count = len(output.records("intercom_tags"))
    assert count > 0
    assert summary(output)["tags"]["records"] == str(count)


def test_what_draws_bars_is_not_imported_elsewhere(tap: Tap, plain_catalog: Catalog) -> None:
    code = (
        "import sys; from tap_intercom.cli import main; main(); "
        "print('tqdm' in sys.modules, file=sys.stderr)"
    )
    arguments = tap.arguments(catalog=selecting(plain_catalog, "tags"))
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert run.stderr.splitlines()[-1] == "False"
