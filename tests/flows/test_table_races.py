"""Races between a run and those who edit what it reads, in every kind of table.

Like `test_races.py` for the core tables. Pages hold two rows, so that something can happen between
them, and lists newest first show their order after one step where a test says so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from runs import NOW, Catalog, Clock
from table_runs import DAY, HOUR, TableRuns, of_every_kind
from truth import instant_text
from warm_tap import SMALL_WINDOWS, WarmTap

from intercom_sandbox import Sandbox, Workspace
from tap_intercom.times import epoch_seconds

LOOKBACK_SECONDS = 600
# So few records show their order, which is what lets a read stop early.
SURE_ORDER: Mapping[str, Any] = {"reading.tally.STEPS_THAT_SHOW_ORDER": 1}
PATHS = {
    "articles": "^/articles$",
    "collections": "^/help_center/collections$",
    "internal_articles": "^/internal_articles$",
    "deleted_conversations": "^/conversations/deleted$",
    "calls": "^/calls$",
    "macros": "^/macros$",
    "content_snippets": "^/content_snippets$",
}

Edit = Callable[[Workspace], object]


class Race(TableRuns):
    """Runs, a clock that tests move, and edits between two requests of a run."""

    def __init__(self, clock: Clock, *how: Any, **settings: Any) -> None:
        super().__init__(*how, **settings)
        self.clock = clock

    def before_request(self, number: int, path: str, edit: Edit) -> None:
        """Edit before the number-th request to a path from now on."""
        self.sandbox.faults.add("edit", path, after=number - 1, edit=edit)


@pytest.fixture
def race(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Callable[..., Race]:
    """Begins a race: `race(workspace, **options)`."""

    def begin(workspace: Workspace, **options: Any) -> Race:
        clock = Clock()
        options = {"rate_limit": 1_000_000, "most_rows": 2, "scroll_page_size": 2, **options}
        sandbox = start_sandbox(workspace, clock=clock, **options)
        return Race(clock, sandbox, tmp_path, warm_tap, plain_catalog, page_size=2)

    return begin


Begin = Callable[..., Race]


class Table:
    """The rows of one list in a workspace, in the order in which they were made."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name

    def add(self, **fields: Any) -> str:
        if self.name == "calls":
            return self.workspace.add_call(**fields)
        return self.workspace.add_record(self.name, **fields)

    def restore(self, instant: float) -> str:
        """A row that shows up among the others, and says that it changed long ago."""
        clock, self.workspace.clock = self.workspace.clock, Clock(instant)
        key = self.add()
        self.workspace.clock = clock
        return key

    def update(self, key: str) -> None:
        if self.name == "calls":
            call = self.workspace.calls[key]
            call["updated_at"] = int(self.workspace.clock())
        elif self.name != "deleted_conversations":
            self.workspace.update_record(self.name, key)

    def delete(self, key: str) -> object:
        if self.name == "calls":
            return self.workspace.calls.pop(key)
        self.workspace.delete_record(self.name, key)
        return None


def listed(name: str, count: int, first: int, step: int = 60) -> tuple[Workspace, list[str]]:
    """A list of records that were made one after the other, and their keys."""
    workspace = Workspace()
    table = Table(workspace, name)
    keys = []
    for number in range(count):
        instant = first + number * step
        workspace.clock = Clock(instant)
        keys.append(table.add())
    return workspace, keys


MOVES: dict[str, Callable[[Table, list[str]], object]] = {
    "the first changes": lambda table, keys: table.update(keys[0]),
    "the first goes": lambda table, keys: table.delete(keys[0]),
    "the last changes": lambda table, keys: table.update(keys[-1]),
    "the last goes": lambda table, keys: table.delete(keys[-1]),
    "the first goes and another comes": lambda table, keys: (table.delete(keys[0]), table.add()),
    "the last goes and another comes": lambda table, keys: (table.delete(keys[-1]), table.add()),
    "two go and two others come": lambda table, keys: (
        *(table.delete(keys[0]), table.delete(keys[-1])),
        *(table.add(), table.add()),
    ),
    "the first goes and an old one shows up": lambda table, keys: (
        *(table.delete(keys[0]), table.restore(NOW - 40 * DAY)),
    ),
    "the last goes and an old one shows up": lambda table, keys: (
        *(table.delete(keys[-1]), table.restore(NOW - 40 * DAY)),
    ),
}


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("name", PATHS)
def test_row_cannot_slip_out_of_a_list(race: Begin, name: str, move: Any, page: int) -> None:
    workspace, keys = listed(name, 7, NOW - 30 * DAY)
    run = race(workspace)
    run.before_request(page, PATHS[name], lambda workspace: move(Table(workspace, name), keys))
    run.run(name)
    run.clock.instant += HOUR
    run.run(name)
    run.assert_nothing_is_lost(name)


