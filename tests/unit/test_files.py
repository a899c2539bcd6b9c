"""Files named on the command line: read with a clear error, replaced whole, edited in place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_intercom.errors import ConfigError
from tap_intercom.files import documents_in, read_catalog, read_json, replace_file, with_member


@pytest.mark.parametrize("content", [b'{"a": [1]}', b'\xef\xbb\xbf{"a": [1]}', b'\n{"a":[1]}\n'])
def test_json_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(content)
    assert read_json("catalog", path) == {"a": [1]}


@pytest.mark.parametrize(
    ("what", "content", "reason"),
    [
        ("catalog", b"", "is empty; create one with --discover"),
        ("state", b" \n", "is empty; write {} into it for a first run"),
        ("catalog", b'{"a": 1,}', "is not JSON: .* at line 1, column 9"),
        ("catalog", b'{\n"a" 1}', "is not JSON: .* at line 2, column 5"),
        ("catalog", b'{"a": "\xff"}', r"is not UTF-8 \(byte 7\)"),
        ("catalog", b"[" * 100_000, "is not readable JSON"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(
    tmp_path: Path, what: str, content: bytes, reason: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{what}: {path} {reason}"):
        read_json(what, path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing.json"
    with pytest.raises(ConfigError, match=f"^catalog: {path} cannot be read: No such file"):
        read_json("catalog", path)
    with pytest.raises(ConfigError, match=r"for a first run, write \{\} into it"):
        read_json("state", path)
    with pytest.raises(ConfigError, match="cannot be read: not a path"):
        read_json("catalog", "\0")


def test_a_catalog_has_one_flag(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    path.write_text("{}")
    assert read_catalog(None, None) is None
    assert read_catalog(str(path), None) == read_catalog(None, str(path)) == {}
    for properties in (str(path), ""):
        with pytest.raises(ConfigError, match="give only one"):
            read_catalog(str(path), properties)


@pytest.mark.parametrize("flags", [("", None), (None, "")])
def test_an_empty_path_is_not_a_missing_flag(flags: tuple[str | None, str | None]) -> None:
    with pytest.raises(ConfigError, match="catalog: the path is empty"):
        read_catalog(*flags)


def test_a_replaced_file_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    path, link = tmp_path / "state.json", tmp_path / "link.json"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    replace_file("state", link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    replace_file("state", path, b"newer", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_replaced_stays_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")

    def fail(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        replace_file("state", path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_documents_follow_each_other_with_or_without_space() -> None:
    assert list(documents_in(' {"a": 1}\n[2]3 "four"')) == [{"a": 1}, [2], 3, "four"]
    assert list(documents_in(" \n")) == []
    with pytest.raises(ValueError):
        list(documents_in("{} and more"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", '{"token": "new"}'),
        ('{ "token" : "old" , "a": 1}', '{ "token" : "new" , "a": 1}'),
        ('{\n  "a": {"token": 1}\n}\n', '{\n  "token": "new",\n  "a": {"token": 1}\n}\n'),
        ('{"a": "}", "token": {"b": [1]}}', '{"a": "}", "token": "new"}'),
        ('\ufeff{"a": 1}', '\ufeff{"token": "new", "a": 1}'),
    ],
)
def test_one_member_is_set_and_the_rest_stays(text: str, expected: str) -> None:
    assert with_member(text, "token", "new") == expected


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text()), st.text(), st.integers())
def test_the_member_is_set_in_any_object(members: dict[str, Any], name: str, value: int) -> None:
    for indent in (None, 2):
        text = json.dumps(members, indent=indent)
        assert json.loads(with_member(text, name, value)) == members | {name: value}


@pytest.mark.parametrize("text", ["[]", '"{}"', "{", ""])
def test_only_an_object_gets_a_member(text: str) -> None:
    with pytest.raises(ValueError):
        with_member(text, "token", "new")
