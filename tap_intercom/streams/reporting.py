"""The datasets of the reporting export. They differ between workspaces, so discovery finds them.

A dataset has a column for each attribute, including custom ones. Catalogs keep Intercom's names for
the attributes, since a run requests them by those.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, BinaryIO

from tap_intercom.errors import ContractError, ResponseError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.export_jobs import REPORTING, csv_files
from tap_intercom.reading.stream import Probe, Stream
from tap_intercom.reading.stream_run import Batch, Opening, Record, StreamRun
from tap_intercom.records.coerce import described_by
from tap_intercom.settings import Settings
from tap_intercom.streams.exports import (
    RECORD_HASH,
    ROWS_AT_ONCE,
    Occurrences,
    instant,
    windows_of,
)
from tap_intercom.times import DAY_SECONDS, rfc3339
from tap_intercom.windows import Window, spans

LOGGER = logging.getLogger("tap_intercom")

PREFIX = "reporting_"
DATASETS = "/export/reporting_data/get_datasets"
WINDOW_SECONDS = 30 * DAY_SECONDS
WINDOWS_AT_ONCE = 5
# How long workspaces without extended retention keep data (API-I2).
REACH_SECONDS = 730 * DAY_SECONDS
LONGEST_COLUMN_BYTES = 63
HASH_COLUMN: Mapping[str, Any] = {
    "type": "string",
    "description": "Key of the row: a hash of what identifies it.",
}
WITHOUT_REPLY = frozenset({"conversations without a reply"})

# The attribute that identifies a row, by dataset (API-I2).
IDS = {
    "admin_status_change": "teammate_status_id",
    "consolidated_conversation_part": "action_id",
    "conversation": "conversation_id",
    "conversation_rating_sent": "conversation_rating_id",
    "tickets": "ticket_id",
}
# The columns that identify a row of a dataset without such an attribute; their values do not change
# (API-I2).
IDENTITIES = {
    "conversation_sla_status_log": (
        "conversation_id",
        "sla_id",
        "sla_metric_type",
        "sla_started_at",
    ),
    "conversation_state": ("conversation_id", "conversation_state_started_at"),
    "teammate_handling_conversation": ("conversation_id", "handling_teammate_id"),
    "ticket_time_in_state": (
        "ticket_id",
        "conversation_id",
        "ticket_created_at",
    ),
}
# The same for datasets not named here.
STABLE_IDS = ("conversation_id", "ticket_id", "call_id")
# Intercom does not send types; these built-in attributes are times (API-I2).
TIMES = frozenset(
    {
        "action_time",
        "conversation_created_at",
        "conversation_first_closed_at",
        "conversation_first_teammate_reply_at",
        "conversation_rating_updated_at",
        "conversation_started_at",
        "conversation_state_ended_at",
        "conversation_state_started_at",
        "conversation_updated_at",
        "fin_ai_agent_rating_updated_at",
        "last_conversation_rating_updated_at",
        "sla_hit_at",
        "sla_missed_at",
        "sla_started_at",
        "teammate_status_period_ended_at",
        "teammate_status_period_started_at",
        "ticket_created_at",
        "ticket_last_resolved_at",
    }
)
# Built-in attributes that say nothing of a person (API-I2). Custom attributes of customers have any
# name, so all others are personal.
_PUBLIC = re.compile(
    r"(conversation|ticket|action|sla|call|custom_object|conversation_rating|teammate_status"
    r"|last_survey_sent_action|ticket_type|conversation_tag|user_manual_tag|company_manual_tag"
    r"|currently_assigned_(team|teammate)(_raw)?|current_ticket_custom_state"
    r"|(first|last)_closing_teammate|first_replying_teammate|handling_teammate"
    r"|(last_)?rated_(teammate|chatbot)|(reply|call)_participant_teammate"
    r"|action_performed_by_teammate|action_(team|teammate)_assignee|teammate_mentioned"
    r"|sla_triggering_action|sla_attributed_to_teammate|ticket_(created|resolved)_by_teammate"
    r"|company_plan)_ids?"
    r"|channel|language|topics|agent_type|rated_agent_type|action_type|action_by_automation"
    r"|(current_|previous_)?conversation_state|(current_)?ticket_state_category"
    r"|current_ticket_state_category|sla_(state|metric_type)|teammate_status"
    r"|conversation_started_by|conversation_call_types|conversation_has_calls"
    r"|ticket_(created_via|shared_with_customer)|user_role|company_size"
    r"|(last_teammate|last_chatbot|fin_ai_agent|conversation)_rating"
    r"|fin_ai_agent_(participated|deflected|resolution_state|last_sent_answer_type)"
    r"|is_resolved_on_first_contact|(reassignments|teammate_replies)_count|teammate_replies_to_close"
    r"|ticket_time_(in_(custom_)?state|in_state_category|to_resolve)"
    r"|sla_time_to_response_after_miss"
    r"|((conversation|team|teammate)_)?(first_response|subsequent_response|response|handling)_time"
    r"(_in_office_hours)?"
    r"|(time_to_close|time_to_first_close|time_from_first_assignment_to_close)(_in_office_hours)?"
)
# What others of them are, so that hashes join other tables.
_KINDS = {
    "user_id": "identifier",
    "user_pseudonym": "name",
    "user_name": "name",
    "user_email": "contact",
    "company_id": "identifier",
    "company_name": "name",
}
_OF_PERSON = ("people", "company")


def marks_of_columns(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return the marks that a schema file would have for the columns of a dataset.

    attributes: Intercom's name of each column.
    """
    return {"properties": {name: _mark(each) for name, each in attributes.items()}}


