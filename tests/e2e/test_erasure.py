"""Erase a person from real databases: nothing of theirs is left, and all else is as it was."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import databases
import pytest
from api_versions import DEFAULT_TEXT, tables_with
from conftest import RUN
from database_loads import Loads
from loaded_tables import Row, postgresql, target_bin

from intercom_sandbox import Sandbox, Workspace, generate
from intercom_sandbox.export_groups import GROUPS, event_time
from tap_intercom.erasure.plan import LEFT_ALONE
from tap_intercom.reading.schema_notes import annotated_schema

pytestmark = pytest.mark.long

# What no other record contains: in each text of the person, and in what others wrote to them.
MARK = "Zebulon"
ADDRESS = "zebulon@example.org"
ADMIN = {"type": "admin", "id": "7000001", "name": "Ann", "email": "ann@example.org"}
OTHER_ADDRESS = "Zebulon+2@Example.org"
# Rows that say something of teammates, and go with a conversation.
OF_TEAMMATES = {"handling_events"}
PLENTY = 1_000_000
# Runs one statement after the other, and prints what the one that selects has found.
RUN_IN_DUCKDB = """
import duckdb, sys
database = duckdb.connect(sys.argv[1])
for statement in sys.stdin.read().split(";\\n"):
    lines = [line for line in statement.splitlines() if line and not line.startswith("--")]
    if lines:
        found = database.execute(statement)
        if lines[0].startswith("select"):
            print(*(path for path, in found.fetchall()), sep="\\n")
