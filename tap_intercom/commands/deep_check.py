"""Ask the workspace what Intercom's documentation leaves open: `tap-intercom check --deep`.

It only reads. It says before it starts how many requests it sends at most, and asks. The exit code
is 0 if each assumption of the tap holds or is not seen, otherwise 5.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tap_intercom import log
from tap_intercom import text_table as tables
from tap_intercom.errors import ConfigError, ContractError, Stopped
from tap_intercom.files import replace_file
from tap_intercom.intercom.rate_limit import WINDOW_SECONDS
from tap_intercom.messages import write
from tap_intercom.probes import PROBES
from tap_intercom.probes.probe import Result
from tap_intercom.probes.report import report, rows
from tap_intercom.probes.running import Finding, findings
from tap_intercom.probes.workspace import MOST_REQUESTS, OPENING_REQUESTS, ProbedWorkspace
from tap_intercom.settings import Settings
from tap_intercom.signals import stopping

LOGGER = logging.getLogger("tap_intercom")

STDOUT = 1
WIDTH = 120
LONGEST_WAIT_SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("deep check")
    group.add_argument(
        "--deep",
        action="store_true",
        help="ask the workspace what Intercom's documentation leaves open; only reads",
    )
    group.add_argument("--yes", action="store_true", help="with --deep: start without a question")
    group.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="with --deep: write shapes, counts and headers as JSON, without any value",
    )
    group.add_argument(
        "--wait",
        type=_seconds,
        default=LONGEST_WAIT_SECONDS,
        metavar="SECONDS",
        help="with --deep: how long to wait for what ends with time, such as a page cursor "
        f"(default: {LONGEST_WAIT_SECONDS}, at most {LONGEST_WAIT_SECONDS})",
    )


def _seconds(text: str) -> int:
    seconds = int(text)
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise ValueError(text)
    return seconds


_seconds.__name__ = "seconds"  # the name that argparse shows


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Write the results to stdout, also if a signal ends the check before its last question."""
    if options.report is not None:
        _check_report(options.report)
    _ask_before(options, len(settings.access_tokens))
    log.hide_metrics()
    workspace = ProbedWorkspace(settings, longest_wait=options.wait)
    found: list[Finding] = []
    code = 0
    try:
        with stopping():
            workspace.open()
            _tell_duration(workspace)
            for finding in findings(workspace, PROBES):
                found.append(finding)
    except Stopped as stopped:
        LOGGER.warning("stopped after %d of %d questions", len(found), len(PROBES))
        code = stopped.exit_code
    _write_results(options, found)
    if options.report is not None:
        text = json.dumps(report(found, workspace), indent=2)
        replace_file("--report", options.report, f"{text}\n".encode())
    wrong = [each for each in found if each.observation.result is Result.DIFFERS]
    if wrong and not code:
        raise ContractError(
            f"{len(wrong)} of {len(found)} assumptions of the tap do not hold here; please report "
            f"this, with the file of --report. It concerns: {'; '.join(_endangered(wrong))}"
        )
    return code


def _ask_before(options: argparse.Namespace, tokens: int) -> None:
    """Say what will happen, and wait for a yes."""
    most = OPENING_REQUESTS + sum(probe.most_requests for probe in PROBES)
    lines = [
        f"This asks the workspace {len(PROBES)} questions. It only reads, and sends at most "
        f"{min(most, MOST_REQUESTS)} requests within rate_limit_share. No wait for "
        f"what ends with time takes more than {options.wait} seconds (--wait).",
        "The scroll over companies may be in use for up to a minute; other apps cannot start one "
        "meanwhile.",
    ]
    if tokens > 1:
        lines.append(f"Of the {tokens} access tokens, it uses the first.")
    for line in lines:
        for each in tables.wrapped(line, WIDTH):
            print(each, file=sys.stderr)
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("--deep asks before it starts, but stdin is not a terminal; add --yes")
    print("Start? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was asked")


def _tell_duration(workspace: ProbedWorkspace) -> None:
    """Log how long the check may take, if the rate limit makes it long."""
    limit, share = workspace.client.rate_limit, workspace.settings.rate_limit_share
    if limit is not None:
        minutes = MOST_REQUESTS / (limit.limit * share) * WINDOW_SECONDS / 60
        if minutes > 1:
            LOGGER.info(
                "the rate limit is %d requests in ten seconds, so this may take %.0f minutes; "
                "Ctrl-C shows what is known by then",
                *(limit.limit, minutes),
            )


def _write_results(options: argparse.Namespace, found: Sequence[Finding]) -> None:
    if options.format == "json":
        text = json.dumps({"probes": rows(found)}, indent=2)
    else:
        text = "\n".join(_text(found))
    write(STDOUT, text.encode() + b"\n")


def _text(found: Sequence[Finding]) -> Iterator[str]:
    if found:
        columns = ("question", "assumption", "observed", "result")
        shown = [{name: log.printable(row[name]) for name in columns} for row in rows(found)]
        yield from tables.lines(shown, WIDTH)
    for each in found:
        if each.observation.result is Result.DIFFERS:
            probe = each.probe
            yield ""
            text = f"DOES NOT HOLD {probe.question} It concerns {probe.endangers}. {probe.if_not}"
            yield from tables.wrapped(text, WIDTH, "  ")


def _endangered(wrong: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(each.probe.endangers for each in wrong))


def _check_report(path: Path) -> None:
    """Refuse a file that cannot be written, before any request."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--report: {path} cannot be written; give a file in another folder")


def check_usage(options: argparse.Namespace) -> None:
    """Refuse flags of the deep check without it."""
    flags = {"--yes": options.yes, "--report": options.report is not None}
    given = [flag for flag, is_given in flags.items() if is_given]
    if given:
        raise ConfigError(f"{' and '.join(given)}: only with --deep")
