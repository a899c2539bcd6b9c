"""The schemas hold every column that users know and every field that Intercom describes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from description import DESCRIBED_AS as NAMED
from description import description_of_2_12, newest_description
from paths import BESIDE, ROOT
from truth import STREAMS as KNOWN

from tap_intercom.catalog import DELETED_AT_COLUMN, WORKSPACE_ID_COLUMN
from tap_intercom.reading.schema_notes import annotated_schema, first_version
from tap_intercom.reading.stream import load_schema
from tap_intercom.records.coerce import without_descriptions
from tap_intercom.streams import STREAMS
from tap_intercom.streams.reporting import HASH_COLUMN

SCHEMAS = ROOT / "tap_intercom" / "schemas"
KNOWN_COLUMNS = BESIDE / "known-columns.json"

TABLES = sorted(path.stem for path in SCHEMAS.glob("*.json"))

# What `--about` says of each table: see about.json, which scripts/documentation.py renews.
ABOUT: dict[str, dict[str, str]] = {
    row["stream"]: row
    for row in json.loads((ROOT / "tests" / "about.json").read_text("utf-8"))["streams"]
}
# The parts of keys that are not text.
KEY_TYPES = {
    ("conversation_attachment", "position"): "integer",
    ("conversation_part_attachment", "position"): "integer",
    ("ticket_part_attachment", "position"): "integer",
    ("content_export_completion", "completed_at"): "date-time",
    ("content_export_dismissal", "dismissed_at"): "date-time",
    ("content_export_goal_success", "goal_hit_at"): "date-time",
    ("content_export_hard_bounce", "hard_bounced_at"): "date-time",
    ("content_export_open", "opened_at"): "date-time",
    ("content_export_reaction", "reacted_at"): "date-time",
    ("content_export_reply", "replied_at"): "date-time",
    ("content_export_series_completion", "completed_at"): "date-time",
    ("content_export_series_disengagement", "disengaged_at"): "date-time",
    ("content_export_series_exit", "exited_at"): "date-time",
    ("content_export_soft_bounce", "soft_bounced_at"): "date-time",
    ("content_export_unsubscribe", "unsubscribed_at"): "date-time",
    ("handling_events", "timestamp"): "date-time",
    ("team_metrics", "measured_at"): "date-time",
}
REPLICATION_KEYS = {
    stream: row["replication"].removeprefix("incremental by ")
    for stream, row in ABOUT.items()
    if row["replication"] != "full"
}

# Tables of links, and the like: what each of their columns is in the official description.
FILE = ("type", "name", "url", "content_type", "filesize", "width", "height")
# Those that a row of attachments repeats.
STORED = ("name", "url", "content_type", "width", "height")
LINKS = {
    "activity_log_event_types": {"event_type": "activity_log_event_type_list.event_types[]"},
    "call_transcripts": {
        "id": "call.id",
        "conversation_id": "call.conversation_id",
        "conversation_updated_at": "conversation_list_item.updated_at",
    },
    "company_contact": {
        "company_id": "company.id",
        "contact_id": "contact.id",
        "company_updated_at": "company.updated_at",
    },
    "company_segment": {
        "company_id": "company.id",
        "segment_id": "company.segments.segments[].id",
        "company_updated_at": "company.updated_at",
        "segment_name": "company.segments.segments[].name",
    },
    "company_tag": {
        "company_id": "company.id",
        "tag_id": "company.tags.tags[].id",
        "company_updated_at": "company.updated_at",
        "tag_name": "company.tags.tags[].name",
    },
    "contact_company": {
        "contact_id": "contact.id",
        "company_id": "contact.companies.data[].id",
        "contact_updated_at": "contact.updated_at",
    },
    "contact_segment": {
        "contact_id": "contact.id",
        "segment_id": "segment.id",
        "contact_updated_at": "contact.updated_at",
        "segment_name": "segment.name",
    },
    "contact_subscription": {
        "contact_id": "contact.id",
        "subscription_type_id": "subscription_type.id",
        "contact_updated_at": "contact.updated_at",
        "state": "subscription_type.state",
        "consent_type": "subscription_type.consent_type",
    },
    "contact_tag": {
        "contact_id": "contact.id",
        "tag_id": "contact.tags.data[].id",
        "contact_updated_at": "contact.updated_at",
    },
    "attachments": {
        "conversation_id": "conversation_list_item.id",
        "ticket_id": "ticket.id",
        "updated_at": "conversation_list_item.updated_at",
        **{each: f"conversation_part.attachments[].{each}" for each in FILE if each in STORED},
    },
    "conversation_attachment": {
        "conversation_id": "conversation_list_item.id",
        "conversation_updated_at": "conversation_list_item.updated_at",
        **{each: f"conversation_list_item.source.attachments[].{each}" for each in FILE},
    },
    "conversation_part_attachment": {
        "conversation_part_id": "conversation_part.id",
        "conversation_id": "conversation_list_item.id",
        "conversation_updated_at": "conversation_list_item.updated_at",
        **{each: f"conversation_part.attachments[].{each}" for each in FILE},
    },
    "conversation_contact": {
        "conversation_id": "conversation_list_item.id",
        "contact_id": "conversation_list_item.contacts.contacts[].id",
        "conversation_updated_at": "conversation_list_item.updated_at",
        "external_id": "conversation_list_item.contacts.contacts[].external_id",
    },
    "conversation_link": {
        "conversation_id": "conversation_list_item.id",
        "linked_object_type": "conversation_list_item.linked_objects.data[].type",
        "linked_object_id": "conversation_list_item.linked_objects.data[].id",
        "conversation_updated_at": "conversation_list_item.updated_at",
        "category": "conversation_list_item.linked_objects.data[].category",
    },
    "conversation_tag": {
        "conversation_id": "conversation_list_item.id",
        "tag_id": "conversation_list_item.tags.tags[].id",
        "conversation_updated_at": "conversation_list_item.updated_at",
        "tag_name": "conversation_list_item.tags.tags[].name",
        "applied_at": "conversation_list_item.tags.tags[].applied_at",
        "applied_by": "conversation_list_item.tags.tags[].applied_by",
        "applied_by.type": "conversation_list_item.tags.tags[].applied_by.type",
        "applied_by.id": "conversation_list_item.tags.tags[].applied_by.id",
    },
    "conversation_teammate": {
        "conversation_id": "conversation_list_item.id",
        "teammate_id": "conversation_list_item.teammates.teammates[].id",
        "conversation_updated_at": "conversation_list_item.updated_at",
        "type": "conversation_list_item.teammates.teammates[].type",
    },
    "deletions": {"id": "contact.id", "merged_into": "contact.id"},
    "team_admin": {"team_id": "team.id", "admin_id": "admin.id"},
    "ticket_part_attachment": {
        "ticket_part_id": "ticket_part.id",
        "ticket_id": "ticket.id",
        "ticket_updated_at": "ticket.updated_at",
        **{each: f"ticket_part.attachments[].{each}" for each in FILE},
    },
    "ticket_contact": {
        "ticket_id": "ticket.id",
        "contact_id": "ticket.contacts.contacts[].id",
        "ticket_updated_at": "ticket.updated_at",
        "external_id": "ticket.contacts.contacts[].external_id",
    },
    "ticket_link": {
        "ticket_id": "ticket.id",
        "linked_object_type": "ticket.linked_objects.data[].type",
        "linked_object_id": "ticket.linked_objects.data[].id",
        "ticket_updated_at": "ticket.updated_at",
        "category": "ticket.linked_objects.data[].category",
    },
}

# Tables of the content export, whose columns besides those of receipts nobody describes.
EXPORTED = {stream for stream in TABLES if stream.startswith("content_export_")}

# Which objects of the description the records of all other tables are.
DESCRIBED_AS = {
    stream: described
    for stream, described in NAMED.items()
    if stream not in LINKS and stream not in EXPORTED
}

NUMBERS_OF_AUTHOR = {
    f"notes.notes[].author.{field}"
    for field in (
        "away_status_reason_id",
        "team_ids[]",
        "team_priority_level.primary_team_ids[]",
        "team_priority_level.secondary_team_ids[]",
    )
}
# Columns that 2.12 does not describe, and that older answers have all the same (recorded).
RECORDED = {"author.away_status_reason_id"}
# Ids that are not text, all in core tables: their type stays as users know it.
NUMBERS = {
    "admins": {
        "away_status_reason_id",
        "admin_ids[]",
        "team_ids[]",
        "team_priority_level.primary_team_ids[]",
        "team_priority_level.secondary_team_ids[]",
    },
    "companies": NUMBERS_OF_AUTHOR,
    "company_attributes": {"id"},
    "contact_attributes": {"id"},
    "contacts": {"owner_id"},
    "conversations": {
        "admin_assignee_id",
        "team_assignee_id",
        "conversation_rating.teammate.id",
        "statistics.last_closed_by_id",
        "statistics.assigned_team_first_response_time[].team_id",
        "statistics.assigned_team_first_response_time_in_office_hours[].team_id",
        *(f"company.{path}" for path in NUMBERS_OF_AUTHOR),
    },
    "teams": {
        "admin_ids[]",
        "admin_priority_level.primary_admin_ids[]",
        "admin_priority_level.secondary_admin_ids[]",
    },
}

# Columns that no supported version fills: their descriptions name a join that is never possible.
NEVER_FILLED = {
    ("conversations", "conversation_message.author.id"),
    ("conversations", "conversation_rating.customer.id"),
    ("conversations", "customers[].id"),
    ("conversations", "teammates.teammates[].id"),
    ("conversations", "user.id"),
    ("tags", "applied_by.id"),
}

# Lists that the description wraps in an object; users know them as arrays.
UNWRAPPED = {
    "companies": {"tags": "tags.tags", "segments": "segments.segments"},
    "contacts": {"tags": "tags.data", "companies": "companies.data"},
    "conversations": {"tags": "tags.tags", "contacts": "contacts.contacts"},
}

# Columns whose type is not the described one, with the reason.
OTHER_TYPE = {
    ("admins", "avatar"): ("object", "answers with display_avatar hold {type, image_url}"),
    ("companies", "monthly_spend"): ("number", "known as a number, and decimals are sent"),
    ("contacts", "avatar"): ("string", "known as the image's URL"),
    ("contacts", "owner_id"): ("integer", "known as an integer"),
    ("conversations", "company.monthly_spend"): ("number", "as in companies"),
    ("conversations", "conversation_rating.teammate.id"): ("integer", "known as an integer"),
    ("conversations", "statistics.last_closed_by_id"): ("integer", "known as an integer"),
    ("event_summaries", "first"): ("date-time", "a time as ISO text, as examples show"),
    ("event_summaries", "last"): ("date-time", "a time as ISO text, as examples show"),
}

# DatasetSchema fields that a table leaves out, with the reason.
LEFT_OUT = {
    ("side_conversations", "conversation_parts"): "a table of their own",
}

# Objects that hold anything, whatever fields of them are described, with the reason.
OPEN = {
    ("activity_logs", "metadata"): "differs with each activity_type, which Intercom keeps adding",
    ("articles", "translated_content"): "one object for each language that the help center has",
    ("audiences", "predicates[]"): "a value of any type, and conditions inside conditions",
    ("audiences", "role_predicates[]"): "as predicates",
    ("collections", "translated_content"): "as in articles",
    ("ticket_parts", "updated_attribute_data.value"): "ids and labels are a string or an array",
    ("tickets", "ticket_parts.ticket_parts[].updated_attribute_data.value"): "as in ticket_parts",
}

# Known columns whose type had to change: assigned_to is an object in every answer.
CHANGED_TYPE = {("conversation_parts", "assigned_to"): "object"}

# The attributes inside a ticket type: real answers hold them in `data` (API-F3).
TICKET_TYPE_ATTRIBUTE = {
    "": "object",
    ".type": "string",
    ".id": "string",
    ".workspace_id": "string",
    ".name": "string",
    ".description": "string",
    ".data_type": "string",
    ".input_options": "object",
    ".order": "integer",
    ".required_to_create": "boolean",
    ".required_to_create_for_contacts": "boolean",
    ".visible_on_create": "boolean",
    ".visible_to_contacts": "boolean",
    ".default": "boolean",
    ".ticket_type_id": "string",
    ".archived": "boolean",
    ".created_at": "date-time",
    ".updated_at": "date-time",
}


def undescribed_ticket_type(path: str) -> dict[str, str]:
    """What real ticket types, whose fields begin with `path`, have beyond the described ones."""
    attributes = f"{path}ticket_type_attributes.data"
    return {
        f"{path}is_internal": "boolean",
        attributes: "array",
        **{f"{attributes}[]{name}": kind for name, kind in TICKET_TYPE_ATTRIBUTE.items()},
    }


# Fields of real answers that the description lacks, and our own.
UNDESCRIBED = {
    # What the tap knows of a stored file.
    "attachments": {
        "id": "string",
        "parent_stream": "string",
        "parent_id": "string",
        "kind": "string",
        "position": "integer",
        "size": "integer",
        "sha256": "string",
        "path": "string",
        "status": "string",
        "reason": "string",
    },
    # Attachments have no id, so the tap counts them.
    "conversation_attachment": {"position": "integer"},
    "conversation_part_attachment": {"position": "integer"},
    "ticket_part_attachment": {"position": "integer"},
    "custom_object_instances": {"other_attributes": "string"},
    "article_statistics": {"article_id": "string", "conversations": "integer"},
    "article_versions": {"article_updated_at": "date-time"},
    "call_transcripts": {
        "transcript": "array",
        "transcript[]": "object",
        "transcript_status": "string",
    },
    "companies": {
        "other_attributes": "string",
        "notes.data[].id": "string",
        "notes.url": "string",
        "notes.total_count": "integer",
        "notes.has_more": "boolean",
    },
    "company_notes": {"company_id": "string", "company_updated_at": "date-time"},
    "contact_merge_history": {"contact_id": "string", "contact_updated_at": "date-time"},
    "contact_notes": {"contact_id": "string", "contact_updated_at": "date-time"},
    "contacts": {
        "other_attributes": "string",
        "enabled_push_messaging": "boolean",
        "location.continent_code": "string",
        "location.country_code": "string",
        "opted_in_subscription_types[].id": "string",
        "opted_out_subscription_types[].id": "string",
        "referrer": "string",
        "sms_consent": "boolean",
        "unsubscribed_from_sms": "boolean",
        "utm_campaign": "string",
        "utm_content": "string",
        "utm_medium": "string",
        "utm_source": "string",
        "utm_term": "string",
    },
    "conversation_parts": {
        "conversation_id": "string",
        "conversation_created_at": "date-time",
        "conversation_updated_at": "date-time",
        "conversation_total_parts": "integer",
        "translations": "object",
    },
    "conversations": {
        "other_attributes": "string",
        "teammates.admins[].id": "string",
        "ticket": "object",
        "topics.topics[].name": "string",
        "topics.total_count": "integer",
    },
    "deletions": {"stream": "string", "kind": "string", "seen_at": "date-time"},
    "event_summaries": {"contact_id": "string", "contact_updated_at": "date-time"},
    "events": {
        "_sdc_record_hash": "string",
        "contact_id": "string",
        "contact_updated_at": "date-time",
    },
    "fin_voice_calls": {"conversation_id": "string", "conversation_updated_at": "date-time"},
    "handling_events": {
        "conversation_id": "string",
        "conversation_updated_at": "date-time",
        "teammate_id": "string",
    },
    "ip_allowlist": {"workspace_id": "string"},
    "newsfeed_items": {"newsfeed_id": "string"},
    "side_conversation_parts": {
        "side_conversation_id": "string",
        "conversation_id": "string",
        "conversation_updated_at": "date-time",
        "translations": "object",
    },
    "side_conversations": {"conversation_id": "string", "conversation_updated_at": "date-time"},
    "team_metrics": {"team_id": "string", "measured_at": "date-time"},
    "ticket_parts": {"ticket_id": "string", "ticket_updated_at": "date-time"},
    "ticket_states": undescribed_ticket_type("ticket_types.data[]."),
    "ticket_types": undescribed_ticket_type(""),
    "tickets": {
        "channel": "string",
        "other_attributes": "string",
        **undescribed_ticket_type("ticket_type."),
    },
    "workspace": {"secure": "boolean"},
}


def key(stream: str) -> tuple[str, ...]:
    return tuple(ABOUT[stream]["key"].split(", "))


@cache
def schema_file(stream: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{stream}.json").read_text("utf-8"))
    return loaded


@cache
def schema(stream: str) -> dict[str, Any]:
    """The types of a stream, without what is said of them."""
    bare: dict[str, Any] = without_descriptions(load_schema(stream))
    return bare


def is_id(path: str) -> bool:
    """Whether the name of a field says that it holds an id; of a list of ids, its entries do."""
    name = path.rpartition(".")[2]
    return re.fullmatch(r"(.*_)?(id|uuid|ids\[\])|id_code|merged_into", name) is not None


def single_type(node: dict[str, Any]) -> str:
    """The type beside "null"; "date-time" for a string of that format."""
    types = [node["type"]] if isinstance(node["type"], str) else node["type"]
    (kind,) = [name for name in types if name != "null"]
    return str(node.get("format", kind))


def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and schema of a field and of all fields inside it; `[]` marks array items."""
    yield path, node
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")


