"""Pages parsed straight into records whose types the parser has checked.

Most of a record goes from Intercom's JSON into its RECORD line as it is. To see that it fits costs
less while it is parsed than after. A page with something that does not fit is parsed as any other
answer is, and shows which columns have to be looked at one by one from then on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, reduce
from operator import or_
from typing import Annotated, Any, ClassVar, TypedDict, get_args

import msgspec

from tap_intercom.records.coerce import TIME_TEXT, Breadcrumb, Schema, Selected, compile_record
from tap_intercom.records.coercions import Coercions
from tap_intercom.records.parsing import FIRST_UNSAFE_INTEGER, NUL, Parsed, parse
from tap_intercom.times import FIRST_SECOND, HOUR_TEXTS, LAST_SECOND, SECOND_TEXTS

# A table that comes with more names than this beside its columns is not worth a type.
_MAX_UNKNOWN_NAMES = 64

_INTEGER = Annotated[int, msgspec.Meta(ge=-FIRST_UNSAFE_INTEGER, le=FIRST_UNSAFE_INTEGER - 1)]
_INSTANT = Annotated[int, msgspec.Meta(ge=FIRST_SECOND, le=LAST_SECOND)] | None
_KEY = Annotated[str, msgspec.Meta(min_length=1)]
_SIMPLE_TYPES: Mapping[str, Any] = {
    "null": type(None),
    "boolean": bool,
    "string": str,
    "integer": _INTEGER,
    "number": _INTEGER | float,
}
_DATE_TIMES: list[Schema] = [
    {"type": types, "format": "date-time"} for types in (["null", "string"], ["string", "null"])
]
# A schema that says more than this is left to `compile_record`.
_KEYWORDS = {"type", "properties", "items", "anyOf", "description", "title"}
# What the parser takes for a name.
_NAME = re.compile(r'[^"\\\x00-\x1f]*')

# How an object says how long the list in it is, and that it goes on.
_BESIDE_A_LIST = ("has_more", "total_count", "next_cursor", "pages")

_UNSET = msgspec.UNSET
_MISFITS = (msgspec.MsgspecError, ValueError, RecursionError)


class TypedRecord(msgspec.Struct, gc=False):
    """A record, or an object inside one, that is read and changed like a dict.

    attributes: the attribute for each field, whose name may be none of Python's; readers: what gets
    it of a record.
    """

    attributes: ClassVar[Mapping[str, str]] = {}
    readers: ClassVar[dict[str, Callable[[TypedRecord], Any]]] = {}

    def get(self, name: str) -> Any:
        """The value of a field; None where it is absent or unknown."""
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

    def fit(self) -> TypedRecord:
        """Make of it in place what `compile_record` would; raises ImpreciseNumber as that does."""
        raise NotImplementedError


# What an answer may say of its list (pages.py) beside the records.
_BESIDE_RECORDS = ("type", "pages", "total_count", "total_pages", "has_more", "next_cursor")


class TypedList(TypedRecord):
    """The object around a nested list: v0 are its entries, v1 to v4 what it says of others."""


def values_of(records: Sequence[Any], name: str) -> list[Any]:
    """The values of a field of all records of a page; None where it is absent.

    Either all of them are of the type that the page was parsed to, or none is.
    """
    if not records or not isinstance(records[0], TypedRecord):
        return [record.get(name) for record in records]
    if (read := records[0].readers.get(name)) is None:
        return [None] * len(records)
    return [None if value is _UNSET else value for value in map(read, records)]


def as_plain(value: Any) -> Any:
    """The value with a dict in place of each TypedRecord inside it."""
    if isinstance(value, TypedRecord):
        found = ((name, read(value)) for name, read in value.readers.items())
        return {name: as_plain(each) for name, each in found if each is not _UNSET}
    if isinstance(value, list):
        return [as_plain(each) for each in value]
    return value


class PageParser:
    """Parses pages of one table; what it learns on the way is not for two threads at once.

    The records of a page are TypedRecords, or dicts where one of them does not fit. For the
    arguments see `compile_record`; key_properties: those that Intercom sends, records_key: where in
    a page the records are.
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
    ) -> None:
        self._selected = selected
        self._repairs = coercions
        self._keys = key_properties
        self._nested = nested
        self._records_key = records_key
        self._columns = {
            name: column
            for name, column in schema["properties"].items()
            if selected(("properties", name))
        }
        self._deselected = schema["properties"].keys() - self._columns.keys()
        self._unknown: set[str] = set()
        self._is_open = unknown_fields == "pass" or "additionalProperties" in schema
        self._decoder: msgspec.json.Decoder[Any] | None = None
        self._is_ready = False

    def parse(self, content: bytes) -> Parsed:
        """The JSON value of an answer. Raises ValueError for one that is not JSON."""
        if not self._is_ready:
            self._decoder = self._make_decoder()
            self._is_ready = True
        if self._decoder is None or content.rfind(NUL) >= 0:
            return parse(content)
        try:
            return Parsed(self._decoder.decode(content), 0)
        except _MISFITS:
            parsed = parse(content)
        self._learn(parsed.value)
        return parsed

    def _learn(self, page: Any) -> None:
        """Look one by one from now on at columns whose values are not of their type."""
        known = len(self._types), len(self._unknown)
        records = page.get(self._records_key) if isinstance(page, dict) else None
        for record in records if isinstance(records, list) else ():
            for name, value in record.items() if isinstance(record, dict) else ():
                if name in self._types:
                    if not _is_of_type(value, self._types[name]):
                        del self._types[name]
                elif name not in self._columns and name not in self._deselected:
                    self._unknown.add(name)
        self._is_ready = known == (len(self._types), len(self._unknown))

    @cached_property
    def _types(self) -> dict[str, Any]:
        """The types of the columns that the parser checks."""
        return {
            name: found
            for name, column in self._columns.items()
            if (found := self._type_of_column(name, column)) is not None
        }

    @cached_property
    def _nullable(self) -> Collection[str]:
        """The columns that are null in records that lack them."""
        return self._compiled(self._columns)({}).keys()

    def _make_decoder(self) -> msgspec.json.Decoder[Any] | None:
        """None where pages of this table are to be parsed as any other answer is."""
        names = [*self._columns, *self._deselected, *self._unknown]
        if (
            self._is_open
            or not self._types.keys() >= {*self._keys}
            or len(self._unknown) > _MAX_UNKNOWN_NAMES
            or not all(map(_NAME.fullmatch, names))
        ):
            return None
        records = list[self._record_type(names)]  # type: ignore[misc, valid-type]
        fields = {**dict.fromkeys(_BESIDE_RECORDS, Any), self._records_key: records}
        return msgspec.json.Decoder(TypedDict("page", fields, total=False))  # type: ignore[operator]

    def _record_type(self, names: Collection[str]) -> Any:
        fields = {name: self._field(name) for name in names}
        source, scope = self._source(_attributes(names))
        exec(source, scope)
        return _struct(fields, {"fit": scope["fit"]})

    def _field(self, name: str) -> tuple[Any, ...]:
        """The type of a field, and what stands for it where it is absent."""
        if name in self._keys:
            return (self._types[name],)
        return self._types.get(name, Any), None if name in self._nullable else msgspec.UNSET

    def _source(self, attributes: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
        """The source of `TypedRecord.fit`, and what it refers to.

        For a text, a time, a nested list, a column of no simple type and an unknown field it is

            def fit(self):
                others = {}
                v = self.v1
                if v is not None: self.v1 = hours[v // 3600] + seconds[v % 3600]
                v = self.v2
                if v.__class__ is nested_v2: self.v2 = v.v0
                elif v is not None: others['tags'] = v
                if self.v3 is not None: others['custom_attributes'] = self.v3
                if self.v4 is not UNSET: others['unknown'] = self.v4
                if others:
                    names = [*others]
                    fitted = transform(others)
                    for name in names: setattr(self, attributes[name], fitted.get(name, UNSET))
                return self
        """
        scope = {
            "hours": HOUR_TEXTS,
            "seconds": SECOND_TEXTS,
            "UNSET": msgspec.UNSET,
            "transform": self._transform_of_others(),
            "attributes": attributes,
        }
        lines = ["others = {}"]
        for name, attribute in attributes.items():
            field = f"self.{attribute}"
            found = self._types.get(name)
            if found is None:
                absent = self._field(name)[1]
                lines.append(f"if {field} is not {absent}: others[{name!r}] = {field}")
            elif found is _INSTANT:
                lines += [f"v = {field}", f"if v is not None: {field} = {TIME_TEXT.format('v')}"]
            elif name in self._nested:
                # A list that was read in full may have taken the place of what was parsed.
                scope[f"nested_{attribute}"] = get_args(found)[0]
                lines += [
                    f"v = {field}",
                    f"if v.__class__ is nested_{attribute}: {field} = v.v0",
                    f"elif v is not None: others[{name!r}] = v",
                ]
        lines += [
            "if others:",
            "    names = [*others]",
            "    fitted = transform(others)",
            "    for name in names: setattr(self, attributes[name], fitted.get(name, UNSET))",
            "return self",
        ]
        return "def fit(self):\n" + "\n".join(f"    {line}" for line in lines), scope

    def _transform_of_others(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Fits what the parser does not: fields of no simple type, deselected and unknown ones."""
        columns = {
            name: column
            for name, column in self._columns.items()
            if name not in self._types or name in self._nested
        }
        return self._compiled({**columns, **{name: {} for name in self._deselected}})

    def _compiled(
        self, properties: Mapping[str, Schema]
    ) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def selected(breadcrumb: Breadcrumb) -> bool:
            return breadcrumb[1] in self._columns and self._selected(breadcrumb)

        return compile_record(
            {"properties": properties, "additionalProperties": False},
            selected,
            self._repairs,
            key_properties=(),
            nested=self._nested,
        )

    def _type_of_column(self, name: str, column: Schema) -> Any:
        """The type of all values that go into a column as they are; None where that is no type."""
        if name in self._keys:
            return _KEY if column == {"type": "string"} else None
        if name not in self._nullable:
            return None
        if column in _DATE_TIMES:
            return _INSTANT
        found = _type_of(column, self._selected, ("properties", name))
        if found is None or name not in self._nested:
            return found
        key = self._nested[name]
        beside = [each for each in _BESIDE_A_LIST if each != key]
        # Without the key, the entries may be under another one: then the parser does not fit.
        fields = {key: (found,), **dict.fromkeys(beside, (Any, None))}
        return _struct(fields, base=TypedList, is_closed=False) | None


def _is_of_type(value: Any, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except _MISFITS:
        return False
    return True


def _type_of(schema: Any, selected: Selected, breadcrumb: Breadcrumb) -> Any:
    """The type of the values that a schema takes as they are; None where that is no type.

    So it is where the schema says more than types, or where something in it is not selected.
    """
    if not isinstance(schema, Mapping) or schema.keys() - _KEYWORDS:
        return None
    if "anyOf" in schema:
        choices = [
            _SIMPLE_TYPES.get(str(choice["type"]))
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
    return None if None in choices or not choices else reduce(or_, choices)


def _type_of_one(name: str, schema: Schema, selected: Selected, breadcrumb: Breadcrumb) -> Any:
    """As `_type_of`, of the values that have the one JSON type."""
    if name == "array":
        item = _type_of(schema.get("items"), selected, (*breadcrumb, "items"))
        return None if item is None else list[item]  # type: ignore[valid-type]
    if name != "object":
        return _SIMPLE_TYPES.get(name)
    properties = schema.get("properties") or {}
    fields = {}
    for each, column in properties.items():
        path = (*breadcrumb, "properties", each)
        found = _type_of(column, selected, path) if selected(path) else None
        if found is None or not _NAME.fullmatch(each):
            return None
        fields[each] = (found | msgspec.UnsetType, msgspec.UNSET)
    return _struct(fields) if fields else None


def _struct(
    fields: Mapping[str, tuple[Any, ...]],
    namespace: Mapping[str, Any] | None = None,
    base: type[TypedRecord] = TypedRecord,
    is_closed: bool = True,
) -> Any:
    """A TypedRecord with fields of a type and perhaps a default; closed to others, or not."""
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
