"""All tables by name, plus the datasets of the reporting export that a workspace has."""

from __future__ import annotations

from collections.abc import Iterator

from tap_intercom.reading.stream import Stream
from tap_intercom.streams.companies import COMPANIES, CompanyAttributes, CompanySegments
from tap_intercom.streams.contacts import (
    ContactAttributes,
    Contacts,
    CustomObjectInstances,
    Segments,
    SubscriptionTypes,
)
from tap_intercom.streams.conversations import (
    Calls,
    ConversationAttributes,
    Conversations,
    DeletedConversations,
    Macros,
)
from tap_intercom.streams.deletions import Deletions
from tap_intercom.streams.exports import Receipts
from tap_intercom.streams.knowledge import (
    Articles,
    Audiences,
    Collections,
    ContentImportSources,
    ContentSnippets,
    ExternalPages,
    HelpCenters,
    InternalArticles,
    Newsfeeds,
    NewsItems,
)
from tap_intercom.streams.reporting import dataset_stream, is_dataset
from tap_intercom.streams.tickets import Tickets, TicketStates, TicketTypes
from tap_intercom.streams.workspace import (
    ActivityLogEventTypes,
    ActivityLogs,
    Admins,
    AwayStatusReasons,
    Brands,
    CurrentWorkspace,
    DataConnectors,
    EmailSettings,
    IpAllowlist,
    OfficeHoursSchedules,
    Tags,
    Teams,
)

# Each is read together with its embedded and child streams.
ROOT_STREAMS: list[Stream] = [
    ActivityLogEventTypes(),
    ActivityLogs(),
    Admins(),
    Articles(),
    Audiences(),
    AwayStatusReasons(),
    Brands(),
    Calls(),
    Collections(),
    COMPANIES,
    CompanyAttributes(),
    CompanySegments(),
    ContactAttributes(),
    Contacts(),
    ContentImportSources(),
    ContentSnippets(),
    ConversationAttributes(),
    Conversations(),
    CurrentWorkspace(),
    CustomObjectInstances(),
    DataConnectors(),
    DeletedConversations(),
    Deletions(),
    EmailSettings(),
    ExternalPages(),
    HelpCenters(),
    InternalArticles(),
    IpAllowlist(),
    Macros(),
    Newsfeeds(),
    NewsItems(),
    OfficeHoursSchedules(),
    Receipts(),
    Segments(),
    SubscriptionTypes(),
    Tags(),
    Teams(),
    Tickets(),
    TicketStates(),
    TicketTypes(),
]
_STREAMS = [stream for root in ROOT_STREAMS for stream in root.with_children()]
STREAMS: dict[str, Stream] = {
    stream.name: stream for stream in sorted(_STREAMS, key=lambda stream: stream.name)
}


def stream_of(name: str) -> Stream:
    """Return the stream with a name, which may be a dataset's. Raises KeyError."""
    return dataset_stream(name) if is_dataset(name) else STREAMS[name]


def lineage(name: str) -> Iterator[Stream]:
    """Yield a stream, its parent, and so on up to its root."""
    stream = stream_of(name)
    yield stream
    if stream.parent is not None:
        yield from lineage(stream.parent)


def root_of(name: str) -> str:
    """Return the stream that a stream is read with: itself, or the first of its parents."""
    *_, root = lineage(name)
    return root.name
