"""All tables, by name."""

from __future__ import annotations

from tap_intercom.streams.base import Stream
from tap_intercom.streams.companies import COMPANIES, CompanyAttributes, CompanySegments
from tap_intercom.streams.contacts import ContactAttributes, Contacts, Segments
from tap_intercom.streams.conversations import Conversations
from tap_intercom.streams.workspace import Admins, Tags, Teams

READERS: list[Stream] = [
    Admins(),
    COMPANIES,
    CompanyAttributes(),
    CompanySegments(),
    ContactAttributes(),
    Contacts(),
    Conversations(),
    Segments(),
    Tags(),
    Teams(),
]
_STREAMS = [stream for reader in READERS for stream in reader.family()]
STREAMS: dict[str, Stream] = {
    stream.name: stream for stream in sorted(_STREAMS, key=lambda stream: stream.name)
}


def reader_of(name: str) -> str:
    """The stream that a stream is read with: itself, or the first of its parents."""
    parent = STREAMS[name].parent
    return name if parent is None else reader_of(parent)
