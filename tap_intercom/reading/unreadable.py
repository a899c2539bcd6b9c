"""Records that Intercom cannot send while it sends others.

A record that answers 404, 500 or 504 for weeks must not block a table. It is skipped only between
two successful requests for other records, so an outage skips nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tap_intercom.errors import (
    AuthError,
    ContractError,
    ResponseError,
    RetryableError,
    TapError,
    UnavailableError,
)
from tap_intercom.intercom.client import Client

Result = TypeVar("Result")
Parent = TypeVar("Parent")
Spot = TypeVar("Spot")

# How long to retry a request before other records are asked for, and after that.
FIRST_PATIENCE_SECONDS = 60.0
PATIENCE_SECONDS = 5.0
# Intercom can often send a fraction of a page that takes it too long.
SHRINK = 4

# Intercom's answers to an invalid query (API-C4); a dead cursor is `client_error`.
CODES_OF_A_WRONG_QUERY = {
    "data_invalid",
    "field_not_found",
    "invalid_field",
    "missing_parameter",
    "parameter_invalid",
    "parameter_missing",
    "parameter_not_found",
    "type_mismatch",
    "unprocessable_entity",
    "validation_error",
}

FAILURES = (AuthError, ResponseError, UnavailableError)


class UnreadableError(ContractError):
    """Intercom cannot send a record while it sends others."""


def may_be_of_one_record(error: TapError) -> bool:
    """Whether this failure of details may concern one record alone."""
    if isinstance(error, AuthError):
        # Either may mean a missing permission (API-B2). With a dead token, others fail too.
        return error.status in (401, 403) and not error.is_of_plan
    if isinstance(error, ResponseError):
        return error.status in (400, 404, 410, 422)
    return _is_of_answer(error)


def may_be_of_one_page(error: TapError) -> bool:
    """Whether this failure of a search may concern one page alone (API-C2)."""
    if isinstance(error, ResponseError):
        return error.status == 404 and error.code not in CODES_OF_A_WRONG_QUERY
    return _is_of_answer(error)


def _is_of_answer(error: TapError) -> bool:
    is_rate_limit = isinstance(error, RetryableError) and error.rate_limited
    return isinstance(error, UnavailableError) and not is_rate_limit


def read_one(
    read: Callable[[Client, Parent], Result],
    client: Client,
    parent: Parent,
    others: Callable[[], Sequence[Parent]],
) -> Result:
    """Read a parent, and read it again after a failure that may concern it alone.

    Raises UnreadableError if it fails while others succeed, and the error of anything else, also of
    a parent that is gone.

    others: returns other parents to try.
    """
    try:
        return read(client.hasty(FIRST_PATIENCE_SECONDS), parent)
    except FAILURES as error:
        is_gone = isinstance(error, ResponseError) and error.is_gone
        if is_gone or not may_be_of_one_record(error):
            raise
        return read_again(read, client, parent, others(), error)


def read_again(
    read: Callable[[Client, Parent], Result],
    client: Client,
    parent: Parent,
    others: Sequence[Parent],
    error: TapError,
) -> Result:
    """Read a parent again after a failure.

    Raises UnreadableError if it fails while others succeed, and the error if the others fail too.
    """
    check_others(read, client, others, error)
    try:
        return read(client.hasty(PATIENCE_SECONDS), parent)
    except FAILURES as again:
        if not may_be_of_one_record(again):
            raise
    check_others(read, client, others, error)
    raise UnreadableError(str(error)) from error


def check_others(
    read: Callable[[Client, Parent], object],
    client: Client,
    others: Sequence[Parent],
    error: TapError,
) -> None:
    """Return once one of the others can be read, with all retries. Raises the error if none can."""
    patient = [(client.hasty(PATIENCE_SECONDS), other) for other in others]
    for its_client, other in [*patient, *((client, other) for other in others[:1])]:
        try:
            read(its_client, other)
            return
        except FAILURES:
            continue
    raise error


class Narrowing(Generic[Spot]):
    """Requests the pages of one search, and smaller ones if Intercom cannot send them.

    A size never grows, since a cursor may depend on it.

    control: requests any record at one of the spots.
    size: the size of the next page.
    """

    def __init__(
        self,
        client: Client,
        size: int,
        control: Callable[[Client, Spot], object],
        spots: Sequence[Spot],
    ) -> None:
        self._client = client
        self.size = size
        self._control = control
        self._spots = spots

    def send(self, ask: Callable[[Client, int], Result]) -> Result:
        """Return the page that `ask` gets at the current size.

        Raises UnreadableError if its first record cannot be read while others can.
        """
        try:
            return ask(self._client.hasty(FIRST_PATIENCE_SECONDS), self.size)
        except FAILURES as error:
            if not may_be_of_one_page(error):
                raise
            cause: TapError = error
        hasty = self._client.hasty(PATIENCE_SECONDS)
        while True:
            self._check_others(cause)
            try:
                return ask(hasty, self.size)
            except FAILURES as error:
                if not may_be_of_one_page(error):
                    raise
                cause = error
            if self.size == 1 or not _succeeds(ask, hasty):
                self._check_others(cause)
                raise UnreadableError(str(cause)) from cause
            self.size = max(self.size // SHRINK, 1)

    def _check_others(self, cause: TapError) -> None:
        check_others(self._control, self._client, self._spots, cause)


def _succeeds(ask: Callable[[Client, int], object], client: Client) -> bool:
    """Whether a page with one record can be read."""
    try:
        ask(client, 1)
    except FAILURES as error:
        if not may_be_of_one_page(error):
            raise
        return False
    return True
