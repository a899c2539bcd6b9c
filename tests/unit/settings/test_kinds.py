"""The kinds of values: what each one accepts, and what it makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tap_intercom.settings import kinds
from tap_intercom.settings.kinds import Kind, Reason, choice, is_loopback


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (kinds.TEXT, " a ", "a"),
        (kinds.TOKENS, " dG9r= \n", "dG9r="),
        (kinds.TOKENS, "dG9r=, b25l", "dG9r=,b25l"),
        (kinds.TOKENS, ["dG9r=", " b25l"], "dG9r=,b25l"),
        (kinds.HEADER_TEXT, "Acmé sync", "Acmé sync"),
        (kinds.BOOLEAN, True, True),
        (kinds.BOOLEAN, "YES", True),
        (kinds.BOOLEAN, " off", False),
        (kinds.BOOLEAN, 0, False),
        (kinds.INSTANT, "2024-01-01", 1_704_067_200),
        (kinds.INSTANT, "2024-01-01T02:00:00+02:00", 1_704_067_200),
        (kinds.INSTANT, "2024-01-01T00:00:00.9Z", 1_704_067_200),
        (kinds.INSTANT, "01/02/2024", 1_704_153_600),
        (kinds.INSTANT, "1960-01-01", 0),
        (kinds.COUNT, "5", 5),
        (kinds.COUNT, 5.0, 5),
        (kinds.DAYS, 0, 0),
        (kinds.SHARE, "0.5", 0.5),
        (kinds.SHARE, 1, 1.0),
        (kinds.SECONDS, 0, 0.0),
        (kinds.TIMEOUT, 0.1, 0.1),
        (kinds.BASE_URL, "https://api.eu.intercom.io/", "https://api.eu.intercom.io"),
        (kinds.BASE_URL, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (kinds.API_VERSION, "2.16", "2.16"),
        (kinds.API_VERSION, "2.18", "2.18"),
        (kinds.API_VERSION, 2.9, "2.9"),
        (kinds.API_VERSION, "preview", "Preview"),
        (kinds.LOOKBACK, "600", 600),
        (kinds.LOOKBACK, '{"contacts": 60}', {"contacts": 60}),
        (kinds.NAMES, "a, b", ("a", "b")),
        (kinds.NAMES, '["a, b"]', ("a, b",)),
        (kinds.NAMES, ["a"], ("a",)),
        (kinds.DETECTION, False, "off"),
        (kinds.DETECTION, "yes", "table"),
        (kinds.DETECTION, "Column", "column"),
        (choice("us", "eu"), " EU ", "eu"),
    ],
)
def test_a_value_is_read(kind: Kind, value: Any, expected: Any) -> None:
    found = kind.read(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (kinds.TEXT, 5),
        (kinds.TOKENS, "two words"),
        (kinds.TOKENS, ""),
        (kinds.TOKENS, []),
        (kinds.TOKENS, ["dG9r=", ""]),
        (kinds.TOKENS, ["dG9r=", 5]),
        (kinds.TOKENS, "tok\u20ac"),
        (kinds.HEADER_TEXT, "two\nlines"),
        (kinds.BOOLEAN, "maybe"),
        (kinds.BOOLEAN, 2),
        (kinds.INSTANT, "2024"),
        (kinds.INSTANT, "31/01/2024"),
        (kinds.INSTANT, 1_704_067_200),
        (kinds.INSTANT, "2024-02-30"),
        (kinds.COUNT, 0),
        (kinds.COUNT, 1.5),
        (kinds.COUNT, True),
        (kinds.COUNT, "nan"),
        (kinds.COUNT, "inf"),
        (kinds.DAYS, -1),
        (kinds.SHARE, 0),
        (kinds.SHARE, 1.01),
        (kinds.TIMEOUT, 0),
        (kinds.SECONDS, -0.1),
        (kinds.BASE_URL, "http://api.intercom.io"),
        (kinds.BASE_URL, "https://"),
        (kinds.BASE_URL, "ftp://127.0.0.1"),
        (kinds.BASE_URL, "https://user:password@api.intercom.io"),
        (kinds.BASE_URL, "https://api.intercom.io?a=1"),
        (kinds.BASE_URL, "https://api.intercom.io:0"),
        (kinds.API_VERSION, "2.6"),
        (kinds.API_VERSION, "2.19"),
        (kinds.API_VERSION, "3.1"),
        (kinds.LOOKBACK, -1),
        (kinds.LOOKBACK, {"contacts": -1}),
        (kinds.LOOKBACK, ["contacts"]),
        (kinds.NAMES, 5),
        (kinds.NAMES, [5]),
        (kinds.DETECTION, "rows"),
        (choice("us", "eu"), "de"),
    ],
)
def test_another_value_is_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(ValueError):
        kind.read(value)


FILTER = {"field": "role", "operator": "=", "value": "user"}


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"field": "role", "operator": "="}, "contacts$"),
        (FILTER | {"field": " "}, r"contacts\.field$"),
        (FILTER | {"operator": "IS"}, r"contacts\.operator$"),
        (FILTER | {"operator": "IN", "value": "user"}, r"contacts\.value$"),
        ({"operator": "AND", "value": []}, "contacts$"),
        ({"operator": "AND", "value": [FILTER] * 16}, "more than 15 filters at contacts$"),
        ({"operator": "AND", "value": [FILTER, {}]}, r"contacts\.value\[1\]$"),
    ],
)
def test_a_faulty_search_filter_is_told_with_its_place(query: Any, place: str) -> None:
    with pytest.raises(Reason, match=place):
        kinds.SEARCH_FILTERS.read({"contacts": query})


def test_only_searched_streams_have_filters() -> None:
    group = {"operator": "OR", "value": [FILTER] * 15}
    filters = {"contacts": FILTER, "tickets": group}
    assert kinds.SEARCH_FILTERS.read(filters) == filters
    with pytest.raises(Reason, match="'tags', which is not one of contacts, conversations"):
        kinds.SEARCH_FILTERS.read({"tags": FILTER})


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("192.168.0.1", False),
        ("localhost.example.com", False),
        ("::ffff:192.0.2.1", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local
