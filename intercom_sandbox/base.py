"""What all parts of a workspace share: the tables that search uses, the lock, times and ids."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from hashlib import blake2b

from .records import Record
from .tables import Table


class Base:
    def __init__(self, *, id_code: str, name: str, timezone: str, region: str) -> None:
        self.app: Record = {
            "type": "app",
            "id_code": id_code,
            "name": name,
            "created_at": 1_600_000_000,
            "secure": True,
            "identity_verification": False,
            "timezone": timezone,
            "region": region,
        }
        self.lock = threading.RLock()
        self.clock: Callable[[], float] = time.time
        self.search_lag: Callable[[], float] = lambda: 0.0
        self.contacts = self._table()
        self.companies = self._table()
        self.conversations = self._table()
        self.tickets = self._table()
        self._numbers: dict[str, int] = {}

    @property
    def searched_tables(self) -> tuple[Table, ...]:
        return self.contacts, self.companies, self.conversations, self.tickets

    def _table(self) -> Table:
        return Table(lambda: self.search_lag(), lambda: self.clock())

    def _touch(self, table: Table, record_id: str) -> None:
        """Set updated_at of a record to now. Raises KeyError."""
        table.put(table.get(record_id) | {"updated_at": self._now()})

    def _contact_reference(self, contact_id: str) -> Record:
        external_id = None
        if contact_id in self.contacts:
            external_id = self.contacts.get(contact_id)["external_id"]
        return {"type": "contact", "id": contact_id, "external_id": external_id}

    def _now(self) -> int:
        return int(self.clock())

    def _stamped(self, fields: Record) -> Record:
        return {"updated_at": self._now()} | fields

    def _number(self, kind: str) -> int:
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return number

    def _number_id(self, kind: str, start: int) -> str:
        return str(start + self._number(kind))

    def _hexadecimal_id(self, kind: str) -> str:
        """Return 24 unordered hexadecimal digits, always the same for the n-th id of a kind."""
        return blake2b(b"%s%d" % (kind.encode(), self._number(kind)), digest_size=12).hexdigest()
