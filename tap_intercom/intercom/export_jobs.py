"""Exports: the jobs that make Intercom write a file, and the rows of that file.

A job is enqueued and polled until it is complete; then its file is downloaded (API-I). Until then
it is pending. A workspace may have only a few pending jobs, so an abandoned one blocks others.
"""

from __future__ import annotations

import csv
import gzip
import io
import logging
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, BinaryIO, NamedTuple, cast

from tap_intercom.errors import ContractError, ResponseError, TapError, UnavailableError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.signals import start_thread

LOGGER = logging.getLogger("tap_intercom")

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
# Shorter than the time schedulers allow between SIGTERM and SIGKILL.
STOP_SECONDS = 5.0

COMPLETE = ("complete", "completed")
WITHOUT_DATA = "no_data"
FAILED = ("failed", "canceled", "cancelled")

ZIP_MAGIC = b"PK"
GZIP_MAGIC = b"\x1f\x8b"
# A file that unpacks to one endless row must not fill the memory.
LONGEST_ROW = 16_000_000


class Kind(NamedTuple):
    """The endpoints that enqueue, poll, download and cancel exports of one kind.

    `{id}` in a path is the job's id.

    cancel: None if Intercom has no such endpoint.
    slots: how many jobs a workspace may have pending (API-C1).
    """

    name: str
    enqueue: str
    status: str
    download: str
    cancel: str | None
    slots: int


CONTENT = Kind(
    "content export",
    "/export/content/data",
    "/export/content/data/{id}",
    "/download/content/data/{id}",
    "/export/cancel/{id}",
    slots=1,
)
REPORTING = Kind(
    "reporting export",
    "/export/reporting_data/enqueue",
    "/export/reporting_data/{id}",
    "/download/reporting_data/{id}",
    None,
    slots=5,
)


class Job:
    """A job that Intercom has started. has_ended: whether Intercom has reported its end."""

    def __init__(self, client: Client, kind: Kind, identifier: str, parameters: Any) -> None:
        self.kind = kind
        self.identifier = identifier
        self.has_ended = False
        self._client = client
        self._parameters = parameters and {**parameters, "job_identifier": identifier}

    def has_file(self, within: float) -> bool:
        """Wait for the end of the job, and return whether it has data.

        Raises UnavailableError after `within` seconds, or if Intercom gives up the job.
        """
        deadline = time.monotonic() + within
        for wait in _waits():
            status = self._status()
            self.has_ended = status in (*COMPLETE, WITHOUT_DATA, *FAILED)
            if status in FAILED:
                raise UnavailableError(
                    f"{self.kind.name}: Intercom reports the job {self.identifier} as {status}; "
                    "the next run tries again"
                )
            if self.has_ended:
                return status != WITHOUT_DATA
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnavailableError(
                    f"{self.kind.name}: the job {self.identifier} is still {status} after "
                    f"{within:.0f} s; the next run tries again, or increase export_wait_seconds"
                )
            time.sleep(min(wait, left))
        raise AssertionError("waits do not end")

    def download(self, file: BinaryIO) -> Answer:
        """Write the file of a complete job. Raises UnavailableError if there is no room."""
        path = self.kind.download.format(id=self.identifier)
        try:
            return self._client.download(path, file, self._parameters)
        except OSError as error:
            raise UnavailableError(
                f"{self.kind.name}: its file cannot be stored ({error.strerror}); "
                "set TMPDIR to another folder"
            ) from error

    def cancel(self) -> bool:
        """Ask Intercom once to end the job, and return whether it did."""
        return _cancel(self._client, self.kind, self.identifier)

    def _status(self) -> str:
        path = self.kind.status.format(id=self.identifier)
        try:
            return str(self._client.get(path, self._parameters).body.get("status")).lower()
        except ResponseError as error:
            if error.status == 504:
                return "failed"
            raise


