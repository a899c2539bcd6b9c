"""Conversations and their parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tap_intercom.client import BARE, Answer, Client
from tap_intercom.errors import AuthError
from tap_intercom.pages import ByCursor, Numbered, only_page
from tap_intercom.settings import Settings
from tap_intercom.streams.base import Batch, Lack, Opening, Probe, Reading, Record, instant_of
from tap_intercom.streams.family import ChildStream, DerivedStream, Parent, columns_of
from tap_intercom.streams.lists import ListStream
from tap_intercom.streams.search import SearchStream, probe_search
from tap_intercom.streams.workspace import NOT_DOCUMENTED_AGE

LOGGER = logging.getLogger("tap_intercom")

# GET /conversations/{id} holds the newest parts only.
# Source: https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/retrieveconversation
MOST_PARTS = 500
READ_CONVERSATIONS = "Read conversations"
OF_CONVERSATION = {"conversation_id": "id", "conversation_updated_at": "updated_at"}
COLUMNS_OF_CONVERSATION = tuple(OF_CONVERSATION)
TICKETS = frozenset({"conversations that are tickets"})
TICKETS_MISSING = Lack("Read tickets", "all conversations that are tickets")
ALL_PART_TYPES = frozenset({"part types of 2.13"})


def part_types(settings: Settings) -> frozenset[str]:
    """Versions before 2.13 leave parts of many types out (API-A3)."""
    return ALL_PART_TYPES if settings.version >= (2, 13) else frozenset()


class ConversationParts(ChildStream):
    """One record per part: all parts of each conversation that changed.

    Source: GET /conversations/{id}.
    """

    name = "conversation_parts"
    path = "/conversations/{id}"
    permission = READ_CONVERSATIONS
    cost = "1 for each changed conversation, and those of conversations"
    parent = "conversations"
    parent_columns = COLUMNS_OF_CONVERSATION
    replication_key = "updated_at"
    is_selected_by_default = True

    def covers(self, opening: Opening) -> frozenset[str]:
        return part_types(opening.settings)

    def parameters(self, reading: Reading, parent: Parent) -> dict[str, Any]:
        if reading.settings.body_format == "plaintext":
            return {"display_as": "plaintext"}
        return {}

    def check(self, reading: Reading, answer: Answer) -> None:
        """Report parts that Intercom counts but does not give."""
        listed = answer.body.get("conversation_parts") or {}
        total = listed.get("total_count")
        count = len(listed.get("conversation_parts") or ())
        missing = total - count if isinstance(total, int) else 0
        if missing <= 0:
            return
        case = f"{answer.body.get('id')} ({missing} of {total} missing)"
        is_cap = count >= MOST_PARTS
        kind = "parts that Intercom counts did not come"
        if is_cap:
            kind = f"parts beyond the newest {MOST_PARTS} of a conversation cannot be read"
        reading.note_shortfall(self.name, kind, case, missing, is_cap=is_cap)

    def rows(self, reading: Reading, parent: Parent, answer: Answer) -> list[Record]:
        # What the answer itself says is newer than what the search said of the parent.
        conversation = answer.body
        listed = conversation.get("conversation_parts") or {}
        parts: list[Record] = listed.get("conversation_parts") or []
        for part in parts:
            part["conversation_id"] = conversation.get("id")
            part["conversation_created_at"] = conversation.get("created_at")
            part["conversation_updated_at"] = conversation.get("updated_at")
            part["conversation_total_parts"] = listed.get("total_count")
        return parts


class HandlingEvents(ChildStream):
    """One record per moment when a teammate paused or resumed each conversation that changed.

    Source: GET /conversations/{id}/handling_events.
    """

    name = "handling_events"
    path = "/conversations/{id}/handling_events"
    records_key = "handling_events"
    parent = "conversations"
    permission = READ_CONVERSATIONS
    cost = "1 for each changed conversation"
    first_version = (2, 15)
    key_properties = ("conversation_id", "teammate_id", "type", "timestamp")
    replication_key = "conversation_updated_at"
    parent_columns = COLUMNS_OF_CONVERSATION

    def prepare(self, record: Record) -> Record:
        record["teammate_id"] = (record.get("teammate") or {}).get("id")
        return record


class SideConversationParts(DerivedStream):
    """One record per part of the side conversations of each conversation that changed.

    Source: GET /conversations/{id}/side_conversations.
    """

    name = "side_conversation_parts"
    parent = "side_conversations"
    permission = READ_CONVERSATIONS
    cost = "those of side_conversations"
    first_version = (2, 16)
    replication_key = "conversation_updated_at"
    carried = {
        "side_conversation_id": "side_conversation_id",
        "conversation_id": "conversation_id",
        "conversation_updated_at": "conversation_updated_at",
    }
    field = "conversation_parts"


class SideConversations(ChildStream):
    """One record per side conversation of each conversation that changed.

    Source: GET /conversations/{id}/side_conversations.
    """

    name = "side_conversations"
    path = "/conversations/{id}/side_conversations"
    records_key = "side_conversations"
    parent = "conversations"
    permission = READ_CONVERSATIONS
    cost = "1 for each changed conversation"
    first_version = (2, 16)
    key_properties = ("side_conversation_id",)
    id_field = "side_conversation_id"
    replication_key = "conversation_updated_at"
    parent_columns = COLUMNS_OF_CONVERSATION
    paging = Numbered(50)
    derived = (SideConversationParts(),)

    def instant(self, record: Record) -> int | None:
        """When its newest part was made."""
        parts = record.get("conversation_parts") or ()
        return max((instant_of(part.get("created_at")) or 0 for part in parts), default=None)

    def prepare(self, record: Record) -> Record:
        record.pop("conversation_parts", None)  # they have a table of their own
        return record


class CallTranscripts(ChildStream):
    """One record per call of each conversation that changed, with its transcript.

    Source: POST /calls/search, which takes 20 conversations at once.
    """

    name = "call_transcripts"
    path = "/calls/search"
    parent = "conversations"
    permission = READ_CONVERSATIONS
    cost = "1 for 20 changed conversations"
    first_version = (2, 14)
    replication_key = "conversation_updated_at"
    parent_columns = COLUMNS_OF_CONVERSATION
    columns = {name: name for name in ("id", "conversation_id", "transcript", "transcript_status")}
    parents_at_once = 20

    def read_rows(self, client: Client, reading: Reading, parents: Sequence[Parent]) -> Batch:
        """The calls of several conversations."""
        updated_at = {str(parent.id): parent.updated_at for parent in parents}

        def rows(answer: Answer) -> list[Record]:
            found = [columns_of(record, self.columns) for record in self.records(answer)]
            for row in found:
                row["conversation_updated_at"] = updated_at.get(str(row["conversation_id"]))
            return found

        return client.post(
            self.path,
            {"conversation_ids": list(updated_at)},
            read=lambda answer: reading.render(self.name, only_page(answer), rows),
        )


class FinVoiceCalls(ChildStream):
    """One record per call that the AI agent took in each conversation that changed.

    Source: GET /fin_voice/conversation/{id}.
    """

    name = "fin_voice_calls"
    path = "/fin_voice/conversation/{id}"
    records_key = BARE
    parent = "conversations"
    permission = READ_CONVERSATIONS
    cost = "1 for each changed conversation"
    first_version = (2, 15)
    replication_key = "conversation_updated_at"
    parent_columns = COLUMNS_OF_CONVERSATION
    may_be_absent = True


class ConversationContact(DerivedStream):
    """One record per contact of each conversation that changed.

    Source: POST /conversations/search.
    """

    name = "conversation_contact"
    parent = "conversations"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "contact_id")
    replication_key = "conversation_updated_at"
    carried = OF_CONVERSATION
    field = "contacts"
    list_keys = ("contacts", "data")
    columns = {"contact_id": "id", "external_id": "external_id"}


class ConversationTag(DerivedStream):
    """One record per tag on each conversation that changed. Source: POST /conversations/search."""

    name = "conversation_tag"
    parent = "conversations"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "tag_id")
    replication_key = "conversation_updated_at"
    carried = OF_CONVERSATION
    field = "tags"
    list_keys = ("tags", "data")
    columns = {
        "tag_id": "id",
        "tag_name": "name",
        "applied_at": "applied_at",
        "applied_by": "applied_by",
    }


class ConversationTeammate(DerivedStream):
    """One record per teammate in each conversation that changed.

    Source: POST /conversations/search.
    """

    name = "conversation_teammate"
    parent = "conversations"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "teammate_id")
    replication_key = "conversation_updated_at"
    carried = OF_CONVERSATION
    field = "teammates"
    list_keys = ("admins", "teammates")
    columns = {"teammate_id": "id", "type": "type"}


class ConversationLink(DerivedStream):
    """One record per object that each changed conversation is linked to.

    Source: POST /conversations/search.
    """

    name = "conversation_link"
    parent = "conversations"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "linked_object_type", "linked_object_id")
    replication_key = "conversation_updated_at"
    carried = OF_CONVERSATION
    field = "linked_objects"
    columns = {"linked_object_type": "type", "linked_object_id": "id", "category": "category"}


class Conversations(SearchStream):
    """One record per conversation. Source: POST /conversations/search."""

    name = "conversations"
    path = "/conversations/search"
    records_key = "conversations"
    permission = READ_CONVERSATIONS
    cost = "1 for 150 changed conversations"
    attributes = "conversation"
    nested = {"tags": "tags", "contacts": "contacts"}
    derived = (
        ConversationContact(),
        ConversationTag(),
        ConversationTeammate(),
        ConversationLink(),
    )
    children = (
        ConversationParts(),
        HandlingEvents(),
        SideConversations(),
        CallTranscripts(),
        FinVoiceCalls(),
    )
    is_selected_by_default = True

    def covers(self, opening: Opening) -> frozenset[str]:
        settings = opening.settings
        lacks = list(self.lacks(lambda probe: probe.send(opening.client), settings))
        # Before 2.10 no request shows whether the permission is there.
        return TICKETS if settings.version >= (2, 10) and not lacks else frozenset()

    def batches(self, reading: Reading) -> Iterator[Batch]:
        is_known = reading.settings.version >= (2, 10)
        if is_known and reading.covers[self.name] != TICKETS:
            LOGGER.warning(
                "%s: the token lacks the permission %s, so that Intercom leaves out %s",
                self.name,
                *TICKETS_MISSING,
            )
            reading.findings.add(self.name, "permission missing", TICKETS_MISSING.permission)
        yield from super().batches(reading)

    def lacks(self, ask: Callable[[Probe], Answer], settings: Settings) -> Iterator[Lack]:
        """Yield the permission for tickets, without which search leaves them out (API-A2)."""
        if settings.version < (2, 10):
            return
        try:
            ask(probe_search("/tickets/search"))
        except AuthError as error:
            if not error.is_of_plan:
                yield TICKETS_MISSING

    def prepare(self, record: Record) -> Record:
        # The description calls the list teammates, real answers admins (API-G3).
        teammates = record.get("teammates")
        if isinstance(teammates, dict) and "teammates" in teammates:
            teammates.setdefault("admins", teammates.pop("teammates"))
        return record


class ConversationAttributes(ListStream):
    """One record per attribute of conversations, archived ones too.

    Source: GET /conversations/attributes.
    """

    name = "conversation_attributes"
    path = "/conversations/attributes"
    permission = READ_CONVERSATIONS
    first_version = (2, 16)
    params = {"include_archived": "true"}


class DeletedConversations(ListStream):
    """One record per conversation that was deleted. Source: GET /conversations/deleted."""

    name = "deleted_conversations"
    path = "/conversations/deleted"
    records_key = "conversations"
    permission = READ_CONVERSATIONS
    cost = "1 for 60 deleted conversations"
    first_version = (2, 16)
    replication_key = "deleted_at"
    instant_field = "deleted_at"
    params = {"order": "desc"}
    paging = Numbered(60)
    newest_first = True
    has_documented_order = False  # it may be sorted by id (API-K14)
    not_sent_again = NOT_DOCUMENTED_AGE


class Calls(ListStream):
    """One record per phone or video call. Source: GET /calls."""

    name = "calls"
    path = "/calls"
    permission = READ_CONVERSATIONS
    cost = "1 for 25 calls"
    first_version = (2, 14)
    paging = Numbered(25)


class Macros(ListStream):
    """One record per macro that the token's teammate may see. Source: GET /macros."""

    name = "macros"
    path = "/macros"
    permission = READ_CONVERSATIONS
    cost = "1 for 150 changed macros"
    first_version = (2, 16)
    replication_key = "updated_at"
    paging = ByCursor(150)

    def covers(self, opening: Opening) -> frozenset[str]:
        """Macros of other teams are not shown (API-F1)."""
        return frozenset({f"macros of teammate {opening.workspace.answer.body.get('id')}"})

    def parameters(self, reading: Reading) -> Mapping[str, Any]:
        starts = [window.start for window in reading.plans[self.name].windows]
        # Whether the bound is included is not said.
        return {"updated_since": max(min(starts) - 1, 0)}
