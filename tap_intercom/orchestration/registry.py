"""The registry of workspaces: their names, and the names of the variables with their tokens.

    {"acme": {"token_variable": "ACME_INTERCOM_TOKEN"},
     "globex": {"token_variable": "GLOBEX_INTERCOM_TOKEN", "settings": {"region": "eu"}}}

It never contains a secret, so it may be in version control and in the log of an engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tap_intercom.errors import ConfigError
from tap_intercom.files import read_json
from tap_intercom.settings import did_you_mean, document

# A name is part of paths, of names in a database and of keys of an engine.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
# Only capital letters: a token that somebody puts here by mistake is refused and never shown.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII)
_MEMBERS = ("token_variable", "settings", "catalog")

# A file, or a function that reads the same document from anywhere else, such as a table.
Source = str | Path | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Workspace:
    """A workspace of the registry.

    token_variable: name of the environment variable with its access token.
    settings: settings of the tap that differ from the common ones.
    catalog: path of its own catalog, seen from the folder of the registry, or None for the common
        one.
    """

    name: str
    token_variable: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    catalog: str | None = None


@dataclass(frozen=True)
class Registry:
    """All workspaces, by name, in the order of the source."""

    workspaces: Mapping[str, Workspace]

    @property
    def names(self) -> list[str]:
        return list(self.workspaces)

    def workspace(self, name: str) -> Workspace:
        """Return a workspace. Raises ConfigError if the registry does not have it."""
        if name not in self.workspaces:
            hint = did_you_mean(name, self.names) or f"; it has {', '.join(self.names)}"
            raise ConfigError(f"registry: no workspace is called {name!r}{hint}")
        return self.workspaces[name]


def read_registry(source: Source) -> Registry:
    """Read and check the registry. Raises ConfigError with one line for the first fault."""
    found = source() if callable(source) else read_json("registry", source)
    folder = Path() if callable(source) else Path(source).parent
    if not isinstance(found, Mapping):
        raise ConfigError("registry: it must be an object with a member for each workspace")
    if not found:
        # An engine would remove every workspace because of a file that is still empty.
        raise ConfigError("registry: it has no workspaces")
    return Registry({name: _workspace(name, entry, folder) for name, entry in found.items()})


def _workspace(name: Any, entry: Any, folder: Path) -> Workspace:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"registry: {name!r} is not a name; use up to 63 letters, digits, _ and -, and begin "
            "with a letter or digit"
        )
    if not isinstance(entry, Mapping):
        raise ConfigError(f"registry: {name} must be an object with token_variable")
    for member in entry:
        if member not in _MEMBERS:
            hint = did_you_mean(member, _MEMBERS) or f"; known are {', '.join(_MEMBERS)}"
            raise ConfigError(f"registry: {name} has an unknown member {member!r}{hint}")
    variable = entry.get("token_variable")
    if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
        raise ConfigError(
            f"registry: token_variable of {name} must be the name of an environment variable in "
            "capital letters, such as ACME_INTERCOM_TOKEN; the token itself must not be here"
        )
    catalog = entry.get("catalog")
    if catalog is not None and not isinstance(catalog, str):
        raise ConfigError(f"registry: catalog of {name} must be a path")
    return Workspace(
        name,
        variable,
        _settings(name, entry.get("settings", {})),
        None if catalog is None else str(folder / catalog),
    )


def _settings(name: str, settings: Any) -> Mapping[str, Any]:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"registry: settings of {name} must be an object")
    known = {row.name: row for row in document()}
    for setting in settings:
        if setting not in known:
            hint = did_you_mean(setting, known)
            raise ConfigError(f"registry: {name} has an unknown setting {setting!r}{hint}")
        if known[setting].secret:
            raise ConfigError(
                f"registry: {setting} of {name} is a secret; the registry holds no secrets"
            )
    return dict(settings)
