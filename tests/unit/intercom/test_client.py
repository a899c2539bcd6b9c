"""The client apart from HTTP: how a path is counted, whose workspace it is."""

from __future__ import annotations

import pytest

from tap_intercom.intercom.client import (
    Answer,
    Workspace,
    endpoint,
)


@pytest.mark.parametrize(
    ("path", "counted_as"),
    [
        ("/contacts/search", "/contacts/search"),
        ("/data_attributes", "/data_attributes"),
        ("/conversations/215470001", "/conversations/{id}"),
        ("/contacts/5f1e2d3c4b5a69788796a5b4/tags", "/contacts/{id}/tags"),
        ("/export/content/data/k0-Ab_1", "/export/content/data/{id}"),
        ("/custom_object_instances/Order", "/custom_object_instances/{id}"),
        ("/a/1/b/2", "/a/{id}/b/{id}"),
    ],
)
def test_requests_are_counted_without_ids(path: str, counted_as: str) -> None:
    assert endpoint(path) == counted_as


def workspace_in(region: str | None) -> Workspace:
    answer = Answer(b"{}", {}, "2026-01-31T12:00:00Z")
    return Workspace("w1", None, region, None, None, now=0, latest=0, answer=answer)


@pytest.mark.parametrize(
    ("region", "setting", "is_wrong"),
    [("US", "us", False), ("EU", "us", True), ("eu", "eu", False), (None, "au", False)],
)
def test_a_wrong_region_is_told(region: str | None, setting: str, is_wrong: bool) -> None:
    reason = workspace_in(region).mismatch(setting)
    assert (reason is not None) == is_wrong
    if reason:
        assert f"region is {setting}" in reason
        assert "the workspace is in eu" in reason


def test_an_exact_answer_has_every_digit() -> None:
    answer = Answer(b'{"id": 18446744073709551617}', {"id": 1.8446744073709552e19}, "")
    assert answer.exact().body == {"id": 18446744073709551617}
    assert answer.exact().content == answer.content
