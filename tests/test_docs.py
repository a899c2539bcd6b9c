"""README, samples and code tell the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tap_intercom.about import about
from tap_intercom.settings import document
from tap_intercom.streams import STREAMS

ROOT = Path(__file__).parent.parent


def test_the_tables_of_the_readme_are_made_from_the_code() -> None:
    check = subprocess.run(
        [sys.executable, "scripts/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert check.returncode == 0, check.stderr


def test_every_setting_is_in_the_sample() -> None:
    sample = json.loads((ROOT / "sample_config.json").read_text(encoding="utf-8"))
    assert set(sample) == {row.name for row in document()}


def test_every_stream_has_a_schema_file_and_none_is_left_over() -> None:
    files = {path.stem for path in (ROOT / "tap_intercom" / "schemas").glob("*.json")}
    assert files == set(STREAMS)


def test_every_file_of_the_package_is_in_the_tour() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "tap_intercom").glob("*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in readme, path.name


def test_about_tells_all_as_json() -> None:
    told = json.loads(about("json"))
    assert [row["stream"] for row in told["streams"]] == list(STREAMS)
    assert [row["setting"] for row in told["settings"]] == [row.name for row in document()]
    assert told["capabilities"] == [
        "about",
        "activate-version",
        "catalog",
        "discover",
        "properties",
        "state",
        "structured-logging",
        "test",
    ]


def test_every_flag_is_in_the_readme_or_explains_itself() -> None:
    command = [sys.executable, "-c", "from tap_intercom.cli import run; run()", "--help"]
    help_text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    for flag in ("--config", "--discover", "--catalog", "--properties", "--state", "--about"):
        assert flag in help_text
