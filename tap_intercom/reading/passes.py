"""Paged lists that change during a read, read until one pass over them is complete.

Numbered pages shift when records leave: a record of the next page moves to the one just read.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tap_intercom.errors import ContractError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import BrokenOffError, Paging, Send, read_pages, total_count
from tap_intercom.reading.stream import Stream
from tap_intercom.reading.stream_run import Record, StreamRun
from tap_intercom.reading.tally import PassCheck, hash_of_id

LOGGER = logging.getLogger("tap_intercom")

MAX_PASSES = 5


class ListPass(PassCheck):
    """The tally of one pass over a list that may change meanwhile.

    since: the instant before which changes are not wanted; None if all are.
    known: hashes of the ids that came in earlier passes.
    is_cut: whether the pass ended early, after all wanted records.
    """

    def __init__(self, stream: Stream, since: int | None, known: set[int]) -> None:
        super().__init__(not stream.oldest_first, stream.instants, stream.id_field)
        self.known = known
        self.is_cut = False
        self._instant = stream.instant
        self._since = since
        # If the order is not documented: the orders of ids that it may be instead.
        self._id_orders = [] if stream.has_documented_order else [True, False]
        self._only_grows = stream.is_append_only
        self._wanted = array("q")

    def add(self, records: Sequence[Record], total: int | None) -> None:
        super().add(records, total)
        self._wanted.extend(
            hash_of_id(record.get(self.id_field)) for record in records if self._is_wanted(record)
        )
        ids = [_order_of_id(record.get(self.id_field)) for record in records]
        self._id_orders = [way for way in self._id_orders if ids == sorted(ids, reverse=way)]

    def _is_wanted(self, record: Record) -> bool:
        instant = None if self._since is None else self._instant(record)
        return self._since is None or instant is None or instant >= self._since

    @property
    def shows_all_wanted(self) -> bool:
        """Whether every wanted record came, according to the order of the list.

        The order must show often enough. One that may also be the order of ids proves nothing: a
        list sorted by id may look sorted by time, until an old record that just changed.
        """
        is_proven = self.is_sorted and not self._id_orders
        return self._since is not None and is_proven and (self.last or 0) < self._since

    @property
    def ids(self) -> set[int]:
        """Hashes of the ids of the wanted records that came."""
        return set(self._wanted)

    def has_all_with(self, previous: ListPass | None) -> bool:
        """Whether no record that existed all the time can be missing.

        One page shows one moment. With several pages, a record slips past only if an earlier one
        leaves its place. The count does not show that, since another record may appear at the same
        time. The next pass does: a record that came before is missing from it.
        """
        is_whole = self.is_cut or self.is_complete
        if is_whole and (self.pages == 1 or self._only_grows):
            return True
        if previous is None or self.broken_off is not None or not previous.ids <= self.ids:
            return False
        return is_whole or self.shows_the_same(previous)

    def is_new(self, record: Record) -> bool:
        """Whether a record did not come in an earlier pass.

        The next run reads a record that came and has changed since.
        """
        return hash_of_id(record.get(self.id_field)) not in self.known


def read_until_whole(
    run: StreamRun,
    stream: Stream,
    send: Send,
    path: str,
    paging: Paging,
    params: Mapping[str, Any],
    since: int | None = None,
) -> Iterator[tuple[Answer, ListPass]]:
    """Yield each page of a list with its pass, in as many passes as completeness needs.

    Raises ContractError if no pass is complete.

    since: for a list that is newest first, the instant before which nothing is wanted. A pass ends
        once it has shown all wanted records.
    """
    paging = paging.limited(run.settings.page_size)
    previous: ListPass | None = None
    for _ in range(MAX_PASSES):
        known = set() if previous is None else previous.known | previous.ids
        tally = ListPass(stream, since, known)
        try:
            for answer in read_pages(send, path, paging, params):
                tally.add(stream.parse_response(answer), total_count(answer.body))
                yield answer, tally
                tally.is_cut = tally.shows_all_wanted
                if tally.is_cut:
                    break
        except BrokenOffError as error:
            LOGGER.info("%s: %s; the list is read again", stream.name, error)
            tally.broken_off = error
        if tally.has_all_with(previous):
            if not tally.is_cut:
                _report_shortfall(run, stream, path, tally)
            return
        previous = tally
    reason = tally.broken_off or "the list kept changing"
    raise ContractError(
        f"{stream.name}: {path} was read {MAX_PASSES} times, but some records may be missing: "
        f"{reason}; the next run reads it again"
    )


def _order_of_id(value: Any) -> tuple[int, str]:
    """Return a sort key for ids in creation order: digits as numbers, others as text."""
    text = str(value)
    return len(text), text


def _report_shortfall(run: StreamRun, stream: Stream, path: str, tally: PassCheck) -> None:
    missing = tally.total - tally.distinct
    if missing <= 0:
        return
    text = f"{missing} of {tally.total} that Intercom counts in {path}"
    run.note_shortfall(stream.name, "records that the list counts did not come", text, missing)
