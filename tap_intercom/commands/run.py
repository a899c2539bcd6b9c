"""Run the tap and a target as one command, and save the state that the target confirmed.

A state is saved only once the target printed it, since the target then has all rows before it. The
run may end at any moment, even by a power cut, and the next run misses nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tap_intercom import log
from tap_intercom.commands.lock import locked, release
from tap_intercom.commands.written_states import WrittenStates, states_in
from tap_intercom.descriptors import (
    BUFFER_BYTES,
    read_parts,
    read_parts_until,
    unread_bytes,
    whole_lines,
)
from tap_intercom.errors import ConfigError, TargetGoneError
from tap_intercom.files import read_json, replace_file
from tap_intercom.settings import ENVIRONMENT_PREFIX
from tap_intercom.signals import SIGNALS, start_thread, stopping
from tap_intercom.state import read_state

LOGGER = logging.getLogger("tap_intercom")

Process = subprocess.Popen[bytes]

# How long to read the output of processes that the target left running.
LEFT_BEHIND_SECONDS = 3
# A state is much shorter. A target may print anything, even without an end of line.
LONGEST_LINE_BYTES = 4_194_304
# Exit codes of a tap that was asked to end, or whose target ended: not its own failure.
ENDED_EARLY = (130, 141, 143)
STATE_LINE = b'{"type":"STATE"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s --state FILE --config FILE [--catalog FILE] [--wait SECONDS] -- TARGET ..."
    )
    parser.add_argument(
        "-s",
        "--state",
        required=True,
        type=Path,
        metavar="FILE",
        help="state file, created if it is missing; FILE.previous keeps its content from before "
        "this run",
    )
    parser.add_argument(
        "-c",
        "--config",
        required=True,
        action="append",
        metavar="FILE",
        help="JSON file with settings, or ENV for variables TAP_INTERCOM_*; may be repeated, the "
        "last one wins",
    )
    parser.add_argument(
        "--catalog", metavar="FILE", help="catalog file: streams and fields to read"
    )
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for another run with the same state file (default: 0)",
    )
    parser.add_argument(
        "target", nargs="+", metavar="TARGET", help="the target and its arguments, after --"
    )


def run(options: argparse.Namespace) -> int:
    """Run both to their ends, and return the worse of their exit codes."""
    if not _is_missing(options.state):
        # Before a lock is created beside a file that is not a state.
        read_state(read_json("state", options.state))
    with stopping(), locked(options.state, options.wait) as lock:
        state = StateFile(options.state)
        with _passing_on_signals() as started:
            target = Target(options.target, lock)
            tap = _start("tap", _tap_command(options))
            started(tap, target.process)
            try:
                return _run(tap, target, state, options.log_format)
            finally:
                if target.process.returncode is not None:
                    # Processes that it left running have inherited the lock, and may never end.
                    release(lock)


class StateFile:
    """The state of the last run, created if it is missing. Raises ConfigError if invalid."""

    def __init__(self, path: Path) -> None:
        if _is_missing(path):
            replace_file("state", path, b"{}\n")
        self._path = path
        self.kept: dict[str, Any] = read_json("state", path)
        read_state(self.kept)
        self._before = path.read_bytes()
        self._has_previous = False

    def keep(self, state: dict[str, Any]) -> None:
        """Replace the state atomically, after saving the state of the run's start beside it."""
        if state == self.kept:
            return
        if not self._has_previous:
            previous = self._path.with_name(f"{self._path.name}.previous")
            mode = stat.S_IMODE(self._path.stat().st_mode)
            replace_file("state", previous, self._before, mode)
            self._has_previous = True
        replace_file("state", self._path, json.dumps(state).encode() + b"\n")
        self.kept = state


