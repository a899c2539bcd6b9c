"""Custom attributes in the tables of real targets, flattened and not, beside Intercom's values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import Output, Tap, selecting
from loaded_tables import (
    Row,
    load,
    postgresql,
    rows_of_duckdb,
    rows_of_postgresql,
    target_bin,
    url_of_postgresql,
)
from truth import has_column, split_attributes, with_values

from intercom_sandbox import Sandbox, Workspace, generate

STREAMS = ["contacts", "companies", "conversations", "tickets", "custom_object_instances"]
DEPTH = 2
# A name for each kind of character that a database or a target could misread.
ODD_NAMES = [
    'say "so"',
    "100 %",
    "a:b",
    "a;b--c",
    "so (called)",
    "it's",
    "Größe 日本 🙂",
    "€uro/month?",
    "{0}",
]
# For each type values that fit it and values that do not.
VALUES: Mapping[str, list[Any]] = {
    "string": ["text", 'é🙂 "quoted" \\ , \'', 5, 1.5, True, ["a"], {"b": None}],
    "integer": [12, -5, 2**53 + 1, 12.0, "13", "012", "twelve", 1.5, True, [1], {"a": 1}, 2**63],
    "float": [0.25, 3, -1e-9, "1.5", "1.50", "n/a", False, [0.5], {"a": 0.5}, 2**64 - 1],
    "boolean": [True, False, "true", "maybe", 1, 0, [True], {"a": False}],
    "date": [0, 1_700_000_000, -86_400, "2030-01-02", "31/12/2020", 1_571_672_154_000, True, [1]],
}


class Target(NamedTuple):
    """A target and how it was told to load."""

    name: str
    is_flattening: bool


def build_workspace() -> Workspace:
    workspace = generate(
        seed=3, contacts=40, companies=12, conversations=16, parts=20, days=90, details=0
    )
    for kind, values in VALUES.items():
        workspace.add_data_attribute("contact", f"any {kind}", kind)
        workspace.add_data_attribute("company", f"any {kind}", kind)
        for value in values:
            workspace.add_contact(custom_attributes={f"any {kind}": value})
            workspace.add_company(custom_attributes={f"any {kind}": value})
    for kind in ("string", "integer", "decimal", "boolean", "datetime", "list"):
        workspace.add_conversation_attribute(f"any {kind}", kind)
        of_kind = {"decimal": "float", "datetime": "date", "list": "string"}.get(kind, kind)
        for value in VALUES[of_kind]:
            workspace.add_conversation(custom_attributes={f"any {kind}": value})
    for name in ODD_NAMES:
        workspace.add_data_attribute("contact", name, "integer")
    workspace.add_contact(custom_attributes={name: at for at, name in enumerate(ODD_NAMES)})
    return workspace


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(build_workspace()) as running:
        yield running


@pytest.fixture(scope="module")
def output(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Output:
    """A run of the streams with custom attributes; some were created after the discovery."""
    tap = Tap(sandbox, tmp_path_factory.mktemp("flattening"))
    catalog = selecting(tap.discover(), *STREAMS)
    late = {"created later": 5, "this too": {"a": "é"}}
    sandbox.workspace.add_contact(custom_attributes=late)
    sandbox.workspace.add_company(custom_attributes=late)
    sandbox.workspace.add_conversation(custom_attributes=late)
    sandbox.workspace.add_ticket(ticket_attributes=late)
    output = tap.sync(catalog=catalog)
    assert output.code == 0, output.log
    return output


@pytest.fixture(scope="module")
def types(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    """The declared type of each custom attribute, by stream."""
    truth = sandbox.workspace.truth
    attributes = {
        "contacts": [each for each in truth("contact_attributes") if each["custom"]],
        "companies": [each for each in truth("company_attributes") if each["custom"]],
        "conversations": truth("conversation_attributes"),
        "tickets": truth("ticket_type_attributes"),
        "custom_object_instances": [],
    }
    return {
        stream: {each["name"]: each["data_type"] for each in of_stream}
        for stream, of_stream in attributes.items()
    }


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with postgresql() as server:
        yield server


@pytest.fixture
def rows(
    request: pytest.FixtureRequest, target: Target, output: Output, tmp_path: Path
) -> dict[str, list[Row]]:
    """What the target makes of the messages."""
    messages = tmp_path / "messages.jsonl"
    messages.write_bytes(output.stdout)
    depth = DEPTH if target.is_flattening else 0
    name = target.name
    if name == "jsonl":
        config: dict[str, Any] = {"destination_path": str(tmp_path), "do_timestamp_file": False}
        load(target_bin(name) / "target-jsonl", config, messages, tmp_path)
        return {
            stream: [
                json.loads(line) for line in (tmp_path / f"{stream}.jsonl").read_text().splitlines()
            ]
            for stream in STREAMS
        }
    if name == "duckdb":
        database = tmp_path / "intercom.duckdb"
        config = {
            "path": str(database),
            "database": database.stem,
            "default_target_schema": "main",
            "data_flattening_max_level": depth,
            "validate_records": True,
        }
        load(target_bin(name) / "target-duckdb", config, messages, tmp_path)
        return rows_of_duckdb(database, STREAMS)
    schema = f"{name}_{depth}".replace("-", "_")
    server = request.getfixturevalue("server")
    config = {"default_target_schema": schema}
    if name == "meltanolabs-postgres":
        config["sqlalchemy_url"] = url_of_postgresql(server)
        config |= {"flattening_enabled": target.is_flattening, "flattening_max_depth": depth}
    else:
        config |= {**server, "data_flattening_max_level": depth, "validate_records": True}
    load(target_bin(name) / "target-postgres", config, messages, tmp_path)
    return rows_of_postgresql(server, schema, STREAMS)


@pytest.mark.parametrize(
    "target",
    [
        Target("jsonl", False),
        *(
            Target(name, is_flattening)
            for name in ("duckdb", "meltanolabs-postgres", "pipelinewise-postgres")
            for is_flattening in (False, True)
        ),
    ],
    ids=lambda target: f"{target.name}-{'flattened' if target.is_flattening else 'whole'}",
)
def test_every_custom_attribute_arrives(
    sandbox: Sandbox,
    types: dict[str, dict[str, str]],
    target: Target,
    rows: dict[str, list[Row]],
) -> None:
    problems: list[str] = []
    for stream in STREAMS:
        field = "ticket_attributes" if stream == "tickets" else "custom_attributes"
        loaded = {str(row["id"]): row for row in rows[stream]}
        truth = {each["id"]: each for each in sandbox.workspace.truth(stream)}
        assert loaded.keys() == truth.keys()
        names = [name for name in types[stream] if has_column(name, types[stream])]
        for record_id, record in truth.items():
            values = with_values(stream, record)[field]
            attributes, others = split_attributes(values, types[stream])
            row = loaded[record_id]
            expected: Row = {"other_attributes": others}
            arrived: Row = {"other_attributes": row["other_attributes"]}
            is_whole = not names and target.name == "meltanolabs-postgres"
            if is_whole or not target.is_flattening:
                expected[field] = attributes
                arrived[field] = as_json(row[field])
            for name in names if target.is_flattening else ():
                kind, column = types[stream][name], f"{field}__{name}"
                if target.name != "meltanolabs-postgres":
                    column = column.lower()
                value = row[column]
                expected[name] = (attributes or {}).get(name)
                arrived[name] = as_json(value) if kind == "files" else value
                if kind in ("date", "datetime") and value is not None:
                    arrived[name] = datetime.fromisoformat(value).isoformat() + "Z"
                if target.name == "pipelinewise-postgres" and isinstance(expected[name], str):
                    # It writes a line end as the two characters of JSON.
                    expected[name] = expected[name].replace("\n", "\\n")
            problems += [
                f"{stream} {record_id} {name}: {arrived[name]!r} instead of {value!r}"
                for name, value in expected.items()
                if not is_same(value, arrived[name])
            ]
    assert not problems, "\n".join(problems[:20])


def as_json(value: Any) -> Any:
    """A value of a column for objects or lists, which some targets make a text column."""
    return json.loads(value) if isinstance(value, str) else value


def is_same(expected: Any, arrived: Any) -> bool:
    return bool(expected == arrived) and isinstance(expected, bool) == isinstance(arrived, bool)


def test_every_level_of_a_schema_has_one_type(output: Output) -> None:
    """BigQuery targets make records of nested fields, and read the type of each."""
    nested = output.schema("conversations")["properties"]["company"]["properties"]
    assert nested["custom_attributes"]["properties"]["any date"]["type"] == ["null", "string"]
    assert [
        name for stream in STREAMS for name in without_type(stream, output.schema(stream))
    ] == []


def without_type(name: str, schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    found = [] if isinstance(types, str) or len({*types} - {"null"}) == 1 else [name]
    for each, inner in schema.get("properties", {}).items():
        found += without_type(f"{name}.{each}", inner)
    return found + (without_type(f"{name}[]", schema["items"]) if "items" in schema else [])
