"""The state of `run` and the files beside it, in a local folder or at a URL, as one unit.

A unit has a local state file, which the run uses as it is. A unit at a URL is downloaded first, and
uploaded within seconds of each change and at the end. These are its objects:

    state.json                  the last state, with the name of the ids that belong to it
    state.json.previous         the state from before the last run
    state.json.files/ids-…      known ids (known_ids.py), named by their content and never changed
    state.json.files/lock-…     the lock (store_lock.py)

The state is written last. So even after an interrupted upload, the store has a state with the ids
of the same upload.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tap_intercom.commands.lock import NO_LOCK, locked, release
from tap_intercom.commands.store import Store
from tap_intercom.commands.store_lock import (
    BEAT_SECONDS,
    LOST_SECONDS,
    NoLockError,
    StoreLock,
)
from tap_intercom.errors import ConfigError, TapError, UnavailableError
from tap_intercom.file_systems import is_url
from tap_intercom.files import parse_json, read_json, replace_file
from tap_intercom.known_ids import OWNER_ONLY
from tap_intercom.signals import start_thread
from tap_intercom.state import read_state

LOGGER = logging.getLogger("tap_intercom")

# At most one upload in this time.
UPLOAD_SECONDS = 5.0
WATCH_SECONDS = 1.0
STATE, PREVIOUS, IDS = "", ".previous", ".ids"
# The member of an uploaded state that names its ids.
IDS_MEMBER = "known_ids_object"
IDS_PREFIX = "ids-"
LOCAL_SCHEMES = ("file://", "local://")

Process = subprocess.Popen[bytes]


class StateUnit:
    """A state file and what is beside it.

    path: the local state file. name: what to call it in messages.
    lock: the descriptor of its local lock, which the target inherits.
    error: why the unit is not saved, or None.
    """

    def __init__(self, path: Path, name: str, lock: int) -> None:
        self.path = path
        self.name = name
        self.lock = lock
        self.error: TapError | None = None

    def guard(self, *processes: Process) -> None:
        """Kill these processes if another run may use the unit."""

    def changed(self) -> None:
        """Tell the unit that the state file has a new state."""

    def finish(self) -> None:
        """Save what is not saved yet, or set `error`."""

    def close(self, is_target_gone: bool = True) -> None:
        """Release the locks, or leave them to a target that still runs."""
        if is_target_gone:
            # Processes that it left running have inherited the lock, and may never end.
            release(self.lock)


@contextmanager
def opened_unit(state: str, wait_seconds: float, needs_lock: bool = True) -> Iterator[StateUnit]:
    """Open the unit of a state file or a URL for one run.

    needs_lock: refuse a place that cannot lock.
    """
    for scheme in LOCAL_SCHEMES:
        state = state.removeprefix(scheme)
    if is_url(state):
        with _opened_store(state, wait_seconds, needs_lock) as unit:
            yield unit
        return
    path = Path(state)
    if not is_missing(path):
        # Before a lock is created beside a file that is not a state.
        read_state(read_json("state", path))
    with locked(path, wait_seconds, is_optional=not needs_lock) as lock:
        yield StateUnit(path, state, lock)


def is_missing(path: Path) -> bool:
    """Whether there is no such file. Reading it reports any other fault."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


@contextmanager
def _opened_store(url: str, wait_seconds: float, needs_lock: bool) -> Iterator[StateUnit]:
    store = Store(url)
    _read_document(store)
    path = _folder(url) / "state.json"
    deadline = time.monotonic() + wait_seconds
    with locked(path, wait_seconds, store.name, is_optional=not needs_lock) as lock:
        unit = _StoreUnit(store, path, lock)
        try:
            unit.take_lock(max(0, deadline - time.monotonic()), needs_lock)
            unit.download()
            unit.begin()
            yield unit
        finally:
            unit.close()


