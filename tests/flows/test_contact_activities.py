"""The log of contacts: oldest first, without a filter, in a version that only Preview has."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Tap
from runs import NOW, Clock
from table_runs import Making, TableRuns
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace
from tap_intercom.times import rfc3339

NAME = "contact_activities"
PATH = "/contacts/activities"
HOUR = 3600
COUNT = 900

Begin = Callable[[Workspace], TableRuns]


@pytest.fixture
def begin(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path, warm_tap: WarmTap
) -> Callable[[Workspace], TableRuns]:
    def start(workspace: Workspace) -> TableRuns:
        sandbox = start_sandbox(workspace, clock=Clock(), rate_limit=1_000_000)
        catalog = Tap(sandbox, tmp_path).discover(api_version="Preview")
        return TableRuns(sandbox, tmp_path, warm_tap, catalog, api_version="Preview")

    return start


def an_entry_an_hour(count: int = COUNT) -> Workspace:
    making = Making()
    for number in range(count):
        workspace = making.at(NOW - (count + 10 - number) * HOUR)
        add_entry(workspace, number)
    return making.at(NOW)


def add_entry(workspace: Workspace, number: int, **fields: Any) -> str:
    return workspace.add_record(NAME, id=f"e{number:05}", contact_id=f"{number:024x}", **fields)


def kill_after(runs: TableRuns, rows: int) -> None:
    """Kill a run once it has written so many rows; a target has all its whole lines."""
    begun = runs.start(NAME, page_size=50)
    taken = begun.read(lambda data: data.count(b'"RECORD"') > rows)
    begun.kill(signal.SIGKILL)
    runs.take(begun.wait(stdout=taken[: taken.rfind(b"\n") + 1]))


def reverse(body: dict[str, Any]) -> None:
    body["data"].reverse()


def test_an_interrupted_run_goes_on_where_it_was(begin: Begin) -> None:
    runs = begin(an_entry_an_hour())
    kill_after(runs, 500)
    first = runs.outputs[-1]
    second = runs.run(NAME)
    runs.assert_nothing_is_lost(NAME)
    repeated = first.ids(NAME) & second.ids(NAME)
    assert len(first.ids(NAME)) > 450
    assert len(repeated) <= 200
    assert runs.bookmarks[NAME]["updated_at"] == rfc3339(NOW - 600)


def test_a_log_in_another_order_moves_the_bookmark_at_its_end_only(begin: Begin) -> None:
    runs = begin(an_entry_an_hour())
    fault = runs.sandbox.faults.add("changed", path=PATH, change=reverse, times=None)
    kill_after(runs, 500)
    assert NAME not in runs.state.get("bookmarks", {})
    assert fault.done
    runs.run(NAME)
    runs.assert_nothing_is_lost(NAME)


def test_entries_that_come_late_are_read_within_the_lookback(begin: Begin) -> None:
    runs = begin(an_entry_an_hour(30))
    runs.run(NAME)
    late = add_entry(runs.sandbox.workspace, 1000, created_at=NOW - 500)
    second = runs.run(NAME)
    assert second.ids(NAME) == {late}
    runs.assert_nothing_is_lost(NAME)


def test_a_cursor_that_expires_loses_and_repeats_nothing(begin: Begin) -> None:
    runs = begin(an_entry_an_hour(400))
    runs.sandbox.faults.add("status", path=PATH, status=400, code="client_error", after=2)
    runs.run(NAME)
    runs.assert_nothing_is_lost(NAME)
    assert list(runs.problems(NAME, is_once=True)) == []


def test_an_earlier_start_date_reads_what_is_missing(begin: Begin) -> None:
    runs = begin(an_entry_an_hour(100))
    border = rfc3339(NOW - 60 * HOUR)
    first = runs.run(NAME, start_date=border)
    assert 0 < len(first.ids(NAME)) < 100
    second = runs.run(NAME)
    assert first.ids(NAME) | second.ids(NAME) == {f"e{number:05}" for number in range(100)}
    assert not first.ids(NAME) & second.ids(NAME)


def test_the_permission_is_named(begin: Begin) -> None:
    runs = begin(an_entry_an_hour(5))
    runs.sandbox.options.permissions -= {"users_companies_read"}
    output = runs.run(NAME)
    assert output.code == 3
    assert "Read and list users and companies" in output.log
    assert json.dumps(runs.state).count(NAME) == 0
