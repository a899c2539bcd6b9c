"""Each join of docs/joins.md, run in a real database that has every table."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import Tap, selecting
from loaded_tables import load, target_bin
from paths import ROOT

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.streams import STREAMS

PAGE = (ROOT / "docs" / "joins.md").read_text(encoding="utf-8")
JOINS = {
    f"{source} to {target}": sql
    for source, target, sql in re.findall(
        r"^\| `([^`]+)` \| `([^`]+)` \| .* \| `(select [^`]+)` \|$", PAGE, re.MULTILINE
    )
}
RUN_STATEMENTS = """
import duckdb, json, sys
database = duckdb.connect(sys.argv[1], read_only=True)
found = {}
for name, sql in json.load(sys.stdin).items():
    try:
        found[name] = database.execute(sql).fetchone()[0]
    except duckdb.Error as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def refer(workspace: Workspace) -> None:
    """Add the references that the sample does not have, all to the same few records."""
    admin, other_admin, *_ = workspace.admins
    team, tag = next(iter(workspace.teams)), next(iter(workspace.tags))
    user = next(each for each in workspace.truth("contacts") if each["external_id"])
    company = workspace.truth("companies")[-1]
    people = {
        "admin": {"type": "admin", "id": admin},
        "team": {"type": "team", "id": team},
        "user": {"type": "user", "id": user["id"]},
    }
    refer_to_settings(workspace, admin, other_admin, team)
    refer_to_companies(workspace, company, user["id"])
    refer_to_people(workspace, people, user["external_id"])
    refer_from_knowledge(workspace, people, tag)
    conversation = list(workspace.conversations.texts)[-1]
    parts = [{"author": who, "assigned_to": who} for who in people.values()]
    workspace.add_side_conversation(
        conversation, [*parts, {"tags": tags_by(tag, {}), "attachments": [workspace.add_file()]}]
    )
    call = workspace.record_keys("calls")[0]
    workspace.add_fin_voice_call(conversation, intercom_call_id=call)
    for group in ("receipt", "fin_step_reached"):
        workspace.update_export_row(group, -1, conversation_id=conversation)


def refer_to_settings(workspace: Workspace, admin: str, other_admin: str, team: str) -> None:
    workspace.update_record(
        "admins",
        admin,
        admin_ids=[int(other_admin)],
        away_status_reason_id=int(workspace.record_keys("away_status_reasons")[0]),
        team_priority_level={"primary_team_ids": [], "secondary_team_ids": [int(team)]},
    )
    attribute = workspace.record_keys("conversation_attributes")[0]
    workspace.update_record("conversation_attributes", attribute, visible_to_team_ids=[team])


def refer_to_companies(workspace: Workspace, company: dict[str, Any], contact: str) -> None:
    """Of a note on a contact, of exports, and of a note under its other name."""
    note = workspace.add_contact_note(contact, company={"type": "company", "id": company["id"]})
    assert note in workspace.notes
    note = workspace.add_company_note(company["id"])
    notes = {"type": "note.list", "notes": [{"type": "note", "id": note}], "total_count": 1}
    workspace.update_company(company["id"], notes=notes)
    ids = {"company_id": company["id"], "company_external_id": company["company_id"]}
    for group in ("receipt", "answer_combined"):
        workspace.update_export_row(group, -1, **ids)
    workspace.update_export_row("checkpoint", -1, company_id=company["id"])


def refer_to_people(
    workspace: Workspace, people: dict[str, dict[str, Any]], external_id: str
) -> None:
    """From conversations and tickets, which also link to each other."""
    admin, team, user = people["admin"], people["team"], people["user"]
    one, other = list(workspace.conversations.texts)[-2:]
    workspace.update_conversation(
        one,
        source={"author": admin},
        tags={"type": "tag.list", "tags": tags_by(next(iter(workspace.tags)), user)},
        conversation_rating={"contact": user | {"external_id": external_id}},
        statistics={"type": "conversation_statistics", "last_closed_by": admin},
    )
    workspace.add_part(one, part_type="assignment", assigned_to=team)
    workspace.handling_events[one] = [
        {"teammate": team | {"id": int(team["id"])}, "type": "paused", "timestamp": 1_700_000_000}
    ]
    ticket, other_ticket = [
        each for each in workspace.tickets.texts if each not in workspace.ticket_ids
    ][-2:]
    workspace.link_ticket(ticket, other_ticket, "ticket")
    workspace.link_ticket(ticket, one)
    linked = [{"type": "conversation", "id": other}, {"type": "ticket", "id": ticket}]
    objects = {"type": "list", "data": linked, "total_count": 2, "has_more": False}
    workspace.update_conversation(one, linked_objects=objects)
    attribute = workspace.truth("ticket_type_attributes")[0]["id"]
    changed = {"attribute": {"type": "attribute", "id": attribute}, "value": None}
    for who in people.values():
        workspace.add_ticket_part(
            ticket, author=who, assigned_to=who, updated_attribute_data=changed
        )


