"""How lists continue: every known form of the next page, and no list that ends in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tap_intercom.errors import ContractError, ResponseError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import (
    MAX_REPEATED_RECORDS,
    WHOLE,
    BrokenOffError,
    ByCursor,
    ByTime,
    Numbered,
    Paging,
    Position,
    Repeats,
    content_of,
    only_page,
    read_pages,
    total_count,
)

NUMBERED, CURSOR, TIME = Numbered(50), ByCursor(50), ByTime()
PAGE_2 = Position("page", "2", 2)


def answer(body: dict[str, Any]) -> Answer:
    return Answer(b"", body, "2026-01-31T12:00:00Z")


def pages(**pages: Any) -> dict[str, Any]:
    return {"data": [{"id": "1"}], "pages": pages}


URL = "https://api.eu.intercom.io/articles"


@pytest.mark.parametrize(
    ("paging", "body", "following"),
    [
        (WHOLE, {"data": []}, None),
        (WHOLE, {"data": [], "pages": None}, None),
        (NUMBERED, pages(next=None, page=1, total_pages=1), None),
        (NUMBERED, pages(next=None, page=1, total_pages=2), PAGE_2),
        (NUMBERED, pages(next=f"{URL}?per_page=50&page=2", page=1, total_pages=2), PAGE_2),
        (NUMBERED, pages(next=2, page=1), PAGE_2),
        (NUMBERED, pages(next="2", page=1), PAGE_2),
        (NUMBERED, pages(next={"page": 2}, page=1), PAGE_2),
        (NUMBERED, {"data": [], "total_pages": 2}, PAGE_2),
        (NUMBERED, {"data": [], "total_pages": "2"}, PAGE_2),
        (NUMBERED, pages(next={"starting_after": "c"}), Position("starting_after", "c", 2)),
        (CURSOR, pages(next=None), None),
        (CURSOR, pages(next={"page": 2, "starting_after": "c"}),
         Position("starting_after", "c", 2)),
        (CURSOR, pages(next="12345"), Position("starting_after", "12345", 2)),
        (CURSOR, pages(next=f"{URL}?starting_after=c%3D"), Position("starting_after", "c=", 2)),
        (CURSOR, {"data": [], "next_cursor": "c", "has_more": True}, Position("cursor", "c", 2)),
        (CURSOR, {"data": [], "next_cursor": "c", "has_more": False}, None),
        (TIME, pages(next=f"{URL}?before=123"), Position("before", "123", 2)),
    ],
)  # fmt: skip
def test_the_next_page_is_found_in_every_form(
    paging: Paging, body: dict[str, Any], following: Position | None
) -> None:
    assert paging.step(body, None).following == following


@pytest.mark.parametrize(
    ("paging", "body"),
    [
        (CURSOR, pages(next={})),
        (CURSOR, pages(next={"page": 3})),
        (CURSOR, pages(next=["c"])),
        (CURSOR, pages(next=7)),
        (NUMBERED, pages(next=f"{URL}?page=7", page=1)),
        (CURSOR, {"data": [], "has_more": True}),
        (CURSOR, {"data": [], "pages": [1]}),
        (NUMBERED, pages(total_pages="many")),
        (NUMBERED, pages(total_pages=1.5)),
    ],
)
def test_a_list_that_may_go_on_is_never_taken_for_whole(
    paging: Paging, body: dict[str, Any]
) -> None:
    with pytest.raises(ContractError, match="there may be more pages"):
        paging.step(body, None)


@pytest.mark.parametrize(
    ("total", "count"),
    [(5, 5), ("5", 5), (5.0, 5), (None, None), (5.5, None), (True, None), ("many", None)],
)
def test_the_count_of_a_list_is_a_whole_number_or_not_known(total: Any, count: int | None) -> None:
    assert total_count({"total_count": total}) == count


def test_parameters_name_the_page_and_its_size() -> None:
    after = Position("starting_after", "c", 2)
    assert CURSOR.params(None) == {"per_page": 50}
    assert CURSOR.params(after) == {"per_page": 50, "starting_after": "c"}
    assert CURSOR.params(after, is_sized=False) == {"starting_after": "c"}
    assert NUMBERED.params(None) == {"per_page": 50, "page": "1"}
    assert NUMBERED.params(after) == {"per_page": 50, "starting_after": "c"}
    assert WHOLE.params(None) == {}


def test_a_page_size_is_limited_but_never_raised() -> None:
    assert CURSOR.limited(10).params(None) == {"per_page": 10}
    assert CURSOR.limited(1000).params(None) == CURSOR.limited(None).params(None)
    assert WHOLE.limited(10) is WHOLE


def test_a_content_changes_with_ids_and_times_only() -> None:
    one = {"id": "1", "updated_at": 5, "name": "a"}
    assert content_of([one]) == content_of([one | {"name": "b"}])
    assert content_of([one]) != content_of([one | {"updated_at": 6}])
    assert content_of([one]) != content_of([one | {"id": "2"}])
    assert content_of(["a", "b"]) != content_of(["a", "c"])
    assert content_of([{"name": "a"}]) != content_of([{"name": "b"}])


def test_pages_may_repeat_a_while() -> None:
    repeats = Repeats()
    assert not repeats.note(1, 150)
    assert repeats.note(1, 150)
    assert not repeats.note(2, 150)
    assert repeats.note(1, 150)
    with pytest.raises(ContractError, match="keeps sending the same page"):
        repeats.note(2, MAX_REPEATED_RECORDS - 150)


# Reading all pages


class List:
    """Sends the pages of a list: bodies or errors, by the value of the position."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []

    def __call__(self, path: str, params: Mapping[str, Any]) -> Answer:
        self.asked.append(params)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return answer(found)

    def read(self, paging: Paging = CURSOR) -> list[str]:
        return [
            record["id"] for page in read_pages(self, "/x", paging) for record in page.body["data"]
        ]


