"""The local Intercom behaves as Intercom's own description and its known oddities say."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
import requests
from description import description
from jsonschema import Draft4Validator, RefResolver  # type: ignore[import-untyped]
from paths import ROOT

from intercom_sandbox import Sandbox, Workspace, generate

NOW = 1_780_000_000


class Caller:
    """A client with the right token."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sandbox.token}"
        self.session.headers["Intercom-Version"] = "2.16"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.sandbox.url + path, timeout=10, **options)

    def post(self, path: str, body: object = None, **options: Any) -> requests.Response:
        return self.session.post(self.sandbox.url + path, json=body, timeout=10, **options)

    def search(self, kind: str, query: object, **body: Any) -> requests.Response:
        return self.post(f"/{kind}/search", {"query": query, **body})

    def found(self, kind: str, query: object, **body: Any) -> set[str]:
        body = {"pagination": {"per_page": 150}, **body}
        return ids(self.search(kind, query, **body).json())


def ids(page: dict[str, Any]) -> set[str]:
    return {record["id"] for record in rows(page)}


def rows(page: dict[str, Any]) -> list[dict[str, Any]]:
    return next(value for value in page.values() if isinstance(value, list))


def code(response: requests.Response) -> tuple[int, str]:
    body = response.json()
    assert body["type"] == "error.list"
    assert body["request_id"]
    return response.status_code, body["errors"][0]["code"]


def where(field: str, operator: str, value: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


def every(*filters: object) -> dict[str, object]:
    return {"operator": "AND", "value": list(filters)}


def either(*filters: object) -> dict[str, object]:
    return {"operator": "OR", "value": list(filters)}


EVERYTHING = where("updated_at", ">", 0)
ASCENDING = {"field": "updated_at", "order": "ascending"}


@contextmanager
def serving(workspace: Workspace | None = None, **options: Any) -> Iterator[Caller]:
    with Sandbox(workspace or Workspace(), **options) as sandbox:
        caller = Caller(sandbox)
        yield caller
        caller.session.close()


@pytest.fixture(scope="module")
def sample() -> Iterator[Caller]:
    """The default sample, which no test edits."""
    with serving(generate(seed=1, now=NOW)) as caller:
        yield caller


# Token, version, permissions


@pytest.mark.parametrize("header", [None, "Bearer wrong", "sandbox-token"])
def test_a_wrong_token_is_refused(sample: Caller, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    response = requests.get(sample.sandbox.url + "/me", headers=headers, timeout=10)
    assert code(response) == (401, "unauthorized")


def test_me_tells_workspace_timezone_and_clock() -> None:
    with serving(timezone="Europe/Dublin", region="EU", clock_offset_seconds=-3600) as caller:
        response = caller.get("/me")
        app = response.json()["app"]
        assert (app["timezone"], app["region"], app["id_code"]) == (
            "Europe/Dublin",
            "EU",
            "sandbox1",
        )
        date = datetime.strptime(response.headers["Date"], "%a, %d %b %Y %H:%M:%S %Z")
        assert abs(date.replace(tzinfo=ZoneInfo("UTC")).timestamp() - (time.time() - 3600)) < 5


def test_the_date_header_can_be_left_out() -> None:
    with serving(date_header=False) as caller:
        assert "Date" not in caller.get("/me").headers


@pytest.mark.parametrize(
    ("version", "path", "expected"),
    [
        ("2.16", "/conversations/attributes", 200),
        ("Preview", "/conversations/attributes", 200),
        ("2.15", "/conversations/attributes", 400),
        ("2.9", "/conversations/attributes", 400),
        ("2.99", "/me", 400),
        ("latest", "/me", 400),
        ("2.7", "/me", 200),
        ("2.16", "/data_attributes?model=conversation", 422),
        ("2.15", "/data_attributes?model=conversation", 200),
    ],
)
def test_endpoints_depend_on_the_version(
    sample: Caller, version: str, path: str, expected: int
) -> None:
    response = sample.get(path, headers={"Intercom-Version": version})
    assert response.status_code == expected
    if expected == 400:
        assert code(response)[1] == "intercom_version_invalid"


def test_older_versions_have_older_types() -> None:
    workspace = Workspace()
    contact_id = workspace.add_contact(owner_id="7000001")
    conversation_id = workspace.add_conversation(priority="high")
    older = {"headers": {"Intercom-Version": "2.15"}}
    with serving(workspace) as caller:
        assert caller.get(f"/contacts/{contact_id}").json()["owner_id"] == "7000001"
        assert caller.get(f"/contacts/{contact_id}", **older).json()["owner_id"] == 7000001
        newer = caller.get(f"/conversations/{conversation_id}").json()
        assert (newer["priority"], newer["admin_assignee_id"]) == ("high", 0)
        old = caller.get(f"/conversations/{conversation_id}", **older).json()
        assert (old["priority"], old["admin_assignee_id"]) == ("priority", None)


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_permission_is_refused(status: int) -> None:
    with serving(permissions={"tags"}, refusal_status=status) as caller:
        assert caller.get("/tags").status_code == 200
        assert caller.get("/me").status_code == 200
        for path in ("/contacts", "/admins", "/teams", "/companies/scroll"):
            assert code(caller.get(path)) == (status, "token_unauthorized")
        assert code(caller.search("tickets", EVERYTHING)) == (status, "token_unauthorized")


def test_the_company_list_needs_the_permission_to_write() -> None:
    with serving(permissions={"users_companies_read"}) as caller:
        assert caller.get("/companies/scroll").status_code == 200
        assert caller.post("/companies/list").status_code == 403


def test_ticket_conversations_are_left_out_without_the_tickets_permission() -> None:
    workspace = generate(seed=1, now=NOW)
    tickets = {each["id"] for each in workspace.truth("tickets")}
    everything = {each["id"] for each in workspace.truth("conversations")}
    assert tickets
    with serving(workspace) as caller:
        assert caller.found("conversations", EVERYTHING) == everything
        assert caller.found("tickets", EVERYTHING) == tickets
        caller.sandbox.options.permissions.remove("tickets")
        page = caller.search("conversations", EVERYTHING, pagination={"per_page": 150}).json()
        assert ids(page) == everything - tickets
        assert page["total_count"] == len(everything - tickets)
        assert ids(caller.get("/conversations?per_page=150").json()) == everything - tickets


def test_unknown_endpoints_are_not_found(sample: Caller) -> None:
    assert code(sample.get("/nothing/here")) == (404, "not_found")
    assert code(sample.post("/contacts")) == (404, "not_found")


# Search: grammar


GROUP_OF_15 = either(*[where("id", "=", str(number)) for number in range(15)])


@pytest.mark.parametrize(
    ("kind", "query", "expected"),
    [
        ("contacts", EVERYTHING, 200),
        ("contacts", every(EVERYTHING), 200),
        ("contacts", every(every(EVERYTHING), either(where("role", "=", "user"))), 200),
        ("contacts", GROUP_OF_15, 200),
        ("contacts", where("updated_at", ">", "1700000000"), 200),
        ("contacts", where("custom_attributes.Plan", "~", "te"), 200),
        ("contacts", where("custom_attributes.trial_ends_at", "<", NOW), 200),
        ("contacts", where("tag_id", "=", "9000001"), 200),
        ("conversations", where("updated_at", ">=", 1), 200),
        ("conversations", where("updated_at", "<=", 1), 200),
        ("conversations", where("updated_at", "!=", 1), 200),
        ("contacts", None, 400),
        ("contacts", [], 400),
        ("contacts", {}, 400),
        ("contacts", every(), 400),
        ("contacts", either(*GROUP_OF_15["value"], EVERYTHING), 400),  # type: ignore[misc]
        ("contacts", every(every(every(EVERYTHING))), 400),
        ("contacts", every(EVERYTHING, either(EVERYTHING)), 400),
        ("contacts", where("nothing", "=", 1), 400),
        ("contacts", where("custom_attributes.nothing", "=", 1), 400),
        ("contacts", where("role", "like", "user"), 400),
        ("contacts", where("role", "IN", "user"), 400),
        ("contacts", where("role", "=", ["user"]), 400),
        ("contacts", where("updated_at", ">", "yesterday"), 400),
        ("contacts", where("updated_at", ">=", 1), 400),
        ("contacts", where("updated_at", "<=", 1), 400),
        ("contacts", where("updated_at", "!=", 1), 400),
        ("contacts", where("updated_at", "IN", [1]), 400),
        ("contacts", where("custom_attributes.trial_ends_at", ">=", 1), 400),
        ("contacts", where("tag_id", "IN", ["1"]), 400),
        ("contacts", {"field": "role", "operator": "="}, 400),
        ("contacts", {"operator": "=", "value": "user"}, 400),
    ],
)
def test_queries_keep_to_the_grammar(
    sample: Caller, kind: str, query: object, expected: int
) -> None:
    response = sample.search(kind, query)
    assert response.status_code == expected, response.text
    if expected != 200:
        code(response)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"sort": {"field": "updated_at", "order": "desc"}}, (400, "invalid_sort_order")),
        ({"sort": {"field": "nothing", "order": "ascending"}}, (400, "invalid_field")),
        ({"pagination": {"per_page": 151}}, (400, "parameter_invalid")),
        ({"pagination": {"per_page": 0}}, (400, "parameter_invalid")),
        ({"pagination": {"per_page": "many"}}, (400, "parameter_invalid")),
        ({"pagination": {"starting_after": "nonsense"}}, (400, "client_error")),
        ({"pagination": 3}, (400, "parameter_invalid")),
    ],
)
def test_wrong_sorts_and_pages_are_refused(
    sample: Caller, body: dict[str, object], expected: tuple[int, str]
) -> None:
    assert code(sample.search("contacts", EVERYTHING, **body)) == expected


