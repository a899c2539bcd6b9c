"""Bookmarks: where each stream goes on, and what its bookmark is the bookmark of.

    {"bookmarks": {"contacts": {"updated_at": "2026-01-31T12:00:00Z",
                                "since": "2020-01-01T00:00:00Z",
                                "workspace": "abc123", "filters": "9f2c…"}},
     "currently_syncing": "contacts"}

export_job is the identifier of an export that was pending, for the next run to cancel.
missing_since and missing_until keep the progress of a read that a start_date before `since` asked
for.

A bookmark's `updated_at` says that everything changed before it was written out. `since` is the
start_date that this holds from, `workspace` the workspace it was read from, `filters` a hash of
the search filters it was read with. A bookmark without `since` was made by another tap.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tap_intercom.errors import ConfigError
from tap_intercom.times import DAY_SECONDS, epoch_seconds, rfc3339
from tap_intercom.windows import Window

LOGGER = logging.getLogger("tap_intercom")

OWN_KEYS = ("updated_at", "since", "workspace", "filters", "missing_since", "missing_until")


@dataclass(frozen=True)
class Origin:
    """What a run reads, as far as a bookmark depends on it; instants in Unix seconds.

    now is the start of the run by Intercom's clock, safe the instant that no bookmark passes: what
    changed later may not be in Intercom's search index yet. end is the setting end_date.
    """

    start_date: int
    end: int | None
    workspace: str | None
    filters: str | None
    now: int
    safe: int

    @property
    def limit(self) -> int:
        """The instant that a bookmark of this run may reach."""
        return self.safe if self.end is None else min(self.safe, self.end)


@dataclass(frozen=True)
class Plan:
    """What a stream reads in this run, and what becomes of its bookmark on the way.

    missing is a period before the bookmark's own `since` that is read first; main begins at the
    bookmark. Each is None where there is nothing to read. floor is the bookmark as it was found,
    since the start_date it holds from, extra what other programs keep inside it.
    """

    main: Window | None
    missing: Window | None = None
    floor: int | None = None
    since: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def windows(self) -> list[Window]:
        return [window for window in (self.missing, self.main) if window is not None]

    def wants(self, updated_at: float | None) -> bool:
        """Whether a record belongs to this run; one without a time always does."""
        return updated_at is None or any(window.holds(updated_at) for window in self.windows)


def hash_filters(filters: Mapping[str, Any] | None) -> str | None:
    """A short text that changes when search filters do; None without filters."""
    if not filters:
        return None
    return hashlib.sha256(orjson.dumps(filters, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


class State:
    """The state document of a run; what it does not know, it carries through."""

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
        """The time that a stream's bookmark holds, as it stands there."""
        instant = self._bookmark(stream).get("updated_at")
        return None if instant is None else str(instant)

    def plan(
        self,
        stream: str,
        origin: Origin,
        *,
        lookback: int,
        parent: str | None = None,
        whole: bool = False,
    ) -> Plan:
        """What to read of a stream, by its bookmark; with `whole`, from start_date in any case.

        parent is the stream that a child of another tap's state may not be ahead of. Raises
        ConfigError for the bookmark of another workspace, or one that is no time.
        """
        self._reached.pop(stream, None)
        bookmark = self._bookmark(stream)
        extra = {key: value for key, value in bookmark.items() if key not in OWN_KEYS}
        updated_at = _instant(stream, bookmark, "updated_at")
        since = _instant(stream, bookmark, "since")
        from_start = _window(origin.start_date, origin.end)
        if updated_at is None:
            return Plan(from_start, extra=extra)
        if updated_at > origin.now:
            LOGGER.warning(
                "%s: the bookmark %s is later than now, so that the last day is read again",
                stream,
                rfc3339(updated_at),
            )
            updated_at = origin.now - DAY_SECONDS
        if since is None:
            start = (
                origin.start_date
                if whole
                else self._foreign_start(stream, updated_at, parent) - lookback
            )
            return Plan(_window(start, origin.end), floor=updated_at, extra=extra)
        _check_workspace(stream, bookmark, origin)
        if bookmark.get("filters") != origin.filters:
            LOGGER.warning(
                "%s: search_filters changed, so it is read again from start_date", stream
            )
            return Plan(from_start, extra=extra)
        if whole:
            # What lies between a bookmark and a start_date beyond it stays unread.
            reached_from = since if origin.start_date <= updated_at else None
            return Plan(from_start, floor=updated_at, since=reached_from, extra=extra)
        missing = None
        if origin.start_date < since:
            read_until = origin.start_date
            if bookmark.get("missing_since") == rfc3339(origin.start_date):
                read_until = _instant(stream, bookmark, "missing_until") or read_until
            missing = _window(read_until, since if origin.end is None else min(since, origin.end))
            LOGGER.info(
                "%s: start_date is earlier than before; the missing period is read first", stream
            )
        return Plan(_window(max(updated_at, since), origin.end), missing, updated_at, since, extra)

    def advance(self, stream: str, plan: Plan, origin: Origin, reached: int) -> None:
        """Note that a stream is complete up to `reached`; a bookmark never moves back."""
        reached = min(reached, origin.limit)
        if reached <= self._reached.get(stream, reached - 1):
            # A window that is read once more begins before what its first pass had reached.
            return
        self._reached[stream] = reached
        is_before = plan.floor is not None and reached < plan.floor
        # What lies beyond the missing period, yet before the bookmark, was read by earlier runs.
        is_missing = plan.since is not None and (reached <= plan.since or is_before)
        if plan.missing is not None and plan.since is not None and is_missing:
            self._advance_missing(stream, plan.since, origin, min(reached, plan.since))
            return
        if is_before:
            return
        since = origin.start_date if plan.since is None else min(plan.since, origin.start_date)
        entry = {**plan.extra, "updated_at": rfc3339(reached), "since": rfc3339(since)}
        if origin.workspace:
            entry["workspace"] = origin.workspace
        if origin.filters:
            entry["filters"] = origin.filters
        self._bookmarks[stream] = entry

    def _advance_missing(self, stream: str, since: int, origin: Origin, reached: int) -> None:
        entry = {
            key: value
            for key, value in self._bookmark(stream).items()
            if key not in ("missing_since", "missing_until")
        }
        if reached < since:
            entry["missing_since"] = rfc3339(origin.start_date)
            entry["missing_until"] = rfc3339(reached)
        else:
            entry["since"] = rfc3339(origin.start_date)
        self._bookmarks[stream] = entry

    def _foreign_start(self, stream: str, updated_at: int, parent: str | None) -> int:
        """Where another tap's bookmark is taken up: its children may be ahead of what was read."""
        if parent is None:
            return updated_at
        of_parent = _instant(parent, self._bookmark(parent), "updated_at")
        return updated_at if of_parent is None else min(updated_at, of_parent)

    def _bookmark(self, stream: str) -> dict[str, Any]:
        """A stream's bookmark, of whatever form: an object, a bare time, null or nothing."""
        bookmark = self._bookmarks.get(stream)
        if bookmark is None:
            bookmark = self._document.get(stream)
        if isinstance(bookmark, dict):
            return bookmark
        return {} if bookmark is None else {"updated_at": bookmark}