@pytest.mark.parametrize("cursors", ["position", "value"])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_row_cannot_slip_past_a_cursor_of_a_list_without_a_count(
    race: Begin, move: Any, cursors: str
) -> None:
    workspace, keys = listed("macros", 7, NOW - 30 * DAY)
    run = race(workspace, cursors=cursors)
    run.before_request(2, "^/macros$", lambda workspace: move(Table(workspace, "macros"), keys))
    run.run("macros")
    run.clock.instant += HOUR
    run.run("macros")
    run.assert_nothing_is_lost("macros")


def test_connector_that_moves_to_the_front_is_asked_for_its_executions(race: Begin) -> None:
    workspace, keys = listed("data_connectors", 7, NOW - 30 * DAY)
    workspace.clock = lambda: NOW - DAY
    for key in keys:
        workspace.add_record("data_connector_executions", data_connector_id=key)
    run = race(workspace)
    names = ("data_connectors", "data_connector_executions")
    run.before_request(
        2, "^/data_connectors$", lambda workspace: workspace.update_record(names[0], keys[0])
    )
    first = run.run(*names)
    run.assert_nothing_is_lost(*names)
    asked = [row["id"] for row in first.records("data_connector_executions")]
    assert len(asked) == len(set(asked)), "what was read already is not asked for again"


@pytest.mark.parametrize("is_honoured", [True, False], ids=["order", "no order"])
@pytest.mark.parametrize("name", ["articles", "collections", "deleted_conversations"])
def test_read_that_may_stop_early_misses_nothing(race: Begin, name: str, is_honoured: bool) -> None:
    """Neither rows of the second of the bookmark, more than a page holds, nor others."""
    workspace, _ = listed(name, 30, NOW - 30 * DAY)
    run = race(workspace, sort_honoured=is_honoured)
    how: dict[str, Any] = {"numbers": SURE_ORDER} if is_honoured else {}
    run.run(name, **how)
    reached = int(epoch_seconds(run.bookmarks[name]["updated_at"]))
    assert reached == NOW - LOOKBACK_SECONDS
    table = Table(workspace, name)
    added: set[str] = set()
    # Ids that are in another order: one that both have would prove nothing.
    for instant, ids in ((reached, "9001 8001 9002 8002 9003"), (reached + 60, "8003 9004 8004")):
        run.clock.instant = instant
        added |= {table.add(id=each) for each in ids.split()}
    run.clock.instant = NOW + HOUR
    asked = len(run.sandbox.requests)
    second = run.run(name, **how)
    run.assert_nothing_is_lost(name)
    assert second.ids(name) == added
    if is_honoured:
        assert len(run.sandbox.requests) - asked <= 11, "two passes over the first five pages"


@pytest.mark.parametrize("name", ["articles", "collections", "deleted_conversations"])
def test_old_row_that_shows_up_does_not_hide_another_from_a_read_that_stops_early(
    race: Begin, name: str
) -> None:
    workspace, _ = listed(name, 9, NOW - 30 * DAY)
    run = race(workspace)
    run.run(name, numbers=SURE_ORDER)
    table = Table(workspace, name)
    run.clock.instant += HOUR
    added = [table.add() for _ in range(7)]
    run.clock.instant += HOUR
    run.before_request(
        2, PATHS[name], lambda _: (table.delete(added[-1]), table.restore(NOW - 40 * DAY))
    )
    run.run(name, numbers=SURE_ORDER)
    missing = set(added[:-1]) - run.outputs[-1].ids(name)
    assert run.outputs[-1].code == 0, run.outputs[-1].log
    assert missing == set()


