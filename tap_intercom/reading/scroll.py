"""The scroll over all companies: one per workspace; it ends one minute after its last use.

Source: https://developers.intercom.com/docs/references/rest-api/api.intercom.io/companies/scrolloverallcompanies
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from tap_intercom.errors import ContractError, ResponseError, RetryableError, UnavailableError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.intercom.pages import Repeats, content_of
from tap_intercom.reading.stream import list_of

LOGGER = logging.getLogger("tap_intercom")

# Another scroll ends one minute after its last use (API-D3); asking earlier is harmless.
CONFLICT_WAITS_SECONDS = (5.0, 10.0, 20.0)
CONFLICT_WAIT_SECONDS = 30.0
SCROLL_EXISTS = "scroll_exists"


def scroll_pages(
    client: Client, path: str, records_key: str, patience_seconds: float
) -> Iterator[Answer]:
    """Yield each page of a scroll, until an empty page ends it.

    A failed page makes the scroll start again, so pages may come more than once: a second request
    with the same token may return the next page.

    Raises ContractError if a scroll repeats the same companies again and again. Its token proves
    nothing, since all pages may have the same one. Raises UnavailableError if another app holds the
    scroll, or no scroll makes progress, for `patience_seconds`.
    """
    client = client.with_one_token()
    furthest = 0
    failure: Exception | None = None
    deadline = time.monotonic() + patience_seconds
    while True:
        count = 0
        try:
            for answer in _one_scroll(client, path, records_key, patience_seconds, failure):
                yield answer
                count += 1
                if count > furthest:
                    furthest, deadline = count, time.monotonic() + patience_seconds
            return
        except (RetryableError, ResponseError) as error:
            if isinstance(error, ResponseError) and not error.is_gone:
                raise
            failure = error
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"{error}; no scroll got further than page {furthest}"
                ) from error
            left = max(deadline - time.monotonic(), 0.0)
            wait = 0.0 if count else min(CONFLICT_WAITS_SECONDS[0], left)
            LOGGER.warning("%s; the scroll restarts after %d pages, in %.0f s", error, count, wait)
            time.sleep(wait)


def _one_scroll(
    client: Client,
    path: str,
    records_key: str,
    patience_seconds: float,
    failure: Exception | None,
) -> Iterator[Answer]:
    answer = _first_page(client, path, patience_seconds, failure)
    repeats = Repeats()
    while records := list_of(answer.body, records_key, path):
        repeats.note(content_of(records), len(records))
        yield answer
        token = answer.body.get("scroll_param")
        if not token:
            raise ContractError(
                f"{path}: the answer has no scroll_param, so companies may be missing"
            )
        answer = client.get_scroll_page(path, {"scroll_param": token})


def _first_page(
    client: Client, path: str, patience_seconds: float, failure: Exception | None
) -> Answer:
    """Start a scroll once the one that is open has ended.

    failure: what ended this run's previous scroll, which may be the open one; None if there was
        none.
    """
    deadline = time.monotonic() + patience_seconds
    waits = iter(CONFLICT_WAITS_SECONDS)
    while True:
        try:
            return client.get_scroll_page(path)
        except ResponseError as error:
            if error.code != SCROLL_EXISTS:
                raise
            wait = next(waits, CONFLICT_WAIT_SECONDS)
            left = deadline - time.monotonic()
            if left <= 0 and failure is not None:
                raise UnavailableError(
                    f"{failure}; a new scroll cannot begin, because one is open"
                ) from error
            if left <= 0:
                raise UnavailableError(
                    f"{error}. Another app reads this workspace's companies: Intercom allows one "
                    "scroll at a time. Run at another time, or set companies_source to list."
                ) from error
            who = "another app is scrolling" if failure is None else "a failed scroll is still open"
            LOGGER.warning("companies: %s; retrying in %.0f s", who, min(wait, left))
            time.sleep(min(wait, left))
