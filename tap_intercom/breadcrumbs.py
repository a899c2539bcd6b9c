"""Breadcrumbs: Singer's way to say where a field is in a schema.

`("properties", "tags", "items", "properties", "name")` is the field `name` of the objects in the
list `tags`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Breadcrumb = tuple[str, ...]


def breadcrumbs(schema: Any, place: Breadcrumb = ()) -> Iterator[Breadcrumb]:
    """Yield the breadcrumb of each field in a schema at `place`, and of all fields inside it."""
    for inner, child in fields_of(schema, place):
        yield inner
        yield from breadcrumbs(child, inner)


def fields_of(schema: Any, place: Breadcrumb = ()) -> Iterator[tuple[Breadcrumb, Any]]:
    """Yield breadcrumb and schema of the fields of an object, or of the objects in a list."""
    if not isinstance(schema, Mapping):
        return
    if isinstance(properties := schema.get("properties"), Mapping):
        for name, child in properties.items():
            yield (*place, "properties", name), child
    yield from fields_of(schema.get("items"), (*place, "items"))
    for keyword in ("anyOf", "oneOf"):
        for branch in schema.get(keyword) or ():
            yield from fields_of(branch, place)


def above(place: Breadcrumb) -> list[Breadcrumb]:
    """Return the fields that contain a field, the outermost first."""
    return [place[:end] for end in _ends(place)[:-1]]


def dotted(place: Breadcrumb) -> str:
    """Return a breadcrumb as people write it, such as `tags.name`."""
    return ".".join(place[end - 1] for end in _ends(place))


def is_in_list(place: Breadcrumb) -> bool:
    """Whether a field is inside the objects of a list."""
    return len(place) > 2 * len(_ends(place))


def _ends(place: Breadcrumb) -> list[int]:
    """Return where each field in a breadcrumb ends. A field itself may be called `items`."""
    ends, end = [], 0
    while end < len(place):
        is_field = place[end] == "properties" and end + 1 < len(place)
        end += 2 if is_field else 1
        if is_field:
            ends.append(end)
    return ends
