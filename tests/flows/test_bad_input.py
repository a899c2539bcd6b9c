"""What a user or Intercom may refuse ends in the documented exit code and one clear line."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import RUN, START_DATE, Output, Tap, run_tap, start_tap
from truth import STREAMS
from warm_tap import SHORT_WAITS, WarmTap

from intercom_sandbox import Sandbox, Workspace, generate
from intercom_sandbox.__main__ import main

TOKEN = "dG9rOnRoaXMtaXMtc2VjcmV0OjE6MA=="
DEBUG = {"LOGLEVEL": "DEBUG"}
MESSAGE_TYPES = {"SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION"}
BOOKMARK = {"updated_at": "2020-01-01T00:00:00Z"}
SETTINGS = {"access_token": TOKEN, "start_date": START_DATE}

USERS_AND_COMPANIES = "Read and list users and companies"
OF_USERS_AND_COMPANIES = {
    "companies",
    "company_attributes",
    "company_segments",
    "contact_attributes",
    "contacts",
    "segments",
}
# One case for each way of reading: lists, search and scroll, search with children.
PERMISSIONS = {
    "tags": ("Read tags", {"tags"}),
    "users_companies_read": (USERS_AND_COMPANIES, OF_USERS_AND_COMPANIES),
    "conversations": ("Read conversations", {"conversations", "conversation_parts"}),
}


def small_workspace() -> Workspace:
    return generate(seed=1, contacts=5, companies=3, conversations=3, parts=6)


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(small_workspace(), token=TOKEN)


def assert_clean(output: Output) -> None:
    """Nothing but messages on stdout, no traceback, the token nowhere."""
    assert {message["type"] for message in output.messages} <= MESSAGE_TYPES
    assert "Traceback" not in output.log
    assert TOKEN not in output.log
    assert TOKEN.encode() not in output.stdout


def assert_fails(output: Output, code: int, *texts: str) -> None:
    """The exit code, and one CRITICAL line, which is the last and holds the texts."""
    assert output.code == code, output.log
    assert output.log_lines("CRITICAL") == [output.last_log_line]
    for text in texts:
        assert text in output.last_log_line
    assert_clean(output)


def others_than(streams: set[str], output: Output) -> bool:
    """Whether all streams but these were read to their end."""
    with_records = {message["stream"] for message in output.messages if message["type"] == "RECORD"}
    return with_records == set(STREAMS) - streams


def bookmarks(streams: set[str]) -> dict[str, Any]:
    return dict.fromkeys(streams, BOOKMARK)


def write(path: Path, content: object) -> str:
    """A file with bytes as they are, or with anything else as JSON."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


# Settings


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param({}, ["access_token: missing", "start_date: missing"], id="nothing set"),
        pytest.param({"access_token": TOKEN}, ["start_date: missing"], id="no start_date"),
        pytest.param({"start_date": START_DATE}, ["access_token: missing"], id="no token"),
        pytest.param(
            {**SETTINGS, "start_date": "31.12.2025"},
            ["start_date: '31.12.2025' is not a date"],
            id="bad date",
        ),
        pytest.param(
            {**SETTINGS, "start_date": "2999-01-01"},
            ["start_date", "is in the future"],
            id="start_date in the future",
        ),
        pytest.param(
            {**SETTINGS, "region": "mars"},
            ["region: 'mars' is not one of us, eu, au"],
            id="unknown region",
        ),
        pytest.param(
            {"access_token": {"token": TOKEN}, "start_date": "never"},
            ["access_token: the value", "start_date: 'never'"],
            id="two faults in one line",
        ),
        *(
            pytest.param(
                {**SETTINGS, "access_token": f"{word} {TOKEN}"},
                ['access_token: the value begins with "Bearer"; give the token alone'],
                id=word,
            )
            for word in ("Bearer", "bearer", "Authorization: Bearer")
        ),
        pytest.param(b'{"access_token": "' + TOKEN.encode(), ["is not JSON"], id="not JSON"),
        pytest.param(b"", ["is not JSON"], id="empty"),
        pytest.param(b'{"access_token": "\xff"}', ["is not UTF-8 (byte 18)"], id="not UTF-8"),
        pytest.param([SETTINGS], ["is not a JSON object"], id="not an object"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, content: object, texts: list[str]) -> None:
    config = write(tmp_path / "config.json", content)
    output = run_tap("--config", config, environment=DEBUG)
    assert_fails(output, 2, "config", *texts)
    assert output.messages == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("absent.json", "No such file"), ("", "is a folder; give the path of a file")],
    ids=str,
)
def test_a_config_that_is_no_file_is_named(tmp_path: Path, name: str, reason: str) -> None:
    path = str(tmp_path / name)
    assert_fails(run_tap("--config", path), 2, "config", path, reason)


