"""Runs statements in a database, in the environment of that database.

    python apply_sql.py sqlite3 < input.json

The name is that of a Python module. The input holds `tables`, each a list of objects of text, and
`statements`. Prints the tables as they are afterwards.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def main(module: str) -> None:
    given: dict[str, Any] = json.load(sys.stdin)
    connection = importlib.import_module(module).connect(":memory:")
    for name, rows in given["tables"].items():
        columns = [f"{each} {type_of(each)}" for each in rows[0]]
        connection.execute(f"create table {name} ({', '.join(columns)})")
        places = ", ".join("?" for _ in columns)
        for row in rows:
            connection.execute(f"insert into {name} values ({places})", list(row.values()))
    for statement in given["statements"]:
        connection.execute(statement)
    rows = {
        name: connection.execute(f"select * from {name}").fetchall() for name in given["tables"]
    }
    print(json.dumps(rows, default=str))


def type_of(column: str) -> str:
    return "timestamp" if column.endswith("_at") else "varchar"


if __name__ == "__main__":
    main(sys.argv[1])
