"""All settings of the tap: one declaration feeds parsing, `--about`, the README and the sample."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tap_intercom import __version__
from tap_intercom.errors import ConfigError
from tap_intercom.times import epoch_seconds

LOGGER = logging.getLogger("tap_intercom")

ENVIRONMENT_PREFIX = "TAP_INTERCOM_"
LOOKBACK_SECONDS = 600
REGION_URLS = {
    "us": "https://api.intercom.io",
    "eu": "https://api.eu.intercom.io",
    "au": "https://api.au.intercom.io",
}

# Keys that runners of Singer taps add to every config; they mean nothing to this tap.
_RUNNER_KEYS = {"disable_collection"}

_FIRST_VERSION, _LAST_VERSION = 7, 16
_SEARCHED_STREAMS = ("contacts", "conversations", "tickets")
_SEARCH_OPERATORS = ("=", "!=", "IN", "NIN", ">", "<", ">=", "<=", "~", "!~", "^", "$")
_SEARCH_GROUP_LIMIT = 15
_ISO_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_DOTENV_LINE = re.compile(
    r"""(?:export\s+)?(?P<name>\w+)\s*=\s*
        (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'](?:.*?\S)??)?)
        \s*(?:(?<!\S)\#.*)?""",
    re.VERBOSE,
)


class _Reason(ValueError):
    """Why a value is refused, where "is not <what is allowed>" would say too little."""


@dataclass(frozen=True)
class _Kind:
    """The values that a setting takes.

    allowed: completes "the value is not ...".
    read: turns what JSON or an environment variable holds into the setting; raises ValueError.
    """

    allowed: str
    read: Callable[[Any], Any]


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
    if len(token.split()) != 1:
        raise ValueError
    return token


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


def _numbers(read: Callable[[Any], float], allowed: str, accepts: Callable[[float], bool]) -> _Kind:
    def read_within(value: Any) -> float:
        number = read(value)
        if not accepts(number):
            raise ValueError
        return number

    return _Kind(allowed, read_within)


def _choice(*choices: str) -> _Kind:
    def read(value: Any) -> str:
        text = _text(value).lower()
        if text not in choices:
            raise ValueError
        return text

    return _Kind(f"one of {', '.join(choices)}", read)


def _instant(value: Any) -> int:
    text = _text(value)
    if "/" in text:
        instant = datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=timezone.utc)
        return max(0, int(instant.timestamp()))
    if not _ISO_INSTANT.fullmatch(text):
        raise ValueError
    return max(0, math.floor(epoch_seconds(text)))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, in whatever way its address is written."""
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
        raise _Reason("holds more than scheme, host, port and path")
    # The token is in every request: in clear it may travel inside this machine only.
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
        raise ValueError
    return url.geturl().rstrip("/")


def _api_version(value: Any) -> str:
    text = str(value).strip()
    if text.lower() == "preview":
        return "Preview"
    number = re.fullmatch(r"2\.(\d{1,2})", text, re.ASCII)
    if not number or not _FIRST_VERSION <= int(number[1]) <= _LAST_VERSION:
        raise ValueError
    return text


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _names(value: Any) -> Sequence[str]:
    """A list of texts; in one text, as the environment has it, commas part them."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(_text(each) for each in value)


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
    """A choice; YAML reads `off` as false."""
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
        raise _Reason(f"has at {place} no filter of field, operator and value")
    if not isinstance(value["field"], str) or not value["field"].strip():
        raise _Reason(f"has at {place}.field no name")
    if value["operator"] not in _SEARCH_OPERATORS:
        raise _Reason(f"has at {place}.operator none of {' '.join(_SEARCH_OPERATORS)}")
    if not _is_search_value(value["value"], value["operator"]):
        raise _Reason(f"has at {place}.value nothing that {value['operator']} can compare with")


def _search_filters(value: Any) -> dict[str, dict[str, Any]]:
    filters = _object(value)
    for stream, query in filters.items():
        if stream not in _SEARCHED_STREAMS:
            raise _Reason(f"names {stream!r}, which is not one of {', '.join(_SEARCHED_STREAMS)}")
        if not isinstance(query, dict) or query.get("operator") not in ("AND", "OR"):
            _check_search_filter(query, stream)
            continue
        members = query.get("value")
        if query.keys() != {"operator", "value"} or not isinstance(members, list) or not members:
            raise _Reason(f"has at {stream} no group of operator and a list of filters")
        if len(members) > _SEARCH_GROUP_LIMIT:
            raise _Reason(f"has at {stream} more than {_SEARCH_GROUP_LIMIT} filters in a group")
        for position, member in enumerate(members):
            _check_search_filter(member, f"{stream}.value[{position}]")
    return filters


