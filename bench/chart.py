"""Draw docs/performance.svg from docs/performance.json; `bench/run.py` does so after each run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

DOCS = Path(__file__).parent.parent / "docs"
# Workload, figure, unit.
PANELS = (("a", "wall_seconds", "s"), ("b", "wall_seconds", "s"), ("d", "cpu_seconds", "s of CPU"))
WIDTH, LABELS, ROW, GAP = 760, 200, 24, 44
BARS = WIDTH - LABELS - 130
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}"
    ".ours{fill:#1f6feb}.peer{fill:#8c959f}.limit{fill:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.limit{fill:#484f58}}"
)


def draw(document: dict[str, Any]) -> str:
    """An SVG with one panel of bars for each workload that was measured."""
    shapes: list[str] = []
    y = 0
    for letter, figure, unit in PANELS:
        workload = document["workloads"].get(letter)
        if workload is None:
            continue
        y += GAP
        shapes.append(f'<text class="title" x="0" y="{y - 10}">{escape(workload["title"])}</text>')
        rows = [row for row in workload["rows"] if row[figure]]
        longest = max(row[figure] for row in rows)
        for row in rows:
            value = row[figure]
            width = max(value / longest * BARS, 1)
            middle = y + ROW / 2 + 4
            label = f"{value:,.1f} {unit}"
            shapes += (
                f'<text x="0" y="{middle}">{escape(row["who"])}</text>',
                f'<rect class="{kind(row["who"])}" x="{LABELS}" y="{y + 3}" '
                f'width="{width:.1f}" height="{ROW - 6}" rx="2"/>',
                f'<text x="{LABELS + width + 8:.1f}" y="{middle}">{label}</text>',
            )
            y += ROW
    size = f'width="{WIDTH}" height="{y + 10}" viewBox="0 0 {WIDTH} {y + 10}"'
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


def kind(who: str) -> str:
    if who.startswith("ours"):
        return "ours"
    return "limit" if who.startswith("limit") else "peer"


if __name__ == "__main__":
    published = json.loads((DOCS / "performance.json").read_text())
    (DOCS / "performance.svg").write_text(draw(published))
