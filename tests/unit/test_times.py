"""Instants: Unix seconds and their texts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_intercom.times import epoch_seconds, rfc3339, rfc3339_of, rfc3339_of_number

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (1769860800, "2026-01-31T12:00:00Z"),
        (1769860800.25, "2026-01-31T12:00:00.250000Z"),
        (1769860800.0, "2026-01-31T12:00:00Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        (0.9999999, "1970-01-01T00:00:00.999999Z"),
        (1700000000.123457, "2023-11-14T22:13:20.123457Z"),
        (2738966400, "2056-10-17T00:00:00Z"),
        (-62135596800, "0001-01-01T00:00:00Z"),
        (-62135596801, None),
        (253402300799, "9999-12-31T23:59:59Z"),
        (253402300800, None),
        (1769860800000, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_seconds_become_utc_text(seconds: float, text: str | None) -> None:
    assert rfc3339(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1769860800, "2026-01-31T12:00:00Z"),
        (1769860800.25, "2026-01-31T12:00:00.250000Z"),
        (1769860800000, "2026-01-31T12:00:00Z"),
        (1769860800000.0, "2026-01-31T12:00:00Z"),
        (1769860800123, "2026-01-31T12:00:00.123000Z"),
        (1000000000000, "2001-09-09T01:46:40Z"),
        (999999999999, None),
        (253402300800, None),  # the year 10000, which some systems use for "never"
        (253402300799000, "9999-12-31T23:59:59Z"),
        (253402300799001, None),
        (-1769860800000, None),
        (1769860800000000, None),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_milliseconds_become_utc_text(number: float, text: str | None) -> None:
    assert rfc3339_of_number(number) == text


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31 12:00:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31T12:00:00-0330", "2026-01-31T15:30:00Z"),
        ("2026-01-31T12:00:00+00:30", "2026-01-31T11:30:00Z"),
        ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500000Z"),
        ("2026-01-31T12:00:00.123457Z", "2026-01-31T12:00:00.123457Z"),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456Z"),
        ("9998-01-31T12:00:00.000001Z", "9998-01-31T12:00:00.000001Z"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-W05-6", "2026-01-31T00:00:00Z"),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59-05:00", None),
    ],
)
def test_texts_become_utc_text(text: str, utc: str | None) -> None:
    assert rfc3339_of(text) == utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "soon",
        "12:00",
        "P1D",
        "31/01/2026",
        "2026-02-30",
        "2026-01-31T25:00:00Z",
        "2026-01-31T12:00:00Z ",
        "2026-01-31T12:00:00+99:00",
        "２０２６-01-31",
    ],
)
def test_other_texts_are_no_dates(text: str) -> None:
    with pytest.raises(ValueError):
        rfc3339_of(text)
    with pytest.raises(ValueError):
        epoch_seconds(text)


@given(st.integers(-62135596800, 253402300799))
def test_a_written_second_is_read_back(seconds: int) -> None:
    text = rfc3339(seconds)
    assert text is not None
    assert text == (EPOCH + timedelta(seconds=seconds)).isoformat()[:19] + "Z"
    assert epoch_seconds(text) == seconds
    assert rfc3339_of(text) == text


@given(st.text())
def test_any_text_is_a_date_or_a_value_error(text: str) -> None:
    try:
        rfc3339_of(text)
    except ValueError:
        return
