"""What had to be changed to make the records of a stream fit their schema."""

from __future__ import annotations

import logging
from collections import Counter
from threading import Lock

LOGGER = logging.getLogger("tap_intercom")


UNKNOWN_FIELD = "unknown field"
KEPT_AS_TEXT = "kept as text"
MADE_NULL = "made null"
LEFT_OUT = "left out"
MADE_WHOLE = "made a whole number"
REPLACED_CHARACTERS = "replaced characters"
_EXPLANATIONS = {
    UNKNOWN_FIELD: "is not in the schema and is dropped; unknown_fields: pass keeps it",
    KEPT_AS_TEXT: "holds a value that does not fit its type; kept as JSON text",
    MADE_NULL: "holds a value that does not fit its type; made null",
    LEFT_OUT: "holds a value that does not fit its type, which allows no null; left out",
    MADE_WHOLE: "holds a value that is not written as a whole number; made one",
    REPLACED_CHARACTERS: "hold characters that no database takes; replaced by U+FFFD",
}


class Coercions:
    """Counts what had to be changed to make a stream's records fit; safe to share by threads.

    The first repair of each field and kind is a warning. It never shows the value, which may be
    somebody's data.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def add(self, field: str, kind: str, count: int = 1) -> None:
        with self._lock:
            self.counts[field, kind] += count
            is_first = self.counts[field, kind] == count
        if is_first:
            explanation = _EXPLANATIONS.get(kind, kind)
            LOGGER.warning("%s: %s %s (said once, counted)", self.stream, field, explanation)
