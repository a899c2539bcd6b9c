"""Selecting streams and fields in a catalog file."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_versions import DEFAULT_TABLES
from conftest import RUN, Tap, run_tap
from runs import Clock

from intercom_sandbox import Workspace, generate
from tap_intercom.catalog import select
from tap_intercom.commands.select import Change, apply
from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS

Catalog = dict[str, Any]


class Edit:
    """A catalog file and the command that changes it."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self.path = folder / "catalog.json"
        self.path.write_text(json.dumps(catalog, indent=2) + "\n")
        self.before = self.path.read_bytes()

    def run(self, *changes: str) -> tuple[int, list[str], str]:
        """Exit code, printed lines and last line of the log."""
        command = [*RUN, "select", "--catalog", str(self.path), *changes]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines(), done.stderr.rstrip().rpartition("\n")[2]

    @property
    def is_untouched(self) -> bool:
        return self.path.read_bytes() == self.before

    @property
    def catalog(self) -> Catalog:
        catalog: Catalog = json.loads(self.path.read_bytes())
        return catalog


@pytest.fixture
def edit(plain_catalog: Catalog, tmp_path: Path) -> Edit:
    return Edit(tmp_path, plain_catalog)


@pytest.fixture
def fields_after(plain_catalog: Catalog) -> Callable[..., dict[str, list[str]]]:
    """What a run takes after changes: the names of each stream's fields, dotted inside objects."""

    def after(*changes: Change) -> dict[str, list[str]]:
        catalog = copy.deepcopy(plain_catalog)
        for change in changes:
            apply(change, catalog)
        selections = select(catalog, Settings(), version=0)
        return {name: fields_in(selection.schema) for name, selection in selections.items()}

    return after


def fields_in(schema: Any, above: str = "") -> list[str]:
    """The dotted names of the innermost fields, also of the objects in lists."""
    names = []
    for name, child in schema.get("properties", {}).items():
        inside = fields_in(child, f"{above}{name}.")
        inside += fields_in(child.get("items", {}), f"{above}{name}.")
        names += inside or [above + name]
    return names


def streams(pattern: str, selected: bool = True) -> Change:
    return Change(pattern, None, selected)


def field(stream: str, pattern: str, selected: bool = True) -> Change:
    return Change(stream, pattern, selected)


ONLY_CONTACTS = (streams("*", False), streams("contacts"), field("contacts", "*", False))


@pytest.mark.parametrize(
    ("changes", "selected"),
    [
        ((streams("*", False),), []),
        ((streams("*", False), streams("tags")), ["tags"]),
        ((streams("tags"), streams("*", False)), []),
        (
            (streams("*", False), streams("company_*")),
            [name for name in STREAMS if name.startswith("company_")],
        ),
        ((streams("*", False), streams("*")), DEFAULT_TABLES),
        ((streams("t?g*", False), streams("teams", False), streams("c*", False)), None),
    ],
    ids=["none", "one", "order", "pattern", "all", "several"],
)
def test_streams_are_selected_in_the_order_of_the_changes(
    fields_after: Callable[..., dict[str, list[str]]],
    changes: tuple[Change, ...],
    selected: list[str] | None,
) -> None:
    assert list(fields_after(*changes)) == (
        ["admins", "segments"] if selected is None else selected
    )


