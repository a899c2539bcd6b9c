"""The lock of a state at a URL: only one run at a time uses it, on any machine.

The lock is a row of numbered objects, of which the highest counts. A run takes the lock by creating
the next number, which the store does for one run only. While it holds the lock, it rewrites its
object every few seconds, and looks whether there is a higher number. At its end, it marks its
object as released.

Another run may take the next number if the highest object is released, or if the object stays the
same for DEAD_SECONDS. It measures that with its own clock, so clocks need not agree. A run that
could not rewrite its object for LOST_SECONDS, which are fewer, ends before another one can begin.

A run on the same machine need not wait. It has the lock of a local file, which its predecessor and
the target of that held as long as they lived.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tap_intercom.commands.lock import BUSY
from tap_intercom.commands.store import Store
from tap_intercom.errors import BusyError, ConfigError, TapError

LOGGER = logging.getLogger("tap_intercom")

BEAT_SECONDS = 10.0
LOST_SECONDS = 90.0
DEAD_SECONDS = 120.0
POLL_SECONDS = 2.0
PREFIX = "lock-"


class NoLockError(ConfigError):
    """The store cannot create an object for one run only."""


@dataclass(frozen=True)
class _Holder:
    """The highest object of the lock; number 0 and no content if there is none."""

    number: int = 0
    content: bytes = b""

    @property
    def document(self) -> dict[str, Any]:
        with suppress(ValueError):
            document = json.loads(self.content)
            if isinstance(document, dict):
                return document
        return {}


class StoreLock:
    """The lock of a store. machine: what names this machine and its local lock."""

    def __init__(self, store: Store, machine: str) -> None:
        self._store = store
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._machine = machine
        self._number = 0
        self._beats = 0
        self._writing = threading.Lock()

    def take(self, wait_seconds: float) -> None:
        """Take the lock. Raises BusyError after wait_seconds if another run is alive.

        Raises NoLockError if the store has no lock.
        """
        if not self._store.creates_exclusively:
            raise self._no_lock()
        deadline = time.monotonic() + wait_seconds
        watched, since, is_alive = self._holder(), time.monotonic(), False
        if not self._is_free(watched, 0) or not self._create(watched.number + 1):
            LOGGER.info(
                "another run uses %s; waiting up to %g s, or %g s if it shows no sign of life",
                self._store.name,
                wait_seconds,
                DEAD_SECONDS,
            )
        while not self._number:
            if is_alive and time.monotonic() >= deadline:
                raise BusyError(f"state: another run uses {self._store.name}; {BUSY}")
            time.sleep(POLL_SECONDS)
            holder = self._holder()
            if holder != watched:
                watched, since, is_alive = holder, time.monotonic(), True
            if self._is_free(holder, time.monotonic() - since):
                self._create(holder.number + 1)

    def beat(self) -> None:
        """Show that this run is alive. Raises BusyError if another run has taken the lock."""
        with self._writing:
            if not self._number:
                return
            if max(self._numbers(), default=0) > self._number:
                raise BusyError(
                    f"state: another run took over {self._store.name}, because this one had shown "
                    f"no sign of life for {DEAD_SECONDS:g} s"
                )
            self._beats += 1
            self._store.write(_key(self._number), self._content())

    def release(self) -> None:
        """Let the next run begin at once. A lock that cannot be released ends by itself."""
        with self._writing:
            if self._number:
                with suppress(TapError):
                    self._store.write(_key(self._number), self._content(is_released=True))
                self._number = 0

    def _is_free(self, holder: _Holder, unchanged_seconds: float) -> bool:
        document = holder.document
        if holder.number == 0 or document.get("is_released"):
            return True
        if document.get("machine") == self._machine:
            LOGGER.info("the last run with %s did not release its lock", self._store.name)
            return True
        if unchanged_seconds >= DEAD_SECONDS:
            LOGGER.warning(
                "the run %s shows no sign of life; taking over %s",
                document.get("owner"),
                self._store.name,
            )
            return True
        return False

    def _create(self, number: int) -> bool:
        """Create a number, and return whether this run now holds the lock."""
        self._number = number
        try:
            if not self._store.create(_key(number), self._content()) and not self._is_mine(number):
                self._number = 0
                return False
            numbers = self._numbers()
            if number != max(numbers, default=0):
                # The number had been used, and was deleted after a higher one was taken.
                self._withdraw()
                return False
            if self._store.create(_key(number), self._content()):
                raise self._no_lock()
        except BaseException:
            self._withdraw()
            raise
        for each in numbers:
            if each < number:
                self._store.delete(_key(each))
        return True

    def _withdraw(self) -> None:
        number, self._number = self._number, 0
        if number:
            with suppress(TapError):
                self._store.delete(_key(number))

    def _is_mine(self, number: int) -> bool:
        """Whether this run created an object after all, and only the answer was lost."""
        content = self._store.read(_key(number)) or b""
        return _Holder(number, content).document.get("owner") == self._owner

    def _holder(self) -> _Holder:
        number = max(self._numbers(), default=0)
        content = self._store.read(_key(number)) if number else None
        return _Holder(number, content or b"")

    def _numbers(self) -> list[int]:
        names = self._store.names()
        found = (name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX))
        return [int(each) for each in found if each.isdecimal()]

    def _content(self, is_released: bool = False) -> bytes:
        document = {
            "owner": self._owner,
            "machine": self._machine,
            "beats": self._beats,
            "is_released": is_released,
        }
        return json.dumps(document).encode() + b"\n"

    def _no_lock(self) -> NoLockError:
        return NoLockError(
            f"--state: {self._store.name} cannot be locked: the store does not offer to create an "
            "object only if it is missing. With --no-lock, nothing keeps two runs apart"
        )


def _key(number: int) -> str:
    return f"{Store.FOLDER}{PREFIX}{number:08}"
