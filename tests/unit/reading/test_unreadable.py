"""Records that Intercom cannot send: skipped only while it sends others."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tap_intercom.errors import AuthError, ResponseError, RetryableError, TapError, UnavailableError
from tap_intercom.intercom.client import Client
from tap_intercom.reading.unreadable import (
    Narrowing,
    UnreadableError,
    check_others,
    may_be_of_one_page,
    may_be_of_one_record,
    read_again,
)

OUTAGE = UnavailableError("no answer")
LIMITED = RetryableError("429", rate_limited=True, status=429)


def refusal(status: int, code: str = "") -> ResponseError:
    return ResponseError("refused", status, code)


@pytest.mark.parametrize(
    ("error", "of_record", "of_page"),
    [
        (refusal(404), True, True),
        (refusal(410), True, False),
        (refusal(400), True, False),
        (refusal(422), True, False),
        (refusal(409), False, False),
        (refusal(404, "invalid_field"), True, False),
        (OUTAGE, True, True),
        (RetryableError("500", status=500), True, True),
        (LIMITED, False, False),
        (AuthError("refused", 403, "forbidden"), True, False),
        (AuthError("refused", 401, "unauthorized"), True, False),
        (AuthError("refused", 403, "api_plan_restricted"), False, False),
    ],
)
def test_some_failures_may_concern_one_record_or_page(
    error: TapError, of_record: bool, of_page: bool
) -> None:
    assert may_be_of_one_record(error) == of_record
    assert may_be_of_one_page(error) == of_page


class Intercom:
    """Fails for some records, as often as told; hasty clients are the same."""

    def __init__(self, **failures: list[TapError]) -> None:
        self.failures = failures
        self.read_ids: list[str] = []

    def hasty(self, seconds: float) -> Intercom:
        return self

    def read(self, client: Client, record_id: str) -> str:
        self.read_ids.append(record_id)
        if self.failures.get(record_id):
            raise self.failures[record_id].pop(0)
        return f"record {record_id}"

    @property
    def client(self) -> Client:
        return cast(Client, self)

    def again(self, *others: str) -> str:
        return read_again(self.read, self.client, "bad", others, OUTAGE)


def test_a_record_that_can_be_read_again_is_not_skipped() -> None:
    assert Intercom().again("a") == "record bad"


def test_a_record_is_skipped_between_two_others_that_can_be_read() -> None:
    intercom = Intercom(bad=[refusal(404)])
    with pytest.raises(UnreadableError):
        intercom.again("a", "b")
    assert intercom.read_ids == ["a", "bad", "a"]


def test_an_outage_skips_nothing() -> None:
    down = [OUTAGE] * 9
    with pytest.raises(UnavailableError):
        Intercom(bad=list(down), a=list(down), b=list(down)).again("a", "b")
    # It began after the first of the others was read.
    with pytest.raises(UnavailableError):
        Intercom(bad=list(down), a=[], b=list(down)).again("b")


def test_an_error_of_all_records_is_not_that_of_one() -> None:
    of_plan = AuthError("refused", 403, "api_plan_restricted")
    with pytest.raises(AuthError):
        Intercom(bad=[of_plan]).again("a")


def test_one_of_the_others_is_enough() -> None:
    intercom = Intercom(a=[OUTAGE], b=[OUTAGE])
    check_others(intercom.read, intercom.client, ["a", "b", "c"], OUTAGE)
    assert intercom.read_ids == ["a", "b", "c"]
    # The first gets all retries before the run gives up.
    check_others(intercom.read, intercom.client, ["a"], OUTAGE)
    with pytest.raises(UnavailableError):
        check_others(intercom.read, intercom.client, [], OUTAGE)


class Search:
    """Pages of which all with the bad record fail; it is the one at a place of the search."""

    def __init__(self, bad_place: int, is_down: bool = False) -> None:
        self.bad_place = bad_place
        self.is_down = is_down
        self.sizes: list[int] = []

    def ask(self, client: Client, size: int) -> int:
        self.sizes.append(size)
        if self.is_down or size > self.bad_place:
            raise RetryableError("504", status=504)
        return size

    def control(self, client: Client, spot: Any) -> None:
        if self.is_down:
            raise OUTAGE

    def narrowing(self) -> Narrowing[str]:
        client = cast(Client, Intercom())
        return Narrowing(client, 150, self.control, ["start", "end"])


def test_a_page_becomes_smaller_until_it_can_be_read_and_stays_so() -> None:
    search = Search(bad_place=10)
    narrowing = search.narrowing()
    size = narrowing.send(search.ask)
    assert 1 <= size <= 10
    assert narrowing.size == size
    assert narrowing.send(search.ask) == size


def test_a_first_record_that_cannot_be_read_is_told() -> None:
    search = Search(bad_place=0)
    with pytest.raises(UnreadableError):
        search.narrowing().send(search.ask)


def test_a_search_that_is_down_is_no_unreadable_record() -> None:
    search = Search(bad_place=0, is_down=True)
    with pytest.raises(UnavailableError) as error:
        search.narrowing().send(search.ask)
    assert not isinstance(error.value, UnreadableError)


def test_a_wrong_query_is_not_narrowed() -> None:
    def ask(client: Client, size: int) -> None:
        raise refusal(400, "invalid_field")

    with pytest.raises(ResponseError, match="refused"):
        Search(bad_place=0).narrowing().send(ask)
