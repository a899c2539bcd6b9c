"""Bookmarks: where each stream continues, and what its bookmark covers.

    {"bookmarks": {"contacts": {"updated_at": "2026-01-31T12:00:00Z",
                                "since": "2020-01-01T00:00:00Z",
                                "workspace": "abc123", "filters": "9f2c…"},
                   "companies": {…, "covers": ["companies without users"]}},
     "currently_syncing": "contacts"}

A bookmark without `since` was made by another tap.

updated_at: everything that changed before it has been written.
since: the start_date from which this is true.
workspace: the workspace that was read.
filters: a hash of the search filters in use.
covers: the rows it includes that only come with some settings, permissions or API versions.
missing_since, missing_until: progress of a read for a start_date before `since`.
export_job: the identifier of a pending export, for the next run to cancel.

A member that no longer applies is null, not absent: Meltano can merge states, and then keeps what a
later state does not name.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from tap_intercom.errors import ConfigError
from tap_intercom.times import FIRST_SECOND, LAST_SECOND, epoch_seconds, rfc3339
from tap_intercom.windows import Window

LOGGER = logging.getLogger("tap_intercom")

_SECONDS_AS_TEXT = re.compile(r"-?\d{9,}(\.\d+)?", re.ASCII)

OWN_KEYS = (
    "updated_at",
    "since",
    "workspace",
    "filters",
    "covers",
    "missing_since",
    "missing_until",
)
# The keys of bookmarks of taps built on the Meltano SDK.
SDK_KEYS = (
    "replication_key",
    "replication_key_value",
    "replication_key_signpost",
    "starting_replication_value",
    "progress_markers",
)
# A bookmark may be this much later than now, since the clocks of two runs differ.
CLOCK_TOLERANCE_SECONDS = 300


@dataclass(frozen=True)
class Origin:
    """What a run reads, as far as a bookmark depends on it. Instants are Unix seconds.

    end: the setting end_date.
    now: the start of the run.
    safe: the instant that no bookmark passes, since Intercom's search index may not have later
        changes yet.
    latest: the start of the run by the later of two clocks that differ; None if now is certain.
    """

    start_date: int
    end: int | None
    workspace: str | None
    filters: str | None
    now: int
    safe: int
    latest: int | None = None

    def trusted(self, instant: int) -> int | None:
        """Return an earlier run's own start as a safe instant, or None if it is in the future.

        A start slightly later than now comes from a clock that was ahead.
        """
        if instant <= self.now:
            return instant
        latest = max(self.now, self.latest or self.now)
        is_possible = instant <= latest + CLOCK_TOLERANCE_SECONDS
        return instant - CLOCK_TOLERANCE_SECONDS if is_possible else None

    @property
    def limit(self) -> int:
        """The latest instant that a bookmark of this run may reach."""
        return self.safe if self.end is None else min(self.safe, self.end)


@dataclass(frozen=True)
class Plan:
    """What a stream reads in this run, and what its bookmark will contain.

    main: the window from the bookmark on; None if there is nothing to read.
    missing: a period before the bookmark's own `since`, read first; None if there is nothing to
        read.
    floor: the bookmark at the start of the run.
    since: the start_date from which the bookmark is true.
    extra: values of other programs in the bookmark.
    covers, workspace: values for the new bookmark.
    leaves_out: which rows of earlier runs cannot come again.
    """

    main: Window | None
    missing: Window | None = None
    floor: int | None = None
    since: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    covers: frozenset[str] | None = None
    workspace: str | None = None
    leaves_out: str | None = None

    @property
    def windows(self) -> list[Window]:
        return [window for window in (self.missing, self.main) if window is not None]

    def wants(self, updated_at: float | None) -> bool:
        """Whether a record belongs to this run; one without a time always does."""
        return updated_at is None or any(window.holds(updated_at) for window in self.windows)


def hash_filters(filters: Mapping[str, Any] | None) -> str | None:
    """Return a short text that changes when search filters change, or None without filters."""
    if not filters:
        return None
    return hashlib.sha256(orjson.dumps(filters, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


class State:
    """The state document of a run; it keeps unknown members as they are."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = copy.deepcopy(dict(document))
        self._bookmarks: dict[str, Any] = self._document.setdefault("bookmarks", {})
        self._reached: dict[str, int] = {}

    @property
    def document(self) -> dict[str, Any]:
        return self._document

    @property
    def currently_syncing(self) -> str | None:
        name = self._document.get("currently_syncing")
        return name if isinstance(name, str) else None

    @currently_syncing.setter
    def currently_syncing(self, stream: str | None) -> None:
        self._document.pop("currently_syncing", None)
        if stream is not None:
            self._document["currently_syncing"] = stream

    @property
    def export_job(self) -> str | None:
        """The export job that was pending when the state was written."""
        identifier = self._document.get("export_job")
        return identifier if isinstance(identifier, str) else None

    @export_job.setter
    def export_job(self, identifier: str | None) -> None:
        self._document.pop("export_job", None)
        if identifier is not None:
            self._document["export_job"] = identifier

    def updated_at(self, stream: str) -> str | None:
        """Return the time in a stream's bookmark, as written there."""
        bookmark = self._bookmark(stream)
        instant = bookmark.get("updated_at") or bookmark.get("replication_key_value")
        return None if instant is None else str(instant)

    def plan(
        self,
        stream: str,
        origin: Origin,
        *,
        lookback: int,
        key: str = "updated_at",
        parent: str | None = None,
        whole: bool = False,
        covers: frozenset[str] | None = None,
    ) -> Plan:
        """Return what to read of a stream, according to its bookmark.

        Raises ConfigError for a bookmark of another workspace, or one with an invalid time.

        key: the replication key, by which other taps name their bookmark.
        parent: the stream that a child may not be ahead of in another tap's state.
        whole: read from start_date in any case.
        covers: what the run covers; None if that depends on nothing.
        """
        self._reached.pop(stream, None)
        bookmark = self._bookmark(stream)
        time_key = _time_key(bookmark, key)
        updated_at = _instant(stream, bookmark, time_key)
        since = _instant(stream, bookmark, "since")
        from_start = self._from_start(bookmark, time_key, origin, covers)
        if updated_at is None:
            if any(value not in (None, "") for value in bookmark.values()):
                LOGGER.warning(
                    "%s: the bookmark has no time in %s; reading from start_date",
                    stream,
                    key,
                )
            return from_start
        if since is not None:
            _check_workspace(stream, bookmark, origin)
            from_start = replace(from_start, leaves_out=_leaves_out(bookmark, since, from_start))
        trusted = origin.trusted(max(updated_at, since or updated_at))
        if trusted is None:
            LOGGER.warning(
                "%s: the bookmark %s is in the future; reading from start_date",
                stream,
                rfc3339(updated_at),
            )
            return from_start
        is_past = updated_at <= origin.now
        start = updated_at if is_past else trusted
        floor = updated_at if is_past else None
        if since is None:
            if not whole:
                begin = self._foreign_start(stream, start, parent) - lookback
                from_start = replace(from_start, main=_window(begin, origin.end))
            return replace(from_start, floor=floor)
        if changed := _what_changed(bookmark, origin, covers):
            LOGGER.warning("%s: %s; reading again from start_date", stream, changed)
            return from_start
        if whole:
            # If start_date is after the bookmark, the period between them stays unread.
            reached_from = since if origin.start_date <= updated_at else None
            return replace(from_start, floor=floor, since=reached_from)
        return replace(
            from_start,
            main=_window(max(start, since), origin.end),
            missing=_missing_window(stream, bookmark, origin, since),
            floor=floor,
            since=since,
        )

    def _from_start(
        self,
        bookmark: Mapping[str, Any],
        time_key: str,
        origin: Origin,
        covers: frozenset[str] | None,
    ) -> Plan:
        """Return the plan that reads from start_date, and keeps what other programs noted."""
        known = {*OWN_KEYS, *SDK_KEYS, time_key}
        return Plan(
            _window(origin.start_date, origin.end),
            extra={name: value for name, value in bookmark.items() if name not in known},
            covers=covers,
            workspace=origin.workspace or self._workspace(bookmark),
        )

    def advance(self, stream: str, plan: Plan, origin: Origin, reached: int) -> None:
        """Note that a stream is complete up to `reached`; a bookmark never moves back."""
        reached = min(reached, origin.limit)
        if reached <= self._reached.get(stream, reached - 1):
            # A second pass over a window begins before the end of the first one.
            return
        self._reached[stream] = reached
        is_before = plan.floor is not None and reached < plan.floor
        # Earlier runs have read what is after the missing period and before the bookmark.
        is_missing = plan.since is not None and (reached <= plan.since or is_before)
        if plan.missing is not None and plan.since is not None and is_missing:
            self._advance_missing(stream, plan, origin, min(reached, plan.since))
            return
        if is_before:
            return
        since = origin.start_date if plan.since is None else min(plan.since, origin.start_date)
        entry = {**plan.extra, "updated_at": rfc3339(reached), "since": rfc3339(since)}
        if origin.filters:
            entry["filters"] = origin.filters
        gone = {"filters", "missing_since", "missing_until"} & self._bookmark(stream).keys()
        self._bookmarks[stream] = {**dict.fromkeys(sorted(gone)), **entry, **_marks(plan)}

    def _advance_missing(self, stream: str, plan: Plan, origin: Origin, reached: int) -> None:
        entry = dict(self._bookmark(stream))
        assert plan.since is not None
        if reached < plan.since:
            entry["missing_since"] = rfc3339(origin.start_date)
            entry["missing_until"] = rfc3339(reached)
        else:
            entry["since"] = rfc3339(origin.start_date)
            entry |= dict.fromkeys({"missing_since", "missing_until"} & entry.keys())
        self._bookmarks[stream] = entry | _marks(plan)

    def _foreign_start(self, stream: str, updated_at: int, parent: str | None) -> int:
        """Return where to continue from another tap's bookmark.

        A child's bookmark may be ahead of its parent's, which is then used.
        """
        if parent is None:
            return updated_at
        bookmark = self._bookmark(parent)
        of_parent = _instant(parent, bookmark, _time_key(bookmark, "updated_at"))
        return updated_at if of_parent is None else min(updated_at, of_parent)

    def _workspace(self, bookmark: Mapping[str, Any]) -> str | None:
        """Return the workspace of a bookmark, or of any other, since a state has one workspace."""
        others = (self._bookmark(stream) for stream in self._bookmarks)
        found = (each.get("workspace") for each in (bookmark, *others))
        return next((each for each in found if isinstance(each, str) and each), None)

    def _bookmark(self, stream: str) -> dict[str, Any]:
        """Return a stream's bookmark in any form: an object, a bare time, null or nothing."""
        bookmark = self._bookmarks.get(stream)
        if bookmark is None:
            bookmark = self._document.get(stream)
        if isinstance(bookmark, dict):
            return bookmark
        return {} if bookmark is None else {"updated_at": bookmark}