def read_state(document: Any) -> State:
    """The state of a run from its JSON document. Raises ConfigError where its shape is none."""
    if not isinstance(document, dict):
        raise ConfigError("state: the file must hold a JSON object, {} for a first run")
    if not isinstance(document.get("bookmarks") or {}, dict):
        raise ConfigError("state: bookmarks must be a JSON object of stream names")
    return State({**document, "bookmarks": document.get("bookmarks") or {}})


def _window(start: int, end: int | None) -> Window | None:
    return Window(start, end) if end is None or start < end else None


def _check_workspace(stream: str, bookmark: Mapping[str, Any], origin: Origin) -> None:
    workspace = bookmark.get("workspace")
    if workspace and origin.workspace and workspace != origin.workspace:
        raise ConfigError(
            f"state: the bookmark of {stream} is of workspace {workspace}, but the access token of "
            f"{origin.workspace}. Use a state file of its own for each workspace."
        )


def _instant(stream: str, bookmark: Mapping[str, Any], key: str) -> int | None:
    """A time of a bookmark in whole Unix seconds; other taps also wrote numbers."""
    value = bookmark.get(key)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        return int(value) if isinstance(value, int | float) else int(epoch_seconds(str(value)) // 1)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"state: bookmarks.{stream}.{key} is {value!r}, not a time such as 2026-01-31T12:00:00Z"
        ) from None
