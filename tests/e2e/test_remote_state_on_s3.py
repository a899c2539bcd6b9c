"""`run` with its state in S3, served here by moto, and every place where a run can be killed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TIMEOUT_SECONDS
from environments import environment_bin
from remote_runs import SHORT, RemoteRuns
from s3_server import S3Server
from target_runs import read_until

from intercom_sandbox import Sandbox, Workspace, generate

pytest_plugins = ["s3_server"]
pytestmark = pytest.mark.long

KEY = "workspace/state.json"
StartRuns = Callable[..., RemoteRuns]


@pytest.fixture
def server(url_of_server: str) -> S3Server:
    return S3Server(url_of_server)


@pytest.fixture
def start_runs(start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Iterator[StartRuns]:
    started: list[RemoteRuns] = []

    def start(workspace: Workspace, **how: Any) -> RemoteRuns:
        started.append(RemoteRuns(start_sandbox(workspace), tmp_path, **how))
        return started[-1]

    yield start
    for runs in started:
        runs.end()


def small_workspace() -> Workspace:
    workspace = Workspace()
    for number in range(3):
        workspace.add_contact(id=f"c{number}")
    return workspace


def large_workspace() -> Workspace:
    return generate(seed=5, contacts=400, companies=40, conversations=40, parts=400, days=60)


@pytest.fixture
def start_on_s3(server: S3Server, start_runs: StartRuns) -> StartRuns:
    """Runs of the environment that has s3fs."""

    def start(workspace: Workspace, key: str = f"bucket/{KEY}", **numbers: float) -> RemoteRuns:
        return start_runs(
            workspace,
            url=f"s3://{key}",
            python=str(environment_bin("remote") / "python"),
            environment=server.environment,
            numbers={**SHORT, **numbers},
        )

    return start


# -- S3 ------------------------------------------------------------------------------------------


def test_deletes_are_found_across_machines(start_on_s3: StartRuns, server: S3Server) -> None:
    runs = start_on_s3(small_workspace())
    flags = runs.catalog("contacts", "deletions")
    runs.configure(detect_deletes="table")
    kept = []
    for number, machine in enumerate(["first", "second", "third"]):
        runs.sandbox.options.clock_offset_seconds = number * 3600
        if number:
            runs.sandbox.workspace.delete_contact(f"c{number}")
        code, log = runs.run(machine=machine, flags=flags)
        assert code == 0, log
        assert f"the last state is saved in {runs.url}" in log.splitlines()[-1]
        kept.append(server.read(KEY))
    assert runs.ids()["deletions"] == {"c1", "c2"}
    assert server.read(f"{KEY}.previous") == kept[1]
    assert kept[1]["bookmarks"] != kept[2]["bookmarks"]
    ids = {key.rpartition("/")[2] for key in server.names() if "/ids-" in key}
    assert {state["known_ids_object"] for state in kept[1:]} <= ids
    assert [key for key in server.names() if "/lock-" in key] == [f"{KEY}.files/lock-00000003"]


def test_a_second_run_waits_or_ends_and_a_dead_one_is_followed(
    start_on_s3: StartRuns, server: S3Server
) -> None:
    dead_seconds = 3
    runs = start_on_s3(small_workspace(), **{"store_lock.DEAD_SECONDS": dead_seconds})
    process = runs.start("--stays", machine="first")
    target = int(read_until(process, "target: the target stays: "))
    for machine in ("first", "second"):
        code, log = runs.run(machine=machine)
        assert code == 75, log
        assert f"another run uses {runs.url}; nothing was read" in log.splitlines()[-1]
    process.kill()
    os.kill(target, signal.SIGKILL)
    process.wait()
    code, log = runs.run(machine="second")
    assert code == 0, log
    assert "shows no sign of life; taking over s3://bucket/workspace/state.json" in log
    assert runs.has_all()
    assert server.read(KEY)["bookmarks"]
    code, log = runs.run(machine="first")
    assert code == 0, log
    assert "no sign of life; taking over" not in log


def test_a_run_that_is_followed_while_it_lives_ends(
    start_on_s3: StartRuns, server: S3Server
) -> None:
    runs = start_on_s3(small_workspace())
    process = runs.start("--stays")
    read_until(process, "target: the target stays: ")
    server.send("PUT", f"{KEY}.files/lock-00000009", b"{}")
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 75, log
    assert "another run took over s3://bucket/workspace/state.json" in log.splitlines()[-1]


def test_nothing_is_lost_when_runs_are_killed(start_on_s3: StartRuns) -> None:
    runs = start_on_s3(large_workspace(), **{"store_lock.DEAD_SECONDS": 2})
    chance = random.Random(5)
    for number, who in enumerate(["runner", "tap", "target", "runner"]):
        after = str(chance.randint(100, 700))
        flags = ("--wait", "60")
        code, _ = runs.run("--kill", who, "--after", after, machine=f"m{number % 2}", flags=flags)
        assert code != 75
    code, log = runs.run(machine="last", flags=("--wait", "60"))
    assert code == 0, log
    assert runs.has_all()


def test_a_signal_lets_a_run_save_what_was_confirmed(
    start_on_s3: StartRuns, server: S3Server
) -> None:
    runs = start_on_s3(large_workspace())

    def stop(sandbox: Sandbox, method: str, path: str, position: int) -> None:
        if position == 20:
            process.send_signal(signal.SIGTERM)

    runs.sandbox.before_request(stop)
    process = runs.start()
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 143, log
    assert server.read(KEY)["bookmarks"]
    assert not runs.has_all()
    assert runs.run(machine="other")[0] == 0
    assert runs.has_all()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("missing/workspace/state.json", "cannot be written: its bucket or folder does not exist"),
        ("bucket", "is not the URL of a file; give one such as s3://bucket/state.json"),
        ("me:pass/phrase@bucket/state.json", "cannot be read: Parameter validation failed"),
    ],
)
def test_a_url_that_cannot_be_used_is_named(start_on_s3: StartRuns, key: str, told: str) -> None:
    runs = start_on_s3(small_workspace(), key)
    code, log = runs.run()
    assert (code, len(log.splitlines())) == (2, 1), log
    assert log.startswith("CRITICAL --state: s3://")
    assert told in log
    assert "phrase" not in log
    assert runs.sandbox.requests == []


# -- Kills at each step of an upload, and a store that fails -------------------------------------


@pytest.mark.parametrize("place", [r"files/ids-", r"\.previous$", r"state\.json$"])
@pytest.mark.parametrize("call", ["write", "written"])
def test_a_run_that_is_killed_during_an_upload_leaves_one_unit(
    start_runs: StartRuns, call: str, place: str
) -> None:
    runs = start_runs(small_workspace())
    flags = runs.catalog("contacts", "deletions")
    runs.configure(detect_deletes="table")
    assert runs.run(flags=flags)[0] == 0
    before, ids_before = runs.kept, runs.kept_ids()

    runs.sandbox.options.clock_offset_seconds = 3600
    runs.sandbox.workspace.delete_contact("c1")
    runs.fail(call, place, "kill")
    assert runs.run(flags=flags)[0] == -signal.SIGKILL
    if (call, place) == ("written", r"state\.json$"):
        assert runs.kept != before
    else:
        # A first state without new ids may have been uploaded before them.
        assert runs.kept == before or place == r"files/ids-"
        assert runs.kept_ids() == ids_before

    runs.faults.unlink()
    runs.sandbox.options.clock_offset_seconds = 7200
    code, log = runs.run(flags=(*flags, "--wait", "60"))
    assert code == 0, log
    assert runs.ids()["deletions"] == {"c1"}
    assert "known ids are lost" not in log


def test_a_store_that_fails_for_a_while_misses_nothing(start_runs: StartRuns) -> None:
    runs = start_runs(large_workspace())
    runs.fail("write", r"state\.json$")
    code, log = runs.run()
    assert code == 4, log
    assert "the run continues, and tries again" in log
    assert not runs.state.exists()
    runs.faults.unlink()
    code, log = runs.run()
    assert code == 0, log
    assert runs.has_all()
    assert runs.kept["bookmarks"]


def test_a_store_without_a_lock_needs_a_flag(start_runs: StartRuns) -> None:
    runs = start_runs(small_workspace())
    runs.url = f"plain://{runs.state}"
    assert runs.run()[0] == 2
    code, log = runs.run(flags=("--no-lock",))
    assert code == 0, log
    assert "nothing keeps two runs apart (--no-lock)" in log
    assert json.loads(runs.state.read_bytes())["bookmarks"]
