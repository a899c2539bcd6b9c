"""What catalogs leave out: copies of other tables, and columns that a version never fills."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Output, Tap
from test_catalog import entry_of, field, metadata_of
from test_tables import expected_records, key_of
from truth import STREAMS as CORE

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.reading.schema_notes import NOTES
from tap_intercom.streams import STREAMS

Catalog = dict[str, Any]

# Fields that another table has, and the table.
COPIES = {
    ("ticket_states", "ticket_types"): "ticket_types",
    ("ticket_types", "ticket_type_attributes"): "ticket_type_attributes",
    ("tickets", "contacts"): "ticket_contact",
    ("tickets", "linked_objects"): "ticket_link",
    ("tickets", "ticket_parts"): "ticket_parts",
}
# Those with the id of one record, which joins the table.
OBJECTS = {
    ("company_notes", "author"): "admins",
    ("contact_notes", "author"): "admins",
    ("tickets", "ticket_state"): "ticket_states",
    ("tickets", "ticket_type"): "ticket_types",
}
# Tables that are lists of records of another one.
LISTS = {"newsfeed_items": "news_items"}
# Columns that came after 2.12.
NEWER = {
    "article_statistics": {"fin_resolutions"},
    "articles": {"body_markdown", "draft_updated_at", "tags"},
    "contact_notes": {"company"},
    "content_import_sources": {"audience_ids"},
    "help_centers": {"default", "locales"},
    "ticket_parts": {"app_package_code", "updated_attribute_data"},
    "tickets": {"previous_ticket_state_id"},
}


def workspace() -> Workspace:
    return generate(seed=1, contacts=40, companies=20, conversations=10, parts=20, tickets=12)


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalog of the workspace; no test may change it."""
    with Sandbox(workspace()) as sandbox:
        return Tap(sandbox, tmp_path_factory.mktemp("discovered")).discover()


@pytest.fixture
def catalog(discovered: Catalog) -> Catalog:
    return copy.deepcopy(discovered)


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(workspace())


def sync(tap: Tap, catalog: Catalog, *streams: str, **settings: Any) -> Output:
    """Run these streams with the fields that the catalog selects."""
    for entry in catalog["streams"]:
        name = entry["tap_stream_id"]
        metadata_of(catalog, name)[()]["selected"] = name in streams
    output = tap.sync(catalog=catalog, **settings)
    assert output.code == 0, output.log
    return output


# Copies


def test_what_another_table_has_is_not_selected(tap: Tap, catalog: Catalog) -> None:
    copied = {*COPIES, *OBJECTS}
    output = sync(tap, catalog, *(stream for stream, _ in copied), *LISTS)
    for stream, name in COPIES:
        assert name not in output.schema(stream)["properties"]
    for stream, name in OBJECTS:
        assert output.schema(stream)["properties"][name]["properties"].keys() == {"id"}
        assert any((each[name] or {}).get("id") for each in output.records(stream))
    for stream in LISTS:
        keys = {*STREAMS[stream].key_properties}
        assert output.schema(stream)["properties"].keys() == keys
        assert output.records(stream)


def test_all_else_is_selected(discovered: Catalog) -> None:
    left_out = {
        (entry["tap_stream_id"], place[1])
        for entry in discovered["streams"]
        for place, mark in metadata_of(discovered, entry["tap_stream_id"]).items()
        if place and not mark["selected-by-default"]
    }
    assert {each for each in left_out if each[0] not in LISTS} == {*COPIES, *OBJECTS}
    assert not {stream for stream, _ in left_out} & {*CORE}
    for stream, name in left_out:
        if stream in LISTS:
            assert name not in STREAMS[stream].key_properties


def test_catalogs_speak_json_schema_alone(discovered: Catalog) -> None:
    assert not [note for note in NOTES if f'"{note}":' in json.dumps(discovered)]


def test_the_tables_have_all_rows_without_the_copies(tap: Tap, catalog: Catalog) -> None:
    tables = {*COPIES.values(), *OBJECTS.values(), *LISTS.values()} - {"admins"}
    output = sync(tap, catalog, *tables, *(stream for stream, _ in COPIES))
    for name in tables:
        rows = {key_of(name, each) for each in output.records(name)}
        assert rows == expected_records(tap.sandbox.workspace, name).keys(), name
        assert rows, name


def test_a_copy_comes_if_it_is_selected(tap: Tap, catalog: Catalog) -> None:
    for place in (field("ticket_parts"), field("ticket_type", "name")):
        metadata_of(catalog, "tickets")[place]["selected"] = True
    tickets = sync(tap, catalog, "tickets").records("tickets")
    assert tickets
    assert any(each["ticket_parts"]["ticket_parts"] for each in tickets)
    assert {frozenset(each["ticket_type"]) for each in tickets} == {frozenset({"id", "name"})}


def test_a_state_that_is_a_text_is_no_copy(tap: Tap) -> None:
    tickets = metadata_of(tap.discover(api_version="2.11"), "tickets")
    assert tickets[field("ticket_state")]["selected-by-default"] is True
    assert tickets[field("ticket_type", "name")]["selected-by-default"] is False


# Versions


def test_what_a_version_never_fills_is_no_column_there(tap: Tap, catalog: Catalog) -> None:
    older = tap.discover(api_version="2.12")
    for stream, names in NEWER.items():
        columns = entry_of(catalog, stream)["schema"]["properties"].keys()
        assert names <= columns - entry_of(older, stream)["schema"]["properties"].keys()
        assert metadata_of(older, stream).keys().isdisjoint(map(field, names))
    author = entry_of(older, "contact_notes")["schema"]["properties"]["author"]["properties"]
    assert "name" in author
    assert "role" not in author
    output = sync(tap, older, *NEWER, api_version="2.12")
    assert output.log_lines("WARNING") == []
    for stream, names in NEWER.items():
        assert output.records(stream), stream
        assert all(each.keys().isdisjoint(names) for each in output.records(stream))


def test_core_tables_have_the_same_columns_in_all_versions(tap: Tap, catalog: Catalog) -> None:
    older = tap.discover(api_version="2.7")
    for stream in CORE:
        columns, before = (entry_of(each, stream)["schema"] for each in (catalog, older))
        assert columns["properties"].keys() == before["properties"].keys(), stream
