"""The paths of the endpoints, and the permissions that calls need."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from .calls import Answer
from .options import Permission


@dataclass(frozen=True)
class Route:
    method: str
    template: str
    handler: Callable[..., Answer]
    permissions: tuple[Permission, ...] = ()
    since: tuple[int, int] = (0, 0)
    until: tuple[int, int] = (sys.maxsize, 0)

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    def match(self, method: str, path: str) -> tuple[str, ...] | None:
        if method != self.method:
            return None
        found = _pattern(self.template).fullmatch(path)
        return found.groups() if found else None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{id\\\}", "([^/]+)", re.escape(template)))
