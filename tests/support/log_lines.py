"""What tests read of a log: its lines without their times."""

from __future__ import annotations

import re

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", re.MULTILINE)


def without_times(log: str) -> str:
    """The lines of a log in text, each without the time that it begins with."""
    return TIME.sub("", log)
