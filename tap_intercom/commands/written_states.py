"""Recognize the states that a run passed to its target when the target prints them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tap_intercom.files import documents_in

# A target further behind than this many states confirms only newer ones.
KNOWN_VALUES = 10_000


class WrittenStates:
    """The states that a run passed to its target, recognized when the target prints them.

    A target may print a state with its members in another order. One that loads streams separately
    may combine several states, with the bookmark that each stream has reached. So each member and
    each bookmark is recognized separately, by a hash.

    begun_with: the state that the run began with.
    last: the last state passed to the target.
    """

    def __init__(self, begun_with: Any) -> None:
        self._begun_with = begun_with
        self._known: defaultdict[tuple[str, ...], dict[int, None]] = defaultdict(dict)
        # The streams with a bookmark in all of them.
        self._streams: set[str] | None = None
        self.last: dict[str, Any] | None = None

    def add(self, state: dict[str, Any]) -> None:
        for name, value in _members(state):
            known = self._known[name]
            digest = _digest(value)
            known.pop(digest, None)
            known[digest] = None
            if len(known) > KNOWN_VALUES:
                del known[next(iter(known))]
        streams = set(state["bookmarks"])
        self._streams = streams if self._streams is None else self._streams & streams
        self.last = state

    def include(self, state: Mapping[str, Any]) -> bool:
        """Whether this is one of them, or the one that the run began with."""
        if state == self._begun_with:
            return True
        return (
            self._streams is not None
            and self._streams <= state["bookmarks"].keys()
            and all(_digest(value) in self._known.get(name, ()) for name, value in _members(state))
        )


def states_in(line: bytes) -> list[dict[str, Any]]:
    """Return the states that a target printed on one line, as values or as STATE messages."""
    if b'"bookmarks"' not in line:
        return []
    try:
        documents = list(documents_in(line.decode()))
    except (ValueError, RecursionError):
        return []
    values = [
        document.get("value")
        if isinstance(document, dict) and document.get("type") == "STATE"
        else document
        for document in documents
    ]
    return [
        value
        for value in values
        if isinstance(value, dict) and isinstance(value.get("bookmarks"), dict)
    ]


def _members(state: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield name and value of each bookmark of a state, and of each member beside them."""
    for stream, bookmark in state["bookmarks"].items():
        yield ("bookmarks", stream), bookmark
    for name, value in state.items():
        if name != "bookmarks":
            yield (name,), value


def _digest(value: Any) -> int:
    return hash(json.dumps(value, sort_keys=True))
