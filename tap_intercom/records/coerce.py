"""From JSON values to records that validate against their SCHEMA message.

A stream's schema and selection are compiled once into a function; no schema is walked for a record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from tap_intercom.errors import ContractError
from tap_intercom.records.coercions import (
    KEPT_AS_TEXT,
    LEFT_OUT,
    MADE_NULL,
    MADE_WHOLE,
    UNKNOWN_FIELD,
    Coercions,
)
from tap_intercom.records.parsing import FIRST_UNSAFE_INTEGER, ImpreciseNumber, exact_json
from tap_intercom.times import HOUR_TEXTS, SECOND_TEXTS, rfc3339, rfc3339_of

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
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function from a parsed record to one that validates against `prune_schema`'s result.

    `schema` is a catalog entry's, ours or anybody's; `selected` is asked with Singer breadcrumbs.
    nested: fields that hold an object around what the table has of them, and its key in that.
    The record is used up, as it may be changed in place. A selected field that it lacks becomes
    null, so that a value that Intercom stops sending does not stay in the target; inside objects
    absent fields stay absent. Fields come in Intercom's order, absent ones last.

    The function raises ContractError for a record without one of `key_properties` (by default
    whatever the schema's top level does not let be null), and ImpreciseNumber, see `parse`.
    """
    compiler = _Compiler(selected, unknown_fields, coercions.add)
    columns, required, fit = compiler.layout(
        schema, (), "", absent_is_null=True, nested=nested or {}
    )
    not_nullable = [name for name, column in columns.items() if _NULL not in column.passes]
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
        fitted: dict[str, Any] = fit(record)
        for name in keys:
            if fitted[name] is None or fitted[name] == "":
                raise ContractError(
                    f"{coercions.stream}: Intercom sent a record without a usable {name}, "
                    "so it cannot be identified."
                )
        for name in not_nullable:
            if fitted[name] is None:
                del fitted[name]
        return fitted

    return transform


def prune_schema(schema: Schema, selected: Selected) -> dict[str, Any]:
    """The schema with only the selected fields, for the SCHEMA message."""
    pruned: dict[str, Any] = _pruned(schema, selected, ())
    return pruned


def described_by(text: Any) -> dict[str, str]:
    """The keyword for a text of Intercom's, as one line; none if there is no text."""
    line = " ".join(text.split()) if isinstance(text, str) else ""
    return {"description": line[:_MAX_DESCRIPTION]} if line else {}


