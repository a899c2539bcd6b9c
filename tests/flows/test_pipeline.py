"""The tap and a target as one command: what is kept, what comes back, whatever ends on the way."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import RUN, TIMEOUT_SECONDS
from log_lines import TIME, without_times
from paths import ROOT, SUPPORT
from target_runs import TABLES, TargetRuns, read_until
from terminal import Terminal

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.commands import run as pipeline_module
from tap_intercom.commands import written_states
from tap_intercom.commands.process_log import LONGEST_LINE_BYTES, ProcessLog, parsed
from tap_intercom.commands.run import Feed, Target
from tap_intercom.commands.run_result import RunResult
from tap_intercom.commands.written_states import WrittenStates

StartSandbox = Callable[..., Sandbox]


class Pipeline(TargetRuns):
    """Runs with a state file."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        super().__init__(sandbox, folder)
        self.state = folder / "state.json"

    def command(self, *target: str, flags: tuple[str, ...] = (), program: Any = None) -> list[str]:
        """The command line; target: flags of the small one. program: another target instead."""
        files = ["--state", str(self.state), "--config", str(self.config)]
        return [*RUN, "run", *files, *flags, "--", *(program or self.small_target), *target]

    def start(
        self, *target: str, environment: dict[str, str] | None = None, **how: Any
    ) -> subprocess.Popen[str]:
        return self.start_command(self.command(*target, **how), environment or {})

    @property
    def kept(self) -> Any:
        return json.loads(self.state.read_bytes())

    @property
    def previous(self) -> Any:
        return json.loads((self.folder / "state.json.previous").read_bytes())

    def ids(self) -> dict[str, set[str]]:
        """What the target has of the tables that are compared."""
        return {name: ids for name, ids in super().ids().items() if name in TABLES}

    @contextmanager
    def locked(
        self, name: str = "state.json", lock: Callable[[Any, int], object] = fcntl.flock
    ) -> Iterator[None]:
        """The state file as another run uses it."""
        with (self.folder / f"{name}.lock").open("w") as file:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield


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
        pipeline.end()


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
    assert code == 6, log
    assert "the target with 7; " in log.splitlines()[-1]
    assert "state.json is the same as before the run" in log.splitlines()[-1]
    assert pipeline.kept == {}
    assert not (pipeline.folder / "state.json.previous").exists()


def test_what_a_target_confirmed_before_it_failed_is_kept(pipeline: Pipeline) -> None:
    code, log = pipeline.run("--fails-after", "700")
    assert code == 6, log
    last = log.splitlines()[-1]
    assert f"{pipeline.state} holds the last state that the target confirmed, and the next" in last
    assert pipeline.kept["bookmarks"]
    assert pipeline.ids() != pipeline.truth()
    assert pipeline.run()[0] == 0
    assert pipeline.ids() == pipeline.truth()


def test_a_target_that_ends_early_without_a_fault_confirms_nothing(pipeline: Pipeline) -> None:
    code, log = pipeline.run(program=["head", "-n", "5"])
    assert code == 141, log
    # It printed the first state, which covers no row.
    assert pipeline.kept.get("bookmarks", {}) == {}


def test_a_tap_that_waits_for_intercom_does_not_outlive_its_target(
    small_pipeline: Pipeline,
) -> None:
    flags = small_pipeline.catalog("admins", "contacts")
    small_pipeline.sandbox.faults.add("status", path="/contacts/search", status=503, times=None)
    lines_of_admins = "2"
    code, log = small_pipeline.run("--fails-after", lines_of_admins, flags=flags)
    assert code == 6, log


