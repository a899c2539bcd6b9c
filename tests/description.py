"""The official description of Intercom's API, version 2.16, where it is at hand.

It is data beside the repository, not part of it: tests that need it are skipped without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DESCRIPTION = Path(__file__).resolve().parents[2] / "shared" / "intercom-openapi" / "2.16.yaml"

# The endpoints by method and path, each with the tables that it is read for, or with the reason why
# not. `record` or `records`: the objects of the description that are not called as their table.
ENDPOINTS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("endpoints.json").read_text("utf-8")
)


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
    """The whole document; not to be changed. Skips the test where there is none."""
    if not DESCRIPTION.exists():
        pytest.skip("the official description of version 2.16 is not at hand")
    yaml = pytest.importorskip("yaml")
    with DESCRIPTION.open("rb") as file:
        loaded: dict[str, Any] = yaml.load(file, yaml.CSafeLoader)
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
    shared = description()["components"]["responses"]
    for path, operations in description()["paths"].items():
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
