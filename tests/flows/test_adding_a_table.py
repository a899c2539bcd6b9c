"""A new table takes four files by hand, and the tests name each one that was forgotten."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from paths import ROOT

FOLDERS = (
    *("tap_intercom", "intercom_sandbox", "tests", "scripts", "docs", "bench"),
    *("examples", "plugin"),
)
GENERATED = {"README.md", "docs/streams.md", "docs/streams/workspace.md", "tests/about.json"}

STREAMS = "tap_intercom/streams/workspace.py"
SCHEMA = "tap_intercom/schemas/widgets.json"
RESOURCES = "intercom_sandbox/areas/workspace.py"
ENDPOINTS = "tests/endpoints.json"

# What each file gets: text that goes before some other text. A new file has all of it.
CLASS = {
    "STREAMS = (\n": '''class Widgets(ListStream):
    """Source: GET /widgets."""

    summary = "One record per widget."
    name = "widgets"
    path = "/widgets"
    permission = "Read tags"


''',
    "    ActivityLogEventTypes(),\n": "    Widgets(),\n",
}
COLUMNS = {
    "": """{
  "type": "object",
  "properties": {
    "id": {"type": "string", "description": "Id of the widget."},
    "name": {"type": ["null", "string"], "description": "Name of the widget."},
    "created_at": {
      "type": ["null", "string"],
      "format": "date-time",
      "description": "Time when the widget was created."
    },
    "updated_at": {
      "type": ["null", "string"],
      "format": "date-time",
      "description": "Time of the last change."
    }
  }
}
"""
}
RESOURCE = {
    "RESOURCES = (\n": """def _widgets(sample: Sample) -> None:
    for number in range(3):
        sample.add("widgets", name=f"Widget {number + 1}", **sample.times(number, 3))


WIDGETS = Resource(
    "widgets",
    "/widgets",
    ("tags",),
    shape={"id": "", "name": ""},
    sample=_widgets,
)


""",
    "    AWAY_STATUS_REASONS,\n": "    WIDGETS,\n",
}
ROW = {"\n}\n": ',\n  "GET /widgets": {"table": "widgets"}'}
# What Intercom says of its list and of its records.
DESCRIPTION = "tests/support/description.json"
DESCRIBED = {
    DESCRIPTION: {
        '"/me": {"get"': (
            '"/widgets": {"get": {"responses": {"200": {"content": {"application/json": {"schema": '
            '{"type": "object", "properties": {"data": {"type": "array", "items": '
            '{"$ref": "#/components/schemas/widget"}}}}}}}}}},\n'
        ),
        '"activity_log": {': (
            '"widget": {"type": "object", "properties": {"id": {"type": "string"}, '
            '"name": {"type": "string"}, "created_at": {"type": "integer", "format": "date-time"}, '
            '"updated_at": {"type": "integer", "format": "date-time"}}},\n'
        ),
    }
}
BY_HAND = {STREAMS: CLASS, SCHEMA: COLUMNS, RESOURCES: RESOURCE, ENDPOINTS: ROW}

# Where the tests say that something is missing.
NAMED = {
    STREAMS: "tap_intercom/streams/",
    SCHEMA: SCHEMA,
    RESOURCES: "intercom_sandbox/areas/",
    ENDPOINTS: ENDPOINTS,
}


class Checkout:
    """A copy of the repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in FOLDERS:
            # What pytest compiled knows where it was; what Python compiled saves time.
            left_out = ("__pycache__", ".hypothesis") if name == "tests" else ()
            ignored = shutil.ignore_patterns(*left_out)
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy(path, folder)

    def add(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        for name, texts in changes.items():
            path = self.folder / name
            content = path.read_text(encoding="utf-8") if path.exists() else ""
            for place, text in texts.items():
                assert content.count(place) == 1, (name, place)
                content = content.replace(place, text + place)
            path.write_text(content, encoding="utf-8")
        self.renewed = self.run("scripts/documentation.py")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Wide enough for a whole message in each line of pytest's summary.
        environment = os.environ | {"PYTHONPATH": str(self.folder), "COLUMNS": "500"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def test(self, names: str, *files: str) -> subprocess.CompletedProcess[str]:
        unused = ("cacheprovider", "xdist", "hypothesispytest", "faker")
        flags = ("-q", "--tb=no", "-rfE", *(f"-pno:{each}" for each in unused))
        return self.run("-m", "pytest", *flags, "-k", names, *(f"tests/{each}" for each in files))

    def changed(self) -> set[str]:
        """The files that are not as in the repository."""
        names = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {
            name.as_posix()
            for name in names
            if (self.folder / name).is_file()
            and "__pycache__" not in name.parts
            and not (
                (ROOT / name).is_file()
                and (ROOT / name).read_bytes() == (self.folder / name).read_bytes()
            )
        }


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.mark.timeout(300)
def test_four_files_make_a_table(checkout: Checkout) -> None:
    checkout.add(DESCRIBED | BY_HAND)
    assert checkout.renewed.returncode == 0, checkout.renewed.stderr
    changed = {DESCRIPTION} | BY_HAND.keys() | GENERATED
    assert checkout.changed() == changed
    tests = checkout.test(
        "test_docs or test_imports or test_endpoints or test_every_stream or widgets",
        "unit/test_docs.py",
        "unit/test_imports.py",
        "unit/test_endpoints.py",
        "unit/test_permissions.py",
        "unit/test_schemas.py",
        "flows/test_sandbox_resources.py",
        "flows/test_tables.py::test_a_table_alone_is_whole_too",
    )
    assert tests.returncode == 0, tests.stdout
    assert checkout.changed() == changed


@pytest.mark.parametrize("forgotten", BY_HAND)
def test_a_place_that_was_forgotten_is_named(checkout: Checkout, forgotten: str) -> None:
    kept = {name: texts for name, texts in BY_HAND.items() if name != forgotten}
    checkout.add(DESCRIBED | kept)
    tests = checkout.test(
        "schema_file or read_from_an_endpoint or widgets",
        "unit/test_docs.py",
        "unit/test_endpoints.py",
        "unit/test_permissions.py",
    )
    failures = [line for line in tests.stdout.splitlines() if line.startswith("FAILED ")]
    assert any("widgets: " in each and NAMED[forgotten] in each for each in failures), tests.stdout
    assert (checkout.renewed.returncode == 0) == (forgotten != SCHEMA), checkout.renewed.stderr
    if forgotten == SCHEMA:
        assert checkout.renewed.stderr == f"{SCHEMA} is missing\n"