def _mark(attribute: str) -> dict[str, str]:
    origin, dot, rest = attribute.partition(".")
    name = rest if dot else attribute
    is_public = name in TIMES or _PUBLIC.fullmatch(name)
    if is_public and origin not in _OF_PERSON:
        return {}
    return {"x-personal": _KINDS.get(name, "text")}


class ReportingDataset(Stream):
    """Source: POST /export/reporting_data/enqueue."""

    summary = "One record per row of a dataset."
    path = REPORTING.enqueue
    permission = "Reporting data export"
    request_cost = "1 job per 30 days: 2 requests, plus 1 per status check"
    first_version = (2, 14)
    key_properties = ()
    not_sent_again = "rows older than two years"

    def covers(self, opening: Opening) -> frozenset[str] | None:
        """Conversations without a reply are included from 2.16 on (API-A3)."""
        if self.name != f"{PREFIX}conversation":
            return None
        return WITHOUT_REPLY if opening.settings.version >= (2, 16) else frozenset()

    def probe(self, settings: Settings) -> Probe:
        return Probe(DATASETS)

    def count(self, answer: Answer) -> int | None:
        """Return None: not known before a job has run."""
        return None

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Read windows of the dataset's own time; rows change later, so the last days repeat."""
        origin = run.origin
        plan = run.plans.get(self.name)
        windows = [Window(origin.start_date, origin.end)]
        if plan is not None:
            lookback = run.settings.export_lookback_days * DAY_SECONDS
            windows = windows_of(plan, origin, lookback)
        windows = self._within_reach(windows, origin.now - REACH_SECONDS)
        refused: set[str] = set()
        first = min((window.start for window in windows), default=origin.now)
        found = spans({self.name: windows}, range(first, origin.now, WINDOW_SECONDS))
        jobs = [partial(self._read, run, span.window, refused) for span in found]
        reads = run.ahead.run(jobs, WINDOWS_AT_ONCE)
        for span, batches in zip(found, reads, strict=True):
            yield from batches
            if plan is not None:
                reached = origin.limit if span.window.end is None else span.window.end
                yield Batch(reached={self.name: reached})

    def _within_reach(self, windows: Sequence[Window], earliest: int) -> list[Window]:
        if any(window.start < earliest for window in windows):
            LOGGER.info(
                "%s: reading from %s, because Intercom keeps reporting data for two years",
                self.name,
                rfc3339(earliest),
            )
        return [
            Window(max(window.start, earliest), window.end)
            for window in windows
            if window.end is None or window.end > earliest
        ]

    def _read(self, run: StreamRun, window: Window, refused: set[str]) -> Iterator[Batch]:
        """Yield the rows of a window. refused: attributes that Intercom no longer has."""
        with tempfile.TemporaryFile(prefix="tap-intercom-") as file:
            columns, answer = self._export(run, window, refused, file)
            if answer is None:
                return
            attributes = run.selections[self.name].attributes
            occurrences = Occurrences()
            for each in csv_files(file):
                rows = each.rows()
                header = next(rows, None)
                if header is None:
                    continue
                if reason := mismatch(header, [attributes[name] for name in columns]):
                    raise ContractError(f"{self.name}: {reason}, so the columns are not known")
                while records := self._records(
                    run, columns, islice(rows, ROWS_AT_ONCE), occurrences
                ):
                    yield self._batch(run, answer, records)

    def _export(
        self, run: StreamRun, window: Window, refused: set[str], file: BinaryIO
    ) -> tuple[list[str], Answer | None]:
        """Export a window to a file, and return the file's columns in order."""
        attributes = run.selections[self.name].attributes
        while True:
            columns = [name for name, attribute in attributes.items() if attribute not in refused]
            asked = [attributes[name] for name in columns]
            period = period_of(window, run.origin.now)
            body = {
                "dataset_id": self.name.removeprefix(PREFIX),
                "attribute_ids": asked,
                "start_time": period.start,
                "end_time": period.end,
            }
            settings = run.settings
            # The documentation requires both, even if the path names the job (API-I2).
            url_params = {"app_id": run.workspace_id, "client_id": settings.client_id}
            try:
                with run.jobs.start(
                    run.client, REPORTING, body, settings.max_retry_seconds, url_params
                ) as job:
                    if not job.has_file(settings.export_wait_seconds):
                        return columns, None
                return columns, job.download(file)
            except ResponseError as error:
                named = invalid_attributes(str(error), asked)
                if error.status != 400 or not named or len(named) == len(asked):
                    raise
                if not named <= refused:
                    LOGGER.warning(
                        "%s: Intercom no longer has these attributes; their columns stay empty: %s",
                        self.name,
                        ", ".join(sorted(named)),
                    )
                refused |= named

    def _records(
        self,
        run: StreamRun,
        columns: Sequence[str],
        rows: Iterator[Sequence[str]],
        occurrences: Occurrences,
    ) -> list[Record]:
        selection = run.selections[self.name]
        properties = selection.schema["properties"]
        is_time = [properties[name].get("format") == "date-time" for name in columns]
        is_hashed = RECORD_HASH in selection.key_properties
        identity = identity_columns(
            self.name, selection.attributes, selection.replication_key
        ) or sorted(columns)
        records: list[Record] = []
        for row in rows:
            # By position: two attributes may have the same name (API-I2).
            record: Record = {
                name: instant(cell) if as_time else cell or None
                for name, cell, as_time in zip(columns, row, is_time, strict=True)
            }
            if is_hashed:
                record[RECORD_HASH] = occurrences.key([record.get(name) for name in identity])
            records.append(record)
        return records

    def _batch(self, run: StreamRun, answer: Answer, records: Sequence[Record]) -> Batch:
        return run.render(self.name, answer, lambda _: records)


