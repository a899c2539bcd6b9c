"""Every workspace of workspaces.json, each hour, into a target of your choice."""

from datetime import timedelta
from pathlib import Path

import dagster as dg

from tap_intercom.dagster import (
    Pipeline,
    intercom_assets,
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
    target=["target-jsonl", "--config", HERE / "targets" / "{workspace}.json"],
)
assets = intercom_assets(pipeline)
checks = intercom_checks(assets, max_age=timedelta(hours=3))
sync = intercom_job(assets)

defs = dg.Definitions(
    assets=[assets],
    asset_checks=[checks],
    jobs=[sync],
    sensors=[intercom_sensor(pipeline)],
    schedules=[intercom_schedule(sync, "15 * * * *")],
)
