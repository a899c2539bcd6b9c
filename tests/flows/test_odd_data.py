"""Records of any shape arrive without loss, and fit their schemas."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
from conftest import Output, Tap
from description import DESCRIBED_AS, whole_description
from truth import (
    HASHED,
    STREAMS,
    assert_singer,
    assert_true,
    differences,
    key_of,
    shaped,
    with_values,
)

from intercom_sandbox import Sandbox, Workspace

UPDATED_AT = 1_700_000_000
CONVERSATION_ID = "100"

Record = dict[str, Any]
StartTapOn = Callable[..., Tap]


# -- An Intercom that answers with the given records ---------------------------------------------


PATHS = {
    "admins": "/admins",
    "companies": "/companies/scroll",
    "company_attributes": "/data_attributes",
    "company_segments": "/segments",
    "contact_attributes": "/data_attributes",
    "contacts": "/contacts/search",
    "conversation_parts": "/conversations/(?!attributes)",
    "conversations": "/conversations/search",
    "segments": "/segments",
    "tags": "/tags$",
    "teams": "/teams",
}


def read(tap: Tap, records: Mapping[str, Sequence[Record]]) -> Output:
    """What a run writes that Intercom gives these records of each stream.

    Parts are those of one conversation, which comes besides.
    """

    def answer(call: Any) -> tuple[int, dict[str, str], bytes]:
        # Written by json, as it takes integers of any size and halves of surrogate pairs.
        return 200, {}, json.dumps(body_for(call, records)).encode()

    for path in {PATHS[stream] for stream in records}:
        tap.sandbox.faults.add("answer", path=f"^{path}", times=None, answer=answer)
    output = tap.sync(*records, start_date="2000-01-01")
    assert output.code == 0, output.log
    assert_singer(output, records)
    return output


def body_for(call: Any, records: Mapping[str, Sequence[Record]]) -> Record:
    match call.path.split("/")[1:]:
        case [stream, "search"]:
            found = list(records.get(stream, ()))
            if "conversation_parts" in records:
                found.append({"id": CONVERSATION_ID, "updated_at": UPDATED_AT})
            if b'"<"' not in call.body:
                # The last window has no upper bound, and what is old is found in those before.
                found = []
            key = "data" if stream == "contacts" else stream
            return {key: found, "total_count": len({record["id"] for record in found})}
        case ["conversations", conversation_id]:
            found = list(
                records["conversation_parts"] if conversation_id == CONVERSATION_ID else ()
            )
            parts = {"conversation_parts": found, "total_count": len(found)}
            return {"id": conversation_id, "updated_at": UPDATED_AT, "conversation_parts": parts}
        case ["companies", "scroll"]:
            is_first = "scroll_param" not in call.query
            return {"data": records["companies"] if is_first else [], "scroll_param": "next"}
        case ["segments"]:
            of_companies = call.query.get("type") == "company"
            stream = "company_segments" if of_companies else "segments"
            return {"segments": records.get(stream, [])}
        case ["data_attributes"]:
            return {"data": records.get(f"{call.query['model']}_attributes", [])}
        case ["tags"]:
            return {"data": records["tags"]}
        case [stream]:
            return {stream: records[stream]}
    raise AssertionError(call.path)


@pytest.fixture
def tap(start_tap_on: StartTapOn) -> Tap:
    return start_tap_on(Workspace())


# -- Odd values, one by one ----------------------------------------------------------------------


@dataclass
class Case:
    """A record with an odd value, and the record that it must become; both without their ids."""

    name: str
    stream: str
    sent: Record
    arrives: Record


def text(name: str, sent: str, arrives: str | None = None) -> Iterator[Case]:
    """A text in four places, which arrives as it is unless said."""
    arrives = sent if arrives is None else arrives
    yield Case(f"{name}-in-a-field", "contacts", {"name": sent}, {"name": arrives})
    yield Case(f"{name}-in-a-body", "conversation_parts", {"body": sent}, {"body": arrives})
    yield attribute(f"{name}-in-an-attribute", "words", sent, arrives)
    case = undeclared(f"{name}-in-an-undeclared-attribute", "anything", arrives)
    yield replace(case, sent={"custom_attributes": {"anything": sent}})


def attribute(name: str, key: str, sent: Any, *arrives: Any) -> Case:
    """A custom attribute, which arrives as it is unless said."""
    (arriving,) = arrives or (sent,)
    return Case(
        name,
        "contacts",
        {"custom_attributes": {key: sent}},
        {"custom_attributes": {key: arriving}},
    )


def misfit(name: str, key: str, sent: Any) -> Case:
    """A custom attribute that does not fit its type: null, and beside it as it was sent."""
    case = attribute(name, key, sent, None)
    return replace(case, arrives={**case.arrives, "other_attributes": json_text({key: sent})})


def undeclared(name: str, key: str, sent: Any, *arrives: Any) -> Case:
    """A custom attribute without a column, which arrives in its object and as JSON text."""
    case = attribute(name, key, sent, *arrives)
    return replace(case, arrives={**case.arrives, "other_attributes": json_text({key: sent})})


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def field(name: str, stream: str, field: str, sent: Any, *arrives: Any) -> Case:
    """A field, which arrives as it is unless said."""
    (arriving,) = arrives or (sent,)
    return Case(name, stream, {field: sent}, {field: arriving})


HUGE = 2**70
ARTICLE = (
    '<!doctype html><html lang="de"><body><h1 id="h_1">Übersicht &amp; "Preise"</h1>'
    "<table><tr><td style=\"x:'y'\">1\u00a0€</td></tr></table><script>if (a < b && c) {}</script>"
    '<iframe src="https://video.example/?a=1&amp;b=2"></iframe><!-- \\ / \\" --></body></html>'
)
MISFIT = "contains a value that does not fit its type"
ATTRIBUTE_TYPES = {
    "whole": "integer",
    "decimal": "float",
    "yes or no": "boolean",
    "day": "date",
    "words": "string",
    "Twin": "integer",
    "twin": "string",
}

CASES = [
    *text("emoji", "👩\u200d💻 🏳️\u200d🌈 🇮🇪"),
    *text(
        "many-scripts", "Ærøskøbing, 日本語, العربية, हिन्दी, Z\u0361alg\u0301o, \u202eright to left"
    ),
    *text("control-characters", "\x01\x07\b\t\v\f\x1b[31m\x1f\x7f\x85\u2028\u2029\ufeff"),
    *text("line-ends-and-quotes", "a\r\nb\nc\\n\"d\"'e'`f`\\"),
    *text("nul", "a\x00b\x00", "a\ufffdb\ufffd"),
    *text("lone-surrogates", "a\ud83db\udc00", "a\ufffdb\ufffd"),
    *text("surrogate-pair", "\U0001f600"),
    *text("empty", ""),
    *text("blank", "  "),
    *text("a-megabyte", "<p>é🙂</p>" * 80_000),
    *text("article", ARTICLE),
    *text("json", '{"a": [1, null]}'),
    *text("formula", "=HYPERLINK(1)"),
    # Times
    field("time-zero", "contacts", "signed_up_at", 0, "1970-01-01T00:00:00Z"),
    field("time-before-1970", "contacts", "signed_up_at", -1, "1969-12-31T23:59:59Z"),
    field("time-before-2001", "contacts", "signed_up_at", 978_307_199, "2000-12-31T23:59:59Z"),
    field("time-after-2038", "contacts", "signed_up_at", 2**32, "2106-02-07T06:28:16Z"),
    field("first-time", "contacts", "signed_up_at", -62_135_596_800, "0001-01-01T00:00:00Z"),
    field("last-time", "contacts", "signed_up_at", 253_402_300_799, "9999-12-31T23:59:59Z"),
    field("time-before-year-1", "contacts", "signed_up_at", -62_135_596_801, None),
    field("time-after-9999", "contacts", "signed_up_at", 253_402_300_800, None),
    field(
        "time-in-milliseconds",
        "contacts",
        "signed_up_at",
        1_700_000_000_123,
        "2023-11-14T22:13:20.123000Z",
    ),
    field("time-of-many-digits", "contacts", "signed_up_at", HUGE, None),
    field("time-with-decimals", "contacts", "signed_up_at", 0.25, "1970-01-01T00:00:00.250000Z"),
    field("leap-day", "contacts", "signed_up_at", "2024-02-29", "2024-02-29T00:00:00Z"),
    field(
        "time-as-text",
        "contacts",
        "signed_up_at",
        "2024-01-01T01:30:00+02:00",
        "2023-12-31T23:30:00Z",
    ),
    field("time-empty", "contacts", "signed_up_at", "", None),
    field("time-as-words", "contacts", "signed_up_at", "tomorrow", None),
    field("time-as-object", "contacts", "signed_up_at", {"day": 1}, None),
    field("time-null", "contacts", "signed_up_at", None),
    # Numbers
    field("decimal-money", "companies", "monthly_spend", 155.55),
    field("tiny-money", "companies", "monthly_spend", 1e-9),
    field("money-as-text", "companies", "monthly_spend", "155.55", 155.55),
    field("whole-with-decimals", "companies", "session_count", 3.0, 3),
    field("true-as-a-count", "companies", "session_count", True, 1),
    field("half-a-count", "companies", "session_count", 3.5, None),
    field("largest-count", "companies", "session_count", 2**63 - 1),
    field("count-beyond-63-bits", "companies", "session_count", 2**63, None),
    field("negative-count", "companies", "size", -5),
    field("flag-as-text", "contacts", "unsubscribed_from_emails", "true", True),
    # Ids
    field("owner-as-text", "contacts", "owner_id", "7000001", 7_000_001),
    field("owner-as-number", "contacts", "owner_id", 7_000_001),
    field("owner-as-words", "contacts", "owner_id", "nobody", None),
    field("nobody-assigned", "conversations", "admin_assignee_id", 0),
    field("null-assigned", "conversations", "admin_assignee_id", None),
    field(
        "closed-by-text",
        "conversations",
        "statistics",
        {"last_closed_by_id": "5017690"},
        {"last_closed_by_id": 5_017_690},
    ),
    field("company-id-as-number", "companies", "company_id", 42, "42"),
    field("external-id-of-many-digits", "contacts", "external_id", HUGE, str(HUGE)),
    field("author-id-as-number", "conversation_parts", "author", {"id": 5}, {"id": "5"}),
    # Words and fields that nobody has described
    field("unknown-role", "contacts", "role", "archangel"),
    field("unknown-state", "conversations", "state", "hibernating"),
    field("unknown-part-type", "conversation_parts", "part_type", "telepathy"),
    Case("unknown-field", "contacts", {"shoe_size": 43}, {}),
    Case(
        "unknown-field-inside",
        "contacts",
        {"location": {"city": "Cork", "planet": "Earth"}},
        {"location": {"city": "Cork"}},
    ),
    Case(
        "null-lists",
        "contacts",
        {"tags": None, "companies": None},
        {"tags": None, "companies": None},
    ),
    Case("lists-without-data", "contacts", {"tags": {"data": None}}, {"tags": None}),
    field("empty-object", "companies", "plan", {}),
    field("text-for-an-object", "companies", "plan", "Pro", None),
    field("object-for-a-text", "companies", "name", {"en": "Café"}, '{"en":"Café"}'),
    field(
        "avatar-as-object",
        "contacts",
        "avatar",
        {"type": "avatar", "image_url": "https://a.example/1"},
        "https://a.example/1",
    ),
    field("avatar-as-text", "contacts", "avatar", "https://a.example/1"),
    field(
        "avatar-without-image", "contacts", "avatar", {"type": "avatar", "image_url": None}, None
    ),
    field(
        "avatar-of-an-admin-as-text",
        "admins",
        "avatar",
        "https://a.example/1",
        {"image_url": "https://a.example/1"},
    ),
    field(
        "event-details-of-any-shape",
        "conversation_parts",
        "event_details",
        {"a b": [{"c": 1.5}], "at": 5},
    ),
    # Custom attributes
    attribute("whole-number", "whole", 12),
    attribute("whole-number-as-text", "whole", "12", 12),
    attribute("decimal-number-as-text", "decimal", "-1.5", -1.5),
    misfit("decimal-number-as-text-with-a-zero", "decimal", "1.50"),
    attribute("boolean-as-text", "yes or no", "false", False),
    misfit("words-for-a-whole-number", "whole", "twelve"),
    misfit("digits-for-a-whole-number", "whole", "012"),
    misfit("true-for-a-whole-number", "whole", True),
    misfit("decimals-for-a-whole-number", "whole", 1.5),
    attribute("whole-number-with-decimals", "whole", 12.0, 12),
    misfit("list-for-a-whole-number", "whole", [1, "a"]),
    misfit("object-for-a-whole-number", "whole", {"a b": None}),
    attribute("whole-number-of-63-bits", "whole", 2**63 - 1),
    misfit("whole-number-of-64-bits", "whole", 2**64 - 1),
    misfit("huge-whole-number", "whole", HUGE),
    misfit("huge-negative-number", "whole", -HUGE),
    misfit("number-of-forty-digits", "whole", 10**39 + 1),
    attribute("decimal-number", "decimal", 0.1),
    attribute("whole-for-a-decimal-number", "decimal", 3),
    misfit("words-for-a-decimal-number", "decimal", "n/a"),
    misfit("false-for-a-decimal-number", "decimal", False),
    attribute("boolean", "yes or no", False),
    misfit("words-for-a-boolean", "yes or no", "maybe"),
    misfit("number-for-a-boolean", "yes or no", 1),
    attribute("date", "day", 1_700_000_000, "2023-11-14T22:13:20Z"),
    attribute("date-as-text", "day", "2030-01-02", "2030-01-02T00:00:00Z"),
    attribute("date-zero", "day", 0, "1970-01-01T00:00:00Z"),
    attribute("date-in-milliseconds", "day", 1_571_672_154_000, "2019-10-21T15:35:54Z"),
    misfit("date-as-digits", "day", "1571672154"),
    misfit("date-with-the-day-first", "day", "31/12/2020"),
    misfit("date-that-is-no-day", "day", "2023-02-29"),
    misfit("words-for-a-date", "day", "soon"),
    misfit("empty-date", "day", ""),
    misfit("true-for-a-date", "day", True),
    misfit("list-for-a-date", "day", [1]),
    misfit("date-of-many-digits", "day", HUGE),
    replace(
        misfit("date-of-many-digits-with-a-point", "day", HUGE),
        sent={"custom_attributes": {"day": float(HUGE)}},
    ),
    attribute("object-of-many-digits-for-text", "words", {"a": [HUGE]}, f'{{"a":[{HUGE}]}}'),
    attribute("float-of-many-digits-for-text", "words", [float(HUGE)], f"[{HUGE}]"),
    attribute("number-for-words", "words", 5, "5"),
    attribute("huge-number-for-words", "words", HUGE, str(HUGE)),
    attribute("object-for-words", "words", {"é": 1}, '{"é":1}'),
    attribute("null-attribute", "words", None),
    undeclared("number-that-nobody-declared", "undeclared", 5),
    undeclared("huge-number-that-nobody-declared", "undeclared", HUGE, str(HUGE)),
    undeclared(
        "list-that-nobody-declared",
        "undeclared",
        [{"a": [1, HUGE, None]}],
        [{"a": [1, str(HUGE), None]}],
    ),
    undeclared("key-with-spaces", "a key, with (signs): 100 % 'so' \"said\"", 1),
    undeclared("key-with-dots-and-dollars", "$a.b.c", 1),
    undeclared("key-in-other-letters", "Größe 日本 🙂", 1),
    undeclared("key-that-is-empty", "", 1),
    undeclared("key-of-many-letters", "k" * 300, 1),
    undeclared("key-like-a-column", "id", 1),
    Case(
        "keys-that-differ-by-case",
        "contacts",
        {"custom_attributes": {"Twin": 1, "twin": "b", "TWIN": True}},
        {
            "custom_attributes": {"Twin": 1, "twin": "b", "TWIN": True},
            "other_attributes": '{"Twin":1,"twin":"b","TWIN":true}',
        },
    ),
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """One run that reads the record of each case."""
    workspace = Workspace()
    for name, data_type in ATTRIBUTE_TYPES.items():
        workspace.add_data_attribute("contact", name, data_type)
    sent: defaultdict[str, list[Record]] = defaultdict(list)
    for case in CASES:
        sent[case.stream].append({"id": case.name, "updated_at": UPDATED_AT, **case.sent})
    with Sandbox(workspace) as sandbox:
        return read(Tap(sandbox, tmp_path_factory.mktemp("odd")), sent)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_odd_value_arrives(odd: Output, case: Case) -> None:
    (record,) = [record for record in odd.records(case.stream) if record["id"] == case.name]
    told = {
        name: value
        for name, value in record.items()
        if value is not None and name not in ("id", "updated_at")
        if not name.startswith("conversation_")
    }
    assert told == {name: value for name, value in case.arrives.items() if value is not None}


@pytest.mark.parametrize(
    "warning",
    [
        "contacts: shoe_size is not in the schema and is dropped",
        "contacts: location.planet is not in the schema and is dropped",
        "contacts: signed_up_at contains a value that does not fit its type; set to null",
        f"contacts: custom_attributes.whole {MISFIT}; set to null and kept in other_attributes",
        f"contacts: custom_attributes.day {MISFIT}; set to null and kept in other_attributes",
        f"contacts: custom_attributes.words {MISFIT}; kept as JSON text",
        "contacts: texts contain characters that databases refuse",
        "companies: session_count contains true or false where a number belongs",
    ],
)
def test_each_kind_of_repair_is_told_once(odd: Output, warning: str) -> None:
    assert odd.log.count(warning) == 1


# -- Ids -----------------------------------------------------------------------------------------


def test_ids_of_any_length_arrive_as_text(tap: Tap) -> None:
    ids = [1, "2", 3_000_000_000_000, HUGE, "5ba682d23d7cf92bef87bfd4", "a-b_c.d é", "0" * 200]
    streams = sorted(set(STREAMS) - set(HASHED) - {"company_segments"})
    sent = [{"id": each, "updated_at": UPDATED_AT} for each in ids]
    output = read(tap, dict.fromkeys(streams, sent))
    texts = {str(each) for each in ids}
    assert {stream: output.ids(stream) - {CONVERSATION_ID} for stream in streams} == dict.fromkeys(
        streams, texts
    )


@pytest.mark.parametrize("stream", ["tags", "segments"])
def test_an_id_that_is_an_object_arrives_as_text(tap: Tap, stream: str) -> None:
    sent = [{"id": each, "updated_at": UPDATED_AT} for each in ({"a": 1}, [2], "3")]
    output = read(tap, {stream: sent})
    assert output.code == 0, output.log
    assert output.ids(stream) == {'{"a":1}', "[2]", "3"}


@pytest.mark.parametrize("is_selected", [True, False])
def test_events_that_differ_in_a_number_over_64_bits_both_come(tap: Tap, is_selected: bool) -> None:
    """A double keeps 53 bits of it, and the key of an event is made of its metadata too."""
    tap.sandbox.workspace.add_contact(role="user")
    events = [
        {"event_name": "order", "created_at": UPDATED_AT, "metadata": {"order": {"no": [number]}}}
        for number in (HUGE, HUGE + 1)
    ]
    body = json.dumps({"type": "event.list", "events": events}).encode()
    tap.sandbox.faults.add("answer", path="^/events$", answer=lambda call: (200, {}, body))
    catalog = tap.discover()
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == "events"]
    for each in entry["metadata"]:
        if each["breadcrumb"] == ["properties", "metadata"]:
            each["metadata"]["selected"] = is_selected
    output = tap.sync("contacts", "events", catalog=catalog)
    assert output.code == 0, output.log
    assert len({record["_sdc_record_hash"] for record in output.records("events")}) == 2
    if is_selected:
        arrived = [record["metadata"]["order"]["no"] for record in output.records("events")]
        assert arrived == [[str(HUGE)], [str(HUGE + 1)]]


def test_company_that_has_no_time_comes_in_every_run(tap: Tap) -> None:
    company_id = tap.sandbox.workspace.add_company(updated_at=None)
    first = tap.sync("companies")
    tap.sandbox.options.clock_offset_seconds += 86_400
    second = tap.sync("companies", state=first.state)
    assert first.ids("companies") == second.ids("companies") == {company_id}
    assert first.records("companies")[0]["updated_at"] is None


def test_what_is_nested_too_deeply_for_targets_is_text_from_there_on(tap: Tap) -> None:
    levels = 300
    nested: Any = "core"
    for _ in range(levels):
        nested = [nested]
    contact = {"id": "1", "updated_at": UPDATED_AT, "custom_attributes": {"deep": nested}}
    output = read(tap, {"contacts": [contact]})
    arrived = output.records("contacts")[0]["custom_attributes"]["deep"]
    outside = 0
    while isinstance(arrived, list):
        (arrived,) = arrived
        outside += 1
    assert 50 < outside < 250
    inside = levels - outside
    assert arrived == "[" * inside + '"core"' + "]" * inside


def test_what_is_nested_too_deeply_to_be_written_as_text_is_null(tap: Tap) -> None:
    nested: Any = "core"
    for _ in range(950):
        nested = [nested]
    contact = {"id": "1", "updated_at": UPDATED_AT, "custom_attributes": {"deep": nested}}
    output = read(tap, {"contacts": [contact]})
    assert output.records("contacts")[0]["custom_attributes"] == {"deep": None}
    assert "contacts: custom_attributes.deep contains a value that does not fit" in output.log


def test_bytes_that_are_no_utf8_are_replaced(tap: Tap) -> None:
    tag = b'{"type":"list","data":[{"type":"tag","id":"1","name":"caf\xe9 \xf0\x9f\x99\x82"}]}'
    tap.sandbox.faults.add("answer", "^/tags$", answer=lambda call: (200, {}, tag))
    output = tap.sync("tags")
    assert output.code == 0, output.log
    assert output.records("tags")[0]["name"] == "caf\ufffd 🙂"


# -- Lists that Intercom cuts --------------------------------------------------------------------


class TestContactWithMoreTagsAndCompaniesThanItCarries:
    """Search shows ten of each, and says that there are more."""

    @pytest.fixture
    def tap(self, start_tap_on: StartTapOn) -> Tap:
        workspace = Workspace()
        tags = [workspace.add_tag(name=f"Tag {number}") for number in range(25)]
        companies = [workspace.add_company(name=f"Company {number}") for number in range(70)]
        workspace.add_contact(tags=tags, companies=companies)
        workspace.add_contact(tags=tags[:10], companies=companies[:10])
        return start_tap_on(workspace)

    def paths(self, tap: Tap) -> list[str]:
        """What was asked about single contacts, without their ids."""
        asked = [request.path for request in tap.sandbox.requests]
        return [
            path.rsplit("/", 1)[1]
            for path in asked
            if path.startswith("/contacts/") and path != "/contacts/search"
        ]

    def test_has_all_of_them(self, tap: Tap) -> None:
        output = tap.sync("contacts")
        assert output.code == 0, output.log
        assert_singer(output, ["contacts"])
        assert_true(output, tap.sandbox.workspace, ["contacts"])
        # The companies fill two pages of sixty.
        assert sorted(self.paths(tap)) == ["companies", "companies", "tags"]

    @pytest.mark.parametrize("field", ["tags", "companies"])
    def test_costs_no_request_for_a_field_that_is_not_selected(self, tap: Tap, field: str) -> None:
        catalog = tap.discover()
        (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == "contacts"]
        for each in entry["metadata"]:
            if each["breadcrumb"] == ["properties", field]:
                each["metadata"]["selected"] = False
        output = tap.sync("contacts", catalog=catalog)
        assert output.code == 0, output.log
        assert field not in self.paths(tap)
        assert all(field not in record for record in output.records("contacts"))
        assert field not in output.schema("contacts")["properties"]


class TestConversationWithMorePartsThanIntercomGives:
    @pytest.fixture
    def conversation_id(self, tap: Tap) -> str:
        workspace = tap.sandbox.workspace
        conversation_id = workspace.add_conversation()
        workspace.load_parts(conversation_id, [{"body": f"<p>{at}</p>"} for at in range(812)])
        return conversation_id

    def test_has_the_newest_ones(self, tap: Tap, conversation_id: str) -> None:
        output = tap.sync("conversation_parts")
        assert output.code == 0, output.log
        bodies = [record["body"] for record in output.records("conversation_parts")]
        assert bodies == [str(at) for at in range(312, 812)]
        totals = {each["conversation_total_parts"] for each in output.records("conversation_parts")}
        assert totals == {812}

    def test_parts_beyond_500_are_reported_with_their_conversation(
        self, tap: Tap, conversation_id: str
    ) -> None:
        (line,) = [
            line
            for line in tap.sync("conversation_parts").log_lines("WARNING")
            if "beyond the 500 that the API returns" in line
        ]
        assert line.startswith(
            "WARNING conversation_parts: 312 entries of conversation_parts beyond"
        )
        assert f"{conversation_id} (312 of 812 missing)" in line


# -- Everything that the official description allows ---------------------------------------------


def resolved(node: Record) -> Record:
    """A schema of the description with what it refers to or is put together from."""
    found = dict(node)
    if "$ref" in found:
        name = found.pop("$ref").rsplit("/", 1)[1]
        found = {**resolved(whole_description()["components"]["schemas"][name]), **found}
    for part in found.pop("allOf", []):
        part = resolved(part)
        properties = {**part.get("properties", {}), **found.get("properties", {})}
        found = {**part, **found, **({"properties": properties} if properties else {})}
    return found


def whole_example(node: Record) -> Any:
    """A value with every field that a schema has, by its examples."""
    node = resolved(node)
    if "properties" in node:
        return {name: whole_example(child) for name, child in node["properties"].items()}
    if "items" in node:
        return [whole_example(node["items"])]
    if "example" in node:
        return node["example"]
    return {"string": "text", "integer": 7, "boolean": True, "object": {}}[node["type"]]


def nullable_paths(node: Record, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value that may be null; 0 stands for an item of a list."""
    node = resolved(node)
    if node.get("nullable") and path:
        yield path
    for name, child in node.get("properties", {}).items():
        yield from nullable_paths(child, (*path, name))
    if "items" in node:
        yield from nullable_paths(node["items"], (*path, 0))


