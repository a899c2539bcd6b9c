"""Every endpoint of Intercom that can be read is read by a table, or there is a reason why not.

endpoints.json lists them, by method and path as the official description writes them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from description import (
    DESCRIPTION,
    ENDPOINTS,
    NAMES_AND_TYPES,
    description,
    tables_of,
    whole_description,
)
from paths import ROOT

TABLES = {path.stem for path in (ROOT / "tap_intercom" / "schemas").glob("*.json")}

# POSTs that only read, and those of exports, which make a file to be read.
READING_POST = re.compile(r".*/search|/companies/list|/export/.*")


def readable(document: Mapping[str, Any]) -> set[str]:
    """The endpoints of a description that can be read: "GET /admins", "POST /tickets/search"."""
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
        if method == "get" or (method == "post" and READING_POST.fullmatch(path))
    }


def test_names_and_types_are_those_of_the_description() -> None:
    whole_description()
    made = subprocess.run(
        [sys.executable, "scripts/names_and_types.py", str(DESCRIPTION)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert made.stdout == NAMES_AND_TYPES.read_bytes(), "renew it with scripts/names_and_types.py"


def test_every_readable_endpoint_is_listed() -> None:
    assert readable(description()) - ENDPOINTS.keys() == set()


def test_every_listed_endpoint_is_there() -> None:
    assert ENDPOINTS.keys() - readable(description()) == set()


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/series"), ("post", "/companies/search"), ("post", "/export/series")],
)
def test_a_new_endpoint_is_missed(method: str, path: str) -> None:
    newer = deepcopy(description())
    newer["paths"][path] = {method: {"responses": {}}}
    assert readable(newer) - ENDPOINTS.keys() == {f"{method.upper()} {path}"}


def test_a_new_endpoint_that_writes_is_not() -> None:
    newer = deepcopy(description())
    newer["paths"]["/series"] = {"post": {"responses": {}}, "delete": {"responses": {}}}
    assert readable(newer) == readable(description())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_endpoint_has_tables_or_a_reason(endpoint: str) -> None:
    entry = ENDPOINTS[endpoint]
    assert len(entry.keys() & {"table", "tables", "reason"}) == 1
    assert entry.keys() <= {"table", "record", "tables", "records", "reason"}
    tables = tables_of(entry)
    assert set(tables) <= TABLES, f"{endpoint}: no such table is in tap_intercom/schemas/"
    assert {*entry.get("records", ())} <= {*tables}
    assert len(tables) == len(set(tables))
    assert tables or entry["reason"]


def test_every_table_is_read_from_an_endpoint() -> None:
    read = {table for entry in ENDPOINTS.values() for table in tables_of(entry)}
    for table in sorted(TABLES - read):
        pytest.fail(f"{table}: add it to the row of its endpoint in tests/endpoints.json")
    assert read == TABLES


def test_list_is_sorted_by_path() -> None:
    def place(endpoint: str) -> tuple[str, str]:
        method, path = endpoint.split()
        return path, method

    assert list(ENDPOINTS) == sorted(ENDPOINTS, key=place)
