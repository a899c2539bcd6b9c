"""Runs the tap as its users do: a process with files for arguments, against a local Intercom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from log_lines import without_times

from intercom_sandbox import Sandbox, Workspace

if TYPE_CHECKING:
    from warm_tap import WarmTap

# A plugin of long tests, which import it before pytest does.
pytest.register_assert_rewrite("s3_server")

RUN = [sys.executable, "-c", "from tap_intercom.cli import run; run()"]
START_DATE = "2015-01-01T00:00:00Z"
TIMEOUT_SECONDS = 100


@dataclass
class Output:
    """What a run of the tap left: its exit code, its messages and its log.

    log: its lines without their times. timed_log: the same with them.
    """

    code: int
    stdout: bytes
    log: str
    timed_log: str = ""

    def __post_init__(self) -> None:
        self.timed_log, self.log = self.log, without_times(self.log)

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        # A killed run may leave a last line without its end.
        complete = self.stdout[: self.stdout.rfind(b"\n") + 1]
        return [json.loads(line) for line in complete.splitlines()]

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == stream
        ]

    def ids(self, stream: str) -> set[str]:
        return {record["id"] for record in self.records(stream)}

    def schema(self, stream: str) -> dict[str, Any]:
        (schema,) = [
            message["schema"]
            for message in self.messages
            if message["type"] == "SCHEMA" and message["stream"] == stream
        ]
        return dict(schema)

    def count(self, kind: str, stream: str | None = None) -> int:
        return sum(
            message["type"] == kind and (stream is None or message.get("stream") == stream)
            for message in self.messages
        )

    @property
    def states(self) -> list[dict[str, Any]]:
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> dict[str, Any]:
        return self.states[-1]

    def log_lines(self, level: str) -> list[str]:
        return [line for line in self.log.splitlines() if line.startswith(f"{level} ")]

    @property
    def last_log_line(self) -> str:
        return self.log.rstrip().rsplit("\n", 1)[-1]


class Tap:
    """The tap, with a sandbox that its settings point to and a folder for its files."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder

    def config(self, **settings: Any) -> str:
        return self.write(
            "config.json",
            {
                "access_token": self.sandbox.token,
                "start_date": START_DATE,
                "base_url": self.sandbox.url,
                **settings,
            },
        )

    def write(self, name: str, document: Any) -> str:
        path = self.folder / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return str(path)

    def discover(self, **settings: Any) -> dict[str, Any]:
        output = run_tap("--config", self.config(**settings), "--discover")
        assert output.code == 0, output.log
        catalog: dict[str, Any] = json.loads(output.stdout)
        return catalog

    def sync(
        self,
        *streams: str,
        catalog: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Output:
        """Run a sync of the named streams, of a catalog, or of all, with these settings."""
        return run_tap(
            *self.arguments(*streams, catalog=catalog, state=state, **settings),
            environment=environment,
        )

    def arguments(
        self,
        *streams: str,
        catalog: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        **settings: Any,
    ) -> list[str]:
        if streams:
            catalog = selecting(catalog or self.discover(**settings), *streams)
        arguments = ["--config", self.config(**settings)]
        if catalog is not None:
            arguments += ["--catalog", self.write("catalog.json", catalog)]
        if state is not None:
            arguments += ["--state", self.write("state.json", state)]
        return arguments


def selecting(catalog: dict[str, Any], *streams: str) -> dict[str, Any]:
    """The catalog with just these streams selected; those beyond the core with all fields."""
    for entry in catalog["streams"]:
        (table,) = [each["metadata"] for each in entry["metadata"] if not each["breadcrumb"]]
        table["selected"] = entry["tap_stream_id"] in streams
        for each in entry["metadata"]:
            is_copy = each["metadata"].get("selected-by-default") is False
            if each["breadcrumb"] and is_copy and not table.get("selected-by-default"):
                each["metadata"].setdefault("selected", True)
    return catalog


def run_tap(*arguments: str, environment: dict[str, str] | None = None) -> Output:
    """One run of the command line to its end, in a tenth of the time; see `warm_tap.py`."""
    return started_tap().run(*arguments, environment=environment)


def json_lines(stdout: bytes, arguments: tuple[str, ...]) -> bytes:
    return stdout.replace(b"\n", b" ") + b"\n" if "--discover" in arguments and stdout else stdout


def start_tap(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A run of the command line that the caller ends."""
    return subprocess.Popen(
        [*RUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )


@pytest.fixture
def start_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes that end with the test: `start_sandbox(workspace, **options)`."""
    running: list[Sandbox] = []

    def start(workspace: Workspace, **options: Any) -> Sandbox:
        sandbox = Sandbox(workspace, **options)
        sandbox.__enter__()
        running.append(sandbox)
        return sandbox

    yield start
    for sandbox in running:
        sandbox.__exit__(None, None, None)


@pytest.fixture
def start_tap_on(start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Callable[..., Tap]:
    """A tap on a sandbox of its own: `start_tap_on(workspace, **options)`."""

    def start(workspace: Workspace, **options: Any) -> Tap:
        return Tap(start_sandbox(workspace, **options), tmp_path)

    return start


@cache
def started_tap() -> WarmTap:
    """The tap that all tests of a process share; it ends when its socket closes with them."""
    from warm_tap import WarmTap

    return WarmTap().__enter__()


@pytest.fixture(scope="session")
def warm_tap() -> WarmTap:
    """Runs the tap in a tenth of the time; see `warm_tap.py`."""
    return started_tap()


@pytest.fixture(scope="session")
def plain_catalog_text(warm_tap: WarmTap, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The catalog of a workspace without attributes of its own, as discovery writes it."""
    with Sandbox(Workspace()) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("catalog"))
        return warm_tap.run("--config", tap.config(), "--discover").stdout.decode()


@pytest.fixture
def plain_catalog(plain_catalog_text: str) -> dict[str, Any]:
    """The same, for each test anew."""
    catalog: dict[str, Any] = json.loads(plain_catalog_text)
    return catalog
