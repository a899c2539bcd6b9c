"""What comes with the records of a table: rows inside them, and rows requested for each.

A parent is read together with its embedded and child streams, so no list is read twice. Each of
these streams keeps its own bookmark, in terms of when its parents changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from typing import Any, ClassVar, NamedTuple

from tap_intercom.errors import ResponseError, TapError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.intercom.pages import WHOLE, Paging, read_pages
from tap_intercom.reading.nested import Found, NestedList
from tap_intercom.reading.passes import read_until_whole
from tap_intercom.reading.stream import Stream
from tap_intercom.reading.stream_run import MAX_OTHERS, Batch, Record, StreamRun
from tap_intercom.reading.unreadable import (
    FAILURES,
    FIRST_PATIENCE_SECONDS,
    UnreadableError,
    may_be_of_one_record,
    read_again,
)

Places = Mapping[str, Sequence[int]]
"""The indexes of the records of an answer that each stream wants."""


class Parent(NamedTuple):
    """The fields of a record that its child rows repeat."""

    id: Any
    updated_at: Any


class Case(NamedTuple):
    """A nested list of a record with missing entries."""

    record_id: str
    nested: NestedList
    found: Found

    def report(self, run: StreamRun, name: str) -> None:
        """Report the case for a stream that shows the list. Raises ContractError with strict."""
        missing = self.found.missing
        kind, is_cap = self.nested.shortfall(self.found)
        total = len(self.found.readable) + missing
        text = f"{self.record_id} ({missing} of {total} missing)"
        run.note_shortfall(name, kind, text, missing, is_cap=is_cap)


Cases = Mapping[str, Sequence[Case]]


class Cut(NamedTuple):
    """An incomplete nested list: the index of its record in an answer, and the list's name."""

    at: int
    name: str


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


