"""Discovery tells what there is, and a catalog decides what is read: streams, fields, order."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from api_versions import DEFAULT_TABLES
from conftest import Output, Tap, run_tap, selecting
from jsonschema import Draft4Validator  # type: ignore[import-untyped]
from singer.catalog import Catalog
from truth import FULL_TABLE, HASHED, STREAMS, assert_singer, assert_true

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.records.coerce import prune_schema, without_descriptions

Metadata = dict[tuple[str, ...], dict[str, Any]]


def small_workspace() -> Workspace:
    return generate(seed=1, contacts=6, companies=3, conversations=4, parts=12)


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The catalog of the small workspace; no test may change it."""
    with Sandbox(small_workspace()) as sandbox:
        return Tap(sandbox, tmp_path_factory.mktemp("discovered")).discover()


@pytest.fixture
def catalog(discovered: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(discovered)


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(small_workspace())


def entry_of(catalog: dict[str, Any], stream: str) -> dict[str, Any]:
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == stream]
    return dict(entry)


def metadata_of(catalog: dict[str, Any], stream: str) -> Metadata:
    """The marks of an entry by breadcrumb; changing them changes the catalog."""
    metadata = entry_of(catalog, stream)["metadata"]
    return {tuple(each["breadcrumb"]): each["metadata"] for each in metadata}


def field(*names: str) -> tuple[str, ...]:
    return tuple(itertools.chain.from_iterable(("properties", name) for name in names))


def custom_attributes(catalog: dict[str, Any], stream: str) -> dict[str, Any]:
    schema = entry_of(catalog, stream)["schema"]["properties"]["custom_attributes"]
    return dict(schema.get("properties", {}))


def streams_in_order(output: Output) -> list[str]:
    return [message["stream"] for message in output.messages if message["type"] == "SCHEMA"]


# Discovery


def test_discovery_finds_all_streams(discovered: dict[str, Any]) -> None:
    assert [each["tap_stream_id"] for each in discovered["streams"]] == DEFAULT_TABLES
    assert [each["stream"] for each in discovered["streams"]] == DEFAULT_TABLES


def test_what_is_beyond_the_core_is_not_read_unless_it_is_selected(
    discovered: dict[str, Any],
) -> None:
    defaults = {
        each["tap_stream_id"]: metadata_of(discovered, each["tap_stream_id"])[()][
            "selected-by-default"
        ]
        for each in discovered["streams"]
    }
    assert {name for name, is_default in defaults.items() if is_default} == set(STREAMS)


def test_discovery_writes_what_singer_reads(discovered: dict[str, Any]) -> None:
    catalog = Catalog.from_dict(selecting(copy.deepcopy(discovered), "contacts", "tags"))
    assert [each.tap_stream_id for each in catalog.get_selected_streams({})] == ["contacts", "tags"]


@pytest.mark.parametrize("stream", STREAMS)
def test_discovery_tells_key_and_replication(discovered: dict[str, Any], stream: str) -> None:
    entry, metadata = entry_of(discovered, stream), metadata_of(discovered, stream)
    key = ["_sdc_record_hash"] if stream in HASHED else ["id"]
    is_full = stream in FULL_TABLE
    table = metadata[()]
    assert entry["key_properties"] == table["table-key-properties"] == key
    assert table["forced-replication-method"] == ("FULL_TABLE" if is_full else "INCREMENTAL")
    assert table.get("valid-replication-keys", []) == ([] if is_full else ["updated_at"])
    assert table["selected-by-default"] is True
    assert table["inclusion"] == "available"


@pytest.mark.parametrize("stream", STREAMS)
def test_discovery_marks_every_field(discovered: dict[str, Any], stream: str) -> None:
    metadata = metadata_of(discovered, stream)
    key = "_sdc_record_hash" if stream in HASHED else "id"
    automatic = {field(key)} | ({field("updated_at")} if stream not in FULL_TABLE else set())
    for breadcrumb in fields_of(entry_of(discovered, stream)["schema"]):
        inclusion = "automatic" if breadcrumb in automatic else "available"
        assert metadata[breadcrumb]["inclusion"] == inclusion
        assert metadata[breadcrumb]["selected-by-default"] is True


