"""A local Intercom with sample data: for trials, tests and benchmarks.

with Sandbox(generate(seed=1)) as sandbox:
    requests.get(f"{sandbox.url}/me", headers={"Authorization": f"Bearer {sandbox.token}"})
"""

from __future__ import annotations

from .generate import generate
from .server import Sandbox
from .workspace import Workspace

__all__ = ["Sandbox", "Workspace", "generate"]
