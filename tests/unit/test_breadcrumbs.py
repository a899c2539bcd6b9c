"""Where a field is in a schema."""

from __future__ import annotations

from typing import Any

import pytest

from tap_intercom.breadcrumbs import above, breadcrumbs, dotted, is_in_list

TEXT = {"type": "string"}


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def a_list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        (an_object(a=TEXT), ["a"]),
        (an_object(a=an_object(b=TEXT)), ["a", "a.b"]),
        (an_object(a=a_list(an_object(b=a_list(an_object(c=TEXT))))), ["a", "a.b", "a.b.c"]),
        (an_object(a=a_list(TEXT)), ["a"]),
        (an_object(a={"anyOf": [an_object(b=TEXT), {"type": "null"}]}), ["a", "a.b"]),
        (
            an_object(items=a_list(an_object(properties=an_object(items=TEXT)))),
            ["items", "items.properties", "items.properties.items"],
        ),
        ({}, []),
        (None, []),
        ({"properties": None, "items": [TEXT]}, []),
    ],
)
def test_every_field_has_a_place_and_a_name(schema: Any, names: list[str]) -> None:
    places = list(breadcrumbs(schema))
    assert [dotted(place) for place in places] == names
    for place in places:
        assert [dotted(each) for each in above(place)] == [
            name for name in names if dotted(place).startswith(f"{name}.")
        ]


def test_a_place_says_whether_it_is_in_a_list() -> None:
    places = breadcrumbs(an_object(items=a_list(an_object(a=TEXT)), b=an_object(items=TEXT)))
    assert [dotted(place) for place in places if is_in_list(place)] == ["items.a"]