def fields_of(schema: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, child in schema.get("properties", {}).items():
        yield (*place, *field(name))
        yield from fields_of(child, (*place, *field(name)))


@pytest.mark.parametrize("stream", STREAMS)
def test_discovered_schemas_are_valid(discovered: dict[str, Any], stream: str) -> None:
    Draft4Validator.check_schema(entry_of(discovered, stream)["schema"])


TEXT = {"type": ["null", "string"]}


def nullable(kind: str, **keywords: str) -> dict[str, Any]:
    return {"type": ["null", kind], **keywords}


TYPED = {
    "string": TEXT,
    "list": TEXT,
    "date": nullable("string", format="date-time"),
    "integer": nullable("integer"),
    "float": nullable("number"),
    "boolean": nullable("boolean"),
    "files": nullable("array"),
}


class TestCustomAttributes:
    @pytest.fixture
    def workspace(self) -> Workspace:
        workspace = Workspace()
        for model in ("contact", "company"):
            for data_type in TYPED:
                workspace.add_data_attribute(model, f"a {data_type}", data_type)
            workspace.add_data_attribute(model, "archived", "string", archived=True)
            workspace.add_data_attribute(model, "strange", "object")
            for twin in ("Plan", "plan", "PLAN"):
                workspace.add_data_attribute(model, twin, "string")
            for name, data_type in (("size", "integer"), ("Size", "object")):
                workspace.add_data_attribute(model, name, data_type)
            workspace.add_data_attribute(model, "é" * 22, "string")
            workspace.add_data_attribute(model, "é" * 22 + "n", "string")
        for data_type in TYPED:
            workspace.add_conversation_attribute(f"a {data_type}", data_type)
        return workspace

    @pytest.fixture
    def tap(self, start_tap_on: Callable[..., Tap], workspace: Workspace) -> Tap:
        return start_tap_on(workspace)

    @pytest.mark.parametrize("stream", ["contacts", "companies"])
    def test_each_that_can_be_a_column_is_typed(self, tap: Tap, stream: str) -> None:
        typed = {f"a {data_type}": schema for data_type, schema in TYPED.items()}
        # 44 bytes, with the name of the field before them, fill a column name of PostgreSQL.
        long_enough = {"é" * 22: TEXT}
        found = custom_attributes(tap.discover(), stream)
        assert found == {**typed, "archived": TEXT, **long_enough}

    def test_those_of_one_name_and_different_types_are_text(
        self, tap: Tap, workspace: Workspace
    ) -> None:
        named = (
            ("of two types", ("integer", "date", "integer")),
            ("of one type", ("integer",) * 2),
        )
        attributes = [
            {"name": name, "data_type": each, "custom": True}
            for name, types in named
            for each in types
        ]
        tap.sandbox.faults.add(
            "changed",
            path="/conversations/attributes",
            change=lambda body: {**body, "data": attributes},
        )
        conversation_id = workspace.add_conversation(custom_attributes={"of two types": 5})
        output = tap.sync("conversations")
        assert_singer(output, ["conversations"])
        (record,) = output.records("conversations")
        assert record["id"] == conversation_id
        assert record["custom_attributes"] == {"of two types": "5"}
        found = output.schema("conversations")["properties"]["custom_attributes"]["properties"]
        assert found["of two types"] == TEXT
        assert found["of one type"] == nullable("integer")

    @pytest.mark.parametrize("api_version", ["2.7", "2.11", "2.15", "2.16", "Preview"])
    def test_those_of_conversations_are_typed_in_every_version(
        self, tap: Tap, api_version: str
    ) -> None:
        found = custom_attributes(tap.discover(api_version=api_version), "conversations")
        assert found == {f"a {data_type}": schema for data_type, schema in TYPED.items()}

    def test_all_are_written_typed_or_not(self, tap: Tap, workspace: Workspace) -> None:
        values = {"plan": "a", "Plan": "b", "strange": {"a": [1]}, "never declared": 1.5}
        contact_id = workspace.add_contact(custom_attributes=values)
        output = tap.sync("contacts")
        assert_singer(output, ["contacts"])
        (record,) = output.records("contacts")
        assert record["id"] == contact_id
        assert record["custom_attributes"] == values

    def test_those_of_tickets_with_one_name_and_two_types_are_text(
        self, tap: Tap, workspace: Workspace
    ) -> None:
        for data_type in ("integer", "datetime"):
            of_type = {"name": "due", "data_type": data_type}
            workspace.add_record("ticket_types", ticket_type_attributes={"data": [of_type]})
        schema = entry_of(tap.discover(), "tickets")["schema"]["properties"]["ticket_attributes"]
        assert schema["properties"]["due"] == TEXT

    def test_what_intercom_says_of_one_is_the_description_of_its_column(
        self, tap: Tap, workspace: Workspace
    ) -> None:
        """Behind the type: targets that flatten make a column of the first keyword."""
        text = "Days until\n the trial ends." + " Each plan has its own." * 100
        workspace.add_data_attribute("contact", "days left", "integer", description=text)
        workspace.add_data_attribute("contact", "unclear", "integer", description=None)
        found = custom_attributes(tap.discover(), "contacts")
        assert found["unclear"] == nullable("integer")
        assert without_descriptions(found["days left"]) == nullable("integer")
        assert list(found["days left"]) == ["type", "description"]
        description = found["days left"]["description"]
        assert description.startswith("Days until the trial ends. Each")
        assert len(description) == 1024  # the limit of BigQuery

    def test_those_created_after_discovery_are_kept_and_named_at_the_end(
        self, tap: Tap, workspace: Workspace
    ) -> None:
        workspace.add_record("ticket_types", ticket_type_attributes={"data": []})
        streams = ("contacts", "companies", "conversations", "tickets", "custom_object_instances")
        catalog = selecting(tap.discover(), *streams)
        later = {"Plan": "known, but without a column", "created later": 5, "this too": [{"a": 1}]}
        workspace.add_contact(custom_attributes=later)
        workspace.add_company(custom_attributes=later)
        workspace.add_conversation(custom_attributes={"created later": 5, "this too": [{"a": 1}]})
        workspace.add_ticket(ticket_attributes={"created later": 5, "this too": [{"a": 1}]})
        workspace.add_record("custom_object_instances", type="Order", custom_attributes=later)
        output = tap.sync(catalog=catalog, custom_object_types=["Order"])
        assert output.code == 0, output.log
        for stream in streams:
            (record,) = output.records(stream)
            field = "ticket_attributes" if stream == "tickets" else "custom_attributes"
            assert record[field].items() >= {"created later": 5, "this too": [{"a": 1}]}.items()
            assert json.loads(record["other_attributes"]) == record[field]
        told = [line for line in output.log_lines("WARNING") if "does not have" in line]
        assert sorted(told) == [
            f"WARNING {stream}: the catalog does not have these custom attributes, so targets that "
            "flatten give them no column (their values are in other_attributes): created later, "
            "this too; run --discover --catalog"
            for stream in sorted(streams[:-1])  # discovery cannot find those of custom objects
        ]
        for name in ("created later", "this too"):
            workspace.add_data_attribute("contact", name, "integer")
        output = tap.sync("contacts")
        (record,) = output.records("contacts")
        assert record["custom_attributes"] == {**later, "this too": None}
        assert json.loads(record["other_attributes"]).keys() == {"Plan", "this too"}
        assert "does not have" not in output.log

    def test_those_that_a_catalog_of_an_earlier_version_lacks_are_named(
        self, tap: Tap, workspace: Workspace
    ) -> None:
        catalog = selecting(tap.discover(), "contacts")
        schema = entry_of(catalog, "contacts")["schema"]["properties"]
        del schema["other_attributes"]
        or_text = {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}
        schema["custom_attributes"]["properties"] = {"a integer": or_text}
        values = {"a integer": 1.5, **{f"later {at:02}": at for at in range(25)}}
        workspace.add_contact(custom_attributes=values)
        output = tap.sync(catalog=catalog)
        assert_singer(output, ["contacts"])
        (record,) = output.records("contacts")
        assert record["custom_attributes"] == {**values, "a integer": "1.5"}
        (told,) = [line for line in output.log_lines("WARNING") if "does not have" in line]
        assert "no column: later 00, later 01, " in told
        assert told.endswith("later 19 and 5 more; run --discover --catalog")

    def test_the_column_of_others_has_nothing_that_is_not_selected(
        self, tap: Tap, workspace: Workspace
    ) -> None:
        workspace.add_contact(custom_attributes={"a integer": "secret", "a float": "n/a"})
        catalog = selecting(tap.discover(), "contacts")
        marks = metadata_of(catalog, "contacts")
        marks[field("custom_attributes", "a integer")]["selected"] = False
        (record,) = tap.sync(catalog=catalog).records("contacts")
        assert record["custom_attributes"] == {"a float": None}
        assert record["other_attributes"] == '{"a float":"n/a"}'
        marks[field("custom_attributes")]["selected"] = False
        output = tap.sync(catalog=catalog)
        assert output.records("contacts")[0]["other_attributes"] is None
        assert "secret" not in output.stdout.decode()

    @pytest.mark.parametrize("status", [401, 403])
    def test_without_any_permission_all_streams_are_there(self, tap: Tap, status: int) -> None:
        tap.sandbox.options.permissions = set()
        tap.sandbox.options.refusal_status = status
        output = run_tap("--config", tap.config(), "--discover")
        assert output.code == 0
        catalog = json.loads(output.stdout)
        assert [each["tap_stream_id"] for each in catalog["streams"]] == DEFAULT_TABLES
        for stream, model in (
            ("contacts", "contact"),
            ("companies", "company"),
            ("conversations", "conversation"),
        ):
            schema = entry_of(catalog, stream)["schema"]["properties"]["custom_attributes"]
            assert "properties" not in schema  # as some targets that flatten drop an empty object
            assert any(
                model in line and "get no types" in line and str(status) in line
                for line in output.log_lines("WARNING")
            )


# Versions


OLDER_TICKET = ("ticket_state_internal_label", "ticket_state_external_label")
OLDER_ARTICLE = ("parent_id", "parent_type", "content_id")


def test_what_only_older_versions_send_is_a_column_there(tap: Tap, catalog: dict[str, Any]) -> None:
    labels = {"internal_label": "a", "external_label": "b"}
    state = tap.sandbox.workspace.add_ticket_state("in_progress", **labels)
    ticket_id = tap.sandbox.workspace.add_ticket(ticket_state=state)
    parent = {"parent_id": 5, "parent_type": "collection", "content_id": "6"}
    article_id = tap.sandbox.workspace.add_record("articles", **parent)
    output = tap.sync("tickets", "articles", api_version="2.11")
    assert output.code == 0, output.log
    assert output.log_lines("WARNING") == []
    (ticket,) = [each for each in output.records("tickets") if each["id"] == ticket_id]
    assert ticket["ticket_state"] == "in_progress"
    assert [ticket[name] for name in OLDER_TICKET] == ["a", "b"]
    (article,) = [each for each in output.records("articles") if each["id"] == article_id]
    assert {name: article[name] for name in OLDER_ARTICLE} == {**parent, "parent_id": "5"}
    tickets = entry_of(catalog, "tickets")["schema"]["properties"]
    assert "category" in tickets["ticket_state"]["properties"]
    assert not tickets.keys() & set(OLDER_TICKET)
    assert not entry_of(catalog, "articles")["schema"]["properties"].keys() & set(OLDER_ARTICLE)


# Which streams are read


def test_only_marked_streams_are_read(tap: Tap, catalog: dict[str, Any]) -> None:
    output = tap.sync(catalog=selecting(catalog, "segments", "tags"))
    assert_singer(output, ["segments", "tags"])
    assert_true(output, tap.sandbox.workspace, ["segments", "tags"])
    assert {request.path for request in tap.sandbox.requests} == {"/me", "/segments", "/tags"}


def test_a_marked_stream_comes_with_all_its_fields(tap: Tap, catalog: dict[str, Any]) -> None:
    output = tap.sync(catalog=selecting(catalog, "conversations"))
    assert output.schema("conversations") == as_sent(catalog, "conversations")


def as_sent(catalog: dict[str, Any], stream: str) -> dict[str, Any]:
    """The whole schema of a stream in a SCHEMA message."""
    return prune_schema(entry_of(catalog, stream)["schema"], lambda _: True)


def test_without_a_catalog_all_streams_are_read(tap: Tap) -> None:
    output = tap.sync()
    assert_singer(output)
    assert_true(output, tap.sandbox.workspace)
    assert any("no catalog given" in line for line in output.log_lines("INFO"))


def test_a_stream_without_a_mark_follows_its_default(tap: Tap, catalog: dict[str, Any]) -> None:
    for stream in STREAMS:
        metadata_of(catalog, stream)[()]["selected-by-default"] = stream in ("teams", "tags")
    metadata_of(catalog, "tags")[()]["selected"] = False
    metadata_of(catalog, "admins")[()]["selected"] = True
    assert_singer(tap.sync(catalog=catalog), ["admins", "teams"])


def test_a_mark_in_the_schema_counts_where_metadata_has_none(
    tap: Tap, catalog: dict[str, Any]
) -> None:
    for entry in catalog["streams"]:
        del entry["metadata"]
    entry_of(catalog, "tags")["schema"]["selected"] = True
    entry_of(catalog, "teams")["schema"]["selected"] = False
    output = tap.sync(catalog=catalog)
    assert streams_in_order(output) == ["tags"]
    assert_true(output, tap.sandbox.workspace, ["tags"])


@pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("True", "FALSE"), (1, 0)], ids=str)
@pytest.mark.parametrize("is_old", [False, True], ids=["in metadata", "in the schema"])
def test_a_mark_may_be_text(
    tap: Tap, catalog: dict[str, Any], yes: Any, no: Any, is_old: bool
) -> None:
    catalog = selecting(catalog)
    for stream, mark in (("tags", yes), ("teams", no)):
        schema, metadata = entry_of(catalog, stream)["schema"], metadata_of(catalog, stream)
        place = schema if is_old else metadata[()]
        metadata[()].pop("selected")
        place["selected"] = mark
        for name in ("name", "type"):
            of_field = schema["properties"][name] if is_old else metadata[field(name)]
            of_field["selected"] = yes if name == "name" else no
    output = tap.sync(catalog=catalog)
    assert streams_in_order(output) == ["tags"]
    assert output.schema("tags")["properties"].keys() >= {"id", "name"}
    assert "type" not in output.schema("tags")["properties"]
    assert output.ids("tags") == set(tap.sandbox.workspace.tags)


