"""The workspace itself: its people, words, hours and settings, and who changed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tap_intercom.errors import ContractError
from tap_intercom.intercom.client import BARE, Answer
from tap_intercom.intercom.pages import ByCursor, Numbered
from tap_intercom.reading.children import ChildStream, Parent
from tap_intercom.reading.lists import ListStream, one_object
from tap_intercom.reading.nested import NestedList
from tap_intercom.reading.passes import read_until_whole
from tap_intercom.reading.stream import EmbeddedStream, Probe, list_of
from tap_intercom.reading.stream_run import Batch, Record, StreamRun
from tap_intercom.settings import Settings
from tap_intercom.times import DAY_SECONDS
from tap_intercom.versions import LAST
from tap_intercom.windows import Window, spans

READ_ADMINS = "Read admins"
NOT_DOCUMENTED = "not documented"
NOT_DOCUMENTED_AGE = "old entries, whose age limit is not documented"
WINDOW_OF_LOGS = 30 * DAY_SECONDS
WINDOWS_AT_ONCE = 6


TEAM_ADMINS = NestedList("admin_ids", is_bare=True)


class CurrentWorkspace(ListStream):
    """Source: GET /me."""

    summary = "One record per workspace of the token."
    name = "workspace"
    path = "/me"
    records_key = "app"
    permission = "none"
    key_properties = ("id_code",)
    parse_response = one_object


class Admins(ListStream):
    """Source: GET /admins."""

    summary = "One record per teammate with access to the workspace, including its bot."
    name = "admins"
    path = "/admins"
    records_key = "admins"
    permission = READ_ADMINS
    is_selected_by_default = True
    params = {"display_avatar": "true"}

    def post_process(self, record: Record) -> Record:
        # A URL in most versions, an object in others (API-A3).
        avatar = record.get("avatar")
        if isinstance(avatar, str):
            record["avatar"] = {"image_url": avatar}
        return record


class Roles(ListStream):
    """Source: GET /roles."""

    summary = "One record per role that a teammate may have."
    name = "roles"
    path = "/roles"
    permission = NOT_DOCUMENTED
    first_version = (2, 18)


class TeamAdmin(EmbeddedStream):
    """Source: GET /teams."""

    summary = "One record per teammate in each team."
    name = "team_admin"
    permission = READ_ADMINS
    key_properties = ("team_id", "admin_id")
    from_parent = {"team_id": "id"}
    nested_list = TEAM_ADMINS
    select = {"admin_id": "id"}


class TeamMetrics(ChildStream):
    """Source: GET /teams/{id}/metrics."""

    summary = (
        "One record per teammate in each team and run, with the current number of conversations."
    )
    name = "team_metrics"
    path = "/teams/{id}/metrics"
    permission = READ_ADMINS
    request_cost = "1 per team"
    first_version = (2, 16)
    not_sent_again = "the counts of earlier runs"
    key_properties = ("team_id", "admin_id", "measured_at")
    replication_key = "measured_at"
    from_parent = {"team_id": "id"}

    def child_records(self, run: StreamRun, parent: Parent, answer: Answer) -> list[Record]:
        found = super().child_records(run, parent, answer)
        for record in found:
            record["measured_at"] = run.origin.now
        return found


class Teams(ListStream):
    """Source: GET /teams."""

    summary = "One record per team."
    name = "teams"
    path = "/teams"
    records_key = "teams"
    permission = READ_ADMINS
    is_selected_by_default = True
    lists = (TEAM_ADMINS,)
    embedded = (TeamAdmin(),)
    children = (TeamMetrics(),)


class Tags(ListStream):
    """Source: GET /tags."""

    summary = "One record per tag."
    name = "tags"
    path = "/tags"
    permission = "Read tags"
    is_selected_by_default = True


class ActivityLogs(ListStream):
    """Source: GET /admins/activity_logs."""

    summary = "One record per change that a teammate made."
    name = "activity_logs"
    path = "/admins/activity_logs"
    records_key = "activity_logs"
    permission = "Read admin activity logs"
    request_cost = "1 per 250 new entries, and 1 per 30 days"
    replication_key = "created_at"
    instant_field = "created_at"
    is_append_only = True
    not_sent_again = NOT_DOCUMENTED_AGE
    paging = Numbered(250)

    def probe(self, settings: Settings) -> Probe:
        return Probe(self.path, {"created_at_after": str(settings.start_date), "per_page": 1})

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Read windows of 30 days: pages over a long time would keep moving during the read."""
        wanted = {name: plan.windows for name, plan in run.plans.items()}
        start, limit = run.origin.start_date, run.origin.limit
        windows = [each.window for each in spans(wanted, range(start, limit, WINDOW_OF_LOGS))]
        reads = [partial(self._read_window, run, window) for window in windows]
        for batches in run.ahead.run(reads, WINDOWS_AT_ONCE):
            yield from batches

    def _read_window(self, run: StreamRun, window: Window) -> Iterator[Batch]:
        yield from self.read_list(run, partial(self._get, run, window), self.path)
        limit = run.origin.limit
        yield Batch(reached={self.name: limit if window.end is None else window.end})

    @staticmethod
    def _get(run: StreamRun, window: Window, path: str, params: Mapping[str, Any]) -> Answer:
        # A bound may or may not be included: one second more, whose entries may repeat.
        bounds = {"created_at_after": str(max(window.start - 1, 0))}
        if window.end is not None:
            bounds["created_at_before"] = str(window.end)
        return run.client.get(path, {**bounds, **params})


