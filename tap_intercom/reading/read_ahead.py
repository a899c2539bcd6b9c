"""Concurrency behind one ordered iterator.

Jobs run in threads ahead of the reader; their items come out in the order of the jobs, not of the
answers. Waiting items are kept in memory up to a limit, then in unnamed temporary files. No job has
to wait for a slow reader: a scroll would expire meanwhile.
"""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from tap_intercom.signals import start_thread

LOGGER = logging.getLogger("tap_intercom")


# Each job may hold a page, and jobs that start jobs would multiply that. Beyond this total, they
# run one after the other.
MAX_JOBS = 24
# Shorter than a request from anywhere but Intercom's own data center.
IDLE_SECONDS = 0.01
BUSY_SHARE = 0.8
# Longer than the time until the next check for an idle processor.
STARVED_SECONDS = 0.1
# The minimum size of a file before the next one begins; many waiting items increase it.
SEGMENT_BYTES = 2_000_000
# Limits the items of one record: a hundred records may be read concurrently.
STEP_BYTES = 100_000
# The lifetime of a page cursor is not known (API-K27).
PATIENCE_SECONDS = 5


class Sized(Protocol):
    @property
    def size(self) -> int:
        """The number of bytes that the item holds."""


Item = TypeVar("Item", bound=Sized)
Argument = TypeVar("Argument")
Result = TypeVar("Result")
Job = Callable[[], Iterator[Item]]


class _Cancelled(BaseException):
    """Ends the thread of a lane that nobody reads any more."""


class _Segment:
    """A temporary file of a lane. Raises OSError if there is no room."""

    def __init__(self) -> None:
        self._file: Any = tempfile.TemporaryFile(prefix="tap-intercom-")  # noqa: SIM115
        self.size = 0
        self.unread = 0

    def write(self, data: bytes) -> None:
        written = os.pwrite(self._file.fileno(), data, self.size)
        if written < len(data):
            raise OSError("no room for the whole item")
        self.size += written

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class _Stored:
    """Where a file keeps an item of a lane."""

    segment: _Segment
    offset: int
    size: int


