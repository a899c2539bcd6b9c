"""The rows of an archive: a Singer target that keeps the newest row of each key in SQLite."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

Record = dict[str, Any]

# The fields by which pages find the rows that belong to them.
LOOKUPS = {
    "attachments": ("conversation_id", "ticket_id"),
    "company_notes": ("company_id",),
    "contact_notes": ("contact_id",),
    "conversation_parts": ("conversation_id",),
    "side_conversation_parts": ("conversation_id",),
    "ticket_parts": ("ticket_id",),
}
FILES = "attachments"


class Rows:
    """One table for each stream: the key, the version of a full read, and the row as JSON text."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(path)
        # What was removed must not stay readable in the file.
        self.database.execute("pragma secure_delete = on")
        found = self.database.execute("select name from sqlite_master where type = 'table'")
        self._streams = {name for (name,) in found}

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    @property
    def streams(self) -> list[str]:
        return sorted(self._streams)

    def has(self, stream: str) -> bool:
        return stream in self._streams

    def add_stream(self, stream: str) -> None:
        self.database.execute(
            f"create table if not exists {quoted(stream)} "
            "(key text primary key, version integer, row text not null)"
        )
        for field in LOOKUPS.get(stream, ()):
            self.database.execute(
                f"create index if not exists {quoted(f'{stream} by {field}')} "
                f"on {quoted(stream)} ({member(field)}, key)"
            )
        self._streams.add(stream)

    def put(self, stream: str, keys: Iterable[str], record: Record, version: int | None) -> None:
        key = key_text(*(record.get(name) for name in keys))
        self.database.execute(
            f"insert or replace into {quoted(stream)} values (?, ?, ?)",
            (key, version, line_of(record)),
        )

    def activate(self, stream: str, version: int) -> None:
        """Remove what a full read did not find again."""
        self.database.execute(f"delete from {quoted(stream)} where version is not ?", (version,))

    def count(self, stream: str) -> int:
        (number,) = self.database.execute(f"select count(*) from {quoted(stream)}").fetchone()
        return int(number)

    def lines(self, stream: str) -> Iterator[str]:
        """Each row as JSON text, in the order of the keys."""
        query = f"select row from {quoted(stream)} order by key"
        with closing(self.database.execute(query)) as found:
            yield from (text for (text,) in found)

    def all(self, stream: str) -> Iterator[Record]:
        return map(json.loads, self.lines(stream)) if self.has(stream) else iter(())

    def get(self, stream: str, *key: Any) -> Record | None:
        if not self.has(stream):
            return None
        query = f"select row from {quoted(stream)} where key = ?"
        return next(self._read(query, key_text(*key)), None)

    def where(self, stream: str, field: str, value: str) -> list[Record]:
        if not self.has(stream):
            return []
        query = f"select row from {quoted(stream)} where {member(field)} = ? order by key"
        return list(self._read(query, value))

    def gone(self, stream: str, field: str) -> list[Record]:
        return list(self._read(f"select row from {quoted(stream)} where {is_gone(field)}"))

    def remove_gone(self, stream: str, field: str, column: str | None = None) -> None:
        self.database.execute(f"delete from {quoted(stream)} where {is_gone(field, column)}")

    def _read(self, query: str, *values: str) -> Iterator[Record]:
        with closing(self.database.execute(query, values)) as found:
            for (text,) in found:
                yield json.loads(text)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def member(field: str) -> str:
    return f"json_extract(row, '$.{field}')"


def is_gone(field: str, column: str | None = None) -> str:
    """The condition for rows that the temporary table gone names, by a field."""
    value = member(column or field)
    if field == "parent":
        value = f"{member('parent_stream')} || ' ' || {member('parent_id')}"
    return f"{value} in (select value from gone where field = '{field}')"


def key_text(*values: Any) -> str:
    return json.dumps(values)


