"""Many workspaces on Dagster: its daemon, its queue and its processes, into PostgreSQL."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import START_DATE, Tap, selecting
from engine import PATIENCE_SECONDS, Engine, Instance, wait_until
from environments import environment_bin
from loaded_tables import postgresql, rows_of_postgresql, target_bin, url_of_postgresql
from paths import ROOT
from s3_server import S3Server

from intercom_sandbox import Sandbox, Workspace, generate

# For its S3 server.
pytest_plugins = ["s3_server"]
pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

STREAMS = ("companies", "contacts", "conversation_parts", "conversations", "tags")
CONTACTS = 6
PERIOD_END = "2026-06-01"
PERIOD_ENDS_AT = 1_780_272_000
# How many workspaces the large test has; 7 suffice for a quick look at its faults.
SIZE = int(os.environ.get("TAP_INTERCOM_WORKSPACES", "20"))
DEAD, FORBIDDEN, AWAY, KILLED, BUSY = "w2", "w3", "w4", "w5", "w6"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
DEFINITIONS = """
from datetime import timedelta
from pathlib import Path

import dagster as dg

from tap_intercom.dagster import (
    Pipeline, intercom_assets, intercom_checks, intercom_job, intercom_schedule, intercom_sensor,
)

HERE = Path(__file__).parent
pipeline = Pipeline(
    registry=HERE / "workspaces.json",
    catalog=HERE / "catalog.json",
    config=HERE / "config.json",
    state=HERE / "state",
    target=[{target!r}],
    target_config=HERE / "target.json",
    wait_seconds=0,
)
assets = intercom_assets(
    pipeline, retry_policy=dg.RetryPolicy(max_retries=1, delay=1), busy_seconds=1
)
sync = intercom_job(assets)
checks = intercom_checks(assets, max_age=timedelta(hours=1))
defs = dg.Definitions(
    assets=[assets],
    asset_checks=[checks],
    jobs=[sync, dg.define_asset_job("check", selection=dg.AssetSelection.checks(checks))],
    sensors=[intercom_sensor(pipeline, seconds=3)],
    schedules=[
        intercom_schedule(sync, "* * * * *", default_status=dg.DefaultScheduleStatus.STOPPED)
    ],
)
"""


def small_workspace(seed: int) -> Workspace:
    """A workspace with a few records of each stream."""
    return generate(
        seed=seed,
        contacts=CONTACTS,
        companies=3,
        conversations=3,
        parts=8,
        tags=3,
        tickets=0,
        resources=0,
        details=0,
    )


@dataclass
class Fleet:
    """Workspaces, the files of a deployment that reads them, and the database."""

    sandboxes: dict[str, Sandbox]
    engine: Engine
    server: dict[str, Any]

    def register(self, *names: str) -> None:
        """Make a registry of these workspaces."""
        write(
            self.engine.definitions.parent / "workspaces.json", registry_of(self.sandboxes, names)
        )

    def truth(self, name: str) -> dict[str, set[str]]:
        truth = self.sandboxes[name].truth
        return {stream: {str(row["id"]) for row in truth(stream)} for stream in STREAMS}

    def loaded(self, name: str, streams: Sequence[str] = STREAMS) -> dict[str, set[str]]:
        """The ids in the tables of a workspace; each row came once."""
        tables = rows_of_postgresql(self.server, f"intercom_{name}", list(streams))
        for stream, rows in tables.items():
            assert len({row["id"] for row in rows}) == len(rows), stream
        return {stream: {row["id"] for row in rows} for stream, rows in tables.items()}

    def assert_arrived(self, name: str) -> None:
        assert self.loaded(name) == self.truth(name), name

    @property
    def folder(self) -> Path:
        return self.engine.definitions.parent

    def state_of(self, name: str, *folders: str) -> Path:
        return self.folder.joinpath("state", name, *folders, "state.json")

    def add_partition(self, name: str) -> None:
        code = (
            "import sys, dagster; dagster.DagsterInstance.get().add_dynamic_partitions"
            "('intercom_workspaces', sys.argv[1:])"
        )
        self.engine.run("python", "-c", code, name)

    def start_materializing(self, name: str, config: Any = None) -> subprocess.Popen[str]:
        """A run of all assets of a workspace, without the daemon."""
        program, *arguments = self.engine.command(
            "dagster",
            *("asset", "materialize", "--select", "*", "--partition", name),
            *("-f", str(self.engine.definitions), "--config-json", json.dumps(config or {})),
        )
        return subprocess.Popen(
            [program, *arguments],
            env=self.engine.variables,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def materialize(self, name: str, config: Any = None) -> None:
        process = self.start_materializing(name, config)
        text, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, text[-3000:]

    def kill_run_of(self, name: str) -> None:
        """End `tap-intercom run` of a workspace with SIGKILL, if it is active."""
        found = self.processes_of(name)
        for process, parent in found.items():
            if parent not in found:
                os.kill(process, signal.SIGKILL)

    def processes_of(self, name: str) -> dict[int, int]:
        """The processes that use the state of a workspace, each with its parent."""
        place = f"{self.folder}/state/{name}/state.json".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if place in (path / "cmdline").read_bytes().split(b"\0"):
                    found[int(path.name)] = int(
                        (path / "stat").read_text().split(") ")[1].split()[1]
                    )
        return found


def registry_of(sandboxes: dict[str, Sandbox], names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: {
            "token_variable": variable_of(name),
            "settings": {"base_url": sandboxes[name].url},
        }
        for name in names
    }


def variable_of(name: str) -> str:
    return f"{name.upper()}_TOKEN"


def write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))


@pytest.fixture
def server() -> Iterator[dict[str, Any]]:
    with postgresql() as server:
        yield server


@pytest.fixture
def start_fleet(
    start_sandbox: Callable[..., Sandbox], server: dict[str, Any], tmp_path: Path
) -> Callable[[int], Fleet]:
    """A deployment with so many workspaces, named w1, w2 and so on."""

    def start(size: int) -> Fleet:
        names = [f"w{number}" for number in range(1, size + 1)]
        sandboxes = {
            name: start_sandbox(small_workspace(seed), token=f"token-of-{name}-7d3f")
            for seed, name in enumerate(names, start=1)
        }
        home = tmp_path / "home"
        home.mkdir()
        shipped = (ROOT / "examples" / "dagster" / "dagster.yaml").read_text()
        (home / "dagster.yaml").write_text(shipped)
        target = target_bin("meltanolabs-postgres") / "target-postgres"
        definitions = tmp_path / "definitions.py"
        definitions.write_text(DEFINITIONS.format(target=str(target)))
        first = Tap(sandboxes["w1"], tmp_path)
        write(tmp_path / "catalog.json", selecting(first.discover(), *STREAMS))
        write(tmp_path / "config.json", {"start_date": START_DATE, "max_retry_seconds": 1})
        write(
            tmp_path / "target.json",
            {
                "sqlalchemy_url": url_of_postgresql(server),
                "default_target_schema": "intercom_{workspace}",
            },
        )
        tokens = {variable_of(name): sandbox.token for name, sandbox in sandboxes.items()}
        fleet = Fleet(
            sandboxes, Engine(environment_bin("dagster"), home, definitions, tokens), server
        )
        fleet.register(*names)
        return fleet

    return start


def run_round(
    fleet: Fleet,
    instance: Instance,
    workspaces: set[str],
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """One tick of the schedule; gives how the run of each of these workspaces ended."""
    before = {run["id"] for run in instance("runs")}

    def begun() -> list[dict[str, Any]]:
        return [run for run in instance("runs") if run["id"] not in before]

    def all_ended() -> bool:
        meanwhile()
        return all(run["status"] in ENDED for run in begun())

    fleet.engine.schedule("start")
    instance.wait(lambda: {run["workspace"] for run in begun()} >= workspaces, "the tick")
    fleet.engine.schedule("stop")
    instance.wait(all_ended, "the ends of all runs")
    # The newest is first. A second tick may have come before the schedule stopped.
    ended = {run["workspace"]: run for run in begun()}
    assert ended.keys() == workspaces
    return ended


@contextmanager
def hold_state_of(fleet: Fleet, name: str) -> Iterator[Callable[[], None]]:
    """Use a state as another run does, until the function that this gives is called."""
    folder = fleet.folder / "state" / name
    folder.mkdir(parents=True)
    with (folder / "state.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)


def release_when_seen(instance: Instance, name: str, release: Callable[[], None]) -> None:
    """Release a state once the engine has found that it is in use."""
    for run in instance("runs"):
        if run["workspace"] == name and instance("failures", run["id"]):
            release()


def checks_of(fleet: Fleet, instance: Instance, name: str) -> dict[str, dict[str, str]]:
    """Run the checks; gives the workspaces that fail one of them, by stream."""
    fleet.engine.run(
        "dagster", "job", "execute", "-f", str(fleet.engine.definitions), "-j", "check"
    )
    found: dict[str, dict[str, Any]] = instance("checks", name)
    for check in found.values():
        assert check["passed"] == (not check["workspaces"])
    return {stream: check["workspaces"] for stream, check in found.items()}


def test_two_workspaces_arrive(start_fleet: Callable[[int], Fleet]) -> None:
    fleet = start_fleet(2)
    with fleet.engine.daemon() as instance:
        instance.wait(lambda: instance("partitions") == ["w1", "w2"], "the sensor")
        ended = run_round(fleet, instance, {"w1", "w2"})
        assert {run["status"] for run in ended.values()} == {"SUCCESS"}
        for name in fleet.sandboxes:
            fleet.assert_arrived(name)
            for stream, ids in fleet.truth(name).items():
                *_, facts = instance("materializations", stream, name)
                assert facts["dagster/row_count"] == len(ids), stream
                assert facts["shortfalls"] == 0
                assert facts["workspace"] == name
            assert facts["requests"] > 0

        own_state = fleet.state_of("w1").read_bytes()
        config = {"start_date": START_DATE, "end_date": PERIOD_END}
        fleet.materialize("w1", {"ops": {"intercom": {"config": config}}})
        period = fleet.state_of("w1", f"period-2015-01-01T00-00-00Z--{PERIOD_END}")
        assert json.loads(period.read_bytes())["bookmarks"]
        assert fleet.state_of("w1").read_bytes() == own_state
        facts, *_ = instance("materializations", "contacts", "w1")
        until = fleet.sandboxes["w1"].truth("contacts")
        assert facts["dagster/row_count"] == sum(
            row["updated_at"] < PERIOD_ENDS_AT for row in until
        )

        fleet.register("w2")
        instance.wait(lambda: instance("partitions") == ["w2"], "the sensor")


def test_a_stopped_run_ends_the_tap_and_the_next_one_completes(
    start_fleet: Callable[[int], Fleet],
) -> None:
    fleet = start_fleet(1)
    fleet.add_partition("w1")
    process = fleet.start_materializing("w1")
    fleet.sandboxes["w1"].faults.add(
        "edit", "/conversations/search", edit=lambda _: process.send_signal(signal.SIGTERM)
    )
    text, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode != 0
    assert "stopped by a signal" in text, text[-3000:]
    assert "the tap ended with exit code 143 (SIGTERM), the target with 0" in text
    assert fleet.processes_of("w1") == {}
    fleet.materialize("w1")
    fleet.assert_arrived("w1")


def test_a_state_may_be_in_s3(start_fleet: Callable[[int], Fleet], url_of_server: str) -> None:
    """The tap is in another environment here, which has the package of the store."""
    store, fleet = S3Server(url_of_server), start_fleet(1)
    tap = environment_bin("remote") / "tap-intercom"
    definitions = fleet.engine.definitions
    place = f'state="s3://bucket/intercom", tap=[{str(tap)!r}],'
    definitions.write_text(definitions.read_text().replace('state=HERE / "state",', place))
    fleet.engine.environment.update(store.environment)
    fleet.add_partition("w1")
    fleet.materialize("w1")
    fleet.assert_arrived("w1")
    first = store.read("intercom/w1/state.json")
    assert first["bookmarks"]["contacts"]
    fleet.sandboxes["w1"].workspace.add_contact()
    fleet.materialize("w1")
    fleet.assert_arrived("w1")
    assert store.read("intercom/w1/state.json") != first
    assert not (fleet.folder / "state").exists()


def test_bad_input_is_one_clear_line(start_fleet: Callable[[int], Fleet]) -> None:
    fleet = start_fleet(1)
    fleet.add_partition("w1")
    fleet.add_partition("nobody")
    del fleet.engine.environment["W1_TOKEN"]
    for name, line in (
        ("w1", "w1: registry: the variable W1_TOKEN with the token of w1 is not set"),
        ("nobody", "nobody: registry: no workspace is called 'nobody'"),
    ):
        process = fleet.start_materializing(name)
        text, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode != 0
        assert f"Failure: {line}" in text, text[-3000:]


def test_mypy_accepts_the_module_and_the_example() -> None:
    mypy = environment_bin("dagster") / "mypy"
    files = [
        "tap_intercom/dagster.py",
        "examples/dagster/definitions.py",
        "examples/dagster/try.py",
    ]
    done = subprocess.run([mypy, *files], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout


def test_the_example_loads_three_workspaces(tmp_path: Path) -> None:
    """Its second command as in its README, with the target that is already installed."""
    python, target = environment_bin("dagster") / "python", target_bin("jsonl")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = ROOT / "examples" / "dagster" / "try.py"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [str(python), str(program), "--port", str(port)],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{target}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        tables = tmp_path / "dagster-example" / "tables"
        wait_until(
            lambda: len(list(tables.glob("*/contacts.jsonl"))) == 3,
            lambda: (tmp_path / "log").read_text()[-3000:],
        )
    finally:
        process.terminate()
        process.wait()
        wait_until(
            lambda: not is_at_work_in(tmp_path / "dagster-example"), lambda: "Dagster does not end"
        )


def is_at_work_in(folder: Path) -> bool:
    """Whether a process has this folder as its own."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink() == folder:
                return True
    return False


