"""The workspace that probes ask: requests within a budget, and a note of every answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from tap_intercom.errors import ResponseError, RetryableError, UnavailableError
from tap_intercom.intercom.client import Answer, Client, Workspace, endpoint
from tap_intercom.intercom.connection import Params
from tap_intercom.probes.shapes import Shape, shape_of
from tap_intercom.reading.search import SearchStream
from tap_intercom.reading.stream import Probe as StreamProbe
from tap_intercom.reading.stream import list_of
from tap_intercom.reading.stream_run import Record
from tap_intercom.records.parsing import parse
from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS

LOGGER = logging.getLogger("tap_intercom")

MOST_REQUESTS = 200
OPENING_REQUESTS = 5
RETRIES = 2
RETRY_WAIT_SECONDS = 2.0
COMPANIES_LIST = "/companies"
COMPANIES_SIZE = 50
LONG_WAIT_SECONDS = 5
# The values of these headers are Intercom's, not the workspace's.
SHOWN_HEADERS = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "Date",
)

Sent = TypeVar("Sent")
Filter = tuple[str, str, Any]
"""Field, operator and value of a search."""


class NotSeenError(Exception):
    """The workspace at hand does not answer a question; the text says why."""


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, without a value of anybody.

    probe: the name of the probe that asked.
    path: the path, with `{id}` for ids.
    headers: those of `SHOWN_HEADERS` that came.
    header_names: the names of all headers.
    shape: the shape of the body; None if it is not JSON.
    """

    probe: str
    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    header_names: Sequence[str]
    shape: Shape | None


class ProbedWorkspace:
    """Sends the requests of probes, one after the other.

    exchanges: all answers so far.
    longest_wait: how many seconds a probe may wait for something to end.
    """

    def __init__(
        self,
        settings: Settings,
        longest_wait: float = 0.0,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.settings = settings
        self._longest_wait = longest_wait
        self.exchanges: list[Exchange] = []
        self.is_redirected = False
        self._wait = wait
        # Each attempt counts, so the retries are made here, and with one token.
        alone = replace(
            settings,
            access_token=settings.access_tokens[0],
            max_retry_seconds=0,
            concurrency=1,
        )
        self._client = Client(alone, witness=self._note)
        self._requested = ("", "")
        self._probe = "opening"
        self._sent = 0
        self._left = OPENING_REQUESTS
        self._answers: dict[str, Answer] = {}
        self._companies: list[Record] | None = None
        self._me: Workspace | None = None

    @property
    def client(self) -> Client:
        """The client, for what is not a request."""
        return self._client

    @property
    def sent(self) -> int:
        return self._sent

    @property
    def me(self) -> Workspace:
        if self._me is None:
            raise NotSeenError("the host redirects, so nothing else was asked")
        return self._me

    @property
    def now(self) -> int:
        return int(self._client.now())

    def open(self) -> None:
        """Check the token. Raises TapError if Intercom refuses it or does not answer."""
        try:
            self._me = self._attempt("GET", "/me", self._client.open_workspace)
        except ResponseError as error:
            if not 300 <= error.status < 400:
                raise
            self.is_redirected = True
        except NotSeenError:
            raise UnavailableError(
                "GET /me: 429 each time, so other apps use the whole rate limit; try again later"
            ) from None

    def begin(self, probe: str, most_requests: int) -> None:
        """Give the next requests to a probe."""
        self._probe, self._left = probe, most_requests

    def get(self, path: str, params: Params = None, shown: str = "") -> Answer:
        """Send a GET request; `shown` is the path in the report, if the path has an id."""
        return self._attempt("GET", shown or path, lambda: self._client.get(path, params))

    def get_scroll_page(self, path: str, params: Params = None) -> Answer:
        """Send a GET request without retries, since the next one may return the next page."""
        send = partial(self._client.get_scroll_page, path, params)
        return self._attempt("GET", path, send, retries=0)

    def companies(self) -> list[Record]:
        """Return the first companies of the list, which leaves out those without users."""
        if self._companies is None:
            answer = self.get(COMPANIES_LIST, {"page": 1, "per_page": COMPANIES_SIZE})
            self._companies = list_of(answer.body, "data", COMPANIES_LIST)
        return self._companies

    def post(self, path: str, body: Mapping[str, Any], params: Params = None) -> Answer:
        return self._attempt("POST", path, lambda: self._client.post(path, body, params))

    def send(self, probe: StreamProbe, shown: str = "") -> Answer:
        """Send the request that shows whether a stream can be read."""
        method = "GET" if probe.body is None else "POST"
        return self._attempt(method, shown or probe.path, lambda: probe.send(self._client))

    def search(
        self,
        stream: SearchStream,
        filters: Sequence[Filter],
        order: str = "ascending",
        size: int = 1,
        after: str | None = None,
    ) -> Answer:
        """Search for records that pass all filters, in the order of their changes."""
        names = ("field", "operator", "value")
        value = [dict(zip(names, each, strict=True)) for each in filters]
        return self.post(
            stream.path,
            {
                "query": {"operator": "AND", "value": value},
                "sort": {"field": "updated_at", "order": order},
                "pagination": {"per_page": size, **({"starting_after": after} if after else {})},
            },
        )

    def found(self, stream: SearchStream, *filters: Filter, **how: Any) -> list[Record]:
        """Return the records of a search."""
        return stream.parse_response(self.search(stream, filters, **how))

    def sample(self, stream: SearchStream, order: str, size: int) -> list[Record]:
        """Return records of a table, by their last change; the same for all probes.

        Raises NotSeenError if there are none.
        """
        key = f"{stream.name} {order}"
        if key not in self._answers:
            self._answers[key] = self.search(stream, [EVER], order, size=size)
        records = stream.parse_response(self._answers[key])
        if not records:
            raise NotSeenError(f"the workspace has no {stream.name}")
        return records

    def _attempt(
        self, method: str, path: str, send: Callable[[], Sent], retries: int = RETRIES
    ) -> Sent:
        """Send a request, and again if that may help, within the budget."""
        if self.is_redirected:
            raise NotSeenError("the host redirects, so nothing else was asked")
        while True:
            if self._left <= 0 or self._sent >= MOST_REQUESTS:
                raise NotSeenError("the requests for this question were used up")
            self._left -= 1
            self._sent += 1
            self._requested = (method, path)
            try:
                return send()
            except RetryableError as error:
                # After a 429, the client waits for the next window.
                if not error.rate_limited:
                    if retries == 0:
                        raise
                    retries -= 1
                    self._wait(RETRY_WAIT_SECONDS)

    def wait(self, seconds: float, reason: str) -> None:
        """Wait for what ends with time. Raises NotSeenError if the user does not want that."""
        if seconds > self._longest_wait:
            raise NotSeenError(f"{reason}; --wait {seconds:.0f} would show it")
        if seconds > LONG_WAIT_SECONDS:
            LOGGER.info("waiting %.0f s to see more", seconds)
        self._wait(seconds)

    def _note(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        method, path = self._requested
        try:
            shape: Shape | None = shape_of(parse(content).value)
        except ValueError:
            shape = None
        self.exchanges.append(
            Exchange(
                self._probe,
                method,
                endpoint(path),
                status,
                {name: headers[name] for name in SHOWN_HEADERS if name in headers},
                sorted(headers),
                shape,
            )
        )


EVER: Filter = ("updated_at", ">", 0)


def searched(name: str) -> SearchStream:
    stream = STREAMS[name]
    assert isinstance(stream, SearchStream)
    return stream