@pytest.mark.parametrize(
    ("changes", "selected"),
    [
        ([], ["id", "updated_at"]),
        ([field("contacts", "email")], ["email", "id", "updated_at"]),
        ([field("con*", "e?ail")], ["email", "id", "updated_at"]),
        ([field("contacts", "location.city")], ["id", "location.city", "updated_at"]),
        (
            [field("contacts", "location"), field("contacts", "location.c*", False)],
            ["id", "location.region", "location.type", "updated_at"],
        ),
        (
            [
                field("contacts", "location"),
                field("contacts", "location", False),
                field("contacts", "location.city"),
            ],
            ["id", "location.city", "updated_at"],
        ),
    ],
    ids=["keys stay", "one", "pattern", "inside", "object", "object again"],
)
def test_fields_are_selected_with_what_is_inside_and_around_them(
    fields_after: Callable[..., dict[str, list[str]]], changes: list[Change], selected: list[str]
) -> None:
    after = fields_after(*ONLY_CONTACTS, *changes)
    assert {name: sorted(fields) for name, fields in after.items()} == {"contacts": selected}


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        (
            "tickets.ticket_parts.author.email",
            {"tickets": ["ticket_parts.ticket_parts.author.email"]},
        ),
        (
            "tickets.ticket_parts.ticket_parts[].author.email",
            {"tickets": ["ticket_parts.ticket_parts.author.email"]},
        ),
        ("contacts.email", {"contacts": ["email"]}),
        ("contacts.notes.id", {"contacts": ["notes.data.id"]}),
        ("companies.notes.url", {"companies": ["notes.url"]}),  # not that of each note
        (
            "*.author.email",
            {
                "companies": ["notes.data.author.email", "notes.notes.author.email"],
                "conversations": [
                    "company.notes.data.author.email",
                    "company.notes.notes.author.email",
                    "conversation_message.author.email",
                    "source.author.email",
                ],
                "conversation_parts": ["author.email"],
                "side_conversation_parts": ["author.email"],
                "company_notes": ["author.email"],
                "contact_notes": ["author.email"],
                "ticket_parts": ["author.email"],
                "tickets": ["ticket_parts.ticket_parts.author.email"],
            },
        ),
        (
            "conversations.source.*.email",
            {
                "conversations": [
                    "source.author.email",
                    "source.recipients.email",
                    "source.reply_to.email",
                ]
            },
        ),
    ],
)
def test_patterns_reach_into_objects_and_lists(
    fields_after: Callable[..., dict[str, list[str]]],
    pattern: str,
    left_out: dict[str, list[str]],
) -> None:
    stream, _, name = pattern.partition(".")
    every_field = (streams("*"), field("*", "*"))
    before = fields_after(*every_field)
    after = fields_after(*every_field, field(stream, name, False))
    gone = {each: [name for name in before[each] if name not in after[each]] for each in before}
    assert {each: sorted(names) for each, names in gone.items() if names} == left_out


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([field("contacts", "location.*", False)], []),
        ([field("contacts", "location", False)], []),
        ([field("contacts", "location.*", False), field("contacts", "location.city")], ["city"]),
        ([field("contacts", "location", False), field("contacts", "location")], None),
    ],
    ids=["all fields", "the object", "one again", "all again"],
)
def test_an_object_without_any_field_is_left_out(
    fields_after: Callable[..., dict[str, list[str]]], changes: list[Change], left: list[str] | None
) -> None:
    def in_location(*changes: Change) -> list[str]:
        names = fields_after(*changes)["contacts"]
        return [name for name in names if name.split(".")[0] == "location"]

    everything = in_location()
    assert len(everything) > 1
    expected = everything if left is None else [f"location.{name}" for name in left]
    assert in_location(*changes) == expected


EMAIL_STREAMS = (
    *("activity_logs", "admins", "companies", "company_notes", "contact_notes", "contacts"),
    *("conversation_parts", "conversations", "email_settings", "events", "handling_events"),
    *("side_conversation_parts", "ticket_parts", "tickets"),
)


def without(value: Any, name: str) -> Any:
    """A JSON value without the fields of a name, at any depth."""
    if isinstance(value, list):
        return [without(each, name) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: without(each, name) for key, each in value.items() if key != name}


def holders(value: Any, name: str, above: str = "") -> set[str]:
    """The dotted names of the fields that hold a field of a name."""
    if isinstance(value, list):
        return {found for each in value for found in holders(each, name, above)}
    if not isinstance(value, dict):
        return set()
    inside = {
        found for key, each in value.items() for found in holders(each, name, f"{above}.{key}")
    }
    return inside | ({above} if name in value else set())


