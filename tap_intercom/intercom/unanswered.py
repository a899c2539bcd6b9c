"""Why a request got no answer, in one line that says what to check."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import urllib3

from tap_intercom.errors import ConfigError, RetryableError

# Errors of a connection that could not begin.
UNREACHED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)


def unanswered(request: str, error: Exception, base_url: str) -> RetryableError:
    """Return the error for a request without an answer."""
    causes = list(_causes(error))
    cause = _reason(error)
    name_error = next((each for each in causes if isinstance(each, socket.gaierror)), None)
    is_of_proxy = isinstance(error, urllib3.exceptions.ProxyError)
    if name_error is not None and not is_of_proxy:
        cause = (
            f"the name {urlsplit(base_url).hostname} cannot be resolved ({name_error.strerror}); "
            "check the DNS and the network of this machine, and base_url"
        )
    unanswered = RetryableError(f"{request}: {cause}")
    unanswered.cause = cause
    unanswered.is_unreached = any(isinstance(each, UNREACHED) for each in causes)
    return unanswered


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors that led to it, the last one first."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            yield each
            waiting += [each.__context__, each.__cause__, getattr(each, "reason", None), *each.args]


def _reason(error: Exception) -> str:
    """Return what failed in a connection, without the object addresses that urllib3 adds."""
    cause: BaseException = error
    while cause.args and isinstance(cause.args[0], BaseException):
        cause = cause.args[0]
    cause = getattr(cause, "reason", None) or getattr(cause, "original_error", None) or cause
    text = f"{type(cause).__name__}: {str(cause).rsplit('>: ', 1)[-1]}"
    if isinstance(error, urllib3.exceptions.ProxyError):
        return f"{text}; check the proxy, and its user and password, in HTTPS_PROXY"
    if isinstance(cause, urllib3.exceptions.ReadTimeoutError):
        return f"{text} The whole answer did not arrive within request_timeout."
    return text


def tls_error(request: str, error: urllib3.exceptions.SSLError) -> Exception:
    if "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return RetryableError(f"{request}: {_reason(error)}")
    return ConfigError(
        f"{request}: {_reason(error)}. Behind a proxy with its own certificate authority, "
        "set REQUESTS_CA_BUNDLE to its file."
    )
