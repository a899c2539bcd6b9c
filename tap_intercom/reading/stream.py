"""What all streams share: a table's description, and the batches that reading it gives."""

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
# So many other records are asked for before one is skipped that cannot be read.
MAX_OTHERS = 3


@dataclass(frozen=True)
class Batch:
    """RECORD lines in the order to write them, and what is complete once they are written.

    counts: records in the lines, by stream. reached: the instant (Unix seconds) up to which a
    stream is complete. failed: streams that are given up, while others go on; why is in
    `Reading.given_up`, as not every error survives the way through a file. expected: records of the
    reader that Intercom counts and that begin to come; passed: how many of them came with all that
    belongs to them.
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
    """What the catalog wants of a stream: its fields, and how it is replicated.

    schema: what the SCHEMA message says. replication_key: None where it is always read in full.
    version: of a full read, else None. transform: makes a record fit the schema. parser: of pages
    that no other table is made of. attributes: what Intercom calls the columns of a dataset that
    discovery found.
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
    """All that reading a group of streams needs: a parent and its child, or a stream alone.

    selections and plans hold those that are selected, by stream name. jobs: the run's exports.
    shared is the run's place for what one stream leaves to another. covers: what each stream
    covers, see `Stream.covers`. error: why the group cannot be read at all. given_up: why a stream
    is not read any more. unfinished: streams that records changed in faster than they were read, so
    that the next run has to bring some. last_skipped: whether each of the last records was skipped,
    by stream. parents: records that a child is read for, by its name; last_read: the last one that
    it was read for. page_sizes: the largest pages that a stream's search can send, where they are
    smaller than what is asked for.
    """

    client: Client
    settings: Settings
    origin: Origin
    ahead: ReadAhead
    findings: Shortfalls
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
        """Note records that Intercom counts and did not send.

        kind is the same for all cases of its kind, case names the record. is_cap: the API never
        sends them, so the setting strict does not apply. Raises ContractError with strict.
        """
        if self.settings.strict and not is_cap:
            raise ContractError(f"{name}: {kind}: {case} (setting strict)")
        self.findings.add(name, kind, case, count)

    def note_gone(self, name: str, is_gone: bool, record_id: str) -> None:
        """Note whether a record was still there when its details were asked for.

        Raises ContractError when more than half of the last ones are gone: nobody deletes so
        many in a moment, so that the host or a permission is wrong.
        """
        if is_gone:
            kind = "records skipped, since they were deleted meanwhile"
            self.findings.add(name, kind, record_id)
        reason = "are not found; check base_url and the permissions of the token"
        self._note_last(name, is_gone, reason)

    def note_read(self, name: str, record: Any = None) -> None:
        """Note that a record was read, or a page with some."""
        self.last_read[name] = record
        self._note_last(name, False)

    def others_than(self, name: str, parent: Any) -> list[Any]:
        """A few other records that a child is read for, first one that it was read for."""
        known = [self.last_read.get(name), *self.parents.get(name, ())[: MAX_OTHERS + 1]]
        return [each for each in dict.fromkeys(known) if each not in (None, parent)][:MAX_OTHERS]

    def note_unreadable(self, name: str, case: str, count: int, error: TapError) -> None:
        """Note records that Intercom cannot send, while it sends others.

        Raises ContractError when more than half of the last ones are so, and with strict.
        """
        self._note_last(name, True, f"cannot be read: {error}")
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
        """The records that `prepare` takes out of an answer, as RECORD lines of a stream.

        prepare is called once more with the exact answer where it held a number that a double
        cannot keep.
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
        """Whether a stream is selected, with this column."""
        return name in self.selections and self.selections[name].has(column)

    def wants(self, name: str, instant: int | None) -> bool:
        """Whether the plan of a stream wants what changed at an instant; a full read wants all."""
        plan = self.plans.get(name)
        return plan is None or plan.wants(instant)


class Shared:
    """What one stream leaves to another one of the same run, once it was read to its end.

    selections are those of the whole run; streams are what is read for them. written: the ids that
    the run made lines of, for the tables that are in it.
    """

    def __init__(self, selections: Mapping[str, Selection], streams: Iterable[str]) -> None:
        self.selections = selections
        self.written: dict[str, set[str]] = {}
        self._ended = {name: threading.Event() for name in streams}
        self._left: dict[str, Any] = {}

    def share(self, stream: str, what: Any) -> None:
        self._left[stream] = what

    def end(self, stream: str) -> None:
        """Note that a stream will leave nothing more, as it was read or failed."""
        self._ended[stream].set()

    def wait_for(self, stream: str) -> Any:
        """What a stream left after it ended; None where it failed or is not read in this run."""
        if stream in self._ended:
            self._ended[stream].wait()
        return self._left.get(stream)

    def reads(self, stream: str) -> bool:
        return stream in self._ended


@dataclass(frozen=True)
class Opening:
    """What a run knows before any stream is read."""

    client: Client
    settings: Settings
    workspace: Workspace
    shared: Shared


@dataclass(frozen=True)
class Probe:
    """One small request that shows whether a token may read a table; body is None for a GET.

    may_be_absent: whether a 404 shows it as well.
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
    """A permission that a token lacks, and what Intercom leaves out for that without a word."""

    permission: str
    left_out: str


class OlderColumn(NamedTuple):
    """The schema that a column has until an API version, which is the first without it."""

    until: tuple[int, int]
    schema: Mapping[str, Any]


