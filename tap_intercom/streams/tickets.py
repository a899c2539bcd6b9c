"""Tickets with their parts, types and states."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Any

from tap_intercom.attachments.links import Link, links_of_ticket
from tap_intercom.reading.files import FileStream
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.nested import NestedList, WholeRecord
from tap_intercom.reading.search import SearchStream
from tap_intercom.reading.stream import EmbeddedStream, OlderColumn
from tap_intercom.reading.stream_run import Opening, Record, StreamRun
from tap_intercom.streams.conversations import ATTACHMENTS, FILE, part_types
from tap_intercom.times import DAY_SECONDS

READ_TICKETS = "Read tickets"
OF_TICKET = {"ticket_id": "id", "ticket_updated_at": "updated_at"}

PARTS = NestedList(
    "ticket_parts",
    ("ticket_parts", "data"),
    whole=WholeRecord("/tickets/{id}"),
    limit=500,
    is_always_sent=True,
)
CONTACTS = NestedList("contacts", ("contacts", "data"))
LINKS = NestedList("linked_objects", limit=1000)
# Real answers use the first key, the documentation the second (API-F3).
ATTRIBUTES = NestedList("ticket_type_attributes", ("data", "ticket_type_attributes"))


class TicketParts(EmbeddedStream):
    """Source: POST /tickets/search, which contains them (API-G3)."""

    summary = "One record per part of each ticket that changed, up to the newest 500."
    name = "ticket_parts"
    permission = READ_TICKETS
    first_version = (2, 10)
    replication_key = "updated_at"
    from_parent = OF_TICKET
    nested_list = PARTS
    html_fields = ("body",)

    def covers(self, opening: Opening) -> frozenset[str]:
        return part_types(opening.settings)


class TicketContact(EmbeddedStream):
    """Source: POST /tickets/search."""

    summary = "One record per contact of each ticket that changed."
    name = "ticket_contact"
    permission = READ_TICKETS
    first_version = (2, 10)
    key_properties = ("ticket_id", "contact_id")
    replication_key = "ticket_updated_at"
    from_parent = OF_TICKET
    nested_list = CONTACTS
    select = {"contact_id": "id", "external_id": "external_id"}


class TicketLink(EmbeddedStream):
    """Source: POST /tickets/search."""

    summary = "One record per object that is linked to a ticket that changed."
    name = "ticket_link"
    permission = READ_TICKETS
    first_version = (2, 10)
    key_properties = ("ticket_id", "linked_object_type", "linked_object_id")
    replication_key = "ticket_updated_at"
    from_parent = OF_TICKET
    nested_list = LINKS
    select = {"linked_object_type": "type", "linked_object_id": "id", "category": "category"}


class TicketPartAttachment(EmbeddedStream):
    """Source: POST /tickets/search."""

    summary = "One record per file of the parts of each ticket that changed."
    name = "ticket_part_attachment"
    permission = READ_TICKETS
    first_version = (2, 10)
    key_properties = ("ticket_part_id", "position")
    replication_key = "ticket_updated_at"
    from_parent = {
        "ticket_part_id": "id",
        "ticket_id": "ticket_id",
        "ticket_updated_at": "ticket_updated_at",
    }
    nested_list = ATTACHMENTS
    lists = (PARTS,)
    select = FILE
    position_field = "position"

    def child_records(self, parent: Record) -> list[Record]:
        """Return the files of all parts of a ticket."""
        rows_of = super().child_records
        return [row for part in TicketParts().child_records(parent) for row in rows_of(part)]


class AttachmentsOfTickets(FileStream):
    """Source: POST /tickets/search."""

    summary = "The rows of attachments for the files of tickets."
    name = "attachments_of_tickets"
    permission = READ_TICKETS
    first_version = (2, 10)
    lists = (PARTS,)

    def links(self, run: StreamRun, records: Sequence[Record], parent: Any) -> Iterator[Link]:
        return chain.from_iterable(map(links_of_ticket, records))

    def read_again(self, run: StreamRun, link: Link) -> Iterator[Link]:
        return links_of_ticket(run.client.get(f"/tickets/{link.ticket_id}").body)


class Tickets(SearchStream):
    """Source: POST /tickets/search."""

    summary = "One record per ticket."
    name = "tickets"
    path = "/tickets/search"
    records_key = "tickets"
    permission = READ_TICKETS
    request_cost = "1 per 150 changed tickets"
    first_version = (2, 10)
    attributes = "ticket"
    attributes_field = "ticket_attributes"
    html_fields = (
        "ticket_attributes._default_description_",
        "ticket_parts.ticket_parts[].body",
    )
    # Text before 2.12: the category that the later object has, with two labels beside it.
    older_columns = {
        name: OlderColumn((2, 12), {"type": ["null", "string"], "description": description})
        for name, description in (
            ("ticket_state", "Category of the ticket's state, such as submitted or in_progress."),
            ("ticket_state_internal_label", "Name of the state that teammates see."),
            ("ticket_state_external_label", "Name of the state that contacts see."),
        )
    }
    # A part may be newer than its ticket's time of change (API-J1).
    lookback_seconds = DAY_SECONDS
    lookback_reason = "a ticket may get a part without a new updated_at"
    lists = (PARTS, CONTACTS, LINKS)
    embedded = (TicketParts(), TicketContact(), TicketLink(), TicketPartAttachment())
    files = (AttachmentsOfTickets(),)

    def counts_addresses(self, names: Collection[str]) -> bool:
        return True


class TicketTypeAttributes(EmbeddedStream):
    """Source: GET /ticket_types."""

    summary = "One record per attribute of each ticket type."
    name = "ticket_type_attributes"
    permission = READ_TICKETS
    first_version = (2, 9)
    from_parent = {"ticket_type_id": "id"}
    nested_list = ATTRIBUTES


class TicketTypes(ListStream):
    """Source: GET /ticket_types."""

    summary = "One record per ticket type, including archived ones."
    name = "ticket_types"
    path = "/ticket_types"
    permission = READ_TICKETS
    first_version = (2, 9)
    lists = (ATTRIBUTES,)
    embedded = (TicketTypeAttributes(),)


class TicketStates(ListStream):
    """Source: GET /ticket_states."""

    summary = "One record per ticket state, including archived ones."
    name = "ticket_states"
    path = "/ticket_states"
    permission = READ_TICKETS
    first_version = (2, 12)


STREAMS = (
    Tickets(),
    TicketStates(),
    TicketTypes(),
)
