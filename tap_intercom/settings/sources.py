"""Where settings come from: JSON files, the environment and `.env`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tap_intercom.errors import ConfigError
from tap_intercom.files import why_unreadable

ENVIRONMENT_PREFIX = "TAP_INTERCOM_"
_DOTENV_LINE = re.compile(
    r"""(?:export\s+)?(?P<name>\w+)\s*=\s*
        (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'](?:.*?\S)??)?)
        \s*(?:(?<!\S)\#.*)?""",
    re.VERBOSE,
)


class Given(NamedTuple):
    """A value, and the file or environment variable that it came from."""

    value: Any
    origin: str


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def from_file(path: str) -> dict[str, Given]:
    return {
        name: Given(value, path)
        for name, value in _read_object(path).items()
        if not _is_blank(value)
    }


def from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    variables = {name: Given(value, f"{name} in .env") for name, value in _read_dotenv()}
    variables.update({name: Given(value, name) for name, value in environment.items()})
    # Runners set variables like TAP_INTERCOM__SELECT for themselves.
    return {
        name[len(ENVIRONMENT_PREFIX) :].lower(): given
        for name, given in variables.items()
        if name.startswith(ENVIRONMENT_PREFIX)
        and not name.startswith(ENVIRONMENT_PREFIX + "_")
        and not _is_blank(given.value)
    }


def _read_text(path: str) -> str:
    try:
        # utf-8-sig: editors on Windows begin a file with a byte order mark.
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise ConfigError(why_unreadable(path, error)) from None


def _read_object(path: str) -> dict[str, Any]:
    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, value in pairs:
            if name in members:
                raise ConfigError(f"{path} contains {name!r} twice")
            members[name] = value
        return members

    text = _read_text(path)
    try:
        parsed = json.loads(text, object_pairs_hook=without_duplicates)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{path} is not JSON: {error.msg} at {place}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not readable JSON") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return parsed


def _read_dotenv() -> Iterator[tuple[str, str]]:
    """Yield this tap's variables from `.env` in the working directory, if it exists."""
    if not Path(".env").is_file():
        return
    for number, line in enumerate(_read_text(".env").splitlines(), start=1):
        if not line.strip().removeprefix("export ").lstrip().startswith(ENVIRONMENT_PREFIX):
            continue
        match = _DOTENV_LINE.fullmatch(line.strip())
        if not match:
            raise ConfigError(f".env is not NAME=value at line {number}")
        yield match["name"], match["double"] or match["single"] or match["bare"] or ""
