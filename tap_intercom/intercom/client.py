"""Requests to Intercom, and their answers.

Each request waits for its turn in the shared budget and is retried while that can help. It ends in
a readable answer or in one of the errors of `errors.py`.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import backoff
import orjson
import urllib3

from tap_intercom.errors import AuthError, ConfigError, ResponseError, RetryableError, TapError
from tap_intercom.intercom.clock import Clock
from tap_intercom.intercom.connection import Connection, Params, renew_deadline
from tap_intercom.intercom.metrics import Requests
from tap_intercom.intercom.rate_limit import RateLimit, RateLimitStatus
from tap_intercom.intercom.refusals import (
    CHECK_THE_WAY,
    check_status,
    is_page,
    meaning_of_refused_me,
    other_regions,
    refusal,
    waits_for_a_job,
)
from tap_intercom.intercom.tokens import DEAD, Tokens
from tap_intercom.intercom.unanswered import tls_error, unanswered
from tap_intercom.records.parsing import Parsed, parse
from tap_intercom.settings import Settings
from tap_intercom.times import rfc3339

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse as Response

LOGGER = logging.getLogger("tap_intercom")

Result = TypeVar("Result")
Parse = Callable[[bytes], Parsed]
Witness = Callable[[int, Mapping[str, str], bytes], None]
"""Gets status, headers and body of each answer, refusals included."""

FIRST_RETRY_WAIT_SECONDS = 1.0
LONGEST_RETRY_WAIT_SECONDS = 60.0
DOWNLOAD_BYTES = 65_536
# A download may take as long as its size needs, if it gets this much per request_timeout.
SLOWEST_BYTES_PER_SECOND = 1_000


@dataclass(frozen=True)
class Answer:
    """A complete answer: its parsed JSON object, and when Intercom sent it (RFC 3339).

    replaced: number of its characters that no database accepts.
    """

    content: bytes
    body: dict[str, Any]
    extracted_at: str
    replaced: int = 0

    def exact(self) -> Answer:
        """Return the same answer with all digits of integers beyond 64 bits."""
        return replace(self, body=parse(self.content, exact=True).value)


@dataclass(frozen=True)
class Workspace:
    """The workspace that a token belongs to, at the time of the answer. Source: GET /me (API-A4).

    id: the workspace's `id_code`.
    admin: the name of the token's owner.
    now, latest: Unix seconds, by the earlier and the later clock if two differ.
    answer: Intercom's whole answer.

    Values that Intercom does not send are None.
    """

    id: str | None
    name: str | None
    region: str | None
    timezone: str | None
    admin: str | None
    now: int
    latest: int
    answer: Answer

    def mismatch(self, region: str) -> str | None:
        """Return why the setting region is wrong, or None if it is right or cannot be checked."""
        if not self.region or self.region.lower() == region:
            return None
        return f"region is {region} in the settings, but the workspace is in {self.region.lower()}"


def _app_of(answer: Answer) -> Mapping[str, Any]:
    app = answer.body.get("app")
    return app if isinstance(app, dict) else {}


# The key for a bare list in the body of an answer, as a few endpoints return it (API-F1, F3).
BARE = ""


class Client:
    """Sends requests within one budget; safe to use from many threads.

    Raises AuthError (401, 402, 403) and ResponseError (other refusals) if Intercom itself refuses,
    ContractError for an answer that cannot be read, and UnavailableError if no usable answer comes
    for `max_retry_seconds`. A refusal from something in between, such as a firewall or a proxy,
    says nothing about permissions or records and does not last, so it is retried.
    """

    def __init__(self, settings: Settings, witness: Witness | None = None) -> None:
        self._witness = witness
        self._base_url = settings.base_url
        self._where_else = other_regions(settings)
        self._request_timeout = settings.request_timeout
        self._max_retry_seconds = settings.max_retry_seconds
        count = len(settings.access_tokens)
        self._tokens = Tokens(count)
        self._rate_limit = RateLimit(settings.rate_limit_share, settings.concurrency, tokens=count)
        self._connection = Connection(settings)
        self._gave_up = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._clock = Clock()
        self._stream = ""
        self._patience_seconds = inf
        # A single token needs no choice, which would cost each request the name of its endpoint.
        self._own_tokens: Sequence[int] | None = [0] if count == 1 else None
        self._keeps_to_first_token = False
        self._hasty: dict[float, Client] = {}
        self.requests = Requests()
        self._bind()

    def _bind(self) -> None:
        self._send_until_answered = self._retrying(lambda error: False)
        self._send_until_not_limited = self._retrying(lambda error: not error.rate_limited)
        self._send_once = self._retrying(lambda error: True)

    def _copied(self, **changes: Any) -> Client:
        client = copy(self)
        vars(client).update(changes, _hasty={})
        client._bind()
        return client

    def for_stream(self, stream: str) -> Client:
        """Return a client whose requests count as those of a stream, see `Requests`."""
        return self._copied(_stream=stream)

    def hasty(self, seconds: float) -> Client:
        """Return a client that retries a request for this long, not counting 429 answers.

        If one of its requests fails, the others go on.
        """
        # Keep them: one for each request would be garbage that only a full collection finds.
        if seconds not in self._hasty:
            self._hasty[seconds] = self._copied(_patience_seconds=seconds)
        return self._hasty[seconds]

    def with_one_token(self) -> Client:
        """Return a client for what may belong to the app that began it, such as an export job.

        It uses the first token as long as Intercom accepts that.
        """
        return self._copied(_keeps_to_first_token=True)

    def with_each_token(self) -> dict[int, Client]:
        """Return a client for each access token that Intercom accepts, by the token's position."""
        return {token: self._with_tokens([token]) for token in self._tokens.living}

    def leave_out(self, token: int, reason: str = DEAD) -> None:
        """Stop using an access token, and log why."""
        self._tokens.leave_out(token, reason)

    def _with_tokens(self, tokens: Sequence[int]) -> Client:
        return self._copied(_own_tokens=tokens)

    @property
    def rate_limit(self) -> RateLimitStatus | None:
        """The rate limit of all tokens in their last answers; None before, or without headers."""
        return self._rate_limit.last(self._tokens.living)

    def get(self, path: str, params: Params = None) -> Answer:
        """Send a GET request and return the answer."""
        return self._send_until_answered("GET", path, params)

    def redirect(self, path: str) -> str | None:
        """Return where a GET request leads to, without going there; None if it leads nowhere."""
        try:
            answer = self.get(path)
        except ResponseError as error:
            if error.location:
                return error.location
            raise
        location = answer.body.get("location")
        return location if isinstance(location, str) else None

    def post(
        self, path: str, body: Mapping[str, Any], params: Params = None, *, parse: Parse = parse
    ) -> Answer:
        """Send a POST request and return the answer; `parse` runs for one answer at a time."""
        return self._send_until_answered("POST", path, params, body, parse=parse)

    def get_scroll_page(self, path: str, params: Params = None) -> Answer:
        """Send a GET request like `get`, but first in the budget, and retried only after a 429.

        The second request for a page of a scroll may return the next page (API-D3), so any other
        failure must lead to a new scroll.
        """
        return self._send_until_not_limited("GET", path, params, urgent=True)

    def post_once(self, path: str) -> Answer:
        """Send a POST request without a body, first in the budget and without retries."""
        return self._send_once("POST", path, None, urgent=True)

    def download(self, path: str, file: BinaryIO, params: Params = None) -> Answer:
        """Write the raw body of an answer to a file, from its start at each attempt.

        `Content-Encoding: zip`, which exports have, is not an encoding to decode (API-I1). The
        returned answer has no body.
        """
        return self._send_until_answered("GET", path, params, file=file)

    def open_workspace(self) -> Workspace:
        """Check the token and adopt Intercom's clock, with the first request of a run."""
        try:
            answer = self.get("/me")
        except AuthError as error:
            text = meaning_of_refused_me(error, self._where_else)
            raise AuthError(text, error.status, error.code) from error
        app = _app_of(answer)
        self._check_all_tokens(app)
        return Workspace(
            id=app.get("id_code"),
            name=app.get("name"),
            region=app.get("region"),
            timezone=app.get("timezone"),
            admin=answer.body.get("name"),
            now=int(self.now()),
            latest=int(self._clock.latest()),
            answer=answer,
        )

    def _check_all_tokens(self, app: Mapping[str, Any]) -> None:
        """Learn the rate limit of each token. Raises ConfigError if one is of another workspace.

        A token is left out if Intercom does not say which workspace it is of.
        """
        clients = self.with_each_token()
        known = app.get("id_code")
        for token, client in clients.items() if len(clients) > 1 else ():
            try:
                other = _app_of(client.get("/me")).get("id_code")
            except AuthError:
                self.leave_out(token)
                continue
            except TapError as error:
                self.leave_out(token, f"Intercom does not say which workspace it is of ({error})")
                continue
            if other is None or known is None:
                self.leave_out(token, "Intercom does not say which workspace it is of")
            elif other != known:
                raise ConfigError(
                    f"access_token: token {token + 1} is of the workspace {other}, "
                    f"but another one is of {known}; give tokens of one workspace"
                )

    def token_works(self) -> bool:
        """Whether Intercom still accepts the token, for a 401 that may only mean a permission."""
        try:
            self.get("/me")
        except AuthError as error:
            return error.status != 401
        except TapError as error:
            LOGGER.warning("could not check whether the access token is still valid: %s", error)
        return True

    def now(self) -> float:
        """Return Unix seconds by the clock that dates the run."""
        return self._clock.now()

    def _retrying(self, give_up: Callable[[RetryableError], bool]) -> Callable[..., Answer]:
        """Return `_send` inside the retry loop that every request has."""

        def note_give_up(details: Any) -> None:
            if self._patience_seconds == inf and not give_up(details["exception"]):
                self._gave_up.set()

        retrying: Callable[..., Answer] = backoff.on_exception(
            _retry_waits,
            RetryableError,
            max_time=lambda: 0 if self._gave_up.is_set() else self._max_retry_seconds,
            giveup=lambda error: isinstance(error, RetryableError) and give_up(error),
            on_backoff=_log_retry,
            on_giveup=note_give_up,
            logger=None,
            patience_seconds=self._patience_seconds,
        )(self._send)
        return retrying

    def _send(self, method: str, path: str, *arguments: Any, **more: Any) -> Answer:
        """Make one attempt; if Intercom refuses a token, with each other one that may do."""
        if self._own_tokens:
            return self._send_with_one_of(self._own_tokens, method, path, *arguments, **more)
        name = f"{method} {endpoint(path)}"
        refused_by: set[int] = set()
        while True:
            able = self._tokens.able(name, refused_by)
            able = able[:1] if self._keeps_to_first_token else able
            try:
                return self._send_with_one_of(able, method, path, *arguments, **more)
            except AuthError as error:
                refused_by.add(error.token)
                if not self._tokens.refuse(refused_by, name, error, self._is_dead):
                    raise

    def _is_dead(self, token: int) -> bool:
        """Whether Intercom no longer accepts a token at all."""
        try:
            self._with_tokens([token])._send("GET", "/me", None)
        except AuthError as error:
            return error.status == 401
        except TapError:
            pass
        return False

    def _send_with_one_of(
        self,
        tokens: Sequence[int],
        method: str,
        path: str,
        params: Params,
        body: Mapping[str, Any] | None = None,
        *,
        urgent: bool = False,
        file: BinaryIO | None = None,
        parse: Parse = parse,
    ) -> Answer:
        """Send one request in its turn, and interpret its answer."""
        request = f"{method} {path}"
        with self._rate_limit.turn(urgent, tokens) as token:
            response, content = self._exchange(method, path, params, body, file, token)
        if self._witness is not None:
            self._witness(response.status, response.headers, content)
        if response.status == 429 and not waits_for_a_job(response, content):
            wait = self._rate_limit.refused(response.headers, token)
            raise RetryableError(
                f"{request}: 429, rate limit reached; wait {wait:.0f} s",
                rate_limited=True,
                status=429,
            )
        self._rate_limit.learn(response.headers, token)
        # Parsers learn from what they parse, and the clock is set once.
        with self._one_at_a_time:
            try:
                check_status(request, response, content)
            except AuthError as error:
                error.token = token
                raise
            if file is None:
                answer = self._read(request, response, content, parse)
            else:
                answer = Answer(b"", {}, rfc3339(int(self.now())) or "")
            self._gave_up.clear()
            return answer

    def _exchange(
        self,
        method: str,
        path: str,
        params: Params,
        body: Mapping[str, Any] | None,
        file: BinaryIO | None,
        token: int,
    ) -> tuple[Response, bytes]:
        """Send one request, and return its response and content; note how long it took.

        If there is a file, the content of a good answer goes there. Raises TapError if no whole
        answer comes.
        """
        request = f"{method} {path}"
        status = 0
        started = time.monotonic()
        try:
            if file is None:
                data = None if body is None else orjson.dumps(body)
                response = self._connection.send(method, path, params, data, token)
                content = response.data
            else:
                response = self._connection.download(method, path, params, token)
                if 200 <= response.status < 300:
                    content = b""
                    _save(response, file, self._request_timeout)
                else:
                    content = response.read(decode_content=True)
            status = response.status
        except urllib3.exceptions.SSLError as error:
            raise tls_error(request, error) from error
        except urllib3.exceptions.HTTPError as error:
            raise unanswered(request, error, self._base_url) from error
        finally:
            seconds = time.monotonic() - started
            LOGGER.debug("%s: %s in %.3f s", request, status or "no answer", seconds)
            self.requests.note(self._stream, endpoint(path), seconds, 200 <= status < 300)
        return response, content

    def _read(self, request: str, response: Response, content: bytes, parse: Parse) -> Answer:
        try:
            body, replaced = parse(content)
        except ValueError as error:
            text = f"{request}: the answer is not JSON ({error})"
            if is_page(content):
                text = f"{request}: a web page instead of Intercom's answer; {CHECK_THE_WAY}"
            raise RetryableError(text, status=response.status) from error
        if isinstance(body, list):
            body = {BARE: body}
        if not isinstance(body, dict):
            raise RetryableError(
                f"{request}: the answer is not a JSON object", status=response.status
            )
        if body.get("type") == "error.list":
            raise RetryableError(
                f"{request}: an error with status 200: {refusal(response, content)}",
                status=response.status,
            )
        self._clock.follow(response.headers)
        return Answer(content, body, rfc3339(int(self.now())) or "", replaced)


