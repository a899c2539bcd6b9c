"""The example for Meltano, as somebody with a checkout runs it: installed by Meltano itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TIMEOUT_SECONDS
from environments import environment_bin
from loaded_tables import Row, rows_of_duckdb
from paths import ROOT
from truth import STREAMS

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.settings import ENVIRONMENT_PREFIX, config_schema, load

# Meltano installs the tap and the target before the first test.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

EXAMPLE = "examples/meltano"
PACKAGE = ("setup.py", "README.md", "LICENSE", "tap_intercom", "intercom_sandbox")
MADE_BY_RUNS = ("meltano.db", "run", "*.ids")
STATE_ID = "sandbox:tap-intercom-to-target-duckdb"
RUN = ("run", "tap-intercom", "target-duckdb")
RESULT = re.compile(r"(\w+): (\d+) records?, complete")

StartSandbox = Callable[..., Sandbox]


class Project:
    """The example in a copy of the checkout, and the Meltano that runs it."""

    def __init__(self, folder: Path, meltano: Path) -> None:
        self.folder = folder
        self.meltano = meltano
        self.environment: dict[str, str] = {}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        others = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith((ENVIRONMENT_PREFIX, "MELTANO_"))
        }
        return subprocess.Popen(
            [str(self.meltano), *arguments],
            cwd=self.folder,
            env={**others, "NO_COLOR": "1", **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, stdout and log of a command."""
        process = self.start(*arguments, **environment)
        stdout, log = process.communicate(timeout=TIMEOUT_SECONDS)
        return process.returncode, stdout, log

    def run(self, *flags: str, **environment: str) -> dict[str, int]:
        """Run the pipeline to its end; gives the number of records of each stream."""
        code, _, log = self.call(*RUN, *flags, **environment)
        assert code == 0, log
        return {name: int(count) for name, count in RESULT.findall(log)}

    def state(self) -> Any:
        code, stdout, log = self.call("state", "get", STATE_ID)
        assert code == 0, log
        return json.loads(stdout)["singer_state"]

    def rows(self, *tables: str) -> dict[str, list[Row]]:
        return rows_of_duckdb(self.folder / "sandbox.duckdb", [*tables])

    def ids(self, table: str) -> set[str]:
        return {row["id"] for row in self.rows(table)[table]}

    def configure(self, kind: str, *, select: list[str] | None = None, **settings: Any) -> None:
        """Add settings to the only extractor or loader of meltano.yml, or change its selection."""
        path = self.folder / "meltano.yml"
        document = yaml.safe_load(path.read_text())
        (plugin,) = document["plugins"][kind]
        plugin["config"].update(settings)
        if select is not None:
            plugin["select"] = select
        path.write_text(yaml.safe_dump(document))

    def settings(self, **environment: str) -> Any:
        """The config file that Meltano writes for the tap, with these variables."""
        code, stdout, log = self.call("invoke", "--dump=config", "tap-intercom", **environment)
        assert code == 0, log
        path = self.folder / "dumped.json"
        path.write_text(stdout)
        return load([str(path)], {}, now=4e9)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The example with both plugins installed by Meltano."""
    meltano = environment_bin("meltano") / "meltano"
    checkout = tmp_path_factory.mktemp("checkout")
    for name in PACKAGE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    project = Project(checkout / EXAMPLE, meltano)
    own = shutil.ignore_patterns(".meltano", ".venv*", ".env", "*.duckdb")
    shutil.copytree(ROOT / EXAMPLE, project.folder, ignore=own)
    process = project.start("install")
    _, log = process.communicate(timeout=400)
    assert process.returncode == 0, log
    return project


@pytest.fixture
def project(installed: Project, start_sandbox: StartSandbox) -> Project:
    """The example as before its first run, with a sandbox of its own."""
    return prepared(installed, start_sandbox(small_workspace()))


def small_workspace() -> Workspace:
    return generate(seed=4, contacts=40, companies=10, conversations=8, parts=60, days=60)


def prepared(project: Project, sandbox: Sandbox) -> Project:
    shutil.copy(ROOT / EXAMPLE / "meltano.yml", project.folder)
    (project.folder / "sandbox.duckdb").unlink(missing_ok=True)
    for pattern in MADE_BY_RUNS:
        for path in (project.folder / ".meltano").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    project.environment = {"TAP_INTERCOM_BASE_URL": sandbox.url}
    return project


@pytest.fixture
def sandbox_of(installed: Project, start_sandbox: StartSandbox) -> Callable[[], Sandbox]:
    """Starts a sandbox that the project reads."""

    def start() -> Sandbox:
        sandbox = start_sandbox(small_workspace())
        prepared(installed, sandbox)
        return sandbox

    return start


def assert_all_arrived(project: Project, sandbox: Sandbox) -> None:
    tables = project.rows(*STREAMS)
    for name in STREAMS:
        key = "_sdc_record_hash" if name.endswith("_attributes") else "id"
        assert len({row[key] for row in tables[name]}) == len(sandbox.truth(name)), name


# -- Runs and their state ------------------------------------------------------------------------


def test_the_command_of_the_readme_shows_the_rows(project: Project) -> None:
    project.run()
    readme = (ROOT / EXAMPLE / "README.md").read_text()
    (command,) = re.findall(r"```sh\n(\.meltano/.*?)```", readme, re.DOTALL)
    shown = subprocess.run(
        command, shell=True, cwd=project.folder, capture_output=True, text=True, check=True
    )
    assert project.rows("contacts")["contacts"][0]["id"] in shown.stdout


def test_a_second_run_reads_only_what_changed(
    installed: Project, sandbox_of: Callable[[], Sandbox]
) -> None:
    sandbox = sandbox_of()
    assert installed.run() == {name: len(sandbox.truth(name)) for name in STREAMS}
    assert_all_arrived(installed, sandbox)
    # The only copy of the state is in Meltano's database.
    assert not (installed.folder / ".meltano/run/tap-intercom/state.json").exists()
    before = installed.state()["bookmarks"]["contacts"]["updated_at"]

    sandbox.options.clock_offset_seconds = 3600
    new = sandbox.workspace.add_contact(name="Grace")
    counts = installed.run()
    assert (counts["contacts"], counts["conversations"], counts["companies"]) == (1, 0, 0)
    assert new in installed.ids("contacts")
    assert_all_arrived(installed, sandbox)
    assert installed.state()["bookmarks"]["contacts"]["updated_at"] > before


@pytest.mark.parametrize("strategy", ["auto", "merge"])
def test_a_run_after_a_failed_one_goes_on_from_what_was_loaded(
    installed: Project, sandbox_of: Callable[[], Sandbox], strategy: str
) -> None:
    sandbox = sandbox_of()
    fault = sandbox.faults.add("status", path="/conversations/search", status=400, times=None)
    code, _, log = installed.call(*RUN, f"--state-strategy={strategy}")
    assert code == 1, log
    assert re.search(r"\[critical *\] tap-intercom *failed; the next run", log), log
    assert installed.ids("contacts") == {row["id"] for row in sandbox.truth("contacts")}
    reached = installed.state()["bookmarks"]
    assert reached["contacts"]["updated_at"]
    assert "conversations" not in reached

    sandbox.faults.faults.remove(fault)
    counts = installed.run(f"--state-strategy={strategy}")
    assert counts["contacts"] == 0
    assert counts["conversations"] == len(sandbox.truth("conversations"))
    assert_all_arrived(installed, sandbox)
    assert installed.run(f"--state-strategy={strategy}")["conversations"] == 0


@pytest.mark.parametrize(
    ("who", "number"),
    [
        ("meltano", signal.SIGTERM),
        ("meltano", signal.SIGINT),
        ("tap-intercom", signal.SIGKILL),
        ("target-duckdb", signal.SIGKILL),
    ],
)
def test_a_run_that_is_interrupted_goes_on_right(
    installed: Project, sandbox_of: Callable[[], Sandbox], who: str, number: signal.Signals
) -> None:
    sandbox = sandbox_of()
    installed.configure("loaders", batch_size_rows=20)
    hit: list[int] = []

    def stop(sandbox: Sandbox, method: str, path: str, position: int) -> None:
        if not hit and path == "/conversations/search":
            found = process.pid if who == "meltano" else child_called(process.pid, who)
            hit.append(found)
            os.kill(found, number)

    sandbox.before_request(stop)
    process = installed.start(*RUN)
    _, log = process.communicate(timeout=TIMEOUT_SECONDS)
    assert hit, log
    assert process.returncode != 0, log
    assert all(not is_alive(pid) for pid in hit)
    installed.run()
    assert_all_arrived(installed, sandbox)


def child_called(parent: int, name: str) -> int:
    """The process that a parent started by a program's name."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = [
        int(child)
        for child in children
        if name in Path(f"/proc/{child}/cmdline").read_text().partition("--config")[0]
    ]
    return found


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# -- Settings ------------------------------------------------------------------------------------

