"""Records that Intercom cannot send, while it sends others: they alone are left out, and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from conftest import Output
from runs import NOW, Catalog, Clock
from table_runs import DAY, HOUR, TableRuns, of_every_kind
from warm_tap import SMALL_WINDOWS, WarmTap

from intercom_sandbox import Workspace
from tap_intercom.streams import STREAMS
from tap_intercom.times import epoch_seconds

SEARCHES = {"conversations": "conversations", "contacts": "data", "tickets": "tickets"}
LOOKBACK_SECONDS = 600
HTML = b"<html><body>504 Gateway Time-out</body></html>"
NAMED = "that Intercom cannot send, while it sends others"

Begin = Callable[..., TableRuns]


@pytest.fixture
def runs(
    start_sandbox: Callable[..., Any], tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog
) -> Begin:
    def begin(workspace: Workspace, **options: Any) -> TableRuns:
        sandbox = start_sandbox(workspace, clock=Clock(), rate_limit=1_000_000, **options)
        return TableRuns(sandbox, tmp_path, warm_tap, plain_catalog, max_retry_seconds=0)

    return begin


def refusal(status: int) -> tuple[int, dict[str, str], bytes]:
    if status >= 500:
        return status, {"Content-Type": "text/html"}, HTML
    error = {"code": "not_found", "message": "User Not Found"}
    body = {"type": "error.list", "request_id": "r1", "errors": [error]}
    return status, {}, json.dumps(body).encode()


def break_pages(run: TableRuns, name: str, broken: Collection[str], status: int) -> None:
    """Let a search fail for each page that would hold one of these records."""

    def answer(call: Any) -> Any:
        answered = run.sandbox.api.answer(call)
        records = json.loads(answered.body).get(SEARCHES[name], [])
        if any(record["id"] in broken for record in records):
            return refusal(status)
        return answered.status, {}, answered.body

    run.sandbox.faults.add("answer", f"^/{name}/search$", times=None, answer=answer)


def searched(name: str, count: int, last: int, step: int) -> tuple[Workspace, list[str]]:
    """A workspace and the ids of the records of a search, oldest first."""
    workspace = of_every_kind(count, last=last, step=step)
    records = sorted(workspace.truth(name), key=lambda record: record["updated_at"])
    return workspace, [record["id"] for record in records]


def assert_all_but(run: TableRuns, name: str, broken: Collection[str]) -> None:
    """All others came by now, and nothing is missing but what is named."""
    missing = {problem.split("'")[1] for problem in run.problems(name) if "missing" in problem}
    assert missing == set(broken)


def named(output: Output) -> list[str]:
    """The shortfalls at the end of the log; a full read also says why it replaces nothing."""
    warnings = output.log_lines("WARNING")
    return [line for line in warnings if NAMED in line and "ACTIVATE_VERSION" not in line]


@pytest.mark.parametrize("page_size", [150, 2])
@pytest.mark.parametrize("status", [404, 500, 504])
@pytest.mark.parametrize("age", [30 * DAY, 2 * HOUR, 60], ids=["closed", "open days", "open"])
@pytest.mark.parametrize("name", SEARCHES)
def test_record_that_search_cannot_send_is_left_out_alone(
    runs: Begin, name: str, age: int, status: int, page_size: int
) -> None:
    workspace, ids = searched(name, 7, NOW - age, step=30)
    run = runs(workspace)
    break_pages(run, name, ids[3:4], status)
    output = run.run(name, page_size=page_size)
    assert output.code == 0, output.log
    assert_all_but(run, name, ids[3:4])
    assert len(named(output)) == 1
    assert f"{name}: 1 records" in named(output)[0]
    reached = epoch_seconds(run.state["bookmarks"][name]["updated_at"])
    assert reached == NOW - max(LOOKBACK_SECONDS, STREAMS[name].lookback_seconds)


BROKEN = {
    "the first": [0],
    "the last": [11],
    "both ends": [0, 11],
    "two apart": [3, 8],
    "two side by side": [5, 6],
    "three": [1, 5, 10],
}


@pytest.mark.parametrize("at", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("numbers", [{}, SMALL_WINDOWS], ids=["one window", "small windows"])
@pytest.mark.parametrize("name", SEARCHES)
def test_records_between_those_that_search_cannot_send_come(
    runs: Begin, name: str, numbers: Any, at: list[int]
) -> None:
    workspace, ids = searched(name, 12, NOW - 30 * DAY, step=8 * DAY)
    run = runs(workspace)
    broken = [ids[each] for each in at]
    break_pages(run, name, broken, 404)
    output = run.run(name, numbers=numbers)
    assert output.code == 0, output.log
    assert_all_but(run, name, broken)
    assert f"{name}: {len(broken)} records" in named(output)[0]


def test_search_without_a_count_is_narrowed_to_the_second(runs: Begin) -> None:
    workspace, ids = searched("tickets", 12, NOW - 30 * DAY, step=8 * DAY)
    run = runs(workspace)

    def answer(call: Any) -> Any:
        body = json.loads(run.sandbox.api.answer(call).body)
        if any(record["id"] == ids[4] for record in body.get("tickets", [])):
            return refusal(404)
        return 200, {}, json.dumps(body | {"total_count": None}).encode()

    run.sandbox.faults.add("answer", "^/tickets/search$", times=None, answer=answer)
    output = run.run("tickets")
    assert output.code == 0, output.log
    assert_all_but(run, "tickets", ids[4:5])
    assert len(named(output)) == 1


def test_strict_run_ends_with_5_at_a_record_that_search_cannot_send(runs: Begin) -> None:
    workspace, ids = searched("conversations", 7, NOW - 30 * DAY, step=30)
    run = runs(workspace)
    break_pages(run, "conversations", ids[3:4], 404)
    output = run.run("conversations", strict=True)
    assert output.code == 5
    assert "strict" in output.last_log_line


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("largest", [1, 7, 40])
def test_pages_that_take_too_long_are_made_smaller(runs: Begin, name: str, largest: int) -> None:
    workspace, _ = searched(name, 60, NOW - 30 * DAY, step=30)
    run = runs(workspace)

    def answer(call: Any) -> Any:
        if call.json()["pagination"]["per_page"] > largest:
            return refusal(504)
        answered = run.sandbox.api.answer(call)
        return answered.status, {}, answered.body

    run.sandbox.faults.add("answer", f"^/{name}/search$", times=None, answer=answer)
    output = run.run(name)
    assert output.code == 0, output.log
    assert_all_but(run, name, [])
    assert named(output) == []
    assert any("page_size" in line for line in output.log_lines("WARNING"))


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(("status", "code"), [(404, 5), (500, 4), (504, 4)])
def test_search_that_always_fails_is_not_a_record_that_cannot_be_sent(
    runs: Begin, name: str, status: int, code: int
) -> None:
    workspace, ids = searched(name, 7, NOW - 30 * DAY, step=DAY)
    run = runs(workspace)
    break_pages(run, name, ids, status)
    output = run.run(name)
    assert output.code == code
    assert named(output) == []
    assert name not in run.state["bookmarks"]


@pytest.mark.parametrize("name", ["conversations", "contacts"])
@pytest.mark.parametrize("after", range(1, 40, 3))
def test_outage_while_search_is_narrowed_skips_nothing(runs: Begin, name: str, after: int) -> None:
    workspace, ids = searched(name, 9, NOW - 30 * DAY, step=4 * DAY)
    run = runs(workspace)
    break_pages(run, name, ids[4:5], 500)
    run.sandbox.faults.add("status", f"^/{name}/search$", after=after, times=None, status=500)
    first = run.run(name, numbers=SMALL_WINDOWS)
    assert first.code in (0, 4), first.log
    run.sandbox.faults.clear()
    break_pages(run, name, ids[4:5], 500)
    second = run.run(name)
    assert second.code == 0, second.log
    assert_all_but(run, name, ids[4:5])
    assert len(named(first) + named(second)) == 1


def test_search_ends_when_most_records_cannot_be_sent(runs: Begin) -> None:
    workspace, ids = searched("conversations", 60, NOW - 30 * DAY, step=DAY)
    run = runs(workspace)
    break_pages(run, "conversations", [each for each in ids if ids.index(each) % 6], 404)
    output = run.run("conversations")
    assert output.code == 5
    assert "more than half" in output.last_log_line or "cannot" in output.last_log_line


@pytest.mark.parametrize(("status", "code"), [(404, 5), (500, 4)])
def test_filter_that_never_works_is_not_a_record_that_cannot_be_sent(
    runs: Begin, status: int, code: int
) -> None:
    workspace, _ = searched("conversations", 7, NOW - 30 * DAY, step=DAY)
    run = runs(workspace)

    def answer(call: Any) -> Any:
        if b"open" in call.body:
            return refusal(status)
        answered = run.sandbox.api.answer(call)
        return answered.status, {}, answered.body

    run.sandbox.faults.add("answer", "^/conversations/search$", times=None, answer=answer)
    filters = {"conversations": {"field": "state", "operator": "=", "value": "open"}}
    output = run.run("conversations", search_filters=filters)
    assert output.code == code, output.log
    assert named(output) == []


# -- Details -------------------------------------------------------------------------------------

DETAILS = {
    "conversation_parts": "^/conversations/2$",
    "side_conversations": "^/conversations/2/side",
    "contact_notes": f"^/contacts/{2:024}/notes",
    "company_notes": f"^/companies/{2:024}/notes",
    "company_contact": f"^/companies/{2:024}/contacts",
    "article_versions": "^/articles/2/versions",
    "article_statistics": "^/articles/2$",
}
PARENTS = {
    "conversation": "conversation_id",
    "side": "conversation_id",
    "contact": "contact_id",
    "company": "company_id",
    "article": "article_id",
}
ANY = {
    name: path.replace(f"{2:024}", "[^/]+").replace("2", "[^/]+") for name, path in DETAILS.items()
}


def with_details() -> Workspace:
    """Six records of each kind, whose conversations have a part each."""
    workspace = of_every_kind(6, last=NOW - 30 * DAY, step=HOUR)
    for conversation in workspace.truth("conversations"):
        workspace.reply(conversation["id"], created_at=conversation["updated_at"])
    return workspace


@pytest.mark.parametrize("status", [400, 401, 403, 422, 500])
@pytest.mark.parametrize("name", DETAILS)
def test_record_whose_details_cannot_be_read_is_left_out_alone(
    runs: Begin, name: str, status: int
) -> None:
    workspace = with_details()
    run = runs(workspace)
    run.sandbox.faults.add("status", DETAILS[name], times=None, status=status, code="forbidden")
    output = run.run(name)
    assert output.code == 0, output.log
    parent = PARENTS[name.split("_")[0]]
    came = {str(row[parent]).lstrip("0") or "0" for row in output.records(name)}
    assert came == set("01345")
    assert len(named(output)) == 1
    assert "2 (" in named(output)[0]
    run.forget()
    strict = run.run(name, strict=True)
    assert strict.code == 5, strict.log


@pytest.mark.parametrize(("status", "code"), [(400, 5), (401, 3), (403, 3), (422, 5), (500, 4)])
@pytest.mark.parametrize("name", ["conversation_parts", "contact_notes", "article_versions"])
def test_details_that_nobody_can_read_fail_the_stream(
    runs: Begin, name: str, status: int, code: int
) -> None:
    run = runs(with_details())
    run.sandbox.faults.add("status", ANY[name], times=None, status=status, code="forbidden")
    output = run.run(name)
    assert output.code == code, output.log
    assert named(output) == []
    assert name not in run.state["bookmarks"]


def test_calls_of_a_conversation_that_cannot_be_read_are_left_out_alone(runs: Begin) -> None:
    run = runs(with_details())

    def answer(call: Any) -> Any:
        if "2" in call.json()["conversation_ids"]:
            return refusal(400)
        answered = run.sandbox.api.answer(call)
        return answered.status, {}, answered.body

    run.sandbox.faults.add("answer", "^/calls/search$", times=None, answer=answer)
    output = run.run("call_transcripts")
    assert output.code == 0, output.log
    assert {row["conversation_id"] for row in output.records("call_transcripts")} == set("01345")
    assert "2 (" in named(output)[0]


@pytest.mark.parametrize("after", range(3, 12))
def test_outage_while_details_are_read_skips_nothing(runs: Begin, after: int) -> None:
    run = runs(with_details())
    run.sandbox.faults.add("status", "^/conversations/2$", times=None, status=500)
    run.sandbox.faults.add("status", r"^/conversations/\d", after=after, times=None, status=500)
    first = run.run("conversation_parts", concurrency=1)
    assert first.code in (0, 4), first.log
    run.sandbox.faults.clear()
    run.run("conversation_parts")
    missing = [each for each in run.problems("conversation_parts") if "missing" in each]
    assert len(missing) == (1 if first.code == 0 else 0), missing


@pytest.mark.parametrize("status", [403, 422, 500])
def test_contact_whose_tags_cannot_be_read_keeps_what_search_sent(runs: Begin, status: int) -> None:
    workspace = of_every_kind(3, last=NOW - 30 * DAY, step=HOUR)
    broken, other = sorted(each["id"] for each in workspace.truth("contacts"))[:2]
    for contact in (broken, other):
        tags = [workspace.add_tag(name=f"{contact} {number}") for number in range(12)]
        workspace.update_contact(contact, tags=tags, updated_at=NOW - 30 * DAY)
    run = runs(workspace)
    path = f"/contacts/{broken}/tags$"
    run.sandbox.faults.add("status", path, times=None, status=status, code="forbidden")
    output = run.run("contacts")
    assert output.code == 0, output.log
    tags_of = {each["id"]: each["tags"] for each in output.records("contacts")}
    assert (len(tags_of[broken]), len(tags_of[other])) == (10, 12)
    assert all(tag["id"] for tags in tags_of.values() for tag in tags)
    assert broken in named(output)[0]
    run.forget()
    assert run.run("contacts", strict=True).code == 5


def test_tags_that_nobody_can_read_fail_the_stream(runs: Begin) -> None:
    workspace = of_every_kind(3, last=NOW - 30 * DAY, step=HOUR)
    (contact, *_) = (each["id"] for each in workspace.truth("contacts"))
    tags = [workspace.add_tag(name=f"{number}") for number in range(12)]
    workspace.update_contact(contact, tags=tags, updated_at=NOW - 30 * DAY)
    run = runs(workspace)
    run.sandbox.faults.add("status", "^/contacts/[^/]+/tags$", times=None, status=500)
    assert run.run("contacts").code == 4
