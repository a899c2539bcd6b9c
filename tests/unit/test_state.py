"""Bookmarks: where a run continues, and how far a bookmark may move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tap_intercom.errors import ConfigError
from tap_intercom.state import (
    CLOCK_TOLERANCE_SECONDS,
    Origin,
    Plan,
    State,
    hash_filters,
    read_state,
    state_in,
)
from tap_intercom.times import rfc3339
from tap_intercom.windows import Window

DAY = 86_400
START = 1_704_067_200  # 2024-01-01T00:00:00Z
BOOKMARK = START + 100 * DAY
NOW = START + 200 * DAY
ORIGIN = Origin(start_date=START, end=None, workspace="w1", filters=None, now=NOW, safe=NOW - 600)
OWN = {"updated_at": rfc3339(BOOKMARK), "since": rfc3339(START), "workspace": "w1"}


def state_with(bookmark: Any) -> State:
    return State({"bookmarks": {"contacts": bookmark}})


def plan_of(bookmark: Any, origin: Origin = ORIGIN, **how: Any) -> Plan:
    return state_with(bookmark).plan("contacts", origin, **{"lookback": 600, **how})


def after(state: State, plan: Plan, reached: int, origin: Origin = ORIGIN) -> dict[str, Any]:
    state.advance("contacts", plan, origin, reached)
    bookmark: dict[str, Any] = state.document["bookmarks"].get("contacts", {})
    return bookmark


# Where a run begins


@pytest.mark.parametrize("bookmark", [None, {}, {"updated_at": None}, {"updated_at": ""}])
def test_without_a_bookmark_a_run_begins_at_start_date(bookmark: Any) -> None:
    plan = plan_of(bookmark)
    assert (plan.main, plan.missing, plan.floor) == (Window(START, None), None, None)


def test_our_own_bookmark_continues_where_it_ends() -> None:
    plan = plan_of(OWN)
    assert (plan.main, plan.missing) == (Window(BOOKMARK, None), None)
    assert (plan.floor, plan.since) == (BOOKMARK, START)


def test_nothing_is_read_after_end_date() -> None:
    assert plan_of(OWN, replace(ORIGIN, end=BOOKMARK + DAY)).main == Window(
        BOOKMARK, BOOKMARK + DAY
    )
    assert plan_of(OWN, replace(ORIGIN, end=BOOKMARK)).main is None


@pytest.mark.parametrize(
    "bookmark",
    [
        rfc3339(BOOKMARK),
        BOOKMARK,
        str(BOOKMARK),
        {"updated_at": BOOKMARK + 0.5},
        {"replication_key_value": rfc3339(BOOKMARK)},
        {"replication_key": "updated_at", "replication_key_value": rfc3339(BOOKMARK)},
    ],
)
def test_a_bookmark_of_another_tap_continues_with_a_lookback(bookmark: Any) -> None:
    assert plan_of(bookmark).main == Window(BOOKMARK - 600, None)


def test_the_key_of_another_tap_is_ours_or_counts_for_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bookmark = {"replication_key": "created_at", "replication_key_value": rfc3339(BOOKMARK)}
    assert plan_of(bookmark).main == Window(START, None)
    assert "has no time in updated_at; reading from start_date" in caplog.text
    assert plan_of(bookmark, key="created_at").main == Window(BOOKMARK - 600, None)


def test_a_child_is_not_ahead_of_its_parent_in_the_state_of_another_tap() -> None:
    state = State({"bookmarks": {"parts": BOOKMARK, "conversations": BOOKMARK - DAY}})
    plan = state.plan("parts", ORIGIN, lookback=600, parent="conversations")
    assert plan.main == Window(BOOKMARK - DAY - 600, None)


def test_an_earlier_start_date_reads_the_missing_period_first() -> None:
    earlier = replace(ORIGIN, start_date=START - 10 * DAY)
    plan = plan_of(OWN, earlier)
    assert plan.missing == Window(START - 10 * DAY, START)
    assert plan.windows == [plan.missing, Window(BOOKMARK, None)]
    begun = OWN | {
        "missing_since": rfc3339(START - 10 * DAY),
        "missing_until": rfc3339(START - 4 * DAY),
    }
    assert plan_of(begun, earlier).missing == Window(START - 4 * DAY, START)
    # Progress for another start_date says nothing.
    other = plan_of(begun, replace(ORIGIN, start_date=START - 11 * DAY))
    assert other.missing == Window(START - 11 * DAY, START)


def test_a_later_start_date_does_not_read_less_than_the_bookmark_promises() -> None:
    plan = plan_of(OWN, replace(ORIGIN, start_date=BOOKMARK - DAY))
    assert (plan.main, plan.since) == (Window(BOOKMARK, None), START)


@pytest.mark.parametrize(
    ("bookmark", "how", "reason"),
    [
        (OWN | {"filters": "abc"}, {}, "search_filters changed"),
        (OWN | {"covers": ["a"]}, {"covers": frozenset("ab")}, "now also contains b"),
    ],
)
def test_rows_that_earlier_runs_did_not_read_are_read_from_start_date(
    caplog: pytest.LogCaptureFixture, bookmark: dict[str, Any], how: dict[str, Any], reason: str
) -> None:
    assert plan_of(bookmark, **how).main == Window(START, None)
    assert reason in caplog.text


@pytest.mark.parametrize("covers", [None, frozenset("a"), frozenset("ab")])
def test_a_bookmark_that_covers_enough_continues(covers: frozenset[str] | None) -> None:
    plan = plan_of(OWN | {"covers": ["a", "b"]}, covers=covers)
    assert plan.main == Window(BOOKMARK, None)


def test_a_full_read_begins_at_start_date_in_any_case() -> None:
    assert plan_of(OWN, whole=True).main == Window(START, None)
    assert plan_of(BOOKMARK, whole=True).main == Window(START, None)


def test_rows_that_cannot_come_again_are_told() -> None:
    later = replace(ORIGIN, start_date=START + DAY, filters="abc")
    assert plan_of(OWN, later).leaves_out == (
        "earlier runs started at 2024-01-01T00:00:00Z, before start_date"
    )
    covered = OWN | {"covers": ["a", "b"]}
    left_out = plan_of(covered, covers=frozenset("a")).leaves_out
    assert left_out == "earlier runs also read b"
    assert plan_of(OWN).leaves_out is None


# Times that cannot be trusted


def test_a_bookmark_slightly_ahead_of_the_clock_is_taken_back() -> None:
    ahead = OWN | {"updated_at": rfc3339(NOW + 60)}
    plan = plan_of(ahead)
    assert (plan.main, plan.floor) == (Window(NOW + 60 - CLOCK_TOLERANCE_SECONDS, None), None)


def test_a_bookmark_in_the_future_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    future = OWN | {"updated_at": rfc3339(NOW + CLOCK_TOLERANCE_SECONDS + 1)}
    assert plan_of(future).main == Window(START, None)
    assert "is in the future; reading from start_date" in caplog.text
    # A later clock may still explain it.
    doubtful = replace(ORIGIN, latest=NOW + 1)
    assert plan_of(future, doubtful).main == Window(NOW + 1, None)


@pytest.mark.parametrize("value", ["soon", "2026-13-01", True, 1_767_225_600_000, [], "9" * 400])
def test_a_time_that_is_none_is_an_error(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^state: bookmarks.contacts.updated_at is "):
        plan_of({"updated_at": value})


def test_a_bookmark_of_another_workspace_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"contacts belongs to workspace w2.* to w1"):
        plan_of(OWN | {"workspace": "w2"})
    assert plan_of(OWN, replace(ORIGIN, workspace=None)).workspace == "w1"


# How far a bookmark moves


def test_a_bookmark_moves_on_but_never_back() -> None:
    state = state_with(OWN)
    plan = state.plan("contacts", ORIGIN, lookback=600)
    assert after(state, plan, BOOKMARK - DAY) == OWN
    assert after(state, plan, BOOKMARK + DAY)["updated_at"] == rfc3339(BOOKMARK + DAY)
    assert after(state, plan, BOOKMARK + 1)["updated_at"] == rfc3339(BOOKMARK + DAY)
    assert after(state, plan, NOW)["since"] == OWN["since"]


@pytest.mark.parametrize(("end", "limit"), [(None, NOW - 600), (NOW - DAY, NOW - DAY)])
def test_a_bookmark_stays_before_what_may_still_change(end: int | None, limit: int) -> None:
    origin = replace(ORIGIN, end=end)
    state = state_with(OWN)
    plan = state.plan("contacts", origin, lookback=600)
    assert after(state, plan, NOW + DAY, origin)["updated_at"] == rfc3339(limit)


def test_a_bookmark_says_what_it_is_true_of() -> None:
    origin = replace(ORIGIN, filters="abc")
    state = state_with({"their_own": 1})
    plan = state.plan("contacts", origin, lookback=600, covers=frozenset("ba"))
    assert after(state, plan, BOOKMARK, origin) == {
        "their_own": 1,
        "updated_at": rfc3339(BOOKMARK),
        "since": rfc3339(START),
        "filters": "abc",
        "workspace": "w1",
        "covers": ["a", "b"],
    }


def test_the_missing_period_is_noted_until_it_is_read() -> None:
    earlier = replace(ORIGIN, start_date=START - 10 * DAY)
    state = state_with(OWN)
    plan = state.plan("contacts", earlier, lookback=600)
    assert after(state, plan, START - 4 * DAY, earlier) == OWN | {
        "missing_since": rfc3339(START - 10 * DAY),
        "missing_until": rfc3339(START - 4 * DAY),
    }
    gone = {"missing_since": None, "missing_until": None}
    assert after(state, plan, START, earlier) == OWN | {"since": rfc3339(START - 10 * DAY)} | gone
    moved = after(state, plan, BOOKMARK + DAY, earlier)
    assert (moved["updated_at"], moved["since"]) == (
        rfc3339(BOOKMARK + DAY),
        rfc3339(START - 10 * DAY),
    )


# The document


def merged(new: Any, old: Any) -> Any:
    """A state as Meltano keeps it when it merges states: member by member, without deleting any."""
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    return {**old, **{name: merged(each, old.get(name)) for name, each in new.items()}}


def test_merged_states_do_not_bring_back_a_filter() -> None:
    old = OWN | {"filters": "abc"}
    state = state_with(old)
    after(state, state.plan("contacts", ORIGIN, lookback=0), BOOKMARK + DAY)
    new = after(state, state.plan("contacts", ORIGIN, lookback=0), BOOKMARK + 2 * DAY)
    assert plan_of(merged(new, old)) == plan_of(new)
    assert plan_of(new).main == Window(BOOKMARK + 2 * DAY, None)


def test_merged_states_do_not_bring_back_a_missing_period() -> None:
    origin = replace(ORIGIN, start_date=START - 10 * DAY)
    state = state_with(OWN)
    plan = state.plan("contacts", origin, lookback=0)
    old = dict(after(state, plan, START - 4 * DAY, origin))
    read = after(state, plan, START, origin)
    assert read["since"] == rfc3339(START - 10 * DAY)
    # Then the stream is read again from a later start_date, and that is set back.
    later = replace(ORIGIN, filters="abc")
    state = state_with(merged(read, old))
    state.advance("contacts", state.plan("contacts", later, lookback=0), later, BOOKMARK)
    new = merged(state.document["bookmarks"]["contacts"], merged(read, old))
    assert plan_of(new, replace(origin, filters="abc")).missing == Window(START - 10 * DAY, START)


def test_other_members_stay_and_the_given_document_is_not_changed() -> None:
    document = {"bookmarks": {"contacts": OWN, "theirs": {"a": 1}}, "of_a_runner": [1]}
    state = State(document)
    after(state, state.plan("contacts", ORIGIN, lookback=600), BOOKMARK + DAY)
    state.currently_syncing = "contacts"
    state.export_job = "job"
    assert document == {"bookmarks": {"contacts": OWN, "theirs": {"a": 1}}, "of_a_runner": [1]}
    assert state.document["of_a_runner"] == [1]
    assert state.document["bookmarks"]["theirs"] == {"a": 1}
    assert (state.currently_syncing, state.export_job) == ("contacts", "job")
    state.currently_syncing = state.export_job = None
    assert state.document.keys() == {"bookmarks", "of_a_runner"}


STATE = {"bookmarks": {"contacts": {"updated_at": "2026-01-01T00:00:00Z"}}}
BARE = {"contacts": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({}, {"bookmarks": {}}),
        ({"bookmarks": None}, {"bookmarks": {}}),
        ({"currently_syncing": "tags"}, {"currently_syncing": "tags", "bookmarks": {}}),
        (STATE, STATE),
        ({"type": "STATE", "value": STATE}, STATE),
        ({"completed": {"singer_state": STATE}}, STATE),
        ({"singer_state": STATE}, STATE),
        (BARE, BARE | {"bookmarks": {}}),
        ({"streams": []}, None),
        ({"access_token": "secret"}, None),
        ({"contacts": "soon"}, None),
        ({"bookmarks": [1]}, None),
        ([], None),
        ("text", None),
    ],
)
def test_a_state_is_recognized_in_any_wrapping(document: Any, found: Any) -> None:
    assert state_in(document) == found


def test_a_file_that_is_no_state_is_told_without_its_values() -> None:
    with pytest.raises(ConfigError, match="contains no bookmarks, but access_token") as error:
        read_state({"access_token": "hunter2"})
    assert "hunter2" not in str(error.value)


def test_bookmarks_without_an_object_around_them_are_used() -> None:
    plan = read_state(BARE).plan("contacts", ORIGIN, lookback=600)
    assert plan.floor is None or plan.main == Window(plan.floor - 600, None)
    assert read_state(BARE).updated_at("contacts") == "2026-01-01T00:00:00Z"


def test_the_hash_of_filters_tells_them_apart() -> None:
    one: dict[str, Any] = {"field": "role", "operator": "=", "value": "user"}
    same = dict(reversed(one.items()))
    assert hash_filters(one) == hash_filters(same) != hash_filters(one | {"value": "lead"})
    assert hash_filters(None) is None
    assert hash_filters({}) is None


@pytest.mark.parametrize(
    ("instant", "is_wanted"),
    [
        (None, True),
        (START - 1, False),
        (START, True),
        (START + 5, False),
        (BOOKMARK, True),
        (NOW, True),
    ],
)
def test_a_plan_wants_records_of_its_windows(instant: float | None, is_wanted: bool) -> None:
    plan = Plan(main=Window(BOOKMARK, None), missing=Window(START, START + 5))
    assert plan.wants(instant) == is_wanted
