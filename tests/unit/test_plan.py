"""Which streams are read together, and in which order."""

from __future__ import annotations

import pytest

from tap_intercom.plan import groups
from tap_intercom.streams import STREAMS, root_of, stream_of


@pytest.mark.parametrize(
    ("names", "first", "expected"),
    [
        ([], None, []),
        (["tags", "teams"], None, [["tags"], ["teams"]]),
        (["tags", "teams"], "teams", [["teams"], ["tags"]]),
        (["tags", "teams"], "contacts", [["tags"], ["teams"]]),
        # A child is read with its parent, which comes first.
        (
            ["conversation_parts", "tags", "conversations"],
            None,
            [["conversations", "conversation_parts"], ["tags"]],
        ),
        # Also if it was interrupted, or if its parent is not selected.
        (
            ["tags", "conversations", "conversation_parts"],
            "conversation_parts",
            [["conversations", "conversation_parts"], ["tags"]],
        ),
        (["tags", "conversation_parts"], None, [["tags"], ["conversation_parts"]]),
        # Files come last, so no other table waits for a slow one.
        (["attachments", "tags"], None, [["tags"], ["attachments"]]),
        (["attachments", "tags"], "attachments", [["attachments"], ["tags"]]),
    ],
)
def test_groups_come_in_order(
    names: list[str], first: str | None, expected: list[list[str]]
) -> None:
    assert groups(names, first) == expected


@pytest.mark.parametrize("first", [None, "contacts", "deletions", "tags"])
def test_a_stream_comes_after_those_whose_results_it_uses(first: str | None) -> None:
    for names in (list(STREAMS), list(reversed(STREAMS))):
        order = [root_of(group[0]) for group in groups(names, first)]
        for root in order:
            for earlier in stream_of(root).after:
                if earlier in order:
                    assert order.index(earlier) < order.index(root), (earlier, root)


def test_every_stream_is_in_one_group() -> None:
    found = [name for group in groups(list(STREAMS), None) for name in group]
    assert sorted(found) == sorted(STREAMS)
