"""The table of files: they are kept in the background, and their rows follow when that is done.

A reader submits the files of its records and goes on. The rows of a file come later in the same
group of streams, and the bookmark of the table waits for them, but nothing else does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, TypeVar

from tap_intercom.attachments.addresses import RefusedError
from tap_intercom.attachments.keeper import GONE, REFUSED, TOO_LARGE, Kept, Wanted
from tap_intercom.attachments.links import Link
from tap_intercom.errors import ResponseError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.reading.nested_reader import Case
from tap_intercom.reading.stream import Stream
from tap_intercom.reading.stream_run import MAX_OTHERS, Batch, Record, StreamRun
from tap_intercom.reading.unreadable import UnreadableError, read_one
from tap_intercom.times import rfc3339

T = TypeVar("T")

ROWS_AT_ONCE = 100
WAIT_SECONDS = 0.5
OTHER_SIZE = "files stored with another size than Intercom says"
SHORTFALLS = {
    GONE: "files not stored, since their address is dead",
    TOO_LARGE: "files not stored, since they are larger than attachment_max_bytes",
    REFUSED: "files not stored, since they could not be downloaded",
}


class FileStream(Stream):
    """A table with a row for each file in the records of its parent.

    rows_of: the table that the rows belong to. Each kind of parent has its own bookmark for it.
    """

    path = ""
    request_cost = "0, read with its parent"
    replication_key = "updated_at"
    rows_of: ClassVar[str] = "attachments"

    def links(self, run: StreamRun, records: Sequence[Record], parent: Any) -> Iterator[Link]:
        """Yield the files in some records.

        parent: the record for which they were requested, if any.
        """
        raise NotImplementedError

    def address(self, run: StreamRun, link: Link) -> str | None:
        """Return where to download a file, or None if it no longer exists."""
        return link.url

    def read_again(self, run: StreamRun, link: Link) -> Iterator[Link]:
        """Yield the files of the same record as Intercom sends them now."""
        raise NotImplementedError

    def again(self, run: StreamRun, link: Link) -> Link | None:
        """Return what is at the place of a file now, with a new address, or None."""
        found = (each for each in self.read_again(run, link) if each.id == link.id)
        return next(found, None)


def unless_gone(call: Callable[[], T]) -> T | None:
    """Return what requests give, or None if Intercom no longer has it."""
    try:
        return call()
    except ResponseError as error:
        if error.is_gone:
            return None
        raise


def _asked(
    run: StreamRun, stream: FileStream, ask: Callable[[StreamRun, Link], T | None], link: Link
) -> T | None:
    """Return what Intercom says of a file, or None if it no longer has it.

    Raises RefusedError if Intercom cannot say it while it can for other files.
    """

    def read(client: Client, link: Link) -> T | None:
        return ask(replace(run, client=client), link)

    others = partial(run.others_than, stream.name, link)
    try:
        found = unless_gone(partial(read_one, read, run.client, link, others))
    except UnreadableError as error:
        raise RefusedError(str(error)) from error
    if found is not None:
        run.last_read[stream.name] = link
    return found


def keep_files(
    run: StreamRun,
    stream: FileStream,
    records: Sequence[Record],
    parent: Any = None,
    cases: Sequence[Case] = (),
) -> Batch:
    """Submit the files in some records; if that fails, other streams go on.

    cases: the lists with missing entries that files are in, to report.
    """
    if stream.name in run.given_up:
        return Batch(failed=frozenset([stream.name]))
    assert run.keeper is not None
    submit = run.keeper.submit
    try:
        for case in cases:
            case.report(run, stream.name)
        links = list(stream.links(run, records, parent))
        # One of each record: what fails for one file of a record fails for the others too.
        known = {each.record_id: each for each in (*run.parents.get(stream.name, ()), *links)}
        run.parents[stream.name] = [*known.values()][-MAX_OTHERS - 1 :]
        return Batch(
            files=tuple(
                (
                    stream.name,
                    submit(
                        Wanted(
                            link,
                            partial(_asked, run, stream, stream.address),
                            partial(_asked, run, stream, stream.again, link),
                        )
                    ),
                )
                for link in links
            )
        )
    except Exception as error:
        run.give_up([stream.name], error)
        return Batch(failed=frozenset([stream.name]))


@dataclass(frozen=True)
class _Reached:
    """How far file streams are complete, once all files before this are."""

    instants: Mapping[str, int]


_Entry = tuple[str, int] | _Reached


def with_files(run: StreamRun, names: Sequence[str], batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the batches of a group, and the rows of its files as they are done, in order.

    names: the file streams of the group. What they have reached follows their rows.
    """
    assert run.keeper is not None
    waiting: deque[_Entry] = deque()
    for batch in batches:
        waiting.extend(batch.files)
        held = {name: at for name, at in batch.reached.items() if name in names}
        if held:
            waiting.append(_Reached(held))
            others = {name: at for name, at in batch.reached.items() if name not in names}
            batch = replace(batch, reached=others)
        yield replace(batch, files=()) if batch.files else batch
        yield from _settled(run, names, waiting)
    while waiting:
        yield from _settled(run, names, waiting)
        first = waiting[0] if waiting else None
        if isinstance(first, tuple) and not run.keeper.is_done(first[1], WAIT_SECONDS):
            # So that nothing that was written before waits in a buffer.
            yield Batch()


