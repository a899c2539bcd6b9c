"""Lists in pages that move while they are read, read until a pass over them was complete.

Pages by number move when records leave: what stood on the next page is on the one that was read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tap_intercom.client import Answer
from tap_intercom.errors import ContractError, ResponseError
from tap_intercom.pages import ByCursor, Paging, Send, read_pages, total_count
from tap_intercom.streams.base import Reading, Record, Stream
from tap_intercom.streams.tally import Tally

LOGGER = logging.getLogger("tap_intercom")

MOST_PASSES = 5

Page = TypeVar("Page")


class Pass(Tally):
    """A tally of one pass over a list that may change meanwhile.

    began: when the pass did, in Unix seconds. known: hashes of the ids that came in passes before.
    """

    def __init__(self, stream: Stream, began: int, known: set[int]) -> None:
        super().__init__(newest_first=True, instant=stream.instant, id_field=stream.id_field)
        self.known = known
        self._began = began
        self._id_orders = [True, False]
        self._only_grows = stream.only_grows

    @property
    def has_all(self) -> bool:
        """Whether no record that was there all the time can be missing.

        One that comes may hide from the count that another one left, unless it comes in front of
        all that was read.
        """
        if self.pages == 1 or self._only_grows:
            return self.is_complete
        if not self.is_counted or not self.is_complete:
            return False
        return self.is_sorted or (self.tells_times and self.newest < self._began)

    def add(self, records: Sequence[Record], total: int | None) -> None:
        super().add(records, total)
        ids = [_order_of_id(record.get(self.id_field)) for record in records]
        self._id_orders = [way for way in self._id_orders if ids == sorted(ids, reverse=way)]

    def has_all_since(self, instant: int) -> bool:
        """Whether every record that changed at an instant or later came, by the order of the list.

        The order has to show often enough. One that is that of ids as well proves nothing: what is
        sorted by id may be in order for long, until an old record that changed just now.
        """
        is_proven = self.is_steady and not self._id_orders
        return is_proven and self.last is not None and self.last < instant

    def is_new(self, record: Record) -> bool:
        """Whether a record did not come in a pass before.

        One that did and changed since is the next run's.
        """
        return hash(record.get(self.id_field)) not in self.known


def read_until_whole(
    reading: Reading,
    stream: Stream,
    send: Send,
    path: str,
    paging: Paging,
    read: Callable[[Answer, Pass], Page],
    params: Mapping[str, Any],
    is_enough: Callable[[Pass], bool] = lambda tally: False,
) -> Iterator[Page]:
    """Yield what `read` makes of each page, until a pass was complete or is enough.

    Two passes that show the same are all that can be had. Raises ContractError where there are no
    such two.
    """
    paging = paging.limited(reading.settings.page_size)
    previous: Pass | None = None
    for _ in range(MOST_PASSES):
        known = set() if previous is None else previous.known | previous.ids
        tally = Pass(stream, int(reading.client.now()), known)

        def count_and_read(answer: Answer, tally: Pass = tally) -> Page:
            tally.add(stream.records(answer), total_count(answer.body))
            return read(answer, tally)

        try:
            for page in read_pages(send, path, paging, count_and_read, params):
                yield page
                if is_enough(tally):
                    return
        except ResponseError as error:
            # How long a cursor lives is not known (API-K27); the first page has none.
            if not isinstance(paging, ByCursor) or error.status != 400 or tally.pages == 0:
                raise
            LOGGER.info("%s: the page cursor expired; the list is read again", stream.name)
            tally.is_broken_off = True
        if tally.has_all:
            return
        is_settled = previous is not None and tally.shows_the_same(previous)
        if is_settled and not tally.is_broken_off:
            _report_shortfall(reading, stream, path, tally)
            return
        previous = tally
    raise ContractError(
        f"{stream.name}: the list {path} kept moving, or its cursors expired, while it was read "
        f"{MOST_PASSES} times, so that some records may be missing; the next run reads it again"
    )


def _order_of_id(value: Any) -> tuple[int, str]:
    """A key that sorts ids by when they were given: digits by their number, others as text."""
    text = str(value)
    return len(text), text


def _report_shortfall(reading: Reading, stream: Stream, path: str, tally: Tally) -> None:
    missing = tally.total - tally.distinct
    if missing <= 0:
        return
    text = f"{missing} of {tally.total} that Intercom counts in {path}"
    reading.note_shortfall(stream.name, "records that the list counts did not come", text, missing)