@cache
def fields(stream: str) -> dict[str, dict[str, Any]]:
    """Path to schema of every field of a stream."""
    properties = schema(stream)["properties"]
    return dict(field for name, child in properties.items() for field in walk(child, name))


def annotated_fields(stream: str) -> dict[str, dict[str, Any]]:
    """Path to schema of every field of a stream, with all that its file says of it."""
    properties = annotated_schema(stream)["properties"]
    return dict(field for name, child in properties.items() for field in walk(child, name))


@cache
def columns(stream: str) -> dict[str, str]:
    """Path to type of every field of a stream."""
    return {path: single_type(node) for path, node in fields(stream).items()}


def components(node: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A schema of the description with what it refers to, and all that it is put together from.

    Of objects that differ by kind it has the fields of all kinds.
    """
    found = dict(node)
    if "$ref" in found:
        name = found.pop("$ref").rsplit("/", 1)[1]
        found = {**components(schemas[name], schemas), **found}
    for part in [*found.pop("allOf", []), *found.pop("oneOf", [])]:
        part = components(part, schemas)
        properties = {**part.get("properties", {}), **found.get("properties", {})}
        found = {**part, **found, **({"properties": properties} if properties else {})}
    return found


@cache
def described_columns(component: str, *, is_older: bool = False) -> dict[str, str]:
    """Path to type of every field of an object of the official description.

    is_older: whether that of version 2.12 is meant; it has none of the fields of newer objects.
    """
    described = description_of_2_12() if is_older else newest_description()
    schemas = described["components"]["schemas"]

    def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
        target = components(node, schemas)
        kind = target.get("type", "object")
        name = path.rsplit(".", 1)[-1]
        is_time = target.get("format") in ("date-time", "timestamp") or (
            kind == "integer" and name.endswith("_at")
        )
        yield path, "date-time" if is_time else kind
        if "items" in target:
            yield from walk(target["items"], f"{path}[]")
        for child_name, child in target.get("properties", {}).items():
            yield from walk(child, f"{path}.{child_name}")

    if is_older and component not in schemas:
        component = component.removesuffix("_list_item")
        if component not in schemas:
            return {}
    unknown = f"no {component} is described: see step 4 of CONTRIBUTING.md, or LINKS above"
    assert component in schemas, unknown
    top = components(schemas[component], schemas)["properties"]
    return dict(field for name, child in top.items() for field in walk(child, name))


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    if "items" in node:
        yield from nodes(node["items"])
    for child in node.get("properties", {}).values():
        yield from nodes(child)


def unwrapped(stream: str, path: str) -> str | None:
    """Our path of a described one; None for what only belonged to the wrapping object."""
    for ours, theirs in UNWRAPPED.get(stream, {}).items():
        if path == theirs or path.startswith(f"{theirs}["):
            return ours + path.removeprefix(theirs)
        if path.startswith(f"{ours}."):
            return None
    return path


def is_below(stream: str, path: str, places: Iterable[tuple[str, str]]) -> bool:
    """Whether a path lies inside one of the fields of a stream."""
    return any(
        table == stream and path.startswith((f"{place}.", f"{place}[")) for table, place in places
    )


@cache
def expected_columns(stream: str) -> dict[str, str]:
    """Path to type of every field that the description makes us have."""
    expected = {}
    described_as = described_columns(DESCRIBED_AS[stream])
    for described, kind in described_as.items():
        path = unwrapped(stream, described)
        if path is None or (path != described and path in UNWRAPPED[stream]):
            continue
        if (stream, path) in LEFT_OUT or is_below(stream, path, [*LEFT_OUT, *OPEN]):
            continue
        # An image's URL, or an object where Intercom sends more than that.
        if path.startswith("avatar.") and columns(stream)["avatar"] == "string":
            continue
        if is_id(path) and path not in NUMBERS.get(stream, ()):
            kind = "string"
        expected[path], _ = OTHER_TYPE.get((stream, path), (kind, ""))
    for path, theirs in UNWRAPPED.get(stream, {}).items():
        assert described_as[theirs] == "array"
        expected[path] = "array"
    return expected


def test_every_stream_has_a_schema_file() -> None:
    assert set(TABLES) >= set(STREAMS)
    assert set(TABLES) == NAMED.keys() | LINKS.keys()


@pytest.mark.parametrize("stream", KNOWN)
def test_every_known_column_has_its_known_type(stream: str) -> None:
    if not KNOWN_COLUMNS.exists():
        pytest.skip("the list of known columns is not part of the repository and is not here")
    known = json.loads(KNOWN_COLUMNS.read_text("utf-8"))[stream]
    expected = {path: CHANGED_TYPE.get((stream, path), kind) for path, kind in known.items()}
    assert {path: columns(stream).get(path) for path in expected} == expected


@pytest.mark.parametrize("stream", DESCRIBED_AS)
def test_every_described_field_is_there(stream: str) -> None:
    expected = expected_columns(stream)
    assert {path: columns(stream).get(path) for path in expected} == expected


@pytest.mark.parametrize("stream", LINKS)
def test_columns_of_links_have_the_types_of_what_they_link(stream: str) -> None:
    expected = dict(UNDESCRIBED.get(stream, {}))
    for path, theirs in LINKS[stream].items():
        component, _, field = theirs.partition(".")
        expected[path] = described_columns(component)[field]
    assert columns(stream) == expected


@pytest.mark.parametrize("stream", sorted(DESCRIBED_AS.keys() - set(KNOWN)))
def test_no_other_field_is_there(stream: str) -> None:
    beyond = columns(stream).keys() - expected_columns(stream).keys()
    assert beyond <= UNDESCRIBED.get(stream, {}).keys()


def test_receipts_have_every_described_column() -> None:
    described = described_columns("data_export_csv")
    # Misspelt in the description; the file has it right.
    described["first_dismissal"] = described.pop("first_dismisall")
    columns_of_receipts = columns("content_export_receipt")
    for name, kind in described.items():
        is_time = name.startswith("first_") or name == "received_at"
        assert columns_of_receipts[name] == ("date-time" if is_time else kind), name


@pytest.mark.parametrize("stream", sorted(EXPORTED))
def test_columns_of_exports_that_nobody_knows_have_a_place(stream: str) -> None:
    place = "answers" if stream == "content_export_answer_combined" else "columns"
    assert fields(stream)[place] == {"type": ["null", "object"], "additionalProperties": True}


@pytest.mark.parametrize("stream", UNDESCRIBED)
def test_fields_beyond_the_description_are_there(stream: str) -> None:
    expected = UNDESCRIBED[stream]
    assert {path: columns(stream).get(path) for path in expected} == expected


@pytest.mark.parametrize(("stream", "path"), OPEN)
def test_open_objects_take_anything(stream: str, path: str) -> None:
    assert fields(stream)[path] == {"type": ["null", "object"], "additionalProperties": True}


@pytest.mark.parametrize("stream", TABLES)
def test_only_constructs_that_every_target_takes(stream: str) -> None:
    top = load_schema(stream)
    assert set(top) == {"type", "properties"}
    assert top["type"] == "object"
    known = {"type", "format", "description", "items", "properties", "additionalProperties"}
    for node in nodes(top):
        assert set(node) <= known
        assert node.get("additionalProperties", True) is True
        assert node.get("format", "date-time") == "date-time"
        types = [node["type"]] if isinstance(node["type"], str) else node["type"]
        assert len([name for name in types if name != "null"]) == 1
        kind = single_type(node)
        assert ("items" in node) == (kind == "array")
        assert ("properties" in node or "additionalProperties" in node) == (kind == "object")
        names = list(node.get("properties", {}))
        assert len({name.lower() for name in names}) == len(names)
        assert all(len(name.encode()) <= 63 for name in names)


@pytest.mark.parametrize("stream", TABLES)
def test_ids_are_text(stream: str) -> None:
    ids = {path: kind for path, kind in columns(stream).items() if is_id(path)}
    numbers = {path for path, kind in ids.items() if kind != "string"}
    assert numbers == NUMBERS.get(stream, set())
    assert not numbers or stream in KNOWN


@pytest.mark.parametrize("stream", TABLES)
def test_descriptions_name_the_columns_that_an_id_references(stream: str) -> None:
    for path, node in annotated_fields(stream).items():
        named = [".".join(found) for found in joined(node.get("description", ""))]
        references = node.get("references", {})
        found = [references] if isinstance(references, str) else list(references)
        expected = [] if (stream, path) in NEVER_FILLED else named
        assert found == expected, f"{path}: `references` and the description name other columns"


@pytest.mark.parametrize("stream", TABLES)
def test_references_lead_to_text_columns(stream: str) -> None:
    for path, node in annotated_fields(stream).items():
        references = node.get("references", node.get("former_id_of", {}))
        if isinstance(references, str):
            references = {references: {}}
        for target, conditions in references.items():
            table, _, column = target.partition(".")
            assert columns(table)[column] == "string", path
            around = path.rpartition(".")[0]
            for other, values in conditions.items():
                assert columns(stream)[f"{around}.{other}".lstrip(".")] == "string", path
                assert values, path


@pytest.mark.parametrize("stream", TABLES)
def test_copies_are_of_other_tables(stream: str) -> None:
    for path, node in annotated_fields(stream).items():
        assert node.get("copy_of") in (None, *TABLES), path


@pytest.mark.parametrize("stream", sorted(DESCRIBED_AS.keys() - set(KNOWN)))
def test_columns_that_2_12_does_not_describe_say_since_when(stream: str) -> None:
    older = described_columns(DESCRIBED_AS[stream], is_older=True)
    if STREAMS[stream].first_version > (2, 12) or not older:
        return
    newer = {path for path in expected_columns(stream) if path not in older} - RECORDED
    inside = {path for path in newer if is_below(stream, path, [(stream, each) for each in newer])}
    marked = {
        path for path, node in annotated_fields(stream).items() if first_version(node) > (2, 12)
    }
    assert marked == newer - inside


@pytest.mark.parametrize("stream", TABLES)
def test_only_the_key_is_not_nullable(stream: str) -> None:
    properties = schema(stream)["properties"]
    assert tuple(properties)[: len(key(stream))] == key(stream)
    for name in key(stream):
        kind = KEY_TYPES.get((stream, name), "string")
        is_time = kind == "date-time"
        assert properties[name] == (
            {"type": "string", "format": kind} if is_time else {"type": kind}
        )
    for name, column in properties.items():
        for node in nodes(column):
            assert node["type"][0] == "null" or name in key(stream)


@pytest.mark.parametrize("stream", REPLICATION_KEYS)
def test_the_replication_key_is_a_time(stream: str) -> None:
    name = REPLICATION_KEYS[stream]
    kind = "string" if name in key(stream) else ["null", "string"]
    assert schema(stream)["properties"][name] == {"type": kind, "format": "date-time"}


# A fact that code cites; it means nothing to an analyst.
MARK = re.compile(r"API-[A-L]\d*")
# A column; in "if teammate.type is team" it is a field of the same row.
COLUMN = re.compile(r"\b([a-z_]+)\.([a-z_]+)\b(?! is )")
ADDED_IN_CODE = {
    "_sdc_workspace_id": WORKSPACE_ID_COLUMN,
    "_sdc_deleted_at": DELETED_AT_COLUMN,
    "_sdc_record_hash": HASH_COLUMN,
    **{
        f"{stream.name}.{name}": column.schema
        for stream in STREAMS.values()
        for name, column in stream.older_columns.items()
    },
}


@pytest.mark.parametrize("stream", TABLES)
def test_every_field_says_what_it_means(stream: str) -> None:
    for name, column in schema_file(stream)["properties"].items():
        for path, node in walk(column, name):
            if not path.endswith("[]"):
                assert_describes(path, node)


@pytest.mark.parametrize("column", ADDED_IN_CODE)
def test_columns_that_are_not_in_a_file_say_what_they_mean(column: str) -> None:
    assert_describes(column, ADDED_IN_CODE[column])


def joined(text: str) -> list[tuple[str, str]]:
    """The tables and columns that a description says an id joins."""
    return COLUMN.findall(text.partition("joins ")[2].partition(";")[0])


def assert_describes(path: str, node: Mapping[str, Any]) -> None:
    text = node.get("description", "")
    assert re.fullmatch(r"\S.{0,158}\.", text), f"{path}: {text!r}"
    assert not MARK.search(text), path
    for table, column in joined(text):
        assert column in schema(table)["properties"], f"{path}: {text}"
