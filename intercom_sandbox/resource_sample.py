"""Tools for samples of resources: a small support team, and times within a period."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from .records import Record

if TYPE_CHECKING:
    from .words import Words
    from .workspace import Workspace

DAY = 86_400
_TITLES = (
    "How to pay",
    "Reset your password",
    "Invite your team",
    "Export your data",
    "Change your plan",
    "Rechnung ändern",
    "日本語でのお問い合わせ",
)


def spread(sample: Sample, number: int, of: int) -> Record:
    """The times of one of so many records, like `Sample.times` but without chance.

    So a record that newer versions have does not change any other.
    """
    updated_at = sample.start + (2 * number + 1) * sample.span // (2 * of)
    return {"created_at": updated_at - DAY, "updated_at": updated_at}


class Sample:
    """A sample that is being made: `count` records of those that workspaces have many of.

    Their times are in the `span` seconds before `end`.
    """

    def __init__(
        self,
        workspace: Workspace,
        words: Words,
        chance: random.Random,
        count: int,
        end: int,
        span: int,
    ) -> None:
        self.workspace = workspace
        self.words = words
        self.chance = chance
        self.count = count
        self.end = end
        self.span = span
        self.start = end - span
        self.admin_ids = list(workspace.admins) or ["7000001"]

    def add(self, table: str, **fields: Any) -> str:
        """Add a record of a resource; gives its key."""
        return self.workspace.add_record(table, **fields)

    def keys(self, table: str) -> list[str]:
        """The keys of all records of a resource, in the order of making."""
        return self.workspace.record_keys(table)

    def times(self, number: int, of: int | None = None) -> Record:
        """created_at and updated_at of one of so many records, spread over the period."""
        of = of or self.count
        updated_at = self.start + (2 * number + 1) * self.span // (2 * of)
        created_at = updated_at - int(self.chance.random() * 30 * DAY)
        return {"created_at": created_at, "updated_at": updated_at}

    def maybe(self, value: Any, share: float = 0.6) -> Any:
        return value if self.chance.random() < share else None

    def title(self, number: int) -> str:
        repeat = number // len(_TITLES)
        title = _TITLES[number % len(_TITLES)]
        return f"{title} {repeat + 1}" if repeat else title

    def admin_number(self) -> int:
        return int(self.chance.choice(self.admin_ids))
