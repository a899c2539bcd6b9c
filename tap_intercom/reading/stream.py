"""What all streams share: the description of a table, and the batches that reading it returns."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, ClassVar, NamedTuple, cast

import orjson

from tap_intercom.errors import ContractError, ResponseError, TapError
from tap_intercom.intercom.client import Answer, Client, Workspace
from tap_intercom.intercom.export_jobs import ExportJobs
from tap_intercom.intercom.pages import total_count
from tap_intercom.messages import record_line, record_prefix, typed_record_lines
from tap_intercom.reading.read_ahead import ReadAhead
from tap_intercom.records.coercions import REPLACED_CHARACTERS, Coercions
from tap_intercom.records.parsing import ImpreciseNumber, exact_json
from tap_intercom.records.typed_records import PageParser, TypedRecord, values_of
from tap_intercom.settings import Settings
from tap_intercom.shortfalls import Shortfalls
from tap_intercom.state import Origin, Plan
from tap_intercom.times import epoch_seconds

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
    """

    lines: bytes = b""
    counts: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[str, int] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    expected: int = 0
    passed: int = 0

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
    attributes: Intercom's names for the columns of a dataset that discovery found.
    """

    name: str
    schema: Mapping[str, Any]
    key_properties: Sequence[str]
    replication_key: str | None
    version: int | None
    transform: Callable[[Record], Record]
    parser: PageParser
    coercions: Coercions
    attributes: Mapping[str, str] = field(default_factory=dict)

    def has(self, property_name: str) -> bool:
        return property_name in self.schema["properties"]


@dataclass(frozen=True)
class StreamRun:
    """Everything needed to read a group of streams: a parent and its children, or one stream.

    selections, plans: those of the selected streams, by stream name.
    jobs: the run's export jobs.
    shared: the run's place for results that one stream leaves to another.
    covers: what each stream covers, see `Stream.covers`.
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
        prefix = record_prefix(selection.name, answer.extracted_at, selection.version)
        transform = selection.transform
        if answer.replaced:
            selection.coercions.add("texts", REPLACED_CHARACTERS, answer.replaced)
        if self.settings.add_workspace_id:
            for record in records:
                record["_sdc_workspace_id"] = self.workspace_id
        if records and isinstance(records[0], TypedRecord):
            typed = cast("Sequence[TypedRecord]", records)
            lines = typed_record_lines(prefix, (record.coerce() for record in typed))
        else:
            lines = b"".join([record_line(prefix, transform(record)) for record in records])
        if (written := self.shared.written.get(selection.name)) is not None:
            written.update(str(record.get("id")) for record in records)
        return Batch(lines, {selection.name: len(records)})

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
    written: ids of the records written in this run, by table; only tables with an entry are
        tracked.
    """

    def __init__(self, selections: Mapping[str, Selection], streams: Iterable[str]) -> None:
        self.selections = selections
        self.written: dict[str, set[str]] = {}
        self._ended = {name: threading.Event() for name in streams}
        self._left: dict[str, Any] = {}

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


@dataclass(frozen=True)
class Probe:
    """One small request that shows whether a token may read a table.

    body: None for a GET request.
    may_be_absent: whether a 404 also shows that the token may read it.
    """

    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    may_be_absent: bool = False

    def send(self, client: Client) -> Answer:
        try:
            if self.body is None:
                return client.get(self.path, self.params)
            return client.post(self.path, self.body, self.params)
        except ResponseError as error:
            if not (self.may_be_absent and error.is_gone):
                raise
            return Answer(b"", {}, "")


class MissingPermission(NamedTuple):
    """A permission that a token does not have, and what Intercom silently leaves out without it."""

    permission: str
    left_out: str


class OlderColumn(NamedTuple):
    """The schema of a column in API versions before `until`, the first version without it."""

    until: tuple[int, int]
    schema: Mapping[str, Any]


class Stream:
    """One table: its name, its endpoint, and how it is kept up to date.

    A subclass is data; it has a method only if its table truly differs.

    nested: fields that Intercom wraps in an object, and the key inside that the table keeps.
    permission: the box in Developer Hub that lets an app read the table (API-B2).
    request_cost: the requests that a run spends on it.
    first_version, last_version: the API versions that have it.
    older_columns: columns that only older API versions have, or have with another type.
    attributes: the model whose custom attributes define the types inside `attributes_field`.
    parent: the stream whose records contain this one's rows, or for which they are read; that
        stream names it.
    after: the streams that leave results to this one.
    is_snapshot: whether it shows only the present state, so neither a period nor a full read
        applies.
    lookback_seconds: the minimum time that a bookmark stays behind the start of its run.
    lookback_reason: completes "the bookmark stays behind, because ...".
    instant_field: the field with the time when a record changed.
    id_field: the field that identifies a record of a list.
    has_documented_order: whether Intercom documents the order of a list that is newest first.
    is_append_only: whether records neither leave that list nor change in it.
    is_selected_by_default: whether a run without a catalog reads it.
    not_sent_again: rows that Intercom once sent and no longer sends, although they are not deleted.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    path: ClassVar[str]
    records_key: ClassVar[str] = "data"
    key_properties: ClassVar[Sequence[str]] = ("id",)
    replication_key: ClassVar[str | None] = None
    permission: ClassVar[str]
    request_cost: ClassVar[str] = "1"
    first_version: ClassVar[tuple[int, int]] = (2, 7)
    last_version: ClassVar[tuple[int, int]] = (sys.maxsize, 0)
    nested: ClassVar[Mapping[str, str]] = {}
    older_columns: ClassVar[Mapping[str, OlderColumn]] = {}
    attributes: ClassVar[str | None] = None
    attributes_field: ClassVar[str] = "custom_attributes"
    parent: str | None = None
    after: ClassVar[Sequence[str]] = ()
    is_snapshot: ClassVar[bool] = False
    lookback_seconds: ClassVar[int] = 0
    lookback_reason: ClassVar[str] = ""
    instant_field: ClassVar[str] = "updated_at"
    id_field: ClassVar[str] = "id"
    has_documented_order: ClassVar[bool] = True
    is_append_only: ClassVar[bool] = False
    is_selected_by_default: ClassVar[bool] = False
    not_sent_again: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for stream in cls.dependents():
            stream.parent = cls.name

    @property
    def is_incremental(self) -> bool:
        return self.replication_key is not None

    @classmethod
    def dependents(cls) -> Sequence[Stream]:
        """The streams whose records come from this one's or are read for them."""
        return ()

    def is_in(self, settings: Settings) -> bool:
        """Whether the API version of the settings has this table."""
        return self.first_version <= settings.version <= self.last_version

    def is_default(self, settings: Settings) -> bool:
        """Whether a run without a catalog reads this table, with these settings."""
        return self.is_selected_by_default

    def begin(self, settings: Settings, workspace_id: str | None, shared: Shared) -> None:
        """Prepare before any stream is read. Raises ConfigError if this stream cannot be read."""

    def covers(self, opening: Opening) -> frozenset[str] | None:
        """Return the rows that depend on settings, permissions or versions, and that come now.

        Return None if the table has no such rows. The bookmark names them in words, so a later run
        that covers more reads the additional rows from the start. Embedded and child streams also
        have those of their parents. Raises TapError if a request to Intercom is needed and fails.
        """
        return None

    def leaves_out(self, settings: Settings) -> str | None:
        """Return what Intercom may have sent to earlier runs and does not send to this one."""
        return self.not_sent_again

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Read the stream as planned and in order, reporting what is complete on the way."""
        raise NotImplementedError

    def required_permission(self, settings: Settings) -> str:
        """Return the permission that these settings need to read the stream."""
        return self.permission

    def probe(self, settings: Settings) -> Probe:
        """Return the request that shows whether the stream can be read; equal paths run once."""
        return Probe(self.path)

    def count(self, answer: Answer) -> int | None:
        """Return how many records Intercom has, if the answer to the probe says so."""
        return total_count(answer.body)

    def missing_permissions(
        self, ask: Callable[[Probe], Answer], settings: Settings
    ) -> Iterator[MissingPermission]:
        """Yield the permissions missing from a token that can read only part of the stream."""
        yield from ()

    def parse_response(self, answer: Answer) -> list[Record]:
        """Return the records of an answer. Raises ContractError if their list is missing."""
        return list_of(answer.body, self.records_key, self.path)

    def instant(self, record: Record) -> int | None:
        """Return when a record changed, in Unix seconds, or None if Intercom does not say."""
        return instant_of(record.get(self.instant_field))

    def instants(self, records: Sequence[Record]) -> list[int | None]:
        """Return when each record changed."""
        return [self.instant(record) for record in records]

    def with_children(self) -> Iterator[Stream]:
        """Yield the stream and all streams that are read with it."""
        yield self
        for stream in self.dependents():
            yield from stream.with_children()

    def post_process(self, record: Record) -> Record:
        """Change a record in place from Intercom's shape to the table's, beyond nested fields."""
        return record


def load_schema(name: str) -> dict[str, Any]:
    """Return the schema file of a stream."""
    text = (files("tap_intercom") / "schemas" / f"{name}.json").read_bytes()
    schema: dict[str, Any] = orjson.loads(text)
    return schema


def record_hash(values: Sequence[Any]) -> str:
    """Return a key for a record without one, made of the values that distinguish it.

    Raises ImpreciseNumber for a rounded number: two records may differ in its last digits.
    """
    return hashlib.sha256(exact_json(values, sort_keys=True)).hexdigest()


def list_of(body: Mapping[str, Any], key: str, path: str) -> list[Record]:
    """Return the list of records of an answer. Raises ContractError if it is absent or null."""
    found = body.get(key)
    if not isinstance(found, list):
        raise ContractError(f"{path}: the answer has no list {key!r}, so records may be missing")
    if not all(kind is dict or issubclass(kind, TypedRecord) for kind in set(map(type, found))):
        raise ContractError(f"{path}: the list {key!r} contains an entry that is not a record")
    return found


def instant_of(value: Any) -> int | None:
    """Convert an Intercom time, a number or ISO text (API-G1), to whole Unix seconds."""
    if isinstance(value, str):
        try:
            return int(epoch_seconds(value) // 1)
        except (ValueError, OverflowError):
            return None
    return value if isinstance(value, int) else None


def times_of_change(records: Sequence[Record]) -> list[int | None]:
    """Return `updated_at` of each record of a page."""
    values = values_of(records, "updated_at")
    if set(map(type, values)) == {int}:
        return values
    return [value if isinstance(value, int) else None for value in values]


def updated_at(record: Mapping[str, Any]) -> int | None:
    """Return when a record last changed, in Unix seconds, or None if Intercom does not say."""
    instant = record.get("updated_at")
    return instant if isinstance(instant, int) else None
