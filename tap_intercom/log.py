"""The log: lines on stderr, without secrets, for people or for programs."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime, timezone

LOGGER = logging.getLogger("tap_intercom")
# Numbers for programs; a terminal shows them as bars and a table instead.
METRICS = logging.getLogger("tap_intercom.metrics")
# Libraries whose warnings join ours, so that every line has the same form.
LIBRARIES = ("urllib3", "py.warnings")
STYLES = ("text", "json")
LEVEL_VARIABLES = ("TAP_INTERCOM_LOGLEVEL", "LOGLEVEL")

_secrets: set[str] = set()


def hide(*secrets: str | None) -> None:
    """Show *** for these texts in every line of the log from now on."""
    for secret in secrets:
        if secret:
            _secrets.update((secret, json.dumps(secret)[1:-1]))


def set_up(style: str = "text") -> None:
    """Log to stderr in one of STYLES, from the level that LEVEL_VARIABLES name in the environment.

    A level that is none is told, and INFO stands for it.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if style == "json" else _Text())
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
    METRICS.setLevel(logging.WARNING if is_watched() else logging.NOTSET)
    if not known:
        LOGGER.warning("%s: %r is no level; INFO is taken", variable, level)


def is_watched() -> bool:
    """Whether a person reads the log as it comes: as text, on a terminal that can redraw lines."""
    return (
        sys.stderr is not None
        and sys.stderr.isatty()
        and os.environ.get("TERM") != "dumb"
        and LOGGER.isEnabledFor(logging.INFO)
        and any(isinstance(handler.formatter, _Text) for handler in LOGGER.handlers)
    )


class _Text(logging.Formatter):
    """One line for each message, without secrets, wherever it may have picked one up."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return " ".join(super().formatMessage(record).splitlines())

    def format(self, record: logging.LogRecord) -> str:
        return _without_secrets(super().format(record))


class _Json(logging.Formatter):
    """A JSON object on a line: time, level, message, and what `extra={"fields": {…}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        instant = datetime.fromtimestamp(record.created, timezone.utc)
        document = {
            "time": instant.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return _without_secrets(json.dumps(document))


def _without_secrets(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text
