"""End to end: the sandbox through the tap into real targets, each in its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from truth import STREAMS

from tap_intercom.sandbox import Sandbox, generate

TARGETS = Path(__file__).parent.parent / ".venv-targets"
RUN_TAP = "from tap_intercom.cli import run; run()"
COUNT_TABLES = """
import duckdb, json, sys
database = duckdb.connect(sys.argv[1], read_only=True)
count = lambda table: database.execute(f"select count(*) from {table}").fetchone()[0]
print(json.dumps({table: count(table) for table, in database.execute("show tables").fetchall()}))
"""


def target_bin(name: str) -> Path:
    folder = TARGETS / name
    if not (folder / ".installed").exists():
        pytest.skip(f"target-{name} is not installed: make targets")
    return folder / "bin"


@pytest.fixture(scope="module")
def sandbox() -> Any:
    workspace = generate(seed=3, contacts=120, companies=30, conversations=40, parts=300, days=90)
    with Sandbox(workspace) as running:
        yield running


@pytest.fixture(scope="module")
def messages(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tap writes in a first run of every stream."""
    folder = tmp_path_factory.mktemp("targets")
    config = {"access_token": sandbox.token, "base_url": sandbox.url, "start_date": "2000-01-01"}
    (folder / "config.json").write_text(json.dumps(config))
    written = folder / "messages.jsonl"
    with written.open("w") as out:
        command = [sys.executable, "-c", RUN_TAP, "--config", str(folder / "config.json")]
        subprocess.run(command, stdout=out, check=True)
    return written


@pytest.fixture(scope="module")
def truth(sandbox: Sandbox) -> dict[str, int]:
    return {stream: len(sandbox.truth(stream)) for stream in STREAMS}


def load(target: Path, config: dict[str, Any], messages: Path, folder: Path) -> Any:
    """Run a target over the messages; gives the last state that it reported."""
    (folder / "target.json").write_text(json.dumps(config))
    with messages.open() as lines:
        command = [str(target), "--config", str(folder / "target.json")]
        done = subprocess.run(command, stdin=lines, stdout=subprocess.PIPE, check=True, cwd=folder)
    return json.loads(done.stdout.splitlines()[-1])


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
    assert {stream: len(each) for stream, each in ids.items()} == truth
    assert state["bookmarks"]["contacts"]["updated_at"]
