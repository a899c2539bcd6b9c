"""What came in a window is left out of later passes, and takes eight bytes for each record."""

from __future__ import annotations

import tracemalloc
from typing import Any

from tap_intercom.reading.seen import Seen


def page(*ids: int, updated_at: int = 1) -> list[dict[str, Any]]:
    return [{"id": f"{each}", "updated_at": updated_at} for each in ids]


def unseen(seen: Seen, records: list[dict[str, Any]], *, begins_pass: bool) -> list[str]:
    places = seen.unseen(records, range(len(records)), begins_pass)
    return [records[at]["id"] for at in places]


def test_what_came_in_an_earlier_pass_is_left_out_unless_it_changed() -> None:
    seen = Seen()
    assert unseen(seen, page(1, 2), begins_pass=True) == ["1", "2"]
    assert unseen(seen, page(3), begins_pass=False) == ["3"]
    assert unseen(seen, page(1, 2, 3, 4), begins_pass=True) == ["4"]
    assert unseen(seen, page(2, updated_at=9), begins_pass=False) == ["2"]


def test_what_a_page_repeats_of_the_one_before_is_left_out() -> None:
    seen = Seen()
    unseen(seen, page(1, 2, 3), begins_pass=True)
    assert unseen(seen, page(2, 3, 4, 4), begins_pass=False) == ["4"]


def test_a_part_knows_what_its_window_had_and_the_other_parts_do_not_share_it() -> None:
    seen = Seen()
    unseen(seen, page(1), begins_pass=True)
    one, other = seen.fork(), seen.fork()
    assert unseen(one, page(1, 2), begins_pass=True) == ["2"]
    assert unseen(other, page(1, 2), begins_pass=True) == ["2"]


def test_a_version_takes_a_few_bytes() -> None:
    seen = Seen()
    records = [page(*range(start, start + 150)) for start in range(0, 30_000, 150)]
    tracemalloc.start()
    for at, each in enumerate(records):
        seen.unseen(each, range(150), begins_pass=at == 0)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 30_000 * 20
