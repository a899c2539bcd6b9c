"""Settings: what is read from where, and what is said about each fault."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from tap_intercom import __version__
from tap_intercom.errors import ConfigError
from tap_intercom.settings import Settings, document, load

NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
SECRET = "dG9rOnNlY3JldA=="
LoadConfig = Callable[..., Settings]


@pytest.fixture
def load_config(tmp_path: Path) -> LoadConfig:
    """Load settings from a file that holds a valid token and start_date beside the given."""

    def load_one(config: Any = None, *, text: str | bytes | None = None, **keys: Any) -> Settings:
        path = tmp_path / "config.json"
        if text is None:
            valid = {"access_token": SECRET, "start_date": "2024-01-01"}
            text = json.dumps(config if config is not None else valid | keys)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load([str(path)], {}, now=NOW)

    return load_one


def test_defaults_are_those_of_the_design(load_config: LoadConfig) -> None:
    settings = load_config()
    assert settings == Settings(access_token=SECRET, start_date=1_704_067_200)
    assert settings.base_url == "https://api.intercom.io"
    assert settings.version == (2, 16)
    assert settings.user_agent == f"tap-intercom/{__version__}"
    assert settings.lookback("contacts") == 600
    assert not settings.strict


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("start_date", "2024-02-29", 1_709_164_800),
        ("start_date", "02/29/2024", 1_709_164_800),
        ("start_date", "2024-02-29T12:00:00Z", 1_709_208_000),
        ("start_date", "2024-02-29T12:00:00.900Z", 1_709_208_000),
        ("start_date", "2024-02-29T12:00:00+02:00", 1_709_200_800),
        ("start_date", " 2024-02-29 ", 1_709_164_800),
        ("start_date", "1969-01-01", 0),
        ("end_date", "2030-01-01", 1_893_456_000),
        ("end_date", None, None),
        ("end_date", "", None),
        ("region", "EU", "eu"),
        ("base_url", "https://proxy.example/intercom/", "https://proxy.example/intercom"),
        ("base_url", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("base_url", "http://127.9.9.9/", "http://127.9.9.9"),
        ("base_url", "http://localhost:1", "http://localhost:1"),
        ("base_url", "http://[::1]:1", "http://[::1]:1"),
        ("api_version", "2.7", "2.7"),
        ("api_version", 2.16, "2.16"),
        ("api_version", "preview", "Preview"),
        ("page_size", "50", 50),
        ("concurrency", 8.0, 8),
        ("rate_limit_share", "0.5", 0.5),
        ("rate_limit_share", 1, 1),
        ("request_timeout", "30", 30),
        ("max_retry_seconds", 0, 0),
        ("lookback_seconds", "60", 60),
        ("lookback_seconds", 0, 0),
        ("body_format", "html", "html"),
        ("unknown_fields", "pass", "pass"),
        ("on_missing_permission", "skip", "skip"),
        ("add_workspace_id", "true", True),
        ("add_workspace_id", 0, False),
        ("companies_source", "list", "list"),
        ("user_agent", "acme/1 (data@acme.example)", "acme/1 (data@acme.example)"),
        ("client_id", "abc", "abc"),
        ("client_secret", "def", "def"),
        ("redirect_uri", "http://localhost:9999", "http://localhost:9999"),
        ("strict", True, True),
    ],
)
def test_a_valid_value_is_read(
    load_config: LoadConfig, key: str, given: object, expected: object
) -> None:
    assert getattr(load_config(**{key: given}), key) == expected


@pytest.mark.parametrize(
    ("key", "given", "reason"),
    [
        ("access_token", "", "missing, must be a token"),
        ("access_token", "two words", "is not a token"),
        ("access_token", "a\nb", "is not a token"),
        ("access_token", "tökén-ł", "is not a token"),
        ("access_token", 987_654_321, "is not a token"),
        ("start_date", "  ", "missing, must be a date"),
        ("start_date", "31/01/2024", "MM/DD/YYYY (month first)"),
        ("start_date", "2024-02-30", "is not a date"),
        ("start_date", "2024-W05", "is not a date"),
        ("start_date", "12:00", "is not a date"),
        ("start_date", "1704067200", "is not a date"),
        ("start_date", 1704067200, "is not a date"),
        ("start_date", "2026-01-01T00:00:01Z", "is in the future"),
        ("end_date", "2024-01-01", "is not after start_date"),
        ("region", "xx", "'xx' is not one of us, eu, au"),
        ("region", 5, "is not one of"),
        ("base_url", "http://api.intercom.io", "is not an https:// URL"),
        ("base_url", "http://127.0.0.1.example.com", "is not an https:// URL"),
        ("base_url", "http://localhost.example.com", "is not an https:// URL"),
        ("base_url", "ftp://127.0.0.1", "is not an https:// URL"),
        ("base_url", "api.intercom.io", "is not an https:// URL"),
        ("base_url", "https://", "is not an https:// URL"),
        ("base_url", "https://host:port", "is not an https:// URL"),
        ("base_url", "https://[::1", "is not an https:// URL"),
        ("base_url", "https://user:hunter2@host", "'https://***@host' contains more than"),
        ("base_url", "https://host?a=b", "contains more than"),
        ("api_version", "2.6", "is not 2.7 to 2.18, or Preview"),
        ("api_version", 2.1, "is not 2.7 to 2.18"),
        ("api_version", "2.19", "is not 2.7 to 2.18"),
        ("page_size", 0, "is not a whole number, at least 1"),
        ("page_size", True, "is not a whole number, at least 1"),
        ("concurrency", "1.5", "is not a whole number, at least 1"),
        ("concurrency", "many", "is not a whole number, at least 1"),
        ("concurrency", 10**400, "is not a whole number, at least 1"),
        ("rate_limit_share", 0, "is not a number above 0, at most 1"),
        ("rate_limit_share", 1.1, "is not a number above 0"),
        ("request_timeout", "nan", "is not a number of seconds above 0"),
        ("max_retry_seconds", -1, "is not a number of seconds, at least 0"),
        ("lookback_seconds", -1, "is not a whole number, at least 0"),
        ("lookback_seconds", {"contacts": -1}, "is not a whole number, at least 0"),
        ("lookback_seconds", [], "is not a whole number, at least 0"),
        ("body_format", "markdown", "is not one of plaintext, html"),
        ("strict", "maybe", "is not true or false"),
        ("user_agent", "a\r\nb: c", "is not one line"),
        ("client_secret", ["hunter2"], "the value is not a string"),
    ],
)
def test_a_fault_tells_key_value_what_is_allowed_and_where(
    load_config: LoadConfig, key: str, given: object, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(**{key: given})
    message = str(caught.value)
    assert message.startswith(f"config: {key}: ")
    assert reason in message
    assert "missing" in message or "config.json)" in message
    assert "\n" not in message
    assert "hunter2" not in message
    assert key != "access_token" or "missing" in message or str(given) not in message


def test_all_faults_are_told_at_once(load_config: LoadConfig) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"region": "xx", "strict": 7, "client_secret": 9})
    named = ["access_token", "start_date", "region", "client_secret", "strict"]
    assert [fault.split(":")[0] for fault in str(caught.value)[8:].split("; ")] == named


CONTACT_FILTER = {"field": "role", "operator": "=", "value": "user"}


@pytest.mark.parametrize(
    "query",
    [
        CONTACT_FILTER,
        {"field": "owner_id", "operator": "IN", "value": ["1", "2"]},
        {"field": "owner_id", "operator": "=", "value": None},
        {"operator": "OR", "value": [CONTACT_FILTER] * 15},
    ],
)
def test_search_filters_take_one_filter_or_a_flat_group(
    load_config: LoadConfig, query: dict[str, Any]
) -> None:
    filters = {"contacts": query}
    assert load_config(search_filters=filters).search_filters == filters
    assert load_config(search_filters=json.dumps(filters)).search_filters == filters


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ({"companies": CONTACT_FILTER}, "names 'companies', which is not one of contacts"),
        ({"contacts": []}, "has no filter of field, operator and value at contacts"),
        (
            {"contacts": {"field": "role", "operator": "="}},
            "has no filter of field, operator and value at contacts",
        ),
        ({"contacts": CONTACT_FILTER | {"operator": "=="}}, "at contacts.operator"),
        ({"contacts": CONTACT_FILTER | {"field": 1}}, "has no field name at contacts.field"),
        (
            {"contacts": CONTACT_FILTER | {"value": ["a"]}},
            "has no value that fits = at contacts.value",
        ),
        ({"contacts": {"operator": "AND", "value": []}}, "no group of an operator and a list"),
        ({"contacts": {"operator": "AND", "value": [CONTACT_FILTER] * 16}}, "more than 15"),
        (
            {"contacts": {"operator": "AND", "value": [{"operator": "OR", "value": []}]}},
            "has no filter of field, operator and value at contacts.value[0]",
        ),
        ("[]", "is not an object {stream: filter}"),
        ("role = user", "is not an object {stream: filter}"),
    ],
)
def test_search_filters_that_intercom_would_refuse_are_faults(
    load_config: LoadConfig, filters: object, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(search_filters=filters)
    assert reason in str(caught.value)


def test_lookback_may_differ_between_streams(load_config: LoadConfig) -> None:
    settings = load_config(lookback_seconds='{"tickets": 3600}')
    assert settings.lookback("tickets") == 3600
    assert settings.lookback("contacts") == 600


def test_lookback_names_streams_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"lookback_seconds": {"contact": 1}}')
    with pytest.raises(
        ConfigError, match="'contact', which is not a stream, did you mean contacts"
    ):
        load([str(path)], {}, now=NOW, required=(), stream_names=["contacts"])


def test_versions_compare_as_numbers() -> None:
    versions = [Settings(api_version=text).version for text in ("2.9", "2.16", "Preview")]
    assert versions == sorted(versions)
    assert versions[0] == (2, 9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'\xef\xbb\xbf{"region": "xx"}', "'xx' is not one of"),
        (b'{"region": "\xff"}', "is not UTF-8 (byte 12)"),
        ('{"region":\n  us}', "is not JSON: Expecting value at line 2, column 3"),
        ("", "is not JSON: Expecting value at line 1, column 1"),
        ("[]", "is not a JSON object"),
        ("[" * 100_000, "is not readable JSON"),
        ('{"region": "us", "region": "eu"}', "contains 'region' twice"),
    ],
    ids=["byte order mark", "latin-1", "no JSON", "empty", "list", "too deep", "duplicate"],
)
def test_a_file_that_cannot_be_used_is_named(
    load_config: LoadConfig, text: str | bytes, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(text=text)
    assert reason in str(caught.value)
    assert "config.json" in str(caught.value)


def test_files_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load([str(tmp_path), str(tmp_path / "none.json")], {}, now=NOW)
    assert str(caught.value) == (
        f"config: {tmp_path} is a folder; give the path of a file, such as one in that folder; "
        f"{tmp_path}/none.json cannot be read: No such file or directory"
    )


def test_later_sources_win_and_blanks_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.json").write_text('{"start_date": "2024-01-01", "region": "eu", "client_id": "a"}')
    Path("two.json").write_text('{"region": "au", "client_id": ""}')
    environment = {"TAP_INTERCOM_ACCESS_TOKEN": SECRET, "TAP_INTERCOM_REGION": "us"}
    settings = load(["one.json", "ENV", "two.json"], environment, now=NOW)
    assert (settings.region, settings.client_id) == ("au", "a")
    assert settings.access_token == SECRET


DOTENV = """
# a comment
OTHER = "not ours
export TAP_INTERCOM_ACCESS_TOKEN='from-file'
TAP_INTERCOM_START_DATE=2024-01-01 # first day
TAP_INTERCOM_REGION = "eu"
TAP_INTERCOM_USER_AGENT=a#b c
TAP_INTERCOM_END_DATE=
"""


def test_dotenv_is_read_for_env_only_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(DOTENV)
    Path("empty.json").write_text("{}")
    settings = load(["ENV"], {"TAP_INTERCOM_ACCESS_TOKEN": SECRET}, now=NOW)
    assert settings == Settings(
        access_token=SECRET, start_date=1_704_067_200, region="eu", user_agent="a#b c"
    )
    with pytest.raises(ConfigError, match="access_token: missing"):
        load(["empty.json"], {"TAP_INTERCOM_ACCESS_TOKEN": SECRET}, now=NOW)


def test_faults_of_the_environment_name_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("TAP_INTERCOM_STRICT=maybe")
    with pytest.raises(ConfigError) as caught:
        load(["ENV"], {"TAP_INTERCOM_REGION": "xx"}, now=NOW, required=())
    assert "(TAP_INTERCOM_REGION)" in str(caught.value)
    assert "(TAP_INTERCOM_STRICT in .env)" in str(caught.value)
    Path(".env").write_text("\nTAP_INTERCOM_REGION 'us'")
    with pytest.raises(ConfigError, match=r"\.env is not NAME=value at line 2"):
        load(["ENV"], {}, now=NOW, required=())


def test_unknown_settings_are_warned_of_without_their_value(
    load_config: LoadConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tap_intercom"):
        load_config(acces_token="hunter2", disable_collection=True, colour="blue")
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "config: acces_token: unknown setting, ignored, did you mean access_token?",
        "config: colour: unknown setting, ignored",
    ]


def test_variables_of_a_runner_are_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    load(["ENV"], {"TAP_INTERCOM__SELECT": "[]", "PATH": "/"}, now=NOW, required=())
    assert not caplog.records


def test_secrets_are_not_in_the_text_of_settings() -> None:
    assert "hunter2" not in repr(Settings(access_token="hunter2", client_secret="hunter2"))


def test_sample_config_holds_every_setting_with_its_default() -> None:
    path = ROOT / "sample_config.json"
    assert list(json.loads(path.read_text())) == [field.name for field in fields(Settings)]
    assert load([str(path)], {}, now=NOW) == Settings(
        access_token="your-access-token", start_date=1_704_067_200
    )


def test_every_setting_is_documented() -> None:
    rows = {row.name: row for row in document()}
    assert list(rows) == [field.name for field in fields(Settings)]
    assert all(row.help.endswith(".") and row.default and row.allowed for row in rows.values())
    secrets = ["access_token", "client_secret", "hash_key"]
    assert [row.name for row in rows.values() if row.secret] == secrets
    assert rows["start_date"].default == "required"
    assert rows["request_timeout"].default == "300"
    assert rows["strict"].default == "false"
    assert rows["search_filters"].default == "none"
