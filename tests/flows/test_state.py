"""A bookmark says what is complete: it never says more than was read, and never moves back."""

from __future__ import annotations

import copy
import fcntl
import itertools
import json
import select
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import pytest
from conftest import Output, Tap, selecting, start_tap
from hypothesis import given, settings
from hypothesis import strategies as st
from truth import STREAMS, assert_singer, assert_true

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.errors import ConfigError
from tap_intercom.state import (
    CLOCK_TOLERANCE_SECONDS as TOLERANCE,
)
from tap_intercom.state import (
    Origin,
    Plan,
    State,
    hash_filters,
    read_state,
    state_in,
)
from tap_intercom.times import DAY_SECONDS, epoch_seconds, rfc3339
from tap_intercom.windows import Window, spans

LOOKBACK = 600
NOW = 2_000_000
START = 500_000
BOOKMARK = 900_000


def origin(**changes: Any) -> Origin:
    usual = Origin(
        start_date=START, end=None, workspace="w1", filters=None, now=NOW, safe=NOW - LOOKBACK
    )
    return replace(usual, **changes)


def at(instant: int) -> str:
    return rfc3339(instant) or ""


def own(updated_at: int = BOOKMARK, since: int = START, **more: Any) -> dict[str, Any]:
    return {"updated_at": at(updated_at), "since": at(since), "workspace": "w1", **more}


def plan(bookmark: object, run: Origin, stream: str = "contacts", **how: Any) -> Plan:
    return State({"bookmarks": {stream: bookmark}}).plan(stream, run, lookback=LOOKBACK, **how)


def windows(plan: Plan) -> list[tuple[int, int | None]]:
    return [(window.start, window.end) for window in plan.windows]


def without_nulls(value: Any) -> Any:
    """A state without the members that say that they no longer apply."""
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(each) for name, each in value.items() if each is not None}


# What a run reads


@pytest.mark.parametrize(
    ("bookmark", "run", "expected"),
    [
        pytest.param(None, origin(), [(START, None)], id="null bookmark"),
        pytest.param({}, origin(), [(START, None)], id="empty bookmark"),
        pytest.param({"updated_at": None}, origin(), [(START, None)], id="null time"),
        pytest.param({"updated_at": ""}, origin(), [(START, None)], id="empty time"),
        pytest.param(None, origin(end=START + 9), [(START, START + 9)], id="no bookmark, end"),
        pytest.param(own(), origin(), [(BOOKMARK, None)], id="bookmark"),
        pytest.param(
            own(), origin(end=BOOKMARK + 9), [(BOOKMARK, BOOKMARK + 9)], id="end after bookmark"
        ),
        pytest.param(own(), origin(end=BOOKMARK), [], id="end at bookmark"),
        pytest.param(own(), origin(end=BOOKMARK - 9), [], id="end before bookmark"),
        pytest.param(own(), origin(start_date=START + 9), [(BOOKMARK, None)], id="later start"),
        pytest.param(
            own(),
            origin(start_date=START - 9),
            [(START - 9, START), (BOOKMARK, None)],
            id="earlier start",
        ),
        pytest.param(
            own(missing_since=at(START - 9), missing_until=at(START - 5)),
            origin(start_date=START - 9),
            [(START - 5, START), (BOOKMARK, None)],
            id="earlier start, begun before",
        ),
        pytest.param(
            own(missing_since=at(START - 9), missing_until=at(START - 5)),
            origin(start_date=START - 10),
            [(START - 10, START), (BOOKMARK, None)],
            id="earlier start, another begun before",
        ),
        pytest.param(
            own(missing_since=at(START - 9), missing_until=at(START - 5)),
            origin(),
            [(BOOKMARK, None)],
            id="earlier start begun before, and given up",
        ),
        pytest.param(
            own(),
            origin(start_date=START - 9, end=START - 4),
            [(START - 9, START - 4)],
            id="earlier start, end within what is missing",
        ),
        pytest.param(
            own(filters="9f"), origin(filters="9f"), [(BOOKMARK, None)], id="same filters"
        ),
        pytest.param(own(filters="9f"), origin(), [(START, None)], id="filters taken away"),
        pytest.param(own(), origin(filters="9f"), [(START, None)], id="filters added"),
        pytest.param(own(filters="9f"), origin(filters="0a"), [(START, None)], id="other filters"),
        pytest.param(own(NOW), origin(), [(NOW, None)], id="bookmark at now"),
        pytest.param(
            own(NOW + 1), origin(), [(NOW + 1 - TOLERANCE, None)], id="bookmark of a clock ahead"
        ),
        pytest.param(
            own(NOW + TOLERANCE), origin(), [(NOW, None)], id="bookmark of a clock far ahead"
        ),
        pytest.param(own(NOW + TOLERANCE + 1), origin(), [(START, None)], id="bookmark to come"),
        pytest.param(
            own(NOW + 900),
            origin(latest=NOW + 600),
            [(NOW + 900 - TOLERANCE, None)],
            id="bookmark within two clocks",
        ),
        pytest.param(
            own(NOW + 901), origin(latest=NOW + 600), [(START, None)], id="beyond two clocks"
        ),
        pytest.param(own(since=NOW + TOLERANCE + 1), origin(), [(START, None)], id="start to come"),
        pytest.param(
            own(missing_since=at(START - 9), missing_until=at(NOW)),
            origin(start_date=START - 9),
            [(START - 9, START), (BOOKMARK, None)],
            id="earlier start, read to what cannot be",
        ),
        pytest.param(
            {"replication_key": "updated_at", "replication_key_value": at(BOOKMARK)},
            origin(),
            [(BOOKMARK - LOOKBACK, None)],
            id="SDK",
        ),
        pytest.param(
            {"replication_key_value": str(10**9), "starting_replication_value": "x"},
            origin(now=10**9, safe=10**9),
            [(10**9 - LOOKBACK, None)],
            id="SDK, seconds as text, no key",
        ),
        pytest.param(
            {"replication_key": "created_at", "replication_key_value": at(BOOKMARK)},
            origin(),
            [(START, None)],
            id="SDK, another key",
        ),
        pytest.param(
            {"progress_markers": {"replication_key_value": at(BOOKMARK)}},
            origin(),
            [(START, None)],
            id="SDK, markers alone",
        ),
        pytest.param(
            {"updated_at": at(BOOKMARK)},
            origin(),
            [(BOOKMARK - LOOKBACK, None)],
            id="bookmark of another tap",
        ),
        pytest.param(at(BOOKMARK), origin(), [(BOOKMARK - LOOKBACK, None)], id="bare time"),
        pytest.param(BOOKMARK, origin(), [(BOOKMARK - LOOKBACK, None)], id="bare number"),
        pytest.param(BOOKMARK + 0.7, origin(), [(BOOKMARK - LOOKBACK, None)], id="fraction"),
        pytest.param("1970-01-11", origin(), [(10 * DAY_SECONDS - LOOKBACK, None)], id="bare date"),
        pytest.param(
            "1970-01-11T10:00:00.9+10:00",
            origin(),
            [(10 * DAY_SECONDS - LOOKBACK, None)],
            id="offset and fraction",
        ),
        pytest.param(
            at(NOW + 1),
            origin(),
            [(NOW + 1 - TOLERANCE - LOOKBACK, None)],
            id="bare time of a clock ahead",
        ),
        pytest.param(at(NOW + TOLERANCE + 1), origin(), [(START, None)], id="bare time to come"),
    ],
)
def test_a_run_reads_what_its_bookmark_lacks(
    bookmark: object, run: Origin, expected: list[tuple[int, int | None]]
) -> None:
    assert windows(plan(bookmark, run)) == expected


