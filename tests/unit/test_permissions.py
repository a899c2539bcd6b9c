"""The sandbox asks for the permission that each table names.

Both say by themselves which one that is: the tap for its users, the sandbox for its endpoints.
"""

from __future__ import annotations

import pytest

from intercom_sandbox import Workspace
from intercom_sandbox.api import Api
from intercom_sandbox.options import PERMISSIONS, Options
from tap_intercom.streams import STREAMS, lineage

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


@pytest.mark.parametrize("name", STREAMS)
def test_the_sandbox_asks_for_the_permission_of_the_table(name: str) -> None:
    asked = {PERMISSIONS[each] for each in permissions_of(name)}
    said = STREAMS[name].permission
    if said == "not documented":
        assert asked, f"{name}: the sandbox lets everyone read it; see {AREAS}"
    else:
        assert said in (asked or {"none"}), (
            f"{name}: its class says {said!r}, the sandbox asks for {sorted(asked)}; see {AREAS}"
        )


def test_every_permission_of_an_endpoint_has_a_name() -> None:
    asked = {each for route in ROUTES.values() for each in route.permissions}
    assert asked == PERMISSIONS.keys()
