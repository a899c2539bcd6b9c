"""SIGTERM and SIGINT end a run in good order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tap_intercom.errors import Stopped

Uninterrupted = Callable[[], AbstractContextManager[None]]
SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
def stopping() -> Iterator[Uninterrupted]:
    """Raise Stopped on SIGTERM and SIGINT, but not while a message is written.

    Yields a function that makes such a context. A second signal ends the process immediately.
    """
    depth = 0
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(128 + number)
        if depth == 0:
            raise Stopped(number)

    @contextmanager
    def uninterrupted() -> Iterator[None]:
        nonlocal depth
        depth += 1
        try:
            yield
        finally:
            depth -= 1
        if depth == 0 and received:
            raise Stopped(received[0])

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield uninterrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
