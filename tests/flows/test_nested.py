"""Lists inside records come whole, or what is missing of them is reported."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Output
from runs import NOW, Clock
from table_runs import DAY, Making, TableRuns, of_every_kind
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace

Catalog = dict[str, Any]
Record = dict[str, Any]
Begin = Callable[..., TableRuns]
CHANGED_AT = NOW - 10 * DAY


@pytest.fixture
def begin(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog
) -> Begin:
    """Starts runs on a workspace: `begin(workspace, **settings)`."""

    def start(workspace: Workspace, **settings: Any) -> TableRuns:
        sandbox = start_sandbox(workspace, clock=Clock(), rate_limit=1_000_000)
        return TableRuns(sandbox, tmp_path, warm_tap, plain_catalog, **settings)

    return start


def one_of_each() -> Workspace:
    """A contact, a company, a conversation and a ticket, each with a tag, link or part."""
    making = Making()
    workspace = making.at(CHANGED_AT)
    tag = workspace.add_tag(name="VIP")
    contact = workspace.add_contact(id=f"{1:024}", role="user", tags=[tag])
    company = workspace.add_company(id=f"{2:024}")
    workspace.attach_company(contact, company)
    workspace.tag_company(company, tag)
    conversation = workspace.add_conversation(id="911", contacts=[contact])
    workspace.tag_conversation(conversation, tag)
    workspace.add_part(conversation, body="Hello")
    workspace.add_side_conversation(conversation)
    ticket = workspace.add_ticket(id="77", contacts=[contact])
    workspace.add_ticket_part(ticket)
    making.at(NOW)
    return workspace


def change(runs: TableRuns, path: str, name: str, edit: Callable[[Record], object]) -> None:
    """Let `edit` change each record that stands in the list `name`, or is the answer itself."""

    def edit_answer(body: Record) -> None:
        for record in body[name] if name else [body]:
            edit(record)

    runs.sandbox.faults.add("changed", path, change=edit_answer, times=None)


def warnings(output: Output, stream: str) -> list[str]:
    return [line for line in output.log_lines("WARNING") if line.startswith(f"WARNING {stream}:")]


# -- What is null, or somewhere else -------------------------------------------------------------

UNREADABLE = {
    "absent": lambda record: record.pop("conversation_parts"),
    "null": lambda record: record.update(conversation_parts=None),
    "text": lambda record: record.update(conversation_parts="none"),
    "null list": lambda record: record.update(conversation_parts={"conversation_parts": None}),
    "null entry": lambda record: record.update(conversation_parts={"conversation_parts": [None]}),
    "list as entry": lambda record: record.update(conversation_parts=[[{"id": "1"}]]),
    "unknown key": lambda record: record.update(conversation_parts={"rows": [{"id": "1"}]}),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("form", UNREADABLE)
def test_parts_that_cannot_be_read_do_not_pass_for_none(
    begin: Begin, form: str, strict: bool
) -> None:
    runs = begin(one_of_each(), strict=strict)
    change(runs, "^/conversations/911$", "", UNREADABLE[form])
    output = runs.run("conversations", "conversation_parts")
    assert output.records("conversation_parts") == []
    assert "911" in output.ids("conversations")
    assert output.code == (5 if strict else 0), output.log
    if strict:
        assert "conversation_parts: entries of conversation_parts" in output.last_log_line
        assert "911" in output.last_log_line
        assert "conversation_parts" not in runs.bookmarks
        assert "conversations" in runs.bookmarks
    else:
        (line,) = warnings(output, "conversation_parts")
        assert "911 (1 of 1 missing)" in line


MOVED = {
    "conversation_parts": ("^/conversations/911$", "", "conversation_parts", "data"),
    "conversation_tag": ("^/conversations/search$", "conversations", "tags", "data"),
    "conversation_contact": ("^/conversations/search$", "conversations", "contacts", "data"),
    "ticket_parts": ("^/tickets/search$", "tickets", "ticket_parts", "data"),
    "ticket_contact": ("^/tickets/search$", "tickets", "contacts", "data"),
    "contact_tag": ("^/contacts/search$", "data", "tags", "tags"),
    "contact_company": ("^/contacts/search$", "data", "companies", "companies"),
    "company_tag": ("^/companies/scroll$", "data", "tags", "data"),
    "side_conversation_parts": (
        "side_conversations$",
        "side_conversations",
        "conversation_parts",
        "",
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_list_under_its_other_key_or_without_an_object_comes(begin: Begin, name: str) -> None:
    path, records, field, key = MOVED[name]

    def move(record: Record) -> None:
        value = record[field]
        if isinstance(value, list):
            record[field] = {"data": value}
        else:
            (usual,) = [each for each in value if isinstance(value[each], list)]
            value[key] = value.pop(usual)

    runs = begin(one_of_each(), strict=True)
    change(runs, path, records, move)
    runs.run(name)
    assert runs.outputs[-1].records(name)
    runs.assert_nothing_is_lost(name)
    assert warnings(runs.outputs[-1], name) == []


@pytest.mark.parametrize("is_null", [True, False], ids=["null", "absent"])
@pytest.mark.parametrize("name", [each for each in MOVED if each != "side_conversation_parts"])
def test_an_object_without_its_list_does_not_pass_for_an_empty_list(
    begin: Begin, name: str, is_null: bool
) -> None:
    path, records, field, _ = MOVED[name]

    def empty(record: Record) -> None:
        (usual,) = [each for each in record[field] if isinstance(record[field][each], list)]
        record[field] = {"type": "list", **({usual: None} if is_null else {})}

    runs = begin(one_of_each())
    change(runs, path, records, empty)
    output = runs.run(name)
    assert output.records(name) or warnings(output, name), output.log


@pytest.mark.parametrize("stream", ["contacts", "companies", "conversations", "tickets"])
def test_a_column_under_its_other_key_comes(begin: Begin, stream: str) -> None:
    path = "/companies/scroll" if stream == "companies" else f"/{stream}/search"
    field = "contacts" if stream == "tickets" else "tags"
    other = "tags" if stream == "contacts" else "data"

    def move(record: Record) -> None:
        (usual,) = [each for each in record[field] if isinstance(record[field][each], list)]
        record[field][other] = record[field].pop(usual)

    runs = begin(one_of_each(), strict=True)
    usual = begin(one_of_each(), strict=True).run(stream).records(stream)
    change(runs, path, "data" if stream in ("contacts", "companies") else stream, move)
    moved = runs.run(stream).records(stream)
    assert [each[field] for each in moved] == [each[field] for each in usual]
    assert any(each[field] for each in moved)


def without(columns: list[str], record: Record) -> None:
    """Leave the first of these columns out, and make the others null."""
    record.pop(columns[0], None)
    record.update(dict.fromkeys(columns[1:]))


def test_a_list_that_is_normally_null_is_no_shortfall(begin: Begin) -> None:
    runs = begin(one_of_each(), strict=True)
    nulls = {
        "^/contacts/search$": ("data", ["tags", "companies", "notes", "social_profiles"]),
        "^/companies/scroll$": ("data", ["tags", "segments", "notes"]),
        "^/conversations/search$": ("conversations", ["tags", "contacts", "teammates"]),
        "^/tickets/search$": ("tickets", ["linked_objects", "contacts"]),
    }
    for path, (records, columns) in nulls.items():
        change(runs, path, records, partial(without, columns))
    change(runs, "^/conversations/search$", "conversations", lambda each: each.update(topics={}))
    names = ("contacts", "companies", "conversations", "tickets")
    output = runs.run(*names, "contact_tag", "company_tag", "conversation_tag", "ticket_contact")
    assert output.code == 0, output.log
    assert all(len(output.records(name)) >= 1 for name in names)
    assert not [line for line in output.log_lines("WARNING") if "entries of" in line]


# -- What is cut ---------------------------------------------------------------------------------


def cut(name: str, key: str, count: int) -> Callable[[Record], None]:
    """Leave `count` entries of a list in a record, as Intercom does that counts all."""

    def edit(record: Record) -> None:
        entries = record[name][key]
        more = {"has_more": len(entries) > count, "total_count": len(entries)}
        record[name] = {**record[name], **more, key: entries[:count]}

    return edit


def test_ticket_parts_that_search_leaves_out_are_read_from_the_ticket(begin: Begin) -> None:
    workspace = one_of_each()
    for _ in range(4):
        workspace.add_ticket_part("77")
    runs = begin(workspace, strict=True)
    change(runs, "^/tickets/search$", "tickets", cut("ticket_parts", "ticket_parts", 2))
    output = runs.run("tickets", "ticket_parts")
    runs.assert_nothing_is_lost("ticket_parts")
    (ticket,) = [each for each in output.records("tickets") if each["id"] == "77"]
    assert len(ticket["ticket_parts"]["ticket_parts"]) == len(output.records("ticket_parts"))


def test_parts_of_a_ticket_beyond_500_are_reported_and_never_failed(begin: Begin) -> None:
    workspace = one_of_each()
    for _ in range(510):
        workspace.add_ticket_part("77", moves_ticket=False)
    output = begin(workspace, strict=True).run("ticket_parts")
    assert output.code == 0, output.log
    assert len(output.records("ticket_parts")) == 500
    (line,) = warnings(output, "ticket_parts")
    assert "beyond the 500 that the API returns: 77 (" in line


LINKS = [{"type": "ticket", "id": f"{at}", "category": "Customer"} for at in range(3)]


@pytest.mark.parametrize("has_more", [True, False])
def test_links_that_no_endpoint_returns_are_reported(begin: Begin, has_more: bool) -> None:
    """Intercom says that there are more, which is its limit, or it only counts more."""
    links = {"type": "list", "data": LINKS, "total_count": 9, "has_more": has_more}
    runs = begin(one_of_each(), strict=True)
    change(
        runs,
        "^/conversations/search$",
        "conversations",
        lambda each: each.update(linked_objects=links),
    )
    names = ("conversation_link", "conversation_tag", "conversation_contact")
    output = runs.run(*names)
    if has_more:
        assert output.code == 0, output.log
        assert "911 (6 of 9 missing)" in warnings(output, "conversation_link")[0]
        assert runs.bookmarks.keys() == set(names)
    else:
        assert output.code == 5
        assert "conversation_link: entries of linked_objects" in output.last_log_line
        assert runs.bookmarks.keys() == set(names[1:])
    assert output.records("conversation_tag")


def test_parts_of_a_side_conversation_that_are_counted_are_reported(begin: Begin) -> None:
    runs = begin(one_of_each())
    change(
        runs,
        "/side_conversations$",
        "side_conversations",
        lambda each: each.update(total_count=9),
    )
    output = runs.run("side_conversations", "side_conversation_parts")
    assert output.code == 0, output.log
    (line,) = warnings(output, "side_conversation_parts")
    assert "(8 of 9 missing)" in line
    assert len(output.records("side_conversations")) == 1


def test_nested_lists_of_a_contact_are_read_from_their_endpoints(begin: Begin) -> None:
    workspace = one_of_each()
    (contact,) = (each["id"] for each in workspace.truth("contacts"))
    other = workspace.add_contact(id=f"{8:024}", role="user", updated_at=CHANGED_AT)
    for at in range(13):
        workspace.add_contact_note(contact)
        consent = "opt_in" if at % 2 else "opt_out"
        choose = workspace.subscribe_contact if at % 2 else workspace.unsubscribe_contact
        choose(contact, workspace.add_subscription_type(consent_type=consent))
        workspace.merge_history.setdefault(contact, []).append(
            {"type": "merge_history", "source_contact_id": f"s{at}", "merged_at": CHANGED_AT}
        )
    runs = begin(workspace, strict=True)
    for name in ("opted_in_subscription_types", "opted_out_subscription_types"):
        change(runs, "^/contacts/search$", "data", cut(name, "data", 2))

    def cut_merges(record: Record) -> None:
        record["merge_history"] = record["merge_history"][:10]

    change(runs, "^/contacts/search$", "data", cut_merges)
    output = runs.run("contacts", "contact_merge_history")
    assert output.code == 0, output.log
    rows = {each["id"]: each for each in output.records("contacts")}
    row = rows[contact]
    assert [len(row[f"opted_{way}_subscription_types"]) for way in ("in", "out")] == [6, 7]
    assert len(row["notes"]["data"]) == 13
    assert len(row["merge_history"]) == 13
    assert rows[other]["merge_history"] == []
    runs.assert_nothing_is_lost("contact_merge_history")


@pytest.mark.parametrize("column", ["notes", "merge_history", "opted_in_subscription_types"])
def test_a_list_that_is_not_selected_costs_no_request(begin: Begin, column: str) -> None:
    runs = begin(one_of_each(), strict=True)
    more = {"type": "list", "data": [{"type": "x", "id": "1"}], "total_count": 40, "has_more": True}
    change(runs, "^/contacts/search$", "data", lambda each: each.update({column: more}))

    def deselect(catalog: Catalog) -> None:
        for entry in catalog["streams"]:
            for each in entry["metadata"]:
                if each["breadcrumb"] == ["properties", column]:
                    each["metadata"]["selected"] = False

    output = runs.run("contacts", edit_catalog=deselect)
    assert output.code == 0, output.log
    paths = {request.path for request in runs.sandbox.requests}
    assert paths == {"/me", "/contacts/search"}


# -- What fails stands alone ---------------------------------------------------------------------

BROKEN = {
    "embedded": ({"reading.stream.columns_of": 1}, "contact_tag", ("contacts",)),
    "child": ({"streams.contacts.record_hash": 1}, "events", ("contacts", "contact_tag")),
    "hook": ({"streams.contacts.may_have": 1}, "contact_notes", ("contacts", "events")),
}


@pytest.mark.parametrize("place", BROKEN)
def test_a_bug_ends_the_table_that_it_is_in(begin: Begin, place: str) -> None:
    numbers, name, others = BROKEN[place]
    runs = begin(of_every_kind(3))
    output = runs.run(name, *others, numbers=numbers)
    assert output.code == 1
    assert name in output.last_log_line
    assert output.messages[-1]["type"] == "STATE"
    assert set(runs.bookmarks) == set(others)
    assert list(runs.problems(*others)) == []
    runs.run(name, *others)
    runs.assert_nothing_is_lost(name, *others)


def test_a_row_that_cannot_be_made_ends_its_table_alone(begin: Begin) -> None:
    runs = begin(one_of_each())
    change(
        runs,
        "^/conversations/search$",
        "conversations",
        lambda each: each.update(tags={"tags": [{"name": "no id"}]}),
    )
    output = runs.run("conversations", "conversation_tag", "conversation_contact")
    assert output.code == 5
    assert "conversation_tag" in output.last_log_line
    assert set(runs.bookmarks) == {"conversations", "conversation_contact"}


BIG = 98765432109876543210


def test_numbers_of_more_than_64_bits_stop_nothing(begin: Begin) -> None:
    workspace = one_of_each()
    contact = f"{1:024}"
    workspace.load_events(
        contact, [{"event_name": "order", "created_at": CHANGED_AT, "metadata": {"number": 1}}]
    )
    runs = begin(workspace)
    api = runs.sandbox.api

    def answer(call: Any) -> Any:
        body = api.answer(call).body.replace(b'"number":1', b'"number":%d' % BIG)
        return 200, {}, body

    runs.sandbox.faults.add("answer", "^/events$", answer=answer, times=None)
    output = runs.run("contacts", "events")
    assert output.code == 0, output.log
    assert str(BIG) in json.dumps(output.records("events"))
    first = output.records("events")
    runs.forget()
    assert runs.run("contacts", "events").records("events") == first


# -- Fields that come when they are asked for, and streams that are no more ----------------------


def test_fields_that_must_be_asked_for_come_and_are_asked_for_when_they_are_selected(
    begin: Begin,
) -> None:
    workspace = one_of_each()
    workspace.update_conversation(
        "911",
        updated_at=CHANGED_AT,
        monitor_evaluations=[{"monitor_id": "1"}],
        scorecards=[{"scorecard_id": "2"}],
    )
    workspace.load_parts("911", [{"id": "1", "translations": {"original": "en", "fr": "Oui"}}])
    workspace.merge_history[f"{1:024}"] = [{"source_contact_id": "s1", "merged_at": CHANGED_AT}]
    columns = {
        "contacts": ("merge_history",),
        "conversations": ("monitor_evaluations", "scorecards"),
        "conversation_parts": ("translations",),
    }
    runs = begin(workspace)
    output = runs.run(*columns)
    runs.assert_nothing_is_lost(*columns)
    for stream, names in columns.items():
        for name in names:
            assert any(each[name] for each in output.records(stream)), name

    def deselect(catalog: Catalog) -> None:
        for entry in catalog["streams"]:
            for each in entry["metadata"]:
                if each["breadcrumb"][1:] in [[n] for n in columns.get(entry["stream"], ())]:
                    each["metadata"]["selected"] = False

    runs.forget()
    runs.sandbox.requests.clear()
    runs.run(*columns, edit_catalog=deselect)
    asked = {name for request in runs.sandbox.requests for name in request.params}
    assert not {name for name in asked if name.startswith("include_")}


def test_a_stream_that_a_version_has_no_more_is_not_offered(begin: Begin) -> None:
    runs = begin(one_of_each())
    names = {
        version: {each["stream"] for each in runs.tap.discover(api_version=version)["streams"]}
        for version in ("2.16", "Preview")
    }
    assert names["2.16"] - names["Preview"] == {"ip_allowlist"}
    output = runs.run("ip_allowlist", api_version="Preview")
    assert output.code == 2
    assert "ip_allowlist" in output.last_log_line


# -- Progress of a list with children ------------------------------------------------------------


def test_interrupted_first_run_of_a_list_with_children_repeats_little(begin: Begin) -> None:
    making = Making()
    for at in range(1_000):
        making.at(NOW - (2_000 - at) * 3_600)
        article = making.workspace.add_record("articles", id=f"{at}", title="Article")
        making.workspace.add_record("article_versions", id=f"v{at}", article_id=article)
    making.at(NOW)
    runs = begin(making.workspace)
    names = ("articles", "article_versions")
    begun = runs.start(*names)
    taken = begun.read(lambda data: data.count(b'"stream":"article_versions"') > 700)
    begun.kill(signal.SIGKILL)
    first = runs.take(begun.wait(stdout=taken[: taken.rfind(b"\n") + 1]))
    second = runs.run(*names)
    runs.assert_nothing_is_lost(*names)
    repeated = first.ids("article_versions") & second.ids("article_versions")
    assert len(first.ids("article_versions")) > 500
    assert len(repeated) <= 250
    assert second.records("articles") == []


# -- Tables of what is inside an entry -----------------------------------------------------------

# The requests whose answers have the parts, and for each table made of parts what a run selects.
COUNTED: dict[str, tuple[list[tuple[str, str]], Callable[[Record], object]]] = {
    "conversations": (
        [("^/conversations/911$", "")],
        lambda each: each["conversation_parts"].update(total_count=9),
    ),
    "tickets": (
        [("^/tickets/search$", "tickets"), ("^/tickets/77$", "")],
        lambda each: each["ticket_parts"].update(total_count=9),
    ),
    "side conversations": (
        [("/side_conversations$", "side_conversations")],
        lambda each: each.update(total_count=9),
    ),
}
MADE_OF_PARTS = [
    ("conversations", "conversation_parts", ["conversation_parts"]),
    ("conversations", "conversation_part_attachment", ["conversation_part_attachment"]),
    ("conversations", "attachments", ["attachments"]),
    ("conversations", "attachments", ["conversations", "conversation_parts", "attachments"]),
    ("tickets", "ticket_parts", ["ticket_parts"]),
    ("tickets", "ticket_part_attachment", ["ticket_part_attachment"]),
    ("tickets", "attachments_of_tickets", ["ticket_contact", "attachments"]),
    ("side conversations", "side_conversation_parts", ["side_conversation_parts"]),
    (
        "side conversations",
        "attachments_of_side_conversations",
        ["side_conversations", "attachments"],
    ),
]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("where", "stream", "selected"), MADE_OF_PARTS)
def test_each_table_made_of_parts_reports_missing_ones(
    begin: Begin, tmp_path: Path, where: str, stream: str, selected: list[str], strict: bool
) -> None:
    """A file of a part that does not come is lost too, whichever tables are selected."""
    runs = begin(one_of_each(), strict=strict, attachments_dir=str(tmp_path / "files"))
    paths, edit = COUNTED[where]
    for path, name in paths:
        change(runs, path, name, edit)
    output = runs.run(*selected)
    assert output.code == (5 if strict else 0), output.log
    if strict:
        assert f"{stream}: entries of " in output.last_log_line
        assert stream not in runs.bookmarks
    else:
        (line,) = [each for each in warnings(output, stream) if "did not come" in each]
        assert "(8 of 9 missing)" in line


@pytest.mark.parametrize(
    ("stream", "selected"),
    [
        ("ticket_part_attachment", ["ticket_part_attachment"]),
        ("attachments", ["ticket_contact", "attachments"]),
    ],
)
def test_files_of_ticket_parts_that_search_leaves_out_are_read_from_the_ticket(
    begin: Begin, tmp_path: Path, stream: str, selected: list[str]
) -> None:
    workspace = one_of_each()
    for at in range(4):
        workspace.add_ticket_part("77", attachments=[workspace.add_file(name=f"{at}.png")])
    runs = begin(workspace, strict=True, attachments_dir=str(tmp_path / "files"))
    change(runs, "^/tickets/search$", "tickets", cut("ticket_parts", "ticket_parts", 2))
    output = runs.run(*selected)
    assert {each["name"] for each in output.records(stream)} == {f"{at}.png" for at in range(4)}


@pytest.mark.parametrize(
    ("stream", "selected"),
    [
        ("conversation_part_attachment", ["conversation_part_attachment"]),
        ("attachments", ["attachments"]),
    ],
)
def test_files_of_parts_beyond_500_are_reported_and_never_failed(
    begin: Begin, tmp_path: Path, stream: str, selected: list[str]
) -> None:
    workspace = one_of_each()
    for _ in range(510):
        workspace.add_part("911", body="More")
    runs = begin(workspace, strict=True, attachments_dir=str(tmp_path / "files"))
    output = runs.run(*selected)
    assert output.code == 0, output.log
    (line,) = [each for each in warnings(output, stream) if "beyond" in each]
    assert "beyond the 500 that the API returns: 911 (11 of 511 missing)" in line