def page(record_id: str, after: str | None = None, **more: Any) -> dict[str, Any]:
    following = after and {"starting_after": after}
    return {"data": [{"id": record_id}], "pages": {"next": following, **more}}


def test_all_pages_are_read_each_once() -> None:
    found = List(page("1", "a"), page("2", "b"), page("3"))
    assert found.read() == ["1", "2", "3"]
    assert [each.get("starting_after") for each in found.asked] == [None, "a", "b"]


def test_numbered_pages_are_read_to_the_last() -> None:
    found = List(*(page(str(n), page=n, total_pages=3) for n in (1, 2, 3)))
    assert found.read(NUMBERED) == ["1", "2", "3"]
    assert [each["page"] for each in found.asked] == ["1", "2", "3"]


def test_pages_in_a_circle_are_an_error() -> None:
    with pytest.raises(ContractError, match="the same page cursor twice"):
        List(page("1", "a"), page("2", "b"), page("3", "a")).read()


def test_the_same_page_for_another_number_is_an_error() -> None:
    pages_of = [page("1", page=1, total_pages=3), page("1", page=1, total_pages=3)]
    with pytest.raises(ContractError, match="the same page for another page number"):
        List(*pages_of).read(NUMBERED)


def test_fewer_pages_than_counted_are_an_error_after_the_last_one() -> None:
    found = read_pages(List(page("1", "a", total_pages=3), page("2", total_pages=3)), "/x", CURSOR)
    assert next(found).body["data"] == [{"id": "1"}]
    assert next(found).body["data"] == [{"id": "2"}]
    with pytest.raises(BrokenOffError, match="counts 3 pages, but page 2 names no next page"):
        next(found)


def refusal(status: int, code: str = "parameter_invalid") -> ResponseError:
    return ResponseError("refused", status, code)


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ((page("1", "a"), refusal(400)), BrokenOffError),
        ((page("1", "a"), refusal(404)), ResponseError),
        ((refusal(400),), ResponseError),
    ],
)
def test_a_cursor_that_expired_breaks_the_list_off(
    answers: tuple[dict[str, Any] | Exception, ...], error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        List(*answers).read()
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("paging", "status", "sizes"),
    [
        (ByCursor(50, has_guessed_size=True), 400, [50, None, None]),
        (ByCursor(50, has_guessed_size=True), 422, [50, None, None]),
        (ByCursor(50, has_guessed_size=True), 404, [50]),
        (ByCursor(50), 400, [50]),
    ],
)
def test_a_guessed_size_is_left_out_once_it_was_refused(
    paging: Paging, status: int, sizes: list[int | None]
) -> None:
    found = List(refusal(status), page("1", "a"), page("2"))
    read: Callable[[], object] = lambda: found.read(paging)  # noqa: E731
    if len(sizes) > 1:
        assert read() == ["1", "2"]
    else:
        with pytest.raises(ResponseError):
            read()
    assert [each.get("per_page") for each in found.asked] == sizes


def test_a_list_without_pages_may_not_go_on() -> None:
    whole = answer({"data": [], "total_count": 0})
    assert only_page(whole) is whole
    with pytest.raises(ContractError, match="although Intercom documents only one"):
        only_page(answer(pages(next={"starting_after": "c"})))
