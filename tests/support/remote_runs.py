"""Runs of `tap-intercom run` on several machines that share nothing but the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conftest import RUN, START_DATE, TIMEOUT_SECONDS, selecting
from folder_store import FAULTS, NUMBERS
from log_lines import without_times
from paths import SUPPORT

from intercom_sandbox import Sandbox

TABLES = ("companies", "contacts", "conversation_parts", "conversations", "segments", "tags")
PROGRAM = str(SUPPORT / "folder_store.py")
# Numbers of the tap that let seconds show what else takes minutes.
SHORT: Mapping[str, float] = {
    "state_unit.BEAT_SECONDS": 0.1,
    "state_unit.UPLOAD_SECONDS": 0.01,
    "store.FIRST_WAIT_SECONDS": 0.01,
    "store.RETRY_SECONDS": 0.2,
    "store_lock.POLL_SECONDS": 0.05,
}


class RemoteRuns:
    """Runs with one URL, a sandbox, and the rows of a small target.

    url: of the state; without one, in a folder that is a store. python: what runs the tap.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        folder: Path,
        url: str | None = None,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        numbers: Mapping[str, float] = SHORT,
    ) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.state = folder / "bucket" / "workspace" / "state.json"
        self.url = url or f"folder://{self.state}"
        self.rows = folder / "rows.jsonl"
        self.faults = folder / "faults.json"
        self.config = folder / "config.json"
        self.processes: list[subprocess.Popen[str]] = []
        self._python = python
        self._environment = {
            **(environment or {}),
            FAULTS: str(self.faults),
            NUMBERS: json.dumps(dict(numbers)),
        }
        self.configure()

    def configure(self, **settings: Any) -> None:
        config = {
            "access_token": self.sandbox.token,
            "start_date": START_DATE,
            "base_url": self.sandbox.url,
        }
        self.config.write_text(json.dumps({**config, **settings}))

    def fail(self, call: str, path: str, how: str = "fail") -> None:
        """Let the folder that is a store fail from the next call on."""
        self.faults.write_text(json.dumps([{"call": call, "path": path, "how": how}]))

    def start(
        self, *target: str, machine: str = "here", flags: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """A run that `end` ends at the latest; target: flags of the small one."""
        temporary = self.folder / machine
        temporary.mkdir(exist_ok=True)
        small = [sys.executable, str(SUPPORT / "small_target.py"), str(self.rows)]
        files = ["--state", self.url, "--config", str(self.config)]
        process = subprocess.Popen(
            [self._python, PROGRAM, "run", *files, *flags, "--", *small, *target],
            env={**os.environ, **self._environment, "TMPDIR": str(temporary)},
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
        _, log = process.communicate(timeout=TIMEOUT_SECONDS)
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

    @property
    def kept(self) -> Any:
        return json.loads(self.state.read_bytes())

    @property
    def previous(self) -> Any:
        return json.loads(Path(f"{self.state}.previous").read_bytes())

    def kept_ids(self) -> bytes:
        """The ids that belong to the state in the store."""
        name = self.kept["known_ids_object"]
        return Path(f"{self.state}.files/{name}").read_bytes()

    def ids(self) -> dict[str, set[str]]:
        """What the target has."""
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for line in self.rows.read_bytes().splitlines():
            message = json.loads(line)
            ids[message["stream"]].add(message["record"]["id"])
        return ids

    def has_all(self) -> bool:
        """Whether the target has what Intercom holds."""
        ids = self.ids()
        return all(
            {str(row["id"]) for row in self.sandbox.truth(name)} == ids[name] for name in TABLES
        )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read the log up to a line with this text; gives the rest of that line."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line.partition(text)[2].strip()
    raise AssertionError(f"the log ended without {text!r}")
