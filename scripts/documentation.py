"""Write what is generated; --check reports what is out of date.

That is the tables of the documentation, the number of tables in the README, and tests/about.json,
which is what `tap-intercom --about --format json` prints.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tap_intercom.commands.about import (
    Table,
    about,
    exit_codes_table,
    markdown,
    settings_table,
    streams_table,
)
from tap_intercom.streams import STREAMS

ROOT = Path(__file__).parent.parent
TABLES: dict[str, dict[str, Callable[[], Table]]] = {
    "docs/settings.md": {"settings": settings_table},
    "docs/streams.md": {"streams": streams_table},
    "docs/operations.md": {"exit-codes": exit_codes_table},
}


def with_table(text: str, name: str, table: Table) -> str:
    """The text with a table between `<!-- NAME -->` and `<!-- /NAME -->`."""
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    found = pattern.search(text)
    if found is None:
        raise SystemExit(f"there is no place for the table {name}")
    return f"{text[: found.start()]}{found[1]}{markdown(table)}\n{found[2]}{text[found.end() :]}"


def with_count(text: str) -> str:
    """The README with the number of tables."""
    text, found = re.subn(r"(?<=\*\*)\d+(?= tables)", str(len(STREAMS)), text)
    if not found:
        raise SystemExit("there is no place for the number of tables")
    return text


def generated() -> Iterator[tuple[str, str]]:
    """The files that hold what is generated, and what they should be."""
    for page, tables in TABLES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        for name, table in tables.items():
            text = with_table(text, name, table())
        yield page, text
    yield "README.md", with_count((ROOT / "README.md").read_text(encoding="utf-8"))
    yield "tests/about.json", f"{about('json')}\n"


def main() -> None:
    for name, text in generated():
        path = ROOT / name
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if "--check" in sys.argv and text != before:
            raise SystemExit(f"{name} is out of date: run scripts/documentation.py")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
