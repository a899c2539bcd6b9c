"""Figures that repeat what other records say, such as counts and times of first replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from .records import Record

if TYPE_CHECKING:
    from .workspace import Workspace

_REPLIES = frozenset({"comment", "quick_reply"})
_ASSIGNMENTS = frozenset({"assignment", "assign_and_reopen"})
_REOPENINGS = frozenset({"open", "assign_and_reopen"})
_CONTACTS = frozenset({"user", "lead", "contact"})


def conversation_statistics(
    conversation: Record, parts: Sequence[Record], team_name: str | None, pauses: Sequence[Record]
) -> Record:
    """Return what the statistics of a conversation say about its parts.

    The first message is a contact's, and not among the parts. The sandbox has no office hours, so
    times count every hour.

    team_name: the name of the assigned team. pauses: the handling events.
    """
    start = conversation["created_at"]
    by_admin = _times(parts, _REPLIES, {"admin"})
    by_contact = [start, *_times(parts, _REPLIES, _CONTACTS)]
    assignments = _times(parts, _ASSIGNMENTS)
    closes = [each for each in parts if each["part_type"] == "close"]
    closed = _times(closes, {"close"})
    before_reply = [each for each in assignments if not by_admin or each <= by_admin[0]]
    since_assignment = [each for each in by_admin if assignments and each >= assignments[-1]]
    is_handled = bool(closed and assignments and closed[-1] >= assignments[0])
    handling_time = closed[-1] - assignments[0] if is_handled else None
    responses = [
        {
            "team_id": conversation["team_assignee_id"],
            "team_name": team_name,
            "response_time": each - start,
        }
        for each in by_admin[:1]
        if conversation["team_assignee_id"]
    ]
    return {
        "time_to_assignment": before_reply[-1] - start if before_reply else None,
        "time_to_admin_reply": by_admin[0] - start if by_admin else None,
        "time_to_first_close": closed[0] - start if closed else None,
        "time_to_last_close": closed[-1] - start if closed else None,
        "median_time_to_reply": _median_wait(by_contact, by_admin),
        "first_contact_reply_at": start,
        "first_assignment_at": _first(assignments),
        "first_admin_reply_at": _first(by_admin),
        "first_close_at": _first(closed),
        "last_assignment_at": _last(assignments),
        "last_assignment_admin_reply_at": _first(since_assignment),
        "last_contact_reply_at": _last(by_contact),
        "last_admin_reply_at": _last(by_admin),
        "last_close_at": _last(closed),
        "last_closed_by_id": closes[-1]["author"]["id"] if closes else None,
        "count_reopens": len(_times(parts, _REOPENINGS)),
        "count_assignments": len(assignments),
        "count_conversation_parts": len(parts),
        "assigned_team_first_response_time": responses,
        "assigned_team_first_response_time_in_office_hours": responses,
        "handling_time": handling_time,
        "adjusted_handling_time": None
        if handling_time is None
        else max(handling_time - _paused_seconds(pauses), 0),
    }


def _paused_seconds(events: Sequence[Record]) -> int:
    """Return how long a teammate paused, from handling events in the order of time."""
    seconds, paused_at = 0.0, None
    for each in events:
        instant = datetime.fromisoformat(each["timestamp"].replace("Z", "+00:00")).timestamp()
        if each["type"] == "paused":
            paused_at = instant
        elif paused_at is not None:
            seconds, paused_at = seconds + instant - paused_at, None
    return int(seconds)


def _times(
    parts: Iterable[Record], kinds: Iterable[str], authors: Iterable[str] | None = None
) -> list[int]:
    """Return when parts of these kinds were created, oldest first."""
    return sorted(
        each["created_at"]
        for each in parts
        if each["part_type"] in kinds and (authors is None or each["author"]["type"] in authors)
    )


def _first(times: Sequence[int]) -> int | None:
    return times[0] if times else None


def _last(times: Sequence[int]) -> int | None:
    return times[-1] if times else None


def _median_wait(asked: Sequence[int], answered: Sequence[int]) -> int | None:
    """Return the median time from a message of a contact to the next reply."""
    waits = [
        min(answer - question for answer in answered if answer >= question)
        for question in asked
        if answered and answered[-1] >= question
    ]
    return int(median(waits)) if waits else None


def count_members(workspace: Workspace, **fields: int) -> list[str]:
    """Set the counts of users of companies and of members of segments.

    fields: what else to set in companies whose count changes. Returns their ids.
    """
    users: Counter[str] = Counter()
    members: Counter[str] = Counter()
    for contact_id in workspace.contacts.texts:
        users.update(workspace.nested_ids(contact_id, "companies"))
        members.update(workspace.contact_segment_ids.get(contact_id, ()))
    changed = []
    for company in workspace.companies.records():
        segments = (company.get("segments") or {}).get("segments", ())
        members.update(each["id"] for each in segments)
        if company["user_count"] != users[company["id"]]:
            changed.append(company["id"])
    for company_id in changed:
        company = workspace.companies.get(company_id)
        workspace.companies.put(company | {"user_count": users[company_id]} | fields)
    for table in (workspace.segments, workspace.company_segments):
        for segment_id, segment in table.items():
            table[segment_id] = segment | {"count": members[segment_id]}
    return changed


def join_teams(workspace: Workspace) -> None:
    """Make each admin name the teams that name the admin."""
    teams: dict[str, list[int]] = {admin_id: [] for admin_id in workspace.admins}
    for team in workspace.teams.values():
        for admin_id in team["admin_ids"]:
            teams.setdefault(str(admin_id), []).append(int(team["id"]))
    for admin_id, admin in workspace.admins.items():
        if sorted(admin["team_ids"]) != sorted(teams[admin_id]):
            workspace.admins[admin_id] = admin | {"team_ids": teams[admin_id]}
