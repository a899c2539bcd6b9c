"""The process behind `warm_tap`: it imports the tap, and forks for each run that it is asked for.

A message on its socket holds the run as JSON, and three descriptors: the run's stdout, its stderr,
and where its process id is told, and later its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
from typing import Any, NoReturn

STREAMS = ("reading.search", "reading.scroll", "streams.companies")
MODULES = (
    *("cli", "settings", "state", "catalog", "discovery", "intercom.client", "messages", "sync"),
    "commands.check",
    *STREAMS,
)
LONGEST_REQUEST_BYTES = 65_536


def serve(control: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for name in MODULES:
        importlib.import_module(f"tap_intercom.{name}")
    gc.collect()
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(control, LONGEST_REQUEST_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _watch(json.loads(message), *fds)
        for descriptor in fds:
            os.close(descriptor)


def _watch(request: dict[str, Any], stdout: int, log: int, report: int) -> NoReturn:
    """Start the run, and tell its process id, and its exit code when it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(report)
        _run(request, stdout, log)
    os.close(stdout)
    os.write(report, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _run(request: dict[str, Any], stdout: int, log: int) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(stdout, 1)
    os.dup2(log, 2)
    os.close(stdout)
    os.close(log)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
    for place, value in request["numbers"].items():
        module, _, constant = place.rpartition(".")
        holder = importlib.import_module(f"tap_intercom.{module}")
        # A constant that is there no more would make the tests run with the full numbers.
        assert hasattr(holder, constant), f"{place} is no constant"
        setattr(holder, constant, value)
    sys.argv = ["tap-intercom", *request["arguments"]]
    try:
        from tap_intercom.cli import run

        run()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(99)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
