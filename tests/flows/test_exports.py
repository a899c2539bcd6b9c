"""Exports: jobs that Intercom works on, files in many forms, and rows by the day of a message."""

from __future__ import annotations

import gzip
import io
import json
import signal
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from conftest import Output
from paths import SCHEMAS
from runs import Clock, Runs
from test_check import check
from truth import differences, instant_text
from warm_tap import SHORT_WAITS, WarmTap

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.errors import ContractError
from tap_intercom.intercom.export_jobs import csv_files, csv_rows
from tap_intercom.state import Origin, Plan
from tap_intercom.streams import STREAMS
from tap_intercom.streams.exports import ContentExport, instant, unique, whole_days, windows_of
from tap_intercom.times import DAY_SECONDS, rfc3339
from tap_intercom.windows import Window

Catalog = dict[str, Any]
Record = dict[str, Any]
StartRuns = Callable[..., Runs]

NOW = 1_780_000_000
DAYS = 75
FIRST_DAY = NOW - 80 * DAY_SECONDS
NAMES = [name for name in STREAMS if name.startswith("content_export_")]
RECEIPT = "content_export_receipt"
OPEN = "content_export_open"
OVERVIEW = "content_export_overview"
CLICK = "content_export_click"
SHORT: Mapping[str, Any] = {
    **SHORT_WAITS,
    "intercom.export_jobs.FIRST_WAIT_SECONDS": 0.01,
    "messages.RECORDS_PER_STATE": 1,
}
JOBS = "/export/content/data"


class ExportRuns(Runs):
    """Runs that keep the state only: many rows here have no id that a target could take."""

    def take(self, output: Output) -> Output:
        self.outputs.append(output)
        if output.states:
            self.state = output.state
        return output


@pytest.fixture
def start_runs(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> StartRuns:
    """Runs on a sandbox of its own, whose clock stands still: `start_runs(**options)`."""

    def start(workspace: Workspace | None = None, **options: Any) -> Runs:
        sample = workspace or generate(
            seed=2, contacts=9, companies=0, conversations=0, parts=0, now=NOW, days=DAYS
        )
        sandbox = start_sandbox(sample, clock=Clock(NOW), **options)
        return ExportRuns(sandbox, tmp_path, warm_tap, plain_catalog, start_date=rfc3339(FIRST_DAY))

    return start


def run(runs: Runs, *streams: str, **how: Any) -> Output:
    numbers = {**SHORT, **how.pop("numbers", {})}
    return runs.run(*(streams or NAMES), numbers=numbers, **how)


def shaped(name: str, row: Record) -> Record:
    """A row of a file in the shape of its table."""
    stream = STREAMS[name]
    assert isinstance(stream, ContentExport)
    columns = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))["properties"]
    record: Record = {}
    others: Record = {}
    for column, value in row.items():
        if column == "sent_at":
            continue
        if column not in columns:
            others[column] = value
        elif columns[column].get("format") == "date-time":
            record[column] = None if value is None else instant_text(value)
        else:
            record[column] = value
    record[stream.others] = {name: value for name, value in others.items() if value} or None
    return record


def without_ours(record: Record) -> Record:
    ours = ("_sdc_record_hash", "sent_from", "sent_until")
    return {name: value for name, value in record.items() if name not in ours}


def identity(record: Record) -> str:
    return json.dumps(
        {name: value for name, value in without_ours(record).items() if value is not None},
        sort_keys=True,
    )


def by_key(output: Output, name: str) -> dict[tuple[Any, ...], Record]:
    """The last row of each key."""
    keys = STREAMS[name].key_properties
    return {tuple(row[key] for key in keys): row for row in output.records(name)}


def arrived(output: Output, *names: str) -> dict[str, list[str]]:
    """The rows that a target has. Periods of overviews overlap, so equal ones count once."""
    found = {name: sorted(map(identity, by_key(output, name).values())) for name in names or NAMES}
    return found | {name: sorted(set(found[name])) for name in found if name == OVERVIEW}


def truth(runs: Runs, *names: str) -> dict[str, list[str]]:
    return {
        name: sorted(identity(shaped(name, row)) for row in runs.sandbox.truth(name))
        for name in names or NAMES
    }


def asked(runs: Runs) -> list[tuple[int, int]]:
    """The days that jobs were enqueued for, from and to, in Unix seconds."""
    return [
        (request.json["created_at_after"], request.json["created_at_before"])
        for request in runs.sandbox.requests
        if request.method == "POST" and request.path == JOBS and request.status == 200
    ]


