"""`tap-intercom check --deep`: each probe, on an Intercom of either answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from conftest import START_DATE
from other_answers import OTHER_ANSWERS

from intercom_sandbox import Sandbox
from intercom_sandbox.options import PERMISSIONS, Options
from intercom_sandbox.sample import generate
from tap_intercom.errors import ResponseError
from tap_intercom.probes import PROBES
from tap_intercom.probes.probe import Result
from tap_intercom.probes.running import Finding, findings
from tap_intercom.probes.workspace import MOST_REQUESTS, ProbedWorkspace
from tap_intercom.settings import Settings
from tap_intercom.times import epoch_seconds

NAMES = [probe.name for probe in PROBES]
# The token lacks one permission, and the first answer is a 429: both show how Intercom refuses.
USUAL = {**vars(Options()), "permissions": PERMISSIONS.keys() - {"tags"}, "retry_after": 0}
del USUAL["clock_offset_seconds"]  # its clock never goes back


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    workspace = generate(seed=1, contacts=12, companies=6, conversations=8, parts=20, tickets=5)
    company_id = workspace.add_company(name="A company of leads only")
    workspace.add_contact(role="lead", companies=[company_id])
    workspace.companies.put(workspace.companies.get(company_id) | {"user_count": 0})
    gone = workspace.add_ticket(category="Back-office")
    workspace.link_ticket(next(iter(workspace.tickets.texts)), gone, "ticket")
    workspace.delete_ticket(gone)
    with Sandbox(workspace) as sandbox, pytest.MonkeyPatch.context() as patch:
        # The wait after a 429 without headers.
        patch.setattr("tap_intercom.intercom.rate_limit.WINDOW_SECONDS", 0.02)
        yield sandbox


@pytest.fixture(autouse=True)
def usual(sandbox: Sandbox) -> None:
    """Each test begins with the Intercom that the tap assumes."""
    reset(sandbox)


def reset(sandbox: Sandbox) -> None:
    set_options(sandbox, USUAL)
    sandbox.index_now()
    sandbox.faults.clear()
    sandbox.clear_requests()


def set_options(sandbox: Sandbox, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        setattr(sandbox.options, name, value)


def settings_for(sandbox: Sandbox, **settings: Any) -> Settings:
    return Settings(
        access_token=sandbox.token,
        start_date=int(epoch_seconds(START_DATE)),
        base_url=sandbox.url,
        **settings,
    )


def asked(sandbox: Sandbox, *names: str, **settings: Any) -> dict[str, Finding]:
    """The findings of these probes, or of all; waits move the sandbox's clock."""
    options, workspace = sandbox.options, sandbox.workspace
    workspace.update_contact(next(iter(workspace.contacts.texts)), name="Somebody new")
    options.clock_offset_seconds += 1_200
    headers = {} if options.retry_after is None else {"Retry-After": str(options.retry_after)}
    sandbox.faults.add("status", path="^/me$", status=429, headers=headers)

    def wait(seconds: float) -> None:
        options.clock_offset_seconds += seconds

    probed = ProbedWorkspace(settings_for(sandbox, **settings), longest_wait=60, wait=wait)
    probed.open()
    probes = [probe for probe in PROBES if not names or probe.name in names]
    return {each.probe.name: each for each in findings(probed, probes)}


@pytest.fixture(scope="module")
def as_assumed(sandbox: Sandbox) -> dict[str, Finding]:
    reset(sandbox)
    return asked(sandbox)


@pytest.mark.parametrize("name", NAMES)
def test_an_assumption_that_is_right_holds(name: str, as_assumed: dict[str, Finding]) -> None:
    assert as_assumed[name].observation.result is Result.HOLDS, as_assumed[name].observation.text


CASES = [(name, options) for name in NAMES for options in OTHER_ANSWERS[name]]


@pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{name}-{next(iter(each))}" for name, each in CASES]
)
def test_an_assumption_that_is_wrong_is_found(
    sandbox: Sandbox, name: str, options: Mapping[str, Any]
) -> None:
    set_options(sandbox, options)
    observation = asked(sandbox, name)[name].observation
    assert observation.result is Result.DIFFERS, observation.text


@pytest.mark.parametrize("compared", ["workspace", "utc", "exact"])
@pytest.mark.parametrize(
    "timezone", ["Pacific/Kiritimati", "Asia/Kolkata", "Etc/UTC", "America/Los_Angeles"]
)
def test_the_days_of_each_timezone_are_told_apart(
    sandbox: Sandbox, timezone: str, compared: str
) -> None:
    set_options(sandbox, {"contact_days": compared})
    before = sandbox.workspace.app["timezone"]
    sandbox.workspace.app["timezone"] = timezone
    try:
        text = asked(sandbox, "contact_days")["contact_days"].observation.text
    finally:
        sandbox.workspace.app["timezone"] = before
    days = "days of UTC" if compared == "utc" else "days of the workspace's timezone"
    if timezone == "Etc/UTC":
        days = "whole days; in this workspace, those of UTC are the same"
    assert text == ("exact seconds" if compared == "exact" else days)


@pytest.mark.parametrize("second", range(0, 60, 10))
@pytest.mark.parametrize(("length", "result"), [(10, Result.HOLDS), (60, Result.DIFFERS)])
def test_a_window_is_seen_in_each_part_of_a_minute(
    sandbox: Sandbox, second: int, length: int, result: Result
) -> None:
    sandbox.options.rate_limit_window = length
    sandbox.options.clock_offset_seconds += 60 + second - sandbox.clock() % 60
    observation = asked(sandbox, "rate_limit_window")["rate_limit_window"].observation
    assert observation.result is result, observation.text


def test_preview_compares_seconds_as_documented(sandbox: Sandbox) -> None:
    sandbox.options.contact_days = "exact"
    found = asked(sandbox, "contact_days", api_version="Preview")["contact_days"].observation
    assert (found.result, found.text) == (Result.HOLDS, "exact seconds")


def test_there_are_requests_left_for_more_streams(as_assumed: dict[str, Finding]) -> None:
    found = as_assumed["refusals"]
    assert found.requests + 3 <= found.probe.most_requests, "raise most_requests of Refusals"


@pytest.mark.parametrize(
    ("path", "shown"), [("/companies/5f3d0a", ""), ("/companies/onlyletters", "/companies/{id}")]
)
def test_an_id_in_a_path_is_not_noted(sandbox: Sandbox, path: str, shown: str) -> None:
    workspace = ProbedWorkspace(settings_for(sandbox))
    with pytest.raises(ResponseError):
        workspace.get(path, shown=shown)
    assert [each.path for each in workspace.exchanges] == ["/companies/{id}"]


def test_contacts_of_companies_may_continue_by_cursor(sandbox: Sandbox) -> None:
    sandbox.options.company_contacts = "cursor"
    found = asked(sandbox, "company_contact_pages")["company_contact_pages"].observation
    assert (found.result, found.text) == (Result.HOLDS, "by a cursor")


def test_each_probe_keeps_to_its_requests(sandbox: Sandbox, as_assumed: dict[str, Finding]) -> None:
    assert all(each.requests <= each.probe.most_requests for each in as_assumed.values())
    assert sum(probe.most_requests for probe in PROBES) <= MOST_REQUESTS
