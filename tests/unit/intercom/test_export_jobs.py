"""Exports: the files in every packing, and jobs that never stay pending without need."""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import Any, cast

import pytest

from tap_intercom.errors import ContractError, ResponseError, UnavailableError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.intercom.export_jobs import (
    CONTENT,
    REPORTING,
    ExportJobs,
    Job,
    Kind,
    csv_files,
    csv_rows,
)

CSV = b'\xef\xbb\xbfid,name\n1,Zo\xc3\xab\n\n2,"a\nb"\n'
ROWS = [["id", "name"], ["1", "Zoë"], ["2", "a\nb"]]


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.mkdir("folder") if hasattr(file, "mkdir") else file.writestr("folder/", b"")
        for name, content in files.items():
            file.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (CSV, [""]),
        (gzip.compress(CSV), [""]),
        (archive(a=CSV, b=gzip.compress(CSV)), ["a", "b"]),
    ],
    ids=["plain", "gzip", "archive"],
)
def test_files_are_found_in_every_packing(content: bytes, names: list[str]) -> None:
    found = {file.name: list(file.rows()) for file in csv_files(io.BytesIO(content))}
    assert found == dict.fromkeys(names, ROWS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive(a=archive(b=CSV)), "'a' cannot be read .*an archive inside an archive"),
        (gzip.compress(archive(a=CSV)), "the file cannot be read"),
        (archive(a=CSV)[:-30], "the file cannot be read"),
        (gzip.compress(CSV)[:-10], "the file cannot be read"),
        (b"id,name\n1\n", "a row has 1 cells but the header has 2"),
        (b"id,name\n1,2,3\n", "a row has 3 cells but the header has 2"),
        (b'id\n"1"2\n', "the file cannot be read"),
        (b'id\n"1', "the file cannot be read"),
    ],
    ids=[
        "archive in an archive",
        "archive in gzip",
        "cut archive",
        "cut gzip",
        "short row",
        "long row",
        "quote in a cell",
        "open quote",
    ],
)
def test_a_broken_file_is_an_error(content: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        [list(file.rows()) for file in csv_files(io.BytesIO(content))]


def test_characters_that_databases_refuse_are_replaced() -> None:
    assert list(csv_rows(io.BytesIO(b"id\na\0b\n\xff\n"))) == [["id"], ["a\ufffdb"], ["\ufffd"]]


def test_an_endless_line_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_intercom.intercom.export_jobs.LONGEST_ROW", 100)
    assert list(csv_rows(io.BytesIO(b"x" * 98 + b"\n"))) == [["x" * 98]]
    with pytest.raises(ContractError, match="a line has more than 100 characters"):
        list(csv_rows(io.BytesIO(b"x" * 200)))


# Jobs


class Intercom:
    """Answers requests about jobs: the states of each job, and refusals to start one."""

    def __init__(self, *states: str, refusals: int = 0, cancels: bool = True) -> None:
        self.states = list(states)
        self.refusals = refusals
        self.cancels = cancels
        self.started = 0
        self.cancelled: list[str] = []
        self.parameters: list[Any] = []

    def with_one_token(self) -> Intercom:
        return self

    def get(self, path: str, params: Any = None) -> Answer:
        self.parameters.append(params)
        state = self.states.pop(0)
        if state.isdecimal():
            raise ResponseError("refused", int(state), "")
        return Answer(b"", {"status": state}, "")

    def post(self, path: str, body: Any) -> Answer:
        if self.refusals:
            self.refusals -= 1
            raise ResponseError("another job is pending", 429, "")
        self.started += 1
        return Answer(b"", {"job_identifier": f"job{self.started}"}, "")

    def post_once(self, path: str) -> None:
        if not self.cancels:
            raise UnavailableError("not now")
        self.cancelled.append(path)

    @property
    def client(self) -> Client:
        return cast(Client, self)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_intercom.intercom.export_jobs.FIRST_WAIT_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("states", "has_file"),
    [
        (["pending", "in_progress", "complete"], True),
        (["Completed"], True),
        (["no_data"], False),
    ],
)
def test_a_job_is_waited_for(states: list[str], has_file: bool) -> None:
    job = Job(Intercom(*states).client, CONTENT, "1", None)
    assert job.has_file(within=60) == has_file
    assert job.has_ended


