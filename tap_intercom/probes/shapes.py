"""What an answer looks like, without anything that it says.

Values become words such as "text" or "integer", and lists become the shape of their entries. Names
of fields stay only if the tap knows them. Other names may be a person's, such as those of custom
attributes, so a position replaces them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tap_intercom.reading.stream import load_schema
from tap_intercom.streams import STREAMS

Shape = str | Sequence[str] | Mapping[str, "Shape"]

COUNT = "entries"
EACH = "each"
# Names in answers that no table keeps.
_ENVELOPE = """
    type data pages next prev page per_page total_pages starting_after total_count scroll_param
    has_more next_cursor url errors code message request_id field app id_code region timezone
    identity_verification created_at secure email_verified has_inbox_seat avatar image_url
    contacts companies conversations tickets tags notes segments teammates admins
    conversation_parts ticket_parts custom_objects job_identifier status download_url
    """
# Objects whose names somebody chose, in addition to those that the schemas leave open.
_NAMED_BY_PEOPLE = frozenset(("custom_attributes", "ticket_attributes", "metadata"))
_DIGITS = re.compile(r"[+-]?\d+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_ADDRESS = re.compile(r"https?://.*", re.DOTALL)


def shape_of(value: Any) -> Shape:
    """Return the shape of a JSON value."""
    match value:
        case dict():
            return _shape_of_object(value, keeps_names=True)
        case list():
            return _shape_of_list(value)
    return _word_for(value)


def _shape_of_object(value: Mapping[str, Any], keeps_names: bool) -> Shape:
    names = known_names()
    shape: dict[str, Shape] = {}
    replaced = 0
    for name, member in value.items():
        if keeps_names and name in names:
            shown = name
        else:
            replaced += 1
            shown = f"name {replaced}"
        is_free = not keeps_names or name in names_of_free_objects()
        if isinstance(member, dict):
            shape[shown] = _shape_of_object(member, keeps_names=not is_free)
        elif isinstance(member, list) and is_free:
            shape[shown] = {COUNT: str(len(member))}
        else:
            shape[shown] = shape_of(member)
    return shape


def _shape_of_list(value: list[Any]) -> Shape:
    return {COUNT: str(len(value)), EACH: merged(map(shape_of, value))}


def merged(shapes: Iterable[Shape]) -> Shape:
    """Return one shape for several values: all their fields, and all their words."""
    words: set[str] = set()
    fields: dict[str, list[Shape]] = {}
    for shape in shapes:
        if isinstance(shape, Mapping):
            for name, member in shape.items():
                fields.setdefault(name, []).append(member)
        elif isinstance(shape, str):
            words.add(shape)
        else:
            words.update(shape)
    if not fields:
        return sorted(words) if len(words) != 1 else words.pop()
    found: dict[str, Shape] = {name: merged(members) for name, members in fields.items()}
    if words:
        found["or"] = sorted(words)
    return found


def _word_for(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return f"integer of {len(str(abs(value)))} digits"
        case float():
            return "number"
        case "":
            return "empty text"
        case str() if _DIGITS.fullmatch(value):
            return "text of digits"
        case str() if _TIME.fullmatch(value):
            return "text of a time"
        case str() if _ADDRESS.fullmatch(value):
            return "text of an address"
    return "text"


@lru_cache(maxsize=1)
def known_names() -> frozenset[str]:
    """Return the names of fields that the tap knows."""
    found = set(_ENVELOPE.split())
    for name in STREAMS:
        _collect_names(load_schema(name), found)
    return frozenset(found)


@lru_cache(maxsize=1)
def names_of_free_objects() -> frozenset[str]:
    """Return the names of objects whose own names somebody chose."""
    found = set(_NAMED_BY_PEOPLE)
    for name in STREAMS:
        _collect_free(load_schema(name), found)
    return frozenset(found)


def _collect_names(schema: Any, found: set[str]) -> None:
    for name, member in _members(schema):
        found.add(name)
        _collect_names(member, found)


def _collect_free(schema: Any, found: set[str]) -> None:
    for name, member in _members(schema):
        inner = member.get("items", member)
        if "object" in inner.get("type", ()) and not inner.get("properties"):
            found.add(name)
        _collect_free(member, found)


def _members(schema: Any) -> Iterable[tuple[str, Any]]:
    yield from schema.get("properties", {}).items()
    items = schema.get("items")
    if isinstance(items, dict):
        yield from _members(items)
