"""Many workspaces on Dagster: assets, a sensor, a schedule and checks.

    pipeline = Pipeline(registry="workspaces.json", catalog="catalog.json", state="state",
                        target=["target-postgres", "--config", "target.json"])
    assets = intercom_assets(pipeline)

Each stream is an asset, each workspace a partition, and `tap-intercom run` the process that loads
them. docs/many-workspaces.md shows all of it. This module needs the extra `dagster`; nothing else
of the tap imports it.
"""

# No annotations of the future here: Dagster reads those of an asset as objects.

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from tap_intercom.errors import ConfigError, TapError
from tap_intercom.orchestration.outcome import Action, outcome
from tap_intercom.orchestration.pipeline import Job, Period, Pipeline
from tap_intercom.orchestration.run_log import SHORTFALLS, SKIPPED, RunLog, StreamResult, metadata
from tap_intercom.reading.stream_run import Selection
from tap_intercom.streams import stream_of

if TYPE_CHECKING:
    # Dagster gives the type of its own jobs no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

__all__ = [
    "PARTITIONS",
    "POOL",
    "WORKSPACE_TAG",
    "Pipeline",
    "SyncConfig",
    "intercom_assets",
    "intercom_check_schedule",
    "intercom_checks",
    "intercom_job",
    "intercom_schedule",
    "intercom_sensor",
]

PARTITIONS = "intercom_workspaces"
# The pool for the machine: how many workspaces are read at the same time.
POOL = "tap_intercom"
# Dagster sets this tag on every run of a partition, also on those that a person starts.
WORKSPACE_TAG = "dagster/partition"
RETRIES = dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL)
BUSY_RETRIES = 10
BUSY_SECONDS = 60
# A tap that was asked to end writes a last STATE, and the target loads what it has.
STOP_SECONDS = 120
_WARNINGS = ("WARNING", "ERROR", "CRITICAL")
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class SyncConfig(dg.Config):
    """A period to read again, with its own state. Without one, the run continues."""

    start_date: str | None = None
    end_date: str | None = None

    @property
    def period(self) -> Period | None:
        if self.start_date is None and self.end_date is None:
            return None
        if self.start_date is None or self.end_date is None:
            raise dg.Failure("a period needs both start_date and end_date", allow_retries=False)
        return Period(self.start_date, self.end_date)


