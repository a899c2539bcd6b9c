"""What a history is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

LOOKBACK_SECONDS = 5
SCROLL_TTL_SECONDS = 30
DAY_SECONDS = 86_400
NEWEST_VERSION = "2.16"


class Step:
    """Shown without its usual values, so that a history that failed can be read."""

    def __repr__(self) -> str:
        shown = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)  # type: ignore[arg-type]
            if each.default is not MISSING or getattr(self, each.name) not in ([], {})
            if getattr(self, each.name) != each.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(repr=False)
class Edit(Step):
    """Something that people do; `which` and `other` choose the records, by number."""

    kind: str
    which: int = 0
    other: int = 0


@dataclass(repr=False)
class Fault(Step):
    """Requests that go wrong, after the first `after` ones; for ever, or `times` times."""

    kind: str
    path: str | None = None
    after: int = 0
    times: int | None = 1


@dataclass(repr=False)
class End(Step):
    """How a run is ended from outside: once so many lines were read, or before a request.

    of_files: whether only requests for files count.
    """

    kind: str
    line: int = 0
    request: int | None = None
    of_files: bool = False


@dataclass(repr=False)
class Run(Step):
    """One run of the tap, what happens before it, and what happens while it reads.

    during: edits, each with the number of the request that it comes before. busy: an edit that is
    done before every request, on one record after the other. seconds pass before the run, tick with
    each request. start_days, end_days: the age of start_date and end_date. full_table: the stream
    that the catalog wants read in full. withdrawn: permissions that the token lacks in this run.
    """

    streams: tuple[str, ...]
    before: list[Edit] = field(default_factory=list)
    during: list[tuple[int, Edit]] = field(default_factory=list)
    busy: str | None = None
    faults: list[Fault] = field(default_factory=list)
    end: End | None = None
    seconds: int = 0
    tick: float = 0.0
    page_size: int = 5
    start_days: int = 3000
    end_days: int | None = None
    full_table: str | None = None
    withdrawn: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return str(self.settings.get("api_version", NEWEST_VERSION))


@dataclass(repr=False)
class History(Step):
    """A workspace by the ages of its records in seconds, how its Intercom behaves, and its runs.

    personal_data: the mode of all runs.
    """

    ages: Mapping[str, list[int]]
    runs: list[Run]
    hour: int = 0
    timezone: str = "UTC"
    contact_days: str = "workspace"
    cursors: str = "value"
    sort_honoured: bool = True
    greater_includes_equal: bool = False
    search_lag: float = 0.0
    most_rows: int | None = None
    small_windows: bool = True
    writes_at_once: bool = False
    in_parallel: bool = False
    personal_data: str = "keep"

    @property
    def last(self) -> Run:
        return self.runs[-1]

    def has_fault(self, *kinds: str) -> bool:
        return any(fault.kind in kinds for run in self.runs for fault in run.faults)
