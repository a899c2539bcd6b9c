"""One run of one workspace: the command, its environment and the place of its state."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tap_intercom.catalog import select
from tap_intercom.errors import ConfigError
from tap_intercom.files import read_json
from tap_intercom.orchestration.registry import Registry, Source, Workspace, read_registry
from tap_intercom.reading.stream_run import Selection
from tap_intercom.settings import ENVIRONMENT_PREFIX, Settings, document

# This interpreter has the tap. A tap in another environment is started by its path.
THIS_TAP = (sys.executable, "-c", "from tap_intercom.cli import run; run()")
PLACEHOLDER = "{workspace}"
STATE = "state.json"
OWNER_ONLY = 0o600
_TOKEN = f"{ENVIRONMENT_PREFIX}ACCESS_TOKEN"
# Other variables with this prefix stay: they set the level of the log.
_SETTINGS = {f"{ENVIRONMENT_PREFIX}{row.name.upper()}" for row in document()}
_SECRETS = {row.name for row in document() if row.secret}
_NOT_IN_NAME = re.compile(r"[^0-9A-Za-z.-]")


@dataclass(frozen=True)
class Period:
    """A period to read again: records that changed at or after start and before end."""

    start: str
    end: str

    @property
    def name(self) -> str:
        """A name for paths."""
        return "period-" + "--".join(_NOT_IN_NAME.sub("-", each) for each in (self.start, self.end))


@dataclass(frozen=True)
class Job:
    """A process to start."""

    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Pipeline:
    """How each workspace is read and loaded. In texts, {workspace} is the name of the workspace.

    registry: a file, or a function that returns the same document.
    catalog: the streams and fields to read.
    target: the command of the target.
    state: folder, or URL of one, below which each workspace has its state and ids.
    config: a file with the settings that all workspaces share, or None.
    target_config: the configuration of the target, or None. It is a JSON file whose texts may
        contain {workspace}, for example in the name of a schema.
    tap: the command of the tap.
    wait_seconds: how long a run waits for another one with the same state. The target of a run that
        was killed may still load for a moment.
    """

    registry: Source
    catalog: str | Path
    target: Sequence[str]
    state: str | Path
    config: str | Path | None = None
    target_config: str | Path | None = None
    tap: Sequence[str] = THIS_TAP
    wait_seconds: float = 30

    def read_registry(self) -> Registry:
        return read_registry(self.registry)

    def selections(self) -> dict[str, Selection]:
        """Return what the catalog selects, by stream. Raises ConfigError if it is not valid."""
        catalog = read_json("catalog", self.catalog)
        found = select(catalog, Settings(), version=0, is_of_any_version=True)
        if not found:
            raise ConfigError(f"catalog: {self.catalog} selects no stream")
        return found

    def state_of(self, workspace: str, period: Period | None = None) -> str:
        """Return the path or URL of a state; the ids are beside it, and nothing of another run.

        A period has its own state, so that of the usual runs does not move.
        """
        folders = [workspace] if period is None else [workspace, period.name]
        return "/".join([str(self.state).rstrip("/"), *folders, STATE])

    def job(
        self,
        name: str,
        folder: Path,
        variables: Mapping[str, str] = os.environ,
        period: Period | None = None,
    ) -> Job:
        """Return the process of a workspace's run, and write the files that it reads to a folder.

        Raises ConfigError for an unknown workspace or a missing secret.
        """
        registry = self.read_registry()
        workspace = registry.workspace(name)
        environment = self._environment(registry, workspace, variables)
        settings = {**self._common_settings(), **workspace.settings}
        if period is not None:
            settings |= {"start_date": period.start, "end_date": period.end}
        state = self.state_of(name, period)
        if "://" not in state:
            _make_folder(Path(state).parent)
        settings_file = folder / "settings.json"
        _write(settings_file, settings)
        target_config = []
        if self.target_config is not None:
            target_file = folder / "target.json"
            _write(target_file, _filled(read_json("target", self.target_config), name))
            target_config = ["--config", str(target_file)]
        command = [
            *self.tap,
            "run",
            *("--log-format", "json"),
            *("--state", state, "--wait", f"{self.wait_seconds:g}"),
            *("--config", "ENV", "--config", str(settings_file)),
            *("--catalog", workspace.catalog or str(self.catalog)),
            "--",
            *(_filled(str(part), name) for part in self.target),
            *target_config,
        ]
        return Job(command, environment)

    def _common_settings(self) -> dict[str, Any]:
        if self.config is None:
            return {}
        settings = read_json("config", self.config)
        if not isinstance(settings, dict):
            raise ConfigError(f"config: {self.config} is not a JSON object")
        for name in _SECRETS & settings.keys():
            # It would be the token of every workspace, and the rows of one would be in all tables.
            raise ConfigError(
                f"config: {self.config} must not contain {name}; all workspaces share this file"
            )
        return settings

    def _environment(
        self, registry: Registry, workspace: Workspace, variables: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the variables of the process: the token of its workspace, and of no other.

        Settings in variables of the engine do not count: they would apply to every workspace.
        """
        token = variables.get(workspace.token_variable, "")
        if not token.strip():
            raise ConfigError(
                f"registry: the variable {workspace.token_variable} with the token of "
                f"{workspace.name} is not set"
            )
        hidden = _SETTINGS | {each.token_variable for each in registry.workspaces.values()}
        return {
            **{name: value for name, value in variables.items() if name not in hidden},
            _TOKEN: token,
        }


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state: {path} cannot be created: {error.strerror}") from None


def _write(path: Path, document: Any) -> None:
    """Write a JSON file that only its owner can read: a target's has its password."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "w") as file:
        json.dump(document, file)


def _filled(value: Any, workspace: str) -> Any:
    """Put the name of a workspace into all texts of a document."""
    if isinstance(value, str):
        return value.replace(PLACEHOLDER, workspace)
    if isinstance(value, dict):
        return {name: _filled(each, workspace) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, workspace) for each in value]
    return value