# A value for each setting, as a person writes it into a variable.
VARIABLES = {
    "access_token": "token",
    "start_date": "2024-01-31T12:00:00Z",
    "end_date": "2025-01-31",
    "region": "eu",
    "base_url": "http://127.0.0.1:9",
    "api_version": "2.10",
    "page_size": "20",
    "concurrency": "4",
    "rate_limit_share": "0.25",
    "request_timeout": "1.5",
    "max_retry_seconds": "0.5",
    "lookback_seconds": '{"contacts": 900}',
    "body_format": "html",
    "unknown_fields": "pass",
    "on_missing_permission": "skip",
    "search_filters": '{"contacts": {"field": "role", "operator": "=", "value": "user"}}',
    "add_workspace_id": "true",
    "companies_source": "list",
    "detect_deletes": "column",
    "known_ids_file": "/srv/ids",
    "activate_version": "false",
    "attachments_dir": "/srv/files",
    "attachment_max_bytes": "5000",
    "inline_images": "true",
    "custom_object_types": "Order,Invoice",
    "export_lookback_days": "7",
    "export_wait_seconds": "60",
    "user_agent": "ours/1.0",
    "client_id": "an id",
    "client_secret": "geheim",
    "redirect_uri": "https://example.com",
    "personal_data": "hash",
    "hash_key": "geheim auch",
    "hash_fields": '{"contacts": ["custom_attributes.plan"]}',
    "keep_fields": '{"contacts": ["name", "location.*"]}',
    "strict": "yes",
}


