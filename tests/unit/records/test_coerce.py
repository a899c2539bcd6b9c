"""Records: whatever Intercom sends fits the schema that was promised."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import SCHEMAS

from tap_intercom.errors import ContractError
from tap_intercom.records.coerce import compile_record, prune_schema, without_descriptions
from tap_intercom.records.coercions import (
    KEPT_AS_TEXT,
    LEFT_OUT,
    MADE_A_NUMBER,
    MADE_NULL,
    UNKNOWN_FIELD,
    Coercions,
)
from tap_intercom.records.parsing import ImpreciseNumber, parse

STRING = {"type": ["null", "string"]}
INTEGER = {"type": ["null", "integer"]}
NUMBER = {"type": ["null", "number"]}
BOOLEAN = {"type": ["null", "boolean"]}
TIME = {"type": ["null", "string"], "format": "date-time"}
DATE = {"type": ["null", "string"], "format": "date"}
OPEN = {"type": ["null", "object"], "additionalProperties": True}
STRINGS = {"type": ["null", "array"], "items": STRING}
INTEGER_OR_TEXT = {"anyOf": [INTEGER, STRING]}
NUMBER_OR_TEXT = {"anyOf": [NUMBER, STRING]}
BOOLEAN_OR_TEXT = {"anyOf": [BOOLEAN, STRING]}
TIME_OR_TEXT = {"anyOf": [TIME, STRING]}


def everything(breadcrumb: tuple[str, ...]) -> bool:
    return True


def all_but(*fields: tuple[str, ...]) -> Callable[[tuple[str, ...]], bool]:
    return lambda breadcrumb: breadcrumb not in fields


def with_properties(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def coerced(column: Any, value: Any) -> tuple[Any, list[str]]:
    """What a column makes of a value, and the kinds of repair it took."""
    coercions = Coercions("contacts")
    transform = compile_record(with_properties(field=column), everything, coercions)
    return transform({"field": value}).get("field", "absent"), [
        kind for _, kind in coercions.counts
    ]


@pytest.mark.parametrize(
    ("column", "value", "fitted", "coercions"),
    [
        (STRING, "text", "text", []),
        (STRING, "", "", []),
        (STRING, None, None, []),
        (STRING, 5, "5", []),
        (STRING, 2**63, "9223372036854775808", []),
        (STRING, 10**30, str(10**30), []),
        (STRING, 1.5, "1.5", [KEPT_AS_TEXT]),
        (STRING, True, "true", [KEPT_AS_TEXT]),
        (STRING, {"type": "admin", "id": "1"}, '{"type":"admin","id":"1"}', [KEPT_AS_TEXT]),
        (STRING, [1, "é"], '[1,"é"]', [KEPT_AS_TEXT]),
        (STRING, [10**30], f"[{10**30}]", [KEPT_AS_TEXT]),
        ({"type": "string"}, "text", "text", []),
        ({"type": "string"}, None, "absent", None),
        (TIME, 1769860800, "2026-01-31T12:00:00Z", []),
        (TIME, 0, "1970-01-01T00:00:00Z", []),
        (TIME, 2738966400, "2056-10-17T00:00:00Z", []),
        (TIME, -1, "1969-12-31T23:59:59Z", []),
        (TIME, 1769860800.5, "2026-01-31T12:00:00.500000Z", []),
        (TIME, None, None, []),
        (TIME, "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z", []),
        (TIME, "2026-01-31T12:00:00.000+02:00", "2026-01-31T10:00:00Z", []),
        (TIME, "2026-01-31T12:00:00.123457Z", "2026-01-31T12:00:00.123457Z", []),
        (TIME, "2026-01-31", "2026-01-31T00:00:00Z", []),
        (TIME, 1769860800.1234567, "2026-01-31T12:00:00.123457Z", []),
        (TIME, -62135596800, "0001-01-01T00:00:00Z", []),
        (TIME, -62135596801, None, [MADE_NULL]),
        (TIME, 253402300799, "9999-12-31T23:59:59Z", []),
        (TIME, 253402300800, None, [MADE_NULL]),
        (TIME, 1769860800000, "2026-01-31T12:00:00Z", []),
        (TIME, 10**30, None, [MADE_NULL]),
        (TIME, "1769860800", "2026-01-31T12:00:00Z", []),
        (TIME, "1769860800000", "2026-01-31T12:00:00Z", []),
        (TIME, "2026-02-30T12:00:00Z", None, [MADE_NULL]),
        (TIME, "null", None, []),
        (TIME, "soon", None, [MADE_NULL]),
        (TIME, "now", None, [MADE_NULL]),
        (TIME, "", None, [MADE_NULL]),
        (TIME, True, None, [MADE_NULL]),
        (TIME, {}, None, [MADE_NULL]),
        (DATE, "2026-01-31", "2026-01-31", []),
        (DATE, "2026-01-32", None, [MADE_NULL]),
        (DATE, "2026-01-31T12:00:00Z", None, [MADE_NULL]),
        (DATE, 1769860800, None, [MADE_NULL]),
        (INTEGER, 5, 5, []),
        (INTEGER, 2**63 - 1, 2**63 - 1, []),
        (INTEGER, -(2**63), -(2**63), []),
        (INTEGER, 2**63, None, [MADE_NULL]),
        (INTEGER, "127", 127, []),
        (INTEGER, "-127", -127, []),
        (INTEGER, "9" * 19, None, [MADE_NULL]),
        (INTEGER, "9" * 5000, None, [MADE_NULL]),
        (INTEGER, "1.5", None, [MADE_NULL]),
        (INTEGER, "١", None, [MADE_NULL]),
        (INTEGER, "", None, [MADE_NULL]),
        (INTEGER, 1.0, 1, []),
        (INTEGER, 1.5, None, [MADE_NULL]),
        (INTEGER, True, 1, [MADE_A_NUMBER]),
        (INTEGER, [1], None, [MADE_NULL]),
        (NUMBER, 5, 5, []),
        (NUMBER, 1.5, 1.5, []),
        (NUMBER, 1e300, 1e300, []),
        (NUMBER, 2**64, float(2**64), []),
        (NUMBER, 10**400, None, [MADE_NULL]),
        (NUMBER, "12.50", 12.5, []),
        (NUMBER, "12", 12, []),
        (NUMBER, "1e400", None, [MADE_NULL]),
        (NUMBER, "nan", None, [MADE_NULL]),
        (NUMBER, "1_000", None, [MADE_NULL]),
        (NUMBER, False, 0, [MADE_A_NUMBER]),
        (BOOLEAN, True, True, []),
        (BOOLEAN, "false", False, []),
        (BOOLEAN, "yes", None, [MADE_NULL]),
        (BOOLEAN, 1, True, []),
        (STRINGS, [], [], []),
        (STRINGS, ["a", 1, None], ["a", "1", None], []),
        (STRINGS, {}, None, [MADE_NULL]),
        (STRINGS, "a", None, [MADE_NULL]),
        ({"type": "array", "items": {"type": "string"}}, ["a", None], ["a"], [LEFT_OUT]),
        ({"type": "array", "items": INTEGER}, [1, "x"], [1, None], [MADE_NULL]),
        ({"type": "array"}, [1, {"a": [2]}], [1, {"a": [2]}], []),
        (OPEN, {"a": {"b": [1, None]}}, {"a": {"b": [1, None]}}, []),
        (OPEN, {"a": [2**63]}, {"a": ["9223372036854775808"]}, [KEPT_AS_TEXT]),
        (OPEN, "text", None, [MADE_NULL]),
        (OPEN, [], None, [MADE_NULL]),
        ({"type": "object"}, {"a": 1}, {"a": 1}, []),
        ({"type": "object", "properties": {}}, {"a": 1}, {"a": 1}, []),
        ({"type": "null"}, 5, None, [MADE_NULL]),
        ({}, {"a": [1]}, {"a": [1]}, []),
        ({}, None, None, []),
        (True, 5, 5, []),
        (INTEGER_OR_TEXT, 5, 5, []),
        (INTEGER_OR_TEXT, "5", "5", []),
        (INTEGER_OR_TEXT, None, None, []),
        (INTEGER_OR_TEXT, 1.0, 1, []),
        (INTEGER_OR_TEXT, 1.5, "1.5", [KEPT_AS_TEXT]),
        (INTEGER_OR_TEXT, True, "true", [KEPT_AS_TEXT]),
        (INTEGER_OR_TEXT, 2**64, "18446744073709551616", [KEPT_AS_TEXT]),
        (INTEGER_OR_TEXT, ["a"], '["a"]', [KEPT_AS_TEXT]),
        (NUMBER_OR_TEXT, 1.5, 1.5, []),
        (NUMBER_OR_TEXT, 3, 3, []),
        (NUMBER_OR_TEXT, "1.5", "1.5", []),
        (BOOLEAN_OR_TEXT, True, True, []),
        (BOOLEAN_OR_TEXT, "true", "true", []),
        (BOOLEAN_OR_TEXT, 1, "1", [KEPT_AS_TEXT]),
        (TIME_OR_TEXT, 0, "1970-01-01T00:00:00Z", []),
        (TIME_OR_TEXT, "2026-01-31", "2026-01-31T00:00:00Z", []),
        (TIME_OR_TEXT, "soon", "soon", []),
        ({"anyOf": [STRING, INTEGER]}, 5, 5, []),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, 5, "5", []),
        ({"anyOf": [OPEN, STRING]}, {"a": 1}, {"a": 1}, []),
        ({"anyOf": [OPEN, STRING]}, [1], "[1]", [KEPT_AS_TEXT]),
        (TIME_OR_TEXT, [1], "[1]", [KEPT_AS_TEXT]),
        ({"anyOf": [OPEN, STRINGS]}, [1], ["1"], []),
        ({"type": ["null", "integer", "string"]}, 1.5, "1.5", [KEPT_AS_TEXT]),
        ({"type": ["null", "integer", "string"]}, 5, 5, []),
        ({"type": ["null", "string"], "enum": ["a", None]}, "a", "a", []),
        ({"type": ["null", "string"], "enum": ["a", None]}, "b", None, [MADE_NULL]),
        ({"type": ["null", "string"], "enum": ["a"]}, None, "absent", None),
        ({"type": ["null", "integer"], "minimum": 0}, -1, None, [MADE_NULL]),
        ({"oneOf": [{"type": "null"}, {"type": "string"}]}, 5, "5", []),
        ({"properties": {"a": TIME}}, {"a": 0}, {"a": "1970-01-01T00:00:00Z"}, []),
    ],
)
def test_a_value_is_made_to_fit_its_column(
    column: Any, value: Any, fitted: Any, coercions: list[str] | None
) -> None:
    if coercions is None:  # not null, so a key unless keys are named
        transform = compile_record(
            with_properties(field=column), everything, Coercions("contacts"), key_properties=()
        )
        assert transform({"field": value}) == {}
        return
    result = coerced(column, value)
    assert result == (fitted, coercions)
    assert type(result[0]) is type(fitted)


@pytest.mark.parametrize(
    "column", [INTEGER, STRING, INTEGER_OR_TEXT, BOOLEAN_OR_TEXT, OPEN, {}], ids=str
)
def test_a_rounded_number_asks_for_an_exact_parse(column: Any) -> None:
    body = b'{"field": 12345678901234567890123}'
    if column is OPEN:
        body = b'{"field": {"a": 12345678901234567890123}}'
    transform = compile_record(with_properties(field=column), everything, Coercions("contacts"))
    with pytest.raises(ImpreciseNumber):
        transform(parse(body).value)
    exact = transform(parse(body, exact=True).value)
    assert "12345678901234567890123" in json.dumps(exact) or column is INTEGER


def test_an_exact_parse_never_asks_again() -> None:
    transform = compile_record(with_properties(field=INTEGER_OR_TEXT), everything, Coercions("x"))
    assert transform(parse(b'{"field": 1e30}', exact=True).value)["field"] == str(int(1e30))


def test_columns_come_in_the_order_of_intercom_and_absent_ones_are_null_at_the_end() -> None:
    transform = compile_record(
        with_properties(id={"type": "string"}, website=STRING, plan=with_properties(id=STRING)),
        everything,
        Coercions("companies"),
    )
    fitted = transform({"plan": {}, "id": "1"})
    assert list(fitted.items()) == [("plan", {}), ("id", "1"), ("website", None)]


def test_fields_that_are_passed_come_in_the_order_of_intercom() -> None:
    transform = compile_record(
        with_properties(a=STRING, b=TIME), everything, Coercions("x"), unknown_fields="pass"
    )
    fields = transform({"new": 1, "b": 0})
    assert list(fields.items()) == [("new", 1), ("b", "1970-01-01T00:00:00Z"), ("a", None)]


def test_what_is_inside_a_record_is_not_changed_itself() -> None:
    transform = compile_record(
        with_properties(a=with_properties(at=TIME), b={"type": "array", "items": INTEGER}),
        everything,
        Coercions("x"),
    )
    inside, items = {"at": 0, "unknown": 1}, ["1"]
    assert transform({"a": inside, "b": items}) == {"a": {"at": "1970-01-01T00:00:00Z"}, "b": [1]}
    assert (inside, items) == ({"at": 0, "unknown": 1}, ["1"])


def test_a_record_does_not_remember_the_one_before() -> None:
    transform = compile_record(with_properties(a=STRING, b=STRING), everything, Coercions("x"))
    assert transform({"a": "1"}) == {"a": "1", "b": None}
    assert transform({"b": "2"}) == {"a": None, "b": "2"}


def test_unknown_fields_are_dropped_with_one_warning_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    coercions = Coercions("contacts")
    schema = with_properties(id={"type": "string"}, location=with_properties(city=STRING))
    transform = compile_record(schema, everything, coercions)
    record = {"id": "1", "secret": "s3cret", "location": {"city": "x", "planet": "s3cret"}}
    with caplog.at_level(logging.WARNING, logger="tap_intercom"):
        for _ in range(3):
            assert transform(dict(record)) == {"id": "1", "location": {"city": "x"}}
    assert coercions.counts == {
        ("secret", UNKNOWN_FIELD): 3,
        ("location.planet", UNKNOWN_FIELD): 3,
    }
    assert len(caplog.messages) == 2
    assert all(message.startswith("contacts: ") for message in caplog.messages)
    assert "s3cret" not in caplog.text


def test_unknown_fields_can_be_passed() -> None:
    schema = with_properties(
        a=with_properties(b=STRING), c={**with_properties(d=STRING), "additionalProperties": False}
    )
    transform = compile_record(schema, everything, Coercions("x"), unknown_fields="pass")
    record = {"new": [1], "a": {"new": {"x": 1}}, "c": {"new": 1}}
    assert transform(record) == {"new": [1], "a": {"new": {"x": 1}}, "c": {}}


def test_additional_properties_fit_their_schema() -> None:
    column = {"type": ["null", "object"], "properties": {"a": TIME}, "additionalProperties": STRING}
    assert coerced(column, {"a": 0, "b": 1, "c": None}) == (
        {"a": "1970-01-01T00:00:00Z", "b": "1", "c": None},
        [],
    )


def test_deselected_fields_are_dropped_silently() -> None:
    schema = with_properties(
        a=STRING,
        b={**with_properties(c=STRING, d=STRING), "additionalProperties": True},
        e={"type": "array", "items": with_properties(f=STRING, g=STRING)},
    )
    selected = all_but(
        ("properties", "a"),
        ("properties", "b", "properties", "c"),
        ("properties", "e", "items", "properties", "f"),
    )
    coercions = Coercions("x")
    transform = compile_record(schema, selected, coercions)
    record = {"a": "1", "b": {"c": "2", "d": "3", "new": 4}, "e": [{"f": "5", "g": "6"}]}
    assert transform(record) == {"b": {"d": "3", "new": 4}, "e": [{"g": "6"}]}
    assert not coercions.counts
    assert prune_schema(schema, selected) == with_properties(
        b={**with_properties(d=STRING), "additionalProperties": True},
        e={"type": "array", "items": with_properties(g=STRING)},
    )


@pytest.mark.parametrize(
    ("column", "sent"),
    [
        ({"anyOf": [{"type": "string"}, TIME]}, None),
        ({"anyOf": [{"type": "null"}, {"type": "string", "format": "date-time"}]}, None),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, None),
        ({"anyOf": [{"type": "string"}], "minLength": 1}, None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, STRING),
        (
            {
                "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string"}],
                "description": "A day.",
            },
            {"type": ["string"], "description": "A day."},
        ),
    ],
)
def test_text_that_may_be_a_time_is_sent_as_text(
    column: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    schema = with_properties(a={"type": "array", "items": with_properties(b=column)})
    items = with_properties(b=column if sent is None else sent)
    assert prune_schema(schema, lambda _: True) == with_properties(
        a={"type": "array", "items": items}
    )


def test_descriptions_are_taken_out_at_every_level_and_nothing_else_is() -> None:
    said = {"description": "What it means.", "title": "Name"}
    text = {**said, **STRING}
    schema = {
        **said,
        **with_properties(
            description=text,
            title={**said, "type": ["null", "array"], "items": {**said, **TIME}},
            choice={"anyOf": [text, {**said, **INTEGER}], **said},
            inner={**with_properties(description=text), "additionalProperties": text, **said},
            fixed={**said, "enum": [{"description": "a value"}]},
            anything=True,
        ),
    }
    before = json.dumps(schema)
    assert without_descriptions(schema) == with_properties(
        description=STRING,
        title={"type": ["null", "array"], "items": TIME},
        choice={"anyOf": [STRING, INTEGER]},
        inner={**with_properties(description=STRING), "additionalProperties": STRING},
        fixed={"enum": [{"description": "a value"}]},
        anything=True,
    )
    assert json.dumps(schema) == before


def test_an_object_without_a_required_field_is_no_object_of_its_kind() -> None:
    column = {**with_properties(a=STRING), "type": ["null", "object"], "required": ["a"]}
    assert coerced(column, {}) == (None, [MADE_NULL])
    assert coerced(column, {"a": None}) == ({"a": None}, [])


def test_the_branch_of_an_object_is_the_one_that_takes_it_whole() -> None:
    column = {
        "anyOf": [
            {"type": "object", "properties": {"a": STRING}},
            {"type": "object", "properties": {"b": TIME}},
        ]
    }
    assert coerced(column, {"b": 0}) == ({"b": "1970-01-01T00:00:00Z"}, [])


def test_a_branch_that_does_not_take_an_object_leaves_it_as_it_was() -> None:
    column = {
        "anyOf": [
            {"type": "object", "properties": {"a": TIME}},
            {"type": "object", "properties": {"a": INTEGER, "b": STRING}},
        ]
    }
    assert coerced(column, {"a": 0, "b": "x"}) == ({"a": 0, "b": "x"}, [])


@pytest.mark.parametrize("record", [{}, {"id": None}, {"id": ""}, None, ["id"]], ids=str)
def test_a_record_without_its_key_stops_the_stream(record: Any) -> None:
    schema = with_properties(id={"type": "string"}, name={"type": "string"})
    for keys in (None, ["id"]):
        transform = compile_record(schema, everything, Coercions("tags"), key_properties=keys)
        with pytest.raises(ContractError, match=r"^tags: "):
            transform(record)


def test_a_field_that_may_not_be_null_is_left_out_when_it_is_no_key() -> None:
    schema = with_properties(id=STRING, name={"type": "string"})
    transform = compile_record(schema, everything, Coercions("tags"), key_properties=["id"])
    assert transform({"id": "1", "name": None}) == {"id": "1"}
    with pytest.raises(ContractError):
        transform({"id": None, "name": "a"})


def test_each_repair_of_a_record_is_counted_once() -> None:
    coercions = Coercions("x")
    transform = compile_record(
        with_properties(
            place=with_properties(city=STRING, size=INTEGER),
            number=INTEGER,
            names={"type": "array", "items": {"type": "string"}},
            name={"type": "string"},
        ),
        everything,
        coercions,
        key_properties=(),
    )
    record = {"place": {"city": [], "size": "x", "new": 1}, "new": 1, "names": ["a", None]}
    for _ in range(2):
        assert transform({**record, "name": None, "number": "x"}) == {
            "place": {"city": "[]", "size": None},
            "number": None,
            "names": ["a"],
        }
    assert coercions.counts == {
        ("place.city", KEPT_AS_TEXT): 2,
        ("place.size", MADE_NULL): 2,
        ("place.new", UNKNOWN_FIELD): 2,
        ("new", UNKNOWN_FIELD): 2,
        ("names[]", LEFT_OUT): 2,
        ("name", LEFT_OUT): 2,
        ("number", MADE_NULL): 2,
    }


# -- Any value, any schema -----------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "$d e"])
TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["2026-01-31T12:00:00Z", "2026-01-31", "1769860800", "true", "-5", "1.5", "1e400", "now"]
    ),
    st.sampled_from(["2026-01-31T12:00:00.25+02:00", "null", "1", "0"]),
    st.datetimes().map(datetime.isoformat),
)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1769860800, 1769860800000, 2**63, -(2**63), 2**64, 1.0, 1e18, 1e19]),
    st.sampled_from([1, -62135596800, -62135596801, 253402300799, 253402300800, 1769860800.5]),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda values: st.one_of(
        st.lists(values, max_size=3), st.dictionaries(NAMES, values, max_size=4)
    ),
    max_leaves=8,
)
SCALAR_TYPES = ["string", "integer", "number", "boolean"]


def nullable(name: str) -> Any:
    return st.sampled_from([{"type": ["null", name]}, {"type": name}])


SCALARS = st.one_of(
    st.sampled_from([TIME, DATE, {"type": "string", "format": "date-time"}]),
    *(nullable(name) for name in SCALAR_TYPES),
)
MESSY = st.sampled_from(
    [
        {},
        {"type": "null"},
        {"type": ["null", "integer", "string"]},
        {"type": ["string", "boolean"], "format": "date-time"},
        {"type": ["null", "object", "array"]},
        {"type": ["null", "string"], "enum": ["a", None]},
        {"type": ["null", "integer"], "minimum": 0, "maximum": 100},
        {"type": ["null", "string"], "maxLength": 3},
        {"format": "date-time"},
        {"oneOf": [{"type": "null"}, {"type": "integer"}, {"type": "string"}]},
    ]
)


def compound(columns: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.builds(
        lambda properties, more: {"type": ["null", "object"], "properties": properties, **more},
        st.dictionaries(NAMES, columns, max_size=3),
        st.one_of(
            st.just({}),
            st.sampled_from([True, False]).map(lambda is_open: {"additionalProperties": is_open}),
            columns.map(lambda column: {"additionalProperties": column}),
            st.just({"required": ["a"]}),
        ),
    )
    arrays = st.builds(lambda items: {"type": ["null", "array"], "items": items}, columns)
    choices = st.lists(columns, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    return st.one_of(objects, arrays, choices)


SCHEMA_COLUMNS = st.recursive(st.one_of(SCALARS, SCALARS, MESSY), compound, max_leaves=6)


def is_date(text: str) -> bool:
    return bool(re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and date.fromisoformat(text))


def is_date_time(text: str) -> bool:
    form = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z"
    return bool(re.fullmatch(form, text) and datetime.fromisoformat(text[:-1]))


def assert_valid(schema: dict[str, Any], record: dict[str, Any]) -> None:
    validators = pytest.importorskip("jsonschema_rs")
    validator = validators.Draft7Validator(
        schema, validate_formats=True, formats={"date-time": is_date_time, "date": is_date}
    )
    errors = [error.message for error in validator.iter_errors(json.loads(orjson.dumps(record)))]
    assert not errors, (schema, record)


def read_exactly_if_asked(
    transform: Callable[[dict[str, Any]], dict[str, Any]], body: bytes
) -> dict[str, Any]:
    try:
        return transform(parse(body).value)
    except ImpreciseNumber:
        return transform(parse(body, exact=True).value)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(NAMES, SCHEMA_COLUMNS, max_size=4),
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.sets(NAMES, max_size=2),
    st.sampled_from(["drop", "pass"]),
)
def test_whatever_comes_fits_any_schema(
    properties: dict[str, Any], record: dict[str, Any], deselected: set[str], unknown_fields: str
) -> None:
    schema = {"type": "object", "properties": properties}

    def selected(breadcrumb: tuple[str, ...]) -> bool:
        return not (len(breadcrumb) == 2 and breadcrumb[1] in deselected)

    transform = compile_record(
        schema, selected, Coercions("x"), unknown_fields=unknown_fields, key_properties=()
    )
    fitted = read_exactly_if_asked(transform, json.dumps(record).encode())
    assert_valid(prune_schema(schema, selected), fitted)
    assert not fitted.keys() & deselected & properties.keys()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(path.stem for path in SCHEMAS.glob("*.json"))), st.data())
def test_whatever_comes_fits_our_schemas(stream: str, data: st.DataObject) -> None:
    schema = json.loads((SCHEMAS / f"{stream}.json").read_text("utf-8"))
    keys = {
        name: 1 if column["type"] == "integer" else "2026-01-01T00:00:00Z"
        for name, column in schema["properties"].items()
        if "null" not in column["type"]
    }
    record = data.draw(
        st.dictionaries(st.sampled_from(list(schema["properties"])), VALUES, max_size=8)
    )
    record |= keys
    transform = compile_record(schema, everything, Coercions(stream), key_properties=keys)
    fitted = read_exactly_if_asked(transform, json.dumps(record).encode())
    assert set(fitted) == set(schema["properties"])
    assert_valid(schema, fitted)


def test_names_that_always_vary_are_read_as_well_as_names_that_stay() -> None:
    columns = {f"field_{number}": (STRING, INTEGER)[number % 2] for number in range(200)}
    transform = compile_record(with_properties(**columns), everything, Coercions("x"))
    for number in range(199):
        record = {f"field_{number}": 7, f"field_{number + 1}": 7, f"unknown_{number}": 1}
        fitted = transform(dict(record))
        texts = {name: "7" if columns[name] == STRING else 7 for name in record if name in columns}
        assert {name: value for name, value in fitted.items() if value is not None} == texts
        assert set(fitted) == set(columns)
