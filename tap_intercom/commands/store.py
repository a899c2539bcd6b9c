"""The objects of a state at a URL, such as s3://bucket/workspace/state.json, through fsspec.

Each call tries again for some time, then raises UnavailableError. A fault that no wait fixes, such
as a missing permission, is a ConfigError at once. Both name the URL without its secrets.
"""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from tap_intercom.errors import ConfigError, TapError, UnavailableError
from tap_intercom.file_systems import open_file_system, reason_of, without_secrets

LOGGER = logging.getLogger("tap_intercom")
T = TypeVar("T")

RETRY_SECONDS = 30.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0
_LASTING_KINDS = (PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError)
# Libraries of stores have their own classes of errors, which we do not import.
_LASTING_NAMES = re.compile(
    "Credential|Authentication|ParamValidation|InvalidRegion|ProfileNotFound|RefreshError"
)
_LASTING_ERRNOS = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENAMETOOLONG, errno.EROFS)
_LASTING_STATUSES = (400, 401, 403, 404, 405)


class Store:
    """A state at a URL, and the objects beside it. Each is named by what follows the URL.

    name: the URL without secrets.
    FOLDER: what follows the URL in the names of our own objects.
    """

    FOLDER = ".files/"

    def __init__(self, url: str) -> None:
        self.name = without_secrets(url)
        # Without any handler, Python would print what libraries log. Our errors say it.
        logging.getLogger().addHandler(logging.NullHandler())
        self._files, self._path = _file_system(url, self.name)

    @property
    def creates_exclusively(self) -> bool:
        """Whether fsspec has code for this store that creates an object only if it is missing.

        The code that stores without such a request share looks first and then writes.
        """
        from fsspec import AbstractFileSystem

        # Asynchronous ones do not share it.
        is_shared = type(self._files).pipe_file is AbstractFileSystem.pipe_file
        return bool(self._files.async_impl or not is_shared)

    def read(self, key: str) -> bytes | None:
        """Return the content of an object, or None if it does not exist."""
        try:
            content: bytes = self._try("read", lambda: self._files.cat_file(self._path + key))
        except FileNotFoundError:
            return None
        return content

    def write(self, key: str, content: bytes) -> None:
        """Create or replace an object."""
        self._put(key, content)

    def create(self, key: str, content: bytes) -> bool:
        """Create an object, and return False if it existed.

        After a lost answer, it may have been this call that created it.
        """
        try:
            self._put(key, content, mode="create")
        except FileExistsError:
            return False
        return True

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self._try("written", lambda: self._files.rm_file(self._path + key))

    def names(self) -> list[str]:
        """Return the names of the objects in FOLDER."""
        folder = self._path + self.FOLDER.rstrip("/")

        def listed() -> list[str]:
            self._files.invalidate_cache()
            return [str(path) for path in self._files.ls(folder, detail=False)]

        try:
            paths = self._try("read", listed)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def _put(self, key: str, content: bytes, **how: Any) -> None:
        path = self._path + key

        def put() -> None:
            try:
                self._files.pipe_file(path, content, **how)
            except FileNotFoundError:
                folder = path.rpartition("/")[0]
                # Not an object store: there, this could create a bucket.
                if self._files.async_impl or "/" not in folder:
                    raise
                self._files.makedirs(folder, exist_ok=True)
                self._files.pipe_file(path, content, **how)

        try:
            self._try("written", put)
        except FileNotFoundError as error:
            raise ConfigError(
                f"--state: {self.name} cannot be written: its bucket or folder does not exist"
            ) from error

    def _try(self, what: str, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + RETRY_SECONDS
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                return call()
            except (FileNotFoundError, FileExistsError, TapError):
                raise
            except Exception as error:
                text = f"--state: {self.name} cannot be {what}: {reason_of(error)}"
                if _is_lasting(error):
                    raise ConfigError(text) from error
                if time.monotonic() + wait > deadline:
                    raise UnavailableError(text) from error
                if wait == FIRST_WAIT_SECONDS:
                    LOGGER.warning("%s; trying again for %g s", text, RETRY_SECONDS)
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _file_system(url: str, name: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    files, path = open_file_system("--state", url, "remote", skip_instance_cache=True)
    inside = path.strip("/")
    is_bucket = files.async_impl and "/" not in inside
    if is_bucket or not inside or url.endswith("/"):
        raise ConfigError(
            f"--state: {name} is not the URL of a file; give one such as "
            f"{name.rstrip('/')}/state.json"
        )
    return files, path


def _is_lasting(error: Exception) -> bool:
    """Whether trying again cannot help: the URL, the credentials or their permissions are wrong."""
    if isinstance(error, _LASTING_KINDS) or _LASTING_NAMES.search(type(error).__name__):
        return True
    if isinstance(error, (ValueError, TypeError, AttributeError, ImportError)):
        return True
    status = getattr(error, "status_code", getattr(error, "code", None))
    if str(status).isdecimal() and int(str(status)) in _LASTING_STATUSES:
        return True
    if not isinstance(error, OSError):
        return False
    return error.errno in _LASTING_ERRNOS or str(error).startswith("Forbidden")
