"""The processes behind the tap: how they are named, linked and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from tap_intercom.commands.pipeline import (
    Chain,
    Link,
    commands_in,
    end,
    exit_code,
)
from tap_intercom.errors import ConfigError, TargetGoneError


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("target --config t.json", {"target": ["target", "--config", "t.json"]}),
        ("m -c m.json -- t", {"mapper": ["m", "-c", "m.json"], "target": ["t"]}),
        ("a -- b -- t", {"mapper 1": ["a"], "mapper 2": ["b"], "target": ["t"]}),
    ],
)
def test_commands_are_named_in_the_order_of_the_pipe(
    text: str, commands: dict[str, list[str]]
) -> None:
    assert commands_in(text.split()) == commands
    assert [*commands_in(text.split())] == [*commands]


@pytest.mark.parametrize("text", ["--", "-- t", "m --", "m -- -- t"])
def test_an_empty_command_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a command is missing"):
        commands_in(text.split())


class Program:
    """A program with a stdin and an `ended` pipe, as `run` starts them."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.ended, self._end = os.pipe()
        self.taken: list[bytes] = []
        self.is_gone = False
        self.is_closed = False
        threading.Thread(target=self._wait).start()

    def write(self, data: bytes) -> None:
        if self.is_gone:
            raise TargetGoneError("gone")
        self.taken.append(data)

    def close(self) -> None:
        self.is_closed = True
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def has_read_all(self) -> bool:
        return True

    def _wait(self) -> None:
        self.process.wait()
        os.close(self._end)


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts programs that end with the test."""
    running: list[Program] = []

    def start_one(*command: str) -> Program:
        running.append(Program(command))
        return running[-1]

    yield start_one
    for program in running:
        process = program.process
        process.kill()
        process.wait()
        os.close(program.ended)
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.mark.parametrize(
    ("script", "taken"),
    [
        ("printf 'one\\ntwo\\n'", b"one\ntwo\n"),
        ("printf 'one\\ntwo'", b"one\ntwo\n"),
        ("printf 'one\\ntw'; exit 1", b"one\n"),
        ("printf 'one\\ntw'; kill -9 $$", b"one\n"),
        ("exit 0", b""),
    ],
)
def test_a_link_passes_whole_lines_only(start: Start, script: str, taken: bytes) -> None:
    source, reader = start("sh", "-c", script), start("cat")
    link = Link(source, reader)
    link.run()
    assert b"".join(reader.taken) == taken
    assert link.is_whole
    assert reader.is_closed


def test_a_link_whose_reader_is_gone_is_not_whole(start: Start) -> None:
    source, reader = start("yes"), start("cat")
    reader.is_gone = True
    link = Link(source, reader)
    link.run()
    assert not link.is_whole
    # It finds no reader any more.
    assert source.process.wait(10) != 0


def test_a_chain_is_written_to_at_its_start_and_read_from_at_its_end(start: Start) -> None:
    chain = Chain({"mapper": ["cat"], "target": ["cat"]}, lambda name, command: start(*command))
    chain.write(b"one\n")
    first, last = chain.stages.values()
    assert isinstance(first, Program)
    assert first.taken == [b"one\n"]
    assert (chain.process, chain.ended) == (last.process, last.ended)
    chain.run("text", lambda line: None)
    chain.close()
    (mapper,) = chain.end_mappers()
    assert (mapper.name, mapper.code) == ("mapper", 0)
    assert chain.has_read_all
    assert chain.first_failed(is_fed=True) == ""
    assert chain.first_failed(is_fed=False) == "mapper"


def test_programs_end_if_a_later_one_cannot_be_started(start: Start) -> None:
    begun: list[Program] = []

    def start_first(name: str, command: Sequence[str]) -> Program:
        if name == "target":
            raise ConfigError("no target")
        begun.append(start(*command))
        return begun[-1]

    with pytest.raises(ConfigError, match="no target"):
        Chain({"mapper": ["sleep", "600"], "target": ["none"]}, start_first)
    assert begun[0].process.poll() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 3", 3),
        ("exec sleep 600", 128 + signal.SIGTERM),
        ("trap '' TERM; echo; while :; do sleep 0.1; done", 128 + signal.SIGKILL),
    ],
)
def test_a_process_that_stays_is_ended(start: Start, script: str, code: int) -> None:
    program = start("sh", "-c", script)
    if "trap" in script:
        assert program.process.stdout is not None
        program.process.stdout.readline()
    end(program.process, 10 if code == 3 else 0.2)
    assert exit_code(program.process) == code
