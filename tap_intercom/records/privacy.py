"""Hash or empty what says something of a person, in records that already fit their schema."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from msgspec import UNSET
from msgspec.structs import astuple, fields

from tap_intercom.breadcrumbs import Breadcrumb, dotted
from tap_intercom.records.parsing import exact_json
from tap_intercom.records.typed_records import TypedRecord, as_plain
from tap_intercom.times import utc_text

Schema = Mapping[str, Any]
Action = Callable[[Any], Any]
HASHED_KINDS = frozenset({"identifier", "contact", "name"})
# What a catalog has and no schema file describes, such as a custom attribute.
UNDESCRIBED = "text"
OTHER_ATTRIBUTES = "other_attributes"
RECORD_HASH = "_sdc_record_hash"
_BLOCK = 64
_MAX_REPEATED = 4096
_LETTER = re.compile(r"[^\W\d_]")
_OTHERS = re.compile(r"[^0-9]")


class Rules(NamedTuple):
    """What to do with the personal fields of one stream.

    mode: keep, hash or drop.
    hashed, kept: patterns of dotted names.
    """

    mode: str
    key: str = ""
    hashed: Collection[str] = ()
    kept: Collection[str] = ()

    def keeps(self, name: str) -> bool:
        """Whether a field is named in keep_fields."""
        return any(fnmatchcase(name, pattern) for pattern in self.kept)

    def reach_into(self, name: str) -> bool:
        """Whether a pattern may name fields inside this one."""
        return any(
            pattern.startswith((f"{name}.", "*", "?")) for pattern in (*self.hashed, *self.kept)
        )

    @property
    def is_active(self) -> bool:
        return self.mode != "keep" or bool(self.hashed)

    def leaves(self, name: str, kind: str | None) -> bool:
        """Whether a field of a kind stays as it is."""
        return self.fate(name, kind) == "keep"

    def fate(self, name: str, kind: str | None) -> str:
        """Return what becomes of a field: keep, hash or drop."""
        if any(fnmatchcase(name, pattern) for pattern in self.hashed):
            return "hash"
        if self.keeps(name):
            return "keep"
        if kind is None or self.mode == "keep":
            return "keep"
        return "hash" if self.mode == "hash" and kind in HASHED_KINDS else "drop"


class Hasher:
    """Makes HMAC-SHA256 texts. The state after the key is made once and copied for each value.

    The copies of `hmac` take more than twice the time.
    """

    def __init__(self, key: str) -> None:
        block = key.encode()
        if len(block) > _BLOCK:
            block = hashlib.sha256(block).digest()
        block = block.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self._repeated = lru_cache(maxsize=_MAX_REPEATED)(self.text)

    def text(self, text: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.hexdigest()

    def value(self, value: Any) -> str | None:
        """Return the hash of a value: of its text, or of JSON text."""
        if type(value) is str:
            return self.text(value.strip())
        if value is None:
            return None
        if isinstance(value, datetime):
            value = utc_text(value)
        if not isinstance(value, str):
            value = _json(as_plain(value))
        return self.text(value)

    def contact(self, value: Any) -> str | None:
        """Return the hash of a mail address in lower case, or of the digits of a phone number."""
        if type(value) is not str:
            return self.value(value)
        # Many people share a domain.
        hashed = self.text if "@" in value else self._repeated
        return hashed(normal_contact(value))


def normal_contact(text: str) -> str:
    """Return an address as it is hashed. Numbers are compared without + and separators."""
    if "@" in text:
        return text.strip().lower()
    # A domain has no @ either, but letters.
    if not _LETTER.search(text) and (digits := _OTHERS.sub("", text)):
        return digits
    return text.strip().lower()


def _emptied(value: Any) -> None:
    return None


class Private(NamedTuple):
    """The schema that a stream's records get, and the functions that change them in place.

    apply: changes a record that fits its schema.
    coerce: does the same to a typed record, and coerces what is left of it.
    nulls: the fields that are always null.
    hashed, emptied: how many fields of the schema become hashes, and null.
    """

    schema: dict[str, Any]
    apply: Callable[[Any], Any]
    coerce: Callable[[TypedRecord], TypedRecord]
    nulls: Collection[str]
    hashed: int
    emptied: int


def private(
    schema: Schema,
    marks: Schema,
    rules: Rules,
    *,
    keys: Collection[str],
    attributes_field: str = "custom_attributes",
) -> Private:
    """Compile the rules for a schema that may come from any catalog, with selected fields only.

    marks: the schema file of the stream; a field that it does not have is personal.
    keys: columns that stay as they are, but for a hash of the record.
    attributes_field: the field whose other values are in `other_attributes`.
    """
    compiler = _Compiler(rules, keys, attributes_field)
    changed, apply = compiler.object(schema, marks, (), None)
    typed = compiler.typed_records
    assert typed is not None
    return Private(changed, apply, typed.coerce, typed.nulls, compiler.hashed, compiler.emptied)


class _Compiler:
    def __init__(self, rules: Rules, keys: Collection[str], attributes_field: str) -> None:
        self._rules = rules
        self._keys = keys
        self._attributes_field = attributes_field
        self._hasher = Hasher(rules.key)
        # Changes that leave typed records as they are.
        self._idle: set[Action] = set()
        self.typed_records: _TypedChange | None = None
        self.hashed = 0
        self.emptied = 0

    def object(
        self, schema: Schema, marks: Schema, place: Breadcrumb, inherited: str | None
    ) -> tuple[dict[str, Any], Action]:
        """Return the schema of an object after the change, and what changes it in place.

        inherited: the mark of the object, which all fields inside share.
        """
        known = marks.get("properties", {})
        properties: dict[str, Any] = {}
        actions: dict[str, Action] = {}
        for name, field in schema.get("properties", {}).items():
            properties[name] = field
            if place or not (name in self._keys or name.startswith("_sdc_")):
                inner = (*place, "properties", name)
                properties[name], action = self._field(field, known.get(name), inner, inherited)
            else:
                action = self._action_of_key(name)
            if action is not None:
                actions[name] = action
        names = frozenset(properties)
        # Such a file names what an object holds, and says nothing personal is among it.
        is_public = inherited is None and bool(marks.get("additionalProperties"))

        change_typed = _TypedChange(actions, self._idle)
        if not place:
            self.typed_records = change_typed

        def change(value: Any) -> Any:
            if isinstance(value, TypedRecord):
                return change_typed(value)
            if not isinstance(value, dict):
                return None
            for name, action in actions.items():
                found = value.get(name)
                if found is not None:
                    value[name] = action(found)
            if not is_public and not value.keys() <= names:
                for name in value.keys() - names:
                    self._change_unknown(value, name, place)
            return value

        if self._idle.issuperset(actions.values()):
            self._idle.add(change)
        changed = {**schema, "properties": properties}
        if isinstance(required := schema.get("required"), list):
            changed["required"] = [
                name for name in required if name in properties and name not in actions
            ]
        if isinstance(schema.get("additionalProperties"), Mapping) and not is_public:
            changed["additionalProperties"] = True
        return changed, change

    def _action_of_key(self, name: str) -> Action | None:
        """A hash of a record may be guessed from what it is of, unless a key is part of it."""
        return self._hasher.value if name == RECORD_HASH and self._rules.key else None

    def _change_unknown(self, value: dict[str, Any], name: str, place: Breadcrumb) -> None:
        fate = self._rules.fate(dotted((*place, "properties", name)), UNDESCRIBED)
        if fate == "drop":
            del value[name]
        elif fate == "hash":
            value[name] = self._hasher.value(value[name])

    def _field(
        self, field: Schema, mark: Schema | None, place: Breadcrumb, inherited: str | None
    ) -> tuple[Any, Action | None]:
        kind = inherited or (UNDESCRIBED if mark is None else mark.get("x-personal"))
        mark = mark or {}
        fate = self._rules.fate(dotted(place), kind)
        if place == ("properties", OTHER_ATTRIBUTES):
            self.emptied += fate == "drop"
            has_exceptions = self._rules.hashed or self._rules.kept
            return field, self._other_attributes if has_exceptions else _emptied
        if fate == "hash":
            self.hashed += 1
            action: Action = self._hasher.contact if kind == "contact" else self._hasher.value
            return _hashed(field), _of_each(action) if _is_list(field) else action
        if self._rules.keeps(dotted(place)):
            return field, None
        if "properties" in field and (kind is None or self._rules.reach_into(dotted(place))):
            changed, action = self.object(field, mark, place, kind)
            return changed, action
        items = field.get("items")
        if isinstance(items, Mapping) and "properties" in items and kind is None:
            changed, action = self.object(items, mark.get("items", {}), (*place, "items"), None)
            return {**field, "items": changed}, self._on_each(action)
        # A catalog made by hand may not say what is inside.
        if fate == "keep" and (kind is not None or not _has_marks(mark)):
            return field, None
        if self._rules.mode == "keep":
            return field, None
        self.emptied += 1
        return _with_null(field), _emptied

    def _on_each(self, action: Action) -> Action:
        kinds = dict if (is_idle := action in self._idle) else (dict, TypedRecord)

        def change(values: Any) -> Any:
            # The entries of one list have one type.
            if is_idle and values and isinstance(values[0], TypedRecord):
                return values
            for value in values:
                if isinstance(value, kinds):
                    action(value)
            return values

        if is_idle:
            self._idle.add(change)
        return change

    def _other_attributes(self, text: Any) -> str | None:
        """Return the JSON text of custom attributes with only what the rules let through."""
        kept = {}
        for name, value in orjson.loads(text).items():
            fate = self._rules.fate(f"{self._attributes_field}.{name}", UNDESCRIBED)
            if fate != "drop":
                kept[name] = value if fate == "keep" else self._hasher.value(value)
        return exact_json(kept).decode() if kept else None


def _json(value: Any) -> str:
    """Return the JSON text of a value that fits its schema, so its numbers are as they will be."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # integers over 64 bits, very deep nesting
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


