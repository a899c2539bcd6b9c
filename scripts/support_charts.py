"""Draw the charts of docs/dbt.md: the sample of support_sample.py, through the tap and dbt.

The tap loads a sandbox into DuckDB, dbt builds the models of examples/dbt, and these give the
figures. It needs `make targets` and `make .venv-e2e/dbt/.installed`. --check reports outdated
charts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from support_sample import END, TEAMMATES, TEAMS, support_workspace

from intercom_sandbox import Sandbox

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PROJECT = ROOT / "examples" / "dbt"
TAP = Path(sys.executable).with_name("tap-intercom")
TARGET = ROOT / ".venv-targets" / "duckdb" / "bin" / "target-duckdb"
DBT_BIN = ROOT / ".venv-e2e" / "dbt" / "bin"
MODELS = ("first_response_by_team_and_week", "reopened_by_week", "load_by_teammate_and_hour")
SELECT = """
import duckdb, json, sys
database = duckdb.connect(sys.argv[1], read_only=True)
for model in sys.argv[2:]:
    rows = database.execute(f"select to_json(each) from intercom_support.{model} each").fetchall()
    print(json.dumps([json.loads(row) for row, in rows]))
"""

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 64, 110, 48, 56
PLOT_HEIGHT = 220
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}"
    ".small{font-size:12px}.middle{text-anchor:middle}.end{text-anchor:end}"
    ".grid{stroke:#d0d7de;stroke-width:1}.line{fill:none;stroke-width:2.5}"
    ".s0{stroke:#0969da}.s1{stroke:#bc4c00;stroke-dasharray:7 3}"
    ".s2{stroke:#1a7f37;stroke-dasharray:2 3}"
    ".t0{fill:#0969da}.t1{fill:#bc4c00}.t2{fill:#1a7f37}"
    ".rest{fill:#8c959f}.part{fill:#bc4c00}.cell{fill:#0969da}.empty{fill:#afb8c1;fill-opacity:.15}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}"
    ".s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#56d364}"
    ".t0{fill:#58a6ff}.t1{fill:#f0883e}.t2{fill:#56d364}"
    ".rest{fill:#6e7681}.part{fill:#f0883e}.cell{fill:#388bfd}}"
)

Row = Mapping[str, Any]


def main() -> int:
    answers = read_answers()
    charts = {
        "dbt-first-response.svg": first_response(answers[MODELS[0]]),
        "dbt-reopened.svg": reopened(answers[MODELS[1]]),
        "dbt-load.svg": load(answers[MODELS[2]]),
    }
    is_check = "--check" in sys.argv[1:]
    code = 0
    for name, chart in charts.items():
        path = DOCS / name
        if is_check and (not path.exists() or path.read_text(encoding="utf-8") != chart):
            print(f"{name} is not what {Path(__file__).name} draws", file=sys.stderr)
            code = 1
        elif not is_check:
            path.write_text(chart, encoding="utf-8")
    return code


# -- Figures -------------------------------------------------------------------------------------


def read_answers() -> dict[str, list[Row]]:
    """The rows of each model, after a run of the tap and a build."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(support_workspace(), clock=END.timestamp) as sandbox,
    ):
        database = Path(folder) / "warehouse.duckdb"
        config = {
            "access_token": sandbox.token,
            "start_date": "2026-01-01",
            "base_url": sandbox.url,
        }
        target_config = {
            "path": str(database),
            "database": database.stem,
            "default_target_schema": "main",
            "add_metadata_columns": True,
        }
        _write(folder, "config.json", config)
        _write(folder, "target.json", target_config)
        tap = [str(TAP), "run", "--config", "config.json", "--state", "state.json"]
        _run([*tap, "--", str(TARGET), "--config", "target.json"], folder)
        environment = {
            "INTERCOM_DUCKDB": str(database),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_TARGET_PATH": f"{folder}/target",
            "DBT_LOG_PATH": f"{folder}/logs",
        }
        project = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        _run([str(DBT_BIN / "dbt"), "run", *project], folder, environment)
        command = [str(DBT_BIN / "python"), "-c", SELECT, str(database), *MODELS]
        lines = _run(command, folder).splitlines()
        return {model: json.loads(line) for model, line in zip(MODELS, lines, strict=True)}


def _write(folder: str, name: str, document: Any) -> None:
    (Path(folder) / name).write_text(json.dumps(document), encoding="utf-8")


