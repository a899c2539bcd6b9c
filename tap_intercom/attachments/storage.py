"""Where files are kept: a local folder, or any store that fsspec can write to.

A file appears under its name at once and whole. Beside the files, a note for each says what was
stored, so a later run need not download it again. A note is written after its file. What `settle`
has made last is there after a power failure too.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import uuid4

import orjson

from tap_intercom.attachments.names import with_hash
from tap_intercom.descriptors import write_all
from tap_intercom.errors import ConfigError, UnavailableError
from tap_intercom.file_systems import open_file_system, reason_of, without_secrets

T = TypeVar("T")

SETTING = "config: attachments_dir"
# Our own objects beside the files.
OWN_FOLDER = ".tap-intercom"
# What is there once a run has used the place: a mark, or notes about files.
SIGNS_OF_USE = ("used", "stored")
# How many folders wait until their names are made to last. One pass over many costs far less than
# a pass for each, and the end of a long run does not wait for all of them.
MAX_UNSETTLED = 300
# Other errors mean that the system cannot make a folder last, as Windows.
LOST_WRITES = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# What a killed run left is removed once no run can still be writing it.
OLD_SECONDS = 86_400
# What waits for a store is in the folder for temporary files, under such a name.
SPOOL = "tap-intercom-file-"
# How long a new one may be without its lock.
UNLOCKED_SECONDS = 60
CHUNK_BYTES = 1_048_576
ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_REPLACED = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


class StoreError(UnavailableError):
    """The store of the files failed during a run."""


class Note(NamedTuple):
    """What was stored of a file.

    source: the address that it came from, without signature.
    announced: the size that Intercom said, if any. It may be wrong.
    """

    path: str
    size: int
    sha256: str
    source: str
    content_type: str | None
    announced: int | None = None


class Spool:
    """A file that nobody else knows of, for what arrives; it ends with its block, unless moved.

    folder: where it is, with the usual permissions. Without one, only this user can read it.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        if folder is None:
            self._descriptor, self.path = tempfile.mkstemp(prefix=SPOOL)
            # The lock ends with the process, however that ends.
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        else:
            self.path = os.path.join(folder, f"tap-intercom-{uuid4().hex}")
            self._descriptor = os.open(self.path, _NEW, 0o666)
        self._is_moved = False

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            os.close(self._descriptor)
        if not self._is_moved:
            with suppress(OSError):
                os.unlink(self.path)

    def write(self, data: bytes) -> None:
        """Add to the file. Raises StoreError if there is no room."""
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            raise self._failed(error) from error

    def restart(self) -> None:
        """Forget what was written."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.ftruncate(self._descriptor, 0)

    def sync(self) -> None:
        """Write the file to the disk, so it outlasts a power failure."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error

    def move(self, path: Path) -> None:
        """Give the file its name. Raises OSError."""
        os.replace(self.path, path)
        self._is_moved = True

    def _failed(self, error: OSError) -> StoreError:
        folder = os.path.dirname(self.path)
        return StoreError(f"attachments: {folder} cannot be written: {error.strerror}")


class Storage(Protocol):
    """A place for files. Its methods raise StoreError; any thread may call them."""

    def check(self) -> None:
        """Raise ConfigError if nothing can be written here."""

    def begin(self) -> bool:
        """Whether no run has used the place before; from now on one has."""

    def spool(self) -> Spool:
        """Return a new file for what arrives."""

    def note(self, file_id: str) -> Note | None:
        """Return what is stored of a file, or None unless it is still there as noted."""

    def store(self, file_id: str, spool: Spool, note: Note) -> Note:
        """Give a whole file its name, and return where it is: its path may be taken."""

    def settle(self) -> None:
        """Make everything that was stored until now outlast a power failure."""


def open_storage(place: str | None) -> Storage:
    """Return the place that the setting names. Raises ConfigError if it cannot be used."""
    if not place:
        raise ConfigError(
            f"{SETTING}: missing, but the stream attachments is selected; set it to a folder, or "
            "to a URL such as s3://bucket/files"
        )
    scheme, is_url, rest = place.partition("://")
    if is_url and scheme.lower() == "file":
        place, is_url = rest, ""
    storage: Storage = RemoteStorage(place) if is_url else LocalStorage(Path(place))
    storage.check()
    return storage


