"""The script for cron in docs/operations.md, run as it stands there."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import RUN, Tap
from paths import ROOT

from intercom_sandbox import Workspace, generate

OPERATIONS = ROOT / "docs" / "operations.md"
# Loads nothing, and passes on each state as a target does once it has loaded what came before.
TARGET = """#!{python}
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "STATE":
        print(json.dumps(message["value"]), flush=True)
    elif {dies} and message["type"] == "RECORD":
        sys.stdout.write('{{"bookmarks": {{"conta')
        sys.exit(7)
"""


class Schedule:
    """A folder as cron finds it: the script, its config and catalog, a tap and a target."""

    def __init__(self, folder: Path, tap: Tap) -> None:
        self.folder = folder
        (script,) = re.findall(r"```sh\n(#!.*?)```", OPERATIONS.read_text("utf-8"), re.DOTALL)
        self._write("sync.sh", script)
        self._write("catalog.json", json.dumps(tap.discover()))
        self._write("target.json", "{}")
        arguments = " ".join(f"'{part}'" for part in RUN)
        self._write("tap-intercom", f'#!/bin/sh\nexec {arguments} "$@"\n')
        self.target(dies=False)
        self.config = json.loads(Path(tap.config()).read_text("utf-8"))
        self.configure()

    def target(self, *, dies: bool) -> None:
        self._write("target-jsonl", TARGET.format(python=sys.executable, dies=dies))

    def configure(self, **settings: object) -> None:
        self._write("config.json", json.dumps({**self.config, **settings}))

    def run(self) -> int:
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        command = ["bash", str(self.folder / "sync.sh")]
        return subprocess.run(command, env={**os.environ, "PATH": path}, timeout=60).returncode

    @property
    def state(self) -> str:
        return (self.folder / "state.json").read_text("utf-8")

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o700)


@pytest.fixture
def schedule(start_tap_on: Callable[..., Tap], tmp_path: Path) -> Schedule:
    folder = tmp_path / "schedule"
    folder.mkdir()
    workspace: Workspace = generate(seed=2, contacts=20, companies=5, conversations=5, parts=20)
    return Schedule(folder, start_tap_on(workspace))


def test_each_run_goes_on_from_the_state_of_the_one_before(schedule: Schedule) -> None:
    assert schedule.run() == 0
    first = schedule.state
    assert "contacts" in json.loads(first)["bookmarks"]
    assert schedule.run() == 0
    assert (schedule.folder / "state.previous").read_text("utf-8") == first


def test_a_tap_that_fails_leaves_the_state_and_tells_its_exit_code(schedule: Schedule) -> None:
    assert schedule.run() == 0
    before = schedule.state
    schedule.configure(access_token="wrong")
    assert schedule.run() == 3
    assert schedule.state == before


def test_a_target_that_dies_in_a_line_leaves_the_state(schedule: Schedule) -> None:
    assert schedule.run() == 0
    before = schedule.state
    schedule.target(dies=True)
    assert schedule.run() != 0
    assert schedule.state == before


def test_a_second_run_leaves_the_first_alone(schedule: Schedule) -> None:
    with (schedule.folder / "sync.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert schedule.run() == 0
    assert not (schedule.folder / "state.json").exists()
