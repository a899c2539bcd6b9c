"""What a run knows of the streams that it reads together, and the batches that reading returns."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tap_intercom.attachments.keeper import Keeper
from tap_intercom.errors import ContractError, TapError
from tap_intercom.intercom.client import Answer, Client, Workspace
from tap_intercom.intercom.export_jobs import ExportJobs
from tap_intercom.messages import record_line, record_prefix, typed_record_lines
from tap_intercom.reading.read_ahead import ReadAhead
from tap_intercom.records.coercions import REPLACED_CHARACTERS, Coercions
from tap_intercom.records.other_attributes import OtherAttributes
from tap_intercom.records.parsing import ImpreciseNumber
from tap_intercom.records.privacy import Private
from tap_intercom.records.typed_records import PageParser, TypedRecord
from tap_intercom.settings import Settings
from tap_intercom.shortfalls import Shortfalls
from tap_intercom.state import Origin, Plan

Record = dict[str, Any]

SKIPPED_SAMPLE = 20
# How many other records to try before skipping one that cannot be read.
MAX_OTHERS = 3


@dataclass(frozen=True)
class Batch:
    """RECORD lines in the order to write them, and what is complete after them.

    counts: number of records in the lines, by stream.
    reached: the instant (Unix seconds) up to which a stream is complete.
    failed: streams that are given up while others go on. The reason is in `StreamRun.given_up`,
        since not every error survives a file.
    expected: number of records that Intercom counts in what the reader now begins.
    passed: how many of those have come with all rows that belong to them.
    files: the files that were submitted, with the file stream that gets their rows.
    """

    lines: bytes = b""
    counts: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[str, int] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    expected: int = 0
    passed: int = 0
    files: Sequence[tuple[str, int]] = ()

    @property
    def size(self) -> int:
        return len(self.lines) + 200


@dataclass(frozen=True)
class Selection:
    """What the catalog selects of a stream: its fields, and how it is replicated.

    schema: the schema of the SCHEMA message.
    replication_key: None if the stream is always read in full.
    version: the version of a full read, otherwise None.
    transform: makes a record fit the schema.
    parser: parses pages that no other table uses.
    other_attributes: keeps the custom attributes without a column; None if none are selected.
    attributes: Intercom's names for the columns of a dataset that discovery found.
    private: what becomes of personal fields of records that fit the schema; None keeps them.
    """

    name: str
    schema: Mapping[str, Any]
    key_properties: Sequence[str]
    replication_key: str | None
    version: int | None
    transform: Callable[[Record], Record]
    parser: PageParser
    coercions: Coercions
    other_attributes: OtherAttributes | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    private: Private | None = None

    def has(self, property_name: str) -> bool:
        return property_name in self.schema["properties"]


@dataclass(frozen=True)
class StreamRun:
    """Everything needed to read a group of streams: a parent and its children, or one stream.

    selections, plans: those of the selected streams, by stream name.
    jobs: the run's export jobs.
    shared: the run's place for results that one stream leaves to another.
    covers: what each stream covers, see `Stream.covers`.
    keeper: keeps the files of the records; None if the run does not want them.
    error: why the group cannot be read at all.
    given_up: why a stream is no longer read.
    unfinished: streams whose records changed faster than they were read; the next run reads the
        rest.
    last_skipped: whether each of the last records was skipped, by stream.
    parents: the records that a child is read for, by child name.
    last_read: the last record that a child was read for.
    page_sizes: the largest page that a stream's search can send, if smaller than the requested one.
    """

    client: Client
    settings: Settings
    origin: Origin
    ahead: ReadAhead
    shortfalls: Shortfalls
    selections: Mapping[str, Selection]
    plans: Mapping[str, Plan]
    workspace_id: str | None
    jobs: ExportJobs
    shared: Shared
    covers: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    keeper: Keeper | None = None
    error: Exception | None = None
    given_up: dict[str, Exception] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    last_skipped: dict[str, deque[bool]] = field(default_factory=dict)
    parents: dict[str, Sequence[Any]] = field(default_factory=dict)
    last_read: dict[str, Any] = field(default_factory=dict)
    page_sizes: dict[str, int] = field(default_factory=dict)

    def note_shortfall(
        self, name: str, kind: str, case: str, count: int = 1, *, is_cap: bool = False
    ) -> None:
        """Note records that Intercom counts but did not send. Raises ContractError with strict.

        kind: the same text for all cases of one kind.
        case: identifies the record.
        is_cap: the API never sends these records, so the setting strict does not apply.
        """
        if self.settings.strict and not is_cap:
            raise ContractError(f"{name}: {kind}: {case} (setting strict)")
        self.shortfalls.add(name, kind, case, count)

    def note_gone(self, name: str, is_gone: bool, record_id: str) -> None:
        """Note whether a record still existed when its details were requested.

        Raises ContractError if more than half of the last records are gone. Nobody deletes that
        many in a moment, so the host or a permission must be wrong.
        """
        if is_gone:
            kind = "records skipped, since they were deleted meanwhile"
            self.shortfalls.add(name, kind, record_id)
        reason = "were not found; check base_url and the permissions of the token"
        self._note_last(name, is_gone, reason)

    def note_read(self, name: str, record: Any = None) -> None:
        """Note that a record, or a page with records, was read."""
        self.last_read[name] = record
        self._note_last(name, False)

    def others_than(self, name: str, parent: Any) -> list[Any]:
        """Return a few other records that a child is read for, starting with the last one read."""
        known = [self.last_read.get(name), *self.parents.get(name, ())[: MAX_OTHERS + 1]]
        return [each for each in dict.fromkeys(known) if each not in (None, parent)][:MAX_OTHERS]

    def note_unreadable(self, name: str, case: str, count: int, error: TapError) -> None:
        """Note records that Intercom cannot send while it sends others.

        Raises ContractError with strict, or if more than half of the last records are unreadable.
        """
        self._note_last(name, True, f"could not be read: {error}")
        kind = "records that Intercom cannot send, while it sends others"
        self.note_shortfall(name, kind, f"{case} ({error})", count)

    def _note_last(self, name: str, is_skipped: bool, reason: str = "") -> None:
        last = self.last_skipped.setdefault(name, deque(maxlen=SKIPPED_SAMPLE))
        last.append(is_skipped)
        if is_skipped and sum(tuple(last)) > SKIPPED_SAMPLE // 2:
            raise ContractError(
                f"{name}: more than half of the last {SKIPPED_SAMPLE} records {reason}"
            )

    def render(
        self, name: str, answer: Answer, post_process: Callable[[Answer], Sequence[Record]]
    ) -> Batch:
        """Return the records that `post_process` takes from an answer, as RECORD lines of a stream.

        If the answer holds a number that a double cannot represent, `post_process` is called again
        with the exact answer.
        """
        selection = self.selections[name]
        try:
            return self._lines(selection, answer, post_process(answer))
        except ImpreciseNumber:
            exact = answer.exact()
            return self._lines(selection, exact, post_process(exact))

    def _lines(self, selection: Selection, answer: Answer, records: Sequence[Record]) -> Batch:
        version = selection.version if self.settings.activate_version else None
        prefix = record_prefix(selection.name, answer.extracted_at, version)
        if answer.replaced:
            selection.coercions.add("texts", REPLACED_CHARACTERS, answer.replaced)
        if self.settings.add_workspace_id:
            for record in records:
                record["_sdc_workspace_id"] = self.workspace_id
        if selection.other_attributes is not None:
            for record in records:
                selection.other_attributes.fill(record)
        typed: Sequence[Any] | None = records
        if records and not isinstance(records[0], TypedRecord):
            typed = selection.parser.typed(records)
        private = selection.private
        if typed is not None:
            coerce = TypedRecord.coerce if private is None else private.coerce
            lines = typed_record_lines(prefix, map(coerce, typed))
        else:
            plain: Iterable[Any] = map(selection.transform, records)
            plain = plain if private is None else map(private.apply, plain)
            lines = b"".join([record_line(prefix, record) for record in plain])
        if (written := self.shared.written.get(selection.name)) is not None:
            written.update(str(record.get("id")) for record in records)
        return Batch(lines, {selection.name: len(records)})

    def give_up(self, names: Sequence[str], error: Exception) -> None:
        """Stop reading these streams. Raises the error if no other stream is left to read."""
        for name in names:
            self.given_up.setdefault(name, error)
        if self.given_up.keys() >= self.selections.keys():
            raise error

    def complete(self) -> Batch:
        """Return a batch that completes all streams that the run may bookmark."""
        return Batch(reached=dict.fromkeys(self.plans, self.origin.limit))

    def shows(self, name: str, column: str) -> bool:
        """Whether a stream is selected with this column."""
        return name in self.selections and self.selections[name].has(column)

    def wants(self, name: str, instant: int | None) -> bool:
        """Whether a stream's plan includes changes at an instant; a full read includes all."""
        plan = self.plans.get(name)
        return plan is None or plan.wants(instant)