@pytest.mark.parametrize(
    "bookmark", [None, own(), at(BOOKMARK), own(filters="9f"), own(NOW + 1)], ids=str
)
def test_a_full_read_begins_at_start_date_whatever_the_bookmark(bookmark: object) -> None:
    assert windows(plan(bookmark, origin(), whole=True)) == [(START, None)]


@pytest.mark.parametrize(
    ("of_parts", "of_conversations", "start"),
    [
        pytest.param(at(BOOKMARK), at(BOOKMARK - 9), BOOKMARK - 9 - LOOKBACK, id="lowered"),
        pytest.param(at(BOOKMARK - 9), at(BOOKMARK), BOOKMARK - 9 - LOOKBACK, id="not raised"),
        pytest.param(at(BOOKMARK), None, BOOKMARK - LOOKBACK, id="no parent"),
        pytest.param(own(BOOKMARK), own(BOOKMARK - 9), BOOKMARK, id="own stays"),
    ],
)
def test_parts_of_another_tap_are_not_ahead_of_their_conversations(
    of_parts: object, of_conversations: object, start: int
) -> None:
    state = State(
        {"bookmarks": {"conversation_parts": of_parts, "conversations": of_conversations}}
    )
    found = state.plan("conversation_parts", origin(), lookback=LOOKBACK, parent="conversations")
    assert windows(found) == [(start, None)]


def test_a_bookmark_at_the_top_of_the_state_counts_where_there_is_no_other() -> None:
    state = State({"contacts": at(BOOKMARK), "tags": at(9), "bookmarks": {"tags": at(BOOKMARK)}})
    for stream in ("contacts", "tags"):
        found = state.plan(stream, origin(), lookback=0)
        assert windows(found) == [(BOOKMARK, None)]


def test_another_tap_may_call_the_time_by_our_replication_key() -> None:
    for bookmark in (
        {"created_at": at(BOOKMARK)},
        {"replication_key": "created_at", "replication_key_value": at(BOOKMARK)},
    ):
        found = plan(bookmark, origin(), "activity_logs", key="created_at")
        assert windows(found) == [(BOOKMARK - LOOKBACK, None)]
        assert found.extra == {}


# What a bookmark covers


@pytest.mark.parametrize(
    ("before", "now", "first"),
    [
        pytest.param({}, None, BOOKMARK, id="nothing to cover"),
        pytest.param({}, {"a"}, BOOKMARK, id="an older bookmark"),
        pytest.param({"covers": ["a"]}, {"a"}, BOOKMARK, id="same"),
        pytest.param({"covers": ["a", "b"]}, {"a"}, BOOKMARK, id="less"),
        pytest.param({"covers": ["a"]}, {"a", "b"}, START, id="more"),
        pytest.param({"covers": []}, {"a"}, START, id="more than nothing"),
        pytest.param({"covers": ["a"]}, {"b"}, START, id="other"),
        pytest.param({"covers": ["a"]}, None, BOOKMARK, id="of another version of the tap"),
    ],
)
def test_what_is_covered_now_and_was_not_before_is_read_from_the_start(
    before: dict[str, Any], now: set[str] | None, first: int
) -> None:
    covers = None if now is None else frozenset(now)
    state = State({"bookmarks": {"contacts": own(**before)}})
    planned = state.plan("contacts", origin(), lookback=0, covers=covers)
    assert windows(planned) == [(first, None)]
    state.advance("contacts", planned, origin(), NOW)
    bookmark = state.document["bookmarks"]["contacts"]
    assert bookmark.get("covers") == (None if now is None else sorted(now))