@pytest.mark.parametrize("name", ["articles", "internal_articles", "macros", "collections"])
def test_second_run_brings_what_changed_alone(race: Begin, name: str) -> None:
    workspace, keys = listed(name, 9, NOW - 30 * DAY)
    run = race(workspace)
    run.run(name)
    run.clock.instant += HOUR
    Table(workspace, name).update(keys[4])
    run.clock.instant += HOUR
    second = run.run(name)
    assert second.ids(name) == {keys[4]}
    assert run.bookmarks[name]["updated_at"] == instant_text(
        int(run.clock.instant) - LOOKBACK_SECONDS
    )
    run.assert_nothing_is_lost(name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("activity_logs", "^/admins/activity_logs$"),
        ("data_connector_executions", "/execution_results$"),
    ],
)
def test_what_is_written_during_a_run_comes(race: Begin, name: str, path: str) -> None:
    workspace = Workspace()
    workspace.clock = lambda: NOW - HOUR
    connector = workspace.add_record("data_connectors")
    owner = {"data_connector_id": connector} if "connector" in name else {}
    for _ in range(7):
        workspace.add_record(name, **owner)
    run = race(workspace)
    run.sandbox.faults.add(
        "edit", path, times=None, edit=lambda workspace: workspace.add_record(name, **owner)
    )
    for _ in range(3):
        run.run(name, start_date=instant_text(NOW - DAY))
        run.clock.instant += HOUR
    run.sandbox.faults.clear()
    run.run(name)
    run.assert_nothing_is_lost(name)


def test_note_cannot_slip_past_a_page(race: Begin) -> None:
    """Even where the contact does not show that one of its notes went."""
    workspace = Workspace()
    workspace.clock = lambda: NOW - 30 * DAY
    contact = workspace.add_contact()
    notes = [workspace.add_contact_note(contact) for _ in range(7)]
    before = workspace.contact(contact)["updated_at"]
    run = race(workspace)

    def edit(workspace: Workspace) -> None:
        workspace.delete_contact_note(contact, notes[-1])
        workspace.update_contact(contact, updated_at=before)

    run.before_request(2, "/notes$", edit)
    run.run("contact_notes")
    run.clock.instant += HOUR
    run.run("contact_notes")
    run.assert_nothing_is_lost("contact_notes")


def test_redirect_cannot_slip_past_a_page(race: Begin) -> None:
    workspace = Workspace()
    workspace.clock = lambda: NOW - 30 * DAY
    help_center = workspace.add_record("help_centers")
    keys = [workspace.add_record("redirects", help_center_id=help_center) for _ in range(7)]
    run = race(workspace)
    run.before_request(2, "/redirects$", lambda found: found.delete_record("redirects", keys[-1]))
    run.run("redirects")
    missing = [problem for problem in run.problems("redirects") if "missing" in problem]
    assert missing == []


def test_part_that_is_newer_than_its_ticket_comes_within_a_day(race: Begin) -> None:
    run = race(of_every_kind())
    run.run("tickets", "ticket_parts")
    run.clock.instant += HOUR
    newest = max(run.sandbox.truth("tickets"), key=lambda ticket: ticket["updated_at"])["id"]
    run.workspace.add_ticket_part(newest, moves_ticket=False)
    run.clock.instant += HOUR
    run.run("tickets", "ticket_parts")
    run.assert_nothing_is_lost("tickets", "ticket_parts")


def test_children_of_a_contact_that_changes_after_its_search_come(race: Begin) -> None:
    run = race(of_every_kind())
    names = ("contact_notes", "contact_segment", "events", "contact_tag", "contacts")
    contact = f"{2:024}"

    def edit(workspace: Workspace) -> None:
        workspace.add_contact_note(contact)
        workspace.add_event(contact, "During the run")
        workspace.tag_contact(contact, workspace.add_tag(name="During the run"))

    run.before_request(1, "/notes$", edit)
    run.run(*names)
    run.clock.instant += HOUR
    run.run(*names)
    run.assert_nothing_is_lost(*names)


@pytest.mark.parametrize(
    ("parent", "child", "edit"),
    [
        (
            "articles",
            "article_versions",
            lambda found: found.add_record("article_versions", article_id="2"),
        ),
        ("contacts", "contact_notes", lambda found: found.add_contact_note(f"{2:024}")),
        ("companies", "company_tag", lambda found: found.tag_company(f"{2:024}", found.add_tag())),
        ("conversations", "call_transcripts", lambda found: found.add_call("2")),
    ],
)
def test_child_that_is_selected_later_is_whole_and_its_parent_comes_once(
    race: Begin, parent: str, child: str, edit: Edit
) -> None:
    run = race(of_every_kind())
    run.run(parent, numbers=SURE_ORDER)
    run.clock.instant += HOUR
    second = run.run(parent, child, numbers=SURE_ORDER)
    assert second.records(parent) == []
    run.assert_nothing_is_lost(parent, child)
    edit(run.workspace)
    if parent == "articles":
        run.workspace.update_record("articles", "2")
    run.clock.instant += HOUR
    run.run(parent, numbers=SURE_ORDER)
    run.clock.instant += HOUR
    last = run.run(parent, child, numbers=SURE_ORDER)
    assert last.records(parent) == []
    run.assert_nothing_is_lost(parent, child)


