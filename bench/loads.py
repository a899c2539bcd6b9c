"""(g) Time to a loaded table: the taps with real targets, and a connector that loads by itself.

Each pair runs as a shell would run it, with a plain pipe between the two. The settings that we
recommend are those of docs/targets.md, so what users copy is what is measured.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

from measure import (
    FOLDER,
    NO_RATE_LIMIT,
    PEER,
    ROOT,
    TAP,
    Command,
    Sandbox,
    discover,
    sandbox,
    write,
)
from workloads import Goal, Settings

sys.path.insert(0, str(ROOT / "tests" / "support"))

from loaded_tables import postgresql, target_bin, url_of_postgresql

PAGE = ROOT / "docs" / "targets.md"
CONTACTS, CONVERSATIONS, PARTS = 20_000, 3_000, 20_000
STREAMS = ("contacts", "conversations", "conversation_parts")
# What the connector of another family reads.
TOP_STREAMS = ("contacts", "conversations")
AS_IT_COMES, RECOMMENDED, VALIDATING = "as it comes", "recommended", "with validation"
OTHER = FOLDER / "dlt" / "bin" / "python"
OTHER_REQUIREMENTS = ("dlt[duckdb]==1.31.0", "duckdb==1.2.2")
TARGET_LOG = FOLDER / "loads-target.log"
SAMPLE_SECONDS = 0.02
# PGHOST may name a server with other tables.
SCHEMA = "tap_intercom_bench"

_COUNT_POSTGRESQL = """
import json, sys, psycopg2
cursor = psycopg2.connect(**json.loads(sys.argv[1])).cursor()
for table in sys.argv[3:]:
    cursor.execute(f'select count(*) from "{sys.argv[2]}"."{table}"')
    print(cursor.fetchone()[0])
"""
_CLEAR_POSTGRESQL = """
import json, sys, psycopg2
with psycopg2.connect(**json.loads(sys.argv[1])) as connection:
    connection.cursor().execute(f'drop schema if exists "{sys.argv[2]}" cascade')
"""
_COUNT_DUCKDB = """
import duckdb, sys
database = duckdb.connect(sys.argv[1], read_only=True)
for table in sys.argv[3:]:
    print(database.execute(f"select count(*) from {sys.argv[2]}.{table}").fetchone()[0])