# Flags


@pytest.mark.parametrize("flag", ["--catalog", "--properties", "--state"])
def test_an_empty_path_is_refused(tap: Tap, flag: str) -> None:
    """As of a variable that is not set: without the catalog, deselected fields would come."""
    output = run_tap(*tap.arguments()[:2], flag, "")
    assert_fails(output, 2, "the path is empty")
    assert output.messages == []


NUMBERS_OF_THE_SANDBOX = ["port", "contacts", "companies", "conversations", "parts", "tickets"]
NUMBERS_OF_THE_SANDBOX += ["days", "latency", "rate-limit"]


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "-1", "text", ""])
@pytest.mark.parametrize("name", NUMBERS_OF_THE_SANDBOX)
def test_a_number_that_a_sandbox_cannot_have_is_refused(name: str, value: str) -> None:
    output = run_tap("sandbox", f"--{name}={value}")
    assert output.code == 2
    assert f"argument --{name}: {value!r} is not a " in output.last_log_line


@pytest.mark.parametrize(("name", "value"), [("port", "99999"), ("days", "1e10")])
def test_a_number_that_is_too_large_for_a_sandbox_is_refused(name: str, value: str) -> None:
    output = run_tap("sandbox", f"--{name}={value}")
    assert output.code == 2
    assert f"argument --{name}: {value!r} is not a " in output.last_log_line


@pytest.mark.parametrize("name", NUMBERS_OF_THE_SANDBOX[1:-2])
def test_a_sandbox_may_have_none_of_something(name: str) -> None:
    sizes: dict[str, Any] = {name: 0}
    assert generate(**sizes).truth("admins")


def test_a_list_of_records_has_no_negative_length(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["list", "contacts", "--count=-1"])
    assert "argument --count: '-1' is not a whole number of 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "-1", "text", ""])
@pytest.mark.parametrize("command", [["check", "--deep"], ["run"]])
def test_a_wait_that_cannot_be_is_refused(command: list[str], value: str) -> None:
    output = run_tap(*command, f"--wait={value}")
    assert output.code == 2
    assert f"argument --wait: invalid seconds value: {value!r}" in output.last_log_line


def test_a_config_is_needed() -> None:
    assert_fails(run_tap(), 2, "--config FILE")


def test_catalog_and_properties_together_are_refused(tap: Tap) -> None:
    arguments = tap.arguments(catalog={"streams": []})
    output = run_tap(*arguments, "--properties", arguments[-1])
    assert_fails(output, 2, "--properties is a deprecated alias of --catalog")


@pytest.mark.parametrize(
    ("region", "base_url", "warned"),
    [
        ("eu", "https://api.intercom.io", "region is eu, but base_url is the address of region us"),
        (
            "us",
            "https://API.eu.intercom.io/",
            "region is us, but base_url is the address of region",
        ),
        ("eu", "https://api.eu.intercom.io", None),
        ("eu", "https://proxy.example", None),
        (None, "https://api.au.intercom.io", None),
    ],
)
def test_a_region_beside_the_address_of_another_is_warned_of(
    tmp_path: Path, region: str | None, base_url: str, warned: str | None
) -> None:
    settings = {**SETTINGS, "base_url": base_url, **({"region": region} if region else {})}
    config = write(tmp_path / "config.json", settings)
    # It ends before a request.
    output = run_tap("--config", config, "--catalog", str(tmp_path / "absent.json"))
    assert output.code == 2
    warnings = output.log_lines("WARNING")
    assert len(warnings) == (warned is not None)
    for line in warnings:
        assert str(warned) in line
        assert "the tap uses base_url. Remove one of the two settings" in line


