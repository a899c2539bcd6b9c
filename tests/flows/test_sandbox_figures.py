"""Figures of the sandbox that repeat what other records say agree with them, also after edits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import Tap

from intercom_sandbox import Sandbox, Workspace, generate
from intercom_sandbox.options import PERMISSIONS

Record = dict[str, Any]
ADMIN_REPLIES = ("comment", "quick_reply")


class Whole:
    """All records of a workspace, by table and id."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.parts: defaultdict[str, list[Record]] = defaultdict(list)
        for part in workspace.truth("conversation_parts"):
            self.parts[part["conversation_id"]].append(part)

    def __getitem__(self, table: str) -> dict[str, Record]:
        return {str(each["id"]): each for each in self.workspace.truth(table)}


def conversations_disagree(whole: Whole) -> Iterator[str]:
    for key, each in whole["conversations"].items():
        figures = each["statistics"]
        if figures is None:
            continue
        parts = sorted(whole.parts[key], key=lambda part: int(part["created_at"]))
        replies = [
            part["created_at"]
            for part in parts
            if part["part_type"] in ADMIN_REPLIES and part["author"]["type"] == "admin"
        ]
        closes = [part for part in parts if part["part_type"] == "close"]
        said = {
            "count_conversation_parts": len(parts),
            "first_contact_reply_at": each["created_at"],
            "first_admin_reply_at": replies[0] if replies else None,
            "last_admin_reply_at": replies[-1] if replies else None,
            "time_to_admin_reply": replies[0] - each["created_at"] if replies else None,
            "first_close_at": closes[0]["created_at"] if closes else None,
            "last_close_at": closes[-1]["created_at"] if closes else None,
            "last_closed_by_id": closes[-1]["author"]["id"] if closes else None,
            "count_assignments": sum("assign" in part["part_type"] for part in parts),
        }
        for name, value in said.items():
            if figures[name] != value:
                yield f"conversation {key}: {name} is {figures[name]}, its parts say {value}"
        reply = each["first_contact_reply"]
        if reply and reply["created_at"] != figures["first_contact_reply_at"]:
            yield f"conversation {key}: first_contact_reply is at another time"
        for team in figures["assigned_team_first_response_time"]:
            known = whole["teams"][str(team["team_id"])]
            if (team["team_name"], team["response_time"]) != (
                known["name"],
                figures["time_to_admin_reply"],
            ):
                yield f"conversation {key}: the team's first response is another one"


def counts_disagree(whole: Whole) -> Iterator[str]:
    contacts = whole["contacts"].values()
    users = Counter(
        company["id"] for each in contacts for company in (each["companies"] or {}).get("data", ())
    )
    for key, each in whole["companies"].items():
        if each["user_count"] != users[key]:
            yield f"company {key}: user_count is {each['user_count']}, it has {users[key]} contacts"
    in_segments = Counter(each["segment_id"] for each in whole.workspace.truth("contact_segment"))
    in_segments += Counter(each["segment_id"] for each in whole.workspace.truth("company_segment"))
    for key, each in (whole["segments"] | whole["company_segments"]).items():
        if each["count"] != in_segments[key]:
            yield f"segment {key}: count is {each['count']}, it has {in_segments[key]} members"
    notes = Counter(each["contact"]["id"] for each in whole.workspace.truth("contact_notes"))
    for each in contacts:
        for name in ("tags", "companies", "notes"):
            entries = each[name] or {"data": (), "total_count": 0}
            if len(entries["data"]) != entries["total_count"]:
                yield f"contact {each['id']}: {name} has another total_count"
        if (each["notes"] or {}).get("total_count", 0) != notes[each["id"]]:
            yield f"contact {each['id']}: it has {notes[each['id']]} notes"


def teams_disagree(whole: Whole) -> Iterator[str]:
    by_team = {
        (key, str(admin)) for key, each in whole["teams"].items() for admin in each["admin_ids"]
    }
    by_admin = {
        (str(team), key) for key, each in whole["admins"].items() for team in each["team_ids"]
    }
    yield from (f"team and admin {pair}: only one names the other" for pair in by_team ^ by_admin)


