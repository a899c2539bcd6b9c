"""What every probe declares."""

from __future__ import annotations

import re

import pytest
from other_answers import OTHER_ANSWERS

from tap_intercom.probes import PROBES
from tap_intercom.probes.probe import Probe, Result, compared
from tap_intercom.probes.workspace import MOST_REQUESTS, OPENING_REQUESTS


@pytest.mark.parametrize("probe", PROBES, ids=[probe.name for probe in PROBES])
def test_a_probe_says_what_it_is_about(probe: Probe) -> None:
    document = type(probe).__doc__ or ""
    assert "Source:" in document
    (marks,) = re.findall(r"\(API-([^)]+)\)", document)
    assert re.split(r",\s+", marks) == [fact.removeprefix("API-") for fact in probe.facts]
    assert probe.question.endswith("?")
    assert probe.if_not.endswith(".")
    assert probe.endangers.split()[0] in ("stream", "streams", "setting", "settings")


def test_all_probes_together_keep_to_the_limit() -> None:
    requests = OPENING_REQUESTS + sum(probe.most_requests for probe in PROBES)
    assert requests <= MOST_REQUESTS == 200


def test_names_are_unique_and_each_has_an_intercom_of_the_other_answer() -> None:
    names = [probe.name for probe in PROBES]
    assert len({*names}) == len(names)
    assert {*names} == OTHER_ANSWERS.keys()


@pytest.mark.parametrize(("is_as_assumed", "result"), [(True, "holds"), (False, "does not hold")])
def test_an_assumption_holds_or_not(is_as_assumed: bool, result: str) -> None:
    assert compared(is_as_assumed, "").result is Result(result)
