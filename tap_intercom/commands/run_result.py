"""How a run of the tap and a target ended: its exit code, and the last line of its log."""

from __future__ import annotations

import logging
import signal
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from tap_intercom.errors import TARGET_FAILED, TapError, TargetGoneError

LOGGER = logging.getLogger("tap_intercom")

# Exit codes of a tap that was asked to end, or whose target ended: not its own failure.
ENDED_EARLY = (130, 141, 143)
# A shell adds this to the number of the signal that ended a process.
SIGNALLED = 128


@dataclass(frozen=True)
class RunResult:
    """The ends of both processes, and what is in the state file.

    records: number of records passed to the target.
    tap, target: their exit codes, as a shell shows them.
    has_taken_all: whether the target read everything that the tap wrote.
    signals: the signals that the user sent to end the run.
    has_new_state: whether the state file changed.
    has_last_state: whether it holds the last state that the tap wrote.
    tap_error, target_error: the last lines that may say why the process failed.
    store_error: why the state could not be saved at its URL, or None.
    """

    records: int
    tap: int
    target: int
    has_taken_all: bool
    signals: Collection[int]
    state: str
    has_new_state: bool
    has_last_state: bool
    tap_error: str = ""
    target_error: str = ""
    store_error: TapError | None = None

    @property
    def exit_code(self) -> int:
        """The store's failure first, then the tap's own, the target's, and what ended it early."""
        if self.store_error is not None:
            return self.store_error.exit_code
        if self._has_tap_failed:
            return self.tap
        if self._is_target_stopped:
            return self.target
        if self.target:
            return TARGET_FAILED
        return self.tap if self.has_taken_all else TargetGoneError.exit_code

    def log(self) -> None:
        """Log one line with everything that the next step depends on."""
        LOGGER.log(self._level, "%s", self._text, extra={"fields": {"result": self._document}})

    @property
    def _has_tap_failed(self) -> bool:
        return self.tap not in (0, *ENDED_EARLY)

    @property
    def _is_target_stopped(self) -> bool:
        """Whether the user ended the target by a signal."""
        return self.target - SIGNALLED in self.signals

    @property
    def _is_stopped(self) -> bool:
        return self.exit_code - SIGNALLED in self.signals

    @property
    def _level(self) -> int:
        if self.exit_code == 0:
            return logging.INFO
        return logging.WARNING if self._is_stopped else logging.CRITICAL

    @property
    def _text(self) -> str:
        records = "1 record" if self.records == 1 else f"{self.records} records"
        parts = [
            f"{self._outcome}: {records} sent to the target",
            f"the tap ended with exit code {_code_text(self.tap)}, "
            f"the target with {_code_text(self.target)}",
        ]
        if not self.has_taken_all:
            parts.append("the target ended before it read everything")
        parts.append(self._state_text)
        if self._has_tap_failed and self.tap_error:
            parts.append(f"last error of the tap: {self.tap_error}")
        if self.target and not self._is_target_stopped and self.target_error:
            parts.append(f"last error of the target: {self.target_error}")
        return "; ".join(parts)

    @property
    def _outcome(self) -> str:
        if self.exit_code == 0:
            return "done"
        return "stopped by a signal" if self._is_stopped else "failed"

    @property
    def _state_text(self) -> str:
        if self.store_error is not None:
            return (
                f"{self.state} holds a state from before, and the next run continues from it: "
                f"{self.store_error}"
            )
        if not self.has_new_state:
            return f"the state in {self.state} is the same as before the run"
        if self.has_last_state:
            return f"the last state is saved in {self.state}"
        return (
            f"{self.state} holds the last state that the target confirmed, "
            "and the next run continues from it"
        )

    @property
    def _document(self) -> dict[str, Any]:
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "state": str(self.state),
            "store_error": "" if self.store_error is None else str(self.store_error),
            "signals": list(self.signals),
            "tap_error": self.tap_error if self.tap else "",
            "target_error": self.target_error if self.target else "",
            "exit_code": self.exit_code,
        }


def _code_text(code: int) -> str:
    """Return an exit code, with the name of the signal that ended the process."""
    try:
        name = signal.Signals(code - SIGNALLED).name
    except ValueError:
        return str(code)
    reason = ", perhaps for lack of memory" if name == "SIGKILL" else ""
    return f"{code} ({name}{reason})"
