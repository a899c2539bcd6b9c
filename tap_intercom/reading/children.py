"""What comes with the records of a table: rows inside them, and rows requested for each.

A parent is read together with its embedded and child streams, so no list is read twice. Each of
these streams keeps its own bookmark, in terms of when its parents changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, compress
from typing import Any, ClassVar, NamedTuple, cast

from tap_intercom.errors import ResponseError, TapError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.intercom.pages import WHOLE, Paging, read_pages
from tap_intercom.reading.files import FileStream, keep_files
from tap_intercom.reading.nested import Found
from tap_intercom.reading.nested_reader import Cases, Cut, NestedReader, Places
from tap_intercom.reading.passes import read_until_whole
from tap_intercom.reading.stream import EmbeddedStream, Stream, columns_of
from tap_intercom.reading.stream_run import Batch, Record, StreamRun
from tap_intercom.reading.unreadable import (
    FAILURES,
    FIRST_PATIENCE_SECONDS,
    UnreadableError,
    may_be_of_one_record,
    read_again,
)

# Finding it costs less than a look at each record. A quote inside a text has a backslash before it.
KEY_OF_A_FILE = b'"filesize"'


class Parent(NamedTuple):
    """The fields of a record that its child rows repeat."""

    id: Any
    updated_at: Any


@dataclass(frozen=True)
class RenderedPage:
    """The result of reading a page: its lines, and the parents to read each child for.

    If nested lists must be read first, there are no lines yet; answer, places and cut are the input
    for them.
    """

    batch: Batch = field(default_factory=Batch)
    parents: Mapping[str, Sequence[Parent]] = field(default_factory=dict)
    answer: Answer | None = None
    places: Places = field(default_factory=dict)
    cut: Sequence[Cut] = ()

    @property
    def size(self) -> int:
        unmade = 0 if self.answer is None else len(self.answer.content)
        return self.batch.size + unmade + sum(100 * len(each) for each in self.parents.values())


class PageReader:
    """Reads the pages of a table, with the rows inside its records and those of its children."""

    def __init__(self, stream: Stream, run: StreamRun) -> None:
        self._stream = stream
        self._run = run
        self._nested = NestedReader(stream, run)
        self.children = cast("Sequence[ChildStream]", stream.children)
        self._files = cast("Sequence[FileStream]", stream.files)

    def places(self, records: Sequence[Record]) -> Places:
        """Return the records that each stream's plan wants, for a table without its own filter."""
        instants = [self._stream.instant(record) for record in records]
        found: dict[str, Sequence[int]] = {}
        for stream in self._stream.with_children():
            name = stream.name
            if name in self._run.selections:
                is_free = isinstance(stream, ChildStream) and not stream.follows_parent
                found[name] = [
                    at
                    for at, instant in enumerate(instants)
                    if is_free or self._run.wants(name, instant)
                ]
        return found

    def read(self, answer: Answer, places: Places) -> RenderedPage:
        """Make the lines of an answer, unless nested lists must be read first."""
        records = self._stream.parse_response(answer)
        cut = self._nested.cut(records, places)
        if any(self._nested.has_more(each, records) for each in cut):
            return RenderedPage(answer=answer, places=places, cut=cut)
        return self._made(answer, places, dict.fromkeys(cut))

    def emit(self, page: RenderedPage) -> Iterator[Batch]:
        """Yield the batches of a page: first its own lines, then those of the children.

        A parent counts as passed with its rows of the last child.
        """
        page = self.with_lists(page)
        yield page.batch
        yield from self.emit_children(page.parents)

    def with_lists(self, page: RenderedPage) -> RenderedPage:
        """Return the page with its lines, after reading the nested lists that they need."""
        if page.answer is None:
            return page
        lists = self._nested.read(page.answer, page.cut)
        return self._made(page.answer, page.places, lists)

    def emit_children(self, parents: Mapping[str, Sequence[Parent]]) -> Iterator[Batch]:
        """Yield the rows of all children of these parents."""
        read = [
            child
            for child in self.children
            if parents.get(child.name)
            or (child.name in parents and self._run.given_up.keys() >= {*child.names(self._run)})
        ]
        for child in read:
            for batch in self._emit_child(child, parents[child.name]):
                yield batch if child is read[-1] else replace(batch, passed=0)

    def _made(
        self,
        answer: Answer,
        places: Places,
        lists: Mapping[Cut, Found | None],
    ) -> RenderedPage:
        """Return the lines of an answer, with the content found for its cut lists."""

        def wanted(answer: Answer, name: str) -> list[Record]:
            records = self._stream.parse_response(answer)
            self._nested.put(records, lists)
            return [records[at] for at in places[name]]

        records = self._stream.parse_response(answer)
        cases = self._nested.cases(records, places, lists) if lists else {}
        parents = self._parents(records, places) if self.children else {}
        # First, since rendering changes records.
        files = [
            keep_files(self._run, each, wanted(answer, each.name), cases=cases.get(each.name, ()))
            for each in self._files
            if each.name in places
        ]
        rendered = self.render(answer, wanted, places, cases)
        return RenderedPage(joined([rendered, *files]), parents)

    def render(
        self,
        answer: Answer,
        wanted: Callable[[Answer, str], list[Record]],
        names: Collection[str],
        cases: Cases,
    ) -> Batch:
        """Return the lines of the wanted records of an answer, and of the rows inside them.

        Tables are independent: one that fails is given up, and the others go on.

        cases: the cut lists to report, by stream.
        """

        def rows(stream: EmbeddedStream, answer: Answer) -> list[Record]:
            return [
                row
                for record in wanted(answer, stream.name)
                for row in stream.child_records(record)
            ]

        def own(answer: Answer) -> list[Record]:
            return [
                self._stream.post_process(record) for record in wanted(answer, self._stream.name)
            ]

        if self._run.keeper is None and self._stream.counts_addresses(names):
            self._run.shared.note_addresses(answer.content.count(KEY_OF_A_FILE))
        # Make rows first, since `post_process` changes a record.
        tables: list[tuple[str, Callable[[Answer], list[Record]]]] = [
            (stream.name, partial(rows, stream)) for stream in self._stream.embedded
        ]
        batches: dict[str, Batch] = {}
        for name, make in [*tables, (self._stream.name, own)]:
            if name not in names:
                continue
            # Each page that omits rows says so, so it never counts as complete.
            batches[name] = Batch(failed=frozenset([name]))
            if name in self._run.given_up:
                continue
            try:
                for case in cases.get(name, ()):
                    case.report(self._run, name)
                batches[name] = self._run.render(name, answer, make)
            except Exception as error:
                self._run.give_up([name], error)
        return joined(
            [batches[name] for name in (self._stream.name, *dict(tables)) if name in batches]
        )

    def _parents(self, records: Sequence[Record], places: Places) -> dict[str, list[Parent]]:
        """Return the parents to read each child for: those that it or its own children want."""
        found: dict[str, list[Parent]] = {}
        for child in self.children:
            wanted = {at for each in child.with_children() for at in places.get(each.name, ())}
            if wanted or child.is_among(places):
                try:
                    found[child.name] = [
                        Parent(records[at].get("id"), records[at].get(self._stream.instant_field))
                        for at in sorted(wanted)
                        if child.may_have_any(records[at])
                    ]
                except Exception as error:
                    found[child.name] = []
                    self._run.give_up(child.names(self._run), error)
        return found

    def _emit_child(self, child: ChildStream, parents: Sequence[Parent]) -> Iterator[Batch]:
        """Yield the rows of a child for each parent, in order; if they fail, other streams go on.

        Pages are read concurrently, so a later one may fail first. Each page without its child rows
        says so, before anything of it counts as complete.
        """
        names = child.names(self._run)
        self._run.parents[child.name] = parents
        if not self._run.given_up.keys() >= {*names}:
            try:
                pieces = chunks(parents, child.parents_at_once)
                reads = self._run.ahead.map_each(partial(child.read, self._run), pieces)
                for piece, batches in zip(pieces, reads, strict=True):
                    last: Batch | None = None
                    for batch in batches:
                        if last is not None:
                            yield last
                        last = batch
                    yield replace(last or Batch(), passed=len(piece))
                return
            except Exception as error:
                self._run.give_up(names, error)
        yield Batch(failed=frozenset(names))


