"""Steps of an erasure as SQL of four databases."""

from __future__ import annotations

import pytest
import sqlglot
from erasable import PERSON, every_table
from sqlglot import expressions

from tap_intercom.erasure.plan import plan
from tap_intercom.erasure.sql import DIALECTS
from tap_intercom.erasure.steps import (
    AllOf,
    AnyOf,
    BlankColumns,
    Collect,
    Condition,
    DeleteRows,
    HasEntry,
    IsAmong,
    IsNull,
    IsOneOf,
    ListFiles,
    Not,
    RemoveEntries,
    Subtract,
    Values,
)
from tap_intercom.erasure.tables import Person

PERSONS = IsOneOf(("id",), ("7",))
STEPS = (Collect("calls", (), "Calls"), DeleteRows("calls", PERSONS, "Rows"))
TEXTS = ("plain", "o'neil@x.org", "''", "back\\slash", "\\'; drop table contacts; --", '"`$$')


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_one_literal(dialect: str, text: str) -> None:
    literal = DIALECTS[dialect]().literal(text)
    (read,) = sqlglot.parse_one(f"select {literal}", read=dialect).find_all(expressions.Literal)
    assert read.is_string
    assert read.this == text


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["contacts", "my table", 'a"b', "select", "a;b"])
def test_a_name_is_one_identifier(dialect: str, name: str) -> None:
    quoted = DIALECTS[dialect]().name(name)
    (read,) = sqlglot.parse_one(f"select {quoted}", read=dialect).find_all(expressions.Identifier)
    assert read.this == (name.upper() if dialect == "snowflake" else name)


# The parser does not know all of PostgreSQL, where tests/e2e/test_erasure.py runs the script.
@pytest.mark.parametrize("dialect", sorted(DIALECTS.keys() - {"postgres"}))
@pytest.mark.parametrize("keeps_talks", [False, True])
def test_a_parser_of_the_database_reads_the_script(dialect: str, keeps_talks: bool) -> None:
    steps = plan(every_table(), Person((PERSON,), ("o'neil@x.org",)), keeps_talks=keeps_talks)
    script = DIALECTS[dialect]("intercom").script(steps, ["Title."])
    statements = [each for each in sqlglot.parse(script, read=dialect) if each is not None]
    # And begin and commit.
    assert len(statements) == len(steps) + 2
    kinds = {type(each).__name__ for each in statements}
    assert kinds == {"Transaction", "Commit", "Create", "Union", "Delete", "Update"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (IsOneOf(("id",), ("1", "2")), "\"id\" in ('1', '2')"),
        (IsOneOf(("email",), ("a@b",), in_any_case=True), "lower(\"email\") in ('a@b')"),
        (IsOneOf(("source", "author", "id"), ("1",)), "\"source\"->'author'->>'id' in ('1')"),
        (IsAmong(("id",), "calls"), '"id" in (select id from tap_intercom_calls)'),
        (IsNull(("id",)), '"id" is null'),
        (Not(PERSONS), "not (\"id\" in ('7'))"),
        (AllOf((PERSONS, IsNull(("a",)))), '("id" in (\'7\') and "a" is null)'),
        (AnyOf((PERSONS, IsNull(("a",)))), '("id" in (\'7\') or "a" is null)'),
    ],
)
def test_a_condition_becomes_sql(condition: Condition, expected: str) -> None:
    assert DIALECTS["postgres"]().condition(condition) == expected


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("duckdb", "json_extract_string(\"source\", '$.author.id')"),
        ("snowflake", "cast(get_path(\"SOURCE\", 'author.id') as varchar)"),
        ("bigquery", "json_value(`source`, '$.author.id')"),
    ],
)
def test_a_value_inside_json_is_read_as_text(dialect: str, expected: str) -> None:
    condition = IsOneOf(("source", "author", "id"), ("1",))
    assert DIALECTS[dialect]().condition(condition) == f"{expected} in ('1')"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_entries_of_other_people_are_kept_if_a_condition_is_unknown(dialect: str) -> None:
    for path in (("contacts",), ("contacts", "contacts")):
        step = RemoveEntries("t", path, PERSONS, "why")
        statement = DIALECTS[dialect]().statement(step)
        condition = DIALECTS[dialect]().condition(PERSONS, "entry")
        assert f"not coalesce({condition}, false)" in statement
        assert DIALECTS[dialect]().condition(HasEntry(path, PERSONS)) in statement


def test_each_step_becomes_a_statement() -> None:
    sql = DIALECTS["postgres"]("intercom")
    values = Values("calls", "id", PERSONS)
    found = [
        sql.statement(step)
        for step in (
            Collect("calls", (values, values), "why"),
            Subtract("own", "calls", "shared", "why"),
            ListFiles(Values("attachments", "path", PERSONS), "why"),
            DeleteRows("calls", PERSONS, "why"),
            BlankColumns("calls", ("phone", "a"), PERSONS, "why"),
        )
    ]
    select = 'select "id" as id from "intercom"."calls"\nwhere "id" is not null and "id" in (\'7\')'
    files = 'from "intercom"."attachments"\nwhere "path" is not null and "id" in (\'7\')'
    create = "create temporary table tap_intercom_{} on commit drop as\n"
    assert found == [
        f"{create.format('calls')}{select}\nunion\n{select}",
        f"{create.format('own')}select id from tap_intercom_calls "
        "where id not in (select id from tap_intercom_shared)",
        f"select regexp_replace(\"path\", '/[^/]*$', '') {files}\nunion\n"
        "select '.tap-intercom/stored/' || substr(\"id\", 1, 2) || '/' || \"id\" || '.json' "
        f"{files}",
        'delete from "intercom"."calls"\nwhere "id" in (\'7\')',
        'update "intercom"."calls"\nset "phone" = null, "a" = null\nwhere "id" in (\'7\')',
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_set_without_sources_is_empty(dialect: str) -> None:
    statement = DIALECTS[dialect]().statement(Collect("shared", (), "why"))
    assert "where id <> ''" in statement
    sqlglot.parse_one(statement, read=dialect)


def test_every_statement_is_in_one_transaction() -> None:
    script = DIALECTS["postgres"]().script(STEPS, ["Title."])
    lines = [line for line in script.splitlines() if line]
    assert lines[:2] == ["-- Title.", "begin;"]
    assert lines[-1] == "commit;"
    assert "-- Calls." in lines
    assert lines.index("-- Rows.") < lines.index("commit;")


def test_snowflake_makes_tables_before_the_transaction_that_they_would_end() -> None:
    lines = DIALECTS["snowflake"]().script(STEPS, ["Title."]).splitlines()
    assert lines.index("-- Calls.") < lines.index("begin;") < lines.index("-- Rows.")


def test_names_of_schemas_have_parts() -> None:
    assert DIALECTS["bigquery"]("my-project.intercom").table("calls") == (
        "`my-project`.`intercom`.`calls`"
    )
    assert DIALECTS["postgres"]().table("calls") == '"calls"'
