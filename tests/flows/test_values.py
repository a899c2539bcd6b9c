"""Values of one kind come in one form, whatever table and object they are in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from conftest import Output, Tap

from intercom_sandbox import Sandbox, Workspace, generate

Place = tuple[str, ...]

# The objects with attributes that people declare, and the tables of their declarations.
ATTRIBUTES = {
    ("contacts", "custom_attributes"): "contact_attributes",
    ("companies", "custom_attributes"): "company_attributes",
    ("conversations", "custom_attributes"): "conversation_attributes",
    ("conversations", "company", "custom_attributes"): "company_attributes",
    ("conversations", "ticket", "ticket_attributes"): "ticket_type_attributes",
    ("tickets", "ticket_attributes"): "ticket_type_attributes",
}
# Intercom does not list the attributes of custom objects.
UNDECLARED = {("custom_object_instances", "custom_attributes")}
# What teammates publish is content, whose form matters; macros have their text beside it.
CONTENT = {
    ("articles", "body"),
    ("articles", "translated_content", "*", "body"),
    ("external_pages", "html"),
    ("internal_articles", "body"),
    ("macros", "body"),
    ("news_items", "body"),
    ("newsfeed_items", "body"),
}
MESSAGES = {
    ("company_notes", "body"),
    ("contact_notes", "body"),
    ("conversation_parts", "body"),
    ("conversations", "company", "notes", "data", "[]", "body"),
    ("conversations", "source", "body"),
    ("conversations", "source", "email_message_metadata", "history"),
    ("conversations", "source", "subject"),
    ("conversations", "ticket", "ticket_attributes", "_default_description_"),
    ("companies", "notes", "data", "[]", "body"),
    ("side_conversation_parts", "body"),
    ("ticket_parts", "body"),
    ("tickets", "ticket_attributes", "_default_description_"),
    ("tickets", "ticket_parts", "ticket_parts", "[]", "body"),
}
HTML = re.compile(r"</?(?:p|b|a|br|div|sup)\b[^>]*>")


def texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Each text of a record, by its place; languages are keys like any other."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for each in value:
            yield from texts(each, (*place, "[]"))
    elif isinstance(value, dict):
        for name, each in value.items():
            step = "*" if place[-1:] == ("translated_content",) else name
            yield from texts(each, (*place, step))


def places_of_html(output: Output, streams: list[str]) -> set[Place]:
    return {
        place
        for stream in streams
        for record in output.records(stream)
        for place, text in texts(record, (stream,))
        if HTML.search(text)
    }


def sample() -> Workspace:
    workspace = generate(seed=3, contacts=40, companies=12, conversations=40, parts=90, tickets=12)
    due = {"ticket_attributes": {"Due": 1_700_000_000_000, "_default_description_": "<p>Hot</p>"}}
    workspace.update_ticket(next(iter(workspace.tickets.texts)), **due)
    # A copy of a company as Intercom sends it, with the notes that it has from 2.16 on.
    company_id = workspace.add_company(custom_attributes={"renewal date": 1_700_000_000})
    company = workspace.companies.get(company_id)
    notes = {"type": "note.list", "data": [{"type": "note", "id": "1", "body": "<p>Noted</p>"}]}
    workspace.add_conversation(company=company | {"notes": notes | {"total_count": 1}})
    workspace.update_company(company_id, notes=notes | {"total_count": 1})
    return workspace


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Output]:
    """A run of all tables in each format of texts."""
    with Sandbox(sample(), rate_limit=1_000_000) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("values"))
        catalog = tap.discover()
        streams = [each["tap_stream_id"] for each in catalog["streams"]]
        streams = [each for each in streams if not each.startswith("content_export_")]
        streams = [
            each for each in streams if each not in ("attachments", "deletions", "team_metrics")
        ]
        found = {
            body_format: tap.sync(
                *streams, catalog=catalog, body_format=body_format, custom_object_types=["Order"]
            )
            for body_format in ("plaintext", "html")
        }
    for output in found.values():
        assert output.code == 0, output.log
        assert output.log_lines("ERROR") == []
    return found


def streams_of(output: Output) -> list[str]:
    return sorted({each["stream"] for each in output.messages if each["type"] == "SCHEMA"})


def test_messages_are_plain_text_in_every_table(runs: dict[str, Output]) -> None:
    streams = streams_of(runs["plaintext"])
    assert places_of_html(runs["html"], streams) == MESSAGES | CONTENT
    assert places_of_html(runs["plaintext"], streams) == CONTENT


@pytest.mark.parametrize("body_format", ["plaintext", "html"])
def test_the_rows_are_the_same_but_for_the_form_of_texts(
    runs: dict[str, Output], body_format: str
) -> None:
    counts = {name: len(runs[body_format].records(name)) for name in streams_of(runs[body_format])}
    assert counts == {name: len(runs["html"].records(name)) for name in counts}
    assert sum(counts.values()) > 1000


def objects_named(value: Any, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Each object with custom attributes in a record, by its place."""
    if isinstance(value, list):
        for each in value:
            yield from objects_named(each, (*place, "[]"))
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in ("custom_attributes", "ticket_attributes") and isinstance(each, dict):
                yield (*place, name), each
            yield from objects_named(each, (*place, name))


