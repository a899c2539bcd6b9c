"""What the sandbox asks for where it serves the endpoints of a table."""

from __future__ import annotations

from intercom_sandbox import Workspace
from intercom_sandbox.api import Api
from intercom_sandbox.options import Options
from tap_intercom.streams import lineage

ROUTES = {route.name: route for route in Api(Workspace(), Options()).routes}
AREAS = "intercom_sandbox/areas/"


def endpoints_of(path: str) -> list[str]:
    """How the sandbox may call the endpoint of a table."""
    paths = (path, f"{path}/{{id}}")
    return [f"{method} {each}" for each in paths for method in ("GET", "POST")]


def permissions_of(name: str) -> set[str]:
    """What the sandbox asks for where a table is read; one of them is enough."""
    # Rows inside the records of a parent come with its permission.
    path = next(stream.path for stream in lineage(name) if stream.path)
    routes = [ROUTES[each] for each in endpoints_of(path) if each in ROUTES]
    assert routes, f"{name}: the sandbox has no {path}; declare its Resource in {AREAS}"
    return set(routes[0].permissions)
