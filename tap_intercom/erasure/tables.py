"""What the tables of a catalog say of persons: where their ids, addresses and texts are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tap_intercom.erasure.steps import Condition, HasEntry, IsOneOf, Not, Path, all_of, any_of
from tap_intercom.reading.references import Reference, references_of

Schema = Mapping[str, Any]

CONTACT_ID = "contacts.id"
EXTERNAL_ID = "contacts.external_id"
# Fields that copy one of these say nothing of a contact.
OF_OTHERS = frozenset({"admins", "companies", "company_notes"})
TEAMMATES = frozenset({"admins.id", "teams.id"})
MARK = "x-personal"
UNDESCRIBED: Schema = {MARK: "text"}


@dataclass(frozen=True)
class Person:
    """Who is to be erased. emails: in lower case."""

    ids: tuple[str, ...]
    emails: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A selected table.

    stream: its name in this tap. name: its name in the target.
    schema: the selected fields, with what the schema file says of them.
    """

    stream: str
    name: str
    keys: Sequence[str]
    schema: Schema

    @property
    def columns(self) -> Schema:
        columns: Schema = self.schema["properties"]
        return columns

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        return tuple(references_of(self.schema))

    def links(self, target: str) -> Iterator[tuple[str, Condition | None]]:
        """Yield the columns that may have ids of a column, with the condition that they do.

        A column is left out if a field that says so is not selected.
        """
        if target == f"{self.stream}.id":
            yield "id", None
        for each in self.references:
            is_column = not each.holders and "items" not in each.field
            is_known = all(name in self.columns for name in each.conditions)
            if each.target == target and is_column and is_known:
                yield each.name, _kind(each, self.schema)

    # -- The person in a row ---------------------------------------------------------------------

    def direct(self, person: Person) -> Condition | None:
        """Whether the row belongs to the person: a column of it has the person's id."""
        links = [
            all_of(IsOneOf((name,), person.ids), *([kind] if kind else []))
            for name, kind in self.links(CONTACT_ID)
        ]
        return any_of(*links)

    @property
    def addresses(self) -> Iterator[str]:
        """The columns with a mail address."""
        return (name for name, field in self.columns.items() if _is_address(name, field))

    @property
    def authors(self) -> Iterator[Reference]:
        """The objects in a row that are a contact, such as its author."""
        for each in self.references:
            holders = each.holders
            if each.target == CONTACT_ID and holders and not any(one.is_list for one in holders):
                yield each

    def kinds_of_authors(self) -> dict[str, Condition]:
        """Return the columns that hold only an author, and when that author is a contact."""
        found = {}
        for each in self.authors:
            kind = _kind(each, self.schema)
            if len(each.holders) == 1 and kind is not None:
                found[each.holders[0].name] = kind
        return found

    def is_author(self, reference: Reference, person: Person) -> Condition:
        """Whether such an object is the person."""
        return _is_person(reference, 0, self.schema, person)

    @property
    def lists(self) -> Iterator[tuple[Path, Schema, Reference]]:
        """The lists of contacts, or of what contacts wrote, with the reference of an entry."""
        for each in self.references:
            if each.target == CONTACT_ID and sum(one.is_list for one in each.holders) == 1:
                path, entry = _list_of(self.schema, each)
                # An entry such as a tag is not about who put it there.
                if each.holders[-1].is_list or has_mark(entry):
                    yield path, entry, each

    def is_entry_of(self, path: Path, reference: Reference, person: Person) -> Condition:
        """Whether an entry of such a list is about the person."""
        return _is_person(reference, len(path), self.schema, person)

    def persons(self, person: Person) -> Iterator[Condition]:
        """Yield the conditions under which a row has to do with the person."""
        if direct := self.direct(person):
            yield direct
        for reference in self.authors:
            yield self.is_author(reference, person)
        for path, _, reference in self.lists:
            yield HasEntry(path, self.is_entry_of(path, reference, person))

    def others(self, person: Person) -> Iterator[Condition]:
        """Yield the conditions under which a row has to do with another contact."""
        for name, kind in self.links(CONTACT_ID):
            yield all_of(_is_not((name,), person), *([kind] if kind else []))
        for reference in self.authors:
            if other := _is_other(reference, 0, self.schema, person):
                yield other
        for path, _, reference in self.lists:
            if other := _is_other(reference, len(path), self.schema, person):
                yield HasEntry(path, other)

    # -- Personal columns ------------------------------------------------------------------------

    @cached_property
    def personal(self) -> tuple[str, ...]:
        """The columns that may say something of a contact, also those with an id of one."""
        found = {name for name, field in self.columns.items() if has_mark(field)}
        found |= {
            (*(one.name for one in each.holders), each.name)[0]
            for each in self.references
            if each.target == CONTACT_ID and not any(one.is_list for one in each.holders)
        }
        return tuple(name for name in self.columns if name in found and name not in self.keys)

    def without_author(self) -> tuple[str, ...]:
        """Return the personal columns that do not say whom they are about."""
        authored = {each.holders[0].name for each in self.authors}
        lists = {path for path, _, _ in self.lists}
        return tuple(
            name
            for name, field in self.columns.items()
            if name in self.personal and name not in authored and has_mark(field, lists, (name,))
        )

    def lists_of_addresses(self) -> Iterator[tuple[Path, str]]:
        """Yield the lists whose entries have a mail address and no id, and the name of it."""
        yield from _lists_of_addresses(self.schema, ())


