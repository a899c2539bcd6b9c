"""Values of personal fields leave the tap only where the settings let them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Output, Tap, run_tap
from jsonschema import Draft4Validator  # type: ignore[import-untyped]

from intercom_sandbox import generate
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.streams import STREAMS

# Shorter values are equal to others by chance.
SHORTEST = 7
TABLES = ("contacts", "companies", "conversations", "conversation_parts", "tickets", "admins")
KEY = "a key for tests"


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap]) -> Tap:
    return start_tap_on(generate(seed=3, contacts=20, companies=6, conversations=10, parts=40))


def personal_and_other(
    value: Any, schema: Mapping[str, Any], is_marked: bool = False
) -> Iterator[tuple[str, bool]]:
    """Yield the texts in a value, and whether their field is marked."""
    is_marked = is_marked or "x-personal" in schema
    if isinstance(value, dict):
        for name, inner in value.items():
            field = schema.get("properties", {}).get(name, {})
            yield from personal_and_other(inner, field, is_marked)
    elif isinstance(value, list):
        for inner in value:
            yield from personal_and_other(inner, schema.get("items", {}), is_marked)
    elif isinstance(value, str) and len(value) >= SHORTEST and schema.get("format") is None:
        yield value, is_marked


def texts(output: Output) -> tuple[set[str], set[str]]:
    """Return the texts of the marked fields of a run, and those of all others."""
    found: tuple[set[str], set[str]] = set(), set()
    for message in output.messages:
        if message["type"] == "RECORD" and message["stream"] in STREAMS:
            schema = annotated_schema(message["stream"])
            for text, is_marked in personal_and_other(message["record"], schema):
                found[not is_marked].add(text)
    return found


def everything(tap: Tap, folder: Path, catalog: dict[str, Any], **settings: Any) -> Output:
    return run_tap(
        *tap.arguments(*TABLES, catalog=catalog, **settings),
        environment={"TMPDIR": str(folder)},
    )


@pytest.mark.timeout(120)
def test_no_personal_value_leaves_unless_it_is_kept(tap: Tap, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    run = partial(everything, tap, temporary, tap.discover())
    kept = run()
    assert kept.code == 0, kept.log
    personal, others = texts(kept)
    # A value that is public elsewhere cannot tell where it came from.
    written = [each for each in kept.messages if each["type"] == "SCHEMA"]
    public = "\n".join([*others, json.dumps(written, ensure_ascii=False)])
    markers = {each for each in personal if each not in public}
    assert len(markers) > 100
    for mode in ("hash", "drop"):
        output = run(personal_data=mode, hash_key=KEY)
        assert output.code == 0, output.log
        files = "".join(
            each.read_text("utf-8", errors="replace")
            for each in tmp_path.rglob("*")
            if each.is_file() and each.name not in ("catalog.json", "config.json")
        )
        left = {text for found in texts(output) for text in found}
        assert not markers & left
        # Records are compared by value, as they are large; all else is searched.
        states = [each for each in output.messages if each["type"] != "RECORD"]
        beside = json.dumps(states, ensure_ascii=False) + output.log + files
        assert not [each for each in markers if each in beside]
        assert KEY not in beside
        schemas = {m["stream"]: m["schema"] for m in output.messages if m["type"] == "SCHEMA"}
        for name, schema in schemas.items():
            is_valid = Draft4Validator(schema).is_valid
            assert all(is_valid(record) for record in output.records(name)), name
            assert "x-personal" not in str(schema)
        assert {name: len(output.records(name)) for name in schemas} == {
            name: len(kept.records(name)) for name in schemas
        }


def test_equal_values_have_equal_hashes_in_all_streams(tap: Tap) -> None:
    output = tap.sync("contacts", "conversation_contact", personal_data="hash", hash_key=KEY)
    assert output.code == 0, output.log
    hashes = {each["id"]: each["external_id"] for each in output.records("contacts")}
    joined = [
        (each["external_id"], hashes[each["contact_id"]])
        for each in output.records("conversation_contact")
        if each["external_id"] and each["contact_id"] in hashes
    ]
    assert joined
    assert all(one == other and len(one) == 64 for one, other in joined)


@pytest.mark.parametrize(
    "settings", [{"personal_data": "hash"}, {"hash_fields": {"contacts": ["email"]}}]
)
def test_hashes_need_a_key(tap: Tap, settings: dict[str, Any]) -> None:
    output = run_tap("--config", tap.config(**settings))
    assert output.code == 2
    assert "hash_key: missing" in output.log
    assert not tap.sandbox.requests
