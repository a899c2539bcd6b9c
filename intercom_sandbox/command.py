"""Serve a local Intercom with sample data until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from .numbers import number, whole_number
from .options import PERMISSIONS

if TYPE_CHECKING:
    from .server import Sandbox

_MISSING = (
    "tap-intercom sandbox: {name} is not installed; "
    "install what the sandbox needs: pip install aiohttp Faker"
)

_DATASET_ROWS = 40
# Years enough, and no time before 1970.
_MOST_DAYS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=whole_number(most=65_535),
        default=0,
        help="port on 127.0.0.1 (default: a free one)",
    )
    parser.add_argument(
        "--write-config",
        type=Path,
        metavar="FILE",
        help="write a config file for this sandbox",
    )
    sizes = {"contacts": 200, "companies": 40, "conversations": 60, "parts": 500, "tickets": 12}
    for name, size in sizes.items():
        parser.add_argument(
            f"--{name}",
            type=whole_number(),
            default=size,
            metavar="N",
            help=f"number of {name} (default: {size})",
        )
    parser.add_argument(
        "--days",
        type=number(most=_MOST_DAYS),
        default=365,
        help=f"days of data (default: 365, at most {_MOST_DAYS})",
    )
    parser.add_argument(
        "--files",
        action="store_true",
        help="serve the attachments of conversations and tickets; their addresses expire after "
        "30 minutes",
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed of the data (default: 1)")
    parser.add_argument(
        "--latency",
        type=number(),
        default=0.0,
        metavar="S",
        help="delay of each answer, in seconds",
    )
    parser.add_argument(
        "--rate-limit",
        type=whole_number(),
        default=1667,
        metavar="N",
        help="requests allowed in 10 seconds, 0 for no limit (default: 1667)",
    )
    parser.add_argument(
        "--without-permission",
        type=_permission,
        action="append",
        default=[],
        metavar="NAME",
        help="permission that the token does not have, by its name in Developer Hub, such as "
        "'Read tickets'; may be repeated",
    )


def _permission(name: str) -> str:
    """Return the permission that Developer Hub calls by this name."""
    for permission, known in PERMISSIONS.items():
        if name.casefold() == known.casefold():
            return permission
    names = ", ".join(sorted(PERMISSIONS.values()))
    raise argparse.ArgumentTypeError(f"no permission is called {name!r}; the names are: {names}")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code."""
    try:
        from .sample import generate
        from .server import Sandbox
    except ModuleNotFoundError as exc:
        print(_MISSING.format(name=exc.name), file=sys.stderr)
        return 2
    workspace = generate(
        seed=args.seed,
        contacts=args.contacts,
        companies=args.companies,
        conversations=args.conversations,
        parts=args.parts,
        tickets=args.tickets,
        datasets=_DATASET_ROWS,
        days=args.days,
        files=args.files,
    )
    rate_limit = args.rate_limit or None
    sandbox = Sandbox(
        workspace,
        port=args.port,
        latency=args.latency,
        rate_limit=rate_limit,
        permissions=PERMISSIONS.keys() - {*args.without_permission},
    )
    return serve(sandbox, args.write_config)


def serve(sandbox: Sandbox, write_config: Path | None = None) -> int:
    """Serve in this thread until SIGINT or SIGTERM, and return the exit code."""

    def when_listening() -> None:
        if write_config:
            start = sandbox.workspace.first_instant()
            _write_config(write_config, sandbox.token, sandbox.url, start)
        print(f"The sandbox listens on {sandbox.url}, token {sandbox.token}", file=sys.stderr)

    async def until_interrupted() -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, sandbox.stop)
        await sandbox.serve(when_listening)

    try:
        asyncio.run(until_interrupted())
    except (OSError, OverflowError) as exc:  # a port that is taken, or that cannot be
        print(f"tap-intercom sandbox: {exc}", file=sys.stderr)
        return 2
    return 0


def _write_config(path: Path, token: str, url: str, first_instant: int) -> None:
    """Write a config for the tap that only its owner can read."""
    start = datetime.fromtimestamp(first_instant, timezone.utc)
    config = {
        "access_token": token,
        "start_date": start.strftime("%Y-%m-%dT00:00:00Z"),
        "base_url": url,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps(config, indent=2) + "\n")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tap-intercom sandbox", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))
