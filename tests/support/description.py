"""What the official descriptions of Intercom's API say.

The names and types of version 2.16 are in description.json, and what Preview adds to them in
preview.json, both made by scripts/names_and_types.py. What only pages of documentation have is in
documented.json, written by hand. The examples of the descriptions are in none of them: tests that
need them are skipped where the descriptions are not beside the repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from paths import BESIDE, TESTS

DESCRIPTION = BESIDE / "intercom-openapi" / "2.16.yaml"
OLDER_DESCRIPTION = BESIDE / "intercom-openapi" / "2.12.yaml"
PREVIEW_DESCRIPTION = BESIDE / "intercom-openapi" / "preview.yaml"
NAMES_AND_TYPES = Path(__file__).with_name("description.json")
OF_PREVIEW = Path(__file__).with_name("preview.json")
DOCUMENTED = Path(__file__).with_name("documented.json")

# The endpoints by method and path, each with the tables that it is read for, or with the reason why
# not. `record` or `records`: the objects of the description that are not called as their table.
ENDPOINTS: dict[str, dict[str, Any]] = json.loads((TESTS / "endpoints.json").read_text("utf-8"))


def tables_of(entry: Mapping[str, Any]) -> list[str]:
    return [entry["table"]] if "table" in entry else list(entry.get("tables", ()))


def _singular(table: str) -> str:
    return f"{table.removesuffix('ies')}y" if table.endswith("ies") else table.removesuffix("s")


def _described_as() -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in ENDPOINTS.values():
        named = dict(entry.get("records", {}))
        if "record" in entry:
            named[entry["table"]] = entry["record"]
        found |= {table: _singular(table) for table in tables_of(entry) if table not in found}
        found |= named
    return found


# Which of its objects each table's records are; links and exports have none.
DESCRIBED_AS = _described_as()


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """Names and types: paths that can be read, and components; not to be changed."""
    table = json.loads(NAMES_AND_TYPES.read_text(encoding="utf-8"))
    return {"paths": table.pop("paths"), "components": table}


@lru_cache(maxsize=1)
def newest_description() -> dict[str, Any]:
    """That of 2.16 with all that is newer; not to be changed."""
    found = deepcopy(description())
    schemas = found["components"]["schemas"]
    for path in (OF_PREVIEW, DOCUMENTED):
        table = json.loads(path.read_text(encoding="utf-8"))
        for name, operations in table["paths"].items():
            found["paths"][name] = {**found["paths"].get(name, {}), **operations}
        for name, schema in table["schemas"].items():
            known = schemas.setdefault(name, {"type": "object"})
            known["properties"] = {**known.get("properties", {}), **schema["properties"]}
    return found


@lru_cache(maxsize=1)
def whole_description() -> dict[str, Any]:
    """The whole document; not to be changed. Skips the test where there is none."""
    if not DESCRIPTION.exists():
        pytest.skip("the official description of version 2.16 is not beside the repository")
    loaded: dict[str, Any] = yaml.load(DESCRIPTION.read_bytes(), yaml.CSafeLoader)
    return loaded


@lru_cache(maxsize=1)
def description_of_2_12() -> dict[str, Any]:
    """The whole document of version 2.12; not to be changed. Skips the test where there is none."""
    if not OLDER_DESCRIPTION.exists():
        pytest.skip("the official description of version 2.12 is not beside the repository")
    loaded: dict[str, Any] = yaml.load(OLDER_DESCRIPTION.read_bytes(), yaml.CSafeLoader)
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
