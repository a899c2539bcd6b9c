"""An old and the newest API version, each with all its streams; e2e has all versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from version_runs import assert_everything_is_read
from warm_tap import WarmTap


@pytest.mark.parametrize("version", ["2.11", "Preview"])
def test_all_streams_of_a_version_are_read(version: str, tmp_path: Path, warm_tap: WarmTap) -> None:
    assert_everything_is_read(version, tmp_path, warm_tap)