def test_a_mark_of_an_older_catalog_counts_inside_objects_and_lists(
    tap: Tap, catalog: dict[str, Any]
) -> None:
    properties = entry_of(catalog, "conversations")["schema"]["properties"]
    properties["source"]["properties"]["author"]["properties"]["email"]["selected"] = False
    properties["tags"]["items"]["properties"]["name"]["selected"] = "false"
    output = tap.sync("conversations", catalog=catalog)
    assert output.code == 0, output.log
    found = output.schema("conversations")["properties"]
    assert "email" not in found["source"]["properties"]["author"]["properties"]
    assert "name" not in found["tags"]["items"]["properties"]
    assert "id" in found["tags"]["items"]["properties"]


def test_a_mark_that_is_null_says_nothing(tap: Tap, catalog: dict[str, Any]) -> None:
    catalog = selecting(catalog)
    metadata = metadata_of(catalog, "tags")
    metadata[()]["selected"] = None
    metadata[field("name")]["selected"] = None
    metadata_of(catalog, "calls")[()]["selected"] = None
    output = tap.sync(catalog=catalog)
    assert streams_in_order(output) == ["tags"]
    assert "name" in output.schema("tags")["properties"]


@pytest.mark.parametrize("mark", ["yes", {"a": True}], ids=str)
@pytest.mark.parametrize("name", [None, "name"], ids=["stream", "field"])
@pytest.mark.parametrize("is_old", [False, True], ids=["in metadata", "in the schema"])
def test_a_mark_that_is_neither_true_nor_false_is_refused(
    tap: Tap, catalog: dict[str, Any], mark: Any, name: str | None, is_old: bool
) -> None:
    schema = entry_of(selecting(catalog, "tags"), "tags")["schema"]
    metadata = metadata_of(catalog, "tags")
    if is_old and name is None:
        metadata[()].pop("selected")
    if is_old:
        (schema["properties"][name] if name else schema)["selected"] = mark
    else:
        metadata[field(name) if name else ()]["selected"] = mark
    output = tap.sync(catalog=catalog)
    assert output.code == 2
    assert output.messages == []
    place = "tags.name" if name else "tags"
    assert f"catalog: selected of {place} must be true or false" in output.last_log_line


