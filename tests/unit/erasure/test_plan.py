"""Which rows of which tables an erasure deletes, empties or keeps."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from erasable import PERSON, every_table, table
from paths import ROOT

from tap_intercom.erasure.plan import LEFT_ALONE, plan
from tap_intercom.erasure.steps import (
    AllOf,
    BlankColumns,
    Collect,
    DeleteRows,
    IsAmong,
    IsOneOf,
    ListFiles,
    RemoveEntries,
    Step,
    Subtract,
    used_ids,
)
from tap_intercom.erasure.tables import MARK, Person, Table
from tap_intercom.streams import STREAMS

WHO = Person((PERSON,), ("a@b.c",))


def planned(*tables: Table, keeps_talks: bool = False, person: Person = WHO) -> list[Step]:
    return plan(tables, person, keeps_talks=keeps_talks)


def deleted(steps: Iterable[Step]) -> list[str]:
    return [each.table for each in steps if isinstance(each, DeleteRows)]


def blanked(steps: Iterable[Step]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in steps:
        if isinstance(each, BlankColumns):
            found.setdefault(each.table, set()).update(each.columns)
    return found


def changed(steps: Iterable[Step]) -> set[str]:
    kinds = (DeleteRows, BlankColumns, RemoveEntries)
    return {each.table for each in steps if isinstance(each, kinds)}


@pytest.mark.parametrize("keeps_talks", [False, True])
def test_every_table_with_personal_fields_is_changed_or_left_alone(keeps_talks: bool) -> None:
    """A new table with personal fields needs a reference, or a reason here."""
    personal = {each.stream for each in every_table() if MARK in str(each.schema)}
    of_teammates = {"handling_events"} if keeps_talks else set()
    touched = changed(planned(*every_table(), keeps_talks=keeps_talks))
    assert personal - touched - of_teammates == LEFT_ALONE.keys()


@pytest.mark.parametrize("stream", sorted(LEFT_ALONE))
def test_what_is_left_alone_exists(stream: str) -> None:
    assert stream in STREAMS
    assert not planned(table(stream))


@pytest.mark.parametrize(("stream", "reason"), LEFT_ALONE.items())
def test_the_page_says_what_is_left_alone(stream: str, reason: str) -> None:
    page = (ROOT / "docs" / "erasure.md").read_text(encoding="utf-8")
    assert f"| `{stream}` | {reason} |" in page


@pytest.mark.parametrize("keeps_talks", [False, True])
def test_sets_are_made_before_any_change(keeps_talks: bool) -> None:
    steps = planned(*every_table(), keeps_talks=keeps_talks)
    makes = [isinstance(each, (Collect, Subtract)) for each in steps]
    assert makes == sorted(makes, reverse=True)
    made = {each.ids for each in steps if isinstance(each, (Collect, Subtract))}
    assert set().union(*map(used_ids, steps)) == made


def test_files_are_listed_first_and_contacts_deleted_last() -> None:
    steps = planned(*every_table())
    (listed,) = [each for each in steps if isinstance(each, ListFiles)]
    tables = deleted(steps)
    first = next(each for each in steps if isinstance(each, DeleteRows))
    assert first.table == listed.values.table == "attachments"
    assert first.where == listed.values.where
    assert steps.index(listed) < steps.index(first)
    assert tables[-3:] == ["conversations", "tickets", "contacts"]
    assert tables.index("content_export_click") < tables.index("content_export_receipt")


def test_talks_without_other_contacts_go_or_stay() -> None:
    gone, kept = (planned(*every_table(), keeps_talks=each) for each in (False, True))
    talks = {"conversations", "conversation_parts", "tickets", "ticket_parts", "calls"}
    assert talks <= {*deleted(gone)}
    assert not talks & {*deleted(kept)}
    assert {"attachments", "contacts", "conversation_contact"} <= {*deleted(kept)}
    assert blanked(kept)["calls"] >= {"contact_id", "phone"}
    assert "calls" not in blanked(gone)
    assert blanked(kept)["conversations"] >= {"title", "source", "contacts"}


def test_who_of_the_teammates_wrote_stays() -> None:
    steps = planned(*every_table(), keeps_talks=True)
    authors = [
        each.where
        for each in steps
        if isinstance(each, BlankColumns)
        and each.table == "conversation_parts"
        and "author" in each.columns
    ]
    is_contact = IsOneOf(("author", "type"), ("user", "lead", "contact"))
    is_own = IsAmong(("conversation_id",), "own_conversations")
    assert authors[0] == AllOf((is_own, is_contact))
    assert all("author" in str(each) for each in authors)


def test_rows_of_talks_with_others_are_emptied_by_their_author() -> None:
    found = blanked(planned(*every_table()))
    assert found["conversation_parts"] >= {"body", "author", "attachments"}
    assert found["conversation_part_attachment"] == {"name", "url"}
    assert found["conversations"] >= {"title", "source", "conversation_rating"}
    assert not {"statistics", "contacts", "state", "company"} & found["conversations"]
    assert "handling_events" not in found


def test_entries_about_the_person_leave_lists_that_others_are_in() -> None:
    steps = planned(table("conversations"), table("tickets"))
    paths = {(each.table, each.path) for each in steps if isinstance(each, RemoveEntries)}
    assert {
        ("conversations", ("contacts",)),
        ("conversations", ("source", "recipients")),
        ("tickets", ("ticket_parts", "ticket_parts")),
    } <= paths
    without_address = planned(table("conversations"), person=Person((PERSON,)))
    lists = [each.path for each in without_address if isinstance(each, RemoveEntries)]
    assert lists == [("contacts",)]


def test_what_is_not_selected_is_in_no_step() -> None:
    steps = planned(table("conversation_parts", without=("body", "email_message_metadata")))
    assert {"conversation_parts"} == changed(steps)
    assert not {"body", "email_message_metadata"} & blanked(steps)["conversation_parts"]
    assert not planned(table("tags"), table("admins"))


def test_a_table_keeps_its_name_in_the_target() -> None:
    contacts = table("contacts")
    renamed = Table("contacts", "people", contacts.keys, contacts.schema)
    assert deleted(planned(renamed)) == ["people"]
