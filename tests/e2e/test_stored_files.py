"""Files in a folder and in S3, and every place where a run that stores them can be killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import RUN, TIMEOUT_SECONDS, Output, Tap, selecting
from environments import environment_bin
from paths import ROOT
from s3_server import S3Server

from intercom_sandbox import Sandbox, Workspace

pytest_plugins = ["s3_server"]
pytestmark = pytest.mark.long

STREAMS = ("conversations", "conversation_parts", "tickets", "attachments")
# Two parts of a large object: S3 takes no smaller first part than 5 MiB.
SIZES = (0, 1, 1_000, 100_000, 12_000_000)
NAMES = ("error.png", "error.png", "../../x\0.exe", "CON", "x" * 300 + ".pdf", "‮txt.exe", "ב.png")
Start = Callable[..., Sandbox]
Stored = Callable[[], dict[str, bytes]]


@dataclass
class Runs:
    """Runs with one place for files, each from the last state, and the rows of a target."""

    tap: Tap
    place: str
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[bytes]:
        catalog = selecting(self.tap.discover(), *STREAMS)
        arguments = self.tap.arguments(
            catalog=catalog, state=self.state, attachments_dir=self.place
        )
        return subprocess.Popen(
            [self.python, *RUN[1:], *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
        )

    def finish(self, process: subprocess.Popen[bytes]) -> Output:
        stdout, log = process.communicate(timeout=TIMEOUT_SECONDS)
        output = Output(process.returncode, stdout, log.decode())
        self.rows.update({row["id"]: row for row in output.records("attachments")})
        if output.states:
            self.state = output.state
        return output

    def run(self) -> Output:
        output = self.finish(self.start())
        assert output.code == 0, output.log
        return output


def fill(workspace: Workspace, seed: int) -> list[bytes]:
    """Add conversations and a ticket with files; returns what the files contain."""
    chance = random.Random(seed)
    contents = [chance.randbytes(size) for size in SIZES for _ in range(3)]
    files = [
        workspace.add_file(content=each, name=NAMES[at % len(NAMES)])
        for at, each in enumerate(contents)
    ]
    for start in range(0, len(files) - 3, 2):
        key = workspace.add_conversation()
        workspace.reply(key, attachments=files[start : start + 2])
    workspace.add_ticket(ticket_attributes={"Files": files[-3:]})
    return contents


def check(runs: Runs, stored: dict[str, bytes], contents: list[bytes]) -> None:
    assert sorted(stored.values()) == sorted(contents)
    assert {row["path"] for row in runs.rows.values()} == stored.keys()
    for row in runs.rows.values():
        content = stored[row["path"]]
        assert row["status"] == "stored"
        assert row["size"] == len(content)
        assert row["sha256"] == hashlib.sha256(content).hexdigest()


# -- A folder ------------------------------------------------------------------------------------


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".tap-intercom" not in path.parts
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_run_that_is_killed_anywhere_is_completed(
    start_sandbox: Start, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    workspace = Workspace()
    contents = fill(workspace, seed)
    sandbox = start_sandbox(workspace, latency=0.005)
    runs = Runs(Tap(sandbox, tmp_path), str(tmp_path / "files"))
    for _ in range(3):
        process = runs.start()
        base, place = len(sandbox.requests), chance.randrange(60)
        is_file = chance.random() < 0.7

        def kill(
            sandbox: Sandbox,
            method: str,
            path: str,
            number: int,
            process: subprocess.Popen[bytes] = process,
            base: int = base,
            place: int = place,
            is_file: bool = is_file,
        ) -> None:
            is_late = len(sandbox.requests) - base >= place
            if is_late and path.startswith("/files/") >= is_file:
                process.send_signal(signal.SIGKILL)

        sandbox.before_request(kill)
        runs.finish(process)
        # What is visible is whole.
        assert set(files_in(tmp_path / "files").values()) <= set(contents)
    sandbox._hooks.clear()
    runs.run()
    check(runs, files_in(tmp_path / "files"), contents)


FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 503, "times": 3},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}, "times": 2},
    {"kind": "truncated", "times": 2},
    {"kind": "reset_midway", "times": 2},
    {"kind": "reset_before", "times": 2},
    {"kind": "slow", "seconds": 0.3, "times": 3},
    # Once: an address that is dead twice is gone.
    {"kind": "status", "status": 403, "times": 1},
)


@dataclass
class History:
    """A random history of a workspace with files, while runs are killed and files fail."""

    workspace: Workspace
    chance: random.Random
    conversations: list[str] = field(default_factory=list)

    def file(self) -> dict[str, Any]:
        content = self.chance.randbytes(self.chance.choice((0, 10, 5_000, 300_000)))
        return self.workspace.add_file(content=content, name=self.chance.choice(NAMES))

    def files(self) -> list[dict[str, Any]]:
        return [self.file() for _ in range(self.chance.randrange(4))]

    def edit(self) -> None:
        kind = self.chance.randrange(5)
        if kind == 0 or not self.conversations:
            source = {"type": "conversation", "body": "<p>Hi</p>", "attachments": self.files()}
            self.conversations.append(self.workspace.add_conversation(source=source))
        elif kind == 1:
            key = self.workspace.add_ticket()
            self.workspace.add_ticket_part(key, attachments=self.files())
        else:
            key = self.chance.choice(self.conversations)
            self.workspace.reply(key, attachments=self.files())


@pytest.mark.parametrize("seed", range(10))
def test_a_random_history_ends_with_every_file(
    start_sandbox: Start, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    history = History(Workspace(), chance)
    sandbox = start_sandbox(history.workspace)
    runs = Runs(Tap(sandbox, tmp_path), str(tmp_path / "files"))
    for _ in range(4):
        for _ in range(chance.randrange(1, 8)):
            history.edit()
        sandbox.faults.clear()
        for fault in chance.sample(FAULTS, 2):
            sandbox.faults.add(path="^/files/", after=chance.randrange(4), **fault)
        process = runs.start()
        base, busy = len(sandbox.requests), chance.random() < 0.5
        place = chance.choice((None, chance.randrange(3, 30)))

        def happen(
            sandbox: Sandbox,
            method: str,
            path: str,
            number: int,
            process: subprocess.Popen[bytes] = process,
            base: int = base,
            busy: bool = busy,
            place: int | None = place,
        ) -> None:
            made = len(sandbox.requests) - base
            if busy and made % 7 == 6:
                history.edit()
            if place is not None and made >= place:
                process.send_signal(signal.SIGKILL)

        sandbox._hooks[:] = [happen]
        runs.finish(process)
    sandbox._hooks.clear()
    sandbox.faults.clear()
    runs.run()
    truth = {
        (table, str(row[f"{table[:-1]}_id"]), row["position"]): row["url"]
        for table, links in (
            ("conversations", "conversation_attachment"),
            ("conversation_parts", "conversation_part_attachment"),
            ("ticket_parts", "ticket_part_attachment"),
        )
        for row in history.workspace.truth(links)
    }
    rows = {
        (row["parent_stream"], row["parent_id"], row["position"]): row for row in runs.rows.values()
    }
    assert rows.keys() == truth.keys()
    stored = files_in(tmp_path / "files")
    for key, url in truth.items():
        assert rows[key]["status"] == "stored", rows[key]
        assert stored[rows[key]["path"]] == history.workspace.files.content(url)
    assert stored.keys() == {row["path"] for row in rows.values()}


# -- S3 ------------------------------------------------------------------------------------------


class Bucket(S3Server):
    """A bucket for files."""

    def files(self) -> dict[str, bytes]:
        return {
            name.removeprefix("files/"): self.send("GET", name).content
            for name in self.names()
            if ".tap-intercom" not in name
        }


@pytest.fixture
def on_s3(
    start_sandbox: Start, tmp_path: Path, url_of_server: str
) -> tuple[Runs, Bucket, list[bytes]]:
    workspace = Workspace()
    contents = fill(workspace, 1)
    bucket = Bucket(url_of_server)
    runs = Runs(
        Tap(start_sandbox(workspace), tmp_path),
        "s3://bucket/files",
        str(environment_bin("remote") / "python"),
        bucket.environment,
    )
    return runs, bucket, contents


def test_files_are_stored_in_s3(on_s3: tuple[Runs, Bucket, list[bytes]]) -> None:
    runs, bucket, contents = on_s3
    runs.run()
    check(runs, bucket.files(), contents)
    runs.tap.sandbox.clear_requests()
    runs.state = {}
    runs.run()
    assert not [each for each in runs.tap.sandbox.requests if each.path.startswith("/files/")]
    check(runs, bucket.files(), contents)


@pytest.mark.parametrize("place", [3, 8, 12])
def test_a_killed_run_leaves_nothing_half_in_s3(
    on_s3: tuple[Runs, Bucket, list[bytes]], place: int
) -> None:
    runs, bucket, contents = on_s3
    process = runs.start()
    seen: list[str] = []

    def kill(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        seen.extend([path] if path.startswith("/files/") else [])
        if len(seen) == place:
            process.send_signal(signal.SIGKILL)

    runs.tap.sandbox.before_request(kill)
    assert runs.finish(process).code == -signal.SIGKILL
    assert set(bucket.files().values()) <= set(contents)
    runs.run()
    check(runs, bucket.files(), contents)


def test_a_bucket_that_does_not_exist_is_known_before_the_first_request(
    on_s3: tuple[Runs, Bucket, list[bytes]],
) -> None:
    runs, _, _ = on_s3
    runs.place = "s3://no-such-bucket/files"
    process = runs.start()
    runs.tap.sandbox.clear_requests()
    output = runs.finish(process)
    assert output.code == 2
    assert "s3://no-such-bucket/files cannot be written" in output.last_log_line
    assert "secret-of-the-test" not in output.log
    assert json.dumps(runs.rows) == "{}"
    assert not runs.tap.sandbox.requests
