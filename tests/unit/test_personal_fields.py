"""The schema files mark every field that says something of a person."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from paths import ROOT
from public_columns import EXCEPTIONS

from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.reading.stream import load_schema
from tap_intercom.records.privacy import Rules, private
from tap_intercom.streams import STREAMS

TABLES = sorted(path.stem for path in (ROOT / "tap_intercom" / "schemas").glob("*.json"))
KINDS = {"identifier", "contact", "name", "text", "location", "device", "file"}
WORDS = re.compile(
    r"(?<![a-z])(e-?mail|phone|ip|avatar|location|browser|body|name|remark|transcript|external.id)"
    r"(?![a-z])",
    re.IGNORECASE,
)


def fields(
    schema: Mapping[str, Any], path: str, is_marked: bool = False
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield path and schema of each field, and whether it or an object around it is marked."""
    for name, field in schema.get("properties", {}).items():
        marked = is_marked or "x-personal" in field
        yield f"{path}.{name}", field, marked
        yield from fields(field, f"{path}.{name}", marked)
    if isinstance(items := schema.get("items"), Mapping):
        yield from fields(items, path, is_marked)


@pytest.mark.parametrize("table", TABLES)
def test_a_field_that_sounds_personal_is_marked_or_an_exception(table: str) -> None:
    for path, field, is_marked in fields(annotated_schema(table), table):
        if "properties" in field or "properties" in field.get("items", {}):
            continue
        is_text = "string" in field["type"] and field.get("format") != "date-time"
        words = f"{path.rpartition('.')[2]} {field.get('description', '')}".replace("_", " ")
        if is_text and not is_marked and WORDS.search(words):
            assert not path.endswith("external_id") or table == "external_pages", path
            assert any(fnmatchcase(path, each) for each in EXCEPTIONS), (
                f"{path} needs x-personal, or a line in tests/support/public_columns.py: {words}"
            )


@pytest.mark.parametrize("table", TABLES)
def test_marks_are_known_and_stay_in_the_files(table: str) -> None:
    marks = [
        field["x-personal"]
        for _, field, _ in fields(annotated_schema(table), table)
        if "x-personal" in field
    ]
    assert {*marks} <= KINDS
    assert "x-personal" not in str(load_schema(table))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("mode", ["keep", "hash", "drop"])
def test_the_page_says_what_becomes_of_each_personal_column(table: str, mode: str) -> None:
    page = (ROOT / "docs" / "personal-data.md").read_text(encoding="utf-8")
    rows = page.partition(f"\n### {table}\n\n")[2].partition("\n### ")[0].splitlines()[2:]
    results = [row.split(" | ")[2 + ("keep", "hash", "drop").index(mode)] for row in rows]
    stream = STREAMS[table]
    schema, marks = load_schema(table), annotated_schema(table)
    found = private(schema, marks, Rules(mode, "key"), keys=stream.key_properties)
    assert sum("hash" in each for each in results if "else null" not in each) == found.hashed
    assert sum("null" in each for each in results) == found.emptied


@pytest.mark.parametrize("table", TABLES)
def test_both_sides_of_a_join_get_the_same_hash(table: str) -> None:
    for path, field, _ in fields(annotated_schema(table), table):
        for target in _targets(field.get("references")):
            other, _, column = target.partition(".")
            joined = annotated_schema(other)["properties"][column]
            assert field.get("x-personal") == joined.get("x-personal"), (path, target)


def _targets(references: Any) -> list[str]:
    if isinstance(references, str):
        return [references]
    return [*references] if references else []


@pytest.mark.parametrize("table", TABLES)
def test_no_key_is_marked(table: str) -> None:
    for path, field, _ in fields(annotated_schema(table), table):
        if "x-personal" in field:
            assert "null" in field["type"], path
