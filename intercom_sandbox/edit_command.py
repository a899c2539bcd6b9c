"""Look at the records of a running sandbox, and change them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from .numbers import whole_number

TIMEOUT_SECONDS = 30
# The sandbox is on this machine, so no proxy is used.
_OPENER = build_opener(ProxyHandler({}))


class CommandError(Exception):
    """The message is for people."""


def add_commands(commands: Any) -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--url", help="URL of the sandbox (default: base_url in config.json of this folder)"
    )

    def command(name: str, text: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = commands.add_parser(
            name, help=text, description=text, parents=[common]
        )
        found.set_defaults(act=globals()[f"_{name}"])
        return found

    each = command("list", "Print the newest records of a table, one on each line.")
    each.add_argument("table")
    each.add_argument("--count", type=whole_number(), default=10, metavar="N", help="default: 10")
    each = command("add", "Add a record, and print it.")
    each.add_argument("table")
    each.add_argument("fields", nargs="*", type=_field, metavar="FIELD=VALUE")
    each = command("edit", "Set fields of a record, and print it.")
    each.add_argument("table")
    each.add_argument("id")
    each.add_argument("fields", nargs="+", type=_field, metavar="FIELD=VALUE")
    each = command("merge", "Merge a contact into another one, and print that one.")
    each.add_argument("source", metavar="SOURCE_ID")
    each.add_argument("target", metavar="TARGET_ID")
    each = command("delete", "Delete a record, and print what it was.")
    each.add_argument("table")
    each.add_argument("id")


def run(args: argparse.Namespace) -> int:
    try:
        for record in args.act(args):
            print(json.dumps(record, ensure_ascii=False))
    except CommandError as error:
        print(f"intercom_sandbox: {error}", file=sys.stderr)
        return 2
    return 0


def _list(args: argparse.Namespace) -> list[Any]:
    records = _ask(args, "GET", f"records/{quote(args.table, safe='')}")
    newest = sorted(records, key=lambda each: str(each.get("updated_at", "")), reverse=True)
    return newest[: args.count]


def _add(args: argparse.Namespace) -> list[Any]:
    return [_ask(args, "POST", f"records/{quote(args.table, safe='')}", _fields(args.fields))]


def _edit(args: argparse.Namespace) -> list[Any]:
    return [_ask(args, "PATCH", _path(args.table, args.id), _fields(args.fields))]


def _merge(args: argparse.Namespace) -> list[Any]:
    return [_ask(args, "POST", "merges", {"source": args.source, "target": args.target})]


def _delete(args: argparse.Namespace) -> list[Any]:
    return [_ask(args, "DELETE", _path(args.table, args.id))]


def _path(table: str, key: str) -> str:
    return f"records/{quote(table, safe='')}/{quote(key, safe='/')}"


def _field(text: str) -> tuple[list[str], Any]:
    """Split `custom_attributes.seats=5` into the way to a field and its value.

    A value is JSON if it can be, and text otherwise.
    """
    path, equals, value = text.partition("=")
    if not (path and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    try:
        return path.split("."), json.loads(value)
    except ValueError:
        return path.split("."), value


def _fields(pairs: list[tuple[list[str], Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for path, value in pairs:
        inner = fields
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = value
    return fields


def _ask(args: argparse.Namespace, method: str, path: str, body: Any = None) -> Any:
    url = args.url or _url_of_config(Path("config.json"))
    request = Request(
        f"{url.rstrip('/')}/_sandbox/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)
    except HTTPError as error:
        raise CommandError(_message(error)) from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise CommandError(f"no sandbox answers on {url} ({reason})") from None


def _message(error: HTTPError) -> str:
    try:
        return str(json.load(error)["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        return f"the answer is {error.code}; is this a sandbox?"


def _url_of_config(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["base_url"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CommandError(
            f"give the URL of the sandbox with --url, or use a folder whose {path} has base_url"
        ) from None