def without_descriptions(schema: Any) -> Any:
    """The schema without what it says to people, at every level: what is left can be compiled."""
    if isinstance(schema, list):
        return [without_descriptions(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    bare = {name: value for name, value in schema.items() if name not in _ANNOTATIONS}
    for keyword in _SUBSCHEMAS & bare.keys():
        bare[keyword] = without_descriptions(bare[keyword])
    if isinstance(properties := schema.get("properties"), Mapping):
        # By name, as a field may be called "description".
        bare["properties"] = {
            name: without_descriptions(child) for name, child in properties.items()
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
    if "anyOf" in schema:
        pruned["anyOf"] = [_pruned(branch, selected, breadcrumb) for branch in schema["anyOf"]]
    return pruned


class _Misfit(Exception):
    """A value that cannot be made to fit its column."""


Fit = Callable[[Any], Any]
Note = Callable[[str, str], None]


class _Column(NamedTuple):
    passes: frozenset[type]
    """A value of one of these types is emitted as it is."""
    fit: Fit
    """Makes any other value fit, or raises _Misfit."""
    takes: frozenset[type] = frozenset()
    """Types of which `fit` takes some values without a repair."""


class _Layout(NamedTuple):
    """The fields of an object."""

    columns: dict[str, _Column]
    required: frozenset[str]
    fit: Fit
    """Makes each field fit; the required ones may be missing from the result."""


# An object whose names vary more than this is no table's; its shapes are not worth keeping.
_MAX_SHAPES = 64
_NULL = type(None)
_TEXT: frozenset[type] = frozenset({str})
_ALL_TYPES: frozenset[type] = frozenset({_NULL, bool, int, float, str, list, dict})
_INTEGER_TEXT = re.compile(r"-?[0-9]{1,19}")
_NUMBER_TEXT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DATE_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Keywords that hand-made catalogs may have and ours have not: left to a validator.
_CONSTRAINTS = frozenset(
    {"enum", "const", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"minProperties", "maxProperties", "allOf", "oneOf", "not"}
)


def _branches(schema: Schema) -> list[Schema]:
    """Schemas of one type each, or of none, of which a value has to fit one."""
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


def _constrained(column: _Column, constraints: dict[str, Any]) -> _Column:
    """The column, less the values that the constraints forbid."""
    from jsonschema import Draft4Validator  # type: ignore[import-untyped]

    if "const" in constraints:
        constraints["enum"] = [constraints.pop("const")]
    is_valid: Callable[[Any], bool] = Draft4Validator(constraints).is_valid

    def fit(value: Any) -> Any:
        fitted = value if type(value) in column.passes else column.fit(value)
        if not is_valid(fitted):
            raise _Misfit
        return fitted

    nullable = frozenset({_NULL} if _NULL in column.passes and is_valid(None) else ())
    return _Column(nullable, fit, takes=column.passes | column.takes)


def _unwrapping(column: _Column, key: str) -> _Column:
    """The column, of what stands under a key of an object, or of the value without an object."""

    def fit(value: Any) -> Any:
        if type(value) is dict:
            value = value.get(key)
        return value if type(value) in column.passes else column.fit(value)

    return _Column(column.passes, fit, takes=column.takes | {dict})


def _never(value: Any) -> Any:
    raise _Misfit


def _everything(breadcrumb: Breadcrumb) -> bool:
    return True


def _as_it_is(value: Any) -> Any:
    return value


def _refuse(path: str, kind: str) -> None:
    raise _Misfit


def _fits_63_bits(number: int) -> bool:
    return -FIRST_UNSAFE_INTEGER <= number < FIRST_UNSAFE_INTEGER


def _json_text(value: Any) -> str:
    try:
        return exact_json(value).decode()
    except RecursionError:
        raise _Misfit from None


def _date_time(value: Any) -> str:
    kind = type(value)
    if kind is int or kind is float:
        text = rfc3339(value)
    elif kind is str and not _NUMBER_TEXT.fullmatch(value):
        try:
            text = rfc3339_of(value)
        except (ValueError, OverflowError):
            raise _Misfit from None
    else:
        raise _Misfit
    if text is None:
        raise _Misfit
    return text


def _date(value: Any) -> str:
    if type(value) is not str or not _DATE_TEXT.fullmatch(value):
        raise _Misfit
    try:
        date.fromisoformat(value)
    except ValueError:
        raise _Misfit from None
    return value


def _source(
    names: Sequence[str],
    columns: Mapping[str, _Column],
    deselected: Collection[str],
    prefix: str,
    template: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
    """The source of a function that fits an object with these names, and what it refers to.

    Names are in it as literals only; for two texts, a time and an unknown field it is like

        def fit(value):
            v0, v1, v2, v3 = value.values()
            if v0 is not None and v0.__class__ is not str: return fit_any(value)
            if v1 is not None and v1.__class__ is not str: return fit_any(value)
            try:
                if v2 is not None: v2 = hours[v2 // 3600] + seconds[v2 % 3600]
            except Misfit: return fit_any(value)
            note('x', 'unknown field')
            return {'a': v0, 'b': v1, 'c': v2}

    A record, which has a template, is changed in place: that saves a tenth of the processor's time,
    and nobody else reads it. What is inside of it is not, as another branch of an `anyOf` may.
    """
    scope: dict[str, Any] = {"hours": HOUR_TEXTS, "seconds": SECOND_TEXTS}
    checks, fits, notes, items, changes = [], [], [], [], []
    for at, name in enumerate(names):
        column = columns.get(name)
        if column is None:
            if name not in deselected:
                notes.append(f"note({prefix + name!r}, {UNKNOWN_FIELD!r})")
            changes.append(f"del value[{name!r}]")
            continue
        items.append(f"{name!r}: v{at}")
        is_there = f"v{at} is not None" if _NULL in column.passes else "True"
        kinds = column.passes - {_NULL}
        if len(kinds) == 1 and not column.takes:
            (kind,) = kinds
            checks.append(f"if {is_there} and v{at}.__class__ is not {kind.__name__}: {_GIVE_UP}")
            continue
        changes.append(f"value[{name!r}] = v{at}")
        if column.fit is _date_time:
            fits.append(f"if v{at}.__class__ is int: v{at} = {TIME_TEXT.format(f'v{at}')}")
            fits.append(f"elif {is_there}: {_GIVE_UP}")
        else:
            scope |= {f"passes{at}": column.passes, f"fit{at}": column.fit}
            fits.append(f"if v{at}.__class__ not in passes{at}: v{at} = fit{at}(v{at})")
    changes += [f"value[{name!r}] = None" for name in template if name not in names]
    lines = [f"[{', '.join(f'v{at}' for at in range(len(names)))}] = value.values()", *checks]
    if fits:
        lines += [
            "try:",
            *(f"    {line}" for line in fits),
            f"except (Misfit, KeyError): {_GIVE_UP}",
        ]
    lines += notes
    if template or not changes:
        lines += [*changes, "return value"]
    else:
        lines.append(f"return {{{', '.join(items)}}}")
    return "def fit(value):\n" + "\n".join(f"    {line}" for line in lines), scope


_GIVE_UP = "return fit_any(value)"
# Of a whole second, in a source whose scope has `hours` and `seconds`.
TIME_TEXT = "hours[{0} // 3600] + seconds[{0} % 3600]"


class _Compiler:
    """Compiles the parts of one schema.

    With `exact_only`, values that would need a repair or a cast are misfits: it tells which branch
    of an `anyOf` a value belongs to.
    """

    def __init__(
        self, selected: Selected, unknown_fields: str, note: Note, exact_only: bool = False
    ) -> None:
        self.selected = selected
        self.unknown_fields = unknown_fields
        self.note = note
        self.exact_only = exact_only

    def column(self, schema: Any, breadcrumb: Breadcrumb, path: str) -> _Column:
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
            return _Column(nullable, _never)
        if len(compiled) == 1:
            _, column = compiled[0]
        else:
            column = self.any_of(compiled, breadcrumb, path)
        return column._replace(passes=column.passes | nullable)

    def branch(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> _Column:
        """The column of a schema that has one type, or none."""
        column = self.typed(schema, breadcrumb, path)
        constraints = {name: schema[name] for name in schema.keys() & _CONSTRAINTS}
        return _constrained(column, constraints) if constraints else column

    def typed(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> _Column:
        match schema.get("type"):
            case "string" if schema.get("format") == "date-time":
                return _Column(frozenset(), _date_time, takes=frozenset({int, float, str}))
            case "string" if schema.get("format") == "date":
                return _Column(frozenset(), _date, takes=frozenset({str}))
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
                return _Column(frozenset({_NULL}), _never)
        return self.anything(path)

    def string(self, path: str) -> _Column:
        note, exact_only = self.note, self.exact_only

        def fit(value: Any) -> str:
            if value is None or exact_only:
                raise _Misfit
            if type(value) is int:  # ids come as either
                return str(value)
            note(path, KEPT_AS_TEXT)
            return _json_text(value)

        return _Column(_TEXT, fit)

    def integer(self, path: str) -> _Column:
        note, exact_only = self.note, self.exact_only

        def fit(value: Any) -> Any:
            kind = type(value)
            if kind is int:
                # Written out: integers are too frequent for a call.
                if -FIRST_UNSAFE_INTEGER <= value < FIRST_UNSAFE_INTEGER:
                    return value
            elif kind is float:
                if abs(value) >= FIRST_UNSAFE_INTEGER:
                    raise ImpreciseNumber
                if value.is_integer():
                    note(path, MADE_WHOLE)
                    return int(value)
            elif kind is bool:
                note(path, MADE_WHOLE)
                return int(value)
            elif kind is str and not exact_only and _INTEGER_TEXT.fullmatch(value):
                return fit(int(value))
            raise _Misfit

        return _Column(frozenset(), fit, takes=frozenset({int}))

    def number(self, path: str) -> _Column:
        note, exact_only = self.note, self.exact_only

        def fit(value: Any) -> Any:
            kind = type(value)
            if kind is int:
                if _fits_63_bits(value):
                    return value
                try:
                    return float(value)
                except OverflowError:
                    raise _Misfit from None
            if kind is bool:
                note(path, MADE_WHOLE)
                return int(value)
            if kind is str and not exact_only:
                if _INTEGER_TEXT.fullmatch(value):
                    return fit(int(value))
                if _NUMBER_TEXT.fullmatch(value) and math.isfinite(number := float(value)):
                    return number
            raise _Misfit

        return _Column(frozenset({float}), fit, takes=frozenset({int}))

    def boolean(self) -> _Column:
        texts = {} if self.exact_only else {"true": True, "false": False}

        def fit(value: Any) -> bool:
            if type(value) is str and value in texts:
                return texts[value]
            raise _Misfit

        return _Column(frozenset({bool}), fit)

    def anything(self, path: str) -> _Column:
        """A place without a type; only what no target takes is changed, to text."""
        note = self.note

        def fit(value: Any, level: int = 0) -> Any:
            kind = type(value)
            if kind is int:
                if not _fits_63_bits(value):
                    note(path, KEPT_AS_TEXT)
                    return str(value)
            elif kind is float:
                if abs(value) >= FIRST_UNSAFE_INTEGER:
                    raise ImpreciseNumber
            elif level == _MAX_LEVELS and kind in (dict, list):
                note(path, KEPT_AS_TEXT)
                return _json_text(value)
            elif kind is dict:
                return {name: fit(item, level + 1) for name, item in value.items()}
            elif kind is list:
                return [fit(item, level + 1) for item in value]
            return value

        return _Column(frozenset({_NULL, bool, str}), fit, takes=_ALL_TYPES)

    def array(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> _Column:
        path = f"{path}[]"
        passes, fit_item, _ = self.column(schema.get("items"), (*breadcrumb, "items"), path)
        is_nullable = _NULL in passes
        note = self.note

        def fit(value: Any) -> list[Any]:
            if type(value) is not list:
                raise _Misfit
            fitted = []
            for item in value:
                if type(item) in passes:
                    fitted.append(item)
                    continue
                try:
                    fitted.append(fit_item(item))
                except _Misfit:
                    note(path, MADE_NULL if is_nullable else LEFT_OUT)
                    if is_nullable:
                        fitted.append(None)
            return fitted

        return _Column(frozenset(), fit, takes=frozenset({list}))

    def object(self, schema: Schema, breadcrumb: Breadcrumb, path: str) -> _Column:
        _, required, fit_fields = self.layout(schema, breadcrumb, f"{path}.")

        def fit(value: Any) -> dict[str, Any]:
            fitted: dict[str, Any] = fit_fields(value)
            if not required <= fitted.keys():
                raise _Misfit
            return fitted

        return _Column(frozenset(), fit if required else fit_fields, takes=frozenset({dict}))

    def layout(
        self,
        schema: Schema,
        breadcrumb: Breadcrumb,
        prefix: str,
        *,
        absent_is_null: bool = False,
        nested: Mapping[str, str] | None = None,
    ) -> _Layout:
        """The fields of an object; `prefix` leads to the names of its fields in warnings."""
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
        # Singer's selection has no words for what is inside of these.
        unselectable = _Compiler(_everything, self.unknown_fields, self.note, self.exact_only)
        other = None if others is False else unselectable.column(others, (), f"{prefix}*")
        field_of = {name: (column.passes, column.fit) for name, column in columns.items()}.get
        other_field = other and (other.passes, other.fit)
        template = dict.fromkeys(columns) if absent_is_null else {}
        note = self.note

        def fit(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _Misfit
            fitted: dict[str, Any] = template.copy()
            for name, item in value.items():
                field = field_of(name)
                if field is None:
                    if name in deselected:
                        continue
                    if other_field is None:
                        note(f"{prefix}{name}", UNKNOWN_FIELD)
                        continue
                    field = other_field
                passes, fit_item = field
                if type(item) in passes:
                    fitted[name] = item
                    continue
                try:
                    fitted[name] = fit_item(item)
                except _Misfit:
                    if _NULL in passes:
                        note(f"{prefix}{name}", MADE_NULL)
                        fitted[name] = None
                    else:
                        note(f"{prefix}{name}", LEFT_OUT)
            return fitted

        required = schema.get("required")
        names = frozenset(required) if isinstance(required, list) else frozenset()
        shaped = fit if other else self.shaped(columns, deselected, prefix, template, fit)
        return _Layout(columns, names - deselected, shaped)

    def shaped(
        self,
        columns: Mapping[str, _Column],
        deselected: Collection[str],
        prefix: str,
        template: Mapping[str, Any],
        fit_any: Fit,
    ) -> Fit:
        """Does what `fit_any` does, faster for objects that have the same names again and again.

        For each list of names a function is made that looks at each value once and leaves the
        object to `fit_any` as soon as one is not what its column expects.
        """
        fits: dict[tuple[str, ...], Fit] = {}

        def fit(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _Misfit
            names = tuple(value)
            known = fits.get(names)
            if known is None:
                if len(fits) >= _MAX_SHAPES:
                    known = fit_any
                else:
                    source, scope = _source(names, columns, deselected, prefix, template)
                    scope |= {"fit_any": fit_any, "note": self.note, "Misfit": _Misfit}
                    exec(source, scope)
                    known = fits[names] = scope["fit"]
            fitted: dict[str, Any] = known(value)
            return fitted

        return fit

    def any_of(
        self, compiled: list[tuple[Schema, _Column]], breadcrumb: Breadcrumb, path: str
    ) -> _Column:
        """Takes the first branch that a value fits, or else the first that can be made to fit it.

        Text is the last resort, as anything can be made to fit that.
        """
        strict = _Compiler(self.selected, self.unknown_fields, _refuse, exact_only=True)
        exact = [strict.branch(branch, breadcrumb, path) for branch, _ in compiled]
        exact_fits = {
            kind: [
                column.fit if kind in column.takes else _as_it_is
                for column in exact
                if kind in column.takes or kind in column.passes
            ]
            for kind in _ALL_TYPES
        }
        has_text = any(column.passes == _TEXT for column in exact)
        repairing = [column.fit for _, column in compiled if column.passes != _TEXT]
        note, exact_only = self.note, self.exact_only

        def fit(value: Any) -> Any:
            for fit_exactly in exact_fits.get(type(value), ()):
                try:
                    return fit_exactly(value)
                except _Misfit:
                    continue
            if exact_only or value is None:
                raise _Misfit
            # As text, a true stays what it is; as a number it would be a 1.
            for fit_with_repairs in () if has_text and type(value) is bool else repairing:
                try:
                    return fit_with_repairs(value)
                except _Misfit:
                    continue
            if has_text:
                note(path, KEPT_AS_TEXT)
                return _json_text(value)
            raise _Misfit

        passes: set[type] = set()
        takes: set[type] = set()
        for column in exact:
            passes |= column.passes - takes
            takes |= column.takes
        return _Column(frozenset(passes), fit, takes=frozenset(takes))
