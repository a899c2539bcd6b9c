"""The log: lines on stderr without secrets, for people or programs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tap_intercom.descriptors import write_all

LOGGER = logging.getLogger("tap_intercom")
# Numbers for programs; a terminal shows them as bars and a table instead.
METRICS = logging.getLogger("tap_intercom.intercom.metrics")
# Libraries whose warnings join ours, so every line has the same form.
LIBRARIES = ("urllib3", "py.warnings")
STYLES = ("text", "json")
STDERR = 2
LEVEL_VARIABLES = ("TAP_INTERCOM_LOGLEVEL", "LOGLEVEL")
# Where Meltano says which form of lines it reads: the file for the log of a tap that uses its SDK.
SDK_VARIABLE = "SINGER_SDK_LOG_CONFIG"
# Marks the line that says why a process ends. Threads that still wait for answers log nothing more.
LAST_LINE = {"is_last": True}

# Control characters, which a terminal obeys, characters that change the order in which a line is
# shown, and halves of characters, which no file accepts.
_CONTROLS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

# How a text line begins. Scripts that read the log of a Singer tap look for its level at the start.
_ON_TERMINAL = "%(levelname)s %(message)s"
_IN_FILE = "%(levelname)s %(asctime)s %(message)s"
_AMONG_PROCESSES = "%(asctime)s %(levelname)s %(message)s"

_TIME = re.compile(r"((?:[A-Z]+ )?)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ )", re.ASCII)

_secrets: set[str] = set()
# A shorter text would be part of common words, which the log would then hide.
_SHORTEST_FOUND = 4


def hide(*secrets: str | None) -> None:
    """Show *** for these texts in every later line of the log."""
    for secret in secrets:
        if secret:
            _secrets.update((secret, json.dumps(secret)[1:-1]))


def hide_found(*texts: str) -> None:
    """Do the same for texts that were found and may be secrets, but not for very short ones.

    They may be parts of URLs, so the log also hides what an escaped one stands for.
    """
    for text in texts:
        if len(text) >= _SHORTEST_FOUND:
            hide(text, unquote(text))


def printable(text: str) -> str:
    """Return foreign text on one line, with escapes such as \\x1b for control characters."""
    return _CONTROLS.sub(lambda found: _escaped(found[0]), text)


@cache
def _escaped(control: str) -> str:
    return control.encode("unicode_escape").decode()


def time_text(instant: float, precision: str = "seconds") -> str:
    """Return an instant (Unix seconds) as log lines show it: ISO 8601, UTC."""
    time = datetime.fromtimestamp(instant, timezone.utc)
    return time.isoformat(timespec=precision).replace("+00:00", "Z")


def split_time(line: str) -> tuple[str, str]:
    """Split a text line of this log into its time, with the space after it, and the rest."""
    found = _TIME.match(line)
    return (found[2], found[1] + line[found.end() :]) if found else ("", line)


def write(descriptor: int, data: bytes) -> None:
    """Write as much of the data to a log as possible: a log never stops a run."""
    with suppress(OSError):
        write_all(descriptor, data)


def set_up(style: str = "text") -> None:
    """Log to stderr in one of STYLES, at the level in the environment variables LEVEL_VARIABLES.

    Unknown levels are reported; INFO is used.
    """
    if sys.stderr is None:
        _open_stderr()
    # Also drop lines that a bar on a terminal could not write.
    logging.raiseExceptions = False
    threading.excepthook = _log_end_of_thread
    handler = _Handler()
    # A person at a terminal reads each line when it comes; a file needs the time.
    form = _ON_TERMINAL if sys.stderr.isatty() else _IN_FILE
    if style == "json":
        handler.setFormatter(_Json())
    else:
        handler.setFormatter(_OfSdk() if _is_read_by_meltano() else _Text(form))
    for name in ("tap_intercom", *LIBRARIES):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    variable = next((name for name in LEVEL_VARIABLES if os.environ.get(name)), None)
    level = os.environ[variable].strip().upper() if variable else "INFO"
    known = isinstance(logging.getLevelName(level), int)
    LOGGER.setLevel(level if known else logging.INFO)
    METRICS.setLevel(logging.NOTSET)
    if is_watched():
        hide_metrics()
    if not known:
        LOGGER.warning("%s: unknown level %r; INFO is used", variable, level)


def _is_read_by_meltano() -> bool:
    """Whether Meltano reads the log, and takes level and message from lines of its SDK."""
    path = os.environ.get(SDK_VARIABLE)
    try:
        return bool(path) and "StructuredFormatter" in Path(str(path)).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def put_times_first() -> None:
    """Begin each line with its time, as lines of other processes do, also on a terminal."""
    for handler in LOGGER.handlers:
        if isinstance(handler.formatter, _Text):
            handler.setFormatter(_Text(_AMONG_PROCESSES))


def hide_metrics() -> None:
    """Leave out numbers for programs, because a person watches."""
    METRICS.setLevel(logging.WARNING)


def is_watched() -> bool:
    """Whether a person watches the log: it is text, on a terminal that can redraw lines."""
    return (
        sys.stderr is not None
        and sys.stderr.isatty()
        and os.environ.get("TERM") != "dumb"
        and LOGGER.isEnabledFor(logging.INFO)
        and any(isinstance(handler.formatter, _Text) for handler in LOGGER.handlers)
    )


def _open_stderr() -> None:
    """Keep the descriptor of a closed stderr: the next file to be opened would get the log."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    if descriptor != STDERR:
        os.dup2(descriptor, STDERR)
        os.close(descriptor)
    sys.stderr = os.fdopen(STDERR, "w")


