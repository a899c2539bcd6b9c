"""Measure what Dagster costs for each workspace: many small ones, read from local Intercoms.

    .venv-e2e/dagster/bin/python scripts/many_workspaces.py --workspaces 200

It runs one round of the schedule with a real daemon, and then the same commands without Dagster.
The difference is what the engine costs. Processor times are comparable on a busy machine; the
duration of the round is not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from intercom_sandbox import Sandbox, generate
from tap_intercom.orchestration.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent
STREAMS = ("contacts", "tags")
# One local Intercom serves many workspaces: each has its own state and tables.
WORKSPACES_PER_SANDBOX = 20
POLL_SECONDS = 2.0
# Runs without Dagster; their mean is compared.
DIRECT_RUNS = 10
# Takes all lines and confirms each state, so its own work hardly counts.
TARGET = """
import json, sys
for line in sys.stdin:
    if line.startswith('{"type":"STATE"'):
        print(json.dumps(json.loads(line)["value"]), flush=True)
"""
DEFINITIONS = """
from pathlib import Path
import sys

import dagster as dg

from tap_intercom.dagster import Pipeline, intercom_assets, intercom_job, intercom_schedule
from tap_intercom.dagster import intercom_sensor

HERE = Path(__file__).parent
pipeline = Pipeline(
    registry=HERE / "workspaces.json", catalog=HERE / "catalog.json", config=HERE / "config.json",
    state=HERE / "state", target=[sys.executable, HERE / "target.py"],
)
assets = intercom_assets(pipeline, retry_policy=None)
sync = intercom_job(assets)
defs = dg.Definitions(
    assets=[assets], jobs=[sync], executor=dg.{executor}_executor,
    sensors=[intercom_sensor(pipeline, job=sync)],
)
"""
# Prints the states of all runs for each line of its input.
ASK = """
import json, sys
import dagster as dg
instance = dg.DagsterInstance.get()
for line in sys.stdin:
    records = instance.get_run_records()
    print(json.dumps([[r.dagster_run.status.value, r.start_time, r.end_time] for r in records]),
          flush=True)
