"""`tap-intercom --about --format json` has the form of SDK taps, with more beside it."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import jsonschema_rs
import pytest
from conftest import RUN
from paths import ROOT

from tap_intercom import __version__
from tap_intercom.errors import ConfigError
from tap_intercom.settings import Settings, document, load
from tap_intercom.streams import STREAMS

REQUIRED = {"access_token": "secret-token", "start_date": "2024-01-01"}


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = subprocess.run([*RUN, "--about", "--format", "json"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def is_valid(told: dict[str, Any], config: dict[str, Any]) -> bool:
    return jsonschema_rs.is_valid(told["settings"], config)


def loaded(config: dict[str, Any], tmp_path: Any) -> Settings:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return load([str(path)], {}, now=2e9, stream_names=list(STREAMS))


def test_it_has_the_keys_of_sdk_taps_and_more(told: dict[str, Any]) -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', setup)
    assert list(told) == [
        *("name", "description", "version", "sdk_version", "supported_python_versions"),
        *("capabilities", "settings", "streams", "exit_codes"),
    ]
    assert told["name"] == "tap-intercom"
    assert f'description="{told["description"]}"' in setup
    assert told["version"] == __version__
    assert told["sdk_version"] is None
    assert told["supported_python_versions"] == versions
    assert {"about", "catalog", "discover", "state"} <= {*told["capabilities"]}
    assert [row["stream"] for row in told["streams"]] == list(STREAMS)
    assert [row["exit code"] for row in told["exit_codes"]][:2] == ["0", "1"]


def test_settings_are_a_json_schema(told: dict[str, Any]) -> None:
    schema = told["settings"]
    jsonschema_rs.meta.validate(schema)
    assert schema["type"] == "object"
    assert schema["required"] == ["access_token", "start_date"]
    assert list(schema["properties"]) == [row.name for row in document()]
    for row in document():
        described = schema["properties"][row.name]["description"]
        assert described.startswith(row.help)
        assert row.allowed in described


def test_only_secrets_are_secret_and_they_have_no_default(told: dict[str, Any]) -> None:
    properties = told["settings"]["properties"]
    secrets = {name for name, each in properties.items() if each.get("secret")}
    assert secrets == {"access_token", "client_secret", "hash_key"}
    for name, each in properties.items():
        assert each.get("secret") == each.get("writeOnly")
        assert name not in secrets or "default" not in each


def test_defaults_are_those_of_the_tap(told: dict[str, Any], tmp_path: Any) -> None:
    properties = told["settings"]["properties"]
    defaults = {name: each["default"] for name, each in properties.items() if "default" in each}
    assert {"region": "us", "strict": False, "rate_limit_share": 0.9}.items() <= defaults.items()
    assert is_valid(told, {**REQUIRED, **defaults})
    assert loaded({**REQUIRED, **defaults}, tmp_path) == loaded(REQUIRED, tmp_path)


def test_the_sample_is_valid(told: dict[str, Any]) -> None:
    sample = json.loads((ROOT / "sample_config.json").read_text(encoding="utf-8"))
    assert is_valid(told, sample)
    assert not is_valid(told, {**sample, "access_token": None})


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("region", "mars", "eu"),
        ("api_version", "2.6", "2.7"),
        ("api_version", "2.19", "Preview"),
        ("page_size", 0, 1),
        ("concurrency", 1.5, 3),
        ("rate_limit_share", 0, 1),
        ("request_timeout", 0, 0.5),
        ("max_retry_seconds", -1, 0),
        ("lookback_seconds", -1, {"contacts": 0}),
        ("search_filters", [], {"tickets": {"field": "a", "operator": "=", "value": 1}}),
        ("detect_deletes", "rows", "column"),
        ("custom_object_types", {}, ["Order"]),
        ("export_lookback_days", -1, 0),
        ("strict", "perhaps", True),
        ("body_format", "markdown", "html"),
        ("user_agent", 5, "me"),
    ],
)
def test_the_schema_and_the_tap_refuse_the_same(
    told: dict[str, Any], tmp_path: Any, name: str, wrong: Any, right: Any
) -> None:
    assert is_valid(told, {**REQUIRED, name: right})
    loaded({**REQUIRED, name: right}, tmp_path)
    assert not is_valid(told, {**REQUIRED, name: wrong})
    with pytest.raises(ConfigError, match=name):
        loaded({**REQUIRED, name: wrong}, tmp_path)


def test_text_and_markdown_stay_tables_for_people() -> None:
    for style in ("text", "markdown"):
        command = [*RUN, "--about", "--format", style]
        text = subprocess.run(command, capture_output=True, text=True).stdout
        assert "Region that hosts the workspace." in text
        assert "one of us, eu, au" in text
