"""Many workspaces on Dagster: its daemon, its queue and its processes, into PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import START_DATE, Tap, selecting
from engine import Engine, Instance
from environments import environment_bin
from loaded_tables import postgresql, rows_of_postgresql, target_bin, url_of_postgresql
from paths import ROOT

from intercom_sandbox import Sandbox, Workspace, generate

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

STREAMS = ("companies", "contacts", "conversation_parts", "conversations", "tags")
CONTACTS = 6
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
)
assets = intercom_assets(pipeline, retry_policy=dg.RetryPolicy(max_retries=1, delay=1))
sync = intercom_job(assets)
checks = intercom_checks(assets, max_age=timedelta(hours=1))
defs = dg.Definitions(
    assets=[assets],
    asset_checks=[checks],
    jobs=[sync],
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

    def loaded(self, name: str) -> dict[str, set[str]]:
        """The ids in the tables of a workspace; each row came once."""
        tables = rows_of_postgresql(self.server, f"intercom_{name}", list(STREAMS))
        for stream, rows in tables.items():
            assert len({row["id"] for row in rows}) == len(rows), stream
        return {stream: {row["id"] for row in rows} for stream, rows in tables.items()}

    def assert_arrived(self, name: str) -> None:
        assert self.loaded(name) == self.truth(name), name


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


@pytest.fixture(scope="module")
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


def run_round(fleet: Fleet, instance: Instance, workspaces: set[str]) -> dict[str, dict[str, Any]]:
    """One tick of the schedule; gives how the run of each of these workspaces ended."""
    before = {run["id"] for run in instance("runs")}

    def begun() -> list[dict[str, Any]]:
        return [run for run in instance("runs") if run["id"] not in before]

    def all_ended() -> bool:
        return all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in begun())

    fleet.engine.schedule("start")
    instance.wait(lambda: {run["workspace"] for run in begun()} >= workspaces, "the tick")
    fleet.engine.schedule("stop")
    instance.wait(all_ended, "the ends of all runs")
    ended = {run["workspace"]: run for run in reversed(begun())}
    assert ended.keys() == workspaces
    return ended


def test_two_workspaces_arrive(start_fleet: Callable[[int], Fleet]) -> None:
    fleet = start_fleet(2)
    with fleet.engine.daemon() as instance:
        instance.wait(lambda: instance("partitions") == ["w1", "w2"], "the sensor")
        ended = run_round(fleet, instance, {"w1", "w2"})
        assert {run["status"] for run in ended.values()} == {"SUCCESS"}
        for name in fleet.sandboxes:
            fleet.assert_arrived(name)
            for stream, ids in fleet.truth(name).items():
                (facts,) = instance("materializations", stream, name)
                assert facts["dagster/row_count"] == len(ids), stream
                assert facts["shortfalls"] == 0
                assert facts["workspace"] == name
            assert facts["requests"] > 0
        fleet.register("w2")
        instance.wait(lambda: instance("partitions") == ["w2"], "the sensor")