class ChildStream(Stream):
    """A table whose rows cost a request for each record of its parent.

    It is complete up to where the parent's windows were read for it, whether or not the parent
    itself is selected.

    path: contains `{id}` of the parent.
    params: the query parameters.
    from_parent: the fields of `Parent` that each row repeats, by column.
    select: the fields of a row to take, by column; all of them if empty.
    parents_at_once: how many parents one request may ask for.
    follows_parent: whether the parent changes when its rows do; if not, all parents are asked.
    may_be_absent: whether a 404 says that a parent has no rows, not that the parent is gone.
    """

    params: ClassVar[Mapping[str, Any]] = {}
    from_parent: ClassVar[Mapping[str, str]]
    select: ClassVar[Mapping[str, str]] = {}
    paging: ClassVar[Paging] = WHOLE
    parents_at_once: ClassVar[int] = 1
    follows_parent: ClassVar[bool] = True
    may_be_absent: ClassVar[bool] = False

    def names(self, run: StreamRun) -> list[str]:
        """Return the selected streams that are read with this one, including itself."""
        return [stream.name for stream in self.with_children() if stream.name in run.selections]

    def may_have_any(self, parent: Record) -> bool:
        """Whether a parent is worth a request."""
        return True

    def read(self, run: StreamRun, parents: Sequence[Parent]) -> Iterator[Batch]:
        """Yield the rows of parents, page by page.

        Skip parents that no longer exist (API-J9), or that cannot be read while others can.
        """
        client = run.client
        try:
            yield from self.read_rows(client.hasty(FIRST_PATIENCE_SECONDS), run, parents)
        except FAILURES as error:
            if not may_be_of_one_record(error):
                raise
            if len(parents) > 1:
                # The failure of one parent says nothing about the others.
                for parent in parents:
                    yield from self.read(run, [parent])
            else:
                yield self._skip(run, parents[0], error)
            return
        for parent in parents:
            run.note_read(self.name, parent)

    def _skip(self, run: StreamRun, parent: Parent, error: TapError) -> Batch:
        """Skip a parent that no longer exists, or that cannot be read while others can."""
        if isinstance(error, ResponseError) and error.is_gone:
            if not self.may_be_absent:
                run.note_gone(self.name, True, str(parent.id))
            return Batch()

        def read(client: Client, parent: Parent) -> Batch:
            return joined(list(self.read_rows(client, run, [parent])))

        others = run.others_than(self.name, parent)
        try:
            return read_again(read, run.client, parent, others, error)
        except UnreadableError:
            run.note_unreadable(self.name, str(parent.id), 1, error)
            return Batch()

    def read_rows(
        self, client: Client, run: StreamRun, parents: Sequence[Parent]
    ) -> Iterator[Batch]:
        """Yield the rows of as many parents as one request may ask for, page by page."""
        (parent,) = parents
        yield from self.pages(replace(run, client=client), parent)

    def pages(self, run: StreamRun, parent: Parent) -> Iterator[Batch]:
        """Yield the rows of a parent, one batch for each page."""
        path, params = self.path.format(id=parent.id), self.url_params(run, parent)
        if self.paging is WHOLE:
            for answer in read_pages(run.client.get, path, WHOLE, params):
                yield self.read_answer(run, parent, answer)
            return
        for answer, tally in read_until_whole(run, self, run.client.get, path, self.paging, params):
            yield self.read_answer(run, parent, answer, tally.is_new)

    def read_answer(
        self,
        run: StreamRun,
        parent: Parent,
        answer: Answer,
        is_new: Callable[[Record], bool] | None = None,
    ) -> Batch:
        """Return the lines of an answer's records, or of its new ones, with the parent's fields."""
        names = [each.name for each in (self, *self.embedded) if each.name in run.selections]
        kept = (
            None if is_new is None else [is_new(record) for record in self.parse_response(answer)]
        )

        def rows(answer: Answer, name: str) -> list[Record]:
            found = self.child_records(run, parent, answer)
            return found if kept is None else list(compress(found, kept))

        holders = [
            each for each in cast("Sequence[FileStream]", self.files) if each.name in run.selections
        ]
        users = [*names, *(each.name for each in holders)]
        cases = self.cases(run, parent, answer, users, kept)
        # First, since rendering changes records.
        files = [
            keep_files(run, each, self.holders_of_files(answer), parent, cases.get(each.name, ()))
            for each in holders
        ]
        return joined([PageReader(self, run).render(answer, rows, names, cases), *files])

    def cases(
        self,
        run: StreamRun,
        parent: Parent,
        answer: Answer,
        names: Sequence[str],
        kept: Sequence[bool] | None,
    ) -> Cases:
        """Return the nested lists with missing entries in an answer, by the streams that show them.

        kept: which records to look at; None for all.
        """
        if not self.lists:
            return {}
        records = self.parse_response(answer)
        every = range(len(records))
        places = dict.fromkeys(names, every if kept is None else list(compress(every, kept)))
        nested = NestedReader(self, run)
        return nested.cases(records, places, dict.fromkeys(nested.cut(records, places)))

    def child_records(self, run: StreamRun, parent: Parent, answer: Answer) -> list[Record]:
        """Return the records of an answer with the columns of their parent."""
        repeated = {column: getattr(parent, name) for column, name in self.from_parent.items()}
        found = self.parse_response(answer)
        if self.select:
            return [columns_of(record, self.select) | repeated for record in found]
        for record in found:
            record.update(repeated)
        return found

    def holders_of_files(self, answer: Answer) -> list[Record]:
        """Return the records of an answer that hold files."""
        return self.parse_response(answer)

    def count(self, answer: Answer) -> int | None:
        """Return None: the probe belongs to the parent."""
        return None

    def url_params(self, run: StreamRun, parent: Parent) -> Mapping[str, Any]:
        """Return the query parameters, without those for the page."""
        return self.params


def joined(batches: Sequence[Batch]) -> Batch:
    """Join several batches into one."""
    if len(batches) == 1:
        return batches[0]
    counts: Counter[str] = Counter()
    for batch in batches:
        counts.update(batch.counts)
    failed = frozenset[str]().union(*(batch.failed for batch in batches))
    files = tuple(chain.from_iterable(batch.files for batch in batches))
    return Batch(b"".join(batch.lines for batch in batches), counts, failed=failed, files=files)


def chunks(parents: Sequence[Parent], size: int) -> list[Sequence[Parent]]:
    """Cut a sequence into pieces of at most `size`."""
    return [parents[start : start + size] for start in range(0, len(parents), size)]
