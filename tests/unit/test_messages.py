"""Singer messages: lines that are whole and in order, and states that come at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tap_intercom.errors import TargetGoneError
from tap_intercom.messages import (
    FLUSH_BYTES,
    RECORDS_PER_STATE,
    Messages,
    record_line,
    record_prefix,
)

NOON = "2026-01-31T12:00:00Z"


class Target:
    """A file that messages are written to."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        self._position = 0

    def read(self) -> list[dict[str, Any]]:
        """What came since the last call; every line must be whole."""
        data = os.pread(self.descriptor, 1_000_000, self._position)
        self._position += len(data)
        assert data[-1:] in (b"", b"\n")
        return [json.loads(line) for line in data.splitlines()]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    target = Target(tmp_path / "stdout")
    yield target
    os.close(target.descriptor)


@pytest.fixture
def messages(target: Target, monkeypatch: pytest.MonkeyPatch) -> Messages:
    monkeypatch.setattr("tap_intercom.messages.FLUSH_SECONDS", 1000.0)
    return Messages(target.descriptor)


def test_a_record_line_is_a_message() -> None:
    record = {"id": "1", "name": "Zoë\n"}
    line = record_line(record_prefix("tags", NOON, None), record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    head = {"type": "RECORD", "stream": "tags", "time_extracted": NOON}
    assert json.loads(line) == head | {"record": record}
    versioned = json.loads(record_line(record_prefix("tags", NOON, 7), record))
    assert versioned == head | {"version": 7, "record": record}


def test_messages_come_in_order_with_the_state_and_not_before(
    target: Target, messages: Messages
) -> None:
    messages.schema("tags", {"type": "object"}, ["id"], None)
    messages.schema("contacts", {"type": "object"}, ["id"], "updated_at")
    messages.records(record_line(record_prefix("tags", NOON, 7), {"id": "1"}), 1)
    messages.activate_version("tags", 7)
    assert target.read() == []
    messages.state({"bookmarks": {}})
    first, second, record, version, state = target.read()
    schema = {"type": "SCHEMA", "schema": {"type": "object"}, "key_properties": ["id"]}
    assert first == schema | {"stream": "tags"}
    assert second == schema | {"stream": "contacts", "bookmark_properties": ["updated_at"]}
    assert (record["type"], record["record"]) == ("RECORD", {"id": "1"})
    assert version == {"type": "ACTIVATE_VERSION", "stream": "tags", "version": 7}
    assert state == {"type": "STATE", "value": {"bookmarks": {}}}


def test_many_records_do_not_wait_in_memory(target: Target, messages: Messages) -> None:
    line = record_line(record_prefix("tags", NOON, None), {"id": "1", "name": "x" * 1000})
    count = FLUSH_BYTES // len(line)
    for _ in range(count):
        messages.records(line, 1)
    assert target.read() == []
    messages.records(line, 1)
    assert len(target.read()) == count + 1


def test_records_do_not_wait_long(
    target: Target, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tap_intercom.messages.FLUSH_SECONDS", 0.0)
    messages.records(record_line(record_prefix("tags", NOON, None), {"id": "1"}), 1)
    assert len(target.read()) == 1


def test_a_state_is_due_after_enough_records(messages: Messages) -> None:
    messages.records(b"", RECORDS_PER_STATE - 1)
    assert not messages.state_is_due
    messages.records(b"", 1)
    assert messages.state_is_due
    messages.state({})
    assert not messages.state_is_due


def test_a_target_that_ended_is_told() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(TargetGoneError, match="the target has ended"):
        Messages(writer).state({})
    os.close(writer)
