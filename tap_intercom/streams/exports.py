"""What happened to outbound messages: the groups of the content data export.

One job returns a file for each group, so all selected groups are read together.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, ClassVar

from tap_intercom.errors import ContractError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.export_jobs import CONTENT, CsvFile, csv_files
from tap_intercom.reading.stream import Probe, Stream, load_schema, record_hash
from tap_intercom.reading.stream_run import Batch, Record, StreamRun
from tap_intercom.settings import Settings
from tap_intercom.state import Origin, Plan
from tap_intercom.times import DAY_SECONDS, epoch_seconds, rfc3339
from tap_intercom.windows import Window, spans, start_of_day

PREFIX = "content_export_"
READER = f"{PREFIX}receipt"
RECORD_HASH = "_sdc_record_hash"
# A job has at most 10,000,000 rows; Intercom cuts the rest without notice (API-I1).
MAX_ROWS = 10_000_000
WINDOW_SECONDS = 30 * DAY_SECONDS
# Days of a workspace's timezone begin at most 14 hours before or after UTC days.
MARGIN_SECONDS = DAY_SECONDS
ROWS_AT_ONCE = 1_000

# Words in a file's name that do not name its group.
_OTHER_WORDS = frozenset(
    {"export", "exports", "exported", "intercom", "content", "data", "part", "file", "files"}
    | {"csv", "gz", "txt", "t", "z", "utc"}
)
_NUMBER = re.compile(r"\d+(\.\d+)?")
_SPACE_BEFORE_OFFSET = re.compile(r" (?=[+-]\d\d:?\d\d$)")


class ContentExport(Stream):
    """A group of the export: a file with a row for each thing that happened.

    hashed: the columns that the key is a hash of, where no column is one; they do not change.
    marks: the columns that tell the group from all others. others: the column for all that the
    schema does not know, by their names. renamed: columns by how they are misspelt.
    """

    path = ""
    permission = "Export content data"
    request_cost = f"0, read with {READER}"
    hashed: ClassVar[Sequence[str]] = ()
    marks: ClassVar[Sequence[str]] = ()
    others: ClassVar[str] = "columns"
    renamed: ClassVar[dict[str, str]] = {}

    @property
    def group(self) -> str:
        return self.name.removeprefix(PREFIX)

    def count(self, answer: Answer) -> int | None:
        """Return None: not known before a job has run."""
        return None

    def carried(self, period: Window) -> Record:
        """Return the columns that each row repeats from the export's period."""
        return {}

    def columns(self, header: Sequence[str]) -> list[str]:
        """Return the columns of a file: those of the schema, in any spelling, and others."""
        types = column_types(self.name)
        exact = types.keys() & set(header)

        def column(name: str) -> str:
            plain = re.sub(r"\W+", "_", name.strip().lower()).strip("_")
            plain = self.renamed.get(plain, plain)
            return plain if plain in types and plain not in exact else name

        return unique([column(name) for name in header])

    def fits(self, header: Sequence[str]) -> bool:
        """Whether a file has the columns that distinguish this group."""
        marks = self.marks or ("receipt_id", str(self.replication_key))
        return set(marks) <= set(self.columns(header))

    def known(self, header: Sequence[str]) -> int:
        """Return how many columns of a file are in the schema."""
        return len(column_types(self.name).keys() & set(self.columns(header)))

    def knows_all(self, header: Sequence[str]) -> bool:
        """Whether a file has only columns of the schema, or the group may have others."""
        return self.others == "answers" or self.known(header) == len(header)

    def maker(
        self, header: Sequence[str], period: Window, occurrences: Occurrences
    ) -> Callable[[Sequence[str]], Record]:
        """Return a function that converts a row below this header to a record."""
        types = column_types(self.name)
        names = self.columns(header)
        times = [(at, name) for at, name in enumerate(names) if types.get(name) == "time"]
        plain = [(at, name) for at, name in enumerate(names) if types.get(name) == "plain"]
        others = [(at, name) for at, name in enumerate(names) if name not in types]
        carried = self.carried(period)

        def make(row: Sequence[str]) -> Record:
            record: Record = {name: row[at] or None for at, name in plain}
            record.update((name, instant(row[at])) for at, name in times)
            record[self.others] = {name: row[at] for at, name in others if row[at]} or None
            record.update(carried)
            if self.hashed:
                record[RECORD_HASH] = occurrences.key([record.get(name) for name in self.hashed])
            return record

        return make

    def belongs(self, record: Record, window: Window) -> bool:
        """Whether a record's message was sent in a window; True if the record does not say when.

        The job covers more than the window; the other rows come with the next window.
        """
        if self.replication_key != "received_at":
            return True
        received_at = record.get("received_at")
        if not isinstance(received_at, int | float):
            return True
        is_before_end = window.end is None or received_at < window.end + MARGIN_SECONDS
        return received_at >= window.start and is_before_end

    def batch(self, run: StreamRun, answer: Answer, records: Sequence[Record]) -> Batch:
        """Return the lines of records that came in a file, not in the answer itself."""
        return run.render(self.name, answer, lambda _: records)


