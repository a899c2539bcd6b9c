"""One download: over TLS to the address that was checked, and within its limits."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import ssl
import threading
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from raw_server import RawServer, Serve

from tap_intercom.attachments import download as download_module
from tap_intercom.attachments.addresses import Place, RefusedError, place_of
from tap_intercom.attachments.download import (
    DeadError,
    Downloader,
    TooLargeError,
    UnansweredError,
    root_of,
)
from tap_intercom.attachments.storage import Spool
from tap_intercom.settings import Settings

# Made for these tests only, and valid for a hundred years.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQb+xc8AKDCYLrq9F
NvvJBE7MPO+9Wdxfn+equDd/TKWhRANCAATn2SvC4ZmhzLXqVZcwjoRbqMYPK7eR
N3duLPxNTXniRccRb4YIh9HZjL4KpWG6XqmWIjB2BD/lcsJsiQNAKoHY
-----END PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBoDCCAUegAwIBAgIUOMIzJ5XfuHrSBk8YBu5AkDuFaBswCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNZmlsZXMuZXhhbXBsZTAgFw0yNjExMjgwODI2MDhaGA8yMTI2
MTEwNDA4MjYwOFowGDEWMBQGA1UEAwwNZmlsZXMuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABOfZK8LhmaHMtepVlzCOhFuoxg8rt5E3d24s/E1NeeJF
xxFvhgiH0dmMvgqlYbpeqZYiMHYEP+VywmyJA0AqgdijbTBrMB0GA1UdDgQWBBTa
azedqmTxeb+D6g+N5JJ90AccJzAfBgNVHSMEGDAWgBTaazedqmTxeb+D6g+N5JJ9
0AccJzAPBgNVHRMBAf8EBTADAQH/MBgGA1UdEQQRMA+CDWZpbGVzLmV4YW1wbGUw
CgYIKoZIzj0EAwIDRwAwRAIgdch+HZSdZOq5u0p+uqPdrfTiVnt0MINIeXLk8AMJ
0QMCIFHgNQ1lp0a5cSshpav65bX6kFY6WbuTRywz5Kf3XSU6
-----END CERTIFICATE-----
"""
CONTENT = b"content"
PASSWORD = "pr0xy-password"
Answers = dict[str, tuple[int, dict[str, str], bytes]]


