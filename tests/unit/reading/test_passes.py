"""Passes over a list: read again until no record that existed all the time can be missing."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tap_intercom.errors import ContractError, ResponseError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import ByCursor, Numbered
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.passes import MAX_PASSES, ListPass, read_until_whole
from tap_intercom.reading.stream_run import StreamRun
from tap_intercom.settings import Settings


class Things(ListStream):
    """A list that is newest first."""

    name = "things"
    path = "/things"


class Logs(Things):
    """A list whose records neither leave nor change."""

    is_append_only = True


class Unclear(Things):
    """A list whose order is not documented."""

    has_documented_order = False


class Listing:
    """A numbered list that people change while it is read: each page is followed by an edit."""

    def __init__(self, *ids: str, size: int = 2) -> None:
        self.ids = list(ids)
        self.size = size
        self.edits: list[Any] = []
        self.asked = 0
        self.shortfalls: list[str] = []

    def __call__(self, path: str, params: Mapping[str, Any]) -> Answer:
        self.asked += 1
        number = int(params["page"])
        shown = self.ids[(number - 1) * self.size : number * self.size]
        total = len(self.ids)
        total_pages = max(-(-total // self.size), number)
        body = {
            "data": [{"id": each, "updated_at": int(each)} for each in shown],
            "total_count": total,
            "pages": {"next": None, "page": number, "total_pages": total_pages},
        }
        if self.edits:
            edit = self.edits.pop(0)
            if edit:
                edit(self.ids)
        return Answer(b"", body, "")

    def run(self) -> StreamRun:
        def note(stream: str, kind: str, text: str, missing: int) -> None:
            self.shortfalls.append(text)

        run = SimpleNamespace(settings=Settings(), note_shortfall=note)
        return cast(StreamRun, run)

    def read(self, stream: ListStream | None = None, since: int | None = None) -> list[str]:
        """The new records of all passes."""
        stream = stream or Things()
        read = read_until_whole(self.run(), stream, self, "/things", Numbered(self.size), {}, since)
        return [
            record["id"]
            for answer, tally in read
            for record in answer.body["data"]
            if tally.is_new(record)
        ]


def removing(record_id: str) -> Any:
    return lambda ids: ids.remove(record_id)


def adding(record_id: str) -> Any:
    return lambda ids: ids.insert(0, record_id)


def test_one_page_is_read_once() -> None:
    listing = Listing("2", "1")
    assert listing.read() == ["2", "1"]
    assert listing.asked == 1


def test_several_pages_are_read_until_two_passes_agree() -> None:
    listing = Listing("5", "4", "3", "2", "1")
    assert listing.read() == ["5", "4", "3", "2", "1"]
    assert listing.asked == 6


def test_a_list_that_only_grows_is_read_once() -> None:
    listing = Listing("5", "4", "3", "2", "1")
    assert listing.read(Logs()) == ["5", "4", "3", "2", "1"]
    assert listing.asked == 3


def test_a_record_that_slipped_to_a_page_before_comes_in_the_next_pass() -> None:
    listing = Listing("5", "4", "3", "2", "1")
    # After the first page, 3 moves to the first page; 6 hides that from the count.
    listing.edits = [removing("5"), adding("6")]
    assert sorted(listing.read()) == ["1", "2", "3", "4", "5", "6"]


def test_a_list_that_never_stays_is_an_error() -> None:
    ids = [str(number) for number in range(40, 0, -1)]
    listing = Listing(*ids, size=20)
    # Each pass misses a record that the pass before had.
    listing.edits = [edit for number in range(MAX_PASSES) for edit in (removing(ids[number]), None)]
    with pytest.raises(ContractError, match=f"was read {MAX_PASSES} times"):
        listing.read()


def test_a_cursor_that_always_expires_is_told_as_the_reason() -> None:
    listing = Listing("3", "2", "1")

    def send(path: str, params: Mapping[str, Any]) -> Answer:
        if "starting_after" in params:
            raise ResponseError("client_error", 400, "client_error")
        answer = listing(path, {"page": 1})
        answer.body["pages"] = {"next": {"starting_after": "c"}}
        return answer

    read = read_until_whole(listing.run(), Things(), send, "/things", ByCursor(2), {})
    with pytest.raises(ContractError, match="the page cursor expired"):
        list(read)
    assert listing.asked == MAX_PASSES


def test_a_count_that_is_too_high_is_told_once_two_passes_agree() -> None:
    listing = Listing("3", "2", "1")

    def send(path: str, params: Mapping[str, Any]) -> Answer:
        answer = listing(path, params)
        answer.body["total_count"] += 1
        return answer

    read = read_until_whole(listing.run(), Things(), send, "/things", Numbered(2), {})
    assert len(list(read)) == 4
    assert listing.shortfalls == ["1 of 4 that Intercom counts in /things"]


def test_a_pass_ends_after_all_wanted_records() -> None:
    listing = Listing(*(str(number) for number in range(100, 0, -1)), size=25)
    wanted = listing.read(since=60)
    assert wanted[:41] == [str(number) for number in range(100, 59, -1)]
    # Two pages in each of two passes, out of four.
    assert listing.asked == 4


def test_an_order_that_may_be_that_of_ids_ends_no_pass() -> None:
    listing = Listing(*(str(number) for number in range(199, 99, -1)), size=25)
    listing.read(Unclear(), since=160)
    assert listing.asked == 8


@pytest.mark.parametrize(
    ("times", "since", "shows_all"),
    [
        (range(100, 40, -1), 50, True),
        (range(100, 40, -1), 41, False),
        (range(100, 40, -1), None, False),
        (range(100, 90, -1), 95, False),
        ([*range(100, 40, -1), 99], 50, False),
    ],
)
def test_wanted_records_are_all_shown_only_by_a_certain_order(
    times: Any, since: int | None, shows_all: bool
) -> None:
    tally = ListPass(Things(), since, set())
    page = [{"id": f"{at % 7}-{number}", "updated_at": at} for number, at in enumerate(times)]
    tally.add(page, 1000)
    assert tally.shows_all_wanted == shows_all