class Opens(ContentExport):
    """Source: open.csv of the export."""

    summary = "One record per time that somebody opened a message."
    name = "content_export_open"
    key_properties = ("receipt_id", "opened_at")
    replication_key = "opened_at"


class Replies(ContentExport):
    """Source: reply.csv of the export."""

    summary = "One record per reply to a message."
    name = "content_export_reply"
    key_properties = ("receipt_id", "replied_at")
    replication_key = "replied_at"


class Completions(ContentExport):
    """Source: completion.csv."""

    summary = "One record per tour or survey that somebody completed."
    name = "content_export_completion"
    key_properties = ("receipt_id", "completed_at")
    replication_key = "completed_at"


class Dismissals(ContentExport):
    """Source: dismissal.csv of the export."""

    summary = "One record per message that somebody dismissed."
    name = "content_export_dismissal"
    key_properties = ("receipt_id", "dismissed_at")
    replication_key = "dismissed_at"


class Clicks(ContentExport):
    """Source: click.csv of the export."""

    summary = "One record per click on a link in a message."
    name = "content_export_click"
    key_properties = (RECORD_HASH,)
    replication_key = "clicked_at"
    hashed = ("receipt_id", "clicked_at", "link_type", "url")


class Answers(ContentExport):
    """Source: answer.csv of the export."""

    summary = "One record per answer to a question of a survey."
    name = "content_export_answer"
    key_properties = (RECORD_HASH,)
    replication_key = "answered_at"
    hashed = ("receipt_id", "answered_at", "question_id", "question")


class CombinedAnswers(ContentExport):
    """Source: answer_combined.csv of the export."""

    summary = "One record per survey that somebody answered, with all answers by question."
    name = "content_export_answer_combined"
    key_properties = ("receipt_id",)
    marks = ("receipt_id", "received_at", "completed_at")
    replication_key = "received_at"
    others = "answers"


class SeriesCompletions(ContentExport):
    """Source: series_completion.csv."""

    summary = "One record per series that somebody completed."
    name = "content_export_series_completion"
    key_properties = ("receipt_id", "completed_at")
    marks = ("receipt_id", "completed_at", "completion_node_ruleset_id")
    replication_key = "completed_at"


class SeriesDisengagements(ContentExport):
    """Source: series_disengagement.csv."""

    summary = "One record per series that somebody disengaged from."
    name = "content_export_series_disengagement"
    key_properties = ("receipt_id", "disengaged_at")
    replication_key = "disengaged_at"


class SeriesExits(ContentExport):
    """Source: series_exit.csv."""

    summary = "One record per series that somebody left by its exit rules."
    name = "content_export_series_exit"
    key_properties = ("receipt_id", "exited_at")
    replication_key = "exited_at"


class GoalSuccesses(ContentExport):
    """Source: goal_success.csv."""

    summary = "One record per goal of a message that somebody met."
    name = "content_export_goal_success"
    key_properties = ("receipt_id", "goal_hit_at")
    replication_key = "goal_hit_at"


class Reactions(ContentExport):
    """Source: reaction.csv of the export."""

    summary = "One record per reaction to a message."
    name = "content_export_reaction"
    key_properties = ("receipt_id", "reacted_at")
    replication_key = "reacted_at"


class HardBounces(ContentExport):
    """Source: hard_bounce.csv of the export."""

    summary = "One record per message that bounced permanently."
    name = "content_export_hard_bounce"
    key_properties = ("receipt_id", "hard_bounced_at")
    replication_key = "hard_bounced_at"


class SoftBounces(ContentExport):
    """Source: soft_bounce.csv of the export."""

    summary = "One record per time that a message bounced temporarily."
    name = "content_export_soft_bounce"
    key_properties = ("receipt_id", "soft_bounced_at")
    replication_key = "soft_bounced_at"


