"""Print pip constraints for the oldest dependencies that the installed tap allows."""

from __future__ import annotations

import re
from importlib.metadata import requires

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)[^;]*>=(?P<version>[\w.]+)[^;]*(?P<marker>;.*)?")
_EXTRAS = re.compile("sandbox|remote")


def lowest(requirements: list[str]) -> list[str]:
    """`name==version` for each requirement of the tap and its extras, not of its development."""
    matches = [_REQUIREMENT.fullmatch(requirement) for requirement in requirements]
    return sorted(
        f"{match['name']}=={match['version']}"
        for match in matches
        if match and (not match["marker"] or _EXTRAS.search(match["marker"]))
    )


if __name__ == "__main__":
    print("\n".join(lowest(requires("singer-tap-intercom") or [])))
