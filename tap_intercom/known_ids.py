"""The ids that deletes are detected with, in a file beside the state: gzip, JSON inside.

    {"workspace": "abc123", "detections": [
        {"seen_at": "2026-01-31T12:00:00Z", "conversations_until": "2026-01-31T12:00:00Z",
         "ids": {"contacts": ["5f…"], "companies": ["6a…"], "deleted_conversations": ["12"]}},
        …]}

It holds two detections, so that it is exactly as safe as the state. The bookmark of `deletions`
says when the detection was that the state belongs to, and a run compares with that one, its base.
When it has written what is gone, it replaces the file by its base and its own ids, and only then
writes the STATE that names its own. So whichever of the two states is kept in the end, by a run
that is killed at any moment, or by a target that fails after the tap has ended, its ids are there:
rows come again, and none is left out. A state that went back further finds the older ids.
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
from tap_intercom.files import replace_file
from tap_intercom.times import epoch_seconds, rfc3339

OWNER_ONLY = 0o600
GZIP_LEVEL = 3


@dataclass(frozen=True)
class Detection:
    """What there was at an instant, in Unix seconds.

    ids: by stream, of the records that were there; of deleted_conversations, the latest ones.
    conversations_until: when it was last looked for conversations that are gone.
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
    """What a file holds of a workspace, the older detection first; none where it is not there."""

    path: Path
    workspace: str | None
    detections: Sequence[Detection] = ()

    def is_older_than(self, seen_at: int) -> bool:
        """Whether the file was written before the detection that a state names."""
        return all(each.seen_at < seen_at for each in self.detections)

    def base(self, seen_at: int | None) -> Detection | None:
        """The detection that a state names, or else the oldest, which has all that may be new."""
        named = [each for each in self.detections if each.seen_at == seen_at]
        return next(iter(named or self.detections), None)

    def keep(self, base: Detection | None, new: Detection) -> None:
        """Replace the file at once. Raises ConfigError, and then it is as it was."""
        detections = [each.document() for each in (base, new) if each is not None]
        content = orjson.dumps({"workspace": self.workspace, "detections": detections})
        packed = gzip.compress(content, GZIP_LEVEL, mtime=0)
        replace_file("known_ids_file", self.path, packed, OWNER_ONLY)


def read_known_ids(path: Path, workspace: str | None) -> KnownIds:
    """Read a file. Raises ConfigError where it is another workspace's, or cannot be read."""
    what = f"known_ids_file: {path}"
    if not path.parent.is_dir():
        raise ConfigError(f"{what} cannot be made: its folder is not there")
    try:
        document = orjson.loads(gzip.decompress(path.read_bytes()))
        of = document["workspace"]
        detections = [_detection(each) for each in document["detections"]]
    except FileNotFoundError:
        return KnownIds(path, workspace)
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{what} is not what this tap wrote; remove it to begin detection again"
        ) from None
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror}") from None
    if of and workspace and of != workspace:
        raise ConfigError(
            f"{what} is of workspace {of}, but the access token of {workspace}. "
            "Use a file of its own for each workspace."
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
