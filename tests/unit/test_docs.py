"""The documentation, the samples and the code agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from tap_intercom import DISTRIBUTION, __version__
from tap_intercom.commands.about import about
from tap_intercom.reading.stream import Stream
from tap_intercom.settings import document
from tap_intercom.streams import AREAS, STREAMS
from tap_intercom.streams.reporting import ReportingDataset

CITING = ("tap_intercom", "tests", "scripts", "bench")


def test_the_tables_of_the_documentation_are_made_from_the_code() -> None:
    check = subprocess.run(
        [sys.executable, "scripts/documentation.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stderr


def test_every_setting_is_in_the_sample() -> None:
    sample = json.loads((ROOT / "sample_config.json").read_text(encoding="utf-8"))
    assert set(sample) == {row.name for row in document()}


def test_every_stream_has_a_schema_file_and_none_is_left_over() -> None:
    files = {path.stem for path in (ROOT / "tap_intercom" / "schemas").glob("*.json")}
    for name in sorted(STREAMS.keys() - files):
        pytest.fail(f"{name}: add tap_intercom/schemas/{name}.json")
    for name in sorted(files - STREAMS.keys()):
        pytest.fail(f"{name}: add its class to STREAMS of its area in tap_intercom/streams/")


def test_every_area_is_joined() -> None:
    joined = {Path(str(area.__file__)).stem for area in AREAS}
    files = {path.stem for path in (ROOT / "tap_intercom" / "streams").glob("*.py")}
    assert files - joined == {"__init__"}, "tap_intercom/streams/__init__.py joins the areas"


def test_every_file_of_the_package_is_in_the_tour() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in (ROOT / "tap_intercom").glob("*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in page, path.name


def test_every_stream_says_what_one_record_is() -> None:
    kinds: list[type[Stream]] = [*(type(stream) for stream in STREAMS.values()), ReportingDataset]
    for stream in kinds:
        assert re.fullmatch(r"One record per [^.]+\.", stream.summary), stream
        assert "API-" not in stream.summary


def test_about_works_without_docstrings() -> None:
    command = [sys.executable, "-OO", "-c", "from tap_intercom.cli import run; run()", "--about"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{about('text')}\n"


def test_about_tells_all_as_json() -> None:
    told = json.loads(about("json"))
    assert [row["stream"] for row in told["streams"]] == list(STREAMS)
    assert list(told["settings"]["properties"]) == [row.name for row in document()]
    assert told["capabilities"] == [
        "about",
        "activate-version",
        "catalog",
        "discover",
        "properties",
        "state",
        "structured-logging",
        "test",
    ]


def test_the_distribution_of_another_project_is_never_shown() -> None:
    """`tap-intercom` on the package index is not this tap."""
    wrong = re.compile(r"(pip|pipx|uv)[^\n]* install [^\n]*(?<![\w./-])tap-intercom(?![\w-])")
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]
    for page in pages:
        for line in page.read_text(encoding="utf-8").splitlines():
            is_git_url = "git+" in line
            assert is_git_url or not wrong.search(line), f"{page.name}: {line}"
    assert wrong.search("pip install 'tap-intercom[sandbox]'")


def test_version_names_the_distribution() -> None:
    command = [sys.executable, "-c", "from tap_intercom.cli import run; run()", "--version"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert text == f"{DISTRIBUTION} {__version__}\n"


def marks(path: Path) -> set[str]:
    """The facts that a file cites: `API-F1, F3` is API-F1 and API-F3."""
    found: set[str] = set()
    for cited in re.findall(r"API-([A-L]\d*(?:, [A-L]\d+)*)", path.read_text(encoding="utf-8")):
        found |= {f"API-{each}" for each in cited.split(", ")}
    return found


def test_every_fact_that_the_code_cites_has_an_entry() -> None:
    page = (ROOT / "docs" / "intercom-api.md").read_text(encoding="utf-8")
    entries = set(re.findall(r"^### (API-[A-L]\d*):", page, re.MULTILINE))
    files = [path for folder in CITING for path in (ROOT / folder).rglob("*.py")]
    cited = {(mark, path.name) for path in files for mark in marks(path)}
    assert [each for each in sorted(cited) if each[0] not in entries] == []


def test_every_flag_is_in_the_readme_or_explains_itself() -> None:
    command = [sys.executable, "-c", "from tap_intercom.cli import run; run()", "--help"]
    help_text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    for flag in ("--config", "--discover", "--catalog", "--properties", "--state", "--about"):
        assert flag in help_text


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAGES += sorted((ROOT / "examples").glob("*/README.md"))


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as the site and code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.name}")
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert f"- {name}\n" in navigation, name


def test_the_pages_of_areas_have_every_stream_once() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "streams").glob("*.md")]
    headings = [name for page in pages for name in re.findall(r"^## (.+)$", page, re.MULTILINE)]
    assert sorted(headings) == list(STREAMS)