"""
# As docs/erasure.md shows it.
PSQL = ("--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1")
Start = Callable[..., "Target"]
Tables = dict[str, list[Row]]


@dataclass
class Erased:
    """A person in a workspace.

    own: the ids of conversations, tickets and messages without other contacts. calls: of all calls.
    """

    workspace: Workspace
    contact: str = ""
    own: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)


def author(contact: str, text: str = MARK) -> dict[str, Any]:
    return {"type": "user", "id": contact, "name": text, "email": ADDRESS}


def add_person(workspace: Workspace) -> Erased:
    """Add a person who did all that a person can do."""
    other, *_ = workspace.contacts.texts
    person = Erased(workspace)
    person.contact = workspace.add_contact(
        **dict.fromkeys(("name", "external_id", "phone", "browser", "referrer"), MARK),
        email=ADDRESS,
        custom_attributes={"anything": MARK},
    )
    now = int(time.time())
    workspace.add_contact_note(person.contact, body=MARK)
    company = next(iter(workspace.companies.texts))
    workspace.attach_company(person.contact, company)
    workspace.tag_contact(person.contact, workspace.record_keys("tags")[0])
    workspace.load_events(
        person.contact,
        [{"event_name": "paid", "created_at": now, "email": ADDRESS, "metadata": {"by": MARK}}],
    )
    add_activities(person, other)
    add_conversations(person, other)
    add_tickets(person, other)
    add_exports(person, now - 86_400)
    return person


def add_activities(person: Erased, other: str) -> None:
    """Entries of a log that keeps who a contact was, and whom it became."""
    for entry in (
        {"contact_id": person.contact, "external_id": MARK},
        {"contact_id": person.contact, "merge_target_id": other, "failure_reason": MARK},
        {"contact_id": other, "merge_source_id": person.contact, "merge_target_id": other},
    ):
        person.workspace.add_record("contact_activities", **entry)
    merge = {
        "type": "merge_history",
        "source_contact_id": person.contact,
        "merged_at": 1_760_000_000,
    }
    person.workspace.merge_history.setdefault(other, []).append(merge)


def add_conversations(person: Erased, other: str) -> None:
    """One without other contacts, and three with: begun by the person, by another, and left."""
    mine = author(person.contact)
    another = author(other, "Other") | {"email": "other@example.org"}
    for begins, others in ((mine, []), (mine, [other]), (another, [other])):
        key = add_conversation(person, begins, others)
        # What others wrote to the person alone may be about them.
        text = "Other" if others else MARK
        add_parts(person, key, text)
        add_calls(person, key)
        if others:
            person.workspace.reply(key, "Other", author=another)
        else:
            person.own.add(key)
    left = person.workspace.add_conversation(contacts=[other], title=MARK)
    person.workspace.reply(left, MARK, author=mine)
    person.workspace.reply(left, "Other", author=another)


def add_conversation(person: Erased, begins: dict[str, Any], others: list[str]) -> str:
    workspace = person.workspace
    text = MARK if begins["id"] == person.contact else "Other"
    addresses = [{"type": "to", "email": each} for each in (OTHER_ADDRESS, "other@example.org")]
    source = {
        "author": begins,
        "body": text,
        "attachments": [workspace.add_file(name=f"{text}.png")],
        "recipients": addresses,
    }
    rating = {"remark": MARK, "contact": {"type": "contact", "id": person.contact}}
    return workspace.add_conversation(
        contacts=[person.contact, *others],
        title=MARK,
        custom_attributes={"anything": MARK},
        source=source,
        conversation_rating=rating,
    )


def add_parts(person: Erased, conversation: str, text: str) -> None:
    """Add parts by the person, and by a teammate with a text."""
    workspace, mine = person.workspace, author(person.contact)
    parts = [
        {"body": body, "author": who, "attachments": [workspace.add_file(name=f"{body}.txt")]}
        for body, who in ((MARK, mine), (text, ADMIN))
    ]
    for part in parts:
        workspace.add_part(conversation, **part)
    workspace.add_side_conversation(conversation, parts)


def add_calls(person: Erased, conversation: str) -> None:
    """Add a call, and what else has a row for a conversation."""
    workspace, now = person.workspace, int(time.time())
    # No id of another table is like it.
    call = f"88{conversation}"
    fields = {"id": call, "contact_id": person.contact, "phone": MARK}
    workspace.add_call(conversation, [{"text": MARK}], **fields)
    person.calls.add(call)
    workspace.add_recording(call)
    workspace.add_fin_voice_call(conversation, user_phone_number=MARK, call_summary=MARK)
    workspace.add_handling_event(conversation, ADMIN["id"])
    workspace.add_record(
        "data_connector_executions",
        data_connector_id=workspace.record_keys("data_connectors")[0],
        conversation_id=conversation,
        request_body=MARK,
        created_at=now - 600,
    )
    row = {
        "conversation.conversation_id": int(conversation),
        "timestamp.conversation_started_at": now - 3_600,
        "people.Plan": MARK,
    }
    workspace.add_dataset_row("conversation", row)


def add_tickets(person: Erased, other: str) -> None:
    workspace = person.workspace
    for contacts in ([person.contact], [person.contact, other]):
        ticket = workspace.add_ticket(
            contacts=contacts, ticket_attributes={"_default_title_": MARK, "anything": MARK}
        )
        theirs = MARK if len(contacts) == 1 else "Other"
        workspace.add_ticket_part(
            ticket,
            body=MARK,
            author=author(person.contact),
            attachments=[workspace.add_file(name=f"{MARK}.txt")],
        )
        workspace.add_ticket_part(
            ticket, body=theirs, attachments=[workspace.add_file(name=f"{theirs}.pdf")]
        )
        if len(contacts) == 1:
            person.own.add(ticket)


def add_exports(person: Erased, sent_at: int) -> None:
    """A message to the person, and what they did with it."""
    workspace, receipt = person.workspace, "799999999"
    who = {
        "user_id": person.contact,
        "user_external_id": MARK,
        "company_id": "-1",
        "name": MARK,
        "email": ADDRESS,
    }
    for group, columns in GROUPS.items():
        if group == "overview":
            continue
        time_column = event_time(group) or "received_at"
        fields = {**who, "receipt_id": receipt, "series_entry_record_id": "1", time_column: sent_at}
        row = {name: value for name, value in fields.items() if name in columns}
        workspace.add_export_row(group, sent_at, **row, anything=MARK)
    person.own.add(receipt)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with postgresql() as server:
        yield server


@dataclass
class Target:
    """A database with everything of a workspace.

    command: runs the SQL on its standard input, and prints what it selects.
    """

    loads: Loads
    dialect: str
    schema: str
    command: list[str]

    def read(self) -> Tables:
        return self.loads.database.read(list(self.loads.schemas))

    def erase(self, *flags: str) -> set[str]:
        """Run the script of the command; returns the paths of files that it lists."""
        catalog = self.loads.tap.write("catalog.json", self.loads.catalog)
        command = [*RUN, "erase", "--catalog", catalog, "--dialect", self.dialect]
        script = subprocess.run(
            [*command, "--schema", self.schema, *flags], stdout=subprocess.PIPE, check=True
        )
        done = subprocess.run(self.command, input=script.stdout, stdout=subprocess.PIPE, check=True)
        return {*filter(None, done.stdout.decode().splitlines())}


def psql(server: dict[str, Any]) -> list[str]:
    """The command of PostgreSQL; skips the test if it is not installed."""
    installed = target_bin("postgresql-server").parent.glob("lib/python*/*/*/pginstall/bin/psql")
    program = shutil.which("psql") or next(map(str, installed), None)
    if program is None:
        pytest.skip("psql is not installed")
    place = " ".join(f"{name}={value}" for name, value in server.items())
    return [program, *PSQL, place]


@pytest.fixture(params=["duckdb", "meltanolabs", "pipelinewise"])
def start(
    request: pytest.FixtureRequest, start_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> Start:
    def load(workspace: Workspace, **changed: Any) -> Target:
        sandbox = start_sandbox(workspace, rate_limit=PLENTY)
        start_date = (datetime.now(timezone.utc) - timedelta(days=25)).date().isoformat()
        schema, dialect = "main", "duckdb"
        if request.param == "duckdb":
            database = databases.duckdb(tmp_path)
            python = str(target_bin("duckdb") / "python")
            command = [python, "-c", RUN_IN_DUCKDB, str(tmp_path / "intercom.duckdb")]
        else:
            server = request.getfixturevalue("server")
            schema, dialect = f"erase_{time.monotonic_ns()}", "postgres"
            database = getattr(databases, request.param)(tmp_path, server, schema)
            command = psql(server)
        settings = {"attachments_dir": str(tmp_path / "files"), "start_date": start_date}
        loads = Loads(sandbox, database, tmp_path, **settings | changed)
        loads.discover()
        loads.select(*(each["tap_stream_id"] for each in loads.catalog["streams"]))
        loads.complete()
        return Target(loads, dialect, schema, command)

    return load


def small_workspace() -> Workspace:
    return generate(
        seed=3, contacts=10, companies=4, conversations=6, parts=8, resources=3, tickets=4,
        details=8, datasets=2, days=20, files=True,
    )  # fmt: skip


def texts(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False).lower()


def is_about(row: Row, *marks: str) -> bool:
    return any(mark.lower() in texts(row) for mark in marks)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("talks", ["delete", "blank"])
def test_nothing_of_the_person_is_left_and_all_else_is(start: Start, talks: str) -> None:
    assert_erased(start, talks, DEFAULT_TEXT)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("start", ["duckdb"], indirect=True)
def test_tables_of_the_newest_version_are_erased_too(start: Start) -> None:
    assert_erased(start, "delete", "Preview")


def assert_erased(start: Start, talks: str, api_version: str) -> None:
    workspace = small_workspace()
    person = add_person(workspace)
    target = start(workspace, api_version=api_version)
    if talks == "delete":
        # As the page says; the target then has a row that says so.
        workspace.delete_contact(person.contact)
        target.loads.complete()
    before = target.read()
    assert any(is_about(row, person.contact) for row in before["deletions"]) == (talks == "delete")
    tables = tables_with(api_version)
    personal = {name for name in tables if "x-personal" in str(annotated_schema(name))}
    found = {name for name, rows in before.items() if any(is_about(row, MARK) for row in rows)}
    assert personal - found == {*LEFT_ALONE, *OF_TEAMMATES} & {*tables}

    assert any(is_about(row, person.contact) for row in before["contact_merge_history"])

    flags = ("--contact", person.contact, "--email", ADDRESS, "--email", OTHER_ADDRESS)
    listed = target.erase(*flags, "--conversations", talks)
    after = target.read()
    left = [
        f"{name}: {texts(row)}"
        for name, rows in after.items()
        for row in rows
        if is_about(row, MARK, person.contact)
    ]
    assert not left, "\n".join(left[:10])
    theirs = person.calls | (person.own if talks == "delete" else set())
    for name, rows in before.items():
        others = {
            texts(row)
            for row in rows
            if not is_about(row, MARK, person.contact) and not theirs & {*map(str, row.values())}
        }
        assert not others - {texts(row) for row in after[name]}, name
    assert [row["body"] for row in after["conversation_parts"]].count("Other") == 5
    assert_files_are_erased(target.loads.tap.folder / "files", listed, before, after)
    assert_others_stay(before, after, talks)
    # There is nothing left to do.
    assert target.erase(*flags, "--conversations", talks) == set()
    assert target.read() == after


@pytest.mark.timeout(600)
@pytest.mark.parametrize("start", ["duckdb"], indirect=True)
def test_hashed_data_is_found_by_id(start: Start) -> None:
    workspace = small_workspace()
    person = add_person(workspace)
    kept = {"attachments": ["path"]}
    target = start(workspace, personal_data="hash", hash_key=MARK, keep_fields=kept)
    before = target.read()
    (hashed,) = {row["external_id"] for row in before["contacts"] if row["id"] == person.contact}
    found = {name for name, rows in before.items() if any(is_about(row, hashed) for row in rows)}
    assert found >= {"contacts", "conversation_parts", "conversation_contact", "tickets", "events"}
    target.erase("--contact", person.contact)
    for name, rows in target.read().items():
        assert not [row for row in rows if is_about(row, hashed, person.contact)], name


def assert_files_are_erased(folder: Path, listed: set[str], before: Tables, after: Tables) -> None:
    """After the command of the page, no name and no note is about the person; others stay."""
    gone = paths(before) - paths(after)
    assert any(MARK in path for path in gone)
    assert all((folder / path).exists() for path in listed)
    # What a file was before it was replaced in Intercom stays beside it.
    (folder / max(gone)).with_name(f"0-{MARK}-before.txt").write_text(MARK)
    given = "".join(f"{path}\n" for path in sorted(listed)).encode()
    subprocess.run("tr '\\n' '\\0' | xargs -0 rm -rf --", shell=True, cwd=folder, input=given)
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    assert not [name for name in there if MARK in name]
    notes = [path.read_bytes() for path in there.values() if path.suffix == ".json"]
    assert not [note for note in notes if MARK.encode() in note]
    assert there.keys() >= paths(after)
    assert not there.keys() & gone
    assert len(notes) == len(paths(after))


def paths(tables: Tables) -> set[str]:
    return {row["path"] for row in tables["attachments"]}


def assert_others_stay(before: Tables, after: Tables, talks: str) -> None:
    """Rows that lose what is the person's keep what is not."""
    for name in ("conversations", "tickets"):
        rows = {row["id"]: row for row in after[name]}
        changed = [row for row in before[name] if is_about(row, MARK) and row["id"] in rows]
        assert len(changed) == (1 if name == "tickets" else 3) + (talks == "blank")
        for row in changed:
            for column in ("state", "statistics", "created_at", "ticket_type", "tags"):
                assert rows[row["id"]].get(column) == row.get(column)
    sources = [as_json(row["source"]) for row in after["conversations"]]
    (source,) = [each for each in sources if each and each["body"] == "Other"]
    assert [each["email"] for each in source["recipients"]] == ["other@example.org"]
    assert source["author"]["name"] == "Other"
    if talks == "blank":
        parts = [row for row in after["conversation_parts"] if row["body"] is None]
        authors = [as_json(row["author"]) for row in parts]
        assert {each and each["name"] for each in authors} >= {None, ADMIN["name"]}


def as_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
