"""The catalog: which streams and fields it selects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from singer import metadata

from tap_intercom.breadcrumbs import Breadcrumb, dotted, fields_of
from tap_intercom.errors import ConfigError
from tap_intercom.reading.schema_notes import annotated_schema
from tap_intercom.reading.stream import Stream
from tap_intercom.reading.stream_run import Selection
from tap_intercom.records.coerce import compile_record, prune_schema, without_descriptions
from tap_intercom.records.coercions import Coercions
from tap_intercom.records.other_attributes import OTHER_ATTRIBUTES, OtherAttributes
from tap_intercom.records.privacy import Private, Rules, private
from tap_intercom.records.typed_records import PageParser
from tap_intercom.settings import Settings, did_you_mean
from tap_intercom.streams import PARTS_OF_TABLES, STREAMS, stream_of
from tap_intercom.streams.deletions import DELETED_AT, DETECTED
from tap_intercom.streams.reporting import ReportingDataset, marks_of_columns

Schema = dict[str, Any]
Entry = dict[str, Any]
WORKSPACE_ID = "_sdc_workspace_id"
QUALIFIED_ID = "tap-intercom.qualified-id"
UNTYPED_ATTRIBUTES = "tap-intercom.untyped-attributes"
WORKSPACE_ID_COLUMN: Schema = {
    "type": "string",
    "description": "Id of the workspace that the row comes from; joins workspace.id_code.",
}
DELETED_AT_COLUMN: Schema = {
    "type": ["null", "string"],
    "format": "date-time",
    "description": "Start of the run that found the record gone; null for all others.",
}


def added_columns(stream: Stream, settings: Settings) -> Schema:
    """Return the columns that settings add to a stream."""
    columns: Schema = {}
    if settings.add_workspace_id:
        columns[WORKSPACE_ID] = WORKSPACE_ID_COLUMN
    if settings.detect_deletes == "column" and stream.name in DETECTED:
        columns[DELETED_AT] = DELETED_AT_COLUMN
    return columns


def select(
    catalog: Any, settings: Settings, version: int, *, is_of_any_version: bool = False
) -> dict[str, Selection]:
    """Return what a catalog selects, by stream, in the catalog's order.

    Raises ConfigError for an invalid catalog, or for a selection that this tap does not have.

    version: the version for the rows of a full read.
    is_of_any_version: whether it may select streams that the API version does not have.
    """
    selections: dict[str, Selection] = {}
    tables: dict[str, str] = {}
    for name, entry in entries(catalog):
        marks = all_marks_of(name, entry)
        if not is_selected(name, marks, ()):
            continue
        stream = _known_stream(name)
        if not (is_of_any_version or stream.is_in(settings)):
            raise ConfigError(
                f"catalog: the selected stream {name} is not in api_version "
                f"{settings.api_version}; deselect it, or set another api_version"
            )
        if name in selections:
            raise ConfigError(f"catalog: {name} is selected twice")
        other = tables.setdefault(_table_of(stream, entry), name)
        if other != name:
            raise ConfigError(
                f"catalog: {other} and {name} have the same table, {_table_of(stream, entry)}; "
                "give each its own name in stream"
            )
        try:
            selections[name] = _selection(stream, entry, marks, settings, version)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            _check_schema(name, entry)
            raise error
    return selections


def _table_of(stream: Stream, entry: Entry) -> str:
    """Return the name of a stream in messages."""
    name = entry.get("stream") or stream.name
    if not isinstance(name, str):
        raise ConfigError(f"catalog: the name of {stream.name} in stream must be text")
    return name


def _check_schema(name: str, entry: Entry) -> None:
    """Raise ConfigError if the schema of an entry is not JSON Schema."""
    # Only for a schema that cannot be used: the library takes long to load.
    from jsonschema import Draft4Validator, SchemaError  # type: ignore[import-untyped]

    try:
        Draft4Validator.check_schema(entry["schema"])
    except SchemaError as error:
        place = ".".join(map(str, error.path))
        reason = f"{place} is {error.instance!r}"[:100]
    except RecursionError:
        reason = "it is nested too deeply"
    else:
        return
    raise ConfigError(f"catalog: the schema of {name} is not valid: {reason}") from None


def with_parts_of_tables(
    selections: Mapping[str, Selection], settings: Settings
) -> dict[str, Selection]:
    """Return the selections and those of streams that write rows of a selected table.

    They are read with their parents, if these or what comes with them are selected.
    """
    found = dict(selections)
    for stream in PARTS_OF_TABLES:
        assert stream.parent is not None
        is_read = stream_of(stream.parent).is_among(selections)
        if stream.rows_of in selections and is_read and stream.is_in(settings):
            found[stream.name] = selections[stream.rows_of]
    return found


def selects(catalog: Any, stream: str) -> bool:
    """Whether a catalog selects a stream. Raises ConfigError if it is not a catalog."""
    return any(
        name == stream and is_selected(name, all_marks_of(name, entry), ())
        for name, entry in entries(catalog)
    )


def selected_schemas(catalog: Any) -> Iterator[tuple[Stream, str, Schema]]:
    """Yield each selected stream, its name in messages, and the schema of its selected fields.

    Raises ConfigError for an invalid catalog, or for a stream that this tap does not have.
    """
    for name, entry in entries(catalog):
        marks = all_marks_of(name, entry)
        if is_selected(name, marks, ()):
            stream = _known_stream(name)
            schema = _schema_of(stream, entry)
            key, time = stream.key_properties, stream.replication_key
            automatic = {("properties", column) for column in (*key, *([time] if time else []))}
            fields = _selected_fields(name, marks, automatic, schema)
            yield stream, _table_of(stream, entry), prune_schema(schema, fields.__contains__)


def entries(catalog: Any) -> Iterator[tuple[str, Entry]]:
    """Yield the name and entry of each stream. Raises ConfigError if this is not a catalog."""
    if not isinstance(catalog, dict) or not isinstance(catalog.get("streams"), list):
        raise ConfigError("catalog: the file must contain an object with a list of streams")
    for entry in catalog["streams"]:
        name = (
            entry.get("tap_stream_id") or entry.get("stream") if isinstance(entry, dict) else None
        )
        if not isinstance(name, str):
            raise ConfigError(
                "catalog: each entry of streams must be an object with a tap_stream_id"
            )
        yield name, entry


def marks_of(name: str, entry: Entry) -> dict[Breadcrumb, dict[str, Any]]:
    """Return the metadata of an entry by breadcrumb, () for the stream itself."""
    try:
        marks = metadata.to_map(entry.get("metadata") or [])
        return {breadcrumb: dict(mark) for breadcrumb, mark in marks.items()}
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"catalog: metadata of {name} must be a list of objects with breadcrumb and metadata"
        ) from None


def all_marks_of(name: str, entry: Entry) -> dict[Breadcrumb, dict[str, Any]]:
    """Return the metadata of an entry, with the marks inside the schema of old catalogs."""
    marks = marks_of(name, entry)
    for place, selected in _marks_in_schema(entry.get("schema"), ()):
        mark = marks.setdefault(place, {})
        if mark.get("selected") is None:
            mark["selected"] = selected
    return marks


def _marks_in_schema(schema: Any, place: Breadcrumb) -> Iterator[tuple[Breadcrumb, Any]]:
    """Yield the marks inside the schema of catalogs older than metadata, by their place."""
    if not isinstance(schema, dict):
        return
    if "selected" in schema:
        yield place, schema["selected"]
    if isinstance(properties := schema.get("properties"), dict):
        for name, child in properties.items():
            yield from _marks_in_schema(child, (*place, "properties", name))
    yield from _marks_in_schema(schema.get("items"), (*place, "items"))


def _flag(mark: Mapping[str, Any], key: str, stream: str, place: Breadcrumb = ()) -> bool | None:
    """Return a mark as true or false, also from text, or None if it is absent or null."""
    value = mark.get(key)
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if value is None or value in (True, False):  # 1 and 0 are equal to these
        return None if value is None else bool(value)
    name = f"{stream}.{dotted(place)}" if place else stream
    raise ConfigError(f"catalog: {key} of {name} must be true or false")


def is_selected(
    stream: str, marks: Mapping[Breadcrumb, Mapping[str, Any]], place: Breadcrumb
) -> bool:
    """Whether a stream, at (), or a field is selected, by its own mark or by default."""
    mark = marks.get(place, {})
    if place and mark.get("inclusion") in ("automatic", "unsupported"):
        return bool(mark["inclusion"] == "automatic")
    selected = _flag(mark, "selected", stream, place)
    if selected is not None:
        return selected
    default = _flag(mark, "selected-by-default", stream, place)
    return default is not False if place else stream in STREAMS and default is True


def _selected_fields(
    stream: str,
    marks: Mapping[Breadcrumb, Mapping[str, Any]],
    automatic: Collection[Breadcrumb],
    schema: Any,
    place: Breadcrumb = (),
) -> set[Breadcrumb]:
    """Return the fields to read.

    An object without any selected field is left out as well: a target could only make an empty
    column of it.
    """
    found: set[Breadcrumb] = set()
    for inner, child in fields_of(schema, place):
        if inner in automatic or is_selected(stream, marks, inner):
            inside = _selected_fields(stream, marks, automatic, child, inner)
            if inside or inner in automatic or not _holds_only_fields(child):
                found |= {inner, *inside}
    return found


def _holds_only_fields(schema: Any) -> bool:
    """Whether values have nothing but the fields in the schema: objects, or lists of them."""
    if not isinstance(schema, Mapping):
        return False
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return all(each == {"type": "null"} or _holds_only_fields(each) for each in branches)
    types = schema.get("type", [])
    kinds = {types} if isinstance(types, str) else {*types}
    if kinds - {"null"} <= {"object"} and schema.get("properties"):
        return not schema.get("additionalProperties")
    return kinds - {"null"} <= {"array"} and _holds_only_fields(schema.get("items"))


def _selection(
    stream: Stream,
    entry: Entry,
    marks: Mapping[Breadcrumb, Mapping[str, Any]],
    settings: Settings,
    version: int,
) -> Selection:
    schema = _schema_of(stream, entry)
    added = added_columns(stream, settings)
    schema = {**schema, "properties": {**schema["properties"], **added}}
    key, replication_key = _keys(stream, entry, marks, schema, settings)
    attributes = _attributes_of_columns(stream, marks, schema)
    method = marks.get((), {}).get("replication-method") or entry.get("replication_method")
    is_full = replication_key is None or (method == "FULL_TABLE" and not stream.is_snapshot)
    always = [*key, *([replication_key] if replication_key else [])]
    automatic = {("properties", column) for column in always}
    is_selected = _selected_fields(stream.name, marks, automatic, schema).__contains__
    # Types are compared as a whole, which descriptions would make unequal.
    compiled = without_descriptions(schema)
    coercions = Coercions(stream.name)
    rules: dict[str, Any] = {
        "unknown_fields": settings.unknown_fields,
        "nested": stream.nested,
        "html_fields": stream.html_fields if settings.body_format == "plaintext" else (),
    }
    pruned = prune_schema(schema, is_selected)
    keys = [*always, *stream.key_properties]
    _check_patterns(stream, schema, settings, keys)
    changed = private_of(stream, pruned, settings, keys, attributes)
    nulls = () if changed is None else changed.nulls
    return Selection(
        name=_table_of(stream, entry),
        schema=pruned if changed is None else changed.schema,
        key_properties=key,
        replication_key=replication_key,
        version=version if is_full else None,
        transform=compile_record(compiled, is_selected, coercions, key_properties=key, **rules),
        private=changed,
        parser=PageParser(
            compiled,
            is_selected,
            coercions,
            key_properties=stream.key_properties,
            records_key=stream.records_key,
            instant_field=stream.instant_field,
            **rules,
        ),
        coercions=coercions,
        other_attributes=_other_attributes(
            stream, compiled, is_selected, coercions, marks, nulls, rules["html_fields"]
        ),
        attributes={
            name: attribute
            for name, attribute in attributes.items()
            if is_selected(("properties", name))
        },
    )


def _keys(
    stream: Stream,
    entry: Entry,
    marks: Mapping[Breadcrumb, Mapping[str, Any]],
    schema: Schema,
    settings: Settings,
) -> tuple[list[str], str | None]:
    """Return key and replication key. Raises ConfigError if the schema is missing the key."""
    key, replication_key = list(stream.key_properties), stream.replication_key
    if isinstance(stream, ReportingDataset):
        key, replication_key = _keys_of_dataset(stream.name, entry, marks)
    if settings.add_workspace_id:
        key.append(WORKSPACE_ID)
    missing = [name for name in key if name not in schema["properties"]]
    if missing:
        raise ConfigError(
            f"catalog: the schema of {stream.name} is missing its key {', '.join(missing)}"
        )
    return key, replication_key


def _attributes_of_columns(
    stream: Stream, marks: Mapping[Breadcrumb, Mapping[str, Any]], schema: Schema
) -> dict[str, str]:
    """Return the attribute that each column of a dataset has; nothing for other streams."""
    if not isinstance(stream, ReportingDataset):
        return {}
    return {
        name: str(marks["properties", name][QUALIFIED_ID])
        for name in schema["properties"]
        if QUALIFIED_ID in marks.get(("properties", name), {})
    }


def _known_stream(name: str) -> Stream:
    try:
        return stream_of(name)
    except KeyError:
        raise ConfigError(
            f"catalog: the selected stream {name} does not exist. Streams: {', '.join(STREAMS)}."
        ) from None


def _schema_of(stream: Stream, entry: Entry) -> Schema:
    schema = entry.get("schema")
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        raise ConfigError(f"catalog: {stream.name} has no schema with properties")
    return schema


def _check_patterns(
    stream: Stream, schema: Schema, settings: Settings, keys: Collection[str]
) -> None:
    """Raise ConfigError if hash_fields names what cannot be hashed: the field would stay readable.

    A field that only the schema file has is no fault, as a catalog may be older.
    """
    rules = Rules(*settings.privacy_of(stream.name))
    if not rules.hashed or settings.unknown_fields == "pass":
        return
    names, opens = set(), set()
    known = [] if isinstance(stream, ReportingDataset) else [annotated_schema(stream.name)]
    for each in (schema, *known):
        for name, field in _named_fields(each):
            names.add(name)
            if _may_hold_more(field):
                opens.add(name)
    for pattern in rules.unmatched(names.difference(keys), opens):
        if pattern in keys:
            reason = f"{pattern!r} is a key or time of {stream.name}, which stays as it is"
        else:
            hint = did_you_mean(pattern, names)
            reason = f"{stream.name} has no field {pattern!r}{hint}"
        raise ConfigError(f"config: hash_fields: {reason}")


def _named_fields(schema: Any, place: Breadcrumb = ()) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the schema of each field, at every depth."""
    for inner, field in fields_of(schema, place):
        yield dotted(inner), field
        yield from _named_fields(field, inner)


