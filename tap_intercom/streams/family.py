"""What comes with the records of a table: rows that stand inside them, and rows read for each.

A parent and all that comes with it are read together, so that no list is read twice. Each keeps a
bookmark of its own, in terms of when its parents changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from typing import Any, ClassVar, NamedTuple

from tap_intercom.client import Answer, Client
from tap_intercom.errors import ResponseError, TapError
from tap_intercom.pages import WHOLE, Paging, read_pages
from tap_intercom.streams.base import Batch, Reading, Record, Stream
from tap_intercom.streams.passes import read_until_whole
from tap_intercom.streams.unreadable import (
    FAILURES,
    FIRST_PATIENCE_SECONDS,
    UnreadableError,
    may_be_of_one_record,
    read_again,
)

Places = Mapping[str, Sequence[int]]
"""Which records of an answer each stream wants, by the places that they have in it."""


class Parent(NamedTuple):
    """As much of a record as the rows that come with it carry."""

    id: Any
    updated_at: Any


@dataclass(frozen=True)
class Page:
    """What a page comes to: its lines, and the parents that each child is to be read for."""

    batch: Batch
    parents: Mapping[str, Sequence[Parent]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.batch.size + sum(100 * len(each) for each in self.parents.values())


class ParentStream(Stream):
    """A table with others that come with it.

    derived: tables whose rows stand inside this one's records. children: tables that cost a request
    for each.
    """

    derived: ClassVar[Sequence[DerivedStream]] = ()
    children: ClassVar[Sequence[ChildStream]] = ()

    def family(self) -> Iterator[Stream]:
        yield self
        yield from self.derived
        for child in self.children:
            yield from child.family()

    def has_children(self, names: Collection[str]) -> bool:
        """Whether any of these streams costs a request for each record of this one."""
        return any(child.is_among(names) for child in self.children)

    def places(self, reading: Reading, records: Sequence[Record]) -> Places:
        """The records that each stream's plan wants, for a table without a filter of its own."""
        instants = [self.instant(record) for record in records]
        found: dict[str, Sequence[int]] = {}
        for stream in self.family():
            name = stream.name
            if name in reading.selections:
                is_free = isinstance(stream, ChildStream) and not stream.follows_parent
                found[name] = [
                    at
                    for at, instant in enumerate(instants)
                    if is_free or reading.wants(name, instant)
                ]
        return found

    def read_page(
        self,
        reading: Reading,
        answer: Answer,
        places: Places,
        lists: Mapping[int, Record] | None = None,
    ) -> Page:
        """Make lines of an answer. lists: whole nested lists to put into records, by place."""

        def wanted(answer: Answer, name: str) -> list[Record]:
            found = self.records(answer)
            for at, whole in (lists or {}).items():
                found[at].update(whole)
            return [found[at] for at in places[name]]

        parents = self.parents(self.records(answer), places) if self.children else {}
        return Page(self.render(reading, answer, wanted, places), parents)

    def render(
        self,
        reading: Reading,
        answer: Answer,
        wanted: Callable[[Answer, str], list[Record]],
        names: Collection[str],
    ) -> Batch:
        """The lines of the records that are wanted of an answer, and of the rows inside them."""

        def rows(stream: DerivedStream, answer: Answer) -> list[Record]:
            return [row for record in wanted(answer, stream.name) for row in stream.rows(record)]

        def own(answer: Answer) -> list[Record]:
            return [self.prepare(record) for record in wanted(answer, self.name)]

        # Rows are taken out first, since preparing a record changes it.
        batches = [
            reading.render(stream.name, answer, partial(rows, stream))
            for stream in self.derived
            if stream.name in names
        ]
        if self.name in names:
            batches.insert(0, reading.render(self.name, answer, own))
        return joined(batches)

    def parents(self, records: Sequence[Record], places: Places) -> dict[str, list[Parent]]:
        """The parents of each child that is read: those that it or what comes with it wants."""
        found: dict[str, list[Parent]] = {}
        for child in self.children:
            wanted = {at for each in child.family() for at in places.get(each.name, ())}
            if wanted or child.is_among(places):
                found[child.name] = [
                    Parent(records[at].get("id"), records[at].get(self.instant_field))
                    for at in sorted(wanted)
                    if child.may_have_any(records[at])
                ]
        return found

    def emit(self, reading: Reading, page: Page) -> Iterator[Batch]:
        """What is to be written of a page, its own lines before those of children.

        A parent has passed with its rows of the last child.
        """
        yield page.batch
        read = [child for child in self.children if page.parents.get(child.name)]
        for child in read:
            for batch in self._emit_children(reading, child, page.parents[child.name]):
                yield batch if child is read[-1] else replace(batch, passed=0)

    def _emit_children(
        self, reading: Reading, child: ChildStream, parents: Sequence[Parent]
    ) -> Iterator[Batch]:
        """The rows of a child for each parent, in order; when they fail, the others go on.

        Pages are read side by side, so that a later one may have failed first: each that leaves
        children out says so, before anything of it passes for complete.
        """
        error = reading.given_up.get(child.name)
        reading.parents[child.name] = parents
        names = [each.name for each in child.family() if each.name in reading.selections]
        if error is None:
            try:
                pieces = chunks(parents, child.parents_at_once)
                batches = reading.ahead.map(partial(child.read, reading), pieces)
                for piece, batch in zip(pieces, batches, strict=True):
                    yield replace(batch, passed=len(piece))
                return
            except TapError as caught:
                if set(reading.selections) <= {*reading.given_up, *names}:
                    raise
                error = caught
                reading.given_up.update(dict.fromkeys([child.name, *names], error))
        yield Batch(failed=dict.fromkeys(names, error))

    def complete(self, reading: Reading) -> Batch:
        """What a read to the end makes complete: all that the run may bookmark."""
        return Batch(reached=dict.fromkeys(reading.plans, reading.origin.limit))


