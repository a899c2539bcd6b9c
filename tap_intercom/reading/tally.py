"""Which records the pages of a search gave, and whether any can be missing."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from tap_intercom.intercom.pages import BrokenOffError
from tap_intercom.reading.stream import Record, times_of_change, updated_at
from tap_intercom.reading.unreadable import UnreadableError
from tap_intercom.records.typed_records import values_of

PAGE_SIZE = 150
STEPS_THAT_SHOW_ORDER = 20


class PassCheck:
    """Which records came, against how many Intercom counts.

    Keeps eight bytes for a record, since a window of days may hold millions. instants tells when
    records changed, id_field which ones they are; last is the instant of the last one that came and
    told. is_counted: whether every page has a count that can be true, tells_times whether every
    record told when. broken_off: why the pass ended before its last page; unreadable: the
    record that it ended at, since Intercom cannot send it.
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
        self._hashes.extend(map(hash, values_of(records, self.id_field)))
        instants = [each for each in self._instants(records) if each is not None]
        self.newest = max([self.newest, *instants])
        self.tells_times = self.tells_times and len(instants) == len(records)
        if not (self.tells_times and self._goes_on(instants)):
            self._is_in_order = False

    def _goes_on(self, instants: list[int]) -> bool:
        """Whether a page goes on in the order of the ones before.

        Newest first, it may repeat some of them: what changes comes to the front and pushes them
        behind the cursor.
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
        """Whether so many records came in order that it is no accident."""
        return self._is_in_order and self._steps >= STEPS_THAT_SHOW_ORDER

    @property
    def is_steady(self) -> bool:
        """Whether no record can have slipped past the cursor, which may be a position.

        Where records come in order, only one that leaves can draw others past it, and then the
        count falls.
        """
        return self.is_sorted and not self._falls

    @property
    def distinct(self) -> int:
        """How many different records came, counted in slices, which keeps the sets small."""
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
        """Whether no record can be missing, while records only leave.

        One page is one moment. A count that is missing or wrong proves nothing about several.
        """
        if self.pages == 1:
            return self.is_complete
        return self.is_counted and not self.is_broken_off and self.distinct == self.total

    def has_all_before(self, safe: int) -> bool:
        """Whether no record from before `safe` can be missing, while others came.

        One page is one moment. Where the order is not sure, a record that comes may hide from the
        count that another one left; then no record that is new may be among them.
        """
        if self.pages == 1 or self.is_steady:
            return True
        return self.is_counted and self.is_complete and (self.is_sorted or self.newest < safe)

    @property
    def is_outrun(self) -> bool:
        """Whether records come to the front faster than pages are read."""
        return len(self._hashes) > 2 * (self.first_total + PAGE_SIZE)

    def repeats(self, record: Record) -> bool:
        """Whether a record that is the window's came before, as it is, by another tally."""
        return False

    @property
    def ids(self) -> set[int]:
        """What stands for the ids of the records that came."""
        return set(self._hashes)

    def shows_the_same(self, other: PassCheck | None) -> bool:
        """Whether two whole passes came to the same, which is all that can be had."""
        return (
            other is not None
            and not self.is_broken_off
            and self.total == other.total
            and self.ids == other.ids
        )


class TailPass(PassCheck):
    """A tally of what changed while others were read, newest first.

    since: what is older was read already. known: hashes of the ids that came. now: when the run
    began; it owes what was there then. is_past: the page shows nothing more of that.
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
            hash(record.get("id")) not in self._known
            and (record.get("created_at") or 0) < self._now
            for record in records
        )
        self.is_past = not owes
        self.owes_more = self.owes_more or owes

    def repeats(self, record: Record) -> bool:
        return updated_at(record) == self._since and hash(record.get("id")) in self._known
