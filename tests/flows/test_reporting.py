"""Datasets of the reporting export: found by discovery, read as files, by column."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from conftest import Output, Tap
from runs import Clock
from test_check import check
from test_exports import DAYS, FIRST_DAY, NOW, SHORT, ExportRuns
from truth import instant_text
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.records.coerce import without_descriptions
from tap_intercom.streams.reporting import (
    LONGEST_COLUMN_BYTES,
    column_names,
    invalid_attributes,
    marks_of_columns,
)
from tap_intercom.times import DAY_SECONDS, rfc3339

Record = dict[str, Any]
Catalog = dict[str, Any]
StartRuns = Callable[..., ExportRuns]

CONVERSATION = "reporting_conversation"
STATES = "reporting_ticket_time_in_state"
ENQUEUE = "/export/reporting_data/enqueue"
DATASETS = "/export/reporting_data/get_datasets"
KEY = "conversation_conversation_id"
TIME = "timestamp_conversation_started_at"


@pytest.fixture
def start_runs(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path, warm_tap: WarmTap
) -> StartRuns:
    """Runs on a sandbox of its own, with the catalog that discovery gives."""

    def start(workspace: Workspace | None = None, **options: Any) -> ExportRuns:
        sample = workspace or generate(
            seed=2, contacts=0, companies=0, conversations=0, parts=0, datasets=40,
            now=NOW, days=DAYS,
        )  # fmt: skip
        sandbox = start_sandbox(sample, clock=Clock(NOW), **options)
        tap = Tap(sandbox, tmp_path)
        catalog = warm_tap.run("--config", tap.config(), "--discover").messages[0]
        sandbox.clear_requests()
        return ExportRuns(sandbox, tmp_path, warm_tap, catalog, start_date=rfc3339(FIRST_DAY))

    return start


def run(runs: ExportRuns, *streams: str, **how: Any) -> Output:
    return runs.run(*(streams or (CONVERSATION, STATES)), numbers=SHORT, **how)


def entry_of(runs: ExportRuns, name: str) -> Record:
    (entry,) = [each for each in runs.catalog["streams"] if each["tap_stream_id"] == name]
    found: Record = entry
    return found


def by_key(output: Output, name: str) -> dict[str, Record]:
    """The last row of each key."""
    (schema,) = [
        each for each in output.messages if each["type"] == "SCHEMA" and each["stream"] == name
    ]
    return {row[schema["key_properties"][0]]: row for row in output.records(name)}


def rows(output: Output, name: str) -> list[str]:
    """The rows of a dataset that a target has, as texts that compare, without our own column."""
    return sorted(
        json.dumps({k: v for k, v in row.items() if k != "_sdc_record_hash"}, sort_keys=True)
        for row in by_key(output, name).values()
    )


def truth(runs: ExportRuns, name: str) -> list[str]:
    def value(attribute: str, found: Any) -> Any:
        if attribute.startswith("timestamp."):
            return instant_text(found)
        return None if found is None else str(found)

    return sorted(
        json.dumps(
            {
                attribute.replace(".", "_").lower(): value(attribute, found)
                for attribute, found in row.items()
            },
            sort_keys=True,
        )
        for row in runs.sandbox.truth(name)
    )


def jobs(runs: ExportRuns) -> list[Record]:
    return [r.json for r in runs.sandbox.requests if r.path == ENQUEUE and r.status == 200]


class TestDiscovery:
    def test_a_dataset_is_a_stream_with_a_column_for_each_attribute(
        self, start_runs: StartRuns
    ) -> None:
        entry = entry_of(start_runs(), CONVERSATION)
        text = {"type": ["null", "string"]}
        assert entry["key_properties"] == [KEY]
        assert entry["replication_key"] == TIME
        properties = entry["schema"]["properties"]
        assert properties["people_plan"]["description"] == "Plan"
        assert properties[KEY]["description"] == "Conversation id"
        assert without_descriptions(entry["schema"])["properties"] == {
            KEY: {"type": "string"},
            TIME: {**text, "format": "date-time"},
            "conversation_channel": text,
            "conversation_conversation_handling_time": text,
            "people_plan": text,
            "conversation_plan": text,
        }
        marks = {tuple(each["breadcrumb"]): each["metadata"] for each in entry["metadata"]}
        assert marks[()]["selected-by-default"] is False
        assert marks[()]["table-key-properties"] == [KEY]
        assert marks[()]["valid-replication-keys"] == [TIME]
        qualified = {
            place[1]: mark["tap-intercom.qualified-id"] for place, mark in marks.items() if place
        }
        assert qualified["people_plan"] == "people.Plan"
        assert qualified[TIME] == "timestamp.conversation_started_at"
        states = entry_of(start_runs(), STATES)
        assert states["key_properties"] == ["_sdc_record_hash"]
        assert states["schema"]["properties"]["_sdc_record_hash"]["description"].startswith("Key")

    @pytest.mark.parametrize("status", [401, 403])
    def test_without_the_permission_there_are_none(
        self, start_runs: StartRuns, status: int, warm_tap: WarmTap
    ) -> None:
        runs = start_runs()
        runs.sandbox.options.permissions.remove("export_reporting_data")
        runs.sandbox.options.refusal_status = status
        output = warm_tap.run("--config", runs.tap.config(), "--discover")
        assert output.code == 0
        names = {each["tap_stream_id"] for each in output.messages[0]["streams"]}
        assert CONVERSATION not in names
        assert "tags" in names
        (line,) = [each for each in output.log.splitlines() if "reporting" in each]
        assert line.startswith("INFO reporting streams are left out")

    def test_a_run_without_a_catalog_does_not_ask(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = runs._warm_tap.run("--config", runs.tap.config(), numbers=SHORT)
        assert output.code == 0, output.log
        assert DATASETS not in {request.path for request in runs.sandbox.requests}

    def test_versions_before_2_14_have_none(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        runs._warm_tap.run("--config", runs.tap.config(api_version="2.13"), "--discover")
        assert DATASETS not in {request.path for request in runs.sandbox.requests}

    def test_a_dataset_that_cannot_be_a_stream_is_left_out(self, start_runs: StartRuns) -> None:
        workspace = Workspace()
        workspace.add_dataset("Odd one", None, ["a.b"])
        workspace.add_dataset("empty", None, [])
        workspace.add_dataset("fine", None, ["a.b"])
        names = {each["tap_stream_id"] for each in start_runs(workspace).catalog["streams"]}
        assert {name for name in names if name.startswith("reporting_")} == {"reporting_fine"}


class TestKeys:
    """Rows without an id have a key of what does not change in them, and a number."""

    HANDLING = "reporting_teammate_handling_conversation"
    ATTRIBUTES = (
        "timestamp.conversation_started_at",
        "standard.conversation_id",
        "teammate.handling_teammate_id",
        "duration.teammate_handling_time",
    )

    def start(self, start_runs: StartRuns, *values: tuple[str, str, int]) -> ExportRuns:
        """Runs on rows of a conversation, a teammate and a handling time."""
        workspace = Workspace()
        dataset = self.HANDLING.removeprefix("reporting_")
        workspace.add_dataset(dataset, "conversation_started_at", self.ATTRIBUTES)
        for each in values:
            row = dict(zip(self.ATTRIBUTES, (NOW - 9 * DAY_SECONDS, *each), strict=True))
            workspace.add_dataset_row(dataset, row)
        return start_runs(workspace)

    def keys(self, output: Output) -> list[str]:
        assert output.code == 0, output.log
        return [row["_sdc_record_hash"] for row in output.records(self.HANDLING)]

    def test_equal_rows_are_told_apart_and_have_the_same_keys_again(
        self, start_runs: StartRuns
    ) -> None:
        runs = self.start(
            start_runs, ("1", "a", 60), ("1", "a", 60), ("1", "a", 60), ("2", "a", 60)
        )
        first = self.keys(run(runs, self.HANDLING))
        assert len(set(first)) == 4
        assert self.keys(run(runs, self.HANDLING)) == first

    def test_a_row_that_changes_keeps_its_key(self, start_runs: StartRuns) -> None:
        runs = self.start(start_runs, ("1", "a", 60), ("1", "b", 60))
        first = self.keys(run(runs, self.HANDLING))
        dataset = self.HANDLING.removeprefix("reporting_")
        runs.sandbox.workspace.update_dataset_row(dataset, 0, {self.ATTRIBUTES[3]: 90})
        output = run(runs, self.HANDLING)
        assert self.keys(output) == first
        column = "duration_teammate_handling_time"
        assert {row[column] for row in output.records(self.HANDLING)} == {"60", "90"}

    def test_what_the_key_is_made_of_is_read_whatever_is_selected(
        self, start_runs: StartRuns
    ) -> None:
        def only_time(catalog: Catalog) -> None:
            for entry in catalog["streams"]:
                for each in entry["metadata"]:
                    if each["breadcrumb"]:
                        each["metadata"]["selected"] = "handling_time" in each["breadcrumb"][1]

        runs = self.start(start_runs, ("1", "a", 60), ("2", "a", 60))
        first = self.keys(run(runs, self.HANDLING))
        assert self.keys(run(runs, self.HANDLING, edit_catalog=only_time)) == first

    def test_rows_of_a_dataset_that_is_not_known_keep_their_key(
        self, start_runs: StartRuns
    ) -> None:
        workspace = Workspace()
        attributes = ["timestamp.asked_at", "call.call_id", "call.state"]
        workspace.add_dataset("copilot", "asked_at", attributes)
        for number in range(3):
            row = dict(
                zip(attributes, (NOW - 9 * DAY_SECONDS, str(number // 2), "open"), strict=True)
            )
            workspace.add_dataset_row("copilot", row)
        runs = start_runs(workspace)
        first = by_key(run(runs, "reporting_copilot"), "reporting_copilot")
        assert len(first) == 3
        workspace.update_dataset_row("copilot", 1, {"call.state": "closed"})
        second = by_key(run(runs, "reporting_copilot"), "reporting_copilot")
        assert second.keys() == first.keys()


class TestSync:
    @pytest.mark.parametrize("packing", ["plain", "gzip"])
    def test_every_dataset_equals_the_truth(self, start_runs: StartRuns, packing: str) -> None:
        runs = start_runs(reporting_file=packing)
        output = run(runs)
        assert output.code == 0, output.log
        for name in (CONVERSATION, STATES):
            assert rows(output, name) == truth(runs, name)
            assert len(output.records(name)) == 40
            validator = jsonschema_rs.Draft7Validator(output.schema(name), validate_formats=True)
            for record in output.records(name):
                validator.validate(record)
            assert runs.bookmarks[name]["updated_at"] == rfc3339(NOW - 600)
        assert len({row["_sdc_record_hash"] for row in output.records(STATES)}) == 40

    def test_windows_are_of_30_days_and_five_jobs_run_at_once(self, start_runs: StartRuns) -> None:
        runs = start_runs(export_looks=6)
        output = run(runs, CONVERSATION, STATES, start_date="2024-10-01")
        assert output.code == 0, output.log
        assert runs.sandbox.api.reporting.most_pending == 5
        asked = sorted((job["start_time"], job["end_time"]) for job in jobs(runs))
        assert len(asked) > 40
        # And a second more on either side.
        assert max(end - start for start, end in asked) == 30 * DAY_SECONDS + 2
        assert not [r for r in runs.sandbox.requests if r.status == 429]

    def test_only_selected_columns_are_asked_for(self, start_runs: StartRuns) -> None:
        def without_channel(catalog: Catalog) -> None:
            for entry in catalog["streams"]:
                for each in entry["metadata"]:
                    if each["breadcrumb"] == ["properties", "conversation_channel"]:
                        each["metadata"]["selected"] = False

        runs = start_runs()
        output = run(runs, CONVERSATION, edit_catalog=without_channel)
        assert output.code == 0, output.log
        assert all("conversation.channel" not in job["attribute_ids"] for job in jobs(runs))
        assert all("conversation_channel" not in row for row in output.records(CONVERSATION))
        assert {row["people_plan"] for row in output.records(CONVERSATION)} == {
            "free", "team", None,
        }  # fmt: skip

    def test_the_last_days_are_read_again(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        run(runs, CONVERSATION)
        runs.sandbox.clear_requests()
        number = len(runs.sandbox.truth(CONVERSATION)) - 1
        runs.sandbox.workspace.update_dataset_row(
            "conversation", number, {"conversation.channel": "chat"}
        )
        output = run(runs, CONVERSATION)
        assert output.code == 0, output.log
        read_from = NOW - 600 - 30 * DAY_SECONDS
        first = min(job["start_time"] for job in jobs(runs))
        assert first == read_from - read_from % DAY_SECONDS - 1
        assert [row["conversation_channel"] for row in output.records(CONVERSATION)].count(
            "chat"
        ) == 1

    def test_a_later_start_date_leaves_no_gap_behind_the_bookmark(
        self, start_runs: StartRuns
    ) -> None:
        runs = start_runs()
        run(runs, CONVERSATION)
        bookmark = runs.bookmarks[CONVERSATION]
        bookmark["updated_at"] = rfc3339(NOW - 60 * DAY_SECONDS)
        output = run(runs, CONVERSATION, start_date=rfc3339(NOW - 2 * DAY_SECONDS))
        assert output.code == 0, output.log
        due = [
            row
            for row in truth(runs, CONVERSATION)
            if json.loads(row)[TIME] > bookmark["updated_at"]
        ]
        assert due
        assert set(due) <= set(rows(output, CONVERSATION))

    def test_nothing_is_asked_for_that_intercom_does_not_keep(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = run(runs, CONVERSATION, start_date="2015-01-01")
        assert output.code == 0, output.log
        assert min(job["start_time"] for job in jobs(runs)) == NOW - 730 * DAY_SECONDS
        assert output.log.count("keeps reporting data for two years") == 1
        assert runs.bookmarks[CONVERSATION]["since"] == "2015-01-01T00:00:00Z"

    def test_an_attribute_that_is_gone_stays_empty(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        dataset = runs.sandbox.workspace.datasets["conversation"]
        dataset["attributes"] = [
            each for each in dataset["attributes"] if each["qualified_id"] != "people.Plan"
        ]
        output = run(runs, CONVERSATION)
        assert output.code == 0, output.log
        assert len(output.records(CONVERSATION)) == 40
        assert {row["people_plan"] for row in output.records(CONVERSATION)} == {None}
        assert {row["conversation_plan"] for row in output.records(CONVERSATION)} > {None}
        assert "no longer has these attributes" in output.log
        assert "people.Plan" in output.log

    def test_a_dataset_without_a_time_is_read_in_full(self, start_runs: StartRuns) -> None:
        workspace = Workspace()
        workspace.add_dataset("fine", None, ["a.b"])
        workspace.add_dataset_row("fine", {"a.b": "1"})
        runs = start_runs(workspace)
        output = run(runs, "reporting_fine", start_date=rfc3339(NOW - 9 * DAY_SECONDS))
        assert output.code == 0, output.log
        assert [row["a_b"] for row in output.records("reporting_fine")] == ["1"]
        assert output.count("ACTIVATE_VERSION", "reporting_fine") == 0
        assert "rows older than two years" in output.log
        assert runs.bookmarks == {}

    def test_other_jobs_of_the_workspace_are_waited_for(self, start_runs: StartRuns) -> None:
        runs = start_runs(exports_refused=7)
        output = run(runs, CONVERSATION)
        assert output.code == 0, output.log
        assert rows(output, CONVERSATION) == truth(runs, CONVERSATION)
        assert "for another job of this workspace to finish" in output.log

    def test_a_failed_job_is_an_error(self, start_runs: StartRuns) -> None:
        runs = start_runs(export_result="failed")
        output = run(runs, CONVERSATION)
        assert output.code == 4
        assert "Intercom reports the job" in output.last_log_line
        assert runs.bookmarks == {}

    def test_columns_that_were_not_asked_for_are_an_error(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        runs.sandbox.faults.add(
            "answer", "/download/", times=None, answer=lambda _: (200, {}, b"a,b\n1,2\n")
        )
        output = run(runs, CONVERSATION)
        assert output.code == 5
        assert "2 columns, but 6 were requested" in output.last_log_line

    @pytest.mark.parametrize("header", ["ids", "qualified"])
    def test_columns_may_be_called_by_their_ids(self, start_runs: StartRuns, header: str) -> None:
        runs = start_runs(reporting_header=header)
        output = run(runs)
        assert output.code == 0, output.log
        for name in (CONVERSATION, STATES):
            assert rows(output, name) == truth(runs, name)

    @pytest.mark.parametrize("header", ["ids", "qualified"])
    def test_columns_in_another_order_are_an_error(
        self, start_runs: StartRuns, header: str
    ) -> None:
        runs = start_runs(reporting_header=header)

        def turned(call: Any) -> tuple[int, dict[str, str], bytes]:
            job = runs.sandbox.api.reporting._jobs[call.path.rpartition("/")[2]]
            job.attributes = job.attributes[::-1]
            return 200, {}, runs.sandbox.api.reporting._csv(job)

        runs.sandbox.faults.add("answer", "/download/", times=None, answer=turned)
        output = run(runs, CONVERSATION)
        assert output.code == 5
        assert " instead of " in output.last_log_line
        assert runs.bookmarks == {}

    @pytest.mark.parametrize("bounds", ["start", "end", "both", "neither"])
    def test_rows_between_two_jobs_come_whichever_bound_is_left_out(
        self, start_runs: StartRuns, bounds: str
    ) -> None:
        workspace = Workspace()
        day = FIRST_DAY - FIRST_DAY % DAY_SECONDS
        for dataset, identifier in (("conversation", "conversation_id"), ("unknown_one", "name")):
            attributes = [f"conversation.{identifier}", "timestamp.conversation_started_at"]
            workspace.add_dataset(dataset, "conversation_started_at", attributes)
            for number in range(60):
                at = day + number * DAY_SECONDS
                for offset in (0, 1, DAY_SECONDS - 1):
                    row = {attributes[0]: f"{number}+{offset}", attributes[1]: at + offset}
                    workspace.add_dataset_row(dataset, row)
        runs = start_runs(workspace, reporting_bounds=bounds)
        names = [CONVERSATION, "reporting_unknown_one"]
        output = run(runs, *names, start_date=rfc3339(day))
        assert output.code == 0, output.log
        for name in names:
            assert rows(output, name) == truth(runs, name)

    def test_jobs_are_asked_about_as_the_description_says(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = run(runs, CONVERSATION, client_id="app")
        assert output.code == 0, output.log
        about = [
            r
            for r in runs.sandbox.requests
            if "/reporting_data/" in r.path and "enqueue" not in r.path
        ]
        assert about
        for request in about:
            assert request.params == {
                "app_id": "sandbox1",
                "client_id": "app",
                "job_identifier": request.path.rpartition("/")[2],
            }

    def test_jobs_that_are_given_up_keep_no_other_one_waiting(self, start_runs: StartRuns) -> None:
        runs = start_runs(export_looks=1_000_000)
        output = run(runs, export_wait_seconds=0.2, max_retry_seconds=10_000)
        assert output.code == 4
        assert "increase export_wait_seconds" in output.last_log_line
        assert runs.sandbox.api.reporting.most_pending == 5
        assert runs.bookmarks == {}

    def test_a_job_that_waits_to_start_ends_with_those_that_are_given_up(
        self, start_runs: StartRuns
    ) -> None:
        runs = start_runs(export_looks=1_000_000)

        def refuse(sandbox: Sandbox, method: str, path: str, number: int) -> None:
            if path == ENQUEUE and jobs(runs):
                sandbox.options.exports_refused = 1_000_000

        runs.sandbox.before_request(refuse)
        output = run(runs, export_wait_seconds=0.2, max_retry_seconds=10_000)
        assert output.code == 4
        assert len(jobs(runs)) == 1
        assert "gave up on jobs that are still pending" in output.log

    def test_a_missing_permission_is_named(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        runs.sandbox.options.permissions.remove("export_reporting_data")
        output = run(runs, CONVERSATION)
        assert output.code == 3
        assert "the permission 'Reporting data export'" in output.last_log_line

    def test_a_catalog_that_does_not_tell_the_columns_is_refused(
        self, start_runs: StartRuns
    ) -> None:
        def forget(catalog: Catalog) -> None:
            for entry in catalog["streams"]:
                for each in entry["metadata"]:
                    each["metadata"].pop("tap-intercom.qualified-id", None)

        output = run(start_runs(), CONVERSATION, edit_catalog=forget)
        assert output.code == 2
        assert "discover again" in output.last_log_line

    def test_the_workspace_is_part_of_the_key_on_request(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        output = run(runs, CONVERSATION, add_workspace_id=True)
        assert output.code == 0, output.log
        (schema,) = [each for each in output.messages if each["type"] == "SCHEMA"]
        assert schema["key_properties"] == [KEY, "_sdc_workspace_id"]
        assert {row["_sdc_workspace_id"] for row in output.records(CONVERSATION)} == {"sandbox1"}

    def test_check_tells_of_a_selected_dataset(self, start_runs: StartRuns) -> None:
        runs = start_runs()
        arguments = runs.tap.arguments(CONVERSATION, catalog=deepcopy(runs.catalog))
        catalog = arguments[arguments.index("--catalog") + 1]
        assert check(runs.tap, "--catalog", catalog).results[CONVERSATION] == "reachable"
        runs.sandbox.options.permissions.remove("export_reporting_data")
        results = check(runs.tap, "--catalog", catalog).results
        assert results[CONVERSATION] == "missing permission"


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("conversation.conversation_id", None),
        ("timestamp.conversation_started_at", None),
        ("conversation.teammate_replies_count", None),
        ("teammate.first_response_time_in_office_hours", None),
        ("standard.channel", None),
        ("standard.user_email", "contact"),
        ("standard.user_name", "name"),
        ("conversation.conversation_rating_remark", "text"),
        ("ticket.ticket_title", "text"),
        # Custom attributes may have any name.
        ("conversation.Channel", "text"),
        ("conversation.customer_id", "text"),
        ("conversation.birth_time", "text"),
        ("people.channel", "text"),
        ("company.language", "text"),
        ("user_location_city", "text"),
    ],
)
def test_a_column_is_personal_unless_its_attribute_is_known(
    attribute: str, kind: str | None
) -> None:
    marks = marks_of_columns({"a": attribute})["properties"]["a"]
    assert marks.get("x-personal") == kind


def test_names_of_columns_are_safe_and_stay_the_same() -> None:
    ids = ["conversation.Plan", "people.plan", "people.Plan", "people.計画", "a." + "b" * 80, "1.a"]
    names = column_names(ids)
    assert names["conversation.Plan"] == "conversation_plan"
    assert len(set(names.values())) == len(ids)
    for name in names.values():
        assert len(name.encode()) <= LONGEST_COLUMN_BYTES
        assert name.isascii()
        assert name.replace("_", "").isalnum()
        assert name == name.lower()
        assert name[0].isalpha()
    assert column_names(ids[::-1]) == names
    assert names["people.plan"].startswith("a_people_plan_")


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("attribute_ids invalid for conversation dataset: people.x", {"people.x"}),
        ("(400, bad_request: attribute_ids invalid for a dataset: x, y.z)", {"people.x", "y.z"}),
        ("imaginary is not a valid dataset_id", set()),
    ],
)
def test_a_refusal_names_attributes(message: str, named: set[str]) -> None:
    assert invalid_attributes(message, ["people.x", "y.z", "w"]) == named
