"""Show which workspace the token belongs to, and which streams it can read.

It sends one request for the workspace, one for each endpoint and one for the permission for
tickets. The exit code is 0 if every selected stream can be read, otherwise 3.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tap_intercom import log
from tap_intercom import text_table as tables
from tap_intercom.catalog import select
from tap_intercom.errors import AuthError, ConfigError, ResponseError, TapError
from tap_intercom.files import read_catalog
from tap_intercom.intercom.client import Answer, Client, Workspace
from tap_intercom.messages import write
from tap_intercom.reading.stream import Probe
from tap_intercom.settings import Settings, load
from tap_intercom.streams import STREAMS, root_of, stream_of

FORMATS = ("text", "json")
STDOUT = 1
# A run waits longer than a person at a terminal would.
LONGEST_RETRY_SECONDS = 30.0

REACHABLE = "reachable"
NO_PERMISSION = "missing permission"
NOT_IN_PLAN = "not in plan"
NOT_IN_VERSION = "not in this version"
NO_ANSWER = "no usable answer"


@dataclass(frozen=True)
class StreamCheck:
    """The result for one stream: `result` is one of the words above.

    records: Intercom's count, or None if it does not say.
    detail: the refusal.
    """

    stream: str
    selected: bool
    result: str
    records: int | None
    permission: str
    requests: str
    detail: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", action="append", metavar="FILE", help="JSON file with settings, or ENV"
    )
    parser.add_argument(
        "--catalog", metavar="FILE", help="catalog file: which streams are selected"
    )
    parser.add_argument("-p", "--properties", metavar="FILE", help="deprecated alias of --catalog")
    parser.add_argument("--format", choices=FORMATS, default="text", help="output format")


def run(options: argparse.Namespace) -> int:
    """Write the results to stdout. Raises AuthError, with a remedy, for any problem."""
    if not options.config:
        raise ConfigError("config: missing; give --config FILE or --config ENV")
    settings = load(options.config, os.environ, now=time.time(), stream_names=list(STREAMS))
    log.hide(settings.access_token, settings.client_secret)
    selected = _selected(read_catalog(options.catalog, options.properties), settings)
    client = Client(
        replace(settings, max_retry_seconds=min(settings.max_retry_seconds, LONGEST_RETRY_SECONDS))
    )
    workspace = client.open_workspace()
    check = _Check(client, settings, workspace)
    datasets = sorted(selected - STREAMS.keys())
    checks = [check.finding(name, name in selected) for name in (*STREAMS, *datasets)]
    mismatch = workspace.mismatch(settings.region)
    warnings = [mismatch] if mismatch else []
    for finding in checks:
        if finding.result == REACHABLE:
            warnings += check.missing_permissions(finding.stream)
    about = _about(workspace, client, settings)
    if options.format == "json":
        document = {**about, "warnings": warnings, "streams": [vars(each) for each in checks]}
        text = json.dumps(document, indent=2)
    else:
        text = _text(about, checks, warnings)
    write(STDOUT, text.encode() + b"\n")
    problems: dict[str, list[str]] = {}
    for finding in checks:
        if finding.selected and finding.result != REACHABLE:
            problems.setdefault(_advice(finding), []).append(finding.stream)
    if problems:
        raise AuthError(
            "; ".join(f"{', '.join(names)}: {advice}" for advice, names in problems.items())
        )
    return 0


def _selected(catalog: Any, settings: Settings) -> set[str]:
    """Return the streams that a catalog selects, or the default ones without a catalog."""
    if catalog is not None:
        return set(select(catalog, settings, version=0))
    return {
        name
        for name, stream in STREAMS.items()
        if stream.is_default(settings) and stream.is_in(settings)
    }


class _Check:
    """Checks each stream, with one request for each path."""

    def __init__(self, client: Client, settings: Settings, workspace: Workspace) -> None:
        self._client = client
        self._settings = settings
        self._answers: dict[str, Answer | TapError] = {"/me": workspace.answer}

    def finding(self, name: str, is_selected: bool) -> StreamCheck:
        stream = stream_of(name)
        result, records, detail = NOT_IN_VERSION, None, None
        if stream.is_in(self._settings):
            try:
                root = stream_of(root_of(name))
                answer = self._ask(root.probe(self._settings))
                total = root.count(answer)
                records = total if stream is root else stream.count(answer)
                result = REACHABLE
            except TapError as error:
                result, detail = _meaning(error), str(error)
        return StreamCheck(
            stream=name,
            selected=is_selected,
            result=result,
            records=records,
            permission=stream.required_permission(self._settings),
            requests=stream.request_cost,
            detail=detail,
        )

    def missing_permissions(self, name: str) -> list[str]:
        return [
            f"{name}: the token lacks the permission {lack.permission}, so Intercom leaves "
            f"out {lack.left_out}"
            for lack in stream_of(name).missing_permissions(self._ask, self._settings)
        ]

    def _ask(self, probe: Probe) -> Answer:
        """Return the answer to a probe; each path is asked once. Raises TapError."""
        if probe.path not in self._answers:
            try:
                self._answers[probe.path] = probe.send(self._client)
            except TapError as error:
                self._answers[probe.path] = error
        answer = self._answers[probe.path]
        if isinstance(answer, TapError):
            raise answer
        return answer


def _meaning(error: TapError) -> str:
    """Return what a refusal means if Intercom accepts the token itself (API-B2)."""
    if isinstance(error, AuthError):
        return NOT_IN_PLAN if error.is_of_plan else NO_PERMISSION
    if isinstance(error, ResponseError) and error.code == "intercom_version_invalid":
        return NOT_IN_VERSION
    return NO_ANSWER


def _about(workspace: Workspace, client: Client, settings: Settings) -> dict[str, Any]:
    limit = client.rate_limit
    return {
        "workspace": {
            "id": workspace.id,
            "name": workspace.name,
            "region": workspace.region,
            "timezone": workspace.timezone,
            "admin": workspace.admin,
        },
        "api_version": settings.api_version,
        "rate_limit": limit
        and {
            "limit": limit.limit,
            "remaining": limit.remaining,
            "share": settings.rate_limit_share,
        },
    }


def _text(about: Mapping[str, Any], checks: list[StreamCheck], warnings: list[str]) -> str:
    workspace, limit = about["workspace"], about["rate_limit"]
    rows = [
        {name: value for name, value in vars(each).items() if name != "detail"} for each in checks
    ]
    lines = [
        f"Workspace {workspace['name']} ({workspace['id']}), region {workspace['region']}, "
        f"timezone {workspace['timezone']}, as {workspace['admin']}",
        f"API version {about['api_version']}",
        f"Rate limit: {limit['remaining']:,} of {limit['limit']:,} requests left in this "
        f"ten-second window; the tap uses at most {limit['share']:.0%}"
        if limit
        else "Rate limit: unknown",
        "",
        *tables.lines(rows),
        *(line for warning in warnings for line in ("", f"WARNING {warning}")),
    ]
    return "\n".join(log.printable(line) for line in lines)


def _advice(finding: StreamCheck) -> str:
    """Return why a stream cannot be read, and what to do; one text for each cause."""
    if finding.result == NO_PERMISSION:
        return (
            f"the token lacks the permission {finding.permission!r}; tick it in "
            "Developer Hub > your app > Authentication, or deselect the stream"
        )
    if finding.result == NOT_IN_PLAN:
        return "the workspace's plan does not include this; deselect the stream"
    if finding.result == NOT_IN_VERSION:
        return "api_version does not have this; set another version, or deselect the stream"
    return str(finding.detail)
