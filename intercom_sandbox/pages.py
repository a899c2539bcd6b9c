"""Pages of a result: keys in order, and the links from one page to the next."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from .calls import Answer, Call, RefusalError
from .options import Options
from .records import Record
from .search import Range

LINKS_ROOT = "https://api.intercom.io"


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
        """Return the keys whose sort value is in one of the ascending ranges."""
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
        """Return where reading continues after a key, which may no longer exist."""
        bisect = bisect_left if self.is_descending else bisect_right
        border = bisect(self.order, key)
        before = sum(max(0, min(border, stop) - start) for start, stop in self.stretches)
        return len(self) - before if self.is_descending else before


@dataclass(frozen=True)
class Cursor:
    """Where the next page starts.

    after: the last key of the previous page.
    position: the place of that key in the result.
    page: the number of the next page.
    issued: the number of the search that issued the cursor.
    at: when that was, in Unix seconds.
    """

    after: tuple[Any, str]
    position: int
    page: int
    issued: int
    at: float

    def text(self) -> str:
        value, record_id = self.after
        fields = [value, record_id, self.page, self.position, self.issued, self.at]
        return base64.b64encode(orjson.dumps(fields)).decode()

    @classmethod
    def from_text(cls, text: object) -> Cursor:
        """Parse a cursor. Raises ValueError."""
        try:
            fields = orjson.loads(base64.b64decode(str(text), validate=True))
            value, record_id, page, position, issued, at = fields
            if not isinstance(value, (int, list)) or not isinstance(record_id, str):
                raise ValueError(value)
            after = (tuple(value) if isinstance(value, list) else value, record_id)
            return cls(after, int(position), int(page), int(issued), float(at))
        except (binascii.Error, TypeError, ValueError) as exc:
            raise ValueError("not a cursor") from exc


class Cursors:
    """The issued cursors: how long they are valid, and where reading continues."""

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._pages = 0
        self._first_living = 0

    def page_after(self, result: Result, cursor_text: object) -> tuple[int, int]:
        """Return the number of the requested page, and where in the result it starts.

        Raises RefusalError.
        """
        self._pages += 1
        if cursor_text is None:
            return 1, 0
        try:
            cursor = Cursor.from_text(cursor_text)
        except ValueError:
            raise _bad_cursor() from None
        lifetime, seconds = self._options.cursor_lifetime, self._options.cursor_seconds
        is_used_up = lifetime is not None and self._pages - cursor.issued > lifetime
        is_old = seconds is not None and self._clock() - cursor.at >= seconds
        if cursor.issued < self._first_living or is_used_up or is_old:
            raise _bad_cursor()
        if self._options.cursors == "position":
            return cursor.page, cursor.position
        try:
            return cursor.page, result.position_after(cursor.after)
        except TypeError:
            # The cursor belongs to a search with another sort field.
            raise _bad_cursor() from None

    def text(self, last: tuple[Any, str], position: int, page: int) -> str:
        """Return a cursor that continues after a page's last key, at this position and page."""
        return Cursor(last, position, page, self._pages, self._clock()).text()

    def expire(self) -> None:
        """Invalidate every cursor issued so far."""
        self._first_living = self._pages + 1


def _bad_cursor() -> RefusalError:
    return RefusalError(400, "client_error", "starting_after is not a valid cursor")


def page_size(asked: int, maximum: int, options: Options) -> int:
    """Return the size of the page to send. Raises RefusalError."""
    if asked > maximum and options.large_pages != "capped":
        is_usual = options.large_pages == "refused"
        code = "parameter_invalid" if is_usual else "bad_request"
        raise RefusalError(400, code, f"per_page must be at most {maximum}")
    return min(asked, maximum, options.most_rows or maximum)


def numbered_page(
    call: Call, total: int, default: int, maximum: int, options: Options
) -> tuple[Record, slice]:
    """Return the paging object of a numbered page, and the slice of its rows.

    Raises RefusalError.
    """
    page = call.number("page", 1)
    per_page = page_size(call.number("per_page", default), maximum, options)
    total_pages = -(-total // per_page)
    following = None
    if page < total_pages:
        query = urlencode(call.query | {"page": page + 1, "per_page": per_page})
        following = f"{LINKS_ROOT}{call.path}?{query}"
    pages = {
        "type": "pages",
        "next": following,
        "page": page,
        "per_page": per_page,
        "total_pages": total_pages,
    }
    return pages, slice((page - 1) * per_page, page * per_page)


def sort_key(values: list[Any]) -> tuple[int, Any]:
    """Return a sort key for values of a field of any type; nulls come last."""
    if not values:
        return 2, 0
    value = values[0]
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))


def numbered_answer(
    call: Call,
    rows: list[bytes],
    default: int,
    maximum: int,
    *,
    options: Options,
    kind: str = "list",
    rows_key: str = "data",
) -> Answer:
    """Return the numbered page of rows that the call requests. Raises RefusalError."""
    pages, shown = numbered_page(call, len(rows), default, maximum, options)
    return Answer(
        b'{"type":"%s","%s":[%s],"pages":%s,"total_count":%d}'
        % (kind.encode(), rows_key.encode(), b",".join(rows[shown]), orjson.dumps(pages), len(rows))
    )
