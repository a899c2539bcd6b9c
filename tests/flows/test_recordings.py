"""Answers that were recorded from the live API arrive whole, without a warning.

They are data beside the repository, not part of it: without them, these tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Output, Tap
from paths import BESIDE
from truth import differences, shaped

from intercom_sandbox import Sandbox, Workspace

RECORDED = BESIDE / "recorded"
VERSION = "2.11"

# The recorded answers that each table is made of, and where its records are in them.
TABLES = {
    "admins": ("get-admins-?", "admins"),
    "articles": ("get-articles-?", "data"),
    "collections": ("get-help_center-collections-?", "data"),
    "companies": ("get-companies-scroll-?", "data"),
    "contact_notes": ("get-contacts-id-notes-?", "data"),
    "contacts": ("post-contacts-search-?", "data"),
    "conversation_parts": ("", "conversation_parts"),
    "conversations": ("get-conversations-id-*", ""),
    "segments": ("get-segments-?", "segments"),
    "tags": ("get-tags-?", "data"),
}
COLUMNS_OF_PARENT = (
    "contact_id",
    "contact_updated_at",
    "conversation_created_at",
    "conversation_id",
    "conversation_total_parts",
    "conversation_updated_at",
)

Record = dict[str, Any]


def recorded(table: str) -> dict[str, Record]:
    """The records of a table by id."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded answers of the live API are not at hand")
    pattern, key = TABLES[table]
    if table == "conversation_parts":
        bodies = [each["conversation_parts"] for each in recorded("conversations").values()]
    else:
        bodies = [json.loads(path.read_text())["body"] for path in RECORDED.glob(f"{pattern}.json")]
    records = [record for body in bodies for record in (body[key] if key else [body])]
    return {record["id"]: record for record in records}


def path_of_notes() -> str:
    """The path of the contact whose notes were recorded."""
    path: str = json.loads((RECORDED / "get-contacts-id-notes-1.json").read_text())["path"]
    return path


def without_parts(conversation: Record) -> Record:
    return {key: value for key, value in conversation.items() if key != "conversation_parts"}


def bounds(query: Any) -> Iterator[tuple[str, int]]:
    """The operators and values that a search compares updated_at with."""
    if isinstance(query["value"], list):
        for each in query["value"]:
            yield from bounds(each)
    elif query["field"] == "updated_at":
        yield query["operator"], int(query["value"])


def found(call: Any, records: dict[str, Record], key: str) -> Record:
    """The answer to a search."""
    limits = list(bounds(json.loads(call.body)["query"]))
    matching = [
        record
        for record in records.values()
        if all(
            record["updated_at"] > value if operator == ">" else record["updated_at"] < value
            for operator, value in limits
        )
    ]
    return {"type": "list", key: matching, "total_count": len(matching)}


def body_for(call: Any) -> Record:
    records = {table: recorded(table) for table in TABLES}
    match call.path.split("/")[1:]:
        case ["contacts", "search"]:
            return found(call, records["contacts"], "data")
        case ["conversations", "search"]:
            conversations = {
                each: without_parts(record) for each, record in records["conversations"].items()
            }
            return found(call, conversations, "conversations")
        case ["conversations", conversation_id]:
            return records["conversations"][conversation_id]
        case ["contacts", _, "notes"]:
            notes = list(records["contact_notes"].values())
            return {"type": "list", "data": notes if call.path == path_of_notes() else []}
        case ["companies", "scroll"]:
            companies = list(records["companies"].values())
            data = [] if "scroll_param" in call.query else companies
            return {"type": "list", "data": data, "scroll_param": "next"}
        case ["help_center", "collections"]:
            table = "collections"
        case [name]:
            table = name
    rows = list(records[table].values())
    return {"type": "list", TABLES[table][1]: rows, "total_count": len(rows)}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """One run that reads all that was recorded."""
    recorded("contacts")

    def answer(call: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, json.dumps(body_for(call)).encode()

    paths = "admins|articles|contacts/.*|conversations/[^a].*|companies/scroll|segments|tags"
    with Sandbox(Workspace()) as sandbox:
        sandbox.faults.add(
            "answer", path=f"^/({paths}|help_center/collections)$", times=None, answer=answer
        )
        tap = Tap(sandbox, tmp_path_factory.mktemp("recorded"))
        output = tap.sync(*TABLES, api_version=VERSION, start_date="2010-01-01", body_format="html")
    assert output.code == 0, output.log
    return output


@pytest.mark.parametrize("table", TABLES)
def test_every_recorded_value_arrives(replayed: Output, table: str) -> None:
    arrived = {record["id"]: record for record in replayed.records(table)}
    sent = recorded(table)
    assert sent.keys() == arrived.keys()
    schema = replayed.schema(table)
    problems = []
    for record_id, raw in sent.items():
        record = {
            name: value
            for name, value in arrived[record_id].items()
            if name in raw or name not in COLUMNS_OF_PARENT
        }
        expected = shaped(table, without_parts(raw) if table == "conversations" else raw)
        problems += [f"{record_id}{each}" for each in differences(expected, record, schema)]
    assert not problems, "\n".join(problems[:10])


def test_the_run_warns_only_of_attributes_whose_types_were_not_recorded(replayed: Output) -> None:
    warnings = replayed.log_lines("WARNING")
    named = [line for line in warnings if "does not have these custom attributes" in line]
    assert warnings == named
    assert "companies" in named[0]
