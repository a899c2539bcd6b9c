"""The pages of an archive: static HTML that opens from the disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bodies import FILES, Place, address, encodable, last_part, safe_html
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from rows import Record, Rows, deletion_of, stored_file

HERE = Path(__file__).resolve().parent
# A page of an index has at most this many lines.
INDEX_SIZE = 500
FOLDERS = ("articles", "companies", "contacts", "conversations", "indexes", "tickets")
IMAGES = {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}
# What a browser shows or saves, and never runs. It guesses the type of a file without an ending.
PASSIVE = IMAGES | {
    *(".7z", ".aac", ".csv", ".doc", ".docx", ".eml", ".flac", ".gz", ".heic", ".ics", ".json"),
    *(".log", ".m4a", ".md", ".mov", ".mp3", ".mp4", ".msg", ".odp", ".ods", ".odt", ".oga"),
    *(".ogg", ".pdf", ".ppt", ".pptx", ".rar", ".rtf", ".tar", ".tif", ".tiff", ".tsv", ".txt"),
    *(".vcf", ".wav", ".webm", ".xls", ".xlsx", ".zip"),
}
REASONS = {
    "gone": "Intercom no longer had it",
    "refused": "its address was refused",
    "too_large": "larger than the limit",
}
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)$")
LONGEST_NAME = 100


def safe_name(record_id: str) -> str:
    """An id as a file name on every file system; two ids never get the same name."""
    name = re.sub(r"[^a-z0-9-]", lambda found: f"_{ord(found[0]):x}_", record_id) or "_"
    if RESERVED.match(name):
        name = f"_{name}"
    if len(name) > LONGEST_NAME:
        digest = hashlib.sha256(record_id.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[:30]}__{digest}"
    return name


def page_of(kind: str, record_id: str) -> str:
    return f"../{kind}/{safe_name(record_id)}.html"


def shown_time(value: Any) -> str:
    """2026-03-02T09:15:04.000000Z as people read it."""
    return f"{value[:10]} {value[11:19]} UTC" if isinstance(value, str) else ""


def shown_pairs(record: Record, names: Iterable[str]) -> list[tuple[str, str]]:
    """The fields that have a value, with a name for people."""
    found = []
    for name in names:
        value = record.get(name)
        if value in (None, "", [], {}):
            continue
        found.append((name.replace("_", " "), shown_value(value)))
    return found


def shown_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {shown_value(each)}" for name, each in value.items() if each)
    if isinstance(value, list):
        return ", ".join(map(shown_value, value))
    return shown_time(value) if TIME.match(str(value)) else str(value)


class FilesOf:
    """The stored files of a conversation or a ticket, by the message and by the address."""

    def __init__(self, records: Iterable[Record], folder: Path) -> None:
        self._by_parent: dict[tuple[str, str], list[tuple[Record, Place]]] = {}
        self._by_address: dict[str, Place] = {}
        for record in sorted(records, key=lambda each: (each["position"] or 0, each["id"])):
            place = place_of(record, folder)
            parent = (str(record["parent_stream"]), str(record["parent_id"]))
            self._by_parent.setdefault(parent, []).append((record, place))
            if record.get("url"):
                self._by_address[address(record["url"])] = place

    def find(self, url: str) -> Place | None:
        return self._by_address.get(address(url))

    def take(self, stream: str, parent_id: str, named: Iterable[Record], body: str) -> list[Place]:
        """The files of a message but for images in its text; those that Intercom names too."""
        stored = self._by_parent.pop((stream, str(parent_id)), [])
        places = [
            place
            for record, place in stored
            if not (record["kind"] == "inline_image" and has_address(body, record.get("url")))
        ]
        names = {place.name for place in places}
        for each in named:
            name = each.get("name") or last_part(each.get("url") or "") or "file"
            if self.find(each.get("url") or "") is None and name not in names:
                places.append(Place(name, note="not in the archive"))
        return places

    def rest(self) -> list[Place]:
        """The files of no message that is here."""
        return [place for stored in self._by_parent.values() for _, place in stored]


def has_address(body: str, url: str | None) -> bool:
    return bool(url) and address(str(url)) in body


def place_of(record: Record, folder: Path) -> Place:
    name = record.get("name") or last_part(record.get("url") or "") or str(record["id"])
    path = stored_file(record, folder)
    if path is None:
        reason = record.get("reason") or REASONS.get(str(record.get("status")), "not found")
        return Place(name, note=f"not in the archive, {reason}")
    kind = path.suffix.lower()
    relative = str(record["path"])
    if kind not in PASSIVE:
        return Place(name, note=f"in files/{relative}, not linked because a browser may run it")
    return Place(name, FILES + quote(relative), kind in IMAGES)


class Pages:
    """Writes all pages from the rows. Pages that did not change are left as they are."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        self.rows = rows
        self.folder = folder
        self.environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters.update(time=shown_time)
        self.environment.globals.update(page_of=page_of, pairs=shown_pairs)
        self.database = rows.database

    def write_all(self, counts: dict[str, int]) -> None:
        for name in FOLDERS:
            (self.folder / name).mkdir(exist_ok=True)
        self._write("archive.css", (HERE / "archive.css").read_text(encoding="utf-8"))
        self.database.executescript(INDEX)
        for kind, pages in (
            ("conversations", self._conversations()),
            ("tickets", self._tickets()),
            ("articles", self._articles()),
            ("contacts", self._contacts()),
            ("companies", self._companies()),
        ):
            for record_id, template, values in pages:
                self._page(f"{kind}/{safe_name(record_id)}.html", template, **values)
        self._indexes(counts)
        self._remove_other_pages()
        self.database.commit()

    # -- Pages of records --------------------------------------------------------------------

    def _conversations(self) -> Iterator[tuple[str, str, Record]]:
        for record in self.rows.all("conversations"):
            record_id = record["id"]
            source = record.get("source") or {}
            people = [each["id"] for each in record.get("contacts") or []]
            title = record.get("title") or text_of(source.get("subject")) or self._names(people)
            title = title or f"Conversation {record_id}"
            self._note("conversations", record, title, people)
            files = FilesOf(
                self.rows.where("attachments", "conversation_id", record_id),
                self.folder / "files",
            )
            first = self._message("conversations", {**source, "id": record_id}, files)
            first["at"] = record.get("created_at")
            parts = self._parts("conversation_parts", "conversation_id", record_id, files)
            side = self._parts("side_conversation_parts", "conversation_id", record_id, files)
            ticket = (record.get("ticket") or {}).get("id")
            yield (
                record_id,
                "conversation.html",
                {
                    "title": title,
                    "record": record,
                    "contacts": self._people(people),
                    "deletion": deletion_of(self.rows, "conversations", record),
                    "assignee": self._assignee(record),
                    "ticket": ticket if ticket and self.rows.get("tickets", str(ticket)) else None,
                    "first": first,
                    "parts": parts,
                    "side": side,
                    "missing_parts": missing_parts(parts),
                    "files": files.rest(),
                },
            )

    def _tickets(self) -> Iterator[tuple[str, str, Record]]:
        for record in self.rows.all("tickets"):
            record_id = record["id"]
            contacts = (record.get("contacts") or {}).get("contacts") or []
            people = [each["id"] for each in contacts]
            attributes = record.get("ticket_attributes") or {}
            title = str(attributes.get("_default_title_") or "")
            title = title or f"Ticket {record.get('ticket_id') or record_id}"
            self._note("tickets", record, title, people)
            files = FilesOf(
                self.rows.where("attachments", "ticket_id", record_id), self.folder / "files"
            )
            description = self._message(
                "tickets",
                {"id": record_id, "body": str(attributes.get("_default_description_") or "")},
                files,
            )
            parts = self._parts("ticket_parts", "ticket_id", record_id, files)
            yield (
                record_id,
                "ticket.html",
                {
                    "title": title,
                    "record": record,
                    "contacts": self._people(people),
                    "assignee": self._assignee(record),
                    "attributes": {
                        name: value
                        for name, value in attributes.items()
                        if name not in ("_default_title_", "_default_description_")
                    },
                    "has_conversation": self.rows.get("conversations", record_id) is not None,
                    "description": description,
                    "parts": parts,
                    "files": files.rest(),
                },
            )

    def _articles(self) -> Iterator[tuple[str, str, Record]]:
        for stream in ("articles", "internal_articles"):
            for record in self.rows.all(stream):
                record_id = f"{stream[:-1]}-{record['id']}".replace("_", "-")
                title = record.get("title") or f"Article {record['id']}"
                self._note("articles", {**record, "id": record_id}, title, [])
                translations = [
                    (language, each, safe_html(each.get("body") or "", no_file))
                    for language, each in sorted((record.get("translated_content") or {}).items())
                    if isinstance(each, dict) and each.get("body")
                ]
                yield (
                    record_id,
                    "article.html",
                    {
                        "title": title,
                        "record": record,
                        "collections": self._collections(record),
                        "body": safe_html(record.get("body") or "", no_file),
                        "translations": translations,
                        "is_internal": stream == "internal_articles",
                    },
                )

    def _contacts(self) -> Iterator[tuple[str, str, Record]]:
        for record in self.rows.all("contacts"):
            record_id = record["id"]
            title = contact_name(record)
            self._note("contacts", record, title, [])
            companies = [each["id"] for each in record.get("companies") or []]
            deletion = deletion_of(self.rows, "contacts", record)
            into = (deletion or {}).get("merged_into")
            self.database.executemany(
                "insert or ignore into member_of values (?, ?, ?)",
                [(company, encodable(title), record_id) for company in companies],
            )
            yield (
                record_id,
                "contact.html",
                {
                    "title": title,
                    "record": record,
                    "deletion": deletion,
                    "merged_into": self._people([into] if into else []),
                    "companies": [
                        (each, company_name(found))
                        for each in companies
                        if (found := self.rows.get("companies", each)) is not None
                    ],
                    "notes": self._notes("contact_notes", "contact_id", record_id),
                    "entries": self._entries_of(record_id),
                },
            )

    def _companies(self) -> Iterator[tuple[str, str, Record]]:
        for record in self.rows.all("companies"):
            record_id = record["id"]
            title = company_name(record)
            self._note("companies", record, title, [])
            yield (
                record_id,
                "company.html",
                {
                    "title": title,
                    "record": record,
                    "deletion": deletion_of(self.rows, "companies", record),
                    "notes": self._notes("company_notes", "company_id", record_id),
                    "contacts": self.database.execute(
                        "select contact_id, name from member_of where company_id = ? order by 2, 1",
                        (record_id,),
                    ),
                },
            )

    # -- What they are made of ---------------------------------------------------------------

    def _parts(self, stream: str, field: str, record_id: str, files: FilesOf) -> list[Record]:
        records = self.rows.where(stream, field, record_id)
        records.sort(key=lambda each: (str(each.get("created_at")), part_order(each["id"])))
        return [self._message(stream, record, files) for record in records]

    def _message(self, stream: str, record: Record, files: FilesOf) -> Record:
        body = record.get("body") or ""
        named = record.get("attachments") or []
        named_addresses = {
            address(each["url"]): Place(each.get("name") or last_part(each["url"]))
            for each in named
            if each.get("url")
        }

        def find(url: str) -> Place | None:
            return files.find(url) or named_addresses.get(address(url))

        assigned = record.get("assigned_to") or {}
        return {
            "record": record,
            "at": record.get("created_at"),
            "author": self._author(record.get("author") or {}),
            "kind": str(record.get("part_type") or "").replace("_", " "),
            "is_note": record.get("part_type") == "note",
            "assigned": self._teammate(assigned) if assigned else "",
            "body": safe_html(body, find),
            "files": files.take(stream, record["id"], named, body),
        }

    def _author(self, author: Record) -> Record:
        is_contact = author.get("type") in ("user", "lead", "contact")
        contact = self.rows.get("contacts", author.get("id")) if is_contact else None
        name = author.get("name") or (contact_name(contact) if contact else author.get("email"))
        return {
            "name": name or author.get("type") or "unknown",
            "is_contact": is_contact,
            "page": page_of("contacts", author["id"]) if contact else None,
        }

    def _teammate(self, reference: Record) -> str:
        stream = "teams" if reference.get("type") == "team" else "admins"
        found = self.rows.get(stream, str(reference.get("id"))) or {}
        return str(found.get("name") or f"{reference.get('type')} {reference.get('id')}")

    def _assignee(self, record: Record) -> str:
        names = []
        for kind in ("admin", "team"):
            number = str(record.get(f"{kind}_assignee_id") or 0)
            if number != "0":
                names.append(self._teammate({"type": kind, "id": number}))
        return ", ".join(names)

    def _people(self, ids: Iterable[str]) -> list[tuple[str | None, str]]:
        people: list[tuple[str | None, str]] = []
        for each in ids:
            found = self.rows.get("contacts", each)
            people.append((each, contact_name(found)) if found else (None, f"contact {each}"))
        return people

    def _names(self, ids: Iterable[str]) -> str:
        return ", ".join(name for found, name in self._people(ids) if found)

    def _collections(self, record: Record) -> list[str]:
        found = [self.rows.get("collections", str(each)) for each in record.get("parent_ids") or []]
        return [str(each.get("name")) for each in found if each]

    def _notes(self, stream: str, field: str, record_id: str) -> list[tuple[Record, Markup]]:
        return [
            (each, safe_html(each.get("body") or "", no_file))
            for each in self.rows.where(stream, field, record_id)
        ]

    # -- Indexes -----------------------------------------------------------------------------

    def _note(self, kind: str, record: Record, title: str, people: Iterable[str]) -> None:
        at = str(record.get("created_at") or "")
        detail = " · ".join(
            str(record[name]) for name in ("email", "phone", "state") if record.get(name)
        )
        self.database.execute(
            "insert into entry values (?, ?, ?, ?, ?, ?)",
            (kind, record["id"], encodable(title), encodable(title.casefold()), at, detail),
        )
        self.database.executemany(
            "insert or ignore into person values (?, ?, ?)",
            [(each, kind, record["id"]) for each in people],
        )

    def _entries_of(self, contact_id: str) -> Iterator[tuple[str, str, str, str]]:
        return self.database.execute(
            "select kind, id, title, at from person join entry using (kind, id) "
            "where contact_id = ? order by at, kind, id",
            (contact_id,),
        )

    def _indexes(self, counts: dict[str, int]) -> None:
        by_name = {
            kind: self._index(
                kind,
                kind.capitalize(),
                "select kind, id, title, at, detail from entry where kind = ? order by name, id",
                kind,
            )
            for kind in ("contacts", "companies", "articles")
        }
        months = self.database.execute(
            "select substr(at, 1, 7), count(*) from entry "
            "where kind in ('conversations', 'tickets') group by 1 order by 1"
        ).fetchall()
        by_month = [
            (
                month or "without a date",
                count,
                self._index(
                    f"dates-{safe_name(month or 'none')}",
                    f"Conversations and tickets of {month or 'no date'}",
                    "select kind, id, title, at, detail from entry where substr(at, 1, 7) = ? "
                    "and kind in ('conversations', 'tickets') order by at, kind, id",
                    month,
                ),
            )
            for month, count in months
        ]
        years = [
            (year, list(found)) for year, found in groupby(by_month, key=lambda each: each[0][:4])
        ]
        workspace = next(self.rows.all("workspace"), {})
        self._page(
            "index.html",
            "index.html",
            root="",
            title=workspace.get("name") or "Archive",
            counts=counts,
            by_name=by_name,
            years=years,
            statuses=self._file_statuses(),
        )

    def _index(self, name: str, title: str, query: str, *values: str) -> list[tuple[str, str, str]]:
        """Write the pages of an index; gives the path, the first and the last title of each."""
        found = self.database.execute(query, values)
        written: list[tuple[str, str, str]] = []
        lines = found.fetchmany(INDEX_SIZE)
        while lines:
            following = found.fetchmany(INDEX_SIZE)
            number = len(written) + 1
            path = f"indexes/{name}-{number}.html"
            self._page(
                path,
                "list.html",
                title=title,
                lines=lines,
                number=number,
                before=f"{name}-{number - 1}.html" if written else None,
                after=f"{name}-{number + 1}.html" if following else None,
            )
            written.append((path, lines[0][2], lines[-1][2]))
            lines = following
        return written

    def _file_statuses(self) -> list[tuple[str, int]]:
        if not self.rows.has("attachments"):
            return []
        return self.database.execute(
            "select json_extract(row, '$.status'), count(*) from attachments group by 1 order by 1"
        ).fetchall()

    # -- Files -------------------------------------------------------------------------------

    def _page(self, path: str, template: str, *, root: str = "../", **values: Any) -> None:
        text = self.environment.get_template(template).render(root=root, **values)
        self._write(path, text)
        self.database.execute("insert or ignore into page values (?)", (path,))

    def _write(self, path: str, text: str) -> None:
        file, content = self.folder / path, text.encode("utf-8", "replace")
        if not file.is_file() or file.read_bytes() != content:
            file.write_bytes(content)

    def _remove_other_pages(self) -> None:
        """Remove the pages of records that are no longer in the archive."""
        for name in FOLDERS:
            for file in (self.folder / name).glob("*.html"):
                path = f"{name}/{file.name}"
                if not self.database.execute(
                    "select 1 from page where path = ?", (path,)
                ).fetchone():
                    file.unlink()


