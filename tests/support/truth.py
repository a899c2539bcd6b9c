"""What a run must have written, worked out from Intercom's own objects and not from the tap.

`assert_singer` looks at the messages alone, `assert_true` compares their records with a workspace.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema_rs
from conftest import Output

from intercom_sandbox import Workspace
from intercom_sandbox.workspace import plain_text

Record = dict[str, Any]

STREAMS = (
    "admins",
    "companies",
    "company_attributes",
    "company_segments",
    "contact_attributes",
    "contacts",
    "conversation_parts",
    "conversations",
    "segments",
    "tags",
    "teams",
)
FULL_TABLE = ("admins", "company_attributes", "contact_attributes", "tags", "teams")
HASHED = ("company_attributes", "contact_attributes")
PARTS_LIMIT = 500
FAULTS_SHOWN = 10
# PostgreSQL cuts names beyond 63 bytes; `custom_attributes__` comes before this one.
LONGEST_NAME_BYTES = 44

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UNWRAPPED = {
    "contacts": {
        "tags": "data",
        "companies": "data",
        "opted_in_subscription_types": "data",
        "opted_out_subscription_types": "data",
    },
    "companies": {"tags": "tags", "segments": "segments"},
    "conversations": {"tags": "tags", "contacts": "contacts"},
}
# Texts that Intercom sends as HTML only; the tap makes them plain unless body_format is html.
_HTML_FIELDS = {
    "contact_notes": ("body",),
    "company_notes": ("body",),
    "companies": ("notes.data.body", "notes.notes.body"),
    "conversations": (
        "source.body",
        "source.subject",
        "source.email_message_metadata.history",
        "company.notes.data.body",
        "ticket.ticket_attributes._default_description_",
        "conversation_message.body",
        "conversation_message.subject",
    ),
    "side_conversation_parts": ("body",),
    "ticket_parts": ("body",),
    "tickets": ("ticket_attributes._default_description_", "ticket_parts.ticket_parts.body"),
}
# The copies of custom attributes inside other records, and whose they are.
_ATTRIBUTE_COPIES = {
    "conversations": (
        ("company", "custom_attributes", "companies"),
        ("ticket", "ticket_attributes", "tickets"),
    ),
}
_MODELS = {"contacts": "contact", "companies": "company", "conversations": "conversation"}


# -- Messages ------------------------------------------------------------------------------------


def assert_singer(output: Output, streams: Iterable[str] = STREAMS) -> None:
    """A complete run of these streams in Singer's words, every record valid against its SCHEMA."""
    streams = set(streams)
    assert output.stdout.endswith(b"\n")
    schemas: dict[str, Any] = {}
    validators: dict[str, Any] = {}
    keys: dict[str, list[str]] = {}
    versions: defaultdict[str, set[Any]] = defaultdict(set)
    activated: dict[str, Any] = {}
    faults: list[str] = []
    for message in output.messages:
        kind, stream = message["type"], message.get("stream")
        if kind == "STATE":
            assert set(message) == {"type", "value"}
            continue
        assert stream in streams, f"{kind} for {stream}, which is not selected"
        if kind == "SCHEMA":
            assert stream not in schemas, f"a second SCHEMA for {stream}"
            schemas[stream] = message["schema"]
            validators[stream] = jsonschema_rs.Draft7Validator(
                message["schema"], validate_formats=True
            )
            keys[stream] = message["key_properties"]
            key = ["_sdc_record_hash"] if stream in HASHED else ["id"]
            assert message["key_properties"] == key
            bookmark = None if stream in FULL_TABLE else ["updated_at"]
            assert message.get("bookmark_properties") == bookmark
        elif kind == "ACTIVATE_VERSION":
            assert stream not in activated, f"a second ACTIVATE_VERSION for {stream}"
            activated[stream] = message["version"]
        else:
            assert kind == "RECORD", f"{kind} is no message that every target knows"
            assert stream in schemas, f"a RECORD of {stream} before its SCHEMA"
            assert stream not in activated, f"a RECORD of {stream} after ACTIVATE_VERSION"
            versions[stream].add(message.get("version"))
            _assert_instant(message["time_extracted"])
            record = message["record"]
            assert all(isinstance(record[key], str) and record[key] for key in keys[stream])
            unknown = record.keys() - schemas[stream]["properties"].keys()
            assert not unknown, f"{stream} has no column for {unknown}"
            for error in validators[stream].iter_errors(record):
                faults.append(f"{stream}: {error.instance_path}: {error.message[:200]}")
    assert not faults, "\n".join(faults[:FAULTS_SHOWN])
    assert set(schemas) == streams
    assert set(activated) == streams.intersection(FULL_TABLE)
    for stream, found in versions.items():
        assert found == {activated.get(stream)}, f"{stream}: {found}"
    assert output.messages[-1]["type"] == "STATE"
    assert "currently_syncing" not in output.state