@pytest.mark.parametrize("streams", [STREAMS, ()], ids=["none selected", "none there"])
def test_a_catalog_that_selects_nothing_is_a_run_with_nothing_but_a_state(
    tap: Tap, catalog: dict[str, Any], streams: tuple[str, ...]
) -> None:
    catalog = selecting(catalog)
    catalog["streams"] = [each for each in catalog["streams"] if each["tap_stream_id"] in streams]
    state = {"bookmarks": {"contacts": "2024-01-01T00:00:00Z"}}
    output = tap.sync(catalog=catalog, state=state)
    assert output.code == 0
    assert output.messages == [{"type": "STATE", "value": state}]
    assert any("selects no stream" in line for line in output.log_lines("WARNING"))


# Which comes first


def test_streams_come_in_the_order_of_the_catalog(tap: Tap, catalog: dict[str, Any]) -> None:
    catalog["streams"].reverse()
    output = tap.sync(catalog=selecting(catalog, "teams", "contacts", "admins", "segments"))
    assert streams_in_order(output) == ["teams", "segments", "contacts", "admins"]


def test_a_child_comes_with_its_parent_whatever_the_order(
    tap: Tap, catalog: dict[str, Any]
) -> None:
    selecting(catalog, "conversation_parts", "tags", "conversations")
    catalog["streams"].sort(key=lambda each: each["tap_stream_id"] == "conversations")
    output = tap.sync(catalog=catalog)
    assert streams_in_order(output) == ["conversations", "conversation_parts", "tags"]
    assert_true(output, tap.sandbox.workspace, ["conversations", "conversation_parts", "tags"])


