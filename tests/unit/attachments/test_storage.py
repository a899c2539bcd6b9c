"""Files get their names at once and whole, in a folder and in a store of fsspec."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from tap_intercom.attachments import storage as storage_module
from tap_intercom.attachments.storage import (
    OLD_SECONDS,
    Note,
    RemoteStorage,
    Spool,
    Storage,
    StoreError,
    open_storage,
)
from tap_intercom.errors import ConfigError

PATH = "tickets/1/0-a.png"


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "files")
        return
    url = f"memory://{uuid4().hex}"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


@pytest.fixture
def files(place: str) -> Callable[[], dict[str, bytes]]:
    """Reads all files that a user sees in the place."""

    def read() -> dict[str, bytes]:
        system, root = fsspec.core.url_to_fs(place)
        root = root.rstrip("/")
        found = {path[len(root) + 1 :]: system.cat_file(path) for path in system.find(root)}
        return {name: content for name, content in found.items() if not name.startswith(".")}

    return read


def put(storage: Storage, content: bytes, file_id: str = "ab1", path: str = PATH) -> Note:
    note = Note(path, len(content), hashlib.sha256(content).hexdigest(), "https://a/x", "image/png")
    with storage.spool() as spool:
        spool.write(content)
        return storage.store(file_id, spool, note)


def test_a_file_is_stored_and_noted(place: str, files: Callable[[], dict[str, bytes]]) -> None:
    storage = open_storage(place)
    assert storage.note("ab1") is None
    stored = put(storage, b"content")
    assert files() == {PATH: b"content"}
    assert open_storage(place).note("ab1") == stored
    assert stored.path == PATH


def test_a_place_is_new_once(place: str, files: Callable[[], dict[str, bytes]]) -> None:
    assert [open_storage(place).begin() for _ in range(2)] == [True, False]
    assert files() == {}


def test_a_place_with_notes_of_an_earlier_version_is_not_new(place: str) -> None:
    storage = open_storage(place)
    put(storage, b"content")
    assert not open_storage(place).begin()


def test_nothing_is_visible_before_the_whole_file_came(
    place: str, files: Callable[[], dict[str, bytes]]
) -> None:
    storage = open_storage(place)
    with storage.spool() as spool:
        spool.write(b"half")
        assert files() == {}
    assert not os.path.exists(spool.path)


def test_an_attempt_begins_again(place: str, files: Callable[[], dict[str, bytes]]) -> None:
    storage = open_storage(place)
    with storage.spool() as spool:
        spool.write(b"a broken attempt")
        spool.restart()
        spool.write(b"whole")
        storage.store("ab1", spool, Note(PATH, 5, hashlib.sha256(b"whole").hexdigest(), "", None))
    assert files() == {PATH: b"whole"}


def test_nothing_is_overwritten_by_another_file(
    place: str, files: Callable[[], dict[str, bytes]]
) -> None:
    storage = open_storage(place)
    put(storage, b"one")
    put(storage, b"another", "ab2")
    again = put(storage, b"one")
    assert again.path == PATH
    assert sorted(files().values()) == [b"another", b"one"]
    assert files()[PATH] == b"one"
    assert put(storage, b"another", "ab2").path != PATH


def test_a_changed_file_keeps_both_contents(
    place: str, files: Callable[[], dict[str, bytes]]
) -> None:
    storage = open_storage(place)
    put(storage, b"old")
    stored = put(storage, b"new")
    assert files() == {PATH: b"old", stored.path: b"new"}
    assert storage.note("ab1") == stored


@pytest.mark.parametrize("content", [b"new", b"newer"])
def test_a_file_that_is_stored_twice_at_once_keeps_both_contents(
    place: str, files: Callable[[], dict[str, bytes]], content: bytes
) -> None:
    """As a record that changes while it is read twice: the second one must not lose its file."""
    storage = open_storage(place)
    second_is_put = threading.Event()
    if isinstance(storage, RemoteStorage):
        put_file, calls = storage._files.put_file, itertools.count()

        def slow_at_first(local: str, path: str) -> None:
            is_first = next(calls) == 0
            if is_first:
                second_is_put.wait(0.3)
            put_file(local, path)
            second_is_put.set()

        storage._files.put_file = slow_at_first
    with ThreadPoolExecutor(2) as pool:
        old, new = pool.map(lambda each: put(storage, each), [b"old", content])
    if isinstance(storage, RemoteStorage):
        del storage._files.put_file
    stored = files()
    assert hashlib.sha256(stored[old.path]).hexdigest() == old.sha256
    assert hashlib.sha256(stored[new.path]).hexdigest() == new.sha256


def test_a_note_without_its_file_counts_for_nothing(place: str) -> None:
    storage = open_storage(place)
    put(storage, b"content")
    system, root = fsspec.core.url_to_fs(place)
    system.rm(f"{root.rstrip('/')}/{PATH}")
    assert open_storage(place).note("ab1") is None


def test_a_note_of_other_content_counts_for_nothing(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    put(storage, b"content")
    (tmp_path / PATH).write_bytes(b"contenX")
    assert storage.note("ab1") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"path": "x"}'])
def test_a_broken_note_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    storage = open_storage(str(tmp_path))
    put(storage, b"content")
    (note,) = tmp_path.glob(".tap-intercom/stored/ab/*.json")
    note.write_bytes(content)
    assert storage.note("ab1") is None


def test_what_a_killed_run_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    open_storage(str(tmp_path))
    incoming = tmp_path / ".tap-intercom" / "incoming"
    old, young = incoming / "old", incoming / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    past = young.stat().st_mtime - OLD_SECONDS - 60
    os.utime(old, (past, past))
    open_storage(str(tmp_path))
    assert list(incoming.iterdir()) == [young]


# -- What outlasts a power failure ---------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of files and folders that were written to the disk, in order."""
    inodes: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        inodes.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(str(tmp_path))
    renamed: list[bool] = []
    real = os.replace

    def replace(source: str, target: Path) -> None:
        renamed.append(os.stat(source).st_ino in synced)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    put(storage, b"content")
    assert renamed == [True]


