"""Exports: the jobs that make Intercom write a file, and the rows of that file.

A job is enqueued, asked about until it is complete, and its file downloaded (API-I).
"""

from __future__ import annotations

import csv
import gzip
import io
import logging
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, NamedTuple, cast

from tap_intercom.client import Answer, Client
from tap_intercom.errors import ContractError, ResponseError, UnavailableError

LOGGER = logging.getLogger("tap_intercom")

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0

COMPLETE = ("complete", "completed")
WITHOUT_DATA = "no_data"
FAILED = ("failed", "canceled")

ZIP_MAGIC = b"PK"
GZIP_MAGIC = b"\x1f\x8b"


class Kind(NamedTuple):
    """Where exports of a kind are enqueued, asked about and downloaded; `{id}` is the job's.

    places: for as many jobs as a workspace may have pending (API-C1).
    """

    name: str
    enqueue: str
    status: str
    download: str
    places: threading.BoundedSemaphore


CONTENT = Kind(
    "content export",
    "/export/content/data",
    "/export/content/data/{id}",
    "/download/content/data/{id}",
    threading.BoundedSemaphore(1),
)
REPORTING = Kind(
    "reporting export",
    "/export/reporting_data/enqueue",
    "/export/reporting_data/{id}",
    "/download/reporting_data/{id}",
    threading.BoundedSemaphore(5),
)


def export(
    client: Client,
    kind: Kind,
    body: Mapping[str, Any],
    file: BinaryIO,
    *,
    start_within: float,
    end_within: float,
) -> Answer | None:
    """Have Intercom export what `body` asks for, into a file; None where it has no data for it.

    start_within: seconds to wait for other jobs of the workspace, end_within: for this one. Raises
    UnavailableError when they pass, and when Intercom gives the job up.
    """
    with kind.places:
        job = _enqueue(client, kind, body, start_within)
        if not _has_data(client, kind, job, end_within):
            return None
    try:
        return client.download(kind.download.format(id=job), file)
    except OSError as error:
        raise UnavailableError(
            f"{kind.name}: its file cannot be kept ({error.strerror}); TMPDIR says where it is put"
        ) from error


def _enqueue(client: Client, kind: Kind, body: Mapping[str, Any], start_within: float) -> str:
    """Start a job, after those that keep it from starting have ended; gives its identifier."""
    deadline = time.monotonic() + start_within
    for number, wait in enumerate(_waits()):
        try:
            answer = client.post(kind.enqueue, body)
            break
        except ResponseError as error:
            if error.status != 429:
                raise
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnavailableError(
                    f"{error}. Other exports of this workspace did not end in time: run at "
                    "another time, or set a larger max_retry_seconds."
                ) from error
            if number == 0:
                LOGGER.info(
                    "%s: waiting at most %.0f s for another job of this workspace to end (%s)",
                    kind.name,
                    left,
                    error,
                )
            time.sleep(min(wait, left))
    # Spelt without its second i in versions 2.7 to 2.10, 2.12 and 2.13 (API-I1).
    job = answer.body.get("job_identifier") or answer.body.get("job_identfier")
    if not job:
        raise ContractError(f"{kind.enqueue}: the answer has no job_identifier")
    return str(job)


def _has_data(client: Client, kind: Kind, job: str, end_within: float) -> bool:
    """Wait for the end of a job; gives whether it has a file."""
    deadline = time.monotonic() + end_within
    for wait in _waits():
        status = _status(client, kind, job)
        if status in COMPLETE:
            return True
        if status == WITHOUT_DATA:
            return False
        if status in FAILED:
            raise UnavailableError(
                f"{kind.name}: Intercom says that the job {job} is {status}; the next run asks anew"
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise UnavailableError(
                f"{kind.name}: the job {job} is {status} still after {end_within:.0f} s; the next "
                "run asks anew, or set a larger export_wait_seconds"
            )
        time.sleep(min(wait, left))
    raise AssertionError("waits do not end")


def _status(client: Client, kind: Kind, job: str) -> str:
    try:
        return str(client.get(kind.status.format(id=job)).body.get("status"))
    except ResponseError as error:
        if error.status == 504:
            return "failed"
        raise


def _waits() -> Iterator[float]:
    """Yield seconds to wait before each next look, without end."""
    seconds = FIRST_WAIT_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_WAIT_SECONDS)


# -- Files ---------------------------------------------------------------------------------------


def csv_files(file: BinaryIO) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the files in an archive with their names; a CSV file alone has no name.

    Descriptions differ in how it is packed, so that its first bytes tell. Raises ContractError.
    """
    file.seek(0)
    magic = file.read(2)
    file.seek(0)
    if magic == ZIP_MAGIC:
        with _readable(), zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    with archive.open(entry) as content:
                        yield entry.filename, content
    elif magic == GZIP_MAGIC:
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield "", cast(IO[bytes], unpacked)
    else:
        yield "", file


def csv_rows(file: IO[bytes]) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, its header first. Raises ContractError for a broken one."""
    csv.field_size_limit(sys.maxsize)
    width = None
    with _readable():
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        # No database takes NUL, nor does the reader of older Pythons.
        for row in csv.reader((line.replace("\0", "\ufffd") for line in text), strict=True):
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise ContractError(
                    f"export: a row has {len(row)} cells, and its header {width}, so that they "
                    "cannot be told apart"
                )
            yield row


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, csv.Error) as error:
        raise ContractError(f"export: the file cannot be read ({error})") from error