def endpoint(path: str) -> str:
    """Return a path with `{id}` in place of ids, which have more than lower-case letters."""
    return re.sub(r"(?<=/)[^/]*[^a-z_/][^/]*", "{id}", path)


def _retry_waits(patience_seconds: float) -> Generator[float, Any, None]:
    """Yield the seconds to wait before each retry, and receive the error of the last attempt.

    Yield 0 after a 429, since the rate limit makes all requests wait. Stop when `patience_seconds`
    have passed.
    """
    seconds = FIRST_RETRY_WAIT_SECONDS
    began = time.monotonic()
    error: RetryableError = yield 0.0
    while True:
        if error.rate_limited:
            began = time.monotonic()
            error = yield 0.0
        elif time.monotonic() - began >= patience_seconds:
            return
        else:
            error = yield seconds
            seconds = min(2 * seconds, LONGEST_RETRY_WAIT_SECONDS)


def _log_retry(details: Any) -> None:
    # After a 429, the rate limit reports the common wait once, not for each request.
    error = details["exception"]
    if not error.rate_limited:
        level = logging.WARNING if error.is_unreached else logging.INFO
        LOGGER.log(level, "%s; retrying in %.1f s", error, details["wait"])


def _save(response: Response, file: BinaryIO, timeout: float) -> None:
    """Write the raw body to a file. Raises a retryable error if it is incomplete.

    It may take longer than the timeout, but each part of it may not.
    """
    part = max(int(timeout * SLOWEST_BYTES_PER_SECOND), 1)
    piece_bytes = min(DOWNLOAD_BYTES, part)
    file.seek(0)
    file.truncate()
    end_of_part = part
    for piece in response.stream(piece_bytes, decode_content=False):
        file.write(piece)
        if file.tell() >= end_of_part:
            end_of_part = file.tell() + part
            renew_deadline(response)
    expected = response.headers.get("Content-Length")
    if expected is not None and expected.isdecimal() and int(expected) != file.tell():
        raise urllib3.exceptions.ProtocolError(f"received {file.tell()} of {expected} bytes")
    file.seek(0)
    if is_page(file.read(DOWNLOAD_BYTES)):
        raise urllib3.exceptions.ProtocolError(f"a web page instead of the file; {CHECK_THE_WAY}")
