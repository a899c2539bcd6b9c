"""A local Intercom: `serve` starts it, and the other commands change its records meanwhile."""

from __future__ import annotations

import argparse
import sys

from . import command, edit_command


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m intercom_sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help=command.__doc__, description=command.__doc__)
    command.add_arguments(serve)
    edit_command.add_commands(commands)
    args = parser.parse_args(argv)
    return command.run(args) if args.command == "serve" else edit_command.run(args)


if __name__ == "__main__":
    sys.exit(main())
