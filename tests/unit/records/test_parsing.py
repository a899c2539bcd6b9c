"""Parsing: any body becomes a value without the characters that databases refuse, or an error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_intercom.records.parsing import FIRST_UNSAFE_INTEGER, ImpreciseNumber, exact_json, parse


@pytest.mark.parametrize(
    ("body", "value", "replaced"),
    [
        (b'{"a": [1, 1.5, null, true, "\xc3\xa9"]}', {"a": [1, 1.5, None, True, "é"]}, 0),
        (rb'{"a\u0000": "\u0000b\u0000"}', {"a�": "�b�"}, 3),
        (rb'["\\u0000"]', [r"\u0000"], 0),
        (rb'["\ud800", "\ud83d\ude00"]', ["�", "\U0001f600"], 1),
        (b'["\xff"]', ["�"], 1),
        ('["�"]'.encode(), ["�"], 0),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}, 0),
        (b'{"a": "\x00"}', {"a": "�"}, 1),
        (b"[1e400]", ["1e400"], 0),
        (b"[" + b"7" * 5000 + b"]", ["7" * 5000], 0),
        (b"[18446744073709551616]", [18446744073709551616.0], 0),
    ],
    ids=str,
)
def test_bodies_are_read(body: bytes, value: Any, replaced: int) -> None:
    assert parse(body) == (value, replaced)


def test_exact_bodies_keep_every_digit() -> None:
    assert parse(b"[18446744073709551617, 1e19, 0.1]", exact=True).value == [
        18446744073709551617,
        10**19,
        0.1,
    ]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"a": 1', b'{"a": NaN}', b"[Infinity]", b"{} {}", b"[" * 100_000],
    ids=lambda body: repr(body[:10]),
)
def test_other_bodies_are_value_errors(body: bytes) -> None:
    for exact in (False, True):
        with pytest.raises(ValueError):
            parse(body, exact=exact)


TEXTS = st.text().map(lambda text: text.replace("\0", ""))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_survives_writing_and_an_exact_parse(value: Any) -> None:
    assert parse(exact_json(value), exact=True) == (value, 0)


def test_a_rounded_number_has_no_exact_json() -> None:
    assert exact_json({"a": [FIRST_UNSAFE_INTEGER, 1.5]}) == b'{"a":[9223372036854775808,1.5]}'
    for value in (float(FIRST_UNSAFE_INTEGER), [{"a": -1e19}]):
        with pytest.raises(ImpreciseNumber):
            exact_json(value)


def test_keys_of_exact_json_can_be_sorted() -> None:
    for number in (1, 2**70):
        value = {"b": number, "a": {"d": 2, "c": "é"}}
        expected = f'{{"a":{{"c":"é","d":2}},"b":{number}}}'
        assert exact_json(value, sort_keys=True) == expected.encode()
