"""Measure the tap against the one on PyPI and against computed limits: `make bench`.

Everything runs on the sandbox, on this machine, interleaved: read the ratios, not the seconds.
Writes .bench/results.json; a run at full size with the PyPI tap also writes docs/performance.json,
and from that the figures of docs/performance.md and the chart.
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
import tables
from measure import FOLDER, PEER_REQUIREMENT, ROOT, install_peer
from workloads import WORKLOADS, Result, Settings

RESULTS = FOLDER / "results.json"
PUBLISHED = ROOT / "docs" / "performance.json"
CHART = ROOT / "docs" / "performance.svg"
PAGE = ROOT / "docs" / "performance.md"


def main() -> int:
    options = parse_arguments()
    settings = Settings(0.1 if options.quick else 1.0, options.repeat, not options.no_peer)
    FOLDER.mkdir(exist_ok=True)
    if settings.with_peer:
        install_peer()
    results: dict[str, dict[str, Any]] = {}
    for letter in options.only:
        results[letter] = described(WORKLOADS[letter](settings))
        print(tables.text(letter, results[letter]), flush=True)
        RESULTS.write_text(json.dumps(document(results, {}), indent=1) + "\n")
    if settings.scale == 1 and settings.with_peer:
        known = json.loads(PUBLISHED.read_text()) if PUBLISHED.exists() else {}
        published = document(results, known.get("workloads", {}))
        PUBLISHED.write_text(json.dumps(published, indent=1) + "\n")
        CHART.write_text(chart.draw(published), encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(tables.with_figures(page, published), encoding="utf-8")
    goals = [goal for workload in results.values() for goal in workload["goals"]]
    print(f"\n{sum(goal['is_met'] is True for goal in goals)} of {len(goals)} goals met")
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


def described(result: Result) -> dict[str, Any]:
    """A result, and when and where it was measured."""
    return result.document() | {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f} at the end",
    }


def document(results: dict[str, dict[str, Any]], known: dict[str, Any]) -> dict[str, Any]:
    """All that is kept; workloads that did not run stay as they are known."""
    return {"peer": PEER_REQUIREMENT, "workloads": dict(sorted((known | results).items()))}


if __name__ == "__main__":
    sys.exit(main())
