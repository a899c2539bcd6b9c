"""A run needs as much memory for a large workspace as for a small one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import RUN

# So many that a run reads as far ahead as it ever does.
FEW = 60_000
MANY = 130_000
MAX_BYTES = 150_000_000
GROWTH = 1.2
# A small process to start the run from: what starts a process counts in its peak.
STARTER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@contextmanager
def sandbox_process(folder: Path, contacts: int) -> Iterator[Path]:
    """A sandbox with contacts over a year, in a process of its own; yields its config for a tap."""
    config = folder / f"{contacts}.json"
    sizes = {"contacts": contacts, "companies": 0, "conversations": 0, "parts": 0}
    arguments = [f"--{name}={size}" for name, size in sizes.items()]
    process = subprocess.Popen(
        [*RUN, "sandbox", "--rate-limit=1000000", f"--write-config={config}", *arguments],
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert b"listens" in process.stderr.readline()
        yield config
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def peak_bytes(config: Path, contacts: int) -> int:
    """The largest size that a run had which read all contacts."""
    output, log = config.with_suffix(".jsonl"), config.with_suffix(".log")
    with output.open("wb") as stdout, log.open("wb") as stderr:
        starter = [sys.executable, "-c", STARTER, *RUN, "--config", str(config)]
        subprocess.run(starter, stdout=stdout, stderr=stderr, check=True)
    with output.open("rb") as lines:
        assert sum(b'"stream":"contacts","time' in line for line in lines) >= contacts
    peak = int(log.read_text().splitlines()[-1])
    return peak * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.timeout(300)
def test_peak_does_not_grow_with_the_workspace(tmp_path: Path) -> None:
    with sandbox_process(tmp_path, FEW) as config:
        of_few = peak_bytes(config, FEW)
    with sandbox_process(tmp_path, MANY) as config:
        of_many = peak_bytes(config, MANY)
    assert of_many <= GROWTH * of_few
    assert of_many < MAX_BYTES
