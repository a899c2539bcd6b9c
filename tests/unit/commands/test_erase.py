"""`tap-intercom erase`: a script for what a catalog selects, or one line and exit code 2."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import run_tap
from erasable import PERSON

from tap_intercom.commands import erase
from tap_intercom.errors import ConfigError
from tap_intercom.reading.stream import load_schema

Erase = Callable[..., str]


def entry(stream: str, *, is_selected: bool = True, but: str | None = None) -> dict[str, Any]:
    marks = [{"breadcrumb": [], "metadata": {"selected": is_selected}}]
    if but is not None:
        marks.append({"breadcrumb": ["properties", but], "metadata": {"selected": False}})
    schema = load_schema(stream)
    return {"tap_stream_id": stream, "stream": stream, "schema": schema, "metadata": marks}


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Erase:
    """Run the command with the entries of a catalog; returns its script."""

    def run_one(*entries: dict[str, Any], flags: tuple[str, ...] = ()) -> str:
        path = tmp_path / "catalog.json"
        path.write_text(json.dumps({"streams": entries}))
        parser = argparse.ArgumentParser()
        erase.add_arguments(parser)
        given = ["--catalog", str(path), "--dialect", "postgres", "--contact", PERSON, *flags]
        assert erase.run(parser.parse_args(given)) == 0
        return capfd.readouterr().out

    return run_one


def test_only_selected_tables_and_columns_are_in_the_script(run: Erase) -> None:
    script = run(
        entry("contacts"),
        entry("contact_tag", is_selected=False),
        entry("conversation_parts", but="body"),
    )
    assert f'delete from "contacts"\nwhere "id" in (\'{PERSON}\')' in script
    assert "contact_tag" not in script
    assert '"author" = null' in script
    assert '"body"' not in script


def test_schema_and_other_names_are_in_the_script(run: Erase) -> None:
    flags = ("--schema", "intercom", "--email", "O'Neil@Example.org", "--conversations", "blank")
    renamed = {**entry("contacts"), "stream": "people"}
    script = run(renamed, entry("events"), entry("conversations"), flags=flags)
    assert 'delete from "intercom"."people"' in script
    assert "lower(\"email\") in ('o''neil@example.org')" in script
    assert 'delete from "intercom"."conversations"' not in script


def test_only_rows_of_one_workspace_are_changed(run: Erase) -> None:
    tables = (entry("contacts"), entry("conversations"), entry("conversation_parts"))
    script = run(*tables, flags=("--workspace", "abc123"))
    is_of_it = "(\"_sdc_workspace_id\" in ('abc123') and "
    wheres = [line for line in script.splitlines() if line.startswith("where ")]
    assert len(wheres) > 10
    assert all(is_of_it in line for line in wheres)


def test_an_id_is_said_once(run: Erase) -> None:
    other = PERSON[::-1]
    script = run(entry("contacts"), flags=("--contact", other, "--contact", PERSON))
    assert f"\"id\" in ('{PERSON}', '{other}')" in script


def test_rows_of_datasets_are_found_by_their_conversation(run: Erase) -> None:
    text = {"type": ["null", "string"]}
    names = ("conversation_conversation_id", "people_plan", "conversation_channel")
    dataset = entry("conversation_contact") | {
        "tap_stream_id": "reporting_conversation",
        "stream": "reporting_conversation",
        "schema": {"properties": dict.fromkeys(names, text)},
    }
    script = run(entry("conversation_contact"), dataset)
    assert (
        'delete from "reporting_conversation"\n'
        'where "conversation_conversation_id" in (select id from tap_intercom_own_conversations)'
    ) in script
    assert 'update "reporting_conversation"\nset "people_plan" = null\n' in script


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no stream is selected"),
        ([entry("contacts", is_selected=False)], "no stream is selected"),
        ([entry("tags"), entry("admins")], "nothing to erase"),
        ([{**entry("contacts"), "tap_stream_id": "people"}], "stream people does not exist"),
    ],
)
def test_a_catalog_without_data_of_contacts_is_refused(
    run: Erase, entries: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*entries)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--contact", "' or '1'='1"), "is not an id of a contact"),
        (("--contact", PERSON + "\n"), "is not an id of a contact"),
        (("--contact", "42"), "is not an id of a contact"),
        (("--email", "nobody"), "is not a mail address"),
        (("--email", "a@b\\' or 1"), "is not a mail address"),
        (("--schema", 'a"b'), "is not the name of a schema"),
        (("--workspace", "a'b"), "is not the id of a workspace"),
        (("--dialect", "oracle"), "invalid choice"),
    ],
)
def test_a_value_that_cannot_be_is_refused(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    erase.add_arguments(parser)
    given = ("--catalog", "x.json", "--dialect", "duckdb", "--contact", PERSON)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([*given, *flags])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_process_ends_with_2_and_says_why_in_its_last_line(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps({"streams": [entry("tags")]}))
    given = ("erase", "--catalog", str(catalog), "--dialect", "duckdb", "--contact", PERSON)
    output = run_tap(*given)
    assert output.code == 2
    assert not output.stdout
    assert "nothing to erase" in output.last_log_line
