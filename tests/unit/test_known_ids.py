"""The file of known ids: two detections, of one workspace, replaced as a whole or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tap_intercom.errors import ConfigError
from tap_intercom.known_ids import Detection, KnownIds, read_known_ids

JANUARY, FEBRUARY, MARCH = 1_767_225_600, 1_769_904_000, 1_772_323_200
OLDER = Detection(JANUARY, {"contacts": ["a", "b"]}, conversations_until=JANUARY - 1)
NEWER = Detection(FEBRUARY, {"contacts": ["b"], "companies": []})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_ids.json.gz"


def test_what_is_kept_is_read_again(path: Path) -> None:
    read_known_ids(path, "w1").keep(OLDER, NEWER)
    found = read_known_ids(path, "w1")
    assert list(found.detections) == [OLDER, NEWER]
    assert (found.path, found.workspace) == (path, "w1")


def test_without_a_file_nothing_is_known(path: Path) -> None:
    found = read_known_ids(path, "w1")
    assert not found.detections
    assert found.base(JANUARY) is None
    assert found.is_older_than(JANUARY)


def test_only_the_base_and_the_new_detection_are_kept(path: Path) -> None:
    read_known_ids(path, "w1").keep(None, OLDER)
    read_known_ids(path, "w1").keep(OLDER, NEWER)
    latest = Detection(MARCH, {})
    known = read_known_ids(path, "w1")
    known.keep(known.base(FEBRUARY), latest)
    assert list(read_known_ids(path, "w1").detections) == [NEWER, latest]


@pytest.mark.parametrize(
    ("seen_at", "base"),
    [(JANUARY, OLDER), (FEBRUARY, NEWER), (MARCH, OLDER), (None, OLDER)],
)
def test_the_base_is_the_named_detection_or_the_oldest(
    seen_at: int | None, base: Detection
) -> None:
    assert KnownIds(Path("x"), "w1", [OLDER, NEWER]).base(seen_at) == base


@pytest.mark.parametrize(("seen_at", "is_older"), [(FEBRUARY, False), (MARCH, True)])
def test_a_file_from_before_the_state_is_noticed(seen_at: int, is_older: bool) -> None:
    assert KnownIds(Path("x"), "w1", [OLDER, NEWER]).is_older_than(seen_at) == is_older


def test_only_the_owner_may_read_the_ids(path: Path) -> None:
    read_known_ids(path, "w1").keep(None, OLDER)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_another_workspace_is_refused(path: Path) -> None:
    read_known_ids(path, "w1").keep(None, OLDER)
    with pytest.raises(ConfigError, match=r"belongs to workspace w1, but .* to w2"):
        read_known_ids(path, "w2")
    # If the workspace of the token is not known, that of the file stays.
    assert read_known_ids(path, None).workspace == "w1"


def packed(document: object) -> bytes:
    return gzip.compress(json.dumps(document).encode(), mtime=0)


DETECTION: dict[str, Any] = {
    "seen_at": "2026-01-01T00:00:00Z",
    "conversations_until": None,
    "ids": {},
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        packed([])[:-9],
        packed([]),
        packed({"workspace": "w1"}),
        packed({"workspace": "w1", "detections": [DETECTION | {"seen_at": "soon"}]}),
        packed({"workspace": "w1", "detections": [DETECTION | {"ids": {"contacts": [1]}}]}),
        packed({"workspace": "w1", "detections": [DETECTION | {"ids": {"contacts": "ab"}}]}),
    ],
    ids=lambda content: str(len(content)),
)
def test_another_file_is_refused_and_stays(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="was not written by this tap"):
        read_known_ids(path, "w1")
    assert path.read_bytes() == content


def test_a_missing_folder_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its folder does not exist"):
        read_known_ids(tmp_path / "missing" / "ids", "w1")
