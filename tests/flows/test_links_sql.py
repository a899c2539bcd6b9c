"""The statement for links that are gone, in real databases, for each of its tables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from conftest import Output
from loaded_tables import target_bin
from paths import ROOT, SUPPORT
from runs import NOW
from table_runs import DAY, HOUR, Making, TableRuns, expected_rows
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace
from tap_intercom.reading.stream import load_schema
from tap_intercom.streams import STREAMS

PAGE = (ROOT / "docs" / "streams.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Removed links\n")[2].partition("\n## ")[0]
APPLY_SQL = SUPPORT / "apply_sql.py"

Rows = dict[tuple[str, ...], dict[str, Any]]


def tables_of(head: str) -> dict[str, str]:
    """The parent of each table in a table of the section."""
    lines = SECTION.partition(f"| parent | {head} |\n")[2].partition("\n\n")[0].splitlines()
    found = {}
    for line in lines[1:]:
        parent, *tables = re.findall(r"`(\w+)`", line)
        found.update(dict.fromkeys(tables, parent))
    return found


RIGHT = tables_of("tables that the statement works for")
WRONG = tables_of("tables")


def statement(table: str, bookmark: str) -> str:
    """The statement of the page, for a table and the bookmark that it has."""
    parent = RIGHT[table]
    one = parent.replace("companies", "company").removesuffix("s")
    names = {
        "contact_tag": table,
        "contact_id": f"{one}_id",
        "contact_updated_at": f"{one}_updated_at",
        "contacts": parent,
        "2026-01-31T12:00:00Z": bookmark,
    }
    (sql,) = re.findall(r"```sql\n(.*?)```", SECTION, re.DOTALL)
    return re.sub("|".join(rf"\b{name}\b" for name in names), lambda found: names[found[0]], sql)


# -- Runs ----------------------------------------------------------------------------------------


class Loaded(NamedTuple):
    """What a target has after a run, and the state that the run left."""

    rows: dict[str, Rows]
    bookmarks: dict[str, Any]


class History(NamedTuple):
    """After a run that read the parents alone, and after one that read all."""

    behind: Loaded
    complete: Loaded
    workspace: Workspace


def linked(making: Making) -> None:
    """Two of each parent with one of each link, "0" and "1"."""
    workspace = making.at(NOW - 10 * DAY)
    tag = workspace.add_tag()
    subscription = workspace.add_subscription_type(consent_type="opt_in")
    segment, of_companies = workspace.add_segment(), workspace.add_segment(of_companies=True)
    teammates = {"type": "admin.list", "admins": [{"type": "admin", "id": "7"}]}
    for key in ("0", "1"):
        workspace.add_company(id=key, tags=[tag], segments=[of_companies])
        workspace.add_company_note(key)
        links = {"tags": [tag], "companies": [key], "segments": [segment]}
        workspace.add_contact(id=key, role="user", **links)
        workspace.add_contact_note(key)
        workspace.subscribe_contact(key, subscription)
        workspace.add_conversation(id=key, contacts=[key], teammates=teammates)
        source = workspace.conversations.get(key)["source"]
        file = {"type": "upload", "name": "bill.pdf", "url": "https://files.example/1"}
        workspace.update_conversation(key, source=source | {"attachments": [file]})
        workspace.tag_conversation(key, tag)
        workspace.add_ticket(id=f"10{key}", contacts=[key])
        workspace.link_ticket(f"10{key}", key)


def cut(making: Making) -> None:
    """Change both parents of each kind, and take all links of the second one away."""
    workspace = making.at(NOW + HOUR)
    workspace.update_contact("0", name="Ada")
    workspace.update_company("0", name="Ada's")
    workspace.update_conversation("0", read=True)
    workspace.update_ticket("100", open=True)
    subscriptions = ("opted_in_subscription_types", "opted_out_subscription_types")
    lists = ("tags", "companies", "segments", "notes", *subscriptions)
    workspace.update_contact("1", **{name: [] for name in lists})
    workspace.update_company("1", tags=[], segments=[], notes=[])
    workspace.unlink_ticket("101", "1")
    workspace.update_ticket("101", contacts=[])
    workspace.update_conversation(
        "1",
        contacts={"type": "contact.list", "contacts": []},
        tags={"type": "tag.list", "tags": []},
        teammates={"type": "admin.list", "admins": []},
        source=workspace.conversations.get("1")["source"] | {"attachments": []},
    )


@pytest.fixture(scope="module")
def history(
    warm_tap: WarmTap, plain_catalog_text: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[History]:
    making = Making()
    linked(making)
    parents = sorted(set(RIGHT.values()))
    with Sandbox(making.at(NOW), clock=making.clock, rate_limit=1_000_000) as sandbox:
        folder = tmp_path_factory.mktemp("readme-sql")
        runs = TableRuns(sandbox, folder, warm_tap, json.loads(plain_catalog_text))

        def loaded(output: Output) -> Loaded:
            assert output.code == 0, output.log
            tables = {name: runs.rows(name) for name in (*RIGHT, *parents)}
            return Loaded(tables, runs.bookmarks)

        loaded(runs.run(*parents, *RIGHT))
        cut(making)
        making.at(NOW + 3 * DAY)
        behind = loaded(runs.run(*parents))
        yield History(behind, loaded(runs.run(*parents, *RIGHT)), making.workspace)


# -- Databases -----------------------------------------------------------------------------------


def kept(engine: str, loaded: Loaded) -> dict[str, set[tuple[str, ...]]]:
    """The keys of the rows that a database has after the statement, by table."""
    columns = {parent: ["id", "updated_at"] for parent in RIGHT.values()}
    for table in RIGHT:
        time = str(STREAMS[table].replication_key)
        of_parent = [time.replace("_updated_at", "_id"), time]
        columns[table] = list(dict.fromkeys([*STREAMS[table].key_properties, *of_parent]))
    given = {
        "tables": {
            table: [{name: row[name] for name in names} for row in loaded.rows[table].values()]
            for table, names in columns.items()
        },
        "statements": [statement(each, loaded.bookmarks[each]["updated_at"]) for each in RIGHT],
    }
    python = target_bin("duckdb") / "python" if engine == "duckdb" else sys.executable
    done = subprocess.run(
        [python, APPLY_SQL, engine],
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    # The columns of a key come first.
    return {
        table: {tuple(row[: len(STREAMS[table].key_properties)]) for row in rows}
        for table, rows in json.loads(done.stdout).items()
        if table in RIGHT
    }


ENGINES = pytest.mark.parametrize("engine", ["sqlite3", "duckdb"])


@ENGINES
def test_statement_removes_exactly_what_is_gone(history: History, engine: str) -> None:
    valid = {table: {*expected_rows(history.workspace, table)} for table in RIGHT}
    for table, keys in valid.items():
        assert keys, table
        assert history.complete.rows[table].keys() > keys, table
    assert kept(engine, history.complete) == valid


@ENGINES
def test_statement_keeps_all_rows_of_tables_that_are_behind_their_parents(
    history: History, engine: str
) -> None:
    rows = history.behind.rows
    for table, parent in RIGHT.items():
        (time,) = {row[str(STREAMS[table].replication_key)] for row in rows[table].values()}
        assert all(row["updated_at"] > time for row in rows[parent].values()), table
    assert kept(engine, history.behind) == {table: {*rows[table]} for table in RIGHT}


def test_every_table_that_carries_the_time_of_its_parent_is_in_one_list() -> None:
    carrying = {
        name
        for name, stream in STREAMS.items()
        if any(re.fullmatch(r"[a-z]+_updated_at", each) for each in load_schema(name)["properties"])
        and stream.parent
    }
    assert RIGHT.keys() | WRONG.keys() == carrying
    assert not RIGHT.keys() & WRONG.keys()
    for table, parent in (RIGHT | WRONG).items():
        parents = (STREAMS[table].parent, STREAMS[str(STREAMS[table].parent)].parent)
        assert parent in parents