class Unsubscribes(ContentExport):
    """Source: unsubscribe.csv."""

    summary = "One record per time that somebody unsubscribed through a message."
    name = "content_export_unsubscribe"
    key_properties = ("receipt_id", "unsubscribed_at")
    replication_key = "unsubscribed_at"


class TourStepFailures(ContentExport):
    """Source: tour_step_failure.csv."""

    summary = "One record per step of a tour that could not be shown."
    name = "content_export_tour_step_failure"
    key_properties = (RECORD_HASH,)
    replication_key = "failed_at"
    hashed = ("receipt_id", "failed_at", "step_id", "failed_selector", "failure_url")


class TourStepViews(ContentExport):
    """Source: tour_step_view.csv."""

    summary = "One record per step of a tour that somebody saw."
    name = "content_export_tour_step_view"
    key_properties = (RECORD_HASH,)
    replication_key = "viewed_at"
    hashed = ("receipt_id", "viewed_at", "step_id")


class FinStepsReached(ContentExport):
    """Source: fin_step_reached.csv. It has a conversation in addition to its receipt."""

    summary = "One record per time that a message handed over to the AI agent."
    name = "content_export_fin_step_reached"
    key_properties = (RECORD_HASH,)
    replication_key = "involved_at"
    hashed = ("receipt_id", "involved_at", "conversation_id", "content_id")


class Checkpoints(ContentExport):
    """Source: checkpoint.csv."""

    summary = "One record per place in a series that somebody reached."
    name = "content_export_checkpoint"
    key_properties = (RECORD_HASH,)
    marks = ("series_entry_record_id", "created_at")
    replication_key = "created_at"
    hashed = ("series_entry_record_id", "user_id", "company_id", "ruleset_id", "created_at")


class Overviews(ContentExport):
    """Source: overview.csv of the export.

    The totals cover the whole days of the export, so these days are part of the key. They overlap
    with those of the next export: do not add totals of several periods.
    """

    summary = "One record per content and exported period, with the totals of its messages."
    name = "content_export_overview"
    key_properties = (RECORD_HASH,)
    marks = ("ruleset_id", "receipt_total")
    replication_key = "sent_until"
    hashed = ("ruleset_id", "content_type", "content_id", "series_id", "sent_from", "sent_until")
    not_sent_again = "the totals of periods that earlier runs requested"

    def carried(self, period: Window) -> Record:
        return {"sent_from": start_of_day(period.start), "sent_until": period.end}


