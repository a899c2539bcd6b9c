"""What an engine should do after `tap-intercom run`, by its exit code."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum

from tap_intercom.errors import EXIT_CODES

# A shell adds this to the number of the signal that ended a process.
SIGNALLED = 128


class Action(Enum):
    """SUCCEED: all streams are complete. FAIL: a new try would end the same way, so a person has
    to act. RETRY: try again, with the usual limit. WAIT: another run is active; try again later.
    """

    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "retry"
    WAIT = "wait"


# Every other code is retried: an unusable answer, a failed target, a process that was ended.
_ACTIONS = {
    0: Action.SUCCEED,
    1: Action.FAIL,
    2: Action.FAIL,
    3: Action.FAIL,
    5: Action.FAIL,
    75: Action.WAIT,
    127: Action.FAIL,
}


@dataclass(frozen=True)
class Outcome:
    """meaning: what the exit code means, as one sentence."""

    action: Action
    meaning: str


def outcome(code: int) -> Outcome:
    """Return what follows from an exit code; a negative one is the signal that killed it."""
    code = code if code >= 0 else SIGNALLED - code
    return Outcome(_ACTIONS.get(code, Action.RETRY), EXIT_CODES.get(code) or _of_unknown(code))


def _of_unknown(code: int) -> str:
    try:
        name = signal.Signals(code - SIGNALLED).name
    except ValueError:
        return f"The run ended with the unknown exit code {code}."
    reason = ", perhaps for lack of memory" if name == "SIGKILL" else ""
    return f"The run was ended by {name}{reason}; the next one continues from the last state."
