"""Which access tokens may send a request."""

from __future__ import annotations

import pytest

from tap_intercom.errors import AuthError
from tap_intercom.intercom.tokens import Tokens

TAGS, TEAMS = "GET /tags", "GET /teams"


def refused(token: int, status: int = 403) -> AuthError:
    error = AuthError("no", status)
    error.token = token
    return error


def never(token: int) -> bool:
    raise AssertionError("nobody needs to know")


def test_a_token_without_a_permission_is_left_out_where_it_is_refused() -> None:
    tokens = Tokens(3)
    assert tokens.refuse({1}, TAGS, refused(1), never)
    assert tokens.able(TAGS) == [0, 2]
    assert tokens.able(TEAMS) == [0, 1, 2]


def test_a_request_that_all_refuse_says_nothing_about_them() -> None:
    tokens = Tokens(3)
    assert tokens.refuse({1}, TAGS, refused(1), never)
    # Two tokens may read the list; this request is about what nobody can read.
    assert tokens.refuse({0}, TAGS, refused(0), never)
    assert tokens.able(TAGS, {0}) == [2]
    assert not tokens.refuse({0, 2}, TAGS, refused(2), never)
    assert tokens.able(TAGS) == [0, 2]


def test_a_request_is_sent_once_with_each_token() -> None:
    tokens = Tokens(2)
    assert tokens.refuse({0}, TAGS, refused(0), never)
    # Meanwhile, another request found that the refusal was of its record.
    assert not tokens.refuse({0, 1}, TAGS, refused(1), never)
    assert tokens.refuse({1}, TAGS, refused(1), never)
    assert tokens.able(TAGS, {1}) == [0]
    assert not tokens.refuse({0, 1}, TAGS, refused(0), never)


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_401_may_mean_the_token_or_a_permission(is_dead: bool) -> None:
    tokens = Tokens(2)
    asked: list[int] = []

    def answer(token: int) -> bool:
        asked.append(token)
        return is_dead

    for _ in range(3):
        assert tokens.refuse({0}, TAGS, refused(0, 401), answer)
    assert asked == [0]
    assert tokens.living == ([1] if is_dead else [0, 1])


def test_the_last_token_stays(caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(2)
    tokens.leave_out(0)
    tokens.leave_out(1)
    assert tokens.living == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "access_token: token 1 of 2: Intercom does not accept it; the tap goes on without it"
    ]
