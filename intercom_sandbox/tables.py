"""Records of one kind as JSON text, and their order by updated_at."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson

Key = tuple[int, str]
"""(updated_at, id): the sort key of a table."""

_FEW = 500


def json_text(record: dict[str, Any]) -> bytes:
    """Return a record as JSON, to be kept."""
    # A copy, since orjson's result keeps the larger buffer that it was written in.
    return bytes(memoryview(orjson.dumps(record)))


class Index:
    """What search knows of the records of a table: their texts, and their keys in order."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.version = 0
        self._times: dict[str, int] = {}
        self._order: list[Key] = []
        self._unsorted: list[Key] = []

    @property
    def order(self) -> list[Key]:
        """Return the keys of all records, ascending."""
        if len(self._unsorted) > _FEW:
            self._order += self._unsorted
            self._order.sort()
        else:
            for key in self._unsorted:
                insort(self._order, key)
        self._unsorted = []
        return self._order

    def put(self, record_id: str, updated_at: int, text: bytes) -> None:
        if record_id in self._times:
            self.remove(record_id)
        self.texts[record_id] = text
        self._times[record_id] = updated_at
        self._unsorted.append((updated_at, record_id))
        self.version += 1

    def remove(self, record_id: str) -> None:
        if record_id in self._times:
            order = self.order
            del order[bisect_left(order, (self._times.pop(record_id), record_id))]
            del self.texts[record_id]
            self.version += 1


class Table:
    """Records by id; `index` may be behind by as many seconds as `lag` returns."""

    def __init__(self, lag: Callable[[], float], clock: Callable[[], float]) -> None:
        self.texts: dict[str, bytes] = {}
        self._lag = lag
        self._clock = clock
        self._index = Index()
        self._pending: deque[tuple[float, str, int, bytes | None]] = deque()
        self._ids: list[Key] | None = None

    def __contains__(self, record_id: str) -> bool:
        return record_id in self.texts

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def ids(self) -> list[Key]:
        """Return (0, id) of all records, in an order that edits do not change."""
        if self._ids is None:
            self._ids = [(0, record_id) for record_id in sorted(self.texts)]
        return self._ids

    @property
    def index(self) -> Index:
        """Return what search may know by now."""
        if self._pending:
            self.index_until(self._clock())
        return self._index

    def index_until(self, instant: float) -> None:
        """Show search the edits that were due at `instant`."""
        while self._pending and self._pending[0][0] <= instant:
            _, record_id, updated_at, text = self._pending.popleft()
            self._index_edit(record_id, updated_at, text)

    def get(self, record_id: str) -> dict[str, Any]:
        """Return a copy of a record. Raises KeyError."""
        record: dict[str, Any] = orjson.loads(self.texts[record_id])
        return record

    def records(self) -> Iterator[dict[str, Any]]:
        for text in self.texts.values():
            yield orjson.loads(text)

    def put(self, record: dict[str, Any]) -> None:
        record_id = record["id"]
        if record_id not in self.texts:
            self._ids = None
        text = self.texts[record_id] = json_text(record)
        self._note_edit(record_id, int(record["updated_at"] or 0), text)

    def remove(self, record_id: str) -> None:
        """Remove a record. Raises KeyError."""
        del self.texts[record_id]
        self._ids = None
        self._note_edit(record_id, 0, None)

    def _note_edit(self, record_id: str, updated_at: int, text: bytes | None) -> None:
        lag = self._lag()
        if lag > 0 or self._pending:
            self._pending.append((self._clock() + lag, record_id, updated_at, text))
        else:
            self._index_edit(record_id, updated_at, text)

    def _index_edit(self, record_id: str, updated_at: int, text: bytes | None) -> None:
        if text is None:
            self._index.remove(record_id)
        else:
            self._index.put(record_id, updated_at, text)
