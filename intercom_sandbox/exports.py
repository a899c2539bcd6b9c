"""Intercom's exports: jobs that take a while, and their files."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import orjson

from .calls import Answer, Call, RefusalError, json_answer
from .export_groups import EVENT_TIMES, GROUPS, event_time, is_time
from .options import Options
from .records import Record
from .workspace import Workspace

_DAY = 86_400
_MISSPELLED = frozenset({(2, 7), (2, 8), (2, 9), (2, 10), (2, 12), (2, 13)})
# csv cannot write NUL before Python 3.11, so an unused character replaces it meanwhile.
_NUL_IN_CSV = "\ufdd0"
_ENDED = ("completed", "no_data", "failed", "canceled")


@dataclass
class Job:
    """A job of the content export, over whole UTC days."""

    identifier: str
    first_day: int
    last_day: int
    status: str = "pending"
    looks: int = 0

    def holds(self, instant: int) -> bool:
        return self.first_day <= instant // _DAY <= self.last_day


class Exports:
    """Jobs, of which one may be pending at a time."""

    def __init__(
        self,
        workspace: Workspace,
        options: Options,
        version: Callable[[Call], tuple[int, int]],
    ) -> None:
        self._workspace = workspace
        self._options = options
        self._version = version
        self._jobs: dict[str, Job] = {}

    def end_jobs(self) -> None:
        """End the pending jobs, as time would."""
        for job in self._jobs.values():
            if job.status not in _ENDED:
                job.status = "completed"

    def enqueue(self, call: Call) -> Answer:
        """Start a job. Raises RefusalError."""
        body = call.json()
        days = []
        for name in ("created_at_after", "created_at_before"):
            instant = body.get(name) if isinstance(body, dict) else None
            if not isinstance(instant, int):
                raise RefusalError(400, "parameter_missing", f"{name} must be a Unix timestamp")
            days.append(instant // _DAY)
        is_refused = self._options.exports_refused > 0
        self._options.exports_refused -= is_refused
        if is_refused or any(job.status not in _ENDED for job in self._jobs.values()):
            raise RefusalError(
                429,
                "rate_limit_exceeded",
                "Exceeded rate limit of 1 pending message data export jobs",
            )
        job = Job(uuid4().hex[:16], days[0], days[1])
        self._jobs[job.identifier] = job
        return self._told(call, job)

    def status(self, call: Call, identifier: str) -> Answer:
        """Return the status of a job; each request advances it. Raises RefusalError."""
        job = self._job(identifier)
        if job.status not in _ENDED:
            job.looks += 1
            job.status = "in_progress"
            if job.looks >= self._options.export_looks:
                has_rows = any(self._rows(job, group) for group in GROUPS)
                result = self._options.export_result
                is_complete = result == "complete"
                job.status = ("completed" if has_rows else "no_data") if is_complete else result
        return self._told(call, job)

    def cancel(self, call: Call, identifier: str) -> Answer:
        """Cancel a job. Raises RefusalError."""
        job = self._job(identifier)
        if job.status not in _ENDED:
            job.status = "canceled"
        return self._told(call, job)

    def download(self, call: Call, identifier: str) -> Answer:
        """Return the file of a completed job. Raises RefusalError."""
        job = self._job(identifier)
        if job.status != "completed":
            raise RefusalError(404, "not_found", "The requested resource does not exist.")
        if call.headers.get("accept") != "application/octet-stream":
            raise RefusalError(406, "client_error", "Accept must be application/octet-stream")
        files = {group: self._csv(rows) for group in GROUPS if (rows := self._rows(job, group))}
        kind = "application/octet-stream"
        if self._options.content_file == "zip":
            packed = self._archive(files)
            # Not an HTTP encoding, but Intercom sends it.
            return Answer(packed, headers={"Content-Encoding": "zip"}, content_type=kind)
        alone = files.get("receipt", b"")
        if self._options.content_file == "gzip":
            alone = gzip.compress(alone)
        return Answer(alone, content_type=kind)

    def _job(self, identifier: str) -> Job:
        if identifier not in self._jobs:
            raise RefusalError(404, "not_found", "The requested resource does not exist.")
        return self._jobs[identifier]

    def _told(self, call: Call, job: Job) -> Answer:
        name = "job_identfier" if self._version(call) in _MISSPELLED else "job_identifier"
        url = f"/download/content/data/{job.identifier}" if job.status == "completed" else ""
        body = {name: job.identifier, "status": job.status, "download_url": url}
        if job.status == "failed":
            return Answer(orjson.dumps(body), 504)
        return json_answer(body | {"download_expires_at": ""})

    def _rows(self, job: Job, group: str) -> list[Record]:
        """Return a job's rows of a group: messages of its days, and their events on those days."""
        rows = [
            {name: self._seen(job, name, value) for name, value in row.items()}
            for row in self._workspace.export_rows[group]
            if job.holds(row["sent_at"])
        ]
        event = event_time(group)
        return rows if event is None else [row for row in rows if row[event] is not None]

    @staticmethod
    def _seen(job: Job, name: str, value: Any) -> Any:
        """Return a value as a job shows it: events count only within the requested dates."""
        is_event = name.startswith("first_") or name in EVENT_TIMES
        return None if is_event and value is not None and not job.holds(value) else value

    def _csv(self, rows: Sequence[Record]) -> bytes:
        """Return a file with all columns of any row."""
        names = list(dict.fromkeys(name for row in rows for name in row if name != "sent_at"))
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(names)
        writer.writerows([self._cell(name, row.get(name)) for name in names] for row in rows)
        return text.getvalue().replace(_NUL_IN_CSV, "\0").encode()

    def _cell(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("\0", _NUL_IN_CSV)
        if value is None or not (is_time(name) and isinstance(value, int)):
            return "" if value is None else value
        if self._options.export_times == "seconds":
            return value
        text = datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        return text if self._options.export_times == "space" else text.replace(" ", "T") + "Z"

    def _archive(self, files: dict[str, bytes]) -> bytes:
        """Return the files of groups, with the names from the options."""
        now = datetime.fromtimestamp(self._workspace.clock(), timezone.utc)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, (group, content) in enumerate(files.items()):
                name = self._options.content_file_name
                archive.writestr(name.format(group=group, number=number, now=now), content)
        return packed.getvalue()