def test_a_body_that_is_no_json_is_refused(sample: Caller) -> None:
    url = sample.sandbox.url + "/contacts/search"
    assert sample.session.post(url, data="{", timeout=10).status_code == 400


@pytest.mark.parametrize(
    ("kind", "query", "selects"),
    [
        ("contacts", where("role", "=", "lead"), lambda c: c["role"] == "lead"),
        ("contacts", where("role", "!=", "lead"), lambda c: c["role"] != "lead"),
        ("contacts", where("phone", "=", None), lambda c: c["phone"] is None),
        ("contacts", where("email", "~", "EXAMPLE.com"), lambda c: "example.com" in c["email"]),
        ("contacts", where("email_domain", "!~", "mail"), lambda c: "@mail" not in c["email"]),
        ("contacts", where("email", "^", "person1"), lambda c: c["email"][:7] == "person1"),
        ("contacts", where("email", "$", ".org"), lambda c: c["email"][-4:] == ".org"),
        (
            "contacts",
            where("custom_attributes.Plan", "IN", ["free", "team"]),
            lambda c: c["custom_attributes"]["Plan"] in ("free", "team"),
        ),
        (
            "contacts",
            where("custom_attributes.plan", "NIN", ["a", "b"]),
            lambda c: c["custom_attributes"]["plan"] not in ("a", "b"),
        ),
        (
            "contacts",
            where("custom_attributes.score", ">", 5),
            lambda c: (c["custom_attributes"]["score"] or 0) > 5,
        ),
        (
            "contacts",
            where("tag_id", "=", "9000003"),
            lambda c: "9000003" in [tag["id"] for tag in c["tags"]["data"]],
        ),
        ("contacts", where("location.country", "=", "Japan"),
         lambda c: c["location"]["country"] == "Japan"),
        ("contacts", where("unsubscribed_from_emails", "=", True),
         lambda c: c["unsubscribed_from_emails"]),
        (
            "contacts",
            either(every(where("role", "=", "user"), where("owner_id", "=", "7000003")),
                   every(where("role", "=", "lead"), where("email", "=", None))),
            lambda c: (c["role"], c["owner_id"]) == ("user", "7000003")
            or (c["role"] == "lead" and c["email"] == ""),
        ),
        ("conversations", where("state", "=", "open"), lambda c: c["state"] == "open"),
        ("conversations", where("open", "=", False), lambda c: not c["open"]),
        ("conversations", where("admin_assignee_id", "=", "7000001"),
         lambda c: c["admin_assignee_id"] == 7000001),
        ("conversations", where("source.author.email", "~", "@"),
         lambda c: bool(c["source"]["author"]["email"])),
        ("conversations", where("tag_ids", "IN", ["9000001", "9000002"]),
         lambda c: {"9000001", "9000002"} & {tag["id"] for tag in c["tags"]["tags"]}),
        ("conversations", where("conversation_rating.score", ">", 3),
         lambda c: ((c["conversation_rating"] or {}).get("rating") or 0) > 3),
        ("conversations", where("ai_agent_participated", "=", True),
         lambda c: c["ai_agent_participated"]),
        ("conversations", where("statistics.count_reopens", "=", 0),
         lambda c: (c["statistics"] or {"count_reopens": -1})["count_reopens"] == 0),
    ],
)  # fmt: skip
def test_queries_select_what_they_say(
    sample: Caller, kind: str, query: object, selects: Any
) -> None:
    expected = {
        each["id"]
        for each in sample.sandbox.truth(kind)
        if selects({**each, "email": each.get("email") or ""})
    }
    assert 0 < len(expected) < len(sample.sandbox.truth(kind))
    found: set[str] = set()
    pagination: dict[str, Any] = {"per_page": 150}
    while pagination:
        page = sample.search(kind, query, pagination=pagination).json()
        found |= ids(page)
        assert page["total_count"] == len(expected)
        following = page["pages"].get("next")
        pagination = {"per_page": 150, **following} if following else {}
        pagination.pop("page", None)
    assert found == expected