def test_a_missing_period_that_is_read_with_less_makes_a_bookmark_of_less() -> None:
    run = origin(start_date=START - 9)
    for reached in (START - 5, START):
        state = State({"bookmarks": {"contacts": own(covers=["a", "b"])}})
        planned = state.plan("contacts", run, lookback=0, covers=frozenset("a"))
        state.advance("contacts", planned, run, reached)
        assert state.document["bookmarks"]["contacts"]["covers"] == ["a"]


@pytest.mark.parametrize(
    ("bookmark", "start", "is_all"),
    [
        pytest.param(None, START, True, id="first"),
        pytest.param(own(), START, True, id="same start"),
        pytest.param(own(), START - 1, True, id="earlier start"),
        pytest.param(own(), START + 1, False, id="later start"),
        pytest.param(own(filters="9f"), START + 1, False, id="later start, other filters"),
        pytest.param(own(covers=["a"]), START, True, id="same cover"),
        pytest.param(own(covers=["a", "b"]), START, False, id="covered more"),
        pytest.param(own(covers=[]), START, True, id="covered less"),
        pytest.param(at(BOOKMARK), START + 1, True, id="of another tap"),
    ],
)
def test_a_full_read_says_whether_it_has_all_of_earlier_runs(
    bookmark: object, start: int, is_all: bool
) -> None:
    run = origin(start_date=start)
    found = plan(bookmark, run, whole=True, covers=frozenset("a"))
    assert (found.leaves_out is None) == is_all


# Which workspace it is of


def test_a_workspace_that_is_not_known_any_more_stays_in_the_bookmark() -> None:
    run = origin(workspace=None)
    state = State({"bookmarks": {"contacts": own(), "leads": "2020-01-01"}})
    for stream in ("contacts", "segments"):
        planned = state.plan(stream, run, lookback=0)
        state.advance(stream, planned, run, NOW)
        assert state.document["bookmarks"][stream]["workspace"] == "w1"


@pytest.mark.parametrize("whole", [False, True])
def test_a_bookmark_of_another_workspace_is_refused(whole: bool) -> None:
    with pytest.raises(ConfigError, match=r"contacts belongs to workspace w1.* w2"):
        plan(own(), origin(workspace="w2"), whole=whole)


@pytest.mark.parametrize("workspace", [None, "w1"])
def test_a_workspace_that_is_not_known_is_not_another_one(workspace: str | None) -> None:
    bookmark = own() | {"workspace": workspace}
    assert windows(plan(bookmark, origin())) == windows(plan(own(), origin(workspace=None)))


# What becomes of a bookmark


@pytest.mark.parametrize(
    ("bookmark", "run", "reached", "expected"),
    [
        pytest.param(None, origin(), [START], own(START), id="nothing yet"),
        pytest.param(None, origin(), [600_000, 700_000], own(700_000), id="first run"),
        pytest.param(None, origin(), [NOW], own(NOW - LOOKBACK), id="not beyond what is safe"),
        pytest.param(
            None,
            origin(end=600_000),
            [NOW],
            own(600_000),
            id="not beyond the end",
        ),
        pytest.param(own(), origin(), [BOOKMARK - 9], own(), id="not back"),
        pytest.param(own(), origin(), [BOOKMARK + 9], own(BOOKMARK + 9), id="on"),
        pytest.param(
            own(NOW - 9), origin(), [NOW], own(NOW - 9), id="not back to what is safe now"
        ),
        pytest.param(
            own(NOW + 1), origin(), [NOW], own(NOW - LOOKBACK), id="back from what is to come"
        ),
        pytest.param(
            own(), origin(start_date=START + 9), [NOW], own(NOW - LOOKBACK), id="later start"
        ),
        pytest.param(
            own(),
            origin(start_date=START - 9),
            [START - 5],
            own(missing_since=at(START - 9), missing_until=at(START - 5)),
            id="within what is missing",
        ),
        pytest.param(
            own(missing_since=at(START - 9), missing_until=at(START - 5)),
            origin(start_date=START - 9),
            [START - 2],
            own(missing_since=at(START - 9), missing_until=at(START - 2)),
            id="further within what is missing",
        ),
        pytest.param(
            own(missing_since=at(START - 9), missing_until=at(START - 5)),
            origin(start_date=START - 9),
            [START],
            own(since=START - 9),
            id="all that was missing",
        ),
        pytest.param(
            own(),
            origin(start_date=START - 9),
            [START, NOW],
            own(NOW - LOOKBACK, since=START - 9),
            id="all",
        ),
        pytest.param(
            own(), origin(start_date=START - 9), [NOW], own(NOW - LOOKBACK, START - 9), id="at once"
        ),
        pytest.param(
            own(filters="9f"), origin(), [600_000], own(600_000), id="other filters begin anew"
        ),
        pytest.param(
            own(),
            origin(filters="9f"),
            [600_000],
            own(600_000, filters="9f"),
            id="filters are noted",
        ),
        pytest.param(
            {"updated_at": at(BOOKMARK)},
            origin(),
            [BOOKMARK - 9],
            {"updated_at": at(BOOKMARK)},
            id="of another tap, within the lookback",
        ),
        pytest.param(at(BOOKMARK), origin(), [BOOKMARK], own(), id="of another tap"),
        pytest.param(
            {"updated_at": at(BOOKMARK), "ids": [1], "since": None},
            origin(),
            [NOW],
            own(NOW - LOOKBACK, ids=[1]),
            id="what others keep in it",
        ),
        pytest.param(
            None,
            origin(workspace=None),
            [NOW],
            {"updated_at": at(NOW - LOOKBACK), "since": at(START)},
            id="no workspace",
        ),
    ],
)
def test_a_bookmark_moves_to_what_is_complete(
    bookmark: object, run: Origin, reached: list[int], expected: object
) -> None:
    state = State({"bookmarks": {"contacts": bookmark}})
    planned = state.plan("contacts", run, lookback=LOOKBACK)
    for instant in reached:
        state.advance("contacts", planned, run, instant)
    assert without_nulls(state.document) == {"bookmarks": {"contacts": expected}}


