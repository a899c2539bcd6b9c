"""The ids that an erasure collects before it changes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tap_intercom.erasure.steps import (
    Collect,
    Condition,
    IsAmong,
    IsOneOf,
    Subtract,
    Values,
    all_of,
    any_of,
)
from tap_intercom.erasure.tables import EXTERNAL_ID, Person, Table

CONTACTS = "contacts"
CALLS = "calls"
RECEIPTS = "content_export_receipt"
# Tables whose records several contacts may share.
TALKS = ("conversations", "tickets")
PARTS = ("conversation_parts", "side_conversation_parts", "ticket_parts")
FIRST_MESSAGE = "source"

EXTERNAL_IDS = "external_ids"
BEGUN = "begun_conversations"


def involved(talk: str) -> str:
    """Return the set of records that the person takes part in."""
    return talk


def shared(talk: str) -> str:
    """Return the set of these that other contacts take part in too."""
    return f"shared_{talk}"


def own(talk: str) -> str:
    """Return the set of these that no other contact takes part in."""
    return f"own_{talk}"


class Collected:
    """The sets of ids, by name, in the order in which they are made."""

    def __init__(self, tables: Mapping[str, Table], person: Person) -> None:
        self._tables = tables
        self._person = person
        self.steps: dict[str, Collect | Subtract] = {}
        for each in self._steps():
            self.steps[each.ids] = each

    def among(self, column: str, ids: str, kind: Condition | None = None) -> Condition | None:
        """Return whether a column has an id of a set; None if there is no such set."""
        if ids not in self.steps:
            return None
        return all_of(IsAmong((column,), ids), *([kind] if kind else []))

    def linked(self, table: Table, target: str, ids: str) -> Iterator[Condition]:
        """Yield whether a column of a table with ids of another column has one of a set."""
        for column, kind in table.links(target):
            if found := self.among(column, ids, kind):
                yield found

    def by_other_names(self, table: Table) -> Iterator[Condition]:
        """Yield whether a row has the person's id in your own system, or their address."""
        yield from self.linked(table, EXTERNAL_ID, EXTERNAL_IDS)
        if self._person.emails:
            for column in table.addresses:
                yield IsOneOf((column,), self._person.emails, in_any_case=True)

    def _steps(self) -> Iterator[Collect | Subtract]:
        contacts = self._tables.get(CONTACTS)
        if contacts is not None and "external_id" in contacts.columns:
            who = IsOneOf(("id",), self._person.ids)
            values = Values(contacts.name, "external_id", who)
            yield Collect(EXTERNAL_IDS, (values,), "Their ids in your own system")
        for talk in TALKS:
            yield from self._talks(talk)
        for stream in (CALLS, *PARTS):
            yield from self._rows(stream, "id")
        yield from self._receipts()
        yield from self._begun()

    def _talks(self, talk: str) -> Iterator[Collect | Subtract]:
        mine, others = [], []
        for table in self._tables.values():
            for column in _talk_of(table, talk):
                if where := any_of(*table.persons(self._person)):
                    mine.append(Values(table.name, column, where))
                if where := any_of(*table.others(self._person)):
                    both = all_of(IsAmong((column,), involved(talk)), where)
                    others.append(Values(table.name, column, both))
        if not mine:
            return
        yield Collect(involved(talk), tuple(mine), f"The {talk} that they take part in")
        why = f"Of these {talk}, those with other contacts too"
        yield Collect(shared(talk), tuple(others), why)
        why = f"Of these {talk}, those without other contacts"
        yield Subtract(own(talk), involved(talk), shared(talk), why)

    def _rows(self, stream: str, key: str) -> Iterator[Collect]:
        """Yield the rows of a table that are about the person."""
        table = self._tables.get(stream)
        if table is None or key not in table.columns:
            return
        if where := any_of(*table.persons(self._person)):
            yield Collect(stream, (Values(table.name, key, where),), f"Their rows of {stream}")

    def _receipts(self) -> Iterator[Collect]:
        table = self._tables.get(RECEIPTS)
        if table is not None and "receipt_id" in table.columns:
            found = any_of(table.direct(self._person), *self.by_other_names(table))
            if found is not None:
                values = Values(table.name, "receipt_id", found)
                yield Collect(RECEIPTS, (values,), "Messages that were sent to them")

    def _begun(self) -> Iterator[Collect]:
        table = self._tables.get("conversations")
        for reference in table.authors if table is not None else ():
            if table is not None and reference.holders[0].name == FIRST_MESSAGE:
                where = table.is_author(reference, self._person)
                values = Values(table.name, "id", where)
                yield Collect(BEGUN, (values,), "The conversations that they began")


def _talk_of(table: Table, talk: str) -> Iterator[str]:
    """Yield the columns that say which conversation or ticket a row is part of."""
    for column, kind in table.links(f"{talk}.id"):
        if kind is None:
            yield column
