"""Pages whose types the parser checks come to the same as those that are looked at one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import selecting
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom_sandbox import Sandbox, generate
from tap_intercom.catalog import select
from tap_intercom.discovery import discover
from tap_intercom.errors import ContractError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.messages import record_line, typed_record_lines
from tap_intercom.reading.stream import load_schema
from tap_intercom.records.coerce import Selected, compile_record, without_descriptions
from tap_intercom.records.coercions import UNKNOWN_FIELD, Coercions
from tap_intercom.records.parsing import ImpreciseNumber, Parsed, parse
from tap_intercom.records.typed_records import PageParser, TypedRecord, as_plain
from tap_intercom.settings import Settings
from tap_intercom.streams import STREAMS
from tap_intercom.times import rfc3339_of
from unit.records.test_coerce import (
    BOOLEAN,
    INTEGER,
    INTEGER_OR_TEXT,
    NAMES,
    NUMBER,
    OPEN,
    SCHEMA_COLUMNS,
    STRING,
    TEXTS,
    TIME,
    VALUES,
    all_but,
    everything,
    with_properties,
)

KEY = {"type": "string"}


class Table:
    """A table that is read both ways; selected, unknown_fields and nested as of `PageParser`."""

    def __init__(
        self,
        properties: dict[str, Any],
        selected: Selected = everything,
        unknown_fields: str = "drop",
        nested: dict[str, str] | None = None,
    ) -> None:
        schema = with_properties(id=KEY, **properties)
        self.coercions = Coercions("typed")
        self.plain_coercions = Coercions("plain")
        rules: Any = {
            "unknown_fields": unknown_fields,
            "key_properties": ["id"],
            "nested": nested or {},
        }
        self.later_coercions = Coercions("typed later")

        def parser(coercions: Coercions) -> PageParser:
            return PageParser(
                schema, selected, coercions, records_key="data", instant_field="at", **rules
            )

        self.parser = parser(self.coercions)
        self.later_parser = parser(self.later_coercions)
        self.later_transform = compile_record(schema, selected, self.later_coercions, **rules)
        self.transform = compile_record(schema, selected, self.coercions, **rules)
        self.plain_transform = compile_record(schema, selected, self.plain_coercions, **rules)

    def read(self, content: bytes) -> list[Any]:
        """What a page comes to by the parser."""
        try:
            return self._fitted(self.parser.parse(content))
        except ImpreciseNumber:
            return self._fitted(parse(content, exact=True))

    def _fitted(self, parsed: Parsed) -> list[Any]:
        records = parsed.value["data"]
        if records and isinstance(records[0], TypedRecord):
            lines = typed_record_lines(b"{", (record.coerce() for record in records))
        else:
            lines = b"".join(record_line(b"{", self.transform(record)) for record in records)
        return [json.loads(line[1:-1]) for line in lines.splitlines()]

    def read_typed_later(self, content: bytes) -> list[Any]:
        """What it comes to when records get types after they are parsed like any others."""
        try:
            return self._typed_later(parse(content))
        except ImpreciseNumber:
            return self._typed_later(parse(content, exact=True))

    def _typed_later(self, parsed: Parsed) -> list[Any]:
        records = parsed.value["data"]
        if (typed := self.later_parser.typed(records)) is not None:
            lines = typed_record_lines(b"{", (record.coerce() for record in typed))
        else:
            lines = b"".join(record_line(b"{", self.later_transform(record)) for record in records)
        return [json.loads(line[1:-1]) for line in lines.splitlines()]

    def read_plainly(self, content: bytes) -> list[Any]:
        """What it comes to when each value is looked at."""
        try:
            return self._fitted_plainly(parse(content))
        except ImpreciseNumber:
            return self._fitted_plainly(parse(content, exact=True))

    def _fitted_plainly(self, parsed: Parsed) -> list[Any]:
        return [
            json.loads(record_line(b"", self.plain_transform(record))[:-2])
            for record in parsed.value["data"]
        ]

    def is_typed(self, *records: Any) -> bool:
        value = self.parser.parse(page(*records)).value
        return all(isinstance(record, TypedRecord) for record in value["data"])


def page(*records: Any) -> bytes:
    return json.dumps({"type": "list", "data": [{"id": "1", **each} for each in records]}).encode()


def numbers(value: Any) -> Iterator[float]:
    """All numbers in a JSON value."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)


