"""Probes of the lists: their pages, filters and omissions."""

from __future__ import annotations

from typing import Any

from tap_intercom.probes.probe import Observation, Probe, compared
from tap_intercom.probes.workspace import NotSeenError, ProbedWorkspace
from tap_intercom.streams import STREAMS


class CompanySegmentsListed(Probe):
    """Whether `GET /segments` supports `type=company` (API-K19). Source: documented for old
    versions only.
    """

    name = "company_segments"
    question = "Does /segments?type=company list the segments of companies?"
    assumption = "yes"
    endangers = "stream company_segments"
    if_not = (
        "Only segments that companies name come, with fewer fields, and only if the stream "
        "companies is selected too."
    )
    facts = ("API-K19",)
    most_requests = 5

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        stream = STREAMS["company_segments"]
        params = {"type": "company"}
        usual = _ids(stream.parse_response(workspace.get(stream.path)))
        listed = _ids(stream.parse_response(workspace.get(stream.path, params)))
        own = listed - usual
        if own:
            return compared(True, f"{len(own)} segments come only with type=company")
        if listed:
            return compared(False, "the same segments come with and without type=company")
        companies = workspace.get("/companies", {"page": 1, "per_page": 50}).body.get("data")
        if any(_segments_of(company) for company in companies or ()):
            return compared(False, "no segment comes, although companies have segments")
        raise NotSeenError("companies have no segments")


def _ids(records: list[dict[str, Any]]) -> set[Any]:
    return {record.get("id") for record in records}


def _segments_of(company: Any) -> list[Any]:
    segments = company.get("segments") or {}
    return segments.get("segments") or segments.get("data") or []


PROBES_OF_LISTS = (CompanySegmentsListed(),)
