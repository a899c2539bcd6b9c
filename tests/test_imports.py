"""Layers point one way: cli -> sync -> streams -> client, and nothing imports what is above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tap_intercom"

# Each module may import those before it only.
LAYERS = [
    ["errors", "times", "descriptors"],
    ["log", "signals", "documents", "tables", "lock"],
    ["settings", "records", "windows", "read_ahead", "known_ids", "written_states"],
    ["findings", "rate_limit", "typed", "metrics", "connection"],
    ["messages", "state", "client"],
    ["pages", "export_jobs", "pipeline"],
    ["streams"],
    ["progress", "catalog", "about", "oauth"],
    ["sync", "check", "selection"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*.py"))


def unit(path: Path) -> str:
    """The layered unit that a file belongs to: a module or a folder of the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_units(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            base = node.module or ""
            names = [
                f"{base}.{alias.name}" if base == "tap_intercom" else base for alias in node.names
            ]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("tap_intercom.")}
    return found - {"DISTRIBUTION", "__version__"}


@pytest.mark.parametrize(
    "path", [path for path in modules(PACKAGE) if unit(path) in LEVEL], ids=lambda path: path.name
)
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    mine = unit(path)
    for other in imported_units(path) - {mine}:
        if mine == "cli" and other == "sandbox":
            continue
        assert LEVEL[other] < LEVEL[mine], f"{path.name} imports {other}"


def test_every_module_has_its_layer() -> None:
    units = {unit(path) for path in modules(PACKAGE)} - {"__init__", "sandbox"}
    assert units == set(LEVEL)


def test_the_sandbox_and_the_tap_do_not_know_each_other() -> None:
    for path in modules(PACKAGE / "sandbox"):
        assert imported_units(path) <= {"sandbox"}, path.name
    for path in modules(PACKAGE):
        if unit(path) not in ("sandbox", "cli"):
            assert "sandbox" not in imported_units(path), path.name