def state_in(document: Any) -> dict[str, Any] | None:
    """Return the state in a JSON document, with its bookmarks under `bookmarks`.

    The document may be a state of this or another tap, a STATE message, or Meltano's record of a
    job. Early taps wrote bookmarks without `bookmarks` around them; that is a state if it names one
    of our tables. Return None for anything else, such as a config or a catalog.
    """
    if not isinstance(document, dict):
        return None
    if document.get("type") == "STATE":
        return state_in(document.get("value"))
    for wrapper in ("singer_state", "completed"):
        if isinstance(document.get(wrapper), dict):
            return state_in(document[wrapper])
    bookmarks = document.get("bookmarks") or {}
    if not isinstance(bookmarks, dict):
        return None
    is_state = (
        "bookmarks" in document
        or document.keys() <= {"currently_syncing"}
        or any(name in _tables() and _is_bookmark(value) for name, value in document.items())
    )
    return {**document, "bookmarks": bookmarks} if is_state else None


def read_state(document: Any) -> State:
    """Return the state of a run from its JSON document. Raises ConfigError if it is not a state."""
    found = state_in(document)
    if found is None:
        raise ConfigError(f"state: {_fault(document)}")
    return State(found)


def _fault(document: Any) -> str:
    """Return why a document is not a state, using only names: config values may be secrets."""
    if not isinstance(document, dict):
        return "the file must contain a JSON object; for a first run, {}"
    if not isinstance(document.get("bookmarks") or {}, dict):
        return "bookmarks must be a JSON object of stream names"
    names = ", ".join(str(name)[:40] for name in list(document)[:5])
    return f"the file contains no bookmarks, but {names}; for a first run, write {{}} into it"


