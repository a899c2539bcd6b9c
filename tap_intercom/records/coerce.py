"""Turn JSON values into records that validate against their SCHEMA message.

The schema and the selection of a stream are compiled once, into nested functions. Coercing a record
calls these functions and does not read the schema again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from tap_intercom.errors import ConfigError, ContractError
from tap_intercom.records.coercions import (
    KEPT_AS_TEXT,
    LEFT_OUT,
    MADE_A_NUMBER,
    MADE_NULL,
    UNKNOWN_FIELD,
    Coercions,
)
from tap_intercom.records.parsing import FIRST_UNSAFE_INTEGER, ImpreciseNumber, exact_json
from tap_intercom.records.plain_text import plain_text
from tap_intercom.times import (
    FIRST_MILLISECOND,
    HOUR_TEXTS,
    SECOND_TEXTS,
    rfc3339_of,
    rfc3339_of_number,
    utc_text,
)

Schema = Mapping[str, Any]
Breadcrumb = tuple[str, ...]
Selected = Callable[[Breadcrumb], bool]
# orjson writes 254 levels; readers of other languages have their limits too.
_MAX_LEVELS = 100
# The longest description of a column that BigQuery takes.
_MAX_DESCRIPTION = 1024
_ANNOTATIONS = frozenset({"description", "title"})
# Keywords that hold a schema or a list of them.
_SUBSCHEMAS = frozenset({"items", "additionalProperties", "anyOf", "oneOf", "allOf", "not"})


def compile_record(
    schema: Schema,
    selected: Selected,
    coercions: Coercions,
    *,
    unknown_fields: str = "drop",
    key_properties: Collection[str] | None = None,
    nested: Mapping[str, str] | None = None,
    html_fields: Collection[str] = (),
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that makes a parsed record valid for the result of `prune_schema`.

    `schema` may come from any catalog, ours or one made by hand. `selected` is called with Singer
    breadcrumbs. `nested` names the fields that Intercom wraps in an object, and the key in that
    object that holds the value of the column. `html_fields` are the paths of texts whose HTML
    becomes plain text, such as `notes.data[].body`.

    The returned function changes the record in place and returns it. A selected field that is
    missing becomes null, so that a value that Intercom no longer sends does not stay in the target.
    Inside nested objects, missing fields stay missing. Fields keep Intercom's order; the missing
    ones come last.

    It raises ContractError for a record without one of `key_properties` (by default, every column
    that may not be null), and ImpreciseNumber, see `parse`.
    """
    columns, required, coerce_fields = compile_fields(
        schema,
        selected,
        coercions,
        unknown_fields=unknown_fields,
        nested=nested,
        html_fields=html_fields,
    )
    not_nullable = [name for name, column in columns.items() if not column.is_nullable]
    if key_properties is None:
        keys = not_nullable
    else:
        must = {*key_properties, *required.intersection(not_nullable)}
        keys = [name for name in columns if name in must]

    def transform(record: dict[str, Any]) -> dict[str, Any]:
        if type(record) is not dict:
            raise ContractError(
                f"{coercions.stream}: Intercom sent a record that is not an object."
            )
        coerce_fields(record)
        if not record.keys() >= columns.keys():
            for name in columns:
                record.setdefault(name)
        for name in keys:
            if record[name] is None or record[name] == "":
                raise ContractError(
                    f"{coercions.stream}: Intercom sent a record without a usable {name}, "
                    "so it cannot be identified."
                )
        for name in not_nullable:
            if record[name] is None:
                del record[name]
        return record

    return transform


def compile_fields(
    schema: Schema,
    selected: Selected,
    coercions: Coercions,
    *,
    unknown_fields: str = "drop",
    nested: Mapping[str, str] | None = None,
    html_fields: Collection[str] = (),
) -> Layout:
    """Compile the fields of a record one by one; for the arguments see `compile_record`."""
    compiler = _Compiler(selected, unknown_fields, coercions.add, html_fields=html_fields)
    return compiler.layout(schema, (), "", nested=nested)


