"""Twelve weeks of a support team: what scripts/support_charts.py draws. The same on each day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from intercom_sandbox import Workspace

FIRST_MONDAY = datetime(2026, 4, 6, tzinfo=timezone.utc)
WEEKS = 12
A_WEEK = timedelta(weeks=1)
# When all of it is over; the sandbox's clock stands still there.
END = FIRST_MONDAY + (WEEKS + 1) * A_WEEK
SEED = 20_260_406


class Team(NamedTuple):
    """What is special about a team; minutes: until a teammate on duty answers, at the median."""

    name: str
    minutes: float
    share: float
    busy_weeks: range


class Teammate(NamedTuple):
    name: str
    team: str
    first_hour: int
    last_hour: int


TEAMS = (
    Team("Support", 12, 0.55, range(6, 8)),
    Team("Billing", 35, 0.25, range(3, 5)),
    Team("Onboarding", 22, 0.20, range(0)),
)
TEAMMATES = (
    Teammate("Ada Berger", "Support", 6, 13),
    Teammate("Bilal Khan", "Support", 9, 16),
    Teammate("Chen Wei", "Support", 14, 21),
    Teammate("Dora Silva", "Billing", 8, 15),
    Teammate("Emeka Obi", "Billing", 12, 19),
    Teammate("Freya Lund", "Onboarding", 7, 14),
    Teammate("Goro Ito", "Onboarding", 13, 20),
)
A_BUSY_WEEK = 2.6
REOPENED = 0.09
AFTER_A_RELEASE = {7: 0.24, 8: 0.17}
# How many contacts write in each hour of the day, relative to each other.
BY_HOUR = (1, 1, 1, 1, 2, 3, 5, 8, 11, 13, 13, 12, 10, 11, 12, 12, 10, 8, 6, 5, 4, 3, 2, 1)
BY_WEEKDAY = (11, 11, 10, 10, 9, 2, 2)


def support_workspace() -> Workspace:
    """A workspace with these teams, and conversations that contacts began in these weeks."""
    return _Sample().workspace


class _Sample:
    def __init__(self) -> None:
        self.workspace = Workspace()
        self.chance = random.Random(SEED)
        self.admins = {
            each.name: self.workspace.add_admin(
                name=each.name, email=f"teammate{number}@example.com"
            )
            for number, each in enumerate(TEAMMATES)
        }
        self.teams = {
            team.name: self.workspace.add_team(
                name=team.name,
                admin_ids=[
                    int(self.admins[each.name]) for each in TEAMMATES if each.team == team.name
                ],
            )
            for team in TEAMS
        }
        self.contacts = [
            self.workspace.add_contact(
                role="user", email=f"person{number}@example.com", created_at=_seconds(FIRST_MONDAY)
            )
            for number in range(60)
        ]
        for week in range(WEEKS):
            for _ in range(38 + self.chance.randint(0, 9)):
                self.conversation(week)

    def conversation(self, week: int) -> None:
        chance = self.chance
        began = FIRST_MONDAY + week * A_WEEK
        began += timedelta(
            days=chance.choices(range(7), BY_WEEKDAY)[0],
            hours=chance.choices(range(24), BY_HOUR)[0],
            seconds=chance.randrange(3600),
        )
        (team,) = chance.choices(TEAMS, [each.share for each in TEAMS])
        contact = {"type": "user", "id": chance.choice(self.contacts), "name": "", "email": ""}
        parts = list(self.parts(team, week, began, contact))
        conversation_id = self.workspace.add_conversation(
            created_at=_seconds(began),
            updated_at=max([_seconds(began), *(each["created_at"] for each in parts)]),
            team_assignee_id=int(self.teams[team.name]),
            contacts=[contact["id"]],
            state="closed" if parts[-1]["part_type"] == "close" else "open",
            open=parts[-1]["part_type"] != "close",
            source={"type": "conversation", "body": "<p>A question</p>", "author": contact},
        )
        self.workspace.load_parts(conversation_id, parts)

    def parts(
        self, team: Team, week: int, began: datetime, contact: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        chance = self.chance
        minutes = team.minutes * (A_BUSY_WEEK if week in team.busy_weeks else 1)
        at, admin = self.on_duty(team, began, minutes)
        yield _part("comment", at, admin, "<p>An answer</p>")
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            at += timedelta(minutes=chance.lognormvariate(3, 0.8))
            yield _part("comment", at, contact, "<p>One more question</p>")
            at, admin = self.on_duty(team, at, minutes)
            yield _part("comment", at, admin, "<p>Another answer</p>")
        if chance.random() < 0.1:
            return
        at += timedelta(minutes=chance.lognormvariate(3, 0.8))
        yield _part("close", at, admin)
        if chance.random() < AFTER_A_RELEASE.get(week, REOPENED):
            at += timedelta(hours=chance.uniform(1, 30))
            yield _part("open", at, contact, "<p>It is back</p>")
            at, admin = self.on_duty(team, at, minutes)
            yield _part("comment", at, admin, "<p>Solved for good</p>")
            yield _part("close", at + timedelta(minutes=1), admin)

    def on_duty(self, team: Team, at: datetime, minutes: float) -> tuple[datetime, dict[str, Any]]:
        """When a teammate of the team answers, and who; nobody does at night and on Sundays."""
        at += timedelta(minutes=minutes * self.chance.lognormvariate(0, 0.6))
        while True:
            present = [
                each
                for each in TEAMMATES
                if each.team == team.name and each.first_hour <= at.hour <= each.last_hour
            ]
            if present and at.weekday() < 6:
                name = self.chance.choice(present).name
                who = {"type": "admin", "id": self.admins[name], "name": name, "email": ""}
                return at, who
            at += timedelta(minutes=self.chance.uniform(20, 40))


def _part(
    kind: str, at: datetime, author: dict[str, Any], body: str | None = None
) -> dict[str, Any]:
    seconds = _seconds(at)
    times = {"created_at": seconds, "updated_at": seconds}
    return {"part_type": kind, "author": author, "body": body, **times}


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
