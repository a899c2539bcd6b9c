"""The lock of a state file: only one run at a time uses it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tap_intercom.errors import BusyError, ConfigError

LOGGER = logging.getLogger("tap_intercom")

POLL_SECONDS = 0.2
NO_LOCK = "nothing keeps two runs apart (--no-lock)"
BUSY = "nothing was read. --wait SECONDS waits for it"
HELD_BY_ANOTHER = (errno.EAGAIN, errno.EACCES)
# Errors of file systems without one of the kinds of locks: some of NFS, Lustre and FUSE.
NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def locked(
    state: Path, wait_seconds: float, name: str | None = None, is_optional: bool = False
) -> Iterator[int]:
    """Hold the lock of a state file, and yield its descriptor.

    A process that inherits the descriptor also holds the lock, until it ends or any of them calls
    `release`. A link to a state file has the lock of that file. Raises BusyError after
    wait_seconds, and ConfigError if no lock is possible.

    name: what to call the state in messages, if not by its path.
    is_optional: continue without a lock on a file system that has none.
    """
    name = name or str(state)
    path = Path(f"{os.path.realpath(state)}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ConfigError(f"state: {path} cannot be created: {error.strerror}") from error
    try:
        if not _has_locked(descriptor, path, is_optional):
            LOGGER.info("another run uses %s; waiting up to %g s", name, wait_seconds)
            deadline = time.monotonic() + wait_seconds
            while not _has_locked(descriptor, path, is_optional):
                if time.monotonic() >= deadline:
                    raise BusyError(f"state: another run uses {name}; {BUSY}")
                time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def release(descriptor: int) -> None:
    """Release a lock for all processes that hold it by this descriptor."""
    with suppress(OSError):  # of the other kind, it ends with the descriptor
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _has_locked(descriptor: int, path: Path, is_optional: bool) -> bool:
    """Take the lock, and return whether it was free.

    lockf is the second choice, since a process does not inherit such a lock.
    """
    for lock in (fcntl.flock, fcntl.lockf):
        try:
            lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            reason = error.strerror
            if error.errno in HELD_BY_ANOTHER:
                return False
            if error.errno not in NOT_SUPPORTED:
                break
        else:
            return True
    if is_optional:
        LOGGER.warning("state: %s cannot be locked: %s; %s", path, reason, NO_LOCK)
        return True
    raise ConfigError(
        f"state: {path} cannot be locked: {reason}. "
        "Keep the state file on a file system that supports locks, such as a local disk. "
        "With --no-lock, nothing keeps two runs apart"
    )
