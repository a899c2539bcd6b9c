"""A full read replaces what came before only if it was complete, and a wider run reads it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from runs import NOW, Catalog, Clock, Runs
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace
from tap_intercom.intercom.clock import starts
from tap_intercom.times import DAY_SECONDS, epoch_seconds, rfc3339

HOUR = 3600


class Full(Runs):
    """Runs an hour apart, of which some read streams in full."""

    def __init__(self, clock: Clock, *how: Any, **settings: Any) -> None:
        super().__init__(*how, **settings)
        self.clock = clock
        self.workspace = self.sandbox.workspace

    def next(self, *streams: str, is_full: bool = False, code: int = 0, **how: Any) -> Any:
        self.clock.instant += HOUR
        output = self.run(*streams, edit_catalog=in_full if is_full else lambda _: None, **how)
        assert output.code == code, output.log
        return output


def in_full(catalog: Catalog) -> None:
    for entry in catalog["streams"]:
        for each in entry["metadata"]:
            if not each["breadcrumb"]:
                each["metadata"]["replication-method"] = "FULL_TABLE"


Begin = Callable[..., Full]


@pytest.fixture
def full(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Begin:
    def begin(workspace: Workspace | None = None, options: Any = None, **settings: Any) -> Full:
        clock = Clock()
        how = {"clock": clock, "rate_limit": 1_000_000, "scroll_ttl": 0.0, **(options or {})}
        sandbox = start_sandbox(workspace or of_six_days(), **how)
        return Full(clock, sandbox, tmp_path, warm_tap, plain_catalog, **settings)

    return begin


def of_six_days() -> Workspace:
    """A record of each kind for each of the last six days."""
    workspace = Workspace()
    for day in range(6):
        instant = NOW - (6 - day) * DAY_SECONDS
        workspace.clock = Clock(instant)
        contact = workspace.add_contact(id=f"c{day}", role="user")
        workspace.load_events(contact, [{"event_name": "e", "created_at": instant}])
        workspace.add_company(id=f"o{day}", user_count=day % 2)
        workspace.add_conversation(id=str(day))
        workspace.load_parts(str(day), [{"id": f"p{day}"}])
        workspace.add_ticket(id=str(100 + day))
        workspace.add_record("deleted_conversations", id=f"d{day}")
        workspace.add_record("activity_logs")
        workspace.add_record("articles", id=str(day))
        workspace.add_record("custom_object_instances", id=f"order{day}", type="Order")
        workspace.add_record("custom_object_instances", id=f"truck{day}", type="Truck")
        workspace.add_tag(name=f"t{day}")
    return workspace


def warned(output: Any, stream: str, text: str) -> bool:
    return any(
        line.startswith(f"WARNING {stream}: ") and text in line
        for line in output.log_lines("WARNING")
    )


# -- When a version is activated -----------------------------------------------------------------


@pytest.mark.parametrize(
    "stream", ["contacts", "conversations", "companies", "tickets", "articles"]
)
def test_a_complete_full_read_activates_its_version(full: Begin, stream: str) -> None:
    runs = full()
    runs.next(stream)
    before = runs.bookmarks[stream]["updated_at"]
    output = runs.next(stream, is_full=True)
    assert output.count("ACTIVATE_VERSION", stream) == 1
    assert runs.bookmarks[stream]["updated_at"] > before


@pytest.mark.parametrize("stream", ["tags", "contacts"])
def test_a_target_that_refuses_other_messages_gets_only_those_of_the_specification(
    full: Begin, stream: str
) -> None:
    runs = full(activate_version=False)
    runs.next(stream)
    before = dict(runs.bookmarks)
    output = runs.next(stream, is_full=True)
    assert {message["type"] for message in output.messages} == {"SCHEMA", "RECORD", "STATE"}
    assert output.records(stream)
    assert not any("version" in message for message in output.messages)
    assert "ACTIVATE_VERSION" not in output.log
    if before:
        assert runs.bookmarks[stream]["updated_at"] > before[stream]["updated_at"]


@pytest.mark.parametrize(
    ("stream", "settings", "reason"),
    [
        pytest.param(
            "conversations",
            {"end_date": rfc3339(NOW - 3 * DAY_SECONDS)},
            "the read ends at end_date",
            id="end_date",
        ),
        pytest.param(
            "conversation_parts",
            {
                "search_filters": {
                    "conversations": {"field": "open", "operator": "=", "value": True}
                }
            },
            "search_filters",
            id="filters",
        ),
        pytest.param(
            "companies",
            {"start_date": rfc3339(NOW - 3 * DAY_SECONDS)},
            "earlier runs started at",
            id="later start",
        ),
        pytest.param(
            "companies", {"companies_source": "list"}, "companies without users", id="list"
        ),
        pytest.param("company_tag", {"companies_source": "list"}, "without users", id="of list"),
        pytest.param("events", {}, "older than 90 days", id="events"),
        pytest.param("deleted_conversations", {}, "not documented", id="deleted"),
        pytest.param("activity_logs", {}, "not documented", id="logs"),
        pytest.param("team_metrics", {}, "the counts of earlier runs", id="metrics"),
        pytest.param("data_connector_executions", {}, "not documented", id="executions"),
        pytest.param(
            "custom_object_instances", {"custom_object_types": ["Order"]}, "type:Truck", id="types"
        ),
        pytest.param("conversation_parts", {"api_version": "2.12"}, "part types", id="version"),
    ],
)
def test_a_full_read_that_lacks_rows_of_earlier_ones_does_not_replace_them(
    full: Begin, stream: str, settings: dict[str, Any], reason: str
) -> None:
    runs = full()
    usual: dict[str, Any] = {"custom_object_types": ["Order", "Truck"]}
    runs.next(stream, **usual)
    for _ in range(2):
        output = runs.next(stream, is_full=True, **usual | settings)
        assert output.count("ACTIVATE_VERSION", stream) == 0
        assert warned(output, stream, reason), output.log


def test_a_shortfall_keeps_the_rows_of_earlier_reads(full: Begin) -> None:
    runs = full()
    runs.next("tags", "admins")
    runs.sandbox.faults.add(
        "changed", "^/tags$", times=None, change=lambda body: body.update(total_count=9)
    )
    output = runs.next("tags", "admins")
    assert output.count("ACTIVATE_VERSION", "admins") == 1
    assert output.count("ACTIVATE_VERSION", "tags") == 0
    assert warned(output, "tags", "some rows of tags are missing")


def test_a_record_that_is_gone_while_it_is_read_keeps_the_rows_of_its_table(full: Begin) -> None:
    """A 404 can be a passing fault; the next complete read takes the row away."""
    runs = full()
    runs.next("conversations", "conversation_parts")
    runs.sandbox.faults.add("status", "^/conversations/3$", status=404)
    output = runs.next("conversations", "conversation_parts", is_full=True)
    assert output.count("ACTIVATE_VERSION", "conversations") == 1
    assert output.count("ACTIVATE_VERSION", "conversation_parts") == 0
    assert warned(output, "conversation_parts", "some rows of conversation_parts are missing")
    output = runs.next("conversations", "conversation_parts", is_full=True)
    assert output.count("ACTIVATE_VERSION", "conversation_parts") == 1


def test_conversations_without_tickets_do_not_replace_those_with(full: Begin) -> None:
    runs = full()
    runs.sandbox.options.permissions = set(runs.sandbox.options.permissions) - {"tickets"}
    output = runs.next("conversations", "conversation_tag", is_full=True)
    for stream in ("conversations", "conversation_tag"):
        assert output.count("ACTIVATE_VERSION", stream) == 0
        assert warned(output, stream, "some rows of conversations are missing")


def test_a_full_read_that_was_not_finished_leaves_its_bookmark(full: Begin) -> None:
    runs = full(options={"cursors": "position"})
    runs.next("contacts")
    before = runs.bookmarks["contacts"]

    def import_more(workspace: Workspace) -> None:
        for _ in range(4):
            workspace.add_contact(role="user")

    runs.sandbox.faults.add("edit", "^/contacts/search$", times=None, edit=import_more)
    output = runs.next("contacts", is_full=True, numbers={"reading.search.PAGE_SIZE": 2})
    assert output.count("ACTIVATE_VERSION", "contacts") == 0
    assert warned(output, "contacts", "did not reach its end")
    assert runs.bookmarks["contacts"] == before


# -- What a bookmark covers ----------------------------------------------------------------------


def ids(output: Any, stream: str) -> set[str]:
    return {str(row["id"]) for row in output.records(stream)}


def test_companies_without_users_come_once_the_scroll_is_read(full: Begin) -> None:
    runs = full(companies_source="list")
    runs.next("companies")
    assert runs.bookmarks["companies"]["covers"] == []
    output = runs.next("companies", companies_source="scroll")
    assert {f"o{day}" for day in range(6)} <= ids(output, "companies")
    assert warned(output, "companies", "the stream now also contains companies without users")
    assert runs.bookmarks["companies"]["covers"] == ["companies without users"]
    assert ids(runs.next("companies", companies_source="scroll"), "companies") == set()


def test_a_new_type_of_custom_objects_is_read_from_the_start(full: Begin) -> None:
    runs = full()
    name = "custom_object_instances"
    runs.next(name, custom_object_types=["Order"])
    assert runs.bookmarks[name]["covers"] == ["type:Order"]
    output = runs.next(name, custom_object_types=["Order", "Truck"])
    assert {f"truck{day}" for day in range(6)} <= ids(output, name)
    assert ids(runs.next(name, custom_object_types=["Truck"]), name) == set()
    assert runs.bookmarks[name]["covers"] == ["type:Truck"]
    assert len(ids(runs.next(name, custom_object_types=["Order"]), name)) == 6


def test_tickets_among_conversations_come_once_the_permission_is_there(full: Begin) -> None:
    runs = full()
    permissions = runs.sandbox.options.permissions
    runs.sandbox.options.permissions = set(permissions) - {"tickets"}
    runs.next("conversations", "conversation_parts")
    runs.sandbox.options.permissions = permissions
    output = runs.next("conversations", "conversation_parts")
    for stream in ("conversations", "conversation_parts"):
        assert warned(output, stream, "the stream now also contains conversations that are tickets")
        assert len(output.records(stream)) == 6
    output = runs.next("conversations", "conversation_parts")
    assert output.records("conversations") == output.records("conversation_parts") == []


@pytest.mark.parametrize("stream", ["conversation_parts", "ticket_parts"])
def test_part_types_of_newer_versions_come_after_an_upgrade(full: Begin, stream: str) -> None:
    runs = full()
    runs.next(stream, api_version="2.12")
    output = runs.next(stream, api_version="2.13")
    assert warned(output, stream, "the stream now also contains part types of 2.13")
    assert "the stream now also contains" not in runs.next(stream, api_version="2.16").log


def test_segments_of_companies_that_failed_are_not_passed(full: Begin) -> None:
    workspace = of_six_days()
    workspace.add_segment(id="listed", of_companies=True)
    runs = full(workspace)
    runs.sandbox.faults.add("null_list", "^/companies/scroll$", times=None)
    output = runs.next("companies", "company_segments", code=5)
    assert ids(output, "company_segments") == {"listed"}
    assert "company_segments" not in runs.bookmarks
    runs.sandbox.faults.clear()
    runs.next("companies", "company_segments")
    assert "segments that only companies name" in runs.bookmarks["company_segments"]["covers"]


# -- Errors while errors are handled -------------------------------------------------------------


def test_a_refusal_that_cannot_be_explained_ends_its_stream_only(full: Begin) -> None:
    runs = full()
    refused: dict[str, Any] = {"status": 401, "code": "unauthorized"}
    runs.sandbox.faults.add("status", "^/tags$", times=None, **refused)
    runs.sandbox.faults.add("status", "^/me$", after=1, times=None, status=503)
    output = runs.next("conversations", "tags", code=3, max_retry_seconds=0.1)
    assert len(output.records("conversations")) == 6
    assert output.messages[-1]["type"] == "STATE"
    assert "conversations" in runs.bookmarks
    assert "Traceback" not in output.log


def test_a_permission_that_cannot_be_asked_for_ends_its_stream_only(full: Begin) -> None:
    runs = full()
    runs.sandbox.faults.add("status", "^/tickets/search$", times=None, status=503)
    output = runs.next("conversations", "companies", "tags", code=4, max_retry_seconds=0.1)
    assert len(output.records("companies")) == 6
    assert output.count("SCHEMA", "conversations") == 1
    assert "conversations" not in runs.bookmarks


# -- Clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "reset", "expected"),
    [
        pytest.param(1000, "1010", (1000, 1000), id="agreed"),
        pytest.param(9000, "9016", (9000, 9000), id="this machine is slow"),
        pytest.param(500, "506", (500, 500), id="this machine is fast"),
        pytest.param(9000, "1010", (1000, 9000), id="Date is ahead of Intercom"),
        pytest.param(9000, "", (1000, 9000), id="Date alone is ahead"),
        pytest.param(500, "", (500, 1000), id="Date alone is behind"),
        pytest.param(9000, "soon", (1000, 9000), id="no number"),
        pytest.param(9000, "nan", (1000, 9000), id="not a number"),
        pytest.param(9000, "inf", (1000, 9000), id="endless"),
        pytest.param(None, "1010", (1000 - HOUR, 1000), id="no Date"),
    ],
)
def test_a_run_is_dated_by_the_earlier_clock_unless_intercom_is_sure(
    date: float | None, reset: str, expected: tuple[float, float]
) -> None:
    assert starts(date, reset, 1000) == expected


def test_a_date_that_is_ahead_does_not_pass_what_changes_later(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> None:
    sandbox = start_sandbox(Workspace(), rate_limit=1_000_000)
    runs = Runs(sandbox, tmp_path, warm_tap, plain_catalog)

    def ahead(call: Any) -> tuple[int, dict[str, str], bytes]:
        body = {"type": "admin", "id": "1", "app": {"id_code": "sandbox1", "region": "US"}}
        date = formatdate(sandbox.clock() + 30 * DAY_SECONDS, usegmt=True)
        return 200, {"Date": date}, json.dumps(body).encode()

    sandbox.faults.add("answer", "^/me$", answer=ahead)
    first = runs.run("tags", "conversations")
    assert any("ahead of this machine's clock" in line for line in first.log_lines("WARNING"))
    reached = epoch_seconds(runs.bookmarks["conversations"]["updated_at"])
    assert reached <= sandbox.clock()
    sandbox.workspace.add_conversation(id="new")
    assert ids(runs.run("conversations"), "conversations") == {"new"}
