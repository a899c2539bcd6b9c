"""What contacts, companies and conversations have outside their own record, by request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from .base import Base
from .records import Record, conversation_part, update

EVENT_DAYS = 90
"""Older events count in summaries but are no longer listed."""


def iso(instant: float) -> str:
    return datetime.fromtimestamp(instant, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def note(note_id: str, owner: Record, now: int) -> Record:
    """Return a note on a contact or a company; `owner` is its type and id."""
    return {
        "type": "note",
        "id": note_id,
        "created_at": now,
        owner["type"]: owner,
        "author": None,
        "body": f"<p>Note {note_id}</p>",
    }


def subscription_type(subscription_id: str) -> Record:
    translation = {"name": f"Subscription {subscription_id}", "description": "", "locale": "en"}
    return {
        "type": "subscription",
        "id": subscription_id,
        "state": "live",
        "consent_type": "opt_out",
        "default_translation": translation,
        "translations": [translation],
        "content_types": ["email"],
    }


def event(contact: Record, event_name: str, now: int) -> Record:
    return {
        "type": "event",
        "event_name": event_name,
        "created_at": now,
        "user_id": contact["external_id"],
        "intercom_user_id": contact["id"],
        "email": contact["email"],
        "metadata": {},
    }


def call(call_id: str, conversation_id: str | None, now: int) -> Record:
    return {
        "type": "call",
        "id": call_id,
        "conversation_id": conversation_id,
        "admin_id": None,
        "contact_id": None,
        "state": "completed",
        "initiated_at": now,
        "answered_at": now,
        "ended_at": now,
        "created_at": now,
        "updated_at": now,
        "recording_url": f"https://api.intercom.io/calls/{call_id}/recording",
        "transcription_url": f"https://api.intercom.io/calls/{call_id}/transcript",
        "call_type": "phone",
        "direction": "inbound",
        "ended_reason": "completed",
        "phone": None,
        "fin_recording_url": None,
        "fin_transcription_url": None,
    }


def fin_voice_call(call_id: int, conversation_id: str) -> Record:
    return {
        "id": call_id,
        "app_id": 1,
        "user_phone_number": "+14155550100",
        "status": "registered",
        "intercom_call_id": None,
        "external_call_id": f"call-{call_id}",
        "intercom_conversation_id": conversation_id,
        "call_transcript": [],
        "call_summary": "",
        "intent": [],
    }


class Details(Base):
    """Details of records. Events ascend by time; only a call search shows `call_transcripts`."""

    def __init__(self, **names: str) -> None:
        super().__init__(**names)
        self.notes: dict[str, Record] = {}
        self.subscription_types: dict[str, Record] = {}
        self.events: dict[str, list[Record]] = {}
        self.handling_events: dict[str, list[Record]] = {}
        self.side_conversations: dict[str, list[Record]] = {}
        self.calls: dict[str, Record] = {}
        self.call_transcripts: defaultdict[str, Record] = defaultdict(
            lambda: {"transcript": [], "transcript_status": None}
        )
        self.fin_voice_calls: dict[str, list[Record]] = {}

    def add_subscription_type(self, **fields: Any) -> str:
        with self.lock:
            subscription_id = fields.get("id") or self._number_id("subscription", 90)
            self.subscription_types[subscription_id] = subscription_type(subscription_id) | fields
            return subscription_id

    def add_event(self, contact_id: str, event_name: str, **fields: Any) -> None:
        """Add an event of a contact, and set its updated_at to now."""
        with self.lock:
            self._touch(self.contacts, contact_id)
            self.load_events(contact_id, [{"event_name": event_name, **fields}])

    def load_events(self, contact_id: str, events: Sequence[Record]) -> None:
        """Add events of a contact without changing its updated_at."""
        with self.lock:
            contact = self.contacts.get(contact_id)
            listed = self.events.setdefault(contact_id, [])
            for fields in events:
                listed.append(event(contact, fields["event_name"], self._now()) | fields)
            listed.sort(key=lambda each: int(each["created_at"]))

    def add_handling_event(
        self, conversation_id: str, admin_id: str, kind: str = "paused", **fields: Any
    ) -> None:
        """Make an admin pause or resume the work on a conversation."""
        with self.lock:
            self._touch(self.conversations, conversation_id)
            teammate = {"type": "admin", "id": int(admin_id), "name": f"Admin {admin_id}"}
            record = {"teammate": teammate, "type": kind, "timestamp": iso(self._now())}
            self.handling_events.setdefault(conversation_id, []).append(record | fields)

    def add_side_conversation(self, conversation_id: str, parts: Sequence[Record] = ({},)) -> str:
        """Add a thread between teammates inside a conversation."""
        with self.lock:
            self._touch(self.conversations, conversation_id)
            return self.load_side_conversation(conversation_id, parts)

    def load_side_conversation(self, conversation_id: str, parts: Sequence[Record]) -> str:
        """Add a thread without changing updated_at of the conversation."""
        with self.lock:
            side_id = self._number_id("side_conversation", 77_000)
            side = {"side_conversation_id": side_id, "conversation_parts": [], "total_count": 0}
            self.side_conversations.setdefault(conversation_id, []).append(side)
            for fields in parts:
                self._add_side_part(side, fields)
            return side_id

    def add_side_conversation_part(
        self, conversation_id: str, side_conversation_id: str, **fields: Any
    ) -> str:
        with self.lock:
            for side in self.side_conversations.get(conversation_id, ()):
                if side["side_conversation_id"] == side_conversation_id:
                    self._touch(self.conversations, conversation_id)
                    return self._add_side_part(side, fields)
            raise KeyError(side_conversation_id)

    def add_call(
        self,
        conversation_id: str | None = None,
        transcript: Sequence[Record] | None = None,
        **fields: Any,
    ) -> str:
        """Add a call with or without a transcript."""
        with self.lock:
            if conversation_id is not None:
                self._touch(self.conversations, conversation_id)
            return self.load_call(conversation_id, transcript, **fields)

    def load_call(
        self, conversation_id: str | None, transcript: Sequence[Record] | None, **fields: Any
    ) -> str:
        """Add a call without changing updated_at of its conversation."""
        with self.lock:
            call_id = fields.get("id") or self._number_id("call", 0)
            self.calls[call_id] = call(call_id, conversation_id, self._now()) | fields
            self.call_transcripts[call_id] = {
                "transcript": list(transcript or ()),
                "transcript_status": None if transcript is None else "completed",
            }
            return call_id

    def add_fin_voice_call(self, conversation_id: str, **fields: Any) -> int:
        with self.lock:
            self._touch(self.conversations, conversation_id)
            return self.load_fin_voice_call(conversation_id, **fields)

    def load_fin_voice_call(self, conversation_id: str, **fields: Any) -> int:
        """Add a call of Fin without changing updated_at of its conversation."""
        with self.lock:
            call_id = self._number("fin_voice_call")
            record = fin_voice_call(call_id, conversation_id) | fields
            self.fin_voice_calls.setdefault(conversation_id, []).append(record)
            return call_id

    def note(self, note_id: str, owner: Record) -> Record:
        """Return a note on a contact or a company; a note that nobody wrote has its own text."""
        reference = {"type": owner["type"], "id": owner["id"]}
        return self.notes.get(note_id) or note(note_id, reference, owner["created_at"])

    def listed_events(self, contact_id: str) -> list[Record]:
        """Return the events of a contact that are recent enough to be listed, ascending."""
        oldest = self._now() - EVENT_DAYS * 86_400
        return [each for each in self.events.get(contact_id, ()) if each["created_at"] > oldest]

    def event_summaries(self, contact_id: str) -> list[Record]:
        """Return all events of a contact by name, including old ones."""
        by_name: dict[str, list[int]] = {}
        for each in self.events.get(contact_id, ()):
            by_name.setdefault(each["event_name"], []).append(each["created_at"])
        return [
            {
                "name": name,
                "first": iso(times[0]),
                "last": iso(times[-1]),
                "count": len(times),
                "description": f"What {name} means",
            }
            for name, times in by_name.items()
        ]

    def _add_side_part(self, side: Record, fields: Record) -> str:
        part_id = fields.get("id") or self._number_id("side_part", 51_000_000)
        part = conversation_part(part_id, fields.get("created_at", self._now()))
        part["author"]["type"] = "admin"
        update(part, fields)
        side["conversation_parts"].append(part)
        side["total_count"] = len(side["conversation_parts"])
        return part_id

    def _forget_details(self, record_id: str) -> None:
        for table in (
            self.events,
            self.handling_events,
            self.side_conversations,
            self.fin_voice_calls,
        ):
            table.pop(record_id, None)
