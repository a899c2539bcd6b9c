"""How Intercom's lists go on: cursors, page numbers, and the words they use (API-D1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

from tap_intercom.client import Answer
from tap_intercom.errors import ContractError, ResponseError

Page = TypeVar("Page")

# Tells a cursor, which may be of digits alone, from the number of a page.
_CURSOR = "cursor:"


def total_count(body: Mapping[str, Any]) -> int | None:
    """How many records Intercom counts in the whole list, where it tells."""
    total = body.get("total_count")
    return total if isinstance(total, int) else None


def pages_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an answer says of its pages. Raises ContractError where that is no object."""
    pages = body.get("pages") or {}
    if not isinstance(pages, dict):
        raise ContractError("pages is of no known form, so the list may go on")
    return pages


def next_cursor(body: Mapping[str, Any]) -> str | None:
    """The cursor of the next page, or None on the last one.

    `pages.next` is an object in most answers, and a bare cursor or a URL that holds it in some.
    """
    following = pages_of(body).get("next")
    if isinstance(following, dict):
        following = following.get("starting_after")
    if not following:
        return None
    if not isinstance(following, str):
        raise ContractError("pages.next is of no known form, so the list may go on")
    if following.startswith(("http://", "https://", "/")):
        # The host may be another region's (API-K22): only the cursor is taken.
        found = parse_qs(urlsplit(following).query).get("starting_after")
        if not found:
            raise ContractError("pages.next is a URL without starting_after, so the list may go on")
        return found[0]
    return following


def cursor_pages(send: Callable[[str | None], tuple[Page, str | None]]) -> Iterator[Page]:
    """Yield each page; send gets its cursor, None for the first, and gives it and the next one's.

    Raises ContractError when a cursor comes back twice, since stopping quietly there would lose
    records.
    """
    cursor = None
    used: set[str] = set()
    while True:
        page, cursor = send(cursor)
        yield page
        del page  # it is not kept in memory while the next one is waited for
        if cursor is None:
            return
        if cursor in used:
            raise ContractError("Intercom gave the same page cursor twice, so the list may go on")
        used.add(cursor)


class Paging:
    """How a list goes on. A position is the text that asks for a page, None for the first.

    This one is that of a list without pages. has_guessed_size: whether Intercom may refuse the
    page size, since the largest is not known (API-D2).
    """

    has_guessed_size = False

    @property
    def smallest(self) -> Mapping[str, Any]:
        """The parameters that ask for one record."""
        return {}

    def limited(self, size: int | None) -> Paging:
        """The same with pages of at most `size` records; None sets no limit."""
        return self

    def params(self, position: str | None, is_sized: bool = True) -> Mapping[str, Any]:
        """The parameters that ask for a page; without its size unless `is_sized`."""
        return {}

    def following(self, body: Mapping[str, Any], position: str | None) -> str | None:
        """The position of the page after this one; None after the last."""
        return None


@dataclass(frozen=True)
class Sized(Paging):
    """Pages whose size is asked for, in records."""

    size: int
    has_guessed_size: bool = False

    @property
    def smallest(self) -> Mapping[str, Any]:
        return {"per_page": 1}

    def limited(self, size: int | None) -> Paging:
        return self if size is None else replace(self, size=min(size, self.size))


class Numbered(Sized):
    """Pages by number; the number of them is in `pages`, or beside it (audiences)."""

    def params(self, position: str | None, is_sized: bool = True) -> Mapping[str, Any]:
        size = {"per_page": self.size} if is_sized else {}
        return {"page": position or "1", **size}

    def following(self, body: Mapping[str, Any], position: str | None) -> str | None:
        pages = pages_of(body)
        total = pages.get("total_pages") or body.get("total_pages")
        page = int(position or 1)
        if total is None:
            # Where their number is not told, the next one may be.
            return _next_number(pages.get("next"))
        if not isinstance(total, int):
            raise ContractError("total_pages is no number, so the list may go on")
        return str(page + 1) if page < total else None


