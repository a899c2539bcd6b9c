"""Parse pages straight into typed records, so that the parser checks the types.

Most values go from Intercom's JSON into a RECORD line unchanged, and Unix seconds become times.
Checking types costs less during parsing than after it. If a value on a page has another type, that
page is parsed like any other answer. On later pages, `compile_record` coerces the columns of such
values.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property, reduce
from operator import or_
from typing import Annotated, Any, ClassVar, NamedTuple, TypedDict, get_args

import msgspec

from tap_intercom.records.coerce import TIME, Breadcrumb, Layout, Schema, Selected, compile_fields
from tap_intercom.records.coercions import Coercions
from tap_intercom.records.parsing import FIRST_UNSAFE_INTEGER, NUL, Parsed, parse
from tap_intercom.records.plain_text import plain_text
from tap_intercom.times import FIRST_SECOND, HOUR_TEXTS, LAST_SECOND, SECOND_TEXTS, utc_text

# A table that has more unknown fields than this is not worth a type.
_MAX_UNKNOWN_NAMES = 64

_INTEGER = Annotated[int, msgspec.Meta(ge=-FIRST_UNSAFE_INTEGER, le=FIRST_UNSAFE_INTEGER - 1)]
# A larger number may have had digits that no float has.
_FLOAT = Annotated[float, msgspec.Meta(ge=-FIRST_UNSAFE_INTEGER, le=FIRST_UNSAFE_INTEGER - 1)]
INSTANT = Annotated[int, msgspec.Meta(ge=FIRST_SECOND, le=LAST_SECOND)] | None
_KEY = Annotated[str, msgspec.Meta(min_length=1)]
SIMPLE_TYPES: Mapping[str, Any] = {
    "null": type(None),
    "boolean": bool,
    "string": str,
    "integer": _INTEGER,
    "number": _INTEGER | _FLOAT,
}
# `compile_record` coerces columns whose schemas have other keywords.
_KEYWORDS = {"type", "format", "properties", "items", "anyOf", "description", "title"}
# Names of fields that a type can have.
FIELD_NAME = re.compile(r'[^"\\\x00-\x1f]*')

# The fields of an object around a list that give its length, or say that it goes on.
_BESIDE_A_LIST = ("has_more", "total_count", "next_cursor", "pages")

_UNSET = msgspec.UNSET
# The steps of the path of a text, such as `notes.data[].body`.
_ENTRIES = "[]"
_STEPS = re.compile(r"\[\]|[^.\[\]]+")
_PARSE_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)


class TypedRecord(msgspec.Struct, gc=False):
    """A record, or an object inside one. It can be read and changed like a dict.

    The class variables are prepared once for each type of record:

    - attributes: the attribute of each field, as a field name may not be valid in Python
    - readers: a function for each field that reads it from a record
    - instants: index and attribute of each field that stays Unix seconds until `coerce`
    - lists: index, attribute and name of each nested list, and the type of the object around it
    - others: index and name of each field that the parser does not check, and its absent value
    - html_texts: the steps to each text whose HTML becomes plain text
    """

    attributes: ClassVar[Mapping[str, str]] = {}
    readers: ClassVar[dict[str, Callable[[TypedRecord], Any]]] = {}
    instants: ClassVar[Sequence[tuple[int, str]]] = ()
    lists: ClassVar[Sequence[tuple[int, str, str, type[Any]]]] = ()
    others: ClassVar[Sequence[tuple[int, str, Any]]] = ()
    html_texts: ClassVar[Sequence[Sequence[str]]] = ()

    def get(self, name: str) -> Any:
        """Return the value of a field; None if it is missing or unknown."""
        if (read := self.readers.get(name)) is None:
            return None
        value = read(self)
        return None if value is _UNSET else value

    def __getitem__(self, name: str) -> Any:
        return getattr(self, self.attributes[name])

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, self.attributes[name], value)

    def update(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self[name] = value

    @classmethod
    def places(cls, names: Collection[str]) -> list[tuple[int, str, str]]:
        """Return index, attribute and name of each of these fields that the record has."""
        return [
            (index, attribute, name)
            for index, (name, attribute) in enumerate(cls.attributes.items())
            if name in names
        ]

    def coerce(self) -> TypedRecord:
        """Change the record in place into what `compile_record` makes of it, and return it.

        Raises ImpreciseNumber, see `parse`.
        """
        # One call for all values costs less than one for each.
        values = msgspec.structs.astuple(self)
        for index, attribute in self.instants:
            seconds = values[index]
            if seconds is not None:
                # `rfc3339` does the same, but a call costs as much again.
                text = HOUR_TEXTS[seconds // 3600] + SECOND_TEXTS[seconds % 3600]
                setattr(self, attribute, text)
        others = {}
        for index, attribute, name, list_type in self.lists:
            value = values[index]
            if type(value) is list_type:
                setattr(self, attribute, value.v0)
            elif value is not None:
                # The whole list was read later and took the place of the parsed one.
                others[name] = value
        for index, name, absent in self.others:
            value = values[index]
            # Custom attributes may have got their types before.
            if value is not absent and not isinstance(value, TypedRecord):
                others[name] = value
        if others:
            names = [*others]
            self.coerce_others(others)
            for name in names:
                setattr(self, self.attributes[name], others.get(name, _UNSET))
        for steps in self.html_texts:
            _make_plain(self, steps)
        return self

    @staticmethod
    def coerce_others(others: dict[str, Any]) -> None:
        """Coerce in place what `others` lists. Each type of record has its own function."""
        raise NotImplementedError


# Fields of an answer that describe its list of records (pages.py).
_BESIDE_RECORDS = ("type", "pages", "total_count", "total_pages", "has_more", "next_cursor")


class TypedList(TypedRecord):
    """The object around a nested list: v0 holds the entries, v1 to v4 describe the list."""


def _make_plain(value: Any, steps: Sequence[str]) -> None:
    """Turn the HTML at the end of these steps, if there is any, into plain text."""
    step, *others = steps
    if step == _ENTRIES:
        for entry in value:
            if entry is not None:
                _make_plain(entry, others)
        return
    inner = value.get(step)
    if inner is None:
        return
    if others:
        _make_plain(inner, others)
    else:
        value[step] = plain_text(inner)


def values_of(records: Sequence[Any], name: str) -> list[Any]:
    """Return the value of one field for each record of a page; None where it is missing.

    All records of a page are of one TypedRecord class, or none is a TypedRecord.
    """
    if not records or not isinstance(records[0], TypedRecord):
        return [record.get(name) for record in records]
    if (read := records[0].readers.get(name)) is None:
        return [None] * len(records)
    return [None if value is _UNSET else value for value in map(read, records)]


def as_plain(value: Any) -> Any:
    """Return the value with dicts in place of TypedRecords, and texts in place of times."""
    if isinstance(value, TypedRecord):
        found = ((name, read(value)) for name, read in value.readers.items())
        return {name: as_plain(each) for name, each in found if each is not _UNSET}
    if isinstance(value, list):
        return [as_plain(each) for each in value]
    return utc_text(value) if isinstance(value, datetime) else value


class _Prepared(NamedTuple):
    """The type of a list of records, and a parser of pages; None if no type describes them."""

    records: Any
    decoder: msgspec.json.Decoder[Any] | None


class PageParser:
    """Parses the pages of one table, or gives types to records that were parsed already.

    It learns from what does not fit, and is safe to share by threads. The records of a page are
    TypedRecords, or all dicts if one of them does not fit. For the arguments see `compile_record`.
    `key_properties` are the keys that Intercom sends. `records_key` is the field of a page that
    holds the records. `instant_field` is the time that the tap itself reads; it stays a number
    until a record is coerced.
    """

    def __init__(
        self,
        schema: Schema,
        selected: Selected,
        coercions: Coercions,
        *,
        unknown_fields: str,
        key_properties: Collection[str],
        nested: Mapping[str, str],
        records_key: str,
        instant_field: str,
        html_fields: Collection[str] = (),
    ) -> None:
        self._selected = selected
        self._coercions = coercions
        self._keys = key_properties
        self._nested = nested
        self._html_fields = html_fields
        self._records_key = records_key
        self._instant_field = instant_field
        self._columns = {
            name: column
            for name, column in schema["properties"].items()
            if selected(("properties", name))
        }
        self._deselected = schema["properties"].keys() - self._columns.keys()
        self._unknown: set[str] = set()
        self._is_open = unknown_fields == "pass" or "additionalProperties" in schema
        self._lock = threading.Lock()
        self._prepared: _Prepared | None = None

    def parse(self, content: bytes) -> Parsed:
        """Return the JSON value of an answer. Raises ValueError if it is not JSON."""
        prepared = self._prepared or self._prepare()
        if prepared.decoder is None or content.rfind(NUL) >= 0:
            return parse(content)
        try:
            return Parsed(prepared.decoder.decode(content), 0)
        except _PARSE_ERRORS:
            parsed = parse(content)
        page = parsed.value
        self._learn(page.get(self._records_key) if isinstance(page, dict) else None)
        return parsed

    def typed(self, records: Sequence[dict[str, Any]]) -> list[TypedRecord] | None:
        """Return new records with types; None if one of them does not fit."""
        prepared = self._prepared or self._prepare()
        if prepared.records is None:
            return None
        try:
            found: list[TypedRecord] = msgspec.convert(records, prepared.records, strict=False)
        except _PARSE_ERRORS:
            self._learn(records)
            return None
        return found

    def _learn(self, records: Any) -> None:
        """From now on, do not check columns whose values had another type."""
        with self._lock:
            known = len(self._types), len(self._unknown)
            for record in records if isinstance(records, list) else ():
                for name, value in record.items() if isinstance(record, dict) else ():
                    if name in self._types:
                        if not _is_of_type(value, self._types[name]):
                            del self._types[name]
                    elif name not in self._columns and name not in self._deselected:
                        self._unknown.add(name)
            if known != (len(self._types), len(self._unknown)):
                self._prepared = None

    @cached_property
    def _types(self) -> dict[str, Any]:
        """Return the types of the columns that the parser checks."""
        return {
            name: found
            for name, column in self._columns.items()
            if (found := self._type_of_column(name, column)) is not None
        }

    @cached_property
    def _nullable(self) -> Collection[str]:
        """Return the columns that become null in records without them."""
        columns = self._compiled(self._columns).columns
        return {name for name, column in columns.items() if column.is_nullable}

    def _prepare(self) -> _Prepared:
        with self._lock:
            if self._prepared is None:
                self._prepared = self._make()
            return self._prepared

    def _make(self) -> _Prepared:
        names = [*self._columns, *self._deselected, *self._unknown]
        if (
            self._is_open
            or not self._types.keys() >= {*self._keys}
            or len(self._unknown) > _MAX_UNKNOWN_NAMES
            or not all(map(FIELD_NAME.fullmatch, names))
        ):
            return _Prepared(None, None)
        records = list[self._record_type(names)]  # type: ignore[misc, valid-type]
        fields = {**dict.fromkeys(_BESIDE_RECORDS, Any), self._records_key: records}
        page: Any = TypedDict("page", fields, total=False)  # type: ignore[misc]
        return _Prepared(records, msgspec.json.Decoder(page, strict=False))

    def _record_type(self, names: Collection[str]) -> Any:
        attributes = _attributes(names)
        instants, lists, others = [], [], []
        for index, (name, attribute) in enumerate(attributes.items()):
            found = self._types.get(name)
            if found is None:
                others.append((index, name, self._field(name)[1]))
            elif found is INSTANT:
                instants.append((index, attribute))
            elif name in self._nested:
                lists.append((index, attribute, name, get_args(found)[0]))
        fields = {name: self._field(name) for name in names}
        prepared = {
            "instants": instants,
            "lists": lists,
            "others": others,
            "coerce_others": staticmethod(self._coercion_of_others()),
            "html_texts": [
                steps for steps in map(_STEPS.findall, self._html_fields) if steps[0] in self._types
            ],
        }
        return make_type(fields, prepared)

    def _field(self, name: str) -> tuple[Any, ...]:
        """Return the type of a field, and its value in records without it."""
        if name in self._keys:
            return (self._types[name],)
        return self._types.get(name, Any), None if name in self._nullable else msgspec.UNSET

    def _coercion_of_others(self) -> Callable[[dict[str, Any]], None]:
        """Compile the fields that the parser does not check: complex, deselected or unknown."""
        columns = {
            name: column
            for name, column in self._columns.items()
            if name not in self._types or name in self._nested
        }
        return self._compiled({**columns, **{name: {} for name in self._deselected}}).coerce

    def _compiled(self, properties: Mapping[str, Schema]) -> Layout:
        def selected(breadcrumb: Breadcrumb) -> bool:
            return breadcrumb[1] in self._columns and self._selected(breadcrumb)

        return compile_fields(
            {"properties": properties, "additionalProperties": False},
            selected,
            self._coercions,
            nested=self._nested,
            html_fields=self._html_fields,
        )

    def _type_of_column(self, name: str, column: Schema) -> Any:
        """Return the type of the values that need no coercion; None if no type describes them."""
        if name in self._keys:
            return _KEY if column == {"type": "string"} else None
        if name not in self._nullable:
            return None
        found = _type_of(column, self._selected, ("properties", name))
        if name == self._instant_field:
            return INSTANT if found == TIME | None else None
        if found is None or name not in self._nested:
            return found
        key = self._nested[name]
        beside = [each for each in _BESIDE_A_LIST if each != key]
        # Intercom may send the entries under another key. Such an object has to fail to parse.
        fields = {key: (found,), **dict.fromkeys(beside, (Any, None))}
        return make_type(fields, base=TypedList, is_closed=False) | None


def _is_of_type(value: Any, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_, strict=False)
    except _PARSE_ERRORS:
        return False
    return True


def _type_of(schema: Any, selected: Selected, breadcrumb: Breadcrumb) -> Any:
    """Return the type of the values that need no coercion; None if no type describes them.

    That is so if the schema restricts more than types, or if a field inside it is not selected.
    The parser also accepts text that contains a number, `true`, `false` or `null`, and Unix seconds
    for a time. `compile_record` does the same.
    """
    if not isinstance(schema, Mapping) or schema.keys() - _KEYWORDS:
        return None
    if "anyOf" in schema:
        choices = [
            SIMPLE_TYPES.get(str(choice["type"]))
            if isinstance(choice, Mapping) and choice.keys() == {"type"} and "type" not in schema
            else None
            for choice in schema["anyOf"]
        ]
    else:
        types = schema.get("type") or []
        choices = [
            _type_of_one(name, schema, selected, breadcrumb)
            for name in ([types] if isinstance(types, str) else types)
        ]
    # The parser takes a 1 for a boolean, although as text it stays what it is.
    is_unclear = {bool, str} <= {*choices}
    return None if None in choices or not choices or is_unclear else reduce(or_, choices)


def _type_of_one(name: str, schema: Schema, selected: Selected, breadcrumb: Breadcrumb) -> Any:
    """Do what `_type_of` does for the values of one JSON type."""
    if name == "array":
        item = _type_of(schema.get("items"), selected, (*breadcrumb, "items"))
        return None if item is None else list[item]  # type: ignore[valid-type]
    if "format" in schema:
        is_time = name == "string" and schema["format"] == "date-time"
        return TIME if is_time else type(None) if name == "null" else None
    if name != "object":
        return SIMPLE_TYPES.get(name)
    properties = schema.get("properties") or {}
    fields = {}
    for each, column in properties.items():
        path = (*breadcrumb, "properties", each)
        found = _type_of(column, selected, path) if selected(path) else None
        if found is None or not FIELD_NAME.fullmatch(each):
            return None
        fields[each] = (found | msgspec.UnsetType, msgspec.UNSET)
    return make_type(fields) if fields else None


def make_type(
    fields: Mapping[str, tuple[Any, ...]],
    namespace: Mapping[str, Any] | None = None,
    base: type[TypedRecord] = TypedRecord,
    is_closed: bool = True,
) -> Any:
    """Make a TypedRecord class. Each field has a type and perhaps a default.

    A closed class does not accept unknown fields.
    """
    attributes = _attributes(fields)
    record: Any = msgspec.defstruct(
        "Record",
        [(attributes[name], *field) for name, field in fields.items()],
        bases=(base,),
        namespace={"attributes": attributes, **(namespace or {})},
        rename={attribute: name for name, attribute in attributes.items()},
        forbid_unknown_fields=is_closed,
        kw_only=True,
        gc=False,
    )
    record.readers = {name: getattr(record, each).__get__ for name, each in attributes.items()}
    return record


def _attributes(names: Collection[str]) -> dict[str, str]:
    return {name: f"v{at}" for at, name in enumerate(names)}