class Target:
    """The target's process and its stdin.

    ended: the read end of a pipe that ends when the process does. Processes that the target left
        running do not hold it.
    """

    def __init__(self, command: Sequence[str], lock: int) -> None:
        # The read end stays open here too, to find what nobody has read. So a write does not fail
        # when the target has ended; `ended` is watched instead.
        self._output, self._input = os.pipe()
        os.set_blocking(self._input, False)
        self.ended, self._end = os.pipe()
        self.process = _start(
            "target",
            command,
            stdin=self._output,
            # A target that outlives a killed run still keeps the next run out. It could overwrite
            # that run's newer rows with older ones.
            pass_fds=(lock,),
            env={
                name: value
                for name, value in os.environ.items()
                if not name.startswith(ENVIRONMENT_PREFIX)
            },
        )
        start_thread(self._wait)

    def write(self, data: bytes) -> None:
        """Write to its stdin. Raises TargetGoneError if the process has ended."""
        poller = select.poll()
        poller.register(self._input, select.POLLOUT)
        poller.register(self.ended, 0)  # its end is always reported
        rest = memoryview(data)
        while rest:
            if self.ended in (number for number, _ in poller.poll()):
                raise TargetGoneError("the target has ended")
            with suppress(BlockingIOError):
                rest = rest[os.write(self._input, rest) :]

    def close(self) -> None:
        """Close its stdin."""
        os.close(self._input)

    @property
    def has_read_all(self) -> bool:
        return unread_bytes(self._output) == 0

    def _wait(self) -> None:
        self.process.wait()
        os.close(self._end)


class Feed:
    """Passes each line of the tap to the target.

    tap_has_ended: the tap has written its whole output.
    is_whole: all of that was written to the target.
    """

    def __init__(self, tap: Process, target: Target, states: WrittenStates) -> None:
        assert tap.stdout is not None
        self._lines = tap.stdout
        self._target = target
        self._states = states
        self.tap_has_ended = threading.Event()
        self.is_whole = False

    def run(self) -> None:
        try:
            for lines in whole_lines(read_parts(self._lines.fileno())):
                if not lines.endswith(b"\n"):
                    break  # a tap killed in the middle of a line ends with a part of it
                for state in _states_of_tap(lines):
                    self._states.add(state)
                self._target.write(lines)
            self.tap_has_ended.set()
            self.is_whole = True
        except TargetGoneError:
            self._lines.close()  # the tap ends when it notices
        finally:
            self._target.close()


def worse(tap: int, target: int) -> int:
    """Return the exit code of both: the tap's failure first, then the target's."""
    return tap if tap not in (0, *ENDED_EARLY) else target or tap


def labelled(name: str, line: bytes, style: str) -> bytes:
    """Return a log line in a log style, with the name of the process that wrote it."""
    text = line.decode(errors="replace").rstrip()
    if style == "text":
        time, text = log.split_time(text)
        return f"{time}{name}: {log.printable(text)}\n".encode()
    try:
        document = json.loads(text)
        fields = document if isinstance(document, dict) else {"message": text}
        labelled = json.dumps({"process": name, **fields}, allow_nan=False)
    except (ValueError, RecursionError):
        labelled = json.dumps({"process": name, "message": text})
    return labelled.encode() + b"\n"


def _run(tap: Process, target: Target, state: StateFile, style: str) -> int:
    assert tap.stderr is not None
    assert target.process.stderr is not None
    of_tap = read_parts(tap.stderr.fileno())
    of_target = read_parts_until(target.process.stderr.fileno(), target.ended, LEFT_BEHIND_SECONDS)
    written = WrittenStates(state.kept)
    feed = Feed(tap, target, written)
    threads = [
        start_thread(feed.run),
        start_thread(partial(_pass_on_log, "tap", of_tap, style)),
        start_thread(partial(_pass_on_log, "target", of_target, style)),
    ]
    try:
        has_confirmed = _keep_confirmed(target, state, written)
        target_code = _exit_code(target.process)
    finally:
        is_target_gone = not feed.tap_has_ended.is_set()
        if is_target_gone:
            tap.terminate()
        for thread in threads:
            thread.join()
        tap_code = _exit_code(tap)
    has_taken_all = not is_target_gone and feed.is_whole and target.has_read_all
    if has_taken_all and target_code == 0 and not has_confirmed and written.last is not None:
        state.keep(written.last)
    if tap_code or target_code:
        LOGGER.critical(
            "the tap ended with exit code %d, the target with %d; "
            "the next run continues from the last state that the target confirmed",
            tap_code,
            target_code,
        )
    elif not has_taken_all:
        LOGGER.critical(
            "the target ended with exit code 0 before it read everything; "
            "the next run continues from the last state that the target confirmed"
        )
    if not has_taken_all and tap_code in (0, *ENDED_EARLY):
        tap_code = TargetGoneError.exit_code
    return worse(tap_code, target_code)