def prune_schema(schema: Schema, selected: Selected) -> dict[str, Any]:
    """Return the schema with only the selected fields, for the SCHEMA message."""
    pruned: dict[str, Any] = _pruned(schema, selected, ())
    return pruned


def described_by(text: Any) -> dict[str, str]:
    """The keyword for a text of Intercom's, as one line; none if there is no text."""
    line = " ".join(text.split()) if isinstance(text, str) else ""
    return {"description": line[:_MAX_DESCRIPTION]} if line else {}


def without_descriptions(schema: Any) -> Any:
    """The schema without what it says to people, at every level: what is left can be compiled."""
    return without_keywords(schema, _ANNOTATIONS)


def without_keywords(schema: Any, keywords: Collection[str]) -> Any:
    """The schema without these keywords, at every level."""
    if isinstance(schema, list):
        return [without_keywords(each, keywords) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    bare = {name: value for name, value in schema.items() if name not in keywords}
    for keyword in _SUBSCHEMAS & bare.keys():
        bare[keyword] = without_keywords(bare[keyword], keywords)
    if isinstance(properties := schema.get("properties"), Mapping):
        # By name, as a field may be called "description".
        bare["properties"] = {
            name: without_keywords(child, keywords) for name, child in properties.items()
        }
    return bare


def _pruned(schema: Any, selected: Selected, breadcrumb: Breadcrumb) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    pruned = dict(schema)
    if isinstance(properties := schema.get("properties"), Mapping):
        chosen = {
            name: (child, path)
            for name, child in properties.items()
            if selected(path := (*breadcrumb, "properties", name))
        }
        pruned["properties"] = {
            name: _pruned(child, selected, path) for name, (child, path) in chosen.items()
        }
        if isinstance(required := schema.get("required"), list):
            dropped = properties.keys() - chosen.keys()
            pruned["required"] = [name for name in required if name not in dropped]
    if "items" in schema:
        pruned["items"] = _pruned(schema["items"], selected, (*breadcrumb, "items"))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            pruned[keyword] = [_pruned(branch, selected, breadcrumb) for branch in schema[keyword]]
    return _with_type(pruned)


def _with_type(schema: dict[str, Any]) -> dict[str, Any]:
    """Say as one type that text may also be a time; that is the same to a validator.

    Some targets need a `type` at every level. Others take such a column for a time and then refuse
    text. The catalog keeps both, since the tap makes times of Unix seconds there.
    """
    branches = schema.get("anyOf")
    if not isinstance(branches, list) or {"type": "string"} not in branches:
        return schema
    if schema.keys() - {"anyOf", *_ANNOTATIONS} or any(each not in _TEXTS for each in branches):
        return schema
    types = ["null", "string"] if {"type": "null"} in branches else ["string"]
    return {"type": types, **{name: each for name, each in schema.items() if name != "anyOf"}}


class CoercionError(Exception):
    """A value cannot be coerced to the type of its column."""


Coerce = Callable[[Any], Any]
Note = Callable[[str, str], None]


class Column(NamedTuple):
    passes: frozenset[type]
    """Values of these types are valid as they are."""
    coerce: Coerce
    """Coerces any other value, or raises CoercionError."""
    takes: frozenset[type] = frozenset()
    """Types that have values which `coerce` accepts without a repair."""

    @property
    def is_nullable(self) -> bool:
        return _NULL in self.passes


class Layout(NamedTuple):
    """The fields of an object."""

    columns: dict[str, Column]
    required: frozenset[str]
    coerce: Callable[[dict[str, Any]], None]
    """Coerces each field in place. Does not check that the required ones are there."""


_NULL = type(None)
_TEXT: frozenset[type] = frozenset({str})
_ALL_TYPES: frozenset[type] = frozenset({_NULL, bool, int, float, str, list, dict})
# How msgspec reads a time: a number of seconds, or a text with an offset.
TIME = Annotated[datetime, msgspec.Meta(tz=True)]
_INTEGER_TEXT = re.compile(r"-?[0-9]{1,19}")
_NUMBER_TEXT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DATE_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What text alone holds, and null.
_TEXTS: Sequence[Schema] = (
    {"type": "string"},
    {"type": "string", "format": "date-time"},
    {"type": "null"},
)
# Keywords that only catalogs made by hand have. A validator checks them.
_CONSTRAINTS = frozenset(
    {"enum", "const", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"minProperties", "maxProperties", "allOf", "oneOf", "not"}
)


def _branches(schema: Schema) -> list[Schema]:
    """Split a schema into schemas with at most one type each. A value has to fit one of them."""
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            common = {name: value for name, value in schema.items() if name != keyword}
            if keyword == "oneOf":
                common["allOf"] = [*common.get("allOf", []), {"oneOf": schema["oneOf"]}]
            choices = [choice if isinstance(choice, Mapping) else {} for choice in schema[keyword]]
            return [branch for choice in choices for branch in _branches({**common, **choice})]
    types = schema.get("type")
    if types is None:
        if "properties" in schema:
            types = ["null", "object"]
        elif "items" in schema:
            types = ["null", "array"]
        elif schema.get("format") in ("date-time", "date"):
            types = ["null", "string"]
        else:
            return [schema]
    return [{**schema, "type": name} for name in ([types] if isinstance(types, str) else types)]


def _constrained(column: Column, constraints: dict[str, Any]) -> Column:
    """Return the column without the values that the constraints forbid."""
    from jsonschema import Draft4Validator, SchemaError  # type: ignore[import-untyped]

    if "const" in constraints:
        constraints["enum"] = [constraints.pop("const")]
    try:
        Draft4Validator.check_schema(constraints)
        re.compile(constraints.get("pattern", ""))
    except (SchemaError, re.error):
        text = str(constraints)[:100]
        raise ConfigError(f"catalog: a schema with {text} is not valid") from None
    is_valid: Callable[[Any], bool] = Draft4Validator(constraints).is_valid

    def coerce(value: Any) -> Any:
        coerced = value if type(value) in column.passes else column.coerce(value)
        if not is_valid(coerced):
            raise CoercionError
        return coerced

    nullable = frozenset({_NULL} if _NULL in column.passes and is_valid(None) else ())
    return Column(nullable, coerce, takes=column.passes | column.takes)


def _unwrapping(column: Column, key: str) -> Column:
    """Return a column that takes the value from under a key, if there is an object around it."""

    def coerce(value: Any) -> Any:
        if type(value) is dict:
            value = value.get(key)
        return value if type(value) in column.passes else column.coerce(value)

    return Column(column.passes, coerce, takes=column.takes | {dict})


def _plain(coerce_other: Coerce) -> Column:
    """Return a column of texts that turns HTML into plain text."""

    def coerce(value: Any) -> str:
        return plain_text(value if type(value) is str else coerce_other(value))

    return Column(frozenset(), coerce, takes=_TEXT)


def _never(value: Any) -> Any:
    raise CoercionError


def _everything(breadcrumb: Breadcrumb) -> bool:
    return True


def _as_it_is(value: Any) -> Any:
    return value


def _refuse(path: str, kind: str) -> None:
    raise CoercionError


def _json_text(value: Any) -> str:
    try:
        return exact_json(value).decode()
    except RecursionError:
        raise CoercionError from None


def _read(value: Any, type_: Any) -> Any:
    """Read a value, or a text that contains it, as the parser of typed records does."""
    try:
        return msgspec.convert(value, type_, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError):
        raise CoercionError from None


def _is_null(value: Any) -> bool:
    """Whether a value is the text `null`, in any case."""
    return type(value) is str and value.lower() == "null"


def _milliseconds(value: float) -> str:
    """Return the text of an instant in milliseconds, which cannot be meant as seconds."""
    text = rfc3339_of_number(value) if value >= FIRST_MILLISECOND else None
    if text is None:
        raise CoercionError
    return text


def _date_time(value: Any) -> str:
    kind = type(value)
    if kind is int:
        # `_read` does the same, but most values are of this kind, and calls are slow.
        try:
            usual: str = HOUR_TEXTS[value // 3600] + SECOND_TEXTS[value % 3600]
            return usual
        except KeyError:
            return _milliseconds(value)
    if kind is not float and kind is not str:
        raise CoercionError
    try:
        return utc_text(_read(value, TIME))
    except (CoercionError, OverflowError):
        # Only `rfc3339_of` knows days, and times without an offset.
        if kind is float or _NUMBER_TEXT.fullmatch(value):
            return _milliseconds(float(value))
    try:
        text = rfc3339_of(value)
    except (ValueError, OverflowError):
        raise CoercionError from None
    if text is None:
        raise CoercionError
    return text


def _date(value: Any) -> str:
    if type(value) is not str or not _DATE_TEXT.fullmatch(value):
        raise CoercionError
    try:
        date.fromisoformat(value)
    except ValueError:
        raise CoercionError from None
    return value


class _Compiler:
    """Compiles the parts of one schema.

    With `exact_only`, the functions raise CoercionError for a value that needs a repair or a cast.
    `any_of` uses this to find the branch that a value belongs to.
    """

    def __init__(
        self,
        selected: Selected,
        unknown_fields: str,
        note: Note,
        exact_only: bool = False,
        html_fields: Collection[str] = (),
    ) -> None:
        self.selected = selected
        self.unknown_fields = unknown_fields
        self.note = note
        self.exact_only = exact_only
        self.html_fields = html_fields

    def column(self, schema: Any, breadcrumb: Breadcrumb, path: str) -> Column:
        if not isinstance(schema, Mapping):
            return self.anything(path)
        compiled = [(branch, self.branch(branch, breadcrumb, path)) for branch in _branches(schema)]
        nullable = frozenset(
            {_NULL} if any(_NULL in column.passes for _, column in compiled) else ()
        )
        compiled = [(branch, column) for branch, column in compiled if branch.get("type") != "null"]
        # A date comes before the text that it would also be. The sort keeps all else in order.
        compiled.sort(key=lambda each: each[1].passes == _TEXT)
        if not compiled:
            return Column(nullable, _never)
        if len(compiled) == 1:
            _, column = compiled[0]
        else:
            column = self.any_of(compiled, breadcrumb, path)
        return column._replace(passes=column.passes | nullable)

    def branch(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> Column:
        """Return the column of a schema that has at most one type."""
        column = self.typed(schema, breadcrumb, path)
        constraints = {name: schema[name] for name in schema.keys() & _CONSTRAINTS}
        return _constrained(column, constraints) if constraints else column

    def typed(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> Column:
        match schema.get("type"):
            case "string" if schema.get("format") == "date-time":
                return self.date_time()
            case "string" if schema.get("format") == "date":
                return Column(frozenset(), _date, takes=frozenset({str}))
            case "string":
                return self.string(path)
            case "integer":
                return self.integer(path)
            case "number":
                return self.number(path)
            case "boolean":
                return self.boolean()
            case "array":
                return self.array(schema, breadcrumb, path)
            case "object":
                return self.object(schema, breadcrumb, path)
            case "null":
                return Column(frozenset({_NULL}), _never)
        return self.anything(path)

    def date_time(self) -> Column:
        exact_only = self.exact_only

        def coerce(value: Any) -> str:
            # A number as text may be the text of a custom attribute.
            if exact_only and type(value) is str and _NUMBER_TEXT.fullmatch(value):
                raise CoercionError
            return _date_time(value)

        return Column(frozenset(), coerce, takes=frozenset({int, float, str}))

    def string(self, path: str) -> Column:
        note, exact_only = self.note, self.exact_only

        def coerce(value: Any) -> str:
            if value is None or exact_only:
                raise CoercionError
            if type(value) is int:  # ids come as either
                return str(value)
            note(path, KEPT_AS_TEXT)
            return _json_text(value)

        if path in self.html_fields:
            return _plain(coerce)
        return Column(_TEXT, coerce)

    def integer(self, path: str) -> Column:
        note, exact_only = self.note, self.exact_only

        def coerce(value: Any) -> Any:
            kind = type(value)
            if kind is int:
                if -FIRST_UNSAFE_INTEGER <= value < FIRST_UNSAFE_INTEGER:
                    return value
            elif kind is float:
                if abs(value) >= FIRST_UNSAFE_INTEGER:
                    raise ImpreciseNumber
                if value.is_integer() and not exact_only:
                    return int(value)
            elif kind is bool:
                note(path, MADE_A_NUMBER)
                return int(value)
            elif kind is str and not exact_only:
                is_plain = _INTEGER_TEXT.fullmatch(value)
                return coerce(int(value) if is_plain else _read(value, int))
            raise CoercionError

        return Column(frozenset(), coerce, takes=frozenset({int}))

    def number(self, path: str) -> Column:
        note, exact_only = self.note, self.exact_only

        def coerce(value: Any) -> Any:
            kind = type(value)
            if kind is int:
                if -FIRST_UNSAFE_INTEGER <= value < FIRST_UNSAFE_INTEGER:
                    return value
                try:
                    return float(value)
                except OverflowError:
                    raise CoercionError from None
            if kind is bool:
                note(path, MADE_A_NUMBER)
                return int(value)
            if kind is str and not exact_only:
                if _INTEGER_TEXT.fullmatch(value):
                    return coerce(int(value))
                number = _read(value, float)
                if math.isfinite(number):
                    return number
            raise CoercionError

        return Column(frozenset({float}), coerce, takes=frozenset({int}))

    def boolean(self) -> Column:
        exact_only = self.exact_only

        def coerce(value: Any) -> bool:
            if exact_only or type(value) not in (int, str):
                raise CoercionError
            return bool(_read(value, bool))

        return Column(frozenset({bool}), coerce)

    def anything(self, path: str) -> Column:
        """Return a column without a type. It changes only values that no target accepts."""
        note = self.note

        def coerce(value: Any, level: int = 0) -> Any:
            kind = type(value)
            if kind is int:
                if not -FIRST_UNSAFE_INTEGER <= value < FIRST_UNSAFE_INTEGER:
                    note(path, KEPT_AS_TEXT)
                    return str(value)
            elif kind is float:
                if abs(value) >= FIRST_UNSAFE_INTEGER:
                    raise ImpreciseNumber
            elif level == _MAX_LEVELS and kind in (dict, list):
                note(path, KEPT_AS_TEXT)
                return _json_text(value)
            elif kind is dict:
                return {name: coerce(item, level + 1) for name, item in value.items()}
            elif kind is list:
                return [coerce(item, level + 1) for item in value]
            return value

        return Column(frozenset({_NULL, bool, str}), coerce, takes=_ALL_TYPES)

    def array(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> Column:
        path = f"{path}[]"
        passes, coerce_item, _ = self.column(schema.get("items"), (*breadcrumb, "items"), path)
        is_nullable = _NULL in passes
        note = self.note

        def coerce(value: Any) -> list[Any]:
            if type(value) is not list:
                raise CoercionError
            coerced = []
            for item in value:
                if type(item) in passes:
                    coerced.append(item)
                    continue
                try:
                    coerced.append(coerce_item(item))
                except CoercionError:
                    if not is_nullable:
                        note(path, LEFT_OUT)
                        continue
                    if not _is_null(item):
                        note(path, MADE_NULL)
                    coerced.append(None)
            return coerced

        return Column(frozenset(), coerce, takes=frozenset({list}))

    def object(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> Column:
        _, required, coerce_fields = self.layout(schema, breadcrumb, f"{path}.")

        def coerce(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise CoercionError
            # A copy, because `any_of` may try several branches on the same value.
            coerced = value.copy()
            coerce_fields(coerced)
            if required and not required <= coerced.keys():
                raise CoercionError
            return coerced

        return Column(frozenset(), coerce, takes=frozenset({dict}))

    def layout(
        self,
        schema: Schema,
        breadcrumb: Breadcrumb,
        prefix: str,
        *,
        nested: Mapping[str, str] | None = None,
    ) -> Layout:
        """Compile the fields of an object. Warnings put `prefix` before the name of a field."""
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            properties = {}
        columns = {
            name: self.column(child, field_breadcrumb, f"{prefix}{name}")
            for name, child in properties.items()
            if self.selected(field_breadcrumb := (*breadcrumb, "properties", name))
        }
        for name, key in (nested or {}).items():
            if name in columns:
                columns[name] = _unwrapping(columns[name], key)
        deselected = properties.keys() - columns.keys()
        others = schema.get("additionalProperties")
        if others is None:
            others = not properties or self.unknown_fields == "pass"
        # Singer has no breadcrumbs for fields inside of these.
        unselectable = _Compiler(_everything, self.unknown_fields, self.note, self.exact_only)
        other = None if others is False else unselectable.column(others, (), f"{prefix}*")
        other_passes, other_coerce, _ = other or (frozenset(), None, None)
        # Two dicts, as most values need the first one only.
        passes_of = {name: column.passes for name, column in columns.items()}
        passes_of.update(dict.fromkeys(deselected, frozenset()))
        coerce_of = {name: column.coerce for name, column in columns.items()}
        coerce_of.update(dict.fromkeys(deselected))
        note = self.note

        def coerce_fields(fields: dict[str, Any]) -> None:
            dropped = []
            for name, value in fields.items():
                passes = passes_of.get(name, other_passes)
                if type(value) in passes:
                    continue
                coerce = coerce_of.get(name, other_coerce)
                if coerce is None:
                    if name not in deselected:
                        note(f"{prefix}{name}", UNKNOWN_FIELD)
                    dropped.append(name)
                    continue
                try:
                    fields[name] = coerce(value)
                except CoercionError:
                    if _NULL in passes:
                        if not _is_null(value):
                            note(f"{prefix}{name}", MADE_NULL)
                        fields[name] = None
                    else:
                        note(f"{prefix}{name}", LEFT_OUT)
                        dropped.append(name)
            for name in dropped:
                del fields[name]

        required = schema.get("required")
        names = frozenset(required) if isinstance(required, list) else frozenset()
        return Layout(columns, names - deselected, coerce_fields)

    def any_of(
        self, compiled: list[tuple[Schema, Column]], breadcrumb: Breadcrumb, path: str
    ) -> Column:
        """Use the first branch that a value fits, or else the first that it can be coerced to.

        Text comes last, because any value can become text.
        """
        strict = _Compiler(self.selected, self.unknown_fields, _refuse, True, self.html_fields)
        exact = [strict.branch(branch, breadcrumb, path) for branch, _ in compiled]
        exact_coercions = {
            kind: [
                column.coerce if kind in column.takes else _as_it_is
                for column in exact
                if kind in column.takes or kind in column.passes
            ]
            for kind in _ALL_TYPES
        }
        has_text = any(column.passes == _TEXT for column in exact)
        # As text, a 1 stays what it is; a boolean would make it true.
        last = {_TEXT, frozenset({bool})} if has_text else {_TEXT}
        repairing = [column.coerce for _, column in compiled if column.passes not in last]
        note, exact_only = self.note, self.exact_only

        def coerce(value: Any) -> Any:
            for coerce_exactly in exact_coercions.get(type(value), ()):
                try:
                    return coerce_exactly(value)
                except CoercionError:
                    continue
            if exact_only or value is None:
                raise CoercionError
            # As text, a true stays what it is; as a number it would be a 1.
            for coerce_with_repairs in () if has_text and type(value) is bool else repairing:
                try:
                    return coerce_with_repairs(value)
                except CoercionError:
                    continue
            if has_text:
                note(path, KEPT_AS_TEXT)
                return _json_text(value)
            raise CoercionError

        passes: set[type] = set()
        takes: set[type] = set()
        for column in exact:
            passes |= column.passes - takes
            takes |= column.takes
        return Column(frozenset(passes), coerce, takes=frozenset(takes))
