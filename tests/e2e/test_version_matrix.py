"""API versions, each with all its streams."""

from __future__ import annotations

from pathlib import Path

import pytest
from version_runs import assert_everything_is_read
from warm_tap import WarmTap

pytestmark = pytest.mark.long


@pytest.mark.parametrize("version", ["2.7", "2.12", "2.14", "2.15", "2.16", "2.17", "2.18"])
def test_all_streams_of_a_version_are_read(version: str, tmp_path: Path, warm_tap: WarmTap) -> None:
    assert_everything_is_read(version, tmp_path, warm_tap)
