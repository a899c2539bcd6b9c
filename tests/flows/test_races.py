"""Races between a run and the people who edit what it reads, written out one by one.

`test_model.py` plays them at random; here are those that `docs/guarantees.md` argues about. Pages
hold two records, so that something can happen between them.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Output
from runs import NOW, Catalog, Clock, Runs
from warm_tap import SMALL_WINDOWS, WITHOUT_ORDER, WarmTap

from intercom_sandbox import Sandbox, Workspace
from tap_intercom.times import epoch_seconds

HOUR = 3600
DAY = 24 * HOUR
LOOKBACK_SECONDS = 600
PLENTY = 1_000_000
CONTACTS_SEARCH = "^/contacts/search$"
CONVERSATIONS_SEARCH = "^/conversations/search$"
# A refusal that is about no single record.
NOT_IN_PLAN: Mapping[str, Any] = {"status": 403, "code": "api_plan_restricted"}

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
        kind = "company" if stream == "companies" else stream[:-1]
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
@pytest.mark.parametrize("is_order_sure", [True, False], ids=["order is sure", "order is not"])
def test_contact_cannot_slip_out_of_the_open_window(
    race: Begin, is_order_sure: bool, cursors: str, move: Any, page: int
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
    run.run("contacts", numbers=SMALL_WINDOWS if is_order_sure else WITHOUT_ORDER)
    run.clock.instant += HOUR
    run.run("contacts")
    run.assert_nothing_is_lost("contacts")


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_company_cannot_slip_out_of_the_list(race: Begin, move: Any, page: int) -> None:
    workspace = Workspace()
    ids = [f"{number:024}" for number in range(150)]
    for number, company in enumerate(ids):
        instant = NOW - HOUR - number
        workspace.add_company(id=company, created_at=instant, last_request_at=instant, user_count=1)
    run = race(workspace)

    def edit(workspace: Workspace) -> None:
        table = Table(workspace, "companies")
        # The list leaves out companies without users.
        table.add = partial(workspace.add_company, user_count=1)
        move(table, ids)

    run.before_request(page, "^/companies/list$", edit)
    run.run("companies", companies_source="list")
    run.clock.instant += HOUR
    run.run("companies", companies_source="list")

    def is_not_listed(stream: str, company: Any) -> bool:
        return not company["user_count"]

    assert list(run.lost("companies", but=is_not_listed)) == []


def test_list_of_companies_that_does_not_rest_is_no_read_to_its_end(race: Begin) -> None:
    workspace = Workspace()
    ids = [f"{number:024}" for number in range(150)]
    for company in ids:
        workspace.add_company(id=company, created_at=NOW - HOUR, user_count=1)
    run = race(workspace)
    left = iter(ids)
    run.sandbox.faults.add(
        "edit",
        "^/companies/list$",
        times=None,
        edit=lambda workspace: workspace.delete_company(next(left)),
    )
    first = run.run("companies", companies_source="list")
    assert first.code == 5
    assert "kept changing" in first.last_log_line
    assert "companies" not in run.bookmarks


# -- Parents and children ------------------------------------------------------------------------


def test_parts_that_fail_in_a_later_window_do_not_pass_for_read_in_an_earlier_one(
    race: Begin,
) -> None:
    """Windows are read side by side: the later one can fail while the earlier one is still read."""
    run = race(conversations(6, NOW - 30 * DAY, step=4 * DAY))
    run.sandbox.faults.add("slow", "^/conversations/0$", seconds=0.3)
    run.sandbox.faults.add("status", "^/conversations/5$", times=None, **NOT_IN_PLAN)
    streams = ("conversations", "conversation_parts")
    first = run.run(*streams, numbers=SMALL_WINDOWS, page_size=1, max_retry_seconds=0)
    assert first.code == 3, first.log
    assert len(first.ids("conversations")) == 6
    run.sandbox.faults.clear()
    run.run(*streams)
    run.assert_nothing_is_lost(*streams)


def test_parts_come_from_where_they_were_left_when_their_conversations_are_ahead(
    race: Begin,
) -> None:
    run = race(conversations(4, NOW - 30 * DAY))
    run.run("conversations", "conversation_parts")
    run.clock.instant += HOUR
    run.workspace.reply("0")
    run.clock.instant += HOUR
    run.run("conversations")
    run.clock.instant += HOUR
    last = run.run("conversations", "conversation_parts")
    run.assert_nothing_is_lost("conversations", "conversation_parts")
    assert last.ids("conversations") == set()
    assert {part["conversation_id"] for part in last.records("conversation_parts")} == {"0"}


# -- Runs that end early -------------------------------------------------------------------------

EVERYTHING = ("contacts", "conversations", "conversation_parts", "companies", "tags")


def everything() -> Workspace:
    """A few of each, over years and in the last days."""
    workspace = Workspace()
    workspace.add_tag(name="VIP")
    ages = [900 * DAY, 500 * DAY, 499 * DAY, 30 * DAY, 30 * DAY, 3 * DAY, 20 * HOUR, 60]
    for number, age in enumerate(ages):
        instant = NOW - age
        workspace.add_contact(name=f"Contact {number}", created_at=instant)
        workspace.add_company(name=f"Company {number}", created_at=instant)
        conversation = workspace.add_conversation(title=str(number), created_at=instant)
        workspace.reply(conversation, created_at=instant)
    return workspace


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="as documented"),
        pytest.param({"cursors": "position", "sort_honoured": False}, id="no order, positions"),
        pytest.param({"contact_days": "utc", "timezone": "Pacific/Auckland"}, id="UTC days"),
        pytest.param({"contact_days": "exact"}, id="exact seconds"),
    ],
)
def test_run_can_end_after_any_state(race: Begin, options: Any) -> None:
    """A target that stops reads on from the last STATE that it took, whatever came after it."""
    run = race(everything(), **options)
    numbers = WITHOUT_ORDER if "sort_honoured" in options else SMALL_WINDOWS
    lines = run.run(*EVERYTHING, numbers=numbers).stdout.splitlines(keepends=True)
    ends = [at + 1 for at, line in enumerate(lines) if line.startswith(b'{"type":"STATE"')]
    assert len(ends) > 8
    for end in [0, *ends]:
        run.forget()
        run.take(Output(0, b"".join(lines[:end]), ""))
        run.run(*EVERYTHING)
        run.assert_nothing_is_lost(*EVERYTHING)


def test_companies_are_read_again_until_a_read_was_whole(race: Begin) -> None:
    run = race(everything())
    run.sandbox.faults.add("status", "^/companies/scroll$", after=2, times=None, status=500)
    first = run.run("companies", "tags", max_retry_seconds=0)
    assert first.code == 4
    assert first.ids("companies")
    assert "companies" not in run.bookmarks
    run.sandbox.faults.clear()
    run.clock.instant += HOUR
    run.run("companies")
    run.assert_nothing_is_lost("companies")


def test_stream_that_fails_keeps_its_last_complete_window(race: Begin) -> None:
    run = race(conversations(9, NOW - 90 * DAY, step=10 * DAY))
    run.sandbox.faults.add("status", "^/conversations/7$", times=None, **NOT_IN_PLAN)
    first = run.run(
        "conversation_parts", "tags", numbers=SMALL_WINDOWS, page_size=1, max_retry_seconds=0
    )
    assert first.code == 3
    reached = epoch_seconds(run.bookmarks["conversation_parts"]["updated_at"])
    assert NOW - 90 * DAY < reached <= NOW - 20 * DAY
    run.sandbox.faults.clear()
    second = run.run("conversation_parts")
    run.assert_nothing_is_lost("conversation_parts")
    assert "0" not in {part["conversation_id"] for part in second.records("conversation_parts")}


@pytest.mark.parametrize(
    ("streams", "most_repeated"),
    [
        pytest.param(("contacts",), 1_000, id="contacts"),
        pytest.param(("conversations",), 1_000, id="conversations"),
        pytest.param(("conversations", "conversation_parts"), 250, id="with parts"),
    ],
)
def test_interrupted_first_run_repeats_little(
    race: Begin, streams: tuple[str, ...], most_repeated: int
) -> None:
    make = contacts if streams == ("contacts",) else conversations
    run = race(make(2_000, NOW - 400 * DAY, step=3 * HOUR))
    begun = run.start(*streams, page_size=150)
    taken = begun.read(lambda data: data.count(b"\n") > 1_500)
    begun.kill(signal.SIGKILL)
    first = run.take(begun.wait(stdout=taken[: taken.rfind(b"\n") + 1]))
    second = run.run(*streams, page_size=150)
    run.assert_nothing_is_lost(*streams)
    repeated = first.ids(streams[0]) & second.ids(streams[0])
    assert len(first.ids(streams[0])) > most_repeated
    assert len(repeated) <= most_repeated


# -- Where a bookmark stands ---------------------------------------------------------------------


@pytest.mark.parametrize("greater_includes_equal", [False, True])
@pytest.mark.parametrize("stream", ["contacts", "conversations", "companies"])
def test_record_of_the_second_of_the_bookmark_comes(
    race: Begin, stream: str, greater_includes_equal: bool
) -> None:
    run = race(everything(), greater_includes_equal=greater_includes_equal)
    run.run(stream)
    reached = epoch_seconds(run.bookmarks[stream]["updated_at"])
    assert reached == NOW - LOOKBACK_SECONDS
    Table(run.workspace, stream).add(id="000000000000000000000000", created_at=int(reached))
    run.run(stream)
    run.assert_nothing_is_lost(stream)


def test_record_that_search_shows_late_comes(race: Begin) -> None:
    """What changed just before a run is in no index yet when its bookmark is written."""
    run = race(everything(), search_lag=float(LOOKBACK_SECONDS))
    run.workspace.index_now()
    streams = ("contacts", "conversations", "conversation_parts")
    contact, conversation = (run.sandbox.truth(stream)[0]["id"] for stream in streams[:2])
    for number in range(3):
        run.workspace.update_contact(contact, name=f"Late {number}")
        run.workspace.reply(conversation, f"<p>Late {number}</p>")
        run.clock.instant += LOOKBACK_SECONDS / 2
        run.run(*streams)
    run.clock.instant += LOOKBACK_SECONDS
    run.run(*streams)
    run.assert_nothing_is_lost(*streams)


def test_bookmark_does_not_move_back_when_the_lookback_grows(race: Begin) -> None:
    run = race(everything())
    run.run("conversations", lookback_seconds=5)
    before = run.bookmarks
    run.clock.instant += 60
    run.run("conversations", lookback_seconds=600)
    assert run.bookmarks == before


def test_run_without_the_clock_of_intercom_stays_an_hour_behind_its_own(race: Begin) -> None:
    run = race(Workspace(), date_header=False)
    output = run.run("conversations")
    reached = epoch_seconds(run.bookmarks["conversations"]["updated_at"])
    assert time.time() - HOUR - LOOKBACK_SECONDS - 60 <= reached
    assert reached <= time.time() - HOUR - LOOKBACK_SECONDS
    assert any("no Date" in line for line in output.log_lines("WARNING"))


# -- What does not end, and what does not come ---------------------------------------------------


@pytest.mark.parametrize("stream", ["contacts", "conversations"])
def test_import_that_goes_on_does_not_keep_a_run_open(race: Begin, stream: str) -> None:
    run = race(everything(), cursors="position")
    add = Table(run.workspace, stream).add
    run.sandbox.faults.add(
        "edit", f"^/{stream}/search$", times=None, edit=lambda _: [add(), add(), add()]
    )
    first = run.run(stream, numbers={"reading.search.PAGE_SIZE": 2})
    assert first.code == 0, first.log
    run.sandbox.faults.clear()
    run.clock.instant += HOUR
    run.run(stream)
    run.assert_nothing_is_lost(stream)


@pytest.mark.parametrize("age", [30 * DAY, HOUR, 0], ids=["closed", "open days", "open"])
@pytest.mark.parametrize("stream", ["contacts", "conversations"])
@pytest.mark.parametrize("strict", [False, True], ids=["warn", "strict"])
def test_records_that_are_counted_and_do_not_come_are_reported(
    race: Begin, stream: str, strict: bool, age: int
) -> None:
    make = contacts if stream == "contacts" else conversations
    run = race(make(5, NOW - age, step=1))

    def count_two_more(call: Any) -> Any:
        answer = run.sandbox.api.answer(call)
        body = json.loads(answer.body)
        if body["total_count"]:
            body["total_count"] += 2
        return 200, {}, json.dumps(body).encode()

    run.sandbox.faults.add("answer", f"^/{stream}/search$", times=None, answer=count_two_more)
    output = run.run(stream, strict=strict)
    assert len(output.ids(stream)) == 5
    assert any("2 of" in line and "that Intercom counts" in line for line in output.log.split("\n"))
    assert output.code == (5 if strict else 0)
