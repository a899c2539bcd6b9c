"""Renew a catalog: discover again, and keep what the earlier catalog selects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from singer import metadata

from tap_intercom.breadcrumbs import Breadcrumb, above, breadcrumbs, dotted
from tap_intercom.catalog import Entry, all_marks_of, entries, is_selected

LOGGER = logging.getLogger("tap_intercom")

# What a user may set in a stream's metadata beside the selection.
_KEPT_MARKS = ("selected", "replication-method")


class Changes(NamedTuple):
    """The differences between two catalogs, by dotted name.

    new: streams and fields that only the new catalog has. Fields are listed for selected streams.
    selected: those of them that a run with the new catalog reads.
    gone: streams and fields that the earlier catalog selects and the new one does not have.
    """

    new: list[str]
    selected: list[str]
    gone: list[str]

    def log(self) -> None:
        """Log what changed, a line for each kind."""
        for text, names in (
            ("new and selected by default", self.selected),
            ("new and not selected", [name for name in self.new if name not in self.selected]),
        ):
            if names:
                LOGGER.info("%s: %s", text, ", ".join(names))
        if self.gone:
            LOGGER.warning("selected before, and no longer there: %s", ", ".join(self.gone))


def keep_selection(catalog: Mapping[str, Any], earlier: Any) -> Changes:
    """Select in a new catalog, in place, what an earlier one selects.

    A field that is new follows the default of its stream. Names of tables and replication methods
    of the earlier catalog stay as well. Raises ConfigError if it is not a catalog.
    """
    before, after = dict(entries(earlier)), dict(entries(catalog))
    changes = Changes([], [], [])
    for name, entry in after.items():
        marks = all_marks_of(name, entry)
        if name in before:
            _keep(name, entry, marks, before[name], changes)
        else:
            changes.new.append(name)
            if is_selected(name, marks, ()):
                changes.selected.append(name)
        entry["metadata"] = metadata.to_list(marks)
    for name, entry in before.items():
        if name not in after and is_selected(name, all_marks_of(name, entry), ()):
            changes.gone.append(name)
    return changes


def _keep(
    name: str,
    entry: Entry,
    marks: dict[Breadcrumb, dict[str, Any]],
    earlier: Entry,
    changes: Changes,
) -> None:
    """Keep the selection of one stream."""
    entry["stream"] = earlier.get("stream") or name
    old_marks = all_marks_of(name, earlier)
    places = {(), *breadcrumbs(entry["schema"])}
    old_places = {(), *breadcrumbs(earlier.get("schema"))}
    for place in sorted(places & old_places):
        old_mark = old_marks.get(place, {})
        kept = {key: old_mark[key] for key in _KEPT_MARKS if old_mark.get(key) is not None}
        if kept:
            marks.setdefault(place, {}).update(kept)
        was_selected = is_selected(name, old_marks, place)
        if is_selected(name, marks, place) != was_selected:
            marks.setdefault(place, {})["selected"] = was_selected
    if not is_selected(name, marks, ()):
        return
    for place in _outermost(places - old_places):
        changes.new.append(f"{name}.{dotted(place)}")
        if all(is_selected(name, marks, each) for each in (*above(place), place)):
            changes.selected.append(f"{name}.{dotted(place)}")
    for place in _outermost(old_places - places):
        if is_selected(name, old_marks, place):
            changes.gone.append(f"{name}.{dotted(place)}")


def _outermost(places: set[Breadcrumb]) -> Iterator[Breadcrumb]:
    """Yield the places that are not inside another one of them."""
    for place in sorted(places):
        if places.isdisjoint(above(place)):
            yield place
