"""Streams that one answer holds whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from tap_intercom.client import Answer
from tap_intercom.streams.base import Batch, Reading, Record, Stream, updated_at


class ListStream(Stream):
    """A table that Intercom lists without pages; an incremental one is filtered here."""

    params: ClassVar[dict[str, Any]] = {}

    def count(self, answer: Answer) -> int | None:
        return len(self.records(answer))

    def batches(self, reading: Reading) -> Iterator[Batch]:
        answer = reading.client.get(self.path, self.params)
        yield from self.emit(reading, answer)

    def emit(self, reading: Reading, answer: Answer) -> Iterator[Batch]:
        """The records of an answer that the run wants, complete with them."""
        yield reading.render(self.name, answer, lambda answer: self.wanted(reading, answer))
        yield self.complete(reading)

    def wanted(self, reading: Reading, answer: Answer) -> list[Record]:
        records = self.records(answer)
        if self.is_incremental:
            plan = reading.plans[self.name]
            records = [record for record in records if plan.wants(updated_at(record))]
        return [self.prepare(record) for record in records]

    def complete(self, reading: Reading) -> Batch:
        """What a read to the end makes complete: all that the run may bookmark."""
        return Batch(reached={self.name: reading.origin.limit} if self.is_incremental else {})
