"""Take the tables and columns that public dbt models read out of their description, for the tests.

    python scripts/dbt_tables.py DESCRIPTION.md > tests/support/dbt_tables.json

The description is no part of the repository. It has a row for each table: its name, its columns and
where they come from. A type follows its columns: `email, name str, updated_at ts`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

KINDS = {
    "str": "text",
    "really text": "text",
    # Ids are text in Intercom's API.
    "int or str": "text",
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "ts": "timestamp",
}
TYPE = "|".join(sorted(KINDS, key=len, reverse=True))
ROW = re.compile(r"\| (?P<table>[a-z_]+)(?: \([^|]*\))? \| (?P<columns>[^|]+) \| [^|]+ \|")
COLUMN = re.compile(rf"(?P<name>[a-z_/]+)(?: (?P<type>{TYPE}))?")
# What Fivetran adds to each table that keeps a history.
OF_HISTORY = {
    "_fivetran_active": "boolean",
    "_fivetran_start": "timestamp",
    "_fivetran_end": "timestamp",
}


def tables(description: str) -> dict[str, dict[str, str]]:
    """The kind of each column, by table and name."""
    found = {row["table"]: dict(columns(row["columns"])) for row in ROW.finditer(description)}
    for table, kinds in found.items():
        if table.endswith("_history"):
            kinds |= OF_HISTORY
        kinds["_fivetran_synced"] = "timestamp"
    return found


def columns(text: str) -> Iterator[tuple[str, str]]:
    """Name and kind of each column of a row."""
    text = text.replace("*", "").replace("(declared int, really text)", "really text")
    text = re.sub(r"\([^)]*\)", "", text)
    waiting: list[str] = []
    for part in text.split(","):
        column = COLUMN.fullmatch(part.strip())
        if column is None:
            raise SystemExit(f"not a column: {part!r}")
        waiting += names(column["name"])
        if column["type"]:
            yield from ((name, KINDS[column["type"]]) for name in waiting)
            waiting = []
    if waiting:
        raise SystemExit(f"columns without a type: {waiting}")


def names(text: str) -> list[str]:
    """The names that one with alternatives stands for, such as `by_day/week_count`."""
    first, *others = text.split("/")
    if not others:
        return [text]
    *middle, last = others
    start, _, head = first.rpartition("_")
    tail, _, end = last.partition("_")
    return [f"{start}_{each}_{end}" for each in (head, *middle, tail)]


if __name__ == "__main__":
    found = tables(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(found, indent=2))
