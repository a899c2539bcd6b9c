"""The versions of the API, and the fields that newer ones add to what is not a resource."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .records import Record

Version = tuple[int, int]
PREVIEW: Version = (sys.maxsize, 0)
"""It is newer than every version with a number."""
DEFAULT_VERSION: Version = (2, 16)
NEWER_FIELDS: Mapping[str, Mapping[str, Version]] = {
    "conversations": {"ai_topics": PREVIEW},
    "ticket_parts": {
        "app_package_code": (2, 13),
        "updated_attribute_data": (2, 14),
        "translations": PREVIEW,
    },
}
"""The fields of a table that a version added, with that version."""


def version_text(version: Version) -> str:
    return "Preview" if version == PREVIEW else ".".join(map(str, version))


def newer_fields(table: str, version: Version) -> set[str]:
    """Return the fields of a table that a version does not have yet."""
    return {name for name, since in NEWER_FIELDS.get(table, {}).items() if version < since}


def without_newer(table: str, records: list[Record], version: Version) -> list[Record]:
    """Return records of a table as a version has them."""
    newer = newer_fields(table, version)
    return [
        {name: value for name, value in each.items() if name not in newer} if newer else each
        for each in records
    ]