@pytest.mark.parametrize("state", ["failed", "canceled", "cancelled", "504"])
def test_a_job_that_failed_is_an_error(state: str) -> None:
    job = Job(Intercom("pending", state).client, CONTENT, "1", None)
    with pytest.raises(UnavailableError, match=r"the job 1 as (failed|cancell?ed)"):
        job.has_file(within=60)
    assert job.has_ended


def test_a_job_is_not_waited_for_longer_than_told() -> None:
    job = Job(Intercom("pending").client, CONTENT, "1", None)
    with pytest.raises(UnavailableError, match=r"still pending after 0 s.*export_wait_seconds"):
        job.has_file(within=0)
    assert not job.has_ended


def test_requests_about_a_job_of_an_app_name_both() -> None:
    intercom = Intercom("complete")
    Job(intercom.client, REPORTING, "1", {"app_id": "a"}).has_file(within=60)
    assert intercom.parameters == [{"app_id": "a", "job_identifier": "1"}]


def test_a_job_that_ended_is_not_cancelled_and_one_that_did_not_is() -> None:
    intercom = Intercom("complete")
    jobs = ExportJobs(None)
    with jobs.start(intercom.client, CONTENT, {}, within=60) as job:
        assert left_behind(jobs) == "job1"
        job.has_file(within=60)
    assert (left_behind(jobs), intercom.cancelled) == (None, [])
    with pytest.raises(KeyError), jobs.start(intercom.client, CONTENT, {}, within=60):
        raise KeyError("anything")
    assert (left_behind(jobs), intercom.cancelled) == (None, ["/export/cancel/job2"])


def test_the_job_of_a_killed_run_is_cancelled_only_if_it_is_in_the_way() -> None:
    free = Intercom()
    with ExportJobs("old").start(free.client, CONTENT, {}, within=60):
        assert free.cancelled == []
    blocked = Intercom(refusals=1)
    with ExportJobs("old").start(blocked.client, CONTENT, {}, within=60):
        assert blocked.cancelled == ["/export/cancel/old"]


def test_the_job_of_another_app_is_waited_for_and_then_told() -> None:
    with pytest.raises(UnavailableError, match="Other exports of this workspace"):
        start(ExportJobs(None), Intercom(refusals=1), CONTENT, within=0)
    intercom = Intercom(refusals=2)
    start(ExportJobs(None), intercom, CONTENT, within=60)
    assert intercom.started == 1


def test_an_abandoned_job_blocks_the_next_one_at_once() -> None:
    jobs, intercom = ExportJobs(None), Intercom(cancels=False)
    start(jobs, intercom, CONTENT, within=60)
    with pytest.raises(UnavailableError, match="gave up on jobs that are still pending"):
        start(jobs, intercom, CONTENT, within=60)
    assert intercom.started == 1


def test_reporting_jobs_have_slots_and_cannot_be_cancelled() -> None:
    jobs, intercom = ExportJobs(None), Intercom()
    for _ in range(REPORTING.slots):
        start(jobs, intercom, REPORTING, within=60)
    with pytest.raises(UnavailableError, match="gave up on jobs"):
        start(jobs, intercom, REPORTING, within=60)
    assert (intercom.started, intercom.cancelled) == (REPORTING.slots, [])


def test_an_answer_without_a_job_is_an_error() -> None:
    intercom = Intercom()
    intercom.post = lambda path, body: Answer(b"", {}, "")  # type: ignore[method-assign]
    with pytest.raises(ContractError, match="has no job_identifier"):
        start(ExportJobs(None), intercom, CONTENT, within=60)


def test_a_run_that_ends_cancels_its_jobs_and_starts_no_more() -> None:
    jobs, intercom = ExportJobs(None), Intercom()
    with jobs.start(intercom.client, CONTENT, {}, within=60):
        jobs.stop()
        assert intercom.cancelled == ["/export/cancel/job1"]
        with pytest.raises(UnavailableError, match="the run is ending"):
            start(jobs, intercom, REPORTING, within=60)


def left_behind(jobs: ExportJobs) -> str | None:
    return jobs.left_behind


def start(jobs: ExportJobs, intercom: Intercom, kind: Kind, within: float) -> None:
    """Start a job and leave it at once."""
    with jobs.start(intercom.client, kind, {}, within=within):
        pass
