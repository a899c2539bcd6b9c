"""Time ranges of a read: who wants which, and how they are cut. Unix seconds, [start, end)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tap_intercom.times import DAY_SECONDS


@dataclass(frozen=True)
class Window:
    """[start, end) in Unix seconds; without an end it is open: all that is newer belongs to it."""

    start: int
    end: int | None

    def holds(self, instant: float) -> bool:
        return instant >= self.start and (self.end is None or instant < self.end)


@dataclass(frozen=True)
class Span:
    """A window, and the names of the streams that want what lies in it."""

    window: Window
    streams: frozenset[str] = field(default_factory=frozenset)


def spans(wanted: Mapping[str, Sequence[Window]], cuts: Sequence[int] = ()) -> list[Span]:
    """Cut the windows that each stream wants so that within each span all its streams want all.

    Spans come in ascending order and also end at each of `cuts`. A period that no stream wants is
    left out.
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
    """Cut a closed window into at most `parts` of about the same length, at multiples of `unit`.

    Returns the window alone where it cannot be cut.
    """
    if window.end is None:
        return [window]
    length = window.end - window.start
    edges = [window.start + length * part // parts for part in range(1, parts)]
    return cut(window, [edge - edge % unit for edge in edges])


def cut(window: Window, edges: Iterable[int]) -> list[Window]:
    """Cut a closed window at those edges that lie inside it."""
    assert window.end is not None
    inside = {edge for edge in edges if window.start < edge < window.end}
    return [
        Window(start, end) for start, end in pairwise([window.start, *sorted(inside), window.end])
    ]


def start_of_day(instant: int) -> int:
    return instant - instant % DAY_SECONDS
