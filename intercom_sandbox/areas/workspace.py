"""The workspace itself: its hours, brands, addresses and teams, and who changed what."""

from __future__ import annotations

from intercom_sandbox.records import Record
from intercom_sandbox.resource import Resource, TimeFilter
from intercom_sandbox.resource_sample import DAY, Sample

_ACTIVITIES: tuple[tuple[str, str, Record], ...] = (
    ("admin_login_success", "logged in.", {"sign_in_method": "Google"}),
    ("app_name_change", "changed your app name from before to after.",
     {"before": "before", "after": "after"}),
    ("admin_away_mode_change", "switched on away mode.",
     {"away_mode": True, "away_status_reason": "Lunch", "reassign_conversations": False}),
    ("message_state_change", "changed a message from draft to live.",
     {"message": {"id": 123, "title": "Welcome"}, "before": "draft", "after": "live"}),
)  # fmt: skip
_WEEKDAYS = [
    {"start_minute": 1440 * day + 540, "end_minute": 1440 * day + 1020, "day_of_week": day}
    for day in range(5)
]


def _away_status_reasons(sample: Sample) -> None:
    for number, (label, emoji) in enumerate((("Lunch", "🍽️"), ("Meeting", "📅"), ("Ill", "🤒"))):
        times = sample.times(number, 3)
        sample.add("away_status_reasons", label=label, emoji=emoji, order=number + 1,
            deleted=number == 2, **times)  # fmt: skip


AWAY_STATUS_REASONS = Resource(
    "away_status_reasons",
    "/away_status_reasons",
    ("admins",),
    since=(2, 14),
    shape={
        "type": "away_status_reason",
        "id": "",
        "label": "",
        "emoji": "🍽️",
        "order": 1,
        "deleted": False,
    },
    sample=_away_status_reasons,
)


def _office_hours_schedules(sample: Sample) -> None:
    """Schedules with their exceptions."""
    for number, name in enumerate(("Support hours", "Always")):
        schedule_id = sample.add(
            "office_hours_schedules",
            name=name,
            twenty_four_seven=number == 1,
            time_intervals=[] if number else _WEEKDAYS,
            **sample.times(number, 2),
        )
        special = [{"start_minute": 540, "end_minute": 780, "day_of_week": 3}]
        for day in range(number, 2):
            sample.add(
                "office_hours_exceptions",
                office_hours_schedule_id=schedule_id,
                exception_date=f"2026-12-{25 - day}",
                exception_type="custom_hours" if day else "closed",
                name=None if day else "Christmas Day",
                time_intervals=special if day else None,
                recurring_annually=not day,
                **sample.times(day, 2),
            )


OFFICE_HOURS_SCHEDULES = Resource(
    "office_hours_schedules",
    "/office_hours_schedules",
    ("admins",),
    since=(2, 16),
    kind="office_hours_schedule.list",
    shape={
        "type": "office_hours_schedule",
        "id": "",
        "name": "",
        "time_zone_name": "America/Los_Angeles",
        "time_intervals": [],
        "twenty_four_seven": False,
    },
    sample=_office_hours_schedules,
)


OFFICE_HOURS_EXCEPTIONS = Resource(
    "office_hours_exceptions",
    "/office_hours_schedules/{id}/office_hours_exceptions",
    ("admins",),
    since=(2, 16),
    kind="office_hours_exception.list",
    parent="office_hours_schedules",
    parent_field="office_hours_schedule_id",
    shape={
        "type": "office_hours_exception",
        "id": "",
        "office_hours_schedule_id": "",
        "exception_date": "2026-12-25",
        "exception_type": "closed",
        "name": None,
        "time_intervals": None,
        "recurring_annually": False,
    },
)


def _brands(sample: Sample) -> None:
    """Brands, and an address of each."""
    default_id = sample.workspace.app["id_code"]
    for number, name in enumerate(("Default Brand", "Premium Brand")):
        brand_id = sample.add(
            "brands",
            name=name,
            is_default=number == 0,
            help_center_id=str(101 + number),
            default_address_settings_id=str(101 + number),
            **({"id": default_id} if number == 0 else {}),
            **sample.times(number, 2),
        )
        sample.add(
            "email_settings",
            email=f"support@brand{number + 1}.example.com",
            domain=f"brand{number + 1}.example.com",
            brand_id=brand_id,
            verified=number == 0,
            forwarding_enabled=number == 0,
            forwarded_email_last_received_at=None if number else sample.end - DAY,
            **sample.times(number, 2),
        )


BRANDS = Resource(
    "brands",
    "/brands",
    ("admins",),
    since=(2, 15),
    shape={
        "type": "brand",
        "id": "",
        "name": "",
        "is_default": False,
        "help_center_id": "",
        "default_address_settings_id": "",
    },
    sample=_brands,
)