# With unknown fields, pages of contacts and tickets have no typed records.
@pytest.mark.parametrize("unknown_fields", ["drop", "pass"])
def test_a_field_is_left_out_at_any_depth(
    start_tap_on: Callable[..., Tap], unknown_fields: str
) -> None:
    workspace = generate(seed=3, contacts=12, companies=4, conversations=8, parts=24)
    tap = start_tap_on(workspace, clock=Clock())
    edit = Edit(tap.folder, tap.discover())
    edit.run("--no-stream=*", *(f"--stream={each}" for each in EMAIL_STREAMS))
    edit.run("--field=tickets.ticket_parts")
    before = tap.sync(catalog=edit.catalog, unknown_fields=unknown_fields)
    assert edit.run("--no-field", "*.email")[0] == 0
    after = tap.sync(catalog=edit.catalog, unknown_fields=unknown_fields)

    assert before.code == after.code == 0, after.log
    found = holders(before.records("tickets"), "email")
    assert ".ticket_parts.ticket_parts.author" in found
    assert {".source.author", ".source.recipients"} <= holders(
        before.records("conversations"), "email"
    )
    for stream in EMAIL_STREAMS:
        assert not [
            each for each in fields_in(after.schema(stream)) if each.split(".")[-1] == "email"
        ]
        assert after.records(stream) == without(before.records(stream), "email"), stream


@pytest.mark.parametrize("stream", ["tickets", "ticket_parts"])
def test_rows_inside_a_record_follow_their_own_entry(
    start_tap_on: Callable[..., Tap], plain_catalog: Catalog, stream: str
) -> None:
    workspace = Workspace()
    workspace.add_ticket_part(workspace.add_ticket(), body="Hello")
    tap = start_tap_on(workspace)
    edit = Edit(tap.folder, plain_catalog)
    edit.run("--no-stream=*", "--stream=tickets", "--stream=ticket_parts")
    edit.run("--field=tickets.ticket_parts")
    place = "ticket_parts.author.email" if stream == "tickets" else "author.email"
    assert edit.run("--no-field", f"{stream}.{place}")[0] == 0
    output = tap.sync(catalog=edit.catalog)
    assert output.code == 0, output.log
    found = {
        "tickets": holders(output.records("tickets"), "email"),
        "ticket_parts": holders(output.records("ticket_parts"), "email"),
    }
    expected = {"tickets": {".ticket_parts.ticket_parts.author"}, "ticket_parts": {".author"}}
    assert found == {**expected, stream: set()}


def test_a_list_without_any_field_is_left_out_of_schema_and_records(
    start_tap_on: Callable[..., Tap], plain_catalog: Catalog
) -> None:
    workspace = Workspace()
    workspace.add_contact(tags=[workspace.add_tag(name="VIP")], custom_attributes={"plan": "a"})
    tap = start_tap_on(workspace)
    edit = Edit(tap.folder, plain_catalog)
    edit.run("--no-stream=*", "--stream=contacts")
    code, lines, _ = edit.run("--no-field=contacts.tags.*", "--no-field=contacts.location.*")
    assert code == 0
    (line,) = [line for line in lines if line.startswith("contacts ")]
    assert line.split(" without ")[1] == "tags, location"
    output = tap.sync(catalog=edit.catalog)
    (record,) = output.records("contacts")
    assert not {"tags", "location"} & record.keys()
    assert not {"tags", "location"} & output.schema("contacts")["properties"].keys()
    assert record["custom_attributes"] == {"plan": "a"}  # it may have fields without a schema


def test_a_run_takes_what_the_command_selected(
    start_tap_on: Callable[[Workspace], Tap], plain_catalog: Catalog
) -> None:
    workspace = Workspace()
    workspace.add_contact(email="ada@example.com", name="Ada")
    tap = start_tap_on(workspace)
    edit = Edit(tap.folder, plain_catalog)
    changes = ["--no-stream", "*", "--stream", "contacts"]
    changes += ["--no-field", "contacts.*", "--field", "contacts.email"]
    assert edit.run(*changes)[0] == 0

    output = run_tap("--config", tap.config(), "--catalog", str(edit.path))
    assert output.code == 0, output.log
    (record,) = output.records("contacts")
    assert record.keys() == {"id", "updated_at", "email"}
    assert output.count("SCHEMA") == 1


