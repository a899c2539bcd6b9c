"""Races between a run and the people who edit what it reads, written out one by one.

`test_model.py` plays them at random; here are those that `docs/guarantees.md` argues about. Pages
hold two records, so that something can happen between them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import NOW, Catalog, Clock, Runs
from warm_tap import SMALL_WINDOWS, WarmTap

from tap_intercom.sandbox import Sandbox, Workspace

HOUR = 3600
DAY = 24 * HOUR
LOOKBACK_SECONDS = 600
PLENTY = 1_000_000
CONTACTS_SEARCH = "^/contacts/search$"
CONVERSATIONS_SEARCH = "^/conversations/search$"

Edit = Callable[[Workspace], object]


class Race(Runs):
    """Runs, a clock that tests move, and edits between two requests of a run."""

    def __init__(self, clock: Clock, *how: Any, **settings: Any) -> None:
        super().__init__(*how, **settings)
        self.clock = clock
        self.workspace = self.sandbox.workspace

    def before_request(self, number: int, path: str, edit: Edit) -> None:
        """Edit before the number-th request to a path from now on."""
        self.sandbox.faults.add("edit", path, after=number - 1, edit=edit)

    def assert_nothing_is_lost(self, *streams: str) -> None:
        """What a target holds after all runs is what the workspace holds."""
        assert self.outputs[-1].code == 0, self.outputs[-1].log
        assert list(self.lost(*streams)) == []


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
        options = {"rate_limit": PLENTY, "scroll_page_size": 2, **options}
        sandbox = start_sandbox(workspace, clock=clock, **options)
        return Race(clock, sandbox, tmp_path, warm_tap, plain_catalog, page_size=2)

    return begin


Begin = Callable[..., Race]


def contacts(count: int, first: int, step: int = 60) -> Workspace:
    """Contacts "0", "1", … that were changed one after the other, so many seconds apart."""
    workspace = Workspace()
    for number in range(count):
        workspace.add_contact(id=str(number), created_at=first + number * step)
    return workspace


def conversations(count: int, first: int, step: int = 60) -> Workspace:
    workspace = Workspace()
    for number in range(count):
        instant = first + number * step
        workspace.add_conversation(id=str(number), created_at=instant)
        workspace.reply(str(number), created_at=instant)
    return workspace


# -- Closed windows ------------------------------------------------------------------------------

MOVES = {
    "a record of the page before changes": lambda table, ids: table.update(ids[0]),
    "a record of the page before is deleted": lambda table, ids: table.delete(ids[0]),
    "a record to come changes": lambda table, ids: table.update(ids[-1]),
    "a record to come is deleted": lambda table, ids: table.delete(ids[-1]),
    "one goes and another comes": lambda table, ids: (table.delete(ids[0]), table.add()),
    "two go and two others come": lambda table, ids: (
        *(table.delete(ids[0]), table.delete(ids[1])),
        *(table.add(), table.add()),
    ),
}


class Table:
    """The records of one kind in a workspace."""

    def __init__(self, workspace: Workspace, stream: str) -> None:
        kind = stream[:-1]
        self.update = getattr(workspace, f"update_{kind}")
        self.delete = getattr(workspace, f"delete_{kind}")
        self.add = getattr(workspace, f"add_{kind}")


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("cursors", ["position", "value"])
@pytest.mark.parametrize("stream", ["contacts", "conversations"])
def test_record_cannot_slip_out_of_a_closed_window(
    race: Begin, stream: str, cursors: str, move: Any, page: int
) -> None:
    make = contacts if stream == "contacts" else conversations
    run = race(make(7, NOW - 30 * DAY), cursors=cursors)
    ids = [str(number) for number in range(7)]
    run.before_request(
        page, f"^/{stream}/search$", lambda workspace: move(Table(workspace, stream), ids)
    )
    run.run(stream)
    run.assert_nothing_is_lost(stream)


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("cursors", ["position", "value"])
def test_contact_cannot_slip_out_of_the_open_window(
    race: Begin, cursors: str, move: Any, page: int
) -> None:
    """The days that are still open reach back beyond the bookmark, and no later run reads them."""
    run = race(contacts(7, NOW - HOUR), cursors=cursors)
    run.run("contacts")
    run.clock.instant += HOUR
    ids = [str(number) for number in range(7)]
    for contact in ids:
        run.workspace.update_contact(contact, name="Changed")
        run.clock.instant += 60
    run.clock.instant += HOUR
    run.before_request(
        page, CONTACTS_SEARCH, lambda workspace: move(Table(workspace, "contacts"), ids)
    )
    run.run("contacts")
    run.clock.instant += HOUR
    run.run("contacts")
    run.assert_nothing_is_lost("contacts")


# -- Parents and children ------------------------------------------------------------------------


def test_parts_that_fail_in_a_later_window_do_not_pass_for_read_in_an_earlier_one(
    race: Begin,
) -> None:
    """Windows are read side by side: the later one can fail while the earlier one is still read."""
    run = race(conversations(6, NOW - 30 * DAY, step=4 * DAY))
    run.sandbox.faults.add("slow", "^/conversations/0$", seconds=0.3)
    run.sandbox.faults.add("status", "^/conversations/5$", times=None, status=500)
    streams = ("conversations", "conversation_parts")
    first = run.run(*streams, numbers=SMALL_WINDOWS, page_size=1, max_retry_seconds=0)
    assert first.code == 4, first.log
    assert len(first.ids("conversations")) == 6
    run.sandbox.faults.clear()
    run.run(*streams)
    run.assert_nothing_is_lost(*streams)
