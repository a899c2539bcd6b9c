"""What a refusal means: who refused, whether a retry may help, and the error for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tap_intercom.errors import AuthError, ResponseError, RetryableError
from tap_intercom.records.parsing import parse
from tap_intercom.settings import REGION_URLS, Settings

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse as Response

RETRIED_STATUSES = (408, 429)
# The refusal of an export while others run (API-C1); no window of ten seconds ends it.
JOBS_PENDING = re.compile(r"pending .*export jobs")
# Headers that only Intercom's API adds to answers.
INTERCOM_HEADERS = ("X-RateLimit-Limit", "X-Intercom-Version", "Intercom-Version")
CHECK_THE_WAY = "check proxy, firewall, Intercom's IP allowlist and base_url"


def is_page(content: bytes) -> bool:
    """Whether an answer is HTML, which Intercom's API never sends instead of JSON or a file."""
    return content.lstrip()[:1] == b"<"


def waits_for_a_job(response: Response, content: bytes) -> bool:
    """Whether an answer reports pending export jobs, which no rate limit window ends."""
    return bool(JOBS_PENDING.search(_error_of(response, content)[1]))


def check_status(request: str, response: Response, content: bytes) -> None:
    """Raise the exception for a non-2xx response."""
    status = response.status
    if 200 <= status < 300:
        return
    if waits_for_a_job(response, content) or _is_of_failed_job(status, content):
        raise _refused(request, response, content)
    if not _is_of_intercom(response, content):
        raise RetryableError(
            f"{request}: {status} without an Intercom error, so a proxy or firewall answered; "
            f"{CHECK_THE_WAY}",
            status=status,
        )
    if status >= 500 or status in RETRIED_STATUSES:
        raise RetryableError(f"{request}: {refusal(response, content)}", status=status)
    raise _refused(request, response, content)


def _is_of_intercom(response: Response, content: bytes) -> bool:
    """Whether Intercom's API made a refusal: its form of an error, or JSON with its headers.

    A load balancer, firewall or proxy in between answers with its own page, JSON or nothing. That
    says nothing about permissions or records (API-C2). Redirects have no body to check.
    """
    if response.status < 400:
        return True
    try:
        body = parse(content).value
    except ValueError:
        return False
    return isinstance(body, dict) and (
        body.get("type") == "error.list"
        or _error_of(response, content)[0] != ""
        or any(name in response.headers for name in INTERCOM_HEADERS)
    )


def _is_of_failed_job(status: int, content: bytes) -> bool:
    """Whether an answer reports a failed export, which no retry changes (API-I1)."""
    try:
        return status == 504 and bool(parse(content).value["status"] == "failed")
    except (ValueError, KeyError, TypeError):
        return False


def refusal(response: Response, content: bytes) -> str:
    """Return the refusal in one line: status, Intercom's code, message and request id.

    The body may be JSON, HTML or empty.
    """
    code, message, request_id = _error_of(response, content)
    parts = [str(response.status), code, request_id and f"request {request_id}"]
    text = ", ".join(part for part in parts if part)
    return f"{text}: {message}" if message else text


def _error_of(response: Response, content: bytes) -> tuple[str, str, str]:
    """Return code, message and request id of an error body (API-C3), each "" if missing."""
    try:
        body = parse(content).value
        first = body["errors"][0]
        return (
            str(first.get("code") or ""),
            str(first.get("message") or ""),
            str(body.get("request_id") or ""),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "", "", response.headers.get("X-Request-Id", "")


def _refused(request: str, response: Response, content: bytes) -> Exception:
    text = f"{request} was refused ({refusal(response, content)})"
    if "Location" in response.headers:
        host = _host_of(response.headers["Location"])
        text += f"; it redirects to {host or 'another path'}: check region and base_url"
    code = _error_of(response, content)[0]
    if code == "intercom_version_invalid":
        text += "; set api_version to one that has this endpoint"
    if response.status in (401, 402, 403):
        return AuthError(text, response.status, code)
    return ResponseError(text, response.status, code, response.headers.get("Link", ""))


def _host_of(location: str) -> str:
    try:
        return urlsplit(location).hostname or ""
    except ValueError:
        return ""


def other_regions(settings: Settings) -> str:
    """Return what to check if the token is right, but belongs to a workspace in another region."""
    others = " or ".join(region for region in REGION_URLS if region != settings.region)
    if settings.base_url == REGION_URLS[settings.region]:
        return (
            f"If the workspace is hosted in another region, set region to {others} "
            f"(now {settings.region})."
        )
    return (
        "If the workspace is hosted in another region, correct base_url, or remove it and set "
        f"region to {others} (now {settings.region}, but base_url is used)."
    )


def meaning_of_refused_me(error: AuthError, where_else: str) -> str:
    """Return what it may mean that Intercom does not even name the token's owner (API-A4)."""
    if error.is_of_plan:
        return f"The plan or subscription of the workspace does not include the API ({error})."
    if error.status == 403:
        return (
            f"Intercom does not let the access token open the workspace ({error}). Possible "
            "causes: the app is public and not approved yet, the app is no longer installed in the "
            "workspace, or the IP allowlist does not contain this machine. See Developer Hub > "
            "your app, and Intercom > Settings > Security."
        )
    return (
        f"Intercom refused the access token ({error}). Check the setting access_token: "
        f"Developer Hub > your app > Configure > Authentication. {where_else}"
    )
