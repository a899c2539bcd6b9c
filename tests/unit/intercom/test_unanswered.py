"""Why a request got no answer, in one line that says what to check."""

from __future__ import annotations

import socket

import pytest
import urllib3
from urllib3.exceptions import (
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from tap_intercom.errors import ConfigError
from tap_intercom.intercom.unanswered import tls_error, unanswered

URL = "https://api.intercom.io"
POOL = urllib3.HTTPSConnectionPool("api.intercom.io")


def connection_error(cause: OSError) -> NewConnectionError:
    error = NewConnectionError(POOL, f"Failed to establish a new connection: {cause}")  # type: ignore[arg-type]
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "text", "is_unreached"),
    [
        (
            connection_error(socket.gaierror(-2, "Name or service not known")),
            "the name api.intercom.io cannot be resolved (Name or service not known); check",
            True,
        ),
        (connection_error(ConnectionRefusedError(111, "refused")), "refused", True),
        (
            ProxyError("Unable to connect to proxy", OSError("407 Proxy Authentication Required")),
            "407 Proxy Authentication Required; check the proxy",
            True,
        ),
        (
            ReadTimeoutError(POOL, "/x", "Read timed out."),
            "The whole answer did not arrive within request_timeout.",
            False,
        ),
        (ProtocolError("Connection broken", ConnectionResetError(104, "reset")), "reset", False),
        (MaxRetryError(POOL, "/x", connection_error(OSError("no route"))), "no route", True),
    ],
)
def test_the_cause_is_one_line(error: Exception, text: str, is_unreached: bool) -> None:
    found = unanswered("GET /x", error, URL)
    assert text in str(found)
    assert str(found).startswith("GET /x: ")
    assert "object at 0x" not in str(found)
    assert found.is_unreached == is_unreached


def test_a_certificate_that_is_not_trusted_is_for_the_user_to_fix() -> None:
    error = SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    assert isinstance(tls_error("GET /x", error), ConfigError)
    assert "REQUESTS_CA_BUNDLE" in str(tls_error("GET /x", error))
    assert not isinstance(tls_error("GET /x", SSLError("EOF occurred")), ConfigError)