def _run(command: list[str], folder: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


# -- Charts --------------------------------------------------------------------------------------


def first_response(rows: Sequence[Row]) -> str:
    """Lines: the median time until a teammate answers, of each team."""
    weeks = sorted({row["week"] for row in rows})
    medians = {(row["team_name"], row["week"]): row["median_minutes"] for row in rows}
    step = 30
    highest = -(-max(filter(None, medians.values())) // step) * step
    xs = _places(len(weeks))
    shapes = [*_y_axis(highest, step, "median, minutes"), *_weeks(weeks, xs)]
    ends = []
    for number, team in enumerate(TEAMS):
        points = [
            (x, _y(medians[team.name, week] / highest))
            for x, week in zip(xs, weeks, strict=True)
            if medians.get((team.name, week)) is not None
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        shapes.append(f'<polyline class="line s{number}" points="{path}"/>')
        ends.append((points[-1][1], number, team.name))
    below = 0.0
    for y, number, name in sorted(ends):
        below = max(y + 4, below)
        shapes.append(
            f'<text class="t{number}" x="{xs[-1] + 12:.1f}" y="{below:.1f}">{name}</text>'
        )
        below += 16
    caption = "week in which the contact asked, from Monday (UTC)"
    return _svg("Time until a teammate first answers, by team", caption, shapes)


def reopened(rows: Sequence[Row]) -> str:
    """Bars: how many conversations were closed, and how many of them were reopened."""
    rows = sorted(rows, key=lambda row: row["week"])
    step = 10
    highest = -(-max(row["closed"] for row in rows) // step) * step
    xs = _places(len(rows))
    width = (xs[1] - xs[0]) * 0.62
    shapes = [*_y_axis(highest, step, "conversations"), *_weeks([row["week"] for row in rows], xs)]
    for row, x in zip(rows, xs, strict=True):
        for kind, count in (("rest", row["closed"]), ("part", row["reopened"])):
            y = _y(count / highest)
            shapes.append(
                f'<rect class="{kind}" x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" '
                f'height="{_y(0) - y:.1f}"/>'
            )
        label = f"{row['reopened_percent']:.0f}%"
        y = _y(row["closed"] / highest) - 5
        shapes.append(f'<text class="small middle" x="{x:.1f}" y="{y:.1f}">{label}</text>')
    for number, (kind, label) in enumerate((("rest", "stayed closed"), ("part", "reopened"))):
        y = TOP + 30 + 20 * number
        x = WIDTH - RIGHT + 8
        shapes.append(f'<rect class="{kind}" x="{x}" y="{y - 10}" width="11" height="11"/>')
        shapes.append(f'<text class="small" x="{x + 16}" y="{y}">{label}</text>')
    caption = "week of the first close, from Monday (UTC); above each bar: reopened, % of closed"
    return _svg("Closed conversations that were reopened, by week", caption, shapes)


def load(rows: Sequence[Row]) -> str:
    """Cells: how many messages each teammate wrote in each hour of the day."""
    counts = {(row["admin_name"], row["hour_of_day"]): row["messages"] for row in rows}
    most = max(counts.values())
    left, height = 110, 28
    width = (WIDTH - left - 12) / 24
    shapes = []
    for line, teammate in enumerate(TEAMMATES):
        y = TOP + line * height
        shapes.append(f'<text x="0" y="{y + 18}">{escape(teammate.name)}</text>')
        for hour in range(24):
            count = counts.get((teammate.name, hour), 0)
            x = left + hour * width
            place = f'x="{x:.1f}" y="{y}" width="{width - 2:.1f}" height="{height - 2}" rx="2"'
            if not count:
                shapes.append(f'<rect class="empty" {place}/>')
                continue
            opacity = 0.12 + 0.5 * count / most
            shapes.append(f'<rect class="cell" fill-opacity="{opacity:.2f}" {place}/>')
            middle = f'x="{x + width / 2 - 1:.1f}" y="{y + 18}"'
            shapes.append(f'<text class="small middle" {middle}>{count}</text>')
    bottom = TOP + len(TEAMMATES) * height
    for hour in range(0, 24, 2):
        x = left + (hour + 0.5) * width - 1
        shapes.append(f'<text class="small middle" x="{x:.1f}" y="{bottom + 16}">{hour}</text>')
    title = "Messages to contacts, by teammate and hour of the day"
    caption = "hour of the day (UTC); number of messages in twelve weeks"
    return _svg(title, caption, shapes, bottom + 42)


def _svg(
    title: str, caption: str, shapes: Sequence[str], height: int = TOP + PLOT_HEIGHT + BOTTOM
) -> str:
    heading = f'<text class="title" x="0" y="18">{escape(title)}</text>'
    middle = (LEFT + WIDTH - RIGHT) // 2
    below = f'<text class="small middle" x="{middle}" y="{height - 6}">{caption}</text>'
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    body = "\n".join([heading, *shapes, below])
    label = f'role="img" aria-label="{escape(title)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _places(count: int) -> list[float]:
    """The middles of equal columns, from left to right."""
    width = (WIDTH - LEFT - RIGHT) / count
    return [LEFT + width * (number + 0.5) for number in range(count)]


def _y(share: float) -> float:
    """How far down a share of the highest value is."""
    return TOP + PLOT_HEIGHT * (1 - share)


def _y_axis(highest: float, step: int, unit: str) -> Iterator[str]:
    for value in range(0, int(highest) + 1, step):
        y = _y(value / highest)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="small end" x="{LEFT - 8}" y="{y + 4:.1f}">{value}</text>'
    middle = TOP + PLOT_HEIGHT / 2
    turn = f'transform="rotate(-90 14 {middle:.0f})"'
    yield f'<text class="small middle" x="14" y="{middle:.0f}" {turn}>{unit}</text>'


def _weeks(weeks: Sequence[str], xs: Sequence[float]) -> Iterator[str]:
    for week, x in list(zip(weeks, xs, strict=True))[:: 1 if len(weeks) <= 12 else 2]:
        day = date.fromisoformat(week)
        label = f"{day.day} {day:%b}"
        yield f'<text class="small middle" x="{x:.1f}" y="{_y(0) + 18:.1f}">{label}</text>'


if __name__ == "__main__":
    sys.exit(main())