def _settled(run: StreamRun, names: Sequence[str], waiting: deque[_Entry]) -> Iterator[Batch]:
    """Yield the rows of the first files that are done, and what they complete."""
    while waiting:
        if isinstance(first := waiting[0], _Reached):
            waiting.popleft()
            yield _reached(run, names, waiting, first)
            continue
        kept, error = _done(run, first[0], waiting)
        if kept:
            yield _rows(run, first[0], kept)
        if error is not None:
            yield _given_up(run, names, waiting, error)
        elif not kept:
            return


def _reached(
    run: StreamRun, names: Sequence[str], waiting: deque[_Entry], reached: _Reached
) -> Batch:
    """Return how far the streams are complete, once nothing can take their files back."""
    assert run.keeper is not None
    try:
        run.keeper.settle()
    except Exception as error:
        return _given_up(run, names, waiting, error)
    return Batch(reached=reached.instants)


def _given_up(
    run: StreamRun, names: Sequence[str], waiting: deque[_Entry], error: Exception
) -> Batch:
    """Give up the file streams. What was done before is written, but completes nothing after it."""
    waiting.clear()
    run.give_up(names, error)
    return Batch(failed=frozenset(names))


def _done(run: StreamRun, name: str, waiting: deque[_Entry]) -> tuple[list[Kept], Exception | None]:
    """Take the first files of a stream that are done, and return what stops the others, if any."""
    assert run.keeper is not None
    kept: list[Kept] = []
    while waiting and len(kept) < ROWS_AT_ONCE:
        entry = waiting[0]
        if isinstance(entry, _Reached) or entry[0] != name or not run.keeper.is_done(entry[1]):
            break
        waiting.popleft()
        try:
            kept.append(run.keeper.result(entry[1]))
        except Exception as error:
            return kept, error
    return kept, None


def _rows(run: StreamRun, name: str, kept: Sequence[Kept]) -> Batch:
    for each in kept:
        link, note = each.link, each.note
        if each.status in SHORTFALLS:
            run.shortfalls.add(name, SHORTFALLS[each.status], _case(link, each.reason))
        elif note is not None and link.size not in (None, note.size):
            reason = f"{note.size:,} bytes, not {link.size:,}"
            run.shortfalls.add(name, OTHER_SIZE, _case(link, reason))
    answer = Answer(b"", {}, rfc3339(int(run.client.now())) or "")
    return run.render(name, answer, lambda _: [_row(each) for each in kept])


def _case(link: Link, reason: str | None) -> str:
    """Name a file by its place: its name is personal."""
    return f"{link.parent_stream} {link.parent_id} ({link.kind} {link.position}: {reason})"


def _row(kept: Kept) -> Record:
    link, note = kept.link, kept.note
    return {
        "id": link.id,
        "parent_stream": link.parent_stream,
        "parent_id": link.parent_id,
        "conversation_id": link.conversation_id,
        "ticket_id": link.ticket_id,
        "kind": link.kind,
        "position": link.position,
        "name": link.name,
        "content_type": note.content_type if note else link.content_type,
        "size": note.size if note else link.size,
        "sha256": note.sha256 if note else None,
        "path": note.path if note else None,
        "width": link.width,
        "height": link.height,
        "url": link.source or None,
        "status": kept.status,
        "reason": kept.reason,
        "updated_at": link.updated_at,
    }
