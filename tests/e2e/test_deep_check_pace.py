"""A deep check at its real pace, with a rate limit that is far below that of Intercom."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import TIMEOUT_SECONDS, Tap, start_tap

from intercom_sandbox.sample import generate

pytestmark = pytest.mark.long

LIMIT = 60
SHARE = 0.8


def test_it_keeps_to_its_share_of_a_small_limit(start_tap_on: Callable[..., Tap]) -> None:
    tap = start_tap_on(
        generate(seed=1, contacts=8, companies=5, conversations=6, parts=9), rate_limit=LIMIT
    )
    report = tap.folder / "report.json"
    arguments = ["--deep", "--yes", "--wait", "0", "--report", str(report)]
    process = start_tap("check", *arguments, "--config", tap.config(rate_limit_share=SHARE))
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, log.decode()
    statistics = tap.sandbox.statistics()
    assert statistics["rate_limited"] == 0
    assert statistics["highest_rate_per_window"] <= LIMIT * SHARE + 1
    results = {row["probe"]: row["result"] for row in json.loads(report.read_text())["probes"]}
    assert "does not hold" not in results.values()
