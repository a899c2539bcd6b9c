"""The command line: arguments, files, signals, exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tap_intercom import __version__
from tap_intercom.errors import ConfigError, Stopped, TapError

if TYPE_CHECKING:
    from tap_intercom.settings import Settings

LOGGER = logging.getLogger("tap_intercom")

BUG_EXIT_CODE = 1
STDOUT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and never raises for what a user can cause."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    secrets = _set_up_logging()
    try:
        if arguments[:1] == ["sandbox"]:
            return _sandbox(arguments[1:])
        options = _parser().parse_args(arguments)
        if options.about:
            return _about(options.format)
        _check_stdout()
        with _signals() as uninterrupted:
            return _run(options, secrets, uninterrupted)
    except Stopped as stopped:
        LOGGER.warning("stopped by a signal; the next run goes on from the last state")
        return stopped.exit_code
    except TapError as error:
        LOGGER.critical("%s", error)
        return error.exit_code
    except Exception:
        LOGGER.critical("a bug in tap-intercom; please report it", exc_info=True)
        return BUG_EXIT_CODE


def run() -> NoReturn:
    """The console command. It does not wait for threads whose requests nobody needs any more."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None: it was closed when the process began
            stream.flush()
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap-intercom",
        description="Extract a company's Intercom data as Singer messages.",
        epilog="tap-intercom sandbox starts a local Intercom with sample data; see its --help.",
    )
    parser.add_argument("--version", action="version", version=f"tap-intercom {__version__}")
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        metavar="FILE",
        help="settings, a JSON file or ENV for variables TAP_INTERCOM_*; a later one wins",
    )
    parser.add_argument("-d", "--discover", action="store_true", help="write a catalog to stdout")
    parser.add_argument("--catalog", metavar="FILE", help="streams and fields to read")
    parser.add_argument("-p", "--properties", metavar="FILE", help="the same, by its old name")
    parser.add_argument(
        "-s", "--state", metavar="FILE", help="where the last run ended; {} at first"
    )
    parser.add_argument(
        "--about",
        action="store_true",
        help="write what the tap offers: settings, streams, exit codes",
    )
    parser.add_argument(
        "--format", choices=("text", "json", "markdown"), default="text", help="of --about"
    )
    return parser


def _about(style: str) -> int:
    from tap_intercom.about import about

    _print(about(style))
    return 0


def _run(options: argparse.Namespace, secrets: list[str], uninterrupted: Any) -> int:
    if not options.config:
        raise ConfigError("config: missing; give --config FILE or --config ENV")
    if options.catalog and options.properties:
        raise ConfigError("--catalog and --properties are the same: give one of them")
    from tap_intercom import settings as settings_module
    from tap_intercom.streams import STREAMS

    settings = settings_module.load(
        options.config, os.environ, now=time.time(), stream_names=list(STREAMS)
    )
    secrets += [text for text in (settings.access_token, settings.client_secret) if text]
    if options.discover:
        return _discover(settings)
    return _sync(settings, options, uninterrupted)


def _discover(settings: Settings) -> int:
    from tap_intercom.catalog import discover
    from tap_intercom.client import Client

    client = Client(settings)
    client.open_workspace()
    _print(json.dumps(discover(client, settings), indent=2))
    return 0


def _sync(settings: Settings, options: argparse.Namespace, uninterrupted: Any) -> int:
    from tap_intercom.client import Client
    from tap_intercom.messages import Messages
    from tap_intercom.state import State, read_state
    from tap_intercom.sync import Sync

    _share_memory_among_threads()
    path = options.catalog or options.properties
    catalog = None if path is None else _read_json("catalog", path)
    state = State({}) if options.state is None else read_state(_read_json("state", options.state))
    return Sync(Client(settings), settings, state, Messages(STDOUT), uninterrupted).run(catalog)


def _print(text: str) -> None:
    """Write a text to stdout at once, so that a reader that has gone is noticed here."""
    from tap_intercom.messages import write

    write(STDOUT, text.encode() + b"\n")


def _read_json(what: str, path: str) -> Any:
    """A file given on the command line. Raises ConfigError that names it and its fault."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what}: {path} is not UTF-8 (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        hint = "; for a first run write {} into it" if what == "state" else ""
        raise ConfigError(f"{what}: {path} cannot be read: {reason}{hint}") from None
    if not text.strip():
        hint = "write {} into it for a first run" if what == "state" else "make one with --discover"
        raise ConfigError(f"{what}: {path} is empty; {hint}")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{what}: {path} is not JSON: {error.msg} at {place}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{what}: {path} is not JSON that can be read") from None


def _sandbox(arguments: list[str]) -> int:
    from tap_intercom.sandbox import command

    parser = argparse.ArgumentParser(prog="tap-intercom sandbox", description=command.__doc__)
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def _share_memory_among_threads() -> None:
    """Give threads one place to allocate from: one for each keeps what it freed, a third more.

    Source: mallopt(3), M_ARENA_MAX. Where the C library has no such thing, nothing is lost.
    """
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, 1)


def _check_stdout() -> None:
    """Refuse a closed stdout: the next file that is opened would take its place."""
    try:
        os.fstat(STDOUT)
    except OSError:
        raise ConfigError("stdout is closed, and messages go there") from None


@contextmanager
def _signals() -> Iterator[Any]:
    """Raise Stopped on SIGTERM and SIGINT, but not while a message is written.

    Yields what makes such a context. A second signal ends the process at once.
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

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield uninterrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Redacted(logging.Formatter):
    """One line for each message, without secrets, wherever it may have picked one up."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__("%(levelname)s %(message)s")
        self._secrets = secrets

    def formatMessage(self, record: logging.LogRecord) -> str:
        return " ".join(super().formatMessage(record).splitlines())

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _set_up_logging() -> list[str]:
    """Log to stderr, level by LOGLEVEL; returns the list that secrets to hide are put in."""
    secrets: list[str] = []
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacted(secrets))
    level = os.environ.get("TAP_INTERCOM_LOGLEVEL") or os.environ.get("LOGLEVEL") or "INFO"
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    known = isinstance(logging.getLevelName(level.upper()), int)
    LOGGER.setLevel(level.upper() if known else "INFO")
    return secrets
