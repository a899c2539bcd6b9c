"""Downloads one file: with its own connections, without Intercom's token, and within limits."""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tap_intercom.attachments.addresses import (
    Place,
    RefusedError,
    UnknownHostError,
    checked_address,
    place_of,
)
from tap_intercom.attachments.storage import CHUNK_BYTES, Spool
from tap_intercom.intercom.connection import proxy_for
from tap_intercom.settings import Settings, is_loopback

MAX_REDIRECTS = 5
CONNECT_SECONDS = 15.0
# How long a connection may be silent.
SILENT_SECONDS = 30.0
# A timeout may not be 0.
SHORTEST_SECONDS = 0.01
# The time for all attempts of a file, and what a large one gets in addition.
FILE_SECONDS = 300.0
SLOWEST_BYTES_PER_SECOND = 50_000
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
# How long the address of a name is used. Names of large stores have another one each second, which
# would cost a new connection for each file.
ADDRESS_SECONDS = 60.0
# Images may be on any number of hosts.
MAX_POOLS = 64
# Answers that mean that an address no longer works; stores use all of them for expired ones.
DEAD_STATUSES = (400, 401, 403, 404, 410)
RETRIED_STATUSES = (408, 425, 429)
# How a body may be packed although nobody asked for it: with what Python can unpack.
ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")
# The hosts of uploaded files. Source: https://www.intercom.com/help/en/articles/3894
_INTERCOM = re.compile(
    r"(.+\.)?(intercom(cdn|assets|usercontent)?|intercom-attachments(-\d+)?)\.(com|io|eu|au)"
)
REDIRECTS = (301, 302, 303, 307, 308)


class DeadError(Exception):
    """The address no longer works."""


class TooLargeError(Exception):
    """The file is larger than the setting allows."""


class UnansweredError(Exception):
    """The file did not come whole within its time.

    root: the address of the host. is_lasting: whether nobody has the name of the host.
    """

    def __init__(self, text: str, root: str, *, is_lasting: bool = False) -> None:
        super().__init__(text)
        self.root = root
        self.is_lasting = is_lasting


class _RetryableError(Exception):
    """An attempt failed; wait: what the host asks for, in seconds.

    is_lasting: whether another attempt fails too.
    """

    def __init__(
        self, text: str, place: Place, wait: float = 0.0, *, is_lasting: bool = False
    ) -> None:
        super().__init__(text)
        self.root = _root(place)
        self.wait = wait
        self.is_lasting = is_lasting


class Downloaded(NamedTuple):
    """A file that came whole. root: the address of the host that sent it."""

    size: int
    sha256: str
    content_type: str | None
    root: str