def test_the_stream_that_was_interrupted_comes_first(tap: Tap, catalog: dict[str, Any]) -> None:
    selecting(catalog, "admins", "contacts", "segments", "tags")
    output = tap.sync(catalog=catalog, state={"bookmarks": {}, "currently_syncing": "segments"})
    assert streams_in_order(output) == ["segments", "admins", "contacts", "tags"]


@pytest.mark.parametrize("name", ["leads", "companies", 7], ids=str)
def test_an_interrupted_stream_that_is_not_selected_changes_nothing(
    tap: Tap, catalog: dict[str, Any], name: object
) -> None:
    selecting(catalog, "admins", "segments")
    output = tap.sync(catalog=catalog, state={"currently_syncing": name})
    assert_singer(output, ["admins", "segments"])
    assert streams_in_order(output) == ["admins", "segments"]


# Which fields are written


def test_a_deselected_field_is_in_neither_schema_nor_record(
    tap: Tap, catalog: dict[str, Any]
) -> None:
    metadata_of(catalog, "contacts")[field("email")]["selected"] = False
    metadata_of(catalog, "contacts")[field("name")]["selected-by-default"] = False
    metadata_of(catalog, "contacts")[field("phone")] |= {
        "selected-by-default": False,
        "selected": True,
    }
    output = tap.sync(catalog=selecting(catalog, "contacts"))
    assert_singer(output, ["contacts"])
    for columns in (output.schema("contacts")["properties"], *output.records("contacts")):
        assert "email" not in columns
        assert "name" not in columns
        assert "phone" in columns
    assert output.records("contacts")