# Search: dates


PACIFIC = ZoneInfo("America/Los_Angeles")


def at(text: str, zone: ZoneInfo = PACIFIC) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


EDITS = {
    "day before": at("2026-01-14T23:59:59"),
    "midnight": at("2026-01-15T00:00:00"),
    "first": at("2026-01-15T00:00:01"),
    "utc midnight": at("2026-01-15T16:00:00"),
    "last": at("2026-01-15T23:59:59"),
    "day after": at("2026-01-16T00:00:00"),
}


@pytest.fixture(scope="module")
def midnight() -> Iterator[Caller]:
    workspace = Workspace(timezone="America/Los_Angeles")
    for name, updated_at in EDITS.items():
        workspace.add_contact(id=name, updated_at=updated_at)
        workspace.add_conversation(id=name, updated_at=updated_at)
    with serving(workspace) as caller:
        yield caller


@pytest.mark.parametrize(
    ("days", "operator", "value", "expected"),
    [
        ("workspace", ">", "day before", "midnight, first, utc midnight, last, day after"),
        ("workspace", ">", "midnight", "day after"),
        ("workspace", ">", "utc midnight", "day after"),
        ("workspace", ">", "last", "day after"),
        ("workspace", ">", "day after", ""),
        ("workspace", "<", "day before", ""),
        ("workspace", "<", "midnight", "day before"),
        ("workspace", "<", "last", "day before"),
        ("workspace", "<", "day after", "day before, midnight, first, utc midnight, last"),
        ("workspace", "=", "midnight", "midnight, first, utc midnight, last"),
        ("workspace", "=", "last", "midnight, first, utc midnight, last"),
        ("workspace", "=", "day after", "day after"),
        ("utc", ">", "day before", "utc midnight, last, day after"),
        ("utc", ">", "first", "utc midnight, last, day after"),
        ("utc", ">", "utc midnight", ""),
        ("utc", "<", "last", "day before, midnight, first"),
        ("utc", "=", "midnight", "day before, midnight, first"),
        ("utc", "=", "day after", "utc midnight, last, day after"),
        ("exact", ">", "midnight", "first, utc midnight, last, day after"),
        ("exact", "<", "midnight", "day before"),
        ("exact", "=", "midnight", "midnight"),
        ("exact", ">=", "last", "last, day after"),
    ],
)
def test_contacts_are_searched_by_day(
    midnight: Caller, days: Any, operator: str, value: str, expected: str
) -> None:
    midnight.sandbox.options.contact_days = days
    found = midnight.found("contacts", where("updated_at", operator, EDITS[value]))
    assert found == set(filter(None, expected.split(", ")))


def test_a_period_of_contacts_is_its_days_and_sorted_by_the_second(midnight: Caller) -> None:
    midnight.sandbox.options.contact_days = "workspace"
    start, end = EDITS["first"], EDITS["day after"]
    query = either(
        every(where("updated_at", ">", start), where("updated_at", "<", end)),
        every(where("updated_at", "=", start)),
    )
    page = midnight.search("contacts", query, sort=ASCENDING).json()
    assert [row["id"] for row in page["data"]] == ["midnight", "first", "utc midnight", "last"]


@pytest.mark.parametrize("kind", ["contacts", "conversations"])
def test_search_takes_milliseconds_for_seconds_far_ahead(midnight: Caller, kind: str) -> None:
    midnight.sandbox.options.contact_days = "workspace"
    assert midnight.found(kind, where("updated_at", ">", 1_780_000_000_000)) == set()
    assert midnight.found(kind, where("updated_at", ">", -(10**15))) == set(EDITS)


def test_the_longest_day_of_a_year_has_25_hours() -> None:
    workspace = Workspace(timezone="America/Los_Angeles")
    start = at("2026-11-01T00:00:00")
    for hours in (0, 24, 25):
        workspace.add_contact(id=f"after {hours} hours", updated_at=start + hours * 3600)
    with serving(workspace) as caller:
        found = caller.found("contacts", where("updated_at", "=", start))
        assert found == {"after 0 hours", "after 24 hours"}


@pytest.mark.parametrize(
    ("inclusive", "operator", "expected"),
    [
        (False, ">", "utc midnight, last, day after"),
        (True, ">", "first, utc midnight, last, day after"),
        (False, ">=", "first, utc midnight, last, day after"),
        (False, "<", "day before, midnight"),
        (True, "<", "day before, midnight"),
        (False, "<=", "day before, midnight, first"),
        (False, "=", "first"),
        (False, "!=", "day before, midnight, utc midnight, last, day after"),
    ],
)
def test_conversations_are_searched_by_the_second(
    midnight: Caller, inclusive: bool, operator: str, expected: str
) -> None:
    midnight.sandbox.options.greater_includes_equal = inclusive
    found = midnight.found("conversations", where("updated_at", operator, EDITS["first"]))
    assert found == set(expected.split(", "))


# Search: pages


def walk(caller: Caller, kind: str = "contacts", per_page: int = 10, **body: Any) -> Iterator[Any]:
    starting_after = None
    while True:
        pagination = {"per_page": per_page, "starting_after": starting_after}
        page = caller.search(kind, EVERYTHING, pagination=pagination, **body).json()
        yield page
        if "next" not in page["pages"]:
            return
        starting_after = page["pages"]["next"]["starting_after"]


