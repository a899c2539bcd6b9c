"""Several access tokens: of one workspace, each with its own rate limit and permissions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import Output, Tap
from runs import Catalog, Runs
from test_check import check
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.options import PERMISSIONS

TOKENS = ["sandbox-token", "token-of-app-2", "token-of-app-3"]
STREAMS = ("companies", "contacts", "conversations", "conversation_parts", "tags", "teams")
CONVERSATIONS = 60


@pytest.fixture
def workspace() -> Workspace:
    workspace = Workspace()
    tag = workspace.add_tag(name="VIP")
    for number in range(CONVERSATIONS):
        workspace.add_company(name=f"Company {number}")
        contact = workspace.add_contact(name=f"Contact {number}")
        ticket: dict[str, Any] | None = {"ticket_attributes": {}} if number % 10 == 0 else None
        conversation = workspace.add_conversation(contacts=[contact], ticket=ticket)
        workspace.reply(conversation, body="Hello")
        workspace.tag_conversation(conversation, tag)
    return workspace


@pytest.fixture
def tap(workspace: Workspace, start_tap_on: Callable[..., Tap]) -> Tap:
    others = {token: set(PERMISSIONS) for token in TOKENS[1:]}
    return start_tap_on(workspace, other_tokens=others, scroll_page_size=10)


@pytest.fixture
def sync(tap: Tap, tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog) -> Any:
    runs = Runs(tap.sandbox, tmp_path, warm_tap, plain_catalog)

    def run(*streams: str, **settings: Any) -> Output:
        return runs.run(*(streams or STREAMS), access_token=TOKENS, **settings)

    return run


def assert_whole(tap: Tap, output: Output, *streams: str) -> None:
    for name in streams or STREAMS:
        assert output.ids(name) == {each["id"] for each in tap.sandbox.truth(name)}, name


def used(sandbox: Sandbox, path: str = "/") -> Counter[str]:
    return Counter(each.token for each in sandbox.requests if each.path.startswith(path))


def test_requests_are_spread_and_each_token_keeps_to_its_own_limit(tap: Tap, sync: Any) -> None:
    tap.sandbox.options.rate_limit = 100
    output = sync(rate_limit_share=1.0)
    assert output.code == 0, output.log
    assert_whole(tap, output)
    requests = used(tap.sandbox)
    assert requests.keys() == set(TOKENS)
    assert min(requests.values()) > len(tap.sandbox.requests) / 5
    assert not [each for each in tap.sandbox.requests if each.status == 429]


@pytest.mark.parametrize("token", range(3))
def test_a_token_that_dies_hands_its_requests_to_the_others(
    tap: Tap, sync: Any, token: int
) -> None:
    sandbox = tap.sandbox

    def end_token(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if number == 20:
            if token == 0:
                sandbox.options.token = "a new one"
            else:
                del sandbox.options.other_tokens[TOKENS[token]]

    sandbox.before_request(end_token)
    output = sync()
    assert output.code == 0, output.log
    assert_whole(tap, output)
    (warning,) = output.log_lines("WARNING")
    assert f"token {token + 1} of 3: Intercom does not accept it" in warning
    assert sum(each.status == 401 for each in sandbox.requests) < 40


def test_a_token_that_is_dead_from_the_start_is_named(tap: Tap, sync: Any) -> None:
    del tap.sandbox.options.other_tokens[TOKENS[1]]
    output = sync()
    assert output.code == 0, output.log
    assert_whole(tap, output)
    assert ["token 2 of 3" in line for line in output.log_lines("WARNING")] == [True]


def test_the_last_token_that_dies_ends_the_run(tap: Tap, sync: Any) -> None:
    def end_all(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if number == 20:
            sandbox.options.token = "a new one"
            sandbox.options.other_tokens.clear()

    tap.sandbox.before_request(end_all)
    output = sync()
    assert output.code == 3
    assert "Intercom no longer accepts the access token" in output.log


def test_a_permission_of_one_token_is_enough(tap: Tap, sync: Any) -> None:
    for token in TOKENS[1:]:
        tap.sandbox.options.other_tokens[token] -= {"tags", "conversations"}
    output = sync(concurrency=1)
    assert output.code == 0, output.log
    assert_whole(tap, output)
    # Each token learns once for each endpoint, not for each record.
    refused = Counter(
        (each.token, re.sub(r"\d+", "{id}", each.path))
        for each in tap.sandbox.requests
        if each.status == 403
    )
    assert {token for token, _ in refused} == {*TOKENS[1:]}
    assert max(refused.values()) == 1
    assert used(tap.sandbox, "/tags").keys() <= set(TOKENS)


@pytest.mark.parametrize("status", [401, 403])
def test_a_permission_that_no_token_has_fails_its_streams_only(
    tap: Tap, sync: Any, status: int
) -> None:
    options = tap.sandbox.options
    options.refusal_status = status
    for permissions in (options.permissions, *options.other_tokens.values()):
        permissions.remove("tags")
    output = sync()
    assert output.code == 3
    assert "tags" in output.last_log_line
    assert_whole(tap, output, "contacts", "companies", "conversations", "conversation_parts")


def test_a_token_that_sees_less_is_not_used(tap: Tap, sync: Any) -> None:
    tap.sandbox.options.other_tokens[TOKENS[2]] -= {"tickets"}
    output = sync()
    assert output.code == 0, output.log
    assert_whole(tap, output)
    (warning,) = output.log_lines("WARNING")
    assert "token 3 of 3: it lacks the permission Read tickets" in warning
    assert used(tap.sandbox, "/conversations").keys() == set(TOKENS[:2])


def test_tokens_of_two_workspaces_are_refused(tap: Tap, sync: Any) -> None:
    def change(body: dict[str, Any]) -> None:
        body["app"]["id_code"] = "another1"

    tap.sandbox.faults.add("changed", "^/me$", after=2, change=change)
    output = sync()
    assert output.code == 2
    assert "access_token: token 2 is of the workspace another1" in output.last_log_line
    assert not output.messages


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "changed", "change": lambda body: body.update(app=None)},
    ],
    ids=["no answer", "no workspace"],
)
def test_a_token_of_an_unknown_workspace_is_not_used(
    tap: Tap, sync: Any, fault: dict[str, Any]
) -> None:
    tap.sandbox.faults.add(**fault, path="^/me$", after=2)
    output = sync("tags", "conversations", max_retry_seconds=0)
    assert output.code == 0, output.log
    assert_whole(tap, output, "tags", "conversations")
    (warning,) = output.log_lines("WARNING")
    assert "token 2 of 3: Intercom does not say which workspace it is of" in warning
    assert used(tap.sandbox)[TOKENS[1]] == 1


def test_no_token_is_shown(tap: Tap, sync: Any) -> None:
    del tap.sandbox.options.other_tokens[TOKENS[1]]
    output = tap.sync("tags", access_token=TOKENS, environment={"LOGLEVEL": "DEBUG"})
    assert output.code == 0, output.log
    assert not any(token in output.log for token in TOKENS)


def test_a_scroll_and_an_export_keep_to_one_token(tap: Tap, sync: Any) -> None:
    today = datetime.now(timezone.utc).isoformat()[:10]
    output = sync("companies", "content_export_receipt", "contacts", start_date=today)
    assert output.code == 0, output.log
    for path in ("/companies/scroll", "/export"):
        assert len(used(tap.sandbox, path)) == 1, path
    assert len(used(tap.sandbox)) == 3


def test_check_names_what_a_token_lacks(tap: Tap) -> None:
    tap.sandbox.options.other_tokens[TOKENS[1]] -= {"tags"}
    checked = check(tap, access_token=TOKENS)
    assert checked.code == 0, checked.log
    (warning,) = checked.document["warnings"]
    assert warning == "access_token: token 2 lacks what another token has: Read tags (tags)"
    limit = checked.document["rate_limit"]["limit"]
    assert limit == 3 * 1667


def test_a_record_that_nobody_may_read_stops_no_token(tap: Tap, sync: Any) -> None:
    refused = tap.sandbox.truth("conversations")[20]["id"]
    path = f"^/conversations/{refused}$"
    tap.sandbox.faults.add("status", path, times=None, status=403, code="forbidden")
    output = sync("conversation_parts", concurrency=1)
    assert output.code == 0, output.log
    assert "that Intercom cannot send, while it sends others" in output.log
    details = [each for each in tap.sandbox.requests if each.path.startswith("/conversations/")]
    last_refusal = max(at for at, each in enumerate(details) if each.status == 403)
    assert {each.token for each in details[last_refusal + 1 :]} == set(TOKENS)


def test_macros_are_those_of_one_teammate(tap: Tap, sync: Any) -> None:
    for number in range(40):
        tap.sandbox.workspace.add_record("macros", name=f"Macro {number}")
    output = sync("macros", page_size=5)
    assert output.code == 0, output.log
    assert len(output.ids("macros")) == 40
    assert len(used(tap.sandbox, "/macros")) == 1


def test_streams_go_on_if_intercom_does_not_say_what_a_token_may_read(tap: Tap, sync: Any) -> None:
    tap.sandbox.faults.add("status", "^/tickets/search$", times=None, status=500)
    output = sync("conversations", "tags", max_retry_seconds=0)
    assert output.code == 4
    assert "conversations" in output.last_log_line
    assert "tags" not in output.last_log_line
    assert_whole(tap, output, "tags")


def test_a_token_of_which_intercom_does_not_say_what_it_may_read_is_not_used(
    tap: Tap, sync: Any
) -> None:
    tap.sandbox.faults.add("status", "^/tickets/search$", after=1, times=1, status=500)
    output = sync("conversations", "tags", max_retry_seconds=0)
    assert output.code == 0, output.log
    assert_whole(tap, output, "conversations", "tags")
    (warning,) = output.log_lines("WARNING")
    assert "token 2 of 3" in warning
    assert TOKENS[1] not in used(tap.sandbox, "/conversations")