def references_lead_nowhere(whole: Whole) -> Iterator[str]:
    contacts, companies, tags = whole["contacts"], whole["companies"], whole["tags"]
    admins, teams = whole["admins"], whole["teams"]
    for key, each in (whole["conversations"] | whole["tickets"]).items():
        for contact in each["contacts"]["contacts"]:
            if contact["id"] not in contacts:
                yield f"{key}: the contact {contact['id']} is nobody"
        for name, table in (("admin_assignee_id", admins), ("team_assignee_id", teams)):
            if each[name] and str(each[name]) not in table:
                yield f"{key}: {name} {each[name]} is nobody"
        if each.get("company") and each["company"]["id"] not in companies:
            yield f"{key}: there is no company {each['company']['id']}"
        for tag in (each.get("tags") or {}).get("tags", ()):
            if tags.get(tag["id"], {}).get("name") != tag["name"]:
                yield f"{key}: the tag {tag['id']} has another name"
    for key, each in contacts.items():
        for company in (each["companies"] or {}).get("data", ()):
            if company["id"] not in companies:
                yield f"contact {key}: there is no company {company['id']}"


def links_are_one_sided(whole: Whole) -> Iterator[str]:
    tables = {"conversation": whole["conversations"], "ticket": whole["tickets"]}
    links = {
        (kind, key, link["type"], link["id"])
        for kind, table in tables.items()
        for key, each in table.items()
        for link in each["linked_objects"]["data"]
    }
    assert links
    for kind, key, other_kind, other in links:
        if (other_kind, other, kind, key) not in links:
            yield f"{kind} {key}: {other_kind} {other} does not link back"


def attributes_are_not_declared(whole: Whole) -> Iterator[str]:
    declared = {
        "contacts": whole.workspace.truth("contact_attributes"),
        "companies": whole.workspace.truth("company_attributes"),
        "conversations": whole.workspace.truth("conversation_attributes"),
        "tickets": whole.workspace.truth("ticket_type_attributes"),
    }
    for table, attributes in declared.items():
        names = {each["name"] for each in attributes if each.get("custom") is not False}
        field = "ticket_attributes" if table == "tickets" else "custom_attributes"
        for key, each in whole[table].items():
            for name in each[field].keys() - names:
                yield f"{table} {key}: nobody declares the attribute {name}"


CHECKS: tuple[Callable[[Whole], Iterator[str]], ...] = (
    conversations_disagree,
    counts_disagree,
    teams_disagree,
    references_lead_nowhere,
    links_are_one_sided,
    attributes_are_not_declared,
)


def disagreements(workspace: Workspace) -> list[str]:
    whole = Whole(workspace)
    return [problem for check in CHECKS for problem in check(whole)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_figures_of_a_whole_workspace_agree(seed: int) -> None:
    workspace = generate(seed=seed)
    assert disagreements(workspace) == []
    replied = [each for each in workspace.truth("conversations") if each["statistics"]]
    assert any(each["statistics"]["first_admin_reply_at"] for each in replied)


def test_lists_have_as_many_records_as_they_count() -> None:
    with Sandbox(generate(seed=1, contacts=30, conversations=20, parts=80)) as sandbox:
        headers = {"Authorization": f"Bearer {sandbox.token}", "Intercom-Version": "2.16"}

        def get(path: str) -> Record:
            found: Record = requests.get(sandbox.url + path, headers=headers, timeout=10).json()
            return found

        for company in sandbox.truth("companies"):
            listed = get(f"/companies/{company['id']}/contacts")
            assert listed["total_count"] == company["user_count"]
        for each in sandbox.truth("conversations"):
            parts = get(f"/conversations/{each['id']}")["conversation_parts"]
            assert len(parts["conversation_parts"]) == parts["total_count"]
            figures = each["statistics"]
            assert not figures or figures["count_conversation_parts"] == parts["total_count"]
        for each in sandbox.truth("tickets"):
            parts = get(f"/tickets/{each['id']}")["ticket_parts"]
            assert len(parts["ticket_parts"]) == parts["total_count"]


# -- Edits while it runs -------------------------------------------------------------------------


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(generate(seed=1, contacts=20, companies=4, conversations=8, parts=30))


def edit(tap: Tap, *arguments: str, code: int = 0) -> list[Record]:
    """Run the command in the folder of the tap, whose config has the URL."""
    tap.config()
    process = command(*arguments, folder=tap.folder)
    assert process.returncode == code, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "intercom_sandbox", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_records_are_added_edited_merged_and_deleted_while_it_runs(tap: Tap) -> None:
    first = tap.sync("contacts", "companies")
    assert first.code == 0, first.log
    tap.sandbox.options.clock_offset_seconds += 3600
    company = next(iter(tap.sandbox.workspace.companies.texts))
    (lead,) = edit(tap, "add", "contacts", "role=lead", "email=new@example.com")
    assert (lead["role"], lead["email"]) == ("lead", "new@example.com")
    (contact, *_) = edit(tap, "list", "contacts", "--count", "30")[1:]
    (edited,) = edit(
        tap, "edit", "contacts", contact["id"], "name=New name", "custom_attributes.seats=7",
        f'companies=["{company}"]',
    )  # fmt: skip
    assert edited["name"] == "New name"
    assert edited["custom_attributes"] == contact["custom_attributes"] | {"seats": 7}
    (merged,) = edit(tap, "merge", lead["id"], contact["id"])
    assert merged["id"] == contact["id"]
    gone = tap.sandbox.truth("contacts")[0]["id"]
    assert gone not in (lead["id"], contact["id"])
    assert edit(tap, "delete", "contacts", gone)[0]["id"] == gone
    # A conversation outlives its contacts.
    assert [*counts_disagree(Whole(tap.sandbox.workspace))] == []
    second = tap.sync("contacts", "companies", state=first.state)
    assert second.code == 0, second.log
    rows = {each["id"]: each for each in second.records("contacts")}
    assert rows[contact["id"]]["name"] == "New name"
    assert rows.keys().isdisjoint({lead["id"], gone})
    counts = {each["id"]: each["user_count"] for each in second.records("companies")}
    assert counts[company] == len(tap.sandbox.workspace.company_contact_ids(company))


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        ("companies", ["name=Acme"]),
        ("tags", ["name=VIP"]),
        ("segments", ["name=Big"]),
        ("company_segments", ["name=Big"]),
        ("admins", ["name=Ann"]),
        ("teams", ["name=Night"]),
        ("tickets", ["ticket_attributes._default_title_=Broken"]),
        ("conversations", ["title=Hello"]),
        ("articles", ["title=Hello"]),
        ("macros", ["name=Hello"]),
    ],
)
def test_records_of_any_table_can_be_changed(tap: Tap, table: str, fields: list[str]) -> None:
    before = len(tap.sandbox.truth(table))
    (added,) = edit(tap, "add", table, *fields)
    assert len(tap.sandbox.truth(table)) == before + 1
    name = fields[0].partition("=")[0].partition(".")[0]
    other = fields[0].partition("=")[0] + "=Other"
    (edited,) = edit(tap, "edit", table, str(added["id"]), other)
    assert edited["id"] == added["id"]
    assert edited[name] != added[name]
    edit(tap, "delete", table, str(added["id"]))
    assert len(tap.sandbox.truth(table)) == before


