"""`tap-intercom check --deep` as a command: what it says, asks, writes and returns."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import RUN, Tap
from terminal import Terminal
from warm_tap import SHORT_WAITS, Run, WarmTap

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.options import Options
from intercom_sandbox.sample import generate
from tap_intercom.probes import PROBES
from tap_intercom.probes.workspace import MOST_REQUESTS, OPENING_REQUESTS

MARK = "M4rk3d"
# What the tap needs to ask on: the marks would change the questions, not the answers.
KEPT = {
    "type", "id", "starting_after", "next", "timezone", "scroll_param", "region", "id_code", "code",
}  # fmt: skip
NUMBERS = {
    **SHORT_WAITS,
    "intercom.rate_limit.WINDOW_SECONDS": 0.01,
    "probes.workspace.RETRY_WAIT_SECONDS": 0.01,
    "intercom.rate_limit.SHORTEST_REST_SECONDS": 0.01,
}
FREE = ("custom_attributes", "ticket_attributes", "metadata")


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox(generate(seed=1, contacts=8, companies=5, conversations=6, parts=9)) as sandbox:
        yield sandbox


@pytest.fixture
def tap(shared: Sandbox, tmp_path: Path) -> Tap:
    for name, value in vars(Options()).items():
        setattr(shared.options, name, value)
    shared.faults.clear()
    shared.clear_requests()
    return Tap(shared, tmp_path)


@dataclass
class Checked:
    """What a deep check wrote, logged and returned, and how many requests it sent."""

    code: int
    text: str
    log: str
    requests: int
    report_file: Path

    @property
    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.report_file.read_text(encoding="utf-8"))
        return document

    @property
    def results(self) -> dict[str, str]:
        return {row["probe"]: row["result"] for row in self.report["probes"]}

    @property
    def observed(self) -> dict[str, str]:
        return {row["probe"]: row["observed"] for row in self.report["probes"]}


Check = Callable[..., Checked]


@pytest.fixture
def check(warm_tap: WarmTap) -> Check:
    """Runs a deep check: `check(tap, *arguments, **settings)`."""

    def run(
        tap: Tap, *arguments: str, before: Callable[[Run], object] = id, **settings: Any
    ) -> Checked:
        report = tap.folder / "report.json"
        given = (*deep(tap, **settings), "--report", str(report), *arguments)
        process = warm_tap.start(*given, numbers=NUMBERS)
        before(process)
        output = process.wait()
        text, requests = output.stdout.decode(), len(tap.sandbox.requests)
        return Checked(output.code, text, output.log, requests, report)

    return run


def deep(tap: Tap, **settings: Any) -> list[str]:
    return ["check", "--deep", "--wait", "0", "--config", tap.config(**settings)]


def test_it_says_what_it_does_and_shows_what_it_found(tap: Tap, check: Check) -> None:
    checked = check(tap, "--yes")
    assert checked.code == 0, checked.log
    words = " ".join(checked.log.split())
    assert words.startswith(f"This asks the workspace {len(PROBES)} questions. It only reads")
    most = OPENING_REQUESTS + sum(probe.most_requests for probe in PROBES)
    assert f"at most {most} requests within rate_limit_share" in words
    assert checked.text.split()[:4] == ["question", "assumption", "observed", "result"]
    assert "DOES NOT HOLD" not in checked.text
    assert max(map(len, checked.text.splitlines())) <= 120
    assert [row["probe"] for row in checked.report["probes"]] == [each.name for each in PROBES]
    assert set(checked.results.values()) == {"holds", "not seen"}


def test_it_reads_only_and_within_its_budget(tap: Tap, check: Check) -> None:
    checked = check(tap, "--yes")
    writing = [
        each
        for each in tap.sandbox.requests
        if each.method != "GET" and not each.path.endswith("/search")
    ]
    assert writing == []
    assert checked.requests == checked.report["requests"] <= MOST_REQUESTS


def test_what_does_not_hold_names_what_it_endangers(tap: Tap, check: Check) -> None:
    tap.sandbox.options.contact_days = "utc"
    tap.sandbox.options.company_segments_listed = False
    checked = check(tap, "--yes")
    assert checked.code == 5
    assert checked.results["contact_days"] == "does not hold"
    words = " ".join(checked.text.split())
    assert "DOES NOT HOLD What does contact search compare? It concerns stream contacts." in words
    assert f"CRITICAL 2 of {len(PROBES)} assumptions of the tap do not hold here" in checked.log
    assert "It concerns: stream contacts; stream company_segments" in checked.log


def test_json_has_the_results(tap: Tap, check: Check) -> None:
    checked = check(tap, "--yes", "--format", "json")
    assert json.loads(checked.text) == {"probes": checked.report["probes"]}


def test_without_a_terminal_it_needs_a_yes(tap: Tap, check: Check) -> None:
    checked = check(tap)
    assert checked.code == 2
    assert "stdin is not a terminal; add --yes" in checked.log
    assert (checked.text, checked.requests) == ("", 0)


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)])
def test_on_a_terminal_it_asks(tap: Tap, answer: str, code: int) -> None:
    with Terminal([*RUN, *deep(tap)]) as terminal:
        terminal.read_until("Start? [y/N] ")
        assert tap.sandbox.requests == []
        terminal.type(f"{answer}\n")
        assert terminal.end() == code
    assert bool(tap.sandbox.requests) == (code == 0)
    assert ("assumption" in terminal.shown) == (code == 0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["check", "--yes"], "--yes: only with --deep"),
        (["check", "--report", "a.json"], "--report: only with --deep"),
        (["check", "--deep", "--yes"], "config: missing"),
    ],
)
def test_wrong_flags_are_refused(warm_tap: WarmTap, arguments: list[str], text: str) -> None:
    output = warm_tap.run(*arguments)
    assert output.code == 2
    assert text in output.log


def test_a_report_that_cannot_be_written_is_refused_at_once(tap: Tap, check: Check) -> None:
    checked = check(tap, "--yes", "--report", str(tap.folder / "no folder" / "a.json"))
    assert checked.code == 2
    assert "--report: " in checked.log
    assert checked.requests == 0


def test_a_refused_token_ends_it(tap: Tap, check: Check) -> None:
    checked = check(tap, "--yes", access_token="another")
    assert (checked.code, checked.text) == (3, "")
    assert "CRITICAL Intercom refused the access token" in checked.log


def test_of_several_tokens_it_uses_the_first(tap: Tap, check: Check) -> None:
    checked = check(tap, "--yes", access_token=f"{tap.sandbox.token},second-token")
    assert checked.code == 0, checked.log
    assert "Of the 2 access tokens, it uses the first." in checked.log
    assert "token 2" not in checked.log
    assert "second-token" not in checked.log + checked.text + json.dumps(checked.report)


def test_an_interrupted_check_shows_what_it_has(tap: Tap, check: Check) -> None:
    def interrupt_in_segments(process: Run) -> None:
        edit = lambda _: process.kill(signal.SIGINT)  # noqa: E731
        tap.sandbox.faults.add("edit", path="^/segments$", edit=edit)

    checked = check(tap, "--yes", before=interrupt_in_segments)
    assert checked.code == 130, checked.log
    assert "Does contact search honour sort?" in checked.text
    assert "stopped after" in checked.log
    names = list(checked.results)
    assert names == [each.name for each in PROBES][: len(names)]
    assert names[-1] == "cursor_life"


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_read_nothing_gets_an_answer(tap: Tap, check: Check, status: int) -> None:
    tap.sandbox.options.permissions = set()
    tap.sandbox.options.refusal_status = status
    checked = check(tap, "--yes")
    assert checked.code == 0, checked.log
    assert checked.observed["contact_days"] == f"the token lacks the permission ({status})"
    assert checked.observed["refusals"].startswith(f"{status}: ")
    assert checked.results["rate_limit_headers"] == "holds"
    assert "does not hold" not in checked.results.values()


def test_an_empty_workspace_gets_an_answer(start_tap_on: Callable[..., Tap], check: Check) -> None:
    checked = check(start_tap_on(Workspace()), "--yes")
    assert checked.code == 0, checked.log
    assert checked.observed["contact_days"] == "the workspace has no contacts"
    assert checked.observed["scroll_without_users"] == "the workspace has no companies"
    assert "does not hold" not in checked.results.values()
    assert checked.results["host"] == "holds"


def test_nothing_is_asked_that_the_version_does_not_have(tap: Tap, check: Check) -> None:
    checked = check(tap, "--yes", api_version="2.7")
    assert checked.code == 0, checked.log
    assert checked.observed["sort_tickets"] == "the API version has no tickets"
    assert checked.observed["deleted_order"] == "the API version has no deleted_conversations"
    asked = {each.path for each in tap.sandbox.requests}
    assert not asked & {"/tickets/search", "/conversations/deleted"}


def test_a_limit_that_lets_nothing_through_ends_it(tap: Tap, check: Check) -> None:
    tap.sandbox.faults.add(
        "status", path="^/(?!me$)", times=None, status=429, headers={"Retry-After": "0"}
    )
    checked = check(tap, "--yes")
    assert checked.code == 0, checked.log
    assert checked.observed["contact_days"] == "the requests for this question were used up"
    assert checked.results["retry_after"] == "holds"
    assert checked.requests <= MOST_REQUESTS


def test_a_tiny_limit_is_said_and_ends_it(start_tap_on: Callable[..., Tap], check: Check) -> None:
    """The pace here is that of tests, so the limit is exceeded; tests/e2e keeps to it."""
    tap = start_tap_on(generate(seed=1, contacts=8, conversations=6, parts=9), rate_limit=20)
    checked = check(tap, "--yes")
    assert checked.code == 0, checked.log
    assert "the rate limit is 20 requests in ten seconds, so this may take 2 minutes" in checked.log
    assert checked.requests <= MOST_REQUESTS
    assert checked.results["contact_days"] == "holds"


def test_a_limit_that_others_use_up_is_no_answer(tap: Tap, check: Check) -> None:
    tap.sandbox.faults.add(
        "status", path="^/me$", times=None, status=429, headers={"Retry-After": "0"}
    )
    checked = check(tap, "--yes")
    assert (checked.code, checked.text) == (4, "")
    assert "other apps use the whole rate limit" in checked.log
    assert checked.requests == OPENING_REQUESTS


def test_an_answer_of_an_unknown_form_stops_no_other_question(tap: Tap, check: Check) -> None:
    tap.sandbox.faults.add(
        "changed", path="^/companies$", times=None, change=lambda body: body | {"data": [MARK]}
    )
    checked = check(tap, "--yes")
    assert checked.code == 0, checked.log
    assert "an answer had an unknown form" in checked.observed["company_contact_pages"]
    assert checked.results["next_pages"] == "holds"
    assert MARK not in checked.text + checked.log + json.dumps(checked.report)


def test_no_value_of_anybody_leaves_the_machine(tap: Tap, check: Check) -> None:
    """Everything that people wrote has a mark, in answers and in refusals."""
    faults = tap.sandbox.faults
    refusal: dict[str, Any] = {"status": 422, "message": MARK, "code": f"{MARK} code"}
    faults.add("status", path="^/(segments|brands)$", times=None, **refusal)
    faults.add("status", path="^/teams$", times=None, status=403, body=f"<html>{MARK}</html>")
    faults.add("status", path="^/emails$", times=None, status=403, message=MARK, code=MARK)
    faults.add("changed", times=None, change=marked)
    checked = check(tap, "--yes")
    assert checked.code == 5, checked.log  # 422 is no answer to a missing permission
    assert checked.observed["company_segments"] == "the request was refused (422)"
    assert list(checked.results.values()).count("holds") > len(PROBES) / 2
    seen = json.dumps(checked.report)
    assert '"email"' in seen
    for place in (seen, checked.text, checked.log):
        assert MARK not in place
    ids = {record["id"] for record in tap.sandbox.truth("contacts")}
    assert not any(each in place for each in ids for place in (seen, checked.text, checked.log))


def marked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        is_free = name in FREE
        return {
            (f"{MARK} {key}" if is_free else key): marked(each, key) for key, each in value.items()
        }
    if isinstance(value, list):
        return [marked(each, name) for each in value]
    return f"{MARK} {value}" if isinstance(value, str) and name not in KEPT else value