def _log_end_of_thread(end: threading.ExceptHookArgs) -> None:
    if end.exc_value is not None:
        LOGGER.critical("a bug in tap-intercom; please report it", exc_info=end.exc_value)


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # not generic in Python 3.10
    """Writes whole lines; a line that cannot be made or written stops nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._has_ended = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._has_ended:
            return
        self._has_ended = hasattr(record, "is_last")
        try:
            line = self.format(record)
        except Exception as error:
            text = f"a log line could not be formatted ({type(error).__name__})"
            line = self.format(
                logging.LogRecord(record.name, logging.ERROR, "", 0, text, None, None)
            )
        try:
            data = f"{line}\n".encode(self.stream.encoding or "utf-8", "backslashreplace")
            write(self.stream.fileno(), data)
        except (OSError, ValueError):  # stderr was closed meanwhile
            return


class _Text(logging.Formatter):
    """One line for each message, without secrets from any source.

    Metrics have no time: programs such as singer-python find them by the start of the line.
    """

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time_text(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:
        is_metric = record.name == METRICS.name
        text = _ON_TERMINAL % vars(record) if is_metric else super().formatMessage(record)
        return " ".join(text.splitlines())

    def format(self, record: logging.LogRecord) -> str:
        lines = without_secrets(super().format(record)).split("\n")
        return "\n".join(printable(line) for line in lines)


class _Json(logging.Formatter):
    """One JSON object per line: time, level, message, and what `extra={"fields": {…}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        # DEL is the only control character that JSON does not escape.
        text = json.dumps(_redacted(self._document(record)), default=str)
        return text.replace("\x7f", "\\u007f")

    def _document(self, record: logging.LogRecord) -> dict[str, Any]:
        document = {
            "time": time_text(record.created, "milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return document


class _OfSdk(_Json):
    """The JSON lines of a tap that uses Meltano's SDK; Meltano shows them with their level."""

    def _document(self, record: logging.LogRecord) -> dict[str, Any]:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return {
            "level": record.levelname.lower(),
            "pid": record.process,
            "logger_name": record.name,
            "ts": record.created,
            "thread_name": record.threadName,
            "app_name": "tap-intercom",
            "message": text,
        }


def _redacted(value: Any) -> Any:
    """Hide secrets in the texts of a document; in its JSON, they could be part of its names."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {name: _redacted(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(each) for each in value]
    return value


def without_secrets(text: str) -> str:
    """Return a text with *** for each secret that `hide` was given."""
    # The longest first: a secret may be part of another.
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