def test_a_tap_that_waits_for_intercom_does_not_outlive_its_runner(
    small_pipeline: Pipeline,
) -> None:
    """It would compete with the next run, and hold an export job that this one waits for."""
    is_waiting = threading.Event()

    def note(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if path == "/contacts/search":
            is_waiting.set()

    small_pipeline.sandbox.before_request(note)
    small_pipeline.sandbox.faults.add("slow", path="/contacts/search", seconds=600)
    process = small_pipeline.start(flags=small_pipeline.catalog("admins", "contacts"))
    assert is_waiting.wait(60)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    taps = [child for child in children if "small_target" not in command_of(child)]
    ended = os.pidfd_open(int(*taps))
    process.kill()
    assert select.select([ended], [], [], 60)[0]
    os.close(ended)


def command_of(process: str) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


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
    assert "state.json.previous cannot be written, because it is a folder" in log
    assert pipeline.kept == {}


# -- Which state is kept -------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["sorted", "message", "joined", "bookmarks of several"])
def test_a_state_is_known_again_however_the_target_writes_it(
    pipeline: Pipeline, style: str
) -> None:
    code, log = pipeline.run("--style", style, "--fails-at-end")
    assert code == 6, log
    assert pipeline.kept["bookmarks"]["contacts"]["updated_at"]
    assert "is not saved" not in log
    pipeline.run()
    assert pipeline.has_all()


LATER = {"contacts": {"updated_at": "2099-06-01T00:00:00Z"}}


@pytest.mark.parametrize(
    "printed",
    [
        {"bookmarks": LATER},
        {"type": "STATE", "value": {"bookmarks": LATER}},
        {"level": "info", "bookmarks": LATER},
        {"bookmarks": {"contacts": {"updated_at": [1]}}},
        {"bookmarks": {}},
        {"bookmarks": {}, "access_token": "not a state"},
    ],
)
@pytest.mark.parametrize("code", [0, 1])
def test_a_state_that_the_run_did_not_write_is_not_kept(
    small_pipeline: Pipeline, printed: Any, code: int
) -> None:
    line = json.dumps(printed)
    script = f"cat >> {small_pipeline.rows}; echo '{line}'; echo '{line}'; exit {code}"
    found, log = small_pipeline.run(program=["sh", "-c", script])
    assert found == (6 if code else 0), log
    assert log.count("a state that is not from this run") == 1
    if code:
        assert small_pipeline.kept == {}
    else:
        # It is that of a target that prints none.
        assert small_pipeline.kept["bookmarks"]["contacts"]["workspace"]
        assert small_pipeline.kept["bookmarks"]["contacts"]["updated_at"] < "2099"


def test_the_state_that_the_run_began_with_is_known(small_pipeline: Pipeline) -> None:
    assert small_pipeline.run()[0] == 0
    before = small_pipeline.state.read_text()
    script = f"cat > /dev/null; cat {small_pipeline.state}; exit 1"
    code, log = small_pipeline.run(program=["sh", "-c", script])
    assert code == 6
    assert "WARNING" not in log
    assert small_pipeline.state.read_text() == before


def state(contacts: int, tags: int, **more: Any) -> dict[str, Any]:
    return {"bookmarks": {"contacts": {"at": contacts}, "tags": {"at": tags}}, **more}


@pytest.mark.parametrize(
    ("printed", "is_known"),
    [
        (state(1, 1), True),
        (state(2, 1, currently_syncing="tags"), True),
        (state(2, 1), True),
        (state(1, 2), True),  # put together of two
        (state(3, 1), False),
        (state(2, 1, currently_syncing="contacts"), False),
        (state(2, 1, level="info"), False),
        ({"bookmarks": {"contacts": {"at": 1}}}, False),
        ({"bookmarks": {**state(1, 1)["bookmarks"], "admins": {"at": 1}}}, False),
        (state(0, 0), True),  # what the run began with
        (state(0, 1), False),
    ],
)
def test_each_bookmark_is_known_by_itself(printed: dict[str, Any], is_known: bool) -> None:
    written = WrittenStates(state(0, 0))
    for each in (state(1, 1), state(2, 1, currently_syncing="tags"), state(2, 2)):
        written.add(each)
    assert written.include(printed) == is_known


def test_not_all_states_of_a_long_run_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written_states, "KNOWN_VALUES", 100)
    written = WrittenStates({})
    for number in range(1_000):
        written.add(state(number, 1))
    assert [number for number in range(1_000) if written.include(state(number, 1))] == [
        *range(900, 1_000)
    ]


# -- Whoever is killed, nothing is lost ----------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_when_one_of_the_three_is_killed(pipeline: Pipeline, seed: int) -> None:
    chance = random.Random(seed)
    codes = []
    for who in chance.sample(["runner", "runner", "tap", "target"], 4):
        after = str(chance.randint(1, 700))
        codes.append(pipeline.run("--kill", who, "--after", after, flags=("--wait", "60"))[0])
    assert codes[0] in (-signal.SIGKILL, 128 + signal.SIGKILL, 6)
    code, log = pipeline.run(flags=("--wait", "60"))
    assert code == 0, log
    assert pipeline.ids() == pipeline.truth()


def test_a_killed_tap_is_told_as_a_shell_does(pipeline: Pipeline) -> None:
    code, log = pipeline.run("--kill", "tap", "--after", "300")
    assert code == 128 + signal.SIGKILL, log
    told = "the tap ended with exit code 137 (SIGKILL, perhaps for lack of memory), the target with"
    assert told in log.splitlines()[-1]


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


