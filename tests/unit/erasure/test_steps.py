"""Conditions of an erasure, and the sets of ids that steps look up."""

from __future__ import annotations

from tap_intercom.erasure.steps import (
    AllOf,
    AnyOf,
    Collect,
    DeleteRows,
    HasEntry,
    IsAmong,
    IsNull,
    IsOneOf,
    Not,
    Subtract,
    Values,
    all_of,
    any_of,
    used_ids,
)

ONE, OTHER = IsOneOf(("a",), ("1",)), IsAmong(("b",), "calls")


def test_conditions_are_joined_only_if_there_are_several() -> None:
    assert any_of() is None
    assert any_of(None, ONE, ONE) == ONE
    assert any_of(ONE, None, OTHER) == AnyOf((ONE, OTHER))
    assert all_of(ONE) == ONE
    assert all_of(ONE, OTHER) == AllOf((ONE, OTHER))


def test_sets_are_found_in_all_conditions() -> None:
    inner = HasEntry(("list",), Not(AnyOf((IsNull(("c",)), OTHER))))
    assert used_ids(inner) == {"calls"}
    assert used_ids(DeleteRows("t", AllOf((ONE, inner)), "why")) == {"calls"}
    assert used_ids(Collect("x", (Values("t", "id", ONE), Values("t", "id", inner)), "why")) == {
        "calls"
    }
    assert used_ids(Subtract("x", "all", "some", "why")) == {"all", "some"}
