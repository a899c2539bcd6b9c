"""The schemas hold every column that users know and every field that Intercom describes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from description import DESCRIBED_AS, description

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "tap_intercom" / "schemas"
KNOWN_COLUMNS = ROOT.parent / "shared" / "known-columns.json"

KEYS = {
    "admins": "id",
    "companies": "id",
    "company_attributes": "_sdc_record_hash",
    "company_segments": "id",
    "contact_attributes": "_sdc_record_hash",
    "contacts": "id",
    "conversation_parts": "id",
    "conversations": "id",
    "segments": "id",
    "tags": "id",
    "teams": "id",
}
REPLICATION_KEYS = dict.fromkeys(
    ("companies", "company_segments", "contacts", "conversations", "segments"), "updated_at"
)

# Lists that the description wraps in an object; users know them as arrays.
UNWRAPPED = {
    "companies": {"tags": "tags.tags", "segments": "segments.segments"},
    "contacts": {"tags": "tags.data", "companies": "companies.data"},
    "conversations": {"tags": "tags.tags", "contacts": "contacts.contacts"},
}

# Columns whose type is not the described one, with the reason.
OTHER_TYPE = {
    ("admins", "avatar"): ("object", "answers with display_avatar hold {type, image_url}"),
    ("companies", "monthly_spend"): ("number", "known as a number, and decimals are sent"),
    ("contacts", "avatar"): ("string", "known as the image's URL"),
    ("contacts", "owner_id"): ("integer", "known as an integer"),
    ("conversations", "company.monthly_spend"): ("number", "as in companies"),
    ("conversations", "conversation_rating.teammate.id"): ("integer", "known as an integer"),
    ("conversations", "statistics.last_closed_by_id"): ("integer", "known as an integer"),
}

# Known columns whose type had to change: assigned_to is an object in every answer.
CHANGED_TYPE = {("conversation_parts", "assigned_to"): "object"}

# Fields of real answers that the description lacks, and our own.
UNDESCRIBED = {
    "companies": {
        "notes.data[].id": "string",
        "notes.url": "string",
        "notes.total_count": "integer",
        "notes.has_more": "boolean",
    },
    "contacts": {
        "enabled_push_messaging": "boolean",
        "location.continent_code": "string",
        "location.country_code": "string",
        "opted_in_subscription_types[].id": "string",
        "opted_out_subscription_types[].id": "string",
        "referrer": "string",
        "sms_consent": "boolean",
        "unsubscribed_from_sms": "boolean",
        "utm_campaign": "string",
        "utm_content": "string",
        "utm_medium": "string",
        "utm_source": "string",
        "utm_term": "string",
    },
    "conversation_parts": {
        "conversation_id": "string",
        "conversation_created_at": "date-time",
        "conversation_updated_at": "date-time",
        "conversation_total_parts": "integer",
        "translations": "object",
    },
    "conversations": {
        "teammates.admins[].id": "string",
        "ticket": "object",
        "topics.topics[].name": "string",
        "topics.total_count": "integer",
    },
}


@cache
def schema(stream: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{stream}.json").read_text("utf-8"))
    return loaded


def single_type(node: dict[str, Any]) -> str:
    """The type beside "null"; "date-time" for a string of that format."""
    types = [node["type"]] if isinstance(node["type"], str) else node["type"]
    (kind,) = [name for name in types if name != "null"]
    return str(node.get("format", kind))


@cache
def columns(stream: str) -> dict[str, str]:
    """Path to type of every field of a stream's schema; `[]` stands for an array's items."""

    def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
        yield path, single_type(node)
        if "items" in node:
            yield from walk(node["items"], f"{path}[]")
        for name, child in node.get("properties", {}).items():
            yield from walk(child, f"{path}.{name}")

    return dict(
        field for name, child in schema(stream)["properties"].items() for field in walk(child, name)
    )


def described_columns(component: str) -> dict[str, str]:
    """Path to type of every field of an object of the official description."""

    def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
        target = node
        while "$ref" in target or "allOf" in target:
            reference = target if "$ref" in target else target["allOf"][0]
            found = description()["components"]["schemas"][reference["$ref"].rsplit("/", 1)[1]]
            own = target.get("properties", {})
            target = {**found, "properties": {**found.get("properties", {}), **own}}
        kind = target.get("type", "object")
        name = path.rsplit(".", 1)[-1]
        is_time = kind == "integer" and (
            target.get("format") in ("date-time", "timestamp") or name.endswith("_at")
        )
        yield path, "date-time" if is_time else kind
        if "items" in target:
            yield from walk(target["items"], f"{path}[]")
        for child_name, child in target.get("properties", {}).items():
            yield from walk(child, f"{path}.{child_name}")

    return dict(
        field
        for name, child in description()["components"]["schemas"][component]["properties"].items()
        for field in walk(child, name)
    )


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    if "items" in node:
        yield from nodes(node["items"])
    for child in node.get("properties", {}).values():
        yield from nodes(child)


def unwrapped(stream: str, path: str) -> str | None:
    """Our path of a described one; None for what only belonged to the wrapping object."""
    for ours, theirs in UNWRAPPED.get(stream, {}).items():
        if path == theirs or path.startswith(f"{theirs}["):
            return ours + path.removeprefix(theirs)
        if path.startswith(f"{ours}."):
            return None
    return path


def test_every_stream_has_a_schema_file() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} >= set(KEYS)


@pytest.mark.parametrize("stream", KEYS)
def test_every_known_column_has_its_known_type(stream: str) -> None:
    if not KNOWN_COLUMNS.exists():
        pytest.skip("the list of known columns is not part of the repository and is not here")
    known = json.loads(KNOWN_COLUMNS.read_text("utf-8"))[stream]
    expected = {path: CHANGED_TYPE.get((stream, path), kind) for path, kind in known.items()}
    assert {path: columns(stream).get(path) for path in expected} == expected


@pytest.mark.parametrize("stream", KEYS)
def test_every_described_field_is_there(stream: str) -> None:
    expected = {}
    for described, kind in described_columns(DESCRIBED_AS[stream]).items():
        path = unwrapped(stream, described)
        if path is None or (path != described and path in UNWRAPPED[stream]):
            continue
        expected[path], _ = OTHER_TYPE.get((stream, path), (kind, ""))
    for path, theirs in UNWRAPPED.get(stream, {}).items():
        assert described_columns(DESCRIBED_AS[stream])[theirs] == "array"
        expected[path] = "array"
    found = {
        path: columns(stream).get(path)
        for path in expected
        # An image's URL, or an object where Intercom sends more than that.
        if not (path.startswith("avatar.") and columns(stream)["avatar"] == "string")
    }
    assert found == {path: expected[path] for path in found}


@pytest.mark.parametrize("stream", UNDESCRIBED)
def test_fields_beyond_the_description_are_there(stream: str) -> None:
    expected = UNDESCRIBED[stream]
    assert {path: columns(stream).get(path) for path in expected} == expected


@pytest.mark.parametrize("stream", KEYS)
def test_only_constructs_that_every_target_takes(stream: str) -> None:
    top = schema(stream)
    assert set(top) == {"type", "properties"}
    assert top["type"] == "object"
    for node in nodes(top):
        assert set(node) <= {"type", "format", "items", "properties", "additionalProperties"}
        assert node.get("additionalProperties", True) is True
        assert node.get("format", "date-time") == "date-time"
        types = [node["type"]] if isinstance(node["type"], str) else node["type"]
        assert len([name for name in types if name != "null"]) == 1
        kind = single_type(node)
        assert ("items" in node) == (kind == "array")
        assert ("properties" in node or "additionalProperties" in node) == (kind == "object")
        names = list(node.get("properties", {}))
        assert len({name.lower() for name in names}) == len(names)
        assert all(len(name.encode()) <= 63 for name in names)


@pytest.mark.parametrize("stream", KEYS)
def test_only_the_key_is_not_nullable(stream: str) -> None:
    properties = schema(stream)["properties"]
    assert next(iter(properties)) == KEYS[stream]
    assert properties[KEYS[stream]] == {"type": "string"}
    for name, column in properties.items():
        for node in nodes(column):
            assert node["type"][0] == "null" or name == KEYS[stream]


@pytest.mark.parametrize("stream", REPLICATION_KEYS)
def test_the_replication_key_is_a_nullable_time(stream: str) -> None:
    column = schema(stream)["properties"][REPLICATION_KEYS[stream]]
    assert column == {"type": ["null", "string"], "format": "date-time"}