def _assert_instant(text: str) -> None:
    assert text.endswith("Z")
    datetime.fromisoformat(text.replace("Z", "+00:00"))


# -- Records -------------------------------------------------------------------------------------


def assert_true(
    output: Output,
    workspace: Workspace,
    streams: Iterable[str] = STREAMS,
    *,
    version: tuple[int, int] = (2, 16),
    body_format: str = "plaintext",
    once: bool = True,
    earlier: Sequence[Output] = (),
) -> None:
    """Every record of these streams arrived, and is what the workspace holds.

    With once, none but the newest came twice in the run. What came in earlier runs counts too, the
    last one of each record.
    """
    problems: list[str] = []
    for stream in streams:
        arrived = output.records(stream)
        by_key = {
            key_of(stream, record): record
            for run in (*earlier, output)
            for record in run.records(stream)
        }
        if once:
            counts = Counter(key_of(stream, record) for record in arrived)
            # The front of the last window is read again for what came to it meanwhile.
            newest = max((record.get("updated_at") or "" for record in arrived), default="")
            repeated = [
                key
                for key, count in counts.items()
                if count > 1 and by_key[key].get("updated_at") != newest
            ]
            assert not repeated, f"{stream}: came more than once: {repeated[:5]}"
        expected = expected_records(workspace, stream, version=version, body_format=body_format)
        missing, unknown = expected.keys() - by_key.keys(), by_key.keys() - expected.keys()
        assert not missing, f"{stream}: {len(missing)} records are missing: {sorted(missing)[:5]}"
        assert not unknown, f"{stream}: {len(unknown)} records nobody knows: {sorted(unknown)[:5]}"
        schema = output.schema(stream)
        for key, record in expected.items():
            places = differences(record, by_key[key], schema)
            problems += [f"{stream} {key}: {difference}" for difference in places]
    assert not problems, "\n".join(problems[:FAULTS_SHOWN])


def key_of(stream: str, record: Mapping[str, Any]) -> str:
    return str(record["full_name" if stream in HASHED else "id"])


def expected_records(
    workspace: Workspace,
    stream: str,
    *,
    version: tuple[int, int] = (2, 16),
    body_format: str = "plaintext",
) -> dict[str, Record]:
    """Intercom's objects by key, in the shape of the table; instants are Unix seconds still."""
    if stream == "conversation_parts":
        shaped_records = list(_expected_parts(workspace, body_format))
    else:
        types = _attribute_types(workspace, stream)
        shaped_records = [
            with_values(
                stream,
                shaped(stream, raw | _asked_for(workspace, stream, raw, version), types, version),
                workspace,
                body_format,
            )
            for raw in workspace.truth(stream, version)
        ]
    return {key_of(stream, record): record for record in shaped_records}


def _asked_for(workspace: Workspace, stream: str, raw: Record, version: tuple[int, int]) -> Record:
    """What a record has beside its own fields, in answers that are asked for it."""
    if stream == "contacts" and version >= (2, 16) and raw["role"] == "user":
        return {"merge_history": workspace.merge_history.get(raw["id"], [])}
    if stream == "conversations":
        asked = ("monitor_evaluations", "scorecards")
        return {name: raw.get(name, []) if version >= (2, 16) else None for name in asked}
    return {}