class TestWhole:
    @pytest.mark.parametrize("times", ["seconds", "iso", "space"])
    def test_every_group_equals_the_truth(self, start_runs: StartRuns, times: str) -> None:
        runs = start_runs(export_times=times)
        output = run(runs)
        assert output.code == 0, output.log
        expected = truth(runs)
        assert all(expected.values())
        assert arrived(output) == expected
        for name in NAMES:
            schema = output.schema(name)
            for record in output.records(name):
                assert list(differences(record, record, schema)) == []

    def test_every_record_is_valid_and_told_apart_by_its_key(self, start_runs: StartRuns) -> None:
        output = run(start_runs())
        for name in NAMES:
            stream = STREAMS[name]
            (schema,) = [
                message
                for message in output.messages
                if message["type"] == "SCHEMA" and message["stream"] == name
            ]
            assert schema["key_properties"] == list(stream.key_properties)
            assert schema["bookmark_properties"] == [stream.replication_key]
            validator = jsonschema_rs.Draft7Validator(schema["schema"], validate_formats=True)
            for record in output.records(name):
                validator.validate(record)

    def test_jobs_are_of_whole_days_without_a_gap_and_serve_all_groups(
        self, start_runs: StartRuns
    ) -> None:
        runs = start_runs()
        run(runs)
        jobs = asked(runs)
        assert len(jobs) == 3
        first_day = FIRST_DAY - FIRST_DAY % DAY_SECONDS
        end = NOW - NOW % DAY_SECONDS + DAY_SECONDS
        # Each begins a second early, and reaches the lookback and a day beyond its 30 days.
        starts = [first_day + number * 30 * DAY_SECONDS for number in range(3)]
        assert jobs == [(start - 1, min(start + 61 * DAY_SECONDS, end) - 1) for start in starts]

    def test_only_what_is_selected_is_written(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = run(runs, "content_export_click")
        assert {message.get("stream") for message in output.messages} <= {
            "content_export_click",
            None,
        }
        assert arrived(output, "content_export_click") == truth(runs, "content_export_click")
        assert set(runs.bookmarks) == {"content_export_click"}

    def test_a_run_without_a_catalog_makes_no_export(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = runs._warm_tap.run("--config", runs.tap.config(), numbers=SHORT)
        assert output.code == 0
        assert not [r for r in runs.sandbox.requests if "export" in r.path]

    def test_a_workspace_without_messages_is_complete(self, start_runs: StartRuns) -> None:
        runs = start_runs(Workspace())
        output = run(runs)
        assert output.code == 0, output.log
        assert arrived(output) == {name: [] for name in NAMES}
        assert set(runs.bookmarks) == set(NAMES)

    def test_the_identifier_is_misspelt_in_older_versions(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = run(runs, RECEIPT, api_version="2.10")
        assert output.code == 0, output.log
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)

    def test_end_date_ends_the_days(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        end = NOW - 40 * DAY_SECONDS
        output = run(runs, RECEIPT, end_date=rfc3339(end))
        assert output.code == 0, output.log
        last_day = (end - 1) // DAY_SECONDS
        assert max(last for _, last in asked(runs)) // DAY_SECONDS == last_day + 31
        sent = {row["received_at"][:10] for row in output.records(RECEIPT)}
        assert max(sent) <= rfc3339(end + DAY_SECONDS)[:10]  # type: ignore[index]
        assert runs.bookmarks[RECEIPT]["updated_at"] == rfc3339(end)


class TestAgain:
    def test_the_last_days_are_read_again_and_bookmarks_move(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        run(runs)
        before = runs.bookmarks[OPEN]["updated_at"]
        assert before == rfc3339(NOW - 600)
        runs.sandbox.clear_requests()
        workspace = runs.sandbox.workspace
        (sent_at, receipt_id) = max(
            (row["sent_at"], row["receipt_id"]) for row in runs.sandbox.truth(RECEIPT)
        )
        later = NOW + DAY_SECONDS
        runs.sandbox._clock.instant = later  # type: ignore[attr-defined]
        workspace.add_export_row("open", sent_at, receipt_id=receipt_id, opened_at=later - 5)
        output = run(runs)
        assert output.code == 0, output.log
        assert instant_text(later - 5) in {row["opened_at"] for row in output.records(OPEN)}
        read_from = NOW - 600 - 30 * DAY_SECONDS
        assert min(first for first, _ in asked(runs)) == read_from - read_from % DAY_SECONDS - 1
        assert runs.bookmarks[OPEN]["updated_at"] == rfc3339(later - 600)
        assert set(map(identity, runs.target.records(OPEN).values())) <= set(
            truth(runs, OPEN)[OPEN]
        )

    def test_export_lookback_days_says_how_many(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        run(runs, RECEIPT)
        runs.sandbox.clear_requests()
        output = run(runs, RECEIPT, export_lookback_days=0)
        assert output.code == 0, output.log
        ((first, last),) = asked(runs)
        assert (first + 1) // DAY_SECONDS == (NOW - 600) // DAY_SECONDS
        assert last // DAY_SECONDS == NOW // DAY_SECONDS

    def test_an_earlier_start_date_reads_the_missing_days(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        late = rfc3339(NOW - 20 * DAY_SECONDS)
        first = run(runs, RECEIPT, start_date=late)
        second = run(runs, RECEIPT)
        assert second.code == 0, second.log
        both = {identity(row) for output in (first, second) for row in output.records(RECEIPT)}
        assert both == set(truth(runs, RECEIPT)[RECEIPT])
        assert runs.bookmarks[RECEIPT]["since"] == rfc3339(FIRST_DAY)

    def test_a_full_read_activates_its_version(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        run(runs, RECEIPT)

        def full(catalog: Catalog) -> None:
            for entry in catalog["streams"]:
                if entry["tap_stream_id"] == RECEIPT:
                    entry["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE"
                    table = next(e for e in entry["metadata"] if e["breadcrumb"] == [])
                    table["metadata"]["replication-method"] = "FULL_TABLE"

        output = run(runs, RECEIPT, edit_catalog=full)
        assert output.code == 0, output.log
        assert output.count("ACTIVATE_VERSION", RECEIPT) == 1
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)


class TestJobs:
    def test_a_pending_job_of_another_app_is_waited_for(self, start_runs: StartRuns) -> None:
        runs = start_runs(exports_refused=3)
        output = run(runs, RECEIPT)
        assert output.code == 0, output.log
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)
        assert output.log.count("waiting up to 600 s for another job of this workspace") == 1
        assert "rate limit is used up" not in output.log

    def test_one_that_does_not_end_is_an_error_and_others_go_on(
        self, start_runs: StartRuns
    ) -> None:
        runs = start_runs(exports_refused=1_000_000)
        output = run(runs, RECEIPT, "tags", max_retry_seconds=0.1)
        assert output.code == 4
        assert "Other exports of this workspace did not finish in time" in output.last_log_line
        assert output.records("tags")
        assert set(runs.bookmarks) == set()

    def test_a_failed_job_is_an_error_with_the_bookmark_at_the_last_window(
        self, start_runs: StartRuns
    ) -> None:
        runs = start_runs()

        def fail_later(sandbox: Sandbox, method: str, path: str, number: int) -> None:
            if path.startswith("/download/"):
                sandbox.options.export_result = "failed"

        runs.sandbox.before_request(fail_later)
        output = run(runs)
        assert output.code == 4
        assert "Intercom reports the job" in output.last_log_line
        assert " as failed" in output.last_log_line
        reached = {bookmark["updated_at"] for bookmark in runs.bookmarks.values()}
        _, (second, _) = asked(runs)
        assert reached == {rfc3339(second + 1)}
        statuses = [r.status for r in runs.sandbox.requests if r.path.startswith(f"{JOBS}/")]
        assert statuses.count(504) == 1

        runs.sandbox._hooks.clear()
        runs.sandbox.options.export_result = "complete"
        output = run(runs)
        assert output.code == 0, output.log
        for name in NAMES:
            if name != OVERVIEW:
                got = {identity(row) for each in runs.outputs for row in each.records(name)}
                assert got == set(truth(runs, name)[name])

    def test_a_canceled_job_is_an_error(self, start_runs: StartRuns) -> None:
        runs = start_runs(export_result="canceled")
        output = run(runs, RECEIPT)
        assert output.code == 4
        assert " as canceled" in output.last_log_line
        assert runs.bookmarks == {}

    def test_a_gateway_that_times_out_is_no_failed_job(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        runs.sandbox.faults.add("status", f"{JOBS}/", status=504, body="<html>", times=2)
        output = run(runs, RECEIPT)
        assert output.code == 0, output.log
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)

    def test_a_job_is_waited_for_no_longer_than_it_may_take(self, start_runs: StartRuns) -> None:
        runs = start_runs(export_looks=1_000_000)
        output = run(runs, RECEIPT, export_wait_seconds=0.1)
        assert output.code == 4
        assert "increase export_wait_seconds" in output.last_log_line
        assert runs.bookmarks == {}

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_missing_permission_is_named(self, start_runs: StartRuns, status: int) -> None:
        runs = start_runs(refusal_status=status)
        runs.sandbox.options.permissions.remove("export_content_data")
        output = run(runs, RECEIPT, OPEN)
        assert output.code == 3
        assert "the permission 'Export content data'" in output.last_log_line
        skipped = run(runs, RECEIPT, OPEN, on_missing_permission="skip")
        assert skipped.code == 0
        assert "SKIPPED" in skipped.log

    def test_check_tells_whether_the_permission_is_there(self, start_runs: StartRuns) -> None:
        runs = start_runs()

        def results() -> set[str]:
            found = check(runs.tap).results
            return {found[name] for name in NAMES}

        assert results() == {"reachable"}
        runs.sandbox.options.permissions.remove("export_content_data")
        assert results() == {"missing permission"}
        assert not asked(runs)


class TestPeriods:
    """What became of a message is exported as far as it happened in the period asked for."""

    START = FIRST_DAY - FIRST_DAY % DAY_SECONDS

    def workspace(self) -> Workspace:
        """A message a day, opened 25 days later."""
        workspace = Workspace()
        for number in range(50):
            sent_at = self.START + number * DAY_SECONDS + 43_200
            at = sent_at + 25 * DAY_SECONDS
            workspace.add_export_row(
                "receipt", sent_at, receipt_id=f"r{number}", received_at=sent_at, first_open=at
            )
            workspace.add_export_row("open", sent_at, receipt_id=f"r{number}", opened_at=at)
        return workspace

    def assert_nothing_is_missing(self, runs: Runs, *names: str) -> None:
        for name in names:
            rows: dict[tuple[Any, ...], Record] = {}
            for output in runs.outputs:
                rows |= by_key(output, name)
            assert sorted(map(identity, rows.values())) == truth(runs, name)[name]

    def test_what_happens_after_a_window_comes_with_the_message(
        self, start_runs: StartRuns
    ) -> None:
        runs = start_runs(self.workspace())
        assert run(runs, RECEIPT, OPEN).code == 0
        self.assert_nothing_is_missing(runs, RECEIPT, OPEN)
        # Receipts of the next window are left to its own job, but for a day.
        assert len(runs.outputs[0].records(RECEIPT)) <= 50 + 2

    def test_a_period_that_is_read_later_does_not_take_away_what_came_before(
        self, start_runs: StartRuns
    ) -> None:
        workspace = self.workspace()
        middle = self.START + 20 * DAY_SECONDS
        # Read as the first window's first message, and as the margin of the missing period.
        workspace.add_export_row(
            "receipt", middle + 60, receipt_id="late", received_at=middle + 60,
            first_open=middle + 50 * DAY_SECONDS,
        )  # fmt: skip
        runs = start_runs(workspace)
        assert run(runs, RECEIPT, start_date=rfc3339(middle)).code == 0
        assert run(runs, RECEIPT).code == 0
        self.assert_nothing_is_missing(runs, RECEIPT)
        assert "late" in {row["receipt_id"] for row in runs.outputs[1].records(RECEIPT)}

    def test_what_happens_until_the_next_run_comes(self, start_runs: StartRuns) -> None:
        runs = start_runs(self.workspace())
        end = rfc3339(self.START + 40 * DAY_SECONDS)
        assert run(runs, RECEIPT, OPEN, end_date=end).code == 0
        assert run(runs, RECEIPT, OPEN).code == 0
        self.assert_nothing_is_missing(runs, RECEIPT, OPEN)

    def test_a_job_that_is_cut_is_reported(self, start_runs: StartRuns) -> None:
        runs = start_runs(self.workspace())
        output = run(runs, RECEIPT, numbers={"streams.exports.MAX_ROWS": 30})
        assert output.code == 0
        assert "where Intercom leaves out what is more" in output.log
        runs.forget()
        strict = run(runs, RECEIPT, strict=True, numbers={"streams.exports.MAX_ROWS": 30})
        assert strict.code == 5


class TestLeftBehind:
    """A content export that is pending keeps every other one of the workspace from starting."""

    def pending(self, runs: Runs) -> int:
        return sum(job.status not in ("completed", "no_data", "failed", "canceled") for job in
                   runs.sandbox.api.exports._jobs.values())  # fmt: skip

    def cancelled(self, runs: Runs) -> int:
        return sum("/export/cancel/" in request.path for request in runs.sandbox.requests)

    def test_a_job_that_is_given_up_is_cancelled(self, start_runs: StartRuns) -> None:
        runs = start_runs(export_looks=1_000_000)
        assert run(runs, RECEIPT, export_wait_seconds=0.1).code == 4
        assert (self.pending(runs), self.cancelled(runs)) == (0, 1)
        assert "export_job" not in runs.state

    def test_a_job_that_failed_or_ended_is_not(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        assert run(runs, RECEIPT).code == 0
        runs.sandbox.options.export_result = "failed"
        assert run(runs, RECEIPT).code == 4
        assert self.cancelled(runs) == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_run_that_is_stopped_cancels_its_job(
        self, start_runs: StartRuns, number: int
    ) -> None:
        runs = start_runs(export_looks=1_000_000)
        process = runs.start(RECEIPT, numbers=SHORT)
        process.read(lambda data: b"export_job" in data)
        process.kill(number)
        assert runs.take(process.wait()).code == 128 + number
        assert (self.pending(runs), self.cancelled(runs)) == (0, 1)
        runs.sandbox.options.export_looks = 2
        output = run(runs, RECEIPT, max_retry_seconds=0.1)
        assert output.code == 0, output.log
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)

    def test_a_target_that_dies_leaves_no_job(self, start_runs: StartRuns) -> None:
        runs = start_runs(export_looks=1_000_000)
        process = runs.start(RECEIPT, "tags", numbers=SHORT, export_wait_seconds=0.5)
        process.read(lambda data: b"export_job" in data)
        process.close_stdout()
        assert process.wait().code == 141
        assert self.pending(runs) == 0

    def test_the_job_of_a_run_that_was_killed_is_cancelled_by_the_next(
        self, start_runs: StartRuns
    ) -> None:
        runs = start_runs(export_looks=1_000_000)
        process = runs.start(RECEIPT, numbers=SHORT)
        process.read(lambda data: b"export_job" in data)
        process.kill(signal.SIGKILL)
        runs.take(process.wait())
        assert self.pending(runs) == 1
        assert isinstance(runs.state["export_job"], str)
        runs.sandbox.options.export_looks = 2
        output = run(runs, RECEIPT, max_retry_seconds=0.1)
        assert output.code == 0, output.log
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)
        assert self.cancelled(runs) == 1
        assert "export_job" not in runs.state

    def test_a_job_that_ended_meanwhile_costs_nothing(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        runs.state = {"bookmarks": {}, "export_job": "gone"}
        assert run(runs, "tags").code == 0
        assert runs.state["export_job"] == "gone"
        assert run(runs, RECEIPT).code == 0
        assert self.cancelled(runs) == 0
        assert "export_job" not in runs.state

    def test_a_job_that_cannot_be_cancelled_is_waited_for(self, start_runs: StartRuns) -> None:
        runs = start_runs(exports_refused=2)
        runs.state = {"bookmarks": {}, "export_job": "gone"}
        output = run(runs, RECEIPT)
        assert output.code == 0, output.log
        assert "could not be cancelled" in output.log
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "{group}.csv",
            "{group}_{number}.csv",
            "Export 1/Content-{group}s_{now:%Y-%m-%dT%H:%M:%SZ}.CSV",
            "../../{group}_{now:%Y%m%d}_part{number}.csv",
            "{number}",
            "rows-{number}-{now:%d.%m.%Y}.txt",
        ],
    )
    def test_files_are_recognised_whatever_they_are_called(
        self, start_runs: StartRuns, name: str
    ) -> None:
        runs = start_runs(content_file_name=name)
        output = run(runs, strict=True)
        assert output.code == 0, output.log
        assert arrived(output) == truth(runs)
        assert "no stream takes" not in output.log

    def run_with(self, start_runs: StartRuns, files: Mapping[str, str | bytes]) -> Runs:
        runs = start_runs()
        content = archive(files)
        runs.sandbox.faults.add("answer", "/download/", times=None, answer=lambda _: content)
        run(runs, RECEIPT, OPEN)
        return runs

    def test_a_file_that_may_be_of_a_stream_fails_that_one_only(
        self, start_runs: StartRuns
    ) -> None:
        receipts = f"receipt_id,received_at\nr,{NOW - 60}\n"
        files = {"news.csv": f"receipt_id,opened_at,news_id\nr,{NOW},1\n", "receipt.csv": receipts}
        runs = self.run_with(start_runs, files)
        (output,) = runs.outputs
        assert output.code == 5
        assert "the export file 'news.csv' may belong to this stream" in output.last_log_line
        assert set(runs.bookmarks) == {RECEIPT}
        assert {row["receipt_id"] for row in output.records(RECEIPT)} == {"r"}

    @pytest.mark.parametrize(
        "files",
        [
            {"news.csv": "receipt_id,opened_at,news_id\n"},
            {"news.csv": "news_id,read_at\n1,2\n"},
            {"push_failure_1.csv": f"receipt_id,opened_at,reason\nr,{NOW},1\n"},
            {"sms.csv": f"receipt_id,clicked_at,link_type,url,more\nr,{NOW},a,b,c\n"},
            {"readme.txt": "Your export\n\nis here\n", "empty.csv": ""},
            {"click.csv": 'receipt_id,clicked_at\n"broken'},
        ],
    )
    def test_a_file_of_no_stream_that_is_read_fails_none(
        self, start_runs: StartRuns, files: Mapping[str, str]
    ) -> None:
        runs = self.run_with(start_runs, files)
        assert runs.outputs[0].code == 0, runs.outputs[0].log
        assert set(runs.bookmarks) == {RECEIPT, OPEN}

    def test_a_file_without_a_header_fails_its_stream(self, start_runs: StartRuns) -> None:
        runs = self.run_with(start_runs, {"open.csv": f"r,{NOW}\n"})
        assert runs.outputs[0].code == 5
        assert "no column of its group" in runs.outputs[0].last_log_line
        assert set(runs.bookmarks) == {RECEIPT}

    def test_columns_may_be_spelt_otherwise(self, start_runs: StartRuns) -> None:
        text = f"Receipt ID, Received-At,First_Dismisall\nr,{NOW - 60},{NOW}\n"
        runs = self.run_with(start_runs, {"1.csv": text})
        (record,) = by_key(runs.outputs[0], RECEIPT).values()
        assert record["receipt_id"] == "r"
        assert record["received_at"] == instant_text(NOW - 60)
        assert record["first_dismissal"] == instant_text(NOW)

    def test_files_may_be_packed_once_more(self, start_runs: StartRuns) -> None:
        rows = gzip.compress(f"receipt_id,opened_at\nr,{NOW}\n".encode())
        runs = self.run_with(start_runs, {"open_1.csv.gz": rows})
        assert runs.outputs[0].code == 0, runs.outputs[0].log
        assert [row["receipt_id"] for row in by_key(runs.outputs[0], OPEN).values()] == ["r"]

    @pytest.mark.parametrize("kind", ["encrypted", "method", "archive", "long", "binary"])
    def test_a_file_that_cannot_be_unpacked_fails_its_stream_only(
        self, start_runs: StartRuns, kind: str
    ) -> None:
        content: str | bytes = f"receipt_id,opened_at\nr,{NOW}\n"
        if kind == "archive":
            content = archive({"open.csv": content})[2]
        elif kind == "long":
            content = "x" * 2_000
        elif kind == "binary":
            content = bytes(range(256)) * 9
        answer = archive({"open.csv": content, "receipt.csv": "receipt_id\n1\n"})
        packed = bytearray(answer[2])
        directory = packed.index(b"PK\x01\x02")
        if kind == "encrypted":
            packed[6] |= 1
            packed[directory + 8] |= 1
        elif kind == "method":
            packed[8] = packed[directory + 10] = 97
        runs = start_runs()
        runs.sandbox.faults.add(
            "answer", "/download/", times=None, answer=lambda _: (*answer[:2], bytes(packed))
        )
        output = run(runs, RECEIPT, OPEN, numbers={"intercom.export_jobs.LONGEST_ROW": 1_000})
        assert output.code == 5
        assert "Traceback" not in output.log
        reason = (
            "the first row of an export file has no column"
            if kind == "binary"
            else "export: the file 'open"
        )
        assert f"{OPEN}: {reason}" in output.last_log_line
        assert set(runs.bookmarks) == {RECEIPT}
        others = run(runs, RECEIPT)
        assert others.code == 0, others.log

    def test_a_file_alone_says_nothing_of_other_groups(self, start_runs: StartRuns) -> None:
        output = run(start_runs(content_file="gzip"), RECEIPT, OPEN)
        assert output.code == 0, output.log
        assert f"{OPEN}: 3 exports that are one file, of another group" in output.log


def test_rows_that_are_equal_in_their_key_are_numbered(start_runs: StartRuns) -> None:
    workspace = Workspace()
    for response in ("red", "blue", "blue"):
        workspace.add_export_row(
            "answer", NOW - 60, receipt_id="1", answered_at=NOW, question_id="q", response=response
        )
    runs = start_runs(workspace)
    name = "content_export_answer"
    first = by_key(run(runs, name), name)
    assert sorted(row["response"] for row in first.values()) == ["blue", "blue", "red"]
    workspace.update_export_row("answer", 0, response="green")
    second = by_key(run(runs, name), name)
    assert second.keys() == first.keys()
    assert sorted(row["response"] for row in second.values()) == ["blue", "blue", "green"]


class TestFiles:
    @pytest.mark.parametrize("kind", ["truncated", "reset_midway"])
    def test_a_download_that_breaks_off_begins_again(
        self, start_runs: StartRuns, kind: Any
    ) -> None:
        runs = start_runs()
        runs.sandbox.faults.add(kind, "/download/", times=2)
        output = run(runs)
        assert output.code == 0, output.log
        assert arrived(output) == truth(runs)

    @pytest.mark.parametrize("packing", ["gzip", "plain"])
    def test_a_csv_file_alone_is_told_by_its_columns(
        self, start_runs: StartRuns, packing: str
    ) -> None:
        runs = start_runs(content_file=packing)
        output = run(runs, RECEIPT, OPEN)
        assert output.code == 0, output.log
        assert arrived(output, RECEIPT) == truth(runs, RECEIPT)
        assert output.records(OPEN) == []

    def test_columns_that_nobody_knows_are_kept(self, start_runs: StartRuns) -> None:
        workspace = Workspace()
        workspace.add_export_row(
            "open", NOW - 60, receipt_id="1", opened_at=NOW, inbox='a, b\0c\n"d"', empty=""
        )
        output = run(start_runs(workspace), OPEN)
        assert output.code == 0, output.log
        (record,) = by_key(output, OPEN).values()
        assert record["columns"] == {"inbox": 'a, b\ufffdc\n"d"'}

    def test_a_file_that_no_stream_takes_is_told(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        content = archive({"sms_1_20260101-000000.csv": "receipt_id\n1\n"})
        runs.sandbox.faults.add("answer", "/download/", times=None, answer=lambda _: content)
        output = run(runs, RECEIPT)
        assert output.code == 0, output.log
        assert "files of exports that no stream takes" in output.log
        assert "sms_1_20260101-000000.csv" in output.log

    def test_one_broken_file_does_not_stop_the_others(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        content = archive(
            {
                "open_20260101-000000.csv": "receipt_id,opened_at\n1,\n",
                "reply_20260101-000000.csv": f"receipt_id,replied_at\n1,{NOW}\n",
                "click_20260101-000000.csv": "receipt_id,clicked_at,link_type,url\n1,2\n",
            }
        )
        runs.sandbox.faults.add("answer", "/download/", times=None, answer=lambda _: content)
        names = (OPEN, "content_export_reply", "content_export_click")
        output = run(runs, *names)
        assert output.code == 5
        assert "without a usable opened_at" in output.last_log_line
        assert "a row has 2 cells" in output.last_log_line
        assert {name for name in names if output.records(name)} == {"content_export_reply"}
        assert set(runs.bookmarks) == {"content_export_reply"}

    @pytest.mark.parametrize("content", [b"PK\x03\x04 and so on", b"\x1f\x8b\x08 and so on"])
    def test_a_file_that_is_broken_is_an_error(self, start_runs: StartRuns, content: bytes) -> None:
        runs = start_runs()
        runs.sandbox.faults.add(
            "answer", "/download/", times=None, answer=lambda _: (200, {}, content)
        )
        output = run(runs, RECEIPT)
        assert output.code == 5
        assert "the file cannot be read" in output.last_log_line
        # The file is of the second window; the first had no messages.
        assert runs.bookmarks.get(RECEIPT, {}).get("updated_at") != rfc3339(NOW - 600)

    def test_no_room_for_a_file_is_no_bug(self, start_runs: StartRuns) -> None:
        runs = start_runs(generate(seed=2, contacts=0, resources=400, now=NOW, days=20))
        output = run(runs, RECEIPT, largest_file=4_096)
        assert output.code == 4
        assert "set TMPDIR to another folder" in output.last_log_line

    def test_many_rows_come_in_pieces(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = run(runs, numbers={"streams.exports.ROWS_AT_ONCE": 2})
        assert output.code == 0, output.log
        assert arrived(output) == truth(runs)


def archive(files: Mapping[str, str | bytes]) -> tuple[int, dict[str, str], bytes]:
    """The answer to a download: a status, headers and an archive of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    headers = {"Content-Type": "application/octet-stream", "Content-Encoding": "zip"}
    return 200, headers, packed.getvalue()


def test_the_hash_of_a_row_does_not_depend_on_how_times_are_written(
    start_runs: StartRuns,
) -> None:
    name = "content_export_click"
    hashes = [
        sorted(row["_sdc_record_hash"] for row in run(runs, name).records(name))
        for runs in (start_runs(export_times=times) for times in ("seconds", "iso", "space"))
    ]
    assert hashes[0]
    assert hashes[0] == hashes[1] == hashes[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("1780000000", 1_780_000_000),
        ("1780000000.5", 1_780_000_000.5),
        ("2026-05-28T20:26:40Z", 1_780_000_000),
        ("2026-05-28T20:26:40.5Z", 1_780_000_000.5),
        ("2026-05-28 20:26:40", 1_780_000_000),
        ("2026-05-28 20:26:40 UTC", 1_780_000_000),
        ("2026-05-28 22:26:40 +0200", 1_780_000_000),
        ("2026-05-28", 1_779_926_400),
        ("soon", "soon"),
    ],
)
def test_times_in_all_forms(text: str, expected: Any) -> None:
    assert instant(text) == expected


def test_columns_of_the_same_name_are_told_apart() -> None:
    assert unique(["a", "b", "a", "a", "a (2)"]) == ["a", "b", "a (2)", "a (3)", "a (2) (2)"]


@pytest.mark.parametrize(
    "packed",
    [
        b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n\r\n',
        gzip.compress(b'a,b\n1,"x\ny"\n'),
        archive({"folder/": "", "folder/f.csv": 'a,b\n1,"x\ny"\n'})[2],
    ],
    ids=["plain", "gzip", "zip"],
)
def test_rows_of_a_file_however_it_is_packed(packed: bytes) -> None:
    rows = [list(file.rows()) for file in csv_files(io.BytesIO(packed))]
    assert rows == [[["a", "b"], ["1", "x\ny"]]]


@pytest.mark.parametrize("text", [b"a,b\n1\n", b"a,b\n1,2,3\n", b'a,b\n1,"2', b'a\n"1"2\n'])
def test_a_row_that_could_be_misread_is_an_error(text: bytes) -> None:
    with pytest.raises(ContractError):
        list(csv_rows(io.BytesIO(text)))


def test_windows_begin_before_the_bookmark_but_not_before_start_date() -> None:
    day = DAY_SECONDS
    origin = Origin(100 * day + 5, None, None, None, 200 * day, 200 * day)
    plan = Plan(Window(150 * day + 7, None))
    assert windows_of(plan, origin, 30 * day) == [Window(120 * day, None)]
    assert windows_of(plan, origin, 90 * day) == [Window(100 * day, None)]
    both = Plan(Window(150 * day, None), missing=Window(100 * day + 5, 140 * day))
    assert windows_of(both, origin, day) == [
        Window(100 * day, 140 * day),
        Window(149 * day, None),
    ]


def test_a_window_becomes_whole_days() -> None:
    day = DAY_SECONDS
    assert whole_days(Window(3 * day, 5 * day), 9 * day) == Window(3 * day, 5 * day)
    assert whole_days(Window(3 * day + 1, 5 * day + 1), 9 * day) == Window(3 * day, 6 * day)
    assert whole_days(Window(3 * day, None), 9 * day) == Window(3 * day, 10 * day)
    assert whole_days(Window(3 * day, 99 * day), 9 * day + 1) == Window(3 * day, 10 * day)