def _may_hold_more(field: Any) -> bool:
    """Whether an object, or those in a list, may have fields that the schema does not name."""
    if not isinstance(field, Mapping):
        return True
    types = field.get("type", ("object",))
    if not {"object", "array"} & {*([types] if isinstance(types, str) else types)}:
        return False
    return bool(field.get("additionalProperties")) or next(fields_of(field), None) is None


def private_of(
    stream: Stream,
    schema: Schema,
    settings: Settings,
    keys: Collection[str],
    attributes: Mapping[str, str] = MappingProxyType({}),
) -> Private | None:
    """Return what becomes of personal fields; None if all of them stay as they are.

    keys: columns that never change. attributes: Intercom's names for the columns of a dataset.
    """
    rules = Rules(*settings.privacy_of(stream.name))
    if not rules.is_active:
        return None
    if isinstance(stream, ReportingDataset):
        marks = marks_of_columns(attributes)
    else:
        marks = annotated_schema(stream.name)
    return private(schema, marks, rules, keys=keys, attributes_field=stream.attributes_field)


def _other_attributes(
    stream: Stream,
    schema: Mapping[str, Any],
    is_selected: Callable[[Breadcrumb], bool],
    coercions: Coercions,
    marks: Mapping[Breadcrumb, Mapping[str, Any]],
    nulls: Collection[str],
    html_fields: Collection[str],
) -> OtherAttributes | None:
    """Return what keeps the custom attributes without a column.

    Return None if they are not selected, or are personal and become null.
    """
    place = ("properties", stream.attributes_field)
    if {*place[1:], OTHER_ATTRIBUTES} <= {*nulls}:
        return None
    if not isinstance(schema["properties"].get(place[1]), Mapping) or not is_selected(place):
        return None
    untyped = marks.get(place, {}).get(UNTYPED_ATTRIBUTES)
    return OtherAttributes(
        schema,
        is_selected,
        coercions,
        field=stream.attributes_field,
        untyped=untyped if isinstance(untyped, list) else (),
        html_fields=html_fields,
    )


def _keys_of_dataset(
    name: str, entry: Entry, marks: Mapping[Breadcrumb, Mapping[str, Any]]
) -> tuple[list[str], str | None]:
    """Return key and replication key of a dataset, which only its catalog entry has."""
    table = marks.get((), {})
    key = table.get("table-key-properties") or entry.get("key_properties")
    times = table.get("valid-replication-keys") or [entry.get("replication_key")]
    if not key or not any(QUALIFIED_ID in mark for mark in marks.values()):
        raise ConfigError(
            f"catalog: {name} is missing its key, or Intercom's names of its columns (metadata "
            f"{QUALIFIED_ID}): run --discover again"
        )
    return [column for column in key if column != WORKSPACE_ID], times[0]