def _next_number(following: Any) -> str | None:
    """The number in `pages.next`, which is an object, or a URL with it."""
    if not following:
        return None
    found = following.get("page") if isinstance(following, dict) else None
    if isinstance(following, str):
        found = parse_qs(urlsplit(following).query).get("page", [None])[0]
    if not str(found).isdecimal():
        raise ContractError("pages.next is of no known form, so the list may go on")
    return str(found)


class ByCursor(Sized):
    """Pages by the cursor that the one before gives."""

    def params(self, position: str | None, is_sized: bool = True) -> Mapping[str, Any]:
        size = {"per_page": self.size} if is_sized else {}
        return {**size, **({} if position is None else {"starting_after": position})}

    def following(self, body: Mapping[str, Any], position: str | None) -> str | None:
        return next_cursor(body)


class NumberedOrByCursor(Numbered):
    """Pages by number, unless an answer gives a cursor: versions differ (API-D2)."""

    def params(self, position: str | None, is_sized: bool = True) -> Mapping[str, Any]:
        if position is None or position.isdecimal():
            return super().params(position, is_sized)
        return {"per_page": self.size, "starting_after": position.removeprefix(_CURSOR)}

    def following(self, body: Mapping[str, Any], position: str | None) -> str | None:
        following = pages_of(body).get("next")
        if isinstance(following, dict):
            cursor = next_cursor(body)
            return None if cursor is None else _CURSOR + cursor
        return super().following(body, position)


class ByNextCursor(Sized):
    """Pages by `cursor`, which the one before gives as `next_cursor` (merge histories)."""

    def params(self, position: str | None, is_sized: bool = True) -> Mapping[str, Any]:
        size = {"per_page": self.size} if is_sized else {}
        return {**size, **({} if position is None else {"cursor": position})}

    def following(self, body: Mapping[str, Any], position: str | None) -> str | None:
        cursor = body.get("next_cursor")
        if cursor is None and not body.get("has_more"):
            return None
        if not isinstance(cursor, str) or not cursor:
            raise ContractError("next_cursor is of no known form, so the list may go on")
        return cursor


class ByTime(Paging):
    """Pages by the `before` of the URL that the one before gives (events)."""

    def params(self, position: str | None, is_sized: bool = True) -> Mapping[str, Any]:
        return {} if position is None else {"before": position}

    def following(self, body: Mapping[str, Any], position: str | None) -> str | None:
        url = pages_of(body).get("next")
        if not url:
            return None
        found = parse_qs(urlsplit(str(url)).query).get("before")
        if not found:
            raise ContractError("pages.next is a URL without before, so the list may go on")
        return found[0]


WHOLE = Paging()


class Send(Protocol):
    def __call__(
        self, path: str, params: Mapping[str, Any], *, read: Callable[[Answer], Any]
    ) -> Any: ...


def read_pages(
    send: Send,
    path: str,
    paging: Paging,
    read: Callable[[Answer], Page],
    params: Mapping[str, Any] | None = None,
) -> Iterator[Page]:
    """Yield what `read` makes of each page of a list; `send` is `Client.get`, or like it."""
    is_sized = True

    def ask(position: str | None) -> tuple[Page, str | None]:
        def read_page(answer: Answer) -> tuple[Page, str | None]:
            return read(answer), paging.following(answer.body, position)

        asked = {**(params or {}), **paging.params(position, is_sized)}
        found: tuple[Page, str | None] = send(path, asked, read=read_page)
        return found

    def ask_first(position: str | None) -> tuple[Page, str | None]:
        nonlocal is_sized
        try:
            return ask(position)
        except ResponseError as error:
            is_refused = error.status in (400, 422) and error.code == "parameter_invalid"
            if position is not None or not (paging.has_guessed_size and is_refused):
                raise
            is_sized = False
            return ask(position)

    return cursor_pages(ask_first)