class Stream:
    """One table: what it is called, where it comes from, how it is kept up to date.

    A subclass is data; a method appears only where a table truly differs. permission: the box in
    Developer Hub that lets an app read it (API-B2). cost: the requests that a run spends on it.
    first_version, last_version: the API versions that have it.
    nested: fields that Intercom wraps in an object, and the key of what the table has of it.
    older_columns: columns that only older API versions have, or have with another type. attributes:
    the model whose custom attributes type the field attributes_field. parent: the stream whose
    records this one's come from or are read for. after: the streams that leave
    something to this one. is_snapshot: whether it tells what is so now, once, so that neither a
    period nor a full read applies. instant_field: when Intercom says that a record changed.
    lookback_seconds: the least that a bookmark stays behind the start of its run.
    id_field: what tells a record of a list from the others. has_documented_order: whether Intercom
    says how a list is sorted that is newest first. is_append_only: whether records neither
    leave that list nor change in it. is_selected_by_default: whether a run without a catalog reads
    it. not_sent_again: rows that Intercom once sent and does not send any more, though they are not
    deleted.
    """

    name: ClassVar[str]
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
    parent: ClassVar[str | None] = None
    after: ClassVar[Sequence[str]] = ()
    is_snapshot: ClassVar[bool] = False
    lookback_seconds: ClassVar[int] = 0
    instant_field: ClassVar[str] = "updated_at"
    id_field: ClassVar[str] = "id"
    has_documented_order: ClassVar[bool] = True
    is_append_only: ClassVar[bool] = False
    is_selected_by_default: ClassVar[bool] = False
    not_sent_again: ClassVar[str | None] = None

    @property
    def is_incremental(self) -> bool:
        return self.replication_key is not None

    def is_in(self, settings: Settings) -> bool:
        """Whether the API version of the settings has it."""
        return self.first_version <= settings.version <= self.last_version

    def is_default(self, settings: Settings) -> bool:
        """Whether a run without a catalog reads it, with these settings."""
        return self.is_selected_by_default

    def begin(self, settings: Settings, workspace_id: str | None, shared: Shared) -> None:
        """Make ready before any stream is read. Raises ConfigError where this one cannot be."""

    def covers(self, opening: Opening) -> frozenset[str] | None:
        """The rows that come with some settings, permissions or versions only, and come now.

        None if the table has no such rows. They are in the bookmark, in words, so that a later run
        reads what it covers beyond that from the start. What comes with the table has its parents'
        as well. Raises TapError where Intercom has to be asked and does not answer.
        """
        return None

    def leaves_out(self, settings: Settings) -> str | None:
        """What Intercom may have sent to earlier runs, and does not send to this one."""
        return self.not_sent_again

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Read the stream as planned, in order, and say what is complete on the way."""
        raise NotImplementedError

    def required_permission(self, settings: Settings) -> str:
        """The permission that reading needs with these settings."""
        return self.permission

    def probe(self, settings: Settings) -> Probe:
        """What to ask to learn whether the stream can be read; same paths are asked once."""
        return Probe(self.path)

    def count(self, answer: Answer) -> int | None:
        """How many records Intercom has, where the answer to the probe tells."""
        return total_count(answer.body)

    def missing_permissions(
        self, ask: Callable[[Probe], Answer], settings: Settings
    ) -> Iterator[MissingPermission]:
        """Yield what a token that may read the stream lacks to read all of it."""
        yield from ()

    def parse_response(self, answer: Answer) -> list[Record]:
        """The records of an answer. Raises ContractError where their list is not there."""
        return list_of(answer.body, self.records_key, self.path)

    def instant(self, record: Record) -> int | None:
        """When a record changed, in Unix seconds; None where Intercom does not tell."""
        return instant_of(record.get(self.instant_field))

    def instants(self, records: Sequence[Record]) -> list[int | None]:
        """When each record changed."""
        return [self.instant(record) for record in records]

    def with_children(self) -> Iterator[Stream]:
        """Yield the stream, and all that are read with it."""
        yield self

    def post_process(self, record: Record) -> Record:
        """Bring a record from Intercom's shape to the table's, in place, beyond what is nested."""
        return record


def load_schema(name: str) -> dict[str, Any]:
    """The schema file of a stream."""
    text = (files("tap_intercom") / "schemas" / f"{name}.json").read_bytes()
    schema: dict[str, Any] = orjson.loads(text)
    return schema


def record_hash(values: Sequence[Any]) -> str:
    """A key for a record without one, made of the values that distinguish it from others.

    Raises ImpreciseNumber for a number that was rounded: two records may differ in its last digits.
    """
    return hashlib.sha256(exact_json(values, sort_keys=True)).hexdigest()


def list_of(body: Mapping[str, Any], key: str, path: str) -> list[Record]:
    """The list of records of an answer; an absent or null one cannot be read as "no records"."""
    found = body.get(key)
    if not isinstance(found, list):
        raise ContractError(f"{path}: the answer has no list {key!r}, so records may be missing")
    if not all(kind is dict or issubclass(kind, TypedRecord) for kind in set(map(type, found))):
        raise ContractError(f"{path}: the list {key!r} holds something that is no record")
    return found


def instant_of(value: Any) -> int | None:
    """A time of Intercom's, a number or ISO text (API-G1), in whole Unix seconds."""
    if isinstance(value, str):
        try:
            return int(epoch_seconds(value) // 1)
        except (ValueError, OverflowError):
            return None
    return value if isinstance(value, int) else None


def times_of_change(records: Sequence[Record]) -> list[int | None]:
    """`updated_at` of each record of a page."""
    values = values_of(records, "updated_at")
    if set(map(type, values)) == {int}:
        return values
    return [value if isinstance(value, int) else None for value in values]


def updated_at(record: Mapping[str, Any]) -> int | None:
    """When a record was last changed, in Unix seconds; None where Intercom does not tell."""
    instant = record.get("updated_at")
    return instant if isinstance(instant, int) else None
