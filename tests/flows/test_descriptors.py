"""Pipes that are non-blocking, slow to be read, or left open by processes that stay behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from conftest import RUN, TIMEOUT_SECONDS, Output, Tap

from intercom_sandbox import Workspace
from tap_intercom.descriptors import (
    patient,
    read_parts,
    read_parts_until,
    whole_lines,
    write_all,
)

ROWS = 2_000
MUCH = b"much\n" * 400_000
MUCH_LOG = """
from tap_intercom import cli, log

def main():
    log.set_up()
    for number in range(5_000):
        log.LOGGER.warning("%d %s", number, "x" * 1_000)
    return 0

cli.main = main
cli.run()
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose write end is non-blocking, and closed by the test."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    yield reader, writer
    os.close(reader)


def read_when_full(pipe: tuple[int, int], process: subprocess.Popen[bytes]) -> bytes:
    """All that a process writes; not read before the pipe is full."""
    reader, writer = pipe
    poller = select.poll()
    poller.register(writer, select.POLLOUT)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while poller.poll(0):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(writer)
    return b"".join(read_parts(reader))


def test_a_full_pipe_that_does_not_block_is_waited_for(
    start_tap_on: Callable[..., Tap], pipe: tuple[int, int]
) -> None:
    workspace = Workspace()
    for number in range(ROWS):
        workspace.add_contact(name=f"{number} " + "x" * 200)
    command = [*RUN, *start_tap_on(workspace).arguments("contacts")]
    with subprocess.Popen(command, stdout=pipe[1], stderr=subprocess.DEVNULL) as process:
        output = read_when_full(pipe, process)
    assert process.returncode == 0
    assert len(Output(0, output, "").ids("contacts")) == ROWS


def test_so_is_a_full_log_that_does_not_block(pipe: tuple[int, int]) -> None:
    command = [sys.executable, "-c", MUCH_LOG]
    with subprocess.Popen(command, stderr=pipe[1]) as process:
        log = read_when_full(pipe, process).decode().splitlines()
    assert process.returncode == 0
    assert [line.split()[2] for line in log] == [str(number) for number in range(5_000)]


@pytest.mark.parametrize("is_patient", [True, False])
def test_all_is_written_to_a_pipe_that_does_not_block(
    pipe: tuple[int, int], is_patient: bool
) -> None:
    reader, writer = pipe

    def write() -> None:
        if is_patient:
            with os.fdopen(os.dup(writer), "w") as stream:
                copy = patient(stream)
                copy.write(MUCH.decode())
                copy.flush()
        else:
            write_all(writer, MUCH)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    arrived = b"".join(read_parts(reader))
    thread.join()
    assert arrived == MUCH


def test_a_reader_that_has_ended_is_an_error_and_not_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Timer(0, os.close, [reader]).start()
    with pytest.raises(BrokenPipeError):
        write_all(writer, MUCH)
    os.close(writer)


@pytest.mark.parametrize("is_chatty", [True, False])
def test_a_pipe_that_somebody_keeps_open_is_read_for_a_while(
    pipe: tuple[int, int], is_chatty: bool
) -> None:
    reader, writer = pipe
    ended, end = os.pipe()
    os.write(writer, b"all that the process wrote")
    os.close(end)
    parts = read_parts_until(reader, ended, 0.2)
    assert next(parts) == b"all that the process wrote"
    if is_chatty:
        os.write(writer, b"what it left behind writes")
        for _ in parts:
            os.write(writer, b"more and more")
    assert list(parts) == []
    os.close(ended)
    os.close(writer)


@pytest.mark.parametrize(
    ("parts", "longest", "blocks"),
    [
        ([b"a\nb\nc", b"d", b"\n"], None, [b"a\nb\n", b"cd\n"]),
        ([b"a", b"\nb"], None, [b"a\n", b"b"]),
        ([b"abc", b"def", b"g\nh\n"], 5, [b"abcdef", b"g\nh\n"]),
        ([b"\n"], None, [b"\n"]),
        ([], None, []),
    ],
)
def test_lines_stay_whole(parts: Iterable[bytes], longest: int | None, blocks: list[bytes]) -> None:
    assert list(whole_lines(parts, longest)) == blocks
