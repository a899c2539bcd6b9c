"""What is between the tap and Intercom: proxies, firewalls, load balancers, slow lines."""

from __future__ import annotations

import socket
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import Output, Tap
from raw_server import RawServer, trickle
from runs import Catalog, Runs
from warm_tap import SHORT_WAITS, WarmTap

from intercom_sandbox import Sandbox, Workspace

FOR_EVER = None
PAGE = b"<html><head><title>403 Forbidden</title></head></html>"
HTML = {"Content-Type": "text/html"}
# None of Intercom's headers are in what something on the way answers.
OPTIONS: Mapping[str, Any] = {"rate_limit_headers": False}
DAY_SECONDS = 86_400


def answers(status: int, body: bytes, headers: Mapping[str, str] = HTML) -> dict[str, Any]:
    return {"kind": "answer", "answer": lambda call: (status, headers, body)}


FOREIGN: dict[str, dict[str, Any]] = {
    "403 page": answers(403, PAGE),
    "403 empty": answers(403, b""),
    "403 JSON of a firewall": answers(403, b'{"message": "Forbidden"}', {}),
    "401 page": answers(401, PAGE),
    "402 page": answers(402, PAGE),
    "404 page": answers(404, PAGE),
    "404 empty": answers(404, b""),
    "410 page": answers(410, PAGE),
    "400 page": answers(400, PAGE),
    "405 captcha": answers(405, PAGE),
    "407 of a proxy": answers(407, PAGE),
    "422 page": answers(422, PAGE),
    "520 page": answers(520, PAGE),
    "530 empty": answers(530, b""),
    "200 page": answers(200, PAGE),
    "200 empty": answers(200, b""),
    "200 null": answers(200, b"null", {}),
    "200 number": answers(200, b"1", {}),
}
PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "list": ("^/tags$", ("tags",)),
    "search": ("^/contacts/search$", ("contacts",)),
    "record": (r"^/conversations/\d+$", ("conversations", "conversation_parts")),
    "scroll": ("^/companies/scroll$", ("companies",)),
    "nested list": ("^/contacts/.+/tags$", ("contacts",)),
}


def every(faults: Mapping[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("fault", "place"),
        [
            pytest.param(fault, place, id=f"{fault_name} - {place_name}")
            for fault_name, fault in faults.items()
            for place_name, place in PLACES.items()
        ],
    )


def workspace() -> Workspace:
    found = Workspace()
    for number in range(12):
        found.add_tag(name=f"Tag {number}")
    for number in range(3):
        found.add_company(name=f"Company {number}")
        found.reply(found.add_conversation())
    found.add_contact(name="With tags that search cuts off", tags=list(found.tags))
    return found


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(workspace(), **OPTIONS) as sandbox:
        yield sandbox


@pytest.fixture
def runs(
    shared_sandbox: Sandbox, tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog
) -> Iterator[Runs]:
    shared_sandbox.api.scroll = None
    yield Runs(shared_sandbox, tmp_path, warm_tap, plain_catalog, max_retry_seconds=30)
    shared_sandbox.faults.clear()


# -- Answers that are not Intercom's -------------------------------------------------------------


@every(FOREIGN)
def test_an_answer_from_the_way_passes(
    runs: Runs, fault: dict[str, Any], place: tuple[str, tuple[str, ...]]
) -> None:
    path, streams = place
    runs.sandbox.faults.add(path=path, times=2, **fault)
    output = runs.run(*streams)
    assert output.code == 0, output.log
    assert list(runs.lost(*streams)) == []
    assert output.log_lines("WARNING") == [] or "scroll" in path
    assert "deleted meanwhile" not in output.log


@every({name: FOREIGN[name] for name in ("403 page", "401 page", "404 empty", "200 page")})
def test_an_answer_from_the_way_that_lasts_is_a_fault_of_the_network(
    runs: Runs, fault: dict[str, Any], place: tuple[str, tuple[str, ...]]
) -> None:
    path, streams = place
    runs.sandbox.faults.add(path=path, times=FOR_EVER, **fault)
    output = runs.run(*streams, max_retry_seconds=0.1, on_missing_permission="skip")
    assert output.code == 4, output.log
    assert "permission" not in output.log
    assert streams[-1] in output.last_log_line
    if fault is not FOREIGN["200 empty"]:
        assert "check proxy, firewall, Intercom's IP allowlist and base_url" in output.last_log_line
    runs.sandbox.faults.clear()
    runs.sandbox.api.scroll = None
    assert runs.run(*streams).code == 0
    assert list(runs.lost(*streams)) == []


@pytest.mark.parametrize("name", ["403 page", "401 page", "200 page", "407 of a proxy"])
def test_a_run_that_something_on_the_way_refuses_has_the_token_not_in_doubt(
    runs: Runs, name: str
) -> None:
    runs.sandbox.faults.add(path="^/me$", times=FOR_EVER, **FOREIGN[name])
    output = runs.run("tags", max_retry_seconds=0.1)
    assert output.code == 4
    assert "access token" not in output.last_log_line
    assert "check proxy" in output.last_log_line


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"type":"error.list","errors":[{"code":"forbidden","message":"no"}]}', {}),
        (b'{"type":"error.list","request_id":null,"errors":[]}', {}),
        (b'{"status":403,"error":"Forbidden"}', {"X-RateLimit-Limit": "1000"}),
    ],
    ids=["error list", "empty error list", "JSON with Intercom's headers"],
)
def test_a_refusal_of_intercom_is_a_missing_permission(
    runs: Runs, body: bytes, headers: dict[str, str]
) -> None:
    runs.sandbox.faults.add(path="^/tags$", times=FOR_EVER, **answers(403, body, headers))
    output = runs.run("tags")
    assert output.code == 3
    assert "lacks the permission 'Read tags'" in output.last_log_line


