"""Run probes one after the other; one that fails does not stop the others."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tap_intercom.errors import AuthError, ResponseError, TapError, UnavailableError
from tap_intercom.probes.probe import Observation, Probe, Result
from tap_intercom.probes.workspace import NotSeenError, ProbedWorkspace

_CODE = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True)
class Finding:
    """The result of one probe, and how many requests it cost."""

    probe: Probe
    observation: Observation
    requests: int


def findings(workspace: ProbedWorkspace, probes: Sequence[Probe]) -> Iterator[Finding]:
    """Yield what each probe observes."""
    for probe in probes:
        before = workspace.sent
        workspace.begin(probe.name, probe.most_requests)
        observation = _observed(probe, workspace)
        yield Finding(probe, observation, workspace.sent - before)


def _observed(probe: Probe, workspace: ProbedWorkspace) -> Observation:
    try:
        return probe.observe(workspace)
    except NotSeenError as error:
        reason = str(error)
    except TapError as error:
        reason = _reason(error)
    except Exception as error:
        # Its text may quote an answer, so only its kind and place are shown.
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"an answer had an unknown form ({type(error).__name__} in {place.name})"
    return Observation(Result.NOT_SEEN, reason)


def _reason(error: TapError) -> str:
    """Return why there was no answer, without the text of Intercom."""
    match error:
        case AuthError() if error.is_of_plan:
            return f"the workspace's plan does not include it ({error.status})"
        case AuthError():
            return f"the token lacks the permission ({error.status})"
        case ResponseError():
            code = f" {error.code}" if _CODE.fullmatch(error.code) else ""
            return f"the request was refused ({error.status}{code})"
        case UnavailableError():
            return "there was no usable answer"
    return "an answer had an unknown form"
