"""All tables in real databases, row by row beside the truth, whatever happens between the runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import databases
import pytest
from database_loads import Loads, sending_halves
from databases import FAULTS
from edits import add_everywhere, delete_everywhere, edit_everywhere
from hostile_workspace import hostile_workspace
from loaded_tables import postgresql

from intercom_sandbox import Sandbox, Workspace, generate

TARGETS = ("jsonl", "duckdb", "meltanolabs-postgres", "pipelinewise-postgres")
LATER = ("article_versions", "contact_notes", "conversation_parts", "tags", "ticket_parts")
PLENTY = 1_000_000
KILLED = 128 + signal.SIGKILL

LoadInto = Callable[..., Loads]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with postgresql() as server:
        yield server


@pytest.fixture
def load_into(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path, request: pytest.FixtureRequest
) -> LoadInto:
    """Loads of a workspace into a new database: `load_into("duckdb", workspace, **settings)`."""

    def start(name: str, workspace: Workspace, **settings: Any) -> Loads:
        sandbox = start_sandbox(workspace, rate_limit=PLENTY)
        sending_halves(sandbox)
        if name == "jsonl":
            database = databases.json_lines(tmp_path)
        elif name == "duckdb":
            database = databases.duckdb(tmp_path, **settings)
        else:
            server = request.getfixturevalue("server")
            make = (
                databases.pipelinewise if name.startswith("pipelinewise") else databases.meltanolabs
            )
            schema = f"{request.node.name}_{name}".replace("-", "_")[-60:].replace("[", "_")
            database = make(tmp_path, server, schema.replace("]", "").lower(), **settings)
        # Not since ever, as exports have a job for each month.
        start_date = datetime.now(timezone.utc) - timedelta(days=25)
        return Loads(sandbox, database, tmp_path, start_date=start_date.date().isoformat())

    return start


@pytest.mark.parametrize("name", ["duckdb", "pipelinewise-postgres"])
def test_every_table_equals_the_truth_after_an_edit(load_into: LoadInto, name: str) -> None:
    """The test below, short enough for each run of the tests."""
    workspace = generate(
        seed=3, contacts=10, companies=4, conversations=6, parts=8, resources=3, tickets=4,
        details=5, datasets=2, days=20,
    )  # fmt: skip
    loads = load_into(name, workspace)
    loads.discover()
    with loads.stage("first run"):
        loads.complete()
    with loads.stage("edits"):
        edit_everywhere(workspace, 1)
        loads.complete()


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", TARGETS)
def test_every_table_equals_the_truth_whatever_happens(load_into: LoadInto, name: str) -> None:
    workspace = hostile_workspace()
    loads = load_into(name, workspace, batch_size_rows=200)
    loads.discover(*LATER)

    with loads.stage("first run"):
        loads.complete()
    assert loads.database.occurred == {fault.name for fault in FAULTS if fault.target == name}

    with loads.stage("edits and deletes"):
        loads.truth.gone |= delete_everywhere(workspace)
        add_everywhere(workspace)
        edit_everywhere(workspace, 1)
        loads.complete()

    with loads.stage("kills"):
        loads.truth.gone |= delete_everywhere(workspace)
        for number, victim in enumerate(("tap", "target", "runner"), start=2):
            add_everywhere(workspace)
            edit_everywhere(workspace, number)
            loads.kill(victim, "--after", str(loads.lines // 4 * (number - 1)))
        loads.complete()

    with loads.stage("new columns and streams"):
        workspace.add_data_attribute("contact", "new number", "integer")
        workspace.add_contact(custom_attributes={"new number": 5})
        workspace.add_contact(custom_attributes={"new number": "five"})
        loads.discover()
        loads.complete()


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["duckdb", "pipelinewise-postgres"])
def test_no_row_is_lost_by_a_target_that_loads_each_table_when_it_has_enough_rows(
    load_into: LoadInto, name: str
) -> None:
    """Such a target takes the first state that it gets for loaded, before it has loaded a row."""
    workspace = generate(
        seed=3, contacts=400, companies=120, conversations=0, parts=0, resources=0, tickets=0,
        details=0, days=20,
    )  # fmt: skip
    loads = load_into(name, workspace, batch_size_rows=150)
    loads.discover()
    loads.select("companies", "contacts")
    loads.kill("target", "--once-changed", str(loads.state))
    with loads.stage("the rest"):
        loads.complete()


def without_metadata() -> tuple[Workspace, str, dict[str, Any]]:
    """A table that has key columns only."""
    return generate(seed=3, contacts=0, conversations=0, parts=0), "team_admin", NO_METADATA


def of_a_row_beyond_2_mb() -> tuple[Workspace, str, dict[str, Any]]:
    """DuckDB reads no longer line, and the target writes letters beyond ASCII as six bytes."""
    workspace = Workspace()
    workspace.add_contact(custom_attributes={"long": "é" * 400_000})
    return workspace, "contacts", {}


NO_METADATA = {"add_metadata_columns": False}


@pytest.mark.long
@pytest.mark.parametrize("case", [without_metadata, of_a_row_beyond_2_mb])
def test_loads_that_target_duckdb_fails_still_fail(
    load_into: LoadInto, case: Callable[[], tuple[Workspace, str, dict[str, Any]]]
) -> None:
    """Known faults of the target: the run fails, says so and keeps its state."""
    workspace, stream, settings = case()
    loads = load_into("duckdb", workspace, **settings)
    loads.discover()
    loads.select(stream)
    code, log = loads.run()
    assert code == 6, log[-2000:]
    assert not loads.state_of(stream)
