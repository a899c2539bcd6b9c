"""What a run knows of its streams: what they lack, when they give up, and what others left."""

from __future__ import annotations

from threading import Thread
from typing import Any, cast

import pytest

from tap_intercom.errors import ContractError, UnavailableError
from tap_intercom.reading.stream_run import MAX_OTHERS, SKIPPED_SAMPLE, Batch, Shared, StreamRun
from tap_intercom.settings import Settings
from tap_intercom.shortfalls import Shortfalls
from tap_intercom.state import Origin, Plan
from tap_intercom.windows import Window

NOW = 1_780_000_000


def run_of(*names: str, strict: bool = False, **plans: Plan) -> StreamRun:
    """A run of streams, as far as it needs neither Intercom nor a catalog."""
    nothing = cast(Any, None)
    return StreamRun(
        client=nothing,
        settings=Settings(strict=strict),
        origin=Origin(0, None, "w1", None, now=NOW, safe=NOW - 600),
        ahead=nothing,
        shortfalls=Shortfalls(),
        selections=dict.fromkeys(names, nothing),
        plans=plans,
        workspace_id="w1",
        jobs=nothing,
        shared=nothing,
    )


def test_a_shortfall_is_counted_or_with_strict_an_error() -> None:
    lenient, strict = run_of("tags"), run_of("tags", strict=True)
    lenient.note_shortfall("tags", "entries did not come", "5", 3)
    assert lenient.shortfalls.of("tags") == {"entries did not come": 3}
    with pytest.raises(ContractError, match="tags: entries did not come: 5"):
        strict.note_shortfall("tags", "entries did not come", "5", 3)
    # What the API never sends is no reason to fail every time.
    strict.note_shortfall("tags", "entries beyond 500", "5", is_cap=True)
    assert strict.shortfalls.of("tags") == {"entries beyond 500": 1}


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_few_skipped_records_are_told_and_many_are_an_error(is_gone: bool) -> None:
    run = run_of("notes")

    def skip(record_id: str) -> None:
        if is_gone:
            run.note_gone("notes", True, record_id)
        else:
            run.note_unreadable("notes", record_id, 1, UnavailableError("500"))

    for number in range(SKIPPED_SAMPLE // 2):
        skip(str(number))
    assert sum(run.shortfalls.of("notes").values()) == SKIPPED_SAMPLE // 2
    with pytest.raises(ContractError, match=f"more than half of the last {SKIPPED_SAMPLE}"):
        skip("one more")


def test_skipped_records_of_long_ago_do_not_count() -> None:
    run = run_of("notes")
    for _ in range(5):
        for number in range(SKIPPED_SAMPLE // 2):
            run.note_gone("notes", True, str(number))
        for _ in range(SKIPPED_SAMPLE // 2):
            run.note_read("notes")
    # Each stream has its own sample.
    run.note_gone("events", True, "1")


def test_others_are_asked_for_beginning_with_the_last_one_read() -> None:
    run = run_of("notes")
    assert run.others_than("notes", "a") == []
    run.parents["notes"] = ["a", "b", "c", "d", "e"]
    run.note_read("notes", "e")
    assert run.others_than("notes", "b") == ["e", "a", "c"]
    assert len(run.others_than("notes", "x")) == MAX_OTHERS


def test_a_group_goes_on_until_all_its_streams_gave_up() -> None:
    run = run_of("contacts", "notes")
    first, second = UnavailableError("first"), UnavailableError("second")
    run.give_up(["notes"], first)
    run.give_up(["notes"], second)
    assert run.given_up == {"notes": first}
    with pytest.raises(UnavailableError, match="second"):
        run.give_up(["contacts"], second)


def test_only_streams_with_a_bookmark_are_completed() -> None:
    run = run_of("contacts", "tags", contacts=Plan(Window(0, None)))
    assert run.complete() == Batch(reached={"contacts": NOW - 600})


def test_a_stream_wants_what_its_plan_wants_or_everything() -> None:
    run = run_of("contacts", "tags", contacts=Plan(Window(100, None)))
    assert [run.wants("contacts", at) for at in (99, 100, None)] == [False, True, True]
    assert run.wants("tags", 0)
    assert not run.shows("teams", "id")


def test_the_results_of_a_stream_are_waited_for() -> None:
    shared = Shared({}, ["contacts", "companies"])
    found: list[Any] = []
    thread = Thread(target=lambda: found.append(shared.wait_for("contacts")))
    thread.start()
    shared.share("contacts", {"ids": 5})
    assert found == []
    shared.end("contacts")
    thread.join()
    assert found == [{"ids": 5}]


def test_a_stream_that_failed_or_is_not_read_leaves_nothing() -> None:
    shared = Shared({}, ["contacts"])
    shared.end("contacts")
    assert shared.wait_for("contacts") is None
    assert shared.wait_for("tickets") is None
    assert (shared.reads("contacts"), shared.reads("tickets")) == (True, False)


def test_a_batch_is_as_large_as_its_lines() -> None:
    assert Batch(b"x" * 1000).size - Batch().size == 1000