class _StoreUnit(StateUnit):
    """A unit in a store, with a copy in a local folder."""

    def __init__(self, store: Store, path: Path, lock: int) -> None:
        super().__init__(path, store.name, lock)
        self._store = store
        self._store_lock: StoreLock | None = StoreLock(store, _machine(lock))
        self._is_lost = False
        self._processes: list[Process] = []
        # What the store has.
        self._saved = self._before = b"{}"
        self._saved_ids = ""
        self._has_uploaded = False
        self._has_changed = threading.Event()
        self._is_finished = threading.Event()
        self._is_closed = threading.Event()
        self._uploads: threading.Thread | None = None
        self._shown_at = now()

    def take_lock(self, wait_seconds: float, needs_lock: bool) -> None:
        assert self._store_lock is not None
        try:
            self._store_lock.take(wait_seconds)
        except NoLockError:
            if needs_lock:
                raise
            LOGGER.warning("state: %s cannot be locked; %s", self.name, NO_LOCK)
            self._store_lock = None
            _check_writable(self._store)

    def download(self) -> None:
        """Copy the unit into the local folder."""
        self._before, document, self._saved_ids = _read_document(self._store)
        self._saved = self._before
        ids = self._store.read(Store.FOLDER + self._saved_ids if self._saved_ids else IDS)
        if self._saved_ids and ids is None:
            LOGGER.warning("state: %s: its known ids do not exist", self.name)
            self._saved_ids = ""
        with suppress(FileNotFoundError):
            os.unlink(self._beside(IDS))
        if ids is not None:
            replace_file("state", self._beside(IDS), ids, OWNER_ONLY)
        replace_file("state", self.path, json.dumps(document).encode() + b"\n", OWNER_ONLY)
        if self._store_lock is not None:
            self._delete_unused_ids()

    def begin(self) -> None:
        """Begin to show that this run is alive, and to upload changes."""
        self._shown_at = now()
        self._uploads = start_thread(self._upload_changes)
        if self._store_lock is not None:
            start_thread(self._show_life)
            start_thread(self._watch_lock)

    def guard(self, *processes: Process) -> None:
        self._processes.extend(processes)
        self._end_if_lost()

    def changed(self) -> None:
        self._has_changed.set()

    def finish(self) -> None:
        if self._is_finished.is_set():
            return
        self._is_finished.set()
        self._has_changed.set()
        if self._uploads is None:
            return
        self._uploads.join()
        if self.error is not None:
            return
        try:
            self._upload()
        except TapError as error:
            self.error = type(error)(f"{error}; the newest state is in {self.path}")

    def close(self, is_target_gone: bool = True) -> None:
        if self._is_closed.is_set():
            return
        self.finish()
        self._is_closed.set()
        if is_target_gone and self._store_lock is not None and not self._is_lost:
            self._store_lock.release()
        if self.error is None:
            self._delete_copies()
        super().close(is_target_gone)

    def _upload_changes(self) -> None:
        is_warned = False
        while True:
            self._has_changed.wait()
            if self._is_finished.is_set():
                return
            self._has_changed.clear()
            try:
                self._upload()
                is_warned = False
            except TapError as error:
                self._has_changed.set()
                if not is_warned:
                    LOGGER.warning("%s; the run continues, and tries again", error)
                    is_warned = True
            self._is_finished.wait(UPLOAD_SECONDS)

    def _upload(self) -> None:
        """Upload the state and the ids, if they changed: the ids first."""
        document = json.loads(self.path.read_bytes())
        # After the state: the file of ids fits this state and the one before (known_ids.py).
        name = self._upload_ids()
        if name:
            document[IDS_MEMBER] = name
        content = json.dumps(document).encode() + b"\n"
        if json.loads(self._saved) == document or self._is_lost:
            return
        if not self._has_uploaded:
            self._store.write(PREVIOUS, self._before)
        self._store.write(STATE, content)
        self._saved = content
        self._has_uploaded = True

    def _upload_ids(self) -> str:
        try:
            ids = self._beside(IDS).read_bytes()
        except FileNotFoundError:
            return self._saved_ids
        name = IDS_PREFIX + hashlib.sha256(ids).hexdigest()[:32]
        if name != self._saved_ids:
            self._store.write(Store.FOLDER + name, ids)
            self._saved_ids = name
        return name

    def _delete_unused_ids(self) -> None:
        """Delete what runs left that were killed, or that came before the previous one."""
        used = [self._saved_ids]
        with suppress(ConfigError, AttributeError):
            previous = parse_json("state", self.name, self._store.read(PREVIOUS) or b"{}")
            used.append(previous.get(IDS_MEMBER))
        for name in self._store.names():
            if name.startswith(IDS_PREFIX) and name not in used:
                self._store.delete(Store.FOLDER + name)

    def _show_life(self) -> None:
        assert self._store_lock is not None
        while not self._is_closed.wait(BEAT_SECONDS):
            instant = now()
            try:
                self._store_lock.beat()
                self._shown_at = instant
            except (ConfigError, UnavailableError) as error:
                LOGGER.warning("%s; the lock cannot be kept", error)
            except TapError as error:
                self._lose(error)
                return

    def _watch_lock(self) -> None:
        # In its own thread: a request to a store may take longer than the lock lives.
        while not self._is_closed.wait(WATCH_SECONDS):
            if now() - self._shown_at > LOST_SECONDS:
                self._lose(
                    UnavailableError(
                        f"--state: {self.name} cannot be written for {LOST_SECONDS:g} s, so "
                        "another run may take over; the tap and the target were ended"
                    )
                )
                return

    def _lose(self, error: TapError) -> None:
        self.error = error
        self._is_lost = True
        self._end_if_lost()

    def _end_if_lost(self) -> None:
        if self._is_lost:
            for process in self._processes:
                process.kill()

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _delete_copies(self) -> None:
        for suffix in (STATE, PREVIOUS, IDS):
            with suppress(OSError):
                os.unlink(self._beside(suffix))


