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
KEPT_IN_OTHER_ATTRIBUTES = "kept in other_attributes"
MADE_A_NUMBER = "made a number"
REPLACED_CHARACTERS = "replaced characters"
_EXPLANATIONS = {
    UNKNOWN_FIELD: "is not in the schema and is dropped; unknown_fields: pass keeps it",
    KEPT_AS_TEXT: "contains a value that does not fit its type; kept as JSON text",
    MADE_NULL: "contains a value that does not fit its type; set to null",
    LEFT_OUT: "contains a value that does not fit its type, which allows no null; left out",
    KEPT_IN_OTHER_ATTRIBUTES: "contains a value that does not fit its type; set to null and kept "
    "in other_attributes",
    MADE_A_NUMBER: "contains true or false where a number belongs; converted to 1 or 0",
    REPLACED_CHARACTERS: "contain characters that databases refuse; replaced by U+FFFD",
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
            LOGGER.warning("%s: %s %s (logged once, then counted)", self.stream, field, explanation)
