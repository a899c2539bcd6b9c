"""Take names and types out of an official description of Intercom's API, for the tests.

    python scripts/names_and_types.py 2.16.yaml > tests/support/description.json
    python scripts/names_and_types.py preview.yaml 2.16.yaml > tests/support/preview.json

The description itself is no part of the repository. What is taken are the endpoints that can be
read, the types of their answers, and nothing that is prose. With an older description, only what it
does not have is taken, and which of its endpoints are gone.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

# POSTs that only read, and those of exports, which make a file to be read.
READING_POST = re.compile(r".*/search|/companies/list|/export/.*")
REFERENCE = "#/components/"
Table = Mapping[str, Any]
# What a schema says to people.
PROSE = {"deprecated", "description", "example", "examples", "externalDocs", "summary", "title"}


def names_and_types(description: Mapping[str, Any]) -> dict[str, Any]:
    """The paths that can be read and the components that they refer to, without prose."""
    paths = {
        path: {
            method: {"responses": _schema(operation["responses"])}
            for method, operation in operations.items()
            if is_readable(method, path)
        }
        for path, operations in description["paths"].items()
    }
    components: dict[str, dict[str, Any]] = {"schemas": {}, "responses": {}}
    waiting = list(_references(paths))
    # Tests look at these by name.
    waiting += [f"{REFERENCE}schemas/{name}" for name in description["components"]["schemas"]]
    while waiting:
        kind, name = waiting.pop().removeprefix(REFERENCE).split("/")
        if name not in components[kind]:
            found = components[kind][name] = _schema(description["components"][kind][name])
            waiting += _references(found)
    return {
        "paths": {path: operations for path, operations in paths.items() if operations},
        "components": {kind: dict(sorted(found.items())) for kind, found in components.items()},
    }


def beyond(newer: Table, older: Table) -> Table:
    """What one table has and an older one does not: endpoints, and fields of the same objects."""
    known, left = set(_endpoints(older)), set(_endpoints(newer))
    schemas = newer["components"]["schemas"]
    found = {
        name: {"properties": added}
        for name, schema in schemas.items()
        if not name.endswith("_request")
        and (added := _added(schema, older["components"]["schemas"].get(name, schema)))
    }
    paths = {
        path: kept
        for path, operations in newer["paths"].items()
        if (kept := {m: each for m, each in operations.items() if endpoint(m, path) not in known})
    }
    waiting = list(_references([paths, found]))
    while waiting:
        kind, name = waiting.pop().removeprefix(REFERENCE).split("/")
        if kind == "schemas" and name not in older["components"]["schemas"] and name not in found:
            found[name] = schemas[name]
            waiting += _references(found[name])
    gone = dict.fromkeys(sorted(known - left))
    return {"paths": paths, "components": {"schemas": dict(sorted(found.items())), "gone": gone}}


def endpoint(method: str, path: str) -> str:
    """An endpoint without the names of its parameters: "GET /tags/{}"."""
    return f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"


def _endpoints(table: Table) -> Iterator[str]:
    for path, operations in table["paths"].items():
        yield from (endpoint(method, path) for method in operations)


def _added(newer: Table, older: Table) -> dict[str, Any]:
    known = older.get("properties", {})
    return {name: each for name, each in newer.get("properties", {}).items() if name not in known}


def is_readable(method: str, path: str) -> bool:
    """Whether an operation only reads."""
    return method == "get" or (method == "post" and READING_POST.fullmatch(path) is not None)


def _schema(value: Any, is_by_name: bool = False) -> Any:
    """A part of a description without prose; is_by_name: whether its keys are names of fields."""
    if isinstance(value, list):
        return [_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _schema(each, is_by_name=key == "properties" and not is_by_name)
        for key, each in value.items()
        if is_by_name or not (key in PROSE or key.startswith("x-"))
    }


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    elif isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for each in value.values():
            yield from _references(each)


def text(table: Mapping[str, Any]) -> str:
    """The table as JSON, a line for each path and component."""
    parts = []
    for name, members in (("paths", table["paths"]), *table["components"].items()):
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members.items()]
        parts.append(f'"{name}": {{\n' + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    tables = [
        names_and_types(yaml.load(Path(name).read_bytes(), yaml.CSafeLoader))
        for name in sys.argv[1:3]
    ]
    sys.stdout.write(text(beyond(*tables) if len(tables) > 1 else tables[0]))