class Downloader:
    """Downloads files; safe to use from many threads.

    connections: the largest number to one host.
    """

    def __init__(self, settings: Settings, connections: int) -> None:
        self._max_bytes = settings.attachment_max_bytes
        self._allows_loopback = is_loopback(_host_of(settings.base_url))
        self._root = root_of(settings.base_url)
        self._connections = connections
        self._headers = {
            "Accept": "*/*",
            # Bytes as the store has them, so a length says whether all came.
            "Accept-Encoding": "identity",
            "User-Agent": settings.user_agent,
        }
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        self._certificates = bundle or DEFAULT_CA_BUNDLE_PATH
        self._lock = threading.Lock()
        self._pools: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._addresses: dict[tuple[Place, bool], tuple[str, float]] = {}
        # Each look goes through the whole environment, which does not change during a run.
        self._proxy_for = lru_cache(MAX_POOLS)(proxy_for)

    def fetch(self, url: str, spool: Spool, *, is_patient: bool = True) -> Downloaded:
        """Write a file to the spool, with as many attempts as its time allows.

        Raises RefusedError, DeadError, TooLargeError, UnansweredError, and StoreError of the spool.

        is_patient: whether there is more than one attempt.
        """
        deadline = _Deadline(FILE_SECONDS)
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                return self._attempt(url, spool, deadline)
            except _RetryableError as error:
                pause = max(error.wait, wait * random.uniform(0.5, 1.0))
                if pause >= deadline.left or error.is_lasting or not is_patient:
                    raise UnansweredError(
                        str(error), error.root, is_lasting=error.is_lasting
                    ) from error
            spool.restart()
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def is_intercoms(self, root: str) -> bool:
        """Whether a host is Intercom's, by its address."""
        host = urlsplit(root).hostname or ""
        return root == self._root or _INTERCOM.fullmatch(host) is not None

    def answers(self, root: str) -> bool:
        """Whether a host answers at all, so what fails is one file and not the host."""
        try:
            place = place_of(root, allows_loopback=self._allows_loopback)
            response = self._open(root, place, self._allows_loopback, _Deadline(CONNECT_SECONDS))
            response.close()
        except (RefusedError, UnknownHostError, urllib3.exceptions.HTTPError, OSError):
            return False
        return bool(response.status < 500)

    def _attempt(self, url: str, spool: Spool, deadline: _Deadline) -> Downloaded:
        allows_loopback = self._allows_loopback
        for _ in range(MAX_REDIRECTS + 1):
            place = place_of(url, allows_loopback=allows_loopback)
            # A file of the web may not lead to this machine.
            allows_loopback = allows_loopback and is_loopback(place.host)
            with _as_retryable(place):
                response = self._open(url, place, allows_loopback, deadline)
                try:
                    location = response.headers.get("Location")
                    if response.status not in REDIRECTS or not location:
                        _check_status(response, place)
                        _check_encoding(response, place)
                        return self._save(response, place, spool, deadline)
                    url = _joined(url, location)
                finally:
                    # Unread bytes would be read as the next answer.
                    response.close()
        raise RefusedError(f"more than {MAX_REDIRECTS} redirects")

    def _open(self, url: str, place: Place, allows_loopback: bool, deadline: _Deadline) -> Any:
        """Send a request, to an address of the host that was checked."""
        proxy = self._proxy_for(_root(place))
        try:
            address = self._address(place, allows_loopback)
        except UnknownHostError:
            # Behind a proxy, only the proxy may know the name.
            if proxy is None:
                raise
            address = place.host
        left = max(deadline.left, SHORTEST_SECONDS)
        timeout = urllib3.Timeout(
            connect=min(CONNECT_SECONDS, left), read=min(SILENT_SECONDS, left)
        )
        how: dict[str, Any] = {
            "redirect": False,
            "retries": False,
            "timeout": timeout,
            "preload_content": False,
            "headers": {**self._headers, "Host": _host_header(place)},
        }
        key: tuple[str, ...]
        if proxy is not None:
            key = ("proxy", proxy.url)
            headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
            manager = self._pool(key, lambda: self._proxy_manager(proxy.url, headers))
            return manager.urlopen("GET", url, **how)
        key = (place.scheme, place.host, str(place.port), address)
        pool = self._pool(key, lambda: self._host_pool(place, address))
        return pool.urlopen("GET", place.target, **how)

    def _address(self, place: Place, allows_loopback: bool) -> str:
        """Return an address of the host that was checked a short while ago at most."""
        key = (place._replace(target=""), allows_loopback)
        address, until = self._addresses.get(key, ("", 0.0))
        if time.monotonic() >= until:
            address = checked_address(place, allows_loopback=allows_loopback)
            if len(self._addresses) >= MAX_POOLS:
                self._addresses.clear()
            self._addresses[key] = (address, time.monotonic() + ADDRESS_SECONDS)
        return address

    def _host_pool(self, place: Place, address: str) -> Any:
        size = {"maxsize": self._connections, "block": False}
        if place.scheme == "http":
            return urllib3.HTTPConnectionPool(address, place.port, **size)  # type: ignore[arg-type]
        return urllib3.HTTPSConnectionPool(
            address,
            place.port,
            ca_certs=self._certificates,
            cert_reqs="CERT_REQUIRED",
            server_hostname=place.host,
            assert_hostname=place.host,
            **size,  # type: ignore[arg-type]
        )

    def _proxy_manager(self, url: str, headers: dict[str, str]) -> Any:
        return urllib3.ProxyManager(
            url,
            proxy_headers=headers,
            ca_certs=self._certificates,
            cert_reqs="CERT_REQUIRED",
            maxsize=self._connections,
        )

    def _pool(self, key: tuple[str, ...], make: Any) -> Any:
        with self._lock:
            pool = self._pools.pop(key, None) or make()
            self._pools[key] = pool
            if len(self._pools) > MAX_POOLS:
                # Not closed: a thread may be using it. Its connections end with it.
                self._pools.popitem(last=False)
            return pool

    def _save(self, response: Any, place: Place, spool: Spool, deadline: _Deadline) -> Downloaded:
        """Write the body to the spool. Raises HTTPError of urllib3 if it ends too early."""
        expected = response.headers.get("Content-Length")
        length = int(expected) if expected and expected.isascii() and expected.isdecimal() else 0
        self._check_size(length)
        deadline.add(length / SLOWEST_BYTES_PER_SECOND)
        found, size = hashlib.sha256(), 0
        for piece in response.stream(min(CHUNK_BYTES, self._max_bytes + 1), decode_content=True):
            size += len(piece)
            self._check_size(size)
            found.update(piece)
            spool.write(piece)
            if deadline.left <= 0:
                text = f"{place.host} did not send all of it in time"
                raise UnansweredError(text, _root(place))
        return Downloaded(
            size, found.hexdigest(), response.headers.get("Content-Type"), _root(place)
        )

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLargeError(f"more than attachment_max_bytes ({self._max_bytes:,})")


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._added = 0.0

    @property
    def left(self) -> float:
        return self._end - time.monotonic()

    def add(self, seconds: float) -> None:
        """Give a large file more time, once."""
        if seconds > self._added:
            self._end += seconds - self._added
            self._added = seconds