@pytest.mark.parametrize(
    "location", ["https://portal.example/x", "https://[", "/x", "https://h:x/"]
)
def test_a_redirect_is_refused_and_names_the_host_only(runs: Runs, location: str) -> None:
    fault = answers(302, PAGE, {"Location": location})
    runs.sandbox.faults.add(path="^/tags$", times=FOR_EVER, **fault)
    output = runs.run("tags")
    assert output.code == 5
    assert "it redirects to" in output.last_log_line


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (403, "forbidden", "the app is public and not approved yet"),
        (403, "api_plan_restricted", "plan or subscription"),
        (402, "payment_required", "plan or subscription"),
        (401, "unauthorized", "refused the access token"),
    ],
)
def test_a_refused_me_says_what_it_may_mean(runs: Runs, status: int, code: str, text: str) -> None:
    runs.sandbox.faults.add("status", path="^/me$", times=FOR_EVER, status=status, code=code)
    output = runs.run("tags")
    assert output.code == 3
    assert text in output.last_log_line


def test_a_401_is_of_the_permission_while_me_cannot_be_asked(runs: Runs) -> None:
    runs.sandbox.faults.add("status", path="^/tags$", times=FOR_EVER, status=401)
    runs.sandbox.faults.add(path="^/me$", after=1, times=FOR_EVER, **FOREIGN["403 page"])
    output = runs.run("tags", "teams", max_retry_seconds=0.1)
    assert output.code == 3, output.log
    assert "lacks the permission 'Read tags'" in output.last_log_line
    assert output.count("SCHEMA", "teams") == 1


@pytest.mark.parametrize("name", ["403 page", "200 page"])
def test_a_page_is_not_taken_for_an_export(
    start_tap_on: Callable[..., Tap], warm_tap: WarmTap, plain_catalog: Catalog, name: str
) -> None:
    tap = start_tap_on(Workspace(), **OPTIONS)
    tap.sandbox.faults.add(path="^/download/content/data/", times=1, **FOREIGN[name])
    arguments = tap.arguments("export_receipts", catalog=plain_catalog, max_retry_seconds=30)
    output = warm_tap.run(*arguments, numbers=SHORT_WAITS)
    assert output.code == 0, output.log


# -- Answers that do not end ---------------------------------------------------------------------


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"", b"H"),
    "headers": (HEAD + b"X-Long: ", b"x"),
    "many headers": (HEAD, b"X: y\r\n"),
    "body of known size": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "body to the end": (HEAD + b"\r\n", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "one chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n", b" "),
    "size of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_that_does_not_end_is_ended(tmp_path: Path, warm_tap: WarmTap, name: str) -> None:
    begin, again = ENDLESS[name]

    def serve(connection: socket.socket, request: bytes, ended: threading.Event) -> None:
        connection.sendall(begin)
        trickle(connection, again, ended)

    with RawServer(serve) as server:
        output = run_against(server.url, tmp_path, warm_tap, request_timeout=0.5)
    assert output.code == 4, output.log
    assert "GET /me: " in output.last_log_line


def test_a_tunnel_and_a_handshake_that_do_not_end_are_ended(
    tmp_path: Path, warm_tap: WarmTap
) -> None:
    def proxy(connection: socket.socket, request: bytes, ended: threading.Event) -> None:
        trickle(connection, b"HTTP/1.1 200 OK\r\n" if len(server.heads) == 1 else b"\x16", ended)

    with RawServer(proxy) as server:
        output = run_against(
            "https://intercom.example",
            tmp_path,
            warm_tap,
            environment={"HTTPS_PROXY": server.url},
            request_timeout=0.5,
        )
    assert output.code == 4, output.log
    assert server.heads[0].startswith(b"CONNECT intercom.example:443")


