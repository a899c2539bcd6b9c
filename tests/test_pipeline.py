"""The tap and a target as one command: what is kept, what comes back, whatever ends on the way."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import RUN, START_DATE, TIMEOUT_SECONDS, selecting
from terminal import Terminal

from tap_intercom.pipeline import Feed, labelled, state_of, worse
from tap_intercom.sandbox import Sandbox, Workspace, generate

TESTS = Path(__file__).parent
STREAMS = ("companies", "contacts", "conversation_parts", "conversations", "segments", "tags")

StartSandbox = Callable[..., Sandbox]


class Pipeline:
    """The command, with a sandbox, a state file and the rows of a small target."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.state = folder / "state.json"
        self.rows = folder / "rows.jsonl"
        self.processes: list[subprocess.Popen[str]] = []
        config = {
            "access_token": sandbox.token,
            "start_date": START_DATE,
            "base_url": sandbox.url,
        }
        self.config = folder / "config.json"
        self.config.write_text(json.dumps(config))

    def command(self, *target: str, flags: tuple[str, ...] = (), program: Any = None) -> list[str]:
        """The command line; target: flags of the small one. program: another target instead."""
        small = [sys.executable, str(TESTS / "small_target.py"), str(self.rows)]
        files = ["--state", str(self.state), "--config", str(self.config)]
        return [*RUN, "run", *files, *flags, "--", *(program or small), *target]

    def start(self, *target: str, **how: Any) -> subprocess.Popen[str]:
        """A run that ends with the test at the latest."""
        process = subprocess.Popen(
            self.command(*target, **how),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )
        self.processes.append(process)
        return process

    def run(self, *target: str, **how: Any) -> tuple[int, str]:
        """Exit code and log of a run to its end."""
        process = self.start(*target, **how)
        stdout, log = process.communicate(timeout=TIMEOUT_SECONDS)
        assert stdout == ""
        return process.returncode, log

    def catalog(self, *streams: str) -> tuple[str, str]:
        """The flag for a catalog of these streams."""
        path = self.folder / "catalog.json"
        discover = [*RUN, "--config", str(self.config), "--discover"]
        catalog = json.loads(subprocess.run(discover, stdout=subprocess.PIPE, check=True).stdout)
        path.write_text(json.dumps(selecting(catalog, *streams)))
        return "--catalog", str(path)

    @property
    def kept(self) -> Any:
        return json.loads(self.state.read_bytes())

    @property
    def previous(self) -> Any:
        return json.loads((self.folder / "state.json.previous").read_bytes())

    def ids(self) -> dict[str, set[str]]:
        """What the target has."""
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for line in self.rows.read_bytes().splitlines():
            message = json.loads(line)
            if message["stream"] in STREAMS:
                ids[message["stream"]].add(message["record"]["id"])
        return ids

    def truth(self) -> dict[str, set[str]]:
        return {name: {str(row["id"]) for row in self.sandbox.truth(name)} for name in STREAMS}

    @contextmanager
    def locked(self) -> Iterator[Any]:
        """The state file as another run uses it."""
        with (self.folder / "state.json.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read the log up to a line with this text; gives the rest of that line."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line.partition(text)[2].strip()
    raise AssertionError(f"the log ended without {text!r}")


@pytest.fixture
def start_pipeline(
    start_sandbox: StartSandbox, tmp_path: Path
) -> Iterator[Callable[[Workspace], Pipeline]]:
    started: list[Pipeline] = []

    def start(workspace: Workspace) -> Pipeline:
        started.append(Pipeline(start_sandbox(workspace), tmp_path))
        return started[-1]

    yield start
    for pipeline in started:
        for process in pipeline.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def pipeline(start_pipeline: Callable[[Workspace], Pipeline]) -> Pipeline:
    """A workspace that several states are written for."""
    return start_pipeline(
        generate(seed=5, contacts=400, companies=40, conversations=40, parts=400, days=60)
    )


@pytest.fixture
def small_pipeline(start_pipeline: Callable[[Workspace], Pipeline]) -> Pipeline:
    workspace = Workspace()
    workspace.add_contact()
    return start_pipeline(workspace)


# -- What is kept --------------------------------------------------------------------------------


def test_all_records_arrive_and_the_next_run_goes_on(pipeline: Pipeline) -> None:
    code, log = pipeline.run()
    assert code == 0, log
    assert pipeline.ids() == pipeline.truth()
    first = pipeline.kept
    assert first["bookmarks"]["contacts"]["updated_at"]
    assert pipeline.previous == {}

    pipeline.rows.unlink()
    pipeline.sandbox.options.clock_offset_seconds = 60
    new = pipeline.sandbox.workspace.add_contact()
    code, log = pipeline.run()
    assert code == 0, log
    assert pipeline.ids()["contacts"] == {new}
    assert pipeline.previous == first
    assert pipeline.kept != first


def test_a_catalog_says_what_is_read(pipeline: Pipeline) -> None:
    assert pipeline.run(flags=pipeline.catalog("contacts"))[0] == 0
    assert set(pipeline.ids()) == {"contacts"}


def test_the_state_of_a_target_that_prints_none_is_that_of_the_tap(pipeline: Pipeline) -> None:
    code, log = pipeline.run("--silent")
    assert code == 0, log
    assert pipeline.ids() == pipeline.truth()
    assert pipeline.kept["bookmarks"]["contacts"]["updated_at"]


@pytest.mark.parametrize("flags", [("--fails-at-end",), ("--fails-after", "500")])
def test_a_target_that_prints_none_and_fails_confirms_nothing(
    pipeline: Pipeline, flags: tuple[str, ...]
) -> None:
    code, log = pipeline.run("--silent", *flags)
    assert code == 7, log
    assert pipeline.kept == {}
    assert not (pipeline.folder / "state.json.previous").exists()


def test_what_a_target_confirmed_before_it_failed_is_kept(pipeline: Pipeline) -> None:
    code, log = pipeline.run("--fails-after", "700")
    assert code == 7, log
    assert "the next run goes on from the last state" in log.splitlines()[-1]
    assert pipeline.kept["bookmarks"]
    assert pipeline.ids() != pipeline.truth()
    assert pipeline.run()[0] == 0
    assert pipeline.ids() == pipeline.truth()


def test_a_target_that_ends_early_without_a_fault_confirms_nothing(pipeline: Pipeline) -> None:
    code, log = pipeline.run(program=["head", "-n", "5"])
    assert code == 141, log
    assert pipeline.kept == {}


def test_a_tap_that_waits_for_intercom_does_not_outlive_its_target(
    small_pipeline: Pipeline,
) -> None:
    flags = small_pipeline.catalog("admins", "contacts")
    small_pipeline.sandbox.faults.add("status", path="/contacts/search", status=503, times=None)
    lines_of_admins = "2"
    code, log = small_pipeline.run("--fails-after", lines_of_admins, flags=flags)
    assert code == 7, log


def test_a_link_to_the_state_file_stays_a_link_and_its_permissions_stay(
    small_pipeline: Pipeline,
) -> None:
    elsewhere = small_pipeline.folder / "elsewhere.json"
    elsewhere.write_text("{}")
    elsewhere.chmod(0o640)
    small_pipeline.state.symlink_to(elsewhere)
    assert small_pipeline.run()[0] == 0
    assert small_pipeline.state.is_symlink()
    assert elsewhere.stat().st_mode & 0o777 == 0o640
    assert small_pipeline.kept["bookmarks"]


def test_a_state_that_cannot_be_replaced_ends_the_run(pipeline: Pipeline) -> None:
    (pipeline.folder / "state.json.previous").mkdir()
    code, log = pipeline.run()
    assert code == 2
    assert log.splitlines()[-1].startswith("CRITICAL state: ")
    assert "state.json.previous cannot be written: Is a directory" in log
    assert pipeline.kept == {}


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (b'{"bookmarks": {}}\n', {"bookmarks": {}}),
        (b'{"level": "INFO"}\n', None),
        (b"[1]\n", None),
        (b"loaded 3 rows\n", None),
        (b"\xff\n", None),
        (b"\n", None),
    ],
)
def test_only_a_state_is_taken_for_one(line: bytes, state: Any) -> None:
    assert state_of(line) == state


