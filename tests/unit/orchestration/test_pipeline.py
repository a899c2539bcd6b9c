from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tap_intercom.errors import ConfigError
from tap_intercom.orchestration.pipeline import Period, Pipeline

REGISTRY = {
    "acme": {"token_variable": "ACME_TOKEN"},
    "globex": {
        "token_variable": "GLOBEX_TOKEN",
        "settings": {"region": "eu"},
        "catalog": "globex.json",
    },
}
VARIABLES = {
    "ACME_TOKEN": "token of acme",
    "GLOBEX_TOKEN": "token of globex",
    "PATH": "/bin",
    "TAP_INTERCOM_REGION": "au",
    "TAP_INTERCOM_ACCESS_TOKEN": "token of somebody",
    "TAP_INTERCOM_LOGLEVEL": "DEBUG",
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "config.json").write_text('{"start_date": "2020-01-01", "region": "us"}')
    target = {"schema": "intercom_{workspace}", "nested": [{"name": "{workspace}"}], "port": 1}
    (tmp_path / "to.json").write_text(json.dumps(target))
    return Pipeline(
        registry=lambda: REGISTRY,
        catalog="catalog.json",
        config=tmp_path / "config.json",
        state=tmp_path / "state",
        target=["target-x", "--name", "{workspace}"],
        target_config=tmp_path / "to.json",
        tap=["tap-intercom"],
    )


def flag(command: Any, name: str) -> str:
    return str(command[command.index(name) + 1])


def test_a_job_runs_the_tap_and_the_target_of_a_workspace(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    job = pipeline.job("globex", tmp_path, VARIABLES)
    assert list(job.command) == [
        *("tap-intercom", "run", "--log-format", "json"),
        *("--state", f"{tmp_path}/state/globex/state.json", "--wait", "30"),
        *("--config", "ENV", "--config", f"{tmp_path}/settings.json"),
        *("--catalog", "globex.json"),
        *("--", "target-x", "--name", "globex", "--config", f"{tmp_path}/target.json"),
    ]
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings == {"start_date": "2020-01-01", "region": "eu"}
    target = json.loads((tmp_path / "target.json").read_text())
    assert target == {"schema": "intercom_globex", "nested": [{"name": "globex"}], "port": 1}
    assert flag(pipeline.job("acme", tmp_path, VARIABLES).command, "--catalog") == "catalog.json"


def test_only_the_owner_can_read_what_a_job_writes(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.job("acme", tmp_path, VARIABLES)
    for name in ("settings.json", "target.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_job_gets_the_token_of_its_workspace_and_no_other(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    job = pipeline.job("globex", tmp_path, VARIABLES)
    assert job.environment == {
        "PATH": "/bin",
        "TAP_INTERCOM_LOGLEVEL": "DEBUG",
        "TAP_INTERCOM_ACCESS_TOKEN": "token of globex",
    }
    written = "".join(path.read_text() for path in tmp_path.glob("*.json"))
    assert "token of" not in written + " ".join(job.command)


def test_a_period_has_its_own_dates_and_state(pipeline: Pipeline, tmp_path: Path) -> None:
    period = Period("2024-01-01", "2024-02-01T00:00:00Z")
    job = pipeline.job("acme", tmp_path, VARIABLES, period)
    place = f"{tmp_path}/state/acme/period-2024-01-01--2024-02-01T00-00-00Z/state.json"
    assert flag(job.command, "--state") == place
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["start_date"] == "2024-01-01"
    assert settings["end_date"] == "2024-02-01T00:00:00Z"


def test_a_job_makes_the_folder_of_its_state(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.job("acme", tmp_path, VARIABLES)
    assert (tmp_path / "state" / "acme").is_dir()
    (tmp_path / "state" / "globex").write_text("a file is in the way")
    with pytest.raises(ConfigError, match=r"state: .*/state/globex cannot be created: File exists"):
        pipeline.job("globex", tmp_path, VARIABLES)


def test_a_state_may_be_below_a_url(tmp_path: Path) -> None:
    pipeline = Pipeline(lambda: REGISTRY, "catalog.json", ["target-x"], "s3://bucket/intercom/")
    assert pipeline.state_of("acme") == "s3://bucket/intercom/acme/state.json"


@pytest.mark.parametrize(
    ("name", "variables", "fault"),
    [
        ("nobody", VARIABLES, "no workspace is called 'nobody'"),
        ("acme", {}, "the variable ACME_TOKEN with the token of acme is not set"),
        ("acme", {"ACME_TOKEN": " "}, "the variable ACME_TOKEN with the token of acme is not set"),
    ],
)
def test_a_job_that_cannot_start_says_why(
    name: str, variables: dict[str, str], fault: str, pipeline: Pipeline, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=fault):
        pipeline.job(name, tmp_path, variables)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"access_token": "abc"}', "must not contain access_token"),
        ("[]", "is not a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_a_wrong_common_config_is_refused(
    content: str, fault: str, pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=fault) as raised:
        pipeline.job("acme", tmp_path, VARIABLES)
    assert "abc" not in str(raised.value)


def test_a_catalog_must_select_a_stream(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_text('{"streams": []}')
    pipeline = Pipeline(lambda: REGISTRY, catalog, ["target-x"], tmp_path)
    with pytest.raises(ConfigError, match=r"catalog.json selects no stream"):
        pipeline.selections()
