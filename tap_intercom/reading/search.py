"""Streams read by Intercom's search, in windows of updated_at.

Closed windows are read concurrently and split by their number of records. The open window is read
last, so it includes records that change during the run (API-J6).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any, ClassVar, NamedTuple

from tap_intercom.errors import ConfigError, ContractError, ResponseError, UnavailableError
from tap_intercom.intercom.client import Answer, Client, Parse
from tap_intercom.intercom.pages import (
    CURSORS,
    BrokenOffError,
    ByCursor,
    Position,
    Step,
    pages_in_turn,
    total_count,
)
from tap_intercom.reading.children import PageReader, RenderedPage
from tap_intercom.reading.seen import Seen
from tap_intercom.reading.stream import Probe, Stream, times_of_change
from tap_intercom.reading.stream_run import Batch, StreamRun
from tap_intercom.reading.tally import PAGE_SIZE, PartCounts, PassCheck, TailPass
from tap_intercom.reading.unreadable import (
    CODES_OF_A_WRONG_QUERY,
    Narrowing,
    UnreadableError,
)
from tap_intercom.records.parsing import parse
from tap_intercom.settings import Settings
from tap_intercom.times import DAY_SECONDS, rfc3339
from tap_intercom.windows import Span, Window, cut, spans, split, start_of_day

LOGGER = logging.getLogger("tap_intercom")

# Contact search compares days of the workspace's timezone, or of UTC, or seconds (API-E4, K1). A
# local day has up to 25 hours; two whole days on each side cover it in all three cases.
DAY_MARGIN = 2 * DAY_SECONDS
# The margins of a window cost about three days of records: 11 % of 28 days, 22 % of 14.
WINDOW_OF_DAYS = 28 * DAY_SECONDS
SHORTEST_WINDOW_OF_DAYS = 14 * DAY_SECONDS
CROWDED_WINDOW_OF_DAYS = 15_000
WINDOWS_AT_ONCE = 14
WINDOWS_AT_FIRST = 2
# Each of these keeps up to 225 requests for children waiting.
WINDOWS_WITH_CHILDREN_AT_ONCE = 3
MAX_PARTS = 64
# An interruption repeats at most the current window.
RECORDS_IN_WINDOW = 900
RECORDS_WITH_CHILDREN_IN_WINDOW = 225
RECORDS_IN_WINDOW_OF_DAYS = 1_500
MAX_PASSES = 10
FOLLOW_SECONDS = 600
# The first spots answer unless Intercom is down, so the others are rarely tried.
MAX_SPOTS = 9
# How many records of one second (one day for contacts) may be skipped together.
MAX_UNREADABLE_AT_ONCE = 10
CURSOR = CURSORS[0]
PAGING = ByCursor(PAGE_SIZE)


@dataclass(frozen=True)
class _SearchPage:
    """The result of reading one page of a search.

    parts: the windows to read instead of the rest of this one.
    count: number of records that belong to the window.
    page: the rendered page.
    """

    parts: Sequence[Window] = ()
    count: int = 0
    page: RenderedPage = field(default_factory=RenderedPage)


class Spot(NamedTuple):
    """Where a search for any record begins."""

    operator: str
    instant: int
    order: str


def probe_search(path: str) -> Probe:
    """Return a search for one record; its answer counts all records."""
    query = {"field": "updated_at", "operator": ">", "value": 0}
    return Probe(path, body={"query": query, "pagination": {"per_page": 1}})


class SearchStream(Stream):
    """A table that Intercom searches by updated_at.

    searches_by_day: the search compares whole days.
    """

    replication_key = "updated_at"
    searches_by_day: ClassVar[bool] = False

    def probe(self, settings: Settings) -> Probe:
        return probe_search(self.path)

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Yield all records that the plans want: closed windows first, then the open one."""
        last = run.origin.safe
        if self.searches_by_day:
            # The margin of the last closed window ends before the time when records can still
            # change.
            last = start_of_day(last) - DAY_MARGIN
        for span in spans({name: plan.windows for name, plan in run.plans.items()}, [last]):
            if span.window.end is None or span.window.end > last:
                yield from self._read_open(run, span)
            else:
                yield from self._read_closed(run, span, Seen())

    def _read_closed(
        self, run: StreamRun, span: Span, seen: Seen, counts: PartCounts | None = None
    ) -> Iterator[Batch]:
        """Read a window until one pass over it is complete.

        After an incomplete pass, the window is split, so less can change during a read. A window
        that cannot be split is read again; two passes with the same records are accepted.

        counts: those of the window that this one is a part of; None if it is a whole one.
        """
        window = span.window
        assert window.end is not None
        previous: PassCheck | None = None
        for _ in range(MAX_PASSES):
            tally = PassCheck()
            parts_of = partial(self._parts_by_count, span, counts) if previous is None else None
            for page in self._pages(run, span, tally, seen, parts_of):
                if previous is None and tally.pages == 1:
                    yield Batch(expected=tally.total if counts is None else 0)
                if page.parts:
                    its_counts = PartCounts(tally.total, counts)
                    yield from self._read_parts(run, span, page.parts, seen, its_counts)
                    return
                yield from self._emit(run, span, page)
                if self.searches_by_day and tally.is_steady:
                    yield _complete(span, min(max(tally.newest, window.start), window.end))
            if tally.unreadable is not None:
                its_counts = PartCounts(tally.total, counts)
                if (yield from self._read_around(run, span, tally, seen, its_counts)):
                    break
                continue
            if tally.has_all:
                break
            # Without a count, a second pass may prove completeness for less than a split costs.
            if tally.pages > 1 and (tally.is_counted or previous is not None):
                parts = split(window, min(tally.pages, MAX_PARTS), self._unit)
                if len(parts) > 1:
                    its_counts = PartCounts(tally.total, counts)
                    yield from self._read_parts(run, span, parts, seen, its_counts)
                    return
            if tally.shows_the_same(previous):
                self._report_shortfall(run, window, tally)
                break
            previous = tally
        else:
            reason = tally.broken_off or "the records kept changing"
            raise ContractError(
                f"{self.name}: {_text(window)} was read {MAX_PASSES} times, but some records may "
                f"be missing: {reason}; the next run reads them again"
            )
        yield _complete(span, window.end)

    def _read_parts(
        self,
        run: StreamRun,
        span: Span,
        parts: Sequence[Window],
        seen: Seen,
        counts: PartCounts,
    ) -> Iterator[Batch]:
        # Create these one at a time: each keeps the versions that it saw until its part is read.
        reads = (
            partial(self._read_closed, run, Span(part, span.streams), seen.fork(), counts)
            for part in parts
        )
        width = (
            WINDOWS_WITH_CHILDREN_AT_ONCE if self.has_children(span.streams) else WINDOWS_AT_ONCE
        )
        for batches in run.ahead.run(reads, width, WINDOWS_AT_FIRST, is_patient=True):
            yield from batches

    def _read_open(self, run: StreamRun, span: Span) -> Iterator[Batch]:
        """Read the last window from its newest record on, while new changes still arrive.

        A change moves its record to the front and pushes the others away from the cursor, so pages
        repeat records but lose none. The front is then read again. The next run would read it too,
        but this way no record is missing from this run alone.
        """
        reached = run.origin.limit
        if span.window.end is not None:
            reached = min(reached, span.window.end)
        seen = Seen()
        previous: PassCheck | None = None
        for _ in range(MAX_PASSES):
            tally = PassCheck(newest_first=True)
            for page in self._pages(run, span, tally, seen):
                if previous is None and tally.pages == 1:
                    yield Batch(expected=tally.total)
                yield from self._emit(run, span, page)
                if tally.is_outrun:
                    LOGGER.info("%s: later changes are left to the next run", self.name)
                    return
            if tally.unreadable is not None:
                if (yield from self._read_rest(run, span, tally, seen)):
                    yield _complete(span, reached)
                return
            has_all = tally.has_all_before(run.origin.safe) and tally.broken_off is None
            if has_all or tally.shows_the_same(previous):
                break
            previous = tally
        else:
            if tally.broken_off is not None:
                raise ContractError(f"{self.name}: {tally.broken_off}, {MAX_PASSES} times")
            LOGGER.warning(
                "%s: records kept changing while they were read; the next run continues", self.name
            )
            return
        if tally.pages > 1 or not tally.is_complete:
            yield from self._follow(run, span, tally, seen)
        yield _complete(span, reached)

    def _read_around(
        self, run: StreamRun, span: Span, tally: PassCheck, seen: Seen, counts: PartCounts
    ) -> Generator[Batch, None, bool]:
        """Read the rest of a closed window in which Intercom cannot send a record.

        All records before it have come; a pass from the other end gets all records after it. If
        more than one record is then missing, the window is split around them until each is alone or
        all share a second. Return whether only those are missing.
        """
        other = yield from self._from_other_end(run, span, tally, seen)
        if other.unreadable is None:
            return other.has_all
        missing = _missing_of_both(tally, other)
        low, high = tally.last, other.last
        if missing is None or missing > 1:
            parts = cut(span.window, _edges_around(span.window, low, high, self._unit))
            if len(parts) > 1:
                yield from self._read_parts(run, span, parts, seen, counts)
                return True
            if missing is not None and missing > MAX_UNREADABLE_AT_ONCE:
                raise other.unreadable
        if not (self.searches_by_day and _is_beside(span.window, low, high)):
            self._note_unreadable(run, span.window, missing, other.unreadable)
        return True

    def _read_rest(
        self, run: StreamRun, span: Span, tally: PassCheck, seen: Seen
    ) -> Generator[Batch, None, bool]:
        """Read the rest of the open window in which Intercom cannot send a record.

        Return whether only that record is missing. If not, the window is split once it is closed.
        """
        other = yield from self._from_other_end(run, span, tally, seen)
        missing = _missing_of_both(tally, other)
        if other.unreadable is not None:
            self._note_unreadable(run, span.window, missing, other.unreadable)
            if missing is not None and missing <= 1:
                return True
        LOGGER.warning("%s: %s is left to the next run", self.name, _text(span.window))
        return False

    def _from_other_end(
        self, run: StreamRun, span: Span, tally: PassCheck, seen: Seen
    ) -> Generator[Batch, None, PassCheck]:
        other = PassCheck(newest_first=not tally.newest_first)
        for page in self._pages(run, span, other, seen):
            yield from self._emit(run, span, page)
        return other

    def _follow(self, run: StreamRun, span: Span, tally: PassCheck, seen: Seen) -> Iterator[Batch]:
        """Read what came to the front during a pass, until no owed record is left there.

        A record is owed if it existed when the run began and has not been read. Report a shortfall
        if fewer records came than Intercom counts and no change explains it.
        """
        known = tally.ids
        deadline = time.monotonic() + FOLLOW_SECONDS
        last: PassCheck = tally
        owes_more = True
        while owes_more and time.monotonic() < deadline:
            window = replace(span.window, start=max(last.newest, span.window.start))
            front = TailPass(window.start, known, run.origin.now)
            for page in self._pages(run, replace(span, window=window), front, seen):
                yield from self._emit(run, span, page)
                if front.is_outrun or (front.is_past and front.is_sorted):
                    break
            if last is tally and not tally.is_complete and front.newest <= tally.newest:
                self._report_shortfall(run, span.window, tally)
            owes_more = front.owes_more or front.is_outrun
            known |= front.ids
            last = front
        if owes_more:
            run.unfinished.update(span.streams)
            LOGGER.info("%s: later changes are left to the next run", self.name)

    def _pages(
        self,
        run: StreamRun,
        span: Span,
        tally: PassCheck,
        seen: Seen,
        parts_of: Callable[[int], list[Window]] | None = None,
    ) -> Iterator[_SearchPage]:
        """Yield each page of a window and count its records in the tally.

        A dead cursor ends the pass and is noted in the tally.

        parts_of: returns the windows to read instead, from the count on the first page.
        """
        body = self.query(run, span.window, tally.newest_first)

        params, parse = self.url_params(run), self._parse(run, span)
        reader = PageReader(self, run)
        narrowing = Narrowing(
            run.client,
            self._page_size(run),
            partial(self._any_record, run),
            _spots(run, span.window),
        )
        size = narrowing.size

        def send(position: Position | None) -> Answer:
            after = {} if position is None else {CURSOR: position.value}

            def ask(client: Client, size: int) -> Answer:
                asked = {**body, "pagination": {"per_page": size, **after}}
                return client.post(self.path, asked, params, parse=parse)

            return narrowing.send(ask)

        try:
            for answer in pages_in_turn(send, _step):
                records = self.parse_response(answer)
                tally.add(records, total_count(answer.body))
                if records:
                    run.note_read(self.name)
                parts = parts_of(tally.total) if parts_of and tally.pages == 1 else []
                if len(parts) > 1:
                    yield _SearchPage(parts=parts)
                    return
                kept = self._places(run, span, answer, seen, tally)
                page = reader.read(answer, dict.fromkeys(span.streams, kept))
                yield _SearchPage(count=len(kept), page=page)
                del answer, records, page
            if narrowing.size < size:
                LOGGER.warning(
                    "%s: Intercom cannot send pages of %d; continuing with %d (setting page_size)",
                    *(self.name, size, narrowing.size),
                )
                run.page_sizes[self.name] = narrowing.size
        except UnreadableError as error:
            tally.unreadable = error
        except BrokenOffError as error:
            LOGGER.info("%s: %s; the window is read again", self.name, error)
            tally.broken_off = error
        except ResponseError as error:
            is_wrong = tally.pages == 0 and error.code in CODES_OF_A_WRONG_QUERY
            if is_wrong and self.name in run.settings.search_filters:
                raise ConfigError(
                    f"{error}; check the filter of {self.name} in the setting search_filters"
                ) from error
            raise

    def _any_record(self, run: StreamRun, client: Client, spot: Spot) -> None:
        """Ask for the first record from a spot. Raises UnavailableError if there is none."""
        time = {"field": "updated_at", "operator": spot.operator, "value": spot.instant}
        body = self._body(run.settings, [time], spot.order)
        if not self.parse_response(client.post(self.path, {**body, "pagination": {"per_page": 1}})):
            raise UnavailableError(f"{self.path}: there are no records")

    def query(self, run: StreamRun, window: Window, newest_first: bool = False) -> dict[str, Any]:
        """Return a body that finds all changes in a window, and perhaps more around it (API-E1).

        `>` may or may not include equality (API-K2), so the search starts one second earlier.
        """
        margin = DAY_MARGIN if self.searches_by_day else 0
        start = max(window.start - (margin or 1), 0)
        times: list[dict[str, Any]] = [{"field": "updated_at", "operator": ">", "value": start}]
        if window.end is not None:
            end = window.end + margin
            times.append({"field": "updated_at", "operator": "<", "value": end})
        return self._body(run.settings, times, "descending" if newest_first else "ascending")

    def changes_probe(self, settings: Settings, window: Window) -> Probe:
        """Return a search for one record; its answer counts the records that changed in a window.

        These are the records that `search_filters` leave.
        """
        times: list[dict[str, Any]] = [
            {"field": "updated_at", "operator": ">", "value": window.start}
        ]
        if window.end is not None:
            times.append({"field": "updated_at", "operator": "<", "value": window.end})
        body = self._body(settings, times, "descending")
        return Probe(self.path, body={**body, "pagination": {"per_page": 1}})

    def expected_searches(
        self, settings: Settings, closed: Window | None, names: Collection[str], total: int
    ) -> int:
        """Estimate the requests for `total` records, most of them in a closed window.

        closed: None if all records are in the open window.
        names: the streams that are read.
        """
        size = min(settings.page_size or PAGE_SIZE, PAGE_SIZE)
        if closed is None:
            pages = max(ceil(total / size), 1)
            # A closed window before it, and another look at the front of a long one.
            return pages + (not self.searches_by_day) + (pages > 1)
        parts = self._parts(Span(closed, frozenset(names)), False, total)
        if len(parts) == 1:
            return max(ceil(total / size), 1) + 1
        assert closed.end is not None
        margins = 2 * DAY_MARGIN * len(parts) if self.searches_by_day else 0
        repeated = total * margins / (closed.end - closed.start)
        # The last page of each part is short, and the first page of the whole is not used.
        return ceil((total + repeated) / size) + len(parts) + 2

    def _body(self, settings: Settings, times: list[dict[str, Any]], order: str) -> dict[str, Any]:
        """Return a search with these filters and those of the settings, in order of change."""
        query: dict[str, Any] = {"operator": "AND", "value": times}
        theirs = settings.search_filters.get(self.name)
        if theirs is not None:
            is_group = theirs["operator"] in ("AND", "OR")
            group = theirs if is_group else {"operator": "AND", "value": [theirs]}
            query = {"operator": "AND", "value": [query, group]}
        return {"query": query, "sort": {"field": "updated_at", "order": order}}

    def url_params(self, run: StreamRun) -> dict[str, Any]:
        """Return the query parameters of a search."""
        return {}

    def _parse(self, run: StreamRun, span: Span) -> Parse:
        """Return the parser for pages: the table's own, or the generic one.

        The generic parser is needed if other tables use the records, or if the stream changes more
        in them than nested fields.
        """
        others = (each.name for each in (*self.embedded, *self.files))
        is_alone = span.streams.isdisjoint(others)
        prepares_more = type(self).post_process is not Stream.post_process
        if self.name in span.streams and is_alone and not prepares_more:
            return run.selections[self.name].parser.parse
        return parse

    @property
    def _unit(self) -> int:
        return DAY_SECONDS if self.searches_by_day else 1

    def _page_size(self, run: StreamRun) -> int:
        largest = run.page_sizes.get(self.name, PAGE_SIZE)
        return min(run.settings.page_size or PAGE_SIZE, largest)

    def _parts_by_count(self, span: Span, counts: PartCounts | None, total: int) -> list[Window]:
        """Return the parts of a window in which Intercom counts `total` records."""
        if counts is not None:
            counts.add(total)
            if counts.are_too_many:
                return [span.window]
        return self._parts(span, counts is not None, total)

    def _parts(self, span: Span, is_part: bool, total: int) -> list[Window]:
        """Return the parts of a window of `total` records, to be read concurrently."""
        most, limit = MAX_PARTS, RECORDS_IN_WINDOW
        if self.has_children(span.streams):
            limit = RECORDS_WITH_CHILDREN_IN_WINDOW
        if self.searches_by_day:
            # Wide windows even with children: margins cost searches, and checkpoints save progress.
            limit = RECORDS_IN_WINDOW_OF_DAYS
            assert span.window.end is not None
            length = span.window.end - span.window.start
            # Other parts are already read concurrently: more would cost memory and margins.
            most = 1 if is_part else _most_windows_of_days(length, total)
        if total <= limit:
            return [span.window]
        return split(span.window, min(ceil(total / (limit * 2 / 3)), most), self._unit)

    def _places(
        self, run: StreamRun, span: Span, answer: Answer, seen: Seen, tally: PassCheck
    ) -> Sequence[int]:
        """Return the indexes of the records that belong to the window and did not come before."""
        records = self.parse_response(answer)
        kept: Sequence[int] = [
            at
            for at, instant in enumerate(times_of_change(records))
            if self._belongs(run, span.window, instant) and not tally.repeats(records[at])
        ]
        if self.has_children(span.streams):
            # A child costs a request: skip records that came before and did not change.
            kept = seen.unseen(records, kept, begins_pass=tally.pages == 1)
        return kept

    def _emit(self, run: StreamRun, span: Span, page: _SearchPage) -> Iterator[Batch]:
        """Yield the batches of a page, including those that need more requests."""
        passed = 0
        is_last = not self.has_children(span.streams)
        for batch in PageReader(self, run).emit(page.page):
            # Without children there is one batch.
            batch = replace(batch, passed=page.count) if is_last else batch
            passed += batch.passed
            yield batch
        if passed < page.count:
            yield Batch(passed=page.count - passed)

    def _belongs(self, run: StreamRun, window: Window, instant: int | None) -> bool:
        """Whether a record belongs to this window.

        A record before the window, or after it but within the margin, belongs to a neighbour and
        existed when that one was read. A still newer record comes from a search index that is
        behind its records, and belongs here. Nothing belongs here after the end of the run's
        period.
        """
        if instant is None or window.holds(instant):
            return True
        end = run.origin.end
        if instant < window.start or window.end is None or (end is not None and instant >= end):
            return False
        return not self.searches_by_day or instant >= window.end + DAY_MARGIN

    def _note_unreadable(
        self, run: StreamRun, window: Window, missing: int | None, error: UnreadableError
    ) -> None:
        count = max(missing or 1, 1)
        run.note_unreadable(self.name, f"{count} in {_text(window)}", count, error)

    def _report_shortfall(self, run: StreamRun, window: Window, tally: PassCheck) -> None:
        missing = tally.total - tally.distinct
        if missing <= 0:
            return
        text = f"{missing} of {tally.total} that Intercom counts in {_text(window)}"
        run.note_shortfall(self.name, "records that search counts did not come", text, missing)


