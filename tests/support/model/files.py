"""Files that a workspace shows, and what must be true of those that runs have stored.

An address in a record says which file it is, so what a run stored can be compared with what the
workspace holds, whatever was edited, failed or killed in between.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from conftest import Output

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.files import PLACE
from model.faults import DEADLY, MISSING_NESTED_LIST, NULL_NESTED_LIST, OF_FILES
from model.history import Run
from tap_intercom.times import epoch_seconds

STREAM = "attachments"
MAX_BYTES = 1_000_000_000
OWN_FOLDER = ".tap-intercom"
FILE_PATH = re.compile(r"/files/(i/\d+)/")
STATUSES = ("stored", "gone", "too_large", "refused")
# The tables with whose records files are read, by the name of their bookmark.
GROUPS: Mapping[str, frozenset[str]] = {
    STREAM: frozenset({STREAM}),
    "attachments_of_tickets": frozenset(
        {"tickets", "ticket_parts", "ticket_contact", "ticket_link"}
    ),
    "attachments_of_side_conversations": frozenset(
        {"side_conversations", "side_conversation_parts"}
    ),
    "attachments_of_calls": frozenset({"calls"}),
}
SPOILT_LISTS = {NULL_NESTED_LIST, MISSING_NESTED_LIST}
TABLE_OF = dict.fromkeys(GROUPS, STREAM)
_IMAGE = re.compile(r'<img src="([^"]+)"')
MISSED_ENTRIES = re.compile(r"^WARNING \w+: [\d,]+ entries of ", re.MULTILINE)
_SIGNED = re.compile(r"http://127\.0\.0\.1:\d+/files/([^\s\"'<>\\?]+)\?[^\s\"'<>\\]*")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """A file at its place in a record.

    address: as the workspace keeps it; None for a recording that is not there.
    instant: when the record that runs look at changed.
    """

    group: str
    parent_stream: str
    parent_id: str
    kind: str
    position: int
    address: str | None
    place: str = ""
    instant: int = 0

    @property
    def id(self) -> str:
        place = [self.parent_stream, self.parent_id, self.kind, self.place, self.position]
        text = json.dumps(place, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def held_files(workspace: Workspace) -> Iterator[Held]:
    """All files that records show."""
    for conversation in workspace.truth("conversations"):
        key, instant = conversation["id"], conversation["updated_at"]
        source = conversation["source"] or {}
        yield from _of(STREAM, "conversations", key, source, instant)
        for text in workspace.parts[key]:
            part = json.loads(text)
            yield from _of(STREAM, "conversation_parts", part["id"], part, instant)
        for side in workspace.side_conversations.get(key, ()):
            for part in side["conversation_parts"]:
                group = "attachments_of_side_conversations"
                yield from _of(group, "side_conversation_parts", part["id"], part, instant)
    for ticket in workspace.tickets.records():
        group, key, instant = "attachments_of_tickets", ticket["id"], ticket["updated_at"]
        for name, value in ticket["ticket_attributes"].items():
            if isinstance(value, list):
                for each in _of(group, "tickets", key, {"attachments": value}, instant):
                    yield replace(each, place=name)
        body = ticket["ticket_attributes"].get("_default_description_")
        yield from _of(group, "tickets", key, {"body": body}, instant)
        for text in workspace.ticket_parts[key]:
            part = json.loads(text)
            yield from _of(group, "ticket_parts", part["id"], part, instant)
    for call in workspace.truth("calls"):
        address = workspace.recordings.get(f"/calls/{call['id']}/recording")
        place = ("attachments_of_calls", "calls", call["id"], "recording", 0, address)
        yield Held(*place, instant=call["updated_at"])


def _of(
    group: str, stream: str, key: str, record: Mapping[str, Any], instant: int
) -> Iterator[Held]:
    addresses = [each["url"] for each in record.get("attachments") or ()]
    images = list(dict.fromkeys(_IMAGE.findall(record.get("body") or "")))
    for kind, found in (("attachment", addresses), ("inline_image", images)):
        for position, address in enumerate(found):
            yield Held(group, stream, key, kind, position, address, instant=instant)


def is_wanted(held: Held, run: Run) -> bool:
    """Whether a run with these streams and settings reads a file, whatever its record's age."""
    if STREAM not in run.streams or not GROUPS[held.group] & {*run.streams}:
        return False
    is_image = held.group == STREAM and held.kind == "inline_image"
    return not is_image or bool(run.settings.get("inline_images"))


def unsigned(value: Any) -> Any:
    """A value with the addresses of files as the workspace keeps them, and none inside a text."""
    if isinstance(value, str):
        whole = _SIGNED.fullmatch(value)
        return f"{PLACE.decode()}{whole[1]}" if whole else _SIGNED.sub("", value)
    if isinstance(value, Mapping):
        return {name: unsigned(each) for name, each in value.items()}
    return [unsigned(each) for each in value] if isinstance(value, list) else value


