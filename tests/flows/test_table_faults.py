"""Faults on the way of every kind of table: none makes a run lose a row, or end without a word.

Each kind is a way of reading; `test_faults.py` tries the core tables. Pages hold two rows, so that
a fault comes between two pages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Output
from runs import NOW, Catalog, Clock
from table_runs import DAY, TableRuns, of_every_kind
from truth import instant_text
from warm_tap import WarmTap

from intercom_sandbox import Sandbox, Workspace
from intercom_sandbox.api import Api
from tap_intercom.streams import STREAMS

BYSTANDER = "tags"
FOR_EVER = None
SETTINGS: Mapping[str, Any] = {"page_size": 2, "max_retry_seconds": 30}
OPTIONS: Mapping[str, Any] = {"most_rows": 2, "scroll_page_size": 3, "scroll_ttl": 0.5}

Details = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """The requests that a fault hits, after the first `after` ones, and what needs them.

    whole: what is read with these tables without these requests.
    """

    path: str
    streams: tuple[str, ...]
    after: int = 1
    whole: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.whole, *self.streams)


CHILDREN = {
    "child of a list": Kind("/redirects$", ("redirects",), after=1, whole=("help_centers",)),
    "child with rows inside": Kind(
        "/side_conversations$",
        ("side_conversations", "side_conversation_parts"),
        whole=("conversations", "handling_events", "conversation_tag"),
    ),
    "child by pages of time": Kind(
        "^/events$", ("events",), whole=("contacts", "contact_notes", "contact_tag")
    ),
    "child of the scroll": Kind(
        "^/companies/.+/notes$", ("company_notes",), whole=("companies", "company_contact")
    ),
    "windows of a child": Kind(
        "/execution_results$", ("data_connector_executions",), whole=("data_connectors",)
    ),
    "child of many parents at once": Kind(
        "^/calls/search$", ("call_transcripts",), after=0, whole=("conversations",)
    ),
    "child of pages newest first": Kind(
        "^/articles/.+/versions$", ("article_versions",), whole=("articles", "article_statistics")
    ),
}
KINDS = {
    "search": Kind("^/tickets/search$", ("tickets", "ticket_parts")),
    "pages newest first": Kind("^/articles$", ("articles",)),
    "cursor": Kind("^/macros$", ("macros",)),
    "list": Kind("^/brands$", ("brands",), after=0),
    "windows": Kind("^/admins/activity_logs$", ("activity_logs",)),
    **CHILDREN,
}
PAGED = {
    name: kind
    for name, kind in KINDS.items()
    if name not in ("list", "child of many parents at once")
}
GATEWAY_PAGE = "<html>upstream</html>"
PASSING: dict[str, Details] = {
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "429 without headers": {"status": 429},
    "429 burst": {"status": 429, "headers": {"Retry-After": "0"}, "times": 8},
    "408": {"status": 408},
    "500": {"status": 500},
    "502 HTML": {"status": 502, "body": GATEWAY_PAGE},
    "503 HTML": {"status": 503, "body": GATEWAY_PAGE},
    "504 HTML": {"status": 504, "body": GATEWAY_PAGE},
    "reset before the answer": {"kind": "reset_before"},
    "reset midway": {"kind": "reset_midway"},
    "invalid JSON": {"kind": "invalid_json"},
    "wrong content type": {"kind": "wrong_content_type"},
    "slower than the timeout": {"kind": "slow", "seconds": 0.8, "times": 1},
    "truncated": {"kind": "truncated"},
    "error body with status 200": {"kind": "error_body_200"},
}
LASTING: dict[str, tuple[Details, int]] = {
    "429": ({"status": 429, "headers": {"Retry-After": "0"}}, 4),
    "500": ({"status": 500}, 4),
    "503 HTML": ({"status": 503, "body": GATEWAY_PAGE}, 4),
    "reset before the answer": ({"kind": "reset_before"}, 4),
    "truncated": ({"kind": "truncated"}, 4),
    "error body with status 200": ({"kind": "error_body_200"}, 4),
    "401": ({"status": 401}, 3),
    "403 of the plan": ({"status": 403, "code": "api_plan_restricted"}, 3),
    "invalid JSON": ({"kind": "invalid_json"}, 4),
    "403": ({"status": 403, "code": "token_unauthorized"}, 3),
    "null list": ({"kind": "null_list"}, 5),
    "bare list": ({"kind": "answer", "answer": lambda call: (200, {}, b"[]")}, 5),
    "422": ({"status": 422}, 5),
}


def every(faults: Mapping[str, Any], kinds: Mapping[str, Kind] = KINDS) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("fault", "kind"),
        [
            pytest.param(fault, kind, id=f"{fault_name} - {name}")
            for fault_name, fault in faults.items()
            for name, kind in kinds.items()
        ],
    )


class Faulty(TableRuns):
    """Runs on a sandbox that faults can be added to."""

    def add(self, of: Kind, **fault: Any) -> None:
        usual: Details = {"kind": "status", "path": of.path, "after": of.after, "times": 2}
        self.sandbox.faults.add(**{**usual, **fault})

    def change(self, path: str, edit: Callable[[Details], object], **when: Any) -> None:
        """Let `edit` change what an answer says."""
        api: Api = self.sandbox.api

        def answer(call: Any) -> Any:
            found = api.answer(call)
            body = json.loads(found.body)
            edit(body)
            return found.status, {}, json.dumps(body).encode()

        self.sandbox.faults.add("answer", path, answer=answer, **{"times": FOR_EVER, **when})

    def run(self, *streams: str, **how: Any) -> Output:
        output = super().run(*streams, BYSTANDER, **how)
        assert "Traceback" not in output.log
        assert list(self.problems(BYSTANDER)) == []
        return output

    def assert_failed(self, output: Output, code: int, *names: str) -> None:
        """The run ended with this code and a last line that names what failed, alone."""
        assert output.code == code, output.log
        assert output.last_log_line.startswith("CRITICAL"), output.log
        failed = {
            line.split(":")[0].removeprefix("INFO ")
            for line in output.log.splitlines()
            if line.endswith(" records, failed")
        }
        assert failed == set(names), output.log
        for name in names:
            assert name in output.last_log_line
            reached = self.bookmarks.get(name, {}).get("updated_at", "")
            assert reached < instant_text(NOW - DAY)


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(of_every_kind(), clock=Clock(), rate_limit=1_000_000, **OPTIONS) as sandbox:
        yield sandbox


@pytest.fixture
def faulty(
    shared_sandbox: Sandbox, tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog
) -> Iterator[Faulty]:
    shared_sandbox.api.scroll = None
    yield Faulty(shared_sandbox, tmp_path, warm_tap, plain_catalog, **SETTINGS)
    shared_sandbox.faults.clear()


@pytest.fixture
def start(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Callable[..., Faulty]:
    """Starts runs on a sandbox of their own: `start(workspace, **options)`."""

    def begin(workspace: Workspace, **options: Any) -> Faulty:
        options = {"rate_limit": 1_000_000, "clock": Clock(), **OPTIONS, **options}
        sandbox = start_sandbox(workspace, **options)
        return Faulty(sandbox, tmp_path, warm_tap, plain_catalog, **SETTINGS)

    return begin


# -- Faults that pass, and faults that last ------------------------------------------------------


@every(PASSING)
def test_run_completes_after_a_fault_that_passes(
    faulty: Faulty, fault: Details, kind: Kind
) -> None:
    faulty.add(kind, **fault)
    # A timeout shorter than a slow answer takes.
    patience = {"request_timeout": 0.4} if fault.get("kind") == "slow" else {}
    faulty.run(*kind.streams, **patience)
    assert any(fault.done for fault in faulty.sandbox.faults.faults)
    faulty.assert_nothing_is_lost(*kind.streams)
    assert list(faulty.problems(*kind.streams, is_once=True)) == []


@every(LASTING)
def test_only_what_cannot_be_read_fails_and_the_next_run_completes(
    faulty: Faulty, fault: tuple[Details, int], kind: Kind
) -> None:
    """The parent of a child that fails, and other tables read with it, go on."""
    details, code = fault
    faulty.add(kind, **{**details, "times": FOR_EVER})
    first = faulty.run(*kind.all, max_retry_seconds=0)
    faulty.assert_failed(first, code, *kind.streams)
    assert list(faulty.problems(*kind.whole)) == []
    moved = {name for name in kind.whole if STREAMS[name].is_incremental}
    assert faulty.bookmarks.keys() >= moved
    faulty.sandbox.faults.clear()
    second = faulty.run(*kind.all)
    faulty.assert_nothing_is_lost(*kind.all)
    assert all(second.records(name) == [] for name in moved)


@pytest.mark.parametrize("name", ["search", "cursor", "windows of a child"])
def test_cursor_that_comes_twice_is_no_end(start: Callable[..., Faulty], name: str) -> None:
    kind = KINDS[name]
    faulty = start(of_every_kind(last=NOW - 10 * DAY, step=0))
    faulty.add(kind, kind="repeated_cursor", times=FOR_EVER)
    first = faulty.run(*kind.streams)
    faulty.assert_failed(first, 5, *kind.streams)
    assert "cursor twice" in first.last_log_line
    faulty.sandbox.faults.clear()
    faulty.run(*kind.streams)
    faulty.assert_nothing_is_lost(*kind.streams)


@pytest.mark.parametrize(("times", "code"), [(1, 0), (FOR_EVER, 5)], ids=["once", "for ever"])
def test_list_is_read_again_after_its_cursor_died(
    faulty: Faulty, times: int | None, code: int
) -> None:
    faulty.add(KINDS["cursor"], kind="dead_cursor", times=times)
    first = faulty.run("macros")
    assert first.code == code, first.log
    faulty.sandbox.faults.clear()
    if code:
        faulty.assert_failed(first, code, "macros")
        faulty.run("macros")
    faulty.assert_nothing_is_lost("macros")


@pytest.mark.parametrize(
    "pages", [{"next": 7}, {"next": [1]}, "2", [2], {"next": 7, "total_pages": "many"}]
)
@pytest.mark.parametrize("kind", PAGED.values(), ids=PAGED)
def test_pages_of_an_unknown_form_are_no_end(faulty: Faulty, kind: Kind, pages: Any) -> None:
    def spoil(body: Details) -> None:
        body["pages"] = pages
        body.pop("total_count", None)

    faulty.change(kind.path, spoil)
    first = faulty.run(*kind.streams)
    if first.code == 0:
        faulty.assert_nothing_is_lost(*kind.streams)
    else:
        faulty.assert_failed(first, 5, *kind.streams)


# -- What a child says of its parent -------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("kind", CHILDREN.values(), ids=CHILDREN)
def test_parent_that_is_gone_is_skipped_and_named(
    start: Callable[..., Faulty], kind: Kind, status: int
) -> None:
    faulty = start(of_every_kind())
    # A request for many parents is repeated for each of them.
    times = 2 if kind.path == "^/calls/search$" else 1
    faulty.add(kind, status=status, times=times, after=0)
    output = faulty.run(*kind.all)
    assert output.code == 0, output.log
    assert list(faulty.problems(*kind.whole)) == []
    (warning,) = [line for line in output.log_lines("WARNING") if "deleted meanwhile" in line]
    assert f"{kind.streams[0]}: 1 " in warning


def test_conversation_without_a_call_is_none_that_is_gone(faulty: Faulty) -> None:
    faulty.sandbox.faults.add("status", "^/fin_voice/", status=404, times=FOR_EVER)
    output = faulty.run("fin_voice_calls", "conversations")
    assert output.code == 0, output.log
    assert output.records("fin_voice_calls") == []
    assert output.log_lines("WARNING") == []


@pytest.mark.parametrize(
    ("path", "child", "siblings"),
    [
        ("/contacts/.+/notes$", "contact_notes", ("contacts", "contact_segment", "events")),
        ("/side_conversations$", "side_conversations", ("conversations", "handling_events")),
        ("^/articles/.+/versions$", "article_versions", ("articles", "article_statistics")),
    ],
)
def test_child_fails_when_most_of_its_parents_are_gone(
    start: Callable[..., Faulty], path: str, child: str, siblings: tuple[str, ...]
) -> None:
    """However few records a page has, and whatever other children find there."""
    faulty = start(of_every_kind(30, step=DAY))
    faulty.sandbox.faults.add("status", path, status=404, times=FOR_EVER)
    first = faulty.run(*siblings, child)
    faulty.assert_failed(first, 5, child)
    assert "not found" in first.last_log_line
    assert list(faulty.problems(*siblings)) == []
    faulty.sandbox.faults.clear()
    faulty.run(*siblings, child)
    faulty.assert_nothing_is_lost(*siblings, child)


def test_few_contacts_that_are_gone_in_a_long_run_do_not_end_it(
    start: Callable[..., Faulty],
) -> None:
    workspace = Workspace()
    tags = [workspace.add_tag(name=f"Tag {number}") for number in range(12)]
    for _ in range(48):
        workspace.add_contact(created_at=NOW - 10 * DAY, tags=tags)
    faulty = start(workspace)
    asked: list[str] = []

    def answer(call: Any) -> Any:
        asked.append(call.path)
        if len(asked) % 4 == 0:
            return 404, {}, b'{"type":"error.list","errors":[]}'
        found = faulty.sandbox.api.answer(call)
        return found.status, {}, found.body

    faulty.sandbox.faults.add("answer", "^/contacts/.+/tags$", answer=answer, times=FOR_EVER)
    output = faulty.run("contacts", page_size=50)
    assert output.code == 0, output.log
    assert len(output.ids("contacts")) == 48
    assert "12 records skipped" in output.log


@pytest.mark.parametrize("failing", [("contact_notes",), ("contact_notes", "events")])
def test_children_fail_one_by_one(faulty: Faulty, failing: tuple[str, ...]) -> None:
    """Also where their parent is not selected, and the last one of them is left."""
    paths = {"contact_notes": "/contacts/.+/notes$", "events": "^/events$"}
    for name in failing:
        faulty.sandbox.faults.add(
            "status", paths[name], after=3, times=FOR_EVER, status=403, code="token_unauthorized"
        )
    names = ("contact_notes", "contact_segment", "events")
    first = faulty.run(*names)
    faulty.assert_failed(first, 3, *failing)
    whole = set(names) - set(failing)
    assert list(faulty.problems(*whole)) == []
    assert faulty.bookmarks.keys() == whole
    faulty.sandbox.faults.clear()
    faulty.run(*names)
    faulty.assert_nothing_is_lost(*names)


def test_children_without_permission_can_be_left_out(faulty: Faulty) -> None:
    for path in ("/contacts/.+/notes$", "^/brands$"):
        faulty.sandbox.faults.add(
            "status", path, times=FOR_EVER, status=403, code="token_unauthorized"
        )
    names = ("contacts", "contact_notes", "contact_tag", "brands")
    first = faulty.run(*names, on_missing_permission="skip")
    assert first.code == 0, first.log
    assert list(faulty.problems("contacts", "contact_tag")) == []
    assert faulty.bookmarks.keys() == {"contacts", "contact_tag"}
    assert first.count("ACTIVATE_VERSION", "brands") == 0
    faulty.sandbox.faults.clear()
    faulty.run(*names)
    faulty.assert_nothing_is_lost(*names)


def test_children_that_take_longer_than_a_scroll_lives_do_not_end_it(
    start: Callable[..., Faulty],
) -> None:
    """A scroll ends a minute after its last use, here after a fraction of a second."""
    faulty = start(of_every_kind(8, step=DAY), scroll_ttl=0.2, clock=time.time)
    faulty.sandbox.faults.add("slow", "^/companies/.+/contacts$", seconds=0.4, times=FOR_EVER)
    output = faulty.run("companies", "company_contact", max_retry_seconds=2)
    assert output.code == 0, output.log
    faulty.assert_nothing_is_lost("companies", "company_contact")
    assert "restarts after" not in output.log


# -- Sizes and counts ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("name", ["articles", "article_versions", "newsfeed_items"])
def test_page_size_that_is_refused_is_left_to_intercom(
    start: Callable[..., Faulty], name: str, status: int
) -> None:
    workspace = of_every_kind()
    newsfeed = workspace.add_record("newsfeeds")
    for _ in range(5):
        assignment = {"newsfeed_id": newsfeed, "published_at": NOW}
        workspace.add_record("news_items", state="live", newsfeed_assignments=[assignment])
    faulty = start(workspace)

    def answer(call: Any) -> Any:
        if "per_page" in call.query:
            error = {"code": "parameter_invalid", "message": "per_page is too large"}
            return status, {}, json.dumps({"type": "error.list", "errors": [error]}).encode()
        found = faulty.sandbox.api.answer(call)
        return found.status, {}, found.body

    path = {
        "articles": "^/articles$",
        "article_versions": "/versions$",
        "newsfeed_items": "/items$",
    }
    faulty.sandbox.faults.add("answer", path[name], answer=answer, times=FOR_EVER)
    faulty.run(name)
    faulty.assert_nothing_is_lost(name)


@pytest.mark.parametrize("strict", [False, True], ids=["warn", "strict"])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("articles", "^/articles$"),
        ("internal_articles", "^/internal_articles$"),
        ("deleted_conversations", "^/conversations/deleted$"),
        ("redirects", "/redirects$"),
        ("contact_notes", "^/contacts/.+/notes$"),
    ],
)
def test_rows_that_are_counted_and_do_not_come_are_reported(
    start: Callable[..., Faulty], name: str, path: str, strict: bool
) -> None:
    faulty = start(of_every_kind())

    def count_two_more(body: Details) -> None:
        body["total_count"] += 2

    faulty.change(path, count_two_more)
    output = faulty.run(name, strict=strict)
    assert any("2 of" in line and "that Intercom counts" in line for line in output.log.split("\n"))
    if strict:
        faulty.assert_failed(output, 5, name)
    else:
        faulty.assert_nothing_is_lost(name)