def test_a_nested_field_can_be_deselected(tap: Tap, catalog: dict[str, Any]) -> None:
    metadata_of(catalog, "conversations")[field("source", "author", "email")]["selected"] = False
    output = tap.sync(catalog=selecting(catalog, "conversations"))
    assert_singer(output, ["conversations"])
    source = output.schema("conversations")["properties"]["source"]["properties"]
    assert "email" not in source["author"]["properties"]
    authors = [record["source"]["author"] for record in output.records("conversations")]
    assert authors
    assert all("email" not in author and "id" in author for author in authors)


def test_key_and_replication_key_cannot_be_deselected(tap: Tap, catalog: dict[str, Any]) -> None:
    for breadcrumb, metadata in metadata_of(catalog, "contacts").items():
        metadata["selected"] = not breadcrumb
        metadata.pop("inclusion")
    for each in catalog["streams"]:
        each["metadata"] = each["metadata"] if each["tap_stream_id"] == "contacts" else []
    output = tap.sync(catalog=catalog)
    assert_singer(output, ["contacts"])
    assert {tuple(record) for record in output.records("contacts")} == {("id", "updated_at")}
    assert output.ids("contacts") == {each["id"] for each in tap.sandbox.truth("contacts")}


def test_an_unsupported_field_is_left_out_even_if_selected(
    tap: Tap, catalog: dict[str, Any]
) -> None:
    metadata_of(catalog, "tags")[field("name")] |= {"inclusion": "unsupported", "selected": True}
    output = tap.sync(catalog=selecting(catalog, "tags"))
    assert_singer(output, ["tags"])
    assert "name" not in output.schema("tags")["properties"]


def test_a_deselected_list_costs_no_request(
    start_tap_on: Callable[..., Tap], catalog: dict[str, Any]
) -> None:
    workspace = Workspace()
    tags = [workspace.add_tag() for _ in range(11)]
    companies = [workspace.add_company() for _ in range(11)]
    contact_id = workspace.add_contact(tags=tags, companies=companies)
    metadata_of(catalog, "contacts")[field("tags")]["selected"] = False
    tap = start_tap_on(workspace)
    output = tap.sync(catalog=selecting(catalog, "contacts"))
    (record,) = output.records("contacts")
    assert {each["id"] for each in record["companies"]} == set(companies)
    nested = {request.path for request in tap.sandbox.requests if contact_id in request.path}
    assert nested == {f"/contacts/{contact_id}/companies"}


@pytest.mark.parametrize("unknown_fields", ["drop", "pass"])
def test_fields_that_the_schema_lacks_are_dropped_or_passed(
    tap: Tap, catalog: dict[str, Any], unknown_fields: str
) -> None:
    for each in tap.sandbox.truth("contacts"):
        tap.sandbox.workspace.update_contact(each["id"], mood="good")
    output = tap.sync(catalog=selecting(catalog, "contacts", "tags"), unknown_fields=unknown_fields)
    assert output.code == 0
    moods = {record.get("mood") for record in output.records("contacts")}
    warnings = [line for line in output.log_lines("WARNING") if "mood" in line]
    if unknown_fields == "pass":
        assert (moods, warnings) == ({"good"}, [])
    else:
        assert (moods, len(warnings)) == ({None}, 1)
        assert any(
            f"{len(output.records('contacts'))} times" in line for line in output.log_lines("INFO")
        )


