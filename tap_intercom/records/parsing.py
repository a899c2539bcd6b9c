"""From the bytes of an answer to a JSON value that every reader takes, and back."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

import orjson


class Parsed(NamedTuple):
    value: Any
    replaced: int
    """How many characters were replaced by U+FFFD: something for Coercions, REPLACED_CHARACTERS."""


class ImpreciseNumber(ValueError):
    """A number over 63 bits was rounded while parsing: parse the page again with `exact`."""


# As JSON writes it.
NUL = b"\\u0000"
_UNSAFE_CHARACTER = re.compile("[\x00\ud800-\udfff]")
FIRST_UNSAFE_INTEGER = 2**63


def parse(body: bytes, *, exact: bool = False) -> Parsed:
    """The JSON value of a body, with NUL and lone surrogates in its strings replaced.

    With `exact`, a number of 2**63 or more is an int of all its digits, however it is written. One
    that is too large for a double or for Python is its text.
    Raises ValueError for a body that is not JSON, or not all of it.
    """
    try:
        if not exact:
            try:
                value = orjson.loads(body)
                # From the end, Python finds it in a third of the time.
                has_nul = body.rfind(NUL) >= 0
                return _cleaned(value) if has_nul else Parsed(value, 0)
            except ValueError:
                # It also refuses lone surrogates, which are no reason to lose a page.
                pass
        text = body.decode("utf-8-sig", "replace")
        undecodable = text.count("\ufffd") - body.count("\ufffd".encode())
        value, replaced = _cleaned(_DECODER.decode(text))
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return Parsed(value, replaced + undecodable)


def _exact_float(text: str) -> float | int | str:
    number = float(text)
    if not math.isfinite(number):
        return text
    return int(number) if abs(number) >= FIRST_UNSAFE_INTEGER else number


def _exact_integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:  # more digits than Python reads
        return text


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    parse_float=_exact_float,
    parse_int=_exact_integer,
    parse_constant=_refuse_constant,
    strict=False,
)


def _cleaned(value: Any) -> Parsed:
    replaced = 0

    def clean(value: Any) -> Any:
        nonlocal replaced
        if isinstance(value, str):
            text, count = _UNSAFE_CHARACTER.subn("\ufffd", value)
            replaced += count
            return text
        if isinstance(value, dict):
            return {clean(name): clean(item) for name, item in value.items()}
        if isinstance(value, list):
            return [clean(item) for item in value]
        return value

    return Parsed(clean(value), replaced)


def exact_json(value: Any, *, sort_keys: bool = False) -> bytes:
    """The JSON of a value with all digits of its numbers; raises ImpreciseNumber, see `parse`."""
    unseen = [value]
    while unseen:
        each = unseen.pop()
        if type(each) is dict:
            unseen += each.values()
        elif type(each) is list:
            unseen += each
        elif type(each) is float and abs(each) >= FIRST_UNSAFE_INTEGER:
            raise ImpreciseNumber
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except TypeError:  # integers over 64 bits, very deep nesting
        return json.dumps(
            value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys
        ).encode()