_DETECTION_CHOICE = _choice("off", "table", "column")
_DETECTION = _Kind(_DETECTION_CHOICE.allowed, _detection)
_TEXT = _Kind("text", _text)
_TOKEN = _Kind("a token: latin-1 characters without white space", _token)
_HEADER_TEXT = _Kind("one line of latin-1 characters", _header_text)
_BOOLEAN = _Kind("true or false", _boolean)
_INSTANT = _Kind("a date: RFC 3339, YYYY-MM-DD or MM/DD/YYYY (month first), UTC", _instant)
_COUNT = _numbers(_whole_number, "a whole number from 1", lambda number: number >= 1)
_DAYS = _numbers(_whole_number, "a whole number from 0", lambda number: number >= 0)
_BASE_URL = _Kind("an https:// URL, or http:// to this machine (loopback)", _base_url)
_API_VERSION = _Kind(f"2.{_FIRST_VERSION} to 2.{_LAST_VERSION}, or Preview", _api_version)
_LOOKBACK = _Kind("a whole number from 0, or an object stream: number", _lookback)
_SEARCH_FILTERS = _Kind(
    "an object stream: filter, or stream: flat AND/OR group of filters", _search_filters
)
_NAMES = _Kind("a list of texts, or one text with commas", _names)
_SHARE = _numbers(_number, "a number above 0, at most 1", lambda number: 0 < number <= 1)
_TIMEOUT = _numbers(_number, "a number of seconds above 0", lambda number: number > 0)
_SECONDS = _numbers(_number, "a number of seconds from 0", lambda number: number >= 0)


def _default_text(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default or "none")


