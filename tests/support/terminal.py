"""A pseudo-terminal with a command in it, and a person who reads and types."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from types import TracebackType

TIMEOUT_SECONDS = 60


class Terminal:
    """Runs a command whose standard streams are a terminal; `stdout` may be another file.

    shown is all that the terminal shows, what was typed (and echoed) too.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
        columns: int = 0,
    ) -> None:
        self.shown = ""
        self._read_to = 0
        self._descriptor, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=inside,
            stdout=inside if stdout is None else stdout,
            stderr=inside,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(inside)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def hang_up(self) -> int:
        """Take the terminal away; gives the exit code."""
        os.close(self._descriptor)
        self._descriptor = -1
        return self._process.wait(TIMEOUT_SECONDS)

    def read_until(self, text: str) -> str:
        """What is shown since the last such text, up to and with this one."""
        while text not in self.shown[self._read_to :]:
            assert self._read_more(), f"{text!r} was not shown: {self.shown}"
        end = self.shown.index(text, self._read_to) + len(text)
        before, self._read_to = self._read_to, end
        return self.shown[before:end]

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """Read to the end; gives the exit code."""
        while self._read_more():
            pass
        return self._process.wait(TIMEOUT_SECONDS)

    def _read_more(self) -> bool:
        readable, _, _ = select.select([self._descriptor], [], [], TIMEOUT_SECONDS)
        assert readable, f"nothing more was shown after: {self.shown}"
        try:
            data = os.read(self._descriptor, 65_536)
        except OSError:  # the last process in it has ended
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


def _take_terminal() -> None:
    """Make stdin the terminal of this process; what runs in the background ignores Ctrl-C."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
