"""End to end: the sandbox through the tap into real targets, each in its own environment."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import Tap, selecting
from loaded_tables import load, target_bin
from truth import STREAMS

from intercom_sandbox import Sandbox, generate
from tap_intercom.streams import STREAMS as EVERY_STREAM

COUNT_TABLES = """
import duckdb, json, sys
database = duckdb.connect(sys.argv[1], read_only=True)
count = lambda table: database.execute(f"select count(*) from {table}").fetchone()[0]
print(json.dumps({table: count(table) for table, in database.execute("show tables").fetchall()}))
"""


@pytest.fixture(scope="module")
def sandbox() -> Any:
    workspace = generate(seed=3, contacts=120, companies=30, conversations=40, parts=300, days=90)
    with Sandbox(workspace) as running:
        yield running


@pytest.fixture(scope="module")
def messages(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tap writes in a first run of every stream, those beyond the core included."""
    tap = Tap(sandbox, tmp_path_factory.mktemp("targets"))
    catalog = selecting(tap.discover(), *EVERY_STREAM)
    # Not since ever, as exports have a job for each month.
    start = datetime.now(timezone.utc) - timedelta(days=200)
    output = tap.sync(catalog=catalog, start_date=start.date().isoformat())
    assert output.code == 0, output.log
    written = tap.folder / "messages.jsonl"
    written.write_bytes(output.stdout)
    return written


@pytest.fixture(scope="module")
def truth(messages: Path, sandbox: Sandbox) -> dict[str, int]:
    """How many different records were written of each stream; of the core all there are."""
    keys: dict[str, tuple[str, ...]] = {}
    found: dict[str, set[tuple[str, ...]]] = {}
    for line in messages.read_bytes().splitlines():
        message = json.loads(line)
        if message["type"] == "SCHEMA":
            keys[message["stream"]] = tuple(message["key_properties"])
            found[message["stream"]] = set()
        elif message["type"] == "RECORD":
            name, record = message["stream"], message["record"]
            found[name].add(tuple(str(record[column]) for column in keys[name]))
    counts = {name: len(records) for name, records in found.items()}
    assert {name: counts[name] for name in STREAMS} == {
        name: len(sandbox.truth(name)) for name in STREAMS
    }
    assert counts.keys() == EVERY_STREAM.keys()
    return counts


def test_every_record_reaches_duckdb(messages: Path, truth: dict[str, int], tmp_path: Path) -> None:
    target = target_bin("duckdb")
    database = tmp_path / "intercom.duckdb"
    config = {
        "path": str(database),
        "database": database.stem,
        "default_target_schema": "main",
        "add_metadata_columns": True,
        "validate_records": True,
    }
    state = load(target / "target-duckdb", config, messages, tmp_path)
    command = [str(target / "python"), "-c", COUNT_TABLES, str(database)]
    counts = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert counts == truth
    assert state["bookmarks"]["contacts"]["updated_at"]


def test_every_record_reaches_json_lines(
    messages: Path, truth: dict[str, int], tmp_path: Path
) -> None:
    target = target_bin("jsonl")
    config = {"destination_path": str(tmp_path), "do_timestamp_file": False}
    state = load(target / "target-jsonl", config, messages, tmp_path)
    ids: dict[str, set[str]] = {}
    for stream in STREAMS:
        key = "_sdc_record_hash" if stream.endswith("_attributes") else "id"
        lines = (tmp_path / f"{stream}.jsonl").read_text().splitlines()
        ids[stream] = {str(json.loads(line)[key]) for line in lines}
    assert {stream: len(each) for stream, each in ids.items()} == {
        stream: truth[stream] for stream in STREAMS
    }
    assert state["bookmarks"]["contacts"]["updated_at"]
