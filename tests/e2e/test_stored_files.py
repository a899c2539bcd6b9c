"""Files in a folder and in S3, and runs that are killed at any moment while they store them."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import RUN, TIMEOUT_SECONDS, Output, Tap, selecting
from environments import environment_bin
from paths import ROOT
from relay import MOMENTS, Moment, Relay
from s3_server import S3Server

from intercom_sandbox import Sandbox, Workspace

pytest_plugins = ["s3_server"]
pytestmark = pytest.mark.long

STREAMS = ("conversations", "conversation_parts", "tickets", "attachments")
# Two parts of a large object: S3 takes no smaller first part than 5 MiB.
SIZES = (0, 1, 1_000, 100_000, 12_000_000)
NAMES = ("error.png", "error.png", "../../x\0.exe", "CON", "x" * 300 + ".pdf", "‮txt.exe", "ב.png")
# The own objects of the tap beside the files.
OWN_FOLDER = ".tap-intercom/"
Start = Callable[..., Sandbox]


@dataclass
class Runs:
    """Runs with one place for files, each from the last state, and the rows of a target."""

    tap: Tap
    place: str
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def start(self, program: str = RUN[2], **variables: str) -> subprocess.Popen[bytes]:
        catalog = selecting(self.tap.discover(), *STREAMS)
        arguments = self.tap.arguments(
            catalog=catalog, state=self.state, attachments_dir=self.place
        )
        return subprocess.Popen(
            [self.python, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **variables},
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
    check_rows(runs, stored)


def check_rows(runs: Runs, stored: dict[str, bytes]) -> None:
    """Each row that a target has is one of a file that is there."""
    for row in runs.rows.values():
        content = stored[row["path"]]
        assert row["status"] == "stored"
        assert row["size"] == len(content)
        assert row["sha256"] == hashlib.sha256(content).hexdigest()


# -- A folder, and an S3 bucket ------------------------------------------------------------------


class Folder:
    """A folder for files. A run that is killed there kills itself, before it touches a path."""

    killed_program = """
import itertools, os, signal, sys

folder, numbers = os.environ["KILLED_IN"], itertools.count(1)

