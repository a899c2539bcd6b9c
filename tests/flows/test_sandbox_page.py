"""The commands of the page about the sandbox run as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from paths import ROOT

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "sandbox.md").read_text(), re.M | re.S)
TIMEOUT_SECONDS = 100


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def environment(folder: Path) -> dict[str, str]:
    """Variables for a shell that finds the commands under the names that the page uses."""
    names = folder / "names"
    names.mkdir()
    run = 'python -c "from tap_intercom.cli import run; run()"'
    for name, program in (("python", f"'{sys.executable}'"), ("tap-intercom", run)):
        (names / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (names / name).chmod(0o700)
    return {**os.environ, "PATH": f"{names}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def start(block: str, folder: Path, variables: dict[str, str], started: ExitStack) -> None:
    """Start the sandbox of a block, and wait until it listens."""
    process = subprocess.Popen(
        ["bash", "-c", "exec " + block.strip().removesuffix("&")],
        cwd=folder, env=variables, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started.callback(process.wait)
    started.callback(process.terminate)
    assert process.stderr is not None
    started.callback(process.stderr.close)
    assert "listens on" in process.stderr.readline()


def test_every_command_of_the_page_works(tmp_path: Path, started: ExitStack) -> None:
    variables = environment(tmp_path)
    shown = ""
    for block in BLOCKS:
        if block.startswith("pip install"):
            continue
        if block.strip().endswith("&"):
            start(block, tmp_path, variables, started)
            continue
        ended = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block],
            cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        assert ended.returncode == 0, f"{block}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        shown += ended.stdout
    assert len(BLOCKS) >= 6
    lines = (tmp_path / "second.jsonl").read_text().splitlines()
    messages = [json.loads(line) for line in lines]
    names = [each["record"].get("name") for each in messages if each["type"] == "RECORD"]
    assert names.count("New name") == 1
    bodies = [each["record"].get("body") for each in messages if each["type"] == "RECORD"]
    assert bodies.count("Thank you") == 1
    assert re.search(r"^tags +yes +missing permission ", shown, re.MULTILINE)
