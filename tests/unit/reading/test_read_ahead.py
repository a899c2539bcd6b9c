"""Items come in order, whatever the threads do, and memory stays bounded."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from tap_intercom.reading import read_ahead
from tap_intercom.reading.read_ahead import ReadAhead

PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Text:
    text: str

    @property
    def size(self) -> int:
        return len(self.text)


def produce(name: str, count: int) -> Iterator[Text]:
    for number in range(count):
        yield Text(f"{name}{number} " + "x" * 100)


def flat(ahead: ReadAhead, jobs: Sequence[Callable[[], Iterator[Text]]], width: int) -> list[str]:
    return [item.text.split()[0] for items in ahead.run(jobs, width) for item in items]


@pytest.mark.parametrize("width", [1, 2, 8])
@pytest.mark.parametrize(
    ("memory", "files"),
    [
        pytest.param(10**6, 10**6, id="all in memory"),
        pytest.param(0, 10**6, id="all in files"),
        pytest.param(250, 10**6, id="both"),
        pytest.param(0, 0, id="no room at all"),
    ],
)
def test_items_come_in_the_order_of_the_jobs(width: int, memory: int, files: int) -> None:
    jobs = [partial(produce, name, 30) for name in "abcdef"]
    expected = [f"{name}{number}" for name in "abcdef" for number in range(30)]
    assert flat(ReadAhead(memory, files, 4), jobs, width) == expected


@pytest.fixture
def open_files(monkeypatch: pytest.MonkeyPatch) -> list[read_ahead._Segment]:
    """The files that hold what is ahead, at any time."""
    files: list[read_ahead._Segment] = []

    class Segment(read_ahead._Segment):
        def __init__(self) -> None:
            super().__init__()
            files.append(self)

        def close(self) -> None:
            super().close()
            files.remove(self)

    monkeypatch.setattr(read_ahead, "_Segment", Segment)
    return files


@pytest.mark.parametrize("waiting", [1, 30, 500])
def test_files_hold_little_more_than_what_is_waiting(
    monkeypatch: pytest.MonkeyPatch, open_files: list[read_ahead._Segment], waiting: int
) -> None:
    monkeypatch.setattr(read_ahead, "SEGMENT_BYTES", 1_000)
    may_be_made = threading.Semaphore(waiting)

    def throttled() -> Iterator[Text]:
        for item in produce("a", 3_000):
            assert may_be_made.acquire(timeout=PATIENCE_SECONDS)
            yield item

    lanes = ReadAhead(0, 10**6, 1).run([throttled], 1)
    count = most_bytes = most_files = 0
    for count, item in enumerate(next(lanes), start=1):
        assert item.text.startswith(f"a{count - 1} ")
        most_files = max(most_files, len(open_files))
        most_bytes = max(most_bytes, sum(file.size for file in list(open_files)))
        may_be_made.release()
    assert count == 3_000
    of_an_item = len(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))
    # A file ends with the item that makes it too large.
    assert most_bytes <= 1.5 * waiting * of_an_item + 2 * (1_000 + of_an_item)
    assert most_files <= 20
    assert open_files == []


def endless(is_closed: threading.Event) -> Iterator[Text]:
    try:
        while True:
            yield Text("x" * 100)
    finally:
        is_closed.set()


def test_what_is_given_up_takes_no_room(open_files: list[read_ahead._Segment]) -> None:
    is_closed = threading.Event()
    lanes = ReadAhead(0, 10**6, 1).run([partial(endless, is_closed)], 1)
    next(next(lanes))
    lanes.close()  # type: ignore[attr-defined]
    assert is_closed.wait(PATIENCE_SECONDS)
    assert open_files == []


def test_jobs_may_run_jobs() -> None:
    ahead = ReadAhead(150, 0, 4)

    def outer(name: str) -> Iterator[Text]:
        for items in ahead.run([partial(produce, name + each, 5) for each in "xy"], 2):
            yield from items

    expected = [f"{name}{each}{n}" for name in "ab" for each in "xy" for n in range(5)]
    assert flat(ahead, [partial(outer, "a"), partial(outer, "b")], 2) == expected


def test_an_error_comes_after_the_items_before_it_and_leaves_other_jobs_alone() -> None:
    def fails() -> Iterator[Text]:
        yield Text("last")
        raise ValueError("broken")

    found: list[str] = []
    jobs: list[Callable[[], Iterator[Text]]] = [fails, partial(produce, "a", 2)]
    for items in ReadAhead(10**6, 0, 1).run(jobs, 2):
        try:
            found += [item.text.split()[0] for item in items]
        except ValueError as error:
            found.append(str(error))
    assert found == ["broken", "a0", "a1"]


def test_a_job_goes_on_while_nobody_reads() -> None:
    is_finished = threading.Event()

    def long() -> Iterator[Text]:
        yield from produce("a", 1000)
        is_finished.set()

    ahead = ReadAhead(1000, 10**7, 1)
    lanes = ahead.run([long], 1)
    items = next(lanes)
    first = next(items)
    assert first.text.startswith("a0 ")
    assert is_finished.wait(PATIENCE_SECONDS)
    assert len(list(items)) == 999


def test_a_busy_processor_keeps_later_jobs_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_is_idle", lambda *since: False)
    running: list[str] = []
    most: list[int] = []

    def counted(name: str) -> Iterator[Text]:
        running.append(name)
        most.append(len(running))
        yield from produce(name, 30)
        running.remove(name)

    ahead = ReadAhead(10**6, 0, 1)
    lanes = ahead.run([partial(counted, name) for name in "abcdef"], 6, 1)
    found = [item.text.split()[0] for items in lanes for item in items]
    assert found == [f"{name}{number}" for name in "abcdef" for number in range(30)]
    assert max(most) == 1


def many(is_made: threading.Event) -> Iterator[Text]:
    for number in range(30):
        if number == 9:
            is_made.set()
        yield Text(f"b{number} " + "x" * 100)


def test_a_busy_processor_keeps_what_is_ahead_out_of_the_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_ahead, "_is_idle", lambda *since: False)
    monkeypatch.setattr(read_ahead, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(read_ahead._Lane, "store", None)
    is_made = threading.Event()
    jobs = [partial(produce, "a", 1), partial(many, is_made)]
    lanes = ReadAhead(500, 10**6, 1).run(jobs, 2, 2, is_patient=True)
    assert len(list(next(lanes))) == 1
    assert not is_made.is_set()
    # Nor does the job that is being read use files: its reader takes the next item soon.
    assert [item.text.split()[0] for item in next(lanes)] == [f"b{number}" for number in range(30)]


@pytest.mark.parametrize(("is_idle", "patience"), [(True, PATIENCE_SECONDS), (False, 0)])
def test_what_is_ahead_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, is_idle: bool, patience: float
) -> None:
    """Neither while the reader starves, nor longer than a page cursor surely lives."""
    monkeypatch.setattr(read_ahead, "_is_idle", lambda *since: is_idle)
    monkeypatch.setattr(read_ahead, "PATIENCE_SECONDS", patience)
    monkeypatch.setattr(read_ahead, "STARVED_SECONDS", PATIENCE_SECONDS)
    is_made = threading.Event()

    def waits() -> Iterator[Text]:
        assert is_made.wait(PATIENCE_SECONDS)
        yield Text("a0")

    jobs: list[Callable[[], Iterator[Text]]] = [waits, partial(many, is_made)]
    lanes = ReadAhead(500, 10**6, 1).run(jobs, 2, 2, is_patient=True)
    found = [item.text.split()[0] for items in lanes for item in items]
    assert found == ["a0", *(f"b{number}" for number in range(30))]


def test_an_idle_processor_lets_later_jobs_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_is_idle", lambda *since: True)
    barrier = threading.Barrier(4, timeout=PATIENCE_SECONDS)

    def meets_others(name: str) -> Iterator[Text]:
        barrier.wait()
        yield from produce(name, 3)

    lanes = ReadAhead(10**6, 0, 1).run([partial(meets_others, name) for name in "abcd"], 4, 1)
    found = [item.text.split()[0] for items in lanes for item in items]
    assert found == [f"{name}{number}" for name in "abcd" for number in range(3)]


def test_time_of_the_processor_tells_whether_it_is_idle() -> None:
    since = time.monotonic(), time.process_time()
    while time.process_time() - since[1] < 0.05:
        pass
    assert not read_ahead._is_idle(time.monotonic() - 0.05, since[1])
    assert read_ahead._is_idle(time.monotonic() - 10, time.process_time())


def test_jobs_wait_when_there_is_no_more_room() -> None:
    made: list[int] = []
    has_made_some = threading.Event()

    def counted() -> Iterator[Text]:
        for number in range(100):
            made.append(number)
            if number == 4:
                has_made_some.set()
            yield Text("x" * 100)

    ahead = ReadAhead(500, 0, 1)
    jobs: list[Callable[[], Iterator[Text]]] = [partial(produce, "a", 1), counted]
    lanes = ahead.run(jobs, 2)
    next(lanes)
    assert has_made_some.wait(PATIENCE_SECONDS)
    assert len(made) <= 7
    lanes.close()  # type: ignore[attr-defined]


def test_what_is_given_up_ends_its_thread() -> None:
    is_closed = threading.Event()
    lanes = ReadAhead(500, 0, 1).run([partial(endless, is_closed)], 1)
    next(next(lanes))
    lanes.close()  # type: ignore[attr-defined]
    assert is_closed.wait(PATIENCE_SECONDS)


def test_calls_run_side_by_side_and_answer_in_order() -> None:
    barrier = threading.Barrier(4, timeout=PATIENCE_SECONDS)

    def call(number: int) -> int:
        barrier.wait()
        return number * number

    assert list(ReadAhead(0, 0, 4).map(call, [1, 2, 3, 4])) == [1, 4, 9, 16]


def test_a_call_that_fails_raises_in_its_place() -> None:
    def call(number: int) -> int:
        return 10 // number

    results = ReadAhead(0, 0, 2).map(call, [5, 0, 1])
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)


# -- Items of many iterators ---------------------------------------------------------------------


def test_items_of_each_argument_come_in_order() -> None:
    ahead = ReadAhead(0, 0, 4)
    pieces = [list(each) for each in ahead.map_each(partial(produce, count=3), list("abcdef"))]
    assert [[item.text.split()[0] for item in piece] for piece in pieces] == [
        [f"{name}{number}" for number in range(3)] for name in "abcdef"
    ]


def test_an_iterator_gets_ahead_by_a_step_at_most() -> None:
    made = dict.fromkeys("abc", 0)

    def make(name: str) -> Iterator[Text]:
        for _ in range(100):
            made[name] += 1
            yield Text("x" * (read_ahead.STEP_BYTES // 2))

    items = ReadAhead(0, 0, 4).map_each(make, list("abc"))
    first = next(items)
    for count, _ in enumerate(first, 1):
        # A step that was read in part, and the one after it.
        assert made["a"] <= count + 4
        assert max(made["b"], made["c"]) <= 2
    assert made["a"] == 100


def test_what_an_iterator_raises_comes_after_the_ones_before_it() -> None:
    def make(name: str) -> Iterator[Text]:
        if name == "b":
            raise ValueError(name)
        yield Text(name)

    items = ReadAhead(0, 0, 4).map_each(make, list("abc"))
    assert [item.text for item in next(items)] == ["a"]
    with pytest.raises(ValueError, match="b"):
        list(next(items))


def test_threads_are_started_only_while_all_others_are_busy() -> None:
    ahead = ReadAhead(0, 0, 50)
    before = threading.active_count()
    for number in range(50):
        assert list(ahead.map(lambda each: each, [number])) == [number]
    assert threading.active_count() <= before + 2