def test_without_changes_it_only_tells(edit: Edit) -> None:
    code, lines, _ = edit.run()
    assert code == 0
    assert lines[0].split() == ["stream", "selected", "fields"]
    assert [line.split()[0] for line in lines[1:]] == DEFAULT_TABLES
    fields = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert fields["teams"] == ["yes", "all", "8"]
    assert fields["workspace"] == ["no"]
    assert edit.is_untouched


def test_it_tells_what_is_selected_after_the_changes(edit: Edit) -> None:
    code, lines, _ = edit.run(
        "--no-stream=*",
        "--stream=te*",
        "--stream=tags",
        "--no-field=teams.name",
        "--no-field=tags.*",
        "--field=tags.name",
        "--no-field=tags.applied_by",
    )
    assert code == 0
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:]}
    assert told["admins"] == "no"
    assert told["teams"] == "yes       7 of 8 without name"
    assert told["tags"] == "yes       2 of 6: id, name"


def test_all_selects_every_stream(edit: Edit) -> None:
    edit.run("--no-stream", "*")
    code, lines, _ = edit.run("--all")
    assert code == 0
    assert all(line.split()[1] == "yes" for line in lines[1:])


def test_only_marks_of_selection_change(edit: Edit) -> None:
    edit.path.chmod(0o640)
    assert edit.run("--no-field", "contacts.email")[0] == 0
    expected = json.loads(edit.before)
    (contacts,) = [each for each in expected["streams"] if each["tap_stream_id"] == "contacts"]
    (mark,) = [
        each for each in contacts["metadata"] if each["breadcrumb"] == ["properties", "email"]
    ]
    mark["metadata"]["selected"] = False
    assert edit.path.read_text() == json.dumps(expected, indent=2) + "\n"
    assert edit.path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(edit.path.parent) == ["catalog.json"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["--stream", "contcts"], "no stream matches 'contcts', did you mean contacts?"),
        (["--stream", "x*"], "no stream matches 'x*'; the catalog has activity_log_event_types, "),
        (
            ["--no-field", "contacts.emial"],
            "no field of contacts matches 'emial', did you mean email?",
        ),
        (
            ["--no-field", "conversations.source.email"],
            "no field of conversations matches 'source.email'",
        ),
        (["--field", "contact.email"], "no stream matches 'contact', did you mean contacts?"),
        (["--no-field", "contacts.id"], "id of contacts is a key or the replication key"),
        (["--field", "email"], "'email' is not STREAM.PATTERN"),
        (["--all", "--stream", "x"], "no stream matches 'x'"),
    ],
)
def test_a_change_of_nothing_is_refused_and_changes_nothing(
    edit: Edit, changes: list[str], told: str
) -> None:
    code, lines, last = edit.run(*changes)
    assert code == 2
    assert told in last
    assert lines == []
    assert edit.is_untouched


def test_a_catalog_of_another_tap_can_be_mended(tmp_path: Path, plain_catalog: Catalog) -> None:
    catalog = copy.deepcopy(plain_catalog)
    (tags,) = [each for each in catalog["streams"] if each["tap_stream_id"] == "tags"]
    old = {
        "stream": "tags",
        "tap_stream_id": "tags",
        "schema": {**tags["schema"], "selected": True},
    }
    other = {
        "tap_stream_id": "news",
        "schema": {},
        "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
    }
    edit = Edit(tmp_path, {"streams": [old, other]})

    code, _, last = edit.run()
    assert code == 2
    assert "the selected stream news does not exist" in last

    code, lines, _ = edit.run("--no-stream", "news", "--no-field", "tags.applied_*")
    assert code == 0
    assert [line.split()[:2] for line in lines[1:]] == [["tags", "yes"], ["news", "no"]]
    assert "without applied_at, applied_by" in lines[1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "must contain an object with a list of streams"),
        ("{", "is not JSON"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_no_catalog_is_named(tmp_path: Path, content: str, told: str) -> None:
    edit = Edit(tmp_path, {})
    edit.path.write_text(content)
    code, _, last = edit.run("--all")
    assert code == 2
    assert told in last
    assert edit.path.read_text() == content
