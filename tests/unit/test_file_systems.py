"""URLs of stores: what they are, how the log shows them, and why one cannot be used."""

from __future__ import annotations

import pytest

from tap_intercom import log
from tap_intercom.errors import ConfigError
from tap_intercom.file_systems import is_url, open_file_system, reason_of, without_secrets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state.json", False),
        ("/srv/intercom/state.json", False),
        ("C:/state.json", False),
        ("s3://bucket/state.json", True),
        ("abfs+tls://container/state.json", True),
    ],
)
def test_a_url_begins_with_its_scheme(text: str, expected: bool) -> None:
    assert is_url(text) is expected


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("s3://bucket/state.json", "s3://bucket/state.json", []),
        ("s3://AK:se/cret+x@bucket/state.json", "s3://***@bucket/state.json", ["cret+x"]),
        ("ftp://me:wo%40rd@host/state.json", "ftp://***@host/state.json", ["wo%40rd", "wo@rd"]),
        ("s3://bucket/me@example.com/state.json", "s3://bucket/me@example.com/state.json", []),
        ("az://box/state.json?sig=abc123&v=1", "az://box/state.json", ["abc123"]),
    ],
)
def test_a_url_is_shown_without_secrets(
    monkeypatch: pytest.MonkeyPatch, url: str, shown: str, secrets: list[str]
) -> None:
    monkeypatch.setattr(log, "_secrets", set())
    assert without_secrets(url) == shown
    for secret in secrets:
        assert log.without_secrets(f"bad: {secret}") == "bad: ***"


def test_a_refused_url_names_who_gave_it_without_its_secrets() -> None:
    with pytest.raises(ConfigError) as caught:
        open_file_system("--place", "nowhere://me:password@bucket/files", "extra")
    assert str(caught.value).startswith("--place: nowhere://***@bucket/files: nowhere is not")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (ValueError("first.\nsecond"), "first"),
        (ValueError("it failed:\n  because"), "it failed: because"),
        (ValueError(), "ValueError"),
    ],
)
def test_the_reason_of_an_error_is_one_line(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
