"""The requests that `check` announces are those that runs send."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import RUN, Tap, selecting
from runs import NOW, Clock
from table_runs import DAY
from warm_tap import SHORT_WAITS, WarmTap

from intercom_sandbox import Workspace, generate
from tap_intercom.commands.estimate import CHANGES, ROWS
from tap_intercom.streams import STREAMS

Counts = Counter[str]
# Files have servers of their own.
EVERY_STREAM = tuple(STREAMS.keys() - {"attachments"})
SEARCHES = ("contacts", "conversations", "tickets")
# Neither number may exceed the other by more than this factor and so many requests.
FACTOR, FEW = 1.5, 5


def pattern_of(path: str) -> str:
    return re.escape(path).replace(r"\{id\}", "[^/]+")


def group_of(path: str) -> str:
    """What a request is for: a path, which several streams may share."""
    if path.startswith(("/export/", "/download/")):
        return "exports"
    if path.startswith("/custom_object_instances/"):
        return "/custom_object_instances"
    paths = [each.path for each in STREAMS.values()]
    if path in paths:
        return path
    found = (each for each in paths if re.fullmatch(pattern_of(each), path))
    return next(found, "long lists")


class Runs:
    """Checks and runs with one catalog, each run from the state of the one before."""

    def __init__(self, tap: Tap, warm_tap: WarmTap, *streams: str, **settings: Any) -> None:
        self.tap = tap
        self._warm_tap = warm_tap
        self._settings = settings
        self.catalog = selecting(tap.discover(**settings), *streams)
        self._state: dict[str, Any] | None = None

    def check(self, *arguments: str) -> str:
        known = self.tap.arguments(catalog=self.catalog, **self._settings)
        command = [*RUN, "check", *known, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def estimate(self) -> dict[str, Any]:
        estimate: dict[str, Any] = json.loads(self.check("--format", "json"))["estimate"]
        return estimate

    def run(self) -> Counts:
        """Run, and return the number of requests by group."""
        requests = self.tap.sandbox.requests
        requests.clear()
        arguments = self.tap.arguments(catalog=self.catalog, state=self._state, **self._settings)
        output = self._warm_tap.run(*arguments, numbers=SHORT_WAITS)
        assert output.code == 0, output.log
        self._state = output.state
        return Counter(group_of(each.path) for each in requests)


def announced(estimate: dict[str, Any], which: str) -> Counts:
    counts = Counter({"/me": estimate["at_start"]})
    for each in estimate["streams"]:
        counts[group_of(STREAMS[each["stream"]].path)] += each[which]
    return counts


def assert_alike(estimate: dict[str, Any], which: str, sent: Counts) -> None:
    expected = announced(estimate, which)
    limits = {
        group_of(STREAMS[each["stream"]].path)
        for each in estimate["streams"]
        if ROWS in each["not_known"]
    }
    odd = {
        group: (expected[group], sent[group])
        for group in expected | sent
        if sent[group] > FACTOR * expected[group] + FEW
        or (group not in limits and expected[group] > FACTOR * sent[group] + FEW)
    }
    assert odd == {}
    total = estimate[which]["requests"]
    assert total == expected.total()
    assert sent.total() <= FACTOR * total + FEW


@pytest.mark.parametrize(
    ("streams", "sizes"),
    [
        (EVERY_STREAM, {"contacts": 40, "companies": 12, "conversations": 20, "parts": 60}),
        (
            SEARCHES,
            {
                **{"contacts": 1700, "companies": 5, "conversations": 1000, "parts": 0},
                **{"tickets": 950, "details": 0, "resources": 0},
            },
        ),
    ],
    ids=["all streams", "large searches"],
)
def test_runs_send_what_a_check_announced(
    start_tap_on: Callable[..., Tap],
    warm_tap: WarmTap,
    streams: tuple[str, ...],
    sizes: dict[str, Any],
) -> None:
    clock = Clock()
    workspace = generate(seed=2, now=NOW - 5 * DAY, days=300, **sizes)
    tap = start_tap_on(workspace, clock=clock, rate_limit=10_000)
    runs = Runs(tap, warm_tap, *streams, start_date="2023-01-01T00:00:00Z")
    estimate = runs.estimate()
    assert_alike(estimate, "first_run", runs.run())

    clock.instant += DAY - 3600
    for contact in tap.sandbox.truth("contacts")[:12]:
        workspace.update_contact(contact["id"], name="Ada")
    for conversation in tap.sandbox.truth("conversations")[:8]:
        workspace.add_part(conversation["id"], body="Hello")
    clock.instant += 3600
    later = runs.estimate()
    assert_alike(later, "next_run", runs.run())
    assert later["next_run"]["requests"] < estimate["first_run"]["requests"]


@pytest.fixture
def small(start_tap_on: Callable[..., Tap]) -> Tap:
    workspace = generate(seed=1, contacts=7, companies=5, conversations=6, parts=20)
    return start_tap_on(workspace, rate_limit=1000)


def streams_of(estimate: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["stream"]: each for each in estimate["streams"]}


def test_children_cost_a_request_for_each_record_of_their_parent(
    small: Tap, warm_tap: WarmTap
) -> None:
    estimate = Runs(small, warm_tap, "handling_events", "contact_tag").estimate()
    found = {name: each["first_run"] for name, each in streams_of(estimate).items()}
    # The parents are read for them, although they are not selected.
    assert found == {"handling_events": 6, "conversations": 2, "contact_tag": 0, "contacts": 2}
    assert estimate["first_run"]["requests"] == 6 + 2 + 2 + estimate["at_start"]


def test_minutes_follow_the_share_of_the_rate_limit(small: Tap, warm_tap: WarmTap) -> None:
    estimate = Runs(small, warm_tap, "handling_events", rate_limit_share=0.5).estimate()
    assert estimate["requests_per_minute"] == 3000  # half of 1,000 in ten seconds
    requests = estimate["first_run"]["requests"]
    assert estimate["first_run"]["minutes"] == round(requests / 3000, 1)


def test_only_what_the_settings_ask_for_counts(
    start_tap_on: Callable[..., Tap], warm_tap: WarmTap
) -> None:
    clock = Clock(NOW - 100 * DAY)
    workspace = Workspace()
    tap = start_tap_on(workspace, clock=clock)
    for _ in range(8):
        workspace.add_conversation(state="closed")
        clock.instant += 10 * DAY
    workspace.add_conversation(state="open")
    clock.instant = NOW

    def first_run(**settings: Any) -> int:
        runs = Runs(tap, warm_tap, "handling_events", **settings)
        number: int = streams_of(runs.estimate())["handling_events"]["first_run"]
        return number

    assert first_run() == 9
    assert first_run(start_date="2023-10-01T00:00:00Z") == 3
    assert first_run(end_date="2023-10-01T00:00:00Z") == 6
    is_open = {"field": "state", "operator": "=", "value": "open"}
    assert first_run(search_filters={"conversations": is_open}) == 1


def test_a_full_read_costs_the_same_each_time(small: Tap, warm_tap: WarmTap) -> None:
    catalog = selecting(small.discover(), "handling_events", "article_statistics")
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == "handling_events"]
    entry["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE"
    assert entry["metadata"][0]["breadcrumb"] == []
    runs = Runs(small, warm_tap, "handling_events")
    runs.catalog = catalog
    found = streams_of(runs.estimate())
    assert found["handling_events"]["first_run"] == found["handling_events"]["next_run"] == 6
    articles = len(small.sandbox.truth("articles"))
    assert found["article_statistics"]["next_run"] == articles


def test_a_stream_that_cannot_be_read_is_not_in_the_sum(small: Tap) -> None:
    small.sandbox.options.permissions -= {"conversations"}
    command = [*RUN, "check", "--config", small.config(), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    found = streams_of(json.loads(done.stdout)["estimate"])
    assert "contacts" in found
    assert not {"conversations", "conversation_parts"} & found.keys()


def test_people_read_sums_and_what_is_not_known(small: Tap, warm_tap: WarmTap) -> None:
    runs = Runs(small, warm_tap, "contact_notes", "company_contact", "handling_events")
    estimate, text = runs.estimate(), runs.check()
    lines = text.splitlines()
    (at,) = [at for at, line in enumerate(lines) if line.split()[:3] == ["stream", "first", "run"]]
    assert lines[at + 1].split()[:3] == ["companies", "2", "2"]
    for which, words in (("first_run", "First run"), ("next_run", "Next run, a day later")):
        requests = estimate[which]["requests"]
        assert f"{words}: about {requests} requests, less than a minute" in text
    assert "at 5,400 a minute" in text
    unknown = " ".join(text.partition("Intercom does not say:")[2].split())
    assert f"- {ROWS} (contact_notes)" in unknown
    assert f"- {CHANGES} (company_contact)" in unknown


def test_without_a_rate_limit_the_time_is_unknown(small: Tap, warm_tap: WarmTap) -> None:
    small.sandbox.options.rate_limit = None
    runs = Runs(small, warm_tap, "tags")
    assert runs.estimate()["first_run"]["minutes"] is None
    assert "First run: about 2 requests, in an unknown time\n" in runs.check()
