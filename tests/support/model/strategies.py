"""How histories are drawn."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from model.edits import INTERCOM
from model.faults import COMMON, QUIET
from model.history import (
    DAY_SECONDS,
    LOOKBACK_SECONDS,
    NEWEST_VERSION,
    Edit,
    End,
    Fault,
    History,
    Run,
)
from model.subjects import Subject
from tap_intercom.streams import STREAMS

TIMEZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland", "Pacific/Kiritimati", "Asia/Kolkata")

just_now = st.integers(0, 2 * LOOKBACK_SECONDS)
open_days = st.integers(0, 100).map(lambda hours: hours * 3600)
old = st.one_of(
    st.sampled_from([40, 50, 60]).map(lambda days: days * DAY_SECONDS),
    st.integers(5, 1000).map(lambda days: days * DAY_SECONDS),
)
ages = st.sampled_from([st.one_of(just_now, open_days, old), old, open_days])
signals = st.sampled_from(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT"])
ends = st.one_of(
    st.builds(
        End,
        st.one_of(signals, st.just("closed")),
        line=st.integers(0, 15) | st.integers(0, 60),
    ),
    st.builds(End, signals, request=st.integers(1, 20)),
)
ends_with_files = st.one_of(
    ends, st.builds(End, signals, request=st.integers(1, 12), of_files=st.just(True))
)


def runs_about(subject: Subject) -> st.SearchStrategy[Run]:
    edits = st.builds(
        Edit,
        st.sampled_from([*subject.edits, *INTERCOM]),
        which=st.integers(0, 11),
        other=st.integers(0, 11),
    )
    faults = st.builds(
        Fault,
        st.sampled_from([*COMMON, *QUIET, *QUIET, *subject.faults, *subject.faults]),
        path=st.sampled_from([None, *subject.paths, *subject.paths]),
        after=st.just(0) | st.integers(0, 6),
        times=st.sampled_from([1, 1, 2, 3, None]),
    )
    incremental = [
        name for name in sorted(subject.streams) if name not in STREAMS or _is_incremental(name)
    ]
    return st.builds(
        Run,
        streams=st.sampled_from(subject.selections),
        before=st.lists(edits, max_size=4),
        during=st.lists(st.tuples(st.integers(1, 16), edits), max_size=8),
        busy=st.sampled_from([None, None, None, *subject.busy]),
        faults=st.lists(faults, max_size=2),
        end=st.none() | (ends_with_files if "attachments" in subject.streams else ends),
        seconds=just_now | open_days,
        tick=st.sampled_from([0.0, 0.25, 1.0, 4.0]),
        page_size=st.sampled_from([1, 2, 2, 3, 5]),
        start_days=st.sampled_from(subject.start_days),
        end_days=st.sampled_from([None] * 7 + [1]),
        full_table=st.sampled_from([None] * 4 + incremental),
        withdrawn=st.sampled_from([(), (), *((each,) for each in subject.permissions)]),
        settings=st.sampled_from(subject.settings),
    ).map(_with_what_its_version_has)


def _is_incremental(name: str) -> bool:
    return STREAMS[name].is_incremental


def _with_what_its_version_has(run: Run) -> Run:
    """The run without the streams that its API version lacks; the newest one if it lacks all."""
    major, minor = run.version.split(".")
    version = (int(major), int(minor))
    streams = tuple(
        name
        for name in run.streams
        if name not in STREAMS or STREAMS[name].first_version <= version
    )
    if not streams:
        return replace(run, settings={**run.settings, "api_version": NEWEST_VERSION})
    return replace(run, streams=streams)


def _modes(subject: Subject) -> tuple[str, ...]:
    """The modes of personal_data that the truth of a subject's rows can be compared in."""
    if any(name not in STREAMS or name.startswith("content_export_") for name in subject.streams):
        return ("keep",)
    return ("keep", "drop", "hash")


def histories_about(subject: Subject) -> st.SearchStrategy[History]:
    return st.builds(
        History,
        ages=st.fixed_dictionaries(
            {
                kind: ages.flatmap(
                    lambda of_one, least=least, most=most: st.lists(  # type: ignore[misc]
                        of_one, min_size=least, max_size=most
                    )
                )
                for kind, (least, most) in subject.has.items()
            }
        ),
        runs=st.lists(runs_about(subject), min_size=1, max_size=4),
        hour=st.integers(0, 23),
        timezone=st.sampled_from(TIMEZONES),
        contact_days=st.sampled_from(["workspace", "utc", "exact"]),
        cursors=st.sampled_from(["value", "position", "position"]),
        sort_honoured=st.sampled_from([True, True, True, False]),
        greater_includes_equal=st.booleans(),
        search_lag=st.sampled_from([0.0, 0.0, 1.0, float(LOOKBACK_SECONDS)]),
        most_rows=st.sampled_from([None, None, 2]),
        small_windows=st.sampled_from([False, False, True]),
        writes_at_once=st.booleans(),
        in_parallel=st.booleans(),
        personal_data=st.sampled_from(_modes(subject)),
    )