class Receipts(ContentExport):
    """Source: receipt.csv of the export."""

    summary = "One record per message that somebody received."
    name = READER
    path = CONTENT.enqueue
    request_cost = "1 job per 30 days: 2 requests, plus 1 per status check"
    key_properties = ("receipt_id",)
    replication_key = "received_at"
    # The spelling in the official documentation.
    renamed = {"first_dismisall": "first_dismissal"}

    groups: ClassVar[Sequence[ContentExport]] = (
        Opens(),
        Replies(),
        Completions(),
        Dismissals(),
        Clicks(),
        Answers(),
        CombinedAnswers(),
        SeriesCompletions(),
        SeriesDisengagements(),
        SeriesExits(),
        GoalSuccesses(),
        Reactions(),
        HardBounces(),
        SoftBounces(),
        Unsubscribes(),
        TourStepFailures(),
        TourStepViews(),
        FinStepsReached(),
        Checkpoints(),
        Overviews(),
    )

    @classmethod
    def dependents(cls) -> Sequence[Stream]:
        return cls.groups

    def probe(self, settings: Settings) -> Probe:
        # A job that does not exist: the answer is 404, unless the permission is missing.
        return Probe(CONTENT.status.format(id="none"), may_be_absent=True)

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Read windows of whole days by send time, and repeat the last days of earlier runs.

        Later events of a message come only if its send day is exported again (API-I1), so bookmarks
        refer to send days.
        """
        origin, lookback = run.origin, run.settings.export_lookback_days * DAY_SECONDS
        wanted = {name: windows_of(plan, origin, lookback) for name, plan in run.plans.items()}
        first = min(window.start for windows in wanted.values() for window in windows)
        found = spans(wanted, range(first, origin.now, WINDOW_SECONDS))
        missing = {plan.missing.end for plan in run.plans.values() if plan.missing}
        for span in found:
            window = whole_days(span.window, origin.now)
            period = period_of(window, lookback, origin.now, is_missing=span.window.end in missing)
            if names := span.streams - run.given_up.keys():
                yield from self._read(run, window, period, names)
            reached = origin.limit if span.window.end is None else span.window.end
            yield Batch(reached=dict.fromkeys(span.streams, reached))

    def _read(
        self, run: StreamRun, window: Window, period: Window, names: frozenset[str]
    ) -> Iterator[Batch]:
        """Yield the rows of a window, from a job for a longer period."""
        assert period.end is not None
        # Both days are included (API-I1).
        body = {"created_at_after": period.start, "created_at_before": period.end - 1}
        settings = run.settings
        with tempfile.TemporaryFile(prefix="tap-intercom-") as file:
            with run.jobs.start(run.client, CONTENT, body, settings.max_retry_seconds) as job:
                yield Batch()  # A STATE can name the job now.
                if not job.has_file(settings.export_wait_seconds):
                    return
            export = _Export(window, period, names, job.download(file))
            for each in csv_files(file):
                yield from self._read_file(run, export, each)

    def _read_file(self, run: StreamRun, export: _Export, file: CsvFile) -> Iterator[Batch]:
        """Yield the rows of a file for its stream, if that is read."""
        wanted = export.names - run.given_up.keys()
        group = group_of(file.name)
        if group is not None:
            if all(each.group != group for each in self._groups()):
                self._report(run, file)
            wanted &= {PREFIX + group}
        if not wanted:
            return
        try:
            rows = file.rows()
            header = next(rows, None)
            if header is None:
                return
            if group is None:
                fitting, is_sure = self._fitting(file, header)
                if not fitting:
                    self._report(run, file)
                left_out = wanted - {each.name for each in fitting}
                wanted -= left_out
                if not file.name:
                    self._report_left_out(run, export, left_out)
                if wanted and not is_sure and next(rows, None) is not None:
                    raise ContractError(
                        f"the export file {file.name!r} may belong to this stream or to "
                        "another: it has columns of this stream and other columns"
                    )
            for stream in self._groups():
                if stream.name in wanted:
                    yield from self._read_rows(run, export, stream, header, rows)
        except ContractError as error:
            run.given_up.update(dict.fromkeys(wanted, error))
            yield Batch(failed=frozenset(wanted))

    def _read_rows(
        self,
        run: StreamRun,
        export: _Export,
        stream: ContentExport,
        header: Sequence[str],
        rows: Iterator[Sequence[str]],
    ) -> Iterator[Batch]:
        if not stream.known(header):
            raise ContractError("the first row of an export file has no column of its group")
        make = stream.maker(header, export.period, export.occurrences[stream.name])
        count = 0
        while records := [make(row) for row in islice(rows, ROWS_AT_ONCE)]:
            count += len(records)
            records = [each for each in records if stream.belongs(each, export.window)]
            yield stream.batch(run, export.answer, records)
        if count >= MAX_ROWS:
            run.note_shortfall(
                stream.name,
                f"exports of {MAX_ROWS} rows, where Intercom leaves out what is more",
                f"from {rfc3339(export.period.start)}",
            )

    def _groups(self) -> list[ContentExport]:
        return [each for each in self.with_children() if isinstance(each, ContentExport)]

    def _fitting(
        self, file: CsvFile, header: Sequence[str]
    ) -> tuple[Sequence[ContentExport], bool]:
        """Return the streams that a file may belong to by its columns, and whether that is certain.

        Raises ContractError for a single file that belongs to no stream.
        """
        fitting = [each for each in self._groups() if each.fits(header)]
        exact = [each for each in fitting if each.knows_all(header)]
        if len(exact) == 1:
            return exact, True
        if file.name:
            return fitting, not fitting
        # A single file is one of the groups, even if Intercom has added columns to it.
        best = max(fitting or self._groups(), key=lambda each: each.known(header))
        if best.known(header) < 2:
            raise ContractError("the export file has the columns of no stream")
        return [best], True

    def _report_left_out(self, run: StreamRun, export: _Export, names: frozenset[str]) -> None:
        kind = "exports that are one file, of another group"
        for name in sorted(names):
            run.shortfalls.add(name, kind, rfc3339(export.period.start) or "")

    def _report(self, run: StreamRun, file: CsvFile) -> None:
        run.shortfalls.add(self.name, "files of exports that no stream takes", repr(file.name))


class Occurrences:
    """Makes keys from identifying columns, and numbers equal rows, so each row has its own key.

    The numbers are the same in each run, since a job has all rows of an identity or none of them.
    It uses about 70 bytes of memory for each row of a job.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._repeated: Counter[int] = Counter()

    def key(self, identity: Sequence[Any]) -> str:
        digest = record_hash(identity)
        short = int(digest[:15], 16)
        if short not in self._seen:
            self._seen.add(short)
            return digest
        self._repeated[short] += 1
        return record_hash([*identity, self._repeated[short]])


