"""SIGTERM and SIGINT end a run in good order."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from tap_intercom.errors import Stopped

Uninterrupted = Callable[[], AbstractContextManager[None]]
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Sent by this process to itself.
UNREAD = signal.SIGUSR1


def start_thread(target: Callable[[], object]) -> threading.Thread:
    """Start a thread that a run does not wait for, and that leaves signals to the main thread.

    A signal taken by this thread would not wake the main thread, which handles it. The thread
    inherits the signals that are blocked here while it starts.
    """
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
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
    signal.signal(UNREAD, lambda number, frame: stop(signal.SIGPIPE))
    if output is not None:
        start_thread(partial(_watch, output, threading.get_ident()))
    try:
        yield uninterrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.signal(UNREAD, signal.SIG_IGN)  # it may still come


def _watch(output: int, thread: int) -> None:
    """Send a signal to a thread when the reader of a pipe has ended."""
    poller = select.poll()
    poller.register(output, 0)  # its end is always reported
    ((_, event),) = poller.poll()
    if event & (select.POLLERR | select.POLLHUP):
        signal.pthread_kill(thread, UNREAD)