def variables(**values: str) -> dict[str, str]:
    return {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in values.items()}


def test_every_setting_comes_from_the_variable_that_the_tap_reads(project: Project) -> None:
    assert VARIABLES.keys() == config_schema()["properties"].keys()
    environment = variables(**VARIABLES)
    expected = load(["ENV"], environment, now=4e9)
    assert project.settings(**environment) == expected


@pytest.mark.parametrize(
    "forms",
    [
        {
            "custom_object_types": '["Order", "Invoice"]',
            "lookback_seconds": "900",
            "start_date": "2024-01-31",
            "strict": "false",
        },
        {"custom_object_types": "Order", "start_date": "01/31/2024", "detect_deletes": "off"},
    ],
)
def test_other_forms_of_a_value_arrive_too(project: Project, forms: dict[str, str]) -> None:
    environment = variables(**{"access_token": "token", **forms})
    found, expected = project.settings(**environment), load(["ENV"], environment, now=4e9)
    for name in forms:
        assert getattr(found, name) == getattr(expected, name)


def test_lists_and_objects_may_be_written_in_yaml(project: Project) -> None:
    group = {"operator": "AND", "value": [{"field": "role", "operator": "=", "value": "user"}]}
    written: dict[str, Any] = {
        "custom_object_types": ["Order", "Invoice"],
        "lookback_seconds": {"contacts": 900, "tickets": 5},
        "search_filters": {"contacts": group},
        "detect_deletes": "table",
    }
    project.configure("extractors", **written)
    found = project.settings()
    assert found.custom_object_types == ("Order", "Invoice")
    assert found.lookback_seconds == written["lookback_seconds"]
    assert found.search_filters == written["search_filters"]
    assert found.detect_deletes == "table"


def test_settings_that_are_not_set_are_left_to_the_tap(project: Project) -> None:
    found = project.settings()
    path = project.folder / "dumped.json"
    given = json.loads(path.read_text())
    assert None not in given.values()
    assert given.keys().isdisjoint({"region", "end_date", "user_agent", "page_size"})
    path.write_text(
        json.dumps({name: given[name] for name in ("access_token", "start_date", "base_url")})
    )
    defaults = load([str(path)], {}, now=4e9)
    assert vars(found) == {**vars(defaults), "known_ids_file": given["known_ids_file"]}
    assert given["known_ids_file"] == f"{project.folder}/.meltano/tap-intercom.sandbox.ids"