@pytest.mark.parametrize(
    ("bookmark", "start_date", "expected"),
    [
        pytest.param(None, START, own(NOW - LOOKBACK), id="first"),
        pytest.param(own(), START, own(NOW - LOOKBACK), id="same start"),
        pytest.param(own(), START - 9, own(NOW - LOOKBACK, START - 9), id="earlier start"),
        pytest.param(own(), BOOKMARK, own(NOW - LOOKBACK), id="start up to the bookmark"),
        pytest.param(
            own(), BOOKMARK + 1, own(NOW - LOOKBACK, BOOKMARK + 1), id="start beyond the bookmark"
        ),
    ],
)
def test_a_full_read_moves_the_bookmark_too(
    bookmark: object, start_date: int, expected: object
) -> None:
    state, run = State({"bookmarks": {"contacts": bookmark}}), origin(start_date=start_date)
    planned = state.plan("contacts", run, lookback=LOOKBACK, whole=True)
    state.advance("contacts", planned, run, NOW)
    assert state.document["bookmarks"]["contacts"] == expected


def test_what_the_state_does_not_know_stays() -> None:
    bookmarks = {"leads": {"page": 7}, "calls": None, "tags": "2020"}
    document = {"bookmarks": bookmarks, "contacts": at(BOOKMARK), "version": 3}
    state = read_state(document)
    planned = state.plan("contacts", origin(), lookback=LOOKBACK)
    state.advance("contacts", planned, origin(), NOW)
    bookmarks = {**bookmarks, "contacts": own(NOW - LOOKBACK)}
    assert state.document == {**document, "bookmarks": bookmarks}


STATE = {"bookmarks": {"contacts": at(BOOKMARK)}}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(STATE, id="state"),
        pytest.param({"type": "STATE", "value": STATE}, id="message"),
        pytest.param({"singer_state": STATE}, id="singer_state"),
        pytest.param({"completed": {"singer_state": STATE}, "partial": {}}, id="completed"),
        pytest.param({"type": "STATE", "value": {"singer_state": STATE}}, id="both"),
    ],
)
def test_a_state_is_found_in_what_tools_keep_it_in(document: Any) -> None:
    assert state_in(document) == STATE
    assert read_state(document).document == STATE


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "2020-01-01",
        {"bookmarks": "contacts"},
        {"access_token": "secret", "start_date": "2020-01-01"},
        {"start_date": "2020-01-01"},
        {"streams": []},
        {"type": "RECORD", "stream": "contacts", "record": {"id": "1"}},
        {"type": "STATE"},
        {"type": "STATE", "value": None},
        {"completed": {"access_token": "secret"}},
        {"level": "INFO", "message": "done", "time": "2020-01-01"},
        {"contacts": {"field": "role", "operator": "=", "value": "user"}},
        {"contacts": "all"},
    ],
    ids=str,
)
def test_what_is_no_state_is_refused_without_its_values(document: Any) -> None:
    assert state_in(document) is None
    with pytest.raises(ConfigError, match="state: ") as caught:
        read_state(document)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("bookmarks", [None, {}, []], ids=str)
def test_no_bookmarks_are_a_first_run(bookmarks: object) -> None:
    state = read_state({"bookmarks": bookmarks})
    assert windows(state.plan("contacts", origin(), lookback=0)) == [(START, None)]


def test_the_hash_of_filters_tells_their_meaning_only() -> None:
    one = {"field": "role", "operator": "=", "value": "user"}
    assert hash_filters(one) == hash_filters(dict(reversed(one.items())))
    assert hash_filters(one) != hash_filters({**one, "value": "lead"})
    assert hash_filters(None) is hash_filters({}) is None


# Any runs, one after the other: seconds 0 to 99, of which a bookmark may claim only what was read


@dataclass(frozen=True)
class Run:
    """A run of a stream: its settings, and where it is interrupted (None: not at all)."""

    start_date: int
    end: int | None
    filters: str | None
    whole: bool
    reads_all_at_once: bool
    pause: int
    stop_at: int | None


INSTANTS = st.integers(0, 60)
RUNS = st.builds(
    Run,
    start_date=INSTANTS,
    end=st.none() | st.integers(0, 99),
    filters=st.sampled_from([None, None, None, "9f"]),
    whole=st.sampled_from([False, False, True]),
    reads_all_at_once=st.booleans(),
    pause=st.integers(0, 9),
    stop_at=st.none() | st.integers(0, 99),
)
FOREIGN = st.none() | INSTANTS.map(lambda instant: {"updated_at": at(instant)})
LAG = 3