def test_faults_of_some_of_many_workspaces_do_not_reach_the_others(
    start_fleet: Callable[[int], Fleet],
) -> None:
    fleet = start_fleet(SIZE)
    boxes = fleet.sandboxes
    boxes[DEAD].options.token = "another"
    boxes[FORBIDDEN].options.permissions.discard("tags")
    boxes[AWAY].faults.add("status", times=None, status=503)
    boxes[KILLED].faults.add(
        "edit", "/contacts/search", times=None, edit=lambda _: fleet.kill_run_of(KILLED)
    )
    with fleet.engine.daemon() as instance, hold_state_of(fleet, BUSY) as release:
        instance.wait(lambda: set(instance("partitions")) == boxes.keys(), "the sensor")
        ended = run_round(
            fleet, instance, set(boxes), lambda: release_when_seen(instance, BUSY, release)
        )
        assert_first_round(fleet, instance, ended)

        boxes[DEAD].options.token = fleet.engine.environment[variable_of(DEAD)]
        boxes[FORBIDDEN].options.permissions.add("tags")
        boxes[AWAY].faults.clear()
        boxes[KILLED].faults.clear()
        faulty = (DEAD, FORBIDDEN, AWAY, KILLED)
        fleet.register(*faulty)
        instance.wait(lambda: set(instance("partitions")) == {*faulty}, "the sensor")
        ended = run_round(fleet, instance, {*faulty})
        assert {run["status"] for run in ended.values()} == {"SUCCESS"}
        for name in boxes:
            fleet.assert_arrived(name)
        assert checks_of(fleet, instance, "fresh") == {stream: {} for stream in STREAMS}

        tokens = set(fleet.engine.environment.values())
        runs = json.dumps(instance("runs"))
        assert not any(token in runs for token in tokens)
        for path in filter(Path.is_file, fleet.folder.rglob("*")):
            found = {token for token in tokens if token.encode() in path.read_bytes()}
            assert not found or path == fleet.folder / "config.json", path


