"""JSON files named on the command line: read whole and replaced atomically."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tap_intercom.errors import ConfigError

# How to make a file that does not exist.
FIRST_FILES = {
    "state": "; for a first run, write {} into it",
    "catalog": "; create one with --discover",
}
_SPACE = re.compile(r"[ \t\r\n]*")


def read_json(what: str, path: str | Path) -> Any:
    """Return the content of a file; `what` is its role: catalog or state.

    Raises ConfigError that names the file and its fault.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = FIRST_FILES.get(what, "")
        raise ConfigError(f"{what}: {why_unreadable(path, error)}{hint}") from None
    return parse_json(what, path, content)


def parse_json(what: str, path: str | Path, content: bytes) -> Any:
    """Do the same with the content of a file that was read elsewhere; path: what to call it."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what}: {path} is not UTF-8 (byte {error.start})") from None
    if not text.strip():
        hint = (
            "write {} into it for a first run" if what == "state" else "create one with --discover"
        )
        raise ConfigError(f"{what}: {path} is empty; {hint}")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{what}: {path} is not JSON: {error.msg} at {place}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{what}: {path} is not readable JSON") from None


def why_unreadable(path: str | Path, error: OSError | ValueError) -> str:
    """Return a sentence about a file that cannot be read, with what to give instead of a folder."""
    if not str(path):
        return "the path is empty"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder; give the path of a file, such as one in that folder"
    reason = error.strerror if isinstance(error, OSError) else "not a path"
    return f"{path} cannot be read: {reason}"


def documents_in(text: str) -> Iterator[Any]:
    """Yield the JSON documents in a text. Raises ValueError if it holds anything else."""
    decode = json.JSONDecoder().raw_decode
    position = _after_space(text, 0)
    while position < len(text):
        document, end = decode(text, position)
        yield document
        position = _after_space(text, end)


def read_catalog(catalog: str | None, properties: str | None) -> Any:
    """Return the content of the file in one of the two flags, or None without a flag.

    An empty path is a fault and no missing flag: a run without a catalog reads other fields.
    """
    paths = [path for path in (catalog, properties) if path is not None]
    if len(paths) > 1:
        raise ConfigError("--properties is a deprecated alias of --catalog; give only one of them")
    return read_json("catalog", paths[0]) if paths else None


def replace_file(what: str, path: Path, content: bytes, mode: int | None = None) -> None:
    """Replace a file atomically: a reader, or a crash, finds the old or the new content.

    Raises ConfigError and then leaves the file unchanged.

    mode: the new permissions; None keeps the present ones, or the default for a new file.
    """
    try:
        path = Path(os.path.realpath(path))  # keep a link as a link
        if mode is None:
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~umask()
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                os.chmod(temporary, mode)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except IsADirectoryError as error:
        raise ConfigError(f"{what}: {path} cannot be written, because it is a folder") from error
    except OSError as error:
        raise ConfigError(f"{what}: {path} cannot be written: {error.strerror}") from error


def umask() -> int:
    """Return the permissions that new files do not get; reading them requires setting them."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def with_member(text: str, name: str, value: Any) -> str:
    """Set one member in the JSON text of an object, and keep every other character.

    A new member comes first. Raises ValueError if the text is not a JSON object.
    """
    if not isinstance(json.loads(text.removeprefix("\ufeff")), dict):
        raise ValueError("not a JSON object")
    decode = json.JSONDecoder().raw_decode
    first = _after_space(text, text.index("{") + 1)
    position = first
    while text[position] != "}":
        key, end = decode(text, position)
        start = _after_space(text, _after_space(text, end) + 1)
        _, end = decode(text, start)
        if key == name:
            return text[:start] + json.dumps(value) + text[end:]
        position = _after_space(text, end)
        if text[position] == ",":
            position = _after_space(text, position + 1)
    member = f"{json.dumps(name)}: {json.dumps(value)}"
    if text[first] == "}":
        return text[:first] + member + text[first:]
    space = text[text.index("{") + 1 : first]
    return f"{text[:first]}{member},{space or ' '}{text[first:]}"


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