def reads(run: Run, found: Plan, this: Origin) -> Iterator[tuple[range, int]]:
    """What a run reads one after the other, and up to where it is complete after each, or 0."""
    pieces: list[tuple[Window, int]] = []
    if run.reads_all_at_once:
        pieces = [(window, 0) for window in found.windows[:-1]]
        pieces += [(window, this.limit) for window in found.windows[-1:]]
    else:
        for span in spans({"contacts": found.windows}, [this.safe]):
            pieces.append((span.window, span.window.end or this.limit))
    for window, reached in pieces:
        end = this.safe if window.end is None else window.end
        if run.stop_at is not None and run.stop_at < end:
            if run.stop_at > window.start and not run.reads_all_at_once:
                yield range(window.start, run.stop_at), run.stop_at
            return
        yield range(window.start, end), reached


def claimed(bookmark: Any) -> set[int]:
    """The seconds whose records a bookmark says were read."""
    if not isinstance(bookmark, dict) or "since" not in bookmark:
        return set()

    def period(since: str, until: str) -> set[int]:
        first, last = (int(epoch_seconds(bookmark[name])) for name in (since, until))
        return set(range(first, last))

    found = period("since", "updated_at")
    return (
        found | period("missing_since", "missing_until") if bookmark.get("missing_since") else found
    )


@settings(max_examples=300, deadline=None)
@given(FOREIGN, st.lists(RUNS, min_size=1, max_size=6))
def test_no_runs_make_a_bookmark_claim_what_was_not_read(bookmark: Any, runs: list[Run]) -> None:
    state = State({"bookmarks": {"contacts": bookmark}})
    before = int(epoch_seconds(bookmark["updated_at"])) if bookmark else 0
    # Filters choose other records, which another tap's bookmark says nothing of.
    read: dict[str | None, set[int]] = {None: set(range(before)), "9f": set(range(before))}
    now = 61
    for run in runs:
        now += run.pause
        end = None if run.end is None or run.end <= run.start_date else run.end
        this = Origin(run.start_date, end, "w1", run.filters, now, now - LAG)
        found = state.plan("contacts", this, lookback=LAG, whole=run.whole)
        at_end = 0
        for seconds, reached in reads(run, found, this):
            read[run.filters] |= set(seconds)
            at_end = reached
            if reached and not run.whole:
                state.advance("contacts", found, this, reached)
                assert_sound(state, found, this, read[run.filters])
        if run.stop_at is not None:
            continue
        if run.whole and at_end:
            state.advance("contacts", found, this, at_end)
            assert_sound(state, found, this, read[run.filters])
        if end is None and this.limit >= (found.floor or 0):
            complete = set(range(run.start_date, this.limit))
            assert complete <= claimed(state.document["bookmarks"]["contacts"])


def assert_sound(state: State, found: Plan, this: Origin, read: set[int]) -> None:
    bookmark = state.document["bookmarks"]["contacts"]
    assert claimed(bookmark) <= read, bookmark
    updated_at = int(epoch_seconds(bookmark["updated_at"]))
    assert updated_at <= max(this.limit, found.floor or 0)
    if found.floor is not None:
        assert updated_at >= found.floor


# Runs of the tap on a workspace with a record of each kind for each of forty days

DAYS = 40
TIMED = ("companies", "company_segments", "contacts", "conversations", "segments")
INCREMENTAL = (*TIMED, "conversation_parts")


@dataclass(frozen=True)
class Calendar:
    """Days of which the last one ends now; the records of a day are of its noon."""

    first: int

    def __call__(self, day: float) -> str:
        return at(int(self.first + day * DAY_SECONDS))

    def noon(self, day: int) -> int:
        return self.first + day * DAY_SECONDS + DAY_SECONDS // 2


