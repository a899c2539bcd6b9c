"""Discovery with an earlier catalog keeps its selection, and names what is new or gone."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Output, Tap, run_tap

from intercom_sandbox import Sandbox, generate
from tap_intercom.catalog import select
from tap_intercom.commands.discover import keep_selection
from tap_intercom.commands.select import Change, apply
from tap_intercom.settings import Settings

Catalog = dict[str, Any]
PLAN = ("properties", "custom_attributes", "properties", "seats")


@pytest.fixture(scope="module")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog as discovery writes it; no test may change it."""
    with Sandbox(generate(seed=1, contacts=6, conversations=4)) as sandbox:
        return Tap(sandbox, tmp_path_factory.mktemp("discovered")).discover()


@pytest.fixture
def earlier(discovered: Catalog) -> Catalog:
    return copy.deepcopy(discovered)


def entry_of(catalog: Catalog, stream: str) -> Catalog:
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == stream]
    found: Catalog = entry
    return found


def mark(catalog: Catalog, stream: str, *place: str, **marks: Any) -> None:
    for each in entry_of(catalog, stream)["metadata"]:
        if tuple(each["breadcrumb"]) == place:
            each["metadata"].update(marks)


def forget(catalog: Catalog, stream: str, *names: str) -> None:
    """Make a field, or one inside an object, unknown to a catalog."""
    entry = entry_of(catalog, stream)
    fields = entry["schema"]["properties"]
    for name in names[:-1]:
        fields = fields[name]["properties"]
    del fields[names[-1]]
    place = [part for name in names for part in ("properties", name)]
    entry["metadata"] = [
        each for each in entry["metadata"] if each["breadcrumb"][: len(place)] != place
    ]


def columns(catalog: Catalog) -> dict[str, set[str]]:
    """What a run reads, by stream."""
    selections = select(catalog, Settings(), version=0)
    return {name: set(each.schema["properties"]) for name, each in selections.items()}


def test_the_same_catalog_stays_the_same(discovered: Catalog, earlier: Catalog) -> None:
    catalog = copy.deepcopy(discovered)
    changes = keep_selection(catalog, earlier)
    assert json.loads(json.dumps(catalog)) == discovered
    assert changes == ([], [], [])


def test_what_was_left_out_stays_out_and_what_was_selected_stays_in(
    discovered: Catalog, earlier: Catalog
) -> None:
    mark(earlier, "contacts", "properties", "email", selected=False)
    mark(earlier, "contacts", *PLAN, selected=False)
    mark(earlier, "admins", selected=False)
    mark(earlier, "tickets", selected=True)
    expected = columns(earlier)
    catalog = copy.deepcopy(discovered)
    assert keep_selection(catalog, earlier) == ([], [], [])
    assert columns(catalog) == expected
    assert "email" not in expected["contacts"]
    assert expected.keys() >= {"tickets"}
    assert "admins" not in expected
    # A default that changes later changes no choice either.
    for entry in catalog["streams"]:
        mark(catalog, entry["tap_stream_id"], **{"selected-by-default": True})
    assert "admins" not in columns(catalog)


def test_a_field_of_the_objects_in_a_list_stays_out(discovered: Catalog, earlier: Catalog) -> None:
    apply(Change("tickets", None, True), earlier)
    mark(earlier, "tickets", "properties", "ticket_parts", selected=True)
    apply(Change("tickets", "ticket_parts.author.email", False), earlier)
    catalog = copy.deepcopy(discovered)
    assert keep_selection(catalog, earlier) == ([], [], [])
    schemas = [select(each, Settings(), version=0)["tickets"].schema for each in (catalog, earlier)]
    assert schemas[0] == schemas[1]
    parts = schemas[0]["properties"]["ticket_parts"]["properties"]["ticket_parts"]["items"]
    assert "email" not in parts["properties"]["author"]["properties"]
    # The other fields in lists have no marks, as discovery writes none.
    assert len(entry_of(catalog, "tickets")["metadata"]) == 1 + len(
        entry_of(discovered, "tickets")["metadata"]
    )


