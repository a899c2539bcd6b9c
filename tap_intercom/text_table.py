"""Tables as text in aligned columns, for terminals and the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def lines(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return a heading line and one line per row; numbers are right-aligned."""
    heads = list(rows[0])
    texts = [
        [head.replace("_", " ") for head in heads],
        *([_text(row[head]) for head in heads] for row in rows),
    ]
    widths = [max(len(text) for text in column) for column in zip(*texts, strict=True)]
    is_number = [_are_numbers([row[head] for row in rows]) for head in heads]
    return [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(cells, widths, is_number, strict=True)
        ).rstrip()
        for cells in texts
    ]


def _are_numbers(column: Sequence[object]) -> bool:
    kinds = {type(value) for value in column} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