def test_half_a_line_of_a_killed_tap_does_not_reach_the_target(tmp_path: Path) -> None:
    tap = subprocess.Popen(["printf", 'one\ntwo\n{"type":"REC'], stdout=subprocess.PIPE)
    with (tmp_path / "lock").open("w") as lock:
        target = Target(["cat"], lock.fileno())
    feed = Feed(tap, target, WrittenStates({}))
    feed.run()
    assert target.process.stdout is not None
    with target.process.stdout as arrived:
        assert arrived.read() == b"one\ntwo\n"
    assert (tap.wait(), target.process.wait()) == (0, 0)
    assert feed.is_whole
    assert target.has_read_all


# -- Targets that do not read, or do not end -----------------------------------------------------


@pytest.mark.parametrize(
    ("workspace", "script"),
    [
        pytest.param("small_pipeline", "exit 0", id="at once"),
        pytest.param("small_pipeline", ": < tap_has_ended", id="when the tap has ended"),
        pytest.param("small_pipeline", "(: < tap_has_ended; exit 9) | cat", id="behind a pipe"),
        pytest.param("small_pipeline", "exec <&-; : < tap_has_ended", id="closed"),
        pytest.param("small_pipeline", "head -c 5; : < tap_has_ended", id="in part"),
        pytest.param("pipeline", "exec <&-", id="closed before much"),
        pytest.param("pipeline", "head -c 100", id="in part of much"),
    ],
)
def test_a_target_that_has_not_read_everything_confirms_nothing(
    request: pytest.FixtureRequest, workspace: str, script: str
) -> None:
    pipeline: Pipeline = request.getfixturevalue(workspace)
    tap_has_ended = pipeline.folder / "tap_has_ended"
    os.mkfifo(tap_has_ended)
    process = pipeline.start(program=["sh", "-c", f"{script}; exit 0"])
    if "tap_has_ended" in script:
        # All that the tap writes fits into the pipe.
        read_until(process, "tap: INFO METRIC")
        tap_has_ended.open("w").close()
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 141, log
    assert "the target ended" in log or "the target with 0" in log
    assert pipeline.kept == {}
    pipeline.sandbox.api.scroll = None  # the next run would wait until it expires
    assert pipeline.run()[0] == 0
    assert pipeline.has_all()


@pytest.fixture
def left_behind(tmp_path: Path) -> Iterator[Callable[[str], list[str]]]:
    """A target that leaves a process behind, which holds all that it can; it ends with the test."""
    file = tmp_path / "left behind"

    def target(script: str) -> list[str]:
        return ["sh", "-c", f"exec 9<&0; {script} sleep 600 <&9 & echo $! > '{file}'"]

    yield target
    os.kill(int(file.read_text()), signal.SIGKILL)


def test_what_a_target_leaves_behind_is_not_waited_for(
    small_pipeline: Pipeline, left_behind: Callable[[str], list[str]]
) -> None:
    program = left_behind(f"cat >> {small_pipeline.rows};")
    code, log = small_pipeline.run(program=program)
    assert code == 0, log
    assert small_pipeline.kept["bookmarks"]["contacts"]["updated_at"]
    # Nor does it hold the lock, which it has inherited.
    with small_pipeline.locked():
        pass


def test_nor_is_what_it_leaves_behind_with_a_full_pipe(
    pipeline: Pipeline, left_behind: Callable[[str], list[str]]
) -> None:
    code, log = pipeline.run(program=left_behind("head -c 100 > /dev/null;"))
    assert code == 141, log
    assert pipeline.kept == {}
    with pipeline.locked():
        pass


def test_a_target_may_print_lines_without_an_end(small_pipeline: Pipeline) -> None:
    much = f"head -c {3 * LONGEST_LINE_BYTES} /dev/zero"
    script = f"{much}; {much} >&2; cat > {small_pipeline.rows}"
    process = small_pipeline.start(program=["sh", "-c", script])
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, log[-2000:]
    assert log.count("lines that are not states") == 1
    assert small_pipeline.kept["bookmarks"]


def test_no_setting_is_in_the_environment_of_the_target(small_pipeline: Pipeline) -> None:
    small_pipeline.config.write_text('{"start_date": "2015-01-01"}')
    found = small_pipeline.folder / "environment"
    script = f"env > {found}; cat >> {small_pipeline.rows}"
    code, log = small_pipeline.run(
        flags=("--config", "ENV"),
        program=["sh", "-c", script],
        environment={
            "TAP_INTERCOM_ACCESS_TOKEN": small_pipeline.sandbox.token,
            "TAP_INTERCOM_BASE_URL": small_pipeline.sandbox.url,
            "TARGET_PASSWORD": "is needed",
        },
    )
    assert code == 0, log
    assert "TAP_INTERCOM" not in found.read_text()
    assert small_pipeline.sandbox.token not in found.read_text()
    assert "TARGET_PASSWORD=is needed" in found.read_text()


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


