"""Runs of `tap-intercom run` into one database, and what its tables hold beside the truth."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import table_runs
from api_versions import DEFAULT_TEXT, tables_with
from conftest import RUN, Tap, selecting
from databases import Database, Record, Schema, types_of
from log_lines import without_times
from paths import SUPPORT
from test_exports import identity, shaped
from test_tables import key_of
from truth import differences, fits_63_bits, instant_text

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.calls import Call
from intercom_sandbox.versions import DEFAULT_VERSION, Version
from tap_intercom.streams import STREAMS

HALF_OF_A_PAIR = "\uf8ff"
"""Stands in a workspace for half of a surrogate pair, which `sending_halves` sends."""
REPLACED = "\ufffd"
LONGEST_RUN = 300
OURS = ("_sdc_record_hash", "sent_from", "sent_until")
"""The columns of exports that Intercom does not send."""

Key = tuple[str, ...]
Rows = dict[Key, Record]
Catalog = dict[str, Any]


def sending_halves(sandbox: Sandbox) -> None:
    """Let the sandbox send what no text of Python's can be written as UTF-8 with."""

    def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
        found = sandbox.api.answer(call)
        body = found.body
        if found.content_type == "application/json":
            body = body.replace(HALF_OF_A_PAIR.encode(), b"\\ud83d")
        return found.status, {**found.headers, "Content-Type": found.content_type}, body

    sandbox.faults.add("answer", times=None, answer=answer)