# -- Whoever is killed, nothing is lost ----------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_when_one_of_the_three_is_killed(pipeline: Pipeline, seed: int) -> None:
    chance = random.Random(seed)
    codes = []
    for who in chance.sample(["runner", "runner", "tap", "target"], 4):
        after = str(chance.randint(1, 700))
        codes.append(pipeline.run("--kill", who, "--after", after, flags=("--wait", "60"))[0])
    assert codes[0] in (-signal.SIGKILL, 128 + signal.SIGKILL)
    code, log = pipeline.run(flags=("--wait", "60"))
    assert code == 0, log
    assert pipeline.ids() == pipeline.truth()


def test_a_killed_tap_is_told_as_a_shell_does(pipeline: Pipeline) -> None:
    code, log = pipeline.run("--kill", "tap", "--after", "300")
    assert code == 128 + signal.SIGKILL, log
    assert "the tap ended with exit code 137, the target with 0" in log.splitlines()[-1]


def test_a_target_that_outlives_the_runner_keeps_the_next_run_out(small_pipeline: Pipeline) -> None:
    process = small_pipeline.start("--stays")
    target = int(read_until(process, "target: the target stays: "))
    process.kill()
    process.wait()
    try:
        assert small_pipeline.run()[0] == 75
    finally:
        os.kill(target, signal.SIGKILL)
    assert small_pipeline.run(flags=("--wait", "60"))[0] == 0


