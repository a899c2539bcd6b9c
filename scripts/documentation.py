"""Write the generated files; --check reports outdated ones.

These are the tables of the documentation, the number of tables in the README, what Meltano and its
Hub must know, and tests/about.json, which is what `tap-intercom --about --format json` prints.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from joins import joins_of, workspace_join
from meltano_plugin import for_hub, for_project
from personal_fields import personal_fields

from tap_intercom.commands.about import (
    Table,
    about,
    columns_table,
    exit_codes_table,
    markdown,
    settings_table,
    streams_table,
)
from tap_intercom.probes import PROBES
from tap_intercom.reading.stream import Stream, load_schema
from tap_intercom.streams import STREAMS
from tap_intercom.streams.deletions import DETECTED
from tap_intercom.versions import is_described, since_text, trust_text

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def areas() -> dict[str, list[Stream]]:
    """The streams by the module of `tap_intercom.streams` that they are in."""
    found: dict[str, list[Stream]] = {}
    for stream in STREAMS.values():
        found.setdefault(type(stream).__module__.rpartition(".")[2], []).append(stream)
    return dict(sorted(found.items()))


def areas_table() -> Table:
    return [
        {
            "area": area,
            "columns of": ", ".join(
                f"[{stream.name}](streams/{area}.md#{stream.name})" for stream in streams
            ),
        }
        for area, streams in areas().items()
    ]


def probes_table() -> Table:
    return [
        {
            "name": probe.name,
            "question": probe.question,
            "assumption of the tap": probe.assumption,
            "if it does not hold": f"It concerns {probe.endangers}. {probe.if_not}",
            "facts": ", ".join(probe.facts),
        }
        for probe in PROBES
    ]


TABLES: dict[str, dict[str, Callable[[], Table]]] = {
    "docs/settings.md": {"settings": settings_table},
    "docs/streams.md": {"areas": areas_table, "streams": streams_table},
    "docs/deep-check.md": {"probes": probes_table},
    "docs/operations.md": {"exit-codes": exit_codes_table},
}


def with_table(text: str, name: str, table: Table) -> str:
    """The text with a table between `<!-- NAME -->` and `<!-- /NAME -->`."""
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    found = pattern.search(text)
    if found is None:
        raise SystemExit(f"there is no place for the table {name}")
    return f"{text[: found.start()]}{found[1]}{markdown(table)}\n{found[2]}{text[found.end() :]}"


def page_of_area(area: str, streams: list[Stream]) -> str:
    """A page that describes the streams of an area."""
    parts = [
        "<!-- scripts/documentation.py writes this page. -->",
        f"# {area.capitalize()}",
        "All times are in UTC. `object.field` is a field inside an object, and `list[].field` is a "
        "field inside the objects of a list. All columns except the key may be null.",
    ]
    for stream in streams:
        facts = "\n".join(f"- **{name}:** {text}" for name, text in facts_of(stream))
        parts += [
            f"## {stream.name}",
            stream.summary,
            facts,
            markdown(columns_table(stream)),
        ]
    return "\n\n".join(parts) + "\n"


def facts_of(stream: Stream) -> Iterator[tuple[str, str]]:
    yield "Key", ", ".join(f"`{name}`" for name in stream.key_properties)
    time = stream.replication_key
    yield "Replication", "full" if time is None else f"incremental by `{time}`"
    yield "Permission", stream.permission
    yield "Requests", stream.request_cost
    if stream.advice:
        yield "Which to take", stream.advice
    if stream.first_version > Stream.first_version:
        trust = "" if is_described(stream.first_version) else f". {trust_text()}"
        yield "API version", f"{since_text(stream.first_version)}{trust}"
    if found := " ".join(deletes_of(stream)):
        yield "Deleted records", found


def deletes_of(stream: Stream) -> Iterator[str]:
    """What a target sees of a record that is deleted in Intercom."""
    columns = load_schema(stream.name)["properties"]
    for flag, record in (("archived", "An archived record"), ("deleted", "A deleted record")):
        if flag in columns:
            yield f"{record} is still sent, with `{flag}` true."
    if stream.name in DETECTED:
        yield "With `detect_deletes`, see [Deletes](../streams.md#deletes)."
    elif stream.parent and any(re.fullmatch("[a-z]+_updated_at", name) for name in columns):
        yield "See [Removed links](../streams.md#removed-links)."
    elif stream.is_snapshot or stream.is_append_only or stream.not_sent_again:
        return
    elif stream.replication_key is None:
        yield "Each run reads all records. Its ACTIVATE_VERSION removes deleted ones."
    elif not stream.name.startswith("content_export_"):
        yield "An incremental run does not detect them. A full read (`FULL_TABLE`) removes them."


JOINS = """<!-- scripts/documentation.py writes this page. -->