class _TypedChange:
    """Changes typed records in place. The places of the fields are found once for each class."""

    def __init__(self, actions: Mapping[str, Action], idle: Collection[Action]) -> None:
        self._actions = actions
        self._idle = idle
        self._plans: dict[type[TypedRecord], _Plan] = {}

    def __call__(self, record: TypedRecord) -> TypedRecord:
        plan = self._plans.get(type(record)) or self._new_plan(type(record))
        if plan.emptied:
            plan.empty(record)
        return plan.change(record)

    def coerce(self, record: TypedRecord) -> TypedRecord:
        """Coerce a record between the two steps, so that nobody coerces what is thrown away."""
        plan = self._plans.get(type(record)) or self._new_plan(type(record))
        plan.empty(record)
        return plan.change(record.coerce())

    @property
    def nulls(self) -> Collection[str]:
        """The fields that are always null."""
        return {name for name, action in self._actions.items() if action is _emptied}

    def _new_plan(self, kind: type[TypedRecord]) -> _Plan:
        # Fields that the parser did not check may hold dicts.
        unchecked = {name for _, name, _ in kind.others} | {each[2] for each in kind.lists}
        nullable = {each.name for each in fields(kind) if each.default is None}
        emptied, changed = [], []
        for index, attribute, name in kind.places(self._actions):
            action = self._actions[name]
            if action is _emptied and attribute in nullable:
                emptied.append((index, attribute))
            elif action is _emptied or name in unchecked or action not in self._idle:
                changed.append((index, attribute, action))
        plan = self._plans[kind] = _Plan(emptied, changed)
        return plan


