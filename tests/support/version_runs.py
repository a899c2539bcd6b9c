"""Full syncs in one API version, on a sandbox that refuses what the version does not have."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from conftest import Output, Tap
from database_loads import Truth, by_key
from test_exports import SHORT
from test_tables import assert_rows
from truth import STREAMS as CORE
from truth import assert_true
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.streams import STREAMS
from tap_intercom.versions import version_of

SIZES: dict[str, Any] = {
    "contacts": 30,
    "companies": 12,
    "conversations": 22,
    "parts": 60,
    "tickets": 12,
}
# Rows of exports have no key of Intercom's. Deletions come in later runs.
EXPORTS = ("content_export_", "reporting_")
DAYS = 60
LEFT_OUT = {"attachments", "deletions"}


def assert_everything_is_read(name: str, folder: Path, warm_tap: WarmTap) -> None:
    """All streams of a version equal the truth, and nothing else is asked for."""
    version = version_of(name)
    workspace = generate(seed=5, **SIZES, resources=6, days=DAYS)
    start = datetime.now(timezone.utc) - timedelta(days=2 * DAYS)
    settings: dict[str, Any] = {
        "api_version": name,
        "start_date": start.date().isoformat(),
        "custom_object_types": ["Order"],
        "detect_deletes": "table",
        "known_ids_file": str(folder / "known.ids"),
    }
    # Otherwise it also refuses page sizes, whose maximums are not all known.
    with Sandbox(workspace, rate_limit=1_000_000, large_pages="capped") as sandbox:
        tap = Tap(sandbox, folder)
        catalog = tap.discover(**settings)
        offered = [each["stream"] for each in catalog["streams"]]
        assert [each for each in offered if not each.startswith("reporting_")] == [
            name
            for name, each in STREAMS.items()
            if each.first_version <= version <= each.last_version
        ]
        names = [each for each in offered if each != "attachments"]
        arguments = tap.arguments(*names, catalog=catalog, **settings)
        output = warm_tap.start(*arguments, numbers=SHORT).wait()
        assert output.code == 0, output.log
        refused = {(each.status, each.path) for each in sandbox.requests if each.status >= 400}
    assert not refused, sorted(refused)
    core = [each for each in names if each in CORE]
    assert_true(output, workspace, core, version=version)
    keys = {each["stream"]: each["key_properties"] for each in catalog["streams"]}
    for each in names:
        if each.startswith(EXPORTS):
            assert_export(output, workspace, each, keys[each])
        elif each not in LEFT_OUT and each not in CORE:
            assert workspace.truth(each, version), f"{each}: the sample has no row"
            assert_rows(output, workspace, each, version)


def assert_export(output: Output, workspace: Workspace, name: str, keys: list[str]) -> None:
    """Periods of exports overlap, so a row may come twice with the same key."""
    expected = by_key(name, Truth(workspace).records(name)).keys()
    rows = {tuple(each[key] for key in keys): each for each in output.records(name)}
    arrived = by_key(name, rows.values()).keys()
    assert arrived == expected, f"{name}: {sorted(arrived ^ expected)[:3]}"
