"""The main flow of a run: which streams it reads, what it writes, when a bookmark moves.

The first request checks the token and provides the clock. Threads read streams ahead of the output,
which is written stream by stream in catalog order. A STATE follows every record that it covers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from tap_intercom.attachments.keeper import Keeper, open_keeper
from tap_intercom.catalog import select, selects, with_parts_of_tables
from tap_intercom.discovery import discover
from tap_intercom.errors import (
    AuthError,
    Stopped,
    TapError,
    TargetGoneError,
)
from tap_intercom.file_systems import without_secrets
from tap_intercom.intercom.client import Client
from tap_intercom.intercom.export_jobs import ExportJobs
from tap_intercom.messages import Messages
from tap_intercom.plan import plan_runs, use_equal_tokens
from tap_intercom.progress import COMPLETE, FAILED, SKIPPED, Progress
from tap_intercom.reading.files import with_files
from tap_intercom.reading.read_ahead import ReadAhead
from tap_intercom.reading.stream_run import Batch, Selection, Shared, StreamRun
from tap_intercom.records.other_attributes import OTHER_ATTRIBUTES
from tap_intercom.settings import Settings
from tap_intercom.shortfalls import IDS_SHOWN, Shortfalls
from tap_intercom.signals import Uninterrupted
from tap_intercom.state import State
from tap_intercom.streams import lineage, root_of, stream_of
from tap_intercom.streams.conversations import Attachments

LOGGER = logging.getLogger("tap_intercom")

READ_AHEAD_BYTES = 4_000_000
READ_AHEAD_FILE_BYTES = 2_000_000_000
STREAMS_AT_ONCE = 3
BUG_EXIT_CODE = 1
# If there are several causes, the first of these is the exit code.
EXIT_CODES_BY_WEIGHT = (BUG_EXIT_CODE, 5, 4, 3, 2)


class Sync:
    """One run: reads the selected streams, writes messages, keeps the state.

    uninterrupted: makes a context in which signals wait, so no line or bookmark is left half done.
    progress_pipe: what the progress is sent through, if another process shows it.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        state: State,
        messages: Messages,
        uninterrupted: Uninterrupted,
        progress_pipe: int | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._state = state
        self._messages = messages
        self._uninterrupted = uninterrupted
        self._shortfalls = Shortfalls()
        self._progress = Progress(client, state, self._shortfalls, progress_pipe)
        self._failures: dict[str, Exception] = {}
        self._jobs = ExportJobs(state.export_job)
        self._announced: set[str] = set()
        self._shared: Shared | None = None
        self._has_begun = False
        self._has_written_rows = False

    def run(self, catalog: Any = None) -> int:
        """Read the streams that the catalog selects, or the default ones without a catalog.

        Returns the exit code. Raises TapError if the run cannot begin, and Stopped on a signal,
        after the last safe STATE.
        """
        try:
            with self._progress:
                selections = self._read(catalog)
            self._jobs.stop()
            with self._uninterrupted():
                self._state.currently_syncing = None
                self._write_state()
        except TargetGoneError:
            raise
        except Stopped:
            self._write_state()
            self._progress.log_summary()
            raise
        except Exception:
            if self._has_begun:
                with self._uninterrupted():
                    self._write_state()
            raise
        finally:
            self._jobs.stop()
        return self._conclude(selections)

    def _write_state(self) -> None:
        """Write the last STATE of the run, including an export job that may still be pending."""
        self._state.export_job = self._jobs.left_behind
        self._messages.state(self._state.document)

    def _read(self, catalog: Any) -> dict[str, Selection]:
        """Write all selected streams, and return the selections."""
        keeper = self._open_keeper(catalog)
        workspace = self._client.open_workspace()
        LOGGER.info("workspace %s (%s), region %s", workspace.name, workspace.id, workspace.region)
        if mismatch := workspace.mismatch(self._settings.region):
            LOGGER.warning("%s", mismatch)
        if catalog is None:
            LOGGER.info("no catalog given; discovering and reading the default streams")
            catalog = discover(self._client, self._settings, is_only_default=True)
        selected = select(catalog, self._settings, version=int(self._client.now() * 1000))
        selections = with_parts_of_tables(selected, self._settings)
        use_equal_tokens(self._client, self._settings, selections)
        ahead = ReadAhead(READ_AHEAD_BYTES, READ_AHEAD_FILE_BYTES, self._settings.concurrency)
        self._read_all(
            plan_runs(
                selections,
                client=self._client,
                settings=self._settings,
                state=self._state,
                workspace=workspace,
                ahead=ahead,
                jobs=self._jobs,
                shortfalls=self._shortfalls,
                keeper=keeper,
            )
        )
        return selections

    def _open_keeper(self, catalog: Any) -> Keeper | None:
        """Return what keeps files, if the catalog selects them. Raises ConfigError if it cannot."""
        if catalog is None or not selects(catalog, Attachments.name):
            return None
        settings = self._settings
        keeper = open_keeper(settings)
        if settings.body_format == "plaintext" and not settings.inline_images:
            LOGGER.warning(
                "%s: inline images of conversations are not stored, because body_format is "
                "plaintext; set inline_images to true, at the cost of a second request for each "
                "conversation",
                Attachments.name,
            )
        until = self._state.updated_at(Attachments.name)
        if keeper.begin() and until is not None:
            LOGGER.warning(
                "%s: %s has no files of earlier runs, and this run stores only those of records "
                "that changed after %s: move the others here, or remove the bookmark to store "
                "them again",
                Attachments.name,
                without_secrets(str(settings.attachments_dir)),
                until,
            )
        return keeper

    def _read_all(self, runs: list[StreamRun]) -> None:
        if not runs:
            LOGGER.warning("the catalog selects no streams")
            return
        self._has_begun = True
        self._shared = runs[0].shared
        self._progress.planned([list(run.selections) for run in runs])
        reads = [partial(_read, run, self._progress) for run in runs]
        ahead = runs[0].ahead.run(reads, STREAMS_AT_ONCE, is_patient=True)
        for run, batches in zip(runs, ahead, strict=True):
            self._write(run, batches)

    def _write(self, run: StreamRun, batches: Iterator[Batch]) -> None:
        """Write all batches of a group of streams; if one stream fails, the others go on."""
        reached_at_end: dict[str, int] = {}
        with self._isolated(*run.selections):
            self._begin(run)
            for batch in batches:
                with self._uninterrupted():
                    self._write_batch(run, batch, reached_at_end)
        with self._uninterrupted():
            self._finish(run, reached_at_end)

    def _begin(self, run: StreamRun) -> None:
        for selection in run.selections.values():
            if selection.name in self._announced:
                continue  # several streams write rows of this table
            self._announced.add(selection.name)
            replication_key = selection.replication_key
            if replication_key is not None and not selection.has(replication_key):
                replication_key = None  # a catalog made by hand omits the column
            with self._uninterrupted():
                self._messages.schema(
                    selection.name,
                    selection.schema,
                    selection.key_properties,
                    replication_key,
                )
        self._state.currently_syncing = next(iter(run.selections))
        self._progress.started(run.selections)

    @contextmanager
    def _isolated(self, *names: str) -> Iterator[None]:
        """Let any error, even a bug, end these streams and nothing else."""
        try:
            yield
        except TargetGoneError:
            raise
        except Exception as error:
            for name in names:
                self._fail(name, error)

    def _write_batch(self, run: StreamRun, batch: Batch, reached_at_end: dict[str, int]) -> None:
        for name in batch.failed:
            self._fail(name, run.given_up[name])
        self._progress.wrote(batch)
        if batch.lines and not self._has_written_rows:
            # Some targets load each table when it has enough rows, and take the first STATE for
            # loaded. So the first one covers no row.
            self._has_written_rows = True
            self._messages.state(self._state.document)
        self._messages.records(batch.lines, sum(batch.counts.values()))
        for name, reached in batch.reached.items():
            if name in self._failures:
                continue
            if run.selections[name].version is not None:
                reached_at_end[name] = reached
                continue
            self._state.advance(name, run.plans[name], run.origin, reached)
        is_due = bool(batch.reached) and self._messages.state_is_due
        if self._state.export_job != self._jobs.left_behind:
            # Immediately, since a killed run leaves the job behind.
            self._state.export_job = self._jobs.left_behind
            is_due = is_due or self._state.export_job is not None
        if is_due:
            self._messages.state(self._state.document)

    def _finish(self, run: StreamRun, reached_at_end: dict[str, int]) -> None:
        for name in run.selections:
            with self._isolated(name):
                if name not in self._failures:
                    self._close(run, name, reached_at_end.get(name))
            with self._isolated(name):
                self._progress.finished(name, self._result(name))
        self._messages.flush()

    def _close(self, run: StreamRun, name: str, reached: int | None) -> None:
        """Close a full read. An incomplete one must not replace the rows of earlier ones."""
        selection, plan = run.selections[name], run.plans.get(name)
        if selection.version is None:
            return
        is_at_end = plan is None or (reached is not None and reached >= run.origin.limit)
        if self._settings.activate_version:
            missing = self._missing(run, name, is_at_end)
            if missing is None:
                self._messages.activate_version(selection.name, selection.version)
            else:
                LOGGER.warning(
                    "%s: ACTIVATE_VERSION is not sent, because rows of earlier reads may be "
                    "missing in this one: %s",
                    name,
                    missing,
                )
        # Moving the bookmark would claim that this read has all rows.
        is_less = plan is not None and plan.leaves_out is not None
        if plan is not None and reached is not None and is_at_end and not is_less:
            self._state.advance(name, plan, run.origin, reached)

    def _missing(self, run: StreamRun, name: str, is_at_end: bool) -> str | None:
        """Return why a full read may miss rows of earlier runs, or None if it has all."""
        plan = run.plans.get(name)
        if not is_at_end:
            return "the read did not reach its end"
        if plan is not None:
            if run.origin.end is not None:
                return "the read ends at end_date"
            if run.origin.filters is not None:
                return "search_filters leave rows out"
            if plan.leaves_out is not None:
                return f"{plan.leaves_out}; remove the bookmark to start again"
        streams = list(lineage(name))
        for stream in streams:
            if (left_out := stream.leaves_out(self._settings)) is not None:
                return f"Intercom does not send {left_out}"
        for source in [each for stream in streams for each in (stream.name, *stream.after)]:
            if source in self._failures:
                return f"{source} failed"
            if source in run.unfinished:
                return f"{source} changed faster than it could be read"
            if self._shortfalls.of(source):
                return f"some rows of {source} are missing; see the end of the log"
        return None

    def _result(self, name: str) -> str:
        if name not in self._failures:
            return COMPLETE
        return SKIPPED if isinstance(self._failures[name], _Skipped) else FAILED

    def _fail(self, name: str, error: Exception) -> None:
        if name in self._failures:
            return
        self._failures[name] = error
        if isinstance(error, AuthError):
            try:
                error = self._failures[name] = self._explain(name, error)
            except Exception as unknown:
                LOGGER.warning("%s: could not find out why Intercom refused it: %s", name, unknown)
            if error.status == 403 and self._settings.on_missing_permission == "skip":
                LOGGER.warning("%s: SKIPPED; its bookmark does not change. %s", name, error)
                self._shortfalls.add(name, "stream skipped for a missing permission", name)
                self._failures[name] = _Skipped()
                return
        if isinstance(error, TapError):
            LOGGER.error("%s: %s", name, error)
        else:
            LOGGER.error("%s: a bug in tap-intercom; please report it", name, exc_info=error)

    def _explain(self, name: str, error: AuthError) -> AuthError:
        """Explain a refusal: a 401 means the token only if /me is refused too (API-B2)."""
        if error.status == 401 and not self._client.token_works():
            return _refused(name, error, 401, "Intercom no longer accepts the access token")
        if error.is_of_plan:
            return _refused(name, error, 403, "The plan does not include this", ": deselect {}")
        permission = stream_of(error.stream or name).required_permission(self._settings)
        return _refused(
            name,
            error,
            403,
            f"The token lacks the permission {permission!r}",
            ": tick it in Developer Hub > your app > Authentication, or deselect {}",
        )

    def _conclude(self, selections: dict[str, Selection]) -> int:
        """Report shortfalls, then failures in one last line, and return the exit code."""
        self._shortfalls.report()
        for name, selection in selections.items():
            if stream_of(name).is_part_of_table:
                continue  # they share the selection of their table
            for (field, kind), count in sorted(selection.coercions.counts.items()):
                LOGGER.info("%s: %s: %s, %d times", selection.name, field, kind, count)
        if self._shared is not None and self._shared.expiring_addresses:
            LOGGER.info(
                "%d addresses of files are in these records and expire half an hour after they "
                "were read; select the stream %s and set attachments_dir to store the files",
                self._shared.expiring_addresses,
                Attachments.name,
            )
        for name, selection in selections.items():
            _warn_of_unknown_attributes(name, selection)
        self._progress.log_summary()
        failures = {
            name: error for name, error in self._failures.items() if not isinstance(error, _Skipped)
        }
        if not failures:
            LOGGER.info("done: %d records", self._progress.records)
            return 0
        codes = {getattr(error, "exit_code", BUG_EXIT_CODE) for error in failures.values()}
        LOGGER.critical(
            "failed; the next run continues from the last state: %s", "; ".join(_reasons(failures))
        )
        return next(code for code in EXIT_CODES_BY_WEIGHT if code in codes)


