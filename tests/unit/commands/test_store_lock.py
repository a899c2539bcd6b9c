"""The lock of a state at a URL: one run at a time, whoever dies or sleeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tap_intercom.commands.store import Store
from tap_intercom.commands.store_lock import (
    BEAT_SECONDS,
    DEAD_SECONDS,
    LOST_SECONDS,
    NoLockError,
    StoreLock,
)
from tap_intercom.errors import BusyError, UnavailableError

FOLDER = "/state.json.files/"


class World:
    """Runs on several machines, and a clock that moves only while a run waits."""

    def __init__(self) -> None:
        self.instant = 1000.0
        self.events: list[tuple[float, Callable[[], object]]] = []

    def lock(self, machine: str = "here") -> StoreLock:
        return StoreLock(Store("memory://state.json"), machine)

    def taken(self, machine: str = "here", wait_seconds: float = 0) -> StoreLock:
        lock = self.lock(machine)
        lock.take(wait_seconds)
        return lock

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        self.events.append((self.instant + seconds, event))

    def sleep(self, seconds: float) -> None:
        self.instant += seconds
        due = [event for event in self.events if event[0] <= self.instant]
        self.events = [event for event in self.events if event not in due]
        for _, act in due:
            act()

    def beating(self, lock: StoreLock) -> None:
        def beat() -> None:
            lock.beat()
            self.after(BEAT_SECONDS, beat)

        self.after(BEAT_SECONDS, beat)

    @property
    def numbers(self) -> list[int]:
        names = [name for name in MemoryFileSystem.store if name.startswith(f"{FOLDER}lock-")]
        return sorted(int(name.rpartition("-")[2]) for name in names)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr("time.monotonic", lambda: world.instant)
    monkeypatch.setattr("time.sleep", world.sleep)
    MemoryFileSystem.store.clear()
    yield world
    MemoryFileSystem.store.clear()


def test_a_run_ends_before_another_may_begin() -> None:
    assert BEAT_SECONDS < LOST_SECONDS < DEAD_SECONDS


def test_a_released_lock_is_free(world: World) -> None:
    world.taken("a").release()
    world.taken("b").release()
    assert world.numbers == [2]
    assert world.instant == 1000


def test_a_second_run_is_refused_once_the_first_shows_life(world: World) -> None:
    world.beating(world.taken("a"))
    with pytest.raises(BusyError, match=r"another run uses memory://state.json; nothing was read"):
        world.taken("b")
    assert world.instant - 1000 <= BEAT_SECONDS + 2
    assert world.numbers == [1]


def test_a_second_run_may_wait(world: World) -> None:
    first = world.taken("a")
    world.beating(first)
    world.after(300, first.release)
    world.taken("b", wait_seconds=600)
    assert 300 <= world.instant - 1000 < 310
    assert world.numbers == [2]


def test_a_run_waits_for_a_living_one_only_so_long(world: World) -> None:
    world.beating(world.taken("a"))
    with pytest.raises(BusyError):
        world.taken("b", wait_seconds=50)
    assert 50 <= world.instant - 1000 < 60


def test_the_lock_of_a_dead_run_is_taken_over(world: World) -> None:
    dead = world.taken("a")
    world.taken("b")
    assert DEAD_SECONDS <= world.instant - 1000 < DEAD_SECONDS + 5
    assert world.numbers == [2]
    # It was not dead, only asleep.
    with pytest.raises(BusyError, match=r"another run took over memory://state\.json"):
        dead.beat()


def test_a_dead_run_of_this_machine_is_not_waited_for(world: World) -> None:
    world.taken("here")
    world.taken("here")
    assert world.instant == 1000


def test_a_run_that_sleeps_does_not_disturb_its_successor(world: World) -> None:
    sleeper = world.taken("a")
    successor = world.taken("b")
    sleeper.release()
    successor.beat()
    world.beating(successor)
    with pytest.raises(BusyError):
        world.taken("c")


def test_one_of_two_waiting_runs_takes_over(world: World) -> None:
    world.taken("dead")
    # Another run has waited longer.
    world.after(DEAD_SECONDS - 1, lambda: world.beating(world.taken("dead")))
    with pytest.raises(BusyError):
        world.taken("b")
    assert world.numbers == [2]


def test_a_number_that_was_used_before_is_not_the_lock(world: World) -> None:
    """The run looked long ago: since then, its number was taken, released and deleted."""
    slow = world.lock("slow")
    seen = slow._holder()
    for machine in "abc":
        world.taken(machine).release()
    holder = world.taken("d")
    assert not slow._create(seen.number + 1)
    holder.beat()
    assert world.numbers == [4]


def test_a_lost_answer_is_no_other_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    create = Store.create
    answers: list[bool] = []

    def lose_first(store: Store, key: str, content: bytes) -> bool:
        answers.append(create(store, key, content))
        return answers[-1] and len(answers) > 1

    monkeypatch.setattr(Store, "create", lose_first)
    world.taken("a").beat()
    assert answers == [True, False]


def test_a_store_that_replaces_an_object_has_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe_file = MemoryFileSystem.pipe_file

    def ignore_mode(self: Any, path: str, value: bytes, mode: str = "", **how: Any) -> None:
        pipe_file(self, path, value, **how)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", ignore_mode)
    with pytest.raises(NoLockError, match=r"^--state: memory://state.json cannot be locked"):
        world.taken("a")
    assert world.numbers == []


def test_a_store_whose_code_looks_first_has_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(MemoryFileSystem, "pipe_file")
    with pytest.raises(NoLockError):
        world.taken("a")
    assert world.numbers == []


def test_a_run_that_is_stopped_while_it_takes_the_lock_leaves_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Store.names
    calls: list[int] = []

    def stop(store: Store) -> list[str]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return names(store)

    monkeypatch.setattr(Store, "names", stop)
    with pytest.raises(KeyboardInterrupt):
        world.taken("a")
    assert world.numbers == []


def test_a_lock_that_cannot_be_released_ends_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.taken("a")
    with monkeypatch.context() as patch:

        def fail(*arguments: Any) -> None:
            raise UnavailableError("the store is away")

        patch.setattr(Store, "write", fail)
        first.release()
    world.taken("b")
    assert world.instant - 1000 >= DEAD_SECONDS


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b'{"is_released": false}'])
def test_an_object_that_says_nothing_is_a_lock(world: World, content: bytes) -> None:
    MemoryFileSystem().pipe_file(f"{FOLDER}lock-00000007", content)
    world.taken("b")
    assert world.instant - 1000 >= DEAD_SECONDS
    assert world.numbers == [8]
    (name,) = MemoryFileSystem.store
    assert json.loads(MemoryFileSystem.store[name].getvalue())["is_released"] is False
