"""What the tap offers, taken from its code: for `--about` and the documentation."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tap_intercom import __version__
from tap_intercom.breadcrumbs import dotted
from tap_intercom.discovery import copied_fields
from tap_intercom.errors import EXIT_CODES
from tap_intercom.reading.schema_notes import annotated_schema, first_version
from tap_intercom.reading.stream import Stream
from tap_intercom.settings import Settings, config_schema, document
from tap_intercom.streams import STREAMS
from tap_intercom.versions import since_text

DESCRIPTION = "A Singer tap that extracts a company's Intercom data"
SUPPORTED_PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13")
CAPABILITIES = (
    "about",
    "activate-version",
    "catalog",
    "discover",
    "properties",
    "state",
    "structured-logging",
    "test",
)
FORMATS = ("text", "json", "markdown")

Table = list[dict[str, str]]


def settings_table() -> Table:
    return [
        {
            "setting": row.name,
            "default": "secret, " + row.default if row.secret else row.default,
            "allowed": row.allowed,
            "what it does": row.help,
        }
        for row in document()
    ]


def streams_table() -> Table:
    return [
        {
            "stream": stream.name,
            "key": ", ".join(stream.key_properties),
            "replication": _replication(stream),
            "one record is": stream.summary.removeprefix("One record per ").rstrip("."),
            "permission": stream.permission,
            "requests": stream.request_cost,
        }
        for stream in STREAMS.values()
    ]


def columns_table(stream: Stream) -> Table:
    """The columns of a stream, and the fields inside them as `author.id` or `tags[].name`."""
    schema = annotated_schema(stream.name)
    copied = {dotted(place) for place in copied_fields(stream, schema, Settings())}
    return [
        {"column": path, "type": _type(column), "meaning": _meaning(path, column, copied)}
        for path, column in _fields(schema, "")
    ]


def _meaning(path: str, column: Mapping[str, Any], copied: Collection[str]) -> str:
    """The description of a field, since when it is there, and whether it is selected."""
    parts = [column.get("description", "")]
    if "since" in column:
        parts.append(f"API version {since_text(first_version(column))}.")
    if path in copied:
        parts.append("Not selected by default.")
    return " ".join(parts)


def exit_codes_table() -> Table:
    return [{"exit code": str(code), "meaning": text} for code, text in EXIT_CODES.items()]


def about(style: str) -> str:
    """Return all facts in one of FORMATS.

    JSON begins with the keys that SDK taps have, so that their readers need no other code.
    """
    if style == "json":
        return json.dumps(
            {
                "name": "tap-intercom",
                "description": DESCRIPTION,
                "version": __version__,
                "sdk_version": None,
                "supported_python_versions": SUPPORTED_PYTHON_VERSIONS,
                "capabilities": CAPABILITIES,
                "settings": config_schema(),
                "streams": streams_table(),
                "exit_codes": exit_codes_table(),
            },
            indent=2,
        )
    tables = {
        "settings": settings_table(),
        "streams": streams_table(),
        "exit codes": exit_codes_table(),
    }
    if style == "markdown":
        parts = [f"# tap-intercom {__version__}"]
        parts += [f"## {name.capitalize()}\n\n{markdown(table)}" for name, table in tables.items()]
        return "\n\n".join(parts)
    parts = [f"tap-intercom {__version__}: {', '.join(CAPABILITIES)}"]
    parts += [f"{name.upper()}\n{_text(table)}" for name, table in tables.items()]
    return "\n\n".join(parts)


def markdown(table: Table) -> str:
    """Return a table as Markdown, with names as code."""
    heads = list(table[0])
    lines = [_line(heads), _line(["---"] * len(heads))]
    for row in table:
        cells = [row[head].replace("|", "\\|") for head in heads]
        lines.append(_line([f"`{cells[0]}`", *cells[1:]]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(table: Table) -> str:
    lines = []
    for row in table:
        first, *rest = row.items()
        lines.append(first[1])
        lines += [f"    {head}: {cell}" for head, cell in rest]
    return "\n".join(lines)


def _replication(stream: Stream) -> str:
    return f"incremental by {stream.replication_key}" if stream.is_incremental else "full"


def _fields(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield path and schema of each field, an object before what is inside it."""
    for name, column in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, column
        yield from _fields(column, f"{path}.")
        yield from _fields(column.get("items", {}), f"{path}[].")


def _type(column: Mapping[str, Any]) -> str:
    """The type beside null, in words."""
    types = [column["type"]] if isinstance(column["type"], str) else column["type"]
    (kind,) = (each for each in types if each != "null")
    if kind == "array":
        return f"list of {_type(column['items'])}"
    return "time" if "format" in column else {"string": "text"}.get(kind, kind)
