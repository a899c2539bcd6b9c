"""Nothing is lost, whatever happens: random histories of a workspace and of the runs on it.

A history edits a small workspace between runs and before single requests of a run, lets requests
fail, ends runs at any line of their output, changes what is selected, and makes Intercom as awkward
as it may be. Each run goes on from the last STATE that the ones before wrote; the last one is left
in peace. Then a target that took every line must hold what the workspace holds.

TAP_INTERCOM_HISTORIES sets how many are tried; with it they are new ones each time.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import dropwhile, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from conftest import Output
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from runs import NOW, Catalog, Clock, Runs
from truth import FULL_TABLE, STREAMS
from warm_tap import SMALL_WINDOWS, WITHOUT_ORDER, WarmTap

from tap_intercom.sandbox import Sandbox, Workspace
from tap_intercom.times import epoch_seconds, rfc3339

HISTORIES = int(os.environ.get("TAP_INTERCOM_HISTORIES", "0"))
HISTORIES_OF_A_TEST_RUN = 120
FIRST_SEED = int(time.time()) if HISTORIES else 0
# So many tests, so that they can be played side by side.
PARTS = 4
DAY_SECONDS = 86_400
LOOKBACK_SECONDS = 5
SCROLL_TTL_SECONDS = 30
PLENTY = 1_000_000
ONE_AT_A_TIME = {"sync.STREAMS_AT_ONCE": 1, "streams.search.WINDOWS_AT_ONCE": 1}

# -- What a history is made of -------------------------------------------------------------------


class Step:
    """Shown without what is as usual, so that a history that was found can be read."""

    def __repr__(self) -> str:
        shown = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)  # type: ignore[arg-type]
            if getattr(self, each.name) != each.default and getattr(self, each.name) != []
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(repr=False)
class Edit(Step):
    """Something that people do; which and other choose the records, by number."""

    kind: str
    which: int = 0
    other: int = 0


@dataclass(repr=False)
class Fault(Step):
    """Requests that go wrong, after the first `after` ones; for ever, or so many times."""

    kind: str
    path: str | None = None
    after: int = 0
    times: int | None = 1


@dataclass(repr=False)
class End(Step):
    """How a run is ended from outside, once that many lines were read."""

    kind: str
    line: int = 0


@dataclass(repr=False)
class Run(Step):
    """One run of the tap, what happens before it, and what while it is reading.

    during: edits, each with the number of the request that it comes before. busy: a kind of
    records that change before every request, one after the other. seconds pass before the run,
    tick with each request.
    """

    streams: tuple[str, ...]
    before: list[Edit] = field(default_factory=list)
    during: list[tuple[int, Edit]] = field(default_factory=list)
    busy: str | None = None
    faults: list[Fault] = field(default_factory=list)
    end: End | None = None
    seconds: int = 0
    tick: float = 0.0
    page_size: int = 5
    start_days: int = 3000
    full_table: str | None = None
    users_only: bool = False


@dataclass(repr=False)
class History(Step):
    """A workspace by the ages of its records in seconds, how its Intercom behaves, and its runs."""

    contacts: list[int]
    conversations: list[int]
    companies: list[int]
    runs: list[Run]
    hour: int = 0
    timezone: str = "UTC"
    contact_days: str = "workspace"
    cursors: str = "value"
    sort_honoured: bool = True
    greater_includes_equal: bool = False
    search_lag: float = 0.0
    small_windows: bool = True
    writes_at_once: bool = False
    in_parallel: bool = False


FAULTS: Mapping[str, dict[str, Any]] = {
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "0.02"}},
    "429 without headers": {"kind": "status", "status": 429},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502, "body": "<html>Bad gateway</html>"},
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "reset before": {"kind": "reset_before"},
    "reset midway": {"kind": "reset_midway"},
    "truncated": {"kind": "truncated"},
    "invalid JSON": {"kind": "invalid_json"},
    "null list": {"kind": "null_list"},
    "error with 200": {"kind": "error_body_200"},
    "repeated cursor": {"kind": "repeated_cursor"},
    "dead cursor": {"kind": "dead_cursor", "path": "/search$"},
    "scroll gone": {"kind": "status", "status": 404, "path": "^/companies/scroll$"},
    "scroll exists": {"kind": "scroll_exists", "path": "^/companies/scroll$"},
}


@dataclass(frozen=True)
class Subject:
    """What a history is about, so that its edits and faults meet what its runs read."""

    selections: tuple[tuple[str, ...], ...]
    edits: tuple[str, ...]
    paths: tuple[str | None, ...]
    busy: tuple[str, ...]


CONTACTS = Subject(
    selections=(("contacts",),),
    edits=(
        *("add contact", "update contact", "update contact", "delete contact", "merge contacts"),
        *("tag contact", "untag contact", "fill contact", "turn contact"),
        *("attach company", "detach company"),
    ),
    paths=("^/contacts/search$", "^/contacts/.+/"),
    busy=("contact",),
)
CONVERSATIONS = Subject(
    selections=(
        ("conversations",),
        ("conversation_parts",),
        ("conversations", "conversation_parts"),
    ),
    edits=(
        *("add conversation", "update conversation", "delete conversation", "tag conversation"),
        *("reply", "reply", "update part", "redact part"),
    ),
    paths=("^/conversations/search$", r"^/conversations/\d+$"),
    busy=("conversation",),
)
COMPANIES = Subject(
    selections=(("companies",), ("companies", "company_segments", "segments", "tags")),
    edits=(
        *("add company", "update company", "delete company", "tag company", "untag company"),
        *("add segment", "update segment", "delete segment", "add tag", "update tag", "delete tag"),
    ),
    paths=("^/companies/scroll$", "^/companies/scroll$", "^/(tags|segments)$"),
    busy=("company",),
)
PARTS_OF_IT = (CONTACTS, CONVERSATIONS, COMPANIES)
EVERYTHING = Subject(
    selections=(
        STREAMS,
        ("contacts", "conversations", "conversation_parts", "companies"),
        *(selection for subject in PARTS_OF_IT for selection in subject.selections),
    ),
    edits=tuple(edit for subject in PARTS_OF_IT for edit in subject.edits),
    paths=tuple(path for subject in PARTS_OF_IT for path in subject.paths),
    busy=tuple(busy for subject in PARTS_OF_IT for busy in subject.busy),
)
TIMEZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland", "Pacific/Kiritimati", "Asia/Kolkata")

just_now = st.integers(0, 2 * LOOKBACK_SECONDS)
open_days = st.integers(0, 100).map(lambda hours: hours * 3600)
old = st.one_of(
    st.sampled_from([40, 50, 60]).map(lambda days: days * DAY_SECONDS),
    st.integers(5, 1000).map(lambda days: days * DAY_SECONDS),
)
mixed = st.one_of(just_now, open_days, old)


ends = st.builds(
    End,
    st.sampled_from(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "closed"]),
    line=st.integers(0, 15) | st.integers(0, 60),
)


def runs_about(subject: Subject) -> st.SearchStrategy[Run]:
    edits = st.builds(
        Edit,
        st.sampled_from([*subject.edits, "let search catch up", "let cursors expire"]),
        which=st.integers(0, 11),
        other=st.integers(0, 11),
    )
    faults = st.builds(
        Fault,
        st.sampled_from(sorted(FAULTS)),
        path=st.sampled_from([None, *subject.paths]),
        after=st.integers(0, 6),
        times=st.sampled_from([1, 1, 2, 3, None]),
    )
    streams = {stream for selection in subject.selections for stream in selection}
    return st.builds(
        Run,
        streams=st.sampled_from(subject.selections),
        before=st.lists(edits, max_size=4),
        during=st.lists(st.tuples(st.integers(1, 16), edits), max_size=8),
        busy=st.sampled_from([None, None, None, *subject.busy]),
        faults=st.lists(faults, max_size=2),
        end=st.none() | ends,
        seconds=just_now | open_days,
        tick=st.sampled_from([0.0, 0.25, 1.0, 4.0]),
        page_size=st.sampled_from([1, 2, 2, 3, 5]),
        start_days=st.sampled_from([3000, 3000, 3000, 45, 2]),
        full_table=st.sampled_from([None, None, None, None, *sorted(streams - set(FULL_TABLE))]),
        users_only=st.sampled_from([False, False, False, False, True]),
    )


def histories_about(subject: Subject) -> st.SearchStrategy[History]:
    def some(least: int, most: int, of: Subject) -> st.SearchStrategy[list[int]]:
        is_asked_for = subject in (of, EVERYTHING)
        least = least if is_asked_for else 0
        return st.sampled_from([mixed, old, open_days]).flatmap(
            lambda ages: st.lists(ages, min_size=least, max_size=most)
        )

    return st.builds(
        History,
        contacts=some(5, 12, CONTACTS),
        conversations=some(4, 10, CONVERSATIONS),
        companies=some(4, 10, COMPANIES),
        runs=st.lists(runs_about(subject), min_size=1, max_size=4),
        hour=st.integers(0, 23),
        timezone=st.sampled_from(TIMEZONES),
        contact_days=st.sampled_from(["workspace", "utc", "exact"]),
        cursors=st.sampled_from(["value", "position", "position"]),
        sort_honoured=st.sampled_from([True, True, True, False]),
        greater_includes_equal=st.booleans(),
        search_lag=st.sampled_from([0.0, 0.0, 1.0, float(LOOKBACK_SECONDS)]),
        small_windows=st.sampled_from([False, False, True]),
        writes_at_once=st.booleans(),
        in_parallel=st.booleans(),
    )


histories = st.sampled_from([CONTACTS, CONTACTS, CONVERSATIONS, COMPANIES, EVERYTHING]).flatmap(
    histories_about
)


# -- What a history does -------------------------------------------------------------------------


class People:
    """Those who work in a workspace, and edit it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._workspace = sandbox.workspace
        self._count = 0

    def do(self, edit: Edit) -> None:
        """Do it, unless there is nothing to do it with."""
        workspace = self._workspace
        with workspace.lock:
            self._count += 1
            self._do(edit, f"Edit {self._count}")

    def _do(self, edit: Edit, name: str) -> None:
        workspace, pick = self._workspace, self._pick
        contact = pick(workspace.contacts.texts, edit.which)
        company = pick(workspace.companies.texts, edit.which)
        conversation = pick(workspace.conversations.texts, edit.which)
        part = conversation and pick(self._parts(conversation), edit.other)
        segment = pick([*workspace.segments, *workspace.company_segments], edit.which)
        tag = pick(workspace.tags, edit.other)
        match edit.kind:
            case "add contact":
                workspace.add_contact(name=name, role="user")
            case "update contact" if contact:
                workspace.update_contact(contact, name=name)
            case "turn contact" if contact:
                role = workspace.contact(contact)["role"]
                workspace.update_contact(contact, role="lead" if role == "user" else "user")
            case "delete contact" if contact:
                workspace.delete_contact(contact)
            case "merge contacts" if contact:
                other = pick(workspace.contacts.texts, edit.other)
                if other and other != contact:
                    workspace.merge_contacts(contact, other)
            case "tag contact" if contact and tag:
                workspace.tag_contact(contact, tag)
            case "untag contact" if contact and tag:
                workspace.untag_contact(contact, tag)
            case "fill contact" if contact:
                tags = [workspace.add_tag(name=f"{name} {number}") for number in range(12)]
                workspace.update_contact(contact, tags=tags)
            case "attach company" | "detach company" if contact:
                other = pick(workspace.companies.texts, edit.other)
                if other and edit.kind == "attach company":
                    workspace.attach_company(contact, other)
                elif other:
                    workspace.detach_company(contact, other)
            case "add conversation":
                workspace.reply(workspace.add_conversation(title=name))
            case "update conversation" if conversation:
                workspace.update_conversation(conversation, title=name)
            case "delete conversation" if conversation:
                workspace.delete_conversation(conversation)
            case "tag conversation" if conversation and tag:
                workspace.tag_conversation(conversation, tag)
            case "reply" if conversation:
                workspace.reply(conversation, f"<p>{name}</p>")
            case "update part" if conversation and part:
                workspace.update_part(conversation, part, body=f"<p>{name}</p>")
            case "redact part" if conversation and part:
                workspace.redact_part(conversation, part)
            case "add company":
                segments = list(workspace.company_segments)[:1]
                workspace.add_company(name=name, segments=segments)
            case "update company" if company:
                workspace.update_company(company, name=name)
            case "delete company" if company:
                workspace.delete_company(company)
            case "tag company" if company and tag:
                workspace.tag_company(company, tag)
            case "untag company" if company and tag:
                workspace.untag_company(company, tag)
            case "add segment":
                workspace.add_segment(name=name, of_companies=bool(edit.other % 2))
            case "update segment" if segment:
                workspace.update_segment(segment, name=name)
            case "delete segment" if segment:
                workspace.delete_segment(segment)
            case "add tag":
                workspace.add_tag(name=name)
            case "update tag" if tag:
                workspace.update_tag(tag, name=name)
            case "delete tag" if tag:
                workspace.delete_tag(tag)
            case "let search catch up":
                workspace.index_now()
            case "let cursors expire":
                self._sandbox.expire_cursors()

    def _parts(self, conversation: str) -> list[str]:
        return [json.loads(text)["id"] for text in self._workspace.parts[conversation]]

    @staticmethod
    def _pick(of: Any, number: int) -> str | None:
        found = sorted(of)
        return found[number % len(found)] if found else None


