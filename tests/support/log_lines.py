"""What tests read of a log: its lines without their times."""

from __future__ import annotations

import re

# The tap puts its level first; run, which also passes on the lines of others, puts the time first.
TIME = re.compile(r"^((?:[A-Z]+ )?)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", re.MULTILINE)


def without_times(log: str) -> str:
    """The lines of a log in text, each without its time."""
    return TIME.sub(r"\1", log)