class DerivedStream(Stream):
    """A table whose rows stand inside the records of its parent, so that it costs no request.

    carried: what each row carries of its parent, the parent's field by the column it becomes.
    field: where in a record the rows are; list_keys: where in that, the first that is there, unless
    it is a list itself. columns: what to take of a row, by the column it becomes; the whole row
    where it is empty. whole_list: the nested list of the parent that has to be read in full for it.
    """

    path = ""
    cost = "none, it comes with its parent"
    carried: ClassVar[Mapping[str, str]]
    field: ClassVar[str]
    list_keys: ClassVar[Sequence[str]] = ("data",)
    columns: ClassVar[Mapping[str, str]] = {}
    whole_list: ClassVar[str | None] = None

    def rows(self, parent: Record) -> list[Record]:
        """The rows inside a record of the parent, with what they carry of it."""
        carried = {column: parent.get(name) for column, name in self.carried.items()}
        return [columns_of(entry, self.columns) | carried for entry in self.entries(parent)]

    def count(self, answer: Answer) -> int | None:
        """Unknown: the probe is that of the parent."""
        return None

    def entries(self, parent: Record) -> list[Record]:
        """What in a record stands for the rows; where it is a bare id, an object with that."""
        found = parent.get(self.field)
        if isinstance(found, dict):
            found = next((found[key] for key in self.list_keys if found.get(key)), None)
        entries = found if isinstance(found, list) else []
        return [entry if isinstance(entry, dict) else {"id": entry} for entry in entries]


