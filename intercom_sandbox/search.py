"""Intercom's search language: valid queries, and the records that they select.

The grammar: one filter, or a group (AND, OR). A group has only filters or only groups, at most 15,
and groups nest at most two levels deep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Any

Range = tuple[float, float]
"""Instants in Unix seconds, from the first (included) to the second (excluded)."""

INFINITY = float("inf")
_EVER: list[Range] = [(-INFINITY, INFINITY)]
_MAXIMUM_IN_GROUP = 15
_MAXIMUM_LEVELS = 2
_TEXT_OPERATORS = frozenset(("~", "!~", "^", "$"))
_OPERATORS = frozenset(("=", "!=", "IN", "NIN", ">", "<", ">=", "<=")) | _TEXT_OPERATORS


class QueryError(ValueError):
    """The query is outside the grammar; `code` is Intercom's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Language:
    """The valid queries on one kind of record.

    days: the timezone whose calendar days date filters are cut to; None for exact seconds.
    """

    is_field: Callable[[str], bool]
    is_date: Callable[[str], bool]
    days: tzinfo | None = None
    dates_compare_inclusively: bool = True
    greater_includes_equal: bool = False


@dataclass(frozen=True)
class Within:
    """A filter on a date: the field is in `range`."""

    field: str
    range: Range


@dataclass(frozen=True)
class Comparison:
    """Any other filter."""

    field: str
    operator: str
    value: Any


@dataclass(frozen=True)
class Group:
    operator: str
    members: tuple[Query, ...]


Query = Within | Comparison | Group


def parse(query: object, language: Language) -> Query:
    """Return the query of a search body. Raises QueryError."""
    return _parse(query, language, levels=0)


def _parse(query: object, language: Language, levels: int) -> Query:
    if not isinstance(query, dict):
        raise QueryError("parameter_invalid", "query must be an object")
    operator, value = query.get("operator"), query.get("value")
    if operator not in ("AND", "OR"):
        return _parse_filter(query, language)
    if not isinstance(value, list) or not value:
        raise QueryError("parameter_invalid", f"value of {operator} must be a list of filters")
    if len(value) > _MAXIMUM_IN_GROUP:
        raise QueryError(
            "parameter_invalid", f"at most {_MAXIMUM_IN_GROUP} filters are allowed in a group"
        )
    if levels == _MAXIMUM_LEVELS:
        raise QueryError("parameter_invalid", f"at most {_MAXIMUM_LEVELS} levels may be nested")
    if len({isinstance(each, dict) and "field" in each for each in value}) > 1:
        raise QueryError("parameter_invalid", "a group holds either filters or groups, not both")
    return Group(operator, tuple(_parse(each, language, levels + 1) for each in value))


def _parse_filter(query: dict[str, Any], language: Language) -> Query:
    field, operator, value = query.get("field"), query.get("operator"), query.get("value")
    if not isinstance(field, str) or not field:
        raise QueryError("parameter_missing", "field is missing in a filter")
    if not language.is_field(field):
        raise QueryError("invalid_field", f"{field} is not a searchable field")
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise QueryError("parameter_invalid", f"{operator} is not an operator")
    if "value" not in query:
        raise QueryError("parameter_missing", f"value is missing in the filter on {field}")
    if operator in ("IN", "NIN") and not isinstance(value, list):
        raise QueryError("type_mismatch", f"{operator} on {field} takes a list")
    if operator not in ("IN", "NIN") and isinstance(value, (list, dict)):
        raise QueryError("type_mismatch", f"{operator} on {field} takes one value")
    if field == "tag_id" and operator not in ("=", "!="):
        raise QueryError("parameter_invalid", "tag_id takes = and != only")
    if language.is_date(field) and value is not None:
        return _parse_date_filter(field, operator, value, language)
    if operator in (">", "<", ">=", "<="):
        return Comparison(field, operator, _number(field, value))
    if operator in _TEXT_OPERATORS and not isinstance(value, str):
        raise QueryError("type_mismatch", f"{operator} on {field} takes a string")
    return Comparison(field, operator, value)