def _setting(
    help_text: str, kind: _Kind, default: Any = None, *, note: str = "", secret: bool = False
) -> Any:
    """A field with all that is known of a setting; note stands for the default in documents."""
    return field(
        default_factory=lambda: default,
        repr=not secret,
        metadata={
            "help": help_text,
            "kind": kind,
            "default": note or _default_text(default),
            "secret": secret,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user wants, checked. Instants are Unix seconds, UTC; None means not limited."""

    access_token: str = _setting(
        "Access token of the workspace.", _TOKEN, "", note="required", secret=True
    )
    start_date: int = _setting(
        "First instant to read, by updated_at.", _INSTANT, 0, note="required"
    )
    end_date: int | None = _setting(
        "Read up to this instant, exclusive: a backfill of one period.", _INSTANT
    )
    region: str = _setting(
        "Where the workspace is hosted.", _choice(*REGION_URLS), next(iter(REGION_URLS))
    )
    base_url: str = _setting(
        "Root of the API when it is not the region's: a proxy or the sandbox.",
        _BASE_URL,
        "",
        note="from region",
    )
    api_version: str = _setting(
        "Version of Intercom's API; streams that it lacks are not discovered.",
        _API_VERSION,
        f"2.{_LAST_VERSION}",
    )
    page_size: int | None = _setting(
        "Records on a page; smaller for workspaces whose pages time out.",
        _COUNT,
        note="the endpoint's maximum",
    )
    concurrency: int = _setting(
        "Requests in flight at most; as few are used as the rate limit needs.", _COUNT, 64
    )
    rate_limit_share: float = _setting(
        "Share of the workspace's rate limit that this tap may use; other apps have the rest.",
        _SHARE,
        0.9,
    )
    request_timeout: float = _setting(
        "Seconds for one answer as a whole; a download may take longer while it goes on.",
        _TIMEOUT,
        300.0,
    )
    max_retry_seconds: float = _setting(
        "Seconds for which one request may be retried.", _SECONDS, 600.0
    )
    lookback_seconds: int | Mapping[str, int] = _setting(
        "Seconds that a bookmark stays behind the start of its run, as search lags behind writes.",
        _LOOKBACK,
        LOOKBACK_SECONDS,
    )
    body_format: str = _setting(
        "Format of conversation part bodies.", _choice("plaintext", "html"), "plaintext"
    )
    unknown_fields: str = _setting(
        "What happens to fields that the schema does not know.", _choice("drop", "pass"), "drop"
    )
    on_missing_permission: str = _setting(
        "When the token may not read a stream: fail at the end of the run, or skip the stream.",
        _choice("fail", "skip"),
        "fail",
    )
    search_filters: Mapping[str, dict[str, Any]] = _setting(
        "For each stream a filter of Intercom's search language; only what matches is read.",
        _SEARCH_FILTERS,
        MappingProxyType({}),
    )
    add_workspace_id: bool = _setting(
        "Add _sdc_workspace_id to every record and key: ids are unique in one workspace only.",
        _BOOLEAN,
        False,
    )
    companies_source: str = _setting(
        "Endpoint for companies; list needs the write permission and ends at 10,000 records.",
        _choice("scroll", "list"),
        "scroll",
    )
    detect_deletes: str = _setting(
        "Whether to find out which contacts, companies and conversations are gone: table has them "
        "come as rows of deletions, column also as _sdc_deleted_at in their own tables.",
        _DETECTION,
        "off",
    )
    known_ids_file: str | None = _setting(
        "File for the ids that detect_deletes compares with; one for each state.",
        _TEXT,
        note="the state file with .ids",
    )
    custom_object_types: Sequence[str] = _setting(
        "Types of custom objects to read; without it, those that conversation attributes refer to.",
        _NAMES,
        (),
    )
    export_lookback_days: int = _setting(
        "How many past days to export again, and how far each export job reaches beyond its own "
        "days: opens and clicks arrive with the send day.",
        _DAYS,
        30,
    )
    export_wait_seconds: float = _setting(
        "Seconds to wait for Intercom to complete an export.", _SECONDS, 3600.0
    )
    user_agent: str = _setting(
        "User-Agent header of each request.", _HEADER_TEXT, f"tap-intercom/{__version__}"
    )
    client_id: str | None = _setting("Id of your own OAuth app, for login.", _TEXT)
    client_secret: str | None = _setting(
        "Secret of your own OAuth app, for login.", _TEXT, secret=True
    )
    redirect_uri: str | None = _setting("Redirect URL of your own OAuth app, for login.", _TEXT)
    strict: bool = _setting(
        "End with exit code 5 when fewer records came than Intercom counted.", _BOOLEAN, False
    )

    def __post_init__(self) -> None:
        if not self.base_url:
            object.__setattr__(self, "base_url", REGION_URLS[self.region])

    @property
    def version(self) -> tuple[int, int]:
        """`api_version` as numbers that compare, (2, 9) < (2, 16); Preview is above all."""
        if self.api_version == "Preview":
            return (sys.maxsize, 0)
        major, minor = self.api_version.split(".")
        return (int(major), int(minor))

    def lookback(self, stream: str) -> int:
        """Seconds that the bookmark of a stream stays behind the start of its run."""
        if isinstance(self.lookback_seconds, int):
            return self.lookback_seconds
        return self.lookback_seconds.get(stream, LOOKBACK_SECONDS)


_FIELDS = {each.name: each for each in fields(Settings)}


class Row(NamedTuple):
    """One setting as documents show it."""

    name: str
    default: str
    secret: bool
    allowed: str
    help: str


def document() -> list[Row]:
    """One row for each setting, in the order of declaration."""
    return [
        Row(
            name,
            each.metadata["default"],
            each.metadata["secret"],
            each.metadata["kind"].allowed,
            each.metadata["help"],
        )
        for name, each in _FIELDS.items()
    ]


class _Given(NamedTuple):
    """A value and the file or environment variable that it came from."""

    value: Any
    origin: str


def load(
    sources: Sequence[str],
    environment: Mapping[str, str],
    *,
    now: float,
    required: Collection[str] = ("access_token", "start_date"),
    stream_names: Collection[str] | None = None,
) -> Settings:
    """The settings that the sources give together; a later source wins.

    sources: paths of JSON files, or `ENV` for the variables TAP_INTERCOM_<NAME> of `environment`
    and, below these, of a file `.env` in the working directory.
    now: Unix seconds; a start_date after it is refused.
    stream_names: what `lookback_seconds` may name; None when that is not known.
    Raises ConfigError with all faults at once, never with the value of a secret.
    """
    given: dict[str, _Given] = {}
    faults: list[str] = []
    for source in sources:
        try:
            given.update(_from_environment(environment) if source == "ENV" else _from_file(source))
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("config: " + "; ".join(faults))

    _warn_of_unknown_names(given)
    values: dict[str, Any] = {}
    for name in _FIELDS:
        if name not in given:
            if name in required:
                allowed = _FIELDS[name].metadata["kind"].allowed
                faults.append(f"{name}: missing, must be {allowed}")
            continue
        try:
            values[name] = _FIELDS[name].metadata["kind"].read(given[name].value)
            _check_together(name, values, now, stream_names)
        except (ValueError, OverflowError, RecursionError) as error:
            faults.append(_fault(name, given[name], error))
    if faults:
        raise ConfigError("config: " + "; ".join(faults))
    return Settings(**values)


def _check_together(
    name: str, values: Mapping[str, Any], now: float, stream_names: Collection[str] | None
) -> None:
    """Refuse a value that is right in itself but not beside the clock or the other values."""
    value = values[name]
    if name == "start_date" and value > now:
        raise _Reason("is in the future")
    if name == "end_date" and value <= values.get("start_date", -1):
        raise _Reason("is not after start_date")
    if name == "lookback_seconds" and isinstance(value, Mapping) and stream_names is not None:
        for stream in value:
            if stream not in stream_names:
                hint = did_you_mean(stream, stream_names)
                raise _Reason(f"names {stream!r}, which is not a stream{hint}")


def _fault(name: str, given: _Given, error: Exception) -> str:
    metadata = _FIELDS[name].metadata
    reason = str(error) if isinstance(error, _Reason) else f"is not {metadata['kind'].allowed}"
    shown = "the value" if metadata["secret"] else _shown(given.value)
    return f"{name}: {shown} {reason} ({given.origin})"


def _shown(value: Any) -> str:
    """A value short enough for one line, without the password of a URL."""
    text = re.sub(r"//[^/\s]*@", "//***@", repr(value))
    return text if len(text) <= 100 else text[:97] + "..."


def _warn_of_unknown_names(given: Mapping[str, _Given]) -> None:
    for name, (_, origin) in given.items():
        if name not in _FIELDS and name not in _RUNNER_KEYS:
            hint = did_you_mean(name, _FIELDS)
            LOGGER.warning("config: %s: unknown setting, ignored%s (%s)", name, hint, origin)


def did_you_mean(name: str, names: Collection[str]) -> str:
    """The end of a sentence that says what was probably meant; "" where nothing is close."""
    close = get_close_matches(name, names, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _from_file(path: str) -> dict[str, _Given]:
    return {
        name: _Given(value, path)
        for name, value in _read_object(path).items()
        if not _is_blank(value)
    }


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    variables = {name: _Given(value, f"{name} in .env") for name, value in _read_dotenv()}
    variables.update({name: _Given(value, name) for name, value in environment.items()})
    # Runners set variables like TAP_INTERCOM__SELECT for themselves.
    return {
        name[len(ENVIRONMENT_PREFIX) :].lower(): given
        for name, given in variables.items()
        if name.startswith(ENVIRONMENT_PREFIX)
        and not name.startswith(ENVIRONMENT_PREFIX + "_")
        and not _is_blank(given.value)
    }


def _read_text(path: str) -> str:
    try:
        # utf-8-sig: editors on Windows begin a file with a byte order mark.
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{path} cannot be read: {reason}") from None


def _read_object(path: str) -> dict[str, Any]:
    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, value in pairs:
            if name in members:
                raise ConfigError(f"{path} holds {name!r} twice")
            members[name] = value
        return members

    text = _read_text(path)
    try:
        parsed = json.loads(text, object_pairs_hook=without_duplicates)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{path} is not JSON: {error.msg} at {place}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON that can be read") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return parsed


def _read_dotenv() -> Iterator[tuple[str, str]]:
    """Yield the variables of `.env` in the working directory that are ours, if it is there."""
    if not Path(".env").is_file():
        return
    for number, line in enumerate(_read_text(".env").splitlines(), start=1):
        if not line.strip().removeprefix("export ").lstrip().startswith(ENVIRONMENT_PREFIX):
            continue
        match = _DOTENV_LINE.fullmatch(line.strip())
        if not match:
            raise ConfigError(f".env is not NAME=value at line {number}")
        yield match["name"], match["double"] or match["single"] or match["bare"] or ""
