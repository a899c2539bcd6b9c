"""What is around conversations: calls, macros, and those that are gone."""

from __future__ import annotations

from intercom_sandbox.details import iso
from intercom_sandbox.records import Record
from intercom_sandbox.resource import Asked, Resource, TimeFilter
from intercom_sandbox.resource_sample import Sample, spread
from intercom_sandbox.versions import PREVIEW


def _calls(sample: Sample) -> None:
    conversation_ids = list(sample.workspace.conversations.texts)
    contact_ids = list(sample.workspace.contacts.texts)
    for number in range(sample.count * 3):
        times = sample.times(number, sample.count * 3)
        ended_at, answered_at = times["updated_at"], times["updated_at"] - 300
        is_missed = number % 4 == 3
        moments: dict[str, int | None] = {
            "initiated_at": answered_at - 20,
            "answered_at": None if is_missed else answered_at,
            "ended_at": ended_at,
            "created_at": answered_at - 20,
            "updated_at": ended_at,
        }
        # Both kinds of times occur.
        written: Record = dict(moments)
        if number % 2:
            written = {name: at and iso(at) for name, at in moments.items()}
        conversation_id = sample.chance.choice(conversation_ids or [None])
        url = f"https://api.intercom.io/calls/{101 + number}"
        sample.add(
            "calls",
            conversation_id=conversation_id,
            admin_id=None if is_missed else sample.chance.choice(sample.admin_ids),
            contact_id=sample.chance.choice(contact_ids or [None]),
            direction="outbound" if number % 3 == 0 else "inbound",
            ended_reason="missed" if is_missed else "completed",
            phone=sample.maybe("+14155550123"),
            recording_url=None if is_missed else f"{url}/recording",
            transcription_url=None if is_missed else f"{url}/transcript",
            fin_recording_url=sample.maybe(f"{url}/fin_recording", 0.1),
            fin_transcription_url=sample.maybe(f"{url}/fin_transcript", 0.1),
            duration=320,
            talk_time=None if is_missed else 300,
            queue_time=15,
            hold_time=number if number % 3 else None,
            **written,
        )


CALLS = Resource(
    "calls",
    "/calls",
    ("conversations",),
    since=(2, 14),
    paging="numbers",
    sizes=(25, 25),
    shape={
        "type": "call",
        "id": "",
        "conversation_id": None,
        "admin_id": None,
        "contact_id": None,
        "state": "ended",
        "initiated_at": None,
        "answered_at": None,
        "ended_at": None,
        "recording_url": None,
        "transcription_url": None,
        "call_type": "phone",
        "direction": "inbound",
        "ended_reason": None,
        "phone": None,
        "fin_recording_url": None,
        "fin_transcription_url": None,
        "duration": None,
        "talk_time": None,
        "queue_time": None,
        "hold_time": None,
    },
    newer=dict.fromkeys(("duration", "talk_time", "queue_time", "hold_time"), PREVIEW),
    sample=_calls,
)


def _macros(sample: Sample) -> None:
    team_ids = list(sample.workspace.teams)
    for number in range(sample.count):
        some_teams = team_ids[:2] if number % 4 == 1 else []
        sample.add(
            "macros",
            name=sample.title(number),
            body='<p>Hi <attribute key="user.name" default="there"/>, see our guide.</p>',
            body_text='Hi {{user.name|fallback:"there"}}, see our guide.',
            visible_to="specific_teams" if some_teams else "everyone",
            visible_to_team_ids=some_teams,
            available_on=["inbox", "messenger"][: 1 + number % 2],
            **sample.times(number),
        )


MACROS = Resource(
    "macros",
    "/macros",
    ("conversations",),
    since=(2, 16),
    paging="cursor",
    sizes=(50, 150),
    newest_first="updated_at",
    times_in="iso_milliseconds",
    filters=(TimeFilter("updated_since", "updated_at", ">"),),
    shape={
        "type": "macro",
        "id": "",
        "name": "",
        "body": "",
        "body_text": "",
        "visible_to": "everyone",
        "visible_to_team_ids": [],
        "available_on": ["inbox"],
    },
    sample=_macros,
)


def _deleted_conversations(sample: Sample) -> None:
    for number in range(sample.count):
        sample.add(
            "deleted_conversations",
            id=str(215_460_000 + number),
            metrics_retained=number % 3 != 0,
            deleted_at=sample.times(number)["updated_at"],
        )


def _listed_as_deleted(asked: Asked) -> list[Record]:
    records = asked.kept("deleted_conversations")
    if asked.options.deleted_tickets_listed:
        records += asked.kept("deleted_tickets")
    if asked.options.sort_honoured:
        records.sort(key=lambda each: (each["deleted_at"], each["id"]), reverse=True)
    return records


_DELETED: Record = {"type": "conversation", "id": "", "metrics_retained": True}
DELETED_CONVERSATIONS = Resource(
    "deleted_conversations",
    "/conversations/deleted",
    ("conversations",),
    since=(2, 16),
    paging="numbers",
    sizes=(20, 60),
    rows="conversations",
    kind="conversations.list",
    newest_first="deleted_at",
    times=("deleted_at",),
    is_reversible=True,
    shape=_DELETED,
    choose=_listed_as_deleted,
    sample=_deleted_conversations,
)
DELETED_TICKETS = Resource("deleted_tickets", "", times=("deleted_at",), shape=_DELETED)


def _sla_rules(sample: Sample) -> None:
    for number, name in enumerate(("First reply", "Old rule")):
        times = spread(sample, number, 2)
        is_old = number == 1
        sample.add(
            "sla_rules",
            name=name,
            archived=is_old,
            archived_at=times["updated_at"] if is_old else None,
            first_reply_time_in_seconds=3600,
            next_reply_time_in_seconds=None if is_old else 7200,
            time_to_close_in_seconds=None if is_old else 172_800,
            resolution_time_in_seconds=86_400 if is_old else None,
            speed_of_answer_in_seconds=60 if is_old else None,
            **times,
        )


SLA_RULES = Resource(
    "sla_rules",
    "/sla_rules",
    ("conversations",),
    since=PREVIEW,
    kind="sla_rule.list",
    shape={
        "type": "sla_rule",
        "id": "",
        "name": "",
        "archived": False,
        "archived_at": None,
        "first_reply_time_in_seconds": None,
        "next_reply_time_in_seconds": None,
        "time_to_close_in_seconds": None,
        "resolution_time_in_seconds": None,
        "speed_of_answer_in_seconds": None,
    },
    sample=_sla_rules,
)


RESOURCES = (
    CALLS,
    MACROS,
    DELETED_CONVERSATIONS,
    DELETED_TICKETS,
    SLA_RULES,
)
