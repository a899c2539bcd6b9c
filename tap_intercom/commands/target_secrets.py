"""Keep secrets out of the log lines of a target, which may quote its own configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tap_intercom import log

MAX_FILE_BYTES = 1_000_000
NO_SECRETS = {"true", "false", "none", "null"}

_NAME = "pass(?:word|wd|phrase|code)?|secret|token|credentials?|api_?key|access_?key|private_?key"
_SECRET_NAME = re.compile(rf"(?:^|[^a-z])(?:{_NAME})(?:$|[^a-z])", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)(?=@)")
_VALUE = r"""([^\s"',;&}]+)"""
# Patterns of lines in lower case: to ignore case takes ten times as long. PWD is not a name
# elsewhere, because as a variable it is the folder.
_ASSIGNED = re.compile(rf"""(?:{_NAME}|pwd)(?:\s*=\s*|["']\s*:\s*)["']?{_VALUE}""")
_BEARER = re.compile(rf"bearer(?<=\bbearer)\s+(?=\S{{16}}){_VALUE}")


def hide_secrets_of(
    command: Sequence[str], sources: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Hide the secrets of a target and of the tap in the log.

    command: the target and its arguments; those that are JSON files may hold secrets.
    sources: the files with the settings of the tap.
    """
    found = [*_in_arguments(command), *_in_document(dict(environment))]
    for path in (*command[1:], *sources):
        found += _in_document(_document(path.rpartition("=")[2]))
    for text in found:
        if text.lower() not in NO_SECRETS:
            log.hide_found(text)


def without_secrets(text: str) -> str:
    """Return a line with *** for secrets that are known, or that their place gives away."""
    text = log.without_secrets(text)
    for pattern in (_PASSWORD_IN_URL, _BEARER, _ASSIGNED):
        text = _hidden(pattern, text)
    return text


def _hidden(pattern: re.Pattern[str], text: str) -> str:
    """Return a text with *** for the group of each match."""
    parts, end = [], 0
    # Only this letter would become two.
    for found in pattern.finditer(text.replace("İ", "i").lower()):
        parts += [text[end : found.start(1)], "***"]
        end = found.end(1)
    return "".join([*parts, text[end:]])


def without_secrets_in(value: Any) -> Any:
    """Do the same with all texts of a document, and hide members that are called secrets."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {
            name: "***"
            if isinstance(each, str) and _SECRET_NAME.search(name)
            else without_secrets_in(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [without_secrets_in(each) for each in value]
    return value


def _in_arguments(command: Sequence[str]) -> Iterator[str]:
    """Yield the values of --password VALUE and --password=VALUE."""
    for argument, following in pairwise([*command, ""]):
        name, equals, value = argument.partition("=")
        if name.startswith("-") and _SECRET_NAME.search(name):
            yield value if equals else following


def _in_document(value: Any, name: str = "") -> Iterator[str]:
    """Yield the texts in a document whose names say that they are secrets, and URL passwords."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _in_document(each, str(key))
    elif isinstance(value, list):
        for each in value:
            yield from _in_document(each, name)
    elif isinstance(value, str):
        if _SECRET_NAME.search(name):
            yield value
        for found in _PASSWORD_IN_URL.finditer(value):
            yield from {found[1], unquote(found[1])}


def _document(path: str) -> Any:
    """Return the content of a small JSON file, or None for anything else."""
    try:
        file = Path(path)
        if not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
            return None
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
