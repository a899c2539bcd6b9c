"""The user's settings, from files and the environment, checked as a whole."""

from tap_intercom.settings.declaration import (
    LOOKBACK_SECONDS,
    REGION_URLS,
    Row,
    Settings,
    config_schema,
    did_you_mean,
    document,
    load,
)
from tap_intercom.settings.kinds import is_loopback
from tap_intercom.settings.sources import ENVIRONMENT_PREFIX

__all__ = [
    "ENVIRONMENT_PREFIX",
    "LOOKBACK_SECONDS",
    "REGION_URLS",
    "Row",
    "Settings",
    "config_schema",
    "did_you_mean",
    "document",
    "is_loopback",
    "load",
]