def now() -> float:
    """Return seconds that also pass while the machine sleeps, where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _read_document(store: Store) -> tuple[bytes, dict[str, Any], str]:
    """Return what a store has: the content of the state, its document, and the name of its ids.

    Raises ConfigError if it is not a state.
    """
    content = store.read(STATE)
    if content is None:
        return b"{}\n", {}, ""
    try:
        document = parse_json("state", store.name, content)
        name = document.pop(IDS_MEMBER, "") if isinstance(document, dict) else ""
        read_state(document)
    except ConfigError as error:
        text = str(error).removeprefix("state: ").removeprefix(f"{store.name} ")
        raise ConfigError(f"--state: {store.name}: {text}") from None
    return content, document, str(name)


def _check_writable(store: Store) -> None:
    key = f"{Store.FOLDER}writable-{secrets.token_hex(8)}"
    store.write(key, b"{}\n")
    store.delete(key)


def _folder(url: str) -> Path:
    """Return the local folder of a URL, which only this user can read."""
    base = Path(tempfile.gettempdir()) / f"tap-intercom-{os.getuid()}"
    folder = base / hashlib.sha256(url.encode()).hexdigest()[:16]
    try:
        for each in (base, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        status = os.lstat(base)
    except OSError as error:
        raise ConfigError(f"--state: {folder} cannot be created: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(f"--state: {base} is not a folder of this user; set TMPDIR to another")
    return folder


def _machine(lock: int) -> str:
    """Return what names the local lock, and no other one on this or another machine.

    A file in an image may exist on many machines, so its content alone says too little.
    """
    token = os.pread(lock, 64, 0)
    if not token:
        token = secrets.token_hex(16).encode()
        os.pwrite(lock, token, 0)
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    status = os.fstat(lock)
    parts = (token.decode(), boot, socket.gethostname(), status.st_dev, status.st_ino)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
