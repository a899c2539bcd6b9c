"""Targets that read late, stop, or die, and a disk without room for what is read ahead of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from runs import Catalog, Runs
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace

COMPANIES = 400
COMPANIES_ON_A_PAGE = 20
SCROLL_PAGES = COMPANIES // COMPANIES_ON_A_PAGE + 1
SCROLL_TTL_SECONDS = 1.0
LONG_TEXT = "Makes everything. " * 100
PATIENCE_SECONDS = 60
# About one page of companies is 40 kB, and a pipe holds 64 kB.
LITTLE_MEMORY = {"sync.READ_AHEAD_BYTES": 50_000}
LITTLE_DISK = 100_000


@pytest.fixture
def runs(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Runs:
    workspace = Workspace()
    for number in range(COMPANIES):
        workspace.add_company(name=f"Company {number}", industry=LONG_TEXT)
    sandbox = start_sandbox(
        workspace, scroll_page_size=COMPANIES_ON_A_PAGE, scroll_ttl=SCROLL_TTL_SECONDS
    )
    return Runs(sandbox, tmp_path, warm_tap, plain_catalog)


def request_of_scroll(sandbox: Sandbox, number: int) -> Event:
    """Is set when the scroll is asked for its number-th page."""
    asked = Event()
    sandbox.faults.add("edit", "^/companies/scroll$", after=number - 1, edit=lambda _: asked.set())
    return asked


def assert_whole(runs: Runs) -> None:
    assert runs.outputs[-1].code == 0, runs.outputs[-1].log
    assert list(runs.lost("companies")) == []


@pytest.mark.parametrize("numbers", [{}, LITTLE_MEMORY], ids=["ahead in memory", "ahead in a file"])
def test_scroll_is_read_to_its_end_while_the_target_reads_nothing(
    runs: Runs, numbers: dict[str, Any]
) -> None:
    last_page = request_of_scroll(runs.sandbox, SCROLL_PAGES)
    begun = runs.start("companies", numbers=numbers)
    assert last_page.wait(PATIENCE_SECONDS)
    output = runs.take(begun.wait())
    assert_whole(runs)
    assert "restarts after" not in output.log
    assert len(output.records("companies")) == COMPANIES


def test_run_completes_when_the_disk_has_no_room_for_what_is_read_ahead(runs: Runs) -> None:
    begun = runs.start("companies", numbers=LITTLE_MEMORY, largest_file=LITTLE_DISK)
    begun.wait_for_log("WARNING reading ahead in memory only: no room")
    runs.take(begun.wait())
    assert_whole(runs)


def test_run_ends_at_once_when_its_target_dies_and_the_next_one_completes(runs: Runs) -> None:
    begun = runs.start("companies")
    taken = begun.read(lambda data: data.count(b"\n") > 20)
    begun.close_stdout()
    output = runs.take(begun.wait(stdout=taken[: taken.rfind(b"\n") + 1]))
    assert output.code == 141
    assert output.last_log_line.startswith("CRITICAL stdout: Broken pipe")
    assert output.log.count("CRITICAL") == 1
    assert "Traceback" not in output.log
    runs.sandbox.api.scroll = None
    runs.run("companies")
    assert_whole(runs)