def kill(event, values):
    if event.startswith(("open", "os.")) and any(str(each).startswith(folder) for each in values):
        if next(numbers) == int(os.environ["KILLED_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
from tap_intercom.cli import run; run()
"""

    def __init__(self, path: Path) -> None:
        self.path = path

    def kill(self, runs: Runs, number: int) -> Output:
        """Let a run be killed when it touches a path in the folder, so often."""
        where = {"KILLED_IN": str(self.path), "KILLED_AT": str(number)}
        return runs.finish(runs.start(self.killed_program, **where))

    def everything(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.path).as_posix(): path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file()
        }


class Bucket(S3Server):
    """A bucket for files. A run that is killed there is killed at a moment of a request to S3."""

    def __init__(self, url: str, relay: Relay, chance: random.Random) -> None:
        super().__init__(url)
        self._relay = relay
        self._chance = chance

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "AWS_ENDPOINT_URL": self._relay.url}

    def kill(self, runs: Runs, number: int) -> Output:
        moment = self._chance.choice(MOMENTS)
        self._relay.restart()
        process = runs.start()

        def at(now: int, what: Moment) -> None:
            if (now, what) == (number, moment):
                process.kill()
                process.wait()

        self._relay.at = at
        return runs.finish(process)

    def everything(self) -> dict[str, bytes]:
        return {
            name.removeprefix("files/"): self.send("GET", name).content for name in self.names()
        }


def files_of(everything: dict[str, bytes]) -> dict[str, bytes]:
    """The files that a user sees."""
    return {path: each for path, each in everything.items() if not path.startswith(OWN_FOLDER)}


def noted(everything: dict[str, bytes]) -> set[str]:
    """The keys of the files that are there, and noted as stored."""
    notes = [
        json.loads(content)
        for path, content in everything.items()
        if path.startswith(f"{OWN_FOLDER}stored/") and content.endswith(b"}")
    ]
    return {key_of(each["source"]) for each in notes if each["path"] in everything}


def key_of(address: str) -> str:
    found = re.search("/files/(i/[0-9]+)/", address)
    assert found
    return found[1]


Place = Folder | Bucket


@dataclass
class Killed:
    """Runs that are killed, and the place where they store files."""

    runs: Runs
    place: Place
    contents: list[bytes]

    def kill(self, store_number: int | None, file_number: int | None) -> Output:
        """Kill a run when it asks the store, or the server of the files, so often."""
        if store_number is not None:
            return self.place.kill(self.runs, store_number)
        process = self.runs.start()
        asked = itertools.count(1)

        def kill(sandbox: Sandbox, method: str, path: str, number: int) -> None:
            if path.startswith("/files/") and next(asked) == file_number:
                process.kill()
                process.wait()

        self.runs.tap.sandbox._hooks[:] = [kill]
        return self.runs.finish(process)

    def check_so_far(self) -> None:
        """What is visible is whole, and each row has its file."""
        files = files_of(self.place.everything())
        assert set(files.values()) <= set(self.contents)
        check_rows(self.runs, files)

    def complete(self) -> None:
        """Let a run be; it downloads what is missing, and nothing else."""
        sandbox = self.runs.tap.sandbox
        sandbox._hooks.clear()
        # The sandbox may still have requests of the run before, which now get no file.
        sandbox.workspace.files.expire()
        there = noted(self.place.everything())
        sandbox.clear_requests()
        self.runs.run()
        check(self.runs, files_of(self.place.everything()), self.contents)
        downloaded = [
            key_of(each.path)
            for each in sandbox.requests
            if each.path.startswith("/files/") and each.status == 200
        ]
        assert len(downloaded) == len(set(downloaded))
        assert not there & set(downloaded)


@pytest.fixture
def relay(url_of_server: str) -> Iterator[Relay]:
    with Relay(url_of_server) as relay:
        yield relay


# How often a first run asks the store and the server of the files, at least.
ASKED = {"folder": (110, 15), "s3": (85, 15)}
FIRST_SEED = int(os.environ.get("TAP_INTERCOM_SEED", 0))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + 20))
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_run_that_is_killed_at_any_moment_is_completed(
    request: pytest.FixtureRequest, start_sandbox: Start, tmp_path: Path, kind: str, seed: int
) -> None:
    chance = random.Random(seed)
    workspace = Workspace()
    contents = fill(workspace, seed)
    runs = Runs(Tap(start_sandbox(workspace), tmp_path), str(tmp_path / "files"))
    place: Place = Folder(tmp_path / "files")
    if kind == "s3":
        url, relay = (request.getfixturevalue(name) for name in ("url_of_server", "relay"))
        place = use_bucket(runs, Bucket(url, relay, chance))
    killed = Killed(runs, place, contents)
    codes = []
    for _ in range(2):
        store_number, file_number = (chance.randint(1, asked) for asked in ASKED[kind])
        is_store = chance.random() < 0.7
        output = killed.kill(*((store_number, None) if is_store else (None, file_number)))
        codes.append(output.code)
        killed.check_so_far()
    assert codes[0] == -signal.SIGKILL
    killed.complete()


def use_bucket(runs: Runs, bucket: Bucket) -> Bucket:
    runs.place = "s3://bucket/files"
    runs.python = str(environment_bin("remote") / "python")
    runs.environment.update(bucket.environment)
    return bucket


# -- A random history ----------------------------------------------------------------------------


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
    stored = files_of(Folder(tmp_path / "files").everything())
    for key, url in truth.items():
        assert rows[key]["status"] == "stored", rows[key]
        assert stored[rows[key]["path"]] == history.workspace.files.content(url)
    assert stored.keys() == {row["path"] for row in rows.values()}


# -- S3 ------------------------------------------------------------------------------------------


@pytest.fixture
def on_s3(
    start_sandbox: Start, tmp_path: Path, url_of_server: str, relay: Relay
) -> tuple[Runs, Bucket, list[bytes]]:
    workspace = Workspace()
    contents = fill(workspace, 1)
    runs = Runs(Tap(start_sandbox(workspace), tmp_path), "")
    return runs, use_bucket(runs, Bucket(url_of_server, relay, random.Random(1))), contents


def test_files_are_stored_in_s3(on_s3: tuple[Runs, Bucket, list[bytes]]) -> None:
    runs, bucket, contents = on_s3
    runs.run()
    check(runs, files_of(bucket.everything()), contents)
    runs.tap.sandbox.clear_requests()
    runs.state = {}
    runs.run()
    assert not [each for each in runs.tap.sandbox.requests if each.path.startswith("/files/")]
    check(runs, files_of(bucket.everything()), contents)


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
