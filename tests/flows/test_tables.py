"""The tables beyond the core eleven: every row equals Intercom's, in first and in later runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest
from api_versions import DEFAULT_TABLES, settings_for, version_of_runs
from conftest import Output, Tap
from truth import STREAMS as CORE
from truth import differences, instant_text, split_attributes, with_values

from intercom_sandbox import Sandbox, Workspace, generate
from tap_intercom.reading.stream import record_hash
from tap_intercom.records.coerce import without_descriptions
from tap_intercom.streams import STREAMS
from tap_intercom.versions import DEFAULT, Version

# Exports, deletions and files have tests of their own: they are read by other means than lists.
TABLES = sorted(
    name
    for name in STREAMS.keys() - set(CORE) - {"attachments", "deletions"}
    if not name.startswith("content_export_")
)
OF_DEFAULT = [name for name in TABLES if name in DEFAULT_TABLES]
INCREMENTAL = [name for name in TABLES if STREAMS[name].is_incremental]
FULL = [name for name in TABLES if not STREAMS[name].is_incremental]
FAULTS_SHOWN = 10

Record = dict[str, Any]


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return generate(seed=11, contacts=60, companies=25, conversations=50, parts=150, tickets=20)


@pytest.fixture
def tap(start_tap_on: Callable[..., Tap], workspace: Workspace) -> Tap:
    return start_tap_on(workspace)


def key_of(name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(record[column]) for column in STREAMS[name].key_properties)


def expected_records(
    workspace: Workspace, name: str, version: Version = DEFAULT
) -> dict[tuple[str, ...], Record]:
    """Intercom's rows by key; what a run makes itself is put in or left out."""
    found = {}
    of_tickets = workspace.truth("ticket_type_attributes") if name == "tickets" else []
    types = {each["name"]: each["data_type"] for each in of_tickets}
    for record in workspace.truth(name, version):
        if name == "events":
            names = ("contact_id", "event_name", "created_at", "id", "metadata")
            record["_sdc_record_hash"] = record_hash([record.get(each) for each in names])
        if name == "team_metrics":
            record["measured_at"] = None
        if name == "macros":
            for column in ("created_at", "updated_at"):
                record[column] = instant_text(record[column])
        if name in ("tickets", "custom_object_instances"):
            field = "ticket_attributes" if name == "tickets" else "custom_attributes"
            record[field], record["other_attributes"] = split_attributes(record[field], types)
        found[key_of(name, record)] = with_values(name, record, workspace)
    return found


def assert_rows(
    output: Output, workspace: Workspace, name: str, version: Version = DEFAULT
) -> None:
    """Every row of a table is there, equal to the truth, and valid against its SCHEMA."""
    schema = output.schema(name)
    validator = jsonschema_rs.Draft7Validator(schema, validate_formats=True)
    arrived = output.records(name)
    problems = [
        f"{name}: {error.instance_path}: {error.message[:200]}"
        for record in arrived
        for error in validator.iter_errors(record)
    ]
    if name == "team_metrics":
        arrived = [record | {"measured_at": None} for record in arrived]
    if name == "tickets":
        # The truth has them as a table of their own.
        parts = [record.pop("ticket_parts")["ticket_parts"] for record in arrived]
        assert any(parts)
    by_key = {key_of(name, record): record for record in arrived}
    expected = expected_records(workspace, name, version)
    missing, unknown = expected.keys() - by_key.keys(), by_key.keys() - expected.keys()
    problems += [f"{name}: {key} is missing" for key in missing]
    problems += [f"{name}: {key} is nobody's" for key in unknown]
    for key in expected.keys() & by_key.keys():
        places = differences(expected[key], by_key[key], schema)
        problems += [f"{name} {key}: {place}" for place in places]
    assert not problems, "\n".join(problems[:FAULTS_SHOWN])


@dataclass
class Whole:
    """One run of all streams, and how often it asked for what."""

    output: Output
    asked: Counter[tuple[str, str, str, str]]


@pytest.fixture(scope="module")
def run_of_all(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    with Sandbox(workspace) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("whole"))
        catalog = tap.discover()
        sandbox.requests.clear()
        output = tap.sync(*CORE, *OF_DEFAULT, catalog=catalog, custom_object_types=["Order"])
        asked = Counter(
            (each.method, each.path, str(each.params), str(each.json)) for each in sandbox.requests
        )
    assert output.code == 0, output.log
    return Whole(output, asked)


@pytest.fixture(scope="module")
def whole(run_of_all: Whole) -> Output:
    return run_of_all.output


def test_nothing_is_asked_for_twice(run_of_all: Whole) -> None:
    """However many tables come with a list, it is read once, or in two passes if it has pages."""
    twice = {request[1] for request, count in run_of_all.asked.items() if count > 1}
    # One opens the run, and is a table too. The others have more than one page.
    assert twice <= {"/me", "/calls", "/news/news_items"}
    assert len(run_of_all.asked) > 500


@pytest.mark.parametrize("name", OF_DEFAULT)
def test_every_row_equals_the_truth(whole: Output, workspace: Workspace, name: str) -> None:
    assert workspace.truth(name), "the sample has no row, which would prove nothing"
    assert_rows(whole, workspace, name)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_alone_is_whole_too(tap: Tap, workspace: Workspace, name: str) -> None:
    """A child or a row inside its parent does not need its parent to be selected."""
    settings: dict[str, Any] = settings_for(name)
    output = tap.sync(name, custom_object_types=["Order"], page_size=3, **settings)
    assert output.code == 0, output.log
    assert output.log_lines("WARNING") == []
    assert {message.get("stream") for message in output.messages} <= {name, None}
    assert_rows(output, workspace, name, version_of_runs(name))
    if name in FULL:
        assert output.count("ACTIVATE_VERSION", name) == 1


@pytest.mark.parametrize("name", INCREMENTAL)
def test_a_second_run_has_nothing_old(tap: Tap, name: str) -> None:
    settings: dict[str, Any] = {"custom_object_types": ["Order"], "lookback_seconds": 0}
    settings |= settings_for(name)
    first = tap.sync(name, **settings)
    assert first.code == 0, first.log
    assert first.state["bookmarks"][name]["updated_at"]
    assert first.count("ACTIVATE_VERSION", name) == 0
    second = tap.sync(name, state=first.state, **settings)
    assert second.code == 0, second.log
    if name == "team_metrics":
        assert second.records(name)  # a snapshot of each run
    else:
        assert second.records(name) == []
    assert (
        second.state["bookmarks"][name]["updated_at"]
        >= first.state["bookmarks"][name]["updated_at"]
    )


def test_types_of_custom_objects_are_learned(tap: Tap, workspace: Workspace) -> None:
    """Without the setting, from the attributes of conversations that refer to them."""
    output = tap.sync("custom_object_instances")
    assert output.code == 0, output.log
    assert_rows(output, workspace, "custom_object_instances")
    assert output.records("custom_object_instances")


def test_attributes_of_tickets_are_typed(tap: Tap, workspace: Workspace) -> None:
    (tickets,) = [each for each in tap.discover()["streams"] if each["tap_stream_id"] == "tickets"]
    schema = without_descriptions(tickets["schema"])
    typed = schema["properties"]["ticket_attributes"]["properties"]
    described = {
        each["name"]: each["data_type"] for each in workspace.truth("ticket_type_attributes")
    }
    assert typed.keys() <= described.keys()
    kinds = {described[name]: schema for name, schema in typed.items()}
    assert kinds["string"] == {"type": ["null", "string"]}
    assert kinds["integer"] == {"type": ["null", "integer"]}
