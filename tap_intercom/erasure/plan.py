"""Plan an erasure: which rows go, which are emptied, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tap_intercom.erasure.collected import (
    BEGUN,
    CALLS,
    CONTACTS,
    PARTS,
    RECEIPTS,
    TALKS,
    Collected,
    own,
    shared,
)
from tap_intercom.erasure.steps import (
    BlankColumns,
    Condition,
    DeleteRows,
    IsNull,
    IsOneOf,
    ListFiles,
    RemoveEntries,
    Step,
    Values,
    all_of,
    any_of,
    used_ids,
)
from tap_intercom.erasure.tables import Person, Table

FILES = "attachments"
RECEIPT_ID = f"{RECEIPTS}.receipt_id"
# Rows of the first message of a conversation, by the column with the id of the conversation.
OF_FIRST_MESSAGE = {"conversation_attachment": "conversation_id", FILES: "parent_id"}

# Tables with personal fields of which no row is known to be about a contact.
LEFT_ALONE = {
    "activity_logs": "what teammates did; Intercom does not say to whom",
    "admins": "teammates",
    "audiences": "rules, not people",
    "companies": "companies",
    "company_notes": "notes about companies",
    "content_export_overview": "content, and the teammates who changed it",
    "custom_object_instances": "your own objects; Intercom does not say whose they are",
    "email_settings": "addresses of the workspace",
    "ip_allowlist": "addresses of the workspace",
}


def plan(tables: Sequence[Table], person: Person, *, keeps_talks: bool) -> list[Step]:
    """Return the steps that remove a person from tables.

    keeps_talks: whether a conversation or ticket without other contacts stays, without its texts.
    """
    named = {each.stream: each for each in tables}
    planner = _Planner(person, Collected(named, person), keeps_talks)
    # Children go before what they belong to, and contacts go last.
    ordered = sorted(tables, key=lambda each: _ORDER.get(each.stream, 1))
    changes: list[Step] = []
    for make in (planner.deletes, planner.removals, planner.blanks):
        for table in ordered:
            changes += make(table)
    return [*_needed(planner.collected, changes), *changes]


_WITH_OTHERS = "In conversations and tickets with other contacts"
_WITHOUT_OTHERS = "In conversations and tickets without other contacts"
_ORDER = {FILES: 0, RECEIPTS: 2, CALLS: 2, **dict.fromkeys(TALKS, 3), CONTACTS: 4}


def _needed(collected: Collected, changes: Sequence[Step]) -> list[Step]:
    """Return the sets of ids that the changes look up, and those that these are made of."""
    used = set().union(*map(used_ids, changes))
    kept: list[Step] = []
    for name, step in reversed(collected.steps.items()):
        if name in used:
            kept.append(step)
            used |= used_ids(step)
    return kept[::-1]


@dataclass(frozen=True)
class _Planner:
    person: Person
    collected: Collected
    keeps_talks: bool

    def deletes(self, table: Table) -> Iterator[Step]:
        where = self._deleted(table)
        if where is None:
            return
        if table.stream == FILES and "path" in table.columns:
            yield ListFiles(Values(table.name, "path", where), "Delete what is at these paths")
        yield DeleteRows(table.name, where, _why_deleted(table))

    def _deleted(self, table: Table) -> Condition | None:
        if table.stream == FILES:
            return any_of(*self._of_own(table), *self._of_shared(table))
        goes_with_talks = () if self.keeps_talks else self._of_own(table)
        return any_of(*self._of_person(table), *goes_with_talks)

    def _of_person(self, table: Table) -> Iterator[Condition]:
        """Yield the conditions under which a row is about the person alone."""
        if table.stream == CALLS:
            return
        direct = table.direct(self.person)
        if direct is not None:
            yield direct
            if table.stream != CONTACTS:
                yield from self.collected.by_other_names(table)
        if table.stream != RECEIPTS:
            yield from self._linked(table, RECEIPT_ID, RECEIPTS)

    def _linked(self, table: Table, target: str, ids: str) -> Iterator[Condition]:
        return self.collected.linked(table, target, ids)

    def _of_own(self, table: Table) -> Iterator[Condition]:
        """Yield the conditions under which a row is part of a talk without other contacts."""
        for talk in TALKS:
            yield from self._linked(table, f"{talk}.id", own(talk))
        yield from self._linked(table, f"{CALLS}.id", CALLS)

    def _of_shared(self, table: Table) -> Iterator[Condition]:
        """Yield the conditions under which a row of a talk with others may be the person's.

        What the row is part of says whose it is: a part, a call or the first message. Without
        that, each row of the talk may be.
        """
        exact = [*self._of_author(table)]
        yield from exact
        columns = {column for column, _ in self._parents(table)}
        for talk in TALKS:
            for column, kind in table.links(f"{talk}.id"):
                if column == OF_FIRST_MESSAGE.get(table.stream) and talk == "conversations":
                    continue
                found = self.collected.among(column, shared(talk), kind)
                if found is None:
                    continue
                if not columns or kind is not None:
                    yield found
                elif all("null" in table.columns[each]["type"] for each in columns):
                    yield all_of(*(IsNull((each,)) for each in sorted(columns)), found)

    def _parents(self, table: Table) -> Iterator[tuple[str, str]]:
        """Yield the columns with an id of what has an author, and the set of the person's."""
        for stream in (CALLS, *PARTS):
            if stream in self.collected.steps:
                yield from ((column, stream) for column, _ in table.links(f"{stream}.id"))
        if RECEIPTS in self.collected.steps:
            yield from ((column, RECEIPTS) for column, _ in table.links(RECEIPT_ID))
        if table.stream in OF_FIRST_MESSAGE and BEGUN in self.collected.steps:
            yield OF_FIRST_MESSAGE[table.stream], BEGUN

    def _of_author(self, table: Table) -> Iterator[Condition]:
        for stream in (CALLS, *PARTS):
            yield from self._linked(table, f"{stream}.id", stream)
        first = OF_FIRST_MESSAGE.get(table.stream)
        for column, kind in table.links("conversations.id"):
            if column == first and (found := self.collected.among(column, BEGUN, kind)):
                yield found

    # -- Rows that stay ------------------------------------------------------------------------

    def removals(self, table: Table) -> Iterator[Step]:
        for path, _, reference in table.lists:
            condition = table.is_entry_of(path, reference, self.person)
            yield RemoveEntries(table.name, path, condition, "Entries about them")
        if self.person.emails:
            for path, address in table.lists_of_addresses():
                condition = IsOneOf((address,), self.person.emails, in_any_case=True)
                yield RemoveEntries(table.name, path, condition, "Entries with their address")

    def blanks(self, table: Table) -> Iterator[Step]:
        if table.stream == FILES or (table.stream != CALLS and table.direct(self.person)):
            return
        if self.keeps_talks:
            yield from self._blanks_of_own(table)
        if table.stream in TALKS:
            yield from self._blanks_of_talk(table)
        elif authors := [*table.authors]:
            where = any_of(*(table.is_author(each, self.person) for each in authors))
            yield from _blank(table, table.personal, where, "What they wrote")
        elif table.stream != CALLS:
            where = any_of(*self._of_shared(table))
            yield from _blank(table, table.personal, where, _WITH_OTHERS)

    def _blanks_of_own(self, table: Table) -> Iterator[Step]:
        """Yield how a talk without other contacts loses its texts, and who of its contacts wrote.

        Who of the teammates wrote stays.
        """
        where = any_of(*self._of_own(table))
        if where is None:
            return
        kinds = table.kinds_of_authors()
        columns = [each for each in table.personal if each not in kinds]
        yield from _blank(table, columns, where, _WITHOUT_OTHERS)
        for column, kind in kinds.items():
            yield from _blank(table, [column], all_of(where, kind), _WITHOUT_OTHERS)

    def _blanks_of_talk(self, table: Table) -> Iterator[Step]:
        for reference in table.authors:
            where = table.is_author(reference, self.person)
            yield from _blank(table, [reference.holders[0].name], where, "What they wrote")
        among = self.collected.among("id", shared(table.stream))
        yield from _blank(table, table.without_author(), among, _WITH_OTHERS)


def _blank(
    table: Table, columns: Sequence[str], where: Condition | None, why: str
) -> Iterator[Step]:
    if where is not None and columns:
        yield BlankColumns(table.name, tuple(columns), where, why)


def _why_deleted(table: Table) -> str:
    return "The person" if table.stream == CONTACTS else "Rows about them"