def test_half_a_line_of_a_killed_tap_does_not_reach_the_target() -> None:
    tap = subprocess.Popen(["printf", 'one\ntwo\n{"type":"REC'], stdout=subprocess.PIPE)
    target = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    feed = Feed(tap, target)
    feed.run()
    assert target.stdout is not None
    with target.stdout as arrived:
        assert arrived.read() == b"one\ntwo\n"
    assert (tap.wait(), target.wait()) == (0, 0)
    assert feed.is_whole


# -- Signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_target_load_what_was_read(
    pipeline: Pipeline, number: signal.Signals
) -> None:
    asked: list[int] = []

    def stop(sandbox: Sandbox, method: str, path: str, position: int) -> None:
        if position == 20:
            asked.append(position)
            os.kill(process.pid, number)

    pipeline.sandbox.before_request(stop)
    process = pipeline.start()
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert asked == [20]
    assert process.returncode == 128 + number, log
    assert "the target with 0" in log.splitlines()[-1]
    assert pipeline.ids() != pipeline.truth()
    assert pipeline.kept["bookmarks"]
    assert pipeline.run()[0] == 0
    assert pipeline.ids() == pipeline.truth()


def test_a_second_signal_ends_a_target_that_does_not_end_by_itself(
    small_pipeline: Pipeline,
) -> None:
    process = small_pipeline.start("--stays")
    read_until(process, "target: the target stays: ")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_SECONDS)
    # Both may be pending at once, and then the order is not told.
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert small_pipeline.kept["bookmarks"]


def test_ctrl_c_reaches_the_tap_alone(pipeline: Pipeline) -> None:
    pipeline.sandbox.faults.add("slow", path="/conversations/search", times=None, seconds=30)
    with Terminal(pipeline.command()) as terminal:
        terminal.read_until("conversations and conversation_parts: reading")
        terminal.type("\x03")
        assert terminal.end() == 130, terminal.shown
    assert "the tap ended with exit code 130, the target with 0" in terminal.shown
    assert pipeline.ids()["contacts"] == pipeline.truth()["contacts"]
    assert pipeline.kept["bookmarks"]["contacts"]["updated_at"]


# -- One run at a time ---------------------------------------------------------------------------


def test_a_second_run_says_why_it_stops(small_pipeline: Pipeline) -> None:
    with small_pipeline.locked():
        code, log = small_pipeline.run()
    assert code == 75
    assert f"another run uses {small_pipeline.state}" in log.splitlines()[-1]
    assert small_pipeline.sandbox.requests == []


def test_a_second_run_can_wait(small_pipeline: Pipeline) -> None:
    with small_pipeline.locked():
        process = small_pipeline.start(flags=("--wait", "60"))
        read_until(process, "waiting for at most 60 s")
        assert small_pipeline.sandbox.requests == []
    process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0


def test_a_waiting_run_can_be_stopped(small_pipeline: Pipeline) -> None:
    with small_pipeline.locked():
        process = small_pipeline.start(flags=("--wait", "60"))
        read_until(process, "waiting for at most 60 s")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 143


