"""The target of examples/archive, which needs no more than the standard library."""

from __future__ import annotations

import importlib.util
import io
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location(
        "archive_rows", ROOT / "examples" / "archive" / "rows.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def lines(*messages: dict[str, Any]) -> list[str]:
    return [json.dumps(each) for each in messages]


def schema(stream: str, *keys: str) -> dict[str, Any]:
    return {"type": "SCHEMA", "stream": stream, "schema": {}, "key_properties": list(keys)}


def record(stream: str, version: int | None = None, **fields: Any) -> dict[str, Any]:
    message = {"type": "RECORD", "stream": stream, "record": fields}
    return message if version is None else {**message, "version": version}


def test_the_newest_row_of_each_key_stays(example: Any, tmp_path: Path) -> None:
    texts = ("plain", "half \ud83d a pair", "nul \0", "مرحبا 👩‍💻", "a\nb\u2028c")
    with example.Rows(tmp_path / "rows.sqlite") as rows:
        messages = [
            schema("links", "one", "other"),
            *(record("links", one="1", other=str(number)) for number in range(len(texts))),
            *(record("links", one="1", other=str(n), text=text) for n, text in enumerate(texts)),
        ]
        example.keep(lines(*messages), rows, io.StringIO())
        assert example.write_json_lines(rows, tmp_path) == {"links": len(texts)}
    written = (tmp_path / "links.jsonl").read_bytes().split(b"\n")
    assert written.pop() == b""
    assert [json.loads(line)["text"] for line in written] == list(texts)
    assert "مرحبا 👩‍💻".encode() in written[3]


def test_a_full_read_removes_what_it_did_not_find(example: Any, tmp_path: Path) -> None:
    with example.Rows(tmp_path / "rows.sqlite") as rows:
        found = [record("tags", 1, id="a"), record("tags", 1, id="b"), record("tags", 2, id="b")]
        active = {"type": "ACTIVATE_VERSION", "stream": "tags", "version": 2}
        example.keep(lines(schema("tags", "id"), *found, active), rows, io.StringIO())
        assert list(rows.all("tags")) == [{"id": "b"}]


def test_a_state_comes_after_its_rows_are_on_the_disk(example: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    seen: list[tuple[Any, int]] = []

    class States(io.StringIO):
        def write(self, text: str) -> int:
            if text.strip():
                with sqlite3.connect(path) as other:
                    (count,) = other.execute("select count(*) from tags").fetchone()
                other.close()
                seen.append((json.loads(text), count))
            return len(text)

    state = {"type": "STATE", "value": {"bookmarks": {}}}
    messages = [schema("tags", "id"), record("tags", id="a"), state, record("tags", id="b"), state]
    with example.Rows(path) as rows:
        example.keep(lines(*messages), rows, States())
    assert seen == [({"bookmarks": {}}, 1), ({"bookmarks": {}}, 2)]


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("a/b.txt", True),
        ("a/../a/b.txt", True),
        ("../outside.txt", False),
        ("a", False),
        ("missing.txt", False),
        ("", False),
        (None, False),
    ],
)
def test_a_file_is_one_inside_the_folder(
    example: Any, tmp_path: Path, name: str | None, is_found: bool
) -> None:
    files = tmp_path / "files"
    (files / "a").mkdir(parents=True)
    (files / "a" / "b.txt").write_text("text")
    (tmp_path / "outside.txt").write_text("text")
    found = example.stored_file({"status": "stored", "path": name}, files)
    assert found == ((files / "a" / "b.txt") if is_found else None)
    assert example.stored_file({"status": "gone", "path": name}, files) is None
