"""Pages of a result: keys in order, and the cursors between the pages."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .search import Range


@dataclass(frozen=True)
class Result:
    """Stretches of `order`, which holds (sort value, id) ascending, read in one direction."""

    order: Sequence[tuple[Any, str]]
    stretches: tuple[tuple[int, int], ...]
    is_descending: bool

    @classmethod
    def of_ranges(
        cls, order: Sequence[tuple[Any, str]], ranges: list[Range], is_descending: bool
    ) -> Result:
        """The keys whose sort value is in one of the ascending ranges."""
        borders = [
            (bisect_left(order, (low,)), bisect_left(order, (high,))) for low, high in ranges
        ]
        return cls(order, tuple(borders), is_descending)

    @classmethod
    def of_all(cls, order: Sequence[tuple[Any, str]], is_descending: bool) -> Result:
        return cls(order, ((0, len(order)),), is_descending)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.stretches)

    def keys(self, position: int, count: int) -> list[tuple[Any, str]]:
        total = len(self)
        first, last = position, min(position + count, total)
        if self.is_descending:
            first, last = max(total - position - count, 0), max(total - position, 0)
        found: list[tuple[Any, str]] = []
        passed = 0
        for start, stop in self.stretches:
            low, high = max(first - passed, 0), min(last - passed, stop - start)
            if low < high:
                found += self.order[start + low : start + high]
            passed += stop - start
        return found[::-1] if self.is_descending else found

    def position_after(self, key: tuple[Any, str]) -> int:
        """Where reading goes on after a key, which may be there no more."""
        bisect = bisect_left if self.is_descending else bisect_right
        border = bisect(self.order, key)
        before = sum(max(0, min(border, stop) - start) for start, stop in self.stretches)
        return len(self) - before if self.is_descending else before


@dataclass(frozen=True)
class Cursor:
    """Where the next page starts.

    `after` is the last key of the page before; `position` is its place in the result. `page` is
    the number of the next page and `issued` the number of the search that gave the cursor.
    """

    after: tuple[Any, str]
    position: int
    page: int
    issued: int

    def text(self) -> str:
        value, record_id = self.after
        fields = [value, record_id, self.page, self.position, self.issued]
        return base64.b64encode(orjson.dumps(fields)).decode()

    @classmethod
    def from_text(cls, text: object) -> Cursor:
        """Raises ValueError."""
        try:
            fields = orjson.loads(base64.b64decode(str(text), validate=True))
            value, record_id, page, position, issued = fields
            if not isinstance(value, (int, list)) or not isinstance(record_id, str):
                raise ValueError(value)
            after = (tuple(value) if isinstance(value, list) else value, record_id)
            return cls(after, int(position), int(page), int(issued))
        except (binascii.Error, TypeError, ValueError) as exc:
            raise ValueError("not a cursor") from exc


def sort_key(values: list[Any]) -> tuple[int, Any]:
    """What puts the values of a field in order, whatever their types are; nulls come last."""
    if not values:
        return 2, 0
    value = values[0]
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))
