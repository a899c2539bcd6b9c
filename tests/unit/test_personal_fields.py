"""The schema files mark every field that says something of a person."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from paths import ROOT

from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.reading.stream import load_schema

TABLES = sorted(path.stem for path in (ROOT / "tap_intercom" / "schemas").glob("*.json"))
KINDS = {"identifier", "contact", "name", "text", "location", "device", "file"}
WORDS = re.compile(
    r"(?<![a-z])(e-?mail|phone|ip|avatar|location|browser|body|name|remark|transcript|external.id)"
    r"(?![a-z])",
    re.IGNORECASE,
)
EXCEPTIONS = {
    **dict.fromkeys(
        (
            "articles.*",
            "article_versions.*",
            "collections.*",
            "content_snippets.*",
            "internal_articles.*",
            "external_pages.*",
            "news_items.*",
            "newsfeed_items.*",
            "macros.*",
            "help_centers.*",
            "newsfeeds.*",
            "audiences.*",
            "brands.*",
            "dynamic_contents.*",
            "folders.*",
        ),
        "content that the company writes for many readers",
    ),
    **dict.fromkeys(
        (
            "*role.name",
            "roles.*",
            "*plan.name",
            "*tags.name",
            "*tags.tags.name",
            "*tag_name",
            "*segment*name",
            "*_attributes.name",
            "*_attributes.full_name",
            "*_attributes.data.name",
            "segments.*",
            "*ticket_type.name",
            "ticket_types.*",
            "ticket_states.*",
            "*ticket_type_attributes.*",
            "tags.*",
            "teams.*",
            "office_hours_*",
            "subscription_types.*",
            "data_connectors.*",
            "company_segments.*",
            "*topics.*",
            "*scorecards.name",
            "*.monitor_name",
            "*sla_name",
            "sla_rules.name",
            "*team_name",
            "workspace.*",
            "content_export_overview.*",
            "away_status_reasons.*",
            "*_attributes.label",
            "*_attributes.description",
            "*_attributes.visible_*",
        ),
        "the name of a thing that the company set up",
    ),
    **dict.fromkeys(
        (
            "*event_name",
            "event_summaries.*",
            "*status_name",
            "email_settings.domain",
        ),
        "the name of a kind of event, a status or a domain of the company",
    ),
    "*social_profiles.data.name": "the name of the network",
    **dict.fromkeys(
        (
            "*type",
            "*_label",
            "*.attribute.label",
            "*.delivered_as",
            "*.channel",
            "*.source",
        ),
        "a type, or the label of a state or attribute: the same for many",
    ),
    "attachments.kind": "how a record holds a file, the same for many",
    "*id": "an id of Intercom's",
    "*_sdc_record_hash": "a key of the table",
    "*.transcript_status": "a status, the same for many",
}


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
            assert any(fnmatchcase(path, each) for each in EXCEPTIONS), (path, words)


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
def test_no_key_is_marked(table: str) -> None:
    for path, field, _ in fields(annotated_schema(table), table):
        if "x-personal" in field:
            assert "null" in field["type"], path
