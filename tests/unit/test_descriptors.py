"""Reading and writing descriptors, even non-blocking ones, and joining lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_intercom.descriptors import (
    read_parts,
    read_parts_until,
    unread_bytes,
    whole_lines,
    write_all,
)

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_a_full_pipe_is_waited_for(pipe: Pipe) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    data = os.urandom(1_000_000)
    found = bytearray()

    def read() -> None:
        for part in read_parts(reader):
            found.extend(part)

    thread = Thread(target=read)
    thread.start()
    write_all(writer, data)
    os.close(writer)
    thread.join()
    assert found == data


def test_a_reader_that_ended_is_an_error(pipe: Pipe) -> None:
    reader, writer = pipe
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write_all(writer, b"lost")


def test_unread_bytes_are_counted(pipe: Pipe) -> None:
    reader, writer = pipe
    assert unread_bytes(reader) == 0
    os.write(writer, b"x" * 1234)
    os.read(reader, 34)
    assert unread_bytes(reader) == 1200


def test_a_pipe_is_read_to_its_end(pipe: Pipe) -> None:
    reader, writer = pipe
    still_open, never_written = os.pipe()
    os.write(writer, b"all of it")
    os.close(writer)
    assert b"".join(read_parts_until(reader, still_open, 60)) == b"all of it"
    os.close(still_open)
    os.close(never_written)


def test_a_pipe_that_stays_open_is_left_once_the_other_ended(pipe: Pipe) -> None:
    reader, writer = pipe
    ended, closed = os.pipe()
    os.close(closed)
    os.write(writer, b"what came")
    assert b"".join(read_parts_until(reader, ended, 0.05)) == b"what came"
    os.close(ended)


@pytest.mark.parametrize(
    ("parts", "longest", "blocks"),
    [
        ([], None, []),
        ([b"a\nb", b"c\nd\n"], None, [b"a\n", b"bc\nd\n"]),
        ([b"a", b"b", b"\n"], None, [b"ab\n"]),
        ([b"a\n", b"b"], None, [b"a\n", b"b"]),
        ([b"aaa", b"aaa", b"a\n"], 5, [b"aaaaaa", b"a\n"]),
        ([b"aaa", b"aa\n"], 5, [b"aaaaa\n"]),
    ],
)
def test_blocks_end_at_the_end_of_a_line(
    parts: list[bytes], longest: int | None, blocks: list[bytes]
) -> None:
    assert list(whole_lines(parts, longest)) == blocks


@given(st.lists(st.binary(max_size=8).map(lambda part: part.replace(b"\0", b"\n"))))
def test_no_byte_is_lost(parts: list[bytes]) -> None:
    blocks = list(whole_lines(parts))
    assert b"".join(blocks) == b"".join(parts)
    assert all(block.endswith(b"\n") for block in blocks[:-1])
