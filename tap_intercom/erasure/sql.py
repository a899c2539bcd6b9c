"""The steps of an erasure as SQL, in the dialects of four databases."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tap_intercom.erasure.steps import (
    AllOf,
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
    Path,
    RemoveEntries,
    Step,
    Subtract,
    all_of,
)

ENTRY = "entry"


class Dialect:
    """What all dialects share. A subclass says how its database reads and changes JSON."""

    begin = "begin;"
    commit = "commit;"
    union = "union"
    collects_first = False

    def __init__(self, schema: str | None = None, only: Condition | None = None) -> None:
        """Take the schema of all tables, and a condition on each row, such as its workspace."""
        self._schema = schema
        self._only = only

    # -- Names and values ------------------------------------------------------------------------

    def name(self, name: str) -> str:
        """Return a quoted name."""
        return '"' + name.replace('"', '""') + '"'

    def table(self, name: str) -> str:
        names = [*(self._schema.split(".") if self._schema else []), name]
        return ".".join(map(self.name, names))

    def literal(self, text: str) -> str:
        """Return a quoted text."""
        return "'" + text.replace("'", "''") + "'"

    def literals(self, texts: Sequence[str]) -> str:
        return ", ".join(map(self.literal, texts))

    def ids(self, name: str) -> str:
        """Return the table of a set of ids."""
        return f"tap_intercom_{name}"

    def json_path(self, path: Path) -> str:
        return ".".join(("$", *path))

    # -- JSON ------------------------------------------------------------------------------------

    def inside(self, root: str, path: Path) -> str:
        """Return a value inside JSON as text."""
        raise NotImplementedError

    def has_entry(self, column: str, path: Path, condition: str) -> str:
        """Return whether a list inside a column has an entry that fits a condition."""
        raise NotImplementedError

    def without_entries(self, table: str, column: str, path: Path, condition: str) -> str:
        """Return a column without the entries of a list that fit a condition."""
        raise NotImplementedError

    # -- Conditions ------------------------------------------------------------------------------

    def condition(self, condition: Condition, root: str | None = None) -> str:
        """Return a condition on a row, or on the JSON named root."""
        if isinstance(condition, IsOneOf):
            value = self._value(condition.path, root)
            value = f"lower({value})" if condition.in_any_case else value
            return f"{value} in ({self.literals(condition.values)})"
        if isinstance(condition, IsAmong):
            ids = f"select id from {self.ids(condition.ids)}"
            return f"{self._value(condition.path, root)} in ({ids})"
        if isinstance(condition, IsNull):
            return f"{self._value(condition.path, root)} is null"
        if isinstance(condition, Not):
            return f"not ({self.condition(condition.condition, root)})"
        if isinstance(condition, HasEntry):
            column, path = self.name(condition.path[0]), condition.path[1:]
            return self.has_entry(column, path, self.condition(condition.condition, ENTRY))
        joint = " and " if isinstance(condition, AllOf) else " or "
        return f"({joint.join(self.condition(each, root) for each in condition.conditions)})"

    def _value(self, path: Path, root: str | None) -> str:
        if root is not None:
            return self.inside(root, path)
        column = self.name(path[0])
        return self.inside(column, path[1:]) if path[1:] else column

    def where(self, condition: Condition) -> str:
        """Return a condition on the rows of a statement."""
        return self.condition(all_of(*([self._only] if self._only else []), condition))

    # -- Statements ------------------------------------------------------------------------------

    def script(self, steps: Sequence[Step], title: Sequence[str]) -> str:
        """Return the statements of all steps as one script, below some lines about it."""
        collected = [each for each in steps if isinstance(each, (Collect, Subtract))]
        changes = [each for each in steps if each not in collected]
        blocks = [[self.begin], *map(self._block, changes), [self.commit]]
        place = 0 if self.collects_first else 1
        blocks[place:place] = map(self._block, collected)
        blocks.insert(0, [f"-- {line}" for line in title])
        return "\n\n".join(map("\n".join, blocks)) + "\n"

    def _block(self, step: Step) -> list[str]:
        return [f"-- {step.why}.", f"{self.statement(step)};"]

    def statement(self, step: Step) -> str:
        if isinstance(step, Collect):
            return self.create(step.ids, self._union(step))
        if isinstance(step, Subtract):
            part = f"select id from {self.ids(step.part)}"
            return self.create(
                step.ids, f"select id from {self.ids(step.whole)} where id not in ({part})"
            )
        if isinstance(step, ListFiles):
            values = step.values
            column, where = self.name(values.column), self.where(values.where)
            key = self.name("id")
            rows = f"from {self.table(values.table)}\nwhere {column} is not null and {where}"
            folder = f"regexp_replace({column}, '/[^/]*$', '')"
            # Where `attachments.storage` keeps its notes.
            note = f"'.tap-intercom/stored/' || substr({key}, 1, 2) || '/' || {key} || '.json'"
            return f"select {folder} {rows}\n{self.union}\nselect {note} {rows}"
        if isinstance(step, DeleteRows):
            return f"delete from {self.table(step.table)}\nwhere {self.where(step.where)}"
        if isinstance(step, BlankColumns):
            values_ = ", ".join(f"{self.name(each)} = null" for each in step.columns)
            where = self.where(step.where)
            return f"update {self.table(step.table)}\nset {values_}\nwhere {where}"
        return self._remove(step)

    def create(self, ids: str, query: str) -> str:
        """Return a statement that keeps the ids of a query until the session ends."""
        return f"create or replace temporary table {self.ids(ids)} as\n{query}"

    def _union(self, step: Collect) -> str:
        if not step.sources:
            return f"select id from (select {self.literal('')} as id) as nothing where id <> ''"
        queries = []
        for each in step.sources:
            column, where = self.name(each.column), self.where(each.where)
            queries.append(
                f"select {column} as id from {self.table(each.table)}\n"
                f"where {column} is not null and {where}"
            )
        return f"\n{self.union}\n".join(queries)

    def _remove(self, step: RemoveEntries) -> str:
        table, column, path = self.table(step.table), self.name(step.path[0]), step.path[1:]
        condition = self.condition(step.condition, ENTRY)
        where = self.where(HasEntry(step.path, step.condition))
        return (
            f"update {table}\n"
            f"set {column} = {self.without_entries(table, column, path, condition)}\n"
            f"where {where}"
        )


class PostgreSQL(Dialect):
    """Columns of objects are jsonb. Those of lists are jsonb or jsonb[], as the target likes."""

    def inside(self, root: str, path: Path) -> str:
        return f"{self._json(root, path[:-1])}->>{self.literal(path[-1])}"

    def _json(self, root: str, path: Path) -> str:
        return "->".join((root, *map(self.literal, path)))

    def has_entry(self, column: str, path: Path, condition: str) -> str:
        entries = f"{self._entries(column, path)} as list({ENTRY})"
        return f"exists (select 1 from {entries} where {condition})"

    def _entries(self, column: str, path: Path) -> str:
        found = self._json(column, path) if path else f"to_jsonb({column})"
        is_list = f"jsonb_typeof({found}) = 'array'"
        return f"jsonb_array_elements(case when {is_list} then {found} end)"

    def without_entries(self, table: str, column: str, path: Path, condition: str) -> str:
        kept = (
            f"(select coalesce(jsonb_agg({ENTRY} order by place), '[]') from "
            f"{self._entries(column, path)} with ordinality as list({ENTRY}, place) "
            f"where not coalesce({condition}, false))"
        )
        if path:
            return f"jsonb_set({column}, array[{self.literals(path)}], {kept})"
        # This makes what the column is of.
        row = f"jsonb_build_object({self.literal(column[1:-1])}, {kept})"
        return f"(jsonb_populate_record(cast(null as {table}), {row})).{column}"

    def create(self, ids: str, query: str) -> str:
        return f"create temporary table {self.ids(ids)} on commit drop as\n{query}"


class DuckDB(Dialect):
    """Columns of objects and lists are json, or text with JSON."""

    def inside(self, root: str, path: Path) -> str:
        return f"json_extract_string({root}, {self.literal(self.json_path(path))})"

    def _entries(self, column: str, path: Path, condition: str) -> str:
        found = f"json_extract({column}, {self.literal(self.json_path(path))})"
        return f"[{ENTRY} for {ENTRY} in cast({found} as json[]) if {condition}]"

    def has_entry(self, column: str, path: Path, condition: str) -> str:
        return f"len({self._entries(column, path, condition)}) > 0"

    def without_entries(self, table: str, column: str, path: Path, condition: str) -> str:
        kept = self._entries(column, path, f"not coalesce({condition}, false)")
        if not path:
            return f"to_json({kept})"
        for name in reversed(path):
            kept = f"json_object({self.literal(name)}, {kept})"
        return f"json_merge_patch({column}, {kept})"


class Snowflake(Dialect):
    """Columns of objects and lists are variant. Names are upper case."""

    # Each statement that makes a table ends a transaction.
    collects_first = True

    def ids(self, name: str) -> str:
        # There are no tables without a schema, not even temporary ones.
        return self.table(super().ids(name))

    def name(self, name: str) -> str:
        return super().name(name.upper())

    def literal(self, text: str) -> str:
        return super().literal(text.replace("\\", "\\\\"))

    def inside(self, root: str, path: Path) -> str:
        return f"cast(get_path({root}, {self.literal('.'.join(path))}) as varchar)"

    def _entries(self, column: str, path: Path, condition: str) -> str:
        found = f"get_path({column}, {self.literal('.'.join(path))})" if path else column
        return f"filter(cast({found} as array), {ENTRY} -> {condition})"

    def has_entry(self, column: str, path: Path, condition: str) -> str:
        return f"array_size({self._entries(column, path, condition)}) > 0"

    def without_entries(self, table: str, column: str, path: Path, condition: str) -> str:
        kept = self._entries(column, path, f"not coalesce({condition}, false)")
        for depth in range(len(path), 0, -1):
            outer = path[: depth - 1]
            found = f"get_path({column}, {self.literal('.'.join(outer))})" if outer else column
            name = self.literal(path[depth - 1])
            kept = f"object_insert(cast({found} as object), {name}, {kept}, true)"
        return f"cast({kept} as variant)"


class BigQuery(Dialect):
    """Columns of objects and lists are json."""

    begin = "begin transaction;"
    commit = "commit transaction;"
    union = "union distinct"

    def name(self, name: str) -> str:
        return "`" + re.sub(r"([\\`])", r"\\\1", name) + "`"

    def literal(self, text: str) -> str:
        return "'" + re.sub(r"([\\'])", r"\\\1", text) + "'"

    def inside(self, root: str, path: Path) -> str:
        return f"json_value({root}, {self.literal(self.json_path(path))})"

    def _entries(self, column: str, path: Path) -> str:
        found = f"json_query_array({column}, {self.literal(self.json_path(path))})"
        return f"unnest({found}) as {ENTRY}"

    def has_entry(self, column: str, path: Path, condition: str) -> str:
        return f"exists (select 1 from {self._entries(column, path)} where {condition})"

    def without_entries(self, table: str, column: str, path: Path, condition: str) -> str:
        kept = (
            f"array(select {ENTRY} from {self._entries(column, path)} with offset as place "
            f"where not coalesce({condition}, false) order by place)"
        )
        if not path:
            return f"to_json({kept})"
        return f"json_set({column}, {self.literal(self.json_path(path))}, to_json({kept}))"


DIALECTS: dict[str, type[Dialect]] = {
    "postgres": PostgreSQL,
    "duckdb": DuckDB,
    "snowflake": Snowflake,
    "bigquery": BigQuery,
}
