"""One Intercom workspace: its records, the edits people make, and the truth to compare with."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import orjson

from . import records
from .children import TABLES
from .details import Details, note, subscription_type
from .export_groups import CONTENT_PREFIX, GROUPS
from .figures import conversation_statistics
from .files import Files
from .records import NESTED_LIMIT, PARTS_LIMIT, Record, update
from .resource_store import ResourceStore
from .tables import json_text
from .tickets import Tickets
from .versions import DEFAULT_VERSION, Version, as_of

_NESTED_LISTS = {
    "tags": "tag",
    "companies": "company",
    "notes": "note",
    "opted_in_subscription_types": "subscription",
    "opted_out_subscription_types": "subscription",
}
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div)>\s*<(?:p|div)[^>]*>|<blockquote[^>]*>", re.IGNORECASE)
_LINK = re.compile(r'<a\s[^>]*href="([^"]*)"[^>]*>(.*?)</a>', re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


def plain_text(body: str) -> str:
    """Return the text of an HTML body like `display_as=plaintext`: links become `label (url)`."""
    text = _BREAK.sub("\n", _LINK.sub(r"\2 (\1)", body))
    return html.unescape(_TAG.sub("", text))


class Workspace(Tickets, Details):
    """The data of a workspace.

    Every edit sets updated_at of the records it changes to `clock()`, unless it includes a value.
    Methods take ids and fields of the API's own objects. Any thread may call them.
    """

    def __init__(
        self,
        *,
        id_code: str = "sandbox1",
        name: str = "Sandbox",
        timezone: str = "America/Los_Angeles",
        region: str = "US",
    ) -> None:
        super().__init__(id_code=id_code, name=name, timezone=timezone, region=region)
        self.parts: dict[str, list[bytes]] = {}
        self.contact_segment_ids: dict[str, tuple[str, ...]] = {}
        self.archived: dict[str, bytes] = {}
        self.merged: dict[str, str] = {}
        self.merge_history: dict[str, list[Record]] = {}
        # Conversations with translations of parts, which come on request.
        self.translated: set[str] = set()
        self.resources = ResourceStore(id_code, lambda: self.clock())
        self.admins = self.resources.kept("admins")
        self.teams = self.resources.kept("teams")
        self.tags = self.resources.kept("tags")
        self.segments = self.resources.kept("segments")
        self.company_segments = self.resources.kept("company_segments")
        for name in ("ticket_types", "ticket_states", "subscription_types", "calls"):
            self.resources.share(name, getattr(self, name))
        self._company_contacts: dict[str, list[str]] | None = None
        self.datasets: dict[str, Record] = {}
        self.dataset_rows: dict[str, list[Record]] = {}
        self.export_rows: dict[str, list[Record]] = {group: [] for group in GROUPS}
        self._full_lists: dict[str, dict[str, Record]] = {}
        self._company_note_lists: dict[str, list[str]] = {}
        self._plain_parts: dict[str, bytes] = {}
        self.files = Files()
        # Addresses of files, by the path of a recording.
        self.recordings: dict[str, str] = {}

    def add_file(self, **fields: Any) -> Record:
        """Keep a file, and return the attachment that a record may show; see `Files.add`."""
        return self.files.add(**fields)

    def add_recording(self, call_id: str, kind: str = "recording", **fields: Any) -> Record:
        """Keep the recording of a call, and return its file."""
        file = self.add_file(name=f"{kind}.wav", content_type="audio/wav", **fields)
        with self.lock:
            self.recordings[f"/calls/{call_id}/{kind}"] = file["url"]
        return file

    def index_now(self) -> None:
        """Show every edit to search immediately, without its lag."""
        with self.lock:
            for table in self.searched_tables:
                table.index_until(float("inf"))

    # Contacts

    def add_contact(self, **fields: Any) -> str:
        """Add a contact; `tags`, `companies` and `segments` may be lists of ids."""
        with self.lock:
            contact_id = fields.get("id") or self._hexadecimal_id("contact")
            record = records.contact(contact_id, self.app["id_code"], self._now())
            if "created_at" in fields and "updated_at" not in fields:
                record["updated_at"] = fields["created_at"]
            self._put_contact(record, fields)
            return contact_id

    def update_contact(self, contact_id: str, **fields: Any) -> None:
        """Set fields of a contact; custom attributes are added to the existing ones."""
        with self.lock:
            self._put_contact(self.contact(contact_id), self._stamped(fields))

    def delete_contact(self, contact_id: str) -> None:
        with self.lock:
            self.contacts.remove(contact_id)
            for of_contact in (self.contact_segment_ids, self._full_lists, self.merge_history):
                of_contact.pop(contact_id, None)
            self._company_contacts = None
            self._forget_details(contact_id)

    def archive_contact(self, contact_id: str) -> None:
        """Remove a contact from lists and searches; it is still found by its id."""
        with self.lock:
            self.archived[contact_id] = self.contacts.texts[contact_id]
            self.contacts.remove(contact_id)

    def unarchive_contact(self, contact_id: str) -> None:
        """Restore an archived contact."""
        with self.lock:
            self.contacts.put(orjson.loads(self.archived.pop(contact_id)))

    def merge_contacts(self, source_id: str, target_id: str) -> None:
        """Merge a contact into another one; the source is gone and its id points to the target."""
        with self.lock:
            source = self.contact(source_id)
            self.delete_contact(source_id)
            self.merged[source_id] = target_id
            self.merge_history.setdefault(target_id, []).append(
                {
                    "type": "merge_history",
                    "source_contact_id": source_id,
                    "source_contact_role": source["role"],
                    "merged_at": self._now(),
                }
            )
            self.update_contact(target_id)

    def tag_contact(self, contact_id: str, tag_id: str) -> None:
        self._edit_nested_list(contact_id, "tags", add=tag_id)

    def untag_contact(self, contact_id: str, tag_id: str) -> None:
        self._edit_nested_list(contact_id, "tags", remove=tag_id)

    def attach_company(self, contact_id: str, company_id: str) -> None:
        self._edit_nested_list(contact_id, "companies", add=company_id)

    def detach_company(self, contact_id: str, company_id: str) -> None:
        self._edit_nested_list(contact_id, "companies", remove=company_id)

    def add_contact_note(self, contact_id: str, **fields: Any) -> str:
        """Add a note on a contact, before its other notes."""
        with self.lock:
            note_id = self._add_note("contact", contact_id, fields)
            notes = [note_id, *self.nested_ids(contact_id, "notes")]
            self.update_contact(contact_id, notes=notes)
            return note_id

    def delete_contact_note(self, contact_id: str, note_id: str) -> None:
        self._edit_nested_list(contact_id, "notes", remove=note_id)

    def subscribe_contact(self, contact_id: str, subscription_id: str) -> None:
        """Subscribe a contact to a subscription type."""
        self._choose(contact_id, subscription_id, consent_type="opt_in")

    def unsubscribe_contact(self, contact_id: str, subscription_id: str) -> None:
        """Unsubscribe a contact from a subscription type."""
        self._choose(contact_id, subscription_id, consent_type="opt_out")

    def contact_notes(self, contact_id: str) -> list[Record]:
        """Return the notes on a contact, newest first. Raises KeyError."""
        contact = self.contact(contact_id)
        notes = (contact["notes"] or {}).get("data", ())
        return [self.note(each["id"], contact) for each in notes]

    def subscriptions(self, contact_id: str) -> list[Record]:
        """Return the subscription types that a contact has chosen or refused. Raises KeyError."""
        ids = [
            *self.nested_ids(contact_id, "opted_out_subscription_types"),
            *self.nested_ids(contact_id, "opted_in_subscription_types"),
        ]
        return [self.subscription_types.get(each) or subscription_type(each) for each in ids]

    def contact(self, contact_id: str) -> Record:
        """Return a copy of a contact with full nested lists. Raises KeyError."""
        return self.contacts.get(contact_id) | self._full_lists.get(contact_id, {})

    def nested_ids(self, contact_id: str, field: str) -> list[str]:
        """Return all ids in a nested list of a contact. Raises KeyError."""
        return [each["id"] for each in (self.contact(contact_id)[field] or {}).get("data", ())]

    def _put_contact(self, record: Record, fields: Record) -> None:
        contact_id = record["id"]
        fields = dict(fields)
        segment_ids = fields.pop("segments", None)
        if segment_ids is not None:
            self.contact_segment_ids[contact_id] = tuple(segment_ids)
        for field, kind in _NESTED_LISTS.items():
            if isinstance(fields.get(field), Sequence):
                path = "subscriptions" if kind == "subscription" else field
                url = f"/contacts/{contact_id}/{path}"
                fields[field] = records.nested_list(kind, fields[field], url)
        update(record, fields)
        if "email" in fields and "email_domain" not in fields:
            record["email_domain"] = (fields["email"] or "").rpartition("@")[2] or None
        full = {}
        for field in _NESTED_LISTS:
            nested = record[field]
            if nested and len(nested["data"]) > NESTED_LIMIT:
                full[field] = nested
                record[field] = nested | {"data": nested["data"][:NESTED_LIMIT], "has_more": True}
        if full:
            self._full_lists[contact_id] = full
        else:
            self._full_lists.pop(contact_id, None)
        self._company_contacts = None
        self.contacts.put(record)

    def _edit_nested_list(
        self, contact_id: str, field: str, *, add: str | None = None, remove: str | None = None
    ) -> None:
        with self.lock:
            ids = self.nested_ids(contact_id, field)
            kept = [each for each in ids if each not in (add, remove)]
            self.update_contact(contact_id, **{field: kept + ([add] if add else [])})

    def _choose(self, contact_id: str, subscription_id: str, consent_type: str) -> None:
        """Record a choice that the subscription type does not assume."""
        with self.lock:
            default = self.subscription_types[subscription_id]["consent_type"]
            way = "in" if default == "opt_in" else "out"
            field = f"opted_{way}_subscription_types"
            if consent_type == default:
                self._edit_nested_list(contact_id, field, add=subscription_id)
            else:
                self._edit_nested_list(contact_id, field, remove=subscription_id)

    def _add_note(self, kind: str, owner_id: str, fields: Record) -> str:
        note_id = fields.get("id") or self._number_id("note", 410_000)
        owner = {"type": kind, "id": owner_id}
        self.notes[note_id] = note(note_id, owner, self._now()) | fields
        return note_id

    # Companies

    def add_company(self, **fields: Any) -> str:
        """Add a company; `tags` and `segments` may be lists of ids."""
        with self.lock:
            company_id = fields.get("id") or self._hexadecimal_id("company")
            record = records.company(company_id, self.app["id_code"], self._now())
            if "created_at" in fields and "updated_at" not in fields:
                record["updated_at"] = fields["created_at"]
            self._put_company(record, fields)
            return company_id

    def update_company(self, company_id: str, **fields: Any) -> None:
        """Set fields of a company; a field set to None is omitted, as in the API."""
        with self.lock:
            self._put_company(self.companies.get(company_id), self._stamped(fields))

    def delete_company(self, company_id: str) -> None:
        with self.lock:
            self.companies.remove(company_id)
            self._company_note_lists.pop(company_id, None)

    def add_company_note(self, company_id: str, **fields: Any) -> str:
        """Add a note on a company, before its other notes."""
        with self.lock:
            note_id = self._add_note("company", company_id, fields)
            self.update_company(company_id, notes=[note_id, *self._company_note_ids(company_id)])
            return note_id

    def company_notes(self, company_id: str) -> list[Record]:
        """Return the notes on a company, newest first. Raises KeyError."""
        company = self.companies.get(company_id)
        return [self.note(each, company) for each in self._company_note_ids(company_id)]

    def company_contact_ids(self, company_id: str) -> list[str]:
        """Return the contacts of a company in the order of their ids."""
        if self._company_contacts is None:
            self._company_contacts = {}
            for _, contact_id in self.contacts.ids:
                for each in self.nested_ids(contact_id, "companies"):
                    self._company_contacts.setdefault(each, []).append(contact_id)
        return self._company_contacts.get(company_id, [])

    def tag_company(self, company_id: str, tag_id: str) -> None:
        self._edit_company_tags(company_id, add=tag_id)

    def untag_company(self, company_id: str, tag_id: str) -> None:
        self._edit_company_tags(company_id, remove=tag_id)

    def _put_company(self, record: Record, fields: Record) -> None:
        fields = dict(fields)
        if isinstance(fields.get("tags"), Sequence):
            fields["tags"] = {"type": "tag.list", "tags": self._tag_names(fields["tags"])}
        if isinstance(fields.get("segments"), Sequence):
            fields["segments"] = {
                "type": "segment.list",
                "segments": [
                    {"type": "segment", "id": each, "name": self.company_segments[each]["name"]}
                    for each in fields["segments"]
                ],
            }
        company_id = record["id"]
        if isinstance(fields.get("notes"), Sequence):
            notes = records.nested_list("note", fields["notes"], f"/companies/{company_id}/notes")
            self._company_note_lists[company_id] = list(fields["notes"])
            fields["notes"] = notes | {
                "type": "note.list",
                "data": notes["data"][:NESTED_LIMIT],
                "has_more": len(notes["data"]) > NESTED_LIMIT,
            }
        update(record, fields)
        for field in [field for field, value in record.items() if value is None]:
            if field in fields and field not in ("tags", "segments", "updated_at"):
                del record[field]
        self.companies.put(record)

    def _company_note_ids(self, company_id: str) -> list[str]:
        return self._company_note_lists.get(company_id, [])

    def _edit_company_tags(
        self, company_id: str, *, add: str | None = None, remove: str | None = None
    ) -> None:
        with self.lock:
            tags = (self.companies.get(company_id).get("tags") or {}).get("tags", ())
            kept = [each["id"] for each in tags if each["id"] not in (add, remove)]
            self.update_company(company_id, tags=kept + ([add] if add else []))

    def _tag_names(self, tag_ids: Sequence[str]) -> list[Record]:
        return [
            {"type": "tag", "id": each, "name": self.tags.get(each, {}).get("name", each)}
            for each in tag_ids
        ]

    # Conversations and their parts

    def add_conversation(self, **fields: Any) -> str:
        """Add a conversation; `contacts`, `teammates` and `tags` may be lists of ids."""
        with self.lock:
            conversation_id = fields.get("id") or self._number_id("conversation", 215_470_000)
            record = records.conversation(conversation_id, self._now())
            if "created_at" in fields and "updated_at" not in fields:
                record["updated_at"] = fields["created_at"]
            self.parts[conversation_id] = []
            self._put_conversation(record, fields)
            return conversation_id

    def update_conversation(self, conversation_id: str, **fields: Any) -> None:
        with self.lock:
            self._put_conversation(self.conversations.get(conversation_id), self._stamped(fields))

    def delete_conversation(self, conversation_id: str) -> None:
        with self.lock:
            self.conversations.remove(conversation_id)
            del self.parts[conversation_id]
            self.resources.add("deleted_conversations", id=conversation_id)
            self._plain_parts.pop(conversation_id, None)
            self._forget_ticket_of(conversation_id)
            self._forget_details(conversation_id)

    def delete_ticket(self, ticket_id: str) -> None:
        with self.lock:
            super().delete_ticket(ticket_id)
            self.resources.add("deleted_tickets", id=ticket_id)

    def tag_conversation(
        self, conversation_id: str, tag_id: str, admin_id: str = "7000001"
    ) -> None:
        with self.lock:
            tags = self._other_tags(conversation_id, tag_id)
            tag = self._tag_names([tag_id])[0] | {
                "applied_at": self._now(),
                "applied_by": {"type": "admin", "id": admin_id},
            }
            self.update_conversation(
                conversation_id, tags={"type": "tag.list", "tags": [*tags, tag]}
            )

    def untag_conversation(self, conversation_id: str, tag_id: str) -> None:
        with self.lock:
            tags = self._other_tags(conversation_id, tag_id)
            self.update_conversation(conversation_id, tags={"type": "tag.list", "tags": tags})

    def add_part(self, conversation_id: str, **fields: Any) -> str:
        """Add a part at the end, and set the conversation's updated_at to that of the part."""
        with self.lock:
            part_id = fields.get("id") or self._number_id("part", 31_900_000)
            now = fields.get("created_at", self._now())
            record = records.conversation_part(part_id, now)
            update(record, fields)
            self.parts[conversation_id].append(json_text(record))
            self._note_translations(conversation_id, [record])
            self._touch_parts(conversation_id, record["updated_at"])
            return part_id

    def reply(self, conversation_id: str, body: str = "<p>Reply</p>", **fields: Any) -> str:
        """Add a comment."""
        return self.add_part(conversation_id, body=body, **fields)

    def update_part(self, conversation_id: str, part_id: str, **fields: Any) -> None:
        with self.lock:
            parts = self.parts[conversation_id]
            position, record = self._part(conversation_id, part_id)
            update(record, self._stamped(fields))
            parts[position] = json_text(record)
            self._note_translations(conversation_id, [record])
            self._touch_parts(conversation_id, record["updated_at"])

    def redact_part(self, conversation_id: str, part_id: str) -> None:
        self.update_part(conversation_id, part_id, redacted=True, body="")

    def load_parts(self, conversation_id: str, parts: Sequence[Record]) -> list[str]:
        """Set all parts of a conversation at once without changing its updated_at."""
        with self.lock:
            made = []
            for fields in parts:
                part_id = fields.get("id") or self._number_id("part", 31_900_000)
                record = records.conversation_part(part_id, fields.get("created_at", self._now()))
                update(record, fields)
                made.append(record | {"id": part_id})
            self.parts[conversation_id] = [json_text(each) for each in made]
            self._note_translations(conversation_id, made)
            self._plain_parts.pop(conversation_id, None)
            conversation = self.conversations.get(conversation_id)
            if self._agree(conversation):
                self.conversations.put(conversation)
            return [each["id"] for each in made]

    def _note_translations(self, conversation_id: str, parts: Sequence[Record]) -> None:
        if any(part["translations"] for part in parts):
            self.translated.add(conversation_id)

    def parts_text(self, conversation_id: str, *, plain: bool) -> bytes:
        """Return the newest parts that the API sends, as the inside of a JSON list."""
        newest = self.parts[conversation_id][-PARTS_LIMIT:]
        if not plain:
            return b",".join(newest)
        text = self._plain_parts.get(conversation_id)
        if text is None:
            text = self._plain_parts[conversation_id] = b",".join(map(_plain_part, newest))
        return text

    def _part(self, conversation_id: str, part_id: str) -> tuple[int, Record]:
        for position, text in enumerate(self.parts[conversation_id]):
            record = orjson.loads(text)
            if record["id"] == part_id:
                return position, record
        raise KeyError(part_id)

    def _touch_parts(self, conversation_id: str, updated_at: int) -> None:
        self._plain_parts.pop(conversation_id, None)
        record = self.conversations.get(conversation_id)
        self._agree(record)
        latest = max(updated_at, record["updated_at"] or 0)
        self._put_conversation(record, {"updated_at": latest})

    def load_handling_events(self, conversation_id: str, events: Sequence[Record]) -> None:
        """Set the handling events of a conversation without changing its updated_at."""
        with self.lock:
            self.handling_events[conversation_id] = list(events)
            conversation = self.conversations.get(conversation_id)
            if self._agree(conversation):
                self.conversations.put(conversation)

    def _agree(self, conversation: Record) -> bool:
        """Make the statistics of a conversation, if it has any, agree with its parts."""
        if conversation["statistics"]:
            parts = [orjson.loads(each) for each in self.parts[conversation["id"]]]
            team = self.teams.get(str(conversation["team_assignee_id"]), {})
            pauses = self.handling_events.get(conversation["id"], ())
            conversation["statistics"] |= conversation_statistics(
                conversation, parts, team.get("name"), pauses
            )
        return bool(conversation["statistics"])

    def _put_conversation(self, record: Record, fields: Record) -> None:
        fields = dict(fields)
        if isinstance(fields.get("contacts"), Sequence):
            fields["contacts"] = {
                "type": "contact.list",
                "contacts": [self._contact_reference(each) for each in fields["contacts"]],
            }
        if isinstance(fields.get("teammates"), Sequence):
            fields["teammates"] = {
                "type": "admin.list",
                "admins": [{"type": "admin", "id": each} for each in fields["teammates"]],
            }
        if isinstance(fields.get("tags"), Sequence):
            applied = {
                "applied_at": fields.get("updated_at", record["updated_at"]),
                "applied_by": {"type": "admin", "id": "7000001"},
            }
            tags = [tag | applied for tag in self._tag_names(fields["tags"])]
            fields["tags"] = {"type": "tag.list", "tags": tags}
        update(record, fields)
        self.conversations.put(record)
        self._put_ticket_of(record)

    def _other_tags(self, conversation_id: str, tag_id: str) -> list[Record]:
        tags = self.conversations.get(conversation_id)["tags"] or {}
        return [each for each in tags.get("tags", ()) if each["id"] != tag_id]

    # Tags, segments, teammates and attributes are resources too

    def add_tag(self, **fields: Any) -> str:
        return self.add_record("tags", **fields)

    def add_admin(self, **fields: Any) -> str:
        """Add an admin; `avatar` is the object that `display_avatar=true` returns."""
        return self.add_record("admins", **fields)

    def add_team(self, **fields: Any) -> str:
        return self.add_record("teams", **fields)

    def add_segment(self, *, of_companies: bool = False, **fields: Any) -> str:
        with self.lock:
            fields = {"id": self._hexadecimal_id("segment")} | fields
            return self.add_record("company_segments" if of_companies else "segments", **fields)

    def update_segment(self, segment_id: str, **fields: Any) -> None:
        self.update_record(self._segments_with(segment_id), segment_id, **fields)

    def delete_segment(self, segment_id: str) -> None:
        self.delete_record(self._segments_with(segment_id), segment_id)

    def _segments_with(self, segment_id: str) -> str:
        return "segments" if segment_id in self.segments else "company_segments"

    def add_data_attribute(self, model: str, name: str, data_type: str, **fields: Any) -> int:
        """Add a custom attribute of contacts or companies, and return its id."""
        with self.lock:
            attribute_id = int(self._number_id("attribute", 12_000))
            now = self._now()
            custom = {
                "id": attribute_id,
                "name": name,
                "full_name": f"custom_attributes.{name}",
                "label": name,
                "data_type": data_type,
                "api_writable": True,
                "ui_writable": True,
                "custom": True,
                "admin_id": "7000001",
                "created_at": now,
                "updated_at": now,
            }
            self.add_record(f"{model}_attributes", **custom | fields)
            return attribute_id

    def add_conversation_attribute(self, name: str, data_type: str, **fields: Any) -> int:
        """Add a custom attribute of conversations, and return its id."""
        key = self.add_record("conversation_attributes", name=name, data_type=data_type, **fields)
        return int(key)

    # Resources: all lists apart from contacts, companies, conversations and tickets

    def add_record(self, table: str, **fields: Any) -> str:
        """Add a record of a resource, and return its key: the id, or fields as `one/other`."""
        with self.lock:
            return self.resources.add(table, **fields)

    def record_keys(self, table: str) -> list[str]:
        """Return the keys of all records of a resource, in order of creation."""
        with self.lock:
            return self.resources.keys(table)

    def update_record(self, table: str, key: str, **fields: Any) -> None:
        with self.lock:
            self.resources.update(table, key, **fields)

    def delete_record(self, table: str, key: str) -> None:
        with self.lock:
            self.resources.delete(table, key)

    # Exports

    def add_export_row(self, group: str, sent_at: int, **columns: Any) -> None:
        """Add a row of the content export by its message's send time; columns may be new."""
        with self.lock:
            empty = dict.fromkeys(GROUPS[group])
            self.export_rows[group].append({"sent_at": sent_at} | empty | columns)

    def update_export_row(self, group: str, number: int, **columns: Any) -> None:
        with self.lock:
            self.export_rows[group][number].update(columns)

    def add_dataset(self, dataset_id: str, time: str | None, attributes: Sequence[str]) -> None:
        """Add a dataset of the reporting export; attributes are qualified ids.

        time: the plain id of the attribute that jobs filter by.
        """
        with self.lock:
            self.datasets[dataset_id] = {
                "id": dataset_id,
                "name": dataset_id.replace("_", " ").capitalize(),
                "description": f"Rows about {dataset_id.replace('_', ' ')}.",
                "default_time_attribute_id": time,
                "attributes": [
                    {
                        "id": each.partition(".")[2],
                        "qualified_id": each,
                        "name": each.partition(".")[2].replace("_", " ").capitalize(),
                    }
                    for each in attributes
                ],
            }
            self.dataset_rows.setdefault(dataset_id, [])

    def add_dataset_row(self, dataset_id: str, row: Record) -> None:
        """Add a row of a dataset, by the qualified ids of its attributes."""
        with self.lock:
            self.dataset_rows[dataset_id].append(dict(row))

    def update_dataset_row(self, dataset_id: str, number: int, row: Record) -> None:
        with self.lock:
            self.dataset_rows[dataset_id][number].update(row)

    # The truth

    def truth(self, stream: str, version: Version = DEFAULT_VERSION) -> list[Record]:
        """Return all living records of a stream, with full nested lists and parts beyond the limit.

        Fields that a version does not have are left out.

        Conversation parts have their `conversation_id`, and their bodies are HTML. Records listed
        for one parent have its id, and rows of exports the `sent_at` of their message. For tables
        whose rows belong to other records, see `children`.
        """
        with self.lock:
            match stream:
                case "contacts":
                    return [self.contact(contact_id) for contact_id in self.contacts.texts]
                case "companies":
                    return list(self.companies.records())
                case "conversations":
                    records = self.conversations.records()
                    return [as_of(stream, each, version) for each in records]
                case "conversation_parts":
                    return [
                        orjson.loads(text) | {"conversation_id": conversation_id}
                        for conversation_id, parts in self.parts.items()
                        for text in parts
                    ]
                case "workspace":
                    return [dict(self.app)]
                case "team_admin":
                    return [
                        {"team_id": team["id"], "admin_id": str(admin_id)}
                        for team in self.teams.values()
                        for admin_id in team["admin_ids"]
                    ]
                case _ if stream.startswith(CONTENT_PREFIX):
                    rows = self.export_rows[stream.removeprefix(CONTENT_PREFIX)]
                    return [dict(each) for each in rows]
                case _ if stream.startswith("reporting_"):
                    rows = self.dataset_rows[stream.removeprefix("reporting_")]
                    return [dict(each) for each in rows]
                case _:
                    if stream in TABLES:
                        return [as_of(stream, each, version) for each in TABLES[stream](self)]
                    return self.resources.truth(stream, version)

    def first_instant(self) -> int:
        """Return the earliest updated_at of all records, or 0 without records."""
        with self.lock:
            orders = [table.index.order for table in self.searched_tables]
            starts = [order[0][0] for order in orders if order]
            segments = [*self.segments.values(), *self.company_segments.values()]
            return min(starts + [each["updated_at"] for each in segments], default=0)


def _plain_part(text: bytes) -> bytes:
    part = orjson.loads(text)
    if part["body"] is None:
        return text
    return orjson.dumps(part | {"body": plain_text(part["body"])})