def assert_first_round(fleet: Fleet, instance: Instance, ended: dict[str, dict[str, Any]]) -> None:
    faulty = {DEAD, FORBIDDEN, AWAY, KILLED}
    for name in fleet.sandboxes.keys() - faulty:
        assert ended[name]["status"] == "SUCCESS", instance("failures", ended[name]["id"])
        fleet.assert_arrived(name)
        *_, facts = instance("materializations", "contacts", name)
        assert facts["dagster/row_count"] == CONTACTS
    said = {name: instance("failures", ended[name]["id"]) for name in (*faulty, BUSY)}
    assert {ended[name]["status"] for name in faulty} == {"FAILURE"}

    # No new try can help: the engine makes none, and says what to do.
    (dead,) = said[DEAD]
    assert (dead["type"], dead["exit_code"]) == ("STEP_FAILURE", 3)
    assert "Intercom refused the access token" in dead["description"]
    (forbidden,) = said[FORBIDDEN]
    assert (forbidden["type"], forbidden["exit_code"]) == ("STEP_FAILURE", 3)
    assert "tags" in forbidden["description"]
    assert "The token lacks the permission 'Read tags'" in forbidden["description"]
    # What it may read has arrived, and says so.
    assert instance("materializations", "tags", FORBIDDEN) == []
    assert instance("materializations", "contacts", FORBIDDEN)
    truth = fleet.truth(FORBIDDEN)
    others = [stream for stream in STREAMS if stream != "tags"]
    assert fleet.loaded(FORBIDDEN, others) == {name: truth[name] for name in others}

    # The engine tried these once more, as its policy says.
    for name, code, why in ((AWAY, 4, "503"), (KILLED, -9, "SIGKILL")):
        first, second = said[name]
        assert [first["type"], second["type"]] == ["STEP_UP_FOR_RETRY", "STEP_FAILURE"], name
        assert second["exit_code"] == code
        assert why in second["description"]
        assert instance("materializations", "contacts", name) == []

    # Another run used the state; the engine waited for it.
    assert {each["type"] for each in said[BUSY]} == {"STEP_UP_FOR_RETRY"}
    assert "another run uses" in said[BUSY][0]["error"]

    late = checks_of(fleet, instance, "fresh")
    assert late["contacts"] == dict.fromkeys((DEAD, AWAY, KILLED), "never")
    assert late["tags"] == dict.fromkeys((DEAD, FORBIDDEN, AWAY, KILLED), "never")
