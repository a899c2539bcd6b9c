"""Which records the pages of a search returned, and whether any can be missing."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from tap_intercom.intercom.pages import BrokenOffError
from tap_intercom.reading.stream import instant_of, times_of_change, updated_at
from tap_intercom.reading.stream_run import Record
from tap_intercom.reading.unreadable import UnreadableError
from tap_intercom.records.typed_records import values_of

PAGE_SIZE = 150
STEPS_THAT_SHOW_ORDER = 20


def hash_of_id(value: Any) -> int:
    """Return a hash of an id in any form; an id that is an object becomes text in the row."""
    try:
        return hash(value)
    except TypeError:
        return hash(repr(value))


class PassCheck:
    """The records that came, compared with Intercom's count.

    It keeps eight bytes for each record, since a window of days may hold millions.

    instants: returns when records changed.
    id_field: the field that identifies a record.
    is_counted: whether every page has a plausible count.
    tells_times: whether every record has a time of change.
    last: the last time of change that came.
    broken_off: why the pass ended before its last page.
    unreadable: the error for a record that Intercom cannot send, at which the pass ended.
    """

    def __init__(
        self,
        newest_first: bool = False,
        instants: Callable[[Sequence[Record]], Sequence[int | None]] = times_of_change,
        id_field: str = "id",
    ) -> None:
        self.newest_first = newest_first
        self.id_field = id_field
        self.is_counted = True
        self.tells_times = True
        self.last: int | None = None
        self._instants = instants
        self.total = 0
        self.first_total = 0
        self.pages = 0
        self.newest = 0
        self.broken_off: BrokenOffError | None = None
        self.unreadable: UnreadableError | None = None
        self._falls = False
        self._is_in_order = True
        self._steps = 0
        self._hashes = array("q")

    def add(self, records: Sequence[Record], total: int | None) -> None:
        """Count a page."""
        self.pages += 1
        self.is_counted = self.is_counted and total is not None and total >= len(records)
        self._falls = self._falls or total is None or total < self.total
        self.total = max(self.total, total or 0)
        if self.pages == 1:
            self.first_total = self.total
        self._hashes.extend(map(hash_of_id, values_of(records, self.id_field)))
        instants = [each for each in self._instants(records) if each is not None]
        self.newest = max([self.newest, *instants])
        self.tells_times = self.tells_times and len(instants) == len(records)
        if not (self.tells_times and self._goes_on(instants)):
            self._is_in_order = False

    def _goes_on(self, instants: list[int]) -> bool:
        """Whether a page continues the order of the pages before.

        Newest first, it may repeat some records: a change moves its record to the front and pushes
        them past the cursor.
        """
        last = self.last
        if not instants:
            return True
        self.last = instants[-1]
        self._steps += len({*instants, last} - {None}) - 1
        if instants != sorted(instants, reverse=self.newest_first):
            return False
        if last is None:
            return True
        return instants[-1] <= last if self.newest_first else instants[0] >= last

    @property
    def is_broken_off(self) -> bool:
        """Whether the pass ended before its last page."""
        return self.broken_off is not None or self.unreadable is not None

    @property
    def is_sorted(self) -> bool:
        """Whether so many records came in order that it cannot be by chance."""
        return self._is_in_order and self._steps >= STEPS_THAT_SHOW_ORDER

    @property
    def is_steady(self) -> bool:
        """Whether no record can have slipped past the cursor, which may be a position.

        If records come in order, only one that leaves can move others past the cursor, and then the
        count falls.
        """
        return self.is_sorted and not self._falls

    @property
    def distinct(self) -> int:
        """The number of different records, counted in slices to keep the sets small."""
        slices = len(self._hashes) // 50_000 + 1
        return sum(
            len({each for each in self._hashes if each % slices == part}) for part in range(slices)
        )

    @property
    def is_complete(self) -> bool:
        """Whether as many records came as the largest count of any page."""
        return not self.is_broken_off and self.distinct >= self.total

    @property
    def has_all(self) -> bool:
        """Whether no record can be missing, if records only leave.

        One page shows one moment. With several pages, a missing or wrong count proves nothing.
        """
        if self.pages == 1:
            return self.is_complete
        return self.is_counted and not self.is_broken_off and self.distinct == self.total

    def has_all_before(self, safe: int) -> bool:
        """Whether no record from before `safe` can be missing, if other records arrive.

        One page shows one moment. If the order is not certain, a record that arrives may hide from
        the count that another one left; then none of the records may be new.
        """
        if self.pages == 1 or self.is_steady:
            return True
        return self.is_counted and self.is_complete and (self.is_sorted or self.newest < safe)

    @property
    def is_outrun(self) -> bool:
        """Whether records come to the front faster than pages are read."""
        return len(self._hashes) > 2 * (self.first_total + PAGE_SIZE)

    def repeats(self, record: Record) -> bool:
        """Whether another tally already has this version of a record of the window."""
        return False

    @property
    def ids(self) -> set[int]:
        """Hashes of the ids of the records that came."""
        return set(self._hashes)

    def shows_the_same(self, other: PassCheck | None) -> bool:
        """Whether two whole passes returned the same records, so no more can be expected."""
        return (
            other is not None
            and not self.is_broken_off
            and self.total == other.total
            and self.ids == other.ids
        )


class PartCounts:
    """What Intercom counts in the parts of a window, added up; safe to use from many threads.

    A closed window only loses records, so its parts cannot hold more than it did. If they seem to,
    the count ignores the filter, and cutting by it would end at single seconds.

    total: what Intercom counted in the window.
    around: the counts of which the window was a part itself.
    """

    def __init__(self, total: int, around: PartCounts | None) -> None:
        self._lock = threading.Lock()
        self._left = total + total // 2  # so that a few late records change nothing
        self._around = around

    def add(self, total: int) -> None:
        with self._lock:
            self._left -= total

    @property
    def are_too_many(self) -> bool:
        around = self._around
        return self._left < 0 or (around is not None and around.are_too_many)


class TailPass(PassCheck):
    """The tally of records that changed while others were read, newest first.

    since: older records have already been read.
    known: hashes of the ids that came.
    now: when the run began; records that existed then are owed.
    is_past: the page shows no more owed records.
    """

    def __init__(self, since: int, known: set[int], now: int) -> None:
        super().__init__(newest_first=True)
        self._since = since
        self._known = known
        self._now = now
        self.owes_more = False
        self.is_past = False

    def add(self, records: Sequence[Record], total: int | None) -> None:
        super().add(records, total)
        owes = any(
            hash_of_id(record.get("id")) not in self._known
            and (instant_of(record.get("created_at")) or 0) < self._now
            for record in records
        )
        self.is_past = not owes
        self.owes_more = self.owes_more or owes

    def repeats(self, record: Record) -> bool:
        return updated_at(record) == self._since and hash_of_id(record.get("id")) in self._known
