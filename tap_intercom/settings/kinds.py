"""The kinds of values that settings accept, and how to read each."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from tap_intercom.times import epoch_seconds
from tap_intercom.versions import ACCEPTED, FIRST, LAST, text_of, version_of

# What people copy with a token from an example of a request.
_SCHEME = re.compile(r"(authorization\s*:\s*)?bearer\b", re.IGNORECASE)
_SEARCHED_STREAMS = ("contacts", "conversations", "tickets")
_SEARCH_OPERATORS = ("=", "!=", "IN", "NIN", ">", "<", ">=", "<=", "~", "!~", "^", "$")
_SEARCH_GROUP_LIMIT = 15
_ISO_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)


class Reason(ValueError):
    """Why a value is refused, if "is not <what is allowed>" would say too little."""


@dataclass(frozen=True)
class Kind:
    """The values that a setting accepts.

    allowed: completes "the value is not ...".
    read: converts a value from JSON or an environment variable; raises ValueError.
    schema: the JSON Schema of the values, for programs; `read` accepts more forms.
    """

    allowed: str
    read: Callable[[Any], Any]
    schema: Mapping[str, Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value.strip()


def _header_text(value: Any) -> str:
    text = _text(value)
    if not text.isprintable():
        raise ValueError
    text.encode("latin-1")
    return text


def _token(value: Any) -> str:
    token = _header_text(value)
    if _SCHEME.match(token):
        raise Reason('begins with "Bearer"; give the token alone, the tap adds that word')
    if len(token.split()) != 1:
        raise ValueError
    return token


def _tokens(value: Any) -> str:
    """Return one token, or several with commas between them. No token contains a comma."""
    tokens = [_token(each) for each in _names(value)]
    if not tokens:
        raise ValueError
    if len({*tokens}) < len(tokens):
        raise Reason("contains a token twice")
    return ",".join(tokens)


def _boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise ValueError


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole_number(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _numbers(
    read: Callable[[Any], float],
    allowed: str,
    accepts: Callable[[float], bool],
    **schema: Any,
) -> Kind:
    def read_within(value: Any) -> float:
        number = read(value)
        if not accepts(number):
            raise ValueError
        return number

    kind = "integer" if read is _whole_number else "number"
    return Kind(allowed, read_within, {"type": kind, **schema})


def choice(*choices: str) -> Kind:
    def read(value: Any) -> str:
        text = _text(value).lower()
        if text not in choices:
            raise ValueError
        return text

    schema = {"type": "string", "enum": [*choices]}
    return Kind(f"one of {', '.join(choices)}", read, schema)


def _instant(value: Any) -> int:
    text = _text(value)
    if "/" in text:
        instant = datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=timezone.utc)
        return max(0, int(instant.timestamp()))
    if not _ISO_INSTANT.fullmatch(text):
        raise ValueError
    return max(0, math.floor(epoch_seconds(text)))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, in any form of its address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    # Not every version of Python looks at the address inside ::ffff:127.0.0.1.
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _base_url(value: Any) -> str:
    url = urlsplit(_text(value))
    host = url.hostname or ""
    if url.port == 0 or not host or not url.geturl().isprintable() or " " in url.geturl():
        raise ValueError
    if "@" in url.netloc or url.query or url.fragment:
        raise Reason("contains more than scheme, host, port and path")
    # Each request contains the token: it may travel unencrypted only inside this machine.
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise ValueError
    return url.geturl().rstrip("/")


def _api_version(value: Any) -> str:
    version = version_of(str(value).strip())
    if version not in ACCEPTED:
        raise ValueError
    return text_of(version)


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _names(value: Any) -> Sequence[str]:
    """Return a list of texts; one text, as in the environment, is split at commas."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(_text(each) for each in value)


def _patterns(value: Any) -> Mapping[str, Sequence[str]]:
    return {stream: _names(patterns) for stream, patterns in _object(value).items()}


def _lookback(value: Any) -> int | Mapping[str, int]:
    def seconds(number: Any) -> int:
        whole = _whole_number(number)
        if whole < 0:
            raise ValueError
        return whole

    try:
        return seconds(value)
    except ValueError:
        return {stream: seconds(number) for stream, number in _object(value).items()}


def _detection(value: Any) -> str:
    """Return a choice; YAML reads `off` as false."""
    try:
        return "table" if _boolean(value) else "off"
    except ValueError:
        return str(_DETECTION_CHOICE.read(value))


