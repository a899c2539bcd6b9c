"""Conversations and their parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from tap_intercom.attachments.links import (
    Link,
    links_of_call,
    links_of_conversation,
    links_of_side_conversation,
    path_of_recording,
)
from tap_intercom.errors import AuthError
from tap_intercom.intercom.client import BARE, Answer, Client
from tap_intercom.intercom.pages import ByCursor, Numbered, only_page, read_pages
from tap_intercom.reading.children import ChildStream, Parent
from tap_intercom.reading.files import FileStream, unless_gone
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.nested import NestedList
from tap_intercom.reading.nested_reader import Case, Cases
from tap_intercom.reading.search import SearchStream, probe_search
from tap_intercom.reading.stream import (
    EmbeddedStream,
    MissingPermission,
    OlderColumn,
    Probe,
    columns_of,
    instant_of,
    list_of,
)
from tap_intercom.reading.stream_run import Batch, Opening, Record, StreamRun
from tap_intercom.reading.unreadable import UnreadableError, read_one
from tap_intercom.settings import Settings
from tap_intercom.streams.workspace import NOT_DOCUMENTED_AGE
from tap_intercom.versions import PREVIEW

LOGGER = logging.getLogger("tap_intercom")

# GET /conversations/{id} has only the newest parts.
# Source: https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/retrieveconversation
MAX_PARTS = 500
READ_CONVERSATIONS = "Read conversations"
# From this version on, some fields come only on request (API-L1).
ADDED_ON_REQUEST = (2, 16)
OF_CONVERSATION = {"conversation_id": "id", "conversation_updated_at": "updated_at"}
TICKETS = frozenset({"conversations that are tickets"})
TICKETS_MISSING = MissingPermission("Read tickets", "all conversations that are tickets")
INLINE_IMAGES = frozenset({"inline images"})
ALL_PART_TYPES = frozenset({"part types of 2.13"})


def part_types(settings: Settings) -> frozenset[str]:
    """Return the part types of a version: before 2.13 Intercom omits many (API-A3)."""
    return ALL_PART_TYPES if settings.version >= (2, 13) else frozenset()


PARTS = NestedList(
    "conversation_parts", ("conversation_parts", "data"), limit=MAX_PARTS, is_always_sent=True
)
PARTS_OF_SIDE_CONVERSATION = NestedList(
    "conversation_parts",
    ("conversation_parts", "data"),
    is_bare=True,
    count_field="total_count",
    is_always_sent=True,
)
CONTACTS = NestedList("contacts", ("contacts", "data"))
TAGS = NestedList("tags", ("tags", "data"))
# The documentation calls the list teammates, real answers admins (API-G3).
TEAMMATES = NestedList("teammates", ("admins", "teammates", "data"))
# The documentation says that at most 1,000 are returned.
LINKS = NestedList("linked_objects", limit=1000)
TOPICS = NestedList("topics", ("topics", "data"))
CONTENT_SOURCES = NestedList("ai_agent.content_sources", ("content_sources", "data"))
NOTES_OF_COMPANY = NestedList("company.notes", ("data", "notes"))
ATTACHMENTS = NestedList("attachments", is_bare=True)
ATTACHMENTS_OF_SOURCE = NestedList("source.attachments", is_bare=True)
FILE = {
    name: name for name in ("type", "name", "url", "content_type", "filesize", "width", "height")
}


class ConversationPartAttachment(EmbeddedStream):
    """Source: GET /conversations/{id}."""

    summary = "One record per file of the parts of each conversation that changed."
    name = "conversation_part_attachment"
    permission = READ_CONVERSATIONS
    request_cost = "those of conversation_parts, shared"
    key_properties = ("conversation_part_id", "position")
    replication_key = "conversation_updated_at"
    from_parent = {
        "conversation_part_id": "id",
        "conversation_id": "conversation_id",
        "conversation_updated_at": "conversation_updated_at",
    }
    nested_list = ATTACHMENTS
    select = FILE
    position_field = "position"


class Attachments(FileStream):
    """Source: GET /conversations/{id}, and the addresses of the files."""

    summary = "One record per file of each conversation, ticket and call that changed; stores it."
    name = "attachments"
    permission = READ_CONVERSATIONS
    request_cost = "those of conversation_parts, shared; 1 per new file, not to Intercom's API"
    advice = (
        "needs attachments_dir; stores the files of conversations, and those of tickets, side "
        "conversations and calls if their tables are selected"
    )
    # A full read would replace the rows of files that Intercom no longer sends.
    is_snapshot = True

    def covers(self, opening: Opening) -> frozenset[str]:
        return INLINE_IMAGES if _wants_images(opening.settings) else frozenset()

    def links(self, run: StreamRun, records: Sequence[Record], parent: Any) -> Iterator[Link]:
        for record in records:
            yield from links_of_conversation(record, self._html_of(run, record, parent))

    def read_again(self, run: StreamRun, link: Link) -> Iterator[Link]:
        # In HTML both kinds of files have their addresses.
        found = run.client.get(_conversation_path(link.conversation_id)).body
        return links_of_conversation(found, found)

    def _html_of(self, run: StreamRun, conversation: Record, parent: Parent) -> Record | None:
        """Return a conversation with HTML bodies, if its inline images are wanted."""
        if run.settings.body_format != "plaintext":
            return conversation
        if not _wants_images(run.settings):
            return None

        def read(client: Client, parent: Parent) -> Record:
            return client.get(_conversation_path(parent.id)).body

        case = f"inline images of {parent.id}"
        others = partial(run.others_than, ConversationParts.name, parent)
        try:
            found = unless_gone(partial(read_one, read, run.client, parent, others))
        except UnreadableError as error:
            run.note_unreadable(self.name, case, 1, error)
            return None
        run.note_gone(self.name, found is None, case)
        return found


def _wants_images(settings: Settings) -> bool:
    return settings.body_format != "plaintext" or settings.inline_images


def _conversation_path(conversation_id: Any) -> str:
    return ConversationParts.path.format(id=conversation_id)


class ConversationParts(ChildStream):
    """Source: GET /conversations/{id}."""

    summary = "One record per part of each conversation that changed."
    name = "conversation_parts"
    path = "/conversations/{id}"
    permission = READ_CONVERSATIONS
    request_cost = "1 per changed conversation, plus those of conversations"
    from_parent = OF_CONVERSATION
    replication_key = "updated_at"
    embedded = (ConversationPartAttachment(),)
    files = (Attachments(),)
    is_selected_by_default = True

    def covers(self, opening: Opening) -> frozenset[str]:
        return part_types(opening.settings)

    def url_params(self, run: StreamRun, parent: Parent) -> dict[str, Any]:
        is_plain = run.settings.body_format == "plaintext"
        asked = {"display_as": "plaintext"} if is_plain else {}
        if run.settings.version >= ADDED_ON_REQUEST and run.shows(self.name, "translations"):
            asked["include_translations"] = "true"
        return asked

    def counts_addresses(self, names: Collection[str]) -> bool:
        return True

    def holders_of_files(self, answer: Answer) -> list[Record]:
        return [answer.body]

    def cases(
        self,
        run: StreamRun,
        parent: Parent,
        answer: Answer,
        names: Sequence[str],
        kept: Sequence[bool] | None,
    ) -> Cases:
        """Return parts that Intercom counts but does not return, and lists that it omits."""
        case = Case(str(parent.id), PARTS, PARTS.read(answer.body))
        return dict.fromkeys(names, (case,)) if case.found.missing else {}

    def child_records(self, run: StreamRun, parent: Parent, answer: Answer) -> list[Record]:
        # The answer itself is newer than the parent from the search.
        conversation = answer.body
        parts = PARTS.rows(conversation)
        total = PARTS.total(conversation)
        for part in parts:
            part["conversation_id"] = conversation.get("id")
            part["conversation_created_at"] = conversation.get("created_at")
            part["conversation_updated_at"] = conversation.get("updated_at")
            part["conversation_total_parts"] = total
        return parts


class HandlingEvents(ChildStream):
    """Source: GET /conversations/{id}/handling_events."""

    summary = "One record per time that a teammate paused or resumed a conversation that changed."
    name = "handling_events"
    path = "/conversations/{id}/handling_events"
    records_key = "handling_events"
    permission = READ_CONVERSATIONS
    request_cost = "1 per changed conversation"
    first_version = (2, 15)
    key_properties = ("conversation_id", "teammate_id", "type", "timestamp")
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION

    def post_process(self, record: Record) -> Record:
        teammate = record.get("teammate")
        record["teammate_id"] = teammate.get("id") if isinstance(teammate, dict) else None
        return record


class SideConversationParts(EmbeddedStream):
    """Source: GET /conversations/{id}/side_conversations."""

    summary = "One record per part of the side conversations of each conversation that changed."
    name = "side_conversation_parts"
    permission = READ_CONVERSATIONS
    request_cost = "those of side_conversations, shared"
    first_version = (2, 16)
    replication_key = "conversation_updated_at"
    from_parent = {
        "side_conversation_id": "side_conversation_id",
        "conversation_id": "conversation_id",
        "conversation_updated_at": "conversation_updated_at",
    }
    nested_list = PARTS_OF_SIDE_CONVERSATION
    html_fields = ("body",)


class AttachmentsOfSideConversations(FileStream):
    """Source: GET /conversations/{id}/side_conversations."""

    summary = "The rows of attachments for the files of side conversations."
    name = "attachments_of_side_conversations"
    permission = READ_CONVERSATIONS
    first_version = (2, 16)
    lists = (PARTS_OF_SIDE_CONVERSATION,)

    def links(self, run: StreamRun, records: Sequence[Record], parent: Any) -> Iterator[Link]:
        for record in records:
            yield from links_of_side_conversation(record, str(parent.id), parent.updated_at)

    def read_again(self, run: StreamRun, link: Link) -> Iterator[Link]:
        path = SideConversations.path.format(id=link.conversation_id)
        for answer in read_pages(run.client.get, path, SideConversations.paging):
            for side in list_of(answer.body, SideConversations.records_key, path):
                yield from links_of_side_conversation(
                    side, str(link.conversation_id), link.updated_at
                )


class SideConversations(ChildStream):
    """Source: GET /conversations/{id}/side_conversations."""

    summary = "One record per side conversation of each conversation that changed."
    name = "side_conversations"
    path = "/conversations/{id}/side_conversations"
    records_key = "side_conversations"
    permission = READ_CONVERSATIONS
    request_cost = "1 per changed conversation"
    first_version = (2, 16)
    key_properties = ("side_conversation_id",)
    id_field = "side_conversation_id"
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    paging = Numbered(50)
    lists = (PARTS_OF_SIDE_CONVERSATION,)
    embedded = (SideConversationParts(),)
    files = (AttachmentsOfSideConversations(),)

    def counts_addresses(self, names: Collection[str]) -> bool:
        return True

    def instant(self, record: Record) -> int | None:
        """Return when its newest part was created."""
        parts = PARTS_OF_SIDE_CONVERSATION.rows(record)
        return max((instant_of(part.get("created_at")) or 0 for part in parts), default=None)

    def post_process(self, record: Record) -> Record:
        record.pop("conversation_parts", None)  # they have their own table
        return record


class CallTranscripts(ChildStream):
    """Source: POST /calls/search, which takes 20 conversations at once."""

    summary = "One record per call of each conversation that changed, with its transcript."
    name = "call_transcripts"
    path = "/calls/search"
    permission = READ_CONVERSATIONS
    request_cost = "1 per 20 changed conversations"
    first_version = (2, 14)
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    select = {name: name for name in ("id", "conversation_id", "transcript", "transcript_status")}
    parents_at_once = 20

    def read_rows(
        self, client: Client, run: StreamRun, parents: Sequence[Parent]
    ) -> Iterator[Batch]:
        """Yield the calls of several conversations."""
        updated_at = {str(parent.id): parent.updated_at for parent in parents}

        def rows(answer: Answer) -> list[Record]:
            found = [columns_of(record, self.select) for record in self.parse_response(answer)]
            for row in found:
                row["conversation_updated_at"] = updated_at.get(str(row["conversation_id"]))
            return found

        answer = client.post(self.path, {"conversation_ids": list(updated_at)})
        yield run.render(self.name, only_page(answer), rows)


class FinVoiceCalls(ChildStream):
    """Source: GET /fin_voice/conversation/{id}."""

    summary = "One record per call of the AI agent in each conversation that changed."
    name = "fin_voice_calls"
    path = "/fin_voice/conversation/{id}"
    records_key = BARE
    permission = READ_CONVERSATIONS
    request_cost = "1 per changed conversation"
    first_version = (2, 15)
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    may_be_absent = True


class ConversationContact(EmbeddedStream):
    """Source: POST /conversations/search."""

    summary = "One record per contact of each conversation that changed."
    name = "conversation_contact"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "contact_id")
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    nested_list = CONTACTS
    select = {"contact_id": "id", "external_id": "external_id"}


class ConversationTag(EmbeddedStream):
    """Source: POST /conversations/search."""

    summary = "One record per tag on each conversation that changed."
    name = "conversation_tag"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "tag_id")
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    nested_list = TAGS
    select = {
        "tag_id": "id",
        "tag_name": "name",
        "applied_at": "applied_at",
        "applied_by": "applied_by",
    }


class ConversationTeammate(EmbeddedStream):
    """Source: POST /conversations/search."""

    summary = "One record per teammate in each conversation that changed."
    name = "conversation_teammate"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "teammate_id")
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    nested_list = TEAMMATES
    select = {"teammate_id": "id", "type": "type"}


class ConversationLink(EmbeddedStream):
    """Source: POST /conversations/search."""

    summary = "One record per object that is linked to a conversation that changed."
    name = "conversation_link"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "linked_object_type", "linked_object_id")
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    nested_list = LINKS
    select = {"linked_object_type": "type", "linked_object_id": "id", "category": "category"}


class ConversationAttachment(EmbeddedStream):
    """Source: POST /conversations/search."""

    summary = "One record per file of the first message of each conversation that changed."
    name = "conversation_attachment"
    permission = READ_CONVERSATIONS
    key_properties = ("conversation_id", "position")
    replication_key = "conversation_updated_at"
    from_parent = OF_CONVERSATION
    nested_list = ATTACHMENTS_OF_SOURCE
    select = FILE
    position_field = "position"


class Conversations(SearchStream):
    """Source: POST /conversations/search."""

    summary = "One record per conversation."
    name = "conversations"
    path = "/conversations/search"
    records_key = "conversations"
    permission = READ_CONVERSATIONS
    request_cost = "1 per 150 changed conversations"
    attributes = "conversation"
    nested_attributes = {
        "company.custom_attributes": "company",
        "ticket.ticket_attributes": "ticket",
    }
    older_columns = {
        "ticket.ticket_state": OlderColumn(
            (2, 12),
            {"type": ["null", "string"], "description": "Category of the ticket's state."},
        )
    }
    html_fields = (
        "source.body",
        "source.subject",
        "source.email_message_metadata.history",
        "company.notes.data[].body",
        "ticket.ticket_attributes._default_description_",
        "conversation_message.body",
        "conversation_message.subject",
    )
    nested = {"tags": "tags", "contacts": "contacts"}
    lists = (CONTACTS, TAGS, TEAMMATES, LINKS, TOPICS, CONTENT_SOURCES, NOTES_OF_COMPANY)
    embedded = (
        ConversationContact(),
        ConversationTag(),
        ConversationTeammate(),
        ConversationLink(),
        ConversationAttachment(),
    )
    children = (
        ConversationParts(),
        HandlingEvents(),
        SideConversations(),
        CallTranscripts(),
        FinVoiceCalls(),
    )
    is_selected_by_default = True

    def counts_addresses(self, names: Collection[str]) -> bool:
        # The answers for its parts have the files of the first message too.
        return self.name in names and ConversationParts.name not in names

    def covers(self, opening: Opening) -> frozenset[str]:
        settings = opening.settings
        missing_permissions = list(
            self.missing_permissions(lambda probe: probe.send(opening.client), settings)
        )
        # Before 2.10 no request shows whether the token has the permission.
        return TICKETS if settings.version >= (2, 10) and not missing_permissions else frozenset()

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        is_known = run.settings.version >= (2, 10)
        if is_known and run.covers[self.name] != TICKETS:
            LOGGER.warning(
                "%s: the token lacks the permission %s, so Intercom leaves out %s",
                self.name,
                *TICKETS_MISSING,
            )
            run.shortfalls.add(self.name, "permission missing", TICKETS_MISSING.permission)
        yield from super().batches(run)

    def missing_permissions(
        self, ask: Callable[[Probe], Answer], settings: Settings
    ) -> Iterator[MissingPermission]:
        """Yield the permission for tickets if it is missing: search then omits them (API-A2)."""
        if settings.version < (2, 10):
            return
        try:
            ask(probe_search("/tickets/search"))
        except AuthError as error:
            if not error.is_of_plan:
                yield TICKETS_MISSING

    def url_params(self, run: StreamRun) -> dict[str, Any]:
        if run.settings.version < ADDED_ON_REQUEST:
            return {}
        columns = {"include_monitors": "monitor_evaluations", "include_scorecards": "scorecards"}
        return {name: "true" for name, column in columns.items() if run.shows(self.name, column)}


class ConversationAttributes(ListStream):
    """Source: GET /conversations/attributes."""

    summary = "One record per attribute of conversations, including archived ones."
    name = "conversation_attributes"
    path = "/conversations/attributes"
    permission = READ_CONVERSATIONS
    first_version = (2, 16)
    params = {"include_archived": "true"}


class DeletedConversations(ListStream):
    """Source: GET /conversations/deleted."""

    summary = "One record per conversation that was deleted."
    name = "deleted_conversations"
    path = "/conversations/deleted"
    records_key = "conversations"
    permission = READ_CONVERSATIONS
    request_cost = "1 per 60 deleted conversations"
    first_version = (2, 16)
    replication_key = "deleted_at"
    instant_field = "deleted_at"
    params = {"order": "desc"}
    paging = Numbered(60)
    newest_first = True
    has_documented_order = False  # it may be sorted by id (API-K14)
    not_sent_again = NOT_DOCUMENTED_AGE


class AttachmentsOfCalls(FileStream):
    """Source: GET /calls/{id}/recording, which leads to the file."""

    summary = "The rows of attachments for the recordings of calls."
    name = "attachments_of_calls"
    permission = READ_CONVERSATIONS
    request_cost = "1 per recording"
    first_version = (2, 14)

    def links(self, run: StreamRun, records: Sequence[Record], parent: Any) -> Iterator[Link]:
        return chain.from_iterable(map(links_of_call, records))

    def address(self, run: StreamRun, link: Link) -> str | None:
        path = path_of_recording(link.url)
        return link.url if path is None else run.client.redirect(path)

    def read_again(self, run: StreamRun, link: Link) -> Iterator[Link]:
        yield link  # its address is a new one each time


class Calls(ListStream):
    """Source: GET /calls."""

    summary = "One record per phone or video call."
    name = "calls"
    path = "/calls"
    permission = READ_CONVERSATIONS
    request_cost = "1 per 25 calls"
    first_version = (2, 14)
    paging = Numbered(25)
    files = (AttachmentsOfCalls(),)


class Macros(ListStream):
    """Source: GET /macros."""

    summary = "One record per macro that the token's teammate can see."
    name = "macros"
    path = "/macros"
    permission = READ_CONVERSATIONS
    request_cost = "1 per 150 changed macros"
    first_version = (2, 16)
    replication_key = "updated_at"
    paging = ByCursor(150)

    def covers(self, opening: Opening) -> frozenset[str]:
        """Intercom does not show macros of other teams (API-F1)."""
        me = opening.workspace.answer
        if len(opening.settings.access_tokens) > 1:
            # Another token than the one that opened the workspace may be the first one by now.
            me = opening.client.with_one_token().get("/me")
        return frozenset({f"macros of teammate {me.body.get('id')}"})

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        yield from self.read_list(run, run.client.with_one_token().get, self.path)
        yield run.complete()

    def url_params(self, run: StreamRun) -> Mapping[str, Any]:
        starts = [window.start for window in run.plans[self.name].windows]
        # The documentation does not say whether the bound is included.
        return {"updated_since": max(min(starts) - 1, 0)}


class SlaRules(ListStream):
    """Source: GET /sla_rules."""

    summary = "One record per SLA rule, including archived ones."
    name = "sla_rules"
    path = "/sla_rules"
    permission = READ_CONVERSATIONS
    first_version = PREVIEW


STREAMS = (
    Calls(),
    ConversationAttributes(),
    Conversations(),
    DeletedConversations(),
    Macros(),
    SlaRules(),
)
