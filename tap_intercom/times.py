"""Instants as Unix seconds, and their RFC 3339 text."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
FIRST_SECOND = -62135596800  # 0001-01-01T00:00:00Z
LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z
# As seconds, numbers of 13 digits are far beyond any date that somebody means. Smaller numbers are
# not: the last day of the year 9999 ends after LAST_SECOND in some time zones.
FIRST_MILLISECOND = 10**12
LAST_MILLISECOND = 1000 * LAST_SECOND

_ISO_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d+))?(?:[Zz]|([+-]\d\d):?(\d\d))?)?",
    re.ASCII,
)

DAY_SECONDS = 86_400
_MAX_HOURS = 16_384


class _HourTexts(dict[int, str]):
    """The text of each hour since 1970, made on first use.

    Raises KeyError for an hour outside the years 1 to 9999.
    """

    def __missing__(self, hour: int) -> str:
        if not FIRST_SECOND <= hour * 3600 <= LAST_SECOND:
            raise KeyError(hour)
        text = (_EPOCH + timedelta(hours=hour)).isoformat()[:14]
        if len(self) < _MAX_HOURS:
            self[hour] = text
        return text


# Tables, since this is the innermost step of writing a record: ten times per contact. The text of
# an instant is the text of its hour plus that of the second in it.
HOUR_TEXTS = _HourTexts()
SECOND_TEXTS = [f"{second // 60:02}:{second % 60:02}Z" for second in range(3600)]


def rfc3339(seconds: float) -> str | None:
    """Return the UTC text of an instant in Unix seconds, or None outside the years 1 to 9999.

    It keeps fractions of a second to the microsecond: `2026-01-31T12:00:00Z`,
    `2026-01-31T12:00:00.250000Z`.
    """
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        return None
    if type(seconds) is not int:
        whole = int(seconds // 1)
        return _with_fraction(whole, min(round((seconds - whole) * 1_000_000), 999_999))
    return HOUR_TEXTS[seconds // 3600] + SECOND_TEXTS[seconds % 3600]


def rfc3339_of_number(value: float) -> str | None:
    """Do what `rfc3339` does, also for an instant in milliseconds since September 2001."""
    if FIRST_MILLISECOND <= value <= LAST_MILLISECOND:
        return rfc3339(value // 1000 if value % 1000 == 0 else value / 1000)
    return rfc3339(value)


def utc_text(time: datetime) -> str:
    """Return the text of a time with an offset, as `rfc3339` writes it."""
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def rfc3339_of(text: str) -> str | None:
    """Convert an ISO 8601 text to UTC text as `rfc3339` writes it.

    Raises ValueError for a text that is not a date or a date with a time.
    """
    since_epoch = _instant(text) - _EPOCH
    whole = since_epoch.days * DAY_SECONDS + since_epoch.seconds
    return _with_fraction(whole, since_epoch.microseconds)


def epoch_seconds(text: str) -> float:
    """Return the Unix seconds of an ISO 8601 text; a text without an offset is UTC.

    Raises ValueError for a text that is not a date or a date with a time.
    """
    return (_instant(text) - _EPOCH).total_seconds()


def _with_fraction(whole: int, microseconds: int) -> str | None:
    text = rfc3339(whole)
    return f"{text[:-1]}.{microseconds:06}Z" if text and microseconds else text


def _instant(text: str) -> datetime:
    if usual := _ISO_TEXT.fullmatch(text):
        day, clock, fraction, hours, minutes = usual.groups()
        microseconds = (fraction or "")[:6].ljust(6, "0")
        offset = f"{hours}:{minutes}" if hours else "+00:00"
        return datetime.fromisoformat(f"{day}T{clock or '00:00:00'}.{microseconds}{offset}")
    # The library would take "now" and "" for the current time.
    if not text[:4].isdecimal():
        raise ValueError(f"{text!r} is not a date")
    import pendulum

    parsed = pendulum.parse(text, exact=True)
    if isinstance(parsed, datetime):
        return parsed
    if isinstance(parsed, date):
        return datetime(parsed.year, parsed.month, parsed.day, tzinfo=timezone.utc)
    raise ValueError(f"{text!r} is not a date")
