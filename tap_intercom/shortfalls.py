"""What a run found missing, skipped or changed, collected for its summary."""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict

LOGGER = logging.getLogger("tap_intercom")

# Number of ids in a log line; all are counted, but a sample is enough to find the cause.
IDS_SHOWN = 20


class Shortfalls:
    """Counts cases by stream and kind, with the ids of some; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._ids: defaultdict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, stream: str, kind: str, record_id: str, count: int = 1) -> None:
        """Note a case; kind completes "N records: ..." and is the same for all cases of a kind."""
        with self._lock:
            self._counts[stream, kind] += count
            ids = self._ids[stream, kind]
            if len(ids) < IDS_SHOWN:
                ids.append(record_id)

    def of(self, stream: str) -> dict[str, int]:
        """Return the number of cases of each kind for a stream."""
        with self._lock:
            return {kind: count for (of, kind), count in self._counts.items() if of == stream}

    def report(self) -> None:
        """Log one warning for each stream and kind of case, with ids."""
        with self._lock:
            for (stream, kind), count in self._counts.items():
                ids = self._ids[stream, kind]
                more = ", …" if len(ids) == IDS_SHOWN else ""
                LOGGER.warning("%s: %d %s: %s%s", stream, count, kind, ", ".join(ids), more)
