"""Concurrency behind one ordered iterator.

Jobs run in threads and may get ahead of the reader by a bounded number of bytes; their items come
out in the order of the jobs, whatever the order in which answers arrive.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def size(self) -> int:
        """Bytes that the item holds."""


Item = TypeVar("Item", bound=Sized)
Argument = TypeVar("Argument")
Result = TypeVar("Result")
Job = Callable[[], Iterator[Item]]


class _Cancelled(BaseException):
    """Ends the thread of a lane that nobody reads any more."""


class _Lane(Generic[Item]):
    """The items of one job that were not read yet."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.is_first = False
        self.is_finished = False
        self.is_cancelled = False
        self.error: BaseException | None = None


class _Workers:
    """Threads for short calls, started as they are needed.

    They are daemons, unlike those of an executor: a run that ends does not wait for the last tries
    of requests that nobody needs any more.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._started = 0
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[Any], Any], Any]] = SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, function: Callable[[Argument], Result], argument: Argument) -> Future[Result]:
        future: Future[Result] = Future()
        self._calls.put((future, function, argument))
        with self._lock:
            if self._started < self._threads:
                self._started += 1
                threading.Thread(target=self._work, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            future, function, argument = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(argument))
            except BaseException as error:
                future.set_exception(error)


class ReadAhead:
    """Shared by all that read in a run, so that together they hold no more than `max_bytes`.

    The job that is being read may always hold one item, however full the rest is; therefore
    somebody can go on at any time.
    """

    def __init__(self, max_bytes: int, threads: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._changed = threading.Condition()
        self._workers = _Workers(threads)

    def run(self, jobs: Iterable[Job[Item]], width: int) -> Iterator[Iterator[Item]]:
        """Yield one iterator for each job, in order; `width` jobs run at the same time.

        What a job raises is raised by its own iterator, after the items before it. An iterator
        must be read to its end before the next one is taken, or is given up by then.
        """
        waiting = iter(jobs)
        lanes: deque[_Lane[Item]] = deque()
        try:
            while True:
                while len(lanes) < width and (job := next(waiting, None)) is not None:
                    lanes.append(self._start(job))
                if not lanes:
                    return
                with self._changed:
                    lanes[0].is_first = True
                    self._changed.notify_all()
                yield self._read(lanes[0])
                self._cancel(lanes.popleft())
        finally:
            for lane in lanes:
                self._cancel(lane)

    def map(
        self, function: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[Result]:
        """Yield function(argument) in order, computed side by side."""
        futures: deque[Future[Result]] = deque()
        try:
            for argument in arguments:
                futures.append(self._workers.submit(function, argument))
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()

    def _start(self, job: Job[Item]) -> _Lane[Item]:
        lane: _Lane[Item] = _Lane()
        threading.Thread(target=self._fill, args=(lane, job), daemon=True).start()
        return lane

    def _fill(self, lane: _Lane[Item], job: Job[Item]) -> None:
        items = job()
        try:
            for item in items:
                self._put(lane, item)
        except _Cancelled:
            pass
        except BaseException as error:
            lane.error = error
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
            with self._changed:
                lane.is_finished = True
                self._changed.notify_all()

    def _put(self, lane: _Lane[Item], item: Item) -> None:
        def has_room() -> bool:
            return (
                lane.is_cancelled
                or self._held_bytes < self._max_bytes
                or (lane.is_first and not lane.items)
            )

        with self._changed:
            self._changed.wait_for(has_room)
            if lane.is_cancelled:
                raise _Cancelled
            lane.items.append(item)
            self._held_bytes += item.size
            if lane.is_first:
                self._changed.notify_all()

    def _read(self, lane: _Lane[Item]) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: lane.items or lane.is_finished)
                if not lane.items:
                    break
                item = lane.items.popleft()
                self._held_bytes -= item.size
                self._changed.notify_all()
            yield item
        if lane.error is not None:
            raise lane.error

    def _cancel(self, lane: _Lane[Item]) -> None:
        with self._changed:
            lane.is_cancelled = True
            self._held_bytes -= sum(item.size for item in lane.items)
            lane.items.clear()
            self._changed.notify_all()
