"""What the official description of Intercom's API, version 2.16, says.

Its names and types are in description.json, made by scripts/names_and_types.py. Its examples are
not: tests that need them are skipped where the description is not beside the repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from paths import BESIDE

DESCRIPTION = BESIDE / "intercom-openapi" / "2.16.yaml"
NAMES_AND_TYPES = Path(__file__).with_name("description.json")

# Which of its objects each stream's records are.
DESCRIBED_AS = {
    "activity_logs": "activity_log",
    "admins": "admin",
    "article_statistics": "article_statistics",
    "article_versions": "article_version_summary",
    # Statistics are a stream of their own; the list leaves them out.
    "articles": "article_list_item",
    "audiences": "audience",
    "away_status_reasons": "away_status_reason",
    "brands": "brand",
    "calls": "call",
    "collections": "collection",
    "companies": "company",
    "company_attributes": "data_attribute",
    "company_notes": "company_note",
    "company_segments": "segment",
    "contact_attributes": "data_attribute",
    "contact_merge_history": "merge_history_item",
    "contact_notes": "note",
    "contacts": "contact",
    "content_import_sources": "content_import_source",
    "content_snippets": "content_snippet",
    "conversation_attributes": "conversation_attribute",
    "conversation_parts": "conversation_part",
    # The parts inside a conversation are a stream of their own; lists and searches leave them out.
    "conversations": "conversation_list_item",
    "custom_object_instances": "custom_object_instance",
    "data_connector_executions": "data_connector_execution_result",
    "data_connectors": "data_connector",
    "deleted_conversations": "deleted_conversation_item",
    "email_settings": "email_setting",
    "event_summaries": "data_event_summary_item",
    "events": "data_event",
    "external_pages": "external_page",
    "fin_voice_calls": "ai_call_response",
    "handling_events": "handling_event",
    "help_centers": "help_center",
    "internal_articles": "internal_article_list_item",
    "ip_allowlist": "ip_allowlist",
    "macros": "macro",
    "news_items": "news_item",
    "newsfeed_items": "news_item",
    "newsfeeds": "newsfeed",
    "office_hours_exceptions": "office_hours_exception",
    "office_hours_schedules": "office_hours_schedule",
    "redirects": "help_center_redirect",
    "segments": "segment",
    "side_conversation_parts": "conversation_part",
    "side_conversations": "side_conversation_summary",
    "subscription_types": "subscription_type",
    "tags": "tag",
    "team_metrics": "team_metric",
    "teams": "team",
    "ticket_parts": "ticket_part",
    "ticket_states": "ticket_state_detailed",
    "ticket_type_attributes": "ticket_type_attribute",
    "ticket_types": "ticket_type",
    "tickets": "ticket",
    "workspace": "app",
}


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """Names and types: paths that can be read, and components; not to be changed."""
    table = json.loads(NAMES_AND_TYPES.read_text(encoding="utf-8"))
    return {"paths": table.pop("paths"), "components": table}


@lru_cache(maxsize=1)
def whole_description() -> dict[str, Any]:
    """The whole document; not to be changed. Skips the test where there is none."""
    if not DESCRIPTION.exists():
        pytest.skip("the official description of version 2.16 is not beside the repository")
    loaded: dict[str, Any] = yaml.load(DESCRIPTION.read_bytes(), yaml.CSafeLoader)
    return loaded


class Example(NamedTuple):
    """An answer that the description shows."""

    endpoint: str
    """Method and path, as "GET /articles"."""
    status: str
    """The HTTP status of the answer, or "default"."""
    name: str
    """Intercom's name of the example."""
    value: Any
    """The whole body; not to be changed."""


def examples() -> Iterator[Example]:
    """Every example answer of every operation, those that operations share included."""
    shared = whole_description()["components"]["responses"]
    for path, operations in whole_description()["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            for status, answer in operation["responses"].items():
                if "$ref" in answer:
                    answer = shared[answer["$ref"].rsplit("/", 1)[1]]
                for body in answer.get("content", {}).values():
                    for name, example in body.get("examples", {}).items():
                        yield Example(
                            f"{method.upper()} {path}", str(status), name, example["value"]
                        )
