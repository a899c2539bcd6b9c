"""Print SQL that removes a person from the tables that a catalog selects.

Nothing is sent to Intercom or to a database. Delete the person in Intercom first, or the next sync
brings them back.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tap_intercom import __version__, messages
from tap_intercom.catalog import WORKSPACE_ID, selected_schemas
from tap_intercom.erasure.plan import plan
from tap_intercom.erasure.sql import DIALECTS
from tap_intercom.erasure.steps import IsOneOf
from tap_intercom.erasure.tables import Person, Table, marked
from tap_intercom.errors import ConfigError
from tap_intercom.files import read_json
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.records.privacy import mark_of_column
from tap_intercom.streams.reporting import ReportingDataset

STDOUT = 1
# Intercom's ids of contacts are 24 hexadecimal digits.
_CONTACT_ID = re.compile(r"[0-9a-f]{24}")
_ADDRESS = re.compile(r"[^\s@\\\x00-\x1f\x7f]+@[^\s@\\\x00-\x1f\x7f]+")
# The column of Intercom's conversation.conversation_id in datasets.
_CONVERSATION = "conversation_conversation_id"
_OF_PEOPLE = "people_"
_WORKSPACE = re.compile(r"\w+")
_SCHEMA = re.compile(r"[\w$-]+(\.[\w$-]+)*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--catalog",
        required=True,
        type=Path,
        metavar="FILE",
        help="catalog file of the syncs: its selected streams and fields are in the target",
    )
    parser.add_argument(
        "--contact",
        required=True,
        action="append",
        type=_contact_id,
        metavar="ID",
        help="Intercom's id of the person (contacts.id); repeat it if they have several",
    )
    parser.add_argument(
        "--email",
        default=[],
        action="append",
        type=_address,
        metavar="ADDRESS",
        help="mail address of the person, to find them where Intercom gives no id; may be repeated",
    )
    parser.add_argument(
        "--dialect", required=True, choices=sorted(DIALECTS), help="database to write SQL for"
    )
    parser.add_argument(
        "--schema", type=_schema, metavar="NAME", help="schema (or dataset) with the tables"
    )
    parser.add_argument(
        "--workspace",
        type=_workspace,
        metavar="ID",
        help="only rows of this workspace, if the tables have rows of several: its id in the "
        f"column {WORKSPACE_ID} of the setting add_workspace_id",
    )
    parser.add_argument(
        "--conversations",
        choices=("delete", "blank"),
        default="delete",
        help="what becomes of conversations, tickets and calls without other contacts: delete "
        "their rows, or keep rows without personal columns (default: delete)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the script and return the exit code."""
    tables = list(_tables(read_json("catalog", options.catalog)))
    if not tables:
        raise ConfigError("catalog: no stream is selected, so there is nothing to erase")
    person = Person(_unique(options.contact), _unique(options.email))
    steps = plan(tables, person, keeps_talks=options.conversations == "blank")
    if not steps:
        raise ConfigError("catalog: no selected stream holds data of contacts: nothing to erase")
    only = None if options.workspace is None else IsOneOf((WORKSPACE_ID,), (options.workspace,))
    dialect = DIALECTS[options.dialect](options.schema, only)
    messages.write(STDOUT, dialect.script(steps, _title(person)).encode())
    return 0


def _title(person: Person) -> list[str]:
    return [
        f"Erases {', '.join(person.ids)}. Made by tap-intercom {__version__}; read it first.",
        "Delete the person in Intercom before, or the next sync brings them back.",
    ]


def _tables(catalog: Any) -> Iterator[Table]:
    for stream, name, schema in selected_schemas(catalog):
        is_dataset = isinstance(stream, ReportingDataset)
        notes = _notes_of_dataset(schema) if is_dataset else annotated_schema(stream.name)
        yield Table(stream.name, name, stream.key_properties, marked(schema, notes))


def _notes_of_dataset(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of the columns of a dataset, which has no schema file."""
    notes: dict[str, dict[str, str]] = {
        name: {"x-personal": "text"} if name.startswith(_OF_PEOPLE) else mark_of_column(name)
        for name in schema["properties"]
    }
    if _CONVERSATION in notes:
        notes[_CONVERSATION] = {"references": "conversations.id"}
    return {"properties": notes}


def _unique(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _contact_id(text: str) -> str:
    if not _CONTACT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an id of a contact: 24 digits and letters from a to f"
        )
    return text


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a mail address")
    return text.lower()


def _workspace(text: str) -> str:
    if not _WORKSPACE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a workspace")
    return text


def _schema(text: str) -> str:
    if not _SCHEMA.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a schema")
    return text