class ActivityLogEventTypes(ListStream):
    """Source: GET /admins/activity_log_event_types."""

    summary = "One record per kind of change in activity logs."
    name = "activity_log_event_types"
    path = "/admins/activity_log_event_types"
    permission = READ_ADMINS
    first_version = (2, 16)
    key_properties = ("event_type",)

    def parse_response(self, answer: Answer) -> list[Record]:
        found = answer.body.get("event_types")
        if not isinstance(found, list):
            raise ContractError(f"{self.path}: the answer has no list 'event_types'")
        return [{"event_type": each} for each in found]


class AwayStatusReasons(ListStream):
    """Source: GET /away_status_reasons."""

    summary = "One record per reason to be away, including deleted ones."
    name = "away_status_reasons"
    path = "/away_status_reasons"
    permission = READ_ADMINS
    first_version = (2, 14)

    def parse_response(self, answer: Answer) -> list[Record]:
        # A bare list in earlier versions (API-F1).
        return list_of(answer.body, BARE if BARE in answer.body else self.records_key, self.path)


class OfficeHoursExceptions(ChildStream):
    """Source: GET /office_hours_schedules/{id}/office_hours_exceptions."""

    summary = "One record per exception of each office hours schedule."
    name = "office_hours_exceptions"
    path = "/office_hours_schedules/{id}/office_hours_exceptions"
    permission = NOT_DOCUMENTED
    request_cost = "1 per schedule"
    first_version = (2, 16)
    from_parent = {"office_hours_schedule_id": "id"}


class OfficeHoursSchedules(ListStream):
    """Source: GET /office_hours_schedules."""

    summary = "One record per office hours schedule."
    name = "office_hours_schedules"
    path = "/office_hours_schedules"
    permission = NOT_DOCUMENTED
    first_version = (2, 16)
    children = (OfficeHoursExceptions(),)


class Brands(ListStream):
    """Source: GET /brands."""

    summary = "One record per brand."
    name = "brands"
    path = "/brands"
    permission = NOT_DOCUMENTED
    first_version = (2, 15)


class EmailSettings(ListStream):
    """Source: GET /emails."""

    summary = "One record per address that the workspace sends from."
    name = "email_settings"
    path = "/emails"
    permission = NOT_DOCUMENTED
    first_version = (2, 15)


class DataConnectorExecutions(ChildStream):
    """Source: GET /data_connectors/{id}/execution_results."""

    summary = "One record per call that a data connector made."
    name = "data_connector_executions"
    path = "/data_connectors/{id}/execution_results"
    permission = NOT_DOCUMENTED
    request_cost = "1 per connector and 30 new calls"
    first_version = (2, 16)
    replication_key = "created_at"
    from_parent = {"data_connector_id": "id"}
    instant_field = "created_at"
    is_append_only = True
    not_sent_again = NOT_DOCUMENTED_AGE
    paging = ByCursor(30)
    follows_parent = False

    def pages(self, run: StreamRun, parent: Parent) -> Iterator[Batch]:
        # Without bounds, Intercom returns only the last hour.
        for window in run.plans[self.name].windows:
            params = {
                "include_bodies": "true",
                "start_ts": max(window.start - 1, 0),
                "end_ts": (window.end or run.origin.now) + 1,
            }
            path = self.path.format(id=parent.id)
            for answer, _ in read_until_whole(run, self, run.client.get, path, self.paging, params):
                yield self.read_answer(run, parent, answer)


class DataConnectors(ListStream):
    """Source: GET /data_connectors."""

    summary = "One record per data connector."
    name = "data_connectors"
    path = "/data_connectors"
    permission = NOT_DOCUMENTED
    request_cost = "1 per 50 connectors"
    first_version = (2, 16)
    paging = ByCursor(50)
    children = (DataConnectorExecutions(),)


class IpAllowlist(ListStream):
    """Source: GET /ip_allowlist."""

    summary = "One record per workspace, with the addresses that may use it."
    name = "ip_allowlist"
    path = "/ip_allowlist"
    records_key = ""
    permission = "IP allowlist"
    first_version = (2, 14)
    # Every numbered version has it, Preview does not (API-L2).
    last_version = LAST
    key_properties = ("workspace_id",)
    parse_response = one_object

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        if run.workspace_id is None:
            raise ContractError(f"/me returns no workspace id, which {self.name} needs")
        answer = run.client.get(self.path)
        row = {"workspace_id": run.workspace_id}
        yield run.render(
            self.name, answer, lambda answer: [each | row for each in self.parse_response(answer)]
        )


STREAMS = (
    ActivityLogEventTypes(),
    ActivityLogs(),
    Admins(),
    AwayStatusReasons(),
    Brands(),
    CurrentWorkspace(),
    DataConnectors(),
    EmailSettings(),
    IpAllowlist(),
    OfficeHoursSchedules(),
    Roles(),
    Tags(),
    Teams(),
)