# Ids of one workspace only


def test_a_workspace_id_is_part_of_every_key(tap: Tap) -> None:
    catalog = tap.discover(add_workspace_id=True)
    output = tap.sync(catalog=catalog, add_workspace_id=True)
    assert output.code == 0
    for message in output.messages:
        if message["type"] == "SCHEMA":
            own = "_sdc_record_hash" if message["stream"] in HASHED else "id"
            assert message["key_properties"] == [own, "_sdc_workspace_id"]
            column = message["schema"]["properties"]["_sdc_workspace_id"]
            assert without_descriptions(column) == {"type": "string"}
            assert column["description"]
        elif message["type"] == "RECORD":
            assert message["record"]["_sdc_workspace_id"] == "sandbox1"
    for stream in STREAMS:
        entry = entry_of(catalog, stream)
        assert entry["key_properties"][-1] == "_sdc_workspace_id"
        assert metadata_of(catalog, stream)[()]["table-key-properties"] == entry["key_properties"]
        assert metadata_of(catalog, stream)[field("_sdc_workspace_id")]["inclusion"] == "automatic"


def test_a_workspace_id_is_added_to_a_catalog_made_without(
    tap: Tap, catalog: dict[str, Any]
) -> None:
    output = tap.sync(catalog=selecting(catalog, "tags"), add_workspace_id=True)
    (schema,) = [message for message in output.messages if message["type"] == "SCHEMA"]
    assert schema["key_properties"] == ["id", "_sdc_workspace_id"]
    assert {record["_sdc_workspace_id"] for record in output.records("tags")} == {"sandbox1"}


# Filters of the user


def levels(query: Mapping[str, Any]) -> int:
    """How deep groups are nested; each holds either filters or groups, and at most 15 (API docs).

    Source: https://developers.intercom.com/docs/references/rest-api/api.intercom.io/contacts/searchcontacts
    """
    if query["operator"] not in ("AND", "OR"):
        return 0
    members = [levels(member) for member in query["value"]]
    assert len(members) <= 15
    assert len({bool(depth) for depth in members}) == 1
    return 1 + max(members)


ROLE = {"field": "role", "operator": "=", "value": "user"}
STATE = {"field": "state", "operator": "=", "value": "open"}


@pytest.mark.parametrize("operator", [None, "AND", "OR"])
def test_search_filters_are_sent_in_the_grammar_of_intercom(
    tap: Tap, catalog: dict[str, Any], operator: str | None
) -> None:
    role, state = (
        each if operator is None else {"operator": operator, "value": [each] * 15}
        for each in (ROLE, STATE)
    )
    output = tap.sync(
        catalog=selecting(catalog, "contacts", "conversations", "conversation_parts"),
        search_filters={"contacts": role, "conversations": state},
    )
    assert output.code == 0
    searches = [r for r in tap.sandbox.requests if r.path.endswith("s/search") and r.json]
    assert all(levels(request.json["query"]) <= 2 for request in searches)
    users = {each["id"] for each in tap.sandbox.truth("contacts") if each["role"] == "user"}
    opened = {each["id"] for each in tap.sandbox.truth("conversations") if each["state"] == "open"}
    assert output.ids("contacts") == users
    assert output.ids("conversations") == opened
    parts = output.records("conversation_parts")
    assert {part["conversation_id"] for part in parts} <= opened
    assert 0 < len(users) < len(tap.sandbox.truth("contacts"))
    assert 0 < len(opened) < len(tap.sandbox.truth("conversations"))


@pytest.mark.parametrize("streams", [["contacts"], ["conversations"]], ids=str)
def test_searches_without_filters_keep_to_the_grammar_too(
    tap: Tap, catalog: dict[str, Any], streams: list[str]
) -> None:
    assert tap.sync(catalog=selecting(catalog, *streams)).code == 0
    searches = [r.json for r in tap.sandbox.requests if r.path == f"/{streams[0]}/search"]
    assert searches
    assert all(levels(body["query"]) <= 2 for body in searches)


# Descriptions


DESCRIBED = ("companies", "contacts", "conversation_parts", "conversations")


