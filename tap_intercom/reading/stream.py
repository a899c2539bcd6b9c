"""What all streams share: the description of a table, and how it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from tap_intercom.errors import ContractError, ResponseError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.intercom.pages import total_count
from tap_intercom.reading.nested import NestedList
from tap_intercom.reading.schema_notes import annotated_schema, without_notes
from tap_intercom.reading.stream_run import Batch, Opening, Record, Shared, StreamRun
from tap_intercom.records.parsing import exact_json
from tap_intercom.records.typed_records import TypedRecord, values_of
from tap_intercom.settings import Settings
from tap_intercom.times import epoch_seconds
from tap_intercom.versions import FIRST, PREVIEW, Version


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

    until: Version
    schema: Mapping[str, Any]


class Stream:
    """One table: its name, its endpoint, and how it is kept up to date.

    A subclass is data; it has a method only if its table truly differs.

    nested: fields that Intercom wraps in an object, and the key inside that the table keeps.
    lists: the nested lists that columns and embedded streams are made of. Those of a file stream
        or of an embedded one are lists of its parent.
    embedded: streams whose rows are inside the records of this one.
    children: the `ChildStream`s that cost a request for each record of this one.
    files: the `FileStream`s whose files are in the records of this one.
    permission: the box in Developer Hub that lets an app read the table (API-B2).
    request_cost: the requests that a run spends on it.
    first_version, last_version: the API versions that have it.
    older_columns: columns that only older API versions have, or have with another type.
    attributes: the model whose custom attributes define the types inside `attributes_field`.
    nested_attributes: the models of copies of custom attributes inside objects, by their path.
    html_fields: the paths of texts that Intercom sends as HTML only, see `compile_record`.
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
    oldest_first: whether Intercom documents that a list begins with the oldest record.
    is_selected_by_default: whether a run without a catalog reads it.
    rows_of: the table that its rows belong to, if that is not its own.
    advice: what to know before selecting it, for the documentation.
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
    first_version: ClassVar[Version] = FIRST
    last_version: ClassVar[Version] = PREVIEW
    nested: ClassVar[Mapping[str, str]] = {}
    lists: ClassVar[Sequence[NestedList]] = ()
    embedded: ClassVar[Sequence[EmbeddedStream]] = ()
    children: ClassVar[Sequence[Stream]] = ()
    files: ClassVar[Sequence[Stream]] = ()
    older_columns: ClassVar[Mapping[str, OlderColumn]] = {}
    attributes: ClassVar[str | None] = None
    attributes_field: ClassVar[str] = "custom_attributes"
    nested_attributes: ClassVar[Mapping[str, str]] = {}
    html_fields: ClassVar[Sequence[str]] = ()
    parent: str | None = None
    after: ClassVar[Sequence[str]] = ()
    is_snapshot: ClassVar[bool] = False
    lookback_seconds: ClassVar[int] = 0
    lookback_reason: ClassVar[str] = ""
    instant_field: ClassVar[str] = "updated_at"
    id_field: ClassVar[str] = "id"
    has_documented_order: ClassVar[bool] = True
    is_append_only: ClassVar[bool] = False
    oldest_first: ClassVar[bool] = False
    is_selected_by_default: ClassVar[bool] = False
    rows_of: ClassVar[str] = ""
    advice: ClassVar[str | None] = None
    not_sent_again: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for stream in cls.dependents():
            stream.parent = cls.name

    @property
    def attribute_models(self) -> Mapping[str, str]:
        """The models whose attributes define the types inside objects, by path."""
        own = {self.attributes_field: self.attributes} if self.attributes else {}
        return {**own, **self.nested_attributes}

    @property
    def is_incremental(self) -> bool:
        return self.replication_key is not None

    @classmethod
    def dependents(cls) -> Sequence[Stream]:
        """The streams whose records come from this one's or are read for them."""
        return *cls.embedded, *cls.children, *cls.files

    @property
    def is_part_of_table(self) -> bool:
        """Whether it writes rows of a table of another name."""
        return self.rows_of not in ("", self.name)

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

    def counts_addresses(self, names: Collection[str]) -> bool:
        """Whether the files in its records count as the ones that a run of these streams reads."""
        return False

    def is_among(self, names: Collection[str]) -> bool:
        """Whether this table, or one that comes with it, is among these streams."""
        return any(stream.name in names for stream in self.with_children())

    def has_children(self, names: Collection[str]) -> bool:
        """Whether any of these streams costs a request for each record of this one."""
        return any(child.is_among(names) for child in self.children)

    def with_children(self) -> Iterator[Stream]:
        """Yield the stream and all streams that are read with it."""
        yield self
        for stream in self.dependents():
            yield from stream.with_children()

    def post_process(self, record: Record) -> Record:
        """Change a record in place from Intercom's shape to the table's, beyond nested fields."""
        return record


class EmbeddedStream(Stream):
    """A table whose rows are inside the records of its parent, so it costs no request.

    from_parent: the fields of the parent that each row repeats, by column.
    nested_list: the list in the parent's record that holds the rows.
    select: the fields of a row to take, by column; all of them if empty.
    position_field: the column with the place of a row in the list, from 0, for rows without an id.
    """

    path = ""
    request_cost = "0, read with its parent"
    from_parent: ClassVar[Mapping[str, str]]
    nested_list: ClassVar[NestedList]
    select: ClassVar[Mapping[str, str]] = {}
    position_field: ClassVar[str | None] = None

    def is_made_of(self, nested: NestedList) -> bool:
        """Whether its rows are in a list of the parent's record, or inside the entries of it."""
        return nested is self.nested_list or nested in self.lists

    def child_records(self, parent: Record) -> list[Record]:
        """Return the rows inside a parent's record, with the fields that they repeat from it."""
        repeated = {column: parent.get(name) for column, name in self.from_parent.items()}
        entries = self.nested_list.rows(parent)
        rows = [columns_of(entry, self.select) | repeated for entry in entries]
        if self.position_field is not None:
            for position, row in enumerate(rows):
                row[self.position_field] = position
        return rows

    def count(self, answer: Answer) -> int | None:
        """Return None: the probe belongs to the parent."""
        return None


def load_schema(name: str) -> dict[str, Any]:
    """Return the schema of a stream in the words of JSON Schema alone, as catalogs have it."""
    return without_notes(annotated_schema(name))


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
    """Convert an Intercom time to whole Unix seconds.

    It is a number or ISO text (API-G1), or a time that the parser of typed records read.
    """
    if isinstance(value, datetime):
        return int(value.timestamp() // 1)
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


def columns_of(entry: Record, columns: Mapping[str, str]) -> Record:
    """Return the fields of an entry by column name, or all fields if there are no columns."""
    if not columns:
        return dict(entry)
    return {column: entry.get(name) for column, name in columns.items()}