def test_declared_dates_are_utc_text_in_every_table(runs: dict[str, Output]) -> None:
    output = runs["plaintext"]
    found: defaultdict[Place, set[Any]] = defaultdict(set)
    for stream in streams_of(output):
        for record in output.records(stream):
            for place, attributes in objects_named(record, (stream,)):
                assert place in ATTRIBUTES.keys() | UNDECLARED, (
                    f"a new place of attributes: {place}"
                )
                declared = output.records(ATTRIBUTES.get(place, "tags"))
                for each in declared:
                    if each.get("data_type") in ("date", "datetime"):
                        found[place].add(attributes.get(each["name"]))
    assert found.keys() == ATTRIBUTES.keys()
    for place, values in found.items():
        values.discard(None)
        assert values, f"the sample has no date in {place}"
        for value in values:
            assert value.endswith("Z"), f"{place}: {value}"
            datetime.fromisoformat(value.replace("Z", "+00:00"))
    assert "2023-11-14T22:13:20Z" in found["tickets", "ticket_attributes"]  # from milliseconds


@pytest.mark.parametrize("place", ATTRIBUTES, ids=".".join)
def test_schemas_say_that_declared_dates_are_dates(runs: dict[str, Output], place: Place) -> None:
    """In copies of other tables, the type is text: they have no column for values that are none."""
    output = runs["plaintext"]
    schema = output.schema(place[0])
    for name in place[1:]:
        schema = schema["properties"][name]
    names = {
        each["name"]
        for each in output.records(ATTRIBUTES[place])
        if each["data_type"] in ("date", "datetime") and each.get("custom") is not False
    }
    assert names
    for name in names:
        is_time = schema["properties"][name].get("format") == "date-time"
        assert is_time == (len(place) == 2), schema["properties"][name]


def test_long_names_in_copies_stay_as_they_are(start_tap_on: Callable[..., Tap]) -> None:
    """The name of a column of `company__custom_attributes__` has less room in a database."""
    workspace = Workspace()
    for name in ("x" * 35, "x" * 36):
        workspace.add_data_attribute("company", name, "date")
    catalog = start_tap_on(workspace).discover()
    schemas = {each["tap_stream_id"]: each["schema"] for each in catalog["streams"]}
    company = schemas["conversations"]["properties"]["company"]["properties"]
    own = schemas["companies"]["properties"]["custom_attributes"]["properties"]
    assert own.keys() == {"x" * 35, "x" * 36}
    assert company["custom_attributes"]["properties"].keys() == {"x" * 35}
