"""Two runs at once: by accident, with one scroll of the workspace; or to share the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from conftest import Tap
from runs import Catalog, Runs
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace, generate

STREAMS = ("companies", "contacts", "tags")
# A parent and the streams that are read with it stay together.
SHARES = (
    ("companies", "contacts", "segments", "tags"),
    ("conversations", "conversation_parts"),
)
PATIENCE_SECONDS = 60


@pytest.fixture
def start_runs(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Callable[[], tuple[Runs, Runs]]:
    """Two that each think that they are alone."""

    def start() -> tuple[Runs, Runs]:
        workspace = Workspace()
        workspace.add_tag(name="VIP")
        for number in range(10):
            workspace.add_company(name=f"Company {number}")
            workspace.add_contact(name=f"Contact {number}")
        sandbox = start_sandbox(workspace, scroll_page_size=2)
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        second.mkdir()
        return (
            Runs(sandbox, first, warm_tap, plain_catalog),
            Runs(sandbox, second, warm_tap, plain_catalog),
        )

    return start


def in_the_scroll(sandbox: Sandbox, seconds: float) -> Event:
    """Is set when a scroll is at its third page, which it then waits for."""
    asked = Event()
    sandbox.faults.add("slow", "^/companies/scroll$", after=2, seconds=seconds)
    sandbox.faults.add("edit", "^/companies/scroll$", after=1, edit=lambda _: asked.set())
    return asked


def assert_whole(runs: Runs, *streams: str) -> None:
    assert runs.outputs[-1].code == 0, runs.outputs[-1].log
    assert list(runs.lost(*streams or STREAMS)) == []


def test_second_run_waits_for_the_scroll_of_the_first(
    start_runs: Callable[[], tuple[Runs, Runs]],
) -> None:
    first, second = start_runs()
    is_scrolling = in_the_scroll(first.sandbox, seconds=0.7)
    begun = first.start(*STREAMS)
    assert is_scrolling.wait(PATIENCE_SECONDS)
    output = second.run(*STREAMS)
    first.take(begun.wait())
    assert any("another app is scrolling" in line for line in output.log_lines("WARNING"))
    assert_whole(first)
    assert_whole(second)
    assert first.bookmarks.keys() == second.bookmarks.keys()


def test_second_run_ends_clearly_when_the_first_takes_too_long_and_harms_nothing(
    start_runs: Callable[[], tuple[Runs, Runs]],
) -> None:
    first, second = start_runs()
    is_scrolling = in_the_scroll(first.sandbox, seconds=1.5)
    begun = first.start(*STREAMS)
    assert is_scrolling.wait(PATIENCE_SECONDS)
    output = second.run(*STREAMS, max_retry_seconds=0.1)
    first.take(begun.wait())
    assert_whole(first)
    assert output.code == 4
    assert output.last_log_line.startswith("CRITICAL")
    assert "Another app reads this workspace's companies" in output.last_log_line
    assert list(second.lost("contacts", "tags")) == []
    assert "companies" not in second.bookmarks
    second.run(*STREAMS)
    assert_whole(second)


def test_a_workspace_that_two_runs_share_arrives_whole_and_one_run_can_go_on(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
) -> None:
    workspace = generate(seed=7, contacts=30, companies=8, conversations=12, parts=40, days=60)
    sandbox = start_sandbox(workspace)
    catalog = Tap(sandbox, tmp_path).discover()
    halves = []
    for number, streams in enumerate(SHARES):
        folder = tmp_path / str(number)
        folder.mkdir()
        runs = Runs(sandbox, folder, warm_tap, catalog, rate_limit_share=0.45)
        halves.append((runs, streams))
    for _ in range(2):
        begun = [runs.start(*streams) for runs, streams in halves]
        for (runs, streams), run in zip(halves, begun, strict=True):
            runs.take(run.wait())
            assert_whole(runs, *streams)
        workspace.update_contact(workspace.truth("contacts")[0]["id"])
        workspace.reply(workspace.truth("conversations")[0]["id"])
    (first, _), (second, _) = halves
    assert first.bookmarks.keys().isdisjoint(second.bookmarks)

    everything = Runs(sandbox, tmp_path, warm_tap, catalog)
    everything.state = {"bookmarks": {**first.bookmarks, **second.bookmarks}}
    for runs, _ in halves:
        everything.target.tables.update(runs.target.tables)
    streams = (*SHARES[0], *SHARES[1])
    output = everything.run(*streams)
    assert_whole(everything, *streams)
    for stream in ("contacts", "conversations"):
        assert 0 < len(output.records(stream)) < len(workspace.truth(stream))
