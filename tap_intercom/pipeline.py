"""Run the tap and a target as one command, and keep the state that the target has confirmed.

A state is kept only once the target printed it: then the target has all rows before it. So the
state file may be left at any moment, even by a power cut, and the next run misses nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from tap_intercom import log
from tap_intercom.documents import read_json, replace_file
from tap_intercom.errors import BusyError, ConfigError, TargetGoneError
from tap_intercom.signals import SIGNALS, start_thread, stopping
from tap_intercom.state import read_state

LOGGER = logging.getLogger("tap_intercom")

Process = subprocess.Popen[bytes]

BUFFER_BYTES = 65_536
LOCK_POLL_SECONDS = 0.2
# Exit codes of a tap that was asked to end, or whose target was gone: no fault of its own.
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
        help="where the last run ended; made if it is missing, and what it held before this run "
        "is in FILE.previous",
    )
    parser.add_argument(
        "-c",
        "--config",
        required=True,
        action="append",
        metavar="FILE",
        help="settings of the tap, a JSON file or ENV; a later one wins",
    )
    parser.add_argument("--catalog", metavar="FILE", help="streams and fields to read")
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for a run that uses the same state file (default: 0)",
    )
    parser.add_argument(
        "target", nargs="+", metavar="TARGET", help="the target and its arguments, after --"
    )


def run(options: argparse.Namespace) -> int:
    """Run both to their ends; gives the worse of their exit codes."""
    with stopping(), _locked(options.state, options.wait) as lock:
        state = StateFile(options.state)
        target = _start(options.target, stdin=subprocess.PIPE, pass_fds=(lock,))
        tap = _start(_tap_command(options))
        with _passing_on_signals(tap, target):
            return _run(tap, target, state, options.log_format)


class StateFile:
    """The state of the last run, made if it is missing. Raises ConfigError where it is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            replace_file("state", path, b"{}\n")
        self._path = path
        self._kept = read_json("state", path)
        read_state(self._kept)
        self._before = path.read_bytes()
        self._has_previous = False

    def keep(self, state: dict[str, Any]) -> None:
        """Replace the state at once, after what the run began with was put beside it."""
        if state == self._kept:
            return
        if not self._has_previous:
            previous = self._path.with_name(f"{self._path.name}.previous")
            mode = stat.S_IMODE(self._path.stat().st_mode)
            replace_file("state", previous, self._before, mode)
            self._has_previous = True
        replace_file("state", self._path, json.dumps(state).encode() + b"\n")
        self._kept = state


class Feed:
    """Gives each line of the tap to the target.

    tap_has_ended: the tap has written all it will. is_whole: the target took all of it. state: the
    last state in it.
    """

    def __init__(self, tap: Process, target: Process) -> None:
        assert tap.stdout is not None
        assert target.stdin is not None
        self._lines: Any = tap.stdout
        self._target = target.stdin
        self._state: bytes | None = None
        self.tap_has_ended = threading.Event()
        self.is_whole = False

    def run(self) -> None:
        # The rest is the part of a line; a tap that was killed in the middle of one ends with it.
        rest = b""
        try:
            while part := self._lines.read1(BUFFER_BYTES):
                lines, newline, rest = (rest + part).rpartition(b"\n")
                self._target.write(lines + newline)
                self._target.flush()
                _, state, after = (b"\n" + lines).rpartition(b"\n" + STATE_LINE)
                if state:
                    self._state = STATE_LINE + after.partition(b"\n")[0]
            self.tap_has_ended.set()
            self._target.close()
            self.is_whole = True
        except OSError:  # the target reads no more; the tap ends when it notices
            self._lines.close()
            # What it did not take is still in the buffer; unclosed, the interpreter would complain.
            with suppress(OSError):
                self._target.close()

    @property
    def state(self) -> dict[str, Any] | None:
        return None if self._state is None else json.loads(self._state)["value"]


def worse(tap: int, target: int) -> int:
    """The exit code of both: what the tap could not do, then what the target could not."""
    return tap if tap not in (0, *ENDED_EARLY) else target or tap


