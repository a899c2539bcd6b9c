"""Whatever goes wrong on the way, a run completes, or ends in one clear line and loses nothing.

Each fault is tried with each way of reading. The workspace is so small, and its pages too, that a
fault comes between two pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Output
from runs import Catalog, Runs
from truth import assert_singer, assert_true
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace
from tap_intercom.times import epoch_seconds

TOKEN = "token-that-nobody-may-see"
BYSTANDER = "teams"
GATEWAY_PAGE = "<html><h1>502 Bad Gateway</h1>upstream</html>"
IMPORTED_AT = 1_600_000_000
DAY_SECONDS = 86_400
FOR_EVER = None
SETTINGS: Mapping[str, Any] = {"page_size": 2, "max_retry_seconds": 30}
OPTIONS: Mapping[str, Any] = {"token": TOKEN, "scroll_page_size": 5, "scroll_ttl": 0.1}

Details = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """The requests that a fault hits, after the first `after` ones, and who needs them."""

    path: str
    streams: tuple[str, ...]
    after: int = 1


PLACES = {
    "contacts search": Place("^/contacts/search$", ("contacts",)),
    "conversations search": Place("^/conversations/search$", ("conversations",)),
    "parts": Place(r"^/conversations/\d+$", ("conversation_parts",)),
    "parts beside conversations": Place(
        r"^/conversations/\d+$", ("conversations", "conversation_parts")
    ),
    "companies scroll": Place("^/companies/scroll$", ("companies",)),
    "list": Place("^/tags$", ("tags",), after=0),
    "nested list": Place("^/contacts/.+/tags$", ("contacts",), after=0),
    "nested pages": Place("^/contacts/.+/companies$", ("contacts",), after=0),
}
SEARCHES = ("contacts search", "conversations search")

PASSING: dict[str, Details] = {
    "429 with Reset": {"status": 429, "reset": True},
    "429 with Retry-After": {"status": 429, "headers": {"Retry-After": "0.05"}},
    "429 without headers": {"status": 429},
    "429 burst": {"status": 429, "headers": {"Retry-After": "0"}, "times": 8},
    "408": {"status": 408},
    "500": {"status": 500},
    "502 HTML": {"status": 502, "body": GATEWAY_PAGE},
    "503 HTML": {"status": 503, "body": GATEWAY_PAGE},
    "504 HTML": {"status": 504, "body": GATEWAY_PAGE},
    "reset before the answer": {"kind": "reset_before"},
    "reset midway": {"kind": "reset_midway"},
    "truncated": {"kind": "truncated"},
    "invalid JSON": {"kind": "invalid_json"},
    "error body with status 200": {"kind": "error_body_200"},
    "wrong content type": {"kind": "wrong_content_type"},
    "slower than the timeout": {"kind": "slow", "seconds": 0.8, "times": 1},
}
LASTING: dict[str, tuple[Details, int]] = {
    "429": ({"status": 429, "headers": {"Retry-After": "0.05"}}, 4),
    "500": ({"status": 500}, 4),
    "503 HTML": ({"status": 503, "body": GATEWAY_PAGE}, 4),
    "reset before the answer": ({"kind": "reset_before"}, 4),
    "reset midway": ({"kind": "reset_midway"}, 4),
    "truncated": ({"kind": "truncated"}, 4),
    "invalid JSON": ({"kind": "invalid_json"}, 4),
    "error body with status 200": ({"kind": "error_body_200"}, 4),
    "slower than the timeout": ({"kind": "slow", "seconds": 0.8}, 4),
    "401": ({"status": 401}, 3),
    "403": ({"status": 403, "code": "token_unauthorized"}, 3),
    "403 of the plan": ({"status": 403, "code": "api_plan_restricted"}, 3),
}


def every(faults: Mapping[str, Any], places: Mapping[str, Place] = PLACES) -> pytest.MarkDecorator:
    """Try each of the faults at each of the places."""
    return pytest.mark.parametrize(
        ("fault", "place"),
        [
            pytest.param(fault, place, id=f"{fault_name} - {name}")
            for fault_name, fault in faults.items()
            for name, place in places.items()
        ],
    )


def patience(fault: Details) -> dict[str, float]:
    """A timeout shorter than a slow answer takes."""
    return {"request_timeout": 0.4} if fault.get("kind") == "slow" else {}


class Faulty(Runs):
    """Runs on a sandbox that faults can be added to."""

    def add(self, place: Place, **fault: Any) -> None:
        if fault.pop("reset", False):
            reset = str(time.time() + 5)
            fault["headers"] = {
                "X-RateLimit-Limit": "100",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": reset,
            }
        usual: Details = {"kind": "status", "path": place.path, "after": place.after, "times": 2}
        self.sandbox.faults.add(**{**usual, **fault})

    def run(self, *streams: str, **how: Any) -> Output:
        output = super().run(*streams, BYSTANDER, **how)
        assert TOKEN.encode() not in output.stdout
        assert TOKEN not in output.log
        return output

    def assert_complete(self, output: Output, *streams: str, **how: Any) -> None:
        streams = (*streams, BYSTANDER)
        assert output.code == 0, output.log
        assert_singer(output, streams)
        assert_true(output, self.sandbox.workspace, streams, **how)

    def assert_failed(self, output: Output, place: Place, code: int) -> None:
        """The run ended with this code, and a last line that names its stream; others are whole."""
        assert output.code == code, output.log
        assert output.last_log_line.startswith("CRITICAL"), output.log
        assert place.streams[-1] in output.last_log_line
        assert "Traceback" not in output.log
        assert_true(output, self.sandbox.workspace, [BYSTANDER])

    def assert_next_run_completes(self, first: Output, place: Place) -> None:
        self.sandbox.faults.clear()
        # On a busy machine, the short life of a scroll ends between two pages, and another begins.
        once = "scroll" not in place.path
        self.assert_complete(self.run(*place.streams), *place.streams, earlier=[first], once=once)


def small_workspace() -> Workspace:
    """Five of each, one contact with nested lists that search cuts off."""
    found = Workspace()
    for number in range(12):
        found.add_tag(name=f"Tag {number}")
    for number in range(5):
        instant = IMPORTED_AT + number * 10 * DAY_SECONDS
        found.add_company(name=f"Company {number}", updated_at=instant)
        found.add_contact(name=f"Contact {number}", created_at=instant)
        conversation = found.add_conversation(title=f"Conversation {number}", created_at=instant)
        found.reply(conversation, created_at=instant)
        found.reply(conversation, created_at=instant)
    companies = [found.add_company(name=f"Group {number}") for number in range(12)]
    found.add_contact(
        name="In many lists", created_at=IMPORTED_AT, tags=list(found.tags), companies=companies
    )
    found.add_team(name="Support")
    return found


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    # One for all: a start and an end of a sandbox take longer than a run.
    with Sandbox(small_workspace(), rate_limit=1_000_000, **OPTIONS) as sandbox:
        yield sandbox


@pytest.fixture
def faulty(
    shared_sandbox: Sandbox, tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog
) -> Iterator[Faulty]:
    shared_sandbox.api.scroll = None
    yield Faulty(shared_sandbox, tmp_path, warm_tap, plain_catalog, **SETTINGS)
    shared_sandbox.faults.clear()


@pytest.fixture
def start(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Callable[..., Faulty]:
    """Starts runs on a sandbox of their own: `start(**options)`."""

    def start(**options: Any) -> Faulty:
        sandbox = start_sandbox(small_workspace(), **OPTIONS, **options)
        return Faulty(sandbox, tmp_path, warm_tap, plain_catalog, **SETTINGS)

    return start


# -- Faults that pass ----------------------------------------------------------------------------


@every(PASSING)
def test_run_completes_after_a_fault_that_passes(
    faulty: Faulty, fault: Details, place: Place
) -> None:
    faulty.add(place, **fault)
    output = faulty.run(*place.streams, **patience(fault))
    assert any(fault.done for fault in faulty.sandbox.faults.faults)
    faulty.assert_complete(output, *place.streams, once="scroll" not in place.path)


@every(
    {"dead cursor": {"kind": "dead_cursor", "times": 1}},
    {name: PLACES[name] for name in SEARCHES},
)
def test_search_is_read_again_after_its_cursor_died(
    faulty: Faulty, fault: Details, place: Place
) -> None:
    faulty.add(place, **fault)
    output = faulty.run(*place.streams)
    faulty.assert_complete(output, *place.streams, once=False)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "scroll_exists", "after": 0, "times": 3}, id="another app scrolls"),
        pytest.param({"status": 404}, id="the scroll expired"),
        pytest.param({"status": 500}, id="the scroll broke"),
    ],
)
def test_companies_are_whole_after_the_scroll_began_again(faulty: Faulty, fault: Details) -> None:
    faulty.add(PLACES["companies scroll"], **fault)
    output = faulty.run("companies")
    faulty.assert_complete(output, "companies", once=False)


@pytest.mark.parametrize("seconds", [DAY_SECONDS, -DAY_SECONDS], ids=["ahead", "behind"])
def test_a_wrong_clock_of_this_machine_does_no_harm(
    start: Callable[..., Faulty], seconds: int
) -> None:
    faulty = start(clock_offset_seconds=seconds)
    streams = ("contacts", "conversations", "conversation_parts", "companies")
    output = faulty.run(*streams)
    # On a busy machine the short-lived scroll may begin again, so companies may come twice.
    faulty.assert_complete(output, *streams, once=False)
    bookmark = output.state["bookmarks"]["conversations"]["updated_at"]
    behind = faulty.sandbox.clock() - epoch_seconds(bookmark)
    assert 600 <= behind <= 660


# -- Faults that last ----------------------------------------------------------------------------


@every(LASTING)
def test_run_ends_clearly_under_a_fault_that_lasts_and_the_next_one_completes(
    faulty: Faulty, fault: tuple[Details, int], place: Place
) -> None:
    details, code = fault
    faulty.add(place, **{**details, "times": FOR_EVER})
    first = faulty.run(*place.streams, max_retry_seconds=0.1, **patience(details))
    faulty.assert_failed(first, place, code)
    faulty.assert_next_run_completes(first, place)


@every(
    {
        "null list": ({"kind": "null_list"}, 5),
        "not an object": ({"kind": "answer", "answer": lambda call: (200, {}, b"[]")}, 5),
        "404": ({"status": 404}, 5),
        "410": ({"status": 410}, 5),
        "422": ({"status": 422}, 5),
        "repeated cursor": ({"kind": "repeated_cursor"}, 5),
        "dead cursor": ({"kind": "dead_cursor"}, 5),
    },
    {name: PLACES[name] for name in SEARCHES},
)
def test_search_that_cannot_be_read_ends_the_stream_and_the_next_run_completes(
    faulty: Faulty, fault: tuple[Details, int], place: Place
) -> None:
    details, code = fault
    faulty.add(place, **{**details, "times": FOR_EVER})
    first = faulty.run(*place.streams)
    faulty.assert_failed(first, place, code)
    faulty.assert_next_run_completes(first, place)


@pytest.mark.parametrize(
    ("fault", "name", "code"),
    [
        pytest.param({"kind": "null_list"}, "companies scroll", 5, id="null list - scroll"),
        pytest.param({"kind": "null_list"}, "list", 5, id="null list - list"),
        pytest.param({"kind": "null_list"}, "nested list", 5, id="null list - nested list"),
        pytest.param({"status": 404}, "companies scroll", 4, id="404 for ever - scroll"),
        pytest.param({"status": 404}, "list", 5, id="404 - list"),
        pytest.param({"status": 422}, "parts", 5, id="422 - parts"),
        pytest.param(
            {"kind": "scroll_exists", "after": 0},
            "companies scroll",
            4,
            id="scroll_exists for ever",
        ),
    ],
)
def test_answer_that_cannot_be_read_ends_the_stream_and_the_next_run_completes(
    faulty: Faulty, fault: Details, name: str, code: int
) -> None:
    faulty.add(PLACES[name], **{**fault, "times": FOR_EVER})
    first = faulty.run(*PLACES[name].streams, max_retry_seconds=0.3)
    faulty.assert_failed(first, PLACES[name], code)
    faulty.assert_next_run_completes(first, PLACES[name])


def test_scroll_held_by_another_app_is_said_to_be(faulty: Faulty) -> None:
    faulty.add(PLACES["companies scroll"], kind="scroll_exists", after=0, times=FOR_EVER)
    output = faulty.run("companies", max_retry_seconds=0.2)
    assert "Another app reads this workspace's companies" in output.last_log_line


def test_scroll_that_a_failure_left_open_is_not_taken_for_that_of_another_app(
    faulty: Faulty,
) -> None:
    """Intercom began the scroll, and the answer with its token did not arrive whole."""
    place = PLACES["companies scroll"]
    faulty.add(place, kind="truncated", after=0, times=1)
    faulty.add(place, kind="scroll_exists", after=0, times=FOR_EVER)
    output = faulty.run("companies", max_retry_seconds=0.2)
    assert output.code == 4, output.log
    assert "IncompleteRead" in output.last_log_line
    assert "nother app" not in output.log


def test_host_that_has_no_address_ends_the_run_with_4(faulty: Faulty) -> None:
    output = faulty.run(base_url="https://nohost.invalid", max_retry_seconds=0.2)
    assert output.code == 4, output.log
    assert output.last_log_line.startswith("CRITICAL GET /me: ")
    assert output.stdout == b""


# -- Records that are gone -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
def test_conversation_that_is_gone_is_skipped_and_named(faulty: Faulty, status: int) -> None:
    place = PLACES["parts beside conversations"]
    faulty.add(place, status=status, times=1)
    output = faulty.run(*place.streams)
    assert output.code == 0, output.log
    gone = faulty.sandbox.faults.faults[0].done
    parts = {record["conversation_id"] for record in output.records("conversation_parts")}
    (skipped,) = output.ids("conversations") - parts
    assert gone == 1
    warnings = output.log_lines("WARNING")
    assert skipped in next(line for line in warnings if "deleted meanwhile" in line)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("name", ["nested list", "nested pages"])
def test_contact_that_is_gone_comes_as_search_gave_it(
    faulty: Faulty, name: str, status: int
) -> None:
    faulty.add(PLACES[name], status=status, times=FOR_EVER)
    output = faulty.run("contacts")
    assert output.code == 0, output.log
    assert len(output.ids("contacts")) == len(faulty.sandbox.truth("contacts"))
    assert "deleted meanwhile" in output.log


def test_stream_fails_when_most_records_are_gone(start: Callable[..., Faulty]) -> None:
    faulty = start()
    workspace = faulty.sandbox.workspace
    for _ in range(20):
        workspace.reply(workspace.add_conversation(created_at=IMPORTED_AT), created_at=IMPORTED_AT)
    place = PLACES["parts beside conversations"]
    faulty.add(place, status=404, times=FOR_EVER)
    first = faulty.run(*place.streams)
    faulty.assert_failed(first, place, 5)
    faulty.assert_next_run_completes(first, place)
