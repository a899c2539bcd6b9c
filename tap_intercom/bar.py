"""A progress bar at the bottom of a terminal, with the log lines above it.

The command `run` has the terminal, but the tap that it starts has the progress. So the tap sends
what the bar shows through a pipe.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tap_intercom import log
from tap_intercom.descriptors import read_parts, whole_lines

if TYPE_CHECKING:
    from tqdm import tqdm

# For terminals that report zero columns or lines.
COLUMNS, LINES = 80, 24
BAR = "{percentage:3.0f}% |{bar:10}| {desc}"
TEXT_WITHOUT_BAR = "{desc}"


@dataclass(frozen=True)
class View:
    """What a bar shows; without `expected` it is only the text."""

    text: str
    passed: int = 0
    expected: int = 0


class Bar:
    """The one bar on the terminal that is stderr."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def draw(self, view: View) -> None:
        bar = self._bar
        bar.ncols = (os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS) - 1
        bar.total = view.expected or None
        bar.n = min(view.passed, view.expected)
        bar.bar_format = BAR if view.expected else TEXT_WITHOUT_BAR
        bar.set_description_str(view.text)

    def write(self, lines: bytes) -> None:
        """Write whole lines above the bar. A terminal that is gone stops nothing."""
        with suppress(OSError, ValueError), self._bar.external_write_mode(file=sys.stderr):
            log.write(log.STDERR, lines)


class SentBar:
    """A bar that another process shows; a view that finds no room in the pipe is dropped."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe

    def draw(self, view: View) -> None:
        with suppress(BlockingIOError):
            os.write(self._pipe, json.dumps(asdict(view)).encode() + b"\n")


def sent_views(pipe: int) -> Iterator[View]:
    """Yield the views that another process sends, until it ends."""
    for lines in whole_lines(read_parts(pipe)):
        # A killed process leaves a part of a line.
        with suppress(ValueError):
            yield View(**json.loads(lines.splitlines()[-1]))


@contextmanager
def shown_bar() -> Iterator[Bar]:
    """Show one bar at the bottom of the terminal; log lines continue above it."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    tqdm.monitor_interval = 0  # its own thread, which would redraw our bar
    with logging_redirect_tqdm([log.LOGGER]):
        bar = tqdm(file=sys.stderr, leave=False, bar_format=TEXT_WITHOUT_BAR, nrows=LINES)
        try:
            yield Bar(bar)
        finally:
            with suppress(OSError, ValueError):
                bar.close()
