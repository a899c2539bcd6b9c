"""Connections to Intercom: which proxy they use, and how long a whole answer may take."""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from tap_intercom import log
from tap_intercom.errors import ConfigError
from tap_intercom.settings import Settings, is_loopback
from tap_intercom.times import DAY_SECONDS

Params = Mapping[str, Any] | None

CONNECT_TIMEOUT_SECONDS = 30
# A socket cannot wait for more than some 290 years, and nobody waits longer than this.
LONGEST_TIMEOUT_SECONDS = 30 * DAY_SECONDS
# Names of this machine in the hosts files of common systems, and in RFC 6761.
_LOCAL_NAME = re.compile(r"(.+\.)?localhost6?(\.localdomain6?)?|ip6-(localhost|loopback)", re.I)
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
# The share of a timeout after which the socket's timeout is renewed; the deadline may be exceeded
# by it.
LOOKS_AT_DEADLINE = 0.1


class Connection:
    """Sends requests to Intercom; safe to use from many threads.

    requests prepares the pool of connections once, with its proxy and certificates. Each request
    then goes to the pool, since a session costs more processor time than a whole page of records.

    Raises ConfigError for a base_url, a proxy or certificates that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._pool = _open_pool(settings)
        self._path = urlsplit(settings.base_url).path
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "application/json",
            "Intercom-Version": settings.api_version,
            "User-Agent": settings.user_agent,
        }
        self._headers = [
            headers | ({"Authorization": f"Bearer {token}"} if token else {})
            for token in settings.access_tokens
        ]
        self._timeout = urllib3.Timeout(
            connect=min(CONNECT_TIMEOUT_SECONDS, settings.request_timeout),
            read=min(LONGEST_TIMEOUT_SECONDS, settings.request_timeout),
        )

    def send(
        self, method: str, path: str, params: Params, body: bytes | None, token: int
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and return its whole answer. A redirect is an answer like any other.

        token: the position of an access token. Raises HTTPError of urllib3.
        """
        return self._urlopen(method, path, params, body=body, headers=self._headers[token])

    def download(
        self, method: str, path: str, params: Params, token: int
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and return its answer, whose body the caller reads.

        Raises HTTPError of urllib3.
        """
        headers = {**self._headers[token], "Accept": "application/octet-stream"}
        return self._urlopen(method, path, params, headers=headers, preload_content=False)

    def _urlopen(
        self, method: str, path: str, params: Params, **more: Any
    ) -> urllib3.BaseHTTPResponse:
        target = self._path + path
        if params:
            target += "?" + urlencode(params, doseq=True)
        answer: urllib3.BaseHTTPResponse = self._pool.urlopen(
            method, target, redirect=False, retries=False, timeout=self._timeout, **more
        )
        return answer


def _open_pool(settings: Settings) -> Any:
    proxy = proxy_for(settings.base_url)
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        # The types of its methods depend on the version of requests.
        adapter: Any = _Adapter(proxy, pool_maxsize=settings.concurrency + 1)
        request = requests.Request("GET", settings.base_url).prepare()
        proxies = {} if proxy is None else {"all": proxy.url}
        pool = adapter.get_connection_with_tls_context(request, bundle or True, proxies=proxies)
        adapter.cert_verify(pool, request.url, bundle or True, cert=None)
    except requests.exceptions.InvalidSchema:
        raise ConfigError("a SOCKS proxy needs the package PySocks") from None
    except requests.RequestException as error:
        raise ConfigError(f"{error}; check base_url and proxies") from error
    except OSError:
        raise ConfigError(
            f"{bundle}: cannot be read; check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
        ) from None
    return pool


# -- Proxies -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proxy:
    """A proxy. Its credentials are in the header, not in the URL, which errors may quote."""

    url: str
    authorization: str | None


def proxy_for(base_url: str) -> Proxy | None:
    """Return the proxy that the environment names for a URL.

    There is no proxy for this machine: over http:// the token would reach it unencrypted. Raises
    ConfigError without any part of the proxy's value, since any part may be a password.
    """
    _hide_proxy_passwords(os.environ)
    base = urlsplit(base_url)
    host = (base.hostname or "").rstrip(".")
    if base.scheme == "http" or is_loopback(host) or _LOCAL_NAME.fullmatch(host):
        return None
    value = select_proxy(base_url, get_environ_proxies(base_url))
    if not value or not value.strip():
        return None
    url = _parsed(value)
    if url is None:
        raise ConfigError(
            f"{_variable_with(value)}: the value is not the URL of a proxy, such as "
            "http://user:password@host:port; write special characters of the password as %XX"
        )
    if url.scheme and url.scheme.startswith("socks"):
        # SOCKS has no headers, so its credentials can only be in the URL.
        return Proxy(url.url, None)
    return Proxy(url._replace(auth=None).url, _basic_authorization(url.auth))


def _parsed(value: str) -> Url | None:
    """Return the URL of a proxy, or None if it is not valid or is read differently than meant.

    A `/`, `?` or `#` in a password ends the host, so the rest would be taken for a path.
    """
    text = value.strip()
    try:
        url = parse_url(text if "://" in text else f"http://{text}")
    except (LocationParseError, ValueError):
        return None
    is_plain = url.path in (None, "", "/") and url.query is None and url.fragment is None
    return url if url.host and is_plain and url.scheme in _PROXY_SCHEMES else None


def _variable_with(value: str) -> str:
    names = [name for name in os.environ if name.lower().endswith("_proxy")]
    return next((name for name in names if os.environ[name] == value), "proxy of this machine")


def _basic_authorization(auth: str | None) -> str | None:
    if not auth:
        return None
    user, _, password = auth.partition(":")
    credentials = f"{unquote(user)}:{unquote(password)}"
    try:
        encoded = credentials.encode("latin-1")
    except UnicodeEncodeError:
        encoded = credentials.encode()
    return f"Basic {b64encode(encoded).decode()}"


def _hide_proxy_passwords(environment: Mapping[str, str]) -> None:
    """Keep the passwords of all proxies out of the log, in every spelling."""
    for name, value in environment.items():
        if not name.lower().endswith("_proxy") or "@" not in value:
            continue
        credentials = re.sub(r"^\w*://", "", value.rpartition("@")[0])
        password = credentials.partition(":")[2]
        for each in (credentials, password):
            authorization = _basic_authorization(each) or ""
            log.hide_found(each, authorization.removeprefix("Basic "))


# -- Deadlines -----------------------------------------------------------------------------------


class _Reader(io.RawIOBase):
    """Reads from a socket until a deadline, no matter how many bytes arrive before it."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        seconds = connection.gettimeout()
        assert seconds is not None  # each request has one
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._look_again_at = self._deadline - (1 - LOOKS_AT_DEADLINE) * seconds

    def renew(self) -> None:
        self._look_again_at = time.monotonic()
        self._deadline = self._look_again_at + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        now = time.monotonic()
        # Setting a timeout is a system call: one for each read would cost more than the read.
        if now >= self._look_again_at:
            if now >= self._deadline:
                raise TimeoutError("timed out")
            self._connection.settimeout(self._deadline - now)
            self._look_again_at = now + LOOKS_AT_DEADLINE * self._seconds
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose headers and body must arrive within the timeout of the socket.

    The timeout alone applies to each read: an answer of a byte now and then would never end.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **more: Any) -> None:
        super().__init__(sock, *arguments, **more)
        self._reader = _Reader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def renew_deadline(self) -> None:
        self._reader.renew()


def renew_deadline(response: Any) -> None:
    """Give the rest of an answer the full timeout again."""
    answer = response._original_response
    assert isinstance(answer, _Response)
    answer.renew_deadline()


class _Adapter(HTTPAdapter):
    """Sends requests over connections whose answers have a deadline."""

    def __init__(self, proxy: Proxy | None, **how: Any) -> None:
        self._proxy = proxy
        super().__init__(**how)
        _bound(self.poolmanager)
        if proxy is not None:
            _bound(self.proxy_manager_for(proxy.url))

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        if self._proxy is None or self._proxy.authorization is None:
            return {}
        return {"Proxy-Authorization": self._proxy.authorization}


def _bound(manager: urllib3.PoolManager) -> None:
    """Set a deadline for the answers on all connections of a manager, also those to a proxy."""
    manager.pool_classes_by_scheme = {
        scheme: _bounded(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


def _bounded(pool: Any) -> Any:
    members = {"response_class": _Response}
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), members)
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})