def test_an_unknown_flag_shows_the_usage() -> None:
    output = run_tap("--full-refresh")
    assert output.code == 2
    assert output.log.startswith("usage: tap-intercom")
    assert "--full-refresh" in output.last_log_line
    assert_clean(output)
    assert output.stdout == b""


# State


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param(
            None, ["cannot be read: No such file", "for a first run, write {}"], id="none"
        ),
        pytest.param(b"", ["is empty", "write {} into it for a first run"], id="empty"),
        pytest.param(b" \n", ["is empty"], id="blank"),
        pytest.param(b'{"bookmarks": ', ["is not JSON", "line 1, column 15"], id="not JSON"),
        pytest.param(b'"\xff"', ["is not UTF-8"], id="not UTF-8"),
        pytest.param([], ["must contain a JSON object"], id="not an object"),
        pytest.param(
            {"access_token": "secret", "start_date": "2020-01-01"},
            ["no bookmarks, but access_token, start_date;", "write {} into it"],
            id="config",
        ),
        pytest.param({"streams": []}, ["no bookmarks, but streams"], id="catalog"),
        pytest.param(
            {"type": "RECORD", "stream": "contacts", "record": {}}, ["no bookmarks"], id="RECORD"
        ),
        pytest.param(
            {"bookmarks": ["contacts"]}, ["bookmarks must be a JSON object"], id="list of bookmarks"
        ),
    ],
)
def test_a_state_file_that_is_none_is_refused(tap: Tap, content: object, texts: list[str]) -> None:
    path = tap.folder / "state.json"
    if content is not None:
        write(path, content)
    output = run_tap("--config", tap.config(), "--state", str(path))
    assert_fails(output, 2, "state: ", *texts)
    assert tap.sandbox.requests == []


def test_a_state_that_is_a_folder_is_refused(tap: Tap) -> None:
    output = run_tap("--config", tap.config(), "--state", str(tap.folder))
    assert_fails(output, 2, "state: ", f"{tap.folder} is a folder; give the path of a file")
    assert "write {} into it" not in output.log


def test_a_state_that_may_not_be_read_gets_no_advice_for_a_first_run(tap: Tap) -> None:
    output = run_tap("--config", tap.config(), "--state", "/proc/self/mem")
    assert_fails(output, 2, "state: /proc/self/mem cannot be read: Input/output error")
    assert "write {} into it" not in output.log


@pytest.mark.parametrize(
    "value",
    ["soon", True, [2024], {"at": 1}, "2024-13-01", 1_700_000_000_000, "1700000000000"],
    ids=str,
)
def test_a_bookmark_that_is_no_time_is_refused(tap: Tap, value: object) -> None:
    output = tap.sync(state={"bookmarks": {"contacts": {"updated_at": value}}})
    assert_fails(output, 2, "bookmarks.contacts.updated_at", "not a time")
    assert output.messages == []


def test_a_bookmark_of_another_workspace_is_refused(tap: Tap) -> None:
    bookmark = {**BOOKMARK, "since": START_DATE, "workspace": "other1"}
    output = tap.sync(state={"bookmarks": {"tags": {}, "contacts": bookmark}})
    assert_fails(output, 2, "contacts", "other1", "sandbox1")
    assert output.messages == []


# Catalog


def with_name(name: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"id": {"type": "string"}, "name": name}}


