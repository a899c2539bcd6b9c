"""Layers point one way: nothing imports what is above it, and no imports go round in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from paths import ROOT

TAP, SANDBOX = "tap_intercom", "intercom_sandbox"

# Each module or package of the tap may import those before it only.
LAYERS = [
    ["errors", "times", "versions", "descriptors", "breadcrumbs"],
    ["log", "signals", "files", "text_table"],
    ["file_systems"],
    ["bar", "settings", "records", "windows", "known_ids", "shortfalls"],
    ["messages", "state", "intercom"],
    ["attachments"],
    ["reading"],
    ["erasure"],
    ["streams"],
    ["catalog", "progress"],
    ["discovery", "probes"],
    ["plan"],
    ["sync"],
    ["commands"],
    ["cli"],
    ["orchestration"],
    ["dagster"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module; that of its package for `__init__.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for package in (TAP, SANDBOX) for path in modules(package)}


def imports(path: Path) -> set[str]:
    """The modules of ours that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full_names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (full_names & NAMES) or {node.module}
    return found & NAMES


def unit(name: str) -> str:
    """The layered unit that a module belongs to: a module or a package of the tap."""
    return name.split(".")[1]


LAYERED = [path for path in modules(TAP) if name_of(path) != TAP]


@pytest.mark.parametrize("path", LAYERED, ids=name_of)
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    mine = unit(name_of(path))
    for other in imports(path) - {TAP}:
        if other.startswith(TAP) and unit(other) != mine:
            assert LEVEL[unit(other)] < LEVEL[mine], f"{name_of(path)} imports {other}"


def test_every_module_has_its_layer() -> None:
    assert {unit(name_of(path)) for path in LAYERED} == set(LEVEL)


@pytest.mark.parametrize("package", [TAP, SANDBOX])
def test_no_imports_go_round_in_a_circle(package: str) -> None:
    graph = {name_of(path): imports(path) - {name_of(path)} for path in modules(package)}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_sandbox_and_the_tap_do_not_know_each_other() -> None:
    for path in modules(SANDBOX):
        assert not any(name.startswith(TAP) for name in imports(path)), path.name
    for path in modules(TAP):
        assert not any(name.startswith(SANDBOX) for name in imports(path)), path.name
