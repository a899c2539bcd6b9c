"""JSON files that the command line names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tap_intercom.errors import ConfigError


def read_json(what: str, path: str) -> Any:
    """What a file holds; `what` is its role: catalog or state.

    Raises ConfigError that names the file and its fault.
    """
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