def _parse_date_filter(field: str, operator: str, value: Any, language: Language) -> Query:
    if operator in _TEXT_OPERATORS:
        raise QueryError("parameter_invalid", f"{operator} is not supported on {field}")
    if operator in ("=", ">", "<"):
        return Within(field, _range(operator, _number(field, value), language))
    if not language.dates_compare_inclusively:
        raise QueryError("parameter_invalid", f"{operator} is not supported on {field}")
    if operator in (">=", "<="):
        return Within(field, _range(operator, _number(field, value), language))
    values = value if isinstance(value, list) else [value]
    numbers = [_number(field, each) for each in values]
    return Comparison(field, operator, numbers if isinstance(value, list) else numbers[0])


def _range(operator: str, instant: int, language: Language) -> Range:
    start, end = instant, instant + 1
    if language.days is not None:
        try:
            start = day_start(instant, language.days)
            end = day_start(instant, language.days, days_later=1)
        except (ValueError, OverflowError, OSError):
            # Mostly milliseconds: no calendar has that day, and no record that time.
            pass
    match operator:
        case "=":
            return start, end
        case "<":
            return -INFINITY, start
        case "<=":
            return -INFINITY, end
        case ">=":
            return start, INFINITY
    return (start if language.greater_includes_equal else end), INFINITY


def day_start(instant: int, zone: tzinfo, days_later: int = 0) -> int:
    """Return the first second of the day in `zone` with `instant`, or of a later day."""
    day = datetime.fromtimestamp(instant, zone).date() + timedelta(days=days_later)
    return int(datetime.combine(day, time(), zone).timestamp())


def _number(field: str, value: Any) -> int:
    """Convert a number, which may be text."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise QueryError("type_mismatch", f"{field} takes an integer, not {value!r}") from None


def time_ranges(query: Query | None) -> tuple[list[Range], bool]:
    """Return ascending, disjoint ranges that contain updated_at of every selected record.

    The second value is whether these ranges express the whole query.
    """
    match query:
        case None:
            return _EVER, True
        case Within("updated_at", bounds):
            return ([bounds] if bounds[0] < bounds[1] else []), True
        case Group("AND", members):
            ranges, exact = _EVER, True
            for member in members:
                member_ranges, member_exact = time_ranges(member)
                ranges = _common(ranges, member_ranges)
                exact = exact and member_exact
            return ranges, exact
        case Group("OR", members):
            answers = [time_ranges(member) for member in members]
            joined = _joined([bounds for ranges, _ in answers for bounds in ranges])
            return joined, all(exact for _, exact in answers)
    return _EVER, False


def _common(first: list[Range], second: list[Range]) -> list[Range]:
    overlaps = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return sorted((low, high) for low, high in overlaps if low < high)


def _joined(ranges: list[Range]) -> list[Range]:
    joined: list[Range] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def matches(query: Query, values_of: Callable[[str], list[Any]]) -> bool:
    """Whether a record is selected; `values_of` returns the values of a field, none for null."""
    match query:
        case Group("AND", members):
            return all(matches(member, values_of) for member in members)
        case Group(_, members):
            return any(matches(member, values_of) for member in members)
        case Within(field, (low, high)):
            return any(
                low <= value < high for value in values_of(field) if isinstance(value, (int, float))
            )
        case Comparison(field, operator, value):
            return _compare(values_of(field), operator, value)
    raise AssertionError(query)


def _compare(values: list[Any], operator: str, wanted: Any) -> bool:
    match operator:
        case "=":
            return not values if wanted is None else _normal(wanted) in map(_normal, values)
        case "IN":
            return any(_compare(values, "=", each) for each in wanted)
        case "!=":
            return not _compare(values, "=", wanted)
        case "NIN":
            return not _compare(values, "IN", wanted)
        case "!~":
            return not _compare(values, "~", wanted)
    return any(_compare_one(value, operator, wanted) for value in values)


def _compare_one(value: object, operator: str, wanted: Any) -> bool:
    if operator in _TEXT_OPERATORS:
        text, part = _normal(value), _normal(wanted)
        if operator == "~":
            return part in text
        return text.startswith(part) if operator == "^" else text.endswith(part)
    if not isinstance(value, (int, float)):
        return False
    limit = int(wanted)
    match operator:
        case ">":
            return value > limit
        case "<":
            return value < limit
        case ">=":
            return value >= limit
    return value <= limit


def _normal(value: Any) -> str:
    """Return a value as comparable text.

    Ids may be numbers or text, booleans may be text, and text matches in any case.
    """
    return str(value).casefold()
