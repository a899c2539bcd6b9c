"""Estimate the requests of a run, from the numbers of records that Intercom counts.

There are two numbers for each stream: for a first run, and for a run one day after it. What
Intercom does not count is named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from tap_intercom.intercom.pages import WHOLE, Paging, Sized
from tap_intercom.reading.children import ChildStream
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.search import SearchStream
from tap_intercom.reading.stream import EmbeddedStream, Stream
from tap_intercom.settings import Settings
from tap_intercom.streams import lineage, root_of
from tap_intercom.streams.companies import LIST_PAGE_SIZE, Companies, CompanySegments
from tap_intercom.streams.contacts import CustomObjectInstances
from tap_intercom.streams.conversations import Macros
from tap_intercom.streams.deletions import LIST_PAGE_SIZE as IDS_PAGE_SIZE
from tap_intercom.streams.deletions import Deletions
from tap_intercom.streams.exports import WINDOW_SECONDS as EXPORT_SECONDS
from tap_intercom.streams.exports import ContentExport, Receipts
from tap_intercom.streams.reporting import REACH_SECONDS, ReportingDataset
from tap_intercom.streams.workspace import WINDOW_OF_LOGS, ActivityLogs
from tap_intercom.times import DAY_SECONDS
from tap_intercom.windows import Window

SCROLL_PAGE_SIZE = 100
# One to start it, two status checks and one download.
REQUESTS_OF_AN_EXPORT = 4

CHANGES = "how many records changed; the next run may need more requests"
COUNT = "how many records there are; the numbers are for one page"
LONG_LISTS = "how many records have long lists inside; each may need one more request"
LONG_PAGES = "how long its pages may be; shorter ones need more requests"
MISSING = "how many records are gone; each needs one or two more requests"
PAGES = "how long each list is; the numbers are for one page each"
ROWS = "which records have any; the numbers are the maximum for one page each"
TYPES = "how many types there are; the numbers are for the types in the settings, or for one"
WAIT = "how long an export takes; the numbers are for two status checks each"
WITHOUT_USERS = "how many companies have no users; they need more pages"


class Amounts(NamedTuple):
    """How many records a root stream has; None if Intercom does not say.

    total: all of them.
    first: those that a first run reads.
    changed: those that changed in the period of the next run.
    returned: those that its search returns.
    """

    total: int | None
    first: int | None
    changed: int | None = None
    returned: int | None = None


@dataclass(frozen=True)
class Estimate:
    """The requests of one stream, and what Intercom does not say about them."""

    stream: str
    first_run: int
    next_run: int
    not_known: tuple[str, ...] = ()


def estimates(
    names: Collection[str],
    full: Collection[str],
    amounts_of: Callable[[str], Amounts],
    settings: Settings,
    now: int,
) -> Iterator[Estimate]:
    """Yield the estimate for each of these streams, and for the parents that are read for them.

    full: the streams that each run reads in full.
    amounts_of: returns the amounts of a root stream.
    """
    read = {stream.name: stream for name in names for stream in lineage(name)}
    estimator = _Estimator(
        settings, now, frozenset(read), frozenset(full) & read.keys(), amounts_of
    )
    for name in sorted(read):
        yield estimator.estimate(read[name], amounts_of(root_of(name)))


def requests_at_start(names: Collection[str], settings: Settings) -> int:
    """Return the requests of a run before it reads: the workspace and the permission for tickets.

    names: the streams that are read.
    """
    return 1 + ("conversations" in names and settings.version >= (2, 10))


@dataclass(frozen=True)
class _Estimator:
    settings: Settings
    now: int
    read: frozenset[str]
    full: frozenset[str]
    amounts_of: Callable[[str], Amounts]

    def estimate(self, stream: Stream, amounts: Amounts) -> Estimate:
        first, following, not_known = self._requests(stream, amounts)
        if any(each.whole for each in stream.lists):
            not_known = (*not_known, LONG_LISTS)
        if not self.full.isdisjoint(each.name for each in stream.with_children()):
            following = first
            not_known = tuple(reason for reason in not_known if reason != CHANGES)
        return Estimate(stream.name, first, following, not_known)

    def _requests(self, stream: Stream, amounts: Amounts) -> tuple[int, int, tuple[str, ...]]:
        match stream:
            case Receipts():
                days = (self.settings.export_lookback_days + 1) * DAY_SECONDS
                return self._jobs(self._period), self._jobs(days), (WAIT,)
            case ReportingDataset():
                days = (self.settings.export_lookback_days + 1) * DAY_SECONDS
                return self._jobs(min(self._period, REACH_SECONDS)), self._jobs(days), (WAIT,)
            case EmbeddedStream() | ContentExport():
                return 0, 0, ()
            case SearchStream():
                return self._searches(stream, amounts)
            case ChildStream():
                return self._of_parents(stream, amounts)
            case Companies():
                return self._companies(amounts)
            case CompanySegments():
                return 2, 2, ()
            case CustomObjectInstances():
                requests = 1 + max(len(self.settings.custom_object_types), 1)
                return requests, requests, (TYPES, COUNT)
            case ActivityLogs():
                # Each window needs a request, also without entries.
                pages = ceil((amounts.total or 0) / self._size(stream.paging))
                return ceil(self._period / WINDOW_OF_LOGS) + pages, 1, (CHANGES,)
            case Deletions():
                return self._deletions()
            case ListStream():
                return self._lists(stream, amounts)
        return 1, 1, ()

    @property
    def _period(self) -> int:
        """The seconds between the dates of the settings."""
        return max((self.settings.end_date or self.now) - self.settings.start_date, 1)

    @staticmethod
    def _jobs(period: int) -> int:
        return ceil(period / EXPORT_SECONDS) * REQUESTS_OF_AN_EXPORT

    def _size(self, paging: Paging) -> int:
        limited = paging.limited(self.settings.page_size)
        return limited.size if isinstance(limited, Sized) else 1

    def _searches(self, stream: SearchStream, amounts: Amounts) -> tuple[int, int, tuple[str, ...]]:
        window = Window(self.now - self._period, self.now)
        family = self.read.intersection(each.name for each in stream.with_children())
        first = stream.expected_searches(self.settings, window, family, amounts.first or 0)
        following = stream.expected_searches(self.settings, None, family, amounts.returned or 0)
        return first, following, () if amounts.first is not None else (COUNT,)

    def _of_parents(
        self, stream: ChildStream, amounts: Amounts
    ) -> tuple[int, int, tuple[str, ...]]:
        parent = next(each for each in lineage(stream.name) if each is not stream)
        follows = stream.is_incremental and parent.is_incremental and stream.follows_parent
        changed = amounts.changed if follows else amounts.total
        parents = amounts.first if follows else amounts.total
        not_known = []
        if parents is None:
            not_known.append(COUNT)
        if changed is None and parents is not None:
            not_known.append(CHANGES)
        if type(stream).may_have_any is not ChildStream.may_have_any:
            not_known.append(ROWS)
        elif stream.paging is not WHOLE:
            not_known.append(PAGES)
        return (
            ceil((parents or 0) / stream.parents_at_once),
            ceil((changed or 0) / stream.parents_at_once),
            tuple(not_known),
        )

    def _companies(self, amounts: Amounts) -> tuple[int, int, tuple[str, ...]]:
        total = amounts.total or 0
        if self.settings.companies_source == "list":
            pages = _in_passes(total, LIST_PAGE_SIZE)
            return pages, pages, () if amounts.total is not None else (COUNT,)
        pages = ceil(total / SCROLL_PAGE_SIZE) + 1  # an empty page ends the scroll
        return pages, pages, (WITHOUT_USERS,)

    def _deletions(self) -> tuple[int, int, tuple[str, ...]]:
        if self.settings.detect_deletes == "off":
            return 0, 0, ()
        pages = int("conversations" in self.read)
        if "contacts" in self.read:
            pages += max(ceil((self.amounts_of("contacts").total or 0) / IDS_PAGE_SIZE), 1)
        return pages, pages, (MISSING,)

    def _lists(self, stream: ListStream, amounts: Amounts) -> tuple[int, int, tuple[str, ...]]:
        if not isinstance(stream.paging, Sized):
            return 1, 1, ()
        pages = _in_passes(
            amounts.total or 0, self._size(stream.paging), is_append_only=stream.is_append_only
        )
        is_short = stream.is_incremental and (stream.newest_first or isinstance(stream, Macros))
        reasons = {
            COUNT: amounts.total is None,
            LONG_PAGES: stream.paging.has_guessed_size,
            CHANGES: is_short,
        }
        not_known = tuple(reason for reason, applies in reasons.items() if applies)
        return pages, 1 if is_short else pages, not_known


def _in_passes(count: int, size: int, *, is_append_only: bool = False) -> int:
    """Return the requests for a list: one of several pages is read twice, see `passes`."""
    pages = max(ceil(count / size), 1)
    return pages if pages == 1 or is_append_only else 2 * pages