def _step(answer: Answer, position: Position | None) -> Step:
    """Return what a page of a search says about the next page."""
    step = PAGING.step(answer.body, position)
    if step.following is not None and step.following.parameter != CURSOR:
        raise ContractError(f"pages.next has no {CURSOR}, so there may be more pages")
    return step


def _most_windows_of_days(length: int, total: int) -> int:
    """Return the number of windows for a period of `length` seconds with `total` records.

    Use wide windows if there are enough to read concurrently, otherwise shorter ones. Split a
    period about as long as one wide window only if it is crowded.
    """
    if length // WINDOW_OF_DAYS >= WINDOWS_AT_ONCE:
        return length // WINDOW_OF_DAYS
    if length >= 2 * WINDOW_OF_DAYS or total > CROWDED_WINDOW_OF_DAYS:
        return min(length // SHORTEST_WINDOW_OF_DAYS, WINDOWS_AT_ONCE)
    return 1


def _spots(run: StreamRun, window: Window) -> list[Spot]:
    """Return spots at both ends of a table, where the unreadable record may be, and in between."""
    end = run.origin.now if window.end is None else window.end
    between = [end - (end - window.start) // 2**power for power in range(1, MAX_SPOTS)]
    ends = [Spot(">", 0, "descending"), Spot(">", 0, "ascending")]
    return [*ends, *(Spot("<", instant, "descending") for instant in between)]


def _missing_of_both(tally: PassCheck, other: PassCheck) -> int | None:
    """Return how many records neither pass returned, or None if Intercom does not count them."""
    counted = [each for each in (tally, other) if each.pages]
    if not counted or not all(each.is_counted for each in counted):
        return None
    return max(each.total for each in counted) - len(tally.ids | other.ids)


def _edges_around(window: Window, low: int | None, high: int | None, unit: int) -> list[int]:
    """Return where to cut a window to isolate the range `low` to `high` and halve it."""
    assert window.end is not None
    first = window.start if low is None else low
    last = window.end if high is None else high + 1
    middle = (max(first, window.start) + min(last, window.end)) // 2
    return [first - first % unit, middle - middle % unit, last + -last % unit]


def _is_beside(window: Window, low: int | None, high: int | None) -> bool:
    """Whether the range `low` to `high` is in a neighbouring window, which reports it."""
    assert window.end is not None
    return (high is not None and high < window.start) or (low is not None and low >= window.end)


def _complete(span: Span, reached: int) -> Batch:
    return Batch(reached=dict.fromkeys(span.streams, reached))


def _text(window: Window) -> str:
    end = "now" if window.end is None else rfc3339(window.end)
    return f"{rfc3339(window.start)} to {end}"