class Truth:
    """What the tables of a target must hold: what is there, and what was there once.

    gone: the rows of `deletions`, kind by table and id.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = _Readable(workspace)
        self.gone: dict[Key, str] = {}
        self._seen: defaultdict[str, Rows] = defaultdict(dict)

    def records(self, stream: str) -> list[Record]:
        """What there is."""
        if stream == "deletions":
            return [
                {"stream": key[0], "id": key[1], "kind": kind} for key, kind in self.gone.items()
            ]
        if stream.startswith("reporting_"):
            return [_dataset_row(row) for row in self.workspace.truth(stream)]
        if stream.startswith("content_export_"):
            return [shaped(stream, row) for row in self.workspace.truth(stream)]
        return list(table_runs.expected_rows(self.workspace, stream).values())

    def ids_of_parts(self, ticket_id: str) -> set[str]:
        parts = self.workspace.truth("ticket_parts")
        return {part["id"] for part in parts if part["ticket_id"] == ticket_id}

    def earlier_records(self, stream: str) -> list[Record]:
        """What was there at the end of a stage, and is no more."""
        present = by_key(stream, self.records(stream))
        return [record for key, record in self._seen[stream].items() if key not in present]

    def remember(self, streams: Iterable[str]) -> None:
        """Note what is there at the end of a stage."""
        for stream in streams:
            self._seen[stream].update(by_key(stream, self.records(stream)))


def by_key(stream: str, records: Iterable[Record]) -> Rows:
    """The rows of a table by their keys.

    Rows of exports often have none of Intercom's. All of such a row is its key, and a number if
    several are equal. Periods of overviews overlap, so equal ones count once.
    """
    if not stream.startswith(("content_export_", "reporting_")):
        return {key_of(stream, record): record for record in records}
    counts: Counter[str] = Counter()
    found: Rows = {}
    for record in records:
        text = identity(record)
        counts[text] += stream != "content_export_overview"
        found[text, str(counts[text])] = record
    return found


def _dataset_row(row: Record) -> Record:
    found: Record = {}
    for attribute, value in row.items():
        is_time = attribute.startswith("timestamp.")
        name = attribute.replace(".", "_").lower()
        found[name] = instant_text(value) if is_time else None if value is None else str(value)
    return found


class _Readable(Workspace):
    """A workspace without the characters that no target takes, as the tap replaces them."""

    def __init__(self, workspace: Workspace) -> None:
        self.__dict__ = workspace.__dict__

    def truth(self, stream: str, version: Version = DEFAULT_VERSION) -> list[Record]:
        return [_readable(record) for record in super().truth(stream, version)]


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", REPLACED).replace(HALF_OF_A_PAIR, REPLACED)
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {_readable(name): _readable(item) for name, item in value.items()}
    return value


def _fitted(record: Record, schema: Schema) -> Record:
    """A record as its columns hold it: ids as text, times of years 1 to 9999, 63-bit integers."""
    found = dict(record)
    for name, value in record.items():
        column = schema["properties"].get(name, {})
        is_number = type(value) in (int, float)
        if is_number and column.get("format") == "date-time":
            is_in_milliseconds = len(str(value)) == 13
            found[name] = instant_text(value / 1000 if is_in_milliseconds else value)
        elif type(value) is int and types_of(column) == {"string"}:
            found[name] = str(value)
        elif type(value) is int and types_of(column) == {"integer"} and not fits_63_bits(value):
            found[name] = None
    return found


class Loads:
    """Runs of the command on a sandbox into a database, with one state and one catalog."""

    def __init__(self, sandbox: Sandbox, database: Database, folder: Path, **settings: Any) -> None:
        self.tap = Tap(sandbox, folder)
        self.database = database
        self.truth = Truth(sandbox.workspace)
        self.state = folder / "state.json"
        self.api_version = settings.get("api_version", DEFAULT_TEXT)
        self.config = self.tap.config(
            custom_object_types=["Order"], detect_deletes="table", **settings
        )
        self.catalog: Catalog = {}
        self.lines = 0

    def discover(self, *but: str) -> None:
        """Select every stream there is, but these.

        Files have their own tests: tests/e2e/test_stored_files.py reads `attachments`.
        """
        flags = ("--catalog", self.tap.write("catalog.json", self.catalog)) if self.catalog else ()
        command = [*RUN, "--config", self.config, "--discover", *flags]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=LONGEST_RUN)
        self.catalog = json.loads(done.stdout)
        every = [each["tap_stream_id"] for each in self.catalog["streams"]]
        assert set(every) >= {*tables_with(self.api_version)}
        self.select(*(each for each in every if each not in (*but, "attachments")))

    def select(self, *streams: str) -> None:
        selecting(self.catalog, *streams)

    @property
    def schemas(self) -> dict[str, Schema]:
        """Those of the selected streams."""
        return {
            entry["tap_stream_id"]: entry["schema"]
            for entry in self.catalog["streams"]
            if any(
                each["metadata"]["selected"] for each in entry["metadata"] if not each["breadcrumb"]
            )
        }

    def state_of(self, stream: str) -> Any:
        """The bookmark of a stream in the state file."""
        return json.loads(self.state.read_bytes()).get("bookmarks", {}).get(stream)

    def command(self, *flags: str) -> list[str]:
        """The command of a run. flags: those of `fed_target.py`."""
        fed = [sys.executable, str(SUPPORT / "fed_target.py"), *flags]
        files = ["--state", str(self.state), "--config", self.config]
        files += ["--catalog", self.tap.write("catalog.json", self.catalog)]
        # A target that outlives its runner keeps the lock until it has loaded what it has.
        wait = ["--wait", str(LONGEST_RUN)]
        return [*RUN, "run", *files, *wait, "--", *fed, *self.database.command]

    def run(self, *flags: str) -> tuple[int, str]:
        """The exit code and the log of a run."""
        done = subprocess.run(
            self.command(*flags),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST_RUN,
            cwd=self.tap.folder,
        )
        return done.returncode, without_times(done.stderr.decode())

    def complete(self) -> None:
        """A run that ends well."""
        count = self.tap.folder / "lines"
        code, log = self.run("--count", str(count))
        assert code == 0, log[-4000:]
        self.lines = int(count.read_text())

    def kill(self, victim: str, *cue: str) -> None:
        """A run of which a process is killed on a cue for `fed_target.py`."""
        code, log = self.run("--kill", victim, *cue)
        if victim == "runner":
            assert code == -signal.SIGKILL, log[-4000:]
        else:
            said = "exit code 137" if victim == "tap" else "the target with 137"
            assert said in log.splitlines()[-1], log[-4000:]
        # Nobody asks for the job of a killed run again, and the sandbox counts only questions.
        self.tap.sandbox.end_exports()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens here ends with tables that equal the truth."""
        begun = time.monotonic()
        yield
        self.assert_equal()
        self.truth.remember(self.schemas)
        seconds = time.monotonic() - begun
        rows = sum(len(self.truth.records(stream)) for stream in self.schemas)
        print(f"{self.database.name}: {name}: {rows} rows, {seconds:.0f} s")

    # -- Comparing -------------------------------------------------------------------------------

    def assert_equal(self) -> None:
        """Every table holds what the workspace holds, and of old rows what it must."""
        schemas = self.schemas
        loaded = self.database.read(list(schemas))
        problems = [
            f"{stream}{problem}"
            for stream, schema in schemas.items()
            for problem in self._problems(stream, schema, loaded[stream])
        ]
        assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:40])

    def _problems(self, stream: str, schema: Schema, rows: list[Record]) -> Iterator[str]:
        try:
            arrived = self._arrived(stream, schema, rows)
        except AssertionError as error:
            yield f": {error}"
            return
        expected = self._as_loaded(stream, schema, self.truth.records(stream))
        earlier = self._as_loaded(stream, schema, self.truth.earlier_records(stream)).keys()
        for key in expected.keys() - arrived.keys():
            yield f" {key}: is missing"
        for key in arrived.keys() - expected.keys() - earlier:
            yield f" {key}: is nobody's"
        is_replaced = not STREAMS[stream].is_incremental if stream in STREAMS else False
        if self.database.deletes and is_replaced:
            for key in arrived.keys() & earlier:
                yield f" {key}: is no more, and was not taken away"
        else:
            for key in earlier - arrived.keys():
                yield f" {key}: is no more, and this target takes no row away"
        for key in expected.keys() & arrived.keys():
            if stream == "tickets":
                # A table of their own in the truth, where all of each one is compared.
                parts = arrived[key].pop("ticket_parts")["ticket_parts"]
                if {part["id"] for part in parts} != self.truth.ids_of_parts(key[0]):
                    yield f" {key}: has other parts"
            for difference in differences(
                _plain_numbers(expected[key]), _plain_numbers(arrived[key]), schema
            ):
                yield f" {key}: {difference}"

    def _as_loaded(self, stream: str, schema: Schema, records: Iterable[Record]) -> Rows:
        """Records by key, with what the target is known to make of them."""
        return by_key(
            stream,
            (self.database.expected(_fitted(record, schema), schema) for record in records),
        )

    def _arrived(self, stream: str, schema: Schema, rows: list[Record]) -> Rows:
        """The rows of a table by their keys."""
        (keys,) = (
            entry["key_properties"]
            for entry in self.catalog["streams"]
            if entry["tap_stream_id"] == stream
        )
        every = list(self.database.records(rows, schema))
        records = list({tuple(str(row[key]) for key in keys): row for row in every}.values())
        if not self.database.keeps_all:
            assert len(records) == len(every), f"{len(every)} rows have {len(records)} keys"
        if stream == "team_metrics":
            # A snapshot of each run; the last one is compared.
            last = max((record["measured_at"] for record in records), default=None)
            records = [
                {**record, "measured_at": None}
                for record in records
                if record["measured_at"] == last
            ]
        if stream == "deletions":
            names = ("stream", "id", "kind")
            records = [{name: record[name] for name in names} for record in records]
        if stream.startswith(("content_export_", "reporting_")):
            records = [
                {name: value for name, value in record.items() if name not in OURS}
                for record in records
            ]
        return by_key(stream, records)


def _plain_numbers(value: Any) -> Any:
    """Numbers without a fraction as integers: a database does not tell them apart."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain_numbers(item) for name, item in value.items()}
    return value
