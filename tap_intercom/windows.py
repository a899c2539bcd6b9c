"""Time ranges of a read, in Unix seconds, [start, end): who wants which, and how to cut them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tap_intercom.times import DAY_SECONDS


@dataclass(frozen=True)
class Window:
    """[start, end) in Unix seconds; without an end, the window is open and has all later times."""

    start: int
    end: int | None

    def holds(self, instant: float) -> bool:
        return instant >= self.start and (self.end is None or instant < self.end)


@dataclass(frozen=True)
class Span:
    """A window, and the names of the streams that want it."""

    window: Window
    streams: frozenset[str] = field(default_factory=frozenset)


def spans(wanted: Mapping[str, Sequence[Window]], cuts: Sequence[int] = ()) -> list[Span]:
    """Cut the windows of all streams into spans, each of which its streams want completely.

    Spans are in ascending order and also end at each of `cuts`. They omit periods that no stream
    wants.
    """
    windows = [window for name in wanted for window in wanted[name]]
    if not windows:
        return []
    edges = {window.start for window in windows}
    edges |= {window.end for window in windows if window.end is not None}
    first = min(edges)
    is_open = any(window.end is None for window in windows)
    edges |= {cut for cut in cuts if first < cut and (is_open or cut < max(edges))}
    ordered: list[int | None] = [*sorted(edges), *([None] if is_open else [])]
    found = []
    for start, end in pairwise(ordered):
        assert start is not None
        streams = frozenset(
            name for name in wanted if any(window.holds(start) for window in wanted[name])
        )
        if streams:
            found.append(Span(Window(start, end), streams))
    return found


def split(window: Window, parts: int, unit: int) -> list[Window]:
    """Cut a closed window into at most `parts` of similar length, at multiples of `unit`.

    Return only the window if it cannot be cut.
    """
    if window.end is None:
        return [window]
    length = window.end - window.start
    edges = [window.start + length * part // parts for part in range(1, parts)]
    return cut(window, [edge - edge % unit for edge in edges])


def cut(window: Window, edges: Iterable[int]) -> list[Window]:
    """Cut a closed window at the edges inside it."""
    assert window.end is not None
    inside = {edge for edge in edges if window.start < edge < window.end}
    return [
        Window(start, end) for start, end in pairwise([window.start, *sorted(inside), window.end])
    ]


def start_of_day(instant: int) -> int:
    return instant - instant % DAY_SECONDS
