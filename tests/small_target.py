"""A target for tests: rows go to a file, and its flags say what goes wrong on the way.

It holds rows back until a STATE comes, and then writes them before it prints the state.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def kill(who: str) -> None:
    """End the tap, the target (this process) or the runner of both, with SIGKILL."""
    runner = os.getppid()
    children = Path(f"/proc/{runner}/task/{runner}/children").read_text().split()
    (tap,) = {int(child) for child in children} - {os.getpid()}
    os.kill({"runner": runner, "tap": tap, "target": os.getpid()}[who], signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path)
    parser.add_argument("--silent", action="store_true", help="print no state")
    parser.add_argument("--fails-after", type=int, help="exit with 7 after so many lines")
    parser.add_argument("--fails-at-end", action="store_true", help="exit with 7 after the last")
    parser.add_argument("--kill", choices=("runner", "tap", "target"))
    parser.add_argument("--after", type=int, help="how many lines --kill waits for")
    parser.add_argument("--stays", action="store_true", help="stay when the input has ended")
    options = parser.parse_args()
    print("the target has begun", file=sys.stderr)
    print("not a state\nnor this", flush=True)
    held: list[bytes] = []
    with options.rows.open("ab") as rows:
        for number, line in enumerate(sys.stdin.buffer, start=1):
            message = json.loads(line)
            if message["type"] == "RECORD":
                held.append(line)
            elif message["type"] == "STATE" and not options.silent:
                rows.writelines(held)
                rows.flush()
                held.clear()
                with suppress(BrokenPipeError):
                    print(json.dumps(message["value"]), flush=True)
            if number == options.after:
                kill(options.kill)
            if number == options.fails_after:
                os._exit(7)
        rows.writelines(held)
    if options.stays:
        print(f"the target stays: {os.getpid()}", file=sys.stderr, flush=True)
        signal.alarm(60)  # no longer than any test
        signal.pause()
    os._exit(7 if options.fails_at_end else 0)


if __name__ == "__main__":
    main()