# -- Runs that end early -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("contacts", "contact_notes", "contact_tag"),
        ("side_conversation_parts",),
        ("article_versions",),
        ("ticket_parts",),
        ("company_tag", "company_contact"),
        ("activity_logs",),
        ("data_connector_executions", "redirects"),
    ],
    ids="-".join,
)
def test_run_that_is_killed_after_any_line_is_made_up_for(
    race: Begin, names: tuple[str, ...]
) -> None:
    run = race(of_every_kind(4), scroll_ttl=0.0)
    settings: dict[str, Any] = {
        "start_date": instant_text(NOW - 100 * DAY),
        "numbers": SMALL_WINDOWS,
    }
    lines = run.run(*names, **settings).stdout.count(b"\n")
    assert lines >= 8
    for end in range(1, lines):
        run.forget()
        begun = run.start(*names, **settings)
        taken = begun.read(lambda data: data.count(b"\n") >= end)  # noqa: B023
        begun.kill(signal.SIGKILL)
        some = b"".join(taken.splitlines(keepends=True)[:end])
        run.take(begun.wait(stdout=some))
        run.clock.instant += 1  # the scroll of the killed run ends
        run.run(*names, **settings)
        run.assert_nothing_is_lost(*names)


# -- Periods -------------------------------------------------------------------------------------

PERIODS = {
    "activity_logs": "created_at",
    "data_connector_executions": "created_at",
    "deleted_conversations": "deleted_at",
    "tickets": "updated_at",
    "articles": "updated_at",
}


@pytest.mark.parametrize("name", PERIODS)
def test_earlier_start_date_and_an_end_date_lose_nothing(race: Begin, name: str) -> None:
    """Five records, ten days apart: the last three, the first of all, then the others."""
    run = race(of_every_kind(last=NOW - 3 * DAY))

    def run_from(days: int, **settings: Any) -> list[str]:
        output = run.run(name, start_date=instant_text(NOW - days * DAY), **settings)
        assert output.code == 0, output.log
        return [row["id"] for row in output.records(name)]

    ids = [
        row["id"]
        for row in sorted(run.workspace.truth(name), key=lambda row: str(row[PERIODS[name]]))
    ]
    assert set(run_from(25)) == set(ids[2:])
    reached = run.bookmarks[name]["updated_at"]
    assert set(run_from(45, end_date=instant_text(NOW - 35 * DAY))) == {ids[0]}
    assert run.bookmarks[name]["updated_at"] == reached
    assert set(run_from(45)) == {ids[1]}
    assert run.bookmarks[name]["updated_at"] >= reached
    run.clock.instant += HOUR
    assert run_from(45) == []
    run.assert_nothing_is_lost(name)


def test_period_that_ends_between_two_reads_is_read_once(race: Begin) -> None:
    """Its end lies behind what is missing, and before the bookmark."""
    run = race(of_every_kind(last=NOW - 3 * DAY))
    name = "articles"
    run.run(name, start_date=instant_text(NOW - 25 * DAY))
    period: dict[str, Any] = {
        "start_date": instant_text(NOW - 45 * DAY),
        "end_date": instant_text(NOW - 5 * DAY),
    }
    assert len(run.run(name, **period).ids(name)) == 2
    assert run.run(name, **period).ids(name) == set()
    run.run(name, start_date=period["start_date"])
    run.assert_nothing_is_lost(name)


@pytest.mark.parametrize("name", ["articles", "article_versions", "tickets", "company_tag"])
def test_whole_read_that_the_catalog_asks_for(race: Begin, name: str) -> None:
    run = race(of_every_kind(last=NOW - 3 * DAY), scroll_ttl=0.0)

    def force(catalog: Catalog) -> None:
        for entry in catalog["streams"]:
            for each in entry["metadata"]:
                if entry["tap_stream_id"] == name and not each["breadcrumb"]:
                    each["metadata"]["replication-method"] = "FULL_TABLE"

    settings: dict[str, Any] = {"start_date": instant_text(NOW - 100 * DAY)}
    first = run.run(name, **settings)
    run.clock.instant += HOUR
    second = run.run(name, edit_catalog=force, numbers=SURE_ORDER, **settings)
    assert second.count("ACTIVATE_VERSION", name) == 1
    assert len(second.records(name)) == len(first.records(name))
    run.assert_nothing_is_lost(name)
    run.clock.instant += HOUR
    third = run.run(name, **settings)
    assert third.records(name) == []
    assert third.count("ACTIVATE_VERSION", name) == 0
