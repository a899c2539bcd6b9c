"""Tables as text in aligned columns, for terminals and the log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

GAP = "  "


def lines(rows: Sequence[Mapping[str, object]], width: int | None = None) -> list[str]:
    """Return a heading line and the lines of each row; numbers are right-aligned.

    width: the longest line; cells of the widest columns continue on the next line.
    """
    heads = list(rows[0])
    texts = [
        [head.replace("_", " ") for head in heads],
        *([_text(row[head]) for head in heads] for row in rows),
    ]
    widths = _fitting([max(map(len, column)) for column in zip(*texts, strict=True)], width)
    is_number = [_are_numbers([row[head] for row in rows]) for head in heads]
    return [
        GAP.join(
            text.rjust(size) if right else text.ljust(size)
            for text, size, right in zip(cells, widths, is_number, strict=True)
        ).rstrip()
        for row in texts
        for cells in _wrapped(row, widths)
    ]


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a text in lines; all but the first begin with the indent."""
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True
    ) or [""]


def _fitting(widths: list[int], width: int | None) -> list[int]:
    """Return the widths of columns, with the widest ones cut until a line fits."""
    if width is None:
        return widths
    room = width - len(GAP) * (len(widths) - 1)
    limit = max(widths)
    while limit > 1 and sum(min(each, limit) for each in widths) > room:
        limit -= 1
    return [min(each, limit) for each in widths]


def _wrapped(cells: list[str], widths: list[int]) -> Iterator[Sequence[str]]:
    """Yield the lines of a row."""
    if all(len(text) <= width for text, width in zip(cells, widths, strict=True)):
        yield cells
        return
    columns = [wrapped(text, width) for text, width in zip(cells, widths, strict=True)]
    yield from zip_longest(*columns, fillvalue="")


def _are_numbers(column: Sequence[object]) -> bool:
    kinds = {type(value) for value in column} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
