"""Select streams and fields in a catalog file, and list what is selected.

Options apply left to right. In patterns, `*` matches any text and `?` one character. `*` also goes
into objects and lists: `*.email` is each field `email` at any depth. Selecting a field also selects
everything inside it, and the objects that contain it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from singer import metadata

from tap_intercom import log, messages
from tap_intercom import text_table as tables
from tap_intercom.breadcrumbs import Breadcrumb, above, breadcrumbs, dotted
from tap_intercom.catalog import Entry, entries, marks_of, select
from tap_intercom.errors import ConfigError
from tap_intercom.files import read_json, replace_file
from tap_intercom.settings import Settings, did_you_mean

STDOUT = 1


class Change(NamedTuple):
    """What to select or deselect.

    stream: a pattern of names.
    field: None for the stream itself. `stream.field` is a pattern of dotted names.
    """

    stream: str
    field: str | None
    selected: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--catalog",
        required=True,
        type=Path,
        metavar="FILE",
        help="catalog file from --discover; it is changed in place",
    )
    parser.set_defaults(changes=[])
    parser.add_argument(
        "--all",
        dest="changes",
        action="append_const",
        const=Change("*", None, True),
        help="select all streams",
    )
    add = partial(parser.add_argument, dest="changes", action="append")
    add("--stream", type=partial(_streams, True), metavar="PATTERN", help="select streams")
    add("--no-stream", type=partial(_streams, False), metavar="PATTERN", help="deselect streams")
    add(
        "--field",
        type=partial(_fields, True),
        metavar="STREAM.PATTERN",
        help="select fields, such as contacts.location.* or *.email",
    )
    add(
        "--no-field", type=partial(_fields, False), metavar="STREAM.PATTERN", help="deselect fields"
    )


def run(options: argparse.Namespace) -> int:
    """Make the changes, print the new selection, and return the exit code."""
    catalog = read_json("catalog", options.catalog)
    for change in options.changes:
        apply(change, catalog)
    rows = list(_rows(catalog))
    if options.changes:
        content = json.dumps(catalog, indent=2).encode() + b"\n"
        replace_file("catalog", options.catalog, content)
    lines = tables.lines(rows) if rows else ["The catalog has no streams."]
    messages.write(STDOUT, "".join(f"{log.printable(line)}\n" for line in lines).encode())
    return 0


def apply(change: Change, catalog: Any) -> None:
    """Make a change in a catalog. Raises ConfigError if nothing matches."""
    found = [each for each in entries(catalog) if fnmatchcase(each[0], change.stream)]
    if not found:
        names = [name for name, _ in entries(catalog)]
        hint = did_you_mean(change.stream, names) or f"; the catalog has {', '.join(names)}"
        raise ConfigError(f"catalog: no stream matches {change.stream!r}{hint}")
    if change.field is None:
        for name, entry in found:
            _mark(name, entry, [()], change.selected)
        return
    pattern = f"{change.stream}.{change.field}".replace("[]", "")  # the docs mark lists with it
    matching = _matching(found, pattern, dotted) or _matching(found, pattern, _without_wrappers)
    if not matching:
        names = [dotted(place) for _, entry in found for place in _places(entry)]
        hint = did_you_mean(change.field, names)
        raise ConfigError(f"catalog: no field of {change.stream} matches {change.field!r}{hint}")
    changed = [_mark(name, entry, matching.get(name, []), change.selected) for name, entry in found]
    if not any(changed):
        raise ConfigError(
            f"catalog: {change.field} of {change.stream} is a key or the replication key; "
            "both are always read"
        )


def _streams(selected: bool, pattern: str) -> Change:
    return Change(pattern, None, selected)


def _fields(selected: bool, pattern: str) -> Change:
    stream, _, field = pattern.partition(".")
    if not field:
        raise argparse.ArgumentTypeError(f"{pattern!r} is not STREAM.PATTERN")
    return Change(stream, field, selected)


def _places(entry: Entry) -> list[Breadcrumb]:
    return list(dict.fromkeys(breadcrumbs(entry.get("schema"))))


def _matching(
    found: list[tuple[str, Entry]], pattern: str, name_of: Callable[[Breadcrumb], str]
) -> dict[str, list[Breadcrumb]]:
    """Return the fields that match, or are inside of one that matches, by stream."""
    matching = {
        stream: [
            place
            for place in _places(entry)
            if any(
                fnmatchcase(f"{stream}.{name_of(each)}", pattern) for each in (*above(place), place)
            )
        ]
        for stream, entry in found
    }
    return {stream: places for stream, places in matching.items() if places}


def _without_wrappers(place: Breadcrumb) -> str:
    """Return a dotted name without the lists that Intercom wraps in an object.

    For example, ticket_parts.author for ticket_parts.ticket_parts.author.
    """
    names: list[str] = []
    for each in (*above(place), place):
        is_list = place[len(each) : len(each) + 1] == ("items",)
        if not (is_list and names and each[-1] in ("data", names[-1])):
            names.append(each[-1])
    return ".".join(names)


def _mark(name: str, entry: Entry, places: list[Breadcrumb], selected: bool) -> bool:
    """Mark fields, except those that are always read; return whether there were any others."""
    marks = marks_of(name, entry)
    chosen = [
        place
        for place in places
        if not place or marks.get(place, {}).get("inclusion") != "automatic"
    ]
    for place in chosen:
        for each in (*(above(place) if selected else ()), place):
            marks.setdefault(each, {})["selected"] = selected
    entry["metadata"] = metadata.to_list(marks)
    return bool(chosen) or selected


def _rows(catalog: Any) -> Iterator[dict[str, object]]:
    """Yield a row for each stream, as a run would interpret the catalog."""
    selections = select(catalog, Settings(), version=0, is_of_any_version=True)
    for name, entry in entries(catalog):
        fields = ""
        if name in selections:
            taken = list(dict.fromkeys(breadcrumbs(selections[name].schema)))
            fields = _fields_text(_places(entry), taken)
        yield {"stream": name, "selected": name in selections, "fields": fields}


def _fields_text(places: list[Breadcrumb], taken: list[Breadcrumb]) -> str:
    """Return the number of selected fields, and the shorter list: selected or deselected ones.

    The fields inside an object count, not the object; it is named if all of it is deselected.
    """
    is_taken = set(taken)
    if is_taken.issuperset(places):
        return f"all {len(_innermost(places))}"
    left_out = [
        dotted(place)
        for place in places
        if place not in is_taken and is_taken.issuperset(above(place))
    ]
    fields = [dotted(place) for place in _innermost(taken)]
    names, word = min((left_out, " without"), (fields, ":"), key=lambda each: len(each[0]))
    return f"{len(fields)} of {len(_innermost(places))}{word} {', '.join(names)}"


def _innermost(places: list[Breadcrumb]) -> list[Breadcrumb]:
    objects = {each for place in places for each in above(place)}
    return [place for place in places if place not in objects]
