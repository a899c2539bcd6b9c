"""The steps of an erasure, in the words of tables and not of a database."""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str, ...]
"""A value: the column of a row and what is inside it, or what is inside an entry of a list."""


@dataclass(frozen=True)
class IsOneOf:
    """Whether a value is one of these texts; in_any_case: of lower-case ones."""

    path: Path
    values: tuple[str, ...]
    in_any_case: bool = False


@dataclass(frozen=True)
class IsAmong:
    """Whether a value is in a set of ids that an earlier step collected."""

    path: Path
    ids: str


@dataclass(frozen=True)
class IsNull:
    path: Path


@dataclass(frozen=True)
class Not:
    condition: Condition


@dataclass(frozen=True)
class AllOf:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class HasEntry:
    """Whether a list in a row has an entry that a condition holds for."""

    path: Path
    condition: Condition


Condition = IsOneOf | IsAmong | IsNull | Not | AllOf | AnyOf | HasEntry


@dataclass(frozen=True)
class Values:
    """The values of a column in the rows that a condition holds for."""

    table: str
    column: str
    where: Condition


@dataclass(frozen=True)
class Collect:
    """Keep ids for later steps, as the rows that they come from may be gone by then."""

    ids: str
    sources: tuple[Values, ...]
    why: str


@dataclass(frozen=True)
class Subtract:
    """Keep the ids of one set that are not in another."""

    ids: str
    whole: str
    part: str
    why: str


@dataclass(frozen=True)
class ListFiles:
    """Show the folders of stored files and the notes about them, which no SQL can delete.

    A folder has the files of one record, also those that were replaced in Intercom and have no row.

    values: the paths of the files.
    """

    values: Values
    why: str


@dataclass(frozen=True)
class DeleteRows:
    table: str
    where: Condition
    why: str


@dataclass(frozen=True)
class BlankColumns:
    table: str
    columns: tuple[str, ...]
    where: Condition
    why: str


@dataclass(frozen=True)
class RemoveEntries:
    """Take the entries that a condition holds for out of a list in a column."""

    table: str
    path: Path
    condition: Condition
    why: str


Step = Collect | Subtract | ListFiles | DeleteRows | BlankColumns | RemoveEntries


def any_of(*conditions: Condition | None) -> Condition | None:
    """Return a condition that holds if one of these holds; None without any."""
    found = tuple(dict.fromkeys(each for each in conditions if each is not None))
    return found[0] if len(found) == 1 else AnyOf(found) if found else None


def all_of(*conditions: Condition) -> Condition:
    """Return a condition that holds if all of these hold."""
    return conditions[0] if len(conditions) == 1 else AllOf(conditions)


def used_ids(item: Step | Condition) -> set[str]:
    """Return the sets of ids that a step or a condition looks up."""
    if isinstance(item, IsAmong):
        return {item.ids}
    if isinstance(item, (AllOf, AnyOf)):
        return set().union(*map(used_ids, item.conditions))
    if isinstance(item, (Not, HasEntry, RemoveEntries)):
        return used_ids(item.condition)
    if isinstance(item, Collect):
        return set().union(*(used_ids(each.where) for each in item.sources))
    if isinstance(item, Subtract):
        return {item.whole, item.part}
    if isinstance(item, ListFiles):
        return used_ids(item.values.where)
    if isinstance(item, (DeleteRows, BlankColumns)):
        return used_ids(item.where)
    return set()
