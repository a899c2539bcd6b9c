"""The dbt project in examples/dbt, on what real targets loaded: its tables and its answers."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import RUN, START_DATE, selecting
from dbt_truth import (
    KEYS,
    NO_END,
    expected_table,
    first_responses,
    instant,
    is_active,
    load_by_hour,
    monday,
    normal,
    reopenings,
)
from environments import environment_bin
from loaded_tables import (
    Row,
    postgresql,
    rows_of_duckdb,
    rows_of_postgresql,
    target_bin,
    url_of_postgresql,
)
from paths import BESIDE, ROOT, SUPPORT

from intercom_sandbox import Sandbox, Workspace, generate

PROJECT = ROOT / "examples" / "dbt"
TABLES: dict[str, dict[str, str]] = json.loads((SUPPORT / "dbt_tables.json").read_text("utf-8"))
DESCRIPTION = BESIDE / "dbt-tables.md"
CORE_STREAMS = (
    "admins",
    "companies",
    "contacts",
    "conversation_parts",
    "conversations",
    "tags",
    "teams",
)
OPTIONAL_STREAMS = ("article_statistics", "articles", "collections", "deletions", "help_centers")
STREAMS = CORE_STREAMS + OPTIONAL_STREAMS
SUPPORT_MODELS = (
    "first_responses",
    "first_response_by_team_and_week",
    "reopened_conversations",
    "reopened_by_week",
    "load_by_teammate_and_hour",
)
ATTRIBUTES = [
    "Plan",
    "seats",
    {"name": "is beta user", "type": "boolean"},
    {"name": "trial_ends_at", "type": "timestamp"},
]
DAY = 86_400
# A Monday.
BEGIN = int(datetime(2026, 3, 2, 9, tzinfo=timezone.utc).timestamp())

Done = subprocess.CompletedProcess[str]

# What a database says of a column, by its kind.
TYPES = {
    "text": {"text", "character varying", "varchar"},
    "timestamp": {"timestamp without time zone", "timestamp"},
    "boolean": {"boolean"},
    "number": {"bigint", "double precision", "double", "float"},
}


def test_the_columns_are_those_of_the_description() -> None:
    if not DESCRIPTION.exists():
        pytest.skip("the description of what public models read is not beside the repository")
    spec = importlib.util.spec_from_file_location("dbt_tables", ROOT / "scripts" / "dbt_tables.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.tables(DESCRIPTION.read_text(encoding="utf-8")) == TABLES


# -- Loads and builds ----------------------------------------------------------------------------


@dataclass
class Warehouse:
    """A database that a target loads into, and what dbt makes of it there."""

    target: str
    folder: Path
    server: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    has_metadata: bool = True
    streams: tuple[str, ...] = STREAMS
    deselected: tuple[str, ...] = ()

    @property
    def raw_schema(self) -> str:
        return "main" if self.target == "duckdb" else f"raw_{self._name}"

    @property
    def schema(self) -> str:
        return "intercom" if self.target == "duckdb" else f"dbt_{self._name}"

    @property
    def _name(self) -> str:
        return (self.name or self.target).replace("-", "_")

    @property
    def database(self) -> Path:
        return self.folder / "warehouse.duckdb"

    def load(self, sandbox: Sandbox, state: str = "state.json", **settings: Any) -> None:
        """One run of the tap into the target, from the state of the one before."""
        config = {
            "access_token": sandbox.token,
            "start_date": START_DATE,
            "base_url": sandbox.url,
            "detect_deletes": "table",
            **settings,
        }
        (self.folder / "config.json").write_text(json.dumps(config))
        tap = [*RUN, "--config", "config.json"]
        found = self._run([*tap, "--discover"], stdout=subprocess.PIPE)
        catalog = selecting(json.loads(found.stdout), *self.streams)
        (self.folder / "catalog.json").write_text(json.dumps(catalog))
        if self.deselected:
            fields = [text for each in self.deselected for text in ("--no-field", each)]
            select = [*RUN, "select", "--catalog", "catalog.json", *fields]
            self._run(select, stdout=subprocess.DEVNULL)
        program, target_config = self._target()
        (self.folder / "target.json").write_text(json.dumps(target_config))
        files = ["--catalog", "catalog.json", "--state", state]
        run = [*RUN, "run", "--config", "config.json", *files]
        self._run([*run, "--", str(program), "--config", "target.json"])

    def _target(self) -> tuple[Path, dict[str, Any]]:
        config: dict[str, Any] = {"default_target_schema": self.raw_schema}
        if self.target == "duckdb":
            path = {"path": str(self.database), "database": self.database.stem}
            config |= {**path, "add_metadata_columns": True}
            return target_bin("duckdb") / "target-duckdb", config
        if self.target == "meltanolabs-postgres":
            config["sqlalchemy_url"] = url_of_postgresql(self.server)
        else:
            config |= {**self.server, "add_metadata_columns": self.has_metadata}
        return target_bin(self.target) / "target-postgres", config

    def dbt(
        self, command: str, *arguments: str, **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "INTERCOM_DUCKDB": str(self.database),
            "INTERCOM_SCHEMA": self.schema,
        }
        if self.server:
            environment |= {
                "PGHOST": self.server["host"],
                "PGPORT": str(self.server["port"]),
                "PGUSER": self.server["user"],
                "PGPASSWORD": self.server["password"],
                "PGDATABASE": self.server["dbname"],
            }
        variables = {"tap_intercom_schema": self.raw_schema, **variables}
        where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        how = ["--target", "postgres" if self.server else "duckdb", "--vars", json.dumps(variables)]
        return subprocess.run(
            [str(environment_bin("dbt") / "dbt"), command, *where, *how, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def build(self, **variables: Any) -> None:
        """Build all models and run all tests; none may fail or warn."""
        done = self.dbt("build", **variables)
        assert done.returncode == 0, done.stdout
        results = json.loads((self.folder / "target" / "run_results.json").read_text())["results"]
        bad = [each for each in results if each["status"] not in ("success", "pass")]
        assert not bad, done.stdout
        assert len(results) > 100

    def tables(self, *names: str, schema: str = "") -> dict[str, list[Row]]:
        schema = self.schema + schema
        if self.server:
            return rows_of_postgresql(self.server, schema, [*names])
        # dbt's DuckDB is newer than the target's.
        python = environment_bin("dbt") / "python"
        found = rows_of_duckdb(self.database, [f"{schema}.{name}" for name in names], python)
        return dict(zip(names, found.values(), strict=True))

    def columns(self) -> dict[str, dict[str, str]]:
        """The type of each column that dbt built, by table and name."""
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        if self.server:
            rows = rows_of_postgresql(self.server, "information_schema", ["columns"])["columns"]
        else:
            python = environment_bin("dbt") / "python"
            tables = ["information_schema.columns"]
            (rows,) = rows_of_duckdb(self.database, tables, python).values()
        for row in rows:
            if row["table_schema"] == self.schema:
                found[row["table_name"]][row["column_name"]] = row["data_type"].lower()
        return found

    def _run(self, command: list[str], **how: Any) -> Done:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, cwd=self.folder, **how)
        assert done.returncode == 0, done.stderr[-5000:]
        return done


class Gone(NamedTuple):
    """Ids of what was deleted between the runs."""

    contacts: list[str]
    company: str
    conversation: str
    parts: set[str]
    tag: str


@dataclass
class Loaded:
    """A warehouse after two runs with edits between them, and what was read from it."""

    warehouse: Warehouse
    sandbox: Sandbox
    gone: Gone
    rows: dict[str, list[Row]]
    answers: dict[str, list[Row]]


def build_workspace() -> Workspace:
    """Sample data, and conversations that say more about waiting and reopening than it does."""
    workspace = generate(seed=7, contacts=60, companies=40, conversations=30, parts=200, days=120)
    admins = [each for each in workspace.admins if workspace.admins[each]["name"] != "Fin"]
    teams, contacts = list(workspace.teams), list(workspace.contacts.texts)
    for number in range(24):
        began = BEGIN + number * DAY + number * 700
        conversation_id = workspace.add_conversation(
            created_at=began,
            updated_at=began + DAY,
            team_assignee_id=int(teams[number % 3]) if number % 4 else 0,
            contacts=[contacts[number]],
            source={"type": "email", "body": "<p>Help</p>", "author": by("user", contacts[number])},
        )
        admin = by("admin", admins[number % 3])
        contact = by("user", contacts[number])
        parts: list[tuple[int, str, Row, str | None]] = [
            (30, "assignment", admin, None),
            (60, "comment", by("bot", "7000001"), "<p>A bot is no teammate</p>"),
            (90, "note", admin, "<p>Only for teammates</p>"),
            (100, "note_and_reopen", admin, "<p>Also a note</p>"),
            (300 + 61 * number, "comment", admin, f"<p>Answer {number}</p>"),
            (5_000, "close", admin, None),
        ]
        if number % 3 == 0:
            parts += [
                (6_000 + number, "open", contact, "<p>Not yet</p>"),
                (6_500, "close", admin, "<p>Now it is</p>"),
                (6_600, "assign_and_reopen", admin, None),
            ]
        elif number % 3 == 1:
            parts = parts[: 4 if number % 2 else 5]
        workspace.load_parts(
            conversation_id,
            [
                {
                    "part_type": kind,
                    "author": author,
                    "body": body,
                    "created_at": began + seconds,
                    "updated_at": began + seconds,
                }
                for seconds, kind, author, body in parts
            ],
        )
    return workspace


def by(kind: str, record_id: str) -> Row:
    return {"type": kind, "id": record_id, "name": "", "email": ""}


def edit(workspace: Workspace, tag: str) -> Gone:
    """Deletes of each kind, and changes that the next run has to bring."""
    conversations = workspace.truth("conversations")
    contacts = list(workspace.contacts.texts)
    many = max(contacts, key=lambda each: len(workspace.nested_ids(each, "tags")))
    first, second, third = [each for each in contacts if each != many][:3]
    workspace.delete_contact(first)
    workspace.archive_contact(second)
    workspace.merge_contacts(third, many)
    workspace.untag_contact(many, workspace.nested_ids(many, "tags")[0])
    workspace.detach_company(many, workspace.nested_ids(many, "companies")[0])
    company = next(iter(workspace.truth("companies")))["id"]
    workspace.delete_company(company)
    conversation = conversations[0]["id"]
    parts = {
        part["id"]
        for part in workspace.truth("conversation_parts")
        if part["conversation_id"] == conversation
    }
    workspace.delete_conversation(conversation)
    waiting, closed = conversations[-5]["id"], conversations[-4]["id"]
    admin = next(each for each in workspace.admins if workspace.admins[each]["name"] != "Fin")
    workspace.reply(waiting, author=by("admin", admin))
    workspace.add_part(closed, part_type="close", author=by("admin", admin))
    workspace.add_part(
        closed, part_type="open", author=by("user", many), created_at=int(workspace.clock()) + 9
    )
    workspace.tag_conversation(closed, list(workspace.tags)[3])
    workspace.delete_record("tags", tag)
    return Gone([first, second, third], company, conversation, parts, tag)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with postgresql() as server:
        yield server


# -- What arrived --------------------------------------------------------------------------------


def with_line_ends(value: Any) -> Any:
    return value.replace("\\n", "\n") if isinstance(value, str) else value


def every_column_is_there_with_its_type(loaded: Loaded) -> None:
    built = loaded.warehouse.columns()
    for table, kinds in TABLES.items():
        for name, kind in kinds.items():
            assert built[table].get(name) in TYPES[kind], f"{table}.{name}"


def active_rows_are_what_intercom_has(loaded: Loaded) -> None:
    for table in TABLES:
        expected = expected_table(loaded.sandbox.workspace, table)
        assert len(expected) > 1, table
        rows = [each for each in loaded.rows[table] if is_active(each)]
        arrived = {tuple(row[name] for name in KEYS[table]): row for row in rows}
        assert len(arrived) == len(rows), table
        assert arrived.keys() == expected.keys(), table
        for key, values in expected.items():
            found = {name: normal(arrived[key][name], TABLES[table][name]) for name in values}
            if loaded.warehouse.target == "pipelinewise-postgres":
                # It writes a line end as the two characters of JSON.
                found = {name: with_line_ends(value) for name, value in found.items()}
            assert found == values, (table, key)


def custom_attributes_are_columns(loaded: Loaded) -> None:
    truth = {each["id"]: each["custom_attributes"] for each in loaded.sandbox.truth("contacts")}
    rows = {row["id"]: row for row in loaded.rows["contact_history"]}
    for contact_id, attributes in truth.items():
        row = rows[contact_id]
        seats, trial_ends_at = attributes.get("seats"), attributes.get("trial_ends_at")
        assert row["custom_plan"] == attributes.get("Plan")
        assert row["custom_is_beta_user"] == attributes.get("is beta user")
        # What does not fit its type is kept in the column of text.
        assert row["custom_seats"] == (None if seats is None else str(seats))
        if not isinstance(trial_ends_at, str):
            assert normal(row["custom_trial_ends_at"], "timestamp") == instant(trial_ends_at)
    assert "twelve" in {row["custom_seats"] for row in rows.values()}


def what_is_gone_is_marked(loaded: Loaded) -> None:
    gone = loaded.gone
    inactive = {
        table: {tuple(row[name] for name in KEYS[table]) for row in rows if not is_active(row)}
        for table, rows in loaded.rows.items()
    }
    assert inactive["contact_history"] == {(each,) for each in gone.contacts}
    assert inactive["company_history"] == {(gone.company,)}
    assert inactive["conversation_history"] == {(gone.conversation,)}
    assert inactive["conversation_part_history"] == {(each,) for each in gone.parts}
    assert len(gone.parts) > 1
    assert inactive["tag"] == {(gone.tag,)}
    for table in ("admin", "team", "team_admin", "article_history", "help_center_history"):
        assert inactive[table] == set()
    for table, parents in {
        "contact_tag_history": gone.contacts,
        "contact_company_history": gone.contacts,
        "company_tag_history": [gone.company],
        "conversation_tag_history": [gone.conversation],
        "conversation_contact_history": [gone.conversation],
    }.items():
        assert {key[0] for key in inactive[table]} <= {*parents}


def history_begins_with_the_last_change_and_ends_with_the_deletion(loaded: Loaded) -> None:
    for table, rows in loaded.rows.items():
        for row in rows:
            assert normal(row["_fivetran_synced"], "timestamp") is not None
            if not table.endswith("_history"):
                continue
            updated_at = next(name for name in row if name.endswith("updated_at"))
            if table == "conversation_part_history":
                updated_at = "updated_at"
            assert row["_fivetran_start"] == row[updated_at]
            end = normal(row["_fivetran_end"], "timestamp")
            assert (end == NO_END) == is_active(row)
            if end != NO_END:
                synced = normal(row["_fivetran_synced"], "timestamp")
                assert synced < end < synced + timedelta(hours=1)


def links_beyond_ten_are_complete(loaded: Loaded) -> None:
    for table in ("contact_tag_history", "contact_company_history"):
        counts = Counter(row["contact_id"] for row in loaded.rows[table] if is_active(row))
        assert max(counts.values()) > 20


def a_restored_contact_is_active_again(loaded: Loaded) -> None:
    archived = loaded.gone.contacts[1]
    workspace = loaded.sandbox.workspace
    workspace.unarchive_contact(archived)
    workspace.update_contact(archived, name="Back again")
    loaded.sandbox.options.clock_offset_seconds += 60
    loaded.warehouse.load(loaded.sandbox)
    (rows,) = loaded.warehouse.tables("contact_history").values()
    (row,) = [each for each in rows if each["id"] == archived]
    assert row["name"] == "Back again"
    assert is_active(row)


def the_time_until_the_first_response_is_that_of_the_parts(loaded: Loaded) -> None:
    expected = first_responses(loaded.sandbox.workspace)
    answers = {row["conversation_id"]: row for row in loaded.answers["first_responses"]}
    assert answers.keys() == expected.keys()
    for conversation_id, (team, week, minutes) in expected.items():
        row = answers[conversation_id]
        assert (row["team_name"], row["week"]) == (team, week.isoformat())
        assert row["minutes_to_response"] == pytest.approx(minutes)
    groups: defaultdict[tuple[str, str], list[float | None]] = defaultdict(list)
    for team, week, minutes in expected.values():
        groups[team, week.isoformat()].append(minutes)
    found = {
        (row["team_name"], row["week"]): row
        for row in loaded.answers["first_response_by_team_and_week"]
    }
    assert found.keys() == groups.keys()
    for key, all_minutes in groups.items():
        answered = [each for each in all_minutes if each is not None]
        median = statistics.median(answered) if answered else None
        row = found[key]
        assert (row["conversations"], row["answered"]) == (len(all_minutes), len(answered))
        assert row["median_minutes"] == pytest.approx(median)


def reopened_conversations_are_those_of_the_parts(loaded: Loaded) -> None:
    expected = reopenings(loaded.sandbox.workspace)
    found = {
        row["conversation_id"]: (
            normal(row["first_closed_at"], "timestamp"),
            normal(row["reopened_at"], "timestamp"),
            row["reopened_by"],
        )
        for row in loaded.answers["reopened_conversations"]
    }
    assert found == expected
    weeks = Counter(monday(closed) for closed, _, _ in expected.values())
    again = Counter(monday(closed) for closed, opened, _ in expected.values() if opened)
    found_weeks = {row["week"]: row for row in loaded.answers["reopened_by_week"]}
    assert found_weeks.keys() == {week.isoformat() for week in weeks}
    for week, count in weeks.items():
        row = found_weeks[week.isoformat()]
        assert (row["closed"], row["reopened"]) == (count, again[week])
        assert float(row["reopened_percent"]) == pytest.approx(100 * again[week] / count)


def the_load_is_that_of_the_parts(loaded: Loaded) -> None:
    assert {
        (row["admin_id"], row["hour_of_day"]): (row["messages"], row["conversations"])
        for row in loaded.answers["load_by_teammate_and_hour"]
    } == load_by_hour(loaded.sandbox.workspace)


# -- Tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["duckdb", "meltanolabs-postgres", "pipelinewise-postgres"])
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_tables_and_answers_are_those_of_intercom(
    request: pytest.FixtureRequest, target: str, tmp_path: Path
) -> None:
    """One test for each target: to load and to build takes most of the time."""
    environment_bin("dbt")
    warehouse = Warehouse(target, tmp_path)
    if target != "duckdb":
        warehouse.server = request.getfixturevalue("server")
    with Sandbox(build_workspace()) as sandbox:
        tag = sandbox.workspace.add_tag(name="Soon gone")
        warehouse.load(sandbox)
        built = warehouse.dbt("run")
        assert built.returncode == 0, built.stdout
        sandbox.options.clock_offset_seconds = 60
        gone = edit(sandbox.workspace, tag)
        # The views are there now: the target has to load beside them.
        warehouse.load(sandbox)
        warehouse.build(tap_intercom_contact_attributes=ATTRIBUTES)
        loaded = Loaded(
            warehouse,
            sandbox,
            gone,
            rows=warehouse.tables(*TABLES),
            answers=warehouse.tables(*SUPPORT_MODELS, schema="_support"),
        )
        every_column_is_there_with_its_type(loaded)
        active_rows_are_what_intercom_has(loaded)
        custom_attributes_are_columns(loaded)
        what_is_gone_is_marked(loaded)
        history_begins_with_the_last_change_and_ends_with_the_deletion(loaded)
        links_beyond_ten_are_complete(loaded)
        the_time_until_the_first_response_is_that_of_the_parts(loaded)
        reopened_conversations_are_those_of_the_parts(loaded)
        the_load_is_that_of_the_parts(loaded)
        a_restored_contact_is_active_again(loaded)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_schema_without_the_tables_is_one_clear_line(tmp_path: Path) -> None:
    environment_bin("dbt")
    done = Warehouse("duckdb", tmp_path).dbt(
        "build", "--select", "tag", tap_intercom_schema="nowhere"
    )
    assert done.returncode == 1
    told = "does not exist: select the stream tags, load it, and check the variable"
    assert told in " ".join(done.stdout.split())


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_was_not_loaded_is_empty_or_null(server: dict[str, Any], tmp_path: Path) -> None:
    warehouse = Warehouse(
        "pipelinewise-postgres",
        tmp_path,
        server,
        name="bare",
        has_metadata=False,
        streams=CORE_STREAMS,
        deselected=("teams.admin_ids", "contacts.tags", "companies.plan"),
    )
    workspace = generate(seed=9, contacts=10, conversations=5, parts=20, days=9)
    with Sandbox(workspace) as sandbox:
        warehouse.load(sandbox, detect_deletes="off")
    warehouse.build()
    rows = warehouse.tables(*TABLES)
    for table in ("article_history", "collection_history", "help_center_history"):
        assert rows[table] == []
    assert rows["team_admin"] == rows["contact_tag_history"] == []
    assert len(rows["contact_history"]) == 10
    for row in [row for table in rows.values() for row in table]:
        assert is_active(row)
        assert row["_fivetran_synced"] is None
    assert {row["plan_id"] for row in rows["company_history"]} == {None}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_two_commands_build_all_models(tmp_path: Path) -> None:
    """The second of them, with the environments that the tests have."""
    programs = {
        "TAP": Path(sys.executable).with_name("tap-intercom"),
        "TARGET": target_bin("duckdb") / "target-duckdb",
        "DBT": environment_bin("dbt") / "dbt",
        "DATA": tmp_path / "data",
    }
    done = subprocess.run(
        ["sh", str(PROJECT / "try.sh")],
        env={**os.environ, **{name: str(path) for name, path in programs.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert "Completed successfully" in done.stdout
    assert "median_minutes" in done.stdout
    assert "deletions: first detection" in (tmp_path / "data" / "run.log").read_text()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_charts_show_what_the_models_say() -> None:
    environment_bin("dbt")
    target_bin("duckdb")
    command = [sys.executable, str(ROOT / "scripts" / "support_charts.py"), "--check"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_one_of_several_workspaces(tmp_path: Path) -> None:
    """Ids of two workspaces are the same here, so a mix of them would be seen."""
    warehouse = Warehouse("duckdb", tmp_path)
    for number, name in enumerate(("one", "two"), 1):
        workspace = generate(seed=number, contacts=10 * number, conversations=5, parts=20, days=9)
        workspace.app["id_code"] = name
        with Sandbox(workspace) as sandbox:
            warehouse.load(sandbox, state=f"{name}.json", add_workspace_id=True)
    built = warehouse.dbt("build", "--select", "one_workspace")
    assert built.returncode == 1
    assert "Failure in test one_workspace" in built.stdout
    warehouse.build(tap_intercom_workspace="two")
    rows = warehouse.tables("contact_history", "tag", "team_admin")
    assert {row["id"] for row in rows["contact_history"]} == {*workspace.contacts.texts}
    assert len(rows["tag"]) == len(workspace.truth("tags"))
    assert all(is_active(row) for row in rows["tag"])
    assert len(rows["team_admin"]) == len(workspace.truth("team_admin"))
