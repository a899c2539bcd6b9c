"""The last window of a search: what moves while it is read still comes, in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import islice

import pytest
from conftest import Tap

from intercom_sandbox import Sandbox, Workspace

RECORDS = 40


def recent_workspace(add: str) -> tuple[Workspace, list[str]]:
    """Records of one kind that all changed in the last minutes, oldest first, with their ids."""
    workspace = Workspace()
    now = int(time.time())
    ids = [
        getattr(workspace, add)(created_at=now - 1000, updated_at=now - 400 + number)
        for number in range(RECORDS)
    ]
    return workspace, ids


@pytest.mark.parametrize(
    ("stream", "kind"),
    [("conversations", "conversation"), ("contacts", "contact"), ("conversation_parts", "part")],
)
@pytest.mark.parametrize("cursors", ["value", "position"])
def test_a_record_that_moves_before_it_was_read_comes_in_the_same_run(
    start_tap_on: Callable[..., Tap], stream: str, kind: str, cursors: str
) -> None:
    name = "contact" if kind == "contact" else "conversation"
    workspace, ids = recent_workspace(f"add_{name}")
    if kind == "part":
        for conversation in ids:
            workspace.load_parts(conversation, [{"body": "a"}])
    tap = start_tap_on(workspace, cursors=cursors)
    moved = iter(ids)

    pages: list[str] = []

    def move_the_oldest(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if path != f"/{name}s/search":
            return
        pages.append(path)
        for record_id in islice(moved, 4 if len(pages) > 1 else 0):
            getattr(sandbox.workspace, f"update_{name}")(record_id)

    tap.sandbox.before_request(move_the_oldest)
    output = tap.sync(stream, page_size=10)
    assert output.code == 0, output.log
    key = "conversation_id" if kind == "part" else "id"
    assert {record[key] for record in output.records(stream)} == set(ids)


def test_records_that_are_added_all_the_time_do_not_keep_a_run_going(
    start_tap_on: Callable[..., Tap],
) -> None:
    workspace, ids = recent_workspace("add_conversation")
    tap = start_tap_on(workspace)
    tap.sandbox.before_request(
        lambda sandbox, method, path, number: (
            sandbox.workspace.add_conversation() if path == "/conversations/search" else None
        )
    )
    output = tap.sync("conversations", page_size=10)
    assert output.code == 0, output.log
    assert output.ids("conversations") >= set(ids)


@pytest.mark.parametrize("strict", [False, True])
def test_a_page_with_fewer_records_than_are_counted_is_reported(
    start_tap_on: Callable[..., Tap], strict: bool
) -> None:
    workspace, ids = recent_workspace("add_conversation")
    tap = start_tap_on(workspace)
    catalog = tap.discover()
    records = tap.sandbox.truth("conversations")
    pages = {"type": "pages", "page": 1, "total_pages": 1}
    body = json.dumps({"conversations": records, "total_count": RECORDS + 1, "pages": pages})
    tap.sandbox.faults.add(
        "answer",
        path="/conversations/search",
        times=None,
        answer=lambda call: (200, {"Content-Type": "application/json"}, body.encode()),
    )
    # All of the period is the open window.
    start = datetime.fromtimestamp(time.time() - 500, timezone.utc).isoformat()
    output = tap.sync("conversations", catalog=catalog, start_date=start, strict=strict)
    assert output.ids("conversations") == set(ids)
    assert f"1 of {RECORDS + 1}" in output.log
    assert output.code == (5 if strict else 0), output.log
