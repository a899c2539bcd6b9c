"""Streams that are read as a list, in one answer or in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tap_intercom.errors import ContractError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import WHOLE, Paging, Send, total_count
from tap_intercom.reading.children import ChildStream, PageReader, Parent, chunks
from tap_intercom.reading.nested_reader import Places
from tap_intercom.reading.passes import ListPass, read_until_whole
from tap_intercom.reading.stream import Probe, Stream, instant_of
from tap_intercom.reading.stream_run import Batch, Record, StreamRun
from tap_intercom.settings import Settings

# The maximum number of parents to repeat after an interruption; each one costs a request.
PARENTS_AT_ONCE = 200


class ListStream(Stream):
    """A table that Intercom lists without a filter, so an incremental read filters here.

    params: the query parameters.
    paging: how the list continues on the next page.
    newest_first: whether the latest change comes first, so a read may stop where its plan begins.
    """

    params: ClassVar[dict[str, Any]] = {}
    paging: ClassVar[Paging] = WHOLE
    newest_first: ClassVar[bool] = False

    def count(self, answer: Answer) -> int | None:
        total = total_count(answer.body)
        return len(self.parse_response(answer)) if total is None and self.paging is WHOLE else total

    def probe(self, settings: Settings) -> Probe:
        return Probe(self.path, {**self.params, **self.paging.smallest})

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        yield from self.read_list(run, run.client.get, self.path)
        yield run.complete()

    def url_params(self, run: StreamRun) -> Mapping[str, Any]:
        """Return the query parameters, without those for the page."""
        return self.params

    def read_list(self, run: StreamRun, send: Send, path: str) -> Iterator[Batch]:
        """Read a list until one pass over it is complete, or has shown all wanted records.

        Children come after the list, in the order in which their parents changed. An interrupted
        run can continue from there, even if the list has another order.
        """
        since = self._wanted_since(run) if self.newest_first else None
        params = self.url_params(run)
        reader = PageReader(self, run)
        parents: dict[str, list[Parent]] = {}
        for answer, tally in read_until_whole(run, self, send, path, self.paging, params, since):
            places = self._new_places(reader, answer, tally)
            page = reader.with_lists(reader.read(answer, places))
            yield page.batch
            if self.oldest_first and tally.is_sorted and run.wants(self.name, tally.last):
                # Later pages have nothing older, so the next run may continue from here.
                yield Batch(reached={self.name: tally.last or 0})
            for name, found in page.parents.items():
                parents.setdefault(name, []).extend(found)
        if parents:
            together = (self, *self.embedded, *self.files)
            own = [each.name for each in together if each.name in run.plans]
            yield Batch(reached=dict.fromkeys(own, run.origin.limit))
        for child in reader.children:
            if child.name in parents:
                yield from _read_child(run, reader, child, parents.pop(child.name))

    def _new_places(self, reader: PageReader, answer: Answer, tally: ListPass) -> Places:
        """Return the wanted records of a page that did not come in an earlier pass."""
        records = self.parse_response(answer)
        places = reader.places(records)
        if not tally.known:
            return places
        return {
            name: [at for at in wanted if tally.is_new(records[at])]
            for name, wanted in places.items()
        }

    def _wanted_since(self, run: StreamRun) -> int | None:
        """Return the instant before which no plan wants anything, or None for a full read."""
        names = [stream.name for stream in self.with_children() if stream.name in run.selections]
        if any(name not in run.plans for name in names):
            return None
        return min(
            (window.start for plan in run.plans.values() for window in plan.windows),
            default=None,
        )


def one_object(stream: Stream, answer: Answer) -> list[Record]:
    """Return the one row of a table: the object under `records_key`, or the answer itself.

    Such a table takes this function as its `parse_response`.
    """
    found = answer.body.get(stream.records_key) if stream.records_key else answer.body
    if not isinstance(found, dict):
        raise ContractError(f"{stream.path}: the answer has no object {stream.records_key!r}")
    return [found]


def _read_child(
    run: StreamRun, reader: PageReader, child: ChildStream, parents: list[Parent]
) -> Iterator[Batch]:
    """Yield the rows of a child, and after every few parents how far they are complete."""
    parents.sort(key=lambda parent: instant_of(parent.updated_at) or 0)
    names = [name for name in child.names(run) if name in run.plans]
    pieces = chunks(parents, PARENTS_AT_ONCE) or [()]
    for piece, following in zip(pieces, [*pieces[1:], ()], strict=True):
        yield from reader.emit_children({child.name: piece})
        reached = instant_of(following[0].updated_at) if following else None
        if child.follows_parent and reached is not None:
            yield Batch(reached=dict.fromkeys(names, reached))