"""


class Figures(NamedTuple):
    """workspaces: how many. seconds: duration of the round. processor_seconds: of all processes."""

    workspaces: int
    seconds: float
    processor_seconds: float


def processor_seconds_of(work: Callable[[], object]) -> float:
    """Return the processor time of the processes that this starts and waits for."""

    def now() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = now()
    work()
    return now() - before


def prepare(folder: Path, sandboxes: list[Sandbox], names: list[str], executor: str) -> None:
    def write(name: str, document: Any) -> None:
        (folder / name).write_text(json.dumps(document))

    registry = {
        name: {
            "token_variable": "TOKEN",
            "settings": {"base_url": sandboxes[number % len(sandboxes)].url},
        }
        for number, name in enumerate(names)
    }
    write("workspaces.json", registry)
    write("config.json", {"start_date": "2020-01-01"})
    (folder / "target.py").write_text(TARGET)
    (folder / "definitions.py").write_text(DEFINITIONS.format(executor=executor))
    shutil.copy(ROOT / "examples" / "dagster" / "dagster.yaml", folder / "dagster.yaml")
    variables = {
        **os.environ,
        "TAP_INTERCOM_ACCESS_TOKEN": sandboxes[0].token,
        "TAP_INTERCOM_START_DATE": "2020-01-01",
        "TAP_INTERCOM_BASE_URL": sandboxes[0].url,
    }
    tap = [sys.executable, "-c", "from tap_intercom.cli import run; run()"]
    with (folder / "catalog.json").open("w") as catalog:
        discover = [*tap, "--config", "ENV", "--discover"]
        subprocess.run(discover, env=variables, stdout=catalog, check=True)
    chosen = [part for stream in STREAMS for part in ("--stream", stream)]
    select = [*tap, "select", "--catalog", str(folder / "catalog.json"), "--no-stream", "*"]
    subprocess.run([*select, *chosen], check=True, stdout=subprocess.DEVNULL)


def run_engine(folder: Path, count: int, variables: dict[str, str]) -> float:
    """Run a daemon until all workspaces are loaded; gives the seconds from the first start."""
    programs = Path(sys.executable).parent
    python = [sys.executable, "-c", ASK]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "daemon.log").open("w"))
        asked = stack.enter_context(
            subprocess.Popen(
                python, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        assert asked.stdin is not None
        assert asked.stdout is not None

        def runs() -> list[list[Any]]:
            print(file=asked.stdin, flush=True)
            found: list[list[Any]] = json.loads(asked.stdout.readline())  # type: ignore[union-attr]
            return found

        runs()  # creates the storage, which two processes must not do at once
        command = [str(programs / "dagster-daemon"), "run", "-f", "definitions.py"]
        daemon = stack.enter_context(
            subprocess.Popen(command, env=variables, cwd=folder, stdout=log, stderr=log)
        )
        ended: list[list[Any]] = []
        while len(ended) < count:
            if daemon.poll() is not None:
                raise SystemExit(f"the daemon has ended: {(folder / 'daemon.log').read_text()}")
            time.sleep(POLL_SECONDS)
            ended = [each for each in runs() if each[0] in ("SUCCESS", "FAILURE")]
            print(f"{len(ended)} of {count}", end="\r", file=sys.stderr, flush=True)
        asked.stdin.close()
        daemon.terminate()
    failed = sum(each[0] == "FAILURE" for each in ended)
    if failed:
        raise SystemExit(f"{failed} runs failed")
    return float(max(each[2] for each in ended) - min(each[1] for each in ended))


def run_directly(folder: Path, names: list[str], variables: dict[str, str]) -> None:
    pipeline = Pipeline(
        registry=folder / "workspaces.json",
        catalog=folder / "catalog.json",
        config=folder / "config.json",
        state=folder / "direct",
        target=[sys.executable, str(folder / "target.py")],
    )
    for name in names:
        with tempfile.TemporaryDirectory() as own:
            job = pipeline.job(name, Path(own), variables)
            subprocess.run(job.command, env=job.environment, check=True, stderr=subprocess.DEVNULL)


def measure(count: int, executor: str) -> tuple[Figures, float]:
    """Return the figures of the round, and the processor time of a run without Dagster."""
    names = [f"workspace-{number:03}" for number in range(1, count + 1)]
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        sandboxes = [
            stack.enter_context(
                Sandbox(generate(seed=seed, contacts=10, companies=2, conversations=0, parts=0))
            )
            for seed in range(-(-count // WORKSPACES_PER_SANDBOX))
        ]
        prepare(folder, sandboxes, names, executor)
        variables = {
            **os.environ,
            "DAGSTER_HOME": place,
            "TOKEN": sandboxes[0].token,
        }
        seconds: list[float] = []
        processor = processor_seconds_of(
            lambda: seconds.append(run_engine(folder, count, variables))
        )
        direct = names[:DIRECT_RUNS]
        alone = processor_seconds_of(lambda: run_directly(folder, direct, variables))
    return Figures(count, seconds[0], processor), alone / len(direct)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspaces", type=int, default=200)
    parser.add_argument(
        "--executor", choices=("multiprocess", "in_process"), default="multiprocess"
    )
    options = parser.parse_args()
    figures, alone = measure(options.workspaces, options.executor)
    each = figures.processor_seconds / figures.workspaces
    print(f"{figures.workspaces} workspaces, {options.executor} executor")
    print(f"duration of the round             {figures.seconds:8.1f} s")
    print(f"duration for each workspace       {figures.seconds / figures.workspaces:8.1f} s")
    print(f"processor time for each           {each:8.1f} s")
    print(f"  of this without Dagster         {alone:8.1f} s")
    print(f"  cost of the engine              {each - alone:8.1f} s")


if __name__ == "__main__":
    main()
