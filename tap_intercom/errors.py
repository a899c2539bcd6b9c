"""The errors of a run, by what the user does next.

TapError
  ConfigError         the user edits settings, catalog, state or flags    exit 2
  AuthError           token refused, or a permission is missing           exit 3
  UnavailableError    Intercom did not answer in time                     exit 4
  ContractError       a response that cannot be read safely               exit 5
"""

from __future__ import annotations


class TapError(Exception):
    """An error that a user can act upon; its text is one clear line without secrets."""

    exit_code = 1


class ConfigError(TapError):
    """Settings, catalog, state or flags are wrong."""

    exit_code = 2


class AuthError(TapError):
    """Intercom refused the token, or the token lacks a permission."""

    exit_code = 3


class UnavailableError(TapError):
    """Intercom gave no usable answer for as long as a request may be retried."""

    exit_code = 4


class ContractError(TapError):
    """A response that cannot be read without the risk of losing records."""

    exit_code = 5