@dataclass(frozen=True)
class _Export:
    """A job for a period, from which the named streams take the rows of a window."""

    window: Window
    period: Window
    names: frozenset[str]
    answer: Answer
    occurrences: defaultdict[str, Occurrences] = field(
        default_factory=lambda: defaultdict(Occurrences)
    )


def group_of(file_name: str) -> str | None:
    """Return the group in a file's name: `Export/Receipts-2026-11-27_1.CSV` is receipt."""
    known = known_groups()
    words = re.findall("[a-z]+", re.split(r"[/\\]", file_name)[-1].lower())
    name = "".join(word for word in words if word not in _OTHER_WORDS)
    singular = re.sub("ies$", "y", name), re.sub("s$", "", name), re.sub("es$", "", name)
    return next((known[each] for each in (name, *singular) if each in known), None)


@cache
def known_groups() -> dict[str, str]:
    """Return groups by name without `_`: those of streams, and the events that receipts count."""
    events = (name for name in column_types(READER) if name.startswith("first_"))
    groups = [each.group for each in (Receipts(), *Receipts.groups)]
    names = [*groups, *(name.removeprefix("first_") for name in events)]
    return {name.replace("_", ""): name for name in names}


def period_of(window: Window, lookback: int, now: int, *, is_missing: bool) -> Window:
    """Return the period to request for a window of whole days and the lookback (seconds) after it.

    An export has only the events within the requested period (API-I1). The period begins one second
    early, since Intercom may leave out its first second.

    is_missing: whether an earlier run read the time after the window. The margin repeats some of
        its rows and must not have fewer events, so the period ends as late as that run's did.
    """
    assert window.end is not None
    reach = lookback + MARGIN_SECONDS
    if is_missing:
        reach += WINDOW_SECONDS + MARGIN_SECONDS
    end_of_today = start_of_day(now) + DAY_SECONDS
    return Window(window.start - 1, max(min(window.end + reach, end_of_today), window.end))


@cache
def column_types(name: str) -> dict[str, str]:
    """Return which columns of a stream's schema are times, and which are plain values."""
    return {
        column: "time" if schema.get("format") == "date-time" else "plain"
        for column, schema in load_schema(name)["properties"].items()
        if "object" not in schema["type"]
    }


def windows_of(plan: Plan, origin: Origin, lookback: int) -> list[Window]:
    """Return the windows of a plan, with the lookback (seconds) before its bookmark.

    The lookback does not reach beyond start_date. The window does: what follows the bookmark has
    not been read, even if start_date is later now.
    """
    windows = list(plan.windows)
    if plan.main is not None:
        again_from = max(plan.main.start - lookback, origin.start_date)
        windows[-1] = Window(min(plan.main.start, again_from), plan.main.end)
    return [Window(start_of_day(window.start), window.end) for window in windows]


def whole_days(window: Window, now: int) -> Window:
    """Return the UTC days that a window touches; an open one ends with the day of `now`."""
    last = now if window.end is None else min(window.end - 1, now)
    return Window(start_of_day(window.start), start_of_day(last) + DAY_SECONDS)


def unique(names: Sequence[str]) -> list[str]:
    """Return the names of columns, with a number after each repeated name."""
    found: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in found:
            number += 1
            candidate = f"{name} ({number})"
        found.append(candidate)
    return found


def instant(text: str) -> float | str | None:
    """Convert a time in a file, in any format, to Unix seconds; return other text unchanged."""
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    else:
        try:
            seconds = epoch_seconds(_SPACE_BEFORE_OFFSET.sub("", text.removesuffix(" UTC")))
        except (ValueError, OverflowError):
            return text
    return int(seconds) if seconds.is_integer() else seconds


STREAMS = (Receipts(),)
