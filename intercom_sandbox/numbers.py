"""Numbers on the command line: types for argparse, whose messages say what is allowed."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def number(most: float = math.inf) -> Callable[[str], float]:
    """Return what reads a number from 0 to `most`."""

    def read(text: str) -> float:
        return _within(text, float, "a number", most)

    return read


def whole_number(most: float = math.inf) -> Callable[[str], int]:
    """Return what reads a whole number from 0 to `most`."""

    def read(text: str) -> int:
        return int(_within(text, int, "a whole number", most))

    return read


def _within(text: str, kind: Callable[[str], float], name: str, most: float) -> float:
    limits = "0 or more" if most == math.inf else f"0 to {most:g}"
    try:
        found = kind(text)
        is_within = found != math.inf and 0 <= found <= most
    except ValueError:
        is_within = False
    if not is_within:
        raise argparse.ArgumentTypeError(f"{text!r} is not {name} of {limits}")
    return found
