"""Keeps files in its own threads, so nothing else waits for a slow one.

Readers submit the files that they find and get numbers. What became of each file is asked for by
its number, once, in any order.
"""

from __future__ import annotations

import logging
import mimetypes
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue

from tap_intercom.attachments.addresses import RefusedError
from tap_intercom.attachments.download import (
    DeadError,
    Downloaded,
    Downloader,
    TooLargeError,
    UnansweredError,
    root_of,
)
from tap_intercom.attachments.links import ATTACHMENT, INLINE_IMAGE, Link
from tap_intercom.attachments.names import stored_path, with_hash
from tap_intercom.attachments.storage import Note, Spool, Storage, open_storage
from tap_intercom.errors import ConfigError, UnavailableError
from tap_intercom.records.privacy import Rules
from tap_intercom.settings import Settings
from tap_intercom.signals import start_thread

LOGGER = logging.getLogger("tap_intercom")

STREAM = "attachments"
DOWNLOADS_AT_ONCE = 16
# A file that came whole waits for the disk or the store. Its connection downloads the next one.
STORED_AT_ONCE = 16
# Addresses expire: with a longer queue, the last ones would be dead when their turn comes.
MAX_WAITING = 2_000
# If as many files in a row do not come from a host, the host is down, not a file broken.
MAX_UNANSWERED = 3

NOT_THERE = "Intercom no longer has it"
STORED, GONE, TOO_LARGE, REFUSED = "stored", "gone", "too_large", "refused"


