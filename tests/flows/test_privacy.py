"""Values of personal fields leave the tap only where the settings let them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import Output, Tap, run_tap, selecting
from jsonschema import Draft4Validator  # type: ignore[import-untyped]
from marked_answers import Marker, fields, marks_by_column, marks_in
from public_columns import PUBLIC
from test_exports import SHORT
from warm_tap import WarmTap

from intercom_sandbox import generate
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.streams import STREAMS

KEY = "a key for tests"
# The bookmarks of exports begin here: a job for each 90 days would take long.
NOW = 1_700_000_000
# Together they have all tables and columns.
VERSIONS = ("2.16", "Preview")
START = "2023-10-01T00:00:00Z"
UNFILLED = {
    "attachments.reason": "the tap writes it for files that are not stored",
    "calls.*recording_url": "the tap reads the file there",
    "companies.notes.notes.*": "the name of the list in other versions of the API",
    "conversations.company.notes.*": "a copy of what companies.notes has",
    "conversations.ticket.contacts.*": "a copy of what conversations.contacts has",
    "company_notes.author.avatar": "always null",
    "contacts.location.type": "always location",
    "*.quick_reply_*uuid": "an id of Intercom's inside what is personal",
}


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(generate(seed=3, contacts=20, companies=6, conversations=10, parts=40))


@dataclass
class Marked:
    """Runs over all streams of a workspace that marks every text."""

    tap: Tap
    warm_tap: WarmTap
    catalogs: dict[str, dict[str, Any]]
    temporary: Path
    files: Path

    def run(self, version: str, **settings: Any) -> Output:
        arguments = self.tap.arguments(
            catalog=self.catalogs[version],
            api_version=version,
            start_date=START,
            attachments_dir=str(self.files),
            known_ids_file=str(self.temporary / "known.ids"),
            detect_deletes="column",
            max_retry_seconds=1,
            **settings,
        )
        output = self.warm_tap.run(
            *arguments, numbers=SHORT, environment={"TMPDIR": str(self.temporary)}
        )
        assert output.code == 0, output.log
        return output

    def left_in_files(self) -> set[str]:
        """The marks in the names of all files, and in what the tap itself keeps."""
        assert (self.temporary / "known.ids").exists()
        found = marks_in([str(each) for each in self.files.rglob("*")])
        for path in self.temporary.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            is_packed = content.startswith(b"\x1f\x8b")
            found |= marks_in((gzip.decompress(content) if is_packed else content).decode("latin"))
        return found


@pytest.fixture
def marked(start_tap_on: Callable[..., Tap], warm_tap: WarmTap, tmp_path: Path) -> Marked:
    workspace = generate(
        seed=3, contacts=20, companies=6, conversations=12, parts=60, tickets=4, resources=4,
        details=12, datasets=4, files=True, days=30, now=NOW,
    )  # fmt: skip
    marker = Marker()
    marker.fill(workspace)
    tap = start_tap_on(workspace, export_looks=1, clock=lambda: NOW)
    catalogs = {
        each: warm_tap.run("--config", tap.config(api_version=each), "--discover").messages[0]
        for each in VERSIONS
    }
    # The names of what the company set up become columns, and are public.
    marker.mark_answers(tap.sandbox)
    for catalog in catalogs.values():
        selecting(catalog, *(each["tap_stream_id"] for each in catalog["streams"]))
    (temporary := tmp_path / "temporary").mkdir()
    return Marked(tap, warm_tap, catalogs, temporary, tmp_path / "files")


def columns(output: Output) -> dict[str, set[str]]:
    """The marks of each column that has any."""
    found: dict[str, set[str]] = {}
    for message in output.messages:
        if message["type"] == "RECORD":
            for column, mark in marks_by_column(message["stream"], message["record"]):
                found.setdefault(column, set()).add(mark)
    return found


@cache
def personal_columns() -> set[str]:
    return {
        path
        for table in STREAMS
        for path, _, is_marked in fields(annotated_schema(table), table)
        if is_marked
    }


def is_inside(column: str, path: str) -> bool:
    return column == path or column.startswith(f"{path}.")


def is_public(column: str) -> bool:
    if any(is_inside(column, each) for each in personal_columns()):
        return False
    return any(fnmatchcase(column, each) for each in PUBLIC)


def test_marks_reach_all_personal_columns(marked: Marked) -> None:
    found = {column for version in VERSIONS for column in columns(marked.run(version))}
    missing = {
        path
        for path in personal_columns()
        if not any(is_inside(each, path) for each in found)
        and not any(fnmatchcase(path, each) for each in UNFILLED)
    }
    assert not missing
    assert marked.left_in_files()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["hash", "drop"])
def test_no_text_of_a_person_leaves_in_any_stream(marked: Marked, mode: str, version: str) -> None:
    output = marked.run(
        version, personal_data=mode, hash_key=KEY, keep_fields={"attachments": ["path"]}
    )
    found = columns(output)
    assert not sorted(each for each in found if not is_public(each))
    assert not marks_in([each for each in output.messages if each["type"] != "RECORD"])
    assert not marks_in(output.log)
    assert not marked.left_in_files()
    assert KEY not in output.log + output.stdout.decode()
    schemas = {m["stream"]: m["schema"] for m in output.messages if m["type"] == "SCHEMA"}
    for name, schema in schemas.items():
        is_valid = Draft4Validator(schema).is_valid
        assert all(is_valid(record) for record in output.records(name)), name
        assert "x-personal" not in str(schema)


def test_equal_values_have_equal_hashes_in_all_streams(tap: Tap) -> None:
    output = tap.sync("contacts", "conversation_contact", personal_data="hash", hash_key=KEY)
    assert output.code == 0, output.log
    hashes = {each["id"]: each["external_id"] for each in output.records("contacts")}
    joined = [
        (each["external_id"], hashes[each["contact_id"]])
        for each in output.records("conversation_contact")
        if each["external_id"] and each["contact_id"] in hashes
    ]
    assert joined
    assert all(one == other and len(one) == 64 for one, other in joined)


@pytest.mark.parametrize(
    "settings", [{"personal_data": "hash"}, {"hash_fields": {"contacts": ["email"]}}]
)
def test_hashes_need_a_key(tap: Tap, settings: dict[str, Any]) -> None:
    output = run_tap("--config", tap.config(**settings))
    assert output.code == 2
    assert "hash_key: missing" in output.log
    assert not tap.sandbox.requests


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("emial", "contacts has no field 'emial', did you mean email?"),
        ("Email", "contacts has no field 'Email', did you mean email?"),
        ("location.town", "contacts has no field 'location.town'"),
        ("location.city", ""),
        ("tags.id", ""),
        ("custom_attributes.any", ""),
        ("*mail*", ""),
        ("id", "'id' is a key or time of contacts, which stays as it is"),
        ("", "contacts has no field ''"),
    ],
)
def test_what_cannot_be_hashed_is_refused(tap: Tap, pattern: str, reason: str) -> None:
    output = tap.sync("contacts", hash_key=KEY, hash_fields={"contacts": [pattern]})
    assert output.code == (2 if reason else 0), output.log
    assert reason in output.last_log_line
    assert not (reason and output.messages)
