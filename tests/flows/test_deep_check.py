"""`tap-intercom check --deep`: each probe, on an Intercom of either answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from conftest import START_DATE

from intercom_sandbox import Sandbox
from intercom_sandbox.options import Options
from intercom_sandbox.sample import generate
from tap_intercom.probes import PROBES
from tap_intercom.probes.probe import Result
from tap_intercom.probes.running import Finding, findings
from tap_intercom.probes.workspace import MOST_REQUESTS, ProbedWorkspace
from tap_intercom.settings import Settings
from tap_intercom.times import epoch_seconds

NAMES = [probe.name for probe in PROBES]
# For each probe, the Intercoms in which its assumption does not hold.
OTHERWISE: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "contact_days": ({"contact_days": "utc"}, {"contact_days": "exact"}),
    "greater_than_conversations": ({"greater_includes_equal": True},),
    "greater_than_tickets": ({"greater_includes_equal": True},),
    "sort_contacts": ({"sort_honoured": False},),
    "sort_conversations": ({"sort_honoured": False},),
    "sort_tickets": ({"sort_honoured": False},),
    "company_segments": ({"company_segments_listed": False},),
    "rate_limit_headers": ({"rate_limit": None}, {"rate_limit_headers": False}),
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    workspace = generate(seed=1, contacts=12, companies=6, conversations=8, parts=20, tickets=5)
    with Sandbox(workspace) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def usual(sandbox: Sandbox) -> None:
    """Each test begins with the Intercom that the tap assumes."""
    set_options(sandbox, vars(Options()))
    sandbox.clear_requests()


def set_options(sandbox: Sandbox, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        setattr(sandbox.options, name, value)


def asked(sandbox: Sandbox, *names: str) -> dict[str, Finding]:
    """The findings of these probes, or of all; waits move the sandbox's clock."""

    def wait(seconds: float) -> None:
        sandbox.options.clock_offset_seconds += seconds

    settings = Settings(
        access_token=sandbox.token, start_date=int(epoch_seconds(START_DATE)), base_url=sandbox.url
    )
    workspace = ProbedWorkspace(settings, longest_wait=60, wait=wait)
    workspace.open()
    probes = [probe for probe in PROBES if not names or probe.name in names]
    return {each.probe.name: each for each in findings(workspace, probes)}


@pytest.fixture(scope="module")
def as_assumed(sandbox: Sandbox) -> dict[str, Finding]:
    return asked(sandbox)


@pytest.mark.parametrize("name", NAMES)
def test_an_assumption_that_is_right_holds(name: str, as_assumed: dict[str, Finding]) -> None:
    assert as_assumed[name].observation.result is Result.HOLDS, as_assumed[name].observation.text


CASES = [(name, options) for name in NAMES for options in OTHERWISE[name]]


@pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{name}-{next(iter(each))}" for name, each in CASES]
)
def test_an_assumption_that_is_wrong_is_found(
    sandbox: Sandbox, name: str, options: Mapping[str, Any]
) -> None:
    set_options(sandbox, options)
    observation = asked(sandbox, name)[name].observation
    assert observation.result is Result.DIFFERS, observation.text


def test_each_probe_keeps_to_its_requests(sandbox: Sandbox, as_assumed: dict[str, Finding]) -> None:
    assert all(each.requests <= each.probe.most_requests for each in as_assumed.values())
    assert sum(probe.most_requests for probe in PROBES) <= MOST_REQUESTS
