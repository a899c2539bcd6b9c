"""The ids that an erasure looks up before it changes anything."""

from __future__ import annotations

from erasable import PERSON, every_table, table

from tap_intercom.erasure.collected import Collected
from tap_intercom.erasure.steps import Collect, IsAmong, IsOneOf, Subtract, all_of, used_ids
from tap_intercom.erasure.tables import Person, Table

WHO = Person((PERSON,))


def collected(*tables: Table) -> Collected:
    return Collected({each.stream: each for each in tables}, WHO)


def test_each_set_is_made_of_earlier_ones() -> None:
    made: set[str] = set()
    for name, step in collected(*every_table()).steps.items():
        assert used_ids(step) <= made
        made.add(name)
    assert {"external_ids", "conversations", "own_tickets", "calls"} <= made


def test_every_table_that_knows_contacts_of_a_conversation_is_asked() -> None:
    step = collected(*every_table()).steps["conversations"]
    assert isinstance(step, Collect)
    assert {each.table for each in step.sources} >= {
        *("conversations", "conversation_contact", "conversation_parts", "calls"),
        *("side_conversation_parts", "content_export_receipt"),
    }


def test_own_talks_are_those_without_other_contacts() -> None:
    steps = collected(table("conversation_contact")).steps
    shared = steps["shared_conversations"]
    assert isinstance(shared, Collect)
    assert IsAmong(("conversation_id",), "conversations") in getattr(
        shared.sources[0].where, "conditions", ()
    )
    own = steps["own_conversations"]
    assert isinstance(own, Subtract)
    assert (own.whole, own.part) == ("conversations", "shared_conversations")


def test_messages_are_also_found_by_other_names_of_the_person() -> None:
    tables = {each.stream: each for each in (table("contacts"), table("content_export_receipt"))}
    step = Collected(tables, Person((PERSON,), ("a@b.c",))).steps["content_export_receipt"]
    assert isinstance(step, Collect)
    assert getattr(step.sources[0].where, "conditions", None) == (
        IsOneOf(("user_id",), (PERSON,)),
        IsAmong(("user_external_id",), "external_ids"),
        IsOneOf(("email",), ("a@b.c",), in_any_case=True),
    )


def test_what_is_not_selected_is_not_asked() -> None:
    assert not collected(table("tags")).steps
    assert not collected(table("contacts", without=("external_id",))).steps
    assert [*collected(table("contacts")).steps] == ["external_ids"]


def test_a_set_that_does_not_exist_gives_no_condition() -> None:
    sets = collected(table("calls"))
    kind = IsOneOf(("type",), ("x",))
    assert sets.among("call_id", "tickets") is None
    assert sets.among("call_id", "calls") == IsAmong(("call_id",), "calls")
    assert sets.among("call_id", "calls", kind) == all_of(IsAmong(("call_id",), "calls"), kind)