def test_the_token_may_be_in_a_dotenv_file_and_is_never_shown(project: Project) -> None:
    text = "TAP_INTERCOM_ACCESS_TOKEN=geheim123\nTAP_INTERCOM_START_DATE=2024-01-31\n"
    dotenv = project.folder / ".env"
    dotenv.write_text(text)
    try:
        code, stdout, log = project.call("--environment=prod", "config", "list", "tap-intercom")
        assert code == 0, log
        assert "geheim123" not in stdout + log
        code, _, log = project.call("--environment=prod", "config", "test", "tap-intercom")
        assert code == 1
        assert "Intercom refused the access token" in log
        assert "geheim123" not in log
    finally:
        dotenv.unlink()


def test_the_settings_can_be_tested(project: Project) -> None:
    code, stdout, log = project.call("--environment=sandbox", "config", "test", "tap-intercom")
    assert code == 0, stdout + log
    assert "Plugin configuration is valid" in stdout + log


# -- Selection -----------------------------------------------------------------------------------


def test_what_is_selected_is_what_arrives(
    installed: Project, sandbox_of: Callable[[], Sandbox]
) -> None:
    sandbox = sandbox_of()
    selection = ["contacts.*", "!contacts.phone", "!contacts.location.*", "tags.name", "tickets.*"]
    installed.configure("extractors", select=selection)
    assert installed.run().keys() == {"contacts", "tags", "tickets"}
    (contact, *_) = installed.rows("contacts")["contacts"]
    assert {"id", "updated_at", "email", "custom_attributes"} <= contact.keys()
    assert contact.keys().isdisjoint({"phone", "location"})
    (tag, *_) = installed.rows("tags")["tags"]
    assert {name for name in tag if not name.startswith("_sdc_")} == {"id", "name"}
    # `*` is all fields, those included that the tap leaves out by default.
    (ticket, *_) = installed.rows("tickets")["tickets"]
    assert "ticket_parts" in ticket
    assert installed.ids("contacts") == {row["id"] for row in sandbox.truth("contacts")}


def test_the_selection_can_be_changed_by_command(project: Project) -> None:
    for arguments in (("tickets", "*"), ("--exclude", "contacts", "phone")):
        code, _, log = project.call("select", "tap-intercom", *arguments)
        assert code == 0, log
    code, stdout, log = project.call(
        "--environment=sandbox", "select", "tap-intercom", "--list", "--all"
    )
    assert code == 0, log
    assert re.search(r"\[selected *\] tickets\.type", stdout), stdout
    assert re.search(r"\[excluded *\] contacts\.phone", stdout)
    assert re.search(r"\[automatic *\] contacts\.id", stdout)
    assert re.search(r"\[excluded *\] calls\.", stdout)


# -- What Meltano knows of the files -------------------------------------------------------------

_CHECK_PROJECT = """
import json, sys, yaml, jsonschema
from importlib.resources import files
schema = json.loads((files("meltano.schemas") / "meltano.schema.json").read_text())
jsonschema.validate(yaml.safe_load(open(sys.argv[1])), schema)
"""
# Meltano keeps what it does not know apart: the extra fields of a definition.
_CHECK_HUB = """
import inspect, sys, yaml
from meltano.core.plugin.base import PluginDefinition, PluginType
from meltano.core.setting_definition import SettingDefinition
document = yaml.safe_load(open(sys.argv[1]))
known = inspect.signature(SettingDefinition.__init__).parameters.keys()
print(*sorted({name for setting in document["settings"] for name in setting} - known))
print(*sorted(PluginDefinition(PluginType.EXTRACTORS, **document).extras))
"""
# The selection is an extra field of each extractor. The others are for the pages of the Hub.
ONLY_FOR_THE_HUB = [
    "domain_url",
    "keywords",
    "maintenance_status",
    "next_steps",
    "quality",
    "select",
    "settings_preamble",
]


def meltano_on(program: str, path: str) -> str:
    """What a program prints that uses the modules of Meltano."""
    command = [str(environment_bin("meltano") / "python"), "-c", program, str(ROOT / path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_meltano_knows_every_field_of_the_project() -> None:
    assert meltano_on(_CHECK_PROJECT, f"{EXAMPLE}/meltano.yml") == ""


def test_meltano_knows_every_field_of_the_definition_for_the_hub() -> None:
    unknown, extra = meltano_on(_CHECK_HUB, "plugin/hub.yml").splitlines()
    assert unknown == ""
    assert extra.split() == ONLY_FOR_THE_HUB
