"""Streams read by Intercom's search, in windows of updated_at.

Closed windows are read side by side and cut by what they hold. The last window is open and read
when all others are, so that a record that changes while it is read still comes (API-J6).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any, ClassVar

from tap_intercom.client import Answer, Parse
from tap_intercom.errors import ConfigError, ContractError, ResponseError
from tap_intercom.pages import cursor_pages, next_cursor, total_count
from tap_intercom.records import parse
from tap_intercom.settings import Settings
from tap_intercom.streams.base import (
    Batch,
    Probe,
    Reading,
    Record,
    Stream,
    updated_at,
)
from tap_intercom.streams.family import Page, ParentStream
from tap_intercom.streams.seen import Seen
from tap_intercom.streams.tally import PAGE_SIZE, Front, Tally
from tap_intercom.times import DAY_SECONDS, rfc3339
from tap_intercom.windows import Span, Window, spans, split, start_of_day

LOGGER = logging.getLogger("tap_intercom")

# Contact search compares days of the workspace's timezone, or of UTC, or seconds (API-E4, K1). A
# local day has up to 25 hours; two whole days on either side hold it in each case.
DAY_MARGIN = 2 * DAY_SECONDS
# A window of days costs its margins, about three days of records: 11 % of 28 days, 22 % of 14.
WINDOW_OF_DAYS = 28 * DAY_SECONDS
SHORTEST_WINDOW_OF_DAYS = 14 * DAY_SECONDS
CROWDED_WINDOW_OF_DAYS = 15_000
WINDOWS_AT_ONCE = 14
WINDOWS_AT_FIRST = 2
# Each of these keeps up to 225 requests for children waiting.
WINDOWS_WITH_CHILDREN_AT_ONCE = 3
MOST_PARTS = 64
# An interruption repeats at most the window that it came in.
RECORDS_IN_WINDOW = 900
RECORDS_WITH_CHILDREN_IN_WINDOW = 225
RECORDS_IN_WINDOW_OF_DAYS = 1_500
MOST_PASSES = 10
FOLLOW_SECONDS = 600
# What Intercom answers to a query that it cannot read (API-C4); a dead cursor is `client_error`.
CODES_OF_A_WRONG_QUERY = {
    "data_invalid",
    "field_not_found",
    "invalid_field",
    "missing_parameter",
    "parameter_invalid",
    "parameter_missing",
    "parameter_not_found",
    "type_mismatch",
    "unprocessable_entity",
    "validation_error",
}


@dataclass(frozen=True)
class _Page:
    """What one page of a search comes to.

    parts: how its window is to be cut instead of read on. count: records that are the window's;
    page: what they come to.
    """

    parts: Sequence[Window] = ()
    count: int = 0
    page: Page = field(default_factory=Page)


def probe_search(path: str) -> Probe:
    """A search for one record, whose answer counts all."""
    query = {"field": "updated_at", "operator": ">", "value": 0}
    return Probe(path, body={"query": query, "pagination": {"per_page": 1}})


class SearchStream(ParentStream):
    """A table that Intercom searches by updated_at.

    by_days: the search compares whole days.
    """

    replication_key = "updated_at"
    by_days: ClassVar[bool] = False

    def probe(self, settings: Settings) -> Probe:
        return probe_search(self.path)

    def batches(self, reading: Reading) -> Iterator[Batch]:
        """Every record that the plans want: closed windows first, then where records still come."""
        last = reading.origin.safe
        if self.by_days:
            # Here the margin of the last closed window ends before anything can still move.
            last = start_of_day(last) - DAY_MARGIN
        for span in spans({name: plan.windows for name, plan in reading.plans.items()}, [last]):
            if span.window.end is None or span.window.end > last:
                yield from self._read_open(reading, span)
            else:
                yield from self._read_closed(reading, span, Seen())

    def _read_closed(
        self, reading: Reading, span: Span, seen: Seen, is_part: bool = False
    ) -> Iterator[Batch]:
        """Read a window until a pass over it was complete.

        After one that was not, the window is cut, so that less can move while it is read. One that
        cannot be cut is read again; two passes that show the same are all that can be had.
        """
        window = span.window
        assert window.end is not None
        previous: Tally | None = None
        for _ in range(MOST_PASSES):
            tally = Tally()
            cut = partial(self._parts, span, is_part) if previous is None else None
            for page in self._pages(reading, span, tally, seen, cut):
                if previous is None and tally.pages == 1:
                    yield Batch(expected=0 if is_part else tally.total)
                if page.parts:
                    yield from self._read_parts(reading, span, page.parts, seen)
                    return
                yield from self._emit(reading, span, page)
                if self.by_days and tally.is_steady:
                    yield _complete(span, min(max(tally.newest, window.start), window.end))
            if tally.is_complete:
                break
            if tally.pages > 1:
                parts = split(window, min(tally.pages, MOST_PARTS), self._unit)
                if len(parts) > 1:
                    yield from self._read_parts(reading, span, parts, seen)
                    return
            if previous is not None and tally.shows_the_same(previous):
                self._report_shortfall(reading, window, tally)
                break
            previous = tally
        else:
            raise ContractError(
                f"{self.name}: the records of {_text(window)} kept moving while they were read "
                f"{MOST_PASSES} times, so that some may be missing; the next run reads them again"
            )
        yield _complete(span, window.end)

    def _read_parts(
        self, reading: Reading, span: Span, parts: Sequence[Window], seen: Seen
    ) -> Iterator[Batch]:
        # Made one by one: what came in a part is kept for as long as the part is read.
        reads = (
            partial(self._read_closed, reading, Span(part, span.streams), seen.fork(), True)
            for part in parts
        )
        width = (
            WINDOWS_WITH_CHILDREN_AT_ONCE if self.has_children(span.streams) else WINDOWS_AT_ONCE
        )
        for batches in reading.ahead.run(reads, width, WINDOWS_AT_FIRST):
            yield from batches

    def _read_open(self, reading: Reading, span: Span) -> Iterator[Batch]:
        """Read the last window, into which records still come, from its newest record on.

        What changes meanwhile comes to the front and moves the others away from the cursor, where
        they are not lost but repeated. The front is read again for it, though the next run would
        read it too: whoever looks at this run alone misses no record.
        """
        reached = reading.origin.limit
        if span.window.end is not None:
            reached = min(reached, span.window.end)
        seen = Seen()
        previous: Tally | None = None
        for _ in range(MOST_PASSES):
            tally = Tally(newest_first=True)
            for page in self._pages(reading, span, tally, seen):
                if previous is None and tally.pages == 1:
                    yield Batch(expected=tally.total)
                yield from self._emit(reading, span, page)
                if tally.is_outrun:
                    LOGGER.info("%s: changes that still come are left to the next run", self.name)
                    return
            is_settled = previous is not None and tally.shows_the_same(previous)
            has_all = is_settled or tally.has_all_before(reading.origin.safe)
            if has_all and not tally.is_broken_off:
                break
            previous = tally
        else:
            if tally.is_broken_off:
                raise ContractError(f"{self.name}: page cursors expired {MOST_PASSES} times")
            LOGGER.warning(
                "%s: records kept moving while they were read; see the next run", self.name
            )
            return
        if tally.pages > 1 or not tally.is_complete:
            yield from self._follow(reading, span, tally, seen)
        yield _complete(span, reached)

    def _follow(self, reading: Reading, span: Span, tally: Tally, seen: Seen) -> Iterator[Batch]:
        """Read what came to the front during a pass, until it shows nothing that the run owes.

        That is a record that was there when the run began and was not read yet. Reports that fewer
        records came than Intercom counts, when nothing moved that explains it.
        """
        known = tally.ids
        deadline = time.monotonic() + FOLLOW_SECONDS
        last: Tally = tally
        owes_more = True
        while owes_more and time.monotonic() < deadline:
            window = replace(span.window, start=max(last.newest, span.window.start))
            front = Front(window.start, known, reading.origin.now)
            for page in self._pages(reading, replace(span, window=window), front, seen):
                yield from self._emit(reading, span, page)
                if front.is_past:
                    break
            if last is tally and not tally.is_complete and front.newest <= tally.newest:
                self._report_shortfall(reading, span.window, tally)
            owes_more = front.owes_more
            known |= front.ids
            last = front
        if owes_more:
            LOGGER.info("%s: changes that still come are left to the next run", self.name)

    def _pages(
        self,
        reading: Reading,
        span: Span,
        tally: Tally,
        seen: Seen,
        cut: Callable[[int], list[Window]] | None = None,
    ) -> Iterator[_Page]:
        """Yield each page of a window, counted; the tally is broken off where a cursor died.

        cut says, by the count on the first page, into what parts the window is to be cut instead.
        """
        body = self.query(reading, span.window, tally.newest_first)

        def read(answer: Answer) -> tuple[_Page, str | None]:
            tally.add(self.records(answer), total_count(answer.body))
            parts = cut(tally.total) if cut is not None and tally.pages == 1 else []
            if len(parts) > 1:
                return _Page(parts=parts), None
            page = self._read_page(reading, span, answer, seen, tally)
            return page, next_cursor(answer.body)

        params, parse = self.parameters(reading), self._parse(reading, span)

        def send(cursor: str | None) -> tuple[_Page, str | None]:
            after = {} if cursor is None else {"starting_after": cursor}
            asked = {**body, "pagination": {"per_page": self._page_size(reading), **after}}
            return reading.client.post(self.path, asked, params, read=read, parse=parse)

        try:
            yield from cursor_pages(send)
        except ResponseError as error:
            # How long a cursor lives is not known (API-K27); the first page has none.
            is_wrong = tally.pages == 0 and error.code in CODES_OF_A_WRONG_QUERY
            if is_wrong and self.name in reading.settings.search_filters:
                raise ConfigError(
                    f"{error}; check the filter of {self.name} in the setting search_filters"
                ) from error
            if error.status != 400 or tally.pages == 0:
                raise
            LOGGER.info("%s: the page cursor expired; the window is read again", self.name)
            tally.is_broken_off = True

    def query(self, reading: Reading, window: Window, newest_first: bool = False) -> dict[str, Any]:
        """The body that finds what changed in a window, and perhaps more around it (API-E1).

        `>` may or may not include equality (API-K2), so it starts a second early.
        """
        margin = DAY_MARGIN if self.by_days else 0
        start = max(window.start - (margin or 1), 0)
        times: list[dict[str, Any]] = [{"field": "updated_at", "operator": ">", "value": start}]
        if window.end is not None:
            end = window.end + margin
            times.append({"field": "updated_at", "operator": "<", "value": end})
        query: dict[str, Any] = {"operator": "AND", "value": times}
        theirs = reading.settings.search_filters.get(self.name)
        if theirs is not None:
            is_group = theirs["operator"] in ("AND", "OR")
            group = theirs if is_group else {"operator": "AND", "value": [theirs]}
            query = {"operator": "AND", "value": [query, group]}
        order = "descending" if newest_first else "ascending"
        return {"query": query, "sort": {"field": "updated_at", "order": order}}

    def parameters(self, reading: Reading) -> dict[str, Any]:
        """What the address of a search says beside its body."""
        return {}

    def _parse(self, reading: Reading, span: Span) -> Parse:
        """How to parse pages: to suit the table, unless something else looks inside its records.

        So do tables that are made of them, and a stream with more to prepare than what is nested.
        """
        is_alone = span.streams.isdisjoint(each.name for each in self.derived)
        prepares_more = type(self).prepare is not Stream.prepare
        if self.name in span.streams and is_alone and not prepares_more:
            return reading.selections[self.name].parser.parse
        return parse

    @property
    def _unit(self) -> int:
        return DAY_SECONDS if self.by_days else 1

    @staticmethod
    def _page_size(reading: Reading) -> int:
        return min(reading.settings.page_size or PAGE_SIZE, PAGE_SIZE)

    def _parts(self, span: Span, is_part: bool, total: int) -> list[Window]:
        """How to cut a window of `total` records, so that its parts are read side by side."""
        most, limit = MOST_PARTS, RECORDS_IN_WINDOW
        if self.has_children(span.streams):
            limit = RECORDS_WITH_CHILDREN_IN_WINDOW
        if self.by_days:
            # Wide ones even with children: margins cost searches, and checkpoints keep progress.
            limit = RECORDS_IN_WINDOW_OF_DAYS
            assert span.window.end is not None
            length = span.window.end - span.window.start
            # A part is read beside others already: more would cost memory, and their margins.
            most = 1 if is_part else _most_windows_of_days(length, total)
        if total <= limit:
            return [span.window]
        return split(span.window, min(ceil(total / (limit * 2 / 3)), most), self._unit)

    def _read_page(
        self, reading: Reading, span: Span, answer: Answer, seen: Seen, tally: Tally
    ) -> _Page:
        """The records of a page that are the window's and did not come before, made into lines."""
        records = self.records(answer)
        kept = [
            at
            for at, record in enumerate(records)
            if self._belongs(reading, span.window, record) and not tally.repeats(record)
        ]
        if self.has_children(span.streams):
            # A child costs a request: what came unchanged before is left out.
            kept = seen.unseen(records, kept, begins_pass=tally.pages == 1)
        places = dict.fromkeys(span.streams, kept)
        return _Page(count=len(kept), page=self.read_page(reading, answer, places))

    def _emit(self, reading: Reading, span: Span, page: _Page) -> Iterator[Batch]:
        """What is to be written of a page, with what needs more requests."""
        passed = 0
        is_last = not self.has_children(span.streams)
        for batch in self.emit(reading, page.page):
            # Without children there is one batch.
            batch = replace(batch, passed=page.count) if is_last else batch
            passed += batch.passed
            yield batch
        if passed < page.count:
            yield Batch(passed=page.count - passed)

    def _belongs(self, reading: Reading, window: Window, record: Record) -> bool:
        """Whether a record is this window's to write.

        One before the window, or just behind it within the margin, is its neighbour's, and was
        there when that one was read. One that is newer still came from an index behind its
        records, and is written here. A period with an end ends for all.
        """
        instant = updated_at(record)
        if instant is None or window.holds(instant):
            return True
        end = reading.origin.end
        if instant < window.start or window.end is None or (end is not None and instant >= end):
            return False
        return not self.by_days or instant >= window.end + DAY_MARGIN

    def _report_shortfall(self, reading: Reading, window: Window, tally: Tally) -> None:
        missing = tally.total - tally.distinct
        text = f"{missing} of {tally.total} that Intercom counts in {_text(window)}"
        reading.note_shortfall(self.name, "records that search counts did not come", text, missing)


def _most_windows_of_days(length: int, total: int) -> int:
    """How many windows a period of `length` seconds with `total` records is worth cutting into.

    Wide ones where there are enough to read side by side, else shorter ones; a period of about the
    width of one only when it is crowded.
    """
    if length // WINDOW_OF_DAYS >= WINDOWS_AT_ONCE:
        return length // WINDOW_OF_DAYS
    if length >= 2 * WINDOW_OF_DAYS or total > CROWDED_WINDOW_OF_DAYS:
        return min(length // SHORTEST_WINDOW_OF_DAYS, WINDOWS_AT_ONCE)
    return 1


def _complete(span: Span, reached: int) -> Batch:
    return Batch(reached=dict.fromkeys(span.streams, reached))


def _text(window: Window) -> str:
    end = "now" if window.end is None else rfc3339(window.end)
    return f"{rfc3339(window.start)} to {end}"
