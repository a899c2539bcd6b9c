"""Streams that one answer holds whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from tap_intercom.client import Answer
from tap_intercom.streams.base import Batch, Reading, Stream


class ListStream(Stream):
    """A table that Intercom lists without pages; an incremental one is filtered here."""

    params: ClassVar[dict[str, Any]] = {}

    def count(self, answer: Answer) -> int | None:
        return len(self.records(answer))

    def batches(self, reading: Reading) -> Iterator[Batch]:
        answer = reading.client.get(self.path, self.params)
        yield reading.render(self.name, answer, partial(self.wanted, reading))
        yield self.complete(reading)

    def complete(self, reading: Reading) -> Batch:
        """What a read to the end makes complete: all that the run may bookmark."""
        return Batch(reached={self.name: reading.origin.limit} if self.is_incremental else {})
