"""What a table of files has reached is said once each file before it would outlast a crash."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tap_intercom.attachments.download import Downloaded, Downloader
from tap_intercom.attachments.keeper import DOWNLOADS_AT_ONCE, Keeper, Wanted
from tap_intercom.attachments.links import ATTACHMENT, Link
from tap_intercom.attachments.storage import Spool, open_storage
from tap_intercom.errors import UnavailableError
from tap_intercom.reading.files import with_files
from tap_intercom.reading.stream_run import Batch, StreamRun

TABLE = "attachments"


class Download:
    """Downloads that come at once. most: how many there were at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()

    def fetch(self, url: str, spool: Spool, *, is_patient: bool = True) -> Downloaded:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.begun.release()
        self.go_on.wait()
        content = url.encode()
        spool.write(content)
        with self._lock:
            self.now -= 1
        return Downloaded(len(content), hashlib.sha256(content).hexdigest(), None, "https://a/")


def address_of(link: Link) -> str:
    return link.url


class Run:
    """As much of a run as its files need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.download = Download()
        self.keeper = Keeper(open_storage(str(folder)), cast(Downloader, self.download), 1_000)
        self.client = SimpleNamespace(now=lambda: 0)
        self.given_up: list[Exception] = []

    def render(self, name: str, answer: object, rows: Any) -> Batch:
        return Batch(b"".join(b"%s\n" % each["path"].encode() for each in rows(answer)), {name: 1})

    def give_up(self, names: list[str], error: Exception) -> None:
        self.given_up.append(error)

    def submit(self, number: int) -> tuple[str, int]:
        link = Link("tickets", str(number), ATTACHMENT, 0, f"https://a/{number}")
        return TABLE, self.keeper.submit(Wanted(link, address_of, lambda: link))

    def read(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        return with_files(cast(StreamRun, self), [TABLE], batches)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def batches_of(run: Run, count: int) -> Iterator[Batch]:
    """Two periods with some files each."""
    for period in range(2):
        yield Batch(files=[run.submit(period * count + number) for number in range(count)])
        yield Batch(reached={TABLE: period, "tickets": period})


def test_nothing_is_reached_before_names_of_files_are_on_the_disk(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    paths: list[Path] = []
    reached: list[int] = []
    for batch in run.read(batches_of(run, 5)):
        paths += [run.folder / line.decode() for line in batch.lines.splitlines()]
        if TABLE in batch.reached:
            reached.append(batch.reached[TABLE])
            assert len(paths) == 5 * len(reached)
            places = {each for path in paths for each in (path, path.parent, path.parent.parent)}
            assert {each.stat().st_ino for each in places} <= synced
    assert reached == [0, 1]


def test_names_that_do_not_reach_the_disk_end_the_table_of_files_only(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    batches = list(run.read(batches_of(run, 3)))
    assert [name for batch in batches for name in batch.reached] == ["tickets", "tickets"]
    assert batches[-1].failed == {TABLE}
    (error,) = {str(each) for each in run.given_up}
    assert error.endswith("failed: Input/output error")
    assert isinstance(run.given_up[0], UnavailableError)


def test_files_that_are_stored_leave_room_for_downloads(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk does not keep the connections idle, and never are there more of them."""
    disk = threading.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        disk.wait()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    numbers = [run.submit(number)[1] for number in range(DOWNLOADS_AT_ONCE)]
    for _ in numbers:
        run.download.begun.acquire()
    # All of them wait for the disk, or will. The next ones come all the same.
    run.download.go_on.clear()
    numbers += [run.submit(DOWNLOADS_AT_ONCE + each)[1] for each in range(3 * DOWNLOADS_AT_ONCE)]
    for _ in range(DOWNLOADS_AT_ONCE):
        assert run.download.begun.acquire(timeout=30)
    run.download.go_on.set()
    disk.set()
    for number in numbers:
        run.keeper.result(number)
    assert run.download.most == DOWNLOADS_AT_ONCE