def base_record(stream: str) -> Record:
    """A record with all that is described, which needs no further request."""
    schema = whole_description()["components"]["schemas"][DESCRIBED_AS[stream]]
    record: Record = whole_example(schema)
    without_more(record)
    if stream == "conversations":
        # Users know these ids of admins as integers, and those of real admins are.
        record["statistics"]["last_closed_by_id"] = "7"
        record["conversation_rating"]["teammate"]["id"] = "7"
    return record


def without_more(value: Any) -> None:
    """Let the lists inside a record be as long as it says that they are."""
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict) and "total_count" in each:
            (entries,) = [item for item in each.values() if isinstance(item, list)]
            each["total_count"] = len(entries)
            if "has_more" in each:
                each["has_more"] = False
        if isinstance(each, dict | list):
            without_more(each)


def without(record: Record, path: Sequence[Any], *, null: bool) -> Record:
    """A copy whose value at a path is null, or is not there."""
    changed = deepcopy(record)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    if null:
        place[path[-1]] = None
    else:
        del place[path[-1]]
    return changed


def variants(stream: str) -> dict[str, list[Record]]:
    """Records by what is odd about them, with keys that tell them apart."""
    whole = base_record(stream)
    schema = whole_description()["components"]["schemas"][DESCRIBED_AS[stream]]
    names = [name for name in whole if name not in ("id", "full_name", "model", "updated_at")]
    found = {
        "whole": [whole],
        "described-nulls": [without(whole, path, null=True) for path in nullable_paths(schema)],
        "absent-field": [without(whole, [name], null=False) for name in names],
        "null-field": [without(whole, [name], null=True) for name in names],
    }
    return {kind: with_keys(stream, kind, records) for kind, records in found.items()}


