"""Faults on cue: what goes wrong with which requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "status",  # status, and code or body (object: JSON, text: HTML), headers
    "reset_before",  # the connection is closed without an answer
    "reset_midway",  # half of the body, then the connection is reset
    "truncated",  # Content-Length says more than what is sent
    "invalid_json",
    "error_body_200",  # an error body with status 200
    "null_list",  # the list of records is null
    "wrong_content_type",
    "slow",  # seconds
    "repeated_cursor",  # the next cursor is the one that was asked for
    "dead_cursor",
    "scroll_exists",
    "changed",  # change(body) changes the JSON of the answer, or returns another one
    "answer",  # answer(call) -> (status, headers, body)
    "edit",  # edit(workspace), run before the answer is made
]


@dataclass
class Fault:
    """A fault of matching requests: skips the first `after` ones, then happens `times` times."""

    kind: Kind
    path: re.Pattern[str] | None
    method: str | None
    after: int
    times: int | None
    details: dict[str, Any]
    seen: int = 0
    done: int = 0

    def is_due(self, method: str, path: str) -> bool:
        """Whether this request is hit; counts the request."""
        if self.method not in (None, method) or (self.path and not self.path.search(path)):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.done >= self.times):
            return False
        self.done += 1
        return True


@dataclass
class Faults:
    """The faults of a sandbox, in the order in which they were added."""

    faults: list[Fault] = field(default_factory=list)

    def add(
        self,
        kind: Kind,
        path: str | None = None,
        method: str | None = None,
        after: int = 0,
        times: int | None = 1,
        edit: Callable[[Any], object] | None = None,
        **details: Any,
    ) -> Fault:
        """Make requests fail whose path contains the regular expression `path`.

        With any kind, `edit` runs on the workspace before each answer that is hit.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"{kind!r} is not one of {', '.join(get_args(Kind))}")
        details = details | ({"edit": edit} if edit else {})
        pattern = re.compile(path) if path else None
        fault = Fault(kind, pattern, method, after, times, details)
        self.faults.append(fault)
        return fault

    def clear(self) -> None:
        self.faults.clear()

    def due(self, method: str, path: str) -> list[Fault]:
        """Return the faults that hit this request; every fault counts it."""
        return [fault for fault in list(self.faults) if fault.is_due(method, path)]
