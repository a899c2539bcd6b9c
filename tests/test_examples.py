"""Every example answer of the official description passes through the tables that read it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from conftest import Output, Tap
from description import DESCRIPTION, examples
from truth import STREAMS as CORE

from tap_intercom.sandbox import Sandbox, generate
from tap_intercom.streams import STREAMS

ENDPOINTS = json.loads((Path(__file__).parent / "endpoints.json").read_text("utf-8"))
BEYOND_THE_CORE = sorted(set(STREAMS) - set(CORE))

# Tables whose rows no example shows.
NOT_SHOWN = {
    "contact_company": "the contacts of the examples have no company",
}

Answer = tuple[int, dict[str, str], bytes]


@lru_cache(maxsize=1)
def bodies() -> dict[str, list[Any]]:
    """The bodies that the description shows for the endpoints of tables, each as a last page."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for example in examples():
        listed = ENDPOINTS.get(example.endpoint, {})
        if example.status == "200" and {"table", "tables"} & listed.keys():
            found[example.endpoint].append(last_page(deepcopy(example.value)))
    return dict(found)


def last_page(body: Any) -> Any:
    if isinstance(body, dict):
        if "pages" in body:
            body["pages"] = None
        for name in ("total_count", "total_pages"):
            body.pop(name, None)
    return body


def served(sandbox: Sandbox, number: int) -> None:
    """Let the sandbox answer with the number-th example of each endpoint."""
    for endpoint, answers in bodies().items():
        method, path = endpoint.split(" ")
        if path in ("/companies/scroll", "/companies/list", "/conversations/{conversation_id}"):
            # A scroll would not end; parts of conversations are not beyond the core.
            continue
        body = json.dumps(answers[number % len(answers)]).encode()

        def answer(call: object, body: bytes = body) -> Answer:
            return 200, {"Content-Type": "application/json"}, body

        pattern = "^" + re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"
        sandbox.faults.add("answer", pattern, method, times=None, answer=answer)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[Output]:
    """A run on the first example of each endpoint, one on the second, and so on."""
    if not DESCRIPTION.exists():
        pytest.skip("the official description of version 2.16 is not at hand")
    found = []
    workspace = generate(seed=1, contacts=3, companies=3, conversations=3, parts=3, tickets=1)
    for number in range(max(map(len, bodies().values()))):
        with Sandbox(workspace) as sandbox:
            tap = Tap(sandbox, tmp_path_factory.mktemp("examples"))
            catalog = tap.discover()
            served(sandbox, number)
            settings = {"custom_object_types": ["Order"], "unknown_fields": "drop"}
            found.append(tap.sync(*BEYOND_THE_CORE, catalog=catalog, **settings))
    return found


def test_no_example_is_a_surprise(outputs: list[Output]) -> None:
    for output in outputs:
        assert output.code == 0, output.log
        assert output.log_lines("WARNING") == []


@pytest.mark.parametrize("table", BEYOND_THE_CORE)
def test_the_rows_of_the_examples_validate(outputs: list[Output], table: str) -> None:
    rows = [row for output in outputs for row in output.records(table)]
    validator = jsonschema_rs.Draft7Validator(outputs[0].schema(table), validate_formats=True)
    problems = [error.message for row in rows for error in validator.iter_errors(row)]
    assert problems == []
    assert bool(rows) is (table not in NOT_SHOWN)