@dataclass
class _Watched:
    """What happened in a run that explains why a file was not stored."""

    run: Run
    expiries: int = 0

    @property
    def dead_answers(self) -> float:
        """How many requests may have met a dead address, at most."""
        deadly = [fault.times for fault in self.run.faults if fault.kind in DEADLY]
        return self.expiries + sum(inf if times is None else times for times in deadly)


@dataclass
class Shelf:
    """The folder that all runs of a history store files in, and the rows that they wrote.

    personal_data: the mode of all runs.
    """

    sandbox: Sandbox
    folder: Path
    personal_data: str
    rows: dict[str, Row] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # All files that were ever at a place, and those that are there now.
        self._ever: defaultdict[str, set[str | None]] = defaultdict(set)
        self._held: dict[str, Held] = {}
        self._owners: dict[str, str] = {}
        self._left: set[str] = set()
        self._before: set[bytes] = set()
        # Whether a run could not see some parts, which it says at the end of its log.
        self._may_miss = False
        self._bookmarks: Mapping[str, Any] = {}

    @property
    def settings(self) -> dict[str, Any]:
        kept = {} if self.personal_data == "keep" else {"keep_fields": {STREAM: ["path"]}}
        return {"attachments_dir": str(self.folder), **kept}

    # -- Before and during a run -----------------------------------------------------------------

    def begin(self, run: Run, bookmarks: Mapping[str, Any]) -> None:
        self._watched = _Watched(run)
        self._bookmarks = bookmarks
        self._left = set()
        self._before = {*self.visible().values()}
        self.look()

    def look(self) -> None:
        """Note which files are in records by now."""
        held = {each.id: each for each in held_files(self.sandbox.workspace)}
        self._left |= self._held.keys() - held.keys()
        self._held = held
        for each in held.values():
            self._ever[each.id].add(self._key(each.address))

    def note_expiries(self, count: int) -> None:
        self._watched.expiries += count

    def check_whole(self) -> None:
        """What is visible at any moment is whole: nothing half, nothing with a name in between."""
        contents = set(self.sandbox.workspace.files.contents().values())
        for path, content in self.visible().items():
            if content not in contents:
                self.problems.append(f"{path} is no whole file: {content[:60]!r}")

    def visible(self) -> dict[str, bytes]:
        """The files that a user sees."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and OWN_FOLDER not in path.relative_to(self.folder).parts
        }

    # -- After a run -----------------------------------------------------------------------------

    def take(self, output: Output) -> None:
        """Take the messages of a run in their order."""
        run = self._watched.run
        if SPOILT_LISTS & {fault.kind for fault in run.faults}:
            is_said = MISSED_ENTRIES.search(output.log) is not None
            self._may_miss = self._may_miss or is_said or run.end is not None
        self.look()
        self.check_whole()
        stored = self.visible()
        for message in output.messages:
            if message.get("stream") == STREAM:
                assert message["type"] != "ACTIVATE_VERSION", "rows of files were taken away"
                if message["type"] == "RECORD":
                    self._take_row(message["record"], stored)
            elif message["type"] == "STATE":
                self._check_bookmarks(message["value"]["bookmarks"])
        assert not self.problems, "\n".join(self.problems)

    def _take_row(self, row: Row, stored: Mapping[str, bytes]) -> None:
        self.rows[row["id"]] = row
        self.problems += [f"attachments {row}: {each}" for each in self._faults_of(row, stored)]

    def _faults_of(self, row: Row, stored: Mapping[str, bytes]) -> Iterator[str]:
        keys = self._ever.get(row["id"], set())
        if not keys:
            yield "no record ever had this file"
        if self.personal_data == "keep":
            key = self._key(row["url"]) if row["kind"] != "recording" else next(iter(keys), None)
            if key not in keys:
                yield "this file was never at this place"
            keys = {key}
        elif (row["name"], row["url"], row["reason"]) != (None, None, None):
            yield "what is personal is there"
        contents = [self._contents[key] for key in keys if key is not None]
        status = row["status"]
        if status != "stored":
            if (row["path"], row["sha256"]) != (None, None):
                yield "it is not stored, and has a path"
            if not self._is_explained(status, row["id"], keys):
                yield f"nothing explains why it is {status}"
            return
        if self._owners.setdefault(row["path"], row["id"]) != row["id"]:
            yield "its path belongs to another row"
        content = stored.get(row["path"])
        if content is None:
            yield "there is no such file"
        elif content not in contents:
            yield f"it is another file: {content[:60]!r}"
        elif (row["size"], row["sha256"]) != (len(content), _sha256(content)):
            yield "its size or hash is wrong"

    def _is_explained(self, status: str, row_id: str, keys: set[str | None]) -> bool:
        run, files = self._watched.run, self.sandbox.workspace.files
        kinds = {fault.kind for fault in run.faults}
        if status == "too_large":
            most = run.settings.get("attachment_max_bytes", MAX_BYTES)
            return any(len(self._contents[key]) > most for key in keys if key is not None)
        if status == "gone":
            is_gone = any(key is None or files.is_removed(key) for key in keys)
            was_moved = row_id in self._left or len(self._ever[row_id]) > 1
            # An address that is dead once is read again.
            needed = 1 if kinds & SPOILT_LISTS else 2
            return is_gone or was_moved or self._watched.dead_answers >= needed
        return status == "refused" and bool(kinds & OF_FILES.keys() - DEADLY)

    def _check_bookmarks(self, bookmarks: Mapping[str, Any]) -> None:
        """A bookmark passes a file only when its row is written."""
        before, self._bookmarks = self._bookmarks, bookmarks
        for group in GROUPS:
            bookmark = bookmarks.get(group)
            if bookmark is None or bookmark == before.get(group):
                continue
            since, reached = (epoch_seconds(bookmark[each]) for each in ("since", "updated_at"))
            for held in self._held.values():
                is_passed = held.group == group and since <= held.instant < reached
                if self._may_miss and self._is_of_a_list(held):
                    continue
                if is_passed and is_wanted(held, self._watched.run) and not self._has_row(held):
                    self.problems.append(f"the bookmark of {group} passed {held}: {bookmark}")

    def _is_of_a_list(self, held: Held) -> bool:
        """Whether a file is inside a nested list, which a fault may take away."""
        return held.parent_stream in ("conversation_parts", "ticket_parts")

    def _has_row(self, held: Held) -> bool:
        row = self.rows.get(held.id)
        if row is None or held.kind == "recording":
            return row is not None
        key = self._key(held.address)
        if self.personal_data == "keep":
            return self._key(row["url"]) == key
        is_same: bool = row["sha256"] == _sha256(self._contents[str(key)])
        return row["status"] != "stored" or is_same

    # -- After the last run ----------------------------------------------------------------------

    def lost(self, run: Run, since: int) -> Iterator[str]:
        """Files of records that changed since then without a row, or with that of another file."""
        for held in self._held.values():
            if not is_wanted(held, run) or held.instant < since:
                continue
            if self._may_miss and self._is_of_a_list(held):
                continue
            if not self._has_row(held):
                yield f"attachments: no row of {held}: {self.rows.get(held.id)}"
            elif (row := self.rows[held.id])["status"] == "stored":
                key = self._key(held.address)
                if key is None or row["sha256"] != _sha256(self._contents[key]):
                    yield f"attachments: {row} is not {held}"

    def wrong_after_all(self, run: Run, since: int, before: Mapping[str, Row]) -> Iterator[str]:
        """What a run got wrong that read everything again in peace.

        before: the rows before that run. All that was not stored comes, if it can.
        """
        files = self.sandbox.workspace.files
        asked = {
            found[1]
            for request in self.sandbox.requests
            if (found := FILE_PATH.match(request.path))
        }
        most = run.settings.get("attachment_max_bytes", MAX_BYTES)
        for held in self._held.values():
            if not is_wanted(held, run) or held.instant < since:
                continue
            key, status = self._key(held.address), self.rows[held.id]["status"]
            was_stored = before.get(held.id, {}).get("status") == "stored"
            if was_stored and key in asked and not self._is_elsewhere(held, key, before):
                yield f"attachments: {held} was downloaded again"
            content = None if key is None else self._contents[key]
            if status == "stored" and content in self._before:
                continue  # a killed run may have stored it before it could write the row
            if was_stored:
                expected = "stored"
            elif self._is_too_large(held, key, most):
                expected = "too_large"
            else:
                expected = "gone" if key is None or files.is_removed(key) else "stored"
            if status != expected:
                yield f"attachments: {held} is {status}, not {expected}: {self.rows[held.id]}"
        copies: defaultdict[tuple[str, bytes], list[str]] = defaultdict(list)
        for path, content in self.visible().items():
            copies[path.rpartition("/")[0], content].append(path)
        for (_, content), paths in copies.items():
            if len(paths) > 1:
                yield f"{content[:20]!r} is stored more than once: {paths}"

    def _is_too_large(self, held: Held, key: str | None, most: int) -> bool:
        """Whether a file exceeds the setting. The size of an attachment is known without asking."""
        if key is None or len(self._contents[key]) <= most:
            return False
        return held.kind == "attachment" or not self.sandbox.workspace.files.is_removed(key)

    def _is_elsewhere(self, held: Held, key: str | None, before: Mapping[str, Row]) -> bool:
        """Whether the same file is at another place too, where it was not stored."""
        return any(
            self._key(each.address) == key
            and before.get(each.id, {}).get("status") != "stored"
            and each.id != held.id
            for each in self._held.values()
        )

    @property
    def _contents(self) -> Mapping[str, bytes]:
        return self.sandbox.workspace.files.contents()

    def _key(self, address: str | None) -> str | None:
        return None if address is None else self.sandbox.workspace.files.key(address)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