def shaped(
    stream: str,
    raw: Record,
    types: Mapping[str, str] | None = None,
    version: tuple[int, int] = (2, 16),
) -> Record:
    """One of Intercom's objects in the shape of the table.

    types: those of custom attributes, by name.
    """
    record = dict(raw)
    for field, key in _UNWRAPPED.get(stream, {}).items():
        if record.get(field) is not None:
            record[field] = record[field][key]
    if stream in HASHED:
        # Descriptions change, and built-in attributes have no id: this is what stays.
        identity = f"{raw.get('model')}\n{raw['full_name']}"
        record["_sdc_record_hash"] = hashlib.sha256(identity.encode()).hexdigest()
    avatar = record.get("avatar")
    if stream == "contacts" and isinstance(avatar, dict):
        record["avatar"] = avatar["image_url"]
    if stream == "admins" and isinstance(avatar, str):
        record["avatar"] = {"image_url": avatar}
    if stream == "conversations" and "teammates" in (record.get("teammates") or {}):
        # The description says teammates where real answers say admins.
        teammates = dict(record["teammates"])
        record["teammates"] = {"admins": teammates.pop("teammates"), **teammates}
    if stream == "conversations" and version < (2, 16):
        record["priority"] = "not_priority" if raw["priority"] == "none" else "priority"
        for field in ("admin_assignee_id", "team_assignee_id"):
            record[field] = raw[field] or None
    if stream in _MODELS:
        attributes, others = split_attributes(record.get("custom_attributes"), types or {})
        record |= {"custom_attributes": attributes, "other_attributes": others}
    return record


def with_values(
    stream: str,
    record: Record,
    workspace: Workspace | None = None,
    body_format: str = "plaintext",
) -> Record:
    """A copy of a record with plain texts and typed copies of attributes, as the tap sends them."""
    record = copy.deepcopy(record)
    if body_format == "plaintext":
        for path in _HTML_FIELDS.get(stream, ()):
            _make_plain(record, path.split("."))
    if workspace is None:
        return record
    for place, field, owner in _ATTRIBUTE_COPIES.get(stream, ()):
        inner = record.get(place)
        if inner and inner.get(field):
            types = _attribute_types(workspace, owner)
            inner[field] = {
                name: _in_copy(value, types.get(name)) for name, value in inner[field].items()
            }
    return record


def _make_plain(value: Any, steps: Sequence[str]) -> None:
    if isinstance(value, list):
        for each in value:
            _make_plain(each, steps)
    elif isinstance(value, dict) and len(steps) > 1:
        _make_plain(value.get(steps[0]), steps[1:])
    elif isinstance(value, dict) and isinstance(text := value.get(steps[0]), str):
        value[steps[0]] = plain_text(text)


def _expected_parts(workspace: Workspace, body_format: str) -> Iterator[Record]:
    conversations = {record["id"]: record for record in workspace.truth("conversations")}
    parts: defaultdict[str, list[Record]] = defaultdict(list)
    for part in workspace.truth("conversation_parts"):
        parts[part["conversation_id"]].append(part)
    for conversation_id, of_conversation in parts.items():
        conversation = conversations[conversation_id]
        for part in of_conversation[-PARTS_LIMIT:]:
            if body_format == "plaintext" and part["body"] is not None:
                part["body"] = plain_text(part["body"])
            part["conversation_created_at"] = conversation["created_at"]
            part["conversation_updated_at"] = conversation["updated_at"]
            part["conversation_total_parts"] = len(of_conversation)
            yield part


def _attribute_types(workspace: Workspace, stream: str) -> dict[str, str]:
    if stream == "conversations":
        attributes = workspace.truth("conversation_attributes")
    elif stream == "tickets":
        attributes = workspace.truth("ticket_type_attributes")
    elif stream in _MODELS:
        every = workspace.truth(f"{_MODELS[stream]}_attributes")
        attributes = [attribute for attribute in every if attribute["custom"]]
    else:
        attributes = []
    return {attribute["name"]: attribute["data_type"] for attribute in attributes}


def split_attributes(
    values: Mapping[str, Any] | None, types: Mapping[str, str]
) -> tuple[Record | None, str | None]:
    """Custom attributes as they must arrive, and the JSON text of what has no column or misfits."""
    if values is None:
        return None, None
    attributes, others = dict(values), {}
    for name, value in values.items():
        if value is None:
            continue
        if not has_column(name, types):
            attributes[name], others[name] = _with_readable_integers(value), value
            continue
        attributes[name] = _in_column(value, types[name])
        if attributes[name] is None:
            others[name] = value
    return attributes, _json(others) if others else None


def has_column(name: str, types: Mapping[str, str]) -> bool:
    """Whether a custom attribute has a column: no other has its name in other letters."""
    twins = sum(each.casefold() == name.casefold() for each in types)
    can_be_a_name = '"' not in name and len(name.encode()) <= LONGEST_NAME_BYTES
    return types.get(name) in _ATTRIBUTE_TYPES and twins == 1 and can_be_a_name


