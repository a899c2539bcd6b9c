"""Tables as an erasure sees them, with all columns of their schema files."""

from __future__ import annotations

from tap_intercom.erasure.tables import Table, marked
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.reading.stream import load_schema
from tap_intercom.streams import STREAMS

PERSON = "0123456789abcdef01234567"


def table(stream: str, *, without: tuple[str, ...] = ()) -> Table:
    """A table, without some of its columns."""
    schema = load_schema(stream)
    columns = {name: each for name, each in schema["properties"].items() if name not in without}
    selected = marked({**schema, "properties": columns}, annotated_schema(stream))
    return Table(stream, stream, STREAMS[stream].key_properties, selected)


def every_table() -> list[Table]:
    return [table(stream) for stream in STREAMS]