class _Lane(Generic[Item]):
    """The unread items of one job.

    arrived: wakes the reader, since there is an item or the job has finished.
    room: wakes the job, since there may be room for its next item.
    is_patient: whether it waits a while for room in memory before it uses a file.
    """

    def __init__(self, lock: threading.RLock, is_patient: bool) -> None:
        self.items: deque[Item | _Stored] = deque()
        self.arrived = threading.Condition(lock)
        self.room = threading.Condition(lock)
        self.is_patient = is_patient
        self.is_first = False
        self.is_finished = False
        self.is_cancelled = False
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._segment: _Segment | None = None
        self._stored_bytes = 0

    def store(self, item: Item) -> _Stored:
        """Move an item to a file. Raises OSError if there is no room for it.

        A lane uses several files in turn, and closes each one once all its items are read. They
        grow with the waiting items, since the number of open files is limited.
        """
        data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            segment = self._segment
            if segment is None or segment.size >= max(SEGMENT_BYTES, self._stored_bytes // 4):
                self._end_segment()
                segment = self._segment = _Segment()
            segment.write(data)
            segment.unread += 1
            self._stored_bytes += len(data)
        return _Stored(segment, segment.size - len(data), len(data))

    def fetch(self, entry: Item | _Stored) -> Item:
        if not isinstance(entry, _Stored):
            return entry
        item: Item = pickle.loads(entry.segment.read(entry.offset, entry.size))
        self.give_back(entry)
        return item

    def clear(self) -> None:
        for entry in self.items:
            if isinstance(entry, _Stored):
                self.give_back(entry)
        self.items.clear()
        with self._lock:
            self._end_segment()

    def give_back(self, entry: _Stored) -> None:
        segment = entry.segment
        with self._lock:
            segment.unread -= 1
            self._stored_bytes -= entry.size
            # Keep writing to the last file: creating one costs more than writing an item.
            if segment.unread == 0 and segment is not self._segment:
                segment.close()

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None and segment.unread == 0:
            segment.close()


class _Workers:
    """Threads for short calls. A new one starts only if all are busy, since each keeps its memory.

    They are daemons, unlike those of an executor. A run that ends does not wait for the last
    attempts of requests that are no longer needed.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[Any], Any], Any]] = SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, function: Callable[[Argument], Result], argument: Argument) -> Future[Result]:
        future: Future[Result] = Future()
        self._calls.put((future, function, argument))
        with self._lock:
            if not self._idle.acquire(blocking=False) and self._started < self._threads:
                self._started += 1
                start_thread(self._work)
        return future

    def _work(self) -> None:
        while True:
            self._run(*self._calls.get())

    def _run(self, future: Future[Any], function: Callable[[Any], Any], argument: Any) -> None:
        is_wanted = future.set_running_or_notify_cancel()
        error: BaseException | None = None
        result = None
        if is_wanted:
            try:
                result = function(argument)
            except BaseException as caught:
                error = caught
        # Before anybody gets the result and submits the next call.
        self._idle.release()
        if error is not None:
            future.set_exception(error)
        elif is_wanted:
            future.set_result(result)


def _step(iterator: Iterator[Item]) -> tuple[list[Item], bool]:
    """Return the next items of an iterator, and whether they are its last ones."""
    items: list[Item] = []
    size = 0
    for item in iterator:
        items.append(item)
        size += item.size
        if size >= STEP_BYTES:
            return items, False
    return items, True


def _is_idle(since: float, processor_since: float) -> bool:
    """Whether the processor was partly free since two instants: wall time and process time."""
    seconds = time.monotonic() - since
    return time.process_time() - processor_since < BUSY_SHARE * seconds


class ReadAhead:
    """Keeps the items of all readers of a run within common limits.

    The job that is being read may always hold one item, so one reader can always go on.

    memory_bytes: the limit for items in memory.
    file_bytes: the limit for items in files; beyond it, jobs wait.
    """

    def __init__(self, memory_bytes: int, file_bytes: int, threads: int) -> None:
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        self._in_memory = 0
        self._in_files = 0
        self._jobs = 0
        # All lanes share one lock. Each has its own conditions, so a change wakes one thread only.
        self._lock = threading.RLock()
        self._waiting: list[_Lane[Any]] = []
        self._starved_until = 0.0
        self._workers = _Workers(threads)

    def run(
        self,
        jobs: Iterable[Job[Item]],
        width: int,
        at_first: int | None = None,
        is_patient: bool = False,
    ) -> Iterator[Iterator[Item]]:
        """Yield one iterator for each job, in order; up to `width` jobs run at the same time.

        With `at_first`, only that many run until a reader waits while the processor is idle.
        Patient jobs wait a while for room in memory: on a busy processor they would only fill the
        files with items that are not needed yet.

        An error of a job is raised by its own iterator, after the items before it. An iterator must
        be read to its end, or given up, before the next one is taken.
        """
        waiting = iter(jobs)
        lanes: deque[_Lane[Item]] = deque()
        most = min(at_first or width, width)

        def start_more() -> None:
            while not lanes or (len(lanes) < most and self._jobs < MAX_JOBS):
                if (job := next(waiting, None)) is None:
                    break
                lanes.append(self._start(job, is_patient))

        def widen() -> None:
            nonlocal most
            most = min(most + 1, width)
            start_more()

        try:
            while True:
                start_more()
                if not lanes:
                    return
                with self._lock:
                    lanes[0].is_first = True
                    lanes[0].room.notify()
                yield self._read(lanes[0], None if at_first is None else widen)
                self._cancel(lanes.popleft())
        finally:
            for lane in lanes:
                self._cancel(lane)

    def map(
        self, function: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[Result]:
        """Yield function(argument) in order, computed concurrently."""
        futures: deque[Future[Result]] = deque()
        try:
            for argument in arguments:
                futures.append(self._workers.submit(function, argument))
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()

    def map_each(
        self, function: Callable[[Argument], Iterator[Item]], arguments: Sequence[Argument]
    ) -> Iterator[Iterator[Item]]:
        """Yield the items of function(argument) in order, read from all of them concurrently.

        Each gets ahead by at most `STEP_BYTES` and one item; only the one that is being read goes
        on. So no thread ever waits for a reader.
        """
        iterators = deque(function(argument) for argument in arguments)
        steps = deque(self._workers.submit(_step, iterator) for iterator in iterators)
        try:
            while iterators:
                yield self._rest(iterators.popleft(), steps.popleft())
        finally:
            for step in steps:
                step.cancel()

    def _rest(
        self, iterator: Iterator[Item], step: Future[tuple[list[Item], bool]]
    ) -> Iterator[Item]:
        """Yield the items of an iterator whose first step was started."""
        is_finished = False
        while not is_finished:
            items, is_finished = step.result()
            if not is_finished:
                step = self._workers.submit(_step, iterator)
            yield from items

    def _start(self, job: Job[Item], is_patient: bool) -> _Lane[Item]:
        lane: _Lane[Item] = _Lane(self._lock, is_patient)
        with self._lock:
            self._jobs += 1
        start_thread(partial(self._fill, lane, job))
        return lane

    def _fill(self, lane: _Lane[Item], job: Job[Item]) -> None:
        try:
            items = job()
            try:
                for item in items:
                    self._put(lane, item)
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except _Cancelled:
            pass
        except BaseException as error:
            lane.error = error
        finally:
            with self._lock:
                self._jobs -= 1
                lane.is_finished = True
                lane.arrived.notify()

    def _put(self, lane: _Lane[Item], item: Item) -> None:
        with self._lock:
            if lane.is_patient:
                self._wait_for_room(lane, PATIENCE_SECONDS)
            if lane.is_cancelled:
                raise _Cancelled
            if self._has_room(lane):
                self._append(lane, item)
                return
            is_storable = self._in_files < self._file_bytes
        if is_storable:
            try:
                stored = lane.store(item)
            except OSError as error:
                self._file_bytes = 0
                LOGGER.warning(
                    "reading ahead in memory only: no room in %s (%s)", tempfile.gettempdir(), error
                )
            else:
                with self._lock:
                    if lane.is_cancelled:
                        lane.give_back(stored)
                        lane.clear()
                        raise _Cancelled
                    self._append(lane, stored)
                return
        with self._lock:
            self._wait_for_room(lane)
            if lane.is_cancelled:
                raise _Cancelled
            self._append(lane, item)

    def _wait_for_room(self, lane: _Lane[Item], seconds: float | None = None) -> None:
        """Wait until a lane has room in memory, or need not wait for it any longer."""

        def is_over() -> bool:
            is_starved = seconds is not None and time.monotonic() < self._starved_until
            return is_starved or lane.is_cancelled or self._has_room(lane)

        if is_over():
            return
        self._waiting.append(lane)
        try:
            lane.room.wait_for(is_over, seconds)
        finally:
            self._waiting.remove(lane)

    def _has_room(self, lane: _Lane[Item]) -> bool:
        return self._in_memory < self._memory_bytes or (lane.is_first and not lane.items)

    def _append(self, lane: _Lane[Item], entry: Item | _Stored) -> None:
        lane.items.append(entry)
        self._count(entry, 1)
        if lane.is_first:
            lane.arrived.notify()

    def _count(self, entry: Any, sign: int) -> None:
        if isinstance(entry, _Stored):
            self._in_files += sign * entry.size
        else:
            self._in_memory += sign * entry.size

    def _read(self, lane: _Lane[Item], widen: Callable[[], None] | None) -> Iterator[Item]:
        """Yield the items of a lane. Call `widen` each time an idle wait finds none."""
        while True:
            with self._lock:
                if not (lane.items or lane.is_finished):
                    self._wait_for_item(lane, widen)
                if not lane.items:
                    break
                entry = lane.items.popleft()
                self._count(entry, -1)
                # The item made room for one lane, first of all for its own.
                for waiting in [lane] if lane in self._waiting else self._waiting[:1]:
                    waiting.room.notify()
            yield lane.fetch(entry)
        lane.clear()
        if lane.error is not None:
            raise lane.error

    def _wait_for_item(self, lane: _Lane[Item], widen: Callable[[], None] | None) -> None:
        """Wait until a lane has an item or is finished; it has neither now."""

        def is_over() -> bool:
            return bool(lane.items) or lane.is_finished

        if widen is None:
            lane.arrived.wait_for(is_over)
            return
        since = time.monotonic(), time.process_time()
        while not lane.arrived.wait_for(is_over, IDLE_SECONDS):
            if _is_idle(*since):
                self._starved_until = time.monotonic() + STARVED_SECONDS
                self._wake_all()
                widen()
            since = time.monotonic(), time.process_time()

    def _cancel(self, lane: _Lane[Item]) -> None:
        with self._lock:
            lane.is_cancelled = True
            for entry in lane.items:
                self._count(entry, -1)
            lane.clear()
            self._wake_all()

    def _wake_all(self) -> None:
        for lane in self._waiting:
            lane.room.notify()
