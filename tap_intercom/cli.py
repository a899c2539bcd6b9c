"""The command line: arguments, files, signals, exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from tap_intercom import DISTRIBUTION, __version__, log
from tap_intercom.descriptors import patient
from tap_intercom.errors import ConfigError, Stopped, TapError, TargetGoneError
from tap_intercom.files import read_catalog, read_json
from tap_intercom.signals import Uninterrupted, stopping

if TYPE_CHECKING:
    from tap_intercom.settings import Settings

LOGGER = logging.getLogger("tap_intercom")


class Command(NamedTuple):
    """A subcommand: a module with `add_arguments(parser)` and `run(options)`."""

    module: str
    summary: str


COMMANDS = {
    "check": Command(
        "tap_intercom.commands.check", "show what the token can read, and what a run costs"
    ),
    "erase": Command(
        "tap_intercom.commands.erase", "print SQL that removes a person from the tables"
    ),
    "login": Command("tap_intercom.commands.login", "get an access token through OAuth"),
    "run": Command("tap_intercom.commands.run", "run the tap and a target, and save the state"),
    "sandbox": Command("intercom_sandbox.command", "serve a local Intercom with sample data"),
    "select": Command("tap_intercom.commands.select", "select streams and fields in a catalog"),
}
BUG_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130
GARBAGE_THRESHOLD = 200_000
M_ARENA_MAX = -8
# Most pages need less. A thread that is interrupted keeps its page in memory meanwhile.
SWITCH_SECONDS = 0.05
STDOUT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; never raise for what a user can cause."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    log.set_up(_log_style(arguments))
    try:
        if arguments and arguments[0] in COMMANDS:
            return _command(arguments[0], arguments[1:])
        options = _parser().parse_args(arguments)
        if options.about:
            return _about(options.format)
        _check_stdout()
        if options.test:
            return _test(options)
        with stopping(None if options.discover else STDOUT) as uninterrupted:
            return _run(options, uninterrupted)
    except Stopped as stopped:
        if stopped.exit_code == TargetGoneError.exit_code:
            LOGGER.critical(
                "stdout: nobody reads it any more; the target has ended", extra=log.LAST_LINE
            )
            return stopped.exit_code
        LOGGER.warning(
            "stopped by a signal; the next run continues from the last state", extra=log.LAST_LINE
        )
        return stopped.exit_code
    except TapError as error:
        LOGGER.critical("%s", error, extra=log.LAST_LINE)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    except Exception:
        LOGGER.critical(
            "a bug in tap-intercom; please report it", exc_info=True, extra=log.LAST_LINE
        )
        return BUG_EXIT_CODE


def run() -> NoReturn:
    """Run the console command without waiting for threads whose requests are no longer needed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:  # None: it was closed when the process began
            setattr(sys, name, patient(stream))
    code = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):  # its reader has ended
                stream.flush()
    os._exit(code)


def _command(name: str, arguments: list[str]) -> int:
    module = import_module(COMMANDS[name].module)
    parser = argparse.ArgumentParser(
        prog=f"tap-intercom {name}", description=(module.__doc__ or "").split("\n\n")[0]
    )
    module.add_arguments(parser)
    _add_log_format(parser)
    code: int = module.run(parser.parse_args(arguments))
    return code