CONTACTS = {
    "tap_stream_id": "contacts",
    "schema": {"type": "object", "properties": {"id": {"type": "string"}}},
    "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
}


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param(
            None, ["cannot be read: No such file", "create one with --discover"], id="no file"
        ),
        pytest.param(b"", ["is empty", "create one with --discover"], id="empty"),
        pytest.param(b"streams:", ["is not JSON"], id="not JSON"),
        pytest.param(b"\xff\xfe", ["is not UTF-8"], id="not UTF-8"),
        pytest.param([], ["list of streams"], id="not an object"),
        pytest.param({}, ["list of streams"], id="no streams"),
        pytest.param({"streams": {}}, ["list of streams"], id="streams are no list"),
        pytest.param({"streams": ["contacts"]}, ["must be an object"], id="stream is text"),
        pytest.param({"streams": [{}]}, ["tap_stream_id"], id="stream without name"),
        pytest.param(
            {"streams": [{**CONTACTS, "tap_stream_id": "leads"}]},
            ["leads does not exist", "contacts"],
            id="unknown stream selected",
        ),
        pytest.param(
            {"streams": [{**CONTACTS, "schema": None}]}, ["contacts has no schema"], id="no schema"
        ),
        pytest.param(
            {"streams": [{**CONTACTS, "schema": {"properties": {"name": {}}}}]},
            ["contacts is missing its key id"],
            id="no key in the schema",
        ),
        pytest.param(
            {"streams": [{**CONTACTS, "metadata": {"selected": True}}]},
            ["metadata of contacts"],
            id="metadata is no list",
        ),
        pytest.param(
            {"streams": [{**CONTACTS, "stream": 5}]}, ["the name of contacts"], id="name is no text"
        ),
        pytest.param(
            {"streams": [CONTACTS, CONTACTS]}, ["contacts is selected twice"], id="stream twice"
        ),
        pytest.param(
            {"streams": [CONTACTS, {**CONTACTS, "tap_stream_id": "tags", "stream": "contacts"}]},
            ["contacts and tags", "the same table, contacts"],
            id="table twice",
        ),
        *(
            pytest.param(
                {"streams": [{**CONTACTS, "schema": with_name({"type": "string", **constraint})}]},
                [f"a schema with {constraint} is not valid"],
                id=f"schema with {constraint}",
            )
            for constraint in ({"pattern": "("}, {"pattern": 5}, {"enum": 5})
        ),
        *(
            pytest.param(
                {"streams": [{**CONTACTS, "schema": with_name(name)}]},
                ["the schema of contacts is not valid"],
                id=f"schema with {str(name)[:30]}",
            )
            for name in (
                {"type": None},
                {"anyOf": 5},
                {"type": "object", "required": [["a"]]},
                json.loads('{"type":"object","properties":{"a":' * 300 + "{}" + "}}" * 300),
            )
        ),
    ],
)
@pytest.mark.parametrize("flag", ["--catalog", "--properties"])
def test_a_wrong_catalog_is_refused(tap: Tap, flag: str, content: object, texts: list[str]) -> None:
    path = tap.folder / "catalog.json"
    if content is not None:
        write(path, content)
    output = run_tap("--config", tap.config(), flag, str(path))
    assert_fails(output, 2, "catalog: ", *texts)
    assert output.messages == []


def test_an_unknown_stream_that_is_not_selected_is_ignored(tap: Tap) -> None:
    unknown = {"tap_stream_id": "leads", "metadata": [{"breadcrumb": [], "metadata": {}}]}
    output = tap.sync(catalog={"streams": [unknown, CONTACTS]})
    assert output.code == 0
    assert output.ids("contacts") == {each["id"] for each in tap.sandbox.truth("contacts")}
    assert "leads" not in output.log


# Token and permissions


