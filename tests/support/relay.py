"""A server in front of another one, so a test can act at any moment of a request."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

Moment = Literal["came", "halfway", "done"]
"""Nothing of a body was read, half of it was, or the server did everything but has not answered."""
MOMENTS: tuple[Moment, ...] = ("came", "halfway", "done")
TIMEOUT_SECONDS = 60.0
# They are about one connection, and each server has its own.
OF_A_CONNECTION = frozenset({"connection", "transfer-encoding", "keep-alive", "expect"})


class Relay:
    """As a context manager, passes requests on to a server.

    at: called for each request, with its number from 1, at each moment.
    """

    def __init__(self, url: str) -> None:
        self.at: Callable[[int, Moment], object] = lambda number, moment: None
        self._number = 0
        self._lock = threading.Lock()
        relay, there = self, urlsplit(url)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                number = relay.next_number()
                relay.at(number, "came")
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length // 2)
                relay.at(number, "halfway")
                body += self.rfile.read(length - len(body))
                if len(body) < length:
                    self.close_connection = True
                    return
                connection = http.client.HTTPConnection(
                    str(there.hostname), there.port, timeout=TIMEOUT_SECONDS
                )
                try:
                    connection.request(self.command, self.path, body, _passed(self.headers))
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                relay.at(number, "done")
                self.send_response_only(answer.status, answer.reason)
                for name, value in _passed(answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

            def log_message(self, format: str, *values: object) -> None:
                pass

            def handle(self) -> None:
                # Whoever asked may be dead by now.
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def next_number(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def restart(self) -> None:
        """Count from 1 again."""
        with self._lock:
            self._number = 0

    def __enter__(self) -> Relay:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _passed(headers: Message[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in OF_A_CONNECTION}
