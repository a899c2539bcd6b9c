"""The first sync, by the commands that README.md and docs/getting-started.md show."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import RUN, TIMEOUT_SECONDS, Tap
from loaded_tables import rows_of_duckdb, target_bin
from paths import ROOT

from intercom_sandbox import Workspace, generate

pytestmark = pytest.mark.long

# Blocks that need an account, a browser or another state of the machine.
OTHER_BLOCKS = ("make ", "pip install .", '"the token"', "sandbox", "login", "| head")
INSTALLATION = re.compile(r"^python3 -m venv .*\n", re.MULTILINE)


def commands(page: str) -> str:
    """The commands of a page, without those that install something."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    chosen = [each for each in blocks if not any(word in each for word in OTHER_BLOCKS)]
    return INSTALLATION.sub("", "".join(chosen))


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_the_commands_load_every_contact(
    page: str, start_tap_on: Callable[[Workspace], Tap], tmp_path: Path
) -> None:
    tap = start_tap_on(generate(seed=4, contacts=30, companies=5, conversations=6, parts=20))
    (tmp_path / ".venv-target").symlink_to(target_bin("duckdb").parent)
    (tmp_path / "config.json").write_bytes(Path(tap.config()).read_bytes())
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "tap-intercom"
    program.write_text('#!/bin/sh\nexec {} "$@"\n'.format(" ".join(f"'{each}'" for each in RUN)))
    program.chmod(0o700)
    done = subprocess.run(
        ["bash", "-e", "-c", commands(page)],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    loaded = rows_of_duckdb(tmp_path / "intercom.duckdb", ["contacts"])["contacts"]
    assert {row["id"] for row in loaded} == {each["id"] for each in tap.sandbox.truth("contacts")}