def intercom_assets(
    pipeline: Pipeline,
    *,
    name: str = "intercom",
    key_prefix: Sequence[str] = ("intercom",),
    partitions: str = PARTITIONS,
    pool: str = POOL,
    retry_policy: dg.RetryPolicy | None = RETRIES,
    busy_seconds: float = BUSY_SECONDS,
) -> dg.AssetsDefinition:
    """Return one asset for each selected stream, with a partition for each workspace.

    A run loads one workspace. A stream that is complete is materialized, also if another fails.

    retry_policy: for failures that may pass, such as an answer 503 or a target that failed.
    busy_seconds: when to try again while a run that Dagster did not start uses the same state.
    """
    specs = [
        _spec(stream, selection, key_prefix) for stream, selection in pipeline.selections().items()
    ]

    @dg.multi_asset(
        name=name,
        specs=specs,
        group_name=name,
        partitions_def=dg.DynamicPartitionsDefinition(name=partitions),
        # A backfill of the engine starts a run for each workspace.
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        retry_policy=retry_policy,
        pool=pool,
    )
    def sync(
        context: dg.AssetExecutionContext, config: SyncConfig
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            workspace, log = context.partition_key, RunLog()
            try:
                job = pipeline.job(workspace, Path(folder), period=config.period)
                code = _run(job, log, context)
            except TapError as error:
                raise dg.Failure(f"{workspace}: {error}", allow_retries=False) from None
        for stream in log.loaded_streams:
            yield dg.MaterializeResult(
                asset_key=[*key_prefix, stream.stream],
                metadata=_shown(stream, workspace),
            )
        for stream in log.streams.values():
            if stream.result == SKIPPED:
                context.log.warning(f"{stream.stream}: skipped")
        result = outcome(code)
        if result.action is Action.WAIT:
            raise dg.RetryRequested(BUSY_RETRIES, busy_seconds) from _failure(code, log, workspace)
        if result.action is not Action.SUCCEED:
            raise _failure(code, log, workspace)

    return sync


def intercom_job(
    assets: dg.AssetsDefinition, name: str = "intercom_sync"
) -> "UnresolvedAssetJobDefinition":
    """Return the job that loads one workspace: all streams of a partition."""
    selection = dg.AssetSelection.assets(assets).without_checks()
    return dg.define_asset_job(name, selection=selection, partitions_def=assets.partitions_def)


def intercom_sensor(
    pipeline: Pipeline,
    *,
    job: "UnresolvedAssetJobDefinition | None" = None,
    name: str = "intercom_workspaces",
    partitions: str = PARTITIONS,
    seconds: int = 60,
) -> dg.SensorDefinition:
    """Return a sensor that adds and removes partitions, as the registry says.

    A registry that cannot be read changes nothing. The state of a removed workspace stays.

    job: the job that loads a new workspace, or None to leave that to the schedule.
    """

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def workspaces(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        definition = dg.DynamicPartitionsDefinition(name=partitions)
        wanted = pipeline.read_registry().names
        present = context.instance.get_dynamic_partitions(partitions)
        added = [each for each in wanted if each not in present]
        removed = [each for each in present if each not in wanted]
        if not added and not removed:
            return dg.SkipReason(f"the {len(wanted)} workspaces of the registry are all here")
        changes: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
        if added:
            changes.append(definition.build_add_request(added))
        if removed:
            changes.append(definition.build_delete_request(removed))
        runs = [dg.RunRequest(partition_key=each) for each in added] if job is not None else []
        return dg.SensorResult(run_requests=runs, dynamic_partitions_requests=changes)

    return workspaces


def intercom_schedule(
    job: "UnresolvedAssetJobDefinition",
    cron_schedule: str,
    *,
    name: str = "intercom_schedule",
    partitions: str = PARTITIONS,
    timezone_name: str = "UTC",
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.RUNNING,
) -> dg.ScheduleDefinition:
    """Return a schedule with one run for each workspace whose previous run has ended."""

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone=timezone_name,
        default_status=default_status,
    )
    def workspaces(
        context: dg.ScheduleEvaluationContext,
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        present = context.instance.get_dynamic_partitions(partitions)
        active = _active_partitions(context.instance, job.name)
        due = [each for each in present if each not in active]
        if not due:
            return dg.SkipReason("no workspace" if not present else "all workspaces are active")
        time = context.scheduled_execution_time.isoformat()
        return [dg.RunRequest(run_key=f"{time} {each}", partition_key=each) for each in due]

    return workspaces


def intercom_checks(
    assets: dg.AssetsDefinition,
    *,
    max_age: timedelta,
    name: str = "intercom_checks",
    partitions: str = PARTITIONS,
) -> dg.AssetChecksDefinition:
    """Return two checks for each stream, `fresh` and `complete`, each over all workspaces.

    Dagster's own freshness policies see only the newest partition, and partitions of checks are a
    preview. So these read the last materialization of each partition, and name those that fail.

    max_age: how long ago the last complete load of a workspace may be.
    """
    keys = sorted(assets.keys)

    @dg.multi_asset_check(name=name, specs=[spec for key in keys for spec in _check_specs(key)])
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        instance = context.instance
        workspaces = instance.get_dynamic_partitions(partitions)
        oldest = datetime.now(timezone.utc) - max_age
        for key in keys:
            loads = {each: _last_load(instance, key, each) for each in workspaces}
            late = {
                each: "never" if load is None else load.time.isoformat(timespec="seconds")
                for each, load in loads.items()
                if load is None or load.time < oldest
            }
            gaps = {
                each: load.shortfalls for each, load in loads.items() if load and load.shortfalls
            }
            yield _check_result(key, "fresh", late, dg.AssetCheckSeverity.ERROR)
            yield _check_result(key, "complete", gaps, dg.AssetCheckSeverity.WARN)

    return checks


def intercom_check_schedule(
    checks: dg.AssetChecksDefinition, cron_schedule: str, *, name: str = "intercom_check"
) -> dg.ScheduleDefinition:
    """Return a schedule that runs the checks."""
    return dg.ScheduleDefinition(
        name=f"{name}_schedule",
        job=dg.define_asset_job(name, selection=dg.AssetSelection.checks(checks)),
        cron_schedule=cron_schedule,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


class _Load(NamedTuple):
    time: datetime
    shortfalls: int


def _last_load(instance: dg.DagsterInstance, key: dg.AssetKey, workspace: str) -> _Load | None:
    which = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[workspace])
    for record in instance.fetch_materializations(which, limit=1).records:
        event = record.asset_materialization
        value = event.metadata[SHORTFALLS].value if event and SHORTFALLS in event.metadata else 0
        time = datetime.fromtimestamp(record.timestamp, timezone.utc)
        return _Load(time, value if isinstance(value, int) else 0)
    return None


def _check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec("fresh", asset=key, description="Each workspace was loaded in time."),
        dg.AssetCheckSpec(
            "complete", asset=key, description="Intercom sent all records of each workspace."
        ),
    ]


def _check_result(
    key: dg.AssetKey, name: str, workspaces: Mapping[str, object], severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not workspaces,
        severity=severity,
        metadata={"workspaces": dg.MetadataValue.json(dict(workspaces))},
    )


def _active_partitions(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Return the workspaces with a run that is waiting or active."""
    # Without this, a queue would grow for ever when a round takes longer than its interval.
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNFINISHED))
    return {run.tags.get(WORKSPACE_TAG, "") for run in runs}


def _spec(stream: str, selection: Selection, key_prefix: Sequence[str]) -> dg.AssetSpec:
    properties: Mapping[str, Any] = selection.schema.get("properties", {})
    columns = [
        dg.TableColumn(name, _type_text(schema), schema.get("description"))
        for name, schema in properties.items()
    ]
    return dg.AssetSpec(
        key=[*key_prefix, stream],
        description=stream_of(stream).summary,
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
        kinds={"intercom"},
        # A stream that failed has no materialization, and those that are complete have theirs.
        skippable=True,
    )


def _shown(stream: StreamResult, workspace: str) -> dict[str, Any]:
    """Return the facts about a stream as metadata of Dagster."""
    facts = metadata(stream)
    reasons = dg.MetadataValue.json(facts.pop("shortfall_reasons"))
    return {
        "dagster/row_count": facts.pop("records"),
        **{name: value for name, value in facts.items() if value is not None},
        "shortfall_reasons": reasons,
        "workspace": workspace,
    }


def _type_text(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return schema.get("format") or " or ".join(each for each in kinds if each != "null") or "any"


def _run(job: Job, log: RunLog, context: dg.AssetExecutionContext) -> int:
    """Run the process to its end, pass its log on, and return its exit code."""
    with _started(job) as process:
        assert process.stderr is not None
        try:
            _pass_on(process.stderr, log, context)
        except BaseException:
            # The engine ends a run by an exception, in any place.
            _stop(process, log, context)
            raise
        return process.wait()


def _started(job: Job) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            job.command,
            env=job.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            # So Ctrl-C in a terminal reaches it once, through us.
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"tap: {job.command[0]} cannot be started: {error.strerror}") from None


def _stop(process: subprocess.Popen[str], log: RunLog, context: dg.AssetExecutionContext) -> None:
    """Ask the process to end: it saves the state of what the target has loaded."""
    process.send_signal(signal.SIGTERM)
    try:
        _, rest = process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    else:
        _pass_on(rest.splitlines(), log, context)


def _pass_on(lines: Iterable[str], log: RunLog, context: dg.AssetExecutionContext) -> None:
    for text in lines:
        line = log.read(text)
        if line.level in _WARNINGS:
            context.log.log(line.level, line.text)
        elif not line.is_number:
            # Dagster keeps stderr as one file. Each line of its own log is a row in its database.
            print(f"{line.level} {line.text}", file=sys.stderr)


def _failure(code: int, log: RunLog, workspace: str) -> dg.Failure:
    """Return the failure of a run, with its reason as one line."""
    result = outcome(code)
    return dg.Failure(
        f"{workspace}: {log.last_error or result.meaning}",
        metadata={"exit_code": code, "meaning": result.meaning, "workspace": workspace},
        allow_retries=result.action is Action.RETRY,
    )
