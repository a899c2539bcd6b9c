"""Which API version a run of a table needs."""

from __future__ import annotations

from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS
from tap_intercom.versions import DEFAULT, Version, text_of


def version_of_runs(name: str) -> Version:
    """The version for a run of a table: the default one, or the first that has the table."""
    return max(DEFAULT, STREAMS[name].first_version)


def settings_for(name: str) -> dict[str, str]:
    """The settings that a run of a table needs."""
    return {"api_version": text_of(version_of_runs(name))}


# The tables that a run without the setting has.
DEFAULT_TABLES = [name for name, stream in STREAMS.items() if stream.is_in(Settings())]
