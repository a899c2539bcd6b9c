"""What a probe is: a question about Intercom that requests on one workspace can answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from tap_intercom.probes.workspace import ProbedWorkspace


class Result(Enum):
    """Whether the tap's assumption is true on this workspace."""

    HOLDS = "holds"
    DIFFERS = "does not hold"
    NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Observation:
    """What a probe observed, in plain words and without a value of anybody."""

    result: Result
    text: str


class Probe:
    """One question.

    A subclass is data and `observe`. Its docstring states the fact and its source.

    name: identifies the probe in reports.
    question: the question, for people.
    assumption: the answer that the tap assumes.
    endangers: the streams or the setting that depend on it.
    if_not: what follows if the assumption does not hold.
    facts: the marks of the facts that it checks, in docs/intercom-api.md.
    most_requests: the limit of its requests, attempts and retries included.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    assumption: ClassVar[str]
    endangers: ClassVar[str]
    if_not: ClassVar[str]
    facts: ClassVar[tuple[str, ...]]
    most_requests: ClassVar[int]

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Answer the question by reading. Raises NotSeenError or TapError if that is impossible."""
        raise NotImplementedError


def holds(text: str) -> Observation:
    return Observation(Result.HOLDS, text)


def differs(text: str) -> Observation:
    return Observation(Result.DIFFERS, text)


def compared(is_as_assumed: bool, text: str) -> Observation:
    return holds(text) if is_as_assumed else differs(text)
