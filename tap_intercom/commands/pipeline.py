"""The processes behind the tap: mappers, each of which feeds the next one, and the target."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from threading import Thread
from typing import Protocol

from tap_intercom.commands.process_log import ProcessLog
from tap_intercom.descriptors import read_parts_until, unread_bytes, whole_lines
from tap_intercom.errors import ConfigError, TargetGoneError
from tap_intercom.signals import start_thread

SEPARATOR = "--"
TARGET = "target"
# How long to read the output of processes that a mapper or the target left running.
LEFT_BEHIND_SECONDS = 3.0
# How long a mapper may stay after the target has ended.
STAYING_SECONDS = 10.0


class Stage(Protocol):
    """A process behind the tap, and its stdin.

    ended: the read end of a pipe that ends when the process does.
    """

    process: subprocess.Popen[bytes]
    ended: int

    def write(self, data: bytes) -> None:
        """Write to its stdin. Raises TargetGoneError if the process has ended."""

    def close(self) -> None:
        """Close its stdin."""

    @property
    def has_read_all(self) -> bool:
        """Whether nothing of what was written is left in the pipe."""


@dataclass(frozen=True)
class MapperEnd:
    """How a mapper ended.

    code: its exit code, as a shell shows it.
    error: the last line that may say why it failed.
    """

    name: str
    code: int
    error: str


def commands_in(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the command of each process by its name, in the order of the pipe.

    Raises ConfigError if one is empty.

    arguments: the commands of all mappers and of the target, with SEPARATOR between them.
    """
    commands: list[list[str]] = [[]]
    for argument in arguments:
        if argument == SEPARATOR:
            commands.append([])
        else:
            commands[-1].append(argument)
    if not all(commands):
        raise ConfigError("target: a command is missing before or after one of the --")
    count = len(commands) - 1
    names = ["mapper"] if count == 1 else [f"mapper {number}" for number in range(1, count + 1)]
    return dict(zip([*names, TARGET], commands, strict=True))


class Link:
    """Passes each whole line that a mapper prints to the next process.

    The next process gets no part of a line of a mapper that was killed, and does not wait for what
    a mapper left running.

    is_whole: all lines were written.
    """

    def __init__(self, source: Stage, reader: Stage) -> None:
        self._source = source
        self._reader = reader
        self.is_whole = False

    def run(self) -> None:
        stdout = self._source.process.stdout
        assert stdout is not None
        try:
            with stdout:
                parts = read_parts_until(stdout.fileno(), self._source.ended, LEFT_BEHIND_SECONDS)
                for lines in whole_lines(parts):
                    self._reader.write(self._whole(lines))
                self.is_whole = unread_bytes(stdout.fileno()) == 0
        except TargetGoneError:
            pass  # the mapper ends when it writes again
        finally:
            self._reader.close()

    def _whole(self, lines: bytes) -> bytes:
        """Complete the last line, or leave it out if the mapper failed in the middle of it."""
        if lines.endswith(b"\n"):
            return lines
        return lines + b"\n" if self._source.process.wait() == 0 else b""


class Chain:
    """The mappers and the target as one: written to like the first, read from like the last.

    process, ended: those of the target.
    stages: all processes by name, in the order of the pipe.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        start: Callable[[str, Sequence[str]], Stage],
    ) -> None:
        self.stages: dict[str, Stage] = {}
        try:
            for name, command in commands.items():
                self.stages[name] = start(name, command)
        except BaseException:
            for stage in self.stages.values():
                end(stage.process, 0)
            raise
        *self._mappers, target = self.stages
        self._first = next(iter(self.stages.values()))
        self.process, self.ended = self.stages[target].process, self.stages[target].ended
        self._links = [Link(*pair) for pair in pairwise(self.stages.values())]
        self._logs: dict[str, ProcessLog] = {}
        self._ends: list[str] = []
        self._threads: list[Thread] = []

    def run(self, style: str, write: Callable[[bytes], object]) -> None:
        """Start to pass on the lines of the mappers, and their logs in a style."""
        self._threads = [start_thread(link.run) for link in self._links]
        self._threads.append(start_thread(self._watch))
        for name in self._mappers:
            stderr = self.stages[name].process.stderr
            assert stderr is not None
            parts = read_parts_until(stderr.fileno(), self.stages[name].ended, LEFT_BEHIND_SECONDS)
            self._logs[name] = ProcessLog(name, style, write)
            self._threads.append(start_thread(partial(self._logs[name].pass_on, parts)))

    def write(self, data: bytes) -> None:
        self._first.write(data)

    def close(self) -> None:
        self._first.close()

    @property
    def has_read_all(self) -> bool:
        """Whether each process read everything that the one before it wrote."""
        return all(self._has_read(name) for name in self.stages)

    def end_mappers(self) -> list[MapperEnd]:
        """Return how the mappers ended; one that stays without its target is terminated."""
        for name in self._mappers:
            end(self.stages[name].process, STAYING_SECONDS)
        for thread in self._threads:
            thread.join()
        return [
            MapperEnd(name, exit_code(self.stages[name].process), self._logs[name].last_error)
            for name in self._mappers
        ]

    def first_failed(self, is_fed: bool) -> str:
        """Return the process that failed, or did not read everything, before all others; or "".

        is_fed: whether everything was written that the tap wrote.
        """
        for name in self._ends:
            stage = self.stages[name]
            has_all = self._has_read(name) and (is_fed or stage is not self._first)
            if exit_code(stage.process) != 0 or not has_all:
                return name
        return ""

    def _has_read(self, name: str) -> bool:
        position = [*self.stages].index(name)
        is_written = position == 0 or self._links[position - 1].is_whole
        return is_written and self.stages[name].has_read_all

    def _watch(self) -> None:
        """Note the order in which the processes end."""
        poller = select.poll()
        running = {stage.ended: name for name, stage in self.stages.items()}
        for descriptor in running:
            poller.register(descriptor, 0)  # its end is always reported
        while running:
            ended = {descriptor for descriptor, _ in poller.poll()}
            # A process that ends takes those before it along, so of several the last was first.
            for descriptor in reversed([each for each in running if each in ended]):
                self._ends.append(running.pop(descriptor))
                poller.unregister(descriptor)


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a process ends; if it does not, terminate it, and then kill it."""
    for stop in (process.terminate, process.kill):
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
        stop()
    process.wait()


def exit_code(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a shell: 128 plus the signal for a killed process."""
    code = process.wait()
    return code if code >= 0 else 128 - code
