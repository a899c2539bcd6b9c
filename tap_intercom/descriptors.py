"""Read and write pipes, terminals and files by descriptor, even non-blocking ones.

A program with an event loop may start another one with a non-blocking stdout or stderr. A full pipe
then refuses a write with EAGAIN, although its reader still exists.
"""

from __future__ import annotations

import fcntl
import io
import os
import select
import struct
import termios
import time
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

BUFFER_BYTES = 65_536


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data, waiting for a full pipe."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _wait_for_room(descriptor)


def patient(stream: TextIO) -> TextIO:
    """Return the same stream with writes that wait for room, even on a non-blocking descriptor."""
    file = _PatientFile(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )


class _PatientFile(io.FileIO):
    def write(self, data: Any) -> int:
        # FileIO returns None, not an error, for a write that would block.
        while (written := super().write(data)) is None:
            _wait_for_room(self.fileno())
        return written


def read_parts(descriptor: int) -> Iterator[bytes]:
    """Yield the data of a descriptor until its end."""
    while part := os.read(descriptor, BUFFER_BYTES):
        yield part


def read_parts_until(descriptor: int, ended: int, seconds: float) -> Iterator[bytes]:
    """Yield the data of a pipe until its end, or until some seconds after the end of `ended`.

    ended: the read end of a pipe that nothing is written to.
    """
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(ended, 0)  # its end is always reported
    deadline: float | None = None
    while True:
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            return
        ready = {number for number, _ in poller.poll(remaining and remaining * 1000)}
        if descriptor in ready:
            part = os.read(descriptor, BUFFER_BYTES)
            if not part:
                return
            yield part
        if ended in ready:
            poller.unregister(ended)
            deadline = time.monotonic() + seconds


def whole_lines(parts: Iterable[bytes], longest: int | None = None) -> Iterator[bytes]:
    """Join parts into blocks that end at the end of a line.

    The last block may be part of a line. With `longest`, a line with more bytes comes in pieces.
    """
    rest: list[bytes] = []
    size = 0
    for part in parts:
        lines, newline, after = part.rpartition(b"\n")
        if newline:
            yield b"".join((*rest, lines, newline))
            rest.clear()
            size = 0
        if after:
            rest.append(after)
            size += len(after)
        if longest is not None and size > longest:
            yield b"".join(rest)
            rest.clear()
            size = 0
    if rest:
        yield b"".join(rest)


def unread_bytes(descriptor: int) -> int:
    """Return how many bytes wait in a pipe; descriptor: its read end."""
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    return int(count)


def _wait_for_room(descriptor: int) -> None:
    """Wait until a pipe has room, or its reader has ended."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    poller.poll()
