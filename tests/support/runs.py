"""Runs of the warm tap on one sandbox, each from the state that the one before left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import START_DATE, Output, Tap
from truth import FULL_TABLE, Record, differences, expected_records, key_of
from warm_tap import SHORT_WAITS, Run, WarmTap

from intercom_sandbox import Sandbox
from tap_intercom.times import epoch_seconds

NOW = 1_700_000_000
"""What a clock that only tests move begins with: in the middle of a day."""

Catalog = dict[str, Any]


class Clock:
    """Intercom's clock, which moves only when it is told to. Unix seconds."""

    def __init__(self, instant: float = NOW) -> None:
        self.instant = instant

    def __call__(self) -> float:
        return self.instant


@dataclass
class Target:
    """The tables that a target has after all lines that it took."""

    tables: defaultdict[str, dict[str, tuple[Any, dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def take(self, messages: Sequence[Mapping[str, Any]]) -> None:
        for message in messages:
            if message["type"] == "RECORD":
                key = key_of(message["stream"], message["record"])
                row = (message.get("version"), message["record"])
                self.tables[message["stream"]][key] = row
            elif message["type"] == "ACTIVATE_VERSION":
                table = self.tables[message["stream"]]
                for key in [key for key in table if table[key][0] != message["version"]]:
                    del table[key]

    def records(self, stream: str) -> dict[str, dict[str, Any]]:
        return {key: record for key, (_, record) in self.tables[stream].items()}


class Runs:
    """Runs the tap, and keeps the last STATE and what a target would have."""

    def __init__(
        self, sandbox: Sandbox, folder: Path, warm_tap: WarmTap, catalog: Catalog, **settings: Any
    ) -> None:
        self.sandbox = sandbox
        self.tap = Tap(sandbox, folder)
        self.state: dict[str, Any] = {}
        self.target = Target()
        self.outputs: list[Output] = []
        self._warm_tap = warm_tap
        self.catalog = catalog
        self._settings = settings

    def start(
        self,
        *streams: str,
        numbers: Mapping[str, Any] | None = None,
        largest_file: int | None = None,
        edit_catalog: Callable[[Catalog], object] = lambda catalog: None,
        **settings: Any,
    ) -> Run:
        """A run that the caller ends, and gives to `take`."""
        catalog = deepcopy(self.catalog)
        edit_catalog(catalog)
        arguments = self.tap.arguments(
            *streams, catalog=catalog, state=self.state, **{**self._settings, **settings}
        )
        return self._warm_tap.start(
            *arguments, numbers={**SHORT_WAITS, **(numbers or {})}, largest_file=largest_file
        )

    def run(self, *streams: str, **how: Any) -> Output:
        return self.take(self.start(*streams, **how).wait())

    def forget(self) -> None:
        """Begin again with no state and an empty target."""
        self.state = {}
        self.target = Target()
        self.outputs.clear()

    def take(self, output: Output) -> Output:
        """Go on from here."""
        self.outputs.append(output)
        self.target.take(output.messages)
        if output.states:
            self.state = output.state
        return output

    @property
    def bookmarks(self) -> dict[str, Any]:
        bookmarks: dict[str, Any] = self.state["bookmarks"]
        return bookmarks

    def lost(
        self,
        *streams: str,
        since: str = START_DATE,
        but: Callable[[str, Record], bool] = lambda stream, record: False,
    ) -> Iterator[str]:
        """What the workspace holds and the target does not, after a complete run of these streams.

        since: what changed before does not count. but: which other records do not.
        """
        first = epoch_seconds(since)
        for stream in streams:
            arrived = self.target.records(stream)
            schema = self.outputs[-1].schema(stream)
            expected = expected_records(self.sandbox.workspace, stream)
            if stream in FULL_TABLE:
                for key in arrived.keys() - expected.keys():
                    yield f"{stream} {key} is no more, and was not taken away"
            for key, record in expected.items():
                instant = record.get("conversation_updated_at", record.get("updated_at"))
                is_older = instant is not None and instant < first
                if (is_older and stream not in FULL_TABLE) or but(stream, record):
                    continue
                if key not in arrived:
                    yield f"{stream} {key} is missing: {record}"
                    continue
                for difference in differences(record, arrived[key], schema):
                    yield f"{stream} {key}: {difference}"