class ExportJobs:
    """The export jobs of a run.

    A pending content export keeps every other one from starting, so it is cancelled when the run
    ends early. A killed run cannot cancel it, so the state keeps its identifier.

    left_behind: the identifier from the state of an earlier run.
    """

    def __init__(self, left_behind: str | None) -> None:
        self._left_behind = left_behind
        self._slots = {kind.name: _Slots(kind.slots) for kind in (CONTENT, REPORTING)}
        self._pending: list[Job] = []
        self._starting = threading.Lock()
        self._is_stopped = False

    @property
    def left_behind(self) -> str | None:
        """The content export that would stay pending if the run were killed now."""
        pending = [job.identifier for job in list(self._pending) if job.kind.cancel]
        return pending[0] if pending else self._left_behind

    @contextmanager
    def start(
        self,
        client: Client,
        kind: Kind,
        body: Mapping[str, Any],
        within: float,
        parameters: Mapping[str, Any] | None = None,
    ) -> Iterator[Job]:
        """Start a job, and cancel it if it has not ended when the context exits.

        Raises UnavailableError if other jobs keep it from starting for more than `within` seconds,
        or at once if those are this run's own abandoned jobs.

        parameters: query parameters of the requests about the job.
        """
        client = client.with_one_token()
        slots = self._slots[kind.name]
        slots.take(kind)
        try:
            job = self._enqueue(client, kind, body, within, parameters)
        except BaseException:
            slots.free()
            raise
        slots.started()
        try:
            yield job
        finally:
            is_over = job.has_ended or job.cancel()
            self._pending.remove(job)
            slots.ended(is_over)

    def stop(self) -> None:
        """Cancel pending jobs, as far as a few seconds allow."""
        if not self._is_stopped and (self._pending or self._starting.locked()):
            start_thread(self._cancel_all).join(STOP_SECONDS)

    def _cancel_all(self) -> None:
        # The lock waits for the answer to a job that is being enqueued: only that names the job.
        with self._starting:
            self._is_stopped = True
            pending = list(self._pending)
        for job in pending:
            job.cancel()

    def _enqueue(
        self,
        client: Client,
        kind: Kind,
        body: Mapping[str, Any],
        within: float,
        parameters: Mapping[str, Any] | None,
    ) -> Job:
        """Start a job once the jobs that block it have ended."""
        slots = self._slots[kind.name]
        deadline = time.monotonic() + within
        is_logged = False
        waits = _waits()
        while True:
            try:
                return self._try_to_enqueue(client, kind, body, parameters)
            except ResponseError as error:
                if error.status != 429:
                    raise
                if self._cancel_left_behind(client, kind):
                    continue
                left = deadline - time.monotonic()
                if slots.are_lost:
                    raise UnavailableError(f"{error}. {_GIVEN_UP}") from error
                if left <= 0:
                    raise UnavailableError(
                        f"{error}. Other exports of this workspace did not finish in time: run at "
                        "another time, or increase max_retry_seconds."
                    ) from error
                if not is_logged:
                    LOGGER.info(
                        "%s: waiting up to %.0f s for another job of this workspace to finish (%s)",
                        kind.name,
                        left,
                        error,
                    )
                is_logged = True
                slots.wait_until_lost(min(next(waits), left))

    def _try_to_enqueue(
        self,
        client: Client,
        kind: Kind,
        body: Mapping[str, Any],
        parameters: Mapping[str, Any] | None,
    ) -> Job:
        with self._starting:
            if self._is_stopped:
                raise UnavailableError(f"{kind.name}: the run is ending")
            answer = client.post(kind.enqueue, body)
            # Spelt without its second i in versions 2.7 to 2.10, 2.12 and 2.13 (API-I1).
            identifier = answer.body.get("job_identifier") or answer.body.get("job_identfier")
            if not identifier:
                raise ContractError(f"{kind.enqueue}: the answer has no job_identifier")
            job = Job(client, kind, str(identifier), parameters)
            self._pending.append(job)
            if kind.cancel:
                self._left_behind = None
            return job

    def _cancel_left_behind(self, client: Client, kind: Kind) -> bool:
        """Cancel the job that a killed run left behind, if a job cannot start."""
        identifier, self._left_behind = (
            self._left_behind,
            None if kind.cancel else self._left_behind,
        )
        if identifier is None or kind.cancel is None:
            return False
        LOGGER.info("%s: cancelling the job that an earlier run left", kind.name)
        return _cancel(client, kind, identifier)


