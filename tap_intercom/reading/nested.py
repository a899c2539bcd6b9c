"""Lists inside records: where they are, which entries came, and where to read the rest.

All rows and columns made of such a list read it here, so none of them mistakes a list that is cut,
null or under another key for a whole one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from tap_intercom.errors import ContractError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import WHOLE, Paging, read_pages
from tap_intercom.reading.stream_run import Record, StreamRun
from tap_intercom.records.typed_records import ENDS, TypedList, TypedRecord, as_plain, values_of

_OBJECTS = (dict, TypedRecord)
# Types of entries that cannot become rows.
_NO_ROWS = frozenset({type(None), list})


class Found(NamedTuple):
    """The content of a list in a record: its entries, and at least how many are missing.

    has_more: whether Intercom says that it left entries out.
    """

    entries: Sequence[Any]
    missing: int
    has_more: bool = False

    @property
    def readable(self) -> list[Any]:
        """The entries that can become rows: records and bare ids."""
        return [each for each in self.entries if each is not None and not isinstance(each, list)]


@dataclass(frozen=True)
class WholeList:
    """The endpoint that returns a whole list.

    path: contains `{id}` of the record.
    keys: the keys of the list in an answer.
    link: the URL of an entry, if the record itself holds only links.
    consent_type: the type of the subscriptions that belong to the list.
    """

    path: str
    paging: Paging = WHOLE
    keys: Sequence[str] = ("data",)
    link: str = ""
    consent_type: str | None = None

    def read(self, run: StreamRun, field: NestedList, record: Any) -> Found:
        """Return the whole list. Raises ResponseError if the record no longer exists."""
        path = self.path.format(id=record.get("id"))
        fetched = [
            entry
            for answer in read_pages(run.client.get, path, self.paging)
            for entry in self._entries(answer)
        ]
        known = field.read(record)
        if self.consent_type is not None:
            # The endpoint returns the subscriptions of both lists of a contact.
            ids = {_id(entry) for entry in known.entries}
            fetched = [
                entry
                for entry in fetched
                if _id(entry) in ids or entry.get("consent_type") == self.consent_type
            ]
        if self.link:
            fetched = [self._linked(entry) for entry in fetched]
        return Found(fetched, max((field.total(record) or 0) - len(fetched), 0))

    def _entries(self, answer: Answer) -> list[Record]:
        # Exact, since these entries go into an answer that may later be parsed exactly.
        found = _lists(answer.exact().body, self.keys)
        if not found:
            raise ContractError(f"{self.path}: the answer has no list {self.keys[0]!r}")
        return found[0]

    def _linked(self, entry: Record) -> Record:
        """Convert a whole record to an entry that links to it."""
        url = entry.get("url") or self.link.format(id=entry.get("id"))
        return {"type": entry.get("type"), "id": entry.get("id"), "url": url}


@dataclass(frozen=True)
class WholeRecord:
    """The endpoint that returns the record itself, with more of the list than a search has."""

    path: str

    def read(self, run: StreamRun, field: NestedList, record: Any) -> Found:
        """Return the list of the record. Raises ResponseError if the record no longer exists."""
        path = self.path.format(id=record.get("id"))
        return max(
            field.read(run.client.get(path).exact().body),
            field.read(record),
            key=lambda found: len(found.entries),
        )


@dataclass(frozen=True)
class NestedList:
    """A list inside the records of a stream.

    name: the field, or the dotted path to it.
    keys: the keys of the entries in the surrounding object; the table uses the first one.
    has_all_keys: whether the table has all of these keys.
    is_bare: whether the table has the list without a surrounding object.
    count_field: the field of the record that counts the entries, if there is no object.
    whole: the endpoint that returns the whole list.
    limit: the maximum number of entries that the API returns.
    is_always_sent: whether a null or absent list leaves the number of entries unknown.
    uncounted_limit: the length from which a list without a count may be incomplete.
    counts_hidden: whether Intercom also counts entries that no endpoint returns (API-J4).
    """

    name: str
    keys: Sequence[str] = ("data",)
    has_all_keys: bool = False
    is_bare: bool = False
    count_field: str | None = None
    whole: WholeList | WholeRecord | None = None
    limit: int | None = None
    is_always_sent: bool = False
    uncounted_limit: int | None = None
    counts_hidden: bool = False

    @property
    def column(self) -> str:
        """The column that holds the list."""
        return self.name.partition(".")[0]

    def value(self, record: Any) -> Any:
        """Return the value of the list's field, with its surrounding object."""
        if "." not in self.name:
            return record.get(self.name)
        value = record
        for name in self.name.split("."):
            value = value.get(name) if isinstance(value, _OBJECTS) else None
        return value

    def cut(self, records: Sequence[Any], places: Sequence[int]) -> list[int]:
        """Return the places of the records whose list is incomplete or not where it is expected."""
        wanted = records if len(places) == len(records) else [records[at] for at in places]
        if "." in self.name:
            values = [self.value(record) for record in wanted]
        else:
            values = values_of(wanted, self.name)
        if self._are_plain(values):
            return []
        odd = [at for at, value in zip(places, values, strict=True) if not self._is_plain(value)]
        return [at for at in odd if not self.is_whole(records[at])]

    def _are_plain(self, values: Sequence[Any]) -> bool:
        """Whether all lists of a page have the usual form.

        Checking them together costs a fraction of reading each one.
        """
        kinds = {*map(type, values)} - {type(None)}
        if len(kinds) > 1 or not self._is_plain(None):
            return False
        if not kinds:
            return True
        (kind,) = kinds
        found = [value for value in values if value is not None]
        if kind is list:
            limit = self.uncounted_limit
            is_short = limit is None or max(map(len, found)) < limit
            return self.is_bare and is_short and _are_rows(chain.from_iterable(found))
        if self.is_bare or not issubclass(kind, TypedRecord):
            return False
        attributes = kind.attributes
        if not attributes.keys() >= {self.keys[0], "total_count"}:
            return False
        names = [self.keys[0], "total_count", *(name for name in ENDS if name in attributes)]
        parts = attrgetter(*(attributes[name] for name in names))
        entries, totals, *ends = zip(*map(parts, found), strict=True)
        return (
            {*map(type, entries)} == {list}
            and ((*map(len, entries),) == totals or totals.count(None) == len(totals))
            and not any(map(any, ends))
            and _are_rows(chain.from_iterable(entries))
        )

    def is_whole(self, record: Any) -> bool:
        """Whether no entry is missing, and the entries are where the table expects them."""
        return self._is_in_place(self.value(record)) and not self.read(record).missing

    def _is_plain(self, value: Any) -> bool:
        """Whether a list has the usual form; this check is cheaper than reading it."""
        if value is None:
            return self.count_field is None and not self.is_always_sent
        if isinstance(value, list):
            is_short = self.uncounted_limit is None or len(value) < self.uncounted_limit
            return self.is_bare and is_short and _are_rows(value) and self.count_field is None
        if self.is_bare or not isinstance(value, _OBJECTS):
            return False
        entries = value.get(self.keys[0])
        return (
            isinstance(entries, list)
            and value.get("total_count") in (None, len(entries))
            and not _has_more(value)
            and _are_rows(entries)
        )

    def _is_in_place(self, value: Any) -> bool:
        if isinstance(value, list):
            return self.is_bare
        if isinstance(value, _OBJECTS):
            found = _lists(value, self.keys)
            is_expected = self.has_all_keys or not found or found[0] is value.get(self.keys[0])
            return is_expected and not (found and self.is_bare)
        return True

    def shortfall(self, found: Found) -> tuple[str, bool]:
        """Return how entries are missing, and whether the API never returns them."""
        entries = f"entries of {self.name}"
        if self.limit is not None and len(found.entries) >= self.limit:
            return f"{entries} beyond the {self.limit:,} that the API returns", True
        if self.counts_hidden or (found.has_more and self.whole is None):
            return f"{entries} that no endpoint returns", True
        return f"{entries} that Intercom counts did not come", False

    def read(self, record: Any) -> Found:
        """Return the entries in a record, and how many are missing there."""
        value = self.value(record)
        total, has_more = self.total(record), _has_more(value)
        if isinstance(value, list):
            entries: Sequence[Any] = value
            limit = self.uncounted_limit
            has_more = total is None and limit is not None and len(value) >= limit
            is_readable = True
        elif isinstance(value, _OBJECTS):
            found = _lists(value, self.keys)
            entries = found[0] if found else []
            # A list under an unknown key may hold anything.
            others = [] if found else [each for each in _values(value) if isinstance(each, list)]
            is_empty = total == 0 or not any(_values(value))
            is_readable = not any(others) and bool(found or (is_empty and not self.is_always_sent))
        else:
            entries = []
            is_readable = value is None and not self.is_always_sent
        readable = len(Found(entries, 0).readable)
        missing = max(
            (total or 0) - readable, len(entries) - readable, int(has_more), int(not is_readable)
        )
        return Found(entries, missing, has_more)

    def rows(self, record: Any) -> list[Record]:
        """Return the entries as objects; a bare id becomes an object with that id."""
        return [
            entry if isinstance(entry, dict) else {"id": entry}
            for entry in self.read(record).readable
        ]

    def put(self, record: Any, found: Found | None) -> None:
        """Put the found entries, or the record's own, where the table expects them."""
        known = self.read(record)
        entries = [as_plain(each) for each in (found or known).entries]
        if "." in self.name or not (entries or known.entries):
            return
        if self.is_bare:
            record[self.name] = entries
            return
        value = self.value(record)
        around = dict(_items(value)) if isinstance(value, _OBJECTS) else {}
        present = [key for key in self.keys if around.pop(key, None) is not None]
        key = present[0] if self.has_all_keys and present else self.keys[0]
        if found is not None and "has_more" in around:
            around["has_more"] = found.has_more
        record[self.name] = {**around, key: entries}

    def total(self, record: Any) -> int | None:
        """Return how many entries Intercom counts, or None if it does not say."""
        value = self.value(record)
        if self.count_field is not None:
            total = record.get(self.count_field)
        else:
            total = value.get("total_count") if isinstance(value, _OBJECTS) else None
        if isinstance(total, str) and total.isdecimal():
            return int(total)
        return total if isinstance(total, int) and not isinstance(total, bool) else None


def _are_rows(entries: Iterable[Any]) -> bool:
    return _NO_ROWS.isdisjoint(map(type, entries))


def _lists(value: Any, keys: Iterable[str]) -> list[list[Any]]:
    """Return the lists under these keys, non-empty ones first."""
    found = [each for key in keys if isinstance(each := value.get(key), list)]
    return sorted(found, key=lambda each: not each)


def _has_more(value: Any) -> bool:
    """Whether Intercom says, in any of its ways, that a list goes on (API-D1)."""
    if isinstance(value, TypedRecord) and not isinstance(value, TypedList):
        # A typed record has no other key.
        return bool(value.get("has_more"))
    if not isinstance(value, _OBJECTS):
        return False
    pages = value.get("pages")
    following = pages.get("next") if isinstance(pages, dict) else None
    return bool(value.get("has_more") or value.get("next_cursor") or following)


def _items(value: dict[str, Any] | TypedRecord) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return ((name, value.get(name)) for name in value.attributes)


def _values(value: dict[str, Any] | TypedRecord) -> list[Any]:
    return [each for _, each in _items(value)]


def _id(entry: Any) -> str:
    return str(entry.get("id")) if isinstance(entry, _OBJECTS) else str(entry)
