"""The figures of a workload, as text for the terminal and as Markdown for the documentation."""

from __future__ import annotations

import re
from typing import Any

HEADS = (
    "",
    "wall s",
    "CPU s",
    "µs/record",
    "peak MB",
    "requests",
    "429s",
    "per 10 s",
    "sandbox",
    "",
)
# A sandbox that computes for as much of a run may be what the run waits for.
BUSY = 0.8

LOAD_HEADS = (
    "tap",
    "target",
    "rows",
    "wall s",
    "rows/s",
    "CPU tap",
    "CPU target",
    "CPU database",
    "target waits s",
    "",
)

Workload = dict[str, Any]
"""What `workloads.Result.document` gives."""


def text(letter: str, workload: Workload) -> str:
    lines = [f"\n({letter}) {workload['title']}"]
    for row in (HEADS, *map(cells, workload["rows"])):
        figures = "".join(f"{figure:>10}" for figure in row[1:-1])
        lines.append(f"  {row[0]:<28}{figures}  {row[-1]}".rstrip())
    return "\n".join(lines + [f"  {line}" for line in verdicts(workload)])


def markdown(document: dict[str, Any]) -> str:
    parts = []
    for letter, workload in document["workloads"].items():
        rows = [HEADS, ("---", *["---:"] * (len(HEADS) - 2), "---")]
        rows += map(cells, workload["rows"])
        lines = [f"### ({letter}) {workload['title']}", ""]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += ["", *(f"- {line}" for line in verdicts(workload))]
        lines += ["", f"{workload['date']}, Python {workload['python']}, {workload['machine']}."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def with_figures(page: str, figures: str) -> str:
    """The page with other figures between `<!-- figures -->` and `<!-- /figures -->`."""
    pattern = re.compile(r"(<!-- figures -->\n).*(<!-- /figures -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{figures}\n{match[2]}", page)


def loads_text(letter: str, workload: Workload) -> str:
    lines = [f"\n({letter}) {workload['title']}"]
    for row in (LOAD_HEADS, *map(load_cells, workload["rows"])):
        figures = "".join(f"{figure:>15}" for figure in row[2:-1])
        lines.append(f"  {row[0]:<9}{row[1]:<46}{figures}  {row[-1]}".rstrip())
    return "\n".join(lines + [f"  {line}" for line in goal_lines(workload)])


def loads_markdown(workload: Workload) -> str:
    rows = [LOAD_HEADS, ("---", "---", *["---:"] * (len(LOAD_HEADS) - 3), "---")]
    rows += map(load_cells, workload["rows"])
    lines = [f"### {workload['title']}", ""]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", *(f"- {line}" for line in goal_lines(workload))]
    lines += ["", f"{workload['date']}, Python {workload['python']}, {workload['machine']}."]
    return "\n".join(lines)


def load_cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row["note"]:
        return (row["tap"], row["target"], *[""] * (len(LOAD_HEADS) - 3), row["note"])
    seconds = row["wall_seconds"]
    return (
        row["tap"],
        row["target"],
        f"{row['rows']:,}",
        f"{seconds:.1f}",
        f"{row['rows'] / seconds:,.0f}",
        *(
            f"{row[figure]:.1f}" if row[figure] else ""
            for figure in (
                "tap_cpu_seconds",
                "target_cpu_seconds",
                "database_cpu_seconds",
                "waited_seconds",
            )
        ),
        "",
    )


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    records, seconds, peak = row["records"], row["cpu_seconds"], row["peak_megabytes"]
    is_run = peak is not None
    share = row["sandbox_cpu_share"]
    return (
        row["who"],
        f"{row['wall_seconds']:.2f}",
        f"{seconds:.2f}" if seconds else "",
        f"{seconds / records * 1e6:.1f}" if records and seconds else "",
        f"{peak:.0f}" if is_run else "",
        f"{row['requests']:,}" if row["requests"] else "",
        str(row["rate_limited"]) if is_run else "",
        f"{row['highest_rate_per_window']:,}" if is_run else "",
        f"{share:.0%}" if share else "",
        row["note"],
    )


def verdicts(workload: Workload) -> list[str]:
    lines = goal_lines(workload)
    if any((row["sandbox_cpu_share"] or 0) > BUSY for row in workload["rows"]):
        lines.append("the sandbox was busy for most of a run: it may be the bottleneck")
    return lines


def goal_lines(workload: Workload) -> list[str]:
    lines = []
    for goal in workload["goals"]:
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[goal["is_met"]]
        value = "-" if goal["value"] is None else f"{goal['value']:.2f}"
        bound = f"{'≥' if goal['at_least'] else '≤'} {goal['bound']:g}"
        lines.append(f"{goal['what']}: {value} (goal {bound}) {verdict}")
    return lines
