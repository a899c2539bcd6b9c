"""What became of outbound messages: the groups of the content data export.

One job gives a file for each group, so that all that are selected are read together.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import IO, ClassVar

from tap_intercom.client import Answer
from tap_intercom.errors import ContractError
from tap_intercom.export_jobs import CONTENT, csv_files, csv_rows, export
from tap_intercom.settings import Settings
from tap_intercom.state import Origin, Plan
from tap_intercom.streams.base import (
    Batch,
    Probe,
    Reading,
    Record,
    Stream,
    load_schema,
    record_hash,
)
from tap_intercom.times import DAY_SECONDS, epoch_seconds
from tap_intercom.windows import Window, spans, start_of_day

PREFIX = "content_export_"
READER = f"{PREFIX}receipt"
RECORD_HASH = "_sdc_record_hash"
# A job gives 10,000,000 rows at most, and more are cut without notice (API-I1).
WINDOW_SECONDS = 30 * DAY_SECONDS
ROWS_AT_ONCE = 1_000

_GROUP = re.compile(r"([a-z_]+?)_\d{8}[-_]?\d{6}\.csv")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_SPACE_BEFORE_OFFSET = re.compile(r" (?=[+-]\d\d:?\d\d$)")


class ContentExport(Stream):
    """A group of the export: a file with a row for each thing that happened.

    hashed: the columns that the key is a hash of, where no column is one. others: the column for
    all that the schema does not know, by their names. renamed: columns by how they are misspelt.
    """

    path = ""
    parent: ClassVar[str | None] = READER
    permission = "Export content data"
    cost = f"none, it comes with {READER}"
    hashed: ClassVar[Sequence[str]] = ()
    others: ClassVar[str] = "columns"
    renamed: ClassVar[dict[str, str]] = {}

    @property
    def group(self) -> str:
        return self.name.removeprefix(PREFIX)

    def count(self, answer: Answer) -> int | None:
        """Unknown before a job ran."""
        return None

    def carried(self, period: Window) -> Record:
        """What each row carries of the period that its export asked for."""
        return {}

    def maker(self, header: Sequence[str], period: Window) -> Callable[[Sequence[str]], Record]:
        """How a row below this header becomes a record."""
        types = column_types(self.name)
        names = unique([self.renamed.get(name, name) for name in header])
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
                record[RECORD_HASH] = record_hash([record.get(name) for name in self.hashed])
            return record

        return make

    def batch(self, reading: Reading, answer: Answer, records: Sequence[Record]) -> Batch:
        """The lines of records that came as a file, and not in the answer itself."""
        return reading.render(self.name, answer, lambda _: records)


class Opens(ContentExport):
    """One record per time that somebody opened a message. Source: open.csv of the export."""

    name = "content_export_open"
    key_properties = ("receipt_id", "opened_at")
    replication_key = "opened_at"


class Replies(ContentExport):
    """One record per reply to a message. Source: reply.csv of the export."""

    name = "content_export_reply"
    key_properties = ("receipt_id", "replied_at")
    replication_key = "replied_at"


class Completions(ContentExport):
    """One record per tour or survey that somebody completed. Source: completion.csv."""

    name = "content_export_completion"
    key_properties = ("receipt_id", "completed_at")
    replication_key = "completed_at"


class Dismissals(ContentExport):
    """One record per message that somebody dismissed. Source: dismissal.csv of the export."""

    name = "content_export_dismissal"
    key_properties = ("receipt_id", "dismissed_at")
    replication_key = "dismissed_at"


class Clicks(ContentExport):
    """One record per click on a link in a message. Source: click.csv of the export."""

    name = "content_export_click"
    key_properties = (RECORD_HASH,)
    replication_key = "clicked_at"
    hashed = ("receipt_id", "clicked_at", "link_type", "url")


class Answers(ContentExport):
    """One record per answer to a question of a survey. Source: answer.csv of the export."""

    name = "content_export_answer"
    key_properties = (RECORD_HASH,)
    replication_key = "answered_at"
    hashed = ("receipt_id", "answered_at", "question_id", "question")


class CombinedAnswers(ContentExport):
    """One record per survey that somebody answered, with all answers by the text of the question.

    Source: answer_combined.csv of the export.
    """

    name = "content_export_answer_combined"
    key_properties = ("receipt_id",)
    replication_key = "received_at"
    others = "answers"


class SeriesCompletions(ContentExport):
    """One record per series that somebody completed. Source: series_completion.csv."""

    name = "content_export_series_completion"
    key_properties = ("receipt_id", "completed_at")
    replication_key = "completed_at"


class SeriesDisengagements(ContentExport):
    """One record per series that somebody disengaged from. Source: series_disengagement.csv."""

    name = "content_export_series_disengagement"
    key_properties = ("receipt_id", "disengaged_at")
    replication_key = "disengaged_at"


class SeriesExits(ContentExport):
    """One record per series that somebody left by its exit rules. Source: series_exit.csv."""

    name = "content_export_series_exit"
    key_properties = ("receipt_id", "exited_at")
    replication_key = "exited_at"


class GoalSuccesses(ContentExport):
    """One record per goal of a message that somebody met. Source: goal_success.csv."""

    name = "content_export_goal_success"
    key_properties = ("receipt_id", "goal_hit_at")
    replication_key = "goal_hit_at"


class Reactions(ContentExport):
    """One record per reaction to a message. Source: reaction.csv of the export."""

    name = "content_export_reaction"
    key_properties = ("receipt_id", "reacted_at")
    replication_key = "reacted_at"


class HardBounces(ContentExport):
    """One record per message that bounced for good. Source: hard_bounce.csv of the export."""

    name = "content_export_hard_bounce"
    key_properties = ("receipt_id", "hard_bounced_at")
    replication_key = "hard_bounced_at"


class SoftBounces(ContentExport):
    """One record per time that a message bounced. Source: soft_bounce.csv of the export."""

    name = "content_export_soft_bounce"
    key_properties = ("receipt_id", "soft_bounced_at")
    replication_key = "soft_bounced_at"


class Unsubscribes(ContentExport):
    """One record per time that somebody unsubscribed by a message. Source: unsubscribe.csv."""

    name = "content_export_unsubscribe"
    key_properties = ("receipt_id", "unsubscribed_at")
    replication_key = "unsubscribed_at"


class TourStepFailures(ContentExport):
    """One record per step of a tour that could not be shown. Source: tour_step_failure.csv."""

    name = "content_export_tour_step_failure"
    key_properties = (RECORD_HASH,)
    replication_key = "failed_at"
    hashed = ("receipt_id", "failed_at", "step_id", "failed_selector", "failure_url")


class TourStepViews(ContentExport):
    """One record per step of a tour that somebody saw. Source: tour_step_view.csv."""

    name = "content_export_tour_step_view"
    key_properties = (RECORD_HASH,)
    replication_key = "viewed_at"
    hashed = ("receipt_id", "viewed_at", "step_id")


class FinStepsReached(ContentExport):
    """One record per time that a message handed over to the AI agent. Source: fin_step_reached.csv.

    It has a conversation beside its receipt.
    """

    name = "content_export_fin_step_reached"
    key_properties = (RECORD_HASH,)
    replication_key = "involved_at"
    hashed = ("receipt_id", "involved_at", "conversation_id", "content_id")


class Checkpoints(ContentExport):
    """One record per place in a series that somebody has come to. Source: checkpoint.csv."""

    name = "content_export_checkpoint"
    key_properties = (RECORD_HASH,)
    replication_key = "created_at"
    hashed = ("series_entry_record_id", "user_id", "company_id", "ruleset_id", "created_at")


class Overviews(ContentExport):
    """One record per content and exported period: what became of the messages sent in it.

    Its totals are of the period that the export asked for, which is therefore part of the key.
    Source: overview.csv of the export.
    """

    name = "content_export_overview"
    key_properties = (RECORD_HASH,)
    replication_key = "sent_until"
    hashed = ("ruleset_id", "content_type", "content_id", "series_id", "sent_from", "sent_until")

    def carried(self, period: Window) -> Record:
        return {"sent_from": period.start, "sent_until": period.end}


class Receipts(ContentExport):
    """One record per message that somebody received. Source: receipt.csv of the export."""

    name = READER
    path = CONTENT.enqueue
    parent = None
    cost = "1 job for each 30 days: 2 requests, and 1 for each look whether it is complete"
    key_properties = ("receipt_id",)
    replication_key = "received_at"
    # As the official description has it.
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

    def family(self) -> Iterator[Stream]:
        yield self
        yield from self.groups

    def probe(self, settings: Settings) -> Probe:
        # A job that nobody made: the answer is 404, unless the permission is missing.
        return Probe(CONTENT.status.format(id="none"), may_be_absent=True)

    def batches(self, reading: Reading) -> Iterator[Batch]:
        """Windows of whole days by when messages were sent, the last days of before once more.

        What becomes of a message later comes only when the day that it was sent on is asked for
        again (API-I1): bookmarks are in terms of these days.
        """
        origin, lookback = reading.origin, reading.settings.export_lookback_days * DAY_SECONDS
        wanted = {name: windows_of(plan, origin, lookback) for name, plan in reading.plans.items()}
        first = min(window.start for windows in wanted.values() for window in windows)
        for span in spans(wanted, range(first, origin.now, WINDOW_SECONDS)):
            yield from self._read(reading, whole_days(span.window, origin.now), span.streams)
            reached = origin.limit if span.window.end is None else span.window.end
            yield Batch(reached=dict.fromkeys(span.streams, reached))

    def _read(self, reading: Reading, period: Window, names: frozenset[str]) -> Iterator[Batch]:
        assert period.end is not None
        # Both days are included (API-I1).
        body = {"created_at_after": period.start, "created_at_before": period.end - 1}
        with tempfile.TemporaryFile(prefix="tap-intercom-") as file:
            answer = export(
                reading.client,
                CONTENT,
                body,
                file,
                start_within=reading.settings.max_retry_seconds,
                end_within=reading.settings.export_wait_seconds,
            )
            if answer is None:
                return
            for file_name, content in csv_files(file):
                yield from self._read_file(reading, period, names, answer, file_name, content)

    def _read_file(
        self,
        reading: Reading,
        period: Window,
        names: frozenset[str],
        answer: Answer,
        file_name: str,
        content: IO[bytes],
    ) -> Iterator[Batch]:
        """The rows of a file, for the stream that it belongs to, where that is read."""
        rows = csv_rows(content)
        header = next(rows, None)
        if header is None:
            return
        stream = self._stream_of(file_name, header)
        if stream is None:
            reading.findings.add(self.name, "files of exports that no stream takes", file_name)
            return
        if stream.name not in names - reading.given_up.keys():
            return
        make = stream.maker(header, period)
        try:
            while records := [make(row) for row in islice(rows, ROWS_AT_ONCE)]:
                yield stream.batch(reading, answer, records)
        except ContractError as error:
            reading.given_up[stream.name] = error
            yield Batch(failed=frozenset([stream.name]))

    def _stream_of(self, file_name: str, header: Sequence[str]) -> ContentExport | None:
        """The stream that a file belongs to, by its name or else by its columns."""
        streams = [each for each in self.family() if isinstance(each, ContentExport)]
        if file_name:
            named = _GROUP.fullmatch(file_name.rsplit("/", 1)[-1])
            found = [each for each in streams if named and each.group == named[1]]
            return found[0] if found else None

        def known(stream: ContentExport) -> int:
            return len(column_types(stream.name).keys() & set(header))

        best = max(streams, key=lambda each: (known(each), -len(column_types(each.name))))
        if known(best) < 2:
            raise ContractError(f"{self.name}: the export has columns that no stream has: {header}")
        return best


@cache
def column_types(name: str) -> dict[str, str]:
    """Which columns of a stream are times, and which are plain values, as its schema has them."""
    return {
        column: "time" if schema.get("format") == "date-time" else "plain"
        for column, schema in load_schema(name)["properties"].items()
        if "object" not in schema["type"]
    }


def windows_of(plan: Plan, origin: Origin, lookback: int) -> list[Window]:
    """The windows of a plan, with the lookback before its bookmark; none begins before start_date.

    lookback is in seconds.
    """
    windows = list(plan.windows)
    if plan.main is not None:
        windows[-1] = Window(max(plan.main.start - lookback, origin.start_date), plan.main.end)
    return [Window(start_of_day(window.start), window.end) for window in windows]


def whole_days(window: Window, now: int) -> Window:
    """The days, in UTC, that a window touches; an open one ends with the day of `now`."""
    last = now if window.end is None else min(window.end - 1, now)
    return Window(start_of_day(window.start), start_of_day(last) + DAY_SECONDS)


def unique(names: Sequence[str]) -> list[str]:
    """The names of columns, with a number behind those that were there before."""
    found: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in found:
            number += 1
            candidate = f"{name} ({number})"
        found.append(candidate)
    return found


def instant(text: str) -> float | str | None:
    """A time of a file, however it is written, in Unix seconds; text that is no time as it is."""
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
