"""Show which workspace the token belongs to, which streams it can read, and what a run costs.

It sends one request for the workspace, one for each endpoint, one for the permission for tickets,
and two or three to count the records of each search that a run would read. The exit code is 0 if
every selected stream can be read, 2 if a setting is wrong, otherwise 3.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from tap_intercom import log
from tap_intercom import text_table as tables
from tap_intercom.attachments.keeper import STREAM as ATTACHMENTS
from tap_intercom.attachments.keeper import open_place
from tap_intercom.catalog import private_of, select
from tap_intercom.commands import deep_check
from tap_intercom.commands.estimate import Amounts, Estimate, estimates, requests_at_start
from tap_intercom.errors import AuthError, ConfigError, ResponseError, TapError
from tap_intercom.files import read_catalog
from tap_intercom.intercom.client import Answer, Client, Workspace
from tap_intercom.intercom.pages import total_count, total_pages
from tap_intercom.intercom.rate_limit import WINDOW_SECONDS
from tap_intercom.intercom.tokens import missing_from_some
from tap_intercom.messages import write
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.search import DAY_MARGIN, SearchStream
from tap_intercom.reading.stream import Probe, load_schema
from tap_intercom.records.privacy import Private
from tap_intercom.settings import Settings, load
from tap_intercom.streams import STREAMS, root_of, stream_of
from tap_intercom.times import DAY_SECONDS
from tap_intercom.versions import ON_TRUST, is_described
from tap_intercom.windows import Window

FORMATS = ("text", "json")
STDOUT = 1
WIDTH = 120
# A run waits longer than a person at a terminal would.
LONGEST_RETRY_SECONDS = 30.0

REACHABLE = "reachable"
NO_PERMISSION = "missing permission"
NOT_IN_PLAN = "not in plan"
NOT_IN_VERSION = "not in this version"
NO_ANSWER = "no usable answer"


@dataclass(frozen=True)
class Personal:
    """The mode of a selected stream, and how many of its fields become hashes, and null."""

    mode: str
    hashed: int
    emptied: int


@dataclass(frozen=True)
class StreamCheck:
    """The result for one stream: `result` is one of the words above.

    records: Intercom's count, or None if it does not say.
    detail: the refusal.
    personal_data: what becomes of personal fields; None if the stream is not selected.
    """

    stream: str
    selected: bool
    result: str
    records: int | None
    permission: str
    requests: str
    detail: str | None
    personal_data: Personal | None


@dataclass(frozen=True)
class RunCost:
    """What one run of all selected streams costs; minutes are None without a rate limit."""

    requests: int
    minutes: float | None


@dataclass(frozen=True)
class Cost:
    """The estimate for a first run, and for one a day later.

    requests_per_minute: what the rate limit and the setting rate_limit_share allow.
    at_start: requests of a run before it reads.
    """

    requests_per_minute: int | None
    at_start: int
    first_run: RunCost
    next_run: RunCost
    streams: list[Estimate]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        metavar="FILE",
        help="JSON file with settings, or ENV for variables TAP_INTERCOM_*; may be repeated, the "
        "last one wins",
    )
    parser.add_argument(
        "--catalog", metavar="FILE", help="catalog file: which streams are selected"
    )
    parser.add_argument("-p", "--properties", metavar="FILE", help="deprecated alias of --catalog")
    parser.add_argument("--format", choices=FORMATS, default="text", help="output format")
    deep_check.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Check in one of two ways. Raises TapError for any problem."""
    if options.deep:
        return deep_check.run(options, _settings(options))
    deep_check.check_usage(options)
    return show(options)


def _settings(options: argparse.Namespace) -> Settings:
    if not options.config:
        raise ConfigError("config: missing; give --config FILE or --config ENV")
    settings = load(options.config, os.environ, now=time.time(), stream_names=list(STREAMS))
    log.hide(*settings.secrets)
    return settings


def show(options: argparse.Namespace) -> int:
    """Write the results to stdout. Raises AuthError, with a remedy, for any problem."""
    settings = _settings(options)
    selections = _selected(read_catalog(options.catalog, options.properties), settings)
    selected = selections.keys()
    if ATTACHMENTS in selected:
        open_place(settings)
    client = Client(
        replace(settings, max_retry_seconds=min(settings.max_retry_seconds, LONGEST_RETRY_SECONDS))
    )
    workspace = client.open_workspace()
    check = _Check(client, settings, workspace, selections)
    datasets = sorted(selected - STREAMS.keys())
    checks = [check.finding(name) for name in (*STREAMS, *datasets)]
    mismatch = workspace.mismatch(settings.region)
    warnings = [mismatch] if mismatch else []
    for finding in checks:
        if finding.result == REACHABLE:
            warnings += check.missing_permissions(finding.stream)
    warnings += _differences_of_tokens(client, settings, workspace, selected)
    about = _about(workspace, client, settings)
    readable = [each.stream for each in checks if each.selected and each.result == REACHABLE]
    cost = check.cost(readable, full=[name for name in selected if selections[name].is_full])
    if options.format == "json":
        text = json.dumps(
            {
                **about,
                "warnings": warnings,
                "streams": [asdict(each) for each in checks],
                "estimate": asdict(cost),
            },
            indent=2,
        )
    else:
        text = "\n".join(_text(about, checks, warnings, cost))
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