"""


@dataclass(frozen=True)
class Target:
    """A target with its settings.

    count: how many rows some of its tables have. clear: removes all that it loaded.
    server: where the process of its database says its number.
    """

    name: str
    settings: str
    program: Path
    config: dict[str, Any]
    count: Callable[[Sequence[str]], int]
    clear: Callable[[], object]
    server: Path | None = None

    @property
    def label(self) -> str:
        return f"{self.name}, {self.settings}"


@dataclass(frozen=True)
class Load:
    """What one run took. waited_seconds: how long the target waited for a tap that still ran."""

    wall_seconds: float
    tap_cpu_seconds: float
    target_cpu_seconds: float
    rows: int
    waited_seconds: float = 0.0
    database_cpu_seconds: float = 0.0


@dataclass
class LoadRow:
    """The medians of the runs of one pair. note: why there are no figures."""

    tap: str
    target: str
    wall_seconds: float = 0.0
    tap_cpu_seconds: float = 0.0
    target_cpu_seconds: float = 0.0
    database_cpu_seconds: float = 0.0
    waited_seconds: float = 0.0
    rows: int = 0
    note: str = ""

    @property
    def loading_seconds(self) -> float:
        """CPU of the target and its database, which the settings of the target can change."""
        return self.target_cpu_seconds + self.database_cpu_seconds

    @property
    def waited_share(self) -> float:
        return self.waited_seconds / self.wall_seconds


@dataclass
class LoadResult:
    title: str
    rows: list[LoadRow]
    goals: list[Goal]

    def document(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "rows": [asdict(row) for row in self.rows],
            "goals": [asdict(goal) | {"is_met": goal.is_met} for goal in self.goals],
        }


class LoadFailed(Exception):
    """A process of a pair failed; the message is the last line of its log."""


def time_to_loaded_tables(settings: Settings) -> LoadResult:
    sizes = {
        "contacts": settings.size(CONTACTS),
        "conversations": settings.size(CONVERSATIONS),
        "parts": settings.size(PARTS),
    }
    install_other()
    loads: dict[tuple[str, str], list[Load | str]] = {}
    with sandbox(0, NO_RATE_LIMIT, **sizes) as server, postgresql() as database:
        pairs = pairs_of(server, targets_for(database), settings)
        for _ in range(settings.repeat):
            for names, load in pairs.items():
                try:
                    found: Load | str = load()
                except LoadFailed as failure:
                    found = str(failure)
                loads.setdefault(names, []).append(found)
    rows = [load_row(*names, of_pair) for names, of_pair in loads.items()]
    title = (
        f"{sizes['contacts']:,} contacts, {sizes['conversations']:,} conversations and "
        f"{sizes['parts']:,} parts into tables, no latency, no rate limit"
    )
    return LoadResult(title, rows, goals(rows))


def pairs_of(
    server: Sandbox, targets: Sequence[Target], settings: Settings
) -> dict[tuple[str, str], Callable[[], Load]]:
    """How to run each tap with each target, by their names."""
    ours = tap_of_ours(server, STREAMS)
    pairs: dict[tuple[str, str], Callable[[], Load]] = {
        ("ours", target.label): partial(load_with, ours, target, STREAMS) for target in targets
    }
    if settings.with_peer:
        peer = tap_of_peer(server)
        for target in targets:
            if target.settings == RECOMMENDED or target.name == "target-jsonl":
                pairs["PyPI tap", target.label] = partial(load_with, peer, target, STREAMS)
    duckdb = next(each for each in targets if each.label == f"target-duckdb, {RECOMMENDED}")
    ours = tap_of_ours(server, TOP_STREAMS)
    pairs["ours", f"{duckdb.label}, no parts"] = partial(load_with, ours, duckdb, TOP_STREAMS)
    pairs["dlt", "DuckDB, no parts"] = partial(load_with_other, server)
    return pairs


def goals(rows: Sequence[LoadRow]) -> list[Goal]:
    by_target = {row.target: row for row in rows if row.tap == "ours" and not row.note}

    def ratio(name: str, before: str) -> float | None:
        slow, fast = by_target.get(f"{name}, {before}"), by_target.get(f"{name}, {RECOMMENDED}")
        return slow.loading_seconds / fast.loading_seconds if slow and fast else None

    waits = [row.waited_share for row in by_target.values()]
    return [
        Goal(
            f"{name}, CPU of target and database {before} / {RECOMMENDED}",
            ratio(name, before),
            2.5,
            at_least=True,
        )
        for name, before in (
            ("MeltanoLabs target-postgres", AS_IT_COMES),
            ("PipelineWise target-postgres", AS_IT_COMES),
            ("PipelineWise target-postgres", VALIDATING),
        )
    ] + [Goal("largest share of a run that a target waits for the tap", max(waits), 0.1)]


def targets_for(server: dict[str, Any]) -> list[Target]:
    """Each target as it comes and as docs/targets.md recommends, where that is different."""
    url = url_of_postgresql(server)
    by_parts = {**server, "default_target_schema": SCHEMA}
    lines, database = FOLDER / "lines", FOLDER / "bench.duckdb"
    in_lines = {"destination_path": str(lines), "do_timestamp_file": False}
    in_duckdb = {"path": str(database), "database": database.stem, "default_target_schema": "main"}
    in_meltano = {"sqlalchemy_url": url, "default_target_schema": SCHEMA}
    of_duckdb = _duckdb_target(in_duckdb, database)
    of_meltano = _postgresql_target("MeltanoLabs", in_meltano, server)
    of_pipelinewise = _postgresql_target("PipelineWise", by_parts, server)
    return [
        _lines_target(in_lines, lines),
        of_duckdb,
        recommended(of_duckdb, in_duckdb),
        of_meltano,
        recommended(of_meltano, in_meltano),
        of_pipelinewise,
        recommended(of_pipelinewise, by_parts),
        replace(
            of_pipelinewise,
            settings=VALIDATING,
            config=of_pipelinewise.config | {"validate_records": True},
        ),
    ]


def recommended(target: Target, place: dict[str, Any]) -> Target:
    """A target with the settings of the page, but for those that say where to load."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(rf"<!-- settings {target.name} -->\n```json\n(.*?)```", page, re.DOTALL)
    if block is None:
        raise SystemExit(f"{PAGE} has no settings for {target.name}.")
    elsewhere = {"host", "port", "user", "password", "database", "dbname", "path"}
    chosen = {key: value for key, value in json.loads(block[1]).items() if key not in elsewhere}
    return replace(target, settings=RECOMMENDED, config=chosen | place)


def _lines_target(config: dict[str, Any], folder: Path) -> Target:
    def count(tables: Sequence[str]) -> int:
        return sum((folder / f"{table}.jsonl").read_bytes().count(b"\n") for table in tables)

    program = target_bin("jsonl") / "target-jsonl"
    return Target("target-jsonl", AS_IT_COMES, program, config, count, partial(_remove, folder))


def _duckdb_target(config: dict[str, Any], database: Path) -> Target:
    programs = target_bin("duckdb")
    count = partial(_count, [programs / "python", "-c", _COUNT_DUCKDB, database, "main"])
    program = programs / "target-duckdb"
    return Target("target-duckdb", AS_IT_COMES, program, config, count, partial(_remove, database))


def _postgresql_target(who: str, config: dict[str, Any], server: dict[str, Any]) -> Target:
    programs = target_bin(f"{who.lower()}-postgres")
    # Its driver, which also reads what the other target loaded.
    python = target_bin("pipelinewise-postgres") / "python"
    database = json.dumps(server)
    return Target(
        f"{who} target-postgres",
        AS_IT_COMES,
        programs / "target-postgres",
        config,
        partial(_count, [python, "-c", _COUNT_POSTGRESQL, database, SCHEMA]),
        lambda: subprocess.check_call([python, "-c", _CLEAR_POSTGRESQL, database, SCHEMA]),
        Path(server["host"]) / "postmaster.pid",
    )


