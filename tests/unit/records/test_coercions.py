"""Counts of changed values: every change counts, and the log names each kind once."""

from __future__ import annotations

import logging
from threading import Thread

import pytest

from tap_intercom.records.coercions import KEPT_AS_TEXT, MADE_NULL, UNKNOWN_FIELD, Coercions


def test_the_first_change_of_each_field_and_kind_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    coercions = Coercions("contacts")
    with caplog.at_level(logging.WARNING):
        for field, kind in (
            ("phone", MADE_NULL),
            ("phone", MADE_NULL),
            ("phone", KEPT_AS_TEXT),
            ("new", UNKNOWN_FIELD),
            ("phone", MADE_NULL),
        ):
            coercions.add(field, kind)
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        "contacts: phone contains a value that does not fit its type; set to null",
        "contacts: phone contains a value that does not fit its type; kept as JSON text",
        "contacts: new is not in the schema and is dropped; unknown_fields: pass keeps it",
    ]
    assert coercions.counts == {
        ("phone", MADE_NULL): 3,
        ("phone", KEPT_AS_TEXT): 1,
        ("new", UNKNOWN_FIELD): 1,
    }


def test_several_changes_at_once_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    coercions = Coercions("contacts")
    with caplog.at_level(logging.WARNING):
        coercions.add("name", MADE_NULL, 150)
        coercions.add("name", MADE_NULL, 2)
    assert len(caplog.records) == 1
    assert coercions.counts == {("name", MADE_NULL): 152}


def test_repairs_are_counted_across_threads() -> None:
    coercions = Coercions("x")

    def add() -> None:
        for _ in range(1000):
            coercions.add("a", MADE_NULL)

    threads = [Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert coercions.counts == {("a", MADE_NULL): 4000}
