"""Which API version a run of a table needs."""

from __future__ import annotations

from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS
from tap_intercom.versions import DEFAULT, Version, text_of

DEFAULT_TEXT = text_of(DEFAULT)


def version_of_runs(name: str) -> Version:
    """The version for a run of a table: the default one, or the first that has the table."""
    return max(DEFAULT, STREAMS[name].first_version)


def settings_for(name: str) -> dict[str, str]:
    """The settings that a run of a table needs."""
    return {"api_version": text_of(version_of_runs(name))}


def tables_with(api_version: str = DEFAULT_TEXT) -> list[str]:
    """The tables of a version."""
    settings = Settings(api_version=api_version)
    return [name for name, stream in STREAMS.items() if stream.is_in(settings)]


# The tables that a run without the setting has.
DEFAULT_TABLES = tables_with()