def test_a_handshake_that_does_not_end_is_ended(tmp_path: Path, warm_tap: WarmTap) -> None:
    def serve(connection: socket.socket, request: bytes, ended: threading.Event) -> None:
        # The head of a TLS record with 16 KB of a handshake, which come by the byte.
        connection.sendall(b"\x16\x03\x03\x3f\xff")
        trickle(connection, b"\x00", ended)

    with RawServer(serve) as server:
        url = server.url.replace("http://", "https://")
        output = run_against(url, tmp_path, warm_tap, request_timeout=0.5)
    assert output.code == 4, output.log


def run_against(
    url: str,
    folder: Path,
    warm_tap: WarmTap,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Output:
    """A run of which no request succeeds."""
    with Sandbox(Workspace()) as sandbox:
        config = Tap(sandbox, folder).config(base_url=url, **{"max_retry_seconds": 0, **settings})
    return warm_tap.run("--config", config, numbers=SHORT_WAITS, environment=environment)


# -- Proxies -------------------------------------------------------------------------------------


PASSWORD = "pr0xy/Pa ss#w@rd"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "[::ffff:127.0.0.1]"])
def test_what_is_sent_in_clear_to_this_machine_reaches_no_proxy(
    runs: Runs, warm_tap: WarmTap, name: str, host: str
) -> None:
    url = f"http://{host}:{runs.sandbox.port}"
    with RawServer(lambda *ignored: None) as proxy:
        output = warm_tap.run(
            "--config",
            runs.tap.config(base_url=url, max_retry_seconds=0),
            environment={name: proxy.url},
            numbers=SHORT_WAITS,
        )
    assert proxy.heads == []
    assert output.code in (0, 4), output.log


@pytest.mark.parametrize("user", ["tap", "b\u00f6b", "\u0431\u043e\u0431"])
def test_a_proxy_gets_its_credentials_and_not_the_token(
    tmp_path: Path, warm_tap: WarmTap, user: str
) -> None:
    def serve(connection: socket.socket, request: bytes, ended: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n")

    with RawServer(serve) as proxy:
        address = f"http://{quote(user)}:{quote(PASSWORD, safe='')}@127.0.0.1:{proxy.port}"
        output = run_against(
            "https://intercom.example", tmp_path, warm_tap, environment={"HTTPS_PROXY": address}
        )
    assert output.code == 4, output.log
    assert "407" in output.last_log_line
    assert "check the proxy, and its user and password" in output.last_log_line
    assert_hidden(output, user, PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""))
    (head,) = proxy.heads
    encoded = next(line for line in head.split(b"\r\n") if line.startswith(b"Proxy-Auth"))
    charset = "latin-1" if user != "\u0431\u043e\u0431" else "utf-8"
    assert b64decode(encoded.rpartition(b" ")[2]) == f"{user}:{PASSWORD}".encode(charset)
    assert b"Bearer" not in head


@pytest.mark.parametrize(
    "address",
    [
        "http://us3r:pr0xyPASS@proxy.example:80b0",
        "http://us3r:pr0xy#PASS@proxy.example:8080",
        "http://us3r:12#PASS@proxy.example:8080",
        "http://us3r:12/PASS@proxy.example:8080",
        "http://us3r:12?PASS@proxy.example:8080",
        "http://us3r:12\\PASS@proxy.example:8080",
        "us3r:pr0xyPASS@proxy.example:99999",
        "ftp://us3r:pr0xyPASS@proxy.example:8080",
        "http://us3r:pr0xyPASS@",
        "http://us3r:pr0xyPASS@[::1",
        "pr0xyPASS://us3r",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_value(
    tmp_path: Path, warm_tap: WarmTap, address: str, name: str
) -> None:
    output = run_against(
        "https://intercom.example", tmp_path, warm_tap, environment={name: address}
    )
    assert output.code == 2, output.log
    assert f"CRITICAL {name}: the value is not the URL of a proxy" in output.last_log_line
    assert_hidden(output, "us3r", "pr0xy", "PASS", "80b0", "proxy.example")


def test_a_password_that_something_else_says_is_hidden(runs: Runs, warm_tap: WarmTap) -> None:
    message = f"Who is {PASSWORD} or {quote(PASSWORD, safe='')}?"
    runs.sandbox.faults.add("status", path="^/me$", status=401, message=message)
    address = f"http://user:{quote(PASSWORD, safe='')}@proxy.example:1"
    output = warm_tap.run("--config", runs.tap.config(), environment={"all_proxy": address})
    assert "Who is *** or ***?" in output.last_log_line


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_cannot_be_read_are_named(
    tmp_path: Path, warm_tap: WarmTap, name: str
) -> None:
    environment = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", name: "/no/such.pem"}
    output = run_against("https://intercom.example", tmp_path, warm_tap, environment=environment)
    assert output.code == 2, output.log
    assert "CRITICAL /no/such.pem: " in output.last_log_line
    assert name in output.last_log_line


def assert_hidden(output: Output, *secrets: str) -> None:
    for secret in secrets:
        assert secret not in output.log
        assert secret.encode() not in output.stdout
