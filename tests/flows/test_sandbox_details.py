"""The local Intercom's tickets, and what contacts, companies and conversations have beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from test_sandbox import (
    ASCENDING,
    EVERYTHING,
    NOW,
    Caller,
    code,
    every,
    faults_against,
    ids,
    nullable_description,
    rows,
    serving,
    where,
)

from intercom_sandbox import Workspace, generate

DAY = 86_400
Record = dict[str, Any]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def sample() -> Iterator[Caller]:
    """The default sample at its own time, which no test edits."""
    with serving(generate(seed=1, now=NOW), clock=lambda: NOW, rate_limit=None) as caller:
        yield caller


def without_owner(row: Record, *owners: str) -> Record:
    """A row of the truth as Intercom sends it: without the ids of what it belongs to."""
    return without(row, *(f"{owner}_{end}" for owner in owners for end in ("id", "updated_at")))


def without(row: Record, *names: str) -> Record:
    return {name: value for name, value in row.items() if name not in names}


def in_order(found: Rows) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in found)


def walk(caller: Caller, path: str, key: str, per_page: int) -> Rows:
    """All rows of a list with numbered pages."""
    found: Rows = []
    for number in count(1):
        page = caller.get(f"{path}?page={number}&per_page={per_page}").json()
        assert page["pages"]["page"] == number
        found += page[key]
        if number >= page["pages"]["total_pages"]:
            assert page["pages"].get("next") is None
            assert len(found) == page["total_count"]
            return found
        assert len(page[key]) == per_page
        assert f"page={number + 1}" in page["pages"]["next"]
    raise AssertionError


def follow(caller: Caller, path: str) -> Rows:
    """All events of a list whose pages tell the next address."""
    found: Rows = []
    while path:
        page = caller.get(path).json()
        assert page["type"] == "event.list"
        found += page["events"]
        following = urlsplit(page["pages"]["next"] or "")
        path = f"{following.path}?{following.query}" if following.path else ""
    return found


# The official description


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/tickets/{tickets}", "/tickets/{ticket_id}"),
        ("/contacts/{contacts}/notes", "/contacts/{contact_id}/notes"),
        ("/contacts/{contacts}/segments", "/contacts/{contact_id}/segments"),
        ("/contacts/{contacts}/subscriptions", "/contacts/{contact_id}/subscriptions"),
        ("/contacts/{users}/merge_history", "/contacts/{id}/merge_history"),
        ("/events?type=user&summary=true&intercom_user_id={users}", "/events"),
        ("/companies/{companies}/notes", "/companies/{company_id}/notes"),
        ("/companies/{companies}/contacts", "/companies/{company_id}/contacts"),
        ("/companies/{companies}/segments", "/companies/{company_id}/segments"),
        ("/conversations/{conversations}/handling_events", "/conversations/{id}/handling_events"),
        (
            "/conversations/{conversations}/side_conversations",
            "/conversations/{id}/side_conversations",
        ),
        (
            "/fin_voice/conversation/{conversations}",
            "/fin_voice/conversation/{conversation_id}",
        ),
    ],
)
def test_answers_follow_the_official_description(sample: Caller, path: str, template: str) -> None:
    operation = nullable_description()["paths"][template]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    sizes = []
    for number in range(60):
        answer = sample.get(path.format(**one_of_each(sample, number)))
        assert answer.status_code == 200
        assert faults_against(schema, answer.json()) == []
        body = answer.json()
        sizes.append(1 if "tickets" in path else len(body if type(body) is list else rows(body)))
    assert max(sizes) > 0


def one_of_each(sample: Caller, number: int) -> dict[str, str]:
    truth = sample.sandbox.truth
    kinds = {kind: truth(kind) for kind in ("tickets", "contacts", "companies", "conversations")}
    kinds["users"] = [each for each in kinds["contacts"] if each["role"] == "user"]
    return {kind: records[-1 - number % len(records)]["id"] for kind, records in kinds.items()}


def test_searches_follow_the_official_description(sample: Caller) -> None:
    everything = {"query": EVERYTHING, "pagination": {"per_page": 150}}
    conversation_ids = [each["id"] for each in sample.sandbox.truth("conversations")]
    for path, template, body in (
        ("/tickets/search", "/tickets/search", everything),
        ("/contacts/search?include_merge_history=true", "/contacts/search", everything),
        ("/calls/search", "/calls/search", {"conversation_ids": conversation_ids[-20:]}),
    ):
        operation = nullable_description()["paths"][template]["post"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        answer = sample.post(path, body).json()
        assert rows(answer)
        # Null for a call that nobody took.
        assert [each for each in faults_against(schema, answer) if "answered_at" not in each] == []


def test_events_follow_the_official_description(sample: Caller) -> None:
    schema = {"$ref": "#/components/schemas/data_event"}
    for user_id in {each["contact_id"] for each in sample.sandbox.truth("events")}:
        for event in rows(sample.get(f"/events?type=user&intercom_user_id={user_id}").json()):
            assert faults_against(schema, event) == []


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("ticket", "tickets"),
        ("ticket_part", "ticket_parts"),
        ("note", "contact_notes"),
        ("note", "company_notes"),
        ("merge_history_item", "contact_merge_history"),
        ("data_event", "events"),
        ("data_event_summary_item", "event_summaries"),
        ("handling_event", "handling_events"),
        ("ai_call_response", "fin_voice_calls"),
    ],
)
def test_the_sample_has_every_field_of_the_official_description(
    sample: Caller, name: str, table: str
) -> None:
    otherwise = {"ticket_parts", "contact" if table == "company_notes" else "company"}
    filled = {
        field
        for each in sample.sandbox.truth(table)
        for field, value in each.items()
        if value is not None
    }
    schema = nullable_description()["components"]["schemas"][name]
    wanted = set((schema["anyOf"][0] if "anyOf" in schema else schema)["properties"])
    assert wanted - filled - otherwise == set()


# Permissions, versions, and what is gone


ENDPOINTS = {
    "/tickets/{tickets}": ("tickets", "2.9"),
    "/contacts/{contacts}/notes": ("users_companies_read", None),
    "/contacts/{contacts}/segments": ("users_companies_read", None),
    "/contacts/{contacts}/subscriptions": ("users_companies_read", None),
    "/contacts/{contacts}/merge_history": ("users_companies_read", "2.16"),
    "/events?type=user&intercom_user_id={contacts}": ("events", None),
    "/companies/{companies}/notes": ("users_companies_read", "2.15"),
    "/companies/{companies}/contacts": ("users_companies_read", None),
    "/companies/{companies}/segments": ("users_companies_read", None),
    "/conversations/{conversations}/handling_events": ("conversations", "2.15"),
    "/conversations/{conversations}/side_conversations": ("conversations", "2.16"),
    "/fin_voice/conversation/{conversations}": ("conversations", "2.15"),
}


def test_endpoints_need_a_permission_and_a_version_and_their_parent() -> None:
    workspace = generate(contacts=8, companies=3, conversations=4, tickets=2, details=8, now=NOW)
    with serving(workspace) as caller:
        user = next(each for each in workspace.truth("contacts") if each["role"] == "user")
        parents = {"contacts": user["id"]} | {
            kind: workspace.truth(kind)[0]["id"]
            for kind in ("companies", "conversations", "tickets")
        }
        permissions = caller.sandbox.options.permissions
        for template, (permission, since) in ENDPOINTS.items():
            path = template.format(**parents)
            assert caller.get(path).status_code == 200, path
            permissions.remove(permission)
            assert code(caller.get(path)) == (403, "token_unauthorized"), path
            permissions.add(permission)
            if since:
                assert answer_of(caller, path, since).status_code == 200, path
                major, minor = since.split(".")
                refused = answer_of(caller, path, f"{major}.{int(minor) - 1}")
                assert code(refused) == (400, "intercom_version_invalid"), path
        workspace.delete_contact(parents["contacts"])
        workspace.delete_company(parents["companies"])
        workspace.delete_conversation(parents["conversations"])
        workspace.delete_ticket(parents["tickets"])
        for template in ENDPOINTS:
            assert caller.get(template.format(**parents)).status_code == 404, template


def answer_of(caller: Caller, path: str, version: str) -> requests.Response:
    return caller.get(path, headers={"Intercom-Version": version})


def test_calls_are_searched_with_a_permission_and_a_version() -> None:
    with serving(permissions={"tags"}) as caller:
        body = {"conversation_ids": ["1"]}
        assert code(caller.post("/calls/search", body)) == (403, "token_unauthorized")
        caller.sandbox.options.permissions.add("conversations")
        assert caller.post("/calls/search", body).json() == {"type": "list", "data": []}
        headers = {"Intercom-Version": "2.13"}
        refused = caller.post("/calls/search", body, headers=headers)
        assert code(refused) == (400, "intercom_version_invalid")


# Tickets


def tickets_found(caller: Caller, query: object = EVERYTHING, per_page: int = 5) -> Rows:
    found: Rows = []
    starting_after = None
    while True:
        pagination = {"per_page": per_page, "starting_after": starting_after}
        page = caller.search("tickets", query, pagination=pagination, sort=ASCENDING).json()
        assert page["type"] == "ticket.list"
        found += page["tickets"]
        if "next" not in page["pages"]:
            assert page["total_count"] == len(found)
            return found
        starting_after = page["pages"]["next"]["starting_after"]


def test_all_tickets_are_found_in_order_with_their_parts(sample: Caller) -> None:
    parts = sample.sandbox.truth("ticket_parts")
    found = tickets_found(sample)
    assert len(found) > 10
    times = [each["updated_at"] for each in found]
    assert times == sorted(times)
    expected = [
        ticket
        | {
            "ticket_parts": {
                "type": "ticket_part.list",
                "ticket_parts": (
                    mine := [
                        without_owner(each, "ticket")
                        for each in parts
                        if each["ticket_id"] == ticket["id"]
                    ]
                ),
                "total_count": len(mine),
            }
        }
        for ticket in sample.sandbox.truth("tickets")
    ]
    assert in_order(found) == in_order(expected)
    for ticket in found:
        assert sample.get(f"/tickets/{ticket['id']}").json() == ticket
    newest = {each["id"]: max_part(each) for each in found}
    assert any(newest[each["id"]] > each["updated_at"] for each in found)


def max_part(ticket: Record) -> int:
    return max((each["updated_at"] for each in rows(ticket["ticket_parts"])), default=0)


def test_tickets_are_searched_by_the_second_and_by_what_they_are(sample: Caller) -> None:
    tickets = sample.sandbox.truth("tickets")
    at = tickets[0]["updated_at"]
    attribute = next(
        each
        for each in tickets[0]["ticket_type"]["ticket_type_attributes"]["data"]
        if each["name"] == "_default_title_"
    )
    selections: list[tuple[object, Callable[[Record], bool]]] = [
        (where("updated_at", "=", at), lambda each: each["updated_at"] == at),
        (where("updated_at", ">", at), lambda each: each["updated_at"] > at),
        (where("updated_at", "<=", at), lambda each: each["updated_at"] <= at),
        (where("category", "=", "task"), lambda each: each["category"] == "Back-office"),
        (where("ticket_type_id", "=", "53"), lambda each: each["ticket_type"]["id"] == "53"),
        (
            where("state", "=", "submitted"),
            lambda each: each["ticket_state"]["category"] == "submitted",
        ),
        (where("open", "=", True), lambda each: each["open"]),
        (
            every(where("ticket_type_id", "=", "53"), where("title", "~", "fire")),
            lambda each: "fire" in each["ticket_attributes"]["_default_title_"],
        ),
        (
            where(f"ticket_attribute.{attribute['id']}", "=", "Printer on fire"),
            lambda each: each["ticket_attributes"]["_default_title_"] == "Printer on fire",
        ),
    ]
    for query, selects in selections:
        expected = {each["id"] for each in tickets if selects(each)}
        assert 0 < len(expected) < len(tickets), query
        assert {each["id"] for each in tickets_found(sample, query)} == expected, query


def test_a_ticket_carries_its_newest_500_parts() -> None:
    workspace = Workspace()
    ticket_id = workspace.add_ticket(updated_at=NOW)
    part_ids = workspace.load_ticket_parts(ticket_id, [{"created_at": NOW + n} for n in range(612)])
    with serving(workspace) as caller:
        (found,) = tickets_found(caller)
        assert [each["id"] for each in found["ticket_parts"]["ticket_parts"]] == part_ids[-500:]
        assert found["ticket_parts"]["total_count"] == 612
        assert found["updated_at"] == NOW
        assert len(workspace.truth("ticket_parts")) == 612


def test_edits_of_tickets_are_seen() -> None:
    workspace = Workspace()
    states = [workspace.add_ticket_state(each) for each in ("submitted", "resolved")]
    type_id = workspace.add_ticket_type(name="Bug")
    workspace.add_ticket_type_attribute(type_id, "Order", data_type="integer")
    conversation_id = workspace.add_conversation(updated_at=NOW)
    now = NOW
    with serving(workspace, clock=lambda: now) as caller:
        ticket_id = workspace.add_ticket(ticket_type=type_id, ticket_state=states[0])

        def seen() -> Record:
            ticket: Record = caller.get(f"/tickets/{ticket_id}").json()
            assert tickets_found(caller) == [ticket]
            return ticket

        now += 10
        workspace.update_ticket(
            ticket_id, ticket_state=states[1], ticket_attributes={"Order": 7}, open=False
        )
        ticket = seen()
        assert (ticket["updated_at"], ticket["open"]) == (NOW + 10, False)
        assert ticket["ticket_state"]["category"] == "resolved"
        assert ticket["previous_ticket_state_id"] == states[0]
        assert ticket["ticket_attributes"] == {"Order": 7}
        now += 10
        part_id = workspace.add_ticket_part(ticket_id, body="<p>Done</p>")
        assert seen()["updated_at"] == NOW + 20
        now += 10
        workspace.add_ticket_part(ticket_id, moves_ticket=False, part_type="close")
        ticket = seen()
        assert (ticket["updated_at"], max_part(ticket)) == (NOW + 20, NOW + 30)
        workspace.redact_ticket_part(ticket_id, part_id)
        first = seen()["ticket_parts"]["ticket_parts"][0]
        assert (first["redacted"], first["body"], first["updated_at"]) == (True, "", NOW + 30)
        now += 10
        workspace.link_ticket(ticket_id, conversation_id)
        assert seen()["updated_at"] == NOW + 40
        linked = caller.get(f"/conversations/{conversation_id}").json()
        assert linked["linked_objects"]["data"] == [
            {"type": "ticket", "id": ticket_id, "category": "Customer"}
        ]
        assert linked["updated_at"] == NOW + 40
        (link,) = workspace.truth("ticket_link")
        assert link == {
            "ticket_id": ticket_id,
            "ticket_updated_at": NOW + 40,
            "linked_object_type": "conversation",
            "linked_object_id": conversation_id,
            "category": None,
        }
        assert len(workspace.truth("conversation_link")) == 1
        unlinking = {"ticket_id": ticket_id, "other_id": conversation_id}
        edit = {"operation": "unlink_ticket", "arguments": unlinking}
        assert caller.post("/_sandbox/edits", edit).status_code == 200
        assert workspace.truth("ticket_link") == workspace.truth("conversation_link") == []
        workspace.delete_ticket(ticket_id)
        assert tickets_found(caller) == []
        assert code(caller.get(f"/tickets/{ticket_id}")) == (404, "ticket_not_found")


def test_a_conversation_that_is_a_ticket_is_found_as_both() -> None:
    workspace = Workspace()
    contact_id = workspace.add_contact(external_id="u1")
    conversation_id = workspace.add_conversation(updated_at=NOW, contacts=[contact_id])
    with serving(workspace) as caller:
        assert tickets_found(caller) == []
        workspace.update_conversation(
            conversation_id, ticket={"type": "ticket", "ticket_id": "7"}, admin_assignee_id=12
        )
        (ticket,) = tickets_found(caller)
        assert (ticket["id"], ticket["ticket_id"]) == (conversation_id, "7")
        assert ticket["admin_assignee_id"] == 12
        assert rows(ticket["contacts"])[0]["external_id"] == "u1"
        workspace.reply(conversation_id, created_at=NOW + 2**31)
        assert tickets_found(caller)[0]["updated_at"] == NOW + 2**31
        workspace.delete_ticket(conversation_id)
        assert tickets_found(caller) == []
        assert caller.get(f"/conversations/{conversation_id}").json()["ticket"] is None
        workspace.update_conversation(conversation_id, ticket={"type": "ticket"})
        workspace.delete_conversation(conversation_id)
        assert tickets_found(caller) == []


def test_older_versions_have_older_tickets() -> None:
    workspace = Workspace()
    state_id = workspace.add_ticket_state("submitted")
    ticket_id = workspace.add_ticket(ticket_state=state_id, admin_assignee_id=5)
    with serving(workspace) as caller:
        old = answer_of(caller, f"/tickets/{ticket_id}", "2.15").json()
        assert (old["admin_assignee_id"], old["team_assignee_id"]) == ("5", "0")
        assert "previous_ticket_state_id" not in old
        assert old["ticket_state"]["id"] == state_id
        older = answer_of(caller, f"/tickets/{ticket_id}", "2.11").json()
        assert older["ticket_state"] == "submitted"
        assert older["ticket_state_internal_label"] == "Submitted"


# Rows that belong to others


def test_answers_are_the_truth_to_the_end_of_small_pages(sample: Caller) -> None:
    truth = sample.sandbox.truth
    for table, parents, owner, path, per_page in (
        ("contact_notes", "contacts", "contact", "/contacts/{}/notes", 2),
        ("company_notes", "companies", "company", "/companies/{}/notes", 2),
    ):
        found = [
            row
            for parent in truth(parents)
            for row in walk(sample, path.format(parent["id"]), "data", per_page)
        ]
        assert in_order(found) == in_order([without_owner(each, owner) for each in truth(table)])
        assert found
    for conversation in truth("conversations"):
        conversation_id = conversation["id"]
        path = f"/conversations/{conversation_id}/side_conversations"
        for side in walk(sample, path, "side_conversations", 1):
            (mine,) = rows_of(sample, "side_conversations", side["side_conversation_id"])
            assert mine["conversation_id"] == conversation_id
            assert mine["total_count"] == side["total_count"] == len(side["conversation_parts"])
            parts = [
                without(without_owner(each, "conversation"), "side_conversation_id")
                for each in rows_of(sample, "side_conversation_parts", side["side_conversation_id"])
            ]
            assert side["conversation_parts"] == parts
        events = caller_rows(sample, f"/conversations/{conversation_id}/handling_events")
        assert events == [
            without(without_owner(each, "conversation"), "teammate_id")
            for each in truth("handling_events")
            if each["conversation_id"] == conversation_id
        ]
        calls = sample.get(f"/fin_voice/conversation/{conversation_id}").json()
        assert calls == [
            without_owner(each, "conversation")
            for each in truth("fin_voice_calls")
            if each["conversation_id"] == conversation_id
        ]


def rows_of(sample: Caller, table: str, side_conversation_id: str) -> Rows:
    return [
        each
        for each in sample.sandbox.truth(table)
        if each["side_conversation_id"] == side_conversation_id
    ]


def caller_rows(caller: Caller, path: str) -> Rows:
    return rows(caller.get(path).json())


def test_links_are_complete_beyond_the_ten_that_search_shows(sample: Caller) -> None:
    truth = sample.sandbox.truth
    contacts = [each["id"] for each in truth("contacts")]
    for table, path, field in (
        ("contact_tag", "tags", "tag_id"),
        ("contact_segment", "segments", "segment_id"),
        ("contact_subscription", "subscriptions", "subscription_type_id"),
    ):
        found = {
            (contact_id, each["id"])
            for contact_id in contacts
            for each in caller_rows(sample, f"/contacts/{contact_id}/{path}")
        }
        assert found == {(each["contact_id"], each[field]) for each in truth(table)}
        assert len(found) == len(truth(table)) > 0
    companies = {
        (contact_id, each["id"])
        for contact_id in contacts
        for each in walk(sample, f"/contacts/{contact_id}/companies", "data", 20)
    }
    links = {(each["contact_id"], each["company_id"]) for each in truth("contact_company")}
    assert companies == links
    attached = {
        (each["id"], company["id"])
        for company in truth("companies")
        for each in walk(sample, f"/companies/{company['id']}/contacts", "data", 3)
    }
    backwards = {(each["contact_id"], each["company_id"]) for each in truth("company_contact")}
    assert attached == backwards == links
    segments = {
        (company["id"], each["id"], each["name"])
        for company in truth("companies")
        for each in caller_rows(sample, f"/companies/{company['id']}/segments")
    }
    assert segments == {
        (each["company_id"], each["segment_id"], each["segment_name"])
        for each in truth("company_segment")
    }


def test_conversations_show_their_links_in_their_rows(sample: Caller) -> None:
    truth = sample.sandbox.truth
    page = sample.search("conversations", EVERYTHING, pagination={"per_page": 150}).json()
    tags = [
        (each["id"], tag["id"], tag["name"], tag["applied_at"], tag["applied_by"]["id"])
        for each in page["conversations"]
        for tag in each["tags"]["tags"]
    ]
    assert sorted(tags) == sorted(
        (
            each["conversation_id"],
            each["tag_id"],
            each["tag_name"],
            each["applied_at"],
            each["applied_by"]["id"],
        )
        for each in truth("conversation_tag")
    )
    for table, field, key, name in (
        ("conversation_contact", "contacts", "contacts", "contact_id"),
        ("conversation_teammate", "teammates", "admins", "teammate_id"),
        ("conversation_link", "linked_objects", "data", "linked_object_id"),
    ):
        found = [
            (each["id"], linked["id"])
            for each in page["conversations"]
            for linked in each[field][key]
        ]
        assert found
        assert sorted(found) == sorted(
            (each["conversation_id"], each[name]) for each in truth(table)
        )


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/contacts/{contact}/notes", 60),
        ("/companies/{company}/notes", 60),
        ("/companies/{company}/contacts", 150),
        ("/conversations/{conversation}/side_conversations", 50),
        ("/contacts/{contact}/merge_history", 150),
    ],
)
def test_pages_have_a_maximum_size(path: str, most: int) -> None:
    workspace = Workspace()
    path = path.format(
        contact=workspace.add_contact(),
        company=workspace.add_company(),
        conversation=workspace.add_conversation(),
    )
    with serving(workspace) as caller:
        assert caller.get(f"{path}?per_page={most}").status_code == 200
        refused = caller.get(f"{path}?per_page={most + 1}")
        assert code(refused) == (400, "parameter_invalid")


# Contacts and companies


def test_notes_are_written_and_counted() -> None:
    workspace = Workspace()
    contact_id = workspace.add_contact(updated_at=NOW)
    company_id = workspace.add_company(updated_at=NOW)
    for kind, owner, add in (
        ("contacts", contact_id, workspace.add_contact_note),
        ("companies", company_id, workspace.add_company_note),
    ):
        written = [add(owner, body=f"<p>{number}</p>") for number in range(12)]
        with serving(workspace) as caller:
            record = caller.get(f"/{kind}/{owner}").json()
            assert record["updated_at"] > NOW
            notes = record["notes"]
            assert (len(notes["data"]), notes["total_count"], notes["has_more"]) == (10, 12, True)
            found = walk(caller, f"/{kind}/{owner}/notes", "data", 5)
            assert [each["id"] for each in found] == written[::-1]
            assert found[0]["body"] == "<p>11</p>"
    workspace.delete_contact_note(contact_id, written[0])
    assert len(workspace.truth("company_notes")) == 12


def test_contacts_choose_what_they_get() -> None:
    workspace = Workspace()
    newsletter = workspace.add_subscription_type(consent_type="opt_out")
    texts = workspace.add_subscription_type(consent_type="opt_in")
    contact_id = workspace.add_contact()
    with serving(workspace) as caller:
        path = f"/contacts/{contact_id}"

        def chosen() -> set[str]:
            assert len(workspace.truth("contact_subscription")) == len(
                ids(caller.get(f"{path}/subscriptions").json())
            )
            return ids(caller.get(f"{path}/subscriptions").json())

        assert chosen() == set()
        workspace.unsubscribe_contact(contact_id, newsletter)
        workspace.subscribe_contact(contact_id, texts)
        assert chosen() == {newsletter, texts}
        contact = caller.get(path).json()
        assert contact["opted_out_subscription_types"]["data"][0]["id"] == newsletter
        assert contact["opted_in_subscription_types"]["data"][0]["id"] == texts
        workspace.subscribe_contact(contact_id, newsletter)
        workspace.unsubscribe_contact(contact_id, texts)
        assert chosen() == set()


def test_contacts_of_a_company_follow_edits() -> None:
    workspace = Workspace()
    company_id = workspace.add_company()
    first, second = (workspace.add_contact(companies=[company_id]) for _ in range(2))
    third = workspace.add_contact()
    with serving(workspace) as caller:

        def attached() -> set[str]:
            found = ids(caller.get(f"/companies/{company_id}/contacts").json())
            assert found == {each["contact_id"] for each in workspace.truth("company_contact")}
            return found

        assert attached() == {first, second}
        workspace.attach_company(third, company_id)
        assert attached() == {first, second, third}
        workspace.detach_company(first, company_id)
        assert attached() == {second, third}
        workspace.delete_contact(second)
        assert attached() == {third}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_merges_fill_the_merge_history(order: str) -> None:
    workspace = Workspace()
    target = workspace.add_contact(role="user")
    lead = workspace.add_contact(role="lead")
    sources = [workspace.add_contact(role="lead") for _ in range(5)]
    with serving(workspace) as caller:
        for source in sources:
            workspace.merge_contacts(source, target)
        path = f"/contacts/{target}/merge_history?per_page=2&order={order}"
        found: Rows = []
        cursor = ""
        while True:
            page = caller.get(path + cursor).json()
            found += page["data"]
            if not page["has_more"]:
                assert page["next_cursor"] is None
                break
            cursor = f"&cursor={page['next_cursor']}"
        merged = [each["source_contact_id"] for each in found]
        assert merged == (sources if order == "asc" else sources[::-1])
        assert [each["source_contact_role"] for each in found] == ["lead"] * 5
        truth = workspace.truth("contact_merge_history")
        assert in_order([without_owner(each, "contact") for each in truth]) == in_order(found)
        assert code(caller.get(f"/contacts/{lead}/merge_history")) == (404, "not_found")
        assert code(caller.get(path + "&cursor=nonsense")) == (400, "client_error")
        assert caller.get(f"/contacts/{target}/merge_history?order=up").status_code == 400
        shown = caller.post("/contacts/search?include_merge_history=true", {"query": EVERYTHING})
        histories = {each["id"]: each.get("merge_history") for each in shown.json()["data"]}
        assert in_order(histories[target] or []) == in_order(found)
        assert histories[lead] is None
        plain = caller.search("contacts", EVERYTHING).json()["data"]
        assert not any("merge_history" in each for each in plain)


def test_events_are_listed_for_90_days_and_summed_up_for_ever(sample: Caller) -> None:
    truth = sample.sandbox.truth
    users = [each["id"] for each in truth("contacts") if each["role"] == "user"]
    found: Rows = []
    summaries: Rows = []
    for user_id in users:
        path = f"/events?type=user&intercom_user_id={user_id}"
        listed = follow(sample, f"{path}&per_page=7")
        times = [each["created_at"] for each in listed]
        assert times == sorted(times, reverse=True)
        assert all(each > NOW - 90 * DAY for each in times)
        found += listed
        summary = sample.get(f"{path}&summary=true").json()
        assert summary["type"] == "event.summary"
        summaries += summary["events"]
    assert in_order(found) == in_order([without_owner(each, "contact") for each in truth("events")])
    assert len(found) > 50
    assert in_order(summaries) == in_order(
        [without_owner(each, "contact") for each in truth("event_summaries")]
    )
    assert sum(each["count"] for each in summaries) > len(found)


def test_events_are_asked_for_by_any_identifier() -> None:
    workspace = Workspace()
    contact_id = workspace.add_contact(external_id="u 1", email="a@example.com", updated_at=NOW)
    now = NOW
    with serving(workspace, clock=lambda: now) as caller:
        for number in range(3):
            now += 1
            workspace.add_event(contact_id, f"event {number}")
        for wanted in ({"user_id": "u 1"}, {"email": "a@example.com"}):
            answer = caller.get("/events", params={"type": "user", **wanted}).json()
            assert [each["event_name"] for each in answer["events"]] == [
                "event 2", "event 1", "event 0",
            ]  # fmt: skip
            assert answer["intercom_user_id"] == contact_id
        assert caller.get(f"/contacts/{contact_id}").json()["updated_at"] == NOW + 3
        path = f"/events?type=user&intercom_user_id={contact_id}&per_page=2"
        first = caller.get(path).json()
        workspace.add_event(contact_id, "newer")
        following = urlsplit(first["pages"]["next"])
        second = caller.get(f"{following.path}?{following.query}").json()
        assert [each["event_name"] for each in second["events"]] == ["event 0"]
        assert caller.get(f"/events?intercom_user_id={contact_id}").status_code == 400
        assert caller.get("/events?type=user&email=no@example.com").status_code == 404
        following = urlsplit(caller.get(path).json()["pages"]["next"])
        now = NOW + 1 + 90 * DAY
        second = caller.get(f"{following.path}?{following.query}").json()
        assert [each["event_name"] for each in second["events"]] == ["event 1"]
        now += DAY
        assert follow(caller, path) == []


# Conversations


def test_calls_of_20_conversations_come_with_their_transcripts(sample: Caller) -> None:
    conversation_ids = [each["id"] for each in sample.sandbox.truth("conversations")]
    found: Rows = []
    for start in range(0, len(conversation_ids), 20):
        body = {"conversation_ids": conversation_ids[start : start + 20]}
        found += sample.post("/calls/search", body).json()["data"]
    truth = sample.sandbox.truth("call_transcripts")
    names = ("id", "conversation_id", "transcript", "transcript_status")
    assert in_order([{name: each[name] for name in names} for each in found]) == in_order(
        [{name: each[name] for name in names} for each in truth]
    )
    assert {each["transcript_status"] for each in found} == {None, "completed"}
    for wrong in ([], ["1"] * 21, None):
        refused = sample.post("/calls/search", {"conversation_ids": wrong})
        assert code(refused) == (400, "conversation_id_limit_exceeded")


def test_edits_of_conversations_are_seen() -> None:
    workspace = Workspace()
    conversation_id = workspace.add_conversation(updated_at=NOW)
    now = NOW
    path = f"/conversations/{conversation_id}"
    with serving(workspace, clock=lambda: now) as caller:

        def assert_moved() -> None:
            assert caller.get(path).json()["updated_at"] == now
            assert workspace.truth("conversations")[0]["updated_at"] == now

        now += 10
        workspace.add_handling_event(conversation_id, "7", "resumed")
        assert_moved()
        (event,) = caller_rows(caller, f"{path}/handling_events")
        assert (event["teammate"]["id"], event["type"]) == (7, "resumed")
        now += 10
        side_id = workspace.add_side_conversation(conversation_id, [{"body": "<p>One</p>"}])
        assert_moved()
        now += 10
        workspace.add_side_conversation_part(conversation_id, side_id, body="<p>Two</p>")
        assert_moved()
        (side,) = caller_rows(caller, f"{path}/side_conversations")
        assert [each["body"] for each in side["conversation_parts"]] == ["<p>One</p>", "<p>Two</p>"]
        now += 10
        call_id = workspace.add_call(conversation_id, [{"text": "Hello"}])
        assert_moved()
        (call,) = caller.post("/calls/search", {"conversation_ids": [conversation_id]}).json()[
            "data"
        ]
        assert (call["id"], call["transcript"]) == (call_id, [{"text": "Hello"}])
        now += 10
        voice_id = workspace.add_fin_voice_call(conversation_id)
        assert_moved()
        (voice,) = caller.get(f"/fin_voice/conversation/{conversation_id}").json()
        assert voice["id"] == voice_id
        workspace.delete_conversation(conversation_id)
        for table in (
            "handling_events",
            "side_conversations",
            "side_conversation_parts",
            "call_transcripts",
            "fin_voice_calls",
        ):
            assert workspace.truth(table) == []
        assert (
            caller.post("/calls/search", {"conversation_ids": [conversation_id]}).json()["data"]
            == []
        )


# Sample data


def test_details_leave_the_main_records_of_a_seed_as_they_are() -> None:
    told = ["notes", "opted_in_subscription_types", "opted_out_subscription_types"]
    # Links to tickets, and pauses of the work.
    told += ["linked_objects", "statistics"]
    few, many = (generate(seed=3, tickets=size, details=size, now=NOW) for size in (0, 200))
    for table in ("contacts", "companies", "conversations", "conversation_parts", "segments"):
        first, second = (
            [without(each, *told) for each in workspace.truth(table)] for workspace in (few, many)
        )
        assert first == second
    assert few.truth("events") == few.truth("handling_events") == []
    assert few.truth("tickets") == [
        each for each in many.truth("tickets") if each["id"] in many.ticket_ids
    ]
    again = generate(seed=3, tickets=200, details=200, now=NOW)
    assert again.truth("tickets") == many.truth("tickets")
    assert again.truth("event_summaries") == many.truth("event_summaries")
