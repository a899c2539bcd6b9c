"""Every endpoint of Intercom that can be read is read by a table, or there is a reason why not.

endpoints.json lists them, by method and path as the official description writes them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from description import (
    DESCRIPTION,
    DOCUMENTED,
    ENDPOINTS,
    NAMES_AND_TYPES,
    OF_PREVIEW,
    PREVIEW_DESCRIPTION,
    newest_description,
    tables_of,
    whole_description,
)
from paths import ROOT

from tap_intercom.streams import STREAMS
from tap_intercom.versions import PREVIEW

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


def made_from(*descriptions: Path) -> bytes:
    made = subprocess.run(
        [sys.executable, "scripts/names_and_types.py", *map(str, descriptions)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return made.stdout


def test_names_and_types_are_those_of_the_description() -> None:
    whole_description()
    made = made_from(DESCRIPTION)
    assert made == NAMES_AND_TYPES.read_bytes(), "renew it with scripts/names_and_types.py"


def test_what_preview_adds_is_what_its_description_says() -> None:
    whole_description()
    if not PREVIEW_DESCRIPTION.exists():
        pytest.skip("the official description of Preview is not beside the repository")
    made = made_from(PREVIEW_DESCRIPTION, DESCRIPTION)
    assert made == OF_PREVIEW.read_bytes(), "renew it with scripts/names_and_types.py"


def test_every_readable_endpoint_is_listed() -> None:
    assert readable(newest_description()) - ENDPOINTS.keys() == set()


def test_every_listed_endpoint_is_there() -> None:
    unknown = ENDPOINTS.keys() - readable(newest_description())
    assert unknown == set(), "no description has them: see step 4 of CONTRIBUTING.md"


def test_what_is_documented_by_hand_has_no_description() -> None:
    by_hand, described = (
        {*table["paths"], *table["schemas"]}
        for table in (json.loads(path.read_bytes()) for path in (DOCUMENTED, OF_PREVIEW))
    )
    assert by_hand
    assert by_hand & described == set()


def test_a_table_ends_with_the_version_that_no_longer_has_its_endpoint() -> None:
    gone = json.loads(OF_PREVIEW.read_bytes())["gone"]
    tables = {table for each in gone for table in tables_of(ENDPOINTS[each])}
    assert tables == {name for name, each in STREAMS.items() if each.last_version < PREVIEW}


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/series"), ("post", "/series/search"), ("post", "/export/series")],
)
def test_a_new_endpoint_is_missed(method: str, path: str) -> None:
    newer = deepcopy(newest_description())
    newer["paths"][path] = {method: {"responses": {}}}
    assert readable(newer) - ENDPOINTS.keys() == {f"{method.upper()} {path}"}


def test_a_new_endpoint_that_writes_is_not() -> None:
    newer = deepcopy(newest_description())
    newer["paths"]["/series"] = {"post": {"responses": {}}, "delete": {"responses": {}}}
    assert readable(newer) == readable(newest_description())


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

    assert list(ENDPOINTS) == sorted(ENDPOINTS, key=place), "sort tests/endpoints.json by path"