def _remove(path: Path) -> None:
    rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)


def _count(command: Command, tables: Sequence[str]) -> int:
    return sum(map(int, subprocess.check_output([*command, *tables]).split()))


def load_with(tap: Command, target: Target, tables: Sequence[str]) -> Load:
    """Run a tap and a target with a pipe between them, to the end of both."""
    target.clear()
    config = write("target.json", target.config)
    before = _database_seconds(target.server)
    reader, writer = os.pipe()
    with (FOLDER / "loads-tap.log").open("wb") as tap_log, TARGET_LOG.open("wb") as target_log:
        started = time.perf_counter()
        loading = subprocess.Popen(
            [target.program, "--config", config],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=target_log,
            cwd=FOLDER,
        )
        reading = subprocess.Popen(tap, stdout=writer, stderr=tap_log)
    os.close(writer)
    waited = _waited_seconds(loading.pid, reader)
    os.close(reader)
    loading_seconds = _cpu_seconds(loading)
    wall = time.perf_counter() - started
    reading_seconds = _cpu_seconds(reading)
    for process, log in ((loading, TARGET_LOG), (reading, FOLDER / "loads-tap.log")):
        if process.returncode:
            raise LoadFailed(last_line(log))
    return Load(
        wall,
        reading_seconds,
        loading_seconds,
        rows=target.count(tables),
        waited_seconds=waited,
        database_cpu_seconds=_database_seconds(target.server) - before,
    )


def load_with_other(server: Sandbox) -> Load:
    database = FOLDER / "other.duckdb"
    _remove(database)
    _remove(FOLDER / "other.duckdb.dlt")
    command: Command = [OTHER, ROOT / "bench" / "other.py", server.url]
    token = str(server.config["access_token"])
    with TARGET_LOG.open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen([*command, token, database], stdout=log, stderr=log, cwd=FOLDER)
    seconds = _cpu_seconds(process)
    wall = time.perf_counter() - started
    if process.returncode:
        raise LoadFailed(last_line(TARGET_LOG))
    python = target_bin("duckdb") / "python"
    rows = _count([python, "-c", _COUNT_DUCKDB, database, "intercom"], TOP_STREAMS)
    return Load(wall, 0.0, seconds, rows)


def _waited_seconds(target: int, pipe: int) -> float:
    """How long a target sleeps before an empty pipe that a tap still writes to; until it ends.

    The time before the first line does not count: a tap must ask Intercom first.
    """
    waited, sampled, has_begun = 0.0, time.perf_counter(), False
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    while True:
        time.sleep(SAMPLE_SECONDS)
        now = time.perf_counter()
        (_, events), *_ = poller.poll(0) or [(pipe, 0)]
        if events & select.POLLHUP or _state_of(target) == "Z":
            return waited
        has_begun = has_begun or bool(events)
        if has_begun and not events and _state_of(target) == "S":
            waited += now - sampled
        sampled = now


def _state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process, and give what it and its children used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _database_seconds(server: Path | None) -> float:
    """What a PostgreSQL server on this machine and its ended connections used."""
    if server is None or not server.exists():
        return 0.0
    process = server.read_text().split()[0]
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:160] if lines else "no log"


def tap_of_ours(server: Sandbox, streams: Sequence[str]) -> Command:
    name = f"loads-ours-{len(streams)}"
    command: list[str | Path] = [TAP, "--config", write(f"{name}.config.json", server.config)]
    return [*command, "--catalog", discover(command, streams, name)]


def tap_of_peer(server: Sandbox) -> Command:
    config = write("loads-peer.config.json", {"user_agent": "bench", **server.config})
    command: list[str | Path] = [PEER, ROOT / "bench" / "peer.py", server.url, "--config", config]
    return [*command, "--catalog", discover(command, STREAMS, "loads-peer")]


def install_other() -> None:
    """Make the environment of the connector of another family."""
    if (OTHER.parent / "dlt").exists():
        return
    subprocess.check_call([sys.executable, "-m", "venv", FOLDER / "dlt"])
    install: Command = [OTHER, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.check_call([*install, *OTHER_REQUIREMENTS])


def load_row(tap: str, target: str, loads: Sequence[Load | str]) -> LoadRow:
    done = [each for each in loads if isinstance(each, Load)]
    if len(done) < len(loads):
        return LoadRow(tap, target, note=next(each for each in loads if isinstance(each, str)))
    return LoadRow(
        tap,
        target,
        wall_seconds=median(each.wall_seconds for each in done),
        tap_cpu_seconds=median(each.tap_cpu_seconds for each in done),
        target_cpu_seconds=median(each.target_cpu_seconds for each in done),
        database_cpu_seconds=median(each.database_cpu_seconds for each in done),
        waited_seconds=median(each.waited_seconds for each in done),
        rows=int(median(each.rows for each in done)),
    )
