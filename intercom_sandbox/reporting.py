"""Intercom's reporting export: datasets of a workspace, and jobs that select columns of them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from .calls import Answer, Call, RefusalError, json_answer
from .options import Options
from .records import Record
from .workspace import Workspace

_MOST_PENDING = 5
_ENDED = ("complete", "failed")


@dataclass
class Job:
    identifier: str
    dataset_id: str
    attributes: Sequence[str]
    start: int
    end: int
    status: str = "pending"
    looks: int = 0


class ReportingExports:
    """Jobs, of which five may be pending at a time."""

    def __init__(self, workspace: Workspace, options: Options) -> None:
        self._workspace = workspace
        self._options = options
        self._jobs: dict[str, Job] = {}
        self.most_pending = 0

    def end_jobs(self) -> None:
        """End the pending jobs, as time would."""
        for job in self._jobs.values():
            if job.status not in _ENDED:
                job.status = "complete"

    def datasets(self, call: Call) -> Answer:
        data = list(self._workspace.datasets.values())
        return json_answer({"type": "list", "data": data})

    def enqueue(self, call: Call) -> Answer:
        """Start a job. Raises RefusalError."""
        body = call.json()
        for name in ("dataset_id", "attribute_ids", "start_time", "end_time"):
            if not isinstance(body, dict) or name not in body:
                raise RefusalError(400, "bad_request", f"'{name}' is a required parameter")
        dataset = self._workspace.datasets.get(body["dataset_id"])
        if dataset is None:
            text = f"{body['dataset_id']} is not a valid dataset_id"
            raise RefusalError(400, "bad_request", text)
        if not body["attribute_ids"]:
            text = "attribute_ids must contain at least one attribute_id"
            raise RefusalError(400, "bad_request", text)
        known = {each["qualified_id"] for each in dataset["attributes"]}
        if invalid := [each for each in body["attribute_ids"] if each not in known]:
            raise RefusalError(
                400,
                "bad_request",
                f"attribute_ids invalid for {dataset['id']} dataset: {', '.join(invalid)}",
            )
        pending = sum(job.status not in _ENDED for job in self._jobs.values())
        if pending >= _MOST_PENDING or self._options.exports_refused > 0:
            self._options.exports_refused = max(self._options.exports_refused - 1, 0)
            raise RefusalError(
                429,
                "rate_limit_exceeded",
                "Exceeded rate limit of 5 pending reporting dataset export jobs",
            )
        job = Job(
            uuid4().hex[:16],
            dataset["id"],
            body["attribute_ids"],
            body["start_time"],
            body["end_time"],
        )
        self._jobs[job.identifier] = job
        self.most_pending = max(self.most_pending, pending + 1)
        return self._told(job)

    def status(self, call: Call, identifier: str) -> Answer:
        """Return the status of a job; each request advances it. Raises RefusalError."""
        job = self._job(call, identifier)
        if job.status not in _ENDED:
            job.looks += 1
            job.status = "in_progress"
            if job.looks >= self._options.export_looks:
                is_complete = self._options.export_result == "complete"
                job.status = "complete" if is_complete else "failed"
        return self._told(job)

    def download(self, call: Call, identifier: str) -> Answer:
        """Return the file of a complete job. Raises RefusalError."""
        job = self._job(call, identifier)
        if job.status != "complete":
            raise self._unknown(identifier)
        if call.headers.get("accept") != "application/octet-stream":
            raise RefusalError(406, "client_error", "Accept must be application/octet-stream")
        content = self._csv(job)
        if self._options.reporting_file == "gzip":
            content = gzip.compress(content)
        return Answer(content, content_type="application/octet-stream")

    def _job(self, call: Call, identifier: str) -> Job:
        """Return the job of a request with the documented parameters. Raises RefusalError."""
        for name in ("app_id", "job_identifier"):
            if not call.query.get(name):
                raise RefusalError(400, "parameter_not_found", f"{name} is required")
        if identifier not in self._jobs:
            raise self._unknown(identifier)
        return self._jobs[identifier]

    def _unknown(self, identifier: str) -> RefusalError:
        text = f"Export job not found for identifier: {identifier}"
        return RefusalError(404, "not_found", text)

    def _told(self, job: Job) -> Answer:
        return json_answer(
            {
                "job_identifier": job.identifier,
                "status": job.status,
                "download_url": "",
                "download_expires_at": "",
            }
        )

    def _csv(self, job: Job) -> bytes:
        """Return columns in the requested order, below their names, which may repeat."""
        dataset = self._workspace.datasets[job.dataset_id]
        column = {"names": "name", "ids": "id", "qualified": "qualified_id"}
        key = column[self._options.reporting_header]
        names = {each["qualified_id"]: each[key] for each in dataset["attributes"]}
        ids = {each["id"]: each["qualified_id"] for each in dataset["attributes"]}
        time = ids.get(dataset["default_time_attribute_id"])
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([names[each] for each in job.attributes])
        for row in self._workspace.dataset_rows[job.dataset_id]:
            if time is None or self._holds(job, row[time]):
                writer.writerow([_cell(row, each) for each in job.attributes])
        return text.getvalue().encode()

    def _holds(self, job: Job, instant: int) -> bool:
        bounds = self._options.reporting_bounds
        return (
            job.start < instant < job.end
            or (instant == job.start and bounds in ("start", "both"))
            or (instant == job.end and bounds in ("end", "both"))
        )


def _cell(row: Record, attribute: str) -> Any:
    value = row.get(attribute)
    return "" if value is None else value
