"""Which of a workspace's access tokens may send a request.

Intercom limits the requests of each app, and those of a workspace at 2.5 times that (API-C1). So
the tokens of several apps together are faster than one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from tap_intercom.errors import AuthError

LOGGER = logging.getLogger("tap_intercom")

T = TypeVar("T")
IsDead = Callable[[int], bool]

DEAD = "Intercom does not accept it"


def missing_from_some(missing: Mapping[int, set[T]]) -> dict[int, set[T]]:
    """Return what a token lacks although another one has it, by token.

    missing: what each token lacks.
    """
    from_all = set[T]().union(*missing.values()).intersection(*missing.values())
    return {token: gap for token, each in missing.items() if (gap := each - from_all)}


class Tokens:
    """The tokens that Intercom accepts, by their positions; safe to use from many threads.

    A token that lost its permission for an endpoint is not used there while another token works.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._living = list(range(count))
        self._refused: set[tuple[int, str]] = set()

    @property
    def living(self) -> Sequence[int]:
        return self._living

    def able(self, endpoint: str, refused_by: Collection[int] = ()) -> Sequence[int]:
        """Return the tokens to send a request with: at least one, though it may be refused.

        refused_by: the tokens that Intercom already refused for this very request.
        """
        if not self._refused:
            return self._living
        able = [
            each
            for each in self._living
            if (each, endpoint) not in self._refused and each not in refused_by
        ]
        return able or self._living[:1]

    def refuse(
        self, refused_by: Collection[int], endpoint: str, error: AuthError, is_dead: IsDead
    ) -> bool:
        """Note that Intercom refused a token, and return whether another one may be accepted.

        If Intercom refuses a request with all tokens, that says nothing about them: it may be about
        a record that nobody can read (API-L1). So other requests use these tokens as before.

        refused_by: all tokens that Intercom refused for this request, the one of the error too.
        is_dead: asks Intercom whether it no longer accepts the token at all; a 401 may also mean
            that only a permission is missing (API-B2).
        """
        token = error.token
        with self._lock:
            if token in self._living and (token, endpoint) not in self._refused:
                self._refused.add((token, endpoint))
                if error.status == 401 and is_dead(token):
                    self._leave_out(token)
            if any(
                (each, endpoint) not in self._refused and each not in refused_by
                for each in self._living
            ):
                return True
            self._refused -= {(each, endpoint) for each in refused_by}
            return False

    def leave_out(self, token: int, reason: str = DEAD) -> None:
        """Send no more requests with a token, unless it is the last one."""
        with self._lock:
            self._leave_out(token, reason)

    def _leave_out(self, token: int, reason: str = DEAD) -> None:
        others = [each for each in self._living if each != token]
        if others:
            self._living = others
            name = f"token {token + 1} of {self._count}"
            LOGGER.warning("access_token: %s: %s; the tap goes on without it", name, reason)
