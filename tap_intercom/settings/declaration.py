"""All settings: one declaration for parsing, `--about`, the documents and the sample."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tap_intercom import __version__
from tap_intercom.errors import ConfigError
from tap_intercom.settings.kinds import (
    API_VERSION,
    BASE_URL,
    BOOLEAN,
    COUNT,
    DAYS,
    DETECTION,
    HEADER_TEXT,
    INSTANT,
    LOOKBACK,
    NAMES,
    PATTERNS,
    SEARCH_FILTERS,
    SECONDS,
    SHARE,
    TEXT,
    TIMEOUT,
    TOKENS,
    Kind,
    Reason,
    choice,
)
from tap_intercom.settings.sources import Given, from_environment, from_file
from tap_intercom.versions import DEFAULT, Version, text_of, trust_text, version_of

LOGGER = logging.getLogger("tap_intercom")
LOOKBACK_SECONDS = 600
REGION_URLS = {
    "us": "https://api.intercom.io",
    "eu": "https://api.eu.intercom.io",
    "au": "https://api.au.intercom.io",
}
_REQUIRED = "required"
# Keys that runners of Singer taps add to every config; this tap ignores them.
_RUNNER_KEYS = {"disable_collection"}


def _default_text(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default or "none")


def _setting(
    help_text: str, kind: Kind, default: Any = None, *, note: str = "", secret: bool = False
) -> Any:
    """Return a field with all facts about a setting; documents show `note` as its default."""
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
    """The user's checked settings. Instants are Unix seconds, UTC; None means no limit."""

    access_token: str = _setting(
        "Access token of the workspace; with tokens of several apps of the same workspace, the tap "
        "uses the rate limit of each.",
        TOKENS,
        "",
        note=_REQUIRED,
        secret=True,
    )
    start_date: int = _setting(
        "Read records that changed at or after this time (by updated_at).",
        INSTANT,
        0,
        note=_REQUIRED,
    )
    end_date: int | None = _setting(
        "Read records that changed before this time, to backfill one period.", INSTANT
    )
    region: str = _setting(
        "Region that hosts the workspace.", choice(*REGION_URLS), next(iter(REGION_URLS))
    )
    base_url: str = _setting(
        "Root URL of the API, for a proxy or the sandbox.",
        BASE_URL,
        "",
        note="from region",
    )
    api_version: str = _setting(
        "Version of Intercom's API; discovery leaves out streams that it does not have. "
        + trust_text(),
        API_VERSION,
        text_of(DEFAULT),
    )
    page_size: int | None = _setting(
        "Records per page; reduce it if pages time out.",
        COUNT,
        note="the endpoint's maximum",
    )
    concurrency: int = _setting("Maximum number of concurrent requests.", COUNT, 64)
    rate_limit_share: float = _setting(
        "Share of the workspace's rate limit that the tap may use; the rest is for other apps.",
        SHARE,
        0.9,
    )
    request_timeout: float = _setting(
        "Seconds for one whole answer; a download may take longer while data arrives.",
        TIMEOUT,
        300.0,
    )
    max_retry_seconds: float = _setting("Seconds to keep retrying one request.", SECONDS, 600.0)
    lookback_seconds: int | Mapping[str, int] = _setting(
        "Seconds that a bookmark stays behind the start of its run, because search lags.",
        LOOKBACK,
        LOOKBACK_SECONDS,
    )
    body_format: str = _setting(
        "Format of messages and notes; articles and other content stay HTML.",
        choice("plaintext", "html"),
        "plaintext",
    )
    unknown_fields: str = _setting(
        "What to do with fields that are not in the schema.", choice("drop", "pass"), "drop"
    )
    on_missing_permission: str = _setting(
        "If the token cannot read a stream: fail at the end of the run, or skip the stream.",
        choice("fail", "skip"),
        "fail",
    )
    search_filters: Mapping[str, dict[str, Any]] = _setting(
        "One filter of Intercom's search for each stream; only matching records are read.",
        SEARCH_FILTERS,
        MappingProxyType({}),
    )
    add_workspace_id: bool = _setting(
        "Add _sdc_workspace_id to every record and key; ids are unique only within a workspace.",
        BOOLEAN,
        False,
    )
    companies_source: str = _setting(
        "Endpoint for companies; list needs the write permission and stops at 10,000 records.",
        choice("scroll", "list"),
        "scroll",
    )
    detect_deletes: str = _setting(
        "Detect deleted contacts, companies and conversations: table writes them as rows of "
        "deletions, column also sets _sdc_deleted_at in their own tables.",
        DETECTION,
        "off",
    )
    known_ids_file: str | None = _setting(
        "File with the ids of the previous run, for detect_deletes; use one for each state file.",
        TEXT,
        note="state file + .ids",
    )
    activate_version: bool = _setting(
        "End full reads with ACTIVATE_VERSION, so a target deletes the rows of earlier ones; false "
        "for a target that takes only SCHEMA, RECORD and STATE.",
        BOOLEAN,
        True,
    )
    attachments_dir: str | None = _setting(
        "Where the stream attachments stores files: a folder, or a URL such as s3://bucket/files.",
        TEXT,
    )
    attachment_max_bytes: int = _setting(
        "Largest file to store, in bytes; a larger one gets only a row.", COUNT, 1_000_000_000
    )
    inline_images: bool = _setting(
        "Store inline images of conversations also if body_format is plaintext; this costs a "
        "second request for each conversation.",
        BOOLEAN,
        False,
    )
    custom_object_types: Sequence[str] = _setting(
        "Types of custom objects to read (default: those that conversation attributes refer to).",
        NAMES,
        (),
    )
    export_lookback_days: int = _setting(
        "How many past days to export again, because opens and clicks arrive with the send day; "
        "each export job also covers this many days after its own.",
        DAYS,
        30,
    )
    export_wait_seconds: float = _setting(
        "Seconds to wait until Intercom completes an export.", SECONDS, 3600.0
    )
    user_agent: str = _setting(
        "User-Agent header of each request.", HEADER_TEXT, f"tap-intercom/{__version__}"
    )
    client_id: str | None = _setting("Client id of your OAuth app, for login.", TEXT)
    client_secret: str | None = _setting(
        "Client secret of your OAuth app, for login.", TEXT, secret=True
    )
    redirect_uri: str | None = _setting("Redirect URL of your OAuth app, for login.", TEXT)
    personal_data: str = _setting(
        "What becomes of personal fields: keep, hash (identifiers, addresses and names become "
        "hashes, all else null), or drop (null).",
        choice("keep", "hash", "drop"),
        "keep",
    )
    hash_key: str | None = _setting(
        "Key of the hashes; required when anything is hashed.", TEXT, secret=True
    )
    hash_fields: Mapping[str, Sequence[str]] = _setting(
        "Fields to hash, for each stream; they are hashed in each mode of personal_data.",
        PATTERNS,
        MappingProxyType({}),
    )
    keep_fields: Mapping[str, Sequence[str]] = _setting(
        "Personal fields to keep, for each stream; custom attributes are personal unless named "
        "here.",
        PATTERNS,
        MappingProxyType({}),
    )
    strict: bool = _setting(
        "Fail with exit code 5 if Intercom sends fewer records than it counts.", BOOLEAN, False
    )

    def __post_init__(self) -> None:
        if not self.base_url:
            object.__setattr__(self, "base_url", REGION_URLS[self.region])

    def privacy_of(self, stream: str) -> tuple[str, str, Sequence[str], Sequence[str]]:
        """Return the mode and the key, and the fields of a stream to hash and to keep."""
        hashed, kept = self.hash_fields.get(stream, ()), self.keep_fields.get(stream, ())
        return self.personal_data, self.hash_key or "", hashed, kept

    @property
    def access_tokens(self) -> list[str]:
        """The tokens in access_token, each alone."""
        return self.access_token.split(",")

    @property
    def secrets(self) -> list[str | None]:
        """The values of all secret settings."""
        secrets = [getattr(self, name) for name, each in _FIELDS.items() if each.metadata["secret"]]
        return [*secrets, *self.access_tokens]

    @property
    def region_of_base_url(self) -> str | None:
        """The region that base_url is the address of, or None if it is another host."""
        host = urlsplit(self.base_url).hostname
        hosts = {urlsplit(url).hostname: region for region, url in REGION_URLS.items()}
        return hosts.get(host)

    @property
    def version(self) -> Version:
        """`api_version` in a form that compares."""
        return version_of(self.api_version)

    def lookback(self, stream: str) -> int:
        """Return how many seconds a stream's bookmark stays behind the start of its run."""
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
    """Return one row for each setting, in the order of declaration."""
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


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file, in the form that SDK taps give."""
    properties = {name: _property(each) for name, each in _FIELDS.items()}
    required = [name for name, each in _FIELDS.items() if _is_required(each)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
    }


def _is_required(setting: Field[Any]) -> bool:
    return bool(setting.metadata["default"] == _REQUIRED)


def _property(setting: Field[Any]) -> dict[str, Any]:
    metadata, default = setting.metadata, _default(setting)
    found = {**metadata["kind"].schema}
    if not (_is_required(setting) or "enum" in found):
        # A setting that is null counts as not given.
        types = found["type"]
        found["type"] = [*([types] if isinstance(types, str) else types), "null"]
    description = f"{metadata['help']} Must be {metadata['kind'].allowed}."
    if metadata["secret"]:
        found |= {"secret": True, "writeOnly": True}
    elif default is not None:
        found["default"] = default
    elif metadata["default"] not in (_REQUIRED, _default_text(None)):
        description += f" Default: {metadata['default']}."
    return {**found, "description": description}


def _default(setting: Field[Any]) -> Any:
    """Return the default as JSON, or None if the tap derives it from something else."""
    default = setting.default_factory() if callable(setting.default_factory) else None
    if setting.metadata["default"] != _default_text(default):
        return None
    return dict(default) if isinstance(default, Mapping) else default


def load(
    sources: Sequence[str],
    environment: Mapping[str, str],
    *,
    now: float,
    required: Collection[str] = ("access_token", "start_date"),
    stream_names: Collection[str] | None = None,
) -> Settings:
    """Return the settings of all sources; a later source wins.

    Raises ConfigError with all faults at once, never with the value of a secret.

    sources: paths of JSON files, or `ENV` for the variables TAP_INTERCOM_<NAME> of `environment`
        and, with lower priority, of a file `.env` in the working directory.
    now: Unix seconds; a later start_date is refused.
    stream_names: the names allowed in `lookback_seconds`; None if they are not known.
    """
    given: dict[str, Given] = {}
    faults: list[str] = []
    for source in sources:
        try:
            given.update(from_environment(environment) if source == "ENV" else from_file(source))
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
    settings = Settings(**values)
    if (settings.personal_data == "hash" or settings.hash_fields) and not settings.hash_key:
        raise ConfigError("config: hash_key: missing, but personal_data or hash_fields needs it")
    _warn_of_two_regions(settings, given)
    return settings


def _warn_of_two_regions(settings: Settings, given: Mapping[str, Given]) -> None:
    actual = settings.region_of_base_url
    if "region" in given and actual not in (None, settings.region):
        LOGGER.warning(
            "config: region is %s, but base_url is the address of region %s; the tap uses "
            "base_url. Remove one of the two settings",
            settings.region,
            actual,
        )


def _check_together(
    name: str, values: Mapping[str, Any], now: float, stream_names: Collection[str] | None
) -> None:
    """Refuse a value that is valid itself but not with the clock or the other values."""
    value = values[name]
    if name == "start_date" and value > now:
        raise Reason("is in the future")
    if name == "end_date" and value <= values.get("start_date", -1):
        raise Reason("is not after start_date")
    by_stream = ("lookback_seconds", "hash_fields", "keep_fields")
    if name in by_stream and isinstance(value, Mapping) and stream_names is not None:
        for stream in value:
            is_dataset = name != "lookback_seconds" and stream.startswith("reporting_")
            if not is_dataset and stream not in stream_names:
                hint = did_you_mean(stream, stream_names)
                raise Reason(f"names {stream!r}, which is not a stream{hint}")


def _fault(name: str, given: Given, error: Exception) -> str:
    metadata = _FIELDS[name].metadata
    reason = str(error) if isinstance(error, Reason) else f"is not {metadata['kind'].allowed}"
    shown = "the value" if metadata["secret"] else _shown(given.value)
    return f"{name}: {shown} {reason} ({given.origin})"


def _shown(value: Any) -> str:
    """Return a value short enough for one line, without the password of a URL."""
    text = re.sub(r"//[^/\s]*@", "//***@", repr(value))
    return text if len(text) <= 100 else text[:97] + "..."


def _warn_of_unknown_names(given: Mapping[str, Given]) -> None:
    for name, (_, origin) in given.items():
        if name not in _FIELDS and name not in _RUNNER_KEYS:
            hint = did_you_mean(name, _FIELDS)
            LOGGER.warning("config: %s: unknown setting, ignored%s (%s)", name, hint, origin)


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return the end of a sentence with the probable name, or "" if no name is close."""
    close = get_close_matches(name, names, n=1)
    return f", did you mean {close[0]}?" if close else ""
