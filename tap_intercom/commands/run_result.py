"""How a run of the tap and a target ended: its exit code, and the last line of its log."""

from __future__ import annotations

import logging
import signal
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from tap_intercom.commands.pipeline import TARGET, MapperEnd
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
    mappers: how the mappers between the two ended.
    failed: the mapper or target that failed before all others, or "".
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
    mappers: Sequence[MapperEnd] = ()
    failed: str = ""

    @property
    def exit_code(self) -> int:
        """The store's failure first, then the tap's own, the target's, and what ended it early."""
        if self.store_error is not None:
            return self.store_error.exit_code
        if self._has_tap_failed:
            return self.tap
        if (mapper := self._failed_mapper) is not None and mapper.code:
            return mapper.code if mapper.code - SIGNALLED in self.signals else TARGET_FAILED
        if self._is_target_stopped:
            return self.target
        if self.target and mapper is None:
            return TARGET_FAILED
        return self.tap if self.has_taken_all else TargetGoneError.exit_code

    def log(self) -> None:
        """Log one line with everything that the next step depends on."""
        LOGGER.log(self._level, "%s", self._text, extra={"fields": {"result": self._document}})

    @property
    def _has_tap_failed(self) -> bool:
        return self.tap not in (0, *ENDED_EARLY)

    @property
    def _failed_mapper(self) -> MapperEnd | None:
        return next((each for each in self.mappers if each.name == self.failed), None)

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
        first = self.mappers[0].name if self.mappers else TARGET
        parts = [
            f"{self._outcome}: {records} sent to the {first}",
            f"the tap ended with exit code {_code_text(self.tap)}, {self._ends_text}",
        ]
        if not self.has_taken_all:
            parts.append(f"the {self.failed or TARGET} ended before it read everything")
        parts.append(self._state_text)
        parts += [f"last error of the {name}: {text}" for name, text in self._errors if text]
        return "; ".join(parts)

    @property
    def _ends_text(self) -> str:
        ends = [f"the {each.name} with {_code_text(each.code)}" for each in self.mappers]
        return ", ".join([*ends, f"the target with {_code_text(self.target)}"])

    @property
    def _errors(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the last error of each process that failed by itself."""
        if self._has_tap_failed:
            yield "tap", self.tap_error
        if (mapper := self._failed_mapper) is not None:
            yield mapper.name, mapper.error if mapper.code else ""
        elif self.target and not self._is_target_stopped:
            yield TARGET, self.target_error

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
            "mappers": [asdict(each) for each in self.mappers],
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
