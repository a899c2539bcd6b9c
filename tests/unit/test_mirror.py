"""Each module of the tap has its file of unit tests, in the same place under tests/unit."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT, TESTS

TAP = ROOT / "tap_intercom"
UNIT = TESTS / "unit"

# Modules and packages that only whole runs show to be right, and the tests that do.
TESTED_BY_RUNS = {
    "attachments/keeper.py": "threads, a server and a store: flows/test_attachments.py",
    "bar.py": "the bar on a terminal: flows/test_progress.py",
    "cli.py": "arguments and exit codes of the process: flows/test_bad_input.py",
    "commands/about.py": "compared with tests/about.json by test_docs.py",
    "commands/check.py": "one request for each stream: flows/test_check.py",
    "commands/deep_check.py": "asks, prints and stops: flows/test_deep_check.py",
    "commands/discover.py": "writes what discovery.py makes: flows/test_discover.py",
    "commands/login.py": "a browser and its callback: flows/test_login.py",
    "commands/process_log.py": "reads what two processes say: flows/test_pipeline.py",
    "commands/run.py": "two processes and their pipes: flows/test_pipeline.py",
    "commands/run_result.py": "the last line of two processes: flows/test_pipeline.py",
    "commands/target_secrets.py": "hides what a target says: flows/test_pipeline.py",
    "dagster.py": "runs of a real engine: e2e/test_dagster.py",
    "discovery.py": "asks Intercom for attributes: flows/test_discover.py",
    "intercom/connection.py": "sockets, proxies and TLS: flows/test_network.py",
    "probes/answers.py": "judges what Intercom answers: flows/test_deep_check.py",
    "probes/lists.py": "asks Intercom: flows/test_deep_check.py",
    "probes/report.py": "shows answers without values: flows/test_deep_check.py",
    "probes/running.py": "runs all probes: flows/test_deep_check.py",
    "probes/searches.py": "asks Intercom: flows/test_deep_check.py",
    "probes/workspace.py": "sends requests within limits: flows/test_deep_check.py",
    "progress.py": "lines and bars of a run: flows/test_progress.py",
    "reading/lists.py": "joins passes and children of lists: flows/test_paging.py",
    "reading/nested_reader.py": "requests for the rest of lists: flows/test_nested.py",
    "reading/schema_notes.py": "what schema files say: test_schemas.py and flows/test_copies.py",
    "reading/scroll.py": "a scroll and its competitors: flows/test_full_reads.py",
    "streams": "tables are data: flows/test_tables.py and flows/test_sandbox_resources.py",
    "sync.py": "the flow of a run: flows/test_sync.py",
}
MODULES = sorted(
    path.relative_to(TAP).as_posix() for path in TAP.rglob("*.py") if path.name != "__init__.py"
)


def unit_tests_of(module: str) -> Path:
    path = UNIT / module
    return path.with_name(f"test_{path.name}")


def reason_of(module: str) -> str | None:
    return TESTED_BY_RUNS.get(module) or TESTED_BY_RUNS.get(module.partition("/")[0])


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_unit_tests(module: str) -> None:
    path = unit_tests_of(module)
    has_tests = path.is_file() and "def test_" in path.read_text(encoding="utf-8")
    where = path.relative_to(ROOT)
    if reason_of(module) is None:
        assert has_tests, f"{module}: write {where}, or say in TESTED_BY_RUNS why it needs none"
    else:
        assert not has_tests, f"{module}: {where} is there, so take it from TESTED_BY_RUNS"


def test_every_exception_is_a_module_and_names_tests() -> None:
    for name, reason in TESTED_BY_RUNS.items():
        assert (TAP / name).exists(), name
        files = [word for word in reason.split() if word.endswith(".py")]
        tests = [each for each in files if Path(each).name.startswith("test_")]
        assert tests, f"{name}: name the tests"
        for each in tests:
            place = TESTS / each if "/" in each else UNIT / each
            assert place.is_file(), f"{name}: {each} does not exist"


def test_every_file_of_unit_tests_in_a_folder_has_its_module() -> None:
    for path in UNIT.rglob("test_*.py"):
        folder = path.relative_to(UNIT).parent
        module = TAP / folder / path.name.removeprefix("test_")
        if folder != Path("."):
            assert module.is_file(), f"{path.relative_to(ROOT)}: no such module"
