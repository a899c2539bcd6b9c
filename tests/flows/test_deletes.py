"""What is gone comes as a row of deletions, whatever ends on the way; what is there never does."""

from __future__ import annotations

import gzip
import json
import os
import stat
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from conftest import START_DATE, Output, Tap, run_tap, selecting
from paths import SUPPORT
from runs import NOW, Catalog, Clock, Runs
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.options import PERMISSIONS

HOUR = 3600
TABLES = ("companies", "contacts", "conversations")
STREAMS = (*TABLES, "deletions")
LIST = "^/contacts$"
Rows = list[tuple[str, str, str]]


class Detection(Runs):
    """Runs an hour apart that look for deletes."""

    def __init__(self, clock: Clock, *how: Any, **settings: Any) -> None:
        super().__init__(*how, **settings)
        self.clock = clock
        self.workspace = self.sandbox.workspace

    @property
    def file(self) -> Path:
        return self.tap.folder / "state.json.ids"

    def detect(self, *streams: str, **how: Any) -> Rows:
        """The rows of a run that ends well: stream, id, kind."""
        self.clock.instant += HOUR
        output = self.run(*(streams or STREAMS), **how)
        assert output.code == 0, output.log
        return rows(output)

    def fail(self, code: int, **how: Any) -> Output:
        self.clock.instant += HOUR
        output = self.run(*STREAMS, **how)
        assert output.code == code, output.log
        return output


def rows(output: Output) -> Rows:
    return sorted(
        (each["stream"], each["id"], each["kind"]) for each in output.records("deletions")
    )


def small_workspace() -> Workspace:
    workspace = Workspace()
    for number in range(6):
        workspace.add_contact(id=f"c{number}", created_at=NOW - number)
        workspace.add_company(id=f"o{number}", created_at=NOW - number)
        workspace.add_conversation(id=f"{number}", created_at=NOW - number)
    return workspace


