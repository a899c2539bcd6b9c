"""Singer messages: the only module that writes to stdout."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from tap_intercom.descriptors import write_all
from tap_intercom.errors import TargetGoneError
from tap_intercom.records.typed_records import TypedRecord

FLUSH_BYTES = 65_536
FLUSH_SECONDS = 0.25
RECORDS_PER_STATE = 100
_ENCODER = msgspec.json.Encoder()


def record_prefix(stream: str, extracted_at: str, version: int | None) -> bytes:
    """Return the part of a RECORD line before its record; see `record_line`."""
    head: dict[str, Any] = {"type": "RECORD", "stream": stream, "time_extracted": extracted_at}
    if version is not None:
        head["version"] = version
    return orjson.dumps(head)[:-1] + b',"record":'


def record_line(prefix: bytes, record: Mapping[str, Any]) -> bytes:
    """Return one RECORD line; the prefix is made once for all records of a page."""
    return prefix + orjson.dumps(record) + b"}\n"


def typed_record_lines(prefix: bytes, records: Iterable[TypedRecord]) -> bytes:
    """Return the RECORD lines of typed records; for the prefix see `record_line`."""
    lines = bytearray()
    for record in records:
        lines += prefix
        _ENCODER.encode_into(record, lines, -1)
        lines += b"}\n"
    return bytes(lines)


def write(descriptor: int, data: bytes) -> None:
    """Write all of the data. Raises TargetGoneError if its reader has ended."""
    try:
        write_all(descriptor, data)
    except OSError as error:
        raise TargetGoneError(f"stdout: {error.strerror}; the target has ended") from error


class Messages:
    """Writes messages as JSON lines, buffered by size and time, and immediately at a STATE.

    Raises TargetGoneError if the target has closed the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._flushed_at = time.monotonic()
        self._records_since_state = 0

    def schema(
        self, stream: str, schema: Mapping[str, Any], key: Sequence[str], bookmark: str | None
    ) -> None:
        message = {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": key}
        if bookmark is not None:
            message["bookmark_properties"] = [bookmark]
        self._add(_line(message))

    def records(self, lines: bytes, count: int) -> None:
        """Write whole RECORD lines made by `record_line`."""
        self._records_since_state += count
        self._add(lines)

    def activate_version(self, stream: str, version: int) -> None:
        self._add(_line({"type": "ACTIVATE_VERSION", "stream": stream, "version": version}))

    @property
    def state_is_due(self) -> bool:
        """Whether enough records came since the last STATE, so states do not crowd out records."""
        return self._records_since_state >= RECORDS_PER_STATE

    def state(self, document: Mapping[str, Any]) -> None:
        """Write a STATE for everything written so far."""
        self._records_since_state = 0
        self._add(_line({"type": "STATE", "value": document}))
        self.flush()

    def flush(self) -> None:
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered_bytes = 0
        write(self._descriptor, data)
        self._flushed_at = time.monotonic()

    def _add(self, lines: bytes) -> None:
        self._buffer.append(lines)
        self._buffered_bytes += len(lines)
        if (
            self._buffered_bytes >= FLUSH_BYTES
            or time.monotonic() - self._flushed_at >= FLUSH_SECONDS
        ):
            self.flush()


def _line(message: Mapping[str, Any]) -> bytes:
    return orjson.dumps(message) + b"\n"
