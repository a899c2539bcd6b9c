from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tap_intercom.errors import ConfigError
from tap_intercom.orchestration.registry import Workspace, read_registry

TOKEN = "dG9rOmFiY2RlZg"
ACME = {"token_variable": "ACME_TOKEN"}


def test_a_file_names_workspaces_in_order(tmp_path: Path) -> None:
    path = tmp_path / "workspaces.json"
    settings = {"region": "eu"}
    globex = {"token_variable": "GLOBEX_TOKEN", "settings": settings, "catalog": "globex.json"}
    path.write_text(json.dumps({"globex": globex, "acme": ACME}))
    registry = read_registry(path)
    assert registry.names == ["globex", "acme"]
    assert registry.workspace("acme") == Workspace("acme", "ACME_TOKEN")
    catalog = str(tmp_path / "globex.json")
    assert registry.workspace("globex") == Workspace("globex", "GLOBEX_TOKEN", settings, catalog)


def test_a_function_reads_it_from_anywhere_else() -> None:
    registry = read_registry(lambda: {"acme": ACME})
    assert registry.workspace("acme").token_variable == "ACME_TOKEN"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ("{}", "has no workspaces"),
        ('{"a/b": {}}', "'a/b' is not a name"),
        ('{"": {}}', "'' is not a name"),
        ('{"acme": "ACME_TOKEN"}', "acme must be an object"),
        ('{"acme": {}}', "token_variable of acme must be the name"),
        ('{"acme": {"token_variabel": "A"}}', "did you mean token_variable?"),
        ('{"acme": {"token_variable": "A", "catalog": 1}}', "catalog of acme must be a path"),
        ('{"acme": {"token_variable": "A", "settings": []}}', "settings of acme must be an object"),
        (
            '{"acme": {"token_variable": "A", "settings": {"regoin": "eu"}}}',
            "did you mean region?",
        ),
    ],
)
def test_a_fault_is_one_clear_line(content: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "workspaces.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"^registry: ") as raised:
        read_registry(path)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"registry: .*workspaces.json cannot be read"):
        read_registry(tmp_path / "workspaces.json")


@pytest.mark.parametrize(
    "entry",
    [
        {"token_variable": TOKEN},
        {"token_variable": f"${TOKEN}"},
        {"token_variable": "A", "settings": {"access_token": TOKEN}},
        {"token_variable": "A", "settings": {"client_secret": TOKEN}},
    ],
)
def test_a_secret_in_the_registry_is_refused_and_not_shown(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        read_registry(lambda: {"acme": entry})
    assert TOKEN not in str(raised.value)


def test_an_unknown_workspace_is_refused() -> None:
    registry = read_registry(lambda: {"acme": ACME, "globex": ACME})
    with pytest.raises(ConfigError, match="no workspace is called 'acne', did you mean acme"):
        registry.workspace("acne")
    with pytest.raises(ConfigError, match="it has acme, globex"):
        registry.workspace("zzz")
