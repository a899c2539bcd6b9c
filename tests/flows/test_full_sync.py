"""A first run writes every record of every stream, as Intercom holds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Output, Tap
from truth import STREAMS, assert_singer, assert_true

from intercom_sandbox import Workspace, generate

PLENTY = 1_000_000
TIMEZONES = ("America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata")

StartTapOn = Callable[..., Tap]


def small(**sizes: Any) -> Workspace:
    sizes = {"contacts": 160, "companies": 30, "conversations": 40, "parts": 200} | sizes
    return generate(seed=3, **sizes)


def assert_whole(output: Output, workspace: Workspace, *streams: str, **shape: Any) -> None:
    assert output.code == 0, output.log
    assert_singer(output, streams or STREAMS)
    assert_true(output, workspace, streams or STREAMS, **shape)


@pytest.mark.timeout(300)
def test_every_record_of_a_large_workspace_equals_the_truth(start_tap_on: StartTapOn) -> None:
    workspace = generate(
        seed=7, contacts=10_000, companies=2_000, conversations=2_500, parts=20_000
    )
    assert_whole(start_tap_on(workspace, rate_limit=PLENTY).sync(), workspace)


@pytest.mark.parametrize("timezone", TIMEZONES)
@pytest.mark.parametrize("contact_days", ["workspace", "utc", "exact"])
def test_contacts_are_complete_whatever_a_day_is_to_their_search(
    start_tap_on: StartTapOn, contact_days: str, timezone: str
) -> None:
    # So many that their time is cut into windows, whose borders lie within somebody's day.
    workspace = small(contacts=1_600, conversations=0, parts=0, timezone=timezone)
    tap = start_tap_on(workspace, contact_days=contact_days)
    output = tap.sync("contacts")
    searches = [r.json["query"] for r in tap.sandbox.requests if r.path == "/contacts/search"]
    assert len({str(query) for query in searches}) > 2
    assert_whole(output, workspace, "contacts")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"cursors": "value"}, id="cursor-is-a-value"),
        pytest.param({"cursors": "position"}, id="cursor-is-a-position"),
        pytest.param({"sort_honoured": False}, id="sort-is-not-honoured"),
        pytest.param({"greater_includes_equal": True}, id="greater-includes-equal"),
        pytest.param({"rate_limit": None}, id="no-rate-limit-headers"),
        pytest.param({"scroll_page_size": 7}, id="small-scroll-pages"),
        pytest.param({"scroll_closes_at_end": False}, id="scroll-stays-open"),
    ],
)
def test_every_stream_is_complete_whatever_intercom_leaves_open(
    start_tap_on: StartTapOn, options: dict[str, Any]
) -> None:
    workspace = small()
    assert_whole(start_tap_on(workspace, **options).sync(), workspace)


@pytest.mark.parametrize("includes_equal", [False, True])
def test_records_of_the_second_where_a_window_ends_come_once(
    start_tap_on: StartTapOn, includes_equal: bool
) -> None:
    # One in each second, so that wherever their time is cut there is one on the border.
    an_hour_ago = time.time() - 3_600
    sizes = {"contacts": 0, "conversations": 2_000, "parts": 0}
    workspace = small(**sizes, now=an_hour_ago, days=2_000 / 86_400)
    tap = start_tap_on(workspace, greater_includes_equal=includes_equal)
    assert_whole(tap.sync("conversations"), workspace, "conversations")


@pytest.mark.parametrize("concurrency", [1, 4, 64])
def test_every_stream_is_complete_when_answers_come_out_of_order(
    start_tap_on: StartTapOn, concurrency: int
) -> None:
    workspace = small(conversations=300)
    tap = start_tap_on(workspace, latency_jitter=0.01, rate_limit=PLENTY)
    assert_whole(tap.sync(concurrency=concurrency), workspace)


@pytest.mark.parametrize("page_size", [1, 7])
def test_every_stream_is_complete_in_small_pages(start_tap_on: StartTapOn, page_size: int) -> None:
    workspace = small()
    assert_whole(start_tap_on(workspace, rate_limit=PLENTY).sync(page_size=page_size), workspace)


def test_bodies_of_parts_are_html_on_request(start_tap_on: StartTapOn) -> None:
    workspace = small()
    output = start_tap_on(workspace).sync(body_format="html")
    assert_whole(output, workspace, body_format="html")


@pytest.mark.parametrize("version", [(2, 10), (2, 11), (2, 15), (2, 16)], ids=lambda v: f"2.{v[1]}")
def test_every_stream_is_complete_in_older_versions(
    start_tap_on: StartTapOn, version: tuple[int, int]
) -> None:
    workspace = small()
    output = start_tap_on(workspace).sync(api_version=f"{version[0]}.{version[1]}")
    assert_whole(output, workspace, version=version)


def test_companies_come_from_the_list_on_request(start_tap_on: StartTapOn) -> None:
    workspace = small(companies=150)
    for company in workspace.truth("companies"):
        # The list leaves out companies without users.
        workspace.update_company(company["id"], user_count=company["user_count"] or 1)
    tap = start_tap_on(workspace)
    output = tap.sync(companies_source="list")
    assert_whole(output, workspace)
    assert not [request for request in tap.sandbox.requests if request.path == "/companies/scroll"]


class TestCompanySegmentsThatAreNotListed:
    """Whether Intercom lists segments of companies is unknown; companies always carry theirs."""

    @pytest.fixture
    def tap(self, start_tap_on: StartTapOn) -> Tap:
        return start_tap_on(small(segments=20), company_segments_listed=False)

    def assert_carried(self, tap: Tap, output: Output) -> None:
        assert output.code == 0, output.log
        carried = {
            segment["id"]: segment
            for company in tap.sandbox.truth("companies")
            for segment in (company["segments"] or {"segments": []})["segments"]
        }
        assert len(carried) > 2
        arrived = output.records("company_segments")
        assert len(arrived) == len(carried)
        for record in arrived:
            told = {name: value for name, value in record.items() if value is not None}
            assert told == carried[record["id"]]

    def test_come_from_the_companies_of_the_run(self, tap: Tap) -> None:
        output = tap.sync()
        assert_singer(output)
        self.assert_carried(tap, output)
        scrolls = [r for r in tap.sandbox.requests if r.path == "/companies/scroll"]
        starts = [request for request in scrolls if not request.params]
        assert len(starts) == 1

    def test_come_from_companies_that_are_read_for_them(self, tap: Tap) -> None:
        output = tap.sync("company_segments")
        assert_singer(output, ["company_segments"])
        self.assert_carried(tap, output)
