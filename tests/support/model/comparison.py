"""What a target must hold: Intercom's rows by key, as far as guarantees.md promises them."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from table_runs import expected_rows
from truth import differences, instant_text

from intercom_sandbox import Workspace
from intercom_sandbox.export_groups import CONTENT_PREFIX, is_time
from model.edits import DAYS_OF_LATE_ROWS
from model.faults import MISSING_NESTED_LIST, NESTED_LISTS, NULL_NESTED_LIST
from model.files import unsigned
from model.history import NEWEST_VERSION, History, Run
from model.subjects import USERS_ONLY
from model.target import Key, Record, Target
from model.workspaces import DATASETS
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.streams import STREAMS
from tap_intercom.times import epoch_seconds

RECORD_HASH = "_sdc_record_hash"
HASH_KEY = "key"
REPORTING_PREFIX = "reporting_"
OWNERS = ("contact", "company", "conversation", "ticket", "article")
# A change of these does not move the time of the record that a run looks at.
NOT_PROMISED: Mapping[str, frozenset[str]] = {
    "contact_segment": frozenset({"segment_name"}),
    "tickets": frozenset({"ticket_parts"}),  # a table of their own in the truth
}
# A row of an export has these from the tap; the truth does not.
ADDED = (RECORD_HASH, "sent_from", "sent_until")


def is_export(stream: str) -> bool:
    return stream.startswith((CONTENT_PREFIX, REPORTING_PREFIX))


def is_full_table(stream: str) -> bool:
    return not is_export(stream) and not STREAMS[stream].is_incremental


def promised_rows(
    workspace: Workspace, stream: str, run: Run, since: int, personal_data: str
) -> dict[Key, Record]:
    """The rows that a run with these settings reads, by key, that changed at `since` or later.

    personal_data: the mode of the run.
    """
    covered = _Coverage(workspace, stream, run)
    return dict(
        _written(stream, key, row, personal_data)
        for key, row in expected_rows(workspace, stream).items()
        if is_full_table(stream) or _is_since(stream, row, since)
        if covered.holds(row)
    )


def _written(stream: str, key: Key, row: Record, personal_data: str) -> tuple[Key, Record]:
    """A row as runs write it: a hash of a record could be guessed, so the secret goes into it."""
    if personal_data != "hash" or STREAMS[stream].key_properties != (RECORD_HASH,):
        return key, row
    (text,) = key
    secret = hmac.new(HASH_KEY.encode(), text.encode(), "sha256").hexdigest()
    return (secret,), {**row, RECORD_HASH: secret}


def lost(
    target: Target,
    workspace: Workspace,
    history: History,
    run: Run,
    since: int,
    schemas: Mapping[str, Any],
    reported: Collection[str],
) -> Iterator[str]:
    """What is missing or wrong in a target after the last run of a history.

    reported: streams that a run warned of, as entries of nested lists did not come. Where a fault
    took these away, nothing is lost silently.
    """
    may_miss = reported if _has_spoilt_lists(history) else ()
    for stream in run.streams:
        if stream in ("deletions", "attachments"):
            continue  # the player knows what was there at each detection, the shelf all files
        if is_export(stream):
            yield from _lost_of_an_export(target, workspace, stream, since, history)
            continue
        arrived = target.rows(stream)
        promised = promised_rows(workspace, stream, run, since, history.personal_data)
        if is_full_table(stream):
            for key in arrived.keys() - promised.keys():
                yield f"{stream} {key} is no more, and was not taken away"
        for key, row in promised.items():
            if key not in arrived:
                if stream not in may_miss:
                    yield f"{stream} {key} is missing: {row}"
            elif not _has_old_shapes(history):
                left_out = _left_out(stream, history)
                found = unsigned(arrived[key])
                if history.personal_data != "keep":
                    marks = annotated_schema(stream)
                    for place, value in _personal(found, marks):
                        if not _is_private(value, history.personal_data):
                            yield f"{stream} {key}: {place} is {value!r}"
                    row, found = _public(row, marks), _public(found, marks)
                yield from (
                    f"{stream} {key}: {difference}"
                    for difference in differences(
                        _without(row, left_out), _without(found, left_out), schemas[stream]
                    )
                )


def _public(value: Any, marks: Mapping[str, Any]) -> Any:
    """A value without what the schema file marks as personal."""
    fields = marks.get("properties", {})
    if isinstance(value, Mapping):
        return {
            name: _public(inner, fields.get(name, {}))
            for name, inner in value.items()
            if "x-personal" not in fields.get(name, {})
        }
    if isinstance(value, list):
        return [_public(inner, marks.get("items", {})) for inner in value]
    return value


def _personal(value: Any, marks: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """The values of marked fields, by their place."""
    if "x-personal" in marks:
        yield place, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _personal(
                inner, marks.get("properties", {}).get(name, {}), f"{place}.{name}"
            )
    elif isinstance(value, list):
        for inner in value:
            yield from _personal(inner, marks.get("items", {}), place)


def _is_private(value: Any, mode: str) -> bool:
    if mode == "hash" and isinstance(value, str):
        return re.fullmatch("[0-9a-f]{64}", value) is not None
    return value is None


def _lost_of_an_export(
    target: Target, workspace: Workspace, stream: str, since: int, history: History
) -> Iterator[str]:
    """Rows of exports have no key that the truth knows: each has to be there as it is.

    A row that changed must have replaced what it was, where the last run read all that changed.
    """
    arrived = {_identity(row) for row in target.rows(stream).values()}
    rows = [(_identity(row), instant) for row, instant in _rows_of_an_export(workspace, stream)]
    for row, instant in rows:
        if instant >= since and row not in arrived:
            yield f"{stream} {sorted(row)} is missing"
    if history.last.start_days > DAYS_OF_LATE_ROWS:
        for row in arrived - {row for row, _ in rows}:
            yield f"{stream} {sorted(row)} is what a row was before it changed"


def _rows_of_an_export(workspace: Workspace, stream: str) -> Iterator[tuple[Record, int]]:
    """The rows in the form of the table, each with the time that an export selects it by."""
    if stream.startswith(CONTENT_PREFIX):
        for row in workspace.truth(stream):
            sent_at = row.pop("sent_at")
            yield {name: _cell(value, is_time(name)) for name, value in row.items()}, sent_at
        return
    _, attributes = DATASETS[stream.removeprefix(REPORTING_PREFIX)]
    (time,) = [each for each in attributes if each.startswith("timestamp.")]
    for row in workspace.truth(stream):
        yield (
            {
                name.replace(".", "_"): _cell(value, is_instant=name == time)
                for name, value in row.items()
            },
            row[time],
        )


def _cell(value: Any, is_instant: bool) -> str | None:
    if value is None:
        return None
    return instant_text(value) if is_instant else str(value)


def _identity(row: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (name, str(value)) for name, value in row.items() if value is not None and name not in ADDED
    )


def _is_since(stream: str, row: Record, since: int) -> bool:
    """Whether the record that a run looks at, the row or what it belongs to, changed so late."""
    columns = [f"{owner}_updated_at" for owner in OWNERS if f"{owner}_updated_at" in row]
    replication_key = STREAMS[stream].replication_key
    assert replication_key is not None
    instant = row.get((columns or [replication_key])[0])
    if isinstance(instant, str):
        instant = epoch_seconds(instant)
    return instant is None or instant >= since


class _Coverage:
    """What of a table the settings of a run cover."""

    def __init__(self, workspace: Workspace, stream: str, run: Run) -> None:
        settings = run.settings
        self._stream = stream
        self._types = settings.get("custom_object_types")
        # Rows of contacts or companies that are left out, by the column with the id of those.
        self._left_out: dict[str, set[str]] = {}
        reader = _reader(stream)
        if reader == "contacts" and "search_filters" in settings:
            assert settings["search_filters"] == USERS_ONLY["search_filters"]
            self._leave_out(
                "contact", workspace.truth("contacts"), lambda row: row["role"] == "user"
            )
        if reader == "companies" and settings.get("companies_source") == "list":
            self._leave_out("company", workspace.truth("companies"), lambda row: row["user_count"])

    def _leave_out(self, kind: str, records: list[Record], is_covered: Any) -> None:
        column = "id" if STREAMS[self._stream].parent is None else f"{kind}_id"
        self._left_out[column] = {each["id"] for each in records if not is_covered(each)}

    def holds(self, row: Record) -> bool:
        if self._stream == "custom_object_instances" and self._types is not None:
            return row["type"] in self._types
        return not any(row.get(column) in ids for column, ids in self._left_out.items())


def _reader(stream: str) -> str:
    parent = STREAMS[stream].parent
    return stream if parent is None else _reader(parent)


def _has_old_shapes(history: History) -> bool:
    """Whether rows came in the shape of an older API version, and stay until they change."""
    return any(run.version != NEWEST_VERSION for run in history.runs)


def _has_spoilt_lists(history: History) -> bool:
    return history.has_fault(NULL_NESTED_LIST, MISSING_NESTED_LIST)


def _left_out(stream: str, history: History) -> frozenset[str]:
    """Columns that are not compared.

    A null list in a record is null in its column too; only rows made of it have to come.
    """
    spoilt = NESTED_LISTS if _has_spoilt_lists(history) else frozenset()
    # Signed addresses are in JSON text there. The shelf looks at the files themselves.
    has_files = stream == "tickets" and "tickets with files" in history.ages
    signed = frozenset({"ticket_attributes", "other_attributes"} if has_files else ())
    return NOT_PROMISED.get(stream, frozenset()) | spoilt | signed


def _without(row: Record, columns: frozenset[str]) -> Record:
    return {name: value for name, value in row.items() if name not in columns}
