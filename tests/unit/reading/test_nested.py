"""Lists inside records: which entries came, how many are missing, and where the rest is read."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from tap_intercom.errors import ContractError
from tap_intercom.intercom.client import Answer
from tap_intercom.reading.nested import Found, NestedList, WholeList, WholeRecord
from tap_intercom.reading.stream_run import StreamRun

TAGS = NestedList("tags")
BARE = NestedList("ids", is_bare=True)
TEAMMATES = NestedList("teammates", keys=("admins", "teammates"))
DEEP = NestedList("source.attachments", is_bare=True)
ONE, TWO = {"id": "1"}, {"id": "2"}


def tags(*entries: Any, **around: Any) -> dict[str, Any]:
    return {"tags": {"type": "list", "data": list(entries), **around}}


@pytest.mark.parametrize(
    ("nested", "record", "missing"),
    [
        (TAGS, tags(ONE, TWO, total_count=2, has_more=False), 0),
        (TAGS, tags(ONE, total_count=3), 2),
        (TAGS, tags(ONE, total_count="3"), 2),
        (TAGS, tags(ONE, has_more=True), 1),
        (TAGS, tags(ONE, next_cursor="c"), 1),
        (TAGS, tags(ONE, pages={"next": {"page": 2}}), 1),
        (TAGS, tags(ONE, None, total_count=2), 1),
        (TAGS, tags(), 0),
        (TAGS, {"tags": None}, 0),
        (TAGS, {}, 0),
        (TAGS, {"tags": "many"}, 1),
        (TAGS, {"tags": {"type": "list", "entries": [ONE]}}, 1),
        (TAGS, {"tags": {"type": "list", "data": None, "total_count": 0}}, 0),
        (NestedList("tags", is_always_sent=True), {"tags": None}, 1),
        (BARE, {"ids": [1, 2]}, 0),
        (BARE, {"ids": [1, [2]]}, 1),
        (NestedList("ids", is_bare=True, uncounted_limit=2), {"ids": [1, 2]}, 1),
        (NestedList("ids", is_bare=True, uncounted_limit=3), {"ids": [1, 2]}, 0),
        (NestedList("ids", is_bare=True, count_field="count"), {"ids": [1], "count": 4}, 3),
        (TEAMMATES, {"teammates": {"admins": [ONE]}}, 0),
        (DEEP, {"source": {"attachments": [ONE]}}, 0),
        (DEEP, {"source": None}, 0),
    ],
)
def test_missing_entries_are_counted(
    nested: NestedList, record: dict[str, Any], missing: int
) -> None:
    assert nested.read(record).missing == missing
    is_in_place = nested.is_whole(record)
    assert is_in_place == (missing == 0)


def test_a_list_in_another_place_is_not_whole_for_the_table() -> None:
    # All entries came, but the table looks for them under the first key.
    record: dict[str, Any] = {"teammates": {"teammates": [ONE]}}
    assert TEAMMATES.read(record) == Found([ONE], 0)
    assert not TEAMMATES.is_whole(record)
    TEAMMATES.put(record, None)
    assert record == {"teammates": {"admins": [ONE]}}
    assert TEAMMATES.is_whole(record)
    assert not TAGS.is_whole({"tags": [ONE]})
    assert not BARE.is_whole({"ids": {"data": [1]}})


def test_only_the_records_with_a_cut_list_are_found() -> None:
    page = [tags(ONE, total_count=1), tags(ONE, total_count=2), {}, tags(TWO, has_more=True)]
    assert TAGS.cut(page, range(4)) == [1, 3]
    assert TAGS.cut(page, [0, 1, 2]) == [1]
    assert TAGS.cut(page, []) == []
    assert DEEP.cut([{"source": {"attachments": {"data": [ONE]}}}], [0]) == [0]


def test_rows_are_objects_and_bare_ids_become_some() -> None:
    assert TAGS.rows(tags(ONE, None, "3", ["4"])) == [ONE, {"id": "3"}]


def test_found_entries_go_where_the_table_expects_them() -> None:
    record = tags(ONE, total_count=2, has_more=True)
    TAGS.put(record, Found([ONE, TWO], 0))
    assert record == tags(ONE, TWO, total_count=2, has_more=False)
    bare: dict[str, Any] = {"ids": {"data": [1]}}
    BARE.put(bare, Found([1, 2], 0))
    assert bare == {"ids": [1, 2]}
    # An empty list stays as Intercom sent it.
    empty: dict[str, Any] = {"tags": None}
    TAGS.put(empty, None)
    assert empty == {"tags": None}


@pytest.mark.parametrize(
    ("nested", "found", "text", "is_known"),
    [
        (NestedList("parts", limit=2), Found([1, 2], 3), "beyond the 2 that the API returns", True),
        (NestedList("parts", limit=2), Found([1], 3), "Intercom counts did not come", False),
        (NestedList("parts", counts_hidden=True), Found([], 1), "that no endpoint returns", True),
        (NestedList("parts"), Found([], 1, has_more=True), "that no endpoint returns", True),
        (
            NestedList("parts", whole=WholeRecord("/x/{id}")),
            Found([], 1, has_more=True),
            "Intercom counts did not come",
            False,
        ),
    ],
)
def test_a_shortfall_says_whether_the_entries_can_come(
    nested: NestedList, found: Found, text: str, is_known: bool
) -> None:
    reason, is_of_api = nested.shortfall(found)
    assert reason.startswith("entries of parts")
    assert text in reason
    assert is_of_api == is_known


# Reading the rest


class Intercom:
    """Sends one answer after the other, and notes what was asked for."""

    def __init__(self, *bodies: dict[str, Any]) -> None:
        self.bodies = list(bodies)
        self.asked: list[str] = []

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        self.asked.append(path)
        body = self.bodies.pop(0)
        return Answer(orjson.dumps(body), body, "")

    @property
    def run(self) -> StreamRun:
        return cast(StreamRun, SimpleNamespace(client=self))


def test_a_whole_list_is_read_page_by_page() -> None:
    following = {"next": {"starting_after": "c"}}
    intercom = Intercom({"data": [ONE], "pages": following}, {"data": [TWO]})
    record = {"id": "c1"} | tags(ONE, total_count=3)
    found = WholeList("/contacts/{id}/tags").read(intercom.run, TAGS, record)
    assert found == Found([ONE, TWO], 1)
    assert intercom.asked == ["/contacts/c1/tags"] * 2


def test_whole_records_become_links() -> None:
    intercom = Intercom({"data": [{"type": "tag", "id": "1", "name": "VIP"}]})
    whole = WholeList("/contacts/{id}/tags", link="/tags/{id}")
    found = whole.read(intercom.run, TAGS, {"id": "c1"} | tags())
    assert found.entries == [{"type": "tag", "id": "1", "url": "/tags/1"}]


def test_subscriptions_of_the_other_list_are_left_out() -> None:
    sent = [
        {"id": "1", "consent_type": "opt_out"},
        {"id": "2", "consent_type": "opt_in"},
        {"id": "3", "consent_type": "opt_out"},
    ]
    whole = WholeList("/contacts/{id}/subscriptions", consent_type="opt_in")
    found = whole.read(Intercom({"data": sent}).run, TAGS, {"id": "c1"} | tags({"id": "3"}))
    assert [each["id"] for each in found.entries] == ["2", "3"]


def test_an_answer_without_the_list_is_an_error() -> None:
    with pytest.raises(ContractError, match="the answer has no list 'data'"):
        WholeList("/contacts/{id}/tags").read(Intercom({"tags": []}).run, TAGS, {"id": "c1"})


@pytest.mark.parametrize(("sent", "expected"), [([ONE, TWO], 2), ([], 1)])
def test_of_two_records_the_one_with_more_entries_counts(
    sent: list[dict[str, Any]], expected: int
) -> None:
    record = {"id": "c1"} | tags(ONE, total_count=2)
    found = WholeRecord("/contacts/{id}").read(Intercom(tags(*sent)).run, TAGS, record)
    assert len(found.entries) == expected
