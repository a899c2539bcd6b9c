"""Every example answer of the official description passes through the tables that read it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from copy import deepcopy
from functools import lru_cache
from itertools import product
from typing import Any

import jsonschema_rs
import pytest
from api_versions import DEFAULT_TABLES
from conftest import Output, Tap
from description import DESCRIPTION, examples
from paths import TESTS
from truth import STREAMS as CORE

from intercom_sandbox import Sandbox, generate

ENDPOINTS = json.loads((TESTS / "endpoints.json").read_text("utf-8"))
# Exports are files, what is deleted is found out by comparing, and attachments store files.
BEYOND_THE_CORE = sorted(
    name
    for name in set(DEFAULT_TABLES) - set(CORE) - {"deletions", "attachments"}
    if not name.startswith("content_export_")
)

# Tables whose rows no example shows: its lists are empty, or it has none.
NOT_SHOWN = {
    "company_contact",
    "conversation_link",
    "conversation_part_attachment",
    "event_summaries",
    "events",
    "fin_voice_calls",
    "newsfeed_items",
    "ticket_link",
    "ticket_part_attachment",
}

COUNTED = "contact_tag: 24 entries of tags that no endpoint returns"

Answer = tuple[int, dict[str, str], bytes]


@lru_cache(maxsize=1)
def bodies() -> dict[str, list[Any]]:
    """The bodies that the description shows for the endpoints of tables, each as a last page."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for example in examples():
        listed = ENDPOINTS.get(example.endpoint, {})
        tables = {listed.get("table"), *listed.get("tables", ())}
        if example.status == "200" and tables & {*BEYOND_THE_CORE}:
            found[example.endpoint].append(last_page(deepcopy(example.value)))
    return dict(found)


def last_page(body: Any) -> Any:
    if isinstance(body, dict):
        if "pages" in body:
            body["pages"] = None
        for name in ("total_count", "total_pages"):
            body.pop(name, None)
    return body


def serve(sandbox: Sandbox, number: int, is_of_children: bool) -> None:
    """Let the sandbox answer with the number-th example of each endpoint, or that of children."""
    for endpoint, answers in bodies().items():
        method, path = endpoint.split(" ")
        if is_of_children and not ("{" in path or path in ("/events", "/calls/search")):
            continue
        if path in ("/companies/scroll", "/companies/list"):
            continue  # a scroll would not end
        body = json.dumps(answers[number % len(answers)]).encode()

        def answer(call: object, body: bytes = body) -> Answer:
            return 200, {"Content-Type": "application/json"}, body

        # Beside conversations by their id are lists with a name.
        pattern = path.replace("{conversation_id}", "[0-9]+")
        pattern = "^" + re.sub(r"\{[^}]+\}", "[^/]+", pattern) + "$"
        sandbox.faults.add("answer", pattern, method, times=None, answer=answer)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[Output]:
    """Runs on the first example of each endpoint, on the second, and so on.

    One is on those of children alone, since the parents in examples may have none.
    """
    if not DESCRIPTION.exists():
        pytest.skip("the official description of version 2.16 is not at hand")
    found = []
    workspace = generate(seed=1, contacts=9, companies=9, conversations=3, parts=3, tickets=1)
    most = max(map(len, bodies().values()))
    for number, is_of_children in product(range(most), (False, True)):
        with Sandbox(workspace) as sandbox:
            tap = Tap(sandbox, tmp_path_factory.mktemp("examples"))
            catalog = tap.discover()
            serve(sandbox, number, is_of_children)
            found.append(tap.sync(*BEYOND_THE_CORE, catalog=catalog, custom_object_types=["Order"]))
    return found


def test_no_example_is_a_surprise(outputs: list[Output]) -> None:
    for output in outputs:
        assert output.code == 0, output.log
        # One contact counts 25 tags, and its endpoint has one.
        warnings = [line for line in output.log_lines("WARNING") if COUNTED not in line]
        assert warnings == []


@pytest.mark.parametrize("table", BEYOND_THE_CORE)
def test_the_rows_of_the_examples_validate(outputs: list[Output], table: str) -> None:
    rows = [row for output in outputs for row in output.records(table)]
    validator = jsonschema_rs.Draft7Validator(outputs[0].schema(table), validate_formats=True)
    problems = [error.message for row in rows for error in validator.iter_errors(row)]
    assert problems == []
    assert bool(rows) is (table not in NOT_SHOWN)
