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
from typing import Any


def kill(who: str) -> None:
    """End the tap, the target (this process) or the runner of both, with SIGKILL."""
    runner = os.getppid()
    children = Path(f"/proc/{runner}/task/{runner}/children").read_text().split()
    (tap,) = {int(child) for child in children} - {os.getpid()}
    os.kill({"runner": runner, "tap": tap, "target": os.getpid()}[who], signal.SIGKILL)


def printed(style: str, state: dict[str, Any], earlier: dict[str, Any]) -> str:
    """A state as a target may print it. earlier: the one before."""
    if style == "sorted":
        return json.dumps(state, sort_keys=True, separators=(" , ", " : ")) + "\n"
    if style == "message":
        return json.dumps({"value": state, "type": "STATE"}) + "\n"
    if style == "joined":
        return json.dumps(state)
    if style == "bookmarks of several":
        # As targets do that load streams apart: the newest bookmark of one, older ones of others.
        newest = {**earlier["bookmarks"], "contacts": state["bookmarks"].get("contacts")}
        bookmarks = {name: bookmark for name, bookmark in newest.items() if bookmark}
        return json.dumps({**earlier, "bookmarks": bookmarks}) + "\n"
    return json.dumps(state) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path)
    parser.add_argument("--style", default="", help="how states are printed")
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
    earlier: dict[str, Any] = {}
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
                    text = printed(options.style, message["value"], earlier or message["value"])
                    print(text, end="", flush=True)
                earlier = message["value"]
            if number == options.after:
                kill(options.kill)
            if number == options.fails_after:
                os._exit(7)
        rows.writelines(held)
    if options.stays:
        # Python would not notice a signal that comes just before the pause.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print(f"the target stays: {os.getpid()}", file=sys.stderr, flush=True)
        signal.alarm(60)  # no longer than any test
        signal.pause()
    os._exit(7 if options.fails_at_end else 0)


if __name__ == "__main__":
    main()
