"""The records of the resources of one workspace, and the edits people make to them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any
from uuid import UUID

from .records import Record, without_nulls
from .resource import Resource
from .resources import RESOURCES
from .versions import Version


class ResourceStore:
    """Records by resource and key.

    A record is kept as Intercom sends it, with the id of its parent even where that is left out.
    """

    def __init__(self, workspace_id: str, clock: Callable[[], float]) -> None:
        self._workspace_id = workspace_id
        self._clock = clock
        self._records: dict[str, dict[str, Record]] = {name: {} for name in RESOURCES}
        self._numbers: dict[str, int] = {}
        for resource in RESOURCES.values():
            for fields in resource.built_in:
                self.add(resource.name, **fields)

    def kept(self, name: str) -> dict[str, Record]:
        """Return the records of a resource by key, as they are now and after each edit."""
        return self._records[name]

    def share(self, name: str, records: dict[str, Record]) -> None:
        """Keep the records of a resource where another part of the workspace keeps them."""
        self._records[name] = records

    def add(self, name: str, /, **fields: Any) -> str:
        """Add a record and return its key: the id, or several fields joined by slashes."""
        resource = RESOURCES[name]
        now = int(self._clock())
        record = deepcopy(resource.shape)
        if "workspace_id" in record:
            record["workspace_id"] = self._workspace_id
        if "id" in resource.key:
            record["id"] = fields["id"] if "id" in fields else self._new_id(resource)
            for field, value in record.items():
                if isinstance(value, str):
                    record[field] = value.replace("{id}", str(record["id"]))
        for field in resource.times:
            record[field] = fields.get("created_at", now)
        record = self._timed(resource, record | fields)
        if resource.makes_parent:
            self.add(resource.parent, id=record[resource.parent_field])
        key = key_of(resource, record)
        self._records[name][key] = record
        return key

    def update(self, name: str, key: str, /, **fields: Any) -> None:
        """Set fields of a record; an updated_at moves to now. Raises KeyError."""
        resource, records = RESOURCES[name], self._records[name]
        if "updated_at" in records[key]:
            fields = {"updated_at": int(self._clock())} | fields
        records[key] = self._timed(resource, records[key] | fields)

    def delete(self, name: str, key: str) -> None:
        """Raises KeyError."""
        del self._records[name][key]

    def record(self, name: str, key: str) -> Record | None:
        return self._records[name].get(key)

    def keys(self, name: str) -> list[str]:
        """Return the keys of all records, in the order of creation."""
        return list(self._records[name])

    def has_parent(self, resource: Resource, parent_id: str) -> bool:
        return parent_id in self._records[resource.parent]

    def listed(
        self, name: str, parent_id: str | None = None, *, is_ordered: bool = True
    ) -> list[Record]:
        """Return the records, or those of one parent, in the order of the list or of creation."""
        resource = RESOURCES[name]
        records = resource.derive(self.all) if resource.derive else self.all(name)
        if parent_id is not None:
            records = [each for each in records if each[resource.parent_field] == parent_id]
        if resource.newest_first and is_ordered:
            records.sort(key=lambda each: order_key(resource, each), reverse=True)
        if resource.oldest_first and is_ordered:
            records.sort(key=lambda each: order_key(resource, each))
        return records

    def truth(self, name: str, version: Version) -> list[Record]:
        """Return copies of all records whose parents exist, with the fields a parent adds.

        Fields without a value are omitted where answers omit them, and so are those that the
        version does not have.
        """
        resource = RESOURCES[name]
        omitted = resource.omitted(version)
        records = [
            {field: deepcopy(value) for field, value in each.items() if field not in omitted}
            for each in self.listed(name)
            if not resource.parent or self.has_parent(resource, each[resource.parent_field])
        ]
        if resource.from_parent:
            for record in records:
                parent = self._records[resource.parent][record[resource.parent_field]]
                record |= {ours: parent[theirs] for ours, theirs in resource.from_parent.items()}
        return list(map(without_nulls, records)) if resource.omits_null else records

    def all(self, name: str) -> list[Record]:
        """Return the records that are kept, in the order of creation."""
        return list(self._records[name].values())

    def _timed(self, resource: Resource, record: Record) -> Record:
        if resource.times_in != "seconds":
            unit = "milliseconds" if resource.times_in == "iso_milliseconds" else "seconds"
            for field in resource.times:
                if isinstance(record[field], int):
                    instant = datetime.fromtimestamp(record[field], timezone.utc)
                    text = instant.isoformat(timespec=unit)
                    record[field] = text.replace("+00:00", "Z")
        return record

    def _new_id(self, resource: Resource) -> str | int:
        number = self._numbers.get(resource.name, resource.first_id)
        self._numbers[resource.name] = number + 1
        if resource.ids == "integer":
            return number
        if resource.ids == "uuid":
            digest = blake2b(b"%s%d" % (resource.name.encode(), number), digest_size=16).digest()
            return str(UUID(bytes=digest, version=4))
        return str(number)


def key_of(resource: Resource, record: Record) -> str:
    return "/".join(str(record[field]) for field in resource.key)


def order_key(resource: Resource, record: Record) -> tuple[int, str]:
    """What puts a record in its place: the instant in milliseconds, and the key."""
    instant = milliseconds(record[resource.newest_first or resource.oldest_first or ""])
    return instant, key_of(resource, record)


def milliseconds(value: int | str) -> int:
    """An instant in Unix seconds or ISO 8601, as Unix milliseconds."""
    if isinstance(value, str):
        return round(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)
    return value * 1000