def keep(lines: Iterable[str], rows: Rows, states: TextIO) -> None:
    """Take Singer messages, and write each STATE once the rows before it are on the disk."""
    keys: dict[str, list[str]] = {}
    for line in lines:
        message = json.loads(line)
        kind, stream = message["type"], message.get("stream")
        if kind == "SCHEMA":
            keys[stream] = message["key_properties"]
            rows.add_stream(stream)
        elif kind == "RECORD":
            rows.put(stream, keys[stream], message["record"], message.get("version"))
        elif kind == "ACTIVATE_VERSION":
            rows.activate(stream, message["version"])
        elif kind == "STATE":
            rows.database.commit()
            print(json.dumps(message["value"]), file=states, flush=True)
    rows.database.commit()


def write_json_lines(rows: Rows, folder: Path) -> dict[str, int]:
    """Write one file for each stream; gives the number of rows in each."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for stream in rows.streams:
        counts[stream] = rows.count(stream)
        path = folder / f"{stream}.jsonl"
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as file:
            for line in rows.lines(stream):
                file.write(line.encode() + b"\n")
        os.replace(temporary, path)
    return counts


def line_of(record: Record) -> str:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no encoding, but an escape.
        text = json.dumps(record, separators=(",", ":"))
    return text


# -- What Intercom no longer has -----------------------------------------------------------------


def deletion_of(rows: Rows, stream: str, record: Record) -> Record | None:
    """How the record went away in Intercom; None while it is there, also if it came back."""
    deletion = rows.get("deletions", stream, record["id"])
    if deletion is None or str(record.get("updated_at")) > str(deletion["seen_at"]):
        return None
    return deletion


def remove_deleted(rows: Rows, files: Path) -> None:
    """Remove deleted conversations, contacts and companies, with what belongs to them.

    Files of messages that Intercom redacted go too.
    """
    rows.database.execute("create temp table gone (field text, value text)")
    for deletion in rows.all("deletions"):
        stream, record_id = deletion["stream"], deletion["id"]
        record = rows.get(stream, record_id)
        if record is None or deletion["kind"] == "archived":
            continue
        if deletion_of(rows, stream, record) is None:
            continue
        note_gone(rows, OWN_FIELDS[stream], record_id)
        # Intercom lists no deleted tickets, but a ticket goes with its conversation.
        ticket = record.get("ticket") or {}
        if ticket.get("id"):
            note_gone(rows, OWN_FIELDS["tickets"], str(ticket["id"]))
    for stream, flag in REDACTED.items():
        if rows.has(stream):
            rows.database.execute(
                f"insert into gone select 'parent', '{stream} ' || {member('id')} "
                f"from {quoted(stream)} where {member(flag)} = 1"
            )
    if rows.has(FILES):
        for field in ("conversation_id", "ticket_id", "parent"):
            for record in rows.gone(FILES, field):
                path = stored_file(record, files)
                if path is not None:
                    path.unlink()
                note_of(record, files).unlink(missing_ok=True)
            rows.remove_gone(FILES, field)
    for stream in rows.streams:
        for own, field in OWN_FIELDS.items():
            # The ticket_id of a ticket is its number, and the company_id of a company is external.
            rows.remove_gone(stream, field, "id" if stream == own else field)
    rows.database.execute("drop table gone")
    rows.database.commit()


OWN_FIELDS = {
    "companies": "company_id",
    "contacts": "contact_id",
    "conversations": "conversation_id",
    "tickets": "ticket_id",
}
REDACTED = {
    "conversation_parts": "redacted",
    "conversations": "source.redacted",
    "side_conversation_parts": "redacted",
    "ticket_parts": "redacted",
}


def note_gone(rows: Rows, field: str, value: str) -> None:
    rows.database.execute("insert into gone values (?, ?)", (field, value))


def note_of(record: Record, files: Path) -> Path:
    """What the tap notes of a file that it stored, with its name."""
    key = str(record["id"])
    return files / ".tap-intercom" / "stored" / safe(key[:2]) / f"{safe(key)}.json"


def safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "_", text)


def stored_file(record: Record, files: Path) -> Path | None:
    """The file of a row of attachments; None if it is not there, or not inside the folder."""
    name = record.get("path")
    if record.get("status") != "stored" or not isinstance(name, str) or not name:
        return None
    path = (files / name).resolve()
    return path if path.is_file() and path.is_relative_to(files.resolve()) else None
