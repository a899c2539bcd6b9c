"""A tap that has started already: a process that imported it and forks for each run.

A run costs some ten milliseconds instead of half a second, and is still a process of its own, with
its own signals, threads and exit code. `numbers` replaces constants of the tap's modules, so that
few records pass through what takes thousands ("messages.RECORDS_PER_STATE": 1).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from conftest import TIMEOUT_SECONDS, Output, json_lines
from log_lines import without_times

FORKING_TAP = str(Path(__file__).with_name("forking_tap.py"))
READ_BYTES = 65_536
# Numbers of the tap that let milliseconds show what else takes minutes.
SHORT_WAITS: Mapping[str, Any] = {
    "intercom.client.FIRST_RETRY_WAIT_SECONDS": 0.01,
    "intercom.rate_limit.LIMIT_WITHOUT_HEADERS": 100_000,
    "intercom.rate_limit.WINDOW_SECONDS": 0.1,
    "reading.scroll.CONFLICT_WAITS_SECONDS": (0.03,),
    "reading.scroll.CONFLICT_WAIT_SECONDS": 0.06,
}
# And those that let a few records show what else takes thousands.
SMALL_WINDOWS: Mapping[str, Any] = {
    "messages.RECORDS_PER_STATE": 1,
    "reading.search.RECORDS_IN_WINDOW": 3,
    "reading.search.RECORDS_WITH_CHILDREN_IN_WINDOW": 2,
    "reading.search.RECORDS_IN_WINDOW_OF_DAYS": 4,
    "reading.search.SHORTEST_WINDOW_OF_DAYS": 86_400,
    "reading.search.WINDOWS_AT_FIRST": 14,
    "reading.tally.STEPS_THAT_SHOW_ORDER": 1,
}
# A few records can be in order by accident.
WITHOUT_ORDER: Mapping[str, Any] = {**SMALL_WINDOWS, "reading.tally.STEPS_THAT_SHOW_ORDER": 20}


class Run:
    """One run of the tap; its output must be read, by `read` or `wait`, as a target does."""

    def __init__(
        self, arguments: Sequence[str], pid: int, report: Any, stdout: int, log: Any
    ) -> None:
        self.pid = pid
        self._arguments = arguments
        self._report = report
        self._stdout = stdout
        self._log = log
        self._read = bytearray()

    def kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def read(self, enough: Callable[[bytes | bytearray], bool]) -> bytes:
        """All of the output so far, read on until it is enough, or ends."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while not enough(self._read):
                if not selector.select(deadline - time.monotonic()):
                    self.kill(signal.SIGKILL)
                    self._log.seek(0)
                    raise AssertionError(
                        f"the tap did not end: {self._log.read().decode()[-3000:]}"
                    )
                data = os.read(self._stdout, READ_BYTES)
                if not data:
                    break
                self._read += data
        return bytes(self._read)

    def wait_for_log(self, text: str | re.Pattern[str]) -> None:
        """Wait until the run has logged a text, while nobody reads its output."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        wanted = re.compile(re.escape(text)) if isinstance(text, str) else text
        while not wanted.search(without_times(self._logged())):
            assert time.monotonic() < deadline, self._logged()
            time.sleep(0.01)

    def _logged(self) -> str:
        # The run writes at the same place of the same file, which is left alone here.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode()

    def close_stdout(self) -> None:
        """End as a target does that reads no more."""
        os.close(self._stdout)
        self._stdout = -1

    def wait(self, stdout: bytes | None = None) -> Output:
        """The end of the run: all its output, or what of it is given."""
        if self._stdout >= 0:
            everything = self.read(lambda _: False)
            self.close_stdout()
        else:
            everything = bytes(self._read)
        code = int(self._report.readline())
        self._report.close()
        log = self._logged()
        self._log.close()
        text = json_lines(everything if stdout is None else stdout, tuple(self._arguments))
        return Output(code, text, log)


class WarmTap:
    """As a context manager, the process that forks."""

    def __enter__(self) -> WarmTap:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, FORKING_TAP, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._control.close()
        self._process.wait(TIMEOUT_SECONDS)

    def start(
        self,
        *arguments: str,
        numbers: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        largest_file: int | None = None,
    ) -> Run:
        """Start a run in the working directory and environment of the caller.

        environment: variables to add. largest_file: bytes that no file of the run may exceed, as on
            a full disk.
        """
        request = {
            "arguments": arguments,
            "numbers": numbers or {},
            "environment": {**os.environ, **(environment or {})},
            "folder": os.getcwd(),
            "largest_file": largest_file,
        }
        stdout, their_stdout = os.pipe()
        report, their_report = os.pipe()
        log = tempfile.TemporaryFile()  # noqa: SIM115
        fds = [their_stdout, log.fileno(), their_report]
        socket.send_fds(self._control, [json.dumps(request).encode()], fds)
        os.close(their_stdout)
        os.close(their_report)
        lines = os.fdopen(report, encoding="ascii")
        return Run(arguments, int(lines.readline()), lines, stdout, log)

    def run(self, *arguments: str, **how: Any) -> Output:
        return self.start(*arguments, **how).wait()
