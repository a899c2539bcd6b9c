"""Plays a history: edits, faults and ends of runs, and what must hold of every run."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import dropwhile, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conftest import Output
from hypothesis import note
from runs import NOW, Catalog, Clock, Runs
from warm_tap import SMALL_WINDOWS, WITHOUT_ORDER, WarmTap
from warm_tap import Run as RunningTap

from intercom_sandbox import Sandbox
from intercom_sandbox.options import PERMISSIONS
from model.comparison import HASH_KEY, is_export, is_full_table, lost, promised_rows
from model.edits import EDITS, People
from model.faults import ALL_BUT_FILES, DEADLY, FAULTS
from model.faults import OF_FILES as FAULTS_OF_FILES
from model.file_edits import EXPIRY, FILES
from model.files import STREAM, TABLE_OF, Shelf
from model.history import (
    DAY_SECONDS,
    LOOKBACK_SECONDS,
    SCROLL_TTL_SECONDS,
    Edit,
    End,
    History,
    Run,
)
from model.target import Key, Target
from model.workspaces import empty_workspace, fill
from tap_intercom.state import read_state
from tap_intercom.times import epoch_seconds, rfc3339

PLENTY = 1_000_000
ONE_AT_A_TIME = {"sync.STREAMS_AT_ONCE": 1, "reading.search.WINDOWS_AT_ONCE": 1}
SHORT_JOBS = {"intercom.export_jobs.FIRST_WAIT_SECONDS": 0.005}
# A request that a killed run sent last may begin a scroll or a job after the end of that run.
LEFT_BEHIND = ("another app is scrolling", "another job of this workspace")
MISSED_ENTRIES = re.compile(r"^WARNING (\w+): [\d,]+ entries of ", re.MULTILINE)
# Files that do not come are given up soon, where a fault keeps them from coming.
OF_FILES = {
    "attachments.download.FIRST_WAIT_SECONDS": 0.005,
    "attachments.download.LONGEST_WAIT_SECONDS": 0.02,
}
IMPATIENT = {"attachments.download.FILE_SECONDS": 0.25}
SMALL_PIECES = {
    "attachments.download.CHUNK_BYTES": 512,
    "attachments.keeper.MAX_WAITING": 2,
    "reading.files.ROWS_AT_ONCE": 1,
}
ONE_FILE_AT_A_TIME = {"attachments.keeper.DOWNLOADS_AT_ONCE": 1}
DETECTED = ("companies", "contacts", "conversations")
# A bookmark with others of these, or with less, speaks of something else, and may be earlier.
TIMES_OF_A_BOOKMARK = {"updated_at", "since", "missing_since", "missing_until"}
CODES_OF_ENDED_RUNS = {
    *(-signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT, 141),
    # The signal came before the tap listens to signals, or after it has ended.
    *(-signal.SIGTERM, -signal.SIGINT),
}


class HistoryRuns(Runs):
    """Runs whose outputs one target takes."""

    def __init__(self, *how: Any, **settings: Any) -> None:
        super().__init__(*how, **settings)
        self.tables = Target()
        self.schemas: dict[str, Any] = {}
        self.reported: set[str] = set()
        self._entries = {entry["tap_stream_id"]: entry for entry in self.catalog["streams"]}

    def start(self, *streams: str, **how: Any) -> RunningTap:
        """A run with a catalog of these streams alone, which is a tenth of the whole."""
        self.catalog = {"streams": [self._entries[name] for name in streams]}
        return super().start(*streams, **how)

    def take(self, output: Output) -> Output:
        """Go on from here."""
        self.outputs.append(output)
        self.reported.update(MISSED_ENTRIES.findall(output.log))
        for message in output.messages:
            if message["type"] == "SCHEMA":
                self.schemas[message["stream"]] = message["schema"]
        if output.states:
            self.state = output.state
        return output


class Presence:
    """Which rows were there all the time that a run took, for tables that it reads in full.

    A run may leave out rows by its settings. Those that the bookmark holds for must stay, so far as
    the run that moved it says which ones these are: last has that run, by stream.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        run: Run,
        last: Mapping[str, Run],
        bookmarks: Mapping[str, Any],
        personal_data: str,
    ) -> None:
        self._personal_data = personal_data
        self._workspace = sandbox.workspace
        self._run = run
        self._last = last
        self._bookmarks = bookmarks
        self._streams = [
            stream
            for stream in run.streams
            if not is_export(stream)
            and stream not in ("deletions", "attachments")
            and (is_full_table(stream) or stream == run.full_table)
        ]
        self.keys = {stream: self._now(stream) for stream in self._streams}

    def look(self) -> None:
        """Note what is gone by now."""
        for stream in self._streams:
            self.keys[stream] &= self._now(stream)

    def _now(self, stream: str) -> set[Key]:
        # A read with a filter replaces nothing.
        settings = {name: each for name, each in self._run.settings.items() if "filter" not in name}
        keys = self._keys(stream, replace(self._run, settings=settings), start_of(self._run))
        if stream in self._last and stream in self._bookmarks:
            since = int(epoch_seconds(self._bookmarks[stream]["since"]))
            keys |= self._keys(stream, self._last[stream], since)
        return keys

    def _keys(self, stream: str, run: Run, since: int) -> set[Key]:
        return set(promised_rows(self._workspace, stream, run, since, self._personal_data))