def _is_search_value(value: Any, operator: str) -> bool:
    if operator in ("IN", "NIN"):
        return isinstance(value, list) and all(_is_search_value(each, "=") for each in value)
    return value is None or isinstance(value, (str, int, float))


def _check_search_filter(value: Any, place: str) -> None:
    if not isinstance(value, dict) or value.keys() != {"field", "operator", "value"}:
        raise Reason(f"has no filter of field, operator and value at {place}")
    if not isinstance(value["field"], str) or not value["field"].strip():
        raise Reason(f"has no field name at {place}.field")
    if value["operator"] not in _SEARCH_OPERATORS:
        raise Reason(f"has none of {' '.join(_SEARCH_OPERATORS)} at {place}.operator")
    if not _is_search_value(value["value"], value["operator"]):
        raise Reason(f"has no value that fits {value['operator']} at {place}.value")


def _search_filters(value: Any) -> dict[str, dict[str, Any]]:
    filters = _object(value)
    for stream, query in filters.items():
        if stream not in _SEARCHED_STREAMS:
            raise Reason(f"names {stream!r}, which is not one of {', '.join(_SEARCHED_STREAMS)}")
        if not isinstance(query, dict) or query.get("operator") not in ("AND", "OR"):
            _check_search_filter(query, stream)
            continue
        members = query.get("value")
        if query.keys() != {"operator", "value"} or not isinstance(members, list) or not members:
            raise Reason(f"has no group of an operator and a list of filters at {stream}")
        if len(members) > _SEARCH_GROUP_LIMIT:
            raise Reason(f"has a group of more than {_SEARCH_GROUP_LIMIT} filters at {stream}")
        for position, member in enumerate(members):
            _check_search_filter(member, f"{stream}.value[{position}]")
    return filters


_DETECTION_CHOICE = choice("off", "table", "column")
_TEXT: Mapping[str, Any] = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 0}

DETECTION = Kind(_DETECTION_CHOICE.allowed, _detection, _DETECTION_CHOICE.schema)
TEXT = Kind("a string", _text, _TEXT)
TOKENS = Kind(
    "a token (latin-1 characters without white space), or several: a list, or text with commas",
    _tokens,
    {"type": ["string", "array"], "items": _TEXT},
)
HEADER_TEXT = Kind("one line of latin-1 characters", _header_text, _TEXT)
BOOLEAN = Kind("true or false", _boolean, {"type": "boolean"})
INSTANT = Kind(
    "a date: RFC 3339, YYYY-MM-DD or MM/DD/YYYY (month first), UTC",
    _instant,
    {"type": "string", "format": "date-time"},
)
COUNT = _numbers(_whole_number, "a whole number, at least 1", lambda number: number >= 1, minimum=1)
DAYS = _numbers(_whole_number, "a whole number, at least 0", lambda number: number >= 0, minimum=0)
BASE_URL = Kind(
    "an https:// URL, or http:// to this machine (loopback)",
    _base_url,
    {"type": "string", "format": "uri"},
)
API_VERSION = Kind(
    f"{text_of(FIRST)} to {text_of(LAST)}, or Preview",
    _api_version,
    {"type": "string", "enum": [text_of(each) for each in ACCEPTED]},
)
LOOKBACK = Kind(
    "a whole number, at least 0, or an object {stream: number}",
    _lookback,
    {"type": ["integer", "object"], "minimum": 0, "additionalProperties": _SECONDS},
)
SEARCH_FILTERS = Kind(
    "an object {stream: filter} or {stream: flat AND/OR group of filters}",
    _search_filters,
    {"type": "object", "additionalProperties": {"type": "object"}},
)
NAMES = Kind(
    "a list of strings, or one string with commas",
    _names,
    {"type": ["array", "string"], "items": _TEXT},
)
PATTERNS = Kind(
    "an object {stream: list of field patterns}",
    _patterns,
    {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
)
SHARE = _numbers(
    _number,
    "a number above 0, at most 1",
    lambda number: 0 < number <= 1,
    exclusiveMinimum=0,
    maximum=1,
)
TIMEOUT = _numbers(
    _number, "a number of seconds above 0", lambda number: number > 0, exclusiveMinimum=0
)
SECONDS = _numbers(
    _number, "a number of seconds, at least 0", lambda number: number >= 0, minimum=0
)
