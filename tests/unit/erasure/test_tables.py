"""Where tables have ids, addresses and texts of contacts."""

from __future__ import annotations

from typing import Any

import pytest
from erasable import PERSON, table

from tap_intercom.erasure.steps import AllOf, AnyOf, HasEntry, IsOneOf, Not
from tap_intercom.erasure.tables import Person, Table, has_mark, marked

WHO = Person((PERSON,))
CONTACTS = ("user", "lead", "contact")
TEXT = {"type": ["null", "string"]}


@pytest.mark.parametrize(
    ("stream", "columns"),
    [
        ("contacts", ["id"]),
        ("contact_tag", ["contact_id"]),
        ("events", ["contact_id", "intercom_user_id"]),
        ("conversations", []),
        ("companies", []),
    ],
)
def test_rows_of_a_contact_have_its_id_in_a_column(stream: str, columns: list[str]) -> None:
    assert [name for name, _ in table(stream).links("contacts.id")] == columns


def test_a_condition_goes_with_the_column_that_it_needs() -> None:
    is_contact = IsOneOf(("stream",), ("contacts",))
    assert [*table("deletions").links("contacts.id")] == [
        ("id", is_contact),
        ("merged_into", None),
    ]
    found = table("deletions", without=("stream",)).links("contacts.id")
    assert [*found] == [("merged_into", None)]


def test_an_author_has_the_id_and_the_type_of_a_contact() -> None:
    parts = table("conversation_parts")
    (author,) = parts.authors
    by_id = AllOf((IsOneOf(("author", "id"), (PERSON,)), IsOneOf(("author", "type"), CONTACTS)))
    assert parts.is_author(author, WHO) == by_id
    by_address = IsOneOf(("author", "email"), ("a@b.c",), in_any_case=True)
    assert parts.is_author(author, Person((PERSON,), ("a@b.c",))) == AnyOf((by_id, by_address))


def test_another_contact_has_another_id_that_is_not_empty() -> None:
    (other,) = table("conversation_parts").others(WHO)
    not_this = Not(IsOneOf(("author", "id"), (PERSON, "")))
    assert other == AllOf((not_this, IsOneOf(("author", "type"), CONTACTS)))


def test_contacts_inside_lists_are_found() -> None:
    found = {
        stream: [path for path, _, _ in table(stream).lists]
        for stream in ("conversations", "tickets", "articles")
    }
    assert found == {
        "conversations": [("contacts",)],
        "tickets": [("contacts", "contacts"), ("ticket_parts", "ticket_parts")],
        "articles": [],  # a tag is not about who put it there
    }
    entry = IsOneOf(("id",), (PERSON,))
    assert HasEntry(("contacts", "contacts"), entry) in [*table("tickets").persons(WHO)]


def test_contacts_of_a_list_are_found_by_their_id_alone() -> None:
    talk = table("conversations")
    inside = talk.columns["contacts"]["items"]["properties"]
    only_id = {**talk.columns["contacts"], "items": {"properties": {"id": inside["id"]}}}
    contacts = Table(talk.stream, talk.name, talk.keys, {"properties": {"contacts": only_id}})
    assert [path for path, _, _ in contacts.lists] == [("contacts",)]


def test_lists_of_addresses_are_found_in_objects() -> None:
    assert [*table("conversations").lists_of_addresses()] == [
        (("source", "recipients"), "email"),
        (("source", "reply_to"), "email"),
        (("source", "email_message_metadata", "email_address_headers"), "email_address"),
    ]


def test_texts_without_author_do_not_include_what_says_whose_it_is() -> None:
    columns = table("conversations").without_author()
    assert {"title", "custom_attributes", "ai_agent", "ticket"} <= {*columns}
    # By their author, of a contact, of teammates and of a company.
    assert not {"source", "conversation_rating", "contacts", "statistics", "company"} & {*columns}


def test_personal_columns_hold_no_key() -> None:
    assert table("calls").personal[:2] == ("contact_id", "recording_url")
    assert table("conversation_contact").personal == ("external_id",)
    assert table("handling_events").personal == ()


def test_a_field_that_the_schema_file_does_not_have_is_personal() -> None:
    schema = {"properties": {"name": TEXT, "new": TEXT, "tags": {"items": {"properties": {}}}}}
    notes: dict[str, Any] = {"properties": {"name": TEXT, "tags": {"items": {"properties": {}}}}}
    columns = marked(schema, notes)["properties"]
    assert [name for name, each in columns.items() if has_mark(each)] == ["new"]