# -- Exit codes and logs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tap", "target", "code"),
    [
        (0, 0, 0),
        (0, 7, 7),
        (3, 0, 3),
        (3, 7, 3),
        (141, 7, 7),
        (141, 0, 141),
        (143, 0, 143),
        (143, 7, 7),
        (137, 7, 137),
    ],
)
def test_the_worse_exit_code_is_passed_on(tap: int, target: int, code: int) -> None:
    assert worse(tap, target) == code


def test_a_refused_token_is_passed_on(small_pipeline: Pipeline) -> None:
    small_pipeline.sandbox.options.token = "another"
    code, log = small_pipeline.run()
    assert code == 3
    assert "tap: CRITICAL Intercom refused the access token" in log
    assert small_pipeline.kept == {}


def test_each_line_of_the_log_says_whose_it_is(small_pipeline: Pipeline) -> None:
    _, log = small_pipeline.run(flags=small_pipeline.catalog("contacts"))
    lines = log.splitlines()
    assert any(line.startswith("tap: INFO contacts: 1 record") for line in lines)
    assert "target: the target has begun" in lines
    ours = [line for line in lines if not line.startswith(("tap: ", "target: "))]
    assert ours == ["WARNING the target prints lines that are no states; they are left out"]


def test_the_log_may_be_json(small_pipeline: Pipeline) -> None:
    _, log = small_pipeline.run(flags=("--log-format", "json"))
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"process": "target", "message": "the target has begun"} in lines
    told, *_ = [line for line in lines if line["message"].startswith("contacts: 1 record")]
    assert (told["process"], told["level"]) == ("tap", "INFO")


@pytest.mark.parametrize(
    ("line", "style", "shown"),
    [
        (b"INFO done\r\n", "text", b"tap: INFO done\n"),
        (b"\xff", "text", "tap: �\n".encode()),
        (b'{"level": "INFO"}\n', "json", b'{"process": "tap", "level": "INFO"}\n'),
        (b"[1]\n", "json", b'{"process": "tap", "message": "[1]"}\n'),
        (b"done\n", "json", b'{"process": "tap", "message": "done"}\n'),
    ],
)
def test_a_line_is_labelled(line: bytes, style: str, shown: bytes) -> None:
    assert labelled("tap", line, style) == shown


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("", "is empty; write {} into it for a first run"),
        ("[]", "must hold a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_a_file_that_is_no_state_is_left_alone(
    small_pipeline: Pipeline, state: str, told: str
) -> None:
    small_pipeline.state.write_text(state)
    code, log = small_pipeline.run()
    assert code == 2
    assert told in log
    assert "target: " not in log
    assert small_pipeline.state.read_text() == state


def test_a_target_that_cannot_be_started_is_named(small_pipeline: Pipeline) -> None:
    code, log = small_pipeline.run(program=["target-of-nobody"])
    assert code == 2
    assert log == "CRITICAL target: target-of-nobody cannot be started: No such file or directory\n"


def test_a_state_file_in_no_folder_is_named(small_pipeline: Pipeline) -> None:
    small_pipeline.state = small_pipeline.folder / "nowhere" / "state.json"
    code, log = small_pipeline.run()
    assert code == 2
    assert "nowhere/state.json.lock cannot be made: No such file or directory" in log


# -- A real target -------------------------------------------------------------------------------


def test_a_real_target_confirms_states(pipeline: Pipeline) -> None:
    venv = TESTS.parent / ".venv-targets" / "jsonl"
    if not (venv / ".installed").exists():
        pytest.skip("target-jsonl is not installed: make targets")
    config = pipeline.folder / "target.json"
    config.write_text(
        json.dumps({"destination_path": str(pipeline.folder), "do_timestamp_file": False})
    )
    program = [str(venv / "bin" / "target-jsonl"), "--config", str(config)]
    code, log = pipeline.run(program=program)
    assert code == 0, log
    for stream, ids in pipeline.truth().items():
        lines = (pipeline.folder / f"{stream}.jsonl").read_text().splitlines()
        assert {json.loads(line)["id"] for line in lines} == ids
    assert pipeline.kept["bookmarks"]["contacts"]["updated_at"]