class Player:
    """Plays a history, and checks each run on the way."""

    def __init__(self, history: History, runs: Runs, clock: Clock) -> None:
        self._history = history
        self._runs = runs
        self._sandbox = sandbox = runs.sandbox
        self._clock = clock
        self._people = People(sandbox)
        self._run: Run | None = None
        self._requests = 0
        sandbox.before_request(lambda *_: self._on_request())

    def _on_request(self) -> None:
        run = self._run
        assert run is not None
        self._requests += 1
        self._clock.instant += run.tick
        if run.busy:
            self._people.do(Edit(f"update {run.busy}", which=self._requests))
        for number, edit in run.during:
            if number == self._requests:
                self._people.do(edit)

    def play(self, run: Run) -> Output:
        """One run, from the state that the ones before left."""
        self._clock.instant += run.seconds
        for edit in run.before:
            self._people.do(edit)
        for fault in run.faults:
            details = {"path": fault.path, **FAULTS[fault.kind]}
            self._sandbox.faults.add(**details, after=fault.after, times=fault.times)
        self._run, self._requests = run, 0
        self._sandbox.clear_requests()
        output = self._output(run)
        self._sandbox.faults.clear()
        self._check(run, output)
        return self._runs.take(output)

    def _output(self, run: Run) -> Output:
        history = self._history

        def edit_catalog(catalog: Catalog) -> None:
            for entry in catalog["streams"]:
                if entry["tap_stream_id"] == run.full_table:
                    entry["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE"

        numbers = SMALL_WINDOWS if history.sort_honoured else WITHOUT_ORDER
        started = self._runs.start(
            *run.streams,
            edit_catalog=edit_catalog,
            numbers={
                **({"messages.FLUSH_BYTES": 1} if history.writes_at_once else {}),
                **(numbers if history.small_windows else {}),
                **({} if history.in_parallel else ONE_AT_A_TIME),
            },
            start_date=start_date(run),
            page_size=run.page_size,
            search_filters={"contacts": USERS_ONLY} if run.users_only else {},
            concurrency=64 if history.in_parallel else 1,
        )
        if run.end is None:
            return started.wait()
        line = run.end.line
        data = started.read(lambda data: data.count(b"\n") >= line)
        lines = b"".join(data.splitlines(keepends=True)[:line])
        match run.end.kind:
            case "SIGKILL":
                started.kill(signal.SIGKILL)
            case "closed":
                started.close_stdout()
            case _:
                started.kill(signal.Signals[run.end.kind])
                return started.wait()
        return started.wait(stdout=lines)

    def _check(self, run: Run, output: Output) -> None:
        """What holds for every run, however it ended."""
        note(f"{run} -> {output.code}\n{output.log}")
        assert "Traceback" not in output.log
        allowed = {0, 3, 4, 5}
        if run.end is not None:
            allowed |= {-signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT, 141}
            # It came before the tap listens to signals, or after it has ended.
            allowed |= {-signal.SIGTERM, -signal.SIGINT}
        assert output.code in allowed
        # A run that was killed may have left requests behind.
        own = dropwhile(lambda request: request.path != "/me", self._sandbox.requests)
        tries = list(takewhile(lambda request: request.path == "/me", own))
        latest = tries[-1].time - LOOKBACK_SECONDS if tries else 0
        before = self._runs.state.get("bookmarks", {})
        for state in output.states:
            bookmarks = state["bookmarks"]
            for stream in before.keys() | bookmarks.keys():
                was, now = before.get(stream), bookmarks.get(stream)
                if stream not in run.streams:
                    assert was == now, f"the bookmark of {stream} changed, which is not selected"
                elif was != now:
                    assert now is not None
                    assert epoch_seconds(now["updated_at"]) <= latest
                    if was is not None and was.get("filters") == now.get("filters"):
                        assert was["updated_at"] <= now["updated_at"], f"{stream} went back"
            before = bookmarks
        is_whole = run.end is None or run.end.kind in ("SIGTERM", "SIGINT")
        if is_whole and output.messages:
            assert output.messages[-1]["type"] == "STATE"
        if is_whole and output.code == 0:
            assert "currently_syncing" not in output.state


USERS_ONLY = {"field": "role", "operator": "=", "value": "user"}


def start_date(run: Run) -> str:
    return str(rfc3339(NOW - run.start_days * DAY_SECONDS))


def fill(workspace: Workspace, history: History, now: int) -> None:
    """The records that are there before the first run."""
    workspace.add_tag(name="VIP")
    workspace.add_segment(name="Active", updated_at=now - DAY_SECONDS)
    segment = workspace.add_segment(name="Large", of_companies=True, updated_at=now - DAY_SECONDS)
    for number, age in enumerate(history.contacts):
        workspace.add_contact(
            name=f"Contact {number}", role=("user", "lead")[number % 3 == 2], created_at=now - age
        )
    for number, age in enumerate(history.companies):
        workspace.add_company(
            name=f"Company {number}",
            created_at=now - age,
            updated_at=None if number == 3 else now - age,
            segments=[segment] if number % 2 else [],
        )
    for number, age in enumerate(history.conversations):
        instant = now - age
        conversation = workspace.add_conversation(
            title=f"Conversation {number}", created_at=instant
        )
        for _ in range(number % 3):
            workspace.reply(conversation, f"<p>Part {number}</p>", created_at=instant)


def play(history: History, warm_tap: WarmTap, catalog: Catalog) -> None:
    """Play a history to its end, and check that the last run's target holds the truth."""
    now = NOW + history.hour * 3600
    clock = Clock(now)
    workspace = Workspace(timezone=history.timezone)
    sandbox = Sandbox(
        workspace,
        clock=clock,
        rate_limit=PLENTY,
        scroll_page_size=2,
        scroll_ttl=SCROLL_TTL_SECONDS,
        contact_days=history.contact_days,
        cursors=history.cursors,
        sort_honoured=history.sort_honoured,
        greater_includes_equal=history.greater_includes_equal,
        search_lag=history.search_lag,
    )
    fill(workspace, history, now)
    workspace.index_now()
    sandbox.__enter__()
    try:
        with TemporaryDirectory() as folder:
            runs = Runs(
                sandbox,
                Path(folder),
                warm_tap,
                catalog,
                lookback_seconds=LOOKBACK_SECONDS,
                max_retry_seconds=0.1,
            )
            player = Player(history, runs, clock)
            for run in history.runs:
                player.play(run)
            # The last run is selected as the one before, and left in peace.
            last = history.runs[-1]
            quiet = Run(
                streams=last.streams,
                seconds=LOOKBACK_SECONDS + SCROLL_TTL_SECONDS,
                page_size=last.page_size,
                start_days=last.start_days,
                users_only=last.users_only,
            )
            output = player.play(quiet)
            if "another app scrolls" in output.log:
                # A request that a killed run had left behind began a scroll after its end.
                output = player.play(quiet)
            assert output.code == 0
            lost = runs.lost(
                *quiet.streams,
                since=start_date(quiet),
                but=lambda stream, record: (
                    quiet.users_only and stream == "contacts" and record["role"] != "user"
                ),
            )
            assert list(lost) == []
    finally:
        # Nobody waits for its end, which takes longer than a run.
        sandbox.stop()


@pytest.mark.timeout(0 if HISTORIES else 240)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost(warm_tap: WarmTap, plain_catalog: Catalog, part: int) -> None:
    @seed(FIRST_SEED + part)
    @settings(
        max_examples=(HISTORIES or HISTORIES_OF_A_TEST_RUN) // PARTS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(history=histories)
    def check(history: History) -> None:
        play(history, warm_tap, plain_catalog)

    check()
