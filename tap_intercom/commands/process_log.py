"""The log lines of the tap and the target in one log, each with its time and its process."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tap_intercom import log
from tap_intercom.commands.target_secrets import without_secrets, without_secrets_in
from tap_intercom.descriptors import whole_lines

# A process may write anything, even without an end of line.
LONGEST_LINE_BYTES = 1_048_576
LONGEST_ERROR = 300
# The part of a line that names its level, as loggers write it.
HEAD = 120

_LEVEL = re.compile(r"\b(DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_ERRORS = (None, "ERROR", "CRITICAL")
_MESSAGES = ("message", "msg", "event")


@dataclass(frozen=True)
class Line:
    """One line of a process.

    text: the line without its own time if it is in the form of this log.
    level: the level that it names, or None.
    fields: what it says if it is a JSON object.
    """

    time: str
    level: str | None
    text: str
    fields: Mapping[str, Any]

    @property
    def message(self) -> str:
        found = (self.fields.get(name) for name in _MESSAGES)
        return next((each for each in found if isinstance(each, str)), self.text)

    def in_style(self, process: str, style: str) -> bytes:
        """Return the line in a log style, with the name of the process that wrote it."""
        if style == "text":
            return f"{self.time} {process}: {log.printable(self.text)}\n".encode()
        own_time = self.fields.get("time")
        document = {
            **self.fields,
            "time": own_time if isinstance(own_time, str) else self.time,
            "level": self.level or "INFO",
            "process": process,
            "message": self.message,
        }
        return json.dumps(document).replace("\x7f", "\\u007f").encode() + b"\n"


class ProcessLog:
    """Passes on the log of one process, line by line and in order.

    write: writes whole lines to the common log.
    """

    def __init__(self, process: str, style: str, write: Callable[[bytes], object]) -> None:
        self._process = process
        self._style = style
        self._write = write
        self._last = ""
        self._last_error = ""

    @property
    def last_error(self) -> str:
        """The last line that may say why the process failed, or its last line, cut if it is long.

        A line may say so if it names no level, as the last line of a traceback, or names an error.
        Indented lines are the places of a traceback.
        """
        text = log.printable(self._last_error or self._last)
        return text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 1]}…"

    def pass_on(self, parts: Iterable[bytes]) -> None:
        for lines in whole_lines(parts, LONGEST_LINE_BYTES):
            for data in lines.removesuffix(b"\n").split(b"\n"):
                if data.strip():
                    self._pass_on_line(data)

    def _pass_on_line(self, data: bytes) -> None:
        line = parsed(data, time.time())
        self._write(line.in_style(self._process, self._style))
        self._last = line.message
        if line.level in _ERRORS and not line.text[:1].isspace():
            self._last_error = line.message


def parsed(data: bytes, now: float) -> Line:
    """Read a line of a process. now: its time if it names none (Unix seconds)."""
    text = data.decode(errors="replace").rstrip()
    fields = without_secrets_in(_fields(text))
    own_time, text = log.split_time(without_secrets(text))
    said = fields.get("level") if fields else text[:HEAD]
    found = _LEVEL.search(said.upper() if fields else said) if isinstance(said, str) else None
    level = None if found is None else _LEVELS.get(found[0], found[0])
    precision = "milliseconds" if fields else "seconds"
    return Line(own_time.strip() or log.time_text(now, precision), level, text, fields)


def _fields(text: str) -> dict[str, Any]:
    """Return the members of a JSON object, or nothing for any other text."""
    if not text.startswith("{"):
        return {}
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(constant)