_GIVEN_UP = (
    "This run gave up on jobs that are still pending. No other job can start before they finish; "
    "the next run tries again."
)


class _Slots:
    """The slots for pending jobs of one kind.

    An abandoned job that cannot be cancelled is still pending at Intercom, so it keeps its slot.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._pending = 0
        self._lost = 0
        self._changed = threading.Condition()

    @property
    def are_lost(self) -> bool:
        """Whether abandoned jobs hold slots, and no other job of this run will free one."""
        return self._lost > 0 and self._pending == 0

    def take(self, kind: Kind) -> None:
        """Wait for a slot. Raises UnavailableError if abandoned jobs hold all of them."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self._count or self._lost == self._count)
            if self._lost == self._count:
                raise UnavailableError(f"{kind.name}: {_GIVEN_UP}")
            self._taken += 1

    def free(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def started(self) -> None:
        with self._changed:
            self._pending += 1

    def ended(self, is_over: bool) -> None:
        with self._changed:
            self._pending -= 1
            self._lost += not is_over
            self._taken -= is_over
            self._changed.notify_all()

    def wait_until_lost(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.are_lost, seconds)


def _cancel(client: Client, kind: Kind, identifier: str) -> bool:
    if kind.cancel is None:
        return False
    try:
        client.post_once(kind.cancel.format(id=identifier))
    except TapError as error:
        LOGGER.info("%s: the job %s could not be cancelled (%s)", kind.name, identifier, error)
        return False
    return True


def _waits() -> Iterator[float]:
    """Yield the seconds to wait before each poll, without end."""
    seconds = FIRST_WAIT_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_WAIT_SECONDS)


# -- Files ---------------------------------------------------------------------------------------


class CsvFile(NamedTuple):
    """A file of an export: its name in the archive ("" for a single file), and how to open it."""

    name: str
    open: Callable[[], IO[bytes]]

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows, header first. Raises ContractError for a broken file."""
        with readable(self.name):
            content = self.open()
            if self.name:
                content = _unpacked(content)
        yield from csv_rows(content, self.name)


def csv_files(file: BinaryIO) -> Iterator[CsvFile]:
    """Yield the files of an export; read each one before the next. Raises ContractError.

    Descriptions of the packing differ (API-I1), so the first bytes decide.
    """
    if _magic(file) != ZIP_MAGIC:
        with readable():
            content = _unpacked(file)
        yield CsvFile("", lambda: content)
        return
    with readable():
        archive = zipfile.ZipFile(file)
    with archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                yield CsvFile(entry.filename, partial(archive.open, entry))


def _magic(file: IO[bytes]) -> bytes:
    file.seek(0)
    magic = file.read(2)
    file.seek(0)
    return magic


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    magic = _magic(file)
    if magic == ZIP_MAGIC:
        raise ContractError("an archive inside an archive")
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if magic == GZIP_MAGIC else file


def csv_rows(file: IO[bytes], name: str = "") -> Iterator[list[str]]:
    """Yield the rows of a CSV file, header first. Raises ContractError for a broken file."""
    csv.field_size_limit(LONGEST_ROW)
    width = None
    with readable(name):
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        for row in csv.reader(_lines(text), strict=True):
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise ContractError(
                    f"a row has {len(row)} cells but the header has {width}, so the cells have no "
                    "known column"
                )
            yield row


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(LONGEST_ROW):
        if len(line) == LONGEST_ROW:
            raise ContractError(f"a line has more than {LONGEST_ROW} characters")
        # No database accepts NUL, and neither does the csv reader of older Python versions.
        yield line.replace("\0", "\ufffd")


@contextmanager
def readable(name: str = "") -> Iterator[None]:
    """Raise ContractError for any failure of a file: unpacking raises many kinds of errors."""
    try:
        yield
    except Exception as error:
        reason = error if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"
        what = f"the file {name!r}" if name else "the file"
        raise ContractError(f"export: {what} cannot be read ({reason})") from error
