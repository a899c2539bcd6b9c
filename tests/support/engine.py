"""Dagster as a real deployment: a home, a daemon, and what its instance says about runs.

Everything runs in the environment of `make e2e`, so this process needs no Dagster.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Answers questions about the instance, one JSON document a line: starting Python costs seconds.
_ASK = """
import json, sys
import dagster as dg

instance = dg.DagsterInstance.get()

def runs():
    return [
        {
            "id": run.run_id,
            "workspace": run.tags.get("dagster/partition"),
            "status": run.status.value,
            "tags": dict(run.tags),
            "config": run.run_config,
        }
        for run in instance.get_runs()
    ]

def failures(run):
    found = []
    for each in instance.all_logs(run):
        event = each.dagster_event
        if event is None or event.event_type_value not in ("STEP_FAILURE", "STEP_UP_FOR_RETRY"):
            continue
        error, failure = event.event_specific_data.error, getattr(
            event.event_specific_data, "user_failure_data", None)
        found.append({
            "type": event.event_type_value,
            "description": failure.description if failure else None,
            "exit_code": failure.metadata["exit_code"].value
            if failure and "exit_code" in failure.metadata else None,
            "error": error.to_string() if error else "",
        })
    return found

def materializations(stream, workspace):
    which = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(["intercom", stream]), asset_partitions=[workspace])
    return [
        {name: value.value for name, value in each.asset_materialization.metadata.items()}
        for each in instance.fetch_materializations(which, limit=100).records
    ]

def checks(name):
    "The result of the newest run of a check, by stream."
    (run, *_) = instance.get_runs(dg.RunsFilter(job_name="check"), limit=1)
    found = {}
    for each in instance.all_logs(run.run_id):
        event = each.dagster_event
        if event is not None and event.event_type_value == "ASSET_CHECK_EVALUATION":
            data = event.event_specific_data
            if data.check_name == name:
                found[data.asset_key.path[-1]] = {
                    "passed": data.passed, "workspaces": data.metadata["workspaces"].value}
    return found

def partitions():
    return list(instance.get_dynamic_partitions("intercom_workspaces"))

for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(globals()[name](*arguments)), flush=True)
"""
# A test fails after this, instead of waiting for the end of its own time.
PATIENCE_SECONDS = 1_200
POLL_SECONDS = 0.5


@dataclass
class Engine:
    """A deployment of Dagster.

    home: its DAGSTER_HOME. definitions: the file with its assets, jobs and so on.
    """

    bin: Path
    home: Path
    definitions: Path
    environment: MutableMapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            **self.environment,
        }

    def command(self, program: str, *arguments: str) -> list[str]:
        return [str(self.bin / program), *arguments]

    def run(self, program: str, *arguments: str) -> str:
        """Run one of Dagster's programs to its end; gives all that it printed."""
        done = subprocess.run(
            self.command(program, *arguments),
            env=self.variables,
            cwd=self.definitions.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    @contextmanager
    def process(self, program: str, *arguments: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
        """One of Dagster's programs, until the end of the context."""
        with subprocess.Popen(
            self.command(program, *arguments),
            env=self.variables,
            cwd=self.definitions.parent,
            text=True,
            **{"stdin": subprocess.DEVNULL, **how},
        ) as process:
            try:
                yield process
            finally:
                if process.stdin is not None:
                    process.stdin.close()
                else:
                    process.terminate()

    @contextmanager
    def daemon(self) -> Iterator[Instance]:
        """The daemon that evaluates sensors and schedules, and starts runs from its queue."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        log = self.home / "daemon.log"
        with log.open("w") as file, self.process("python", "-c", _ASK, **pipes) as asked:
            instance = Instance(asked, log)
            # Two processes that create the same SQLite files at once disturb each other.
            instance("partitions")
            command = ("run", "-f", str(self.definitions))
            with self.process("dagster-daemon", *command, stdout=file, stderr=file):
                yield instance

    def schedule(self, verb: str, name: str = "intercom_schedule") -> None:
        """Start or stop a schedule."""
        self.run("dagster", "schedule", verb, "-f", str(self.definitions), name)


class Instance:
    """What a deployment knows. log: that of its daemon."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def __call__(self, *question: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def wait(self, is_met: Callable[[], Any], what: str) -> None:
        """Ask until the answer is true."""
        wait_until(is_met, lambda: f"{what}: {self('runs')}\n{self._log.read_text()[-3000:]}")


def wait_until(is_met: Callable[[], Any], why_not: Callable[[], str]) -> None:
    """Look until a condition is met; fails with a reason after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_met():
        if time.monotonic() > deadline:
            raise AssertionError(why_not())
        time.sleep(POLL_SECONDS)