@pytest.mark.parametrize("arguments", [[], ["--discover"]], ids=["sync", "discover"])
def test_a_wrong_token_is_refused_in_one_line(tap: Tap, arguments: list[str]) -> None:
    config = tap.config()
    tap.sandbox.options.token = "another"
    output = run_tap("--config", config, *arguments, environment=DEBUG)
    assert output.stdout == b""
    assert_fails(output, 3, "401", "unauthorized", "Access Token Invalid", "access_token")
    advice = "correct base_url, or remove it and set region to eu or au (now us"
    assert advice in output.last_log_line


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_missing_permission_fails_its_streams_only(
    tap: Tap, permission: str, status: int
) -> None:
    name, streams = PERMISSIONS[permission]
    tap.sandbox.options.permissions.remove(permission)
    tap.sandbox.options.refusal_status = status
    output = tap.sync(state={"bookmarks": bookmarks(streams)}, environment=DEBUG)
    assert_fails(output, 3, name, str(status), "token_unauthorized", *streams)
    assert output.last_log_line.count(name) == 1
    assert output.last_log_line.count("tick it in Developer Hub > your app > Authentication") == 1
    assert others_than(streams, output)
    assert {stream: output.state["bookmarks"][stream] for stream in streams} == bookmarks(streams)
    assert not any(output.count("ACTIVATE_VERSION", stream) for stream in streams)
    assert output.messages[-1]["type"] == "STATE"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("permission", PERMISSIONS)
def test_streams_with_a_missing_permission_can_be_skipped(
    tap: Tap, permission: str, status: int
) -> None:
    name, streams = PERMISSIONS[permission]
    tap.sandbox.options.permissions.remove(permission)
    tap.sandbox.options.refusal_status = status
    output = tap.sync(
        state={"bookmarks": bookmarks(streams)}, on_missing_permission="skip", environment=DEBUG
    )
    assert output.code == 0
    assert "CRITICAL" not in output.log
    assert_clean(output)
    warnings = output.log_lines("WARNING")
    for stream in streams:
        assert any(f"{stream}: SKIPPED" in line and name in line for line in warnings)
    assert others_than(streams, output)
    assert {stream: output.state["bookmarks"][stream] for stream in streams} == bookmarks(streams)


def test_parts_that_are_refused_leave_their_conversations_complete(tap: Tap) -> None:
    path, code = r"^/conversations/\d", "token_unauthorized"
    tap.sandbox.faults.add("status", path=path, times=None, status=403, code=code)
    output = tap.sync(state={"bookmarks": bookmarks({"conversations", "conversation_parts"})})
    assert_fails(output, 3, "conversation_parts: ", "Read conversations")
    assert others_than({"conversation_parts"}, output)
    assert output.state["bookmarks"]["conversation_parts"] == BOOKMARK
    assert output.state["bookmarks"]["conversations"] != BOOKMARK


def revoke_token(sandbox: Sandbox, method: str, path: str, number: int) -> None:
    """Intercom takes the token no more from the first search of contacts on."""
    if path == "/contacts/search":
        sandbox.options.token = "another"


@pytest.mark.parametrize("on_missing_permission", ["fail", "skip"])
def test_a_token_that_is_revoked_midway_is_no_missing_permission(
    tap: Tap, on_missing_permission: str
) -> None:
    arguments = tap.arguments(
        state={"bookmarks": bookmarks({"contacts"})}, on_missing_permission=on_missing_permission
    )
    tap.sandbox.before_request(revoke_token)
    output = run_tap(*arguments, environment=DEBUG)
    assert_fails(output, 3, "contacts", "401", "no longer accepts the access token")
    assert output.last_log_line.count("no longer accepts") == 1
    assert output.state["bookmarks"]["contacts"] == BOOKMARK
    assert USERS_AND_COMPANIES not in output.log


@pytest.mark.parametrize(
    ("on_missing_permission", "code", "level"),
    [("fail", 3, "CRITICAL"), ("skip", 0, "WARNING")],
    ids=["fail", "skip"],
)
def test_what_the_plan_lacks_is_said(
    tap: Tap, on_missing_permission: str, code: int, level: str
) -> None:
    tap.sandbox.faults.add(
        "status",
        path="^/tags$",
        status=403,
        code="api_plan_restricted",
        message="Active subscription needed.",
    )
    output = tap.sync(on_missing_permission=on_missing_permission)
    assert output.code == code
    (line,) = [line for line in output.log_lines(level) if "Active subscription needed." in line]
    assert "tags" in line
    assert "plan does not include this" in line
    assert "Read tags" not in output.log
    assert others_than({"tags"}, output)
    assert_clean(output)


