"""What Meltano and its Hub are told of the tap; test_docs.py checks that the files are current."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from paths import ROOT

from tap_intercom.commands.about import CAPABILITIES
from tap_intercom.settings import Settings, config_schema, document
from tap_intercom.streams import STREAMS

# Two types, or numbers with a fraction: only text lets all forms through.
AS_TEXT = {
    "access_token",
    "custom_object_types",
    "export_wait_seconds",
    "lookback_seconds",
    "max_retry_seconds",
    "rate_limit_share",
    "request_timeout",
}


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def extractor() -> Any:
    (found,) = read("examples/meltano/meltano.yml")["plugins"]["extractors"]
    return found


@pytest.fixture(params=["examples/meltano/meltano.yml", "plugin/hub.yml"])
def definition(request: pytest.FixtureRequest) -> Any:
    return read(request.param) if "hub" in request.param else extractor()


def test_a_definition_has_every_setting_and_capability(definition: Any) -> None:
    assert [each["name"] for each in definition["settings"]] == [row.name for row in document()]
    assert definition["capabilities"] == [*CAPABILITIES]
    assert definition["settings_group_validation"] == [config_schema()["required"]]
    assert definition["namespace"] == "tap_intercom"  # so variables begin with TAP_INTERCOM_


def test_a_setting_has_the_kind_of_its_values(definition: Any) -> None:
    properties = config_schema()["properties"]
    for each in definition["settings"]:
        name, schema = each["name"], properties[each["name"]]
        if name in AS_TEXT:
            expected = "string"
        elif "enum" in schema:
            expected = "options"
            assert [option["value"] for option in each["options"]] == schema["enum"]
        elif "format" in schema and schema["format"] == "date-time":
            expected = "date_iso8601"
        else:
            types = {*([schema["type"]] if isinstance(schema["type"], str) else schema["type"])}
            (expected,) = types - {"null"}
        assert each["kind"] == expected, name
        assert each.get("sensitive", False) == schema.get("secret", False), name
        assert each["description"].startswith(schema["description"]), name


def test_a_default_is_that_of_the_tap_or_is_left_to_it(definition: Any) -> None:
    defaults = Settings()
    for each in definition["settings"]:
        if "value" in each:
            default = getattr(defaults, each["name"])
            given = tuple(each["value"]) if isinstance(each["value"], list) else each["value"]
            assert given == default, each["name"]
    values = {each["name"] for each in definition["settings"] if "value" in each}
    assert values.isdisjoint({"region", "base_url", "user_agent", "lookback_seconds"})


def test_the_selection_is_the_default_one(definition: Any) -> None:
    default = [name for name, stream in STREAMS.items() if stream.is_default(Settings())]
    assert definition["select"] == [f"{name}.*" for name in default]


def test_the_hub_gets_no_address_that_does_not_exist() -> None:
    found = read("plugin/hub.yml")
    assert "fill-in" in found["pip_url"]
    assert "fill-in" in found["repo"]
    assert "logo_url" not in found
