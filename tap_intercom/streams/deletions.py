"""Which contacts, companies and conversations no longer exist, since Intercom does not say.

All current ids are compared with those of the last detection and of the records written in this
run. Lists change while they are read, so each missing id is requested separately.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tap_intercom.errors import AuthError, ConfigError, ContractError, ResponseError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import ByCursor, read_pages
from tap_intercom.known_ids import Detection, KnownIds, read_known_ids
from tap_intercom.messages import record_line, record_prefix
from tap_intercom.reading.children import joined
from tap_intercom.reading.passes import read_until_whole
from tap_intercom.reading.search import SearchStream
from tap_intercom.reading.stream import Stream, list_of
from tap_intercom.reading.stream_run import Batch, Record, Shared, StreamRun
from tap_intercom.settings import Settings
from tap_intercom.streams.companies import COMPANIES, CompanyLeftovers, read_companies
from tap_intercom.streams.contacts import USERS_AND_COMPANIES, Contacts
from tap_intercom.streams.conversations import Conversations, DeletedConversations
from tap_intercom.times import rfc3339
from tap_intercom.windows import Window

LOGGER = logging.getLogger("tap_intercom")

DELETED_AT = "_sdc_deleted_at"
LIST_PAGE_SIZE = 150
MAX_WITHOUT_CONTROL = 20
CONTROLS = 3
DETECTED = {"companies": "data", "contacts": "data", "conversations": "conversations"}
"""The streams to detect deletes for, and the keys of their lists."""
SEARCHES: Mapping[str, SearchStream] = {
    stream.name: stream for stream in (Contacts(), Conversations())
}
CANONICAL = re.compile(r'</contacts/([^/>]+)>;\s*rel="?canonical')


@dataclass(frozen=True)
class DetectedDeletions:
    """The result of a detection for one stream: rows for deleted records, and ids to keep."""

    rows: Sequence[Record]
    ids: set[str]


class Deletions(Stream):
    """Reads only streams that the catalog selects.

    Source: GET /contacts, GET /companies/scroll and GET /conversations/deleted (GET /conversations
    before 2.16); GET by id for each missing record.
    """

    summary = "One record per deleted, archived or merged contact, company or conversation."
    name = "deletions"
    path = "/contacts"
    key_properties = ("stream", "id")
    replication_key = "seen_at"
    permission = USERS_AND_COMPANIES
    request_cost = (
        "1 per 150 contacts and per 60 deleted conversations, 0 for companies that are read "
        "anyway; 1 or 2 per missing record"
    )
    after = tuple(DETECTED)
    is_snapshot = True

    def is_default(self, settings: Settings) -> bool:
        return settings.detect_deletes != "off"

    def count(self, answer: Answer) -> int | None:
        """Return None: the probe counts contacts."""
        return None

    def begin(self, settings: Settings, workspace_id: str | None, shared: Shared) -> None:
        """Check the file, and start collecting the ids that the run writes."""
        if settings.detect_deletes == "off":
            LOGGER.warning("%s: detect_deletes is off, so nothing is detected", self.name)
            return
        _known_ids(settings, workspace_id)
        for name in DETECTED:
            if name in shared.selections:
                shared.written[shared.selections[name].name] = set()

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        if run.settings.detect_deletes == "off":
            return
        known = _known_ids(run.settings, run.origin.workspace)
        base = self._base(run, known)
        now = run.origin.now
        ids = dict(base.ids) if base else {}
        self._announce_first(run, ids)
        until = base.conversations_until if base else None
        if until is not None:
            until = run.origin.trusted(until) or 0
        for name in DETECTED:
            if name not in run.shared.selections:
                continue
            try:
                if name == "conversations" and _lists_deleted(run):
                    found = _deleted_conversations(run, ids, until)
                    ids.pop(name, None)
                    ids[DeletedConversations.name] = found.ids
                else:
                    found = _missing(run, name, ids.get(name))
                    ids[name] = found.ids
            except AuthError as error:
                error.stream = name
                raise
            # The list of 2.16 leaves no ids to compare with. A deletion before an older version has
            # kept ids is in no comparison, so the next list begins where the last one ended.
            is_after_list = {name, DeletedConversations.name} <= ids.keys()
            if name == "conversations" and not is_after_list:
                until = now
            yield joined([self._written(run, found.rows), _marks(run, name, found.rows)])
        # Before the STATE that names it, see known_ids.py.
        known.keep(base, Detection(now, ids, until))
        yield Batch(reached={self.name: now})

    def _announce_first(self, run: StreamRun, ids: Mapping[str, Any]) -> None:
        """Say for which streams this is the first detection: an empty table is no fault then."""
        known = {*ids, *(["conversations"] if DeletedConversations.name in ids else [])}
        first = [name for name in DETECTED if name in run.shared.selections and name not in known]
        if first:
            LOGGER.info(
                "%s: first detection for %s: there are no ids of an earlier run to compare with, "
                "so deletes are found from the next run on",
                self.name,
                ", ".join(first),
            )

    def _base(self, run: StreamRun, known: KnownIds) -> Detection | None:
        bookmark = run.plans[self.name].floor
        base = known.base(bookmark)
        if bookmark is not None and known.is_older_than(bookmark):
            # Ids of an older file are still compared: rows may repeat but are never lost.
            fault = "does not exist" if base is None else "is older than the state"
            LOGGER.warning("%s: %s %s, so detection starts again", self.name, known.path, fault)
            run.shortfalls.add(self.name, "known ids are lost", str(known.path))
        return base

    def _written(self, run: StreamRun, rows: Sequence[Record]) -> Batch:
        answer = Answer(b"", {}, rfc3339(int(run.client.now())) or "")
        return run.render(self.name, answer, lambda _: rows)


def _marks(run: StreamRun, name: str, rows: Sequence[Record]) -> Batch:
    """Return lines that mark the records as deleted, with only their keys and DELETED_AT.

    After a full read there are none: ACTIVATE_VERSION has removed the records.
    """
    selection = run.shared.selections[name]
    is_wanted = run.settings.detect_deletes == "column" and selection.has(DELETED_AT)
    if not (rows and is_wanted and selection.version is None):
        return Batch()
    prefix = record_prefix(selection.name, rfc3339(int(run.client.now())) or "", None)
    deleted_at = rfc3339(run.origin.now)
    lines = []
    for row in rows:
        record = {"id": row["id"], DELETED_AT: deleted_at}
        if run.settings.add_workspace_id:
            record["_sdc_workspace_id"] = run.workspace_id
        lines.append(record_line(prefix, record))
    return Batch(b"".join(lines), {selection.name: len(lines)})


def _known_ids(settings: Settings, workspace_id: str | None) -> KnownIds:
    if not settings.known_ids_file:
        raise ConfigError(
            "config: known_ids_file: missing, but detect_deletes needs it; with --state FILE it "
            "defaults to FILE.ids"
        )
    return read_known_ids(Path(settings.known_ids_file), workspace_id)


def _row(run: StreamRun, name: str, record_id: str, kind: str, into: str | None = None) -> Record:
    return {
        "stream": name,
        "id": record_id,
        "kind": kind,
        "merged_into": into,
        "seen_at": run.origin.now,
    }


# -- By comparing lists --------------------------------------------------------------------------


def _missing(run: StreamRun, name: str, known: Collection[str] | None) -> DetectedDeletions:
    """Find records that were known or written in this run, are not listed and no longer exist.

    Records outside search_filters are in no table. With filters, only written records become known,
    plus those that the first search finds.
    """
    shared = run.shared
    left = shared.wait_for(name)
    listed = left.ids if isinstance(left, CompanyLeftovers) else _listed(run, name)
    is_filtered = name in run.settings.search_filters
    if known is None:
        known = _found(run, SEARCHES[name]) if is_filtered else ()
    mine = {*known, *shared.written[shared.selections[name].name]}
    missing = sorted(mine - listed)
    if missing:
        _check_that_a_record_is_found(run, name, listed, len(missing))
    found = list(run.ahead.map(partial(_gone, run, name), missing))
    rows = [row for row in found if row is not None]
    return DetectedDeletions(
        rows, (mine if is_filtered else mine | listed) - {row["id"] for row in rows}
    )


def _found(run: StreamRun, stream: SearchStream) -> set[str]:
    """Return the ids of all records that the search finds with its filter."""
    body = stream.query(run, Window(0, None))
    size = min(run.settings.page_size or LIST_PAGE_SIZE, LIST_PAGE_SIZE)

    def send(path: str, params: Mapping[str, Any]) -> Answer:
        return run.client.post(path, {**body, "pagination": dict(params)})

    answers = read_pages(send, stream.path, ByCursor(size))
    return {str(each.get("id")) for answer in answers for each in stream.parse_response(answer)}


def _listed(run: StreamRun, name: str) -> set[str]:
    """Return the ids of all records.

    Source: GET /contacts, GET /conversations (API-D2), or the scroll.
    """
    path = f"/{name}"
    size = min(run.settings.page_size or LIST_PAGE_SIZE, LIST_PAGE_SIZE)
    answers = (
        read_companies(run)
        if name == COMPANIES.name
        else read_pages(run.client.get, path, ByCursor(size))
    )
    return {
        str(each.get("id"))
        for answer in answers
        for each in list_of(answer.body, DETECTED[name], path)
    }


def _gone(run: StreamRun, name: str, record_id: str) -> Record | None:
    """Return the row for a record that is not listed, or None if it still exists.

    An archived contact is still found by its id, but by no search (API-H).
    """
    try:
        _ask(run, name, record_id)
    except ResponseError as error:
        if not error.is_gone:
            raise
        if error.status == 404:
            return _row(run, name, record_id, "deleted")
        canonical = CANONICAL.search(error.link)
        return _row(run, name, record_id, "merged", canonical and canonical[1])
    if name == Contacts.name:
        query = {"field": "id", "operator": "=", "value": record_id}
        answer = run.client.post(Contacts.path, {"query": query})
        if not list_of(answer.body, Contacts.records_key, Contacts.path):
            return _row(run, name, record_id, "archived")
    return None


def _ask(run: StreamRun, name: str, record_id: str) -> None:
    run.client.get(f"/{name}/{quote(record_id, safe='')}")


def _check_that_a_record_is_found(
    run: StreamRun, name: str, listed: set[str], missing: int
) -> None:
    """Raise ContractError if a 404 proves nothing, since even listed records return one."""
    for record_id in islice(listed, CONTROLS):
        try:
            _ask(run, name, record_id)
            return
        except ResponseError as error:
            if not error.is_gone:
                raise
    if listed or missing > MAX_WITHOUT_CONTROL:
        found = "no listed record is found by its id" if listed else "the list is empty"
        raise ContractError(
            f"{name}: {missing} records are missing, and {found}; check base_url and the "
            "permissions of the token. If all were deleted, remove the known_ids_file."
        )


# -- By Intercom's own list ----------------------------------------------------------------------


def _lists_deleted(run: StreamRun) -> bool:
    """Whether Intercom lists deleted conversations, and any of them may have been written."""
    is_filtered = "conversations" in run.settings.search_filters
    return run.settings.version >= (2, 16) and not is_filtered


def _deleted_conversations(
    run: StreamRun, known: dict[str, Any], until: int | None
) -> DetectedDeletions:
    """Find conversations deleted since `until`, in the list that 2.16 has of them.

    The list may lag, so it is read from a lookback before, and the ids in that time are kept.
    """
    stream = DeletedConversations()
    now = run.origin.now
    lookback = run.settings.lookback(stream.name)
    since = (now if until is None else until) - lookback
    before = set(known.get(stream.name, ()))
    deleted: dict[str, int] = {}
    for answer, _ in read_until_whole(
        run, stream, run.client.get, stream.path, stream.paging, stream.params, since
    ):
        for each in stream.parse_response(answer):
            deleted[str(each.get("id"))] = stream.instant(each) or now
    # A first detection reports deletions during the run: it may have written those records.
    first = now if until is None else since
    return DetectedDeletions(
        [
            _row(run, "conversations", record_id, "deleted")
            for record_id, deleted_at in deleted.items()
            if deleted_at >= first and record_id not in before
        ],
        {record_id for record_id, deleted_at in deleted.items() if deleted_at >= now - lookback},
    )


STREAMS = (Deletions(),)
