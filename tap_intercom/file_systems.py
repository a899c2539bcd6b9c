"""Stores at a URL, such as s3://bucket/folder, through fsspec."""

from __future__ import annotations

import re
from typing import Any

from tap_intercom import log
from tap_intercom.errors import ConfigError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query, and hide these in every later log line."""
    match = _URL.match(url)
    if match is None:
        return url
    scheme, rest = match.groups()
    place, _, query = rest.partition("?")
    # A password may contain slashes, and a path an @.
    user, at, after = place.rpartition("@")
    if at and ":" in user:
        place = f"***@{after}"
        password = user.partition(":")[2]
        # A store may quote the part up to a slash.
        log.hide_found(password, *password.split("/"))
    log.hide_found(*(each.partition("=")[2] for each in query.split("&")))
    return f"{scheme}://{place}"


def open_file_system(what: str, url: str, extra: str, **how: Any) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it. Raises ConfigError.

    what: the flag or setting that has the URL. extra: what installs fsspec. how: for fsspec.
    """
    name = without_secrets(url)
    scheme = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import get_filesystem_class, known_implementations
    except ImportError:
        raise ConfigError(
            f"{what}: {name} is a URL, which needs the extra `{extra}`: install it with "
            "pip install fsspec"
        ) from None
    if "::" in url:
        raise ConfigError(f"{what}: {name} joins several URLs with ::, which is not supported")
    try:
        get_filesystem_class(scheme)
    except ValueError:
        raise ConfigError(
            f"{what}: {name}: {scheme} is not a scheme of fsspec, such as s3, gs or az"
        ) from None
    except ImportError as error:
        package = known_implementations[scheme]["class"].partition(".")[0]
        missing = f"{package}: pip install {package}" if package != "fsspec" else str(error)
        raise ConfigError(f"{what}: {name} needs {missing}") from None
    try:
        files, path = url_to_fs(url, **how)
    except Exception as error:
        raise ConfigError(f"{what}: {name} cannot be opened: {reason_of(error)}") from error
    return files, str(path)


def reason_of(error: Exception) -> str:
    """Return the first line of an error, with the second one if that explains it."""
    text = str(error.strerror or error) if isinstance(error, OSError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return first.rstrip(".")