def test_a_signal_waits_until_the_processes_have_started() -> None:
    with pipeline_module._passing_on_signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        tap, target = (subprocess.Popen(["sleep", "600"]) for _ in range(2))
        signals.started(tap, target)
        assert tap.wait(TIMEOUT_SECONDS) == -signal.SIGTERM
        assert target.poll() is None
        os.kill(os.getpid(), signal.SIGINT)
        assert target.wait(TIMEOUT_SECONDS) == -signal.SIGINT


def test_ctrl_c_reaches_the_tap_alone(pipeline: Pipeline) -> None:
    pipeline.sandbox.faults.add("slow", path="/conversations/search", times=None, seconds=30)
    with Terminal(pipeline.command()) as terminal:
        terminal.read_until("conversations and conversation_parts: reading")
        terminal.type("\x03")
        assert terminal.end() == 130, terminal.shown
    assert "the tap ended with exit code 130 (SIGINT), the target with 0" in terminal.shown
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
        read_until(process, "waiting up to 60 s")
        assert small_pipeline.sandbox.requests == []
    process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0


def test_a_link_to_a_state_file_has_its_lock(small_pipeline: Pipeline) -> None:
    elsewhere = small_pipeline.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real.json").write_text("{}")
    small_pipeline.state.symlink_to(elsewhere / "real.json")
    with small_pipeline.locked("elsewhere/real.json"):
        assert small_pipeline.run()[0] == 75
    assert small_pipeline.run()[0] == 0


