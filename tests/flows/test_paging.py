"""Answers that say in an odd way that a list goes on, or say it for ever.

What cannot be read to its end must fail, and keep its bookmark: stopping there would lose rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Output
from runs import NOW, Catalog
from table_runs import DAY, HOUR, TableRuns, of_every_kind
from test_table_races import listed
from warm_tap import WarmTap

from intercom_sandbox import Workspace

Body = dict[str, Any]
Change = Callable[[Body], object]

# Tables of each way of reading, the path of their list, and the ids that it holds.
TABLES = {
    "conversations": "^/conversations/search$",
    "contacts": "^/contacts/search$",
    "tickets": "^/tickets/search$",
    "articles": "^/articles$",
    "calls": "^/calls$",
    "macros": "^/macros$",
    "contact_notes": "/notes$",
    "company_contact": "^/companies/[^/]*/contacts$",
    "events": "^/events$",
    "brands": "^/brands$",
    "contact_segment": "/segments$",
}


def with_next(following: Any, **more: Any) -> Change:
    """Every answer names this next page, and no number of pages."""

    def change(body: Body) -> Body:
        pages = {"type": "pages", "next": following}
        return {name: value for name, value in body.items() if name != "total_count"} | {
            "pages": pages,
            **more,
        }

    return change


UNKNOWN: dict[str, Change] = {
    "an empty object": with_next({}),
    "an object with null": with_next({"starting_after": None}),
    "an object with another word": with_next({"continue_from": "abc"}),
    "a far page": with_next({"page": 7}),
    "a list": with_next(["abc"]),
    "true": with_next(True),
    "a fraction": with_next(2.5),
    "an address without a known parameter": with_next("https://api.intercom.io/x?continue=abc"),
    "has_more alone": with_next(None, has_more=True),
    "pages is a list": lambda body: body | {"pages": [{"next": "abc"}]},
    "total_pages is no number": lambda body: body | {"pages": {"total_pages": "many"}},
}


@pytest.fixture
def runs(
    start_sandbox: Callable[..., Any], tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog
) -> Callable[..., TableRuns]:
    """Runs over a workspace, or over five records of each kind."""

    def begin(workspace: Workspace | None = None, **settings: Any) -> TableRuns:
        workspace = workspace or of_every_kind(5, last=NOW - 30 * DAY, step=HOUR)
        sandbox = start_sandbox(workspace, clock=lambda: NOW, rate_limit=None, most_rows=2)
        return TableRuns(sandbox, tmp_path, warm_tap, plain_catalog, page_size=2, **settings)

    return begin


Begin = Callable[..., TableRuns]


def answer_with(run: TableRuns, path: str, change: Change) -> None:
    run.sandbox.faults.add("changed", path, times=None, change=change)


def assert_fails(run: TableRuns, output: Output, name: str, *words: str) -> None:
    """The stream failed with words that say why, and nothing says that it was read."""
    assert output.code == 5, output.log
    assert any(word in output.last_log_line for word in words), output.last_log_line
    assert name not in (run.state.get("bookmarks") or {})
    assert output.count("ACTIVATE_VERSION", name) == 0


@pytest.mark.parametrize("form", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize(
    "name", ["contacts", "articles", "macros", "company_contact", "events", "brands"]
)
def test_list_that_goes_on_in_an_unknown_form_fails(runs: Begin, name: str, form: Change) -> None:
    run = runs()
    answer_with(run, TABLES[name], form)
    assert_fails(run, run.run(name), name, "may be more pages")


@pytest.mark.parametrize("name", ["conversations", "contacts", "tickets"])
def test_search_that_names_a_page_without_a_cursor_fails(runs: Begin, name: str) -> None:
    run = runs()
    answer_with(run, TABLES[name], with_next({"page": 2, "per_page": 2}))
    assert_fails(run, run.run(name), name, "may be more pages")


@pytest.mark.parametrize("name", ["articles", "macros", "brands", "contact_segment"])
@pytest.mark.parametrize(
    "form", [{"page": 2, "per_page": 2}, 2, "2", "/x?page=2&per_page=2"], ids=str
)
def test_page_number_that_is_not_obeyed_fails(runs: Begin, name: str, form: Any) -> None:
    """The first page comes again, as from a server that does not know the parameter."""
    run = runs()
    first: dict[str, Any] = {}

    def answer(call: Any) -> Any:
        body = first.setdefault(call.path, json.loads(run.sandbox.api.answer(call).body))
        answered = body | {"pages": {"type": "pages", "page": 1, "next": form}}
        return 200, {}, json.dumps(answered).encode()

    run.sandbox.faults.add("answer", TABLES[name], times=None, answer=answer)
    # A list by cursor takes a bare number for a cursor.
    assert_fails(run, run.run(name), name, "the same page", "may be more pages")


@pytest.mark.parametrize("name", ["articles", "calls", "brands", "contact_segment"])
def test_page_number_that_is_not_obeyed_fails_where_pages_are_counted(
    runs: Begin, name: str
) -> None:
    run = runs()
    first: dict[str, Any] = {}

    def answer(call: Any) -> Any:
        body = first.setdefault(call.path, json.loads(run.sandbox.api.answer(call).body))
        key = next(key for key, value in body.items() if isinstance(value, list))
        # One that a segment would be, so that the list is not empty.
        body[key] = body[key] or [{"type": "segment", "id": "1"}]
        pages = {"type": "pages", "page": 1, "total_pages": 3, "next": None}
        return 200, {}, json.dumps(body | {"pages": pages}).encode()

    run.sandbox.faults.add("answer", TABLES[name], times=None, answer=answer)
    assert_fails(run, run.run(name), name, "the same page")


@pytest.mark.parametrize("name", ["conversations", "contacts", "tickets", "macros"])
def test_pages_that_are_counted_and_not_named_fail(runs: Begin, name: str) -> None:
    run = runs()

    def change(body: Body) -> None:
        body["pages"] = {"type": "pages", "page": 1, "next": None, "total_pages": 3}

    answer_with(run, TABLES[name], change)
    assert_fails(run, run.run(name), name, "counts 3 pages")


def test_pages_that_are_counted_and_not_named_fail_where_records_still_come(runs: Begin) -> None:
    run = runs(of_every_kind(5, last=NOW - 60, step=1))

    def change(body: Body) -> None:
        body["pages"] = {"type": "pages", "page": 1, "total_pages": 3}

    answer_with(run, TABLES["contacts"], change)
    assert_fails(run, run.run("contacts"), "contacts", "counts 3 pages")


@pytest.mark.parametrize("pages", [None, {}, {"type": "pages", "page": 1}], ids=str)
@pytest.mark.parametrize(
    "name",
    ["conversations", "contacts", "tickets", "articles", "calls", "contact_notes"],
)
def test_records_that_are_counted_and_have_no_page_fail(runs: Begin, name: str, pages: Any) -> None:
    """Without any word on pages, the count alone shows that the list goes on."""
    run = runs()
    answer_with(run, TABLES[name], lambda body: body | {"pages": pages})
    assert_fails(run, run.run(name), name, "records, but page 1 names no next page")


@pytest.mark.parametrize("kind", [str, float], ids=["text", "float"])
@pytest.mark.parametrize("name", ["articles", "calls", "contact_notes", "conversations"])
def test_numbers_of_pages_and_records_may_be_text_or_floats(
    runs: Begin, name: str, kind: Any
) -> None:
    run = runs()

    def change(body: Body) -> None:
        if "pages" in body:
            pages = body["pages"]
            pages.update({key: kind(pages[key]) for key in ("page", "per_page", "total_pages")})
            body["total_count"] = kind(body["total_count"])

    answer_with(run, TABLES[name], change)
    run.run(name)
    run.assert_nothing_is_lost(name)


@pytest.mark.parametrize("total", [0, "0", None], ids=str)
@pytest.mark.parametrize("name", ["articles", "macros", "conversations", "brands"])
def test_empty_list_is_read_to_its_end(runs: Begin, name: str, total: Any) -> None:
    run = runs(Workspace())
    pages = {"type": "pages", "page": 1, "total_pages": total, "next": None}
    answer_with(run, TABLES[name], lambda body: body | {"pages": pages, "total_count": 0})
    output = run.run(name)
    assert output.code == 0, output.log
    assert output.records(name) == []


@pytest.mark.parametrize(
    "name", ["brands", "contact_segment", "tags", "admins", "article_statistics"]
)
def test_pages_of_a_list_without_pages_are_followed(runs: Begin, name: str) -> None:
    """Its records come one on a page, by a cursor, though nothing says that they may."""
    run = runs()
    key = {"admins": "admins"}.get(name, "data")

    def answer(call: Any) -> Any:
        body = json.loads(run.sandbox.api.answer(call).body)
        if key not in body:
            return 200, {}, json.dumps(body).encode()
        at = int(call.query.get("starting_after", "0"))
        records = body[key]
        body[key] = records[at : at + 1]
        following = {"starting_after": str(at + 1)} if at + 1 < len(records) else None
        body["pages"] = {"type": "pages", "next": following}
        return 200, {}, json.dumps(body).encode()

    path = {"tags": "^/tags$", "admins": "^/admins$"}.get(name) or TABLES.get(name, "^/x$")
    run.sandbox.faults.add("answer", path, times=None, answer=answer)
    run.run(name)
    run.assert_nothing_is_lost(name)


@pytest.mark.parametrize("name", ["conversations", "contacts", "macros", "company_contact"])
@pytest.mark.parametrize("is_empty", [False, True], ids=["same page", "empty pages"])
@pytest.mark.parametrize("age", [30 * DAY, 60], ids=["closed", "open"])
def test_list_that_never_ends_fails(runs: Begin, name: str, is_empty: bool, age: int) -> None:
    run = runs(of_every_kind(2, last=NOW - age, step=1))
    first: dict[str, Any] = {}
    numbers = iter(range(1_000_000))

    def answer(call: Any) -> Any:
        body = first.setdefault(call.path, json.loads(run.sandbox.api.answer(call).body))
        key = next(key for key, value in body.items() if isinstance(value, list))
        answered = body | {
            "pages": {"type": "pages", "next": {"starting_after": f"cursor-{next(numbers)}"}}
        }
        answered[key] = [] if is_empty else body[key]
        return 200, {}, json.dumps(answered).encode()

    run.sandbox.faults.add("answer", TABLES[name], times=None, answer=answer)
    assert_fails(run, run.run(name), name, "keeps sending the same page")


def test_scroll_that_sends_the_same_page_for_ever_fails(runs: Begin) -> None:
    run = runs()
    first: dict[str, bytes] = {}

    def answer(call: Any) -> Any:
        return 200, {}, first.setdefault("page", run.sandbox.api.answer(call).body)

    run.sandbox.faults.add("answer", "^/companies/scroll$", times=None, answer=answer)
    assert_fails(run, run.run("companies"), "companies", "keeps sending the same page")


def test_scroll_may_have_one_token_for_all_pages(runs: Begin) -> None:
    run = runs()
    pages = iter([["a", "b"], ["c", "d"], ["e"], []])

    def answer(call: Any) -> Any:
        companies = [
            {"type": "company", "id": each, "updated_at": NOW - DAY} for each in next(pages)
        ]
        return 200, {}, json.dumps({"data": companies, "scroll_param": "one"}).encode()

    run.sandbox.faults.add("answer", "^/companies/scroll$", times=None, answer=answer)
    output = run.run("companies")
    assert output.code == 0, output.log
    assert output.ids("companies") == set("abcde")


def test_cursors_of_a_numbered_list_are_followed_with_and_without_a_number_of_pages(
    runs: Begin,
) -> None:
    """GET /companies/{id}/contacts goes on by cursor, and may count pages beside it."""
    for counts in ({}, {"total_pages": 3}):
        run = runs()

        def answer(call: Any, counts: Body = counts) -> Any:
            at = int(call.query.get("starting_after", "0"))
            contacts = [{"type": "contact", "id": f"{at + number}"} for number in range(2)]
            following = {"page": 2, "starting_after": str(at + 2)} if at < 4 else None
            pages = {"type": "pages", "page": 1, **counts, "next": following}
            body = {"type": "list", "data": contacts, "total_count": 6, "pages": pages}
            return 200, {}, json.dumps(body).encode()

        run.sandbox.faults.add("answer", TABLES["company_contact"], times=None, answer=answer)
        output = run.run("companies", "company_contact")
        assert output.code == 0, output.log
        rows = [(row["company_id"], row["contact_id"]) for row in output.records("company_contact")]
        assert len(set(rows)) == 5 * 6
        assert len(rows) == len(set(rows)), "a second pass writes no row again"
        run.forget()


@pytest.mark.parametrize("name", ["conversations", "contacts", "tickets"])
@pytest.mark.parametrize("age", [30 * DAY, HOUR], ids=["closed", "open days"])
@pytest.mark.parametrize("count", [None, "absent", 0], ids=str)
def test_search_without_a_count_loses_nothing(
    runs: Begin, name: str, age: int, count: Any, start_sandbox: Any
) -> None:
    """A record that leaves draws another one past a cursor that is a position."""
    run = runs(of_every_kind(9, last=NOW - age, step=1))
    run.sandbox.api.options.cursors = "position"

    def change(body: Body) -> None:
        body["total_count"] = count
        if count == "absent":
            del body["total_count"]

    def edit(workspace: Workspace) -> None:
        kind = name[:-1]
        key = run.sandbox.truth(name)[0]["id"] if age > DAY else run.sandbox.truth(name)[-1]["id"]
        getattr(workspace, f"delete_{kind}")(key)

    answer_with(run, TABLES[name], change)
    run.sandbox.faults.add("edit", TABLES[name], after=1, edit=edit)
    run.run(name)
    run.assert_nothing_is_lost(name)


@pytest.mark.parametrize("name", ["conversations", "contacts", "tickets"])
def test_search_that_counts_everything_in_each_window_ends(runs: Begin, name: str) -> None:
    """A count that ignores the filter would have each window cut down to its seconds."""
    run = runs(of_every_kind(9, last=NOW - 30 * DAY, step=HOUR))
    most_requests = 1_500
    calls = 0

    def change(body: Body) -> None:
        nonlocal calls
        calls += 1
        if calls <= most_requests:
            body["total_count"] = 100_000

    answer_with(run, TABLES[name], change)
    output = run.run(name)
    assert output.code == 0, output.log
    assert calls <= most_requests, calls
    run.assert_nothing_is_lost(name)


def test_articles_that_are_listed_twice_come_once(runs: Begin) -> None:
    workspace, keys = listed("articles", 7, NOW - 30 * DAY)
    run = runs(workspace)
    output = run.run("articles")
    assert sorted(row["id"] for row in output.records("articles")) == sorted(keys)