def with_keys(stream: str, kind: str, records: Sequence[Record]) -> list[Record]:
    if stream in HASHED:
        fixed = {"model": stream.partition("_")[0]}
        return [r | fixed | {"full_name": f"{kind}-{at}"} for at, r in enumerate(records)]
    return [record | {"id": f"{stream}-{kind}-{at}"} for at, record in enumerate(records)]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """One run that reads all variants of all streams."""
    sent = {
        stream: [record for records in variants(stream).values() for record in records]
        for stream in STREAMS
    }
    with Sandbox(Workspace()) as sandbox:
        return read(Tap(sandbox, tmp_path_factory.mktemp("described")), sent)


@pytest.mark.parametrize("kind", ["whole", "described-nulls", "absent-field", "null-field"])
@pytest.mark.parametrize("stream", STREAMS)
def test_record_arrives_whatever_fields_it_has(described: Output, stream: str, kind: str) -> None:
    assert_lossless(described, stream, variants(stream)[kind])


def assert_lossless(output: Output, stream: str, sent: Sequence[Record]) -> None:
    arrived = {key_of(stream, record): record for record in output.records(stream)}
    schema = output.schema(stream)
    attributes = f"{DESCRIBED_AS.get(stream)}_attributes"
    types = {
        each["name"]: each["data_type"]
        for each in output.records(attributes)
        if each["custom"] is not False and each["name"] and each["data_type"]
    }
    problems = []
    for raw in sent:
        expected = with_values(stream, shaped(stream, raw, types))
        record = arrived[key_of(stream, raw)]
        if stream == "conversation_parts":
            for ours in ("conversation_id", "conversation_updated_at", "conversation_total_parts"):
                assert record.pop(ours) is not None
        problems += list(differences(expected, record, schema))
    assert not problems, "\n".join(problems[:10])


