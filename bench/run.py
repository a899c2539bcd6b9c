"""Measure the tap against the one on PyPI and against computed limits: `make bench`.

Everything runs on the sandbox, on this machine, interleaved: read the ratios, not the seconds.
Writes .bench/results.json; a run at full size with the PyPI tap also writes docs/performance.json,
and from that the figures of docs/performance.md and the chart. Workload g writes docs/targets.json
and the figures of docs/targets.md.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import sys
from datetime import date
from typing import Any

import chart
import loads
import tables
from measure import FOLDER, PEER_REQUIREMENT, ROOT, install_peer
from workloads import WORKLOADS, Result, Settings

LOADS = "g"
LETTERS = sorted((*WORKLOADS, LOADS))

RESULTS = FOLDER / "results.json"
PUBLISHED = ROOT / "docs" / "performance.json"
CHART = ROOT / "docs" / "performance.svg"
PAGE = ROOT / "docs" / "performance.md"
LOADS_RESULTS = FOLDER / "loads.json"
PUBLISHED_LOADS = ROOT / "docs" / "targets.json"


def main() -> int:
    options = parse_arguments()
    settings = Settings(options.scale, options.repeat, not options.no_peer)
    FOLDER.mkdir(exist_ok=True)
    # pip compiles what it installs, but not an editable install such as this one.
    compileall.compile_dir(ROOT / "tap_intercom", quiet=1)
    if settings.with_peer:
        install_peer()
    is_published = settings.scale == 1 and settings.with_peer
    results: dict[str, dict[str, Any]] = {}
    met: list[bool] = []
    for letter in options.only:
        if letter == LOADS:
            workload = described(loads.time_to_loaded_tables(settings))
            print(tables.loads_text(letter, workload), flush=True)
            LOADS_RESULTS.write_text(json.dumps(workload, indent=1) + "\n")
            if is_published:
                publish_loads(workload)
        else:
            workload = results[letter] = described(WORKLOADS[letter](settings))
            print(tables.text(letter, workload), flush=True)
            RESULTS.write_text(json.dumps(document(results, {}), indent=1) + "\n")
        met += [goal["is_met"] is True for goal in workload["goals"]]
    if results and is_published:
        publish(results)
    print(f"\n{sum(met)} of {len(met)} goals met")
    return 0


def publish(results: dict[str, dict[str, Any]]) -> None:
    known = json.loads(PUBLISHED.read_text()) if PUBLISHED.exists() else {}
    published = document(results, known.get("workloads", {}))
    PUBLISHED.write_text(json.dumps(published, indent=1) + "\n")
    CHART.write_text(chart.draw(published), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(tables.with_figures(page, tables.markdown(published)), encoding="utf-8")


def publish_loads(workload: dict[str, Any]) -> None:
    PUBLISHED_LOADS.write_text(json.dumps(workload, indent=1) + "\n")
    page = loads.PAGE.read_text(encoding="utf-8")
    loads.PAGE.write_text(
        tables.with_figures(page, tables.loads_markdown(workload)), encoding="utf-8"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=letters, default=LETTERS, metavar="a,b")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the sizes (default: 1)")
    parser.add_argument(
        "--quick", dest="scale", action="store_const", const=0.1, help="a tenth of the sizes"
    )
    parser.add_argument(
        "--repeat", type=int, default=2, metavar="N", help="runs to take medians of"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave out the tap of PyPI")
    return parser.parse_args()


def letters(value: str) -> list[str]:
    chosen = value.split(",")
    if not set(chosen) <= set(LETTERS):
        raise argparse.ArgumentTypeError(f"choose from {','.join(LETTERS)}")
    return chosen


def described(result: Result | loads.LoadResult) -> dict[str, Any]:
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
