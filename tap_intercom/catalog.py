"""What there is to read, and what of it is wanted: discovery and selection."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from singer import metadata

from tap_intercom.errors import AuthError, ConfigError, ContractError, ResponseError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.intercom.pages import WHOLE, read_pages
from tap_intercom.reading.stream import Selection, Stream, list_of, load_schema
from tap_intercom.records.coerce import Repairs, compile_record, prune_schema
from tap_intercom.records.typed_records import PageParser
from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS, stream_of
from tap_intercom.streams.deletions import DELETED_AT, DETECTED
from tap_intercom.streams.reporting import DATASETS, Described, ReportingDataset
from tap_intercom.streams.tickets import TicketTypeAttributes

LOGGER = logging.getLogger("tap_intercom")

Schema = dict[str, Any]
Breadcrumb = tuple[str, ...]
Entry = dict[str, Any]

WORKSPACE_ID = "_sdc_workspace_id"
CUSTOM_ATTRIBUTES = "custom_attributes"
QUALIFIED_ID = "tap-intercom.qualified-id"
# Longest column name of PostgreSQL; targets that flatten put the field's name before it.
LONGEST_COLUMN_BYTES = 63 - len(CUSTOM_ATTRIBUTES + "__")

DATE_TIME: Schema = {"type": ["null", "string"], "format": "date-time"}
TEXT: Schema = {"type": ["null", "string"]}


def _or_text(kind: str) -> Schema:
    """A value of a type or, where it does not fit, its text; in the form that all targets take."""
    return {"anyOf": [{"type": kind}, {"type": "string"}, {"type": "null"}]}


# Programs also write milliseconds and free text into date attributes. The text has to be the first
# branch: targets that flatten make the column of that one, and a timestamp takes no text.
DATE_OR_TEXT: Schema = {
    "anyOf": [{"type": "string"}, {"type": "string", "format": "date-time"}, {"type": "null"}]
}

# Types of attributes (API-G2) that are one scalar; lists of objects and files stay untyped.
ATTRIBUTE_TYPES: Mapping[str, Schema] = {
    "string": TEXT,
    "list": TEXT,
    "date": DATE_OR_TEXT,
    "datetime": DATE_OR_TEXT,
    "integer": _or_text("integer"),
    "float": _or_text("number"),
    "decimal": _or_text("number"),
    "boolean": _or_text("boolean"),
}


# -- Discovery -----------------------------------------------------------------------------------


def discover(
    client: Client, settings: Settings, *, is_only_default: bool = False
) -> dict[str, Any]:
    """The catalog of all streams that the API version has, custom attributes typed.

    The datasets of the reporting export are among them, where the token may read them. With
    is_only_default, of those that are selected by default.
    """
    streams = [
        stream
        for stream in STREAMS.values()
        if stream.is_in(settings) and (stream.is_default(settings) or not is_only_default)
    ]
    attributes = {
        model: _attributes(client, settings, model)
        for model in sorted({stream.attributes for stream in streams if stream.attributes})
    }
    found = [
        _entry(stream, settings, attributes.get(stream.attributes or "", [])) for stream in streams
    ]
    if not is_only_default and settings.version >= ReportingDataset.first_version:
        found += [_entry_of_dataset(each, settings) for each in _datasets(client)]
    return {"streams": found}


def attribute_schemas(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Schema]:
    """A schema for each custom attribute that can be a column, by the key that records carry.

    Two attributes whose names differ by case only, and names that are too long, stay untyped:
    databases could not tell them apart. Attributes of one name and different types are text.
    """
    typed: dict[str, Schema | None] = {}
    for attribute in attributes:
        name, kind = attribute.get("name"), attribute.get("data_type")
        if not isinstance(name, str) or not isinstance(kind, str):
            continue
        if 0 < len(name.encode()) <= LONGEST_COLUMN_BYTES:
            schema = ATTRIBUTE_TYPES.get(kind)
            typed[name] = schema if typed.get(name, schema) == schema else TEXT
    folded = Counter(name.casefold() for name in typed)
    return {
        name: schema
        for name, schema in typed.items()
        if schema is not None and folded[name.casefold()] == 1
    }


def _attributes(client: Client, settings: Settings, model: str) -> list[dict[str, Any]]:
    """The custom attributes of a model; none, with a warning, where the token may not read them."""
    path, params = "/data_attributes", {"model": model, "include_archived": "true"}
    if model == "ticket":
        path, params = "/ticket_types", {}
    elif model == "conversation" and settings.version >= (2, 16):
        # From 2.16 on they have an endpoint of their own, where all are custom (API-A3).
        path, params = "/conversations/attributes", {"include_archived": "true"}
    try:
        found = _whole_list(client, path, params)
    except (AuthError, ResponseError) as error:
        LOGGER.warning("custom attributes of each %s stay untyped: %s", model, error)
        return []
    if model == "ticket":
        return [each for kind in found for each in TicketTypeAttributes.nested_list.rows(kind)]
    if path != "/data_attributes":
        return found
    return [attribute for attribute in found if attribute.get("custom") is not False]


def _whole_list(client: Client, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
    """All records of a list that has no pages, or has them after all."""

    def read(answer: Answer) -> list[dict[str, Any]]:
        return list_of(answer.body, "data", path)

    return [record for page in read_pages(client.get, path, WHOLE, read, params) for record in page]


def _datasets(client: Client) -> list[Described]:
    """The datasets of the reporting export; none where the token may not read them."""
    try:
        found = _whole_list(client, DATASETS, {})
    except (AuthError, ResponseError) as error:
        LOGGER.info(
            "no streams of the reporting export, which needs the permission %r: %s",
            ReportingDataset.permission,
            error,
        )
        return []
    datasets = []
    for each in found:
        try:
            datasets.append(Described(each))
        except ContractError as error:
            LOGGER.warning("left out: %s", error)
    return datasets


def _entry(stream: Stream, settings: Settings, attributes: Sequence[Mapping[str, Any]]) -> Entry:
    schema = load_schema(stream.name)
    if stream.attributes:
        custom = schema["properties"][stream.attributes_field]
        custom["properties"] = {**custom.get("properties", {}), **attribute_schemas(attributes)}
    for name, column in stream.older_columns.items():
        if settings.version < column.until:
            schema["properties"][name] = column.schema
    schema["properties"].update(_added_columns(stream, settings))
    entry, marks = _with_marks(
        stream.name, schema, stream.key_properties, stream.replication_key, settings
    )
    for breadcrumb in marks:
        # A field follows its stream, so that marking a stream alone is enough.
        is_default = stream.is_default(settings) if breadcrumb == () else True
        metadata.write(marks, breadcrumb, "selected-by-default", is_default)
    return {**entry, "metadata": metadata.to_list(marks)}


def _added_columns(stream: Stream, settings: Settings) -> Schema:
    """The columns that settings add to a stream."""
    columns: Schema = {}
    if settings.add_workspace_id:
        columns[WORKSPACE_ID] = {"type": "string"}
    if settings.detect_deletes == "column" and stream.name in DETECTED:
        columns[DELETED_AT] = DATE_TIME
    return columns


def _entry_of_dataset(dataset: Described, settings: Settings) -> Entry:
    entry, marks = _with_marks(
        dataset.name, dataset.schema, dataset.key_properties, dataset.replication_key, settings
    )
    for breadcrumb in marks:
        metadata.write(marks, breadcrumb, "selected-by-default", breadcrumb != ())
    for name, attribute in dataset.attributes.items():
        metadata.write(marks, ("properties", name), QUALIFIED_ID, attribute)
    for name in dataset.identity:
        # The key is made of it, so it must be read whatever is selected.
        metadata.write(marks, ("properties", name), "inclusion", "automatic")
    return {**entry, "metadata": metadata.to_list(marks)}


def _with_marks(
    name: str,
    schema: Schema,
    key_properties: Sequence[str],
    replication_key: str | None,
    settings: Settings,
) -> tuple[Entry, Any]:
    """An entry without its metadata, and what these say by themselves, by breadcrumb."""
    key = list(key_properties)
    if settings.add_workspace_id:
        schema["properties"][WORKSPACE_ID] = {"type": "string"}
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
    for breadcrumb in breadcrumbs(schema, ()):
        marks.setdefault(breadcrumb, {"inclusion": "available"})
    return entry, marks


def breadcrumbs(schema: Mapping[str, Any], breadcrumb: Breadcrumb) -> Iterator[Breadcrumb]:
    """Yield the place of each field, those inside objects too."""
    for name, child in schema.get("properties", {}).items():
        place = (*breadcrumb, "properties", name)
        yield place
        yield from breadcrumbs(child, place)


# -- Selection -----------------------------------------------------------------------------------


def select(
    catalog: Any, settings: Settings, version: int, *, is_of_any_version: bool = False
) -> dict[str, Selection]:
    """What a catalog selects, by stream, in the catalog's order.

    version: what the rows of a full read carry. is_of_any_version: whether it may select what the
    API version does not have. Raises ConfigError for a catalog that is none, or that selects what
    this tap does not have.
    """
    selections = {}
    for name, entry in entries(catalog):
        marks = marks_of(name, entry)
        for place, old in _marks_in_schema(entry.get("schema"), ()):
            mark = marks.setdefault(place, {})
            if mark.get("selected") is None:
                mark["selected"] = old
        if not _is_selected(marks.get((), {}), name):
            continue
        try:
            stream = stream_of(name)
        except KeyError:
            raise ConfigError(
                f"catalog: it selects the stream {name}, which this tap does not have. "
                f"It has {', '.join(STREAMS)}."
            ) from None
        if not (is_of_any_version or stream.is_in(settings)):
            raise ConfigError(
                f"catalog: it selects {name}, which api_version {settings.api_version} lacks"
            )
        selections[name] = _selection(stream, entry, marks, settings, version)
    return selections


def entries(catalog: Any) -> Iterator[tuple[str, Entry]]:
    """Yield the name and the entry of each stream. Raises ConfigError where it is no catalog."""
    if not isinstance(catalog, dict) or not isinstance(catalog.get("streams"), list):
        raise ConfigError("catalog: the file must hold an object with a list of streams")
    for entry in catalog["streams"]:
        name = (
            entry.get("tap_stream_id") or entry.get("stream") if isinstance(entry, dict) else None
        )
        if not isinstance(name, str):
            raise ConfigError("catalog: each of streams must be an object with a tap_stream_id")
        yield name, entry


def marks_of(name: str, entry: Entry) -> dict[Breadcrumb, dict[str, Any]]:
    """The metadata of an entry by breadcrumb, () for the stream itself."""
    try:
        marks = metadata.to_map(entry.get("metadata") or [])
        return {breadcrumb: dict(mark) for breadcrumb, mark in marks.items()}
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"catalog: metadata of {name} must be a list of objects with breadcrumb and metadata"
        ) from None


def _marks_in_schema(schema: Any, place: Breadcrumb) -> Iterator[tuple[Breadcrumb, Any]]:
    """Yield the marks that catalogs from before metadata have, in the schema, by their place."""
    if not isinstance(schema, dict):
        return
    if "selected" in schema:
        yield place, schema["selected"]
    if isinstance(properties := schema.get("properties"), dict):
        for name, child in properties.items():
            yield from _marks_in_schema(child, (*place, "properties", name))
    yield from _marks_in_schema(schema.get("items"), (*place, "items"))


def _flag(mark: Mapping[str, Any], key: str, stream: str, place: Breadcrumb = ()) -> bool | None:
    """A mark that is true or false, or the text of these; None where it is absent or null."""
    value = mark.get(key)
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if value is None or value in (True, False):  # 1 and 0 are equal to these
        return None if value is None else bool(value)
    name = ".".join([stream, *(each for each in place if each not in ("properties", "items"))])
    raise ConfigError(f"catalog: {key} of {name} must be true or false")


def _is_selected(table: Mapping[str, Any], name: str) -> bool:
    """Whether a stream is selected, by its own mark or else by default."""
    selected = _flag(table, "selected", name)
    if selected is None:
        return name in STREAMS and _flag(table, "selected-by-default", name) is True
    return selected


def _field_selector(
    stream: str, marks: Mapping[Breadcrumb, Mapping[str, Any]], automatic: set[str]
) -> Callable[[Breadcrumb], bool]:
    def is_selected(breadcrumb: Breadcrumb) -> bool:
        if len(breadcrumb) == 2 and breadcrumb[1] in automatic:
            return True
        field = marks.get(breadcrumb, {})
        if field.get("inclusion") in ("automatic", "unsupported"):
            return bool(field["inclusion"] == "automatic")
        selected = _flag(field, "selected", stream, breadcrumb)
        if selected is None:
            return _flag(field, "selected-by-default", stream, breadcrumb) is not False
        return selected

    return is_selected


def _selection(
    stream: Stream,
    entry: Entry,
    marks: Mapping[Breadcrumb, Mapping[str, Any]],
    settings: Settings,
    version: int,
) -> Selection:
    schema = entry.get("schema")
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        raise ConfigError(f"catalog: {stream.name} has no schema with properties")
    key, replication_key = list(stream.key_properties), stream.replication_key
    added = _added_columns(stream, settings)
    schema = {**schema, "properties": {**schema["properties"], **added}}
    attributes = {}
    if isinstance(stream, ReportingDataset):
        key, replication_key = _told_of_dataset(stream.name, entry, marks)
        attributes = {
            name: str(marks["properties", name][QUALIFIED_ID])
            for name in schema["properties"]
            if QUALIFIED_ID in marks.get(("properties", name), {})
        }
    if settings.add_workspace_id:
        key.append(WORKSPACE_ID)
    lacking = [name for name in key if name not in schema["properties"]]
    if lacking:
        raise ConfigError(
            f"catalog: the schema of {stream.name} lacks its key {', '.join(lacking)}"
        )
    method = marks.get((), {}).get("replication-method") or entry.get("replication_method")
    is_full = replication_key is None or (method == "FULL_TABLE" and not stream.is_of_now)
    automatic = {*key, *([replication_key] if replication_key else [])}
    is_selected = _field_selector(stream.name, marks, automatic)
    repairs = Repairs(stream.name)
    rules: dict[str, Any] = {"unknown_fields": settings.unknown_fields, "nested": stream.nested}
    return Selection(
        name=entry.get("stream") or stream.name,
        schema=prune_schema(schema, is_selected),
        key_properties=key,
        replication_key=replication_key,
        version=version if is_full else None,
        transform=compile_record(schema, is_selected, repairs, key_properties=key, **rules),
        parser=PageParser(
            schema,
            is_selected,
            repairs,
            key_properties=stream.key_properties,
            records_key=stream.records_key,
            **rules,
        ),
        repairs=repairs,
        attributes={
            name: attribute
            for name, attribute in attributes.items()
            if is_selected(("properties", name))
        },
    )


def _told_of_dataset(
    name: str, entry: Entry, marks: Mapping[Breadcrumb, Mapping[str, Any]]
) -> tuple[list[str], str | None]:
    """Key and replication key of a dataset, which only its catalog entry tells."""
    table = marks.get((), {})
    key = table.get("table-key-properties") or entry.get("key_properties")
    times = table.get("valid-replication-keys") or [entry.get("replication_key")]
    if not key or not any(QUALIFIED_ID in mark for mark in marks.values()):
        raise ConfigError(
            f"catalog: {name} lacks its key, or what Intercom calls its columns (metadata "
            f"{QUALIFIED_ID}): discover again"
        )
    return [column for column in key if column != WORKSPACE_ID], times[0]