OBJECTS = {
    "admin": ["admins"],
    "company": ["companies"],
    "contact": ["contacts"],
    "conversation": ["conversations"],
    "conversation_part": ["conversation_parts"],
    "data_attribute": ["company_attributes", "contact_attributes"],
    "segment": ["company_segments", "segments"],
    "tag": ["tags"],
    "team": ["teams"],
}

# Fields that only the answers of other endpoints have than the one that a stream reads.
ELSEWHERE = {
    "admins": ("app", "email_verified", "ip"),
    "conversations": ("conversation_parts", "deleted_at", "metrics_retained"),
    "tags": ("users", "companies"),
}


def examples(node: Any, kind: str) -> Iterator[Record]:
    """Every object of a kind in the example answers of the description."""
    if isinstance(node, list):
        for item in node:
            yield from examples(item, kind)
    if isinstance(node, dict):
        if node.get("type") == kind and not isinstance(node.get("properties"), dict):
            yield node
        for item in node.values():
            yield from examples(item, kind)


def example_records(stream: str) -> list[Record]:
    (kind,) = [kind for kind, streams in OBJECTS.items() if stream in streams]
    found = []
    answers = [
        operation["responses"]
        for path in whole_description()["paths"].values()
        for operation in path.values()
        if "responses" in operation
    ]
    for example in examples(answers, kind):
        if kind == "conversation" and "delivered_as" in example:
            # The source of a conversation, which has the same type.
            continue
        record = {
            name: value
            for name, value in deepcopy(example).items()
            if name not in ELSEWHERE.get(stream, ())
        }
        without_more(record)
        found.append(record)
    return with_keys(stream, "example", found)


@pytest.fixture(scope="module")
def example_run(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """One run that reads all examples of all streams."""
    with Sandbox(Workspace()) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("examples"))
        return read(tap, {stream: example_records(stream) for stream in STREAMS})


@pytest.mark.parametrize("stream", STREAMS)
def test_every_official_example_arrives_whole(example_run: Output, stream: str) -> None:
    sent = example_records(stream)
    assert sent
    assert_lossless(example_run, stream, sent)
