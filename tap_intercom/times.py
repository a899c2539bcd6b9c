"""Instants as Unix seconds, and their RFC 3339 text."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_SECOND = -62135596800  # 0001-01-01T00:00:00Z
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z

DAY_SECONDS = 86_400


@lru_cache(maxsize=4096)
def _date_text(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d").rjust(10, "0")


_CLOCK_TEXTS = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]


def rfc3339(seconds: int | float) -> str | None:
    """The UTC text of an instant given in Unix seconds, or None outside the years 1 to 9999.

    Fractions of a second are kept to the microsecond: `2026-01-31T12:00:00Z`,
    `2026-01-31T12:00:00.250000Z`.
    """
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        return None
    whole = int(seconds // 1)
    day, second = divmod(whole, DAY_SECONDS)
    minute, second = divmod(second, 60)
    text = f"{_date_text(day)}{_CLOCK_TEXTS[minute]}{second:02}"
    if whole == seconds:
        return text + "Z"
    return f"{text}.{min(int((seconds - whole) * 1_000_000), 999_999):06}Z"


def epoch_seconds(text: str) -> float:
    """Unix seconds of an ISO 8601 text; a text without an offset is UTC.

    Raises ValueError for a text that is not a date or a date with a time.
    """
    try:
        # The form that Intercom itself sends; the library's parser takes all others.
        instant = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        import pendulum

        parsed = pendulum.parse(text, exact=True)
        if isinstance(parsed, datetime):
            instant = parsed
        elif isinstance(parsed, date):
            instant = datetime(parsed.year, parsed.month, parsed.day, tzinfo=timezone.utc)
        else:
            raise ValueError(f"{text!r} is not a date") from None
    return (instant - _EPOCH).total_seconds()
