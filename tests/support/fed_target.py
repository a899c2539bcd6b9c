"""Starts a target in its own place, feeds it line by line, and kills a process of the run on cue.

    fed_target.py [--count FILE] [--kill tap|target|runner --after LINES
                  [--once-changed FILE]] TARGET ...

The target takes over this process, so `run` watches, and a kill hits, the target itself. A child
feeds it. The cue is a number of lines, and then that a file, such as the state, has changed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def other_child(runner: int, child: int) -> int:
    """The tap: the child of the runner beside the target."""
    children = Path(f"/proc/{runner}/task/{runner}/children").read_text().split()
    (other,) = {int(each) for each in children} - {child}
    return other


def content(path: Path | None) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes() if path else None
    return None


def feed(lines: BinaryIO, target: BinaryIO, options: argparse.Namespace, victim: int) -> None:
    begun_with = content(options.once_changed)
    is_due = options.kill is not None
    number = 0
    for number, line in enumerate(lines, start=1):
        target.write(line)
        target.flush()
        has_changed = not options.once_changed or content(options.once_changed) != begun_with
        if is_due and number >= options.after and has_changed:
            os.kill(victim, signal.SIGKILL)
            is_due = False
    if options.count:
        options.count.write_text(str(number))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill", choices=("tap", "target", "runner"))
    parser.add_argument("--after", type=int, default=0, help="how many lines the target gets first")
    parser.add_argument("--once-changed", type=Path, help="a file that must have changed too")
    parser.add_argument("--count", type=Path, help="file for the number of lines")
    parser.add_argument("target", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    runner, target = os.getppid(), os.getpid()
    victims = {"runner": runner, "target": target}
    if options.kill == "tap":
        victims["tap"] = other_child(runner, target)
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        os.dup2(reader, 0)
        os.execvp(options.target[0], options.target)
    # What a killed target leaves behind must not keep its output or the lock open.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
    with suppress(BrokenPipeError), open(writer, "wb") as pipe:
        feed(sys.stdin.buffer, pipe, options, victims.get(options.kill, 0))
    os._exit(0)


if __name__ == "__main__":
    main()
