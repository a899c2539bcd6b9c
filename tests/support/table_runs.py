"""Runs over the tables beyond the core eleven, and what a target lacks after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import truth
from conftest import Output
from runs import NOW, Clock, Runs
from test_tables import expected_records as expected_table
from test_tables import key_of

from intercom_sandbox import Workspace
from tap_intercom.streams import STREAMS

HOUR = 3600
DAY = 24 * HOUR

Record = dict[str, Any]
Rows = dict[tuple[str, ...], Record]


def expected_rows(workspace: Workspace, name: str) -> Rows:
    """What the table must hold, by key."""
    if name not in truth.STREAMS:
        return expected_table(workspace, name)
    records = truth.expected_records(workspace, name).values()
    return {key_of(name, record): record for record in records}


class TableRuns(Runs):
    """Runs, and the rows that a target would have, by the keys of their tables."""

    def __init__(self, *how: Any, **settings: Any) -> None:
        super().__init__(*how, **settings)
        self.workspace = self.sandbox.workspace

    def take(self, output: Output) -> Output:
        """Go on from here; rows are found in the outputs."""
        self.outputs.append(output)
        if output.states:
            self.state = output.state
        return output

    def rows(self, name: str) -> Rows:
        """The rows that came in all runs; those of a full read alone, once it was whole."""
        found: dict[tuple[str, ...], tuple[Any, Record]] = {}
        for output in self.outputs:
            for message in output.messages:
                if message.get("stream") != name:
                    continue
                if message["type"] == "RECORD":
                    record = message["record"]
                    found[key_of(name, record)] = (message.get("version"), record)
                elif message["type"] == "ACTIVATE_VERSION":
                    found = {key: row for key, row in found.items() if row[0] == message["version"]}
        return {key: record for key, (_, record) in found.items()}

    def problems(self, *names: str, is_once: bool = False) -> Iterator[str]:
        """What of these tables is missing, wrong, or should have gone by now.

        is_once: whether no row may have come twice in the last run.
        """
        for name in names:
            arrived, schema = self.rows(name), self.outputs[-1].schema(name)
            expected = expected_rows(self.workspace, name)
            if not STREAMS[name].is_incremental:
                for key in arrived.keys() - expected.keys():
                    yield f"{name} {key} is no more, and was not taken away"
            for key, record in expected.items():
                if key not in arrived:
                    yield f"{name} {key} is missing"
                    continue
                row = dict(arrived[key])
                if name == "tickets":
                    del row["ticket_parts"]  # a table of their own in the truth
                for difference in truth.differences(record, row, schema):
                    yield f"{name} {key}: {difference}"
            if is_once:
                counts = Counter(key_of(name, row) for row in self.outputs[-1].records(name))
                for key, count in counts.items():
                    if count > 1:
                        yield f"{name} {key} came {count} times"

    def assert_nothing_is_lost(self, *names: str) -> None:
        """The last run ended well, and what a target holds is what the workspace holds."""
        assert self.outputs[-1].code == 0, self.outputs[-1].log
        assert list(self.problems(*names)) == []


class Making:
    """Makes the records of a workspace at instants of its own."""

    def __init__(self) -> None:
        self.workspace = Workspace()
        self.clock = Clock()
        self.workspace.clock = self.clock

    def at(self, instant: float) -> Workspace:
        self.clock.instant = instant
        return self.workspace


def of_every_kind(count: int = 5, last: int = NOW - HOUR, step: int = 10 * DAY) -> Workspace:
    """So many records of each kind, made one after the other, with all that comes with them.

    The last one was made at `last`, each other one `step` seconds before the next.
    """
    making = Making()
    workspace = making.workspace
    help_center = workspace.add_record("help_centers")
    connector = workspace.add_record("data_connectors", created_at=last - count * step)
    tag = workspace.add_tag(name="VIP")
    for number in range(count):
        instant = last - (count - 1 - number) * step
        making.at(instant)
        contact = workspace.add_contact(id=f"{number:024}", role="user", tags=[tag])
        for at in range(3):
            workspace.load_events(contact, [{"event_name": f"{at}", "created_at": instant + at}])
        company = workspace.add_company(id=f"{number:024}")
        for _ in range(3):
            workspace.add_contact_note(contact)
            workspace.add_company_note(company)
        workspace.attach_company(contact, company)
        workspace.tag_company(company, tag)
        conversation = workspace.add_conversation(id=str(number), contacts=[contact])
        for _ in range(3):
            workspace.add_side_conversation(conversation)
        workspace.add_call(conversation, [{"text": "Hello"}])
        workspace.add_fin_voice_call(conversation)
        ticket = workspace.add_ticket(id=str(1000 + number), contacts=[contact])
        workspace.add_ticket_part(ticket)
        article = workspace.add_record("articles", id=str(number), title=f"Article {number}")
        for _ in range(3):
            workspace.add_record("article_versions", article_id=article)
        workspace.add_record("article_statistics", article_id=article)
        workspace.add_record("redirects", help_center_id=help_center)
        for table in ("internal_articles", "macros", "brands", "activity_logs"):
            workspace.add_record(table)
        workspace.add_record("deleted_conversations", id=str(5000 + number))
        workspace.add_record("data_connector_executions", data_connector_id=connector)
    making.at(NOW)
    return workspace
