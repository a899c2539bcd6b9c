"""The catalog: which streams and fields it selects, by marks of any age and form."""

from __future__ import annotations

from typing import Any

import pytest

from tap_intercom.catalog import added_columns, all_marks_of, entries, is_selected, select
from tap_intercom.errors import ConfigError
from tap_intercom.reading.stream import load_schema
from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS

FIELD = ("properties", "name")


def marked(**mark: Any) -> dict[str, Any]:
    return {key.replace("_", "-"): value for key, value in mark.items()}


def entry_of(name: str, *marks: tuple[tuple[str, ...], dict[str, Any]]) -> dict[str, Any]:
    return {
        "tap_stream_id": name,
        "schema": load_schema(name),
        "metadata": [
            {"breadcrumb": list(breadcrumb), "metadata": mark} for breadcrumb, mark in marks
        ],
    }


SELECTED = ((), {"selected": True})


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ({}, False),
        (marked(selected=True), True),
        (marked(selected="True"), True),
        (marked(selected=1), True),
        (marked(selected=False), False),
        (marked(selected="false", selected_by_default=True), False),
        (marked(selected=None, selected_by_default=True), True),
        (marked(selected_by_default=False), False),
        # Inclusion concerns fields only.
        (marked(inclusion="automatic"), False),
    ],
)
def test_a_stream_is_selected_by_its_mark(mark: dict[str, Any], expected: bool) -> None:
    assert is_selected("tags", {(): mark}, ()) == expected


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ({}, True),
        (marked(selected=False), False),
        (marked(selected="FALSE"), False),
        (marked(selected_by_default=False), False),
        (marked(selected_by_default=False, selected=True), True),
        (marked(inclusion="automatic", selected=False), True),
        (marked(inclusion="unsupported", selected=True), False),
        (marked(inclusion="available", selected=False), False),
    ],
)
def test_a_field_is_selected_unless_a_mark_says_otherwise(
    mark: dict[str, Any], expected: bool
) -> None:
    assert is_selected("tags", {FIELD: mark}, FIELD) == expected


def test_an_unknown_stream_is_not_selected_by_default() -> None:
    assert not is_selected("no_such_stream", {(): marked(selected_by_default=True)}, ())


@pytest.mark.parametrize("value", ["yes", 2, [], {}])
def test_a_mark_that_is_neither_true_nor_false_is_an_error(value: Any) -> None:
    place = ("properties", "tags", "items", "properties", "id")
    with pytest.raises(ConfigError, match=r"selected of contacts\.tags\.id must be true or false"):
        is_selected("contacts", {place: {"selected": value}}, place)


def test_marks_inside_an_old_schema_count_where_metadata_has_none() -> None:
    items = {"properties": {"id": {"selected": False}}}
    entry = {
        "schema": {
            "selected": True,
            "properties": {
                "name": {"selected": False},
                "email": {"selected": False},
                "tags": {"items": items},
            },
        },
        "metadata": [
            {"breadcrumb": ["properties", "email"], "metadata": {"selected": True}},
            {"breadcrumb": ["properties", "name"], "metadata": {"inclusion": "available"}},
        ],
    }
    assert all_marks_of("contacts", entry) == {
        (): {"selected": True},
        ("properties", "name"): {"selected": False, "inclusion": "available"},
        ("properties", "email"): {"selected": True},
        ("properties", "tags", "items", "properties", "id"): {"selected": False},
    }


@pytest.mark.parametrize("catalog", [None, [], {}, {"streams": {}}])
def test_a_file_without_streams_is_no_catalog(catalog: Any) -> None:
    with pytest.raises(ConfigError, match="an object with a list of streams"):
        list(entries(catalog))


@pytest.mark.parametrize("entry", ["tags", {}, {"tap_stream_id": 1}])
def test_an_entry_without_a_name_is_an_error(entry: Any) -> None:
    with pytest.raises(ConfigError, match="an object with a tap_stream_id"):
        list(entries({"streams": [entry]}))


@pytest.mark.parametrize("marks", [{"breadcrumb": []}, [1], [{"metadata": {}}], "text"])
def test_metadata_of_another_form_is_an_error(marks: Any) -> None:
    with pytest.raises(ConfigError, match="metadata of tags must be a list of objects"):
        all_marks_of("tags", {"metadata": marks})


def test_a_selection_has_the_order_of_the_catalog_and_the_key_in_any_case() -> None:
    catalog = {
        "streams": [
            entry_of("teams", SELECTED),
            entry_of("admins"),
            entry_of(
                "tags",
                SELECTED,
                (("properties", "id"), {"selected": False}),
                (FIELD, {"selected": False}),
            ),
        ]
    }
    selections = select(catalog, Settings(), version=7)
    assert list(selections) == ["teams", "tags"]
    tags = selections["tags"]
    assert tags.has("id")
    assert not tags.has("name")
    assert (tags.key_properties, tags.replication_key, tags.version) == (["id"], None, 7)
    assert tags.transform({"id": "1", "name": "VIP", "type": "tag"}).get("name", "-") == "-"


def test_a_method_in_the_catalog_makes_an_incremental_stream_full() -> None:
    for method, version in (("FULL_TABLE", 7), ("INCREMENTAL", None), (None, None)):
        mark = {"selected": True, "replication-method": method}
        catalog = {"streams": [entry_of("contacts", ((), mark))]}
        assert select(catalog, Settings(), version=7)["contacts"].version == version


def test_a_setting_adds_the_workspace_to_the_key() -> None:
    settings = Settings(add_workspace_id=True)
    selection = select({"streams": [entry_of("tags", SELECTED)]}, settings, version=7)["tags"]
    assert selection.key_properties == ["id", "_sdc_workspace_id"]
    assert selection.has("_sdc_workspace_id")
    assert added_columns(STREAMS["tags"], Settings()) == {}


# A dataset of the reporting export, which only its catalog entry describes.
DATASET = entry_of("tags", SELECTED) | {"tap_stream_id": "reporting_calls"}


@pytest.mark.parametrize(
    ("entry", "settings", "reason"),
    [
        (entry_of("tags", SELECTED) | {"tap_stream_id": "tag"}, Settings(), "tag does not exist"),
        (entry_of("macros", SELECTED), Settings(api_version="2.9"), "is not in api_version 2.9"),
        (entry_of("tags", SELECTED) | {"schema": {}}, Settings(), "no schema with properties"),
        (
            entry_of("tags", SELECTED) | {"schema": {"properties": {"name": {}}}},
            Settings(),
            "the schema of tags is missing its key id",
        ),
        (DATASET, Settings(), "reporting_calls is missing its key, or Intercom's names"),
        (DATASET | {"key_properties": ["a"]}, Settings(), "run --discover again"),
    ],
)
def test_a_selection_that_cannot_be_read_is_an_error(
    entry: dict[str, Any], settings: Settings, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        select({"streams": [entry]}, settings, version=7)
