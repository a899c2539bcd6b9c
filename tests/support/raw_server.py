"""A server that sends bytes as a test says, for what no HTTP library would send."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

Serve = Callable[[socket.socket, bytes, threading.Event], object]
READ_BYTES = 65_536


class RawServer:
    """As a context manager, serves each connection on 127.0.0.1 in a thread.

    serve(connection, request, ended) answers each request; ended is set when the test ends. heads
    are the requests that came, without their bodies.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._ended = threading.Event()
        self.heads: list[bytes] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> RawServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        for each in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ended.is_set():
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while request := connection.recv(READ_BYTES):
                self.heads.append(request.partition(b"\r\n\r\n")[0])
                self._serve(connection, request, self._ended)


def trickle(connection: socket.socket, data: bytes, ended: threading.Event) -> None:
    """Send data again and again, in pieces that come faster than a timeout of a second."""
    while not ended.wait(0.05):
        connection.sendall(data)
