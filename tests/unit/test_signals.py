"""SIGTERM and SIGINT: a run ends in good order, and never in the middle of a message."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from threading import Event

import pytest

from tap_intercom.errors import Stopped
from tap_intercom.signals import SIGNALS, start_thread, stopping


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_the_run(number: signal.Signals, exit_code: int) -> None:
    with pytest.raises(Stopped) as stopped, stopping():
        signal.raise_signal(number)
    assert stopped.value.exit_code == exit_code


def test_a_signal_waits_for_the_outermost_message() -> None:
    done = []

    def write() -> None:
        with stopping() as uninterrupted:
            with uninterrupted():
                with uninterrupted():
                    signal.raise_signal(signal.SIGTERM)
                    done.append("inner")
                done.append("outer")
            done.append("after")

    with pytest.raises(Stopped):
        write()
    assert done == ["inner", "outer"]


def test_a_reader_that_ends_stops_the_run_while_it_waits() -> None:
    reader, writer = os.pipe()
    with pytest.raises(Stopped) as stopped, stopping(writer):
        wait_after_closing(reader)
    assert stopped.value.exit_code == 141
    os.close(writer)


def test_a_signal_after_the_end_of_the_reader_is_the_first_one() -> None:
    """An export job is still cancelled."""
    reader, writer = os.pipe()
    with stopping(writer):
        with pytest.raises(Stopped):
            wait_after_closing(reader)
        signal.raise_signal(signal.SIGTERM)
    os.close(writer)


def wait_after_closing(reader: int) -> None:
    os.close(reader)
    Event().wait(60)


def test_an_error_while_a_message_is_written_is_not_hidden() -> None:
    def write() -> None:
        with stopping() as uninterrupted, uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            raise KeyError("the error")

    with pytest.raises(KeyError):
        write()


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stopping():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = """
import signal
from tap_intercom.signals import stopping
with stopping() as uninterrupted, uninterrupted():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    print("still there")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "", "")


def test_a_signal_that_another_thread_takes_ends_the_wait_of_the_main_thread() -> None:
    """Like one that comes just before the wait: Python notes it, and nothing wakes the thread."""
    waits: list[bool] = []

    def wait() -> None:
        start_thread(lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
        waits.append(Event().wait(20))

    with pytest.raises(Stopped), stopping():
        wait()
    assert waits == []


def test_a_handler_that_is_set_meanwhile_is_called_during_a_wait() -> None:
    called: list[int] = []
    reader, writer = os.pipe()

    def end_the_wait(number: int, frame: object) -> None:
        called.append(number)
        os.close(writer)

    with stopping():
        before = signal.signal(signal.SIGINT, end_the_wait)
        start_thread(lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT))
        poller = select.poll()
        poller.register(reader)
        assert poller.poll(20_000)
        signal.signal(signal.SIGINT, before)
    os.close(reader)
    assert called == [signal.SIGINT]


def test_nothing_is_left_behind() -> None:
    threads = threading.active_count()
    descriptors = len(os.listdir("/proc/self/fd"))
    reader, writer = os.pipe()
    with pytest.raises(Stopped), stopping(writer):
        signal.raise_signal(signal.SIGTERM)
    os.close(reader)
    os.close(writer)
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert signal.set_wakeup_fd(-1) == -1