# Joins

Each row is one join between two tables: from an id to the column that it is the id of. All ids are
text, except for some columns of the eleven core tables, which keep the type that they always had.
The column *cast* names them.

The SQL is for DuckDB. A target that stores an object as JSON needs `->` and `->>`, as here. One
that makes a column of each field inside it, such as `ticket_type__id`, needs only that column. A
list is JSON too: `unnest` makes a row of each entry. In PostgreSQL this is `jsonb_array_elements`.

An id joins nothing if it is empty, or if Intercom no longer has the record. The column *0, null or
empty* says what that value means. An id that several tables may have is in several rows, each with
the condition that tells them apart. Fields that copy another table are left out, except for their
id."""


def page_of_joins() -> str:
    """The page that lists all joins."""
    parts = [JOINS]
    for area, streams in areas().items():
        rows = [row for stream in streams for row in joins_of(stream)]
        parts += [f"## {area.capitalize()}", markdown(rows)]
    parts += [
        "## The workspace of a row",
        "The setting `add_workspace_id` adds the same column to each table:",
        markdown(workspace_join("contacts")),
    ]
    return "\n\n".join(parts) + "\n"


PERSONAL_DATA = """<!-- scripts/documentation.py writes this page. -->

# Personal data

The setting `personal_data` decides what becomes of names, addresses, texts and everything else
that says something of a person. `tap-intercom check` shows the mode of each selected stream.

| mode | what the tap writes |
| --- | --- |
| `keep` (default) | all values as Intercom sends them |
| `hash` | a hash for each identifier, address and name; null for all other personal values |
| `drop` | null for each personal value |

In each mode, these stay: ids that Intercom made, times, numbers, true and false, states, and the
names of what your company set up, such as tags, teams and articles. SCHEMA messages say that a
hashed column is text. Logs and the state hold no personal value in any mode.

```json
{
  "personal_data": "hash",
  "keep_fields": {"contacts": ["location.country", "custom_attributes.plan"]},
  "hash_fields": {"contacts": ["custom_attributes.account_number"]}
}
```

In `keep_fields` and `hash_fields`, write the names of fields as in the tables below. `*` stands
for any text. `hash_fields` also works with `keep` and `drop`, and wins over `keep_fields`. A custom
attribute is personal unless `keep_fields` names it. So is a column that the tap does not know.
A run ends with exit code 2 if `hash_fields` names a field that the table does not have, or a key.

A column of a reporting dataset is personal unless Intercom's documentation names it as an id, a
time, a count or a state. In mode `hash`, addresses, names and the ids of users and companies
become hashes, and all others null.