class ParentStream(Stream):
    """A table with embedded or child streams.

    embedded: streams whose rows are inside the records of this one.
    children: streams that cost a request for each record.
    lists: the nested lists that columns and embedded streams are made of.
    """

    embedded: ClassVar[Sequence[EmbeddedStream]] = ()
    children: ClassVar[Sequence[ChildStream]] = ()
    lists: ClassVar[Sequence[NestedList]] = ()

    @classmethod
    def dependents(cls) -> Sequence[Stream]:
        return *cls.embedded, *cls.children

    def has_children(self, names: Collection[str]) -> bool:
        """Whether any of these streams costs a request for each record of this one."""
        return any(child.is_among(names) for child in self.children)

    def places(self, run: StreamRun, records: Sequence[Record]) -> Places:
        """Return the records that each stream's plan wants, for a table without its own filter."""
        instants = [self.instant(record) for record in records]
        found: dict[str, Sequence[int]] = {}
        for stream in self.with_children():
            name = stream.name
            if name in run.selections:
                is_free = isinstance(stream, ChildStream) and not stream.follows_parent
                found[name] = [
                    at for at, instant in enumerate(instants) if is_free or run.wants(name, instant)
                ]
        return found

    def read_page(self, run: StreamRun, answer: Answer, places: Places) -> RenderedPage:
        """Make the lines of an answer, unless nested lists must be read first."""
        records = self.parse_response(answer)
        cut = self.cut_lists(run, records, places)
        if any(self._is_to_be_read(each, records) for each in cut):
            return RenderedPage(answer=answer, places=places, cut=cut)
        return self._made(run, answer, places, dict.fromkeys(cut))

    def emit(self, run: StreamRun, page: RenderedPage) -> Iterator[Batch]:
        """Yield the batches of a page: first its own lines, then those of the children.

        A parent counts as passed with its rows of the last child.
        """
        page = self.with_lists(run, page)
        yield page.batch
        yield from self.emit_children(run, page.parents)

    def with_lists(self, run: StreamRun, page: RenderedPage) -> RenderedPage:
        """Return the page with its lines, after reading the nested lists that they need."""
        if page.answer is None:
            return page
        lists = self._read_lists(run, page.answer, page.cut)
        return self._made(run, page.answer, page.places, lists)

    def emit_children(
        self, run: StreamRun, parents: Mapping[str, Sequence[Parent]]
    ) -> Iterator[Batch]:
        """Yield the rows of all children of these parents."""
        read = [
            child
            for child in self.children
            if parents.get(child.name)
            or (child.name in parents and run.given_up.keys() >= {*child.names(run)})
        ]
        for child in read:
            for batch in self._emit_child(run, child, parents[child.name]):
                yield batch if child is read[-1] else replace(batch, passed=0)

    def complete(self, run: StreamRun) -> Batch:
        """Return a batch that completes all streams that the run may bookmark."""
        return Batch(reached=dict.fromkeys(run.plans, run.origin.limit))

    # Nested lists

    def cut_lists(self, run: StreamRun, records: Sequence[Record], places: Places) -> Sequence[Cut]:
        """Return the wanted lists that are incomplete or not where they are expected."""
        found = []
        for nested in self.lists:
            users = self._users(run, nested, places)
            # One user is the usual case and needs no sets.
            wanted = places[users[0]] if len(users) == 1 else _union(places[user] for user in users)
            found += [Cut(at, nested.name) for at in nested.cut(records, wanted)]
        return found

    def _users(self, run: StreamRun, nested: NestedList, names: Collection[str]) -> list[str]:
        """Return which of these streams show a nested list."""
        users = [each.name for each in self.embedded if each.nested_list is nested]
        if run.shows(self.name, nested.column):
            users.append(self.name)
        return [name for name in users if name in names]

    def _list(self, name: str) -> NestedList:
        return next(each for each in self.lists if each.name == name)

    def _is_to_be_read(self, cut: Cut, records: Sequence[Record]) -> bool:
        """Whether an endpoint may have more of a list than its record."""
        nested = self._list(cut.name)
        found = nested.read(records[cut.at])
        is_full = nested.limit is not None and len(found.entries) >= nested.limit
        return nested.whole is not None and found.missing > 0 and not is_full

    def _read_lists(
        self, run: StreamRun, answer: Answer, cut: Sequence[Cut]
    ) -> dict[Cut, Found | None]:
        """Return the content of each cut list, read from an endpoint if that has more."""
        records = self.parse_response(answer)
        wanted = [each for each in cut if self._is_to_be_read(each, records)]

        def read(each: Cut) -> Found:
            try:
                return self._read_list(run, each, records)
            except Exception as error:
                return self._unread(run, self._list(each.name), records[each.at], error)

        found: dict[Cut, Found | None] = dict.fromkeys(cut)
        found.update(zip(wanted, run.ahead.map(read, wanted), strict=True))
        return found

    def _read_list(self, run: StreamRun, cut: Cut, records: Sequence[Record]) -> Found:
        """Return the whole list, or the part in the record if the rest cannot be read.

        The record may be deleted meanwhile, or Intercom cannot send this list while it sends
        others.
        """
        nested, record = self._list(cut.name), records[cut.at]
        assert nested.whole is not None
        whole, record_id = nested.whole, str(record.get("id"))
        known = Found(nested.read(record).entries, 0)

        def read(client: Client, record: Record) -> Found:
            return whole.read(replace(run, client=client), nested, record)

        try:
            found = read(run.client.hasty(FIRST_PATIENCE_SECONDS), record)
        except FAILURES as error:
            if isinstance(error, ResponseError) and error.is_gone:
                run.note_gone(self.name, True, record_id)
                return known
            if not may_be_of_one_record(error):
                raise
            others = [each for each in records if each is not record][:MAX_OTHERS]
            try:
                found = read_again(read, run.client, record, others, error)
            except UnreadableError:
                run.note_unreadable(self.name, f"{cut.name} of {record_id}", 1, error)
                return known
        run.note_gone(self.name, False, record_id)
        return found

    def _unread(
        self, run: StreamRun, nested: NestedList, record: Record, error: Exception
    ) -> Found:
        """Give up the streams that show an unreadable list."""
        give_up(run, self._users(run, nested, run.selections), error)
        return Found(nested.read(record).entries, 0)

    def _cases(
        self,
        run: StreamRun,
        records: Sequence[Record],
        places: Places,
        lists: Mapping[Cut, Found | None],
    ) -> Cases:
        """Return the cut lists with missing entries, by the streams that show them."""
        cases: dict[str, list[Case]] = {}
        for (at, name), found in lists.items():
            nested = self._list(name)
            case = Case(
                str(records[at].get(self.id_field)), nested, found or nested.read(records[at])
            )
            for user in self._users(run, nested, places):
                if case.found.missing and at in places[user]:
                    cases.setdefault(user, []).append(case)
        return cases

    # Lines

    def _made(
        self,
        run: StreamRun,
        answer: Answer,
        places: Places,
        lists: Mapping[Cut, Found | None],
    ) -> RenderedPage:
        """Return the lines of an answer, with the content found for its cut lists."""

        def wanted(answer: Answer, name: str) -> list[Record]:
            records = self.parse_response(answer)
            for (at, field_name), found in lists.items():
                self._list(field_name).put(records[at], found)
            return [records[at] for at in places[name]]

        records = self.parse_response(answer)
        cases = self._cases(run, records, places, lists) if lists else {}
        parents = self.parents(run, records, places) if self.children else {}
        return RenderedPage(self.render(run, answer, wanted, places, cases), parents)

    def render(
        self,
        run: StreamRun,
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
            return [self.post_process(record) for record in wanted(answer, self.name)]

        # Make rows first, since `post_process` changes a record.
        tables: list[tuple[str, Callable[[Answer], list[Record]]]] = [
            (stream.name, partial(rows, stream)) for stream in self.embedded
        ]
        batches: dict[str, Batch] = {}
        for name, make in [*tables, (self.name, own)]:
            if name not in names:
                continue
            # Each page that omits rows says so, so it never counts as complete.
            batches[name] = Batch(failed=frozenset([name]))
            if name in run.given_up:
                continue
            try:
                for case in cases.get(name, ()):
                    case.report(run, name)
                batches[name] = run.render(name, answer, make)
            except Exception as error:
                give_up(run, [name], error)
        return joined([batches[name] for name in (self.name, *dict(tables)) if name in batches])

    def parents(
        self, run: StreamRun, records: Sequence[Record], places: Places
    ) -> dict[str, list[Parent]]:
        """Return the parents to read each child for: those that it or its own children want."""
        found: dict[str, list[Parent]] = {}
        for child in self.children:
            wanted = {at for each in child.with_children() for at in places.get(each.name, ())}
            if wanted or child.is_among(places):
                try:
                    found[child.name] = [
                        Parent(records[at].get("id"), records[at].get(self.instant_field))
                        for at in sorted(wanted)
                        if child.may_have_any(records[at])
                    ]
                except Exception as error:
                    found[child.name] = []
                    give_up(run, child.names(run), error)
        return found

    def _emit_child(
        self, run: StreamRun, child: ChildStream, parents: Sequence[Parent]
    ) -> Iterator[Batch]:
        """Yield the rows of a child for each parent, in order; if they fail, other streams go on.

        Pages are read concurrently, so a later one may fail first. Each page without its child rows
        says so, before anything of it counts as complete.
        """
        names = child.names(run)
        run.parents[child.name] = parents
        if not run.given_up.keys() >= {*names}:
            try:
                pieces = chunks(parents, child.parents_at_once)
                reads = run.ahead.map_each(partial(child.read, run), pieces)
                for piece, batches in zip(pieces, reads, strict=True):
                    last: Batch | None = None
                    for batch in batches:
                        if last is not None:
                            yield last
                        last = batch
                    yield replace(last or Batch(), passed=len(piece))
                return
            except Exception as error:
                give_up(run, names, error)
        yield Batch(failed=frozenset(names))


class EmbeddedStream(Stream):
    """A table whose rows are inside the records of its parent, so it costs no request.

    from_parent: the fields of the parent that each row repeats, by column.
    nested_list: the list in the parent's record that holds the rows.
    select: the fields of a row to take, by column; all of them if empty.
    """

    path = ""
    request_cost = "0, read with its parent"
    from_parent: ClassVar[Mapping[str, str]]
    nested_list: ClassVar[NestedList]
    select: ClassVar[Mapping[str, str]] = {}

    def child_records(self, parent: Record) -> list[Record]:
        """Return the rows inside a parent's record, with the fields that they repeat from it."""
        repeated = {column: parent.get(name) for column, name in self.from_parent.items()}
        entries = self.nested_list.rows(parent)
        return [columns_of(entry, self.select) | repeated for entry in entries]

    def count(self, answer: Answer) -> int | None:
        """Return None: the probe belongs to the parent."""
        return None


class ChildStream(ParentStream):
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

    def is_among(self, names: Collection[str]) -> bool:
        """Whether this table, or one that comes with it, is among these streams."""
        return any(stream.name in names for stream in self.with_children())

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

        cases = self.cases(run, parent, answer, names, kept)
        return self.render(run, answer, rows, names, cases)

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
        cut = self.cut_lists(run, records, places)
        return self._cases(run, records, places, dict.fromkeys(cut))

    def child_records(self, run: StreamRun, parent: Parent, answer: Answer) -> list[Record]:
        """Return the records of an answer with the columns of their parent."""
        repeated = {column: getattr(parent, name) for column, name in self.from_parent.items()}
        found = self.parse_response(answer)
        if self.select:
            return [columns_of(record, self.select) | repeated for record in found]
        for record in found:
            record.update(repeated)
        return found

    def count(self, answer: Answer) -> int | None:
        """Return None: the probe belongs to the parent."""
        return None

    def url_params(self, run: StreamRun, parent: Parent) -> Mapping[str, Any]:
        """Return the query parameters, without those for the page."""
        return self.params


def give_up(run: StreamRun, names: Sequence[str], error: Exception) -> None:
    """Stop reading these streams. Raises the error if no other stream is left to read."""
    for name in names:
        run.given_up.setdefault(name, error)
    if run.given_up.keys() >= run.selections.keys():
        raise error


def _union(places: Iterable[Sequence[int]]) -> list[int]:
    return sorted({at for each in places for at in each})


def columns_of(entry: Record, columns: Mapping[str, str]) -> Record:
    """Return the fields of an entry by column name, or all fields if there are no columns."""
    if not columns:
        return dict(entry)
    return {column: entry.get(name) for column, name in columns.items()}


def joined(batches: Sequence[Batch]) -> Batch:
    """Join several batches into one."""
    if len(batches) == 1:
        return batches[0]
    counts: Counter[str] = Counter()
    for batch in batches:
        counts.update(batch.counts)
    failed = frozenset[str]().union(*(batch.failed for batch in batches))
    return Batch(b"".join(batch.lines for batch in batches), counts, failed=failed)


def chunks(parents: Sequence[Parent], size: int) -> list[Sequence[Parent]]:
    """Cut a sequence into pieces of at most `size`."""
    return [parents[start : start + size] for start in range(0, len(parents), size)]
