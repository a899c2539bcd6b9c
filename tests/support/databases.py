"""The real targets: how each is set up, what its tables hold, and what is known to go wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from loaded_tables import (
    Row,
    rows_of_duckdb,
    rows_of_postgresql,
    target_bin,
    url_of_postgresql,
)
from truth import instant_text

Schema = dict[str, Any]
Record = dict[str, Any]


class Fault(NamedTuple):
    """What a target makes of the values in columns of a type; `arrives` gives what arrives."""

    target: str
    name: str
    column: str
    arrives: Callable[[Any], Any]


def _without_quotes(text: str) -> str:
    """JSON text, of which only the quotes and backslashes are read back."""
    return re.sub(r'\\(["\\])', r"\1", json.dumps(text, ensure_ascii=False)[1:-1])


# All that the comparison allows a target to change. Each must still occur.
FAULTS = (
    Fault("duckdb", "empty text is null", "string", lambda text: text or None),
    Fault("duckdb", "numbers have 53 bits", "number", float),
    Fault("pipelinewise-postgres", "empty text is null", "string", lambda text: text or None),
    Fault("pipelinewise-postgres", "numbers have 53 bits", "number", float),
    Fault("pipelinewise-postgres", "control characters are JSON", "string", _without_quotes),
)


@dataclass
class Database:
    """A target and where it loads to.

    command: the program and its arguments. read: the rows of tables, each column as JSON.
    has_lower_case: names of columns lose their capitals. keeps_all: one row for each message
    and not for each key. deletes: rows of earlier full reads go with ACTIVATE_VERSION.
    """

    name: str
    command: list[str]
    read: Callable[[list[str]], dict[str, list[Row]]]
    has_lower_case: bool = False
    keeps_all: bool = False
    deletes: bool = False
    occurred: set[str] = field(default_factory=set)

    @property
    def faults(self) -> Iterator[Fault]:
        return (fault for fault in FAULTS if fault.target == self.name)

    def expected(self, record: Record, schema: Schema) -> Record:
        """A record with what this target is known to make of its values."""
        found = dict(record)
        for fault in self.faults:
            for name, value in found.items():
                column = schema["properties"].get(name, {})
                is_of_it = types_of(column) == {fault.column} and "format" not in column
                if is_of_it and value is not None:
                    found[name] = fault.arrives(value)
                    if found[name] != value:
                        self.occurred.add(fault.name)
        return found

    def records(self, rows: list[Row], schema: Schema) -> Iterator[Record]:
        """The rows of a table as records. Raises AssertionError for a column of nobody."""
        columns = {
            name.lower() if self.has_lower_case else name: name for name in schema["properties"]
        }
        for row in rows:
            unknown = {name for name in row.keys() - columns if not name.startswith("_sdc_")}
            assert not unknown, f"columns of nobody: {unknown}"
            yield {
                name: _restored(row.get(column), schema["properties"][name])
                for column, name in columns.items()
            }


def types_of(column: Schema) -> set[str]:
    """The types of a column but null."""
    if "anyOf" in column:
        return set().union(*map(types_of, column["anyOf"]))
    types = column.get("type", ())
    return ({types} if isinstance(types, str) else set(types)) - {"null"}


def _restored(value: Any, column: Schema) -> Any:
    """A value of a table as it is in a record."""
    if isinstance(value, str):
        if types_of(column) & {"object", "array"}:
            return json.loads(value)
        if column.get("format") == "date-time":
            instant = value.replace(" ", "T")
            # Python 3.10 reads three or six decimals only.
            return instant_text(re.sub(r"\.(\d+)", lambda found: f".{found[1]:0<6.6}", instant))
        if types_of(column) == {"integer"}:
            return int(value)
    return value


def json_lines(folder: Path) -> Database:
    target = target_bin("jsonl") / "target-jsonl"
    rows = folder / "rows"

    def read(tables: list[str]) -> dict[str, list[Row]]:
        files = {table: rows / f"{table}.jsonl" for table in tables}
        return {
            table: [json.loads(line) for line in path.read_bytes().splitlines()]
            if path.exists()
            else []
            for table, path in files.items()
        }

    config = {"destination_path": str(rows), "do_timestamp_file": False}
    return Database("jsonl", _command(target, config, folder), read, keeps_all=True)


def duckdb(folder: Path, **settings: Any) -> Database:
    target = target_bin("duckdb") / "target-duckdb"
    path = folder / "intercom.duckdb"
    config = {
        "path": str(path),
        "database": path.stem,
        "default_target_schema": "main",
        "add_metadata_columns": True,
        "validate_records": True,
        **settings,
    }
    command = _command(target, config, folder)
    return Database(
        "duckdb", command, lambda tables: rows_of_duckdb(path, tables), has_lower_case=True
    )


def meltanolabs(folder: Path, server: dict[str, Any], schema: str, **settings: Any) -> Database:
    target = target_bin("meltanolabs-postgres") / "target-postgres"
    config = {
        "sqlalchemy_url": url_of_postgresql(server),
        "default_target_schema": schema,
        "hard_delete": True,
        **settings,
    }
    command = _command(target, config, folder)
    return Database(
        "meltanolabs-postgres",
        command,
        lambda tables: rows_of_postgresql(server, schema, tables),
        deletes=True,
    )


def pipelinewise(folder: Path, server: dict[str, Any], schema: str, **settings: Any) -> Database:
    target = target_bin("pipelinewise-postgres") / "target-postgres"
    config = {**server, "default_target_schema": schema, "validate_records": True, **settings}
    command = _command(target, config, folder)
    return Database(
        "pipelinewise-postgres",
        command,
        lambda tables: rows_of_postgresql(server, schema, tables),
        has_lower_case=True,
    )


def _command(target: Path, config: dict[str, Any], folder: Path) -> list[str]:
    path = folder / "target.json"
    path.write_text(json.dumps(config))
    return [str(target), "--config", str(path)]
