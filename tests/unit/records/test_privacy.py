"""Personal fields become hashes or null, and their columns say so."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from tap_intercom.records.privacy import Hasher, Rules, normal_contact, private

KEY = "key"
TEXT = {"type": ["null", "string"]}
MARKS: dict[str, Any] = {
    "properties": {
        "id": {"type": "string"},
        "email": {**TEXT, "x-personal": "contact"},
        "body": {**TEXT, "x-personal": "text"},
        "custom_attributes": {"type": ["null", "object"], "x-personal": "text"},
        "other_attributes": {**TEXT, "x-personal": "text"},
        "tags": {"items": {"properties": {"by": {**TEXT, "x-personal": "name"}}}},
    }
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "email": TEXT,
        "body": TEXT,
        "custom_attributes": {
            "type": ["null", "object"],
            "properties": {"plan": TEXT, "nick": TEXT},
            "additionalProperties": True,
        },
        "other_attributes": TEXT,
        "tags": {"type": "array", "items": {"type": "object", "properties": {"by": TEXT}}},
    },
}


def record() -> dict[str, Any]:
    return {
        "id": "1",
        "email": " Ada@Example.com ",
        "body": "secret",
        "custom_attributes": {"plan": "pro", "nick": "ace", "new": "x"},
        "other_attributes": '{"plan":"pro","odd":1}',
        "tags": [{"by": "Ada"}],
        "unknown": "secret",
    }


def expected(text: str, key: str = KEY) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("key", ["k", "x" * 64, "ä" * 100])
@pytest.mark.parametrize("text", ["", "ada", "é"])
def test_hashes_are_hmac_sha256(key: str, text: str) -> None:
    assert Hasher(key).text(text) == expected(text, key)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (" Ada@Example.COM", "ada@example.com"),
        ("+44 (20) 123-4", "44201234"),
        (" Example.com ", "example.com"),
    ],
)
def test_contacts_are_compared_without_their_spelling(text: str, same: str) -> None:
    assert normal_contact(text) == same


def test_hash_keeps_what_joins_and_empties_the_rest() -> None:
    found = private(SCHEMA, MARKS, Rules("hash", KEY), keys=["id"])
    assert found.apply(record()) == {
        "id": "1",
        "email": expected("ada@example.com"),
        "body": None,
        "custom_attributes": None,
        "other_attributes": None,
        "tags": [{"by": expected("Ada")}],
    }
    assert found.schema["properties"]["email"] == TEXT
    assert (found.hashed, found.emptied) == (2, 3)


def test_drop_empties_all() -> None:
    found = private(SCHEMA, MARKS, Rules("drop", ""), keys=["id"]).apply(record())
    assert found == {**dict.fromkeys(SCHEMA["properties"]), "id": "1", "tags": [{"by": None}]}


def test_patterns_choose_fields_and_custom_attributes() -> None:
    rules = Rules("drop", KEY, ["email", "custom_attributes.nick"], ["custom_attributes.plan"])
    found = private(SCHEMA, MARKS, rules, keys=["id"]).apply(record())
    assert found["email"] == expected("ada@example.com")
    assert found["custom_attributes"] == {"plan": "pro", "nick": expected("ace")}
    assert found["other_attributes"] == '{"plan":"pro"}'


def test_hash_fields_alone_leave_the_rest() -> None:
    found = private(SCHEMA, MARKS, Rules("keep", KEY, ["tags.by"]), keys=["id"]).apply(record())
    assert found == {**record(), "tags": [{"by": expected("Ada")}]}


def test_a_catalog_that_does_not_say_what_is_inside_gives_nothing_away() -> None:
    for field in ({}, {"type": ["object", "null"]}, {"type": ["null", "array"]}):
        schema = {"properties": {"id": {"type": "string"}, "tags": field}}
        found = private(schema, MARKS, Rules("hash", KEY), keys=["id"]).apply(record())
        assert found == {"id": "1", "tags": None}


def test_keys_stay() -> None:
    found = private(SCHEMA, MARKS, Rules("drop", ""), keys=["id", "email"]).apply(record())
    assert found["email"] == record()["email"]
