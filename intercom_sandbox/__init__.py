"""A local Intercom with sample data: for trials, tests and benchmarks.

with Sandbox(generate(seed=1)) as sandbox:
    requests.get(f"{sandbox.url}/me", headers={"Authorization": f"Bearer {sandbox.token}"})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sample import generate
    from .server import Sandbox
    from .workspace import Workspace

__all__ = ["Sandbox", "Workspace", "generate"]

_MODULES = {"Sandbox": ".server", "Workspace": ".workspace", "generate": ".sample"}


def __getattr__(name: str) -> Any:
    # Late, so `command` can be imported without the extra and name what is missing.
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(import_module(_MODULES[name], __name__), name)