Files are personal data too: see [Attachments](attachments.md#set-up).

## A hash is a pseudonym

A hash is the HMAC-SHA256 of a value with your `hash_key`, as 64 hexadecimal characters. The same
value and key give the same hash in every stream and every run. Nobody can compute it without the
key. But rows of one person still belong together, and whoever has the key can compute the hash of
an address that they know and look for it. So the data is pseudonymous, not anonymous, and privacy
laws such as the GDPR still apply. If nobody needs to join or count people, use `drop`.

## The key

Make a key with at least 32 random bytes:

```sh
openssl rand -hex 32
```

Keep it in a secret store, apart from the data, and give it to the tap in the variable
`TAP_INTERCOM_HASH_KEY` with `--config ENV`, or in a config file that only the tap can read. Who
reads the warehouse must not have it. Keep a copy: without the key, new rows do not join old ones.
Use one key for all workspaces whose people you compare, and another one for each other workspace.

## How values are compared

Before the tap hashes a value, it removes differences of spelling:

- **Mail addresses and domains** lose spaces at both ends and become lower case.
- **Phone numbers** keep only their digits: `+44 (20) 123-4` and `44 20 1234` are equal.
- **Identifiers and names** lose spaces at both ends. Upper and lower case differ.
- **Numbers and objects** are hashed as JSON text with sorted keys, and lists entry by entry.

To find a person whose address you know, hash it in the same way:

```python
import hashlib, hmac

hmac.new(key.encode(), address.strip().lower().encode(), hashlib.sha256).hexdigest()
```

## Joins

[Joins](joins.md) work as before. Ids of Intercom do not change. Your own ids are hashed on both
sides of a join, as in `contacts.external_id = events.user_id`. To join a table of your own, add a
column with the same hash to it. A hash joins only if both sides have the same kind: `contact` and
`name` are compared in different ways.

If a setting keeps or hashes one side of a join, name the other side too.

## Change the mode or the key

A run changes only the rows that it sends. After you change `personal_data`, `hash_key`,
`hash_fields` or `keep_fields`, the rows of earlier runs stay as they were, and hashes of two keys
do not join. So load everything again:

1. Empty the tables, or load into another schema. Keys such as `_sdc_record_hash` depend on
   `hash_key`, so old and new rows would not replace each other.
2. Move the state file away, so the next run begins at `start_date`. Move `state.json.ids` too, if
   it exists.
3. Run the tap. Then delete backups and copies of the old tables, if they hold what must not be
   there.

## Columns

The kind says what a column holds: `identifier`, `contact` (mail address, phone number, domain),
`name`, `text`, `location`, `device` or `file`. An object with a kind is changed as a whole. A
stream that is not here has no personal columns."""


def page_of_personal_data() -> str:
    """The page that says what becomes of each personal column."""
    parts = [PERSONAL_DATA]
    for stream in STREAMS.values():
        if rows := personal_fields(stream):
            parts += [f"### {stream.name}", markdown(rows)]
    return "\n\n".join(parts) + "\n"


PROBES_OF_FACT = re.compile(r"\n<!-- probes -->\n.*?<!-- /probes -->\n", re.DOTALL)


def with_probes(text: str) -> str:
    """The page of facts, each with the questions of `check --deep` about it at its end."""
    text = PROBES_OF_FACT.sub("", text)
    for fact in sorted({fact for probe in PROBES for fact in probe.facts}):
        lines = [
            f"`check --deep` asks ([{probe.name}](deep-check.md#the-questions)): {probe.question} "
            f"Assumed: {probe.assumption}."
            for probe in PROBES
            if fact in probe.facts
        ]
        block = "\n<!-- probes -->\n" + "\n\n".join(lines) + "\n<!-- /probes -->\n"
        entry = re.compile(rf"(^### {fact}:.*?\n)(?=\n##|\Z)", re.DOTALL | re.MULTILINE)
        found = entry.search(text)
        if found is None:
            raise SystemExit(f"docs/intercom-api.md has no entry {fact}")
        text = f"{text[: found.end()]}{block}{text[found.end() :]}"
    return text


def with_count(text: str) -> str:
    """The README with the number of tables."""
    text, found = re.subn(r"(?<=\*\*)\d+(?= tables)", str(len(STREAMS)), text)
    if not found:
        raise SystemExit("there is no place for the number of tables")
    return text


def generated() -> Iterator[tuple[str, str]]:
    """The files that hold what is generated, and what they should be."""
    for page, tables in TABLES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        for name, table in tables.items():
            text = with_table(text, name, table())
        yield page, text
    for area, streams in areas().items():
        yield f"docs/streams/{area}.md", page_of_area(area, streams)
    yield "docs/joins.md", page_of_joins()
    yield "docs/personal-data.md", page_of_personal_data()
    facts = "docs/intercom-api.md"
    yield facts, with_probes((ROOT / facts).read_text(encoding="utf-8"))
    yield "README.md", with_count((ROOT / "README.md").read_text(encoding="utf-8"))
    yield "tests/about.json", f"{about('json')}\n"
    project = "examples/meltano/meltano.yml"
    yield project, for_project((ROOT / project).read_text(encoding="utf-8"))
    yield "plugin/hub.yml", for_hub()


def main() -> None:
    try:
        texts = dict(generated())
    except FileNotFoundError as error:
        raise SystemExit(f"{Path(error.filename).relative_to(ROOT)} is missing") from None
    pages = {path.relative_to(ROOT).as_posix() for path in (DOCS / "streams").glob("*.md")}
    for name in sorted(pages | texts.keys()):
        path, after = ROOT / name, texts.get(name)
        before = path.read_text(encoding="utf-8") if path.exists() else None
        if "--check" in sys.argv and after != before:
            raise SystemExit(f"{name} is out of date: run scripts/documentation.py")
        if after is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
