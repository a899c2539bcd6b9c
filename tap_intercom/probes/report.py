"""The report of a deep check, which a person may show to anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from tap_intercom import __version__
from tap_intercom.probes.running import Finding
from tap_intercom.probes.workspace import Exchange, ProbedWorkspace


def rows(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return the results, one row for each probe."""
    return [
        {
            "probe": each.probe.name,
            "question": each.probe.question,
            "assumption": each.probe.assumption,
            "observed": each.observation.text,
            "result": each.observation.result.value,
            "endangers": each.probe.endangers,
            "facts": list(each.probe.facts),
            "requests": each.requests,
        }
        for each in found
    ]


def report(found: Sequence[Finding], workspace: ProbedWorkspace) -> dict[str, Any]:
    """Return the results and the shapes of all answers; no value of anybody is in them."""
    return {
        "tap_version": __version__,
        "api_version": workspace.settings.api_version,
        "region": workspace.settings.region,
        "requests": workspace.sent,
        "probes": rows(found),
        "answers": [_answer(each, count) for each, count in _counted(workspace.exchanges)],
    }


def _counted(exchanges: Sequence[Exchange]) -> list[tuple[Exchange, int]]:
    """Return each kind of answer once, with how often it came."""
    first: dict[bytes, Exchange] = {}
    counts: dict[bytes, int] = {}
    for each in exchanges:
        kind = [each.probe, each.method, each.path, each.status, each.shape, each.header_names]
        key = orjson.dumps(kind)
        first.setdefault(key, each)
        counts[key] = counts.get(key, 0) + 1
    return [(each, counts[key]) for key, each in first.items()]


def _answer(exchange: Exchange, count: int) -> dict[str, Any]:
    return {
        "probe": exchange.probe,
        "request": f"{exchange.method} {exchange.path}",
        "status": exchange.status,
        "count": count,
        "headers": dict(exchange.headers),
        "header_names": list(exchange.header_names),
        "shape": exchange.shape,
    }