@dataclass(frozen=True)
class Kept:
    """What became of a file.

    note: where it is; None if it is not stored.
    status: its final status. reason: why it is not stored.
    """

    link: Link
    status: str
    note: Note | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A file to keep.

    address: returns where to download a file now, or None if it no longer exists.
    again: returns the file at the same place, read again from Intercom, or None.

    Both raise RefusedError if Intercom cannot say so.
    """

    link: Link
    address: Callable[[Link], str | None]
    again: Callable[[], Link | None]


class Keeper:
    """Downloads and stores files in the background; any thread may call its methods.

    is_named: whether stored files have the names that they have in Intercom.
    """

    def __init__(
        self, storage: Storage, downloader: Downloader, max_bytes: int, *, is_named: bool = True
    ) -> None:
        self._storage = storage
        self._is_named = is_named
        self._downloader = downloader
        self._max_bytes = max_bytes
        self._queue: SimpleQueue[tuple[Wanted, Future[Kept]]] = SimpleQueue()
        self._room = threading.BoundedSemaphore(MAX_WAITING)
        self._connections = threading.BoundedSemaphore(DOWNLOADS_AT_ONCE)
        self._lock = threading.Lock()
        self._futures: dict[int, Future[Kept]] = {}
        self._number = 0
        self._threads = 0
        self._unanswered: Counter[str] = Counter()
        self._error: Exception | None = None

    def submit(self, wanted: Wanted) -> int:
        """Keep a file soon, and return its number. Wait only if very many files are waiting."""
        self._room.acquire()
        future: Future[Kept] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._futures[number] = future
            if self._threads < DOWNLOADS_AT_ONCE + STORED_AT_ONCE:
                self._threads += 1
                start_thread(self._work)
        self._queue.put((wanted, future))
        return number

    def is_done(self, number: int, seconds: float = 0.0) -> bool:
        """Whether it is known what became of a file; wait for that a while."""
        with self._lock:
            future = self._futures[number]
        return future.done() or bool(seconds and wait([future], seconds).done)

    def result(self, number: int) -> Kept:
        """Wait for a file, and return what became of it, once.

        Raises TapError if files can no longer be kept.
        """
        with self._lock:
            future = self._futures.pop(number)
        return future.result()

    def begin(self) -> bool:
        """Whether no run has used the place before. Raises StoreError."""
        return self._storage.begin()

    def settle(self) -> None:
        """Make the stored files outlast a power failure. Raises StoreError if they may not."""
        self._storage.settle()

    def _work(self) -> None:
        while True:
            wanted, future = self._queue.get()
            try:
                if self._error is not None:
                    raise self._error
                kept = self._keep(wanted)
            except Exception as error:
                # The store, or Intercom, fails for every file. No other one is tried.
                self._error = self._error or error
                future.set_exception(self._error)
            else:
                future.set_result(kept)
            finally:
                self._room.release()

    def _keep(self, wanted: Wanted) -> Kept:
        """Keep a file. A dead address is read again from Intercom, once."""
        kept = self._kept(wanted.link, wanted.address)
        if kept.status != GONE:
            return kept
        LOGGER.debug("%s; reading its address again", kept.reason)
        # The place may have another file by now, which the row must then describe.
        try:
            link = wanted.again()
        except RefusedError as error:
            return Kept(wanted.link, REFUSED, reason=str(error))
        if link is None:
            return Kept(wanted.link, GONE, reason=NOT_THERE)
        return self._kept(link, wanted.address, is_last=True)

    def _kept(
        self, link: Link, address: Callable[[Link], str | None], *, is_last: bool = False
    ) -> Kept:
        note = self._storage.note(link.id)
        if (
            note is not None
            and note.source == link.source
            and link.size in (None, note.size, note.announced)
            and self._may_show(link, note)
        ):
            return Kept(link, STORED, note)
        if link.size is not None and link.size > self._max_bytes:
            return Kept(link, TOO_LARGE, reason=f"more than {self._max_bytes:,} bytes")
        with self._storage.spool() as spool:
            try:
                downloaded = self._fetch(link, address(link), spool)
                _check_content(link, downloaded, is_last=is_last)
            except DeadError as error:
                return Kept(link, GONE, reason=str(error))
            except TooLargeError as error:
                return Kept(link, TOO_LARGE, reason=str(error))
            except RefusedError as error:
                return Kept(link, REFUSED, reason=str(error))
            except UnansweredError as error:
                return self._unanswered_by(link, error)
            self._unanswered.pop(downloaded.root, None)
            content_type = link.content_type or downloaded.content_type
            note = Note(
                stored_path(link, content_type, is_named=self._is_named),
                downloaded.size,
                downloaded.sha256,
                link.source,
                content_type,
                link.size,
            )
            return Kept(link, STORED, self._storage.store(link.id, spool, note))

    def _may_show(self, link: Link, note: Note) -> bool:
        """Whether the path of a stored file has no name that the settings keep back now."""
        path = stored_path(link, note.content_type, is_named=False)
        return self._is_named or note.path in (path, with_hash(path, note.sha256))

    def _fetch(self, link: Link, address: str | None, spool: Spool) -> Downloaded:
        if address is None:
            raise DeadError(NOT_THERE)
        # Old mails have images on hosts that no longer exist. Wait for such a host only once.
        root = root_of(address)
        is_known = self._is_of_others(link, root) and root in self._unanswered
        with self._connections:
            return self._downloader.fetch(address, spool, is_patient=not is_known)

    def _is_of_others(self, link: Link, root: str) -> bool:
        return link.kind == INLINE_IMAGE and not self._downloader.is_intercoms(root)

    def _unanswered_by(self, link: Link, error: UnansweredError) -> Kept:
        """Give up a file that does not come. Raises UnavailableError if its host is down.

        Images may be on hosts of other people, which may stay down.
        """
        with self._lock:
            self._unanswered[error.root] += 1
            is_down = self._unanswered[error.root] >= MAX_UNANSWERED
        may_stay_down = error.is_lasting and link.kind == INLINE_IMAGE
        if self._is_of_others(link, error.root) or may_stay_down:
            return Kept(link, REFUSED, reason=str(error))
        if is_down or not self._downloader.answers(error.root):
            raise UnavailableError(f"attachments: {error}") from error
        return Kept(link, REFUSED, reason=str(error))


def _check_content(link: Link, downloaded: Downloaded, *, is_last: bool) -> None:
    """Raise DeadError if what came is hardly the file that Intercom shows.

    is_last: whether its address is a fresh one. Then a file is shorter than Intercom says because
        Intercom is wrong.
    """
    if link.size == downloaded.size:
        return
    if _is_page(downloaded.content_type) and not _may_be_page(link):
        raise DeadError(f"{downloaded.root} sent a web page in place of the file")
    if link.size is not None and downloaded.size < link.size and not is_last:
        raise DeadError(f"{downloaded.root} sent {downloaded.size:,} of {link.size:,} bytes")


def _may_be_page(link: Link) -> bool:
    """Whether a file that somebody attached may be a web page, by what Intercom says of it."""
    kinds = {link.content_type, mimetypes.guess_type(link.name or "")[0]} - {None}
    return link.kind == ATTACHMENT and (not kinds or any(map(_is_page, kinds)))


def _is_page(content_type: str | None) -> bool:
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


def open_keeper(settings: Settings) -> Keeper:
    """Return what keeps files as the settings say. Raises ConfigError if it cannot."""
    return Keeper(
        open_place(settings),
        Downloader(settings, DOWNLOADS_AT_ONCE),
        settings.attachment_max_bytes,
        is_named=Rules(*settings.privacy_of(STREAM)).leaves("name", "file"),
    )


def open_place(settings: Settings) -> Storage:
    """Return where the files go. Raises ConfigError if nothing can or may be stored there."""
    rules = Rules(*settings.privacy_of(STREAM))
    if not rules.leaves("path", "file"):
        raise ConfigError(
            f"{STREAM}: files are personal data, and personal_data is {rules.mode}: deselect the "
            "stream, or name its field path in keep_fields"
        )
    return open_storage(settings.attachments_dir)
