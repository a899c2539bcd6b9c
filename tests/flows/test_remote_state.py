"""`run` with its state in a store: two machines, two writers, and what fails on the way.

tests/e2e/test_remote_state_on_s3.py does more of this, and with S3.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import TIMEOUT_SECONDS, Tap
from remote_runs import RemoteRuns
from target_runs import read_until
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace


@pytest.fixture
def remote(start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Iterator[RemoteRuns]:
    workspace = Workspace()
    for number in range(3):
        workspace.add_contact(id=f"c{number}")
    runs = RemoteRuns(start_sandbox(workspace), tmp_path)
    yield runs
    runs.end()


def test_deletes_are_found_after_a_kill_between_the_ids_and_the_state(remote: RemoteRuns) -> None:
    flags = remote.catalog("contacts", "deletions")
    remote.configure(detect_deletes="table")
    code, log = remote.run(machine="first", flags=flags)
    assert code == 0, log
    assert f"the last state is saved in {remote.url}" in log.splitlines()[-1]
    before, ids_before = remote.kept, remote.kept_ids()

    remote.sandbox.options.clock_offset_seconds = 3600
    remote.sandbox.workspace.delete_contact("c1")
    remote.fail("write", r"state\.json$", "kill")
    assert remote.run(machine="second", flags=flags)[0] == -signal.SIGKILL
    assert (remote.kept, remote.kept_ids()) == (before, ids_before)

    remote.faults.unlink()
    remote.rows.unlink()
    code, log = remote.run(machine="second", flags=(*flags, "--wait", "60"))
    assert code == 0, log
    assert remote.ids()["deletions"] == {"c1"}
    assert "did not release its lock" in log
    assert remote.previous == before
    left = [path.name for path in (remote.folder / "second").rglob("state*")]
    assert left == ["state.json.lock"]


def test_a_second_run_on_this_machine_or_another_ends_at_once(remote: RemoteRuns) -> None:
    process = remote.start("--stays", machine="first")
    target = int(read_until(process, "target: the target stays: "))
    requests = len(remote.sandbox.requests)
    for machine in ("first", "second"):
        code, log = remote.run(machine=machine)
        assert code == 75, log
        assert f"another run uses {remote.url}; nothing was read" in log.splitlines()[-1]
    assert len(remote.sandbox.requests) == requests
    process.kill()
    process.wait()
    # The target still loads what it has.
    assert remote.run(machine="first")[0] == 75
    os.kill(target, signal.SIGKILL)


def test_a_stopped_run_saves_what_the_target_confirmed(remote: RemoteRuns) -> None:
    process = remote.start("--stays")
    read_until(process, "target: the target stays: ")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT), log
    assert remote.kept["bookmarks"]["contacts"]["updated_at"]


def test_a_store_that_fails_is_told_and_the_copy_named(remote: RemoteRuns) -> None:
    remote.fail("write", r"state\.json$")
    code, log = remote.run()
    assert code == 4, log
    last = log.splitlines()[-1]
    assert f"{remote.url} holds a state from before, and the next run continues from it" in last
    assert f"--state: {remote.url} cannot be written: We encountered an internal error" in last
    copy = Path(last.partition("the newest state is in ")[2])
    assert json.loads(copy.read_bytes())["bookmarks"]
    assert not remote.state.exists()


@pytest.mark.parametrize(
    ("scheme", "fault", "told"),
    [
        ("folder", ("write", "refuse"), "cannot be written: Access Denied"),
        ("folder", None, "contains no bookmarks, but access_token"),
        ("plain", None, "cannot be locked: the store does not offer to create an object only if"),
        ("nowhere", None, "nowhere is not a scheme of fsspec"),
    ],
)
def test_what_cannot_be_used_is_told_before_the_first_request(
    remote: RemoteRuns, scheme: str, fault: tuple[str, str] | None, told: str
) -> None:
    remote.url = f"{scheme}://{remote.state}"
    if fault is not None:
        remote.fail(fault[0], "state.json", fault[1])
    elif scheme == "folder":
        remote.state.parent.mkdir(parents=True)
        remote.state.write_text('{"access_token": "secret"}')
    code, log = remote.run()
    assert (code, len(log.splitlines())) == (2, 1), log
    assert log.startswith(f"CRITICAL --state: {remote.url}")
    assert told in log
    assert "secret" not in log
    assert remote.sandbox.requests == []


def test_a_sync_without_a_target_takes_no_url(
    start_tap_on: Callable[..., Tap], warm_tap: WarmTap
) -> None:
    tap = start_tap_on(Workspace())
    url = "s3://me:pass-phrase@bucket/state.json"
    output = warm_tap.run("--config", tap.config(), "--state", url)
    assert output.code == 2
    assert output.log == (
        "CRITICAL --state: s3://***@bucket/state.json is a URL, which only tap-intercom run takes, "
        "because it saves the state too\n"
    )
    assert tap.sandbox.requests == []
