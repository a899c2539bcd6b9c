"""The ids used to detect deletes, in a file beside the state: gzip, JSON inside.

    {"workspace": "abc123", "detections": [
        {"seen_at": "2026-01-31T12:00:00Z", "conversations_until": "2026-01-31T12:00:00Z",
         "ids": {"contacts": ["5f…"], "companies": ["6a…"], "deleted_conversations": ["12"]}},
        …]}

The file holds two detections, so it is exactly as safe as the state. The bookmark of `deletions`
names the detection that the state belongs to, and a run compares with that one, its base. After
writing what is gone, a run replaces the file with its base and its own ids. Only then does it write
the STATE that names its own. A run may be killed at any moment, or a target may fail after the tap
has ended. Whichever of the two states remains, its ids are in the file, so rows may repeat but are
never lost. A state restored from earlier finds the older ids.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tap_intercom.errors import ConfigError
from tap_intercom.files import replace_file, why_unreadable
from tap_intercom.times import epoch_seconds, rfc3339

OWNER_ONLY = 0o600
GZIP_LEVEL = 3


@dataclass(frozen=True)
class Detection:
    """The records that existed at an instant (Unix seconds).

    ids: ids of existing records, by stream; under deleted_conversations, the latest ones.
    conversations_until: when deleted conversations were last searched.
    """

    seen_at: int
    ids: Mapping[str, Collection[str]]
    conversations_until: int | None = None

    def document(self) -> dict[str, Any]:
        until = self.conversations_until
        return {
            "seen_at": rfc3339(self.seen_at),
            "conversations_until": None if until is None else rfc3339(until),
            "ids": {stream: sorted(ids) for stream, ids in self.ids.items()},
        }


@dataclass(frozen=True)
class KnownIds:
    """A workspace's detections in a file, the older one first; empty if there is no file."""

    path: Path
    workspace: str | None
    detections: Sequence[Detection] = ()

    def is_older_than(self, seen_at: int) -> bool:
        """Whether the file was written before the detection that a state names."""
        return all(each.seen_at < seen_at for each in self.detections)

    def base(self, seen_at: int | None) -> Detection | None:
        """Return the detection that a state names, or the oldest, so no new deletion is missed."""
        named = [each for each in self.detections if each.seen_at == seen_at]
        return next(iter(named or self.detections), None)

    def keep(self, base: Detection | None, new: Detection) -> None:
        """Replace the file atomically. Raises ConfigError and then leaves it unchanged."""
        detections = [each.document() for each in (base, new) if each is not None]
        content = orjson.dumps({"workspace": self.workspace, "detections": detections})
        packed = gzip.compress(content, GZIP_LEVEL, mtime=0)
        replace_file("known_ids_file", self.path, packed, OWNER_ONLY)


def read_known_ids(path: Path, workspace: str | None) -> KnownIds:
    """Read a file. Raises ConfigError if it is another workspace's or cannot be read."""
    what = f"known_ids_file: {path}"
    if not path.parent.is_dir():
        raise ConfigError(f"{what} cannot be created: its folder does not exist")
    try:
        document = orjson.loads(gzip.decompress(path.read_bytes()))
        of = document["workspace"]
        detections = [_detection(each) for each in document["detections"]]
    except FileNotFoundError:
        return KnownIds(path, workspace)
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{what} was not written by this tap; remove it to start detection again"
        ) from None
    except OSError as error:
        raise ConfigError(f"known_ids_file: {why_unreadable(path, error)}") from None
    if of and workspace and of != workspace:
        raise ConfigError(
            f"{what} belongs to workspace {of}, but the access token belongs to {workspace}. "
            "Use a separate file for each workspace."
        )
    return KnownIds(path, workspace or of, detections)


def _detection(document: Any) -> Detection:
    until = document["conversations_until"]
    ids = document["ids"]
    for each in ids.values():
        if not isinstance(each, list) or not all(isinstance(one, str) for one in each):
            raise TypeError
    return Detection(
        seen_at=int(epoch_seconds(document["seen_at"])),
        ids=ids,
        conversations_until=None if until is None else int(epoch_seconds(until)),
    )