@pytest.mark.parametrize("status", [401, 403])
def test_conversations_come_without_the_tickets_permission_but_loudly(
    tap: Tap, status: int
) -> None:
    tap.sandbox.workspace.add_conversation(
        id="ticket", ticket={"type": "ticket", "id": "1"}, updated_at=1_700_000_000
    )
    tap.sandbox.options.permissions.remove("tickets")
    tap.sandbox.options.refusal_status = status
    output = tap.sync("conversations")
    assert output.code == 0
    living = {each["id"] for each in tap.sandbox.truth("conversations")}
    tickets = {each["id"] for each in tap.sandbox.truth("tickets")}
    assert output.ids("conversations") == living - tickets
    warnings = output.log_lines("WARNING")
    assert any("conversations" in line and "Read tickets" in line for line in warnings)
    assert_clean(output)


def test_an_error_text_of_several_lines_stays_one_line(tap: Tap) -> None:
    message = "not\nallowed\r\nCRITICAL for you"
    tap.sandbox.faults.add("status", path="^/me$", status=401, message=message)
    assert_fails(tap.sync(), 3, "not allowed CRITICAL for you")


def test_an_error_text_that_repeats_the_token_does_not_show_it(tap: Tap) -> None:
    message = f"Token {TOKEN} is invalid"
    tap.sandbox.faults.add("status", path="^/me$", status=401, message=message)
    assert_fails(tap.sync(environment=DEBUG), 3, "Token *** is invalid")


# The line, and the other end of stdout


def test_a_timeout_that_no_socket_can_wait_for_is_no_fault(tap: Tap) -> None:
    output = tap.sync("tags", request_timeout=1e300)
    assert output.code == 0, output.log


