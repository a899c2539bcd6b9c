"""Tables as text: aligned columns that a person reads."""

from __future__ import annotations

from tap_intercom.text_table import lines


def test_numbers_are_on_the_right_and_texts_on_the_left() -> None:
    rows: list[dict[str, object]] = [
        {"stream": "tags", "records_sent": 1_234_567, "share": 0.5, "complete": True},
        {"stream": "conversation_parts", "records_sent": None, "share": 12, "complete": False},
    ]
    assert lines(rows) == [
        "stream              records sent  share  complete",
        "tags                   1,234,567    0.5  yes",
        "conversation_parts             -     12  no",
    ]


def test_a_column_with_one_text_is_a_column_of_texts() -> None:
    assert lines([{"n": 1, "next": "a"}, {"n": "none", "next": "b"}]) == [
        "n     next",
        "1     a",
        "none  b",
    ]


def test_no_line_ends_with_spaces() -> None:
    assert lines([{"name": "a", "reason": ""}, {"name": "b", "reason": "a long one"}]) == [
        "name  reason",
        "a",
        "b     a long one",
    ]