class _Plan(NamedTuple):
    """How to change one class of typed records.

    emptied: index and attribute of each field that always becomes null.
    changed: index and attribute of each field with a value that an action changes.
    """

    emptied: list[tuple[int, str]]
    changed: list[tuple[int, str, Action]]

    def empty(self, record: TypedRecord) -> None:
        # One call for all values costs less than one for each.
        values = astuple(record)
        for index, attribute in self.emptied:
            if values[index] is not None:
                setattr(record, attribute, None)

    def change(self, record: TypedRecord) -> TypedRecord:
        values = astuple(record)
        for index, attribute, action in self.changed:
            found = values[index]
            if found is not None and found is not UNSET:
                setattr(record, attribute, action(found))
        return record


def _has_marks(mark: Any) -> bool:
    if not isinstance(mark, Mapping):
        return False
    inside = [*mark.get("properties", {}).values(), mark.get("items")]
    return "x-personal" in mark or any(map(_has_marks, inside))


def _hashed(field: Schema) -> dict[str, Any]:
    text = {"description": field["description"]} if "description" in field else {}
    if _is_list(field):
        return {"type": ["null", "array"], "items": {"type": ["null", "string"]}, **text}
    return {"type": ["null", "string"], **text}


def _is_list(field: Schema) -> bool:
    """Whether a field holds nothing but lists. Any other one that may is hashed as a whole."""
    return _nullable(field) == ["null", "array"]


def _of_each(action: Action) -> Action:
    return lambda values: [action(each) for each in values]


def _nullable(field: Schema) -> list[str]:
    types = field.get("type", [])
    names = [types] if isinstance(types, str) else types
    return ["null", *(name for name in names if name != "null")]


def _with_null(field: Schema) -> dict[str, Any]:
    if "type" in field:
        return {**field, "type": _nullable(field)}
    return {"anyOf": [{"type": "null"}, field]} if field else {}