class LocalStorage:
    """Files in a folder: written to a temporary name there, then renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        self._own = self._folder / OWN_FOLDER
        self._incoming = self._own / "incoming"
        self._lock = threading.Lock()
        # Folders with new names, which a power failure could take back.
        self._unsettled = {self._folder.parent}
        self._settling = threading.Lock()

    def check(self) -> None:
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            with Spool(self._incoming) as spool:
                spool.write(b"x")
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"{SETTING}: {self._folder} cannot be written: {reason}") from None
        except StoreError as error:
            raise ConfigError(f"config: {error}") from None
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        for path in self._incoming.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > OLD_SECONDS:
                    path.unlink()

    def begin(self) -> bool:
        def begin() -> bool:
            is_new = not any((self._own / each).exists() for each in SIGNS_OF_USE)
            (self._own / SIGNS_OF_USE[0]).touch()
            return is_new

        return self._try(begin)

    def spool(self) -> Spool:
        return self._try(lambda: Spool(self._incoming))

    def note(self, file_id: str) -> Note | None:
        def read() -> Note | None:
            try:
                note = _parsed(self._note_path(file_id).read_bytes())
                if note is not None and _hash_of(self._folder / note.path) == note.sha256:
                    # A run that was killed may have left it unsettled.
                    self._add_unsettled((self._folder / note.path).parent)
                    return note
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                pass
            return None

        return self._try(read)

    def store(self, file_id: str, spool: Spool, note: Note) -> Note:
        def store() -> Note:
            # A name without its content would look like a whole file after a power failure.
            spool.sync()
            folder = (self._folder / note.path).parent
            folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                stored = self._free(note)
                spool.move(self._folder / stored.path)
            self._write_note(file_id, stored)
            return stored

        stored = self._try(store)
        self._add_unsettled((self._folder / stored.path).parent)
        return stored

    def _add_unsettled(self, folder: Path) -> None:
        """Remember a folder of files, and the folders that it is in. Settle if there are many."""
        with self._lock:
            self._unsettled.update((folder, folder.parent, self._folder))
            is_due = len(self._unsettled) > MAX_UNSETTLED
        if is_due:
            self.settle()

    def _write_note(self, file_id: str, note: Note) -> None:
        """Note what was stored. A note that is cut off counts for nothing, so it may be so."""
        path, content = self._note_path(file_id), orjson.dumps(note._asdict())
        try:
            descriptor = os.open(path, _REPLACED, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, _REPLACED, 0o666)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)

    def settle(self) -> None:
        def settle() -> None:
            with self._lock:
                folders, self._unsettled = self._unsettled, set()
            try:
                for folder in folders:
                    _sync_folder(folder)
            except OSError:
                with self._lock:
                    self._unsettled |= folders
                raise

        # Whoever comes second waits: the folders of both are in the first one's hands.
        with self._settling:
            self._try(settle)

    def _free(self, note: Note) -> Note:
        """Return the note with a path that no other content has."""
        for path in (note.path, with_hash(note.path, note.sha256)):
            place = self._folder / path
            if not place.exists() or _hash_of(place) == note.sha256:
                return note._replace(path=path)
        raise OSError(f"{note.path} is taken by another file")

    def _note_path(self, file_id: str) -> Path:
        return self._own / f"stored/{file_id[:2]}/{file_id}.json"

    def _try(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"attachments_dir: {self._folder} failed: {reason}") from error


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last, where the system can. Raises OSError if they may be lost."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in LOST_WRITES:
            raise


def _hash_of(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            found.update(piece)
    return found.hexdigest()


def _remove_spools() -> None:
    """Remove what waited for a store when a run was killed. It may be personal."""
    for path in Path(tempfile.gettempdir()).glob(f"{SPOOL}*"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - path.stat().st_mtime > UNLOCKED_SECONDS:
                path.unlink()


def _parsed(content: bytes) -> Note | None:
    try:
        return Note(**orjson.loads(content))
    except (ValueError, TypeError):
        return None


class RemoteStorage:
    """Files in a store of fsspec. An object store puts a whole object at once; in any other store,
    a file is written to a temporary name and moved.
    """

    def __init__(self, url: str) -> None:
        self._name = without_secrets(url)
        self._files, path = open_file_system(SETTING, url, "files")
        self._root = path.rstrip("/")
        # The paths that are being stored. A store has no way to take one that is free.
        self._busy: set[str] = set()
        self._is_free = threading.Condition()

    def check(self) -> None:
        """Write a small object and remove it again."""
        path = f"{self._root}/{OWN_FOLDER}/check"
        try:
            self._make_folder(path)
            self._files.pipe_file(path, b"x")
            self._files.rm_file(path)
        except Exception as error:
            raise ConfigError(
                f"{SETTING}: {self._name} cannot be written: {reason_of(error)}"
            ) from (None if isinstance(error, OSError) else error)
        _remove_spools()

    def begin(self) -> bool:
        def begin() -> bool:
            own = f"{self._root}/{OWN_FOLDER}"
            self._files.invalidate_cache()
            is_new = not any(self._files.exists(f"{own}/{each}") for each in SIGNS_OF_USE)
            self._files.pipe_file(f"{own}/{SIGNS_OF_USE[0]}", b"")
            return is_new

        return self._try(begin)

    def spool(self) -> Spool:
        try:
            return Spool()
        except OSError as error:
            raise StoreError(f"attachments: no temporary file: {error.strerror}") from error

    def note(self, file_id: str) -> Note | None:
        def read() -> Note | None:
            try:
                note = _parsed(self._files.cat_file(self._note_path(file_id)))
                path = "" if note is None else f"{self._root}/{note.path}"
                if note is not None and self._info(path).get("size") == note.size:
                    return note
            except FileNotFoundError:
                pass
            return None

        return self._try(read)

    def store(self, file_id: str, spool: Spool, note: Note) -> Note:
        with self._alone(note.path):
            return self._store(file_id, spool, self._free(note, file_id))

    @contextmanager
    def _alone(self, path: str) -> Iterator[None]:
        """Let no other thread find out meanwhile that a path is free."""
        with self._is_free:
            self._is_free.wait_for(lambda: path not in self._busy)
            self._busy.add(path)
        try:
            yield
        finally:
            with self._is_free:
                self._busy.remove(path)
                self._is_free.notify_all()

    def _store(self, file_id: str, spool: Spool, stored: Note) -> Note:
        def store() -> Note:
            self._put(f"{self._root}/{stored.path}", spool.path)
            noted = self._note_path(file_id)
            self._make_folder(noted)
            self._files.pipe_file(noted, orjson.dumps(stored._asdict()))
            return stored

        return self._try(store)

    def settle(self) -> None:
        """A store answers once it has an object for good."""

    def _put(self, path: str, local: str) -> None:
        self._make_folder(path)
        if self._files.async_impl:
            # One request, or parts of which a reader sees nothing before the last one.
            self._files.put_file(local, path)
            return
        temporary = f"{self._root}/{OWN_FOLDER}/incoming-{uuid4().hex}"
        self._make_folder(temporary)
        self._files.put_file(local, temporary)
        with suppress(FileNotFoundError):
            self._files.rm_file(path)
        self._files.mv(temporary, path)

    def _free(self, note: Note, file_id: str) -> Note:
        """Return the note with a path that no other content has.

        A store shows the size of an object but not its hash, so a path is our own only if a note
        says so. Otherwise the path gets the hash.
        """

        def find() -> Note:
            try:
                size = self._info(f"{self._root}/{note.path}").get("size")
            except FileNotFoundError:
                return note
            try:
                known = _parsed(self._files.cat_file(self._note_path(file_id)))
            except FileNotFoundError:
                known = None
            # Without a note, a run was killed between the file and its note.
            is_same = size == note.size and (known is None or known.sha256 == note.sha256)
            return note if is_same else note._replace(path=with_hash(note.path, note.sha256))

        return self._try(find)

    def _info(self, path: str) -> dict[str, Any]:
        self._files.invalidate_cache()
        found: dict[str, Any] = self._files.info(path)
        return found

    def _make_folder(self, path: str) -> None:
        # In an object store this could create a bucket, and folders are no objects there.
        if not self._files.async_impl:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _note_path(self, file_id: str) -> str:
        return f"{self._root}/{OWN_FOLDER}/stored/{file_id[:2]}/{file_id}.json"

    def _try(self, call: Callable[[], T]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return call()
            except StoreError:
                raise
            except Exception as error:
                is_last = attempt == ATTEMPTS - 1 or isinstance(error, PermissionError)
                if is_last:
                    text = f"attachments_dir: {self._name} failed: {reason_of(error)}"
                    raise StoreError(text) from error
            time.sleep(FIRST_WAIT_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")
