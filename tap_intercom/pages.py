"""How Intercom's lists go on: cursors, page numbers, and the words they use (API-D1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from tap_intercom.client import Answer, Client
from tap_intercom.errors import ContractError

Page = TypeVar("Page")


def total_count(body: Mapping[str, Any]) -> int | None:
    """How many records Intercom counts in the whole list, where it tells."""
    total = body.get("total_count")
    return total if isinstance(total, int) else None


def next_cursor(body: Mapping[str, Any]) -> str | None:
    """The cursor of the next page, or None on the last one.

    `pages.next` is an object in most answers, and a bare cursor or a URL that holds it in some.
    """
    following = (body.get("pages") or {}).get("next")
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


def numbered_pages(send: Callable[[Mapping[str, Any]], Answer], page_size: int) -> Iterator[Answer]:
    """Yield each page of a list with page numbers; send gets the parameters of a page."""
    page = 1
    while True:
        answer = send({"page": page, "per_page": page_size})
        yield answer
        pages = answer.body.get("pages") or {}
        if page >= int(pages.get("total_pages") or 1):
            return
        page += 1


def read_numbered(client: Client, path: str, page_size: int) -> Iterator[Answer]:
    """Yield each page of a GET list with page numbers."""
    return numbered_pages(lambda params: client.get(path, params), page_size)
