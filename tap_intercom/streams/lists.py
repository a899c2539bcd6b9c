"""Streams that are read as a list, in one answer or in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tap_intercom.client import Answer
from tap_intercom.errors import ContractError
from tap_intercom.pages import WHOLE, Paging, Send, total_count
from tap_intercom.settings import Settings
from tap_intercom.streams.base import Batch, Probe, Reading, Record
from tap_intercom.streams.family import Page, ParentStream
from tap_intercom.streams.passes import Pass, read_until_whole


class ListStream(ParentStream):
    """A table that Intercom lists without filter, so that an incremental one is filtered here.

    params: what is asked for. paging: how the list goes on. newest_first: whether what changed last
    comes first, so that a read may stop where its plan begins.
    """

    params: ClassVar[dict[str, Any]] = {}
    paging: ClassVar[Paging] = WHOLE
    newest_first: ClassVar[bool] = False

    def count(self, answer: Answer) -> int | None:
        total = total_count(answer.body)
        return len(self.records(answer)) if total is None and self.paging is WHOLE else total

    def probe(self, settings: Settings) -> Probe:
        return Probe(self.path, {**self.params, **self.paging.smallest})

    def batches(self, reading: Reading) -> Iterator[Batch]:
        yield from self.read_list(reading, reading.client.get, self.path)
        yield self.complete(reading)

    def parameters(self, reading: Reading) -> Mapping[str, Any]:
        """What to ask for beside the page."""
        return self.params

    def read_list(self, reading: Reading, send: Send, path: str) -> Iterator[Batch]:
        """Read a list until a pass over it was complete, or showed all that is wanted."""

        def read(answer: Answer, tally: Pass) -> Page:
            records = self.records(answer)
            places = self.places(reading, records)
            if tally.known:
                places = {
                    name: [at for at in wanted if tally.is_new(records[at])]
                    for name, wanted in places.items()
                }
            return self.read_page(reading, answer, places)

        since = self._wanted_since(reading) if self.newest_first else None

        params = self.parameters(reading)
        for page in read_until_whole(reading, self, send, path, self.paging, read, params, since):
            yield from self.emit(reading, page)

    def _wanted_since(self, reading: Reading) -> int | None:
        """The instant before which no plan wants anything; None where a stream is read in full."""
        names = [stream.name for stream in self.family() if stream.name in reading.selections]
        if any(name not in reading.plans for name in names):
            return None
        return min(
            (window.start for plan in reading.plans.values() for window in plan.windows),
            default=None,
        )


class ObjectStream(ListStream):
    """A table with one row, an object that stands under `records_key`, or is the answer itself."""

    def records(self, answer: Answer) -> list[Record]:
        found = answer.body.get(self.records_key) if self.records_key else answer.body
        if not isinstance(found, dict):
            raise ContractError(f"{self.path}: the answer has no object {self.records_key!r}")
        return [found]
