"""Probes of all answers: their headers and forms."""

from __future__ import annotations

from collections import Counter

from tap_intercom.probes.probe import Observation, Probe, compared, differs
from tap_intercom.probes.workspace import NotSeenError, ProbedWorkspace

RATE_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


class RateLimitHeaders(Probe):
    """Every answer has the three headers of the rate limit (API-C1). Source: documented, seen."""

    name = "rate_limit_headers"
    question = "Does every answer say what is left of the rate limit?"
    assumption = "yes"
    endangers = "settings rate_limit_share and concurrency"
    if_not = "Without headers, the tap sends at most 150 requests in ten seconds."
    facts = ("API-C1",)
    most_requests = 0

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        answers = [each for each in workspace.exchanges if each.shape is not None]
        if not answers:
            raise NotSeenError("there was no answer")
        without = [each for each in answers if not {*RATE_LIMIT_HEADERS} <= each.headers.keys()]
        if without:
            statuses = ", ".join(
                str(status) for status in sorted({each.status for each in without})
            )
            return differs(f"{len(without)} of {len(answers)} answers do not (status {statuses})")
        limits = Counter(each.headers["X-RateLimit-Limit"] for each in answers)
        limit = limits.most_common(1)[0][0]
        return compared(True, f"all {len(answers)} answers; the limit of a window is {limit[:12]}")


PROBES_OF_ANSWERS = (RateLimitHeaders(),)
