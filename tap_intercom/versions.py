"""The versions of Intercom's API: in which order they are, and how sure their facts are.

A version compares as two numbers, so (2, 9) < (2, 16). Preview is newer than every number.
"""

from __future__ import annotations

import re
import sys

Version = tuple[int, int]

PREVIEW: Version = (sys.maxsize, 0)
FIRST: Version = (2, 7)
LAST: Version = (2, 18)
"""The newest version with a number."""

NUMBERED = [(2, minor) for minor in range(FIRST[1], LAST[1] + 1)]
ACCEPTED = [*NUMBERED, PREVIEW]
DESCRIBED = frozenset({*((2, minor) for minor in range(7, 17)), PREVIEW})
"""The versions with a published OpenAPI description. The others are taken on trust (API-L2)."""
ON_TRUST = "taken on trust, because they have no published description"
DEFAULT = max(DESCRIBED - {PREVIEW})

_NUMBER = re.compile(r"(\d)\.(\d{1,2})", re.ASCII)


def version_of(text: str) -> Version:
    """Return a version as numbers. Raises ValueError for text that names none."""
    if text.lower() == "preview":
        return PREVIEW
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise ValueError(f"{text!r} is not a version")
    return int(number[1]), int(number[2])


def text_of(version: Version) -> str:
    """Return Intercom's name of a version."""
    return "Preview" if version == PREVIEW else "{}.{}".format(*version)


def is_described(version: Version) -> bool:
    """Whether a published description says what the version has."""
    return version in DESCRIBED


def since_text(version: Version) -> str:
    """Return which versions have something that this one has first."""
    return text_of(version) if version == PREVIEW else f"{text_of(version)} or later"


def trust_text() -> str:
    """Return which versions are taken on trust, as a sentence."""
    names = [text_of(each) for each in ACCEPTED if not is_described(each)]
    return f"{' and '.join(names)} are {ON_TRUST}."
