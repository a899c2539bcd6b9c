"""A target that keeps the last row of each key, and obeys ACTIVATE_VERSION."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]
Key = tuple[str, ...]


class Target:
    """Tables by stream. Keys are those that the last SCHEMA named."""

    def __init__(self) -> None:
        self._keys: dict[str, Sequence[str]] = {}
        self._rows: defaultdict[str, dict[Key, tuple[Any, Record]]] = defaultdict(dict)

    def take(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, set[Key]]:
        """Take messages; returns the keys of the rows that ACTIVATE_VERSION took away."""
        removed: defaultdict[str, set[Key]] = defaultdict(set)
        for message in messages:
            stream = message.get("stream", "")
            table = self._rows[stream]
            match message["type"]:
                case "SCHEMA":
                    self._keys[stream] = message["key_properties"]
                case "RECORD":
                    key = key_of(message["record"], self._keys[stream])
                    table[key] = (message.get("version"), message["record"])
                    removed[stream].discard(key)
                case "ACTIVATE_VERSION":
                    old = {key for key, row in table.items() if row[0] != message["version"]}
                    removed[stream] |= old
                    for key in old:
                        del table[key]
        return removed

    def rows(self, stream: str) -> dict[Key, Record]:
        return {key: record for key, (_, record) in self._rows[stream].items()}


def key_of(record: Mapping[str, Any], names: Sequence[str]) -> Key:
    return tuple(str(record[name]) for name in names)
