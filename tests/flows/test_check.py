"""`tap-intercom check` and `--test`: whose token it is, and what it may read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from api_versions import DEFAULT_TABLES
from conftest import Tap, run_tap, selecting
from permissions import permissions_of
from truth import STREAMS as CORE

from intercom_sandbox.sample import generate
from tap_intercom.streams import STREAMS, root_of
from tap_intercom.versions import PREVIEW, Version, is_described, text_of

USERS_AND_COMPANIES = "Read and list users and companies"


@dataclass
class Check:
    """What a check wrote and logged, and how it ended."""

    code: int
    text: str
    log: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.text)
        return document

    @property
    def streams(self) -> dict[str, dict[str, Any]]:
        return {row["stream"]: row for row in self.document["streams"]}

    @property
    def results(self) -> dict[str, str]:
        return {name: row["result"] for name, row in self.streams.items()}

    @property
    def unreachable(self) -> dict[str, str]:
        """What is wrong with the streams that the default version has."""
        return {name: self.results[name] for name in DEFAULT_TABLES if not self.is_read(name)}

    def is_read(self, name: str) -> bool:
        return self.results[name] == "reachable"


def run(*arguments: str) -> Check:
    output = run_tap(*arguments)
    return Check(output.code, output.stdout.decode(), output.log)


def check(tap: Tap, *arguments: str, **settings: Any) -> Check:
    return run("check", "--config", tap.config(**settings), "--format", "json", *arguments)


def family(*streams: str) -> set[str]:
    """These streams, and those that are read with them."""
    return {name for name in DEFAULT_TABLES if {name, root_of(name)} & {*streams}}


def refused_without(*permissions: str) -> set[str]:
    """The streams that are read with one for which only these permissions are good."""
    needed = {name: permissions_of(root_of(name)) for name in DEFAULT_TABLES}
    return {name for name, asked in needed.items() if asked and asked <= {*permissions}}


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(generate(seed=1, contacts=7, companies=5, conversations=6, parts=20))


def test_all_streams_are_reachable_with_all_permissions(tap: Tap) -> None:
    checked = check(tap)
    assert checked.code == 0, checked.log
    assert list(checked.results) == list(STREAMS)
    assert checked.unreachable == {}
    assert [name for name, row in checked.streams.items() if row["selected"]] == sorted(CORE)
    assert checked.log == ""


@pytest.mark.parametrize("version", [(2, 7), (2, 18), PREVIEW], ids=text_of)
def test_what_a_version_lacks_is_named_and_not_asked_for(tap: Tap, version: Version) -> None:
    checked = check(tap, api_version=text_of(version))
    lacking = [each for each in STREAMS.values() if not checked.is_read(each.name)]
    assert {checked.results[each.name] for each in lacking} <= {"not in this version"}
    assert [each.name for each in lacking] == [
        name
        for name, each in STREAMS.items()
        if not each.first_version <= version <= each.last_version
    ]
    asked = {request.path for request in tap.sandbox.requests}
    only_lacking = {each.path for each in lacking if each.path} - {
        each.path for each in STREAMS.values() if each not in lacking
    }
    assert asked & only_lacking == set()
    assert checked.document["api_version_has_description"] == is_described(version)


@pytest.mark.parametrize(("version", "is_told"), [("2.16", False), ("2.18", True)])
def test_a_version_without_a_description_is_taken_on_trust(
    tap: Tap, version: str, is_told: bool
) -> None:
    text = run("check", "--config", tap.config(api_version=version)).text
    assert f"API version {version}" in text
    assert ("taken on trust" in text) == is_told


def test_records_are_counted_where_intercom_tells(tap: Tap) -> None:
    found = check(tap).streams
    records = {name: found[name]["records"] for name in CORE}
    unknown = {"company_segments", "conversation_parts"}
    # The list of companies leaves out those without users.
    users = sum(bool(company["user_count"]) for company in tap.sandbox.truth("companies"))
    expected: dict[str, int | None] = {name: len(tap.sandbox.truth(name)) for name in CORE}
    assert records == {**expected, "companies": users, **dict.fromkeys(unknown)}


def test_each_endpoint_is_asked_once_and_the_scroll_never(tap: Tap) -> None:
    check(tap)
    paths = [request.path for request in tap.sandbox.requests]
    lists = [path for path in paths if not path.endswith("/search")]
    assert len(lists) == len(set(lists))
    # One for the probe, the others count what a first and a next run would read.
    assert paths.count("/contacts/search") == 4
    assert paths.count("/conversations/search") == 3
    assert paths.count("/tickets/search") == 1
    assert {"/admins", "/companies", "/contacts/search", "/me", "/articles", "/emails"} <= {*paths}
    assert not any("scroll" in path for path in paths)


def test_the_answers_that_could_be_large_are_asked_for_one_record(tap: Tap) -> None:
    check(tap)
    for request in tap.sandbox.requests:
        if request.path.endswith("/search"):
            assert request.json["pagination"] == {"per_page": 1}
        if request.path == "/companies":
            assert request.params == {"page": "1", "per_page": "1"}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("lost", "named", "others"),
    [
        ({"tags"}, "Read tags", set()),
        # Attributes of conversations name the types of custom objects.
        ({"conversations"}, "Read conversations", {"custom_object_instances"}),
        ({"tags", "tickets"}, "Read tags", set()),
        ({"users_companies_read"}, USERS_AND_COMPANIES, set()),
    ],
    ids=["tags", "conversations", "tickets", "users and companies"],
)
def test_a_missing_permission_is_named(
    tap: Tap, status: int, lost: set[str], named: str, others: set[str]
) -> None:
    streams = refused_without(*lost) | others
    tap.sandbox.options.permissions -= lost
    tap.sandbox.options.refusal_status = status
    checked = check(tap)
    assert checked.code == 3
    assert checked.unreachable == dict.fromkeys(streams, "missing permission")
    assert {checked.streams[name]["permission"] for name in streams & {*CORE}} == {named}
    assert checked.log.startswith("CRITICAL ")
    assert f"the token lacks the permission '{named}'; tick it in Developer Hub" in checked.log
    assert all(name in checked.log for name in streams & {*CORE})


def test_a_stream_that_is_not_selected_may_be_unreachable(tap: Tap) -> None:
    catalog = tap.write("catalog.json", selecting(tap.discover(), "admins", "contacts"))
    tap.sandbox.options.permissions -= {"tags"}
    checked = check(tap, "--catalog", catalog)
    assert checked.code == 0, checked.log
    assert checked.unreachable == dict.fromkeys(refused_without("tags"), "missing permission")
    selected = {name for name, row in checked.streams.items() if row["selected"]}
    assert selected == {"admins", "contacts"}


def test_what_the_plan_lacks_is_said_and_asked_once(tap: Tap) -> None:
    tap.sandbox.faults.add(
        "status", path="^/tags$", times=None, status=403, code="api_plan_restricted"
    )
    checked = check(tap)
    assert checked.code == 3
    assert checked.unreachable == dict.fromkeys(family("tags"), "not in plan")
    assert "tags: the workspace's plan does not include this" in checked.log
    assert [request.path for request in tap.sandbox.requests].count("/tags") == 1


def test_a_plan_without_payment_is_a_plan(tap: Tap) -> None:
    tap.sandbox.faults.add("status", path="^/tags$", status=402, message="Payment required")
    assert check(tap).unreachable == dict.fromkeys(family("tags"), "not in plan")


def test_what_the_version_lacks_is_said(tap: Tap) -> None:
    tap.sandbox.faults.add("status", path="^/teams$", status=400, code="intercom_version_invalid")
    checked = check(tap)
    assert checked.code == 3
    assert checked.unreachable == dict.fromkeys(family("teams"), "not in this version")


def test_an_endpoint_that_gives_no_answer_does_not_stop_the_others(tap: Tap) -> None:
    tap.sandbox.faults.add("status", path="^/admins$", times=None, status=503)
    checked = check(tap, max_retry_seconds=0)
    assert checked.code == 3
    assert checked.unreachable == dict.fromkeys(family("admins"), "no usable answer")
    assert "503" in checked.streams["admins"]["detail"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_page_from_the_way_is_no_missing_permission(tap: Tap, status: int) -> None:
    tap.sandbox.options.rate_limit = None  # whose headers only Intercom adds
    page = "<html>Forbidden</html>"
    tap.sandbox.faults.add("status", path="^/admins$", times=None, status=status, body=page)
    checked = check(tap, max_retry_seconds=0)
    assert checked.unreachable == dict.fromkeys(family("admins"), "no usable answer")
    assert "check proxy" in checked.streams["admins"]["detail"]


def test_a_name_of_intercom_does_not_control_a_terminal(tap: Tap) -> None:
    app = {"id_code": "w", "name": "A\x1b]0;x\x07B\x9b2J\u202e\nWARNING", "region": "US"}
    body = json.dumps({"type": "admin", "name": None, "app": app}).encode()
    tap.sandbox.faults.add("answer", path="^/me$", answer=lambda call: (200, {}, body))
    checked = run("check", "--config", tap.config())
    assert checked.code == 0, checked.log
    first = checked.text.splitlines()[0]
    assert first.startswith(r"Workspace A\x1b]0;x\x07B\x9b2J\u202e\nWARNING (")


def test_a_list_that_is_not_there_is_no_usable_answer(tap: Tap) -> None:
    tap.sandbox.faults.add("null_list", path="^/teams$", times=None)
    assert check(tap).unreachable == dict.fromkeys(family("teams"), "no usable answer")


def test_the_tickets_permission_belongs_to_conversations(tap: Tap) -> None:
    tap.sandbox.options.permissions -= {"tickets"}
    checked = check(tap)
    assert checked.code == 0, checked.log
    (warning,) = checked.document["warnings"]
    assert warning.startswith("conversations: ")
    assert "Read tickets" in warning


def test_a_plan_without_tickets_leaves_nothing_out(tap: Tap) -> None:
    tap.sandbox.faults.add(
        "status", path="^/tickets/search$", status=403, code="api_plan_restricted"
    )
    assert check(tap).document["warnings"] == []


def test_companies_by_list_need_the_write_permission(tap: Tap) -> None:
    tap.sandbox.options.permissions -= {"users_companies_write"}
    assert check(tap).code == 0
    checked = check(tap, companies_source="list")
    assert checked.unreachable == dict.fromkeys(family("companies"), "missing permission")
    assert "'Write users and companies'" in checked.log


def test_whose_token_it_is_and_what_is_left_of_the_rate_limit(tap: Tap) -> None:
    document = check(tap, rate_limit_share=0.5, api_version="2.14").document
    app = tap.sandbox.workspace.app
    assert document["workspace"]["id"] == app["id_code"]
    assert document["workspace"]["name"] == app["name"]
    assert document["workspace"]["region"] == app["region"]
    assert document["api_version"] == "2.14"
    limit = document["rate_limit"]
    assert limit["limit"] == tap.sandbox.options.rate_limit
    assert 0 < limit["remaining"] < limit["limit"]
    assert limit["share"] == 0.5


def test_a_rate_limit_that_is_not_told_is_unknown(tap: Tap) -> None:
    tap.sandbox.options.rate_limit = None
    assert check(tap).document["rate_limit"] is None
    assert "Rate limit: unknown" in run("check", "--config", tap.config()).text


def test_another_region_is_a_warning(tap: Tap) -> None:
    tap.sandbox.workspace.app["region"] = "EU"
    checked = check(tap)
    assert checked.code == 0
    assert checked.document["warnings"] == [
        "region is us in the settings, but the workspace is in eu"
    ]


def test_a_refused_token_is_the_only_answer(tap: Tap) -> None:
    checked = check(tap, access_token="another")
    assert checked.code == 3
    assert checked.text == ""
    assert checked.log.startswith("CRITICAL Intercom refused the access token")
    assert "another" not in checked.log


@pytest.mark.parametrize("command", [["check"], ["--test"]], ids=["check", "--test"])
def test_people_get_a_table(tap: Tap, command: list[str]) -> None:
    tap.sandbox.options.permissions -= {"tags", "tickets"}
    checked = run(*command, "--config", tap.config())
    assert checked.code == 3
    head, *rows = checked.text[checked.text.index("stream ") :].splitlines()
    assert head.split() == ["stream", "selected", "result", "records", "permission"]
    cells = {row.split()[0]: row.split()[1:] for row in rows[: len(STREAMS)]}
    assert list(cells) == list(STREAMS)
    assert cells["contacts"][:3] == ["yes", "reachable", "7"]
    assert cells["tags"][:4] == ["yes", "missing", "permission", "-"]
    assert "WARNING conversations: the token lacks the permission Read tickets" in checked.text
    assert "Rate limit: 1,6" in checked.text


@pytest.mark.parametrize("lost", [set(), {"tags"}, None], ids=["nothing", "tags", "everything"])
def test_no_line_is_longer_than_120_columns(tap: Tap, lost: set[str] | None) -> None:
    dataset = "reporting_" + "time_in_state_of_a_very_special_ticket_type_" * 3
    catalog = selecting(tap.discover(), *STREAMS)
    catalog["streams"].append(dataset_entry(dataset))
    app = tap.sandbox.workspace.app
    app.update(name="Department of very long names " * 8, id_code="x" * 150)
    options = tap.sandbox.options
    options.permissions = set() if lost is None else options.permissions - lost - {"tickets"}
    arguments = [
        "--config",
        tap.config(region="eu", attachments_dir=str(tap.folder / "files")),
        "--catalog",
        tap.write("all.json", catalog),
    ]
    lines = run("check", *arguments).text.splitlines()

    assert max(map(len, lines)) <= 120
    assert len(lines) > len(STREAMS)
    # Nothing is lost: what does not fit goes on in the next line.
    table = lines[[line.split()[:1] for line in lines].index(["stream"]) :]
    width = table[0].index("selected")
    first_cells = "".join(line[:width].strip() for line in table[: table.index("")])
    assert dataset in first_cells
    words = " ".join(" ".join(lines).split())
    assert " ".join(("Department of very long names " * 8).split()) in words
    assert "region is eu in the settings, but the workspace is in us" in words


def dataset_entry(name: str) -> dict[str, Any]:
    """A catalog entry of a reporting dataset."""
    marks = {"tap-intercom.qualified-id": "ticket.id", "inclusion": "automatic"}
    return {
        "tap_stream_id": name,
        "schema": {"properties": {"id": {"type": ["null", "string"]}}},
        "key_properties": ["id"],
        "metadata": [
            {"breadcrumb": [], "metadata": {"selected": True, "table-key-properties": ["id"]}},
            {"breadcrumb": ["properties", "id"], "metadata": marks},
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["check"], "config: missing"),
        (["--test"], "config: missing"),
        (["check", "--config", os.devnull], os.devnull),
    ],
    ids=["no config", "no config for --test", "empty config"],
)
def test_wrong_arguments_are_refused(arguments: list[str], text: str) -> None:
    checked = run(*arguments)
    assert checked.code == 2
    assert text in checked.log


def test_a_catalog_by_two_names_is_refused(tap: Tap) -> None:
    path = tap.write("catalog.json", {"streams": []})
    assert check(tap, "--catalog", path, "--properties", path).code == 2


def test_there_is_no_markdown_of_a_test(tap: Tap) -> None:
    checked = run("--test", "--config", tap.config(), "--format", "markdown")
    assert checked.code == 2
    assert "--format must be one of text, json" in checked.log


def test_check_says_what_becomes_of_personal_fields(tap: Tap) -> None:
    kept = check(tap)
    assert kept.streams["contacts"]["personal_data"] == {"mode": "keep", "hashed": 0, "emptied": 0}
    assert kept.streams["brands"]["personal_data"] is None
    catalog = tap.write("catalog.json", selecting(tap.discover(), "tags", "companies"))
    settings = {"personal_data": "hash", "hash_key": "k", "keep_fields": {"companies": ["name"]}}
    hashed = check(tap, "--catalog", catalog, **settings).streams
    assert hashed["tags"]["personal_data"] == {"mode": "hash", "hashed": 0, "emptied": 0}
    found = hashed["companies"]["personal_data"]
    assert found["hashed"] >= 2
    fewer = check(tap, "--catalog", catalog, personal_data="hash", hash_key="k").streams
    assert fewer["companies"]["personal_data"] == {**found, "hashed": found["hashed"] + 1}
    text = run("check", "--config", tap.config(personal_data="drop")).text
    assert "Personal data: drop, in these streams:" in text
    assert "fields hashed  fields emptied" in text
    assert (
        "Personal data: keep; all fields stay as they are"
        in run("check", "--config", tap.config()).text
    )


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "config: attachments_dir: missing"),
        (
            {"attachments_dir": "/proc/none"},
            "config: attachments_dir: /proc/none cannot be written",
        ),
        ({"attachments_dir": "odd://bucket"}, "config: attachments_dir: "),
        ({"attachments_dir": "files", "personal_data": "drop"}, "personal_data is drop"),
    ],
)
def test_check_looks_at_the_place_of_files_before_it_asks(
    tap: Tap, settings: dict[str, Any], line: str
) -> None:
    catalog = tap.write("catalog.json", selecting(tap.discover(), "conversations", "attachments"))
    tap.sandbox.clear_requests()
    checked = check(tap, "--catalog", catalog, **settings)
    assert checked.code == 2
    assert line in checked.log
    assert len(checked.log.splitlines()) == 1
    assert not tap.sandbox.requests