class Server(ThreadingHTTPServer):
    answers: Answers
    headers: list[dict[str, str]]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.headers.append(dict(self.headers))
        status, headers, content = server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def serving(answers: Answers, certificate: Path | None = None) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.answers, server.headers = answers, []
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.pem"
    path.write_text(KEY + CERTIFICATE)
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "FILE_SECONDS", 2.0)
    monkeypatch.setattr(download_module, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name was found to have this address."""
    monkeypatch.setattr(download_module, "checked_address", lambda place, **how: "127.0.0.1")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is one of this machine, as the name server of an attacker would say."""
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **more: Any) -> Any:
        is_address = host.replace(".", "").isdecimal()
        return real(host if is_address else "127.0.0.1", *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def fetch(url: str, base_url: str = "http://127.0.0.1", **settings: Any) -> tuple[Any, bytes]:
    downloader = Downloader(Settings(access_token="secret", base_url=base_url, **settings), 2)
    with Spool() as spool:
        found = downloader.fetch(url, spool)
        return found, Path(spool.path).read_bytes()


def test_a_file_comes_over_tls_from_the_address_that_was_checked(
    certificate: Path, checked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving({"/a?b=c": (200, {"Content-Type": "image/png"}, CONTENT)}, certificate) as server:
        port = server.server_address[1]
        found, content = fetch(f"https://files.example:{port}/a?b=c#d")
    assert content == CONTENT
    assert (found.size, found.content_type) == (7, "image/png")
    (headers,) = server.headers
    assert headers["Host"] == f"files.example:{port}"
    assert "Authorization" not in headers


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
def test_a_certificate_of_another_name_is_not_accepted(
    host: str, certificate: Path, checked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with (
        serving({"/": (200, {}, CONTENT)}, certificate) as server,
        pytest.raises(UnansweredError, match="certificate is not valid"),
    ):
        fetch(f"https://{host}:{server.server_address[1]}/")
    assert not server.headers


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    certificate: Path, checked: None
) -> None:
    with (
        serving({"/": (200, {}, CONTENT)}, certificate) as server,
        pytest.raises(UnansweredError, match="certificate is not valid"),
    ):
        fetch(f"https://files.example:{server.server_address[1]}/")


def relaying(port: int) -> Serve:
    """A proxy that passes on what comes after CONNECT to a port of this machine."""

    def serve(connection: socket.socket, request: bytes, ended: threading.Event) -> None:
        with socket.create_connection(("127.0.0.1", port)) as other:
            connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=pump, args=(connection, other), daemon=True).start()
            pump(other, connection)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    return serve


def test_a_file_comes_through_a_proxy_that_alone_knows_its_host(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    path = "/file?signature=secret"
    with (
        serving({path: (200, {}, CONTENT)}, certificate) as server,
        RawServer(relaying(server.server_port)) as proxy,
    ):
        address = f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTPS_PROXY", address)
        with Spool(tmp_path) as spool:
            found = Downloader(Settings(), 4).fetch(f"https://files.example{path}", spool)
    assert found.size == len(CONTENT)
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT files.example:443")
    credentials = b64encode(f"user:{PASSWORD}".encode())
    assert b"Proxy-Authorization: Basic " + credentials in head
    assert b"signature" not in head
    assert "Proxy-Authorization" not in server.headers[0]


def test_a_proxy_that_refuses_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: socket.socket, request: bytes, ended: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n")

    with RawServer(serve) as proxy, Spool(tmp_path) as spool:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}")
        # One attempt, since it first looks for the name, which may take longer than all may here.
        monkeypatch.setattr(download_module, "FILE_SECONDS", 60.0)
        with pytest.raises(UnansweredError, match="the proxy does not answer") as caught:
            Downloader(Settings(), 4).fetch("https://files.example/file", spool, is_patient=False)
    assert PASSWORD not in str(caught.value)


def test_a_name_of_this_machine_is_refused_unless_intercom_is_here(names: None) -> None:
    with serving({}) as server:
        url = f"https://files.example:{server.server_address[1]}/"
        with pytest.raises(RefusedError, match="not a public address"):
            fetch(url, base_url="https://api.intercom.io")
    assert not server.headers


def test_this_machine_is_not_asked_in_the_clear_for_intercoms_files() -> None:
    with serving({}) as server, pytest.raises(RefusedError, match="http is not https"):
        fetch(f"http://127.0.0.1:{server.server_address[1]}/", "https://api.intercom.io")
    assert not server.headers


Expected = tuple[Answers, type[Exception], str]
REFUSED: dict[str, Expected] = {
    "404": ({}, DeadError, "answered 404"),
    "418": ({"/": (418, {}, b"")}, RefusedError, "answered 418"),
    "206": ({"/": (206, {}, CONTENT)}, RefusedError, "answered 206"),
    "500": ({"/": (500, {}, b"")}, UnansweredError, "answered 500"),
    "long": ({"/": (200, {}, b"x" * 101)}, TooLargeError, "attachment_max_bytes"),
    "short": ({"/": (200, {"Content-Length": "9"}, CONTENT)}, UnansweredError, "only a part"),
    "circle": ({"/": (302, {"Location": "/"}, b"")}, RefusedError, "5 redirects"),
    "private": ({"/": (302, {"Location": "https://10.1.1.1/"}, b"")}, RefusedError, "not a public"),
    "http": ({"/": (302, {"Location": "http://8.8.8.8/"}, b"")}, RefusedError, "not https"),
    "no URL": ({"/": (302, {"Location": "http://["}, b"")}, RefusedError, "not a URL"),
    "no host": ({"/": (302, {"Location": "https://a\xffb["}, b"")}, RefusedError, "not a URL"),
    "brotli": ({"/": (200, {"Content-Encoding": "br"}, CONTENT)}, RefusedError, "sent it as br"),
    "digits": ({"/": (200, {"Content-Length": "9" * 5_000}, CONTENT)}, RefusedError, "not valid"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_download_within_its_limits(name: str) -> None:
    answers, error, text = REFUSED[name]
    with serving(answers) as server, pytest.raises(error, match=text) as caught:
        fetch(f"http://127.0.0.1:{server.server_address[1]}/", attachment_max_bytes=100)
    assert "signature" not in str(caught.value)


def test_a_file_that_the_server_packs_all_the_same_is_unpacked() -> None:
    packed = gzip.compress(CONTENT)
    with serving({"/": (200, {"Content-Encoding": "gzip"}, packed)}) as server:
        found, got = fetch(f"http://127.0.0.1:{server.server_address[1]}/")
    assert (found.size, got) == (len(CONTENT), CONTENT)


def test_a_small_body_that_unpacks_to_a_gigabyte_does_not_fill_the_memory() -> None:
    """Anybody who writes to a workspace chooses who sends an image, and how it is packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    packed = b"".join(packer.compress(bytes(1_048_576)) for _ in range(256)) + packer.flush()
    with serving({"/": (200, {"Content-Encoding": "gzip"}, packed)}) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        tracemalloc.start()
        try:
            with pytest.raises(TooLargeError):
                fetch(url, attachment_max_bytes=10_000_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 30_000_000


@pytest.mark.parametrize("size", [0, 99, 100])
def test_a_file_of_the_largest_size_comes(size: int) -> None:
    content = os.urandom(size)
    with serving({"/": (200, {}, content)}) as server:
        _, got = fetch(f"http://127.0.0.1:{server.server_address[1]}/", attachment_max_bytes=100)
    assert got == content


@pytest.mark.parametrize(("seconds", "expected"), [(60.0, 1), (0.0, 3)])
def test_a_name_is_looked_up_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int
) -> None:
    monkeypatch.setattr(download_module, "ADDRESS_SECONDS", seconds)
    looked_up: list[str] = []

    def look_up(place: Place, **how: bool) -> str:
        looked_up.append(place.host)
        return "127.0.0.1"

    monkeypatch.setattr(download_module, "checked_address", look_up)
    downloader = Downloader(Settings(access_token="secret", base_url="http://127.0.0.1"), 2)
    with serving({f"/{each}": (200, {}, CONTENT) for each in range(3)}) as server:
        for each in range(3):
            with Spool() as spool:
                downloader.fetch(f"http://127.0.0.1:{server.server_address[1]}/{each}", spool)
    assert len(looked_up) == expected


def test_an_address_is_used_only_for_what_it_was_checked_for(names: None) -> None:
    """A name of this machine, which its own file may lead to, but no file of the web."""
    with serving({"/": (200, {}, CONTENT)}) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        downloader = Downloader(Settings(access_token="secret", base_url="http://127.0.0.1"), 2)
        place = place_of(url, allows_loopback=True)
        assert downloader._address(place, True) == "127.0.0.1"
        with pytest.raises(RefusedError, match="not a public address"):
            downloader._address(place, False)


@pytest.mark.parametrize(
    ("url", "is_intercoms"),
    [
        ("https://downloads.intercomcdn.com/i/o/1/a.png", True),
        ("https://uploads.au.intercomcdn.com/a.png", True),
        ("https://downloads.intercomcdn.eu/a.png", True),
        ("https://uploads.intercomusercontent.com/a.png", True),
        ("https://intercom-attachments-7.com/a.png", True),
        ("https://intercom-attachments.eu/a.png", True),
        ("http://127.0.0.1/files/a.png", True),
        ("https://intercom.example/a.png", False),
        ("https://evil-intercomcdn.com/a.png", False),
        ("https://intercomcdn.com.example/a.png", False),
    ],
)
def test_which_hosts_are_intercoms(url: str, is_intercoms: bool) -> None:
    downloader = Downloader(Settings(access_token="secret", base_url="http://127.0.0.1"), 2)
    assert downloader.is_intercoms(root_of(url)) == is_intercoms


def test_whether_a_host_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    downloader = Downloader(Settings(access_token="secret", base_url="http://127.0.0.1"), 2)
    with serving({"/": (200, {}, b"")}) as server:
        root = root_of(f"http://127.0.0.1:{server.server_address[1]}/x/y?z")
        assert downloader.answers(root)
        server.answers["/"] = (503, {}, b"")
        assert not downloader.answers(root)
    assert not downloader.answers(root)
    assert not downloader.answers(root_of("ftp://a.example/"))
