"""All tables by name, plus the datasets of the reporting export that a workspace has."""

from __future__ import annotations

from collections.abc import Iterator

from tap_intercom.reading.stream import Stream
from tap_intercom.streams import (
    companies,
    contacts,
    conversations,
    deletions,
    exports,
    knowledge,
    reporting,
    tickets,
    workspace,
)
from tap_intercom.streams.reporting import dataset_stream, is_dataset

AREAS = (
    companies,
    contacts,
    conversations,
    deletions,
    exports,
    knowledge,
    reporting,
    tickets,
    workspace,
)
_EVERY = {
    stream.name: stream
    for area in AREAS
    for root in area.STREAMS
    for stream in root.with_children()
}
STREAMS: dict[str, Stream] = {
    name: stream for name, stream in sorted(_EVERY.items()) if not stream.is_part_of_table
}
# Streams that write rows of a table of another name, so no catalog has them.
PARTS_OF_TABLES = [stream for stream in _EVERY.values() if stream.is_part_of_table]


def stream_of(name: str) -> Stream:
    """Return the stream with a name, which may be a dataset's. Raises KeyError."""
    return dataset_stream(name) if is_dataset(name) else _EVERY[name]


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
