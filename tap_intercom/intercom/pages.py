"""How Intercom's lists continue: cursors, page numbers and their field names (API-D1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, ClassVar, NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

from tap_intercom.errors import ContractError, ResponseError
from tap_intercom.intercom.client import Answer
from tap_intercom.records.typed_records import values_of

CURSORS = ("starting_after", "before", "cursor")
"""The parameters that continue after a page, in order of preference."""
# How many records in a row may repeat: records that move during a read make a small page look like
# an earlier one. An empty page counts as a few, since Intercom may filter records after it cut the
# list into pages.
MAX_REPEATED_RECORDS = 300
EMPTY_PAGE_COUNTS_AS = 3


class BrokenOffError(ContractError):
    """A list ended before its last page; another read may get further."""


class Position(NamedTuple):
    """Where a page begins: the parameter that requests it, and the page's number in this read."""

    parameter: str
    value: str
    page: int


class Step(NamedTuple):
    """What an answer says about its list.

    following: where the next page begins; None after the last one.
    total_pages: how many pages Intercom counts.
    content: a hash of the records; None on the only page.
    size: number of records.
    is_another: whether the page says that it is not the requested one.
    total_count: how many records Intercom counts, if the answer says nothing about pages although
        it should; otherwise None, since the count may include records that cannot be had (API-J4).
    """

    following: Position | None = None
    total_pages: int | None = None
    content: int | None = None
    size: int = 0
    is_another: bool = False
    total_count: int | None = None


def total_count(body: Mapping[str, Any]) -> int | None:
    """Return how many records Intercom counts in the whole list, or None without a number."""
    try:
        return _whole_number(body.get("total_count"))
    except ValueError:
        return None


def pages_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an answer says about its pages. Raises ContractError if that is not an object."""
    pages = body.get("pages") or {}
    if not isinstance(pages, dict):
        raise ContractError("pages has an unknown form, so there may be more pages")
    return pages


def _whole_number(value: Any) -> int | None:
    """Convert a number, text or float; None for null. Raises ValueError for other values."""
    if value is None:
        return None
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError(value)
    return int(value)


def total_pages(body: Mapping[str, Any]) -> int | None:
    """Return how many pages Intercom counts, in `pages` or beside it (audiences)."""
    total = pages_of(body).get("total_pages")
    try:
        return _whole_number(body.get("total_pages") if total is None else total)
    except ValueError:
        raise ContractError("total_pages is not a number, so there may be more pages") from None


def _named_by(following: Any, is_numbered: bool) -> Mapping[str, Any]:
    """Return the parameters in `pages.next`: an object, a URL with them, or a bare value.

    Only the parameters of a URL are used, since its host may be another region's (API-K22). Raises
    ContractError for other forms.
    """
    if isinstance(following, dict):
        return following
    if isinstance(following, str):
        if following.startswith(("http://", "https://", "/")):
            query = parse_qs(urlsplit(following).query)
            return {name: values[0] for name, values in query.items()}
        # A cursor may consist of digits alone.
        is_number = is_numbered and following.isdecimal()
        return {"page" if is_number else "starting_after": following}
    if is_numbered and isinstance(following, int) and not isinstance(following, bool):
        return {"page": following}
    raise ContractError("pages.next has an unknown form, so there may be more pages")


def content_of(records: Sequence[Any]) -> int:
    """Return a hash of the ids of a page's records, and of when they changed."""
    try:
        ids = values_of(records, "id")
        if None not in ids:
            return hash((*ids, *values_of(records, "updated_at")))
    except (AttributeError, TypeError):  # bare values, and ids that are objects
        pass
    return hash(repr(records))


class Repeats:
    """Checks that the pages of a list make progress."""

    def __init__(self) -> None:
        self._contents: set[int] = set()
        self._in_a_row = 0

    def note(self, content: int | None, size: int) -> bool:
        """Note a page, and return whether an earlier one had the same records.

        Raises ContractError if too many pages in a row did.
        """
        is_repeated = content in self._contents
        count = size or EMPTY_PAGE_COUNTS_AS
        self._in_a_row = self._in_a_row + count if is_repeated else 0
        if self._in_a_row >= MAX_REPEATED_RECORDS:
            raise ContractError("Intercom keeps sending the same page; there may be more pages")
        if content is not None:
            self._contents.add(content)
        return is_repeated


def pages_in_turn(
    send: Callable[[Position | None], Answer],
    step_of: Callable[[Answer, Position | None], Step],
) -> Iterator[Answer]:
    """Yield each page of a list.

    Raises ContractError if the pages form a circle. Raises BrokenOffError after the last available
    page if the list goes on: a cursor expired, or Intercom counts more pages. The lifetime of a
    cursor is not known (API-K27).

    send: requests the page at a position, None for the first.
    step_of: returns what an answer says about its list.
    """
    position = None
    positions: set[tuple[str, str]] = set()
    repeats = Repeats()
    count = 0
    size = 0
    least_pages = inf
    while True:
        try:
            answer = send(position)
        except ResponseError as error:
            is_by_cursor = position is not None and position.parameter in CURSORS
            if error.status != 400 or not is_by_cursor:
                raise
            raise BrokenOffError(f"the page cursor expired ({error})") from error
        # Before the caller gets the answer and may change its records.
        step = step_of(answer, position)
        count += 1
        size += step.size
        is_repeated = repeats.note(step.content, step.size)
        if is_repeated and step.is_another and step.size:
            raise ContractError("Intercom sent the same page for another page number")
        yield answer
        del answer  # free its memory while waiting for the next one
        if step.total_pages is not None:
            least_pages = min(least_pages, step.total_pages)
        if step.following is None:
            if count < least_pages < inf:
                raise BrokenOffError(
                    f"Intercom counts {least_pages:.0f} pages, but page {count} names no next page"
                )
            if least_pages == inf and step.total_count is not None and size < step.total_count:
                raise BrokenOffError(
                    f"Intercom counts {step.total_count} records, but page {count} names no next "
                    "page"
                )
            return
        position = step.following
        if position[:2] in positions:
            raise ContractError("Intercom sent the same page cursor twice; there may be more pages")
        positions.add(position[:2])


