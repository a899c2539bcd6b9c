"""Sources of settings: files, the environment and `.env`; what each gives, and its faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tap_intercom.errors import ConfigError
from tap_intercom.settings.sources import Given, from_environment, from_file


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_gives_its_values_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"region": "eu", "page_size": 0, "user_agent": " ", "a": null}')
    assert from_file(str(path)) == {
        "region": Given("eu", str(path)),
        "page_size": Given(0, str(path)),
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", "is not a JSON object"),
        (b'{"a": 1, "a": 2}', "contains 'a' twice"),
        (b'{"b": {"a": 1, "a": 2}}', "contains 'a' twice"),
        (b'{"a": }', "is not JSON: .* at line 1, column 7"),
        (b'{"a": "\xff"}', r"is not UTF-8 \(byte 7\)"),
        (b"[" * 100_000, "is not readable JSON"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{path} {reason}"):
        from_file(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^config\.json cannot be read: No such file"):
        from_file("config.json")


def test_variables_are_settings_by_their_prefix() -> None:
    environment = {
        "TAP_INTERCOM_REGION": "eu",
        "TAP_INTERCOM_PAGE_SIZE": "  ",
        "TAP_INTERCOM__SELECT": "of a runner",
        "REGION": "us",
        "tap_intercom_region": "us",
    }
    assert from_environment(environment) == {"region": Given("eu", "TAP_INTERCOM_REGION")}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("TAP_INTERCOM_REGION=eu", "eu"),
        ("export TAP_INTERCOM_REGION=eu", "eu"),
        ("  TAP_INTERCOM_REGION = eu  ", "eu"),
        ("TAP_INTERCOM_REGION=eu # Frankfurt", "eu"),
        ("TAP_INTERCOM_REGION=e#u", "e#u"),
        ('TAP_INTERCOM_REGION="e u" # x', "e u"),
        ("TAP_INTERCOM_REGION='e\"u'", 'e"u'),
        ("TAP_INTERCOM_REGION=a=b", "a=b"),
    ],
)
def test_a_line_of_dotenv_is_a_variable(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / ".env").write_text(f"# a comment\nOTHER=1\n\n{line}\n")
    assert from_environment({}) == {"region": Given(value, "TAP_INTERCOM_REGION in .env")}


@pytest.mark.parametrize("line", ["TAP_INTERCOM_REGION=", "#TAP_INTERCOM_REGION=eu"])
def test_a_line_without_a_value_sets_nothing(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(line)
    assert from_environment({}) == {}


def test_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAP_INTERCOM_REGION=eu\nTAP_INTERCOM_PAGE_SIZE=5")
    assert from_environment({"TAP_INTERCOM_REGION": "au"}) == {
        "region": Given("au", "TAP_INTERCOM_REGION"),
        "page_size": Given("5", "TAP_INTERCOM_PAGE_SIZE in .env"),
    }


@pytest.mark.parametrize("line", ["TAP_INTERCOM_REGION", 'TAP_INTERCOM_TOKEN="a" b'])
def test_a_faulty_line_of_dotenv_is_told_without_its_content(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"OTHER\n{line}\n")
    with pytest.raises(ConfigError, match=r"^\.env is not NAME=value at line 2$"):
        from_environment({})
