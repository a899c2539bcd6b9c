"""Runs of `tap-intercom run` on several machines that share nothing but the store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from folder_store import FAULTS, NUMBERS
from paths import SUPPORT
from target_runs import TargetRuns

from intercom_sandbox import Sandbox

PROGRAM = str(SUPPORT / "folder_store.py")
# Numbers of the tap that let seconds show what else takes minutes.
SHORT: Mapping[str, float] = {
    "state_unit.BEAT_SECONDS": 0.1,
    "state_unit.UPLOAD_SECONDS": 0.01,
    "store.FIRST_WAIT_SECONDS": 0.01,
    "store.RETRY_SECONDS": 0.2,
    "store_lock.POLL_SECONDS": 0.05,
}


class RemoteRuns(TargetRuns):
    """Runs with one URL.

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
        super().__init__(sandbox, folder)
        self.state = folder / "bucket" / "workspace" / "state.json"
        self.url = url or f"folder://{self.state}"
        self.faults = folder / "faults.json"
        self._python = python
        self._environment = {
            **(environment or {}),
            FAULTS: str(self.faults),
            NUMBERS: json.dumps(dict(numbers)),
        }

    def fail(self, call: str, path: str, how: str = "fail") -> None:
        """Let the folder that is a store fail from the next call on."""
        self.faults.write_text(json.dumps([{"call": call, "path": path, "how": how}]))

    def start(
        self, *target: str, machine: str = "here", flags: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        temporary = self.folder / machine
        temporary.mkdir(exist_ok=True)
        files = ["--state", self.url, "--config", str(self.config)]
        return self.start_command(
            [self._python, PROGRAM, "run", *files, *flags, "--", *self.small_target, *target],
            {**self._environment, "TMPDIR": str(temporary)},
        )

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