def dataset_stream(name: str) -> ReportingDataset:
    """Return the stream of any dataset; its key and columns are in the catalog."""
    kind: type[ReportingDataset] = type("Dataset", (ReportingDataset,), {"name": name})
    return kind()


def is_dataset(name: str) -> bool:
    return name.startswith(PREFIX)


def identity_columns(
    stream: str, attributes: Mapping[str, str], replication_key: str | None
) -> list[str]:
    """Return the identifying columns that a dataset has.

    Their values do not change, and rows that are equal in them are numbered. The dataset's time is
    one of them, so equal rows come in the same job.

    attributes: Intercom's name of each column.
    """
    dataset = stream.removeprefix(PREFIX)
    by_id: dict[str, str] = {}
    for column, qualified in attributes.items():
        by_id.setdefault(qualified.partition(".")[2] or qualified, column)
    found = [by_id[each] for each in IDENTITIES.get(dataset, STABLE_IDS) if each in by_id]
    if replication_key is not None:
        found.append(replication_key)
    return list(dict.fromkeys(found))


def period_of(window: Window, now: int) -> Window:
    """Return the period to request for a window, as Intercom may leave out either bound."""
    start = max(window.start - 1, now - REACH_SECONDS)
    return Window(start, now if window.end is None else min(window.end + 1, now))