EMAIL_SETTINGS = Resource(
    "email_settings",
    "/emails",
    ("admins",),
    since=(2, 15),
    shape={
        "type": "email_setting",
        "id": "",
        "email": "",
        "verified": True,
        "domain": "",
        "brand_id": "",
        "forwarding_enabled": False,
        "forwarded_email_last_received_at": None,
    },
)


def _ip_allowlist(sample: Sample) -> None:
    sample.workspace.update_record(
        "ip_allowlist",
        sample.workspace.app["id_code"],
        enabled=True,
        ip_allowlist=["192.0.2.0/24", "198.51.100.7"],
    )


IP_ALLOWLIST = Resource(
    "ip_allowlist",
    "/ip_allowlist",
    ("ip_allowlist",),
    since=(2, 14),
    paging="one_object",
    key=("workspace_id",),
    times=(),
    hidden=("workspace_id",),
    until=(2, 18),
    shape={
        "type": "ip_allowlist",
        "workspace_id": "",
        "enabled": False,
        "ip_allowlist": [],
    },
    built_in=({},),
    sample=_ip_allowlist,
)


def _team_metrics(sample: Sample) -> None:
    for team_id, team in sample.workspace.teams.items():
        for admin_id in map(str, team["admin_ids"]):
            opened = sample.chance.randint(0, 9)
            sample.add(
                "team_metrics",
                team_id=team_id,
                admin_id=admin_id,
                open=opened,
                idle=sample.chance.randint(0, opened),
                snoozed=sample.chance.randint(0, 4),
            )


TEAM_METRICS = Resource(
    "team_metrics",
    "/teams/{id}/metrics",
    ("admins",),
    since=(2, 16),
    kind="team_metric.list",
    key=("team_id", "admin_id"),
    times=(),
    hidden=("team_id",),
    parent="teams",
    parent_field="team_id",
    missing="team_not_found",
    shape={
        "type": "team_metric",
        "team_id": "",
        "admin_id": "",
        "open": 0,
        "idle": 0,
        "snoozed": 0,
    },
    sample=_team_metrics,
)


def _activity_log_event_types(sample: Sample) -> None:
    for event_type in sorted({activity for activity, _, _ in _ACTIVITIES}):
        sample.add("activity_log_event_types", event_type=event_type)


ACTIVITY_LOG_EVENT_TYPES = Resource(
    "activity_log_event_types",
    "/admins/activity_log_event_types",
    ("admins", "admin_activity_logs"),
    since=(2, 16),
    rows="event_types",
    kind="activity_log_event_type.list",
    key=("event_type",),
    times=(),
    only="event_type",
    shape={"event_type": ""},
    sample=_activity_log_event_types,
)


def _activity_logs(sample: Sample) -> None:
    for number in range(sample.count * 3):
        activity, description, metadata = _ACTIVITIES[number % len(_ACTIVITIES)]
        admin_id = sample.chance.choice(sample.admin_ids)
        admin = sample.workspace.admins.get(admin_id, {"name": "Somebody", "email": ""})
        sample.add(
            "activity_logs",
            created_at=sample.times(number, sample.count * 3)["updated_at"],
            activity_type=activity,
            activity_description=f"{admin['name']} {description}",
            performed_by={"type": "admin", "id": admin_id, "email": admin["email"],
                          "ip": f"203.0.113.{number % 250}"},
            metadata=metadata,
        )  # fmt: skip


ACTIVITY_LOGS = Resource(
    "activity_logs",
    "/admins/activity_logs",
    ("admins", "admin_activity_logs"),
    paging="numbers",
    sizes=(20, 250),
    rows="activity_logs",
    kind="activity_log.list",
    newest_first="created_at",
    is_counted=False,
    filters=(
        TimeFilter("created_at_after", "created_at", ">=", is_required=True),
        TimeFilter("created_at_before", "created_at", "<="),
    ),
    ids="uuid",
    times=("created_at",),
    shape={
        "id": "",
        "performed_by": {"type": "admin", "id": "7000001", "email": "", "ip": "127.0.0.1"},
        "metadata": {},
        "activity_type": "admin_login_success",
        "activity_description": "",
    },
    sample=_activity_logs,
)


RESOURCES = (
    AWAY_STATUS_REASONS,
    OFFICE_HOURS_SCHEDULES,
    OFFICE_HOURS_EXCEPTIONS,
    BRANDS,
    EMAIL_SETTINGS,
    IP_ALLOWLIST,
    TEAM_METRICS,
    ACTIVITY_LOG_EVENT_TYPES,
    ACTIVITY_LOGS,
)