def in_utc(line: str) -> str:
    """A line with all its times in UTC: a typed page keeps another offset."""
    return re.sub(r"[-0-9]{10}T[0-9:.]+[+-]\d\d:\d\d", lambda text: str(rfc3339_of(text[0])), line)


def outcome(read: Callable[[bytes], list[Any]], content: bytes) -> list[str] | type[Exception]:
    """The lines of a page, as text that shows types as well as values; or the error."""
    try:
        return [in_utc(json.dumps(record, sort_keys=True)) for record in read(content)]
    except ContractError as error:
        return type(error)


def fields_of(column: Any, breadcrumb: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The breadcrumbs of the fields inside a column."""
    if not isinstance(column, dict):
        return
    for name, child in column.get("properties", {}).items():
        path = (*breadcrumb, "properties", name)
        yield path
        yield from fields_of(child, path)
    yield from fields_of(column.get("items"), (*breadcrumb, "items"))
    for branch in column.get("anyOf", ()):
        yield from fields_of(branch, breadcrumb)


def usual(column: Any) -> st.SearchStrategy[Any]:
    """Values of the types that a column has, so that most pages are typed; null, and others."""
    if not isinstance(column, dict):
        return VALUES
    choices = [usual(choice) for choice in column.get("anyOf", ())]
    types = column.get("type", ())
    for name in [types] if isinstance(types, str) else types:
        if name == "object":
            fields = {each: usual(child) for each, child in column.get("properties", {}).items()}
            choices.append(st.fixed_dictionaries({}, optional=fields))
        elif name == "array":
            choices.append(st.lists(usual(column.get("items")), max_size=2))
        elif name == "string" and "format" in column:
            choices.append(st.integers(-62135596800, 253402300799) | TIME_TEXTS)
        else:
            choices.append(OF_TYPE[name])
    return st.one_of(*choices) if choices else VALUES


TIME_TEXTS = st.sampled_from(
    ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.25+02:00", "2026-01-31", "1769860800", "null"]
)
OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "string": TEXTS,
    "integer": st.integers(-(2**63) + 1, 2**63 - 1),
    "number": st.floats(-1e18, 1e18) | st.integers(-(2**63) + 1, 2**63 - 1),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, list[list[dict[str, Any]]]]:
    """A table of any columns, of which some fields may not be selected, and pages of it."""
    properties = draw(st.dictionaries(NAMES, SCHEMA_COLUMNS, max_size=4))
    fields = [*fields_of(with_properties(**properties), ())]
    deselected = draw(st.sets(st.sampled_from(fields), max_size=2)) if fields else set()
    nested = draw(st.dictionaries(NAMES, NAMES, max_size=2))
    unknown_fields = draw(st.sampled_from(["drop", "drop", "drop", "pass"]))
    values = {name: usual(column) for name, column in properties.items()}
    for name in nested.keys() & values.keys():
        beside = {"has_more": VALUES, "total_count": VALUES}
        values[name] |= st.fixed_dictionaries({nested[name]: values[name]}, optional=beside)
    plain = st.fixed_dictionaries({"id": st.sampled_from(["1", "2"])}, optional=values)
    odd = st.dictionaries(NAMES, VALUES, max_size=4).map(lambda record: {"id": "1", **record})
    ids = st.sampled_from(["1", "", None, 5])
    keyless = st.fixed_dictionaries({}, optional={**values, "id": ids})
    records = st.one_of(plain, plain, plain, odd, keyless)
    pages = draw(st.lists(st.lists(records, min_size=1, max_size=3), max_size=3))
    return Table(properties, all_but(*deselected), unknown_fields, nested), pages


@settings(max_examples=400, deadline=None)
@given(tables())
def test_whatever_comes_is_read_as_well(drawn: tuple[Table, list[list[dict[str, Any]]]]) -> None:
    """The typed ways and the general one give the same lines, or all refuse the page."""
    table, pages = drawn
    # In the text that stands for a value, the parser keeps more digits of a number beyond 63 bits.
    is_equal = all(abs(number) < 2**63 for number in numbers(pages))
    is_refused = False
    # Twice: what one page shows, the parser heeds in the next.
    for records in [*pages, *pages]:
        content = json.dumps({"type": "list", "data": records}).encode()
        plain = outcome(table.read_plainly, content)
        for read in (table.read, table.read_typed_later):
            found = outcome(read, content)
            if isinstance(found, type) or isinstance(plain, type):
                assert found == plain
                is_refused = True
            else:
                names = [[json.loads(line).keys() for line in lines] for lines in (found, plain)]
                assert names[0] == names[1]
                assert found == plain or not is_equal
    # Of a page that is refused, the ways may have read more or less.
    if is_equal and not is_refused:
        assert table.coercions.counts == table.plain_coercions.counts
        assert table.later_coercions.counts == table.plain_coercions.counts


COLUMNS = {
    "text": STRING,
    "number": INTEGER,
    "share": NUMBER,
    "flag": BOOLEAN,
    "at": TIME,
    "seen_at": TIME,
    "choice": INTEGER_OR_TEXT,
    "place": {"type": ["null", "object"], "properties": {"city": STRING, "since": TIME}},
    "links": {"type": ["null", "array"], "items": with_properties(id=STRING)},
    "attributes": OPEN,
}
RECORD = {
    "text": "a",
    "number": 1,
    "share": 0.5,
    "flag": True,
    "at": 1769860800,
    "seen_at": 1769860801,
    "choice": "x",
    "place": {"city": "Cork", "since": 1769860802},
    "links": {"list": [{"id": "7"}], "has_more": True},
    "attributes": {"plan": 2},
}
FITTED = {
    **RECORD,
    "id": "1",
    "at": "2026-01-31T12:00:00Z",
    "seen_at": "2026-01-31T12:00:01Z",
    "place": {"city": "Cork", "since": "2026-01-31T12:00:02Z"},
    "links": [{"id": "7"}],
}


@pytest.fixture
def table() -> Table:
    return Table(COLUMNS, nested={"links": "list"})


def test_a_page_is_parsed_into_records_of_the_table(table: Table) -> None:
    assert table.is_typed(RECORD, {})
    assert table.read(page(RECORD)) == [FITTED]
    assert table.read(page({})) == [{"id": "1", **dict.fromkeys(COLUMNS)}]
    assert not table.coercions.counts


@pytest.mark.parametrize(
    "odd",
    [
        {"text": 5},
        {"number": "5"},
        {"number": 5.0},
        {"number": True},
        {"number": 2**63},
        {"share": "0.5"},
        {"flag": "true"},
        {"at": "2026-01-31T12:00:00Z"},
        {"at": "2026-01-31T12:00:00.25+02:00"},
        {"seen_at": "2026-01-31T12:00:00Z"},
        {"seen_at": "2026-01-31T12:00:00.123456789+00:00"},
        {"seen_at": "2026-01-31 12:00:00"},
        {"seen_at": "2026-01-31"},
        {"seen_at": "1769860800"},
        {"seen_at": "null"},
        {"seen_at": True},
        {"seen_at": 1769860800.5},
        {"seen_at": -62135596801},
        {"seen_at": 253402300800},
        {"seen_at": 10**12},
        {"seen_at": 10**400},
        {"place": {"since": "soon"}},
        {"place": {"since": 1769860800.1234567}},
        {"number": "1.0"},
        {"number": "1e3"},
        {"number": "007"},
        {"share": "1e3"},
        {"flag": "1"},
        {"flag": "TRUE"},
        {"flag": 2},
        {"at": "1769860800"},
        {"at": "null"},
        {"at": True},
        {"at": 1769860800.5},
        {"at": -62135596801},
        {"at": 253402300800},
        {"at": 10**12},
        {"at": 2**63 - 1},
        {"number": "null"},
        {"share": "null"},
        {"flag": 1},
        {"flag": "null"},
        {"choice": [1]},
        {"place": {"city": 5}},
        {"place": {"city": "Cork", "unknown": 1}},
        {"place": "Cork"},
        {"links": [{"id": "7"}]},
        {"links": {"list": [{"id": 7}]}},
        {"unknown": 1},
        {'un"known': 1},
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_costs_the_page_alone(table: Table, odd: dict[str, Any]) -> None:
    record = {**RECORD, **odd}
    has_name_of_a_kind = '"' not in "".join(odd)
    for _ in range(2):
        assert table.read(page(RECORD, record)) == table.read_plainly(page(RECORD, record))
        assert table.is_typed(RECORD, record) is has_name_of_a_kind
    assert table.coercions.counts == table.plain_coercions.counts


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (-62135596800, "0001-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:01Z"),
        (3599, "1970-01-01T00:59:59Z"),
        (253402300799, "9999-12-31T23:59:59Z"),
    ],
)
@pytest.mark.parametrize("name", ["at", "seen_at"])
def test_times_of_all_years_are_typed(table: Table, name: str, at: int, text: str) -> None:
    content = page({**RECORD, name: at})
    assert table.is_typed({**RECORD, name: at})
    assert table.read(content) == table.read_plainly(content) == [{**FITTED, name: text}]


def test_a_time_with_another_offset_is_the_same_instant(table: Table) -> None:
    """A page may keep the offset: Intercom is not known to send any but UTC."""
    content = page({**RECORD, "seen_at": "2026-01-31T14:00:00.25+02:00"})
    (typed,), (plain,) = table.read(content), table.read_plainly(content)
    assert plain["seen_at"] == "2026-01-31T12:00:00.250000Z"
    assert in_utc(json.dumps(typed)) == json.dumps(plain)


def test_times_of_a_list_that_was_read_later_become_text() -> None:
    entry = with_properties(id=STRING, at=TIME)
    links = {"type": ["null", "array"], "items": {**entry, "type": ["null", "object"]}}
    table = Table({"at": TIME, "links": links}, nested={"links": "list"})
    found = {"at": 0, "links": {"list": [{"id": "7", "at": 1769860800}]}}
    (record,) = table.parser.parse(page(found)).value["data"]
    record["links"] = {"list": as_plain(record.get("links").get("list"))}
    (line,) = typed_record_lines(b"", [record.coerce()]).splitlines()
    assert json.loads(line[:-1])["links"] == [{"id": "7", "at": "2026-01-31T12:00:00Z"}]


@pytest.mark.parametrize(
    "content",
    [
        page({**RECORD, "text": "a\0b"}),
        page(RECORD).replace(b'"a"', b'"\\ud800"'),
        page(RECORD).replace(b'"a"', b'"\xff"'),
        b"\xef\xbb\xbf" + page(RECORD),
    ],
    ids=["NUL", "surrogate", "no UTF-8", "byte order mark"],
)
def test_characters_that_no_parser_takes_cost_the_page_alone(table: Table, content: bytes) -> None:
    assert table.read(content) == table.read_plainly(content)
    assert table.is_typed(RECORD)


def test_a_number_beyond_63_bits_keeps_all_its_digits(table: Table) -> None:
    content = page({**RECORD, "attributes": {"number": 2**70, "float": 1}})
    content = content.replace(b'"float": 1', b'"float": 1234567890123456789012.5')
    (record,) = table.read(content)
    assert record["attributes"]["number"] == str(2**70)
    assert table.read(content) == table.read_plainly(content)


@pytest.mark.parametrize("key", [{"id": ""}, {"id": None}, {"id": 5}, {"id": [1]}], ids=str)
def test_a_key_is_a_text_or_looked_at(table: Table, key: dict[str, Any]) -> None:
    content = page({**RECORD, **key})
    try:
        plain = table.read_plainly(content)
    except ContractError:
        with pytest.raises(ContractError):
            table.read(content)
    else:
        assert table.read(content) == plain


def test_a_record_without_its_key_is_refused(table: Table) -> None:
    with pytest.raises(ContractError, match="without a usable id"):
        table.read(b'{"data":[{"text":"a"}]}')


def test_unknown_fields_are_counted_one_by_one(table: Table) -> None:
    for _ in range(3):
        table.read(page({**RECORD, "unknown": 1}, RECORD, {**RECORD, "unknown": None}))
    assert table.coercions.counts == {("unknown", UNKNOWN_FIELD): 6}


def test_names_that_always_vary_are_read_as_other_answers_are(table: Table) -> None:
    for number in range(100):
        content = page({**RECORD, f"unknown_{number}": 1})
        assert table.read(content) == [FITTED]
    assert len(table.coercions.counts) == 100
    assert not table.is_typed(RECORD)


def test_fields_that_are_passed_on_are_looked_at() -> None:
    table = Table(COLUMNS, unknown_fields="pass", nested={"links": "list"})
    assert table.read(page({**RECORD, "unknown": 1})) == [{**FITTED, "unknown": 1}]


def test_deselected_fields_are_read_and_not_written() -> None:
    fields = [("properties", name) for name in ("text", "place", "attributes")]
    table = Table(COLUMNS, all_but(*fields), nested={"links": "list"})
    assert table.is_typed(RECORD)
    (record,) = table.parser.parse(page(RECORD)).value["data"]
    assert record.get("text") == "a"
    assert table.read(page(RECORD)) == [
        {name: value for name, value in FITTED.items() if ("properties", name) not in fields}
    ]
    assert not table.coercions.counts


def test_a_record_is_read_and_changed_like_a_dict(table: Table) -> None:
    (record,) = table.parser.parse(page(RECORD)).value["data"]
    assert (record["id"], record.get("at"), record.get("absent")) == ("1", 1769860800, None)
    assert record.get("links").get("has_more") is True
    assert record.get("place").get("city") == "Cork"
    assert record.get("place").get("unknown") is None
    record["text"] = "b"
    record.update({"links": {"list": [{"id": "8"}, {"id": "9"}]}})
    lines = typed_record_lines(b"", [record.coerce()])
    changed = {"text": "b", "links": [{"id": "8"}, {"id": "9"}]}
    assert json.loads(lines[:-2]) == {**FITTED, **changed}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"data":null}', b'{"data":[null]}', b"5"])
def test_what_is_no_page_is_left_to_others(table: Table, content: bytes) -> None:
    try:
        parsed = parse(content)
    except ValueError:
        with pytest.raises(ValueError, match=r"JSON|column|input"):
            table.parser.parse(content)
    else:
        assert table.parser.parse(content) == parsed


SEARCHED = ["contacts", "conversations"]


@pytest.mark.parametrize("add_workspace_id", [False, True])
@pytest.mark.parametrize("stream", ["tickets", *SEARCHED])
def test_most_pages_are_typed(
    start_sandbox: Callable[..., Sandbox], stream: str, add_workspace_id: bool
) -> None:
    """What is learned of a few odd values does not end it."""
    sandbox = start_sandbox(generate(seed=1, contacts=50, conversations=20))
    settings_ = Settings(
        access_token=sandbox.token,
        start_date=0,
        base_url=sandbox.url,
        add_workspace_id=add_workspace_id,
    )
    client = Client(settings_)
    selection = select(selecting(discover(client, settings_), stream), settings_, 1)[stream]
    table = STREAMS[stream]

    def is_typed(answer: Answer) -> bool:
        records = answer.body[table.records_key]
        return bool(records) and all(isinstance(each, TypedRecord) for each in records)

    def read() -> Answer:
        query = {"field": "updated_at", "operator": ">", "value": 0}
        return client.post(table.path, {"query": query}, parse=selection.parser.parse)

    are_typed = [is_typed(read()) for _ in range(3)]
    assert are_typed[-1]


@pytest.mark.parametrize("stream", ["companies", "tickets", *SEARCHED])
def test_descriptions_change_nothing_about_which_columns_the_parser_checks(stream: str) -> None:
    schema = load_schema(stream)
    bare = without_descriptions(schema)
    assert schema != bare
    described, plain = types_checked(stream, schema), types_checked(stream, bare)
    assert {"id", "type", "created_at", "updated_at"} <= plain.keys()
    assert described.keys() == plain.keys()
    # Times are checked by what their column is equal to.
    assert described["updated_at"] == plain["updated_at"]


def types_checked(stream: str, schema: dict[str, Any]) -> dict[str, Any]:
    entry = {
        "tap_stream_id": stream,
        "schema": schema,
        "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
    }
    settings_ = Settings(access_token="secret", start_date=0)
    selection = select({"streams": [entry]}, settings_, 1)[stream]
    assert selection.schema == schema
    return selection.parser._types
