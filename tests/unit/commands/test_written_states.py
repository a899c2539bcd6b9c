"""States that a target prints: recognized in any order and combination, and no others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_intercom.commands.written_states import KNOWN_VALUES, WrittenStates, states_in


def state(**bookmarks: Any) -> dict[str, Any]:
    return {"bookmarks": bookmarks}


@pytest.fixture
def written() -> WrittenStates:
    """The states of a run: first contacts move, then tags."""
    states = WrittenStates(begun_with={"bookmarks": {}})
    states.add(state(contacts={"at": 1, "since": 0}, tags=1) | {"currently_syncing": "contacts"})
    states.add(state(contacts={"at": 2, "since": 0}, tags=1) | {"currently_syncing": "contacts"})
    states.add(state(contacts={"at": 2, "since": 0}, tags=2))
    return states


@pytest.mark.parametrize(
    "printed",
    [
        {"bookmarks": {}},
        state(contacts={"since": 0, "at": 1}, tags=1),
        state(tags=2, contacts={"at": 2, "since": 0}),
        # A target that loads streams separately combines states.
        state(contacts={"at": 1, "since": 0}, tags=2),
        state(contacts={"at": 2, "since": 0}, tags=1) | {"currently_syncing": "contacts"},
    ],
)
def test_written_states_are_recognized(written: WrittenStates, printed: dict[str, Any]) -> None:
    assert written.include(printed)


@pytest.mark.parametrize(
    "printed",
    [
        state(contacts={"at": 3, "since": 0}, tags=1),
        state(contacts={"at": 2, "since": 0}),
        state(contacts={"at": 2, "since": 0}, tags=2, teams=1),
        state(contacts={"at": 2, "since": 0}, tags=2) | {"currently_syncing": "tags"},
        state(contacts={"at": 2, "since": 0}, tags=2) | {"other": 1},
    ],
)
def test_other_states_are_not(written: WrittenStates, printed: dict[str, Any]) -> None:
    assert not written.include(printed)


def test_before_the_first_state_only_the_one_from_the_start_is_known() -> None:
    states = WrittenStates(begun_with=state(tags=1))
    assert states.include(state(tags=1))
    assert not states.include({"bookmarks": {}})
    assert states.last is None


def test_the_last_state_is_kept(written: WrittenStates) -> None:
    assert written.last == state(contacts={"at": 2, "since": 0}, tags=2)


def test_only_newer_states_of_a_long_run_are_known() -> None:
    states = WrittenStates(begun_with={})
    for number in range(KNOWN_VALUES + 1):
        states.add(state(contacts=number))
    assert not states.include(state(contacts=0))
    assert states.include(state(contacts=1))
    assert states.include(state(contacts=KNOWN_VALUES))


def test_a_state_that_comes_again_stays_known() -> None:
    states = WrittenStates(begun_with={})
    states.add(state(contacts="same"))
    for number in range(KNOWN_VALUES - 1):
        states.add(state(contacts=number))
    states.add(state(contacts="same"))
    states.add(state(contacts="new"))
    assert states.include(state(contacts="same"))
    assert not states.include(state(contacts=0))


ONE, TWO = state(tags=1), state(tags=2)


@pytest.mark.parametrize(
    ("line", "states"),
    [
        (json.dumps(ONE), [ONE]),
        (json.dumps({"type": "STATE", "value": ONE}), [ONE]),
        (f"{json.dumps(ONE)} {json.dumps(TWO)}", [ONE, TWO]),
        (json.dumps({"bookmarks": None}), []),
        (json.dumps([ONE]), []),
        (json.dumps({"type": "STATE", "value": None}) + '{"bookmarks": 1}', []),
        (f"INFO state is {json.dumps(ONE)}", []),
        ("{}", []),
        ("[" * 100_000 + '"bookmarks"', []),
    ],
)
def test_states_are_found_in_a_line(line: str, states: list[Any]) -> None:
    assert states_in(line.encode()) == states


def test_a_line_that_is_no_text_has_no_states() -> None:
    assert states_in(b'{"bookmarks": {}}\xff') == []