def test_nobody_answering_ends_the_run(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        settings = {**SETTINGS, "base_url": base_url, "max_retry_seconds": 0}
        output = run_tap("--config", write(tmp_path / "config.json", settings), environment=DEBUG)
    assert_fails(output, 4, "GET /me", "refused")
    assert output.stdout == b""


def test_a_name_that_is_not_resolved_is_warned_of_and_named_in_the_end(
    warm_tap: WarmTap, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "base_url": "https://intercom.invalid", "max_retry_seconds": 0.05}
    output = warm_tap.run("--config", write(tmp_path / "c.json", settings), numbers=SHORT_WAITS)
    text = "GET /me: the name intercom.invalid cannot be resolved ("
    advice = "; check the DNS and the network of this machine, and base_url"
    assert_fails(output, 4, text)
    assert output.last_log_line.endswith(f"){advice}")
    first, *_ = output.log_lines("WARNING")
    assert text in first
    assert f"{advice}; retrying in 0.0 s" in first


def test_a_network_that_goes_midway_is_said_once_for_all_streams(
    tap: Tap, warm_tap: WarmTap, plain_catalog: dict[str, Any]
) -> None:
    for path in ("^/tags$", "^/teams$"):
        tap.sandbox.faults.add("reset_before", path=path, times=None)
    arguments = tap.arguments("tags", "teams", catalog=plain_catalog, max_retry_seconds=0)
    output = warm_tap.run(*arguments, numbers=SHORT_WAITS)
    assert_fails(output, 4, "tags, teams: ")
    assert "GET " not in output.last_log_line


def test_a_refused_token_suspects_the_region(tap: Tap, warm_tap: WarmTap) -> None:
    regions = dict.fromkeys(("us", "eu", "au"), tap.sandbox.url)
    numbers = {
        "settings.declaration.REGION_URLS": regions,
        "intercom.refusals.REGION_URLS": regions,
    }
    config = tap.config(access_token="not-the-token", base_url=None, region="eu")
    output = warm_tap.run("--config", config, numbers=numbers)
    assert_fails(
        output,
        3,
        "If the workspace is hosted in another region, set region to us or au (now eu).",
    )


@pytest.mark.parametrize("arguments", [[], ["--discover"]], ids=["sync", "discover"])
def test_a_closed_stdout_is_refused_before_anything_is_opened(
    tap: Tap, arguments: list[str]
) -> None:
    config, state = tap.config(), tap.write("state.json", {})
    command = shlex.join([*RUN, "--config", config, "--state", state, *arguments])
    # A shell closes it; the files that are opened next must not take its place.
    process = subprocess.run(
        ["sh", "-c", f"exec {command} >&-"], stderr=subprocess.PIPE, check=False, timeout=60
    )
    output = Output(process.returncode, b"", process.stderr.decode())
    assert_fails(output, 2, "stdout is closed")
    assert tap.sandbox.requests == []
    assert json.loads(Path(state).read_text()) == {}


@pytest.mark.parametrize("arguments", [[], ["--discover"]], ids=["sync", "discover"])
def test_a_reader_that_closes_the_pipe_ends_the_run(tap: Tap, arguments: list[str]) -> None:
    process = start_tap("--config", tap.config(), *arguments, environment=DEBUG)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    log = process.stderr.read().decode()
    process.stderr.close()
    output = Output(process.wait(60), b"", log)
    assert_fails(output, 128 + signal.SIGPIPE, "stdout", "the target has ended")


def test_an_api_version_that_lacks_an_endpoint_is_named(start_tap_on: Callable[..., Tap]) -> None:
    tap = start_tap_on(Workspace())
    catalog = tap.discover()
    tap.sandbox.faults.add(
        "status", path="/tags", status=400, code="intercom_version_invalid", times=None
    )
    output = tap.sync("tags", catalog=catalog)
    assert output.code == 5
    assert "api_version" in output.last_log_line


def test_a_search_filter_that_intercom_refuses_is_named(start_tap_on: Callable[..., Tap]) -> None:
    tap = start_tap_on(generate(seed=1, contacts=5, companies=0, conversations=2, parts=2))
    wrong = {"field": "no_such_field", "operator": "=", "value": "x"}
    output = tap.sync("contacts", "tags", search_filters={"contacts": wrong})
    assert output.code == 2, output.log
    assert "the filter of contacts in the setting search_filters" in output.last_log_line
    assert output.records("tags")


def test_a_custom_object_type_that_is_not_there_is_named(
    start_tap_on: Callable[..., Tap],
) -> None:
    tap = start_tap_on(generate(seed=1, contacts=5, companies=0, conversations=2, parts=2))
    output = tap.sync("custom_object_instances", "tags", custom_object_types="Order, Ordre")
    assert output.code == 2, output.log
    assert "check 'Ordre' in the setting custom_object_types" in output.last_log_line
    assert output.records("tags")


def test_another_refusal_does_not_blame_the_search_filter(
    start_tap_on: Callable[..., Tap],
) -> None:
    tap = start_tap_on(generate(seed=1, contacts=5, companies=0, conversations=2, parts=2))
    tap.sandbox.faults.add("dead_cursor", path="/contacts/search")
    users = {"field": "role", "operator": "=", "value": "user"}
    output = tap.sync("contacts", search_filters={"contacts": users})
    assert output.code == 5, output.log
    assert "search_filters" not in output.last_log_line


def test_the_end_of_the_list_of_companies_names_the_way_out(
    start_tap_on: Callable[..., Tap],
) -> None:
    tap = start_tap_on(generate(seed=1, contacts=0, companies=3, conversations=0, parts=0))
    message = "page limit reached, please use scroll API"
    body = json.dumps(
        {"type": "error.list", "errors": [{"code": "bad_request", "message": message}]}
    )
    tap.sandbox.faults.add(
        "answer",
        path="/companies/list",
        times=None,
        answer=lambda call: (400, {"Content-Type": "application/json"}, body.encode()),
    )
    output = tap.sync("companies", companies_source="list")
    assert output.code == 5, output.log
    assert "set companies_source to scroll" in output.last_log_line
