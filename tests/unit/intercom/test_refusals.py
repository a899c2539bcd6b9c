"""What a refusal means: who refused, and whether a retry may help."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3

from tap_intercom.errors import AuthError, ResponseError, RetryableError, TapError
from tap_intercom.intercom.refusals import (
    check_status,
    meaning_of_refused_me,
    other_regions,
    refusal,
    waits_for_a_job,
)
from tap_intercom.settings import Settings

PAGE = b"<html>blocked</html>"


def body_of(code: str, message: str = "no", **more: Any) -> bytes:
    errors = [{"code": code, "message": message}]
    return json.dumps({"type": "error.list", "errors": errors, **more}).encode()


def answer(status: int, **headers: str) -> Any:
    return urllib3.HTTPResponse(
        status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (400, body_of("parameter_invalid"), ResponseError),
        (404, body_of("not_found"), ResponseError),
        (401, body_of("token_unauthorized"), AuthError),
        (402, body_of("api_plan_restricted"), AuthError),
        (403, body_of("forbidden"), AuthError),
        (408, body_of("timeout"), RetryableError),
        (500, body_of("server_error"), RetryableError),
        # Not Intercom's, so it says nothing of permissions or records.
        (401, PAGE, RetryableError),
        (403, b"", RetryableError),
        (404, b'{"message": "no route"}', RetryableError),
        # A redirect has no body; a wrong host or region redirects.
        (302, b"", ResponseError),
        # A failed export, which no retry changes.
        (504, b'{"status": "failed"}', ResponseError),
        (
            429,
            body_of("rate_limit_exceeded", "too many pending message export jobs"),
            ResponseError,
        ),
    ],
)
def test_a_refusal_ends_in_the_error_of_what_to_do(
    status: int, content: bytes, error: type[TapError]
) -> None:
    with pytest.raises(error) as raised:
        check_status("GET /x", answer(status), content)
    assert type(raised.value) is error
    assert "GET /x" in str(raised.value)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success_is_no_refusal(status: int) -> None:
    check_status("GET /x", answer(status), b"")


def test_a_refusal_of_unknown_form_with_the_headers_of_intercom_is_intercoms() -> None:
    with pytest.raises(ResponseError):
        check_status("GET /x", answer(404, Intercom_Version="2.14"), b"{}")


def test_a_refusal_is_one_line_with_what_support_needs() -> None:
    content = body_of("not_found", "Contact not found", request_id="r1")
    assert refusal(answer(404), content) == "404, not_found, request r1: Contact not found"
    assert refusal(answer(502, X_Request_Id="r2"), PAGE) == "502, request r2"


def test_a_redirect_names_the_other_host() -> None:
    with pytest.raises(ResponseError, match=r"redirects to api\.eu\.intercom\.io: check region"):
        check_status("GET /x", answer(301, Location="https://api.eu.intercom.io/x"), b"")


def test_pending_jobs_are_told_from_a_rate_limit() -> None:
    assert not waits_for_a_job(answer(429), body_of("rate_limit_exceeded", "Exceeded rate limit"))
    assert waits_for_a_job(answer(429), body_of("rate_limit_exceeded", "2 pending export jobs"))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AuthError("r", 401), "Check the setting access_token"),
        (AuthError("r", 403), "IP allowlist"),
        (AuthError("r", 402), "plan or subscription"),
    ],
)
def test_a_refused_me_says_what_to_check(error: AuthError, text: str) -> None:
    assert text in meaning_of_refused_me(error, "")


def test_other_regions_are_named() -> None:
    assert "set region to eu or au" in other_regions(Settings(access_token="x"))
    elsewhere = Settings(access_token="x", base_url="http://127.0.0.1:1")
    assert "correct base_url" in other_regions(elsewhere)
