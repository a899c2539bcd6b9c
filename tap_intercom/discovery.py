"""Discovery: all readable streams as a catalog."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from singer import metadata

from tap_intercom.breadcrumbs import Breadcrumb, breadcrumbs, is_in_list
from tap_intercom.catalog import (
    QUALIFIED_ID,
    UNTYPED_ATTRIBUTES,
    WORKSPACE_ID,
    WORKSPACE_ID_COLUMN,
    Entry,
    Schema,
    added_columns,
)
from tap_intercom.errors import AuthError, ContractError, ResponseError
from tap_intercom.intercom.client import Client
from tap_intercom.intercom.pages import WHOLE, read_pages
from tap_intercom.reading.schema_notes import annotated_schema, copies, of_version, without_notes
from tap_intercom.reading.stream import Stream, list_of
from tap_intercom.records.coerce import described_by
from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS
from tap_intercom.streams.reporting import DATASETS, DatasetSchema, ReportingDataset
from tap_intercom.streams.tickets import TicketTypeAttributes

LOGGER = logging.getLogger("tap_intercom")

CUSTOM_ATTRIBUTES = "custom_attributes"
OF_TICKETS = TicketTypeAttributes()
# The longest column name of PostgreSQL, less the field name that flattening targets put before it.
LONGEST_COLUMN_BYTES = 63 - len(CUSTOM_ATTRIBUTES + "__")


def _nullable(kind: str, **keywords: str) -> Schema:
    # Only a single type gets a column in all targets that flatten.
    return {"type": ["null", kind], **keywords}


TEXT = _nullable("string")
DATE_TIME = _nullable("string", format="date-time")
# Text comes first, because some targets that flatten make the column from the first branch.
DATE_OR_TEXT: Schema = {
    "anyOf": [{"type": "string"}, {"type": "string", "format": "date-time"}, {"type": "null"}]
}
# Values that do not fit are kept in other_attributes (API-G2). Objects have no type, because some
# targets that flatten lose their values.
ATTRIBUTE_TYPES: Mapping[str, Schema] = {
    "string": TEXT,
    "list": TEXT,
    "date": DATE_TIME,
    "datetime": DATE_TIME,
    "integer": _nullable("integer"),
    "float": _nullable("number"),
    "decimal": _nullable("number"),
    "boolean": _nullable("boolean"),
    "files": _nullable("array"),
}


def discover(
    client: Client, settings: Settings, *, is_only_default: bool = False
) -> dict[str, Any]:
    """Return the catalog of all streams in the API version, with typed custom attributes.

    It includes the datasets of the reporting export if the token may read them.

    is_only_default: include only streams that are selected by default, and no datasets.
    """
    streams = [
        stream
        for stream in STREAMS.values()
        if stream.is_in(settings) and (stream.is_default(settings) or not is_only_default)
    ]
    attributes = {
        model: _attributes(client, settings, model)
        for model in sorted({model for each in streams for model in each.attribute_models.values()})
    }
    found = [_entry(stream, settings, attributes) for stream in streams]
    if not is_only_default and settings.version >= ReportingDataset.first_version:
        found += [_entry_of_dataset(each, settings) for each in _datasets(client)]
    return {"streams": found}


def attribute_schemas(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Schema]:
    """Return a schema for each custom attribute that can be a column, by its key in records.

    Databases could not distinguish two attributes whose names differ only by case, or names that
    are too long, and some targets fail for a name with a quote, so these stay untyped. Attributes
    with one name and different types are text.
    """
    typed: dict[str, Schema | None] = {}
    descriptions: dict[str, Schema] = {}
    for attribute in attributes:
        name, kind = attribute.get("name"), attribute.get("data_type")
        if not isinstance(name, str) or not isinstance(kind, str):
            continue
        if 0 < len(name.encode()) <= LONGEST_COLUMN_BYTES and '"' not in name:
            schema = ATTRIBUTE_TYPES.get(kind)
            typed[name] = schema if typed.get(name, schema) == schema else TEXT
            descriptions[name] = descriptions.get(name) or described_by(
                attribute.get("description")
            )
    folded = Counter(name.casefold() for name in typed)
    return {
        # Behind the types, as some targets take the first keyword for that.
        name: {**schema, **descriptions[name]}
        for name, schema in typed.items()
        if schema is not None and folded[name.casefold()] == 1
    }


def _attributes(client: Client, settings: Settings, model: str) -> list[dict[str, Any]]:
    """Return the custom attributes of a model, or none and warn if the token may not read them."""
    path, params = "/data_attributes", {"model": model, "include_archived": "true"}
    if model == "ticket":
        if not OF_TICKETS.is_in(settings):
            return []
        path, params = "/ticket_types", {}
    elif model == "conversation" and settings.version >= (2, 16):
        # From 2.16 on they have their own endpoint, where all are custom (API-A3).
        path, params = "/conversations/attributes", {"include_archived": "true"}
    try:
        found = _whole_list(client, path, params)
    except (AuthError, ResponseError) as error:
        LOGGER.warning("the custom attributes of each %s get no types: %s", model, error)
        return []
    if model == "ticket":
        return [each for kind in found for each in OF_TICKETS.nested_list.rows(kind)]
    if path != "/data_attributes":
        return found
    return [attribute for attribute in found if attribute.get("custom") is not False]


def _whole_list(client: Client, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return all records of a list without pages, and follow pages if it has some."""
    answers = read_pages(client.get, path, WHOLE, params)
    return [record for answer in answers for record in list_of(answer.body, "data", path)]


