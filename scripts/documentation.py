"""Write the generated tables of the documentation; --check reports outdated pages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from tap_intercom.commands.about import (
    Table,
    exit_codes_table,
    markdown,
    settings_table,
    streams_table,
)

DOCS = Path(__file__).parent.parent / "docs"
TABLES: dict[str, dict[str, Callable[[], Table]]] = {
    "settings.md": {"settings": settings_table},
    "streams.md": {"streams": streams_table},
    "operations.md": {"exit-codes": exit_codes_table},
}


def with_table(text: str, name: str, table: Table) -> str:
    """The text with a table between `<!-- NAME -->` and `<!-- /NAME -->`."""
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    found = pattern.search(text)
    if found is None:
        raise SystemExit(f"there is no place for the table {name}")
    return f"{text[: found.start()]}{found[1]}{markdown(table)}\n{found[2]}{text[found.end() :]}"


def main() -> None:
    for page, tables in TABLES.items():
        path = DOCS / page
        before = after = path.read_text(encoding="utf-8")
        for name, table in tables.items():
            after = with_table(after, name, table())
        if "--check" in sys.argv and after != before:
            raise SystemExit(f"docs/{page} is out of date: run scripts/documentation.py")
        path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
