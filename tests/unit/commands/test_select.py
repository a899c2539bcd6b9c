"""`tap-intercom select`: changes of a catalog from left to right, all of them or none."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tap_intercom.catalog import all_marks_of, entries, is_selected
from tap_intercom.commands import select
from tap_intercom.errors import ConfigError

TEXT = {"type": ["null", "string"]}
PLACE = {"type": ["null", "object"], "properties": {"city": TEXT, "country": TEXT}}
CONTACTS = {"id": TEXT, "name": TEXT, "email": TEXT, "location": PLACE}
LINK = {"contact_id": TEXT, "tag_id": TEXT, "contact_updated_at": TEXT}
Select = Callable[..., dict[str, set[str]]]


def entry_of(name: str, properties: dict[str, Any], *automatic: str) -> dict[str, Any]:
    marks = [
        {"breadcrumb": ["properties", field], "metadata": {"inclusion": "automatic"}}
        for field in automatic
    ]
    schema = {"type": "object", "properties": properties}
    return {"tap_stream_id": name, "stream": name, "schema": schema, "metadata": marks}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.json"
    streams = [
        entry_of("contacts", CONTACTS, "id"),
        entry_of("contact_tag", LINK, *LINK),
        entry_of("tags", {"id": TEXT, "name": TEXT}, "id"),
    ]
    path.write_text(json.dumps({"streams": streams, "kept": 1}))
    return path


@pytest.fixture
def run(path: Path, capfd: pytest.CaptureFixture[str]) -> Select:
    """Run the command; returns the selected fields of each selected stream in the file."""

    def run_one(*arguments: str) -> dict[str, set[str]]:
        parser = argparse.ArgumentParser()
        select.add_arguments(parser)
        options = parser.parse_args(["--catalog", str(path), *arguments])
        assert select.run(options) == 0
        capfd.readouterr()
        found = {}
        for name, entry in entries(json.loads(path.read_text())):
            marks = all_marks_of(name, entry)
            if is_selected(name, marks, ()):
                found[name] = set(selected_fields(name, marks, entry["schema"]))
        return found

    return run_one


def selected_fields(name: str, marks: Any, schema: Any, *place: str) -> list[str]:
    found = []
    for field, inner in schema.get("properties", {}).items():
        here = (*place, "properties", field)
        if is_selected(name, marks, here):
            found.append(".".join(here[1::2]))
            found += selected_fields(name, marks, inner, *here)
    return found


ALL_OF_CONTACTS = {"id", "name", "email", "location", "location.city", "location.country"}


def test_streams_are_selected_by_pattern(run: Select) -> None:
    assert run() == {}
    assert run("--stream", "contact*") == {
        "contacts": ALL_OF_CONTACTS,
        "contact_tag": set(LINK),
    }
    assert run("--no-stream", "contact_tag", "--stream", "t?gs").keys() == {"contacts", "tags"}
    assert run("--all").keys() == {"contacts", "contact_tag", "tags"}


def test_options_apply_from_left_to_right(run: Select) -> None:
    assert run("--all", "--no-stream", "*", "--stream", "tags").keys() == {"tags"}
    fields = run("--stream", "contacts", "--no-field", "contacts.*", "--field", "contacts.name")
    assert fields["contacts"] == {"id", "name"}


def test_a_field_takes_along_what_is_inside_and_around_it(run: Select) -> None:
    run("--stream", "contacts", "--no-field", "contacts.*")
    assert run("--field", "contacts.location")["contacts"] == {
        "id",
        "location",
        "location.city",
        "location.country",
    }
    run("--no-field", "contacts.location")
    assert run("--field", "contacts.location.city")["contacts"] >= {"location", "location.city"}


def test_other_content_of_the_file_stays(run: Select, path: Path) -> None:
    before = json.loads(path.read_text())
    run("--stream", "tags")
    after = json.loads(path.read_text())
    assert after["kept"] == 1
    assert [each["schema"] for each in after["streams"]] == [
        each["schema"] for each in before["streams"]
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--stream", "contact"), "no stream matches 'contact'"),
        (("--field", "contacts.nam"), "no field of contacts matches 'nam'"),
        (("--no-field", "contacts.id"), "is a key or the replication key"),
    ],
)
def test_a_change_that_matches_nothing_changes_nothing(
    run: Select, path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=reason):
        run("--all", *arguments)
    assert path.read_bytes() == before


def test_a_field_is_given_with_its_stream(run: Select, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--field", "name")
    assert "'name' is not STREAM.PATTERN" in capfd.readouterr().err
