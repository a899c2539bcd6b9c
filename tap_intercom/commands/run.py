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
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tap_intercom import log
from tap_intercom.bar import Bar, View, sent_views, shown_bar
from tap_intercom.commands.pipeline import (
    LEFT_BEHIND_SECONDS,
    Chain,
    Stage,
    commands_in,
    exit_code,
)
from tap_intercom.commands.process_log import ProcessLog
from tap_intercom.commands.run_result import RunResult
from tap_intercom.commands.state_unit import StateUnit, is_missing, opened_unit
from tap_intercom.commands.target_secrets import hide_secrets_of
from tap_intercom.commands.written_states import WrittenStates, states_in
from tap_intercom.descriptors import (
    BUFFER_BYTES,
    read_parts,
    read_parts_until,
    unread_bytes,
    whole_lines,
)
from tap_intercom.errors import ConfigError, TargetGoneError, TargetMissingError
from tap_intercom.files import read_json, replace_file
from tap_intercom.settings import ENVIRONMENT_PREFIX
from tap_intercom.signals import SIGNALS, start_thread, stopping
from tap_intercom.state import read_state

LOGGER = logging.getLogger("tap_intercom")

Process = subprocess.Popen[bytes]

# A state is much shorter. A target may print anything, even without an end of line.
LONGEST_LINE_BYTES = 4_194_304
STATE_LINE = b'{"type":"STATE"'
RECORD_LINE = b'{"type":"RECORD"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s --state FILE --config FILE [--catalog FILE] [--wait SECONDS] [--no-lock] "
        "[-- MAPPER ...] -- TARGET ..."
    )
    parser.add_argument(
        "-s",
        "--state",
        required=True,
        metavar="FILE",
        help="state file, created if it is missing, or a URL such as s3://bucket/state.json; "
        "FILE.previous keeps its content from before this run",
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
        "--no-lock",
        action="store_true",
        help="run even if the place of the state has no lock, so nothing keeps two runs apart",
    )
    parser.add_argument(
        "target",
        nargs="+",
        metavar="TARGET",
        help="the target and its arguments, after --; any mappers come before it, each after --",
    )


def run(options: argparse.Namespace) -> int:
    """Run both to their ends, log how they ended, and return the exit code of the run."""
    log.put_times_first()
    hide_secrets_of(options.target, options.config, os.environ)
    commands = commands_in(options.target)
    with stopping(), opened_unit(options.state, options.wait, not options.no_lock) as unit:
        state = StateFile(unit)
        with _passing_on_signals() as signals, _screen() as screen:
            target = Chain(commands, lambda name, command: Target(command, unit.lock, name))
            try:
                command = _tap_command(options, unit.path, screen)
                tap = _start("tap", command, pass_fds=screen.pass_fds)
                screen.leave_to_tap()
                signals.started(tap, *(stage.process for stage in target.stages.values()))
                unit.guard(tap, target.process)
                result = _run(tap, target, state, options.log_format, screen, signals.passed)
            finally:
                unit.close(is_target_gone=target.process.returncode is not None)
        result.log()
    return result.exit_code


@dataclass
class Screen:
    """Where both logs go. pipe: what the tap sends its progress through, if a person watches."""

    write: Callable[[bytes], object]
    pipe: int | None = None

    @property
    def pass_fds(self) -> tuple[int, ...]:
        return () if self.pipe is None else (self.pipe,)

    def leave_to_tap(self) -> None:
        """Close our end of the pipe, so it ends with the tap."""
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


@contextmanager
def _screen() -> Iterator[Screen]:
    """Show the progress of the tap on a terminal, with the lines of both processes above it."""
    if not log.is_watched():
        yield Screen(partial(log.write, log.STDERR))
        return
    reader, writer = os.pipe()
    with shown_bar() as bar:
        thread = start_thread(partial(_draw, bar, reader))
        screen = Screen(bar.write, writer)
        try:
            yield screen
        finally:
            screen.leave_to_tap()
            thread.join()
            os.close(reader)


def _draw(bar: Bar, pipe: int) -> None:
    # A terminal may close at any time; that only ends the bar.
    with suppress(OSError, ValueError):
        for view in sent_views(pipe):
            bar.draw(view)
        bar.draw(View("the tap has ended; waiting for the target"))


class StateFile:
    """The state of the last run, created if it is missing. Raises ConfigError if invalid.

    kept: its content. has_changed: whether this run has replaced it.
    """

    def __init__(self, unit: StateUnit) -> None:
        path = unit.path
        if is_missing(path):
            replace_file("state", path, b"{}\n")
        self.unit = unit
        self.path = path
        self.kept: dict[str, Any] = read_json("state", path)
        read_state(self.kept)
        self._before = path.read_bytes()
        self.has_changed = False

    def keep(self, state: dict[str, Any]) -> None:
        """Replace the state atomically, after saving the state of the run's start beside it."""
        if state == self.kept:
            return
        if not self.has_changed:
            previous = self.path.with_name(f"{self.path.name}.previous")
            mode = stat.S_IMODE(self.path.stat().st_mode)
            replace_file("state", previous, self._before, mode)
        replace_file("state", self.path, json.dumps(state).encode() + b"\n")
        self.kept = state
        self.has_changed = True
        self.unit.changed()


