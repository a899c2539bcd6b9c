"""Each workspace of workspaces.json, every hour, into the target of target.json."""

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg

from tap_intercom.dagster import (
    Pipeline,
    intercom_assets,
    intercom_check_schedule,
    intercom_checks,
    intercom_job,
    intercom_schedule,
    intercom_sensor,
)

HERE = Path(__file__).parent
pipeline = Pipeline(
    registry=HERE / "workspaces.json",
    catalog=HERE / "catalog.json",
    config=HERE / "config.json",
    state=HERE / "state",
    target=[os.environ.get("TARGET_JSONL", "target-jsonl")],
    target_config=HERE / "target.json",
)
assets = intercom_assets(pipeline)
sync = intercom_job(assets)
checks = intercom_checks(assets, max_age=timedelta(hours=3))
defs = dg.Definitions(
    assets=[assets],
    asset_checks=[checks],
    sensors=[intercom_sensor(pipeline, job=sync)],
    schedules=[intercom_schedule(sync, "15 * * * *"), intercom_check_schedule(checks, "0 * * * *")],
)