_ATTRIBUTE_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "list": (str,),
    "date": (),
    "datetime": (),
    "integer": (int,),
    "float": (int, float),
    "decimal": (int, float),
    "boolean": (bool,),
    "files": (list,),
}


def _in_column(value: Any, kind: str) -> Any:
    """A value as a column of its declared type must hold it; None if it cannot hold all of it."""
    if _ATTRIBUTE_TYPES[kind] == (str,):
        return value if type(value) is str else _json(value)
    if not _ATTRIBUTE_TYPES[kind]:
        is_in_milliseconds = type(value) is int and len(str(abs(value))) == 13
        return instant_text(value / 1000 if is_in_milliseconds else value)
    if type(value) is str:
        try:
            parsed = json.loads(value)
        except ValueError:
            return None
        # Text is a number only if it reads as Intercom would have sent it.
        value = parsed if _json(parsed) == value else None
    if type(value) is float and value.is_integer() and kind == "integer":
        value = int(value)
    is_too_large = type(value) is int and not fits_63_bits(value)
    return value if type(value) in _ATTRIBUTE_TYPES[kind] and not is_too_large else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _in_copy(value: Any, kind: str | None) -> Any:
    """A value in a copy of attributes: a date as such or as text, and any other as it is."""
    if value is None or kind not in ("date", "datetime"):
        return _with_readable_integers(value)
    text = instant_text(value)
    if text is not None:
        return text
    return value if type(value) is str else _json(value)


def _with_readable_integers(value: Any) -> Any:
    """The value, integers that no database holds as text."""
    if isinstance(value, dict):
        return {name: _with_readable_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_readable_integers(item) for item in value]
    if type(value) is int and not fits_63_bits(value):
        return str(value)
    return value


def fits_63_bits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def instant_text(value: Any) -> str | None:
    """RFC 3339 in UTC of Unix seconds or of an ISO text; None for what is no instant."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            instant = _EPOCH + timedelta(seconds=value)
        else:
            instant = datetime.fromisoformat(value.replace("Z", "+00:00"))
            if instant.tzinfo is None:
                instant = instant.replace(tzinfo=timezone.utc)
            instant = instant.astimezone(timezone.utc)
    except (AttributeError, ValueError, OverflowError):
        return None
    return instant.replace(tzinfo=None).isoformat() + "Z"


def differences(expected: Any, arrived: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Where a record is not what it must be. Null and absent are equal.

    The schema tells where ids are text and where fields are free; that a field is an instant its
    name tells.
    """
    if expected is None or arrived is None:
        if expected is not arrived:
            yield f"{path} is {arrived!r:.200}, not {expected!r:.200}"
        return
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if isinstance(expected, dict) and properties and isinstance(arrived, dict):
        is_free = schema.get("additionalProperties") is True
        for name in expected.keys() | arrived.keys():
            if name in properties:
                of_field = properties[name]
            elif is_free:
                of_field = None
            elif expected.get(name) is None and name not in arrived:
                continue
            else:
                yield f"{path}.{name} is not in the schema"
                continue
            place = f"{path}.{name}"
            yield from differences(expected.get(name), arrived.get(name), of_field, place)
        return
    if isinstance(expected, list) and isinstance(arrived, list) and schema and "items" in schema:
        if len(expected) != len(arrived):
            yield f"{path} has {len(arrived)} items, not {len(expected)}"
        for at, (item, arrived_item) in enumerate(zip(expected, arrived, strict=False)):
            yield from differences(item, arrived_item, schema["items"], f"{path}[{at}]")
        return
    wanted = _scalar(expected, schema, path) if schema else expected
    if wanted != arrived or type(wanted) is not type(arrived):
        yield f"{path} is {arrived!r:.200}, not {wanted!r:.200}"


def _scalar(value: Any, schema: Any, path: str) -> Any:
    is_number = type(value) in (int, float)
    if path.endswith(("_at", "waiting_since", "snoozed_until")) and is_number:
        return instant_text(value)
    types = schema.get("type", ())
    if "string" in types and type(value) is int:
        return str(value)
    if "integer" in types and type(value) is str:
        return int(value)
    return value