def _log_style(arguments: Sequence[str]) -> str:
    """Return the log style before anything is logged; a wrong style is refused later."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    _add_log_format(parser)
    try:
        style: str = parser.parse_known_args(arguments)[0].log_format
    except argparse.ArgumentError:
        return log.STYLES[0]
    return style


def _add_log_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format", choices=log.STYLES, default="text", help="log format on stderr"
    )


def _command_lines() -> list[str]:
    return [f"  {name:<9}{command.summary}" for name, command in COMMANDS.items()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap-intercom",
        description="Extract a company's Intercom data as Singer messages.",
        epilog="\n".join(["commands, each with its own --help:", *_command_lines()]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{DISTRIBUTION} {__version__}")
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        metavar="FILE",
        help="JSON file with settings, or ENV for variables TAP_INTERCOM_*; may be repeated, the "
        "last one wins",
    )
    parser.add_argument("-d", "--discover", action="store_true", help="write a catalog to stdout")
    parser.add_argument(
        "--catalog",
        metavar="FILE",
        help="catalog file: streams and fields to read; with --discover, the selection to keep",
    )
    parser.add_argument("-p", "--properties", metavar="FILE", help="deprecated alias of --catalog")
    parser.add_argument(
        "-s",
        "--state",
        metavar="FILE",
        help="state file: where the last run ended; it contains {} at first",
    )
    parser.add_argument(
        "--test",
        action="store_true",
        help="show which streams the token can read, like the command check",
    )
    parser.add_argument(
        "--about",
        action="store_true",
        help="show all settings, streams and exit codes",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "markdown"),
        default="text",
        help="output format of --about and --test",
    )
    # For the command `run`, which has the terminal.
    parser.add_argument("--progress-pipe", type=int, help=argparse.SUPPRESS)
    _add_log_format(parser)
    return parser


def _about(style: str) -> int:
    from tap_intercom.commands.about import about

    _print(about(style))
    return 0


def _test(options: argparse.Namespace) -> int:
    from tap_intercom.commands import check

    if options.format not in check.FORMATS:
        raise ConfigError(f"--test: --format must be one of {', '.join(check.FORMATS)}")
    return check.show(options)


def _run(options: argparse.Namespace, uninterrupted: Uninterrupted) -> int:
    if not options.config:
        raise ConfigError("config: missing; give --config FILE or --config ENV")
    from tap_intercom import settings as settings_module
    from tap_intercom.streams import STREAMS

    settings = settings_module.load(
        options.config, os.environ, now=time.time(), stream_names=list(STREAMS)
    )
    log.hide(*settings.secrets)
    if options.discover:
        return _discover(settings, read_catalog(options.catalog, options.properties))
    return _sync(settings, options, uninterrupted)


def _discover(settings: Settings, earlier: Any) -> int:
    from tap_intercom.discovery import discover
    from tap_intercom.intercom.client import Client

    client = Client(settings)
    client.open_workspace()
    catalog = discover(client, settings)
    if earlier is not None:
        from tap_intercom.commands.discover import keep_selection

        keep_selection(catalog, earlier).log()
    _print(json.dumps(catalog, indent=2))
    return 0


def _sync(settings: Settings, options: argparse.Namespace, uninterrupted: Uninterrupted) -> int:
    from tap_intercom.intercom.client import Client
    from tap_intercom.messages import Messages
    from tap_intercom.state import State, read_state
    from tap_intercom.sync import Sync

    _check_state(options.state)
    _suit_memory_to_pages()
    catalog = read_catalog(options.catalog, options.properties)
    state = State({}) if options.state is None else read_state(read_json("state", options.state))
    if options.state is not None and settings.known_ids_file is None:
        settings = replace(settings, known_ids_file=f"{options.state}.ids")
    if options.progress_pipe is not None:
        log.hide_metrics()
    sync = Sync(
        Client(settings), settings, state, Messages(STDOUT), uninterrupted, options.progress_pipe
    )
    return sync.run(catalog)


def _check_state(state: str | None) -> None:
    """Refuse a URL: this command only reads its state, and its known ids have to be saved."""
    from tap_intercom.file_systems import is_url, without_secrets

    if state is not None and is_url(state):
        raise ConfigError(
            f"--state: {without_secrets(state)} is a URL, which only tap-intercom run takes, "
            "because it saves the state too"
        )


def _print(text: str) -> None:
    """Write text to stdout immediately, to detect a closed reader here."""
    from tap_intercom.messages import write

    write(STDOUT, text.encode() + b"\n")


def _suit_memory_to_pages() -> None:
    """Configure memory for a run: many objects that come and go one page at a time.

    Reference counts free the pages, so the collector of cycles would search them for nothing, in a
    sixth of the time. Threads allocate from one arena: an arena for each keeps what it freed, a
    third of all. Source: mallopt(3); other C libraries have no such option.
    """
    import ctypes
    import gc

    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
    sys.setswitchinterval(SWITCH_SECONDS)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _check_stdout() -> None:
    """Refuse a closed stdout: the next file to be opened would take its place."""
    try:
        os.fstat(STDOUT)
    except OSError:
        raise ConfigError("stdout is closed, but messages are written to it") from None