@cache
def _tables() -> frozenset[str]:
    schemas = (files("tap_intercom") / "schemas").iterdir()
    return frozenset(each.name.removesuffix(".json") for each in schemas)


def _is_bookmark(value: Any) -> bool:
    """Whether a value is a bookmark in any form: null, an object with a time, or a bare time."""
    if isinstance(value, dict):
        return not value or not value.keys().isdisjoint(("updated_at", "replication_key_value"))
    if value is None:
        return True
    try:
        _seconds(value)
    except (ValueError, OverflowError):
        return False
    return True


def _window(start: int, end: int | None) -> Window | None:
    return Window(start, end) if end is None or start < end else None


def _missing_window(
    stream: str, bookmark: Mapping[str, Any], origin: Origin, since: int
) -> Window | None:
    """Return the period between an earlier start_date and `since` that no run has read yet."""
    if origin.start_date >= since:
        return None
    read_until = origin.start_date
    if bookmark.get("missing_since") == rfc3339(origin.start_date):
        noted = _instant(stream, bookmark, "missing_until") or read_until
        read_until = noted if noted <= since else read_until
    LOGGER.info("%s: start_date is earlier than before; reading the missing period first", stream)
    return _window(read_until, since if origin.end is None else min(since, origin.end))


def _marks(plan: Plan) -> dict[str, Any]:
    """Return the members of a bookmark that describe its rows, without the time."""
    marks: dict[str, Any] = {}
    if plan.workspace:
        marks["workspace"] = plan.workspace
    if plan.covers is not None:
        marks["covers"] = sorted(plan.covers)
    return marks