def state_of(line: bytes) -> dict[str, Any] | None:
    """The state in a line that a target printed; None for any other line."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_state = isinstance(document, dict) and isinstance(document.get("bookmarks"), dict)
    return document if is_state else None


def labelled(name: str, line: bytes, style: str) -> bytes:
    """A line of a log in one of the styles of the log, with the name of the process it is from."""
    text = line.decode(errors="replace").rstrip()
    if style == "text":
        return f"{name}: {log.printable(text)}\n".encode()
    try:
        document = json.loads(text)
        fields = document if isinstance(document, dict) else {"message": text}
        labelled = json.dumps({"process": name, **fields}, allow_nan=False)
    except (ValueError, RecursionError):
        labelled = json.dumps({"process": name, "message": text})
    return labelled.encode() + b"\n"


def _run(tap: Process, target: Process, state: StateFile, style: str) -> int:
    def tell(name: str, lines: IO[bytes] | None) -> None:
        for line in lines or ():
            # A log that nobody reads must not stop those who write it.
            log.write(log.STDERR, labelled(name, line, style))

    feed = Feed(tap, target)
    threads = [
        start_thread(feed.run),
        start_thread(partial(tell, "tap", tap.stderr)),
        start_thread(partial(tell, "target", target.stderr)),
    ]
    try:
        has_confirmed = _keep_confirmed(target, state)
        target_code = _exit_code(target)
    finally:
        is_target_gone = not feed.tap_has_ended.is_set()
        if is_target_gone:
            tap.terminate()
        for thread in threads:
            thread.join()
        tap_code = _exit_code(tap)
    if is_target_gone and tap_code in ENDED_EARLY:
        tap_code = TargetGoneError.exit_code
    if not has_confirmed and target_code == 0 and feed.is_whole and feed.state is not None:
        state.keep(feed.state)
    if tap_code or target_code:
        LOGGER.critical(
            "the tap ended with exit code %d, the target with %d; "
            "the next run goes on from the last state that the target has confirmed",
            tap_code,
            target_code,
        )
    return worse(tap_code, target_code)


def _keep_confirmed(target: Process, state: StateFile) -> bool:
    """Keep each state that the target prints; gives whether there was any."""
    assert target.stdout is not None
    has_confirmed = has_warned = False
    with target.stdout as lines:
        for line in lines:
            confirmed = state_of(line)
            if confirmed is not None:
                state.keep(confirmed)
                has_confirmed = True
            elif not has_warned:
                LOGGER.warning("the target prints lines that are no states; they are left out")
                has_warned = True
    return has_confirmed


def _start(command: Sequence[str], **streams: Any) -> Process:
    """Start a process in a session of its own: Ctrl-C reaches it only as we pass it on."""
    try:
        return subprocess.Popen(
            command,
            bufsize=BUFFER_BYTES,
            **{"stdin": subprocess.DEVNULL, **streams},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"target: {command[0]} cannot be started: {error.strerror}") from error


def _tap_command(options: argparse.Namespace) -> list[str]:
    """The command of the tap: this interpreter, with the modules that are in use here."""
    program = f"import sys; sys.path[:] = {sys.path}; from tap_intercom.cli import run; run()"
    command = [sys.executable, "-c", program, "--state", str(options.state)]
    command += ["--log-format", options.log_format]
    for source in options.config:
        command += ["--config", source]
    if options.catalog is not None:
        command += ["--catalog", options.catalog]
    return command


@contextmanager
def _locked(state: Path, wait_seconds: float) -> Iterator[int]:
    """Hold the lock of a state file; yields its descriptor.

    The target inherits it: one that outlives a killed run still keeps the next run out, whose
    newer rows it could overwrite with older ones. Raises BusyError.
    """
    path = state.with_name(f"{state.name}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ConfigError(f"state: {path} cannot be made: {error.strerror}") from error
    try:
        if not _has_locked(descriptor):
            LOGGER.info("another run uses %s; waiting for at most %g s", state, wait_seconds)
            _wait_until(lambda: _has_locked(descriptor), wait_seconds, state)
        yield descriptor
    finally:
        os.close(descriptor)


def _has_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_until(is_true: Callable[[], bool], seconds: float, state: Path) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() >= deadline:
            raise BusyError(
                f"state: another run uses {state}; nothing was read. --wait SECONDS waits for it"
            )
        time.sleep(LOCK_POLL_SECONDS)


@contextmanager
def _passing_on_signals(tap: Process, target: Process) -> Iterator[None]:
    """Pass the first SIGTERM or SIGINT to the tap, and any more to the target, too.

    The tap ends with a last STATE, and the target by itself when it has loaded that.
    """
    received: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        received.append(number)
        tap.send_signal(number)
        if len(received) > 1:
            target.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(process: Process) -> int:
    """What a shell would show: 128 and the signal for a process that was killed."""
    code = process.wait()
    return code if code >= 0 else 128 - code