def marked(schema: Schema, notes: Schema | None) -> dict[str, Any]:
    """Return the fields of a schema with what the schema file says of them.

    A field that the file does not have is personal, like custom attributes.
    """
    if notes is None:
        return {**schema, **UNDESCRIBED}
    found = {**schema, **{name: notes[name] for name in notes if name not in _STRUCTURE}}
    if MARK in notes:
        return found
    if "properties" in schema:
        known = notes.get("properties", {})
        found["properties"] = {
            name: marked(field, known.get(name)) for name, field in schema["properties"].items()
        }
    if isinstance(schema.get("items"), Mapping) and "items" in notes:
        found["items"] = marked(schema["items"], notes["items"])
    return found


_STRUCTURE = frozenset({"type", "properties", "items", "anyOf"})


def has_mark(field: Schema, but: Collection[Path] = (), path: Path = ()) -> bool:
    """Whether a field, or one inside it, may say something of a contact.

    but: lists that do not count, by their path.
    """
    if path in but or field.get("copy_of") in OF_OTHERS:
        return False
    if MARK in field:
        return True
    properties = field.get("properties", field.get("items", {}).get("properties", {}))
    identity = properties.get("id", {}).get("references", {})
    targets = {identity} if isinstance(identity, str) else set(identity)
    if targets and targets <= TEAMMATES:
        return False
    return any(has_mark(inner, but, (*path, name)) for name, inner in properties.items())


def _is_address(name: str, field: Schema) -> bool:
    return field.get(MARK) == "contact" and name.startswith("email")


def _inside(reference: Reference, depth: int) -> Path:
    """The path of what holds an id, below the first holders."""
    return tuple(each.name for each in reference.holders[depth:])


def _beside(reference: Reference, schema: Schema) -> Schema:
    """The fields beside an id."""
    for holder in reference.holders:
        schema = schema["properties"][holder.name]
        schema = schema["items"] if holder.is_list else schema
    properties: Schema = schema["properties"]
    return properties


def _kind(reference: Reference, schema: Schema, depth: int = 0) -> Condition | None:
    """The condition under which an id is of its target, as far as fields are selected."""
    beside, inside = _beside(reference, schema), _inside(reference, depth)
    found = [
        IsOneOf((*inside, name), tuple(values))
        for name, values in reference.conditions.items()
        if name in beside
    ]
    return all_of(*found) if found else None


def _is_person(reference: Reference, depth: int, schema: Schema, person: Person) -> Condition:
    inside, kind = _inside(reference, depth), _kind(reference, schema, depth)
    by_id = all_of(IsOneOf((*inside, reference.name), person.ids), *([kind] if kind else []))
    if not person.emails or "email" not in _beside(reference, schema):
        return by_id
    by_address = IsOneOf((*inside, "email"), person.emails, in_any_case=True)
    return any_of(by_id, by_address) or by_id


def _is_not(path: Path, person: Person) -> Condition:
    """Whether an id is that of another contact. It is empty if Intercom no longer knows them."""
    return Not(IsOneOf(path, (*person.ids, "")))


def _is_other(reference: Reference, depth: int, schema: Schema, person: Person) -> Condition | None:
    """Whether an id is of another contact; None if the id alone does not say so."""
    inside, kind = _inside(reference, depth), _kind(reference, schema, depth)
    if reference.conditions and kind is None:
        return None
    other = _is_not((*inside, reference.name), person)
    return all_of(other, *([kind] if kind else []))


def _list_of(schema: Schema, reference: Reference) -> tuple[Path, Schema]:
    """The path of the list around an id, and the schema of an entry."""
    path: list[str] = []
    for holder in reference.holders:
        path.append(holder.name)
        schema = schema["properties"][holder.name]
        if holder.is_list:
            break
    return tuple(path), schema["items"]


def _lists_of_addresses(schema: Schema, path: Path) -> Iterator[tuple[Path, str]]:
    for name, field in schema.get("properties", {}).items():
        if field.get("copy_of") in OF_OTHERS:
            continue
        inside = field.get("items", {}).get("properties", {})
        for address, inner in inside.items():
            if _is_address(address, inner) and "id" not in inside:
                yield (*path, name), address
        if "properties" in field:
            yield from _lists_of_addresses(field, (*path, name))
