"""Writes the tables of README.md from the code; with --check, says whether they are current."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tap_intercom.about import exit_codes_table, markdown, settings_table, streams_table

README = Path(__file__).parent.parent / "README.md"
TABLES = {
    "settings": settings_table,
    "streams": streams_table,
    "exit-codes": exit_codes_table,
}


def with_tables(text: str) -> str:
    """The text with what stands between `<!-- NAME -->` and `<!-- /NAME -->` made from the code."""
    for name, table in TABLES.items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        found = pattern.search(text)
        if found is None:
            raise SystemExit(f"README.md has no place for {name}")
        text = (
            f"{text[: found.start()]}{found[1]}{markdown(table())}\n{found[2]}{text[found.end() :]}"
        )
    return text


if __name__ == "__main__":
    before = README.read_text(encoding="utf-8")
    after = with_tables(before)
    if "--check" in sys.argv and after != before:
        raise SystemExit("README.md is out of date: run scripts/readme.py")
    README.write_text(after, encoding="utf-8")
