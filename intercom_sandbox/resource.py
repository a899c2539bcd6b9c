"""What a list of Intercom is: where and how it is listed, and what its records look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .options import Options, Permission
from .records import Record
from .resource_sample import Sample
from .versions import PREVIEW, Version

Paging = Literal["none", "numbers", "numbers_on_top", "cursor", "one_object"]
Kept = Callable[[str], list[Record]]
"""The records of a resource, by its name."""


@dataclass(frozen=True)
class Asked:
    """A call for a list."""

    query: Mapping[str, str]
    version: Version
    options: Options
    kept: Kept


@dataclass(frozen=True)
class TimeFilter:
    """A parameter of the query, in Unix seconds, that sets a border to the times of records."""

    parameter: str
    field: str
    selects: Literal[">", ">=", "<="]
    is_required: bool = False
    default_age: int | None = None
    """Where the border is when the parameter is left out, in seconds before now."""


@dataclass(frozen=True)
class Resource:
    """One kind of record.

    name            its table
    path            where it is listed; empty if it only comes in the answers of others
    permissions     one of these is needed; if Intercom documents none, the one for similar data
    since, until    the first and the last version that have it
    paging          all at once; pages by number, described in `pages` or beside the rows; pages by
                    cursor; or the only record as the whole answer
    sizes           the default and the maximum size of a page
    rows, kind      the name of the list in the answer, and the answer's `type`
    newest_first    the time that orders the list; otherwise the order of creation
    oldest_first    the same, for a list that begins with the oldest record
    is_reversible   whether `order=asc` reverses that order
    is_counted      whether numbered pages come with a total_count
    ids, first_id   the form of new ids, and the first one; text is a number as text
    key             the fields that identify a record
    times           the fields with the times of creation and of the last edit
    times_in        Unix seconds or ISO 8601 text, which macros have with milliseconds
    parent          the table whose records this is listed for, one by one
    parent_field    the field with the id of the parent
    from_parent     what the truth repeats of the parent: its fields, by ours
    makes_parent    whether a record creates the parent that it names
    missing         the error code for a parent that does not exist
    hidden          fields that answers omit
    newer           fields that versions before this one omit
    older           fields that this version and later ones omit
    on_request      fields that only come if a parameter is true, by that parameter
    omits_null      whether answers omit fields without a value
    lists_archived  whether archived records come without include_archived=true
    only            the field that replaces the record in the answer
    shape           a record of the newest version with nothing set; its id, times and
                    workspace_id are filled in when it is created, and `{id}` in its texts becomes
                    the id
    built_in        the fields of the records that every workspace has
    derive          derives the records from those of other resources
    choose          chooses the records by what a call asks for
    is_basic        whether contacts, companies or conversations refer to it
    sample          adds the sample records, and those that come with them
    """

    name: str
    path: str
    permissions: tuple[Permission, ...] = ()
    since: Version = (0, 0)
    paging: Paging = "none"
    sizes: tuple[int, int] = (0, 0)
    rows: str = "data"
    kind: str = "list"
    newest_first: str | None = None
    oldest_first: str | None = None
    is_reversible: bool = False
    is_counted: bool = True
    filters: tuple[TimeFilter, ...] = ()
    ids: Literal["text", "integer", "uuid"] = "text"
    first_id: int = 101
    key: tuple[str, ...] = ("id",)
    times: tuple[str, ...] = ("created_at", "updated_at")
    times_in: Literal["seconds", "iso", "iso_milliseconds"] = "seconds"
    parent: str = ""
    parent_field: str = ""
    from_parent: Mapping[str, str] = field(default_factory=dict)
    makes_parent: bool = False
    missing: str = "not_found"
    hidden: tuple[str, ...] = ()
    newer: Mapping[str, Version] = field(default_factory=dict)
    older: Mapping[str, Version] = field(default_factory=dict)
    on_request: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    omits_null: bool = False
    lists_archived: bool = True
    only: str = ""
    until: Version = PREVIEW
    shape: Record = field(default_factory=dict)
    built_in: tuple[Record, ...] = ()
    derive: Callable[[Kept], list[Record]] | None = None
    choose: Callable[[Asked], list[Record]] | None = None
    is_basic: bool = False
    sample: Callable[[Sample], None] | None = None

    def omitted(self, version: Version) -> set[str]:
        """Return the fields that records do not have in a version."""
        newer = {name for name, since in self.newer.items() if version < since}
        return newer | {name for name, until in self.older.items() if version >= until}
