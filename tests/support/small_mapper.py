"""A mapper for tests: adds a column to each record, and its flags say what goes wrong."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import Any


def mapped(message: dict[str, Any], column: str) -> dict[str, Any]:
    """A message with the new column."""
    if message["type"] == "SCHEMA":
        message["schema"]["properties"][column] = {"type": ["null", "boolean"]}
    if message["type"] == "RECORD":
        message["record"][column] = True
    return message


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--column", default="is_mapped")
    parser.add_argument("--config", help="a file that only the runner reads")
    parser.add_argument("--fails-after", type=int, help="exit with 9 after so many lines")
    parser.add_argument("--dies-after", type=int, help="kill itself in the middle of that line")
    parser.add_argument("--drops-states", action="store_true")
    parser.add_argument("--says", help="an error to log at the end")
    options = parser.parse_args()
    print(f"the mapper has begun: {os.getpid()}", file=sys.stderr, flush=True)
    for number, line in enumerate(sys.stdin, start=1):
        message = json.loads(line)
        text = json.dumps(mapped(message, options.column))
        if number == options.dies_after:
            print(text[: len(text) // 2], end="", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if number == options.fails_after:
            print(options.says or "ERROR no such column", file=sys.stderr)
            sys.exit(9)
        if message["type"] != "STATE" or not options.drops_states:
            print(text, flush=True)


if __name__ == "__main__":
    main()
