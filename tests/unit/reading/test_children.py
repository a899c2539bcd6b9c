"""Rows for the records of a parent: how their batches are joined, and parents cut."""

from __future__ import annotations

from typing import Any

import pytest

from tap_intercom.reading.children import chunks, joined
from tap_intercom.reading.stream_run import Batch


def test_joined_batches_have_all_lines_counts_and_failures() -> None:
    batches = [
        Batch(b"1\n", {"tags": 1}),
        Batch(b"", {}, failed=frozenset({"notes"})),
        Batch(b"2\n3\n", {"tags": 1, "notes": 1}, failed=frozenset({"events"})),
    ]
    whole = joined(batches)
    assert whole.lines == b"1\n2\n3\n"
    assert dict(whole.counts) == {"tags": 2, "notes": 1}
    assert whole.failed == {"notes", "events"}
    assert joined(batches[:1]) is batches[0]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3])]
)
def test_parents_are_cut_into_pieces(count: int, sizes: list[int]) -> None:
    parents: list[Any] = list(range(count))
    pieces = chunks(parents, 3)
    assert [len(each) for each in pieces] == sizes
    assert [each for piece in pieces for each in piece] == parents
