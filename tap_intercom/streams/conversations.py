"""Conversations and their parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from tap_intercom.client import Answer, Client
from tap_intercom.errors import AuthError, ContractError
from tap_intercom.settings import Settings
from tap_intercom.streams.base import Batch, Lack, Reading, Record
from tap_intercom.streams.family import ChildStream, Parent
from tap_intercom.streams.search import SearchStream, probe_search

LOGGER = logging.getLogger("tap_intercom")

# GET /conversations/{id} holds the newest parts only.
# Source: https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/retrieveconversation
MOST_PARTS = 500
OF_CONVERSATION = ("conversation_id", "conversation_updated_at")


class ConversationParts(ChildStream):
    """One record per part: all parts of each conversation that changed.

    Source: GET /conversations/{id}.
    """

    name = "conversation_parts"
    path = "/conversations/{id}"
    permission = "Read conversations"
    cost = "1 for each changed conversation, and those of conversations"
    parent = "conversations"
    parent_columns = OF_CONVERSATION
    replication_key = "updated_at"
    is_selected_by_default = True

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
        if count >= MOST_PARTS:
            kind = f"parts beyond the newest {MOST_PARTS} of a conversation cannot be read"
            reading.findings.add(self.name, kind, case, missing)
        elif reading.settings.strict:
            raise ContractError(f"{self.name}: conversation {case} (setting strict)")
        else:
            reading.findings.add(
                self.name, "parts that Intercom counts did not come", case, missing
            )

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


class Conversations(SearchStream):
    """One record per conversation. Source: POST /conversations/search."""

    name = "conversations"
    path = "/conversations/search"
    records_key = "conversations"
    permission = "Read conversations"
    cost = "1 for 150 changed conversations"
    attributes = "conversation"
    nested = {"tags": "tags", "contacts": "contacts"}
    children = (ConversationParts(),)
    is_selected_by_default = True

    def batches(self, reading: Reading) -> Iterator[Batch]:
        for lack in self.lacks(reading.client, reading.settings):
            LOGGER.warning(
                "%s: the token lacks the permission %s, so that Intercom leaves out %s",
                self.name,
                *lack,
            )
            reading.findings.add(self.name, "permission missing", lack.permission)
        yield from super().batches(reading)

    def lacks(self, client: Client, settings: Settings) -> Iterator[Lack]:
        """Yield the permission for tickets, without which search leaves them out (API-A2)."""
        if settings.version < (2, 10):
            return
        try:
            probe_search("/tickets/search").send(client)
        except AuthError as error:
            if not error.is_of_plan:
                yield Lack("Read tickets", "all conversations that are tickets")

    def prepare(self, record: Record) -> Record:
        record = super().prepare(record)
        # The description calls the list teammates, real answers admins (API-G3).
        teammates = record.get("teammates")
        if isinstance(teammates, dict) and "teammates" in teammates:
            teammates.setdefault("admins", teammates.pop("teammates"))
        return record
