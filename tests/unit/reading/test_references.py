"""The ids in a schema, and the columns that they join."""

from __future__ import annotations

from tap_intercom.reading.references import Holder, Reference, references_of

TAG = {"type": "string", "references": "tags.id"}
PERSON = {
    "type": "string",
    "references": {"admins.id": {"type": ["admin"]}, "contacts.id": {"type": ["user", "lead"]}},
}


def test_a_column_references_one_table() -> None:
    schema = {"properties": {"name": {"type": "string"}, "tag_id": TAG}}
    assert [*references_of(schema)] == [Reference((), "tag_id", TAG, "tags.id", {})]


def test_the_record_of_an_id_may_be_gone() -> None:
    merged = {"type": "string", "former_id_of": "contacts.id"}
    (found,) = references_of({"properties": {"source_contact_id": merged}})
    assert (found.target, found.is_former) == ("contacts.id", True)


def test_an_id_may_be_of_several_tables() -> None:
    schema = {"properties": {"id": PERSON}}
    assert [(each.target, each.conditions) for each in references_of(schema)] == [
        ("admins.id", {"type": ["admin"]}),
        ("contacts.id", {"type": ["user", "lead"]}),
    ]


def test_references_are_found_in_objects_and_lists() -> None:
    by = {"properties": {"id": PERSON}}
    tags = {"items": {"properties": {"id": TAG, "applied_by": by}}}
    schema = {"properties": {"tags": {"properties": {"data": tags}}, "tag_ids": {"items": TAG}}}
    tags_list = (Holder("tags", is_list=False), Holder("data", is_list=True))
    found = [(each.holders, each.name, each.target) for each in references_of(schema)]
    assert found == [
        (tags_list, "id", "tags.id"),
        ((*tags_list, Holder("applied_by", is_list=False)), "id", "admins.id"),
        ((*tags_list, Holder("applied_by", is_list=False)), "id", "contacts.id"),
    ]
