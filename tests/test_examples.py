"""The example answers of the official description are found, and hold what tables read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from description import examples

SCHEMAS = Path(__file__).resolve().parent.parent / "tap_intercom" / "schemas"

# Tables, the endpoint that each is read from and the list in its answers.
READ_FROM = [
    ("activity_logs", "GET /admins/activity_logs", "activity_logs"),
    ("articles", "GET /articles", "data"),
    ("tickets", "POST /tickets/search", "tickets"),
]


def answers(endpoint: str, status: str = "200") -> list[Any]:
    """The bodies that an endpoint gives with a status."""
    return [
        example.value
        for example in examples()
        if example.endpoint == endpoint and example.status == status
    ]


@pytest.mark.parametrize(("table", "endpoint", "records_key"), READ_FROM)
def test_records_of_the_examples_have_known_fields(
    table: str, endpoint: str, records_key: str
) -> None:
    records = [record for answer in answers(endpoint) for record in answer[records_key]]
    assert records
    schema = json.loads((SCHEMAS / f"{table}.json").read_text("utf-8"))
    for record in records:
        assert record.keys() <= schema["properties"].keys()


def test_answers_of_errors_are_examples_too() -> None:
    (error,) = answers("GET /articles", "401")
    assert error["type"] == "error.list"


def test_answers_that_operations_share_are_resolved() -> None:
    shared = [example for example in examples() if example.endpoint == "GET /articles/{id}/draft"]
    assert {example.status for example in shared} >= {"200", "401"}