class Shared:
    """Results that one stream leaves to another stream of the same run.

    They are complete once the stream that left them has ended.

    selections: those of the whole run.
    streams: the streams that are read for the selected ones.
    expiring_addresses: how many addresses of files the records contain that nobody keeps.
    written: ids of the records written in this run, by table; only tables with an entry are
        tracked.
    """

    def __init__(self, selections: Mapping[str, Selection], streams: Iterable[str]) -> None:
        self.selections = selections
        self.written: dict[str, set[str]] = {}
        self.expiring_addresses = 0
        self._lock = threading.Lock()
        self._ended = {name: threading.Event() for name in streams}
        self._left: dict[str, Any] = {}

    def note_addresses(self, count: int) -> None:
        with self._lock:
            self.expiring_addresses += count

    def share(self, stream: str, what: Any) -> None:
        self._left[stream] = what

    def end(self, stream: str) -> None:
        """Note that a stream leaves nothing more, because it was read or failed."""
        self._ended[stream].set()

    def wait_for(self, stream: str) -> Any:
        """Return what a stream left, once it ends, or None if it failed or is not in this run."""
        if stream in self._ended:
            self._ended[stream].wait()
        return self._left.get(stream)

    def reads(self, stream: str) -> bool:
        return stream in self._ended


@dataclass(frozen=True)
class Opening:
    """What a run knows before it reads any stream."""

    client: Client
    settings: Settings
    workspace: Workspace
    shared: Shared