@pytest.fixture
def detection(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Callable[..., Detection]:
    def begin(workspace: Workspace | None = None, **settings: Any) -> Detection:
        clock = Clock()
        sandbox = start_sandbox(workspace or small_workspace(), clock=clock, rate_limit=1_000_000)
        settings = {"detect_deletes": "table", **settings}
        return Detection(clock, sandbox, tmp_path, warm_tap, plain_catalog, **settings)

    return begin


Begin = Callable[..., Detection]


# -- What is gone --------------------------------------------------------------------------------


def test_what_is_gone_comes_once_with_how_it_went(detection: Begin) -> None:
    runs = detection()
    assert runs.detect() == []
    runs.workspace.delete_contact("c1")
    runs.workspace.archive_contact("c2")
    runs.workspace.merge_contacts("c3", "c4")
    runs.workspace.delete_company("o1")
    runs.workspace.delete_conversation("1")
    runs.clock.instant += HOUR
    assert runs.detect() == [
        ("companies", "o1", "deleted"),
        ("contacts", "c1", "deleted"),
        ("contacts", "c2", "archived"),
        ("contacts", "c3", "merged"),
        ("conversations", "1", "deleted"),
    ]
    into = {each["id"]: each["merged_into"] for each in runs.outputs[-1].records("deletions")}
    assert into == {"c1": None, "c2": None, "c3": "c4", "o1": None, "1": None}
    assert {each["seen_at"] for each in runs.outputs[-1].records("deletions")} == {
        runs.bookmarks["deletions"]["updated_at"]
    }
    assert runs.detect() == []
    assert "ACTIVATE_VERSION" not in {
        each["type"] for each in runs.outputs[-1].messages if each.get("stream") == "deletions"
    }


def test_a_contact_that_is_archived_again_comes_again(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    for _ in range(2):
        runs.workspace.archive_contact("c2")
        assert runs.detect() == [("contacts", "c2", "archived")]
        runs.workspace.unarchive_contact("c2")
        assert runs.detect() == []


def test_what_goes_while_an_older_version_runs_comes_with_the_list(detection: Begin) -> None:
    """2.16 keeps no ids of conversations that an older version could compare with."""
    runs = detection()
    runs.detect()
    runs.clock.instant += HOUR
    runs.workspace.delete_conversation("1")
    for _ in range(2):
        assert runs.detect(api_version="2.15") == []
    assert runs.detect() == [("conversations", "1", "deleted")]


def test_before_2_16_conversations_are_compared_and_a_merge_is_a_delete(detection: Begin) -> None:
    runs = detection(api_version="2.15")
    runs.detect()
    runs.workspace.merge_contacts("c3", "c4")
    runs.workspace.delete_conversation("1")
    assert runs.detect() == [("contacts", "c3", "deleted"), ("conversations", "1", "deleted")]
    assert runs.detect(api_version="2.16") == []
    runs.workspace.delete_conversation("2")
    assert runs.detect(api_version="2.16") == [("conversations", "2", "deleted")]


def test_a_conversation_of_the_lookback_is_not_repeated(detection: Begin) -> None:
    runs = detection(lookback_seconds=3 * HOUR)
    runs.workspace.delete_conversation("0")
    assert runs.detect() == []
    runs.workspace.delete_conversation("1")
    assert runs.detect() == [("conversations", "1", "deleted")]
    assert runs.detect() == []


def test_only_as_many_pages_of_deleted_conversations_are_read_as_are_new(detection: Begin) -> None:
    workspace = small_workspace()
    for number in range(300):
        deleted_at = NOW - 9 * HOUR - number
        record_id = str(number * 7919 % 1009)
        workspace.resources.add("deleted_conversations", id=record_id, deleted_at=deleted_at)
    runs = detection(workspace)
    runs.detect()
    runs.sandbox.requests.clear()
    assert runs.detect() == []
    asked = [each for each in runs.sandbox.requests if each.path == "/conversations/deleted"]
    assert len(asked) == 1


def test_a_list_that_is_sorted_by_id_is_read_to_its_end(detection: Begin) -> None:
    """Old conversations are often deleted in the order of their ids, and then one is at once."""
    runs = detection()
    deleted: list[dict[str, Any]] = [
        {"id": str(1000 + at), "deleted_at": NOW - 9 * 24 * HOUR + at} for at in range(200)
    ]

    def page(call: Any) -> tuple[int, dict[str, str], bytes]:
        number = int(call.query["page"])
        rows = sorted(deleted, key=lambda row: -int(row["id"]))[60 * (number - 1) : 60 * number]
        pages = {"page": number, "total_pages": -(-len(deleted) // 60)}
        body = {"conversations": rows, "total_count": len(deleted), "pages": pages}
        return 200, {}, json.dumps(body).encode()

    runs.sandbox.faults.add("answer", "^/conversations/deleted$", times=None, answer=page)
    runs.detect("conversations", "deletions", "deleted_conversations")
    deleted.append({"id": "5", "deleted_at": int(runs.clock.instant) + 60})
    found = runs.detect("conversations", "deletions", "deleted_conversations")
    assert found == [("conversations", "5", "deleted")]
    assert runs.outputs[-1].ids("deleted_conversations") == {"5"}


@pytest.mark.parametrize("version", ["2.15", "2.16"])
def test_what_search_filters_leave_out_is_no_delete(detection: Begin, version: str) -> None:
    """It was in no table, so a target would get a row with nothing but the mark."""
    by_id = {"operator": "!=", "field": "id"}
    filters = {
        "contacts": {**by_id, "value": "c2"},
        "conversations": {**by_id, "value": "2"},
    }
    runs = detection(api_version=version, detect_deletes="column", search_filters=filters)
    runs.detect()
    for record_id in ("c2", "c3"):
        runs.workspace.delete_contact(record_id)
    for record_id in ("2", "3"):
        runs.workspace.delete_conversation(record_id)
    assert runs.detect() == [("contacts", "c3", "deleted"), ("conversations", "3", "deleted")]


def test_a_file_that_is_older_than_the_state_is_noticed(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    older = runs.file.read_bytes()
    for _ in range(2):
        assert runs.detect() == []
    runs.file.write_bytes(older)
    runs.workspace.delete_contact("c1")
    assert runs.detect() == [("contacts", "c1", "deleted")]
    output = runs.outputs[-1]
    assert any("is older than the state" in line for line in output.log_lines("WARNING"))
    assert "known ids are lost" in output.log
    assert runs.detect() == []
    assert "older than the state" not in runs.outputs[-1].log


def test_the_file_keeps_its_workspace_when_intercom_does_not_say_it(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    runs.sandbox.faults.add("changed", "^/me$", change=lambda body: body.update(app=None))
    runs.detect()
    runs.workspace.app["id_code"] = "other1"
    runs.state = {}
    assert "belongs to workspace sandbox1" in runs.fail(2).last_log_line


@pytest.mark.parametrize("stream", TABLES)
def test_only_what_is_selected_is_looked_for(detection: Begin, stream: str) -> None:
    runs = detection()
    runs.detect(stream, "deletions")
    runs.workspace.delete_contact("c1")
    runs.workspace.delete_company("o1")
    runs.workspace.delete_conversation("1")
    assert {name for name, _, _ in runs.detect(stream, "deletions")} == {stream}


def test_a_stream_that_was_left_out_once_is_compared_with_what_was_before(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    runs.workspace.delete_contact("c1")
    runs.workspace.delete_conversation("1")
    assert runs.detect("companies", "deletions") == []
    assert runs.detect() == [("contacts", "c1", "deleted"), ("conversations", "1", "deleted")]


def test_a_first_detection_says_when_deletes_are_found(detection: Begin) -> None:
    def told() -> list[str]:
        lines = runs.outputs[-1].log_lines("INFO")
        return [line for line in lines if "first detection" in line]

    runs = detection()
    end = (
        ": there are no ids of an earlier run to compare with, so deletes are found from the next "
        "run on"
    )
    runs.detect("companies", "deletions")
    assert told() == [f"INFO deletions: first detection for companies{end}"]
    runs.detect()
    assert told() == [f"INFO deletions: first detection for contacts, conversations{end}"]
    runs.detect()
    assert told() == []


def test_companies_are_read_once(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    scrolls = [each for each in runs.sandbox.requests if each.path == "/companies/scroll"]
    assert len(scrolls) == 2


def test_a_run_without_a_catalog_reads_it_where_it_is_wanted(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    tap = Tap(start_sandbox(small_workspace()), tmp_path)
    assert tap.sync(detect_deletes="off").count("SCHEMA", "deletions") == 0
    output = tap.sync(detect_deletes="table", known_ids_file=str(tmp_path / "ids"))
    assert output.code == 0, output.log
    assert output.count("SCHEMA", "deletions") == 1
    assert (tmp_path / "ids").exists()


def test_nothing_is_looked_for_where_the_setting_is_off(detection: Begin) -> None:
    runs = detection(detect_deletes=False)
    assert runs.detect() == []
    assert not runs.file.exists()
    assert "detect_deletes is off" in runs.outputs[-1].log
    assert not [each for each in runs.sandbox.requests if each.path == "/contacts"]


def test_full_table_takes_no_row_away(detection: Begin) -> None:
    def whole(catalog: Catalog) -> None:
        for entry in catalog["streams"]:
            entry["replication_method"] = "FULL_TABLE"

    runs = detection()
    runs.detect()
    runs.workspace.delete_contact("c1")
    runs.detect()
    runs.detect(edit_catalog=whole)
    assert runs.outputs[-1].count("ACTIVATE_VERSION", "deletions") == 0
    assert len(runs.target.tables["deletions"]) == 1


def test_a_column_marks_the_records_themselves(detection: Begin) -> None:
    runs = detection(detect_deletes="column", add_workspace_id=True)
    runs.detect()
    assert "_sdc_deleted_at" in runs.outputs[-1].schema("contacts")["properties"]
    assert "_sdc_deleted_at" not in runs.outputs[-1].schema("deletions")["properties"]
    assert {each["_sdc_deleted_at"] for each in runs.outputs[-1].records("contacts")} == {None}
    runs.workspace.delete_contact("c1")
    runs.workspace.delete_company("o1")
    runs.workspace.delete_conversation("1")
    runs.clock.instant += 24 * HOUR
    assert len(runs.detect()) == 3
    output = runs.outputs[-1]
    seen_at = output.records("deletions")[0]["seen_at"]
    for name, record_id in {"contacts": "c1", "companies": "o1", "conversations": "1"}.items():
        marked = {"id": record_id, "_sdc_deleted_at": seen_at, "_sdc_workspace_id": "sandbox1"}
        assert marked in output.records(name)


def test_a_full_read_needs_no_marks(detection: Begin) -> None:
    def whole(catalog: Catalog) -> None:
        for entry in catalog["streams"]:
            entry["replication_method"] = "FULL_TABLE"

    runs = detection(detect_deletes="column")
    runs.detect(edit_catalog=whole)
    runs.workspace.delete_contact("c1")
    assert runs.detect(edit_catalog=whole) == [("contacts", "c1", "deleted")]
    assert "c1" not in runs.outputs[-1].ids("contacts")


# -- What is there -------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [0, 1, 2])
def test_what_moves_while_the_list_is_read_is_not_reported(detection: Begin, page: int) -> None:
    """A list whose cursor is a position loses what is drawn past it when others leave."""
    runs = detection(page_size=2)
    runs.sandbox.options.cursors = "position"
    runs.detect()

    def move(workspace: Workspace) -> None:
        workspace.delete_contact("c0")
        workspace.delete_contact("c5")
        workspace.update_contact("c1")

    runs.sandbox.faults.add("edit", LIST, after=page, edit=move)
    reported = {record_id for _, record_id, _ in runs.detect()}
    assert reported <= {"c0", "c5"}
    assert reported | {record_id for _, record_id, _ in runs.detect()} == {"c0", "c5"}
    assert runs.detect() == []


@pytest.mark.parametrize("stream", ["contacts", "companies"])
def test_what_the_list_leaves_out_is_not_reported_and_stays_known(
    detection: Begin, stream: str
) -> None:
    runs = detection()
    runs.detect()
    path = {"contacts": LIST, "companies": "^/companies/scroll$"}[stream]
    record_id = {"contacts": "c1", "companies": "o1"}[stream]
    kept = deepcopy(getattr(runs.workspace, stream).texts[record_id])

    def without(answer: Any) -> tuple[int, dict[str, str], bytes]:
        table = getattr(runs.workspace, stream)
        others = [json.loads(text) for key, text in table.texts.items() if key != record_id]
        page = {"type": "list", "data": others, "total_count": 6, "scroll_param": "x"}
        page["pages"] = {"type": "pages", "page": 1, "total_pages": 1}
        return 200, {}, json.dumps(page).encode()

    runs.sandbox.faults.add("answer", path, answer=without)
    if stream == "companies":
        empty = b'{"type":"list","data":[],"scroll_param":"x"}'
        runs.sandbox.faults.add("answer", path, after=1, answer=lambda call: (200, {}, empty))
    assert runs.detect() == []
    assert kept == getattr(runs.workspace, stream).texts[record_id]
    getattr(runs.workspace, {"contacts": "delete_contact", "companies": "delete_company"}[stream])(
        record_id
    )
    assert runs.detect() == [(stream, record_id, "deleted")]


def test_a_contact_that_was_written_and_went_in_the_same_run_comes(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    runs.workspace.add_contact(id="brief")
    runs.sandbox.faults.add("edit", LIST, edit=lambda workspace: workspace.delete_contact("brief"))
    assert runs.detect() == [("contacts", "brief", "deleted")]
    assert "brief" in runs.outputs[-1].ids("contacts")


def test_nothing_is_reported_where_nothing_is_found_by_its_id(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    before = runs.file.read_bytes()
    runs.workspace.delete_contact("c1")
    runs.sandbox.faults.add("status", "^/contacts/c", status=404, times=None)
    output = runs.fail(5)
    assert rows(output) == []
    assert "no listed record is found" in output.last_log_line
    assert runs.file.read_bytes() == before


def test_an_empty_list_is_not_believed(detection: Begin) -> None:
    workspace = small_workspace()
    for number in range(20):
        workspace.add_contact(id=f"more{number}", created_at=NOW)
    runs = detection(workspace)
    runs.detect()
    for contact_id in list(workspace.contacts.texts):
        workspace.delete_contact(contact_id)
    output = runs.fail(5)
    assert "the list is empty" in output.last_log_line
    assert rows(output) == []
    runs.file.unlink()
    assert runs.detect() == []
    assert "detection starts again" in runs.outputs[-1].log


@pytest.mark.parametrize("lacking", ["conversations", "users_companies_read"])
def test_a_missing_permission_leaves_the_file_as_it_was(detection: Begin, lacking: str) -> None:
    runs = detection()
    runs.detect()
    before, bookmark = runs.file.read_bytes(), runs.bookmarks["deletions"]
    runs.workspace.delete_contact("c1")
    runs.sandbox.options.permissions = set(PERMISSIONS) - {lacking}
    output = runs.fail(3)
    (line,) = [each for each in output.log_lines("ERROR") if " deletions: " in each]
    named = {"conversations": "Read conversations", "users_companies_read": "users and companies"}
    assert named[lacking] in line
    assert runs.file.read_bytes() == before
    assert runs.bookmarks["deletions"] == bookmark
    runs.sandbox.options.permissions = set(PERMISSIONS)
    assert runs.detect() == [("contacts", "c1", "deleted")]


# -- The file and the state ----------------------------------------------------------------------


def test_a_state_that_went_back_has_its_rows_again(detection: Begin) -> None:
    """As after a run that was killed before its STATE, or whose target failed."""
    runs = detection()
    runs.detect()
    before = deepcopy(runs.state)
    runs.workspace.delete_contact("c1")
    runs.workspace.delete_conversation("1")
    gone = [("contacts", "c1", "deleted"), ("conversations", "1", "deleted")]
    for _ in range(3):
        runs.state = deepcopy(before)
        assert runs.detect() == gone
    assert runs.detect() == []


def test_a_state_that_the_file_does_not_know_is_compared_with_the_oldest(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    before = deepcopy(runs.state)
    for number in range(3):
        runs.workspace.delete_contact(f"c{number}")
        runs.detect()
    runs.state = before
    assert runs.detect() == [("contacts", "c2", "deleted")]
    runs.workspace.delete_contact("c3")
    runs.state = {}
    assert ("contacts", "c3", "deleted") in runs.detect()


def test_a_first_run_that_was_killed_counts(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    runs.workspace.delete_contact("c1")
    runs.state = {}
    assert runs.detect() == [("contacts", "c1", "deleted")]


def test_two_runs_of_one_second_lose_nothing(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    runs.workspace.delete_contact("c1")
    runs.clock.instant -= HOUR
    assert runs.detect() == [("contacts", "c1", "deleted")]
    assert runs.detect() == [("contacts", "c1", "deleted")]
    assert runs.detect() == []


def test_a_file_that_is_lost_is_told(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    runs.file.unlink()
    runs.workspace.delete_contact("c1")
    assert runs.detect() == []
    assert "does not exist, so detection starts again" in runs.outputs[-1].log


def test_the_file_is_the_owners_and_small(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    assert stat.S_IMODE(runs.file.stat().st_mode) == 0o600
    document = json.loads(gzip.decompress(runs.file.read_bytes()))
    assert document["workspace"] == "sandbox1"
    assert [sorted(each["ids"]) for each in document["detections"]] == [
        ["companies", "contacts", "deleted_conversations"]
    ]
    assert os.listdir(runs.tap.folder).count("state.json.ids") == 1


BROKEN_FILES = {
    "empty": b"",
    "not packed": b"{}",
    "nothing packed": gzip.compress(b""),
    "no object": gzip.compress(b"[]"),
    "no detections": gzip.compress(b'{"workspace": "sandbox1"}'),
    "empty detection": gzip.compress(b'{"workspace": "sandbox1", "detections": [{}]}'),
    "ids that are numbers": gzip.compress(
        b'{"workspace": "sandbox1", "detections": [{"seen_at": "2026-01-31T12:00:00Z", '
        b'"conversations_until": null, "ids": {"contacts": [1]}}]}'
    ),
    "cut short": gzip.compress(b'{"workspace": "sandbox1", "detections": []}')[:-9],
}


# By name: two workers may pack in different seconds, and would then find different tests.
@pytest.mark.parametrize("content", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_broken_file_is_refused_before_anything_is_read(detection: Begin, content: bytes) -> None:
    runs = detection()
    runs.file.write_bytes(content)
    output = runs.fail(2)
    (line,) = output.log_lines("CRITICAL")
    assert "state.json.ids was not written by this tap" in line
    assert output.records("contacts") == []
    assert runs.file.read_bytes() == content


def test_the_file_of_another_workspace_is_refused(detection: Begin) -> None:
    runs = detection()
    runs.detect()
    runs.state = {}
    runs.workspace.app["id_code"] = "other"
    output = runs.fail(2)
    assert (
        "belongs to workspace sandbox1, but the access token belongs to other"
        in output.last_log_line
    )
    assert output.messages == []


def test_a_folder_that_is_not_there_is_named(detection: Begin) -> None:
    runs = detection(known_ids_file="/nowhere/ids")
    assert "/nowhere/ids cannot be created" in runs.fail(2).last_log_line


def test_without_a_state_file_the_setting_is_asked_for(
    detection: Begin, plain_catalog: Catalog, warm_tap: WarmTap
) -> None:
    runs = detection()
    catalog = deepcopy(plain_catalog)
    arguments = runs.tap.arguments(*STREAMS, catalog=catalog, detect_deletes="table")
    output = warm_tap.run(*arguments)
    assert output.code == 2
    assert "known_ids_file: missing" in output.last_log_line


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("table", False),
        ("column", False),
        (True, False),
        ("off", False),
        (False, False),
        ("all", True),
        (3, True),
    ],
)
def test_values_of_the_setting(detection: Begin, value: Any, refused: bool) -> None:
    runs = detection(detect_deletes=value)
    output = runs.run("contacts")
    assert (output.code == 2) is refused, output.log
    assert ("detect_deletes" in output.last_log_line) is refused


def test_a_target_that_fails_has_the_rows_in_the_next_run(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    """With `tap-intercom run`, whose target confirms a state after the tap has ended."""
    clock = Clock()
    sandbox = start_sandbox(small_workspace(), clock=clock, rate_limit=1_000_000)
    config = {
        "access_token": sandbox.token,
        "start_date": START_DATE,
        "base_url": sandbox.url,
        "detect_deletes": "table",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    catalog = json.loads(
        run_tap("--config", str(tmp_path / "config.json"), "--discover").stdout.decode()
    )
    (tmp_path / "catalog.json").write_text(json.dumps(selecting(catalog, *STREAMS)))
    target = [sys.executable, str(SUPPORT / "small_target.py")]

    def run(name: str, *flags: str) -> tuple[int, set[str]]:
        clock.instant += HOUR
        output = run_tap(
            *("run", "--state", str(tmp_path / "state.json")),
            *("--config", str(tmp_path / "config.json")),
            *("--catalog", str(tmp_path / "catalog.json")),
            *("--", *target, str(tmp_path / name), *flags),
        )
        lines = (tmp_path / name).read_bytes().splitlines()
        messages = [json.loads(line) for line in lines]
        return output.code, {
            each["record"]["id"] for each in messages if each["stream"] == "deletions"
        }

    assert run("first") == (0, set())
    sandbox.workspace.delete_contact("c1")
    # It loads no row, and so confirms no state.
    assert run("second", "--fails-after", "3") == (6, set())
    assert run("third", "--silent", "--fails-at-end") == (6, {"c1"})
    assert run("fourth") == (0, {"c1"})
    assert run("fifth") == (0, set())


def test_many_contacts_cost_a_request_for_150_and_two_for_each_that_is_gone(
    detection: Begin,
) -> None:
    workspace = Workspace()
    for number in range(20_000):
        workspace.add_contact(id=f"{number:024x}", created_at=NOW - 90 * 24 * HOUR - number)
    runs = detection(workspace, start_date="2023-11-14")
    runs.detect("contacts", "deletions")
    for number in range(100):
        workspace.delete_contact(f"{number * 7:024x}")
    assert len(runs.detect("contacts", "deletions")) == 100
    assert runs.file.stat().st_size < 1_000_000
    lists = [each for each in runs.sandbox.requests if each.path == "/contacts"]
    assert len(lists) <= 2 * (20_000 // 150 + 1)