@contextmanager
def _as_retryable(place: Place) -> Iterator[None]:
    """Let failures of the way to a host be tried again, while there is time."""
    try:
        yield
    except UnknownHostError as error:
        raise _RetryableError(str(error), place, is_lasting=error.is_lasting) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, urllib3.exceptions.LocationParseError):
            raise RefusedError("the address is not a URL") from error
        raise _RetryableError(f"{place.host}: {_reason(error)}", place) from error
    except ValueError as error:
        # Whoever writes to a workspace chooses the host, and the host chooses its headers.
        raise RefusedError(f"{place.host} sent an answer that is not valid") from error


def _joined(url: str, location: str) -> str:
    """Return where a redirect leads to. Raises RefusedError if that is no address."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise RefusedError("a redirect leads to what is not a URL") from None


def _check_encoding(response: Any, place: Place) -> None:
    """Raise RefusedError if the body would not become the file."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ENCODINGS:
        raise RefusedError(f"{place.host} sent it as {encoding[:20]}, which was not asked for")


def _check_status(response: Any, place: Place) -> None:
    status, host = response.status, place.host
    if status == 200:
        return
    if status in DEAD_STATUSES:
        raise DeadError(f"{host} answered {status}")
    if status >= 500 or status in RETRIED_STATUSES:
        after = response.headers.get("Retry-After", "")
        wait = float(after) if after.isascii() and after.isdecimal() else 0.0
        raise _RetryableError(f"{host} answered {status}", place, wait)
    raise RefusedError(f"{host} answered {status}")


def _reason(error: BaseException) -> str:
    """Return why no whole answer came, without an address, whose signature is a secret."""
    for kind, text in (
        (urllib3.exceptions.TimeoutError, "no answer in time"),
        (urllib3.exceptions.IncompleteRead, "only a part of the file came"),
        (urllib3.exceptions.ProtocolError, "the connection broke"),
        (urllib3.exceptions.SSLError, "its certificate is not valid, or TLS failed"),
        (urllib3.exceptions.ProxyError, "the proxy does not answer"),
        (urllib3.exceptions.NewConnectionError, "no connection"),
    ):
        if isinstance(error, kind) or isinstance(error.__cause__, kind):
            return text
        if any(isinstance(each, kind) for each in error.args):
            return text
    return type(error).__name__


def _host_of(url: str) -> str:
    return urllib3.util.parse_url(url).host or ""


def root_of(url: str) -> str:
    """Return the address of the host of a URL, or "" if it is not a URL."""
    try:
        return _root(place_of(url, allows_loopback=True))
    except RefusedError:
        return ""


def _root(place: Place) -> str:
    return f"{place.scheme}://{_host_header(place)}/"


def _host_header(place: Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return host if place.port in (80, 443) else f"{host}:{place.port}"
