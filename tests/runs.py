"""Runs of the warm tap on one sandbox, each from the state that the one before left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from conftest import Output, Tap
from warm_tap import SHORT_WAITS, Run, WarmTap

from tap_intercom.sandbox import Sandbox

NOW = 1_700_000_000
"""What a clock that only tests move begins with: in the middle of a day."""

Catalog = dict[str, Any]


class Clock:
    """Intercom's clock, which moves only when it is told to. Unix seconds."""

    def __init__(self, instant: float = NOW) -> None:
        self.instant = instant

    def __call__(self) -> float:
        return self.instant


class Runs:
    """Runs the tap, and keeps the last STATE and all outputs."""

    def __init__(
        self, sandbox: Sandbox, folder: Path, warm_tap: WarmTap, catalog: Catalog, **settings: Any
    ) -> None:
        self.sandbox = sandbox
        self.tap = Tap(sandbox, folder)
        self.state: dict[str, Any] = {}
        self.outputs: list[Output] = []
        self._warm_tap = warm_tap
        self._catalog = catalog
        self._settings = settings

    def start(
        self,
        *streams: str,
        numbers: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        edit_catalog: Callable[[Catalog], object] = lambda catalog: None,
        **settings: Any,
    ) -> Run:
        """A run that the caller ends, and gives to `take`."""
        catalog = deepcopy(self._catalog)
        edit_catalog(catalog)
        arguments = self.tap.arguments(
            *streams, catalog=catalog, state=self.state, **{**self._settings, **settings}
        )
        return self._warm_tap.start(
            *arguments, numbers={**SHORT_WAITS, **(numbers or {})}, environment=environment
        )

    def run(self, *streams: str, **how: Any) -> Output:
        return self.take(self.start(*streams, **how).wait())

    def take(self, output: Output) -> Output:
        """Go on from here."""
        self.outputs.append(output)
        if output.states:
            self.state = output.state
        return output

    @property
    def bookmarks(self) -> dict[str, Any]:
        bookmarks: dict[str, Any] = self.state["bookmarks"]
        return bookmarks