def test_a_catalog_without_descriptions_reads_the_same_records(
    tap: Tap, catalog: dict[str, Any]
) -> None:
    """Earlier versions of the tap made such catalogs."""
    bare = copy.deepcopy(catalog)
    for entry in bare["streams"]:
        entry["schema"] = without_descriptions(entry["schema"])
    described, plain = (tap.sync(catalog=selecting(each, *DESCRIBED)) for each in (catalog, bare))
    for stream in DESCRIBED:
        assert plain.schema(stream) == as_sent(bare, stream)
        assert described.schema(stream) == as_sent(catalog, stream)
        assert described.schema(stream) != plain.schema(stream)
        assert described.records(stream) == plain.records(stream) != []


# Catalogs that other taps made

# Columns of the older tap, by path; more than these make no difference to the test.
OLDER_COLUMNS = {
    "contacts": {
        "id": "string",
        "email": "string",
        "avatar": "string",
        "owner_id": "integer",
        "social_profiles.type": "string",
        "social_profiles.data[].name": "string",
        "created_at": "date-time",
        "updated_at": "date-time",
        "location.city": "string",
        "custom_attributes": "object",
        "tags[].id": "string",
        "companies[].id": "string",
        "companies[].url": "string",
        "notes.total_count": "integer",
    },
    "conversations": {
        "id": "string",
        "source.author.id": "string",
        "source.attachments": "array",
        "contacts[].id": "string",
        "teammates.admins[].id": "string",
        "conversation_message.author.id": "string",
        "customers": "array",
        "priority": "string",
        "statistics.count_reopens": "integer",
        "statistics.last_close_at": "date-time",
        "tags[].applied_by.id": "string",
        "updated_at": "date-time",
        "waiting_since": "date-time",
        "custom_attributes": "object",
    },
    "conversation_parts": {
        "id": "string",
        "assigned_to": "string",
        "attachments": "array",
        "author.name": "string",
        "body": "string",
        "conversation_id": "string",
        "conversation_updated_at": "date-time",
        "conversation_total_parts": "integer",
        "created_at": "date-time",
        "updated_at": "date-time",
    },
    "tags": {"id": "string", "name": "string", "type": "string"},
}


def older_catalog() -> dict[str, Any]:
    """A catalog as the older tap discovers it, with all its streams selected."""
    return {"streams": [older_entry(stream) for stream in OLDER_COLUMNS]}


def older_entry(stream: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for path, kind in OLDER_COLUMNS[stream].items():
        place = schema
        *parents, name = path.split(".")
        for parent in parents:
            place = older_place(place, parent)
        place["properties"][name] = older_column(kind)
    table = {
        "table-key-properties": ["id"],
        "forced-replication-method": "FULL_TABLE" if stream in FULL_TABLE else "INCREMENTAL",
        "selected": True,
    }
    fields = [
        {
            "breadcrumb": field(name),
            "metadata": {"inclusion": "automatic" if name == "id" else "available"},
        }
        for name in schema["properties"]
    ]
    return {
        "tap_stream_id": stream,
        "stream": stream,
        "key_properties": ["id"],
        "schema": schema,
        "metadata": [{"breadcrumb": [], "metadata": table}, *fields],
    }


def older_column(kind: str) -> dict[str, Any]:
    if kind == "date-time":
        return {"type": ["null", "string"], "format": kind}
    if kind == "array":
        return {"type": ["null", kind], "items": {}}
    return {"type": ["null", kind]}


def older_place(place: Any, name: str) -> Any:
    """The schema of an object inside another one, or of the items of a list (`tags[]`)."""
    child = {"type": ["null", "object"], "properties": {}}
    if not name.endswith("[]"):
        return place["properties"].setdefault(name, child)
    items = {"type": ["null", "array"], "items": child}
    return place["properties"].setdefault(name[:-2], items)["items"]


class TestCatalogOfTheOlderTap:
    @pytest.fixture
    def output(self, tap: Tap) -> Output:
        workspace = tap.sandbox.workspace
        (conversation, *_) = workspace.truth("conversations")
        workspace.add_part(
            conversation["id"],
            id="assignment",
            part_type="assignment",
            assigned_to={"type": "admin", "id": "7000001"},
        )
        return tap.sync(catalog=older_catalog())

    def test_is_read_whole_and_fits_its_own_schemas(self, tap: Tap, output: Output) -> None:
        assert output.code == 0
        assert_singer(output, OLDER_COLUMNS)
        for stream in OLDER_COLUMNS:
            assert output.schema(stream) == older_entry(stream)["schema"]
            assert output.ids(stream) == {each["id"] for each in tap.sandbox.truth(stream)}

    def test_gets_an_object_in_a_text_column_as_json(self, output: Output) -> None:
        (part,) = [r for r in output.records("conversation_parts") if r["id"] == "assignment"]
        assert json.loads(part["assigned_to"]) == {"type": "admin", "id": "7000001"}