class _Selected(NamedTuple):
    """A selected stream: whether every run reads it in full, and what becomes of its fields."""

    is_full: bool
    personal_data: Personal


def _selected(catalog: Any, settings: Settings) -> dict[str, _Selected]:
    """Return the streams that a catalog selects, or the default ones without a catalog."""

    def selected(is_full: bool, private: Private | None) -> _Selected:
        counts = (private.hashed, private.emptied) if private else (0, 0)
        return _Selected(is_full, Personal(settings.personal_data, *counts))

    if catalog is not None:
        selections = select(catalog, settings, version=0)
        return {
            name: selected(each.version is not None, each.private)
            for name, each in selections.items()
        }
    return {
        name: selected(
            not stream.is_incremental,
            private_of(stream, load_schema(name), settings, stream.key_properties),
        )
        for name, stream in STREAMS.items()
        if stream.is_default(settings) and stream.is_in(settings)
    }


class _Check:
    """Checks each stream, with one request for each path."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        workspace: Workspace,
        selected: Mapping[str, _Selected],
    ) -> None:
        self._client = client
        self._selected = selected
        self._settings = settings
        self._answers: dict[str, Answer | TapError] = {"/me": workspace.answer}
        self._amounts_by_root: dict[str, Amounts] = {}

    def finding(self, name: str) -> StreamCheck:
        selected = self._selected.get(name)
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
            selected=selected is not None,
            result=result,
            records=records,
            permission=stream.required_permission(self._settings),
            requests=stream.request_cost,
            detail=detail,
            personal_data=selected.personal_data if selected else None,
        )

    def missing_permissions(self, name: str) -> list[str]:
        return [
            f"{name}: the token lacks the permission {lack.permission}, so Intercom leaves "
            f"out {lack.left_out}"
            for lack in stream_of(name).missing_permissions(self._ask, self._settings)
        ]

    def cost(self, names: Sequence[str], full: Sequence[str]) -> Cost:
        """Estimate the requests of runs that read these streams, some of them in full each time."""
        limit = self._client.rate_limit
        rate = limit and limit.limit * self._settings.rate_limit_share * 60 / WINDOW_SECONDS
        now = int(self._client.now())
        found = list(estimates(names, full, self._amounts, self._settings, now))
        at_start = requests_at_start({each.stream for each in found}, self._settings)

        def run(requests: int) -> RunCost:
            total = at_start + requests
            return RunCost(total, round(total / rate, 1) if rate else None)

        return Cost(
            requests_per_minute=round(rate) if rate else None,
            at_start=at_start,
            first_run=run(sum(each.first_run for each in found)),
            next_run=run(sum(each.next_run for each in found)),
            streams=found,
        )

    def _amounts(self, root: str) -> Amounts:
        """Return how many records a root stream has, and how many of them a run reads."""
        if root not in self._amounts_by_root:
            self._amounts_by_root[root] = self._count_all(root)
        return self._amounts_by_root[root]

    def _count_all(self, root: str) -> Amounts:
        stream = stream_of(root)
        if not isinstance(stream, SearchStream):
            answer = self._ask(stream.probe(self._settings))
            total = stream.count(answer)
            if total is None and isinstance(stream, ListStream) and stream.paging.smallest:
                total = total_pages(answer.body)  # the probe asks for pages of one record
            return Amounts(total, total)
        settings, now = self._settings, int(self._client.now())
        lookback = max(stream.lookback_seconds, settings.lookback(root))
        since = now - DAY_SECONDS - lookback
        changed = self._count(stream, Window(since, None))
        searched = Window(since - DAY_MARGIN, None)
        return Amounts(
            total=stream.count(self._ask(stream.probe(settings))),
            first=self._count(stream, Window(settings.start_date, settings.end_date)),
            changed=changed,
            returned=self._count(stream, searched) if stream.searches_by_day else changed,
        )

    def _count(self, stream: SearchStream, window: Window) -> int | None:
        """Return how many records changed in a window, or None if Intercom does not say."""
        try:
            probe = stream.changes_probe(self._settings, window)
            return total_count(probe.send(self._client).body)
        except TapError:
            return None

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


def _differences_of_tokens(
    client: Client, settings: Settings, workspace: Workspace, selected: Iterable[str]
) -> list[str]:
    """Return what some of several access tokens may not read, though others may."""
    clients = client.with_each_token()
    if len(clients) == 1:
        return []
    missing: dict[int, set[str]] = {each: set() for each in clients}
    for token, each in clients.items():
        check = _Check(each, settings, workspace, {})
        for name in sorted(selected):
            finding = check.finding(name)
            if finding.result == NO_PERMISSION:
                missing[token].add(f"{finding.permission} ({name})")
            elif finding.result == REACHABLE:
                missing[token].update(check.missing_permissions(name))
    return [
        f"access_token: token {token + 1} lacks what another token has: {', '.join(sorted(gap))}"
        for token, gap in missing_from_some(missing).items()
    ]


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
        "api_version_has_description": is_described(settings.version),
        "rate_limit": limit
        and {
            "limit": limit.limit,
            "remaining": limit.remaining,
            "share": settings.rate_limit_share,
        },
    }


def _text(
    about: Mapping[str, Any], checks: list[StreamCheck], warnings: list[str], cost: Cost
) -> Iterator[str]:
    """Yield the lines of the text output."""
    workspace, limit = about["workspace"], about["rate_limit"]
    left_out = ("detail", "requests", "personal_data")
    rows = [
        {name: value for name, value in vars(each).items() if name not in left_out}
        for each in checks
    ]
    yield from _wrapped(
        f"Workspace {workspace['name']} ({workspace['id']}), region {workspace['region']}, "
        f"timezone {workspace['timezone']}, as {workspace['admin']}"
    )
    trust = "" if about["api_version_has_description"] else f", {ON_TRUST}"
    yield from _wrapped(f"API version {about['api_version']}{trust}")
    yield from _wrapped(
        f"Rate limit: {limit['remaining']:,} of {limit['limit']:,} requests left in this "
        f"ten-second window; the tap uses at most {limit['share']:.0%}"
        if limit
        else "Rate limit: unknown"
    )
    yield ""
    yield from _table(rows)
    yield ""
    yield from _personal_text(checks)
    for warning in warnings:
        yield ""
        yield from _wrapped(f"WARNING {warning}", "  ")
    yield from _cost_text(cost)


def _personal_text(checks: list[StreamCheck]) -> Iterator[str]:
    """Yield what becomes of the personal fields of the selected streams."""
    found = {each.stream: each.personal_data for each in checks if each.personal_data}
    changed = {name: each for name, each in found.items() if each.hashed or each.emptied}
    for mode in {each.mode for each in found.values()}:
        rest = ", in these streams:" if changed else "; all fields stay as they are"
        yield f"Personal data: {mode}{rest}"
    if changed:
        yield ""
        yield from _table(
            [
                {"stream": name, "fields_hashed": each.hashed, "fields_emptied": each.emptied}
                for name, each in changed.items()
            ]
        )


def _cost_text(cost: Cost) -> Iterator[str]:
    if not cost.streams:
        return
    yield ""
    yield from _table(
        [
            {
                "stream": each.stream,
                "first_run": each.first_run,
                "next_run": each.next_run,
                "requests": stream_of(each.stream).request_cost,
            }
            for each in cost.streams
            if each.first_run or each.next_run
        ]
    )
    yield ""
    yield from _wrapped(f"First run: {_run_text(cost.first_run, cost)}")
    yield from _wrapped(f"Next run, a day later: {_run_text(cost.next_run, cost)}")
    yield from _wrapped(
        f"Each run sends {cost.at_start} of these before it reads. Other selected streams need no "
        "requests. Retries come in addition, and a run takes longer if Intercom answers slowly."
    )
    not_known: dict[str, list[str]] = {}
    for each in cost.streams:
        for reason in each.not_known:
            not_known.setdefault(reason, []).append(each.stream)
    if not_known:
        yield ""
        yield "Intercom does not say:"
    for reason, names in not_known.items():
        yield from _wrapped(f"- {reason} ({', '.join(names)})", "  ")


def _run_text(run: RunCost, cost: Cost) -> str:
    if run.minutes is None:
        return f"about {run.requests:,} requests, in an unknown time"
    minutes = "less than a minute" if run.minutes < 1 else f"at least {run.minutes:,.0f} minutes"
    return f"about {run.requests:,} requests, {minutes} at {cost.requests_per_minute:,} a minute"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return tables.wrapped(log.printable(text), WIDTH, indent)


def _table(rows: Sequence[Mapping[str, object]]) -> list[str]:
    printable = [
        {
            name: log.printable(value) if isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    return tables.lines(printable, WIDTH)


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
