"""A real mapper between the tap and a real target."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import RUN, TIMEOUT_SECONDS, Tap, selecting
from environments import environment_bin
from loaded_tables import Row, rows_of_duckdb, target_bin

from intercom_sandbox import Workspace, generate
from tap_intercom.streams import STREAMS as EVERY_STREAM

pytestmark = pytest.mark.long

KINDS = ("SCHEMA", "RECORD", "ACTIVATE_VERSION", "STATE")
STREAMS = ("companies", "contacts", "conversation_parts", "conversations", "tags")
HASH = "sha256(email) if email else None"
MAPS: dict[str, Any] = {
    "contacts": {
        "__alias__": "people",
        "__filter__": "record['role'] == 'user'",
        "email_hash": HASH,
        "email": None,
    }
}


class Mapped:
    """A run with a mapper into DuckDB."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.catalog = tap.write("catalog.json", selecting(tap.discover(), *STREAMS))
        self.state = tap.folder / "state.json"
        self.database = tap.folder / "intercom.duckdb"
        self.target = tap.write(
            "target.json",
            {
                "path": str(self.database),
                "database": self.database.stem,
                "default_target_schema": "main",
                "add_metadata_columns": True,
                "validate_records": True,
            },
        )

    def run(self, **config: Any) -> tuple[int, str]:
        """Exit code and log of a run with this configuration of the mapper."""
        mapper = self.tap.write("mapper.json", config)
        command = [*RUN, "run", "--state", str(self.state), "--config", self.tap.config()]
        command += ["--catalog", self.catalog]
        for program, file in (
            (environment_bin("mapper") / "meltano-map-transform", mapper),
            (target_bin("duckdb") / "target-duckdb", self.target),
        ):
            command += ["--", str(program), "--config", file]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        return done.returncode, done.stderr

    def rows(self, table: str) -> list[Row]:
        return rows_of_duckdb(self.database, [table])[table]


@pytest.fixture
def mapped(start_tap_on: Callable[[Workspace], Tap]) -> Mapped:
    workspace = generate(seed=6, contacts=60, companies=10, conversations=12, parts=80, days=60)
    return Mapped(start_tap_on(workspace))


def test_aliases_filters_hashes_and_flattening_reach_the_tables(mapped: Mapped) -> None:
    config = {"stream_maps": MAPS, "flattening_enabled": True, "flattening_max_depth": 1}
    code, log = mapped.run(**config)
    assert code == 0, log
    sandbox = mapped.tap.sandbox
    users = {row["id"]: row for row in sandbox.truth("contacts") if row["role"] == "user"}
    people = {row["id"]: row for row in mapped.rows("people")}
    assert people.keys() == users.keys()
    for identity, row in people.items():
        email = users[identity]["email"]
        assert "email" not in row
        assert row["email_hash"] == (hashlib.sha256(email.encode()).hexdigest() if email else None)
        assert row["location__city"] == users[identity]["location"]["city"]
    for name in ("companies", "conversations", "conversation_parts", "tags"):
        assert {row["id"] for row in mapped.rows(name)} == {
            str(row["id"]) for row in sandbox.truth(name)
        }

    bookmarks = json.loads(mapped.state.read_text())["bookmarks"]
    assert bookmarks["contacts"]["updated_at"]
    sandbox.options.clock_offset_seconds = 3600
    new = sandbox.workspace.add_contact(role="user", email="grace@example.com")
    code, log = mapped.run(**config)
    assert code == 0, log
    (sent,) = re.findall(r"contacts: (\d+) records?, complete", log)
    assert int(sent) < 10  # not all 60 again: a bookmark stays behind the start of its run
    assert new in {row["id"] for row in mapped.rows("people")}


def test_the_mapper_keeps_the_order_and_all_values(
    start_tap_on: Callable[[Workspace], Tap],
) -> None:
    """What it changes is in docs/operations.md: no other message and no value of any stream."""
    workspace = generate(seed=6, contacts=40, companies=10, conversations=12, parts=80, days=60)
    tap = start_tap_on(workspace)
    start = datetime.now(timezone.utc) - timedelta(days=60)
    catalog = selecting(tap.discover(), *(EVERY_STREAM.keys() - {"attachments"}))
    output = tap.sync(catalog=catalog, start_date=start.date().isoformat())
    assert output.code == 0, output.log
    config = tap.write("mapper.json", {"stream_maps": {}})
    command = [str(environment_bin("mapper") / "meltano-map-transform"), "--config", config]
    done = subprocess.run(command, input=output.stdout, stdout=subprocess.PIPE, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for message in (*output.messages, *found):
        message.pop("time_extracted", None)
        message.pop("bookmark_properties", None)
    assert found == output.messages
    assert {message["type"] for message in found} == {*KINDS}


def test_a_stream_that_a_mapper_drops_still_gets_its_version(
    start_tap_on: Callable[[Workspace], Tap],
) -> None:
    """So a target deletes the rows that it has, as docs/operations.md says."""
    workspace = Workspace()
    workspace.add_tag()
    tap = start_tap_on(workspace)
    config = tap.write("mapper.json", {"stream_maps": {"tags": None}})
    command = [str(environment_bin("mapper") / "meltano-map-transform"), "--config", config]
    output = tap.sync("tags")
    done = subprocess.run(command, input=output.stdout, stdout=subprocess.PIPE, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    schema, version = [message for message in found if message["type"] != "STATE"]
    assert (schema["type"], version["type"]) == ("SCHEMA", "ACTIVATE_VERSION")
    assert not schema.get("key_properties")


def test_a_mapper_with_a_wrong_configuration_is_named(mapped: Mapped) -> None:
    code, log = mapped.run(stream_maps={"contacts": {"email_hash": "no_such_function(email)"}})
    assert code == 6, log
    last = log.splitlines()[-1]
    assert "the mapper with 1, the target with 0; the mapper ended before it read" in last
    assert "last error of the mapper: " in last
    assert "no_such_function" in last
    assert not json.loads(mapped.state.read_text()).get("bookmarks")
    code, log = mapped.run(stream_maps={})
    assert code == 0, log
    assert len(mapped.rows("contacts")) == len(mapped.tap.sandbox.truth("contacts"))