def refer_from_knowledge(workspace: Workspace, people: dict[str, dict[str, Any]], tag: str) -> None:
    tags = [*tags_by(tag, people["admin"]), *tags_by(tag, people["user"])]
    article = workspace.record_keys("articles")[-1]
    workspace.update_record("articles", article, tags={"type": "tag.list", "tags": tags})
    audiences = [int(each) for each in workspace.record_keys("audiences")]
    article = workspace.record_keys("internal_articles")[-1]
    tagged = {"type": "tag.list", "tags": tags}
    workspace.update_record("internal_articles", article, audience_ids=audiences, tags=tagged)


def tags_by(tag: str, who: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "tag", "id": tag, "name": "VIP", "applied_by": who}]


def gone(workspace: Workspace) -> None:
    """Take one record away of each kind whose deletion the tap detects, and merge a contact."""
    kept, merged, deleted = list(workspace.contacts.texts)[:3]
    workspace.merge_contacts(merged, kept)
    workspace.delete_contact(deleted)
    workspace.delete_company(next(iter(workspace.companies.texts)))
    workspace.delete_conversation(next(iter(workspace.conversations.texts)))


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two runs of every stream write, the second one after `gone`."""
    sizes: dict[str, Any] = {"contacts": 120, "companies": 30, "conversations": 40, "parts": 300}
    workspace = generate(seed=3, **sizes, days=90, files=True)
    settings: dict[str, Any] = {
        "start_date": (datetime.now(timezone.utc) - timedelta(days=200)).date().isoformat(),
        "add_workspace_id": True,
        "detect_deletes": "table",
    }
    refer(workspace)
    with Sandbox(workspace) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("joins"))
        settings["attachments_dir"] = str(tap.folder / "files")
        settings["known_ids_file"] = str(tap.folder / "known.ids")
        newest = {"api_version": "Preview", **settings}
        catalog = selecting(tap.discover(**newest), *STREAMS)
        first = tap.sync(catalog=catalog, **newest)
        gone(workspace)
        second = tap.sync(catalog=catalog, state=first.state, **newest)
        # Preview no longer has this one.
        third = tap.sync("ip_allowlist", **settings)
    for output in (first, second, third):
        assert output.code == 0, output.log
    written = tap.folder / "messages.jsonl"
    written.write_bytes(first.stdout + second.stdout + third.stdout)
    return written


@pytest.fixture(scope="module")
def counts(messages: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int | str]:
    """How many rows each join has, or why the database refuses it."""
    target, folder = target_bin("duckdb"), tmp_path_factory.mktemp("database")
    database = folder / "intercom.duckdb"
    config = {
        "path": str(database),
        "database": database.stem,
        "default_target_schema": "main",
        # Without these, DuckDB cannot update a table that has a key and nothing else.
        "add_metadata_columns": True,
    }
    load(target / "target-duckdb", config, messages, folder)
    done = subprocess.run(
        [str(target / "python"), "-c", RUN_STATEMENTS, str(database)],
        input=json.dumps(JOINS).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, int | str] = json.loads(done.stdout)
    return found


def test_every_row_of_the_page_is_a_join() -> None:
    assert len(JOINS) == PAGE.count("\n| `")


def test_every_join_finds_rows(counts: dict[str, int | str]) -> None:
    assert counts.keys() == JOINS.keys()
    wrong = [
        f"{name}: {count}"
        for name, count in counts.items()
        if not isinstance(count, int) or count == 0
    ]
    assert not wrong, "\n".join(wrong)
