"""Later runs write what changed since, and lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from conftest import Output, Tap
from truth import FULL_TABLE, STREAMS, assert_singer, assert_true, instant_text

from intercom_sandbox import Sandbox, Workspace, generate

DAY = 86_400
LOOKBACK = 600
INCREMENTAL = sorted(set(STREAMS) - set(FULL_TABLE))
WITH_TIME = [stream for stream in INCREMENTAL if stream != "conversation_parts"]

StartTapOn = Callable[..., Tap]


def small(**sizes: Any) -> Workspace:
    return generate(
        seed=5, **{"contacts": 40, "companies": 20, "conversations": 20, "parts": 100} | sizes
    )


@pytest.fixture
def tap(start_tap_on: StartTapOn) -> Tap:
    return start_tap_on(small())


def let_time_pass(tap: Tap, seconds: int = DAY) -> None:
    tap.sandbox.options.clock_offset_seconds += seconds


def good(output: Output) -> Output:
    assert output.code == 0, output.log
    return output


# -- What a second run reads ---------------------------------------------------------------------


@pytest.mark.parametrize("stream", WITH_TIME)
def test_second_run_repeats_the_lookback_only(start_tap_on: StartTapOn, stream: str) -> None:
    # Twenty seconds between two records, so that some lie within the lookback.
    tap = start_tap_on(small(contacts=80, companies=80, conversations=80, segments=80, days=0.02))
    first = good(tap.sync(stream))
    let_time_pass(tap)
    second = good(tap.sync(stream, state=first.state))
    bookmark = first.state["bookmarks"][stream]["updated_at"]
    late = {
        record["id"]
        for record in tap.sandbox.truth(stream)
        if (instant_text(record["updated_at"]) or "") >= bookmark
    }
    assert 0 < len(late) < len(tap.sandbox.truth(stream))
    assert second.ids(stream) == late


@pytest.mark.parametrize("includes_equal", [False, True])
@pytest.mark.parametrize("stream", ["contacts", "companies", "conversations"])
def test_record_of_the_very_second_of_the_bookmark_arrives(
    start_tap_on: StartTapOn, stream: str, includes_equal: bool
) -> None:
    tap = start_tap_on(Workspace(), greater_includes_equal=includes_equal)
    first = good(tap.sync(stream))
    bookmark = datetime.fromisoformat(
        first.state["bookmarks"][stream]["updated_at"][:-1] + "+00:00"
    )
    kind = {"contacts": "contact", "companies": "company", "conversations": "conversation"}[stream]
    late = getattr(tap.sandbox.workspace, f"add_{kind}")(updated_at=int(bookmark.timestamp()))
    let_time_pass(tap)
    assert good(tap.sync(stream, state=first.state)).ids(stream) == {late}


def test_bookmark_of_every_incremental_stream_is_the_start_of_the_run_less_the_lookback(
    tap: Tap,
) -> None:
    output = good(tap.sync())
    assert set(output.state["bookmarks"]) == set(INCREMENTAL)
    began = next(int(r.time) for r in tap.sandbox.requests if r.path == "/me")
    reached = {entry["updated_at"] for entry in output.state["bookmarks"].values()}
    assert reached <= {instant_text(began - LOOKBACK + late) for late in (-1, 0)}


def test_everything_that_was_changed_arrives_and_nothing_else(tap: Tap) -> None:
    first = good(tap.sync())
    let_time_pass(tap)
    changed = change_something_of_everything(tap.sandbox)
    let_time_pass(tap)
    second = good(tap.sync(state=first.state))
    assert_singer(second)
    for stream in INCREMENTAL:
        assert second.ids(stream) == changed[stream], stream
    assert_true(second, tap.sandbox.workspace, earlier=[first])


def change_something_of_everything(sandbox: Sandbox) -> dict[str, set[str]]:
    """Edit a workspace in each way that moves updated_at; returns the ids to come, by stream."""
    workspace = sandbox.workspace
    contacts, companies, conversations = (
        [record["id"] for record in sandbox.truth(stream)]
        for stream in ("contacts", "companies", "conversations")
    )
    tag = workspace.add_tag(name="New")
    workspace.add_admin(name="New admin")
    workspace.add_team(name="New team")
    workspace.add_data_attribute("contact", "new attribute", "string")
    workspace.add_data_attribute("company", "new attribute", "integer")

    workspace.update_contact(contacts[0], name="Renamed", custom_attributes={"seats": 3})
    workspace.tag_contact(contacts[1], tag)
    workspace.attach_company(contacts[2], companies[5])
    new_contact = workspace.add_contact(role="lead", name="New lead")

    workspace.update_company(companies[0], plan={"type": "plan", "id": "1", "name": "New"})
    workspace.tag_company(companies[1], tag)
    new_company = workspace.add_company(name="New company")

    workspace.reply(conversations[0])
    workspace.tag_conversation(conversations[1], tag)
    part = workspace.reply(conversations[2], "<p>Wrong customer</p>")
    workspace.redact_part(conversations[2], part)
    workspace.update_conversation(conversations[3], state="closed", open=False)
    new_conversation = workspace.add_conversation(contacts=[new_contact], tags=[tag])
    workspace.reply(new_conversation)
    changed_conversations = {*conversations[:4], new_conversation}

    segments, company_segments = list(workspace.segments), list(workspace.company_segments)
    workspace.update_segment(segments[0], name="Renamed")
    workspace.update_segment(company_segments[0], name="Renamed")
    return {
        "contacts": {contacts[0], contacts[1], contacts[2], new_contact},
        "companies": {companies[0], companies[1], new_company},
        "conversations": changed_conversations,
        "conversation_parts": {
            part["id"]
            for part in sandbox.truth("conversation_parts")
            if part["conversation_id"] in changed_conversations
        },
        "segments": {segments[0], workspace.add_segment(name="New")},
        "company_segments": {
            company_segments[0],
            workspace.add_segment(name="New", of_companies=True),
        },
    }


@pytest.mark.parametrize("timezone", ["America/Los_Angeles", "Pacific/Auckland"])
@pytest.mark.parametrize("contact_days", ["workspace", "utc", "exact"])
def test_contacts_that_changed_at_any_hour_arrive_whatever_a_day_is_to_their_search(
    start_tap_on: StartTapOn, contact_days: str, timezone: str
) -> None:
    tap = start_tap_on(small(timezone=timezone), contact_days=contact_days)
    catalog = tap.discover()
    first = good(tap.sync("contacts", catalog=catalog))
    ended = int(tap.sandbox.clock())
    ids = [record["id"] for record in tap.sandbox.truth("contacts")]
    for hour, contact_id in enumerate(ids[:36]):
        tap.sandbox.workspace.update_contact(contact_id, updated_at=ended + hour * 3_600)
    let_time_pass(tap, 36 * 3_600)
    second = good(tap.sync("contacts", catalog=catalog, state=first.state))
    assert second.ids("contacts") == set(ids[:36])


@pytest.mark.parametrize("stream", ["contacts", "companies", "conversations"])
def test_tags_arrive_as_an_empty_list_when_the_last_one_was_removed(tap: Tap, stream: str) -> None:
    workspace = tap.sandbox.workspace
    kind, untag = {
        "contacts": ("contact", workspace.untag_contact),
        "companies": ("company", workspace.untag_company),
        "conversations": ("conversation", workspace.untag_conversation),
    }[stream]
    record_id = tap.sandbox.truth(stream)[0]["id"]
    getattr(workspace, f"update_{kind}")(record_id, tags=[next(iter(workspace.tags))])
    first = good(tap.sync(stream))
    before = next(record for record in first.records(stream) if record["id"] == record_id)
    assert len(before["tags"]) == 1
    let_time_pass(tap)
    untag(record_id, before["tags"][0]["id"])
    second = good(tap.sync(stream, state=first.state))
    (after,) = second.records(stream)
    assert (after["id"], after["tags"]) == (record_id, [])


# -- Parents and children, and what is selected --------------------------------------------------


@pytest.mark.parametrize(
    "streams",
    [
        pytest.param(("conversation_parts",), id="parts"),
        pytest.param(("conversations",), id="conversations"),
        pytest.param(("conversations", "conversation_parts"), id="both"),
    ],
)
def test_what_is_selected_of_conversations_is_complete_on_its_own(
    tap: Tap, streams: tuple[str, ...]
) -> None:
    first = good(tap.sync(*streams))
    assert_singer(first, streams)
    assert_true(first, tap.sandbox.workspace, streams)
    assert set(first.state["bookmarks"]) == set(streams)
    let_time_pass(tap)
    changed = [record["id"] for record in tap.sandbox.truth("conversations")][:2]
    tap.sandbox.workspace.reply(changed[0])
    tap.sandbox.workspace.update_conversation(changed[1], title="Renamed")
    tap.sandbox.clear_requests()
    second = good(tap.sync(*streams, state=first.state))
    assert_true(second, tap.sandbox.workspace, streams, earlier=[first])
    asked = [r for r in tap.sandbox.requests if r.path.startswith("/conversations/2")]
    assert len(asked) == (len(changed) if "conversation_parts" in streams else 0)


@pytest.mark.parametrize(
    ("stream", "other"),
    [("conversations", "conversation_parts"), ("conversation_parts", "conversations")],
)
def test_stream_that_is_selected_later_is_complete_and_the_other_is_not_repeated(
    tap: Tap, stream: str, other: str
) -> None:
    first = good(tap.sync(stream))
    let_time_pass(tap)
    changed = tap.sandbox.truth("conversations")[0]["id"]
    tap.sandbox.workspace.reply(changed)
    second = good(tap.sync(stream, other, state=first.state))
    assert_true(second, tap.sandbox.workspace, [other])
    assert_true(second, tap.sandbox.workspace, [stream], earlier=[first])
    key = "id" if stream == "conversations" else "conversation_id"
    assert {record[key] for record in second.records(stream)} == {changed}


def test_bookmark_of_a_stream_that_is_not_selected_stays(tap: Tap) -> None:
    first = good(tap.sync())
    let_time_pass(tap)
    second = good(tap.sync("contacts", state=first.state))
    before, after = first.state["bookmarks"], second.state["bookmarks"]
    assert after["contacts"] != before["contacts"]
    assert after | {"contacts": None} == before | {"contacts": None}


def test_catalog_with_one_stream_is_enough(tap: Tap) -> None:
    for entry in tap.discover()["streams"]:
        stream = entry["tap_stream_id"]
        if stream not in STREAMS:
            continue
        output = good(tap.sync(stream, catalog={"streams": [entry]}))
        assert_singer(output, [stream])
        assert_true(output, tap.sandbox.workspace, [stream])


def test_bookmarks_of_streams_that_this_tap_does_not_have_are_carried_through(tap: Tap) -> None:
    others = {"tickets": {"updated_at": "2020-01-01T00:00:00Z"}, "calls": None, "notes": "2021"}
    output = good(tap.sync("tags", "segments", state={"bookmarks": others, "batch": 7}))
    for state in output.states:
        assert state["batch"] == 7
        assert {name: state["bookmarks"][name] for name in others} == others


def test_empty_workspace_ends_at_once_with_a_schema_of_each_stream(
    start_tap_on: StartTapOn,
) -> None:
    tap = start_tap_on(Workspace())
    first = good(tap.sync())
    assert_singer(first)
    assert_true(first, tap.sandbox.workspace)
    assert len(tap.sandbox.requests) < 25
    let_time_pass(tap)
    second = good(tap.sync(state=first.state))
    assert_singer(second)
    assert set(second.state["bookmarks"]) == set(INCREMENTAL)


# -- What changes while it is read ---------------------------------------------------------------


@pytest.mark.parametrize("cursors", ["value", "position"])
@pytest.mark.parametrize("stream", ["contacts", "companies", "conversations"])
def test_record_that_changes_before_every_request_arrives(
    start_tap_on: StartTapOn, stream: str, cursors: str
) -> None:
    tap = start_tap_on(small(), cursors=cursors)
    workspace = tap.sandbox.workspace
    restless = tap.sandbox.truth(stream)[3]["id"]
    changes: dict[str, Callable[[], object]] = {
        "contacts": lambda: workspace.update_contact(restless),
        "companies": lambda: workspace.update_company(restless),
        "conversations": lambda: workspace.reply(restless),
    }
    is_restless = True

    def change_it(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if is_restless:
            changes[stream]()

    tap.sandbox.before_request(change_it)
    streams = [stream, "conversation_parts"] if stream == "conversations" else [stream]
    first = good(tap.sync(*streams, page_size=7))
    assert first.ids(stream) == {record["id"] for record in tap.sandbox.truth(stream)}
    is_restless = False
    second = good(tap.sync(*streams, state=first.state))
    assert_true(second, workspace, streams, earlier=[first])


class TestConversationsDeletedWhileTheyAreRead:
    """Their parts are asked for when the search has named them already."""

    @pytest.fixture
    def tap(self, start_tap_on: StartTapOn) -> Tap:
        return start_tap_on(small(conversations=20))

    def delete_after_the_search(self, tap: Tap, count: int) -> list[str]:
        ids = [record["id"] for record in tap.sandbox.truth("conversations")][:count]

        def delete(workspace: Workspace) -> None:
            for conversation_id in ids:
                workspace.delete_conversation(conversation_id)

        tap.sandbox.faults.add("edit", path="/conversations/2", method="GET", edit=delete)
        return ids

    def test_one_is_skipped_counted_and_named(self, tap: Tap) -> None:
        (gone,) = self.delete_after_the_search(tap, 1)
        output = good(tap.sync("conversations", "conversation_parts"))
        warning = "conversation_parts: 1 records skipped, since they were deleted meanwhile"
        assert f"{warning}: {gone}" in output.log
        assert gone in output.ids("conversations")
        assert_true(output, tap.sandbox.workspace, ["conversation_parts"])
        assert set(output.state["bookmarks"]) == {"conversations", "conversation_parts"}

    def test_half_of_twenty_are_skipped(self, tap: Tap) -> None:
        self.delete_after_the_search(tap, 10)
        output = good(tap.sync("conversation_parts"))
        assert_true(output, tap.sandbox.workspace, ["conversation_parts"])

    def test_more_than_half_of_twenty_fail_the_parts_and_nothing_else(self, tap: Tap) -> None:
        self.delete_after_the_search(tap, 11)
        output = tap.sync("conversations", "conversation_parts")
        assert output.code == 5, output.log
        assert "conversation_parts" in output.last_log_line
        assert len(output.ids("conversations")) == 20
        assert set(output.state["bookmarks"]) == {"conversations"}
        second = good(tap.sync("conversations", "conversation_parts", state=output.state))
        assert_true(second, tap.sandbox.workspace, ["conversation_parts"])


def test_contact_deleted_before_its_tags_are_read_arrives_as_the_search_gave_it(
    start_tap_on: StartTapOn,
) -> None:
    workspace = small()
    tags = list(workspace.tags)[:12]
    gone = workspace.truth("contacts")[0]["id"]
    workspace.update_contact(gone, tags=tags)
    tap = start_tap_on(workspace)
    tap.sandbox.faults.add("edit", path=f"{gone}/tags", edit=lambda w: w.delete_contact(gone))
    output = good(tap.sync("contacts"))
    (record,) = [each for each in output.records("contacts") if each["id"] == gone]
    assert [tag["id"] for tag in record["tags"]] == tags[:10]
    assert f"deleted meanwhile: {gone}" in output.log


def test_companies_are_complete_when_their_scroll_begins_again(start_tap_on: StartTapOn) -> None:
    tap = start_tap_on(small(companies=50), scroll_page_size=10)

    def lose_the_scroll(workspace: Workspace) -> None:
        tap.sandbox.api.scroll = None
        workspace.add_company(name="Added meanwhile")

    tap.sandbox.faults.add(
        "status", status=500, path="/companies/scroll", after=2, edit=lose_the_scroll
    )
    output = good(tap.sync("companies"))
    assert_true(output, tap.sandbox.workspace, ["companies"], once=False)
    starts = [r for r in tap.sandbox.requests if r.path == "/companies/scroll" and not r.params]
    assert len(starts) == 2
