"""SIGTERM and SIGINT end a run in good order."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from queue import Empty, SimpleQueue

from tap_intercom.errors import Stopped

Uninterrupted = Callable[[], AbstractContextManager[None]]
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Sent by this process to itself.
WAKE = signal.SIGUSR1
WAKE_SECONDS = 0.1


def start_thread(target: Callable[[], object]) -> threading.Thread:
    """Start a thread that a run does not wait for."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


@contextmanager
def stopping(output: int | None = None) -> Iterator[Uninterrupted]:
    """Raise Stopped on SIGTERM and SIGINT, but not while a message is written.

    Yields a function that makes such a context. A second signal ends the process immediately.

    output: a descriptor. If it is a pipe, Stopped is raised with SIGPIPE when nobody reads it any
        more, even while the run waits.
    """
    depth = 0
    reasons: list[int] = []
    requests: list[int] = []

    def stop(number: int) -> None:
        reasons.append(number)
        if depth == 0 and len(reasons) == 1:
            raise Stopped(number)

    def request(number: int, frame: object) -> None:
        requests.append(number)
        if len(requests) > 1:
            os._exit(128 + number)
        stop(number)

    @contextmanager
    def uninterrupted() -> Iterator[None]:
        nonlocal depth
        depth += 1
        try:
            yield
        finally:
            depth -= 1
        if depth == 0 and reasons:
            raise Stopped(reasons[0])

    before = {number: signal.signal(number, request) for number in SIGNALS}
    waker = _Waker(output, lambda: stop(signal.SIGPIPE))
    try:
        yield uninterrupted
    finally:
        waker.close()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Waker:
    """Interrupts the waits of this thread, the main one, until it has handled each signal.

    Python handles a signal between two steps of the main thread. One that arrives just before a
    wait, or in another thread, does not end the wait (docs.python.org/3/library/signal.html).

    output: a descriptor to watch. unread: called in the main thread when nobody reads it any more.
    """

    def __init__(self, output: int | None, unread: Callable[[], None]) -> None:
        self._output = output
        self._unread = unread
        self._is_unread = False
        self._is_closed = False
        self._thread = threading.get_ident()
        # Its `put` may be interrupted by a signal whose handler calls it too.
        self._awake: SimpleQueue[None] = SimpleQueue()
        self._arrived, self._arrival = os.pipe()
        os.set_blocking(self._arrival, False)
        signal.signal(WAKE, self._handle)
        self._before = signal.set_wakeup_fd(self._arrival, warn_on_full_buffer=False)
        self._watcher = start_thread(self._watch)

    def close(self) -> None:
        signal.signal(WAKE, signal.SIG_IGN)  # it may still come
        signal.set_wakeup_fd(self._before)
        self._is_closed = True
        self._awake.put(None)
        os.close(self._arrival)
        self._watcher.join()
        os.close(self._arrived)

    def _handle(self, number: int, frame: object) -> None:
        self._awake.put(None)
        if self._is_unread:
            self._is_unread = False
            self._unread()

    def _watch(self) -> None:
        poller = select.poll()
        poller.register(self._arrived, select.POLLIN)
        if self._output is not None:
            poller.register(self._output, 0)  # its end is always reported
        while not self._is_closed:
            for descriptor, event in poller.poll():
                if descriptor == self._output:
                    poller.unregister(descriptor)
                    self._is_unread = bool(event & (select.POLLERR | select.POLLHUP))
                    self._wake()
                elif any(number != WAKE for number in os.read(self._arrived, 1024)):
                    self._wake()

    def _wake(self) -> None:
        # What woke the thread before may have come before the signal.
        while not self._awake.empty():
            self._awake.get()
        while not self._is_closed:
            signal.pthread_kill(self._thread, WAKE)
            try:
                return self._awake.get(timeout=WAKE_SECONDS)
            except Empty:
                continue