class ChildStream(ParentStream):
    """A table whose rows cost a request for each record of its parent.

    It is complete up to where the parent's windows were read for it, whether or not the parent is
    selected itself. path holds `{id}` of the parent. params: what is asked for beside the page.
    parent_columns: the columns for the parent's id and, where there is a second one, for when it
    changed. columns: as of a derived table. parents_at_once: how many a request may ask for.
    follows_parent: whether rows come up when their parent changes; if not, all parents are asked.
    may_be_absent: whether a 404 says that a parent has none, rather than that it is gone.
    """

    params: ClassVar[Mapping[str, Any]] = {}
    parent_columns: ClassVar[Sequence[str]]
    columns: ClassVar[Mapping[str, str]] = {}
    paging: ClassVar[Paging] = WHOLE
    parents_at_once: ClassVar[int] = 1
    follows_parent: ClassVar[bool] = True
    may_be_absent: ClassVar[bool] = False

    def is_among(self, names: Collection[str]) -> bool:
        """Whether this table or one that comes with it is among these streams."""
        return any(stream.name in names for stream in self.family())

    def may_have_any(self, parent: Record) -> bool:
        """Whether a parent is worth a request."""
        return True

    def read(self, reading: Reading, parents: Sequence[Parent]) -> Batch:
        """The rows of parents, without those that are gone by now (API-J9) or cannot be read."""
        client = reading.client
        try:
            batch = self.read_rows(client.hasty(FIRST_PATIENCE_SECONDS), reading, parents)
        except FAILURES as error:
            if not may_be_of_one_record(error):
                raise
            if len(parents) > 1:
                # One of them does not stand for the others.
                return joined([self.read(reading, [parent]) for parent in parents])
            return self._skip(reading, parents[0], error)
        for parent in parents:
            reading.note_read(self.name, parent)
        return batch

    def _skip(self, reading: Reading, parent: Parent, error: TapError) -> Batch:
        """Leave out a parent that is gone; or one that cannot be read, while others can."""
        if isinstance(error, ResponseError) and error.is_gone:
            if not self.may_be_absent:
                reading.note_gone(self.name, True, str(parent.id))
            return Batch()

        def read(client: Client, parent: Parent) -> Batch:
            return self.read_rows(client, reading, [parent])

        others = reading.others_than(self.name, parent)
        try:
            return read_again(read, reading.client, parent, others, error)
        except UnreadableError:
            reading.note_unreadable(self.name, str(parent.id), 1, error)
            return Batch()

    def read_rows(self, client: Client, reading: Reading, parents: Sequence[Parent]) -> Batch:
        """The rows of as many parents as a request may ask for."""
        (parent,) = parents
        return joined(list(self.pages(replace(reading, client=client), parent)))

    def pages(self, reading: Reading, parent: Parent) -> Iterator[Batch]:
        """The rows of a parent, a batch for each page."""
        path, params = self.path.format(id=parent.id), self.parameters(reading, parent)
        read = partial(self.read_answer, reading, parent)
        if self.paging is WHOLE:
            yield from read_pages(reading.client.get, path, WHOLE, read, params)
            return
        yield from read_until_whole(
            reading,
            self,
            reading.client.get,
            path,
            self.paging,
            lambda answer, tally: self.read_answer(reading, parent, answer, tally.is_new),
            params,
        )

    def read_answer(
        self,
        reading: Reading,
        parent: Parent,
        answer: Answer,
        is_new: Callable[[Record], bool] | None = None,
    ) -> Batch:
        """The lines of an answer, or of its new records, with what they carry of their parent."""
        self.check(reading, answer)
        kept = None if is_new is None else [is_new(record) for record in self.records(answer)]

        def rows(answer: Answer, name: str) -> list[Record]:
            found = self.rows(reading, parent, answer)
            return found if kept is None else list(compress(found, kept))

        return self.render(
            reading,
            answer,
            rows,
            [stream.name for stream in (self, *self.derived) if stream.name in reading.selections],
        )

    def rows(self, reading: Reading, parent: Parent, answer: Answer) -> list[Record]:
        """The records of an answer with the columns of their parent."""
        carried = dict(zip(self.parent_columns, parent, strict=False))
        found = self.records(answer)
        if self.columns:
            return [columns_of(record, self.columns) | carried for record in found]
        for record in found:
            record.update(carried)
        return found

    def count(self, answer: Answer) -> int | None:
        """Unknown: the probe is that of the parent."""
        return None

    def parameters(self, reading: Reading, parent: Parent) -> Mapping[str, Any]:
        """What to ask for beside the page."""
        return self.params

    def check(self, reading: Reading, answer: Answer) -> None:
        """Compare what came with what Intercom counts."""


def columns_of(entry: Record, columns: Mapping[str, str]) -> Record:
    """What is taken of an entry, by the columns it becomes; all of it where there are none."""
    if not columns:
        return dict(entry)
    return {column: entry.get(name) for column, name in columns.items()}


def joined(batches: Sequence[Batch]) -> Batch:
    """The lines of several batches as one."""
    if len(batches) == 1:
        return batches[0]
    counts: dict[str, int] = {}
    for batch in batches:
        for name, count in batch.counts.items():
            counts[name] = counts.get(name, 0) + count
    return Batch(b"".join(batch.lines for batch in batches), counts)


def chunks(parents: Sequence[Parent], size: int) -> list[Sequence[Parent]]:
    """Cut a sequence into pieces of at most `size`."""
    return [parents[start : start + size] for start in range(0, len(parents), size)]
