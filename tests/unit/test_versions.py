"""Versions of the API compare in the order in which Intercom released them."""

from __future__ import annotations

import pytest

from tap_intercom.versions import (
    ACCEPTED,
    DEFAULT,
    LAST,
    NUMBERED,
    PREVIEW,
    is_described,
    since_text,
    text_of,
    trust_text,
    version_of,
)


def test_versions_are_in_order_and_preview_comes_last() -> None:
    names = ["2.7", "2.9", "2.10", "2.16", "2.17", "2.18", "Preview"]
    versions = [version_of(name) for name in names]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(names)
    assert [text_of(each) for each in versions] == names


@pytest.mark.parametrize("version", ACCEPTED, ids=text_of)
def test_text_and_version_are_the_same(version: tuple[int, int]) -> None:
    assert version_of(text_of(version)) == version


def test_preview_is_written_in_any_case() -> None:
    assert version_of("preview") == version_of("PREVIEW") == PREVIEW


@pytest.mark.parametrize("text", ["", "2", "2.", "2.123", "v2.16", "2.16 ", "٢.١٦", "Unstable"])
def test_other_text_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        version_of(text)


def test_only_the_newest_numbers_have_no_description() -> None:
    assert [text_of(each) for each in ACCEPTED if not is_described(each)] == ["2.17", "2.18"]
    assert NUMBERED[-1] == LAST
    assert text_of(DEFAULT) == "2.16"
    assert trust_text().startswith("2.17 and 2.18 are taken on trust")


def test_nothing_is_later_than_preview() -> None:
    assert since_text((2, 17)) == "2.17 or later"
    assert since_text(PREVIEW) == "Preview"