def _keep_confirmed(target: Target, state: StateFile, written: WrittenStates) -> bool:
    """Save each state that the target prints, and return whether there was any."""
    assert target.process.stdout is not None
    has_confirmed = False
    warnings: set[str] = set()

    def warn(text: str) -> None:
        if text not in warnings:
            LOGGER.warning(text)
            warnings.add(text)

    with target.process.stdout as stdout:
        parts = read_parts_until(stdout.fileno(), target.ended, LEFT_BEHIND_SECONDS)
        for lines in whole_lines(parts, LONGEST_LINE_BYTES):
            confirmed = None
            for line in filter(None, lines.splitlines()):
                states = states_in(line)
                if not states:
                    warn("the target printed lines that are not states; they are ignored")
                for each in states:
                    if written.include(each):
                        confirmed = each
                    else:
                        warn(
                            "the target printed a state that is not from this run; it is not saved"
                        )
            if confirmed is not None:
                state.keep(confirmed)
                has_confirmed = True
    return has_confirmed


def _pass_on_log(name: str, parts: Iterable[bytes], style: str) -> None:
    for lines in whole_lines(parts, LONGEST_LINE_BYTES):
        for line in lines.removesuffix(b"\n").split(b"\n"):
            log.write(log.STDERR, labelled(name, line, style))


def _states_of_tap(lines: bytes) -> Iterator[dict[str, Any]]:
    """Yield the values of the STATE messages among the tap's lines."""
    for piece in (b"\n" + lines).split(b"\n" + STATE_LINE)[1:]:
        value: dict[str, Any] = json.loads(STATE_LINE + piece.partition(b"\n")[0])["value"]
        yield value


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds


_seconds.__name__ = "seconds"  # the name that argparse shows


def _is_missing(path: Path) -> bool:
    """Whether there is no such file. Reading it reports any other fault."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _start(role: str, command: Sequence[str], **how: Any) -> Process:
    """Start a process in its own session: Ctrl-C reaches it only through us."""
    try:
        return subprocess.Popen(
            command,
            bufsize=BUFFER_BYTES,
            **{"stdin": subprocess.DEVNULL, **how},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"{role}: {command[0]} cannot be started: {error.strerror}") from error


def _tap_command(options: argparse.Namespace) -> list[str]:
    """Return the command of the tap: this interpreter, with the modules in use here."""
    # An early SIGINT ends it as SIGTERM does, not with Python's traceback.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        f"sys.path[:] = {sys.path}; from tap_intercom.cli import run; run()"
    )
    command = [sys.executable, "-c", program, "--state", str(options.state)]
    command += ["--log-format", options.log_format]
    for source in options.config:
        command += ["--config", source]
    if options.catalog is not None:
        command += ["--catalog", options.catalog]
    return command


@contextmanager
def _passing_on_signals() -> Iterator[Callable[[Process, Process], None]]:
    """Pass the first SIGTERM or SIGINT to the tap, and later ones to the target too.

    The tap ends with a last STATE, and the target after loading that. Yields the function that
    registers the two processes; they then get an earlier signal.
    """
    processes: list[Process] = []
    waiting: list[int] = []
    passed: list[int] = []

    def pass_on() -> None:
        while processes and waiting:
            number = waiting.pop(0)
            passed.append(number)
            for process in processes[: len(passed)]:
                process.send_signal(number)

    def receive(number: int, frame: object) -> None:
        waiting.append(number)
        pass_on()

    def started(tap: Process, target: Process) -> None:
        processes.extend((tap, target))
        pass_on()

    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(process: Process) -> int:
    """Return the exit code of a shell: 128 plus the signal for a killed process."""
    code = process.wait()
    return code if code >= 0 else 128 - code