def mismatch(header: Sequence[str], asked: Sequence[str]) -> str | None:
    """Return the fault of a header, or None if its columns may be the requested attributes.

    Columns are read by position, since two attributes may have the same name (API-I2). A header may
    have ids or displayed names, and a name may equal an id by chance. So a cell is wrong only if it
    is the id of another attribute that is not in its place either.
    """
    if len(header) != len(asked):
        return f"the export has {len(header)} columns, but {len(asked)} were requested"
    ids = [{each, each.partition(".")[2] or each} for each in asked]
    misplaced = [at for at, cell in enumerate(header) if cell.strip() not in ids[at]]
    for at in misplaced:
        if any(header[at].strip() in ids[other] for other in misplaced):
            return f"the export has the column {header[at]!r} instead of {asked[at]!r}"
    return None


class DatasetSchema:
    """A dataset's stream, schema, keys and column attributes, as discovery needs them.

    identity: the columns that make up the key, if no single column is one.

    Raises ContractError for a dataset with an invalid description.
    """

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        identifier = dataset.get("id")
        attributes = dataset.get("attributes")
        if not isinstance(identifier, str) or not re.fullmatch("[a-z0-9_]+", identifier):
            raise ContractError(f"the id of dataset {identifier!r} cannot name a stream")
        if not isinstance(attributes, list) or not attributes:
            raise ContractError(f"dataset {identifier} has no attributes")
        identities = {
            str(each.get("qualified_id") or each["id"]): str(each["id"])
            for each in attributes
            if isinstance(each, dict) and each.get("id")
        }
        default = dataset.get("default_time_attribute_id")
        names = column_names(list(identities))
        self.name = PREFIX + identifier
        self.attributes = {names[qualified]: qualified for qualified in identities}
        by_id: dict[str, str] = {}
        for qualified, plain in identities.items():
            by_id.setdefault(plain, names[qualified])
            by_id.setdefault(qualified, names[qualified])
        self.replication_key = by_id.get(str(default))
        key = by_id.get(IDS.get(identifier, ""))
        self.key_properties = [RECORD_HASH if key is None else key]
        self.identity = (
            identity_columns(self.name, self.attributes, self.replication_key)
            if key is None
            else []
        )
        times = {names[qualified] for qualified, plain in identities.items() if plain in TIMES}
        times |= {self.replication_key} if self.replication_key else set()
        descriptions = {
            str(each.get("qualified_id") or each["id"]): described_by(each.get("name"))
            for each in attributes
            if isinstance(each, dict) and each.get("id")
        }
        properties: dict[str, Any] = {self.key_properties[0]: HASH_COLUMN}
        for name, qualified in self.attributes.items():
            form = {"format": "date-time"} if name in times else {}
            types = "string" if name == key else ["null", "string"]
            properties[name] = {"type": types, **form, **descriptions[qualified]}
        self.schema = {"type": "object", "properties": properties}


def column_names(qualified_ids: Sequence[str]) -> dict[str, str]:
    """Return a name for each attribute that every database accepts.

    If a name is too long or not unique, it ends in a hash of Intercom's name, so each discovery
    returns the same name.
    """
    plain = {
        each: re.sub("[^a-z0-9]+", "_", each.lower()).strip("_") or "attribute"
        for each in qualified_ids
    }
    counts = Counter(plain.values())

    def name(qualified: str) -> str:
        found = plain[qualified]
        if counts[found] == 1 and len(found) <= LONGEST_COLUMN_BYTES and not found[0].isdigit():
            return found
        digest = hashlib.sha256(qualified.encode()).hexdigest()[:8]
        return f"a_{found}"[: LONGEST_COLUMN_BYTES - len(digest) - 1] + f"_{digest}"

    return {each: name(each) for each in qualified_ids}


def invalid_attributes(message: str, asked: Sequence[str]) -> set[str]:
    """Return the attributes in a refusal, named in full or by their last part."""
    _, _, names = message.partition(" dataset: ")
    named = {name.strip(" .)'\"") for name in names.split(",")}
    return {each for each in asked if each in named or each.rpartition(".")[2] in named}


# Datasets become streams as a workspace has them: see dataset_stream.
STREAMS: tuple[Stream, ...] = ()
