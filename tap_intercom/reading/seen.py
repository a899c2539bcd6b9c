"""Which records of a window already came unchanged."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from tap_intercom.reading.stream import updated_at
from tap_intercom.reading.stream_run import Record


class Seen:
    """The versions of the records that came in a window, in eight bytes each.

    It remembers earlier passes and the previous page, since a page may repeat records of it.
    """

    def __init__(self, earlier: array[int] | None = None) -> None:
        self._earlier = earlier or array("q")
        self._pass = array("q")
        self._page: set[int] = set()

    def fork(self) -> Seen:
        """Return a copy for a part of the window; both then change independently."""
        return Seen(self._all())

    def unseen(
        self, records: Sequence[Record], places: Sequence[int], begins_pass: bool
    ) -> list[int]:
        """Return the places of a page whose records did not come before, and note all records."""
        if begins_pass:
            self._earlier, self._pass, self._page = self._all(), array("q"), set()
        found, page = [], set()
        for at in places:
            version = hash((str(records[at].get("id")), updated_at(records[at])))
            if version not in page and version not in self._page and not self._knows(version):
                found.append(at)
            page.add(version)
        self._pass.extend(page)
        self._page = page
        return found

    def _all(self) -> array[int]:
        if not self._pass:
            return self._earlier
        return array("q", sorted({*self._earlier, *self._pass}))

    def _knows(self, version: int) -> bool:
        at = bisect_left(self._earlier, version)
        return at < len(self._earlier) and self._earlier[at] == version
