"""The errors of a run, by what the user does next.

TapError
  ConfigError         the user edits settings, catalog, state or flags    exit 2
  AuthError           token refused, or a permission is missing           exit 3
  UnavailableError    Intercom or the store did not answer in time        exit 4
  ContractError       a response that cannot be read safely               exit 5
    ResponseError     a refusal with its status, such as a record gone
  BusyError           another run uses the same state                     exit 75
  TargetMissingError  the target or a mapper cannot be started            exit 127
  TargetGoneError     the program that reads our output has ended         exit 141
Stopped               a signal asked the run to end                       exit 130, 143
"""

from __future__ import annotations

from typing import Any

TARGET_FAILED = 6
EXIT_CODES = {
    0: "All selected streams are complete.",
    1: "A bug in this tap; please report it with the traceback.",
    2: "A setting, the catalog, the state or a flag is wrong; the message says which.",
    3: "Intercom refused the token, or the token lacks a permission; the message says which.",
    4: "Intercom or the store of the state gave no usable answer within the time for retries.",
    5: "An answer was not as expected; reading on could lose records.",
    6: "The target or a mapper failed (`tap-intercom run`); the last line has its code and error.",
    75: "Another run uses the same state (`tap-intercom run`); try again later.",
    127: "The target or a mapper cannot be started (`tap-intercom run`): it may not be installed.",
    130: "Stopped by SIGINT, after the last safe STATE.",
    141: "The target or a mapper ended before it read everything.",
    143: "Stopped by SIGTERM, after the last safe STATE.",
}


def _rebuild(
    kind: type[BaseException], arguments: tuple[Any, ...], attributes: dict[str, Any]
) -> BaseException:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


class _Picklable(BaseException):
    """An error that survives a temporary file unchanged, for any `__init__` signature.

    Results read ahead, errors included, may wait in a file. Unpickling an exception calls
    `__init__` with `args`, which fails or loses attributes if it takes more than a text.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class TapError(_Picklable, Exception):
    """An error that the user can act on; its text is one clear line without secrets.

    cause: the part of the text that other streams share if they fail for the same reason, or "" if
        that is the whole text.
    """

    exit_code = 1
    cause: str = ""


class ConfigError(TapError):
    """Settings, catalog, state or flags are wrong."""

    exit_code = 2


class AuthError(TapError):
    """Intercom refused the token, or the token does not have a permission.

    status: the HTTP status; a 401 may mean either cause (API-B2).
    code: Intercom's own error code, or "" without one.
    stream: the stream whose permission is needed, if it is not the one that is read.
    token: which of the access tokens was refused, from 0.
    """

    exit_code = 3
    stream: str | None = None
    token: int = 0

    def __init__(self, text: str, status: int = 401, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code

    @property
    def is_of_plan(self) -> bool:
        """Whether the workspace's plan, not a permission, excludes the request (API-C2)."""
        return self.status == 402 or self.code == "api_plan_restricted"


class UnavailableError(TapError):
    """Intercom or the store of the state gave no usable answer within the time for retries."""

    exit_code = 4


class RetryableError(UnavailableError):
    """One attempt failed in a way that a retry may fix; status is 0 without an answer.

    is_unreached: whether no connection was possible, so every other request fails too.
    """

    def __init__(self, text: str, rate_limited: bool = False, status: int = 0) -> None:
        super().__init__(text)
        self.rate_limited = rate_limited
        self.status = status
        self.is_unreached = False


class ContractError(TapError):
    """A response that cannot be read without the risk of losing records."""

    exit_code = 5


class ResponseError(ContractError):
    """Intercom refused a request with a status that no wait and no permission fixes.

    status: the HTTP status.
    code: Intercom's own error code, or "" without one.
    link: the Link header, which names the contact that this one was merged into (API-A3).
    """

    def __init__(self, text: str, status: int, code: str, link: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.link = link

    @property
    def is_gone(self) -> bool:
        """Whether the record was deleted (404) or merged into another one (410, API-A3)."""
        return self.status in (404, 410)


class BusyError(TapError):
    """Another run uses the same state; 75 is EX_TEMPFAIL of sysexits.h."""

    exit_code = 75


class TargetMissingError(TapError):
    """The target or a mapper cannot be started; 127 is what a shell shows for a missing command."""

    exit_code = 127


class TargetGoneError(TapError):
    """The reader of our output has ended; 141 is what a shell shows for a broken pipe."""

    exit_code = 141


class Stopped(_Picklable):
    """A signal asked the run to end; it is not an Exception, so error handlers ignore it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_code = 128 + signal_number
