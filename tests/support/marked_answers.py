"""A workspace that marks every free text it sends, so a test can see where each one ends up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.calls import Answer, Call
from intercom_sandbox.files import PLACE
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.streams import STREAMS

Schema = Mapping[str, Any]
MARK = re.compile(r"mk\d{6}z")
# Marks in these would make another workspace: they identify records, or say what something is.
_FIXED = re.compile(
    r"(^|(?<!external)_)(?<!message_)(?<!external_call_)(id|ids|uuid|type|state|status|cursor|starting_after|next|prev"
    r"|role|identifier|job_identfier|download_url|scroll_param|locale|timezone|time_zone"
    r"|recording_url)$|_at$|date$"
)
_CHOSEN_IDS = {
    "company": ("company_id",),
    "event": ("user_id", "id"),
}
_TIME_OR_NUMBER = re.compile(r"\d+$|\d{4}-\d\d-\d\d")
_ADDRESS = re.compile(r"(https?://[^/?]*)/?")
_MAIL = {
    "message_id": "x",
    "subject": "x",
    "email_address_headers": [{"type": "from", "email_address": "x", "name": "x"}],
}
_ADMIN = {"type": "admin", "id": "1", "name": "x", "email": "x", "job_title": "x", "avatar": "x"}
_FILE = {"type": "upload", "name": "x", "url": "https://files.example.com/x"}
# What the sandbox sends in none of its answers, by the type of the object.
_MORE: Mapping[str, Mapping[str, Any]] = {
    "note": {"body": "x", "author": _ADMIN},
    "contact": {"formatted_phone": "x"},
    "conversation_statistics": {"last_closed_by": _ADMIN},
    "conversation": {
        "customer_first_reply": {"url": "x"},
        "conversation_message": {
            "type": "conversation_message",
            "subject": "x",
            "body": "x",
            "url": "x",
            "author": _ADMIN,
            "attachments": [_FILE],
        },
    },
}
# What the tap asks about the workspace itself.
_UNMARKED_PATHS = re.compile(r"/me$|/data_attributes$|/get_datasets$")


def fields(
    schema: Schema, path: str = "", is_marked: bool = False
) -> Iterator[tuple[str, Schema, bool]]:
    """Yield path and schema of each column, and whether it or an object around it is personal."""
    is_marked = is_marked or "x-personal" in schema
    if "properties" in schema:
        for name, field in schema["properties"].items():
            yield from fields(field, f"{path}.{name}", is_marked)
    elif isinstance(schema.get("items"), Mapping):
        yield from fields(schema["items"], path, is_marked)
    else:
        yield path, schema, is_marked


def _personal_texts() -> frozenset[str]:
    """Return the names of personal fields that hold one text."""
    names = set()
    for table in STREAMS:
        for path, field, is_marked in fields(annotated_schema(table), table):
            name = path.rpartition(".")[2]
            if is_marked and "string" in field.get("type", ()) and not _FIXED.search(name):
                names.add(name)
    # Some records have an object there.
    return frozenset(names - {"avatar", "metadata", "other_attributes"})


class Marker:
    """Puts marks into texts; each mark occurs once."""

    def __init__(self) -> None:
        self._count = 0
        self._personal = _personal_texts()

    def marked(self, value: Any, name: str = "") -> Any:
        """Return a value with a mark in each free text, and in each empty personal field."""
        if isinstance(value, dict):
            found = {key: self.marked(each, key) for key, each in value.items()}
            kind = str(value.get("type"))
            for name, other in _MORE.get(kind, {}).items():
                found[name] = found.get(name) or self.marked(other)
            # Ids that a customer chose, in fields that have Intercom's ids elsewhere.
            for name in _CHOSEN_IDS.get(kind, ()):
                if name in value:
                    found[name] = self._mark()
            return found
        if isinstance(value, list):
            return [self.marked(each, name) for each in value]
        if value in (None, "") and name in self._personal:
            return self._mark()
        if not isinstance(value, str) or not value or _FIXED.search(name):
            return value
        return value if _TIME_OR_NUMBER.match(value) else self._with_mark(value)

    def _mark(self) -> str:
        self._count += 1
        return f"mk{self._count:06}z"

    def _with_mark(self, text: str) -> str:
        if text.startswith(PLACE.decode()):
            # The folder is the key of the file.
            place, question, query = text.partition("?")
            folder, _, name = place.rpartition("/")
            return f"{folder}/{self._mark()}{name}{question}{query}"
        if _ADDRESS.match(text):
            return _ADDRESS.sub(rf"\g<1>/{self._mark()}/", text, count=1)
        return self._mark() + text

    def fill(self, workspace: Workspace) -> None:
        """Add what no record of the sample has, and mark the rows of all exports."""
        file = workspace.add_file()
        part: dict[str, Any] = {"attachments": [file], "email_message_metadata": _MAIL}
        part |= {"metadata": {"quick_reply_options": [{"text": "x", "translations": {"en": "x"}}]}}
        part |= {"event_details": {"value": {"name": "x"}}, "translations": {"en": "x"}}
        part |= {"external_id": "x"}
        conversation = workspace.add_conversation()
        workspace.add_side_conversation(conversation, [part])
        workspace.reply(conversation, **part)
        ticket = workspace.add_ticket(ticket_attributes={"Undeclared": "x"})
        workspace.add_ticket_part(ticket, attachments=[file])
        contact = workspace.add_contact(custom_attributes={"Undeclared": "x"})
        workspace.add_company(custom_attributes={"Undeclared": "x"})
        details = {"event_name": "ordered", "metadata": {"what": "x"}, "user_id": "x", "id": "x"}
        workspace.load_events(contact, [details])
        for rows in workspace.export_rows.values():
            for row in rows:
                row["a_new_column"] = "x"
        self._mark_files(workspace)

    def _mark_files(self, workspace: Workspace) -> None:
        """Mark the rows of all exports."""
        for rows in (*workspace.export_rows.values(), *workspace.dataset_rows.values()):
            rows[:] = map(self.marked, rows)

    def mark_answers(self, sandbox: Sandbox) -> None:
        """Mark what the sandbox answers from now on."""
        answer = sandbox.api.answer

        def marked(call: Call) -> Answer:
            found = answer(call)
            is_json = found.status == 200 and "json" in found.content_type
            if not is_json or _UNMARKED_PATHS.search(call.path):
                return found
            return replace(found, body=orjson.dumps(self.marked(orjson.loads(found.body))))

        sandbox.api.answer = marked  # type: ignore[method-assign]


def marks_by_column(stream: str, record: Any) -> Iterator[tuple[str, str]]:
    """Yield each mark in a record, with the path of its column."""
    if isinstance(record, dict):
        for name, value in record.items():
            yield from marks_by_column(f"{stream}.{name}", value)
    elif isinstance(record, list):
        for value in record:
            yield from marks_by_column(stream, value)
    elif isinstance(record, str):
        for mark in MARK.findall(record):
            yield stream, mark


def marks_in(document: Any) -> set[str]:
    return {*MARK.findall(document if isinstance(document, str) else json.dumps(document))}
