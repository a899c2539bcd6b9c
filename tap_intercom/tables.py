"""Tables as text in aligned columns, for terminals and the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def lines(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """A line of heads and one for each row; numbers stand at the right."""
    heads = list(rows[0])
    texts = [heads, *([_text(row[head]) for head in heads] for row in rows)]
    widths = [max(len(text) for text in column) for column in zip(*texts, strict=True)]
    is_number = [all(_is_number(row[head]) for row in rows) for head in heads]
    return [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(cells, widths, is_number, strict=True)
        ).rstrip()
        for cells in texts
    ]


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
