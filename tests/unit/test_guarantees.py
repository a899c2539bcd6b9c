"""`docs/guarantees.md` names tests that there are, and each promise is broken by a mutation."""

from __future__ import annotations

import json
import re

from paths import ROOT, TESTS

DOCUMENT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PROMISES = 12


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)\(", sources))
    assert named - there == set()
    files = set(re.findall(r"`(tests/\S+\.py)`", DOCUMENT))
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_every_promise_is_argued_and_broken_on_purpose() -> None:
    argued = [int(number) for number in re.findall(r"^## (\d+)\. ", DOCUMENT, re.MULTILINE)]
    assert argued == list(range(1, PROMISES + 1))
    mutations = json.loads((TESTS / "mutations" / "mutations.json").read_text(encoding="utf-8"))
    broken = {each["promise"] for each in mutations}
    assert broken == {f"6.{number}" for number in argued}


def test_every_mutation_finds_its_place() -> None:
    mutations = json.loads((TESTS / "mutations" / "mutations.json").read_text(encoding="utf-8"))
    for each in mutations:
        text = (ROOT / each["file"]).read_text(encoding="utf-8")
        assert text.count(each["old"]) == 1, each["broken"]