def test_parts_and_team_members_agree_after_an_edit(tap: Tap) -> None:
    workspace = tap.sandbox.workspace
    key = next(each["id"] for each in workspace.truth("conversations") if each["statistics"])
    author = {"type": "admin", "id": next(iter(workspace.admins))}
    owner = f"conversation_id={key}"
    (part,) = edit(
        tap, "add", "conversation_parts", owner, "body=<p>Hi</p>", f"author={json.dumps(author)}"
    )
    assert part["body"] == "<p>Hi</p>"
    statistics = workspace.conversations.get(key)["statistics"]
    assert statistics["last_admin_reply_at"] == part["created_at"]
    team = next(iter(workspace.teams))
    edit(tap, "edit", "teams", team, "admin_ids=[]")
    assert disagreements(workspace) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit", "contacts", "nobody", "name=x"], "contacts: no record has the id 'nobody'"),
        (["delete", "contacts", "nobody"], "contacts: no record has the id 'nobody'"),
        (["add", "people", "name=x"], "'people' is not a table of the sandbox; use one of "),
        (["edit", "contacts", "x", "name"], "'name' is not FIELD=VALUE"),
        (["add", "conversation_parts", "body=x"], "name the owner with conversation_id=ID"),
        (["add", "conversation_parts", "conversation_id=0"], "nothing has the id '0'"),
        (["merge", "nobody", "nobody"], "contacts: no record has the id 'nobody'"),
        (["list", "contacts", "--url", "http://127.0.0.1:1"], "no sandbox answers on http://"),
    ],
)
def test_an_edit_that_cannot_be_made_says_why(tap: Tap, arguments: list[str], message: str) -> None:
    tap.config()
    process = command(*arguments, folder=tap.folder)
    assert (process.returncode, process.stdout) == (2, "")
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def test_without_a_url_the_command_says_where_to_get_one(tmp_path: Path) -> None:
    process = command("list", "contacts", folder=tmp_path)
    assert process.returncode == 2
    assert "give the URL of the sandbox with --url" in process.stderr


def test_an_unknown_permission_is_refused_with_all_names(tmp_path: Path) -> None:
    process = command("serve", "--without-permission", "Read minds", folder=tmp_path)
    assert process.returncode == 2
    assert "no permission is called 'Read minds'" in process.stderr
    assert all(name in process.stderr for name in PERMISSIONS.values())
