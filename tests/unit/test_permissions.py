"""The sandbox asks for the permission that each table names.

Both say by themselves which one that is: the tap for its users, the sandbox for its endpoints.
"""

from __future__ import annotations

import pytest
from permissions import AREAS, ROUTES, permissions_of

from intercom_sandbox.options import PERMISSIONS
from tap_intercom.streams import STREAMS


@pytest.mark.parametrize("name", STREAMS)
def test_the_sandbox_asks_for_the_permission_of_the_table(name: str) -> None:
    asked = {PERMISSIONS.get(each, each) for each in permissions_of(name)}
    said = STREAMS[name].permission
    if said == "not documented":
        assert asked, f"{name}: the sandbox lets everyone read it; see {AREAS}"
    else:
        assert said in (asked or {"none"}), (
            f"{name}: its class says {said!r}, the sandbox asks for {sorted(asked)}; see {AREAS}"
        )


def test_every_permission_of_an_endpoint_has_a_name() -> None:
    asked = {each for route in ROUTES.values() for each in route.permissions}
    assert asked == PERMISSIONS.keys(), "see PERMISSIONS in intercom_sandbox/options.py"
