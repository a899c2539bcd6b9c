"""The log: lines on stderr, without secrets."""

from __future__ import annotations

import logging
import os

LOGGER = logging.getLogger("tap_intercom")

_secrets: set[str] = set()


def hide(*secrets: str | None) -> None:
    """Show *** for these texts in every line of the log from now on."""
    _secrets.update(secret for secret in secrets if secret)


class _Redacted(logging.Formatter):
    """One line for each message, without secrets, wherever it may have picked one up."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return " ".join(super().formatMessage(record).splitlines())

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in _secrets:
            text = text.replace(secret, "***")
        return text


def set_up() -> None:
    """Log to stderr; TAP_INTERCOM_LOGLEVEL or LOGLEVEL in the environment sets the level."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacted())
    level = os.environ.get("TAP_INTERCOM_LOGLEVEL") or os.environ.get("LOGLEVEL") or "INFO"
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    known = isinstance(logging.getLevelName(level.upper()), int)
    LOGGER.setLevel(level.upper() if known else "INFO")