def _covered(bookmark: Mapping[str, Any]) -> frozenset[str] | None:
    """Return what a bookmark covers, or None if it does not say."""
    words = bookmark.get("covers")
    return frozenset(map(str, words)) if isinstance(words, list) else None


def _what_changed(
    bookmark: Mapping[str, Any], origin: Origin, covers: frozenset[str] | None
) -> str | None:
    """Return why rows from before a bookmark must be read again, or None if they need not."""
    if bookmark.get("filters") != origin.filters:
        return "search_filters changed"
    covered = _covered(bookmark)
    if covers is None or covered is None or covers <= covered:
        return None
    return f"the stream now also contains {', '.join(sorted(covers - covered))}"


def _leaves_out(bookmark: Mapping[str, Any], since: int, plan: Plan) -> str | None:
    """Return which rows of earlier runs a read from start_date cannot bring again."""
    if plan.main is None or plan.main.start > since:
        return f"earlier runs started at {rfc3339(since)}, before start_date"
    lost = (_covered(bookmark) or frozenset()) - (plan.covers or frozenset())
    return f"earlier runs also read {', '.join(sorted(lost))}" if lost else None


def _time_key(bookmark: Mapping[str, Any], key: str) -> str:
    """Return the key of the time in a bookmark of any tap that has our replication key."""
    names = ["updated_at", key]
    if bookmark.get("replication_key") in (None, *names):
        names.append("replication_key_value")
    return next((name for name in names if bookmark.get(name) not in (None, "")), names[0])


def _check_workspace(stream: str, bookmark: Mapping[str, Any], origin: Origin) -> None:
    workspace = bookmark.get("workspace")
    if workspace and origin.workspace and workspace != origin.workspace:
        raise ConfigError(
            f"state: the bookmark of {stream} belongs to workspace {workspace}, but the access "
            f"token belongs to {origin.workspace}. Use a separate state file for each workspace."
        )


def _instant(stream: str, bookmark: Mapping[str, Any], key: str) -> int | None:
    """Return a time in a bookmark in whole Unix seconds; other taps also wrote numbers."""
    value = bookmark.get(key)
    if value is None or value == "":
        return None
    try:
        return _seconds(value)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"state: bookmarks.{stream}.{key} is {value!r}, not a time such as 2026-01-31T12:00:00Z"
        ) from None


def _seconds(value: Any) -> int:
    """Convert a time, text or number, to whole Unix seconds. Raises ValueError or OverflowError.

    Milliseconds are not valid: as seconds they are beyond the year 9999.
    """
    if isinstance(value, str) and not _SECONDS_AS_TEXT.fullmatch(value):
        return int(epoch_seconds(value) // 1)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(value)
    seconds = int(float(value) // 1)
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise ValueError(value)
    return seconds