class Paging:
    """How a list continues.

    This class is for a list without pages: it does not request any, but follows them if they come.

    has_guessed_size: whether Intercom may refuse the page size, since the maximum is not known
        (API-D2).
    has_pages: whether Intercom documents pages, so an answer without a word on them is broken.
    is_numbered: whether pages can be requested by number.
    """

    has_guessed_size = False
    has_pages: ClassVar[bool] = False
    is_numbered: ClassVar[bool] = True

    @property
    def smallest(self) -> Mapping[str, Any]:
        """The parameters that request one record."""
        return {}

    def limited(self, size: int | None) -> Paging:
        """Return the same paging with at most `size` records a page; None sets no limit."""
        return self

    def params(self, position: Position | None, is_sized: bool = True) -> Mapping[str, Any]:
        """Return the parameters that request a page; without its size unless `is_sized`."""
        return {} if position is None else {position.parameter: position.value}

    def step(self, body: Mapping[str, Any], position: Position | None) -> Step:
        """Return what the answer at a position says about its list.

        Raises ContractError if the list may continue in an unknown way.
        """
        following = self._following(body, position)
        total = total_pages(body)
        records = next((value for value in body.values() if isinstance(value, list)), [])
        says_nothing = self.has_pages and total is None and body.get("has_more") is not False
        step = Step(
            following,
            total,
            size=len(records),
            total_count=total_count(body) if says_nothing else None,
        )
        if following is None and position is None:
            return step
        is_another = (
            position is not None
            and position.parameter == "page"
            and position.value != str(pages_of(body).get("page"))
        )
        return step._replace(content=content_of(records), is_another=is_another)

    def _following(self, body: Mapping[str, Any], position: Position | None) -> Position | None:
        page = 1 if position is None else position.page
        following, total = pages_of(body).get("next"), total_pages(body)
        named = _named_by(following, self.is_numbered) if following else {}
        if body.get("has_more") is not False and body.get("next_cursor"):
            named = {"cursor": body["next_cursor"], **named}
        for name in CURSORS:
            if cursor := named.get(name):
                return Position(name, str(cursor), page + 1)
        next_page = Position("page", str(page + 1), page + 1)
        # After a cursor, the number of a page means nothing.
        is_by_number = self.is_numbered and (position is None or position.parameter == "page")
        is_last = total is not None and page >= total
        if is_by_number and total is not None and not is_last:
            return next_page
        if str(named.get("page")) == next_page.value:
            return next_page
        is_end = not following and following != {}
        if is_last and (is_by_number or isinstance(following, dict)):
            is_end = True
        if body.get("has_more") is True or not is_end:
            raise ContractError("pages.next names no known page, so there may be more pages")
        return None


@dataclass(frozen=True)
class Sized(Paging):
    """Pages with a requested size, in records."""

    size: int
    has_guessed_size: bool = False
    has_pages: ClassVar[bool] = True

    @property
    def smallest(self) -> Mapping[str, Any]:
        return {"per_page": 1}

    def limited(self, size: int | None) -> Paging:
        return self if size is None else replace(self, size=min(size, self.size))

    def params(self, position: Position | None, is_sized: bool = True) -> Mapping[str, Any]:
        size = {"per_page": self.size} if is_sized else {}
        return {**size, **super().params(position)}


class Numbered(Sized):
    """Pages by number, unless an answer has a cursor, as in some lists (API-D2)."""

    def params(self, position: Position | None, is_sized: bool = True) -> Mapping[str, Any]:
        return super().params(position or Position("page", "1", 1), is_sized)


class ByCursor(Sized):
    """Pages by the cursor in the previous page."""

    is_numbered = False


class ByTime(Paging):
    """Pages by the `before` parameter of the URL in the previous page (events)."""

    is_numbered = False


WHOLE = Paging()


def only_page(answer: Answer) -> Answer:
    """Return the answer if it is the whole list. Raises ContractError if the list continues."""
    if WHOLE.step(answer.body, None).following is not None:
        raise ContractError("the list has more pages, although Intercom documents only one")
    return answer


class Send(Protocol):
    """`Client.get`, or a function that requests a page in another way."""

    def __call__(self, path: str, params: Mapping[str, Any]) -> Answer: ...


def read_pages(
    send: Send, path: str, paging: Paging, params: Mapping[str, Any] | None = None
) -> Iterator[Answer]:
    """Yield each page of a list."""
    is_sized = True

    def ask(position: Position | None) -> Answer:
        return send(path, {**(params or {}), **paging.params(position, is_sized)})

    def ask_in_a_size_that_is_taken(position: Position | None) -> Answer:
        nonlocal is_sized
        try:
            return ask(position)
        except ResponseError as error:
            is_refused = error.status in (400, 422) and error.code == "parameter_invalid"
            if position is not None or not (paging.has_guessed_size and is_refused):
                raise
            is_sized = False
            return ask(position)

    return pages_in_turn(
        ask_in_a_size_that_is_taken, lambda answer, position: paging.step(answer.body, position)
    )
