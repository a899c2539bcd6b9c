"""Runs of `tap-intercom run` with a local Intercom, and the rows of a small target."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conftest import RUN, START_DATE, TIMEOUT_SECONDS, selecting
from log_lines import without_times
from paths import SUPPORT

from intercom_sandbox import Sandbox

TABLES = ("companies", "contacts", "conversation_parts", "conversations", "segments", "tags")


class TargetRuns:
    """Runs that share a sandbox, a configuration and a file of rows.

    start: starts a run; its arguments are flags of the target.
    small_target: the command of the target.
    processes: all runs so far; `end` ends them at the latest.
    """

    start: Callable[..., subprocess.Popen[str]]

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.rows = folder / "rows.jsonl"
        self.config = folder / "config.json"
        self.small_target = [sys.executable, str(SUPPORT / "small_target.py"), str(self.rows)]
        self.processes: list[subprocess.Popen[str]] = []
        self.configure()

    def configure(self, **settings: Any) -> None:
        config = {
            "access_token": self.sandbox.token,
            "start_date": START_DATE,
            "base_url": self.sandbox.url,
        }
        self.config.write_text(json.dumps({**config, **settings}))

    def start_command(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
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
        return process.returncode, without_times(log)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def catalog(self, *streams: str) -> tuple[str, str]:
        """The flag for a catalog of these streams."""
        path = self.folder / "catalog.json"
        discover = [*RUN, "--config", str(self.config), "--discover"]
        catalog = json.loads(subprocess.run(discover, stdout=subprocess.PIPE, check=True).stdout)
        path.write_text(json.dumps(selecting(catalog, *streams)))
        return "--catalog", str(path)

    def ids(self) -> dict[str, set[str]]:
        """What the target has."""
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for line in self.rows.read_bytes().splitlines():
            message = json.loads(line)
            ids[message["stream"]].add(message["record"]["id"])
        return ids

    def truth(self) -> dict[str, set[str]]:
        return {name: {str(row["id"]) for row in self.sandbox.truth(name)} for name in TABLES}

    def has_all(self) -> bool:
        """Whether the target has what Intercom holds."""
        ids = self.ids()
        return all(ids.get(name, set()) == expected for name, expected in self.truth().items())


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read the log up to a line with this text; gives the rest of that line."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line.partition(text)[2].strip()
    raise AssertionError(f"the log ended without {text!r}")