@pytest.fixture
def calendar() -> Calendar:
    return Calendar(int(time.time()) - DAYS * DAY_SECONDS)


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap], calendar: Calendar) -> Tap:
    workspace = Workspace()
    for day in range(DAYS):
        fields: dict[str, Any] = {"id": str(day), "updated_at": calendar.noon(day)}
        workspace.add_contact(**fields, role="user" if day % 2 else "lead")
        workspace.add_company(**fields)
        workspace.add_segment(**fields | {"id": f"1{day:02}"})
        workspace.add_segment(**fields | {"id": f"2{day:02}"}, of_companies=True)
        workspace.add_conversation(**fields)
        workspace.load_parts(str(day), [{"id": str(day)}])
    return start_tap_on(workspace)


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The catalog of an empty workspace; no test may change it."""
    with Sandbox(Workspace()) as sandbox:
        return Tap(sandbox, tmp_path_factory.mktemp("discovered")).discover()


@pytest.fixture
def catalog(discovered: dict[str, Any]) -> dict[str, Any]:
    """The incremental streams, selected."""
    return selecting(copy.deepcopy(discovered), *INCREMENTAL)


def days(output: Output, stream: str) -> list[int]:
    """Of which days records came, in their order."""
    return [int(record["id"]) % 100 for record in output.records(stream)]


def assert_days(
    output: Output, first: int, end: int = DAYS, streams: Iterable[str] = INCREMENTAL
) -> None:
    assert output.code == 0, output.log
    for stream in streams:
        assert sorted(days(output, stream)) == list(range(first, end)), stream


# States of the older tap


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(lambda time: {"bookmarks": {"contacts": {"updated_at": time}}}, id="objects"),
        pytest.param(lambda time: {"bookmarks": {"contacts": time}}, id="flat"),
        pytest.param(lambda time: {"contacts": time}, id="top level"),
        pytest.param(
            lambda time: {"bookmarks": {"contacts": time}, "currently_syncing": None}, id="null"
        ),
        pytest.param(
            lambda time: {"bookmarks": {"contacts": {"updated_at": time, "page": 3}}, "v": 1},
            id="more keys",
        ),
    ],
)
def test_a_state_of_the_older_tap_is_taken_up_less_the_lookback(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any], state: Callable[[str], dict[str, Any]]
) -> None:
    before = state(at(calendar.noon(30)))
    output = tap.sync(
        catalog=selecting(catalog, "contacts"), state=before, lookback_seconds=DAY_SECONDS
    )
    assert_days(output, 29, streams=["contacts"])
    bookmark = output.state["bookmarks"]["contacts"]
    assert bookmark["since"] == "2015-01-01T00:00:00Z"
    assert bookmark["workspace"] == "sandbox1"
    assert calendar(38.9) < bookmark["updated_at"] < calendar(39.1)
    assert bookmark.get("page") == (3 if "v" in before else None)
    others = {key: value for key, value in before.items() if key != "currently_syncing"}
    assert {**output.state, "bookmarks": None} == {**others, "bookmarks": None}


def test_parts_of_the_older_tap_begin_at_their_conversations(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    bookmarks = {"conversations": calendar(30), "conversation_parts": calendar(35)}
    streams = ["conversations", "conversation_parts"]
    output = tap.sync(catalog=selecting(catalog, *streams), state={"bookmarks": bookmarks})
    assert_days(output, 30, streams=streams)


# Other bookmarks than usual


def test_a_bookmark_to_come_is_not_believed(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    bookmark = {"updated_at": calendar(DAYS + 90), "since": calendar(0), "workspace": "sandbox1"}
    state = {"bookmarks": dict.fromkeys(INCREMENTAL, bookmark)}
    output = tap.sync(catalog=catalog, state=state, start_date=calendar(10))
    assert_days(output, 10)
    for stream in INCREMENTAL:
        assert any(
            stream in line and "in the future" in line for line in output.log_lines("WARNING")
        )
        assert output.state["bookmarks"][stream]["updated_at"] < calendar(DAYS + 1)


def test_a_null_bookmark_is_none(tap: Tap, calendar: Calendar, catalog: dict[str, Any]) -> None:
    state = {"bookmarks": dict.fromkeys(INCREMENTAL)}
    assert_days(tap.sync(catalog=catalog, state=state, start_date=calendar(20)), 20)


def test_each_stream_can_have_its_lookback(tap: Tap, catalog: dict[str, Any]) -> None:
    output = tap.sync(
        catalog=selecting(catalog, "contacts", "segments"), lookback_seconds={"contacts": 7200}
    )
    instants = {
        stream: epoch_seconds(bookmark["updated_at"])
        for stream, bookmark in output.state["bookmarks"].items()
    }
    assert instants["segments"] - instants["contacts"] == 7200 - LOOKBACK


# Other settings than before


def test_an_earlier_start_date_reads_what_is_missing_and_then_what_is_new(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    first = tap.sync(catalog=catalog, start_date=calendar(20))
    assert_days(first, 20)
    tap.sandbox.workspace.update_contact("25", name="Renamed")
    second = tap.sync(catalog=catalog, start_date=calendar(0), state=first.state)
    assert days(second, "contacts") == [*range(20), 25]
    assert_days(second, 0, 20, set(INCREMENTAL) - {"contacts"})
    for stream in INCREMENTAL:
        before, after = (run.state["bookmarks"][stream] for run in (first, second))
        assert after["since"] == calendar(0)
        assert after["updated_at"] >= before["updated_at"]
        assert after.keys() == before.keys()


def test_a_later_start_date_goes_on_from_the_bookmark(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    first = tap.sync(catalog=catalog, start_date=calendar(20))
    second = tap.sync(catalog=catalog, start_date=calendar(30), state=first.state)
    assert_days(second, DAYS)
    assert second.state["bookmarks"]["contacts"]["since"] == calendar(20)


def test_other_search_filters_read_the_stream_again(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    selecting(catalog, "contacts", "segments")
    filters = {"contacts": {"field": "role", "operator": "=", "value": "user"}}
    first = tap.sync(catalog=catalog, start_date=calendar(20))
    second = tap.sync(
        catalog=catalog, start_date=calendar(20), state=first.state, search_filters=filters
    )
    third = tap.sync(
        catalog=catalog, start_date=calendar(20), state=second.state, search_filters=filters
    )
    assert sorted(days(second, "contacts")) == list(range(21, DAYS, 2))
    assert (days(second, "segments"), days(third, "contacts")) == ([], [])
    warnings = [line for line in second.log_lines("WARNING") if "search_filters changed" in line]
    assert len(warnings) == 1
    assert "search_filters changed" not in first.log + third.log


# A period with an end


def test_a_backfill_reads_its_period_and_the_next_run_goes_on(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    period: dict[str, Any] = {"start_date": calendar(10), "end_date": calendar(30)}
    first = tap.sync(catalog=catalog, **period)
    assert_days(first, 10, 30)
    searches = [json.dumps(r.json) for r in tap.sandbox.requests if r.path.endswith("/search")]
    windows = [search for search in searches if "sort" in search]
    assert all('"<"' in search for search in windows)
    reached = {bookmark["updated_at"] for bookmark in first.state["bookmarks"].values()}
    assert reached == {calendar(30)}
    second = tap.sync(catalog=catalog, start_date=calendar(10), state=first.state)
    assert_days(second, 30)
    third = tap.sync(catalog=catalog, state=second.state, **period)
    assert_days(third, DAYS)
    assert third.state == second.state


def test_streams_beyond_the_end_do_not_hold_up_those_before_it(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    selecting(catalog, "companies", "company_segments")
    first = tap.sync("companies", start_date=calendar(10))
    second = tap.sync(
        catalog=catalog, start_date=calendar(10), end_date=calendar(30), state=first.state
    )
    assert_days(second, 10, 30, ["company_segments"])
    assert_days(second, DAYS, streams=["companies"])


# Full reads of incremental streams


def replicating_fully(catalog: dict[str, Any]) -> dict[str, Any]:
    for entry in catalog["streams"]:
        entry["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE"
    return catalog


def test_a_full_read_begins_at_start_date_and_ends_with_its_version(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    first = tap.sync(catalog=catalog, start_date=calendar(20))
    second = tap.sync(
        catalog=replicating_fully(catalog), start_date=calendar(10), state=first.state
    )
    assert_days(second, 10)
    for stream in INCREMENTAL:
        messages = [each for each in second.messages if each.get("stream") == stream]
        assert [each["type"] for each in (messages[0], messages[-1])] == [
            "SCHEMA",
            "ACTIVATE_VERSION",
        ]
        assert {each["version"] for each in messages[1:]} == {messages[-1]["version"]}
        assert messages[0]["bookmark_properties"] == ["updated_at"]
        bookmark = second.state["bookmarks"][stream]
        assert bookmark["updated_at"] >= first.state["bookmarks"][stream]["updated_at"]
        assert bookmark["since"] == calendar(10)


def test_a_full_read_that_fails_neither_ends_a_version_nor_moves_a_bookmark(
    tap: Tap, calendar: Calendar, catalog: dict[str, Any]
) -> None:
    selecting(catalog, "contacts", "segments")
    first = tap.sync(catalog=catalog, start_date=calendar(10))
    tap.sandbox.faults.add("null_list", path="/contacts/search", after=1)
    second = tap.sync(
        catalog=replicating_fully(catalog),
        start_date=calendar(0),
        state=first.state,
        page_size=10,
    )
    assert second.code == 5
    assert second.records("contacts")
    assert second.count("ACTIVATE_VERSION", "contacts") == 0
    assert second.count("ACTIVATE_VERSION", "segments") == 1
    assert second.state["bookmarks"]["contacts"] == first.state["bookmarks"]["contacts"]


# States on the way


OTHERS = {
    "tags": {"updated_at": "2020-01-01T00:00:00Z", "page": 3},
    "leads": "2020-01-01",
    "calls": None,
    "notes": {"page": {"next": 7}},
}
NOW_OF_SAMPLE = 1_700_000_000
SELECTED = ("companies", "contacts", "conversation_parts", "conversations")


def long_workspace() -> Workspace:
    return generate(seed=1, now=NOW_OF_SAMPLE, contacts=2_000, conversations=300, parts=900)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory, discovered: dict[str, Any]) -> Output:
    """A run that begins with a state of others."""
    catalog = selecting(copy.deepcopy(discovered), *SELECTED)
    with Sandbox(long_workspace(), rate_limit=100_000) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("long"))
        state = {"bookmarks": OTHERS, "batch": 7}
        return tap.sync(catalog=catalog, state=state, page_size=40)


def test_states_are_at_most_one_for_a_hundred_records(long_run: Output) -> None:
    counts = [0]
    for message in long_run.messages:
        if message["type"] == "STATE":
            counts.append(0)
        counts[-1] += message["type"] == "RECORD"
    before_the_first, *on_the_way, _, after_the_last = counts
    assert before_the_first == 0
    assert len(on_the_way) > 10
    assert min(on_the_way) >= 100
    assert after_the_last == 0
    assert long_run.messages[-1]["type"] == "STATE"


def test_the_first_state_is_that_of_the_start(long_run: Output) -> None:
    """A target that loads tables apart may take it for loaded, whatever row came before."""
    assert long_run.states[0]["bookmarks"] == OTHERS


def test_a_run_without_a_row_has_one_state(start_tap_on: Callable[..., Tap]) -> None:
    """Such a target prints the first one of a run that has nothing to load."""
    output = start_tap_on(Workspace()).sync("contacts", "conversations")
    assert output.count("RECORD") == 0
    assert len(output.states) == 1


def test_states_tell_what_is_being_read_until_all_is(long_run: Output) -> None:
    *on_the_way, last = (state.get("currently_syncing", "nothing") for state in long_run.states)
    assert {"contacts", "conversations"} <= set(on_the_way) <= set(SELECTED)
    assert last == "nothing"


def test_states_keep_all_that_is_not_of_this_run(long_run: Output) -> None:
    for state in long_run.states:
        assert state["batch"] == 7
        assert {name: state["bookmarks"][name] for name in OTHERS} == OTHERS


def test_states_come_after_every_record_that_they_cover(long_run: Output) -> None:
    assert_covered(long_run, long_workspace())


def assert_covered(output: Output, workspace: Workspace) -> None:
    """Before each STATE came all records that changed before its bookmarks."""
    changed = {
        stream: {record["id"]: record["updated_at"] for record in workspace.truth(stream)}
        for stream in ("companies", "contacts", "conversations")
    }
    changed["conversation_parts"] = {
        part["id"]: changed["conversations"][part["conversation_id"]]
        for part in workspace.truth("conversation_parts")
    }
    written: defaultdict[str, set[str]] = defaultdict(set)
    for message in output.messages:
        if message["type"] == "RECORD":
            written[message["stream"]].add(message["record"]["id"])
        if message["type"] != "STATE":
            continue
        for stream, instants in changed.items():
            bookmark = message["value"]["bookmarks"].get(stream)
            if bookmark is not None:
                reached = epoch_seconds(bookmark["updated_at"])
                covered = {key for key, instant in instants.items() if instant < reached}
                assert covered <= written[stream], stream


# Runs that are stopped


def stop_during(
    tap: Tap, path: str, number: int, arguments: list[str], how: signal.Signals
) -> Output:
    """A run that gets a signal while it waits for the answer to a request, which never comes."""
    running: Future[subprocess.Popen[bytes]] = Future()
    tap.sandbox.faults.add("slow", path=path, after=number - 1, seconds=600)
    requests = itertools.count(1)

    def stop(sandbox: Sandbox, method: str, asked: str, _: int) -> None:
        if asked.startswith(path) and next(requests) == number:
            running.result(60).send_signal(how)

    tap.sandbox.before_request(stop)
    running.set_result(start_tap(*arguments))
    process = running.result()
    stdout, log = process.communicate(timeout=60)
    tap.sandbox.faults.clear()
    # Of a scroll that was left, Intercom knows for a minute.
    tap.sandbox.options.clock_offset_seconds += 61
    return Output(process.returncode, stdout, log.decode())


@pytest.mark.parametrize(
    ("how", "path", "number"),
    [
        pytest.param(signal.SIGTERM, "/me", 1, id="TERM at the start"),
        pytest.param(signal.SIGTERM, "/companies/scroll", 3, id="TERM in companies"),
        pytest.param(signal.SIGTERM, "/contacts/search", 4, id="TERM in contacts"),
        pytest.param(signal.SIGINT, "/contacts/search", 4, id="INT in contacts"),
        pytest.param(signal.SIGTERM, "/conversations/2", 20, id="TERM in parts"),
    ],
)
def test_a_run_that_is_stopped_ends_with_a_state_and_the_next_one_completes_it(
    start_tap_on: Callable[..., Tap], how: signal.Signals, path: str, number: int
) -> None:
    workspace = generate(seed=1, contacts=400, companies=250, conversations=60, parts=120)
    tap = start_tap_on(workspace)
    catalog = tap.discover()
    first = stop_during(tap, path, number, tap.arguments(catalog=catalog), how)
    assert first.code == 128 + how
    assert first.stdout.endswith(b"\n")
    assert first.messages[-1]["type"] == "STATE"
    assert first.log_lines("CRITICAL") == []
    assert "Traceback" not in first.log
    assert "stopped by a signal" in first.last_log_line
    assert_covered(first, workspace)
    second = tap.sync(catalog=catalog, state=first.state)
    assert_singer(second)
    assert_true(second, workspace, STREAMS, earlier=[first], once=False)


def test_what_is_missing_is_gone_on_with_where_it_was_stopped(
    start_tap_on: Callable[..., Tap], calendar: Calendar, catalog: dict[str, Any]
) -> None:
    workspace = Workspace()
    for number in range(400):
        workspace.add_contact(id=str(number), updated_at=calendar.first + number * 3600)
    tap = start_tap_on(workspace)
    selecting(catalog, "contacts")
    first = tap.sync(catalog=catalog, start_date=calendar(15))
    arguments = tap.arguments(
        catalog=catalog, state=first.state, start_date=calendar(0), page_size=110
    )
    tap.sandbox.faults.add("slow", path="/contacts/search", after=2, seconds=600)
    process = start_tap(*arguments)
    assert process.stdout is not None
    lines: list[bytes] = []
    # The first state, and two pages, each with a state; the third one never comes.
    while sum(b'"STATE"' in line for line in lines) < 3:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    rest, log = process.communicate(timeout=60)
    tap.sandbox.faults.clear()
    second = Output(process.returncode, b"".join(lines) + rest, log.decode())
    assert second.code == 128 + signal.SIGTERM
    before, between = (run.state["bookmarks"]["contacts"] for run in (first, second))
    progress = {"missing_since": calendar(0), "missing_until": at(calendar.first + 219 * 3600)}
    assert between == {**before, **progress}
    third = tap.sync(catalog=catalog, state=second.state, start_date=calendar(0))
    assert third.code == 0
    assert [int(record["id"]) for record in third.records("contacts")] == list(range(219, 360))
    after = without_nulls(third.state)["bookmarks"]["contacts"]
    assert after == {**before, "since": calendar(0), "updated_at": after["updated_at"]}
    assert after["updated_at"] >= before["updated_at"]


class TestSignalWhileTheTargetReadsNothing:
    """The tap stands in the middle of a message; 4,096 bytes are all that the pipe takes."""

    @pytest.fixture
    def process(self, start_tap_on: Callable[..., Tap]) -> Iterator[Any]:
        tap = start_tap_on(generate(seed=1))
        process = start_tap(*tap.arguments())
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, 1031, 4096)  # F_SETPIPE_SZ
        readable, _, _ = select.select([process.stdout], [], [], 60)
        assert readable
        process.send_signal(signal.SIGINT)
        yield process
        process.kill()
        process.communicate()

    def test_a_signal_waits_for_the_end_of_the_message(self, process: Any) -> None:
        stdout, log = process.communicate(timeout=60)
        output = Output(process.returncode, stdout, log.decode())
        assert output.code == 128 + signal.SIGINT
        assert output.stdout.endswith(b"\n")
        assert output.messages[-1]["type"] == "STATE"

    def test_a_second_signal_ends_the_run_at_once(self, process: Any) -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