# What the indexes are made from, kept on the disk because a workspace may be large.
INDEX = """
create temp table entry (
    kind text, id text, title text, name text, at text, detail text, primary key (kind, id)
);
create temp table person (
    contact_id text, kind text, id text, primary key (contact_id, kind, id)
);
create temp table member_of (
    company_id text, name text, contact_id text, primary key (company_id, contact_id)
);
create temp table page (path text primary key);
"""


def text_of(value: Any) -> str:
    """A subject, which is HTML, as text."""
    return Markup(value).striptags() if isinstance(value, str) else ""


def no_file(url: str) -> None:
    """Articles and notes have no stored files."""


def contact_name(record: Record) -> str:
    names = (record.get("name"), record.get("email"), record.get("phone"))
    return next(
        (each for each in names if each), f"{record.get('role') or 'contact'} {record['id']}"
    )


def company_name(record: Record) -> str:
    return record.get("name") or record.get("company_id") or f"company {record['id']}"


def part_order(part_id: str) -> tuple[int, str]:
    """Ids are numbers that grow, as text."""
    return (int(part_id) if part_id.isdecimal() else 0, part_id)


def missing_parts(parts: list[Record]) -> int:
    """How many older parts Intercom counts and does not send."""
    total = max((each["record"].get("conversation_total_parts") or 0 for each in parts), default=0)
    return max(total - len(parts), 0)