class Player:
    """Plays a history, and checks each run on the way."""

    def __init__(
        self, history: History, runs: HistoryRuns, clock: Clock, shelf: Shelf | None
    ) -> None:
        self._history = history
        self._runs = runs
        self._shelf = shelf
        self._sandbox = runs.sandbox
        self._clock = clock
        self._people = People(runs.sandbox, {**EDITS, **FILES})
        self._run = history.runs[0]
        self._requests = 0
        self._running: RunningTap | None = None
        self._is_running = threading.Event()
        self._presence = Presence(runs.sandbox, self._run, {}, {}, history.personal_data)
        # The run that moved a bookmark last, by stream.
        self._last: dict[str, Run] = {}
        # The records that a detection of deletes knows, of those that were there before it.
        self._known: set[Key] = set()
        runs.sandbox.before_request(lambda sandbox, method, path, number: self._on_request(path))

    def play(self, run: Run) -> Output:
        """One run, from the state that the ones before left."""
        self._clock.instant += run.seconds
        for edit in run.before:
            self._people.do(edit)
        for fault in run.faults:
            path = fault.path or (ALL_BUT_FILES if self._shelf else None)
            drawn: dict[str, Any] = {"path": path, "after": fault.after, "times": fault.times}
            self._sandbox.faults.add(**{**drawn, **FAULTS[fault.kind]})
        self._sandbox.options.permissions = set(PERMISSIONS) - set(run.withdrawn)
        # Time ends the jobs that an earlier run left behind.
        self._sandbox.end_exports()
        self._sandbox.clear_requests()
        self._run, self._requests, self._file_requests = run, 0, 0
        bookmarks = self._runs.state.get("bookmarks", {})
        self._presence = Presence(
            self._sandbox, run, self._last, bookmarks, self._history.personal_data
        )
        if self._shelf is not None:
            self._shelf.begin(run, bookmarks)
        there = self._there()
        output = self._output(run)
        self._sandbox.faults.clear()
        self._check(run, output)
        self._check_rows(run, output)
        self._check_deletions(output)
        if self._shelf is not None:
            self._shelf.take(output)
        self._runs.take(output)
        now = self._runs.state.get("bookmarks", {})
        moved = [stream for stream in now if now[stream] != bookmarks.get(stream)]
        self._last.update(dict.fromkeys(moved, run))
        if "deletions" in moved:
            tables = set(run.streams)
            self._known |= {key for key in there & self._there() if key[0] in tables}
        return output

    def read_all_again(self, run: Run) -> None:
        """A run without a state downloads nothing that is there, and all else that can come."""
        assert self._shelf is not None
        before = dict(self._shelf.rows)
        self._runs.state = {}
        output = self.play(run)
        assert output.code == 0, output.last_log_line
        problems = list(self._shelf.wrong_after_all(run, start_of(run), before))
        assert not problems, "\n".join(problems)

    def undetected(self) -> Iterator[str]:
        """Records that a detection knew, and that went without a row of deletions."""
        selected = set(self._run.streams)
        if "deletions" in selected:
            rows = self._runs.tables.rows("deletions")
            for key in self._known - self._there() - rows.keys():
                if key[0] in selected:
                    yield f"deletions {key} is missing"

    # -- During a run ----------------------------------------------------------------------------

    def _on_request(self, path: str) -> None:
        run = self._run
        self._requests += 1
        is_file = path.startswith("/files/")
        self._file_requests += is_file
        self._clock.instant += run.tick
        edits = [edit for number, edit in run.during if number == self._requests]
        # Each new file is one more request, so a run would never end.
        if run.busy and not is_file:
            edits.insert(0, Edit(run.busy, which=self._requests))
        for edit in edits:
            self._people.do(edit)
        if edits:
            self._presence.look()
        if self._shelf is not None:
            self._shelf.check_whole()
            self._shelf.note_expiries(sum(edit.kind == EXPIRY for edit in edits))
            if edits:
                self._shelf.look()
        if run.end is not None and self._is_due(run.end, is_file):
            self._is_running.wait()
            assert self._running is not None
            self._running.kill(signal.Signals[run.end.kind])

    def _is_due(self, end: End, is_file: bool) -> bool:
        """Whether the run is ended before this request."""
        if end.of_files:
            return is_file and self._file_requests == end.request
        return self._requests == end.request

    def _numbers_of_files(self, run: Run) -> dict[str, Any]:
        if self._shelf is None:
            return {}
        is_broken = any(fault.kind in FAULTS_OF_FILES.keys() - DEADLY for fault in run.faults)
        return {
            **OF_FILES,
            **(IMPATIENT if is_broken else {}),
            **(SMALL_PIECES if self._history.small_windows else {}),
            **({} if self._history.in_parallel else ONE_FILE_AT_A_TIME),
        }

    def _output(self, run: Run) -> Output:
        history = self._history

        def edit_catalog(catalog: Catalog) -> None:
            for entry in catalog["streams"]:
                if entry["tap_stream_id"] == run.full_table:
                    entry["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE"

        numbers = SMALL_WINDOWS if history.sort_honoured else WITHOUT_ORDER
        period = {} if run.end_days is None else {"end_date": text_of(run.end_days)}
        how: dict[str, Any] = {
            **period,
            **run.settings,
            **(self._shelf.settings if self._shelf is not None else {}),
        }
        self._is_running.clear()
        self._running = self._runs.start(
            *run.streams,
            edit_catalog=edit_catalog,
            numbers={
                **SHORT_JOBS,
                **self._numbers_of_files(run),
                **({"messages.FLUSH_BYTES": 1} if history.writes_at_once else {}),
                **(numbers if history.small_windows else {}),
                **({} if history.in_parallel else ONE_AT_A_TIME),
            },
            start_date=text_of(run.start_days),
            page_size=run.page_size,
            concurrency=64 if history.in_parallel else 1,
            **how,
        )
        self._is_running.set()
        if run.end is None or run.end.request is not None:
            return self._running.wait()
        return _ended(self._running, run.end)

    # -- What holds for every run, however it ended ----------------------------------------------

    def _check(self, run: Run, output: Output) -> None:
        note(f"{run} -> {output.code}\n{output.log}")
        assert "Traceback" not in output.log
        allowed = {0, 3, 4, 5} | (set() if run.end is None else CODES_OF_ENDED_RUNS)
        assert output.code in allowed, f"exit code {output.code}: {output.last_log_line}"
        is_whole = run.end is None or run.end.kind in ("SIGTERM", "SIGINT")
        if is_whole and output.messages:
            assert output.messages[-1]["type"] == "STATE"
        if is_whole and output.code == 0:
            assert "currently_syncing" not in output.state
        self._check_states(run, output)

    def _check_states(self, run: Run, output: Output) -> None:
        # A run that was killed may have left requests behind.
        own = dropwhile(lambda request: request.path != "/me", self._sandbox.requests)
        tries = list(takewhile(lambda request: request.path == "/me", own))
        began = tries[-1].time if tries else 0
        before = self._runs.state.get("bookmarks", {})
        for state in output.states:
            read_state(state)
            bookmarks = state["bookmarks"]
            for stream in before.keys() | bookmarks.keys():
                was, now = before.get(stream), bookmarks.get(stream)
                if TABLE_OF.get(stream, stream) not in run.streams:
                    assert was == now, f"the bookmark of {stream} changed, which is not selected"
                elif was != now:
                    assert now is not None
                    lookback = 0 if stream == "deletions" else LOOKBACK_SECONDS
                    reached = epoch_seconds(now["updated_at"])
                    assert reached <= began - lookback, f"the bookmark of {stream} is too late"
                    if was is not None and _is_about(was) == _is_about(now):
                        assert was["updated_at"] <= now["updated_at"], f"{stream} went back"
            before = bookmarks

    def _check_rows(self, run: Run, output: Output) -> None:
        """No row goes from the target while its record is there."""
        removed = self._runs.tables.take(output.messages)
        self._presence.look()
        for stream, keys in removed.items():
            gone = keys & self._presence.keys.get(stream, set())
            assert not gone, f"{stream}: rows were taken away whose records are there: {gone}"

    def _check_deletions(self, output: Output) -> None:
        reported = {(each["stream"], each["id"]) for each in output.records("deletions")}
        there = reported & self._there()
        assert not there, f"deletions: reported, and there: {there}"

    def _there(self) -> set[Key]:
        workspace = self._sandbox.workspace
        return {(table, key) for table in DETECTED for key in getattr(workspace, table).texts}


def _is_about(bookmark: Mapping[str, Any]) -> dict[str, Any]:
    """What a bookmark is the bookmark of."""
    return {
        key: value
        for key, value in bookmark.items()
        if key not in TIMES_OF_A_BOOKMARK and value is not None
    }


def _ended(running: RunningTap, end: End) -> Output:
    """The output of a run that is ended after so many lines."""
    data = running.read(lambda data: data.count(b"\n") >= end.line)
    lines = b"".join(data.splitlines(keepends=True)[: end.line])
    match end.kind:
        case "SIGKILL":
            running.kill(signal.SIGKILL)
        case "closed":
            running.close_stdout()
        case _:
            running.kill(signal.Signals[end.kind])
            return running.wait()
    return running.wait(stdout=lines)


def start_of(run: Run) -> int:
    return NOW - run.start_days * DAY_SECONDS


def text_of(days: int) -> str:
    return str(rfc3339(NOW - days * DAY_SECONDS))


def quiet(last: Run) -> Run:
    """The run that ends a history: selected as the one before, and left in peace."""
    return Run(
        streams=last.streams,
        seconds=LOOKBACK_SECONDS + SCROLL_TTL_SECONDS,
        page_size=last.page_size,
        start_days=last.start_days,
        settings={name: value for name, value in last.settings.items() if name != "api_version"},
    )


def play(history: History, warm_tap: WarmTap, catalog: Catalog) -> None:
    """Play a history to its end, and check that the last run's target holds the truth."""
    clock = Clock(NOW + history.hour * 3600)
    with _sandbox(history, clock) as sandbox, TemporaryDirectory() as folder:
        runs = HistoryRuns(
            sandbox,
            Path(folder),
            warm_tap,
            catalog,
            lookback_seconds=LOOKBACK_SECONDS,
            max_retry_seconds=0.1,
            personal_data=history.personal_data,
            **({"hash_key": HASH_KEY} if history.personal_data == "hash" else {}),
        )
        has_files = any(STREAM in run.streams for run in history.runs)
        shelf = Shelf(sandbox, Path(folder) / "files", history.personal_data) if has_files else None
        player = Player(history, runs, clock, shelf)
        for run in history.runs:
            player.play(run)
        last = quiet(history.last)
        output = player.play(last)
        if any(text in output.log for text in LEFT_BEHIND):
            output = player.play(last)
        assert output.code == 0, output.last_log_line
        since, schemas = start_of(last), runs.schemas
        problems = [
            *lost(runs.tables, sandbox.workspace, history, last, since, schemas, runs.reported),
            *player.undetected(),
            *(shelf.lost(last, since) if shelf is not None else ()),
        ]
        assert not problems, "\n".join(problems)
        if shelf is not None:
            player.read_all_again(last)


@contextmanager
def _sandbox(history: History, clock: Clock) -> Iterator[Sandbox]:
    workspace = empty_workspace(history.timezone)
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
        most_rows=history.most_rows,
    )
    fill(workspace, history.ages, int(clock()))
    workspace.index_now()
    sandbox.__enter__()
    try:
        yield sandbox
    finally:
        # Nobody waits for its end, which takes longer than a run.
        sandbox.stop()