@pytest.mark.parametrize("cursors", ["value", "position"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("field", ["updated_at", "created_at", "name"])
def test_pages_cover_all_records_in_order(cursors: str, order: str, field: str) -> None:
    workspace = generate(seed=2, contacts=45, now=NOW)
    with serving(workspace, cursors=cursors) as caller:
        pages = list(walk(caller, sort={"field": field, "order": order}))
        assert [len(page["data"]) for page in pages] == [10, 10, 10, 10, 5]
        assert {page["total_count"] for page in pages} == {45}
        assert [page["pages"]["page"] for page in pages] == [1, 2, 3, 4, 5]
        assert {page["pages"]["total_pages"] for page in pages} == {5}
        found = [row for page in pages for row in page["data"]]
        assert len({row["id"] for row in found}) == 45
        values = [row[field] for row in found if row[field] is not None]
        assert values == sorted(values, reverse=order == "descending")


def test_without_a_sort_the_newest_come_first(sample: Caller) -> None:
    page = sample.search("contacts", EVERYTHING).json()
    times = [row["updated_at"] for row in page["data"]]
    assert len(times) == 50
    assert times == sorted(times, reverse=True)


def test_a_cursor_in_the_query_string_is_ignored(sample: Caller) -> None:
    first = sample.search("contacts", EVERYTHING).json()
    starting_after = first["pages"]["next"]["starting_after"]
    again = sample.post(f"/contacts/search?starting_after={starting_after}", {"query": EVERYTHING})
    assert ids(again.json()) == ids(first)


@pytest.mark.parametrize(("cursors", "is_lost"), [("position", True), ("value", False)])
def test_a_row_that_leaves_lets_others_slip_past_a_positional_cursor(
    cursors: str, is_lost: bool
) -> None:
    workspace = Workspace()
    for number in range(30):
        workspace.add_conversation(id=f"{number:02}", updated_at=NOW + number)
    with serving(workspace, cursors=cursors) as caller:
        seen: set[str] = set()
        for number, page in enumerate(walk(caller, "conversations", sort=ASCENDING)):
            seen |= ids(page)
            if number == 0:
                workspace.delete_conversation("05")
        assert ("10" not in seen) == is_lost
        assert seen | {"10"} == {f"{number:02}" for number in range(30)}


def test_a_sort_need_not_be_honoured() -> None:
    with serving(generate(contacts=60, now=NOW), sort_honoured=False) as caller:
        found = [row for page in walk(caller, sort=ASCENDING) for row in page["data"]]
        times = [row["updated_at"] for row in found]
        assert len({row["id"] for row in found}) == 60
        assert times != sorted(times)


def test_cursors_can_die() -> None:
    with serving(generate(contacts=60, now=NOW), cursor_lifetime=2) as caller:
        first = caller.search("contacts", EVERYTHING).json()
        pagination = {"starting_after": first["pages"]["next"]["starting_after"]}
        assert caller.search("contacts", EVERYTHING, pagination=pagination).status_code == 200
        caller.search("contacts", EVERYTHING)
        caller.search("contacts", EVERYTHING)
        dead = caller.search("contacts", EVERYTHING, pagination=pagination)
        assert code(dead) == (400, "client_error")
        caller.sandbox.options.cursor_lifetime = None
        caller.sandbox.expire_cursors()
        dead = caller.search("contacts", EVERYTHING, pagination=pagination)
        assert code(dead) == (400, "client_error")


def test_search_lags_behind_edits_and_single_records_do_not() -> None:
    workspace = Workspace()
    with serving(workspace, search_lag=60) as caller:
        contact_id = workspace.add_contact(name="Ada")
        assert caller.found("contacts", EVERYTHING) == set()
        assert caller.get(f"/contacts/{contact_id}").json()["name"] == "Ada"
        caller.sandbox.options.clock_offset_seconds = 61
        assert caller.found("contacts", EVERYTHING) == {contact_id}
        workspace.delete_contact(contact_id)
        assert caller.found("contacts", EVERYTHING) == {contact_id}
        caller.sandbox.index_now()
        assert caller.found("contacts", EVERYTHING) == set()


@pytest.mark.parametrize(
    ("path", "key"), [("/contacts", "data"), ("/conversations", "conversations")]
)
def test_lists_go_on_after_a_cursor(sample: Caller, path: str, key: str) -> None:
    seen, cursor = [], ""
    while True:
        page = sample.get(f"{path}?per_page=25{cursor}").json()
        seen += [row["id"] for row in page[key]]
        if "next" not in page["pages"]:
            break
        cursor = f"&starting_after={page['pages']['next']['starting_after']}"
    truth = {each["id"] for each in sample.sandbox.truth(path[1:])}
    assert len(seen) == len(truth)
    assert set(seen) == truth


# Companies


def test_the_scroll_ends_with_an_empty_page_only() -> None:
    workspace = generate(companies=25, contacts=5, now=NOW)
    with serving(workspace, scroll_page_size=10) as caller:
        page = caller.get("/companies/scroll").json()
        sizes, seen = [len(page["data"])], ids(page)
        while page["data"]:
            page = caller.get("/companies/scroll?scroll_param=" + page["scroll_param"]).json()
            sizes.append(len(page["data"]))
            seen |= ids(page)
        assert sizes == [10, 10, 5, 0]
        assert (page["pages"], page["total_count"]) == (None, None)
        assert seen == {each["id"] for each in workspace.truth("companies")}
        assert caller.get("/companies/scroll").status_code == 200


def test_asking_twice_with_one_scroll_token_gives_the_next_page() -> None:
    with serving(generate(companies=25, contacts=5, now=NOW), scroll_page_size=10) as caller:
        first = caller.get("/companies/scroll").json()
        again = "/companies/scroll?scroll_param=" + first["scroll_param"]
        second, third = caller.get(again).json(), caller.get(again).json()
        assert not ids(second) & ids(third)
        assert len(ids(first) | ids(second) | ids(third)) == 25


def test_a_workspace_has_one_scroll_which_expires() -> None:
    with serving(generate(companies=5, contacts=5, now=NOW), scroll_ttl=60) as caller:
        token = caller.get("/companies/scroll").json()["scroll_param"]
        assert code(caller.get("/companies/scroll")) == (400, "scroll_exists")
        wrong = caller.get("/companies/scroll?scroll_param=other")
        assert code(wrong) == (404, "not_found")
        caller.sandbox.options.clock_offset_seconds = 61
        expired = caller.get("/companies/scroll?scroll_param=" + token)
        assert code(expired) == (404, "not_found")
        assert caller.get("/companies/scroll").status_code == 200


def test_a_failed_scroll_page_kills_the_scroll_and_keeps_its_place() -> None:
    with serving(generate(companies=5, contacts=5, now=NOW)) as caller:
        token = caller.get("/companies/scroll").json()["scroll_param"]
        caller.sandbox.faults.add("status", path="/companies/scroll", status=500)
        following = "/companies/scroll?scroll_param=" + token
        assert caller.get(following).status_code == 500
        assert caller.get(following).status_code == 404
        assert code(caller.get("/companies/scroll")) == (400, "scroll_exists")


def test_an_empty_workspace_scrolls_to_its_end_at_once() -> None:
    with serving() as caller:
        page = caller.get("/companies/scroll").json()
        assert page["data"] == []
        assert page["scroll_param"]


def test_the_company_list_has_its_limits() -> None:
    workspace = Workspace()
    for number in range(70):
        workspace.add_company(
            id=f"{number:02}", user_count=number % 7, last_request_at=NOW + number
        )
    with serving(workspace) as caller:
        page = caller.post("/companies/list?per_page=60").json()
        assert len(page["data"]) == 60
        assert page["total_count"] == 60, "companies without users are left out"
        assert page["data"][0]["id"] == "69"
        assert caller.post("/companies/list?per_page=15").json()["pages"]["total_pages"] == 4
        oldest = caller.post("/companies/list?order=asc&per_page=1").json()["data"][0]
        assert oldest["id"] == "01"
        assert code(caller.post("/companies/list?per_page=61")) == (400, "parameter_invalid")
        beyond = caller.post("/companies/list?per_page=60&page=167")
        assert code(beyond) == (400, "bad_request")


def test_company_segments_can_be_listed_or_not() -> None:
    workspace = generate(now=NOW)
    of_people = {each["id"] for each in workspace.truth("segments")}
    of_companies = {each["id"] for each in workspace.truth("company_segments")}
    assert of_people
    assert of_companies
    assert not of_people & of_companies
    with serving(workspace) as caller:
        assert ids(caller.get("/segments").json()) == of_people
        assert ids(caller.get("/segments?type=company").json()) == of_companies
        caller.sandbox.options.company_segments_listed = False
        assert ids(caller.get("/segments?type=company").json()) == of_people
        company = next(
            each
            for each in workspace.truth("companies")
            if (each["segments"] or {}).get("segments")
        )
        found = caller.get(f"/companies/{company['id']}/segments").json()
        assert ids(found) == {each["id"] for each in company["segments"]["segments"]}
        assert found["data"][0]["updated_at"]


def test_segments_are_counted_on_demand(sample: Caller) -> None:
    assert "count" not in sample.get("/segments").json()["segments"][0]
    assert "count" in sample.get("/segments?include_count=true").json()["segments"][0]


def test_archived_attributes_are_listed_on_demand(sample: Caller) -> None:
    path = "/data_attributes?model=company"
    living = rows(sample.get(path).json())
    everything = rows(sample.get(path + "&include_archived=true").json())
    assert [each["name"] for each in everything if each not in living] == ["legacy tier"]
    assert everything == sample.sandbox.truth("company_attributes")
    built_in = next(each for each in living if not each["custom"])
    assert not {"id", "created_at", "updated_at", "admin_id"} & built_in.keys()
    assert {each["model"] for each in rows(sample.get("/data_attributes").json())} == {
        "contact",
        "company",
    }


# Contacts


def test_nested_lists_of_a_contact_stop_at_ten() -> None:
    workspace = generate(now=NOW)
    contact = next(each for each in workspace.truth("contacts") if len(each["tags"]["data"]) == 25)
    path = f"/contacts/{contact['id']}"
    with serving(workspace) as caller:
        tags = caller.get(path).json()["tags"]
        assert (len(tags["data"]), tags["total_count"], tags["has_more"]) == (10, 25, True)
        assert ids(caller.get(f"{path}/tags").json()) == {
            each["id"] for each in contact["tags"]["data"]
        }
        first = caller.get(f"{path}/companies?per_page=20").json()
        following = urlsplit(first["pages"]["next"])
        second = caller.get(f"{following.path}?{following.query}").json()
        assert second["pages"]["next"] is None
        assert ids(first) | ids(second) == {each["id"] for each in contact["companies"]["data"]}
        assert code(caller.get(f"{path}/companies?per_page=61")) == (400, "parameter_invalid")
        workspace.untag_contact(contact["id"], contact["tags"]["data"][0]["id"])
        assert caller.get(path).json()["tags"]["total_count"] == 24
        workspace.update_contact(contact["id"], tags=[])
        tags = caller.get(path).json()["tags"]
        assert (tags["data"], tags["total_count"], tags["has_more"]) == ([], 0, False)


def test_a_merged_contact_points_to_the_one_that_is_left() -> None:
    workspace = Workspace()
    first, second, third = (workspace.add_contact(updated_at=NOW) for _ in range(3))
    with serving(workspace) as caller:
        workspace.merge_contacts(first, second)
        workspace.merge_contacts(second, third)
        gone = caller.get(f"/contacts/{first}")
        assert code(gone) == (410, "contact_merged")
        assert gone.headers["Link"] == f'</contacts/{third}>; rel="canonical"'
        older = caller.get(f"/contacts/{first}", headers={"Intercom-Version": "2.15"})
        assert older.status_code == 404
        assert caller.found("contacts", EVERYTHING) == {third}
        left = caller.get(f"/contacts/{third}?include_merge_history=true").json()
        assert left["updated_at"] > NOW
        assert [each["source_contact_id"] for each in left["merge_history"]] == [second]


def test_a_deleted_record_is_not_found() -> None:
    workspace = generate(contacts=3, companies=3, conversations=3, now=NOW)
    with serving(workspace) as caller:
        for kind in ("contacts", "companies", "conversations"):
            record_id = workspace.truth(kind)[0]["id"]
            assert caller.get(f"/{kind}/{record_id}").status_code == 200
            getattr(workspace, f"delete_{kind.removesuffix('s').replace('ie', 'y')}")(record_id)
            assert caller.get(f"/{kind}/{record_id}").status_code == 404
            assert record_id not in {each["id"] for each in workspace.truth(kind)}


# Conversations


def test_a_conversation_carries_its_newest_500_parts() -> None:
    workspace = Workspace()
    conversation_id = workspace.add_conversation()
    part_ids = workspace.load_parts(conversation_id, [{"created_at": NOW + n} for n in range(812)])
    with serving(workspace) as caller:
        parts = caller.get(f"/conversations/{conversation_id}").json()["conversation_parts"]
        assert parts["total_count"] == 812
        assert [each["id"] for each in parts["conversation_parts"]] == part_ids[-500:]
        assert len(caller.sandbox.truth("conversation_parts")) == 812
        found = caller.search("conversations", EVERYTHING).json()["conversations"][0]
        assert "conversation_parts" not in found


def test_plain_text_is_given_on_demand() -> None:
    workspace = Workspace()
    body = (
        '<p>Hi &amp; hello<br>see <a href="https://x.example/?a=1&amp;b=2">this</a></p><p>Bye</p>'
    )
    plain = "Hi & hello\nsee this (https://x.example/?a=1&b=2)\nBye"
    conversation_id = workspace.add_conversation(source={"body": body, "subject": "<p>Subject</p>"})
    workspace.reply(conversation_id, body)
    workspace.add_part(conversation_id, part_type="close")
    path = f"/conversations/{conversation_id}"
    with serving(workspace) as caller:
        for query, expected, subject in (
            ("", body, "<p>Subject</p>"),
            ("?display_as=plaintext", plain, "Subject"),
        ):
            conversation = caller.get(path + query).json()
            parts = conversation["conversation_parts"]["conversation_parts"]
            assert [each["body"] for each in parts] == [expected, None]
            assert conversation["source"]["body"] == expected
            assert conversation["source"]["subject"] == subject
        workspace.redact_part(conversation_id, parts[0]["id"])
        redacted = caller.get(path + "?display_as=plaintext").json()["conversation_parts"]
        assert redacted["conversation_parts"][0]["body"] == ""
        assert redacted["conversation_parts"][0]["redacted"] is True


def test_edits_move_updated_at_to_the_clock_of_the_sandbox() -> None:
    workspace = Workspace()
    contact_id = workspace.add_contact(updated_at=NOW, custom_attributes={"a": 1})
    company_id = workspace.add_company(updated_at=NOW)
    conversation_id = workspace.add_conversation(updated_at=NOW)
    tag_id = workspace.add_tag(name="New")
    with serving(workspace, clock_offset_seconds=86_400) as caller:
        tomorrow = time.time() + 86_400
        workspace.update_contact(contact_id, custom_attributes={"b": 2})
        workspace.tag_company(company_id, tag_id)
        workspace.reply(conversation_id)
        for kind, record_id in (
            ("contacts", contact_id),
            ("companies", company_id),
            ("conversations", conversation_id),
        ):
            record = caller.get(f"/{kind}/{record_id}").json()
            assert abs(record["updated_at"] - tomorrow) < 5
        assert caller.get(f"/contacts/{contact_id}").json()["custom_attributes"] == {"a": 1, "b": 2}
        workspace.update_contact(contact_id, updated_at=NOW, name="Ada")
        assert caller.get(f"/contacts/{contact_id}").json()["updated_at"] == NOW


# Limits and faults


def test_rate_limit_headers_count_down_to_a_refusal() -> None:
    # A clock that stands still keeps all requests in one window.
    with serving(rate_limit=3, retry_after=2, clock=lambda: NOW) as caller:
        answers = [caller.get("/me") for _ in range(5)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
        remaining = [each.headers["X-RateLimit-Remaining"] for each in answers]
        assert remaining == ["2", "1", "0", "0", "0"]
        assert {each.headers["X-RateLimit-Limit"] for each in answers} == {"3"}
        assert {each.headers["X-RateLimit-Reset"] for each in answers} == {str(NOW + 10)}
        assert code(answers[-1]) == (429, "rate_limit_exceeded")
        assert answers[-1].headers["Retry-After"] == "2"
        statistics = caller.sandbox.statistics()
        assert statistics["rate_limited"] == 2
        assert statistics["highest_rate_per_window"] == 5
        caller.sandbox.options.clock_offset_seconds = 10
        assert caller.get("/me").status_code == 200


@pytest.mark.parametrize("options", [{"rate_limit": None}, {"rate_limit_headers": False}])
def test_rate_limit_headers_can_be_absent(options: dict[str, Any]) -> None:
    with serving(**options) as caller:
        assert not [name for name in caller.get("/me").headers if name.startswith("X-Rate")]


def test_faults_hit_the_requests_that_they_name() -> None:
    with serving() as caller:
        faults = caller.sandbox.faults
        faults.add("status", path="^/tags$", method="GET", after=1, times=2, status=503)
        statuses = [caller.get("/tags").status_code for _ in range(4)]
        assert statuses == [200, 503, 503, 200]
        assert caller.get("/teams").status_code == 200
        faults.add("status", times=None, status=502, body="<html>Bad gateway</html>")
        for _ in range(3):
            assert caller.get("/teams").headers["Content-Type"].startswith("text/html")
        faults.clear()
        assert caller.get("/teams").status_code == 200
        with pytest.raises(ValueError, match="is not one of"):
            faults.add("nonsense")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["reset_before", "reset_midway", "truncated"])
def test_connections_break(kind: Any) -> None:
    with serving(generate(now=NOW)) as caller:
        caller.sandbox.faults.add(kind, path="/tags")
        with pytest.raises(requests.RequestException):
            caller.get("/tags")
        assert caller.get("/tags").status_code == 200
        assert [each.status for each in caller.sandbox.requests] == [0, 200]


def test_a_fault_spoils_one_answer() -> None:
    with serving(generate(now=NOW)) as caller:
        faults = caller.sandbox.faults
        faults.add("invalid_json", path="/tags")
        with pytest.raises(ValueError):
            caller.get("/tags").json()
        faults.add("null_list", path="/tags")
        assert caller.get("/tags").json()["data"] is None
        faults.add("error_body_200", path="/tags")
        assert code(caller.get("/tags")) == (200, "server_error")
        faults.add("wrong_content_type", path="/tags")
        assert caller.get("/tags").headers["Content-Type"].startswith("text/html")
        faults.add("dead_cursor", path="/contacts/search")
        assert code(caller.search("contacts", EVERYTHING)) == (400, "client_error")
        faults.add("scroll_exists", path="/companies/scroll")
        assert code(caller.get("/companies/scroll")) == (400, "scroll_exists")
        faults.add("answer", answer=lambda call: (418, {"X-Path": call.path}, b"tea"))
        tea = caller.get("/tags")
        assert (tea.status_code, tea.headers["X-Path"], tea.text) == (418, "/tags", "tea")


def test_a_cursor_can_repeat() -> None:
    with serving(generate(now=NOW)) as caller:
        first = caller.search("contacts", EVERYTHING).json()
        starting_after = first["pages"]["next"]["starting_after"]
        caller.sandbox.faults.add("repeated_cursor")
        pagination = {"starting_after": starting_after}
        second = caller.search("contacts", EVERYTHING, pagination=pagination).json()
        assert second["pages"]["next"]["starting_after"] == starting_after


def test_slow_answers_do_not_hold_up_others() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with serving(latency=0.2) as caller, ThreadPoolExecutor(20) as pool:
        start = time.monotonic()
        headers = dict(caller.session.headers)
        url = caller.sandbox.url + "/me"
        answers = list(
            pool.map(lambda _: requests.get(url, headers=headers, timeout=10), range(20))
        )
        assert {each.status_code for each in answers} == {200}
        assert 0.2 <= time.monotonic() - start < 2


def test_the_workspace_can_be_edited_on_cue() -> None:
    workspace = generate(contacts=10, now=NOW)
    gone, changed = (each["id"] for each in workspace.truth("contacts")[:2])
    numbers = []
    with serving(workspace) as caller:
        caller.sandbox.before_request(lambda sandbox, method, path, number: numbers.append(number))
        caller.sandbox.faults.add(
            "edit", path="/contacts/search", after=1, edit=lambda data: data.delete_contact(gone)
        )
        caller.sandbox.faults.add(
            "status", status=500, edit=lambda data: data.update_contact(changed, name="Changed")
        )
        assert caller.search("contacts", EVERYTHING).status_code == 500
        assert caller.search("contacts", EVERYTHING).json()["total_count"] == 9
        assert caller.get(f"/contacts/{changed}").json()["name"] == "Changed"
        assert numbers == [1, 2, 3]


def test_requests_are_recorded() -> None:
    with serving() as caller:
        caller.get("/segments?include_count=true")
        caller.search("contacts", EVERYTHING)
        first, second = caller.sandbox.requests
        assert (first.method, first.path, first.params, first.json, first.status) == (
            "GET",
            "/segments",
            {"include_count": "true"},
            None,
            200,
        )
        assert second.json == {"query": EVERYTHING}
        assert abs(second.time - time.time()) < 5
        assert caller.sandbox.statistics()["requests_by_path"] == {
            "GET /segments": 1,
            "POST /contacts/search": 1,
        }
        caller.sandbox.clear_requests()
        assert caller.sandbox.requests == []


def test_a_sandbox_in_another_process_is_controlled_over_http() -> None:
    with serving() as caller:
        url = caller.sandbox.url + "/_sandbox"
        edit = {"operation": "add_contact", "arguments": {"id": "one", "name": "Ada"}}
        assert requests.post(f"{url}/edits", json=edit, timeout=10).json() == {"result": "one"}
        change = {"operation": "update_contact", "arguments": {"contact_id": "one", "name": "Bea"}}
        fault = {"kind": "edit", "path": "/contacts/one", "edit": change}
        assert requests.post(f"{url}/faults", json=fault, timeout=10).status_code == 200
        assert caller.get("/contacts/one").json()["name"] == "Bea"
        assert requests.get(f"{url}/truth/contacts", timeout=10).json()[0]["name"] == "Bea"
        assert [each["path"] for each in requests.get(f"{url}/requests", timeout=10).json()] == [
            "/contacts/one"
        ]
        statistics = requests.get(f"{url}/statistics", timeout=10).json()
        assert statistics["requests"] == 1
        assert requests.post(f"{url}/options", json={"rate_limit": 1}, timeout=10).ok
        assert caller.sandbox.options.rate_limit == 1
        wrong = {"operation": "truth", "arguments": {}}
        assert requests.post(f"{url}/edits", json=wrong, timeout=10).status_code == 400


# OAuth


def authorized(caller: Caller, link: str = "authorize") -> dict[str, list[str]]:
    """The parameters that come back after a click on a link of the authorize page."""
    query = "client_id=sandbox-client&state=s%26t&redirect_uri=https://app.example/back?x=1"
    page = requests.get(f"{caller.sandbox.url}/oauth?{query}", timeout=10)
    found = re.search(f'id="{link}" href="([^"]*)"', page.text)
    assert found
    target = found[1].replace("&amp;", "&")
    answer = requests.get(caller.sandbox.url + target, allow_redirects=False, timeout=10)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("https://app.example/back?x=1&")
    return parse_qs(urlsplit(answer.headers["Location"]).query)


def exchange(caller: Caller, code: str, **how: Any) -> requests.Response:
    form = {"code": code, "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    how = how or {"data": form}
    if "json" in how:
        how = {"json": form}
    return requests.post(f"{caller.sandbox.url}/auth/eagle/token", timeout=10, **how)


@pytest.mark.parametrize("how", [{}, {"json": True}], ids=["form", "json"])
def test_a_code_is_exchanged_once(how: dict[str, Any]) -> None:
    with serving() as caller:
        parameters = authorized(caller)
        assert parameters["state"] == ["s&t"]
        answer = exchange(caller, parameters["code"][0], **how)
        assert answer.json() == {
            "token": caller.sandbox.token,
            "access_token": caller.sandbox.token,
            "token_type": "Bearer",
        }
        assert exchange(caller, parameters["code"][0], **how).status_code == 400


def test_a_code_expires_and_a_secret_is_checked() -> None:
    with serving() as caller:
        given = authorized(caller)["code"][0]
        wrong = {"code": given, "client_id": "sandbox-client", "client_secret": "wrong"}
        assert exchange(caller, given, data=wrong).status_code == 401
        caller.sandbox.options.clock_offset_seconds = 301
        assert exchange(caller, given).status_code == 400


def test_people_may_deny() -> None:
    with serving() as caller:
        assert authorized(caller, "deny")["error"] == ["access_denied"]
        unknown = requests.get(f"{caller.sandbox.url}/oauth?client_id=other", timeout=10)
        assert unknown.status_code == 400


# Sample data


def test_the_same_seed_gives_the_same_data() -> None:
    streams = ("admins", "contacts", "companies", "conversations", "conversation_parts", "segments")
    first, second, other = (generate(seed=seed, now=NOW) for seed in (1, 1, 2))
    for stream in streams:
        assert first.truth(stream) == second.truth(stream)
    assert first.truth("contacts") != other.truth("contacts")


def test_sizes_and_times_are_as_asked_for() -> None:
    workspace = generate(
        contacts=70, companies=9, conversations=11, parts=130, admins=4, teams=2, tags=5,
        segments=8, now=NOW, days=10,
    )  # fmt: skip
    sizes = {
        stream: len(workspace.truth(stream))
        for stream in ("contacts", "companies", "conversations", "conversation_parts")
    }
    assert sizes == {"contacts": 70, "companies": 9, "conversations": 11, "conversation_parts": 130}
    assert len(workspace.truth("segments") + workspace.truth("company_segments")) == 8
    times = sorted(each["updated_at"] for each in workspace.truth("contacts"))
    gaps = {later - earlier for earlier, later in pairwise(times)}
    assert max(gaps) - min(gaps) <= 1
    assert NOW - 10 * 86_400 <= times[0] < times[-1] <= NOW


def test_nothing_at_all_can_be_generated() -> None:
    workspace = generate(
        contacts=0, companies=0, conversations=0, parts=0, admins=0, teams=0, tags=0, segments=0
    )
    assert workspace.truth("contacts") == workspace.truth("admins") == []
    with serving(workspace) as caller:
        assert caller.get("/me").json()["app"]["id_code"] == "sandbox1"
        page = caller.search("contacts", EVERYTHING).json()
        assert (page["data"], page["total_count"]) == ([], 0)
        assert "next" not in page["pages"]


# The command


def test_the_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    config_path = tmp_path / "config.json"
    program = "import sys; from intercom_sandbox.command import main; sys.exit(main())"
    arguments = ["--contacts", "5", "--write-config", str(config_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stderr
        line = process.stderr.readline()
        config = json.loads(config_path.read_text())
        assert config["base_url"] in line
        assert config["base_url"].startswith("http://127.0.0.1:")
        assert stat.S_IMODE(config_path.stat().st_mode) == 0o600
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", config["start_date"])
        headers = {"Authorization": f"Bearer {config['access_token']}"}
        query = {"query": EVERYTHING}
        url = config["base_url"] + "/contacts/search"
        page = requests.post(url, json=query, headers=headers, timeout=10).json()
        assert page["total_count"] == 5
    finally:
        process.terminate()
    assert process.wait(10) == 0


def test_the_command_tells_what_it_needs() -> None:
    program = (
        "import sys; sys.modules['faker'] = None\n"
        "from intercom_sandbox.command import main; sys.exit(main([]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=30
    )
    assert ended.returncode == 2
    assert "pip install aiohttp Faker" in ended.stderr
    assert ended.stderr.count("\n") == 1


# The official description


@lru_cache(maxsize=1)
def nullable_description() -> dict[str, Any]:
    loaded: dict[str, Any] = nullable(description())
    return loaded


def nullable(node: Any) -> Any:
    """OpenAPI's `nullable` in the words of JSON Schema."""
    if isinstance(node, list):
        return [nullable(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {name: nullable(value) for name, value in node.items()}
    if node.pop("nullable", None) is True:
        return {"anyOf": [node, {"type": "null"}]}
    return node


# Where real answers differ from the schemas: the end of a path, and what is there in practice.
KNOWN_DEVIATIONS = {
    r"custom_attributes\.[^.]+": "values are of any type, not only text",
    r"monthly_spend": "may have decimals",
    r"(companies|segments|tags|email|email_domain)": "null when there is none",
    r"email_message_metadata": "null unless the source is an email",
    r"statistics\.\w+": "null until it has happened",
    r"conversation_rating\.(contact|teammate)": "null when there is none",
}


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/me", "/me"),
        ("GET", "/admins", "/admins"),
        ("GET", "/teams", "/teams"),
        ("GET", "/tags", "/tags"),
        ("GET", "/segments?include_count=true", "/segments"),
        ("GET", "/data_attributes?include_archived=true", "/data_attributes"),
        ("GET", "/conversations/attributes", "/conversations/attributes"),
        ("GET", "/contacts?per_page=150", "/contacts"),
        ("GET", "/conversations?per_page=150", "/conversations"),
        ("POST", "/contacts/search", "/contacts/search"),
        ("POST", "/conversations/search", "/conversations/search"),
        ("POST", "/companies/list?per_page=60", "/companies/list"),
        ("GET", "/contacts/{contacts}", "/contacts/{contact_id}"),
        ("GET", "/contacts/{contacts}/tags", "/contacts/{contact_id}/tags"),
        ("GET", "/contacts/{contacts}/companies", "/contacts/{contact_id}/companies"),
        ("GET", "/contacts/{contacts}/segments", "/contacts/{contact_id}/segments"),
        ("GET", "/companies/{companies}", "/companies/{company_id}"),
        ("GET", "/companies/{companies}/segments", "/companies/{company_id}/segments"),
        ("GET", "/conversations/{conversations}", "/conversations/{conversation_id}"),
    ],
)
def test_answers_follow_the_official_description(
    sample: Caller, method: str, path: str, template: str
) -> None:
    operation = nullable_description()["paths"][template][method.lower()]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    sandbox = sample.sandbox
    for number in range(60 if "{" in path else 1):
        ids = {
            kind: sandbox.truth(kind)[number % len(sandbox.truth(kind))]["id"]
            for kind in ("contacts", "companies", "conversations")
            if "{" in path
        }
        body = {"query": EVERYTHING, "pagination": {"per_page": 150}}
        is_post = method == "POST"
        answer = sample.post(path, body) if is_post else sample.get(path.format(**ids))
        assert answer.status_code == 200
        assert faults_against(schema, answer.json()) == []


def faults_against(schema: dict[str, Any], answer: object) -> list[str]:
    """What is wrong with an answer, apart from the known deviations."""
    validator = Draft4Validator(schema, resolver=RefResolver.from_schema(nullable_description()))
    found = []
    for error in leaves(validator.iter_errors(answer)):
        path = ".".join(map(str, error.absolute_path))
        if not any(re.search(rf"(^|\.){each}$", path) for each in KNOWN_DEVIATIONS):
            found.append(f"{path}: {error.message[:200]}")
    return found


def leaves(errors: Any) -> Iterator[Any]:
    """The faults inside of the first choice where a schema has choices; the other one is null."""
    for error in errors:
        if error.context:
            yield from leaves(each for each in error.context if each.relative_schema_path[0] == 0)
        else:
            yield error


# What answers have in another shape than the schemas tell, or on demand only.
OTHERWISE = {"contact": {"merge_history"}}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("contact", "/contacts?per_page=150"),
        ("company", "/companies/scroll"),
        (
            "conversation_list_item",
            "/conversations?per_page=150&include_monitors=true&include_scorecards=true",
        ),
        ("admin", "/admins?display_avatar=true"),
        ("team", "/teams"),
        ("segment", "/segments?include_count=true"),
        ("data_attribute", "/data_attributes"),
        ("conversation_part", ""),
        ("conversation_source", "source"),
        ("conversation_statistics", "statistics"),
        ("conversation_rating", "conversation_rating"),
        ("ai_agent", "ai_agent"),
        ("contact_location", "location"),
    ],
)
def test_the_sample_has_every_field_of_the_official_description(
    sample: Caller, name: str, path: str
) -> None:
    if path == "":
        records = sample.sandbox.truth("conversation_parts")
    elif path.startswith("/"):
        records = rows(sample.get(path).json())
        if name == "contact":
            records += rows(sample.get(page_after(sample, path)).json())
    else:
        parents = sample.sandbox.truth("contacts") + sample.sandbox.truth("conversations")
        records = [each[path] for each in parents if each.get(path)]
    filled = {field for each in records for field, value in each.items() if value not in (None, {})}
    schema = nullable_description()["components"]["schemas"][name]
    wanted = set((schema["anyOf"][0] if "anyOf" in schema else schema)["properties"])
    assert wanted - filled - OTHERWISE.get(name, set()) == set()


def page_after(caller: Caller, path: str) -> str:
    following = caller.get(path).json()["pages"]["next"]["starting_after"]
    return f"{path}&starting_after={following}"