def _datasets(client: Client) -> list[DatasetSchema]:
    """Return the datasets of the reporting export, or none if the token may not read them."""
    try:
        found = _whole_list(client, DATASETS, {})
    except (AuthError, ResponseError) as error:
        LOGGER.info(
            "reporting streams are left out; they need the permission %r: %s",
            ReportingDataset.permission,
            error,
        )
        return []
    datasets = []
    for each in found:
        try:
            datasets.append(DatasetSchema(each))
        except ContractError as error:
            LOGGER.warning("reporting stream left out: %s", error)
    return datasets


def _entry(
    stream: Stream, settings: Settings, attributes: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Entry:
    annotated = annotated_schema(stream.name)
    if not stream.is_selected_by_default:
        # Users know the columns of core streams, also those that stay empty.
        annotated = of_version(annotated, settings.version)
    for older, column in stream.older_columns.items():
        if settings.version < column.until:
            properties_at(annotated, older)[older.rpartition(".")[2]] = column.schema
    schema = without_notes(annotated)
    untyped: list[str] = []
    if stream.attributes:
        own = attributes.get(stream.attributes, ())
        custom = schema["properties"][stream.attributes_field]
        typed = custom.pop("properties", {}) | attribute_schemas(own)
        if typed:
            # Some targets that flatten give an object with no properties in it no column at all.
            custom["properties"] = typed
        names = {name for each in own if isinstance(name := each.get("name"), str)}
        untyped = sorted(names - typed.keys())
    for path, model in stream.nested_attributes.items():
        _type_copy(schema, path, attribute_schemas(attributes.get(model, ())), stream.html_fields)
    schema["properties"].update(added_columns(stream, settings))
    entry, marks = _with_marks(
        stream.name, schema, stream.key_properties, stream.replication_key, settings
    )
    if untyped:
        metadata.write(marks, ("properties", stream.attributes_field), UNTYPED_ATTRIBUTES, untyped)
    copied = copied_fields(stream, annotated, settings)
    for breadcrumb in marks:
        # A field follows its stream, so selecting the stream alone is enough.
        is_default = stream.is_default(settings) if breadcrumb == () else breadcrumb not in copied
        metadata.write(marks, breadcrumb, "selected-by-default", is_default)
    return {**entry, "metadata": metadata.to_list(marks)}


def _type_copy(
    schema: dict[str, Any],
    path: str,
    attributes: Mapping[str, Schema],
    html_fields: Collection[str],
) -> None:
    """Type the dates and the HTML in a copy of attributes, such as `company.custom_attributes`.

    The others stay as Intercom sends them: a copy has no column for values that do not fit.
    """
    custom = properties_at(schema, path)[path.rpartition(".")[2]]
    # An object inside another one has less room for the names of columns.
    room = LONGEST_COLUMN_BYTES + len(CUSTOM_ATTRIBUTES) - len(path.replace(".", "__"))
    for name, each in attributes.items():
        is_date = each.get("format") == "date-time"
        if (is_date or f"{path}.{name}" in html_fields) and len(name.encode()) <= room:
            column = {**DATE_OR_TEXT, **described_by(each.get("description"))} if is_date else each
            custom.setdefault("properties", {})[name] = column


def properties_at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the properties of the object that holds the field at a path, such as `company.id`."""
    for name in path.split(".")[:-1]:
        schema = schema["properties"][name]
    properties: dict[str, Any] = schema["properties"]
    return properties


def copied_fields(stream: Stream, annotated: Schema, settings: Settings) -> set[Breadcrumb]:
    """Return the fields that are not selected, as another table has them; none in core streams."""
    if stream.is_selected_by_default:
        return set()
    found = copies(annotated, lambda name: name in STREAMS and STREAMS[name].is_in(settings))
    always_read = {*stream.key_properties, stream.replication_key}
    return {place for place in found if place[-1] not in always_read or len(place) > 2}


def _entry_of_dataset(dataset: DatasetSchema, settings: Settings) -> Entry:
    entry, marks = _with_marks(
        dataset.name, dataset.schema, dataset.key_properties, dataset.replication_key, settings
    )
    for breadcrumb in marks:
        metadata.write(marks, breadcrumb, "selected-by-default", breadcrumb != ())
    for name, attribute in dataset.attributes.items():
        metadata.write(marks, ("properties", name), QUALIFIED_ID, attribute)
    for name in dataset.identity:
        # The key is made of it, so it must always be read.
        metadata.write(marks, ("properties", name), "inclusion", "automatic")
    return {**entry, "metadata": metadata.to_list(marks)}


def _with_marks(
    name: str,
    schema: Schema,
    key_properties: Sequence[str],
    replication_key: str | None,
    settings: Settings,
) -> tuple[Entry, Any]:
    """Return an entry without its metadata, and the standard metadata by breadcrumb."""
    key = list(key_properties)
    if settings.add_workspace_id:
        schema["properties"][WORKSPACE_ID] = WORKSPACE_ID_COLUMN
        key.append(WORKSPACE_ID)
    method = "FULL_TABLE" if replication_key is None else "INCREMENTAL"
    entry: Entry = {
        "tap_stream_id": name,
        "stream": name,
        "key_properties": key,
        "replication_method": method,
        "schema": schema,
    }
    replication_keys = [] if replication_key is None else [replication_key]
    if replication_key is not None:
        entry["replication_key"] = replication_key
    marks = metadata.to_map(
        metadata.get_standard_metadata(schema, name, key, replication_keys, method)
    )
    for column in replication_keys:
        marks["properties", column]["inclusion"] = "automatic"
    for breadcrumb in breadcrumbs(schema):
        # A list is selected with all that is inside, unless a catalog says more.
        if not is_in_list(breadcrumb):
            marks.setdefault(breadcrumb, {"inclusion": "available"})
    return entry, marks
