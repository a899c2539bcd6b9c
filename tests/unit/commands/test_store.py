"""The objects of a state at a URL: what is asked of a store, and what its errors mean."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tap_intercom.commands import store as module
from tap_intercom.commands.store import Store
from tap_intercom.errors import ConfigError, UnavailableError

URL = "memory://workspace/state.json"


@pytest.fixture
def store() -> Iterator[Store]:
    MemoryFileSystem.store.clear()
    yield Store(URL)
    MemoryFileSystem.store.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits; time passes only in them."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr("time.monotonic", lambda: sum(waits))
    return waits


def test_objects_are_named_by_what_follows_the_url(store: Store) -> None:
    store.write("", b"state")
    store.write(".previous", b"earlier")
    store.write(f"{Store.FOLDER}b", b"2")
    store.write(f"{Store.FOLDER}a", b"1")
    assert sorted(MemoryFileSystem.store) == [
        "/workspace/state.json",
        "/workspace/state.json.files/a",
        "/workspace/state.json.files/b",
        "/workspace/state.json.previous",
    ]
    assert store.read("") == b"state"
    assert store.names() == ["a", "b"]
    store.delete(f"{Store.FOLDER}a")
    assert store.names() == ["b"]


def test_what_does_not_exist_is_no_error(store: Store) -> None:
    assert store.read("") is None
    assert store.names() == []
    store.delete("")


def test_an_object_is_created_once(store: Store) -> None:
    assert store.creates_exclusively
    assert store.create("", b"first")
    assert not store.create("", b"second")
    assert store.read("") == b"first"


def test_code_that_looks_first_and_then_writes_is_not_exclusive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(MemoryFileSystem, "pipe_file")
    assert not Store(URL).creates_exclusively


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nowhere://bucket/state.json", "nowhere is not a scheme of fsspec, such as s3, gs or az"),
        ("memory://", "is not the URL of a file; give one such as memory:/state.json"),
        ("memory://folder/", "is not the URL of a file; give one such as memory://folder/state"),
        ("simplecache::memory://a/b", "joins several URLs with ::"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Store(url)
    assert str(caught.value).startswith(f"--state: {url}")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://bucket/state.json", "s3fs"),
        ("gs://bucket/state.json", "gcsfs"),
        ("az://container/state.json", "adlfs"),
    ],
)
def test_the_package_of_the_store_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ConfigError, match=rf"^--state: {url} needs {package}: pip install {package}$"
    ):
        Store(url)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"needs the extra `remote`: .*pip install fsspec"):
        Store(URL)


class NoCredentialsError(Exception):
    """As libraries of stores have them."""


class HttpError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"status {code}")
        self.code = code


LASTING = [
    (PermissionError("Access Denied."), "Access Denied"),
    (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    (OSError(errno.EINVAL, "The specified bucket is not valid."), "bucket is not valid"),
    (OSError("Forbidden: url\nno storage.objects.get"), "Forbidden: url"),
    (NoCredentialsError("Unable to locate credentials"), "Unable to locate credentials"),
    (HttpError(401), "status 401"),
    (ValueError("Parameters:\n  Invalid bucket name"), "Parameters: Invalid bucket name"),
    (NotImplementedError(), "NotImplementedError"),
]
PASSING = [
    OSError(errno.EIO, "We encountered an internal error."),
    OSError("We encountered an internal error."),
    TimeoutError(),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    HttpError(503),
    Exception("ServerDisconnectedError"),
]


def failing(error: Exception, times: int, then: Callable[..., Any]) -> Callable[..., Any]:
    """A method that fails so often and then works."""
    left = [error] * times

    def call(*arguments: Any, **how: Any) -> Any:
        if left:
            raise left.pop()
        return then(*arguments, **how)

    return call


@pytest.mark.parametrize(("error", "told"), LASTING, ids=repr)
def test_an_error_that_no_wait_fixes_ends_at_once(
    store: Store, clock: list[float], monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    broken = failing(error, 1, MemoryFileSystem.pipe_file)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", broken)
    with pytest.raises(ConfigError, match=rf"^--state: {URL} cannot be written: .*{told}"):
        store.write("", b"state")
    assert clock == []


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_an_error_that_passes_is_waited_for(
    store: Store, clock: list[float], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    broken = failing(error, 3, MemoryFileSystem.pipe_file)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", broken)
    store.write("", b"state")
    assert clock == [0.5, 1, 2]
    assert store.read("") == b"state"


def test_a_store_that_never_answers_is_given_up(
    store: Store, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = failing(TimeoutError("too slow"), 1000, MemoryFileSystem.cat_file)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", broken)
    with pytest.raises(UnavailableError, match=rf"^--state: {URL} cannot be read: too slow$"):
        store.read("")
    assert 20 < sum(clock) <= module.RETRY_SECONDS


def test_a_missing_bucket_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = failing(FileNotFoundError(), 2, MemoryFileSystem.pipe_file)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", broken)
    with pytest.raises(ConfigError, match="cannot be written: its bucket or folder does not exist"):
        store.write("", b"state")


def test_a_folder_that_does_not_exist_is_made(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = failing(FileNotFoundError(), 1, MemoryFileSystem.pipe_file)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", broken)
    store.write("", b"state")
    assert store.read("") == b"state"