def _refused(name: str, error: AuthError, status: int, meaning: str, advice: str = "") -> AuthError:
    """Return a refusal with its meaning; its cause is the same for all streams.

    advice: the end of the sentence, with {} for what to deselect.
    """
    refused = AuthError(f"{error}. {meaning}{advice.format(name)}.", status, error.code)
    details = ", ".join(filter(None, (str(error.status), error.code)))
    refused.cause = f"{meaning} ({details}){advice.format('these streams')}"
    return refused


def _reasons(failures: Mapping[str, Exception]) -> Iterator[str]:
    """Yield one text for each cause, with the names of all streams that failed for it."""
    by_cause: dict[str, dict[str, str]] = {}
    for name, error in failures.items():
        text = str(error) or type(error).__name__
        by_cause.setdefault(getattr(error, "cause", "") or text, {})[name] = text
    for cause, texts in by_cause.items():
        different = set(texts.values())
        yield f"{', '.join(texts)}: {different.pop() if len(different) == 1 else cause}"


def _warn_of_unknown_attributes(name: str, selection: Selection) -> None:
    """Log the custom attributes that were found and that a new discovery gives a column."""
    others = selection.other_attributes
    if others is None or not others.unknown or stream_of(name).attributes is None:
        return
    names = sorted(others.unknown)
    more = f" and {len(names) - IDS_SHOWN} more" if len(names) > IDS_SHOWN else ""
    LOGGER.warning(
        "%s: the catalog does not have these custom attributes, so targets that flatten give them "
        "no column%s: %s%s; run --discover --catalog",
        name,
        f" (their values are in {OTHER_ATTRIBUTES})" if others.has_column else "",
        ", ".join(names[:IDS_SHOWN]),
        more,
    )


class _Skipped(Exception):
    """The error of a stream that is skipped because the user chose so."""


def _read(run: StreamRun, progress: Progress) -> Iterator[Batch]:
    """Return the batches of a group; its parent makes them, whether it is selected or not."""
    root = root_of(next(iter(run.selections)))
    is_full = len(run.plans) < len(run.selections)
    has_work = is_full or any(plan.windows for plan in run.plans.values())
    try:
        if run.error is not None:
            raise run.error
        if has_work:
            batches = stream_of(root).batches(run)
            if run.keeper is not None:
                names = [name for name in run.selections if stream_of(name).rows_of]
                batches = with_files(run, names, batches)
            for batch in batches:
                progress.read(run.selections, batch)
                yield batch
    finally:
        progress.read_to_end(run.selections)
        run.shared.end(root)