def test_names_are_on_the_disk_once_they_are_settled(tmp_path: Path, synced: list[int]) -> None:
    root = tmp_path / "new" / "files"
    storage = open_storage(str(root))
    put(storage, b"one")
    put(storage, b"two", "ab2", "conversations/2/0-b.png")
    storage.settle()
    folders = [root, root.parent, *(root / each for each in ("tickets", "conversations"))]
    folders += [root / "tickets" / "1", root / "conversations" / "2"]
    assert {each.stat().st_ino for each in folders} <= set(synced)
    synced.clear()
    storage.settle()
    assert synced == []


def test_names_of_a_killed_run_are_settled_by_the_next(tmp_path: Path, synced: list[int]) -> None:
    put(open_storage(str(tmp_path)), b"content")
    storage = open_storage(str(tmp_path))
    assert storage.note("ab1") is not None
    storage.settle()
    assert (tmp_path / PATH).parent.stat().st_ino in synced


def test_names_are_settled_during_a_long_run_too(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "MAX_UNSETTLED", 10)
    storage = open_storage(str(tmp_path))
    for number in range(25):
        put(storage, b"content", f"ab{number}", f"tickets/{number}/0-a.png")
    settled = [n for n in range(25) if (tmp_path / f"tickets/{n}").stat().st_ino in synced]
    assert len(settled) > 10


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_names_that_do_not_reach_the_disk_fail_until_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    storage = open_storage(str(tmp_path))
    put(storage, b"content")
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    for _ in range(2):
        with pytest.raises(StoreError, match=f"failed: {os.strerror(code)}"):
            storage.settle()
    monkeypatch.setattr(os, "fsync", real)
    storage.settle()


def test_a_system_that_cannot_sync_folders_is_not_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(str(tmp_path))
    put(storage, b"content")

    def fsync(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    storage.settle()


@pytest.fixture
def old_spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two files that wait for a store: one of a process that was killed, and one of this one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = (
        "import os, tempfile\n"
        "from tap_intercom.attachments.storage import Spool\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "spool = Spool()\n"
        "spool.write(b'personal')\n"
        "print(spool.path, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with Spool() as mine:
        paths = [killed.stdout.strip(), mine.path]
        for path in paths:
            os.utime(path, (1, 1))
        yield paths


def test_what_waited_for_a_store_in_a_killed_run_is_removed_by_the_next(
    old_spools: list[str],
) -> None:
    left, in_use = old_spools
    assert Path(left).read_bytes() == b"personal"
    open_storage(f"memory://{uuid4().hex}")
    assert not Path(left).exists()
    assert Path(in_use).exists()


def test_what_waits_for_a_store_is_nobody_elses_to_read() -> None:
    with open_storage(f"memory://{uuid4().hex}").spool() as spool:
        assert stat.S_IMODE(os.stat(spool.path).st_mode) == 0o600


def test_a_stored_file_has_the_usual_permissions(tmp_path: Path) -> None:
    put(open_storage(str(tmp_path)), b"content")
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / PATH).stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (None, "missing, but the stream attachments is selected"),
        ("", "missing"),
        ("nope://bucket/x", "nope is not a scheme of fsspec"),
        ("abfs://container/x", "pip install adlfs"),
        ("s3::memory://x", "joins several URLs"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused(place: str | None, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        open_storage(place)
    assert str(caught.value).startswith("config: attachments_dir: ")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written"):
        open_storage(str(tmp_path / "file" / "folder"))


def test_a_url_of_a_folder_is_a_folder(tmp_path: Path) -> None:
    put(open_storage(f"file://{tmp_path}/here"), b"content")
    assert (tmp_path / "here" / PATH).read_bytes() == b"content"


def test_a_store_that_fails_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "FIRST_WAIT_SECONDS", 0)
    storage = open_storage(f"memory://{uuid4().hex}")
    assert isinstance(storage, RemoteStorage)
    failures = [OSError("busy"), OSError("busy")]
    real = storage._files.put_file

    def put_file(*arguments: str) -> None:
        if failures:
            raise failures.pop()
        real(*arguments)

    monkeypatch.setattr(storage._files, "put_file", put_file)
    assert put(storage, b"content").path == PATH
    failures.extend(OSError("busy") for _ in range(9))
    with pytest.raises(StoreError, match="failed: busy"):
        put(storage, b"content", "ab2", "tickets/2/0-a.png")


def test_a_url_is_shown_without_its_secrets() -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage("nope://user:a-secret@host/x?key=another-secret")
    assert "secret" not in str(caught.value)
