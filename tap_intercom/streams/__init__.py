"""All tables, in the order in which they are discovered."""

from __future__ import annotations

from tap_intercom.streams.base import Stream
from tap_intercom.streams.companies import COMPANIES, CompanyAttributes, CompanySegments
from tap_intercom.streams.contacts import ContactAttributes, Contacts, Segments
from tap_intercom.streams.conversations import Conversations
from tap_intercom.streams.workspace import Admins, Tags, Teams

_STREAMS: list[Stream] = [
    Admins(),
    COMPANIES,
    CompanyAttributes(),
    CompanySegments(),
    ContactAttributes(),
    Contacts(),
    Conversations.child,
    Conversations(),
    Segments(),
    Tags(),
    Teams(),
]
STREAMS: dict[str, Stream] = {stream.name: stream for stream in _STREAMS}