def test_a_default_of_the_earlier_catalog_is_a_choice(
    discovered: Catalog, earlier: Catalog
) -> None:
    mark(earlier, "tags", **{"selected-by-default": False})
    mark(earlier, "contacts", "properties", "phone", **{"selected-by-default": False})
    catalog = copy.deepcopy(discovered)
    keep_selection(catalog, earlier)
    assert "tags" not in columns(catalog)
    assert "phone" not in columns(catalog)["contacts"]


def test_old_catalogs_with_marks_in_the_schema_are_kept(
    discovered: Catalog, earlier: Catalog
) -> None:
    entry_of(earlier, "contacts")["schema"]["properties"]["email"]["selected"] = False
    catalog = copy.deepcopy(discovered)
    keep_selection(catalog, earlier)
    assert "email" not in columns(catalog)["contacts"]


def test_names_of_tables_and_replication_methods_stay(
    discovered: Catalog, earlier: Catalog
) -> None:
    entry_of(earlier, "contacts")["stream"] = "people"
    mark(earlier, "contacts", **{"replication-method": "FULL_TABLE"})
    catalog = copy.deepcopy(discovered)
    keep_selection(catalog, earlier)
    selection = select(catalog, Settings(), version=7)["contacts"]
    assert (selection.name, selection.version) == ("people", 7)


def test_new_and_gone_fields_are_named(discovered: Catalog, earlier: Catalog) -> None:
    forget(earlier, "contacts", "phone")
    forget(earlier, "contacts", "custom_attributes", "seats")
    forget(earlier, "contacts", "location")
    forget(earlier, "tickets", "category")
    mark(earlier, "contacts", "properties", "custom_attributes", selected=False)
    catalog = copy.deepcopy(discovered)
    forget(catalog, "contacts", "name")
    forget(catalog, "contacts", "avatar")
    mark(earlier, "contacts", "properties", "avatar", selected=False)
    changes = keep_selection(catalog, earlier)
    assert changes.new == [
        "contacts.custom_attributes.seats", "contacts.location", "contacts.phone",
    ]  # fmt: skip
    assert changes.selected == ["contacts.location", "contacts.phone"]
    assert changes.gone == ["contacts.name"]


def test_new_and_gone_streams_are_named(discovered: Catalog, earlier: Catalog) -> None:
    catalog = copy.deepcopy(discovered)
    for changed, name in ((earlier, "tags"), (earlier, "macros"), (catalog, "teams")):
        changed["streams"].remove(entry_of(changed, name))
    catalog["streams"].remove(entry_of(catalog, "brands"))
    changes = keep_selection(catalog, earlier)
    assert (sorted(changes.new), changes.selected) == (["macros", "tags"], ["tags"])
    assert changes.gone == ["teams"]


class TestCommand:
    @pytest.fixture
    def tap(self, start_tap_on: Callable[..., Tap]) -> Tap:
        return start_tap_on(generate(seed=1, contacts=6, conversations=4))

    def discover(self, tap: Tap, path: Path, flag: str = "--catalog") -> Output:
        return run_tap("--config", tap.config(), "--discover", flag, str(path))

    @pytest.mark.parametrize("flag", ["--catalog", "--properties"])
    def test_the_log_names_what_changed(
        self, tap: Tap, earlier: Catalog, tmp_path: Path, flag: str
    ) -> None:
        mark(earlier, "contacts", "properties", "email", selected=False)
        forget(earlier, "contacts", "phone")
        earlier["streams"].append({**copy.deepcopy(entry_of(earlier, "tags")), **{
            "tap_stream_id": "tags_of_old", "stream": "tags_of_old",
        }})  # fmt: skip
        mark(earlier, "tags_of_old", selected=True)
        path = tmp_path / "earlier.json"
        path.write_text(json.dumps(earlier))
        output = self.discover(tap, path, flag)
        assert output.code == 0, output.log
        (catalog,) = output.messages
        assert "email" not in columns(catalog)["contacts"]
        assert "INFO new and selected by default: contacts.phone" in output.log
        assert "WARNING selected before, and no longer there: tags_of_old" in output.log

    def test_a_file_that_is_no_catalog_is_refused(self, tap: Tap, tmp_path: Path) -> None:
        path = tmp_path / "earlier.json"
        path.write_text('{"bookmarks": {}}')
        output = self.discover(tap, path)
        assert (output.code, output.stdout) == (2, b"")
        assert output.last_log_line.startswith("CRITICAL catalog: the file must contain")