class Target:
    """The process of the target, or of a mapper before it, and its stdin.

    ended: the read end of a pipe that ends when the process does. Processes that the target left
        running do not hold it.
    """

    def __init__(self, command: Sequence[str], lock: int, role: str = "target") -> None:
        # The read end stays open here too, to find what nobody has read. So a write does not fail
        # when the target has ended; `ended` is watched instead.
        self._output, self._input = os.pipe()
        os.set_blocking(self._input, False)
        self.ended, self._end = os.pipe()
        self.process = _start(
            role,
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
    records: number of records that were written to the target.
    """

    def __init__(self, tap: Process, target: Stage | Chain, states: WrittenStates) -> None:
        assert tap.stdout is not None
        self._lines = tap.stdout
        self._target = target
        self._states = states
        self.tap_has_ended = threading.Event()
        self.is_whole = False
        self.records = 0

    def run(self) -> None:
        try:
            for lines in whole_lines(read_parts(self._lines.fileno())):
                if not lines.endswith(b"\n"):
                    break  # a tap killed in the middle of a line ends with a part of it
                for state in _states_of_tap(lines):
                    self._states.add(state)
                self._target.write(lines)
                self.records += lines.count(b"\n" + RECORD_LINE) + lines.startswith(RECORD_LINE)
            self.tap_has_ended.set()
            self.is_whole = True
        except TargetGoneError:
            self._lines.close()  # the tap ends when it notices
        finally:
            self._target.close()


def _run(
    tap: Process,
    target: Chain,
    state: StateFile,
    style: str,
    screen: Screen,
    signals: Collection[int],
) -> RunResult:
    assert tap.stderr is not None
    assert target.process.stderr is not None
    of_tap = read_parts(tap.stderr.fileno())
    of_target = read_parts_until(target.process.stderr.fileno(), target.ended, LEFT_BEHIND_SECONDS)
    written = WrittenStates(state.kept)
    feed = Feed(tap, target, written)
    tap_log = ProcessLog("tap", style, screen.write)
    target_log = ProcessLog("target", style, screen.write)
    target.run(style, screen.write)
    threads = [
        start_thread(feed.run),
        start_thread(partial(tap_log.pass_on, of_tap)),
        start_thread(partial(target_log.pass_on, of_target)),
    ]
    try:
        has_confirmed = _keep_confirmed(target, state, written)
        target_code = exit_code(target.process)
    finally:
        is_target_gone = not feed.tap_has_ended.is_set()
        if is_target_gone:
            tap.terminate()
        for thread in threads:
            thread.join()
        mappers = target.end_mappers()
        tap_code = exit_code(tap)
    has_taken_all = not is_target_gone and feed.is_whole and target.has_read_all
    is_good = has_taken_all and not target.first_failed(is_fed=feed.is_whole)
    if is_good and not has_confirmed and written.last is not None:
        state.keep(written.last)
    state.unit.finish()
    return RunResult(
        records=feed.records,
        tap=tap_code,
        target=target_code,
        has_taken_all=has_taken_all,
        signals=signals,
        state=state.unit.name,
        store_error=state.unit.error,
        has_new_state=state.has_changed,
        has_last_state=has_taken_all and state.kept == written.last,
        tap_error=tap_log.last_error,
        target_error=target_log.last_error,
        mappers=mappers,
        failed=target.first_failed(is_fed=not is_target_gone and feed.is_whole),
    )


def _keep_confirmed(target: Chain, state: StateFile, written: WrittenStates) -> bool:
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
    except (OSError, ValueError) as error:
        kind = ConfigError if role == "tap" else TargetMissingError
        raise kind(f"{role}: {_why_not_started(command[0], error)}; nothing was read") from error


def _why_not_started(program: str, error: OSError | ValueError) -> str:
    """Return why a program cannot be started, and what to do."""
    if not isinstance(error, FileNotFoundError):
        reason = error.strerror if isinstance(error, OSError) else error
        return f"{program} cannot be started: {reason}"
    if os.path.exists(program) or shutil.which(program):
        return (
            f"{program} exists, but the program in its first line does not: install it again, "
            "since a virtual environment cannot be moved"
        )
    if os.sep in program:
        return f"{program} does not exist: check the path"
    return (
        f"{program} is not installed, or not on the PATH: install it in its own virtual "
        f"environment and give its path, such as .venv-target/bin/{program}"
    )


def _tap_command(options: argparse.Namespace, state: Path, screen: Screen) -> list[str]:
    """Return the command of the tap: this interpreter, with the modules in use here."""
    # An early SIGINT ends it as SIGTERM does, not with Python's traceback.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        f"sys.path[:] = {sys.path}; from tap_intercom.cli import run; run()"
    )
    command = [sys.executable, "-c", program, "--state", str(state)]
    command += ["--log-format", options.log_format]
    if screen.pipe is not None:
        command += ["--progress-pipe", str(screen.pipe)]
    for source in options.config:
        command += ["--config", source]
    if options.catalog is not None:
        command += ["--catalog", options.catalog]
    return command


class Signals:
    """Passes the first signal to the tap, and later ones to all processes.

    The tap ends with a last STATE, and the target after loading that. passed: their numbers.
    """

    def __init__(self) -> None:
        self.passed: list[int] = []
        self._processes: list[Process] = []
        self._waiting: list[int] = []

    def started(self, tap: Process, *others: Process) -> None:
        """Register the processes; they get an earlier signal now."""
        self._processes.extend((tap, *others))
        self._pass_on()

    def receive(self, number: int, frame: object) -> None:
        self._waiting.append(number)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._processes and self._waiting:
            number = self._waiting.pop(0)
            self.passed.append(number)
            for process in self._processes[: 1 if len(self.passed) == 1 else None]:
                process.send_signal(number)


@contextmanager
def _passing_on_signals() -> Iterator[Signals]:
    """Pass SIGTERM and SIGINT on to the processes that are started here."""
    signals = Signals()
    before = {number: signal.signal(number, signals.receive) for number in SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