@pytest.fixture
def without_locks(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The environment of a run on a file system without some kinds of locks."""

    def environment(kinds: str) -> dict[str, str]:
        folder = tmp_path / "modules"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import errno, fcntl, os\n"
            "def fails(*arguments):\n"
            "    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))\n"
            f"{kinds} = fails\n"
        )
        return {"PYTHONPATH": os.pathsep.join((str(folder), *sys.path))}

    return environment


def test_a_file_system_without_flock_has_another_lock(
    small_pipeline: Pipeline, without_locks: Callable[[str], dict[str, str]]
) -> None:
    environment = without_locks("fcntl.flock")
    with small_pipeline.locked(lock=fcntl.lockf):
        assert small_pipeline.run(environment=environment)[0] == 75
    code, log = small_pipeline.run(environment=environment)
    assert code == 0, log
    assert small_pipeline.has_all()


def test_a_file_system_without_locks_is_refused(
    small_pipeline: Pipeline, without_locks: Callable[[str], dict[str, str]]
) -> None:
    code, log = small_pipeline.run(environment=without_locks("fcntl.flock = fcntl.lockf"))
    assert code == 2
    assert "state.json.lock cannot be locked: No locks available. Keep the state file" in log
    assert len(log.splitlines()) == 1
    assert small_pipeline.sandbox.requests == []


@pytest.mark.parametrize("wait", ["nan", "inf", "-inf", "-1", "soon", ""])
def test_a_wait_that_is_no_number_of_seconds_is_refused(
    small_pipeline: Pipeline, wait: str
) -> None:
    code, log = small_pipeline.run(flags=(f"--wait={wait}",))
    assert code == 2
    assert f"argument --wait: invalid seconds value: {wait!r}" in log
    assert not small_pipeline.state.exists()


def test_a_waiting_run_can_be_stopped(small_pipeline: Pipeline) -> None:
    with small_pipeline.locked():
        process = small_pipeline.start(flags=("--wait", "60"))
        read_until(process, "waiting up to 60 s")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 143


# -- Exit codes and logs -------------------------------------------------------------------------


def result(**facts: Any) -> RunResult:
    """A run that ended well, but for these facts."""
    well: dict[str, Any] = {
        "records": 5,
        "tap": 0,
        "target": 0,
        "has_taken_all": True,
        "signals": (),
        "state": Path("state.json"),
        "has_new_state": True,
        "has_last_state": True,
    }
    return RunResult(**{**well, **facts})


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, 0),
        ({"target": 1}, 6),
        ({"target": 2}, 6),
        ({"tap": 3}, 3),
        ({"tap": 3, "target": 7}, 3),
        ({"tap": 141, "target": 7, "has_taken_all": False}, 6),
        ({"tap": 143, "has_taken_all": False}, 141),
        ({"has_taken_all": False}, 141),
        ({"tap": 143, "signals": [15]}, 143),
        ({"tap": 143, "target": 130, "signals": [15, 2]}, 130),
        ({"tap": 143, "target": 7, "signals": [15]}, 6),
        ({"target": 143}, 6),
        ({"tap": 137, "target": 7}, 137),
    ],
)
def test_the_exit_code_says_whose_failure_it_is(facts: dict[str, Any], code: int) -> None:
    assert result(**facts).exit_code == code


def test_a_refused_token_is_passed_on(small_pipeline: Pipeline) -> None:
    small_pipeline.sandbox.options.token = "another"
    code, log = small_pipeline.run()
    assert code == 3
    assert "tap: CRITICAL Intercom refused the access token" in log
    assert small_pipeline.kept == {}


def test_each_line_of_the_log_says_whose_it_is(small_pipeline: Pipeline) -> None:
    process = small_pipeline.start(flags=small_pipeline.catalog("contacts"))
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert [line for line in log.splitlines() if not TIME.match(line)] == []
    lines = without_times(log).splitlines()
    assert any(line.startswith("tap: INFO contacts: 1 record") for line in lines)
    assert any(line.startswith("tap: INFO METRIC: ") for line in lines)
    assert "target: the target has begun" in lines
    ours = [line for line in lines if not line.startswith(("tap: ", "target: "))]
    assert ours == [
        "WARNING the target printed lines that are not states; they are ignored",
        "INFO done: 1 record sent to the target; the tap ended with exit code 0, the target with "
        f"0; the last state is saved in {small_pipeline.state}",
    ]


def test_the_log_may_be_json(small_pipeline: Pipeline) -> None:
    _, log = small_pipeline.run(flags=("--log-format", "json"))
    lines = [json.loads(line) for line in log.splitlines()]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    (begun,) = [line for line in lines if line["message"] == "the target has begun"]
    assert (begun["process"], begun["level"]) == ("target", "INFO")
    told, *_ = [line for line in lines if line["message"].startswith("contacts: 1 record")]
    assert (told["process"], told["level"]) == ("tap", "INFO")
    last = lines[-1]["result"]
    assert (last["tap_error"], last["target_error"]) == ("", "")
    assert (last["records"], last["exit_code"], last["state"]) == (
        sum(1 for _ in small_pipeline.rows.open()),
        0,
        str(small_pipeline.state),
    )


NOW = 1_700_000_000
TIME_NOW = "2023-11-14T22:13:20"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"INFO done\r\n", f"{TIME_NOW}Z target: INFO done"),
        (b"INFO 2020-01-31T12:00:00Z done", "2020-01-31T12:00:00Z target: INFO done"),
        (b"2020-01-31T12:00:00Z INFO done", "2020-01-31T12:00:00Z target: INFO done"),
        (b"  half a line", f"{TIME_NOW}Z target:   half a line"),
        (b"\xff\x00\x1b[31m", f"{TIME_NOW}Z target: �\\x00\\x1b[31m"),
        (b"postgresql://me:p%40ss@db/x", f"{TIME_NOW}Z target: postgresql://me:***@db/x"),
        (b"dsn host=db password=geheim user=me", "password=*** user=me"),
        (b'{"password": "geheim"}', '{"password": "***"}'),
        (b"PassWord = geheim; Api_Key='geheim'", "PassWord = ***; Api_Key='***'"),
        ("İİ TOKEN=geheim, İ PWD=geheim.".encode(), "İİ TOKEN=***, İ PWD=***"),
        (b"Authorization: Bearer geheim0123456789", "Authorization: Bearer ***"),
        (b"token=Bearer geheim0123456789 x", "token=*** *** x"),
        (
            b"no_bearer 0123456789abcdef, a bearer of news",
            "no_bearer 0123456789abcdef, a bearer of news",
        ),
        (b"http://a:b c, http://a:geheim@b, //c:d@e", "http://a:b c, http://a:***@b, //c:d@e"),
        (b"PWD: /home, tokens 7, passed=1", "PWD: /home, tokens 7, passed=1"),
        (b"token=geheim " * 3, "token=*** token=*** token=***"),
    ],
)
def test_a_text_line_has_its_time_and_its_process(line: bytes, shown: str) -> None:
    assert parsed(line, NOW).in_style("target", "text").decode().endswith(f"{shown}\n")


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        (b"done", "INFO", "done"),
        (b"2020-01-31 12:00:00,123 | WARN  | target | slow", "WARNING", None),
        (b"FATAL it ends", "CRITICAL", "FATAL it ends"),
        (b'{"level": "error", "message": "no table"}', "ERROR", "no table"),
        (b'{"level": 30, "msg": "pino"}', "INFO", "pino"),
        (b'{"message": NaN}', "INFO", '{"message": NaN}'),
        (b"[1]", "INFO", "[1]"),
        (b'{"process": "tap", "message": "x"}', "INFO", "x"),
        (b'{"message": "x", "db_password": "geheim"}', "INFO", "x"),
        (b"[" * 100_000, "INFO", None),
        (b"\x7f\xc3", "INFO", "\x7f�"),
    ],
)
def test_a_json_line_has_time_level_and_process(line: bytes, level: str, message: Any) -> None:
    written = parsed(line, NOW).in_style("target", "json")
    assert b"\x7f" not in written
    document = json.loads(written)
    assert document["time"].startswith(TIME_NOW)
    assert (document["level"], document["process"]) == (level, "target")
    assert document["message"] == (line.decode() if message is None else message)
    assert "geheim" not in str(document)


def test_lines_of_a_process_stay_whole_and_in_order() -> None:
    written: list[bytes] = []
    log = ProcessLog("target", "text", written.append)
    log.pass_on([b"one\ntw", b"o\n\n", b"x" * 3_000_000, b"\nthree\nfo", b"ur"])
    texts = [line.decode().partition(" target: ")[2] for line in written]
    assert texts[:2] + texts[-2:] == ["one\n", "two\n", "three\n", "four\n"]
    assert "".join(texts[2:-2]).replace("\n", "") == "x" * 3_000_000
    assert log.last_error == "four"


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (b"INFO a\nERROR no room\nINFO closing\n", "ERROR no room"),
        (b"Traceback:\n  File x\n    raise\nValueError: bad\n", "ValueError: bad"),
        (b"java.io.IOException: full\n    at Writer.write\n", "java.io.IOException: full"),
        (b"INFO a\nINFO b\n", "INFO b"),
        (b"", ""),
        (b"ERROR " + b"x" * 1_000, f"ERROR {'x' * 293}…"),
    ],
)
def test_the_last_error_of_a_process_is_found(lines: bytes, error: str) -> None:
    log = ProcessLog("target", "text", lambda line: None)
    log.pass_on([lines])
    assert log.last_error == error


def test_the_last_line_has_the_error_of_the_target_but_no_secret(small_pipeline: Pipeline) -> None:
    config = small_pipeline.folder / "target.json"
    config.write_text(json.dumps({"database": {"user": "me", "password": "geheim!"}, "x": "geh"}))
    script = "cat > /dev/null; echo 'ERROR geheim! is wrong for me' >&2; exit 3"
    code, log = small_pipeline.run(program=["sh", "-c", script, "--config", str(config)])
    assert code == 6
    last = log.splitlines()[-1]
    assert last.startswith("CRITICAL failed: ")
    assert "; the tap ended with exit code 0, the target with 3; the state in" in last
    assert last.endswith("; last error of the target: ERROR *** is wrong for me")
    assert "geheim" not in log


def test_the_last_line_has_the_error_of_the_tap(small_pipeline: Pipeline) -> None:
    small_pipeline.sandbox.options.permissions -= {"tags"}
    code, log = small_pipeline.run()
    assert code == 3
    last = log.splitlines()[-1]
    assert "the tap ended with exit code 3, the target with 0; the last state is saved in" in last
    assert "last error of the tap: CRITICAL failed; the next run continues" in last


def test_a_terminal_shows_the_bar_of_the_tap_and_each_line_whole(pipeline: Pipeline) -> None:
    pipeline.sandbox.options.latency = 0.05
    config = json.loads(pipeline.config.read_text())
    pipeline.config.write_text(json.dumps({**config, "concurrency": 1}))
    flags = pipeline.catalog("conversation_parts", "conversations")
    with Terminal(pipeline.command(flags=flags), {"TERM": "xterm"}) as terminal:
        code = terminal.end()
    assert code == 0, terminal.shown
    assert re.search(r"\d+% \|.{10}\| streams 1-2 of 2, \d+ s left, ", terminal.shown)
    assert "METRIC" not in terminal.shown
    assert "the tap has ended; waiting for the target" in terminal.shown
    shown = [line.rsplit("\r", 1)[-1] for line in terminal.shown.replace("\r\n", "\n").split("\n")]
    lines = [line.removeprefix("\x1b[A") for line in shown if line]
    assert [line for line in lines if not TIME.match(line)] == []
    assert any(line.endswith(" target: the target has begun") for line in lines)
    assert " INFO done: " in lines[-1]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("", "is empty; write {} into it for a first run"),
        ("[]", "must contain a JSON object"),
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
    assert sorted(path.name for path in small_pipeline.folder.iterdir()) == [
        "config.json",
        "state.json",
    ]


def test_a_state_file_that_links_to_itself_is_refused(small_pipeline: Pipeline) -> None:
    small_pipeline.state.symlink_to(small_pipeline.state)
    code, log = small_pipeline.run()
    assert code == 2
    assert "state.json cannot be read: Too many levels of symbolic links" in log
    assert len(log.splitlines()) == 1


def test_a_target_that_cannot_be_started_is_named(small_pipeline: Pipeline) -> None:
    code, log = small_pipeline.run(program=["target-of-nobody"])
    assert code == 127
    assert log == (
        "CRITICAL target: target-of-nobody is not installed, or not on the PATH: install it in its "
        "own virtual environment and give its path, such as .venv-target/bin/target-of-nobody; "
        "nothing was read\n"
    )
    assert small_pipeline.sandbox.requests == []


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (None, 0, "does not exist: check the path"),
        ("#!/nowhere/python\n", 0o755, "exists, but the program in its first line does not"),
        ("#!/bin/sh\n", 0o644, "cannot be started: Permission denied"),
        ("\0", 0o755, "cannot be started: Exec format error"),
    ],
)
def test_a_program_that_is_no_target_is_named(
    small_pipeline: Pipeline, content: str | None, mode: int, told: str
) -> None:
    program = small_pipeline.folder / "target"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    code, log = small_pipeline.run(program=[str(program)])
    assert code == 127
    assert f"CRITICAL target: {program} {told}" in log
    assert len(log.splitlines()) == 1


def test_a_state_file_in_no_folder_is_named(small_pipeline: Pipeline) -> None:
    small_pipeline.state = small_pipeline.folder / "nowhere" / "state.json"
    code, log = small_pipeline.run()
    assert code == 2
    assert "nowhere/state.json.lock cannot be created: No such file or directory" in log


def test_a_terminal_that_goes_stops_no_run(pipeline: Pipeline) -> None:
    pipeline.sandbox.options.latency = 0.05
    flags = pipeline.catalog("contacts", "conversation_parts", "conversations")
    # More than fits into the pipe, if nobody reads that any more.
    target = ["sh", "-c", f"cat > '{pipeline.rows}'; yes 'a line' | head -n 30000 >&2"]
    run = pipeline.command(flags=flags, program=target)
    command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *run]
    with Terminal(command, {"TERM": "xterm"}) as terminal:
        terminal.read_until("contacts: reading")
        assert terminal.hang_up() == 0
    assert pipeline.kept["bookmarks"]["conversations"]["updated_at"]


# -- A mapper between the two --------------------------------------------------------------------


def through(*commands: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The flags for a run through mappers: each a program, or flags of the small one."""
    small = [sys.executable, str(SUPPORT / "small_mapper.py")]
    return tuple(
        word
        for command in commands
        for word in ("--", *(small if isinstance(command, tuple) else []), *command)
    )


def mapper_of(log: str) -> int:
    """The process that the small mapper says it is."""
    return int(re.findall(r"the mapper has begun: (\d+)", log)[0])


def mapped_columns(pipeline: Pipeline) -> set[tuple[str, ...]]:
    rows = [json.loads(line)["record"] for line in pipeline.rows.read_bytes().splitlines()]
    return {tuple(name for name in row if name.startswith("is_")) for row in rows}


def test_a_mapper_changes_what_the_target_loads(pipeline: Pipeline) -> None:
    code, log = pipeline.run(flags=through(()))
    assert code == 0, log
    assert pipeline.ids() == pipeline.truth()
    assert all(columns[-1] == "is_mapped" for columns in mapped_columns(pipeline))
    assert pipeline.kept["bookmarks"]["contacts"]["updated_at"]
    assert "mapper: the mapper has begun" in log
    ends = "the tap ended with exit code 0, the mapper with 0, the target with 0; the last state is"
    assert f"sent to the mapper; {ends} saved" in log.splitlines()[-1]


def test_mappers_follow_each_other_in_their_order(small_pipeline: Pipeline) -> None:
    flags = small_pipeline.catalog("tags") + through(("--column", "is_a"), ("--column", "is_b"))
    small_pipeline.sandbox.workspace.add_tag()
    code, log = small_pipeline.run(flags=flags)
    assert code == 0, log
    assert mapped_columns(small_pipeline) == {("is_a", "is_b")}
    assert "the mapper 1 with 0, the mapper 2 with 0, the target with 0" in log.splitlines()[-1]
    assert "mapper 2: the mapper has begun" in log


@pytest.mark.parametrize(
    ("flag", "told", "error"),
    [
        ("--fails-after", "the mapper with 9", "last error of the mapper: ERROR no such column"),
        ("--dies-after", "the mapper with 137 (SIGKILL, perhaps for lack of memory)", ""),
    ],
)
def test_a_mapper_that_fails_ends_the_run_and_loses_nothing(
    pipeline: Pipeline, flag: str, told: str, error: str
) -> None:
    code, log = pipeline.run(flags=through((flag, "700")))
    assert code == 6, log
    last = log.splitlines()[-1]
    assert last.startswith("CRITICAL failed: ")
    assert told in last
    assert "the target with 0; the mapper ended before it read everything; " in last
    assert error in last
    assert "last error of the target" not in last
    assert pipeline.kept["bookmarks"]  # what the target confirmed before
    assert pipeline.ids() != pipeline.truth()
    assert pipeline.run(flags=through(()))[0] == 0
    assert pipeline.has_all()


@pytest.mark.parametrize(("target", "code"), [("exit 5", 6), ("exit 0", 141)])
def test_a_target_that_ends_early_takes_the_mapper_along(
    pipeline: Pipeline, target: str, code: int
) -> None:
    program = ["sh", "-c", f"head -c 100 > /dev/null; {target}"]
    found, log = pipeline.run(flags=through(()), program=program)
    assert found == code, log
    assert "the target ended before it read everything; " in log.splitlines()[-1]
    assert "last error of the mapper" not in log
    assert not Path(f"/proc/{mapper_of(log)}").exists()
    assert pipeline.kept == {}


def test_a_mapper_that_ends_early_without_a_fault_confirms_nothing(pipeline: Pipeline) -> None:
    code, log = pipeline.run("--silent", flags=through(["head", "-n", "5"]))
    assert code == 141, log
    assert "the mapper ended before it read everything; " in log.splitlines()[-1]
    assert pipeline.kept == {}


def test_the_last_state_counts_if_the_mapper_drops_them(small_pipeline: Pipeline) -> None:
    code, log = small_pipeline.run(flags=through(("--drops-states",)))
    assert code == 0, log
    assert small_pipeline.kept["bookmarks"]["contacts"]["updated_at"]


def test_a_target_may_be_slower_than_the_mapper(pipeline: Pipeline) -> None:
    gate = pipeline.folder / "gate"
    os.mkfifo(gate)
    program = ["sh", "-c", f": < '{gate}'; exec cat > '{pipeline.rows}.all'"]
    process = pipeline.start(flags=through(()), program=program)
    # The mapper waits, since not all of it fits into the pipes.
    read_until(process, "contacts: reading")
    assert not Path(f"{pipeline.rows}.all").exists()
    gate.open("w").close()
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, log
    lines = Path(f"{pipeline.rows}.all").read_bytes().splitlines()
    pipeline.rows.write_bytes(b"\n".join(line for line in lines if b'"RECORD"' in line))
    assert pipeline.ids() == pipeline.truth()


def test_what_a_mapper_leaves_behind_is_not_waited_for(
    small_pipeline: Pipeline, left_behind: Callable[[str], list[str]]
) -> None:
    code, log = small_pipeline.run(flags=through(left_behind("cat;")))
    assert code == 0, log
    assert small_pipeline.has_all()
    with small_pipeline.locked():
        pass


@pytest.mark.parametrize("missing", ["mapper", "target"])
def test_a_mapper_or_target_that_cannot_be_started_is_named(
    small_pipeline: Pipeline, missing: str
) -> None:
    if missing == "mapper":
        code, log = small_pipeline.run(flags=through(["nobody"]))
    else:
        code, log = small_pipeline.run(flags=through(()), program=["nobody"])
    assert code == 127
    assert log.startswith(f"CRITICAL {missing}: nobody is not installed, or not on the PATH")
    assert len(log.splitlines()) == 1
    assert small_pipeline.sandbox.requests == []


def test_a_command_that_is_missing_is_refused(small_pipeline: Pipeline) -> None:
    code, log = small_pipeline.run(flags=("--",))
    assert code == 2
    assert log == "CRITICAL target: a command is missing before or after one of the --\n"
    assert not small_pipeline.state.exists()


def test_the_secrets_of_a_mapper_are_hidden(small_pipeline: Pipeline) -> None:
    config = small_pipeline.folder / "mapper.json"
    config.write_text(json.dumps({"hash_secret": "geheim!"}))
    says = "ERROR geheim! is too short"
    flags = through(("--config", str(config), "--fails-after", "2", "--says", says))
    code, log = small_pipeline.run(flags=flags)
    assert code == 6
    assert log.splitlines()[-1].endswith("last error of the mapper: ERROR *** is too short")
    assert "geheim" not in log


def test_a_second_signal_ends_the_mapper_too(small_pipeline: Pipeline) -> None:
    process = small_pipeline.start("--stays", flags=through(["sh", "-c", "cat; exec sleep 600"]))
    read_until(process, "contacts: 1 record")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT), log
    assert "stopped by a signal" in log


# -- A real target -------------------------------------------------------------------------------


def test_a_real_target_confirms_states(pipeline: Pipeline) -> None:
    venv = ROOT / ".venv-targets" / "jsonl"
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
