"""The environments that `make e2e` installs for the programs around the tap."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT

ENVIRONMENTS = ROOT / ".venv-e2e"


def environment_bin(name: str) -> Path:
    """The programs of an environment; skips the test if it is not installed."""
    folder = ENVIRONMENTS / name
    if not (folder / ".installed").exists():
        pytest.skip(f"{name} is not installed: make e2e")
    return folder / "bin"
