"""Completes the nested lists of a table: which are incomplete, and where to read the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tap_intercom.errors import ResponseError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.reading.nested import Found, NestedList
from tap_intercom.reading.stream import Stream
from tap_intercom.reading.stream_run import MAX_OTHERS, Record, StreamRun
from tap_intercom.reading.unreadable import UnreadableError, read_one

Places = Mapping[str, Sequence[int]]
"""The indexes of the records of an answer that each stream wants."""


class Case(NamedTuple):
    """A nested list of a record with missing entries."""

    record_id: str
    nested: NestedList
    found: Found

    def report(self, run: StreamRun, name: str) -> None:
        """Report the case for a stream that shows the list. Raises ContractError with strict."""
        missing = self.found.missing
        kind, is_cap = self.nested.shortfall(self.found)
        total = len(self.found.readable) + missing
        text = f"{self.record_id} ({missing} of {total} missing)"
        run.note_shortfall(name, kind, text, missing, is_cap=is_cap)


Cases = Mapping[str, Sequence[Case]]


class Cut(NamedTuple):
    """An incomplete nested list: the index of its record in an answer, and the list's name."""

    at: int
    name: str


class NestedReader:
    """Finds the incomplete nested lists in the records of a table, and completes them."""

    def __init__(self, stream: Stream, run: StreamRun) -> None:
        self._stream = stream
        self._run = run
        self._lists = {nested.name: nested for nested in stream.lists}

    def cut(self, records: Sequence[Record], places: Places) -> Sequence[Cut]:
        """Return the wanted lists that are incomplete or not where they are expected."""
        found = []
        for nested in self._lists.values():
            users = self._users(nested, places)
            # One user is the usual case and needs no sets.
            wanted = places[users[0]] if len(users) == 1 else _union(places[user] for user in users)
            found += [Cut(at, nested.name) for at in nested.cut(records, wanted)]
        return found

    def _users(self, nested: NestedList, names: Collection[str]) -> list[str]:
        """Return which of these streams show a nested list."""
        users = [each.name for each in self._stream.embedded if each.is_made_of(nested)]
        users += [each.name for each in self._stream.files if nested in each.lists]
        if self._run.shows(self._stream.name, nested.column):
            users.append(self._stream.name)
        return [name for name in users if name in names]

    def has_more(self, cut: Cut, records: Sequence[Record]) -> bool:
        """Whether an endpoint may have more of a list than its record."""
        nested = self._lists[cut.name]
        found = nested.read(records[cut.at])
        is_full = nested.limit is not None and len(found.entries) >= nested.limit
        return nested.whole is not None and found.missing > 0 and not is_full

    def read(self, answer: Answer, cut: Sequence[Cut]) -> dict[Cut, Found | None]:
        """Return the content of each cut list, read from an endpoint if that has more."""
        records = self._stream.parse_response(answer)
        wanted = [each for each in cut if self.has_more(each, records)]

        def read(each: Cut) -> Found:
            try:
                return self._read_list(each, records)
            except Exception as error:
                return self._unread(self._lists[each.name], records[each.at], error)

        found: dict[Cut, Found | None] = dict.fromkeys(cut)
        found.update(zip(wanted, self._run.ahead.map(read, wanted), strict=True))
        return found

    def _read_list(self, cut: Cut, records: Sequence[Record]) -> Found:
        """Return the whole list, or the part in the record if the rest cannot be read.

        The record may be deleted meanwhile, or Intercom cannot send this list while it sends
        others.
        """
        run, name = self._run, self._stream.name
        nested, record = self._lists[cut.name], records[cut.at]
        assert nested.whole is not None
        whole, record_id = nested.whole, str(record.get("id"))
        known = Found(nested.read(record).entries, 0)

        def read(client: Client, record: Record) -> Found:
            return whole.read(replace(run, client=client), nested, record)

        def others() -> Sequence[Record]:
            return [each for each in records if each is not record][:MAX_OTHERS]

        try:
            found = read_one(read, run.client, record, others)
        except UnreadableError as error:
            run.note_unreadable(name, f"{cut.name} of {record_id}", 1, error)
            return known
        except ResponseError as error:
            if not error.is_gone:
                raise
            run.note_gone(name, True, record_id)
            return known
        run.note_gone(name, False, record_id)
        return found

    def _unread(self, nested: NestedList, record: Record, error: Exception) -> Found:
        """Give up the streams that show an unreadable list."""
        self._run.give_up(self._users(nested, self._run.selections), error)
        return Found(nested.read(record).entries, 0)

    def cases(
        self,
        records: Sequence[Record],
        places: Places,
        lists: Mapping[Cut, Found | None],
    ) -> Cases:
        """Return the cut lists with missing entries, by the streams that show them."""
        cases: dict[str, list[Case]] = {}
        for (at, name), found in lists.items():
            nested = self._lists[name]
            case = Case(
                str(records[at].get(self._stream.id_field)),
                nested,
                found or nested.read(records[at]),
            )
            for user in self._users(nested, places):
                if case.found.missing and at in places[user]:
                    cases.setdefault(user, []).append(case)
        return cases

    def put(self, records: Sequence[Record], lists: Mapping[Cut, Found | None]) -> None:
        """Put the content of each cut list where the table expects it."""
        for (at, name), found in lists.items():
            self._lists[name].put(records[at], found)


def _union(places: Iterable[Sequence[int]]) -> list[int]:
    return sorted({at for each in places for at in each})
