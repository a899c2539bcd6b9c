"""Measure the tap against the one on PyPI and against computed limits: `make bench`.

Everything runs on the sandbox, on this machine, interleaved: read the ratios, not the seconds.
Writes .bench/results.json; a run at full size with the PyPI tap also writes docs/performance.json
and the chart made from it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import date
from typing import Any

import chart
from measure import FOLDER, PEER_REQUIREMENT, ROOT, install_peer
from workloads import WORKLOADS, Result, Row, Settings

RESULTS = FOLDER / "results.json"
PUBLISHED = ROOT / "docs" / "performance.json"
CHART = ROOT / "docs" / "performance.svg"
BUSY = 0.8


def main() -> int:
    options = parse_arguments()
    settings = Settings(0.1 if options.quick else 1.0, options.repeat, not options.no_peer)
    FOLDER.mkdir(exist_ok=True)
    if settings.with_peer:
        install_peer()
    results: dict[str, Result] = {}
    for letter in options.only:
        results[letter] = WORKLOADS[letter](settings)
        print(text(letter, results[letter]), flush=True)
        RESULTS.write_text(json.dumps(document(results, {}), indent=1) + "\n")
    if settings.scale == 1 and settings.with_peer:
        known = json.loads(PUBLISHED.read_text()) if PUBLISHED.exists() else {}
        published = document(results, known.get("workloads", {}))
        PUBLISHED.write_text(json.dumps(published, indent=1) + "\n")
        CHART.write_text(chart.draw(published))
    goals = [goal for result in results.values() for goal in result.goals]
    print(f"{sum(goal.is_met is True for goal in goals)} of {len(goals)} goals met")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=letters, default=list(WORKLOADS), metavar="a,b")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument(
        "--repeat", type=int, default=2, metavar="N", help="runs to take medians of"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave out the tap of PyPI")
    return parser.parse_args()


def letters(value: str) -> list[str]:
    chosen = value.split(",")
    if not set(chosen) <= set(WORKLOADS):
        raise argparse.ArgumentTypeError(f"choose from {','.join(WORKLOADS)}")
    return chosen


def document(results: dict[str, Result], known: dict[str, Any]) -> dict[str, Any]:
    """All that is kept; workloads that did not run stay as they are known."""
    measured = {
        letter: result.document()
        | {
            "date": date.today().isoformat(),
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        }
        for letter, result in results.items()
    }
    return {"peer": PEER_REQUIREMENT, "workloads": dict(sorted((known | measured).items()))}


def text(letter: str, result: Result) -> str:
    """A table of one workload, and its goals."""
    head = (
        "",
        "wall s",
        "CPU s",
        "µs/record",
        "peak MB",
        "requests",
        "429s",
        "per 10 s",
        "sandbox",
    )
    lines = [f"\n({letter}) {result.title}", columns(head)]
    lines += [columns(cells(row)) + f"  {row.note}" for row in result.rows]
    if any((row.sandbox_cpu_share or 0) > BUSY for row in result.rows):
        lines.append("  The sandbox was busy for most of a run: it may be the bottleneck.")
    for goal in result.goals:
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[goal.is_met]
        value = "-" if goal.value is None else f"{goal.value:.2f}"
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"
        lines.append(f"  {goal.what}: {value} (goal {bound}) {verdict}")
    return "\n".join(lines)


def cells(row: Row) -> tuple[str, ...]:
    is_run = row.peak_megabytes is not None
    return (
        row.who,
        f"{row.wall_seconds:.2f}",
        f"{row.cpu_seconds:.2f}" if row.cpu_seconds else "",
        f"{row.cpu_per_record * 1e6:.1f}" if row.records and row.cpu_seconds else "",
        f"{row.peak_megabytes:.0f}" if row.peak_megabytes is not None else "",
        f"{row.requests:,}" if row.requests else "",
        str(row.rate_limited) if is_run else "",
        f"{row.highest_rate_per_window:,}" if is_run else "",
        f"{row.sandbox_cpu_share:.0%}" if row.sandbox_cpu_share else "",
    )


def columns(texts: tuple[str, ...]) -> str:
    return f"  {texts[0]:<28}" + "".join(f"{each:>10}" for each in texts[1:])


if __name__ == "__main__":
    sys.exit(main())
