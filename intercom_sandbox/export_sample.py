"""Sample rows of exports: messages with their events, and datasets of reporting."""

from __future__ import annotations

import random
from typing import Any

from .workspace import Workspace

_DAY = 86_400
_CONTENTS = (
    ("email", "Welcome to the team"),
    ("post", "What is new in March"),
    ("tour", "Your first project"),
    ("survey", "How are we doing?"),
    ("chat", "Do you need a hand?"),
)
_SERIES = (("-1", ""), ("301", "Onboarding"), ("302", "Winning back"))
# The time column of each kind of event, and how often it happens to a message.
_EVENTS = (
    ("open", "opened_at", 0.6),
    ("reply", "replied_at", 0.2),
    ("dismissal", "dismissed_at", 0.1),
    ("series_completion", "completed_at", 0.1),
    ("series_disengagement", "disengaged_at", 0.1),
    ("series_exit", "exited_at", 0.1),
    ("goal_success", "goal_hit_at", 0.1),
    ("reaction", "reacted_at", 0.1),
    ("hard_bounce", "hard_bounced_at", 0.1),
    ("soft_bounce", "soft_bounced_at", 0.1),
    ("unsubscribe", "unsubscribed_at", 0.1),
    ("fin_step_reached", "involved_at", 0.1),
)
_FIRST = {
    "open": "first_open",
    "reply": "first_reply",
    "dismissal": "first_dismissal",
    "reaction": "first_reaction",
    "unsubscribe": "first_unsubscribe",
    "hard_bounce": "first_hard_bounce",
    "soft_bounce": "first_soft_bounce",
    "goal_success": "first_goal_success",
}
_QUESTIONS = ("How satisfied are you, all in all?", 'What does "easy" mean to you?\nPlease tell.')


def add_export_rows(workspace: Workspace, seed: int, count: int, end: int, span: int) -> None:
    """Add `count` messages, sent evenly over the `span` seconds before `end`."""
    _Making(workspace, random.Random(f"exports {seed}"), end).messages(count, span)


_CONVERSATION = (
    "conversation.conversation_id",
    "timestamp.conversation_started_at",
    "conversation.channel",
    "conversation.conversation_handling_time",
    # Custom attributes of a contact and a conversation with the same name.
    "people.Plan",
    "conversation.Plan",
)
_TIME_IN_STATE = (
    "ticket.ticket_time_in_state",
    "timestamp.ticket_created_at",
    "standard.current_ticket_state_category",
)


def add_datasets(workspace: Workspace, seed: int, count: int, end: int, span: int) -> None:
    """Add two datasets of `count` rows, spread evenly over the `span` seconds before `end`."""
    chance = random.Random(f"datasets {seed}")
    workspace.add_dataset("conversation", "conversation_started_at", _CONVERSATION)
    workspace.add_dataset("ticket_time_in_state", "ticket_created_at", _TIME_IN_STATE)
    for number in range(count):
        at = end - span + (2 * number + 1) * span // (2 * count)
        plans = [chance.choice(("free", "team", None)) for _ in range(2)]
        values = (215_480_000 + number, at, "email", chance.randint(10, 9_000), *plans)
        row = dict(zip(_CONVERSATION, values, strict=True))
        workspace.add_dataset_row("conversation", row)
        values_of_ticket = (chance.randint(10, 9_000), at, chance.choice(("open", "waiting")))
        row = dict(zip(_TIME_IN_STATE, values_of_ticket, strict=True))
        workspace.add_dataset_row("ticket_time_in_state", row)


class _Making:
    def __init__(self, workspace: Workspace, chance: random.Random, end: int) -> None:
        self.workspace = workspace
        self.chance = chance
        self.end = end
        self.people = [workspace.contact(each) for each in sorted(workspace.contacts.texts)]

    def messages(self, count: int, span: int) -> None:
        for number in range(count):
            self.message(number, self.end - span + (2 * number + 1) * span // (2 * count))
        for number, (kind, title) in enumerate(_CONTENTS):
            self.overview(number, kind, title, span)

    def message(self, number: int, sent_at: int) -> None:
        content = number % len(_CONTENTS)
        kind, title = _CONTENTS[content]
        series_id, series_title = self.chance.choice(_SERIES)
        person = self.chance.choice(self.people) if self.people else {"id": f"nobody{number}"}
        who = {
            "user_id": person["id"],
            "user_external_id": person.get("external_id"),
            "company_id": "-1",
            "name": person.get("name"),
            "email": person.get("email"),
            "created_via": "ui",
        }
        receipt: dict[str, Any] = {
            **who,
            "ruleset_id": str(8000 + content),
            "content_id": str(9000 + content),
            "content_type": kind,
            "content_title": title,
            "ruleset_version_id": str(9500 + content),
            "receipt_id": str(700_000_000 + number),
            "received_at": sent_at,
            "series_id": series_id,
            "series_title": series_title or None,
        }
        of_receipt = {"receipt_id": receipt["receipt_id"]}
        for place, (group, column, share) in enumerate(_EVENTS):
            # Even a small sample has one of each.
            if self.chance.random() < share or number % len(_EVENTS) == place:
                at = self.later(sent_at)
                extra = {"reaction": "thumbs_up"} if group == "reaction" else {}
                self.workspace.add_export_row(group, sent_at, **of_receipt, **{column: at}, **extra)
                if group in _FIRST:
                    receipt[_FIRST[group]] = at
        for click in range(self.chance.choice((0, 0, 1, 2))):
            at = self.later(sent_at)
            url = f"https://example.com/docs?page={click}&from=mail"
            self.workspace.add_export_row(
                "click", sent_at, **of_receipt, clicked_at=at, link_type="link", url=url
            )
            receipt["first_click"] = min(at, receipt.get("first_click", at))
        if kind == "tour":
            self.tour(of_receipt, sent_at)
        if kind == "survey":
            self.survey(of_receipt, who, sent_at)
        if series_title:
            self.checkpoint(number, person["id"], sent_at)
        self.workspace.add_export_row("receipt", sent_at, **receipt)

    def later(self, sent_at: int) -> int:
        return min(sent_at + int(self.chance.expovariate(1 / (2 * _DAY))), self.end)

    def tour(self, of_receipt: dict[str, Any], sent_at: int) -> None:
        add = self.workspace.add_export_row
        for step in ("41", "42"):
            add("tour_step_view", sent_at, **of_receipt, step_id=step, viewed_at=sent_at)
        add(
            "tour_step_failure",
            sent_at,
            **of_receipt,
            step_id="43",
            failed_selector=".button, .link",
            failure_url="https://example.com/app",
            failed_at=sent_at,
        )
        add("completion", sent_at, **of_receipt, completed_at=self.later(sent_at))

    def survey(self, of_receipt: dict[str, Any], who: dict[str, Any], sent_at: int) -> None:
        at = self.later(sent_at)
        answers = [str(self.chance.randint(1, 5)), 'Fewer clicks, "and" no forms']
        for number, question in enumerate(_QUESTIONS):
            self.workspace.add_export_row(
                "answer",
                sent_at,
                **of_receipt,
                answered_at=at,
                question_id=str(60 + number),
                question=question,
                response_type="text",
                response=answers[number],
            )
        self.workspace.add_export_row(
            "answer_combined",
            sent_at,
            **of_receipt,
            **who,
            received_at=sent_at,
            completed_at=at,
            **dict(zip(_QUESTIONS, answers, strict=True)),
        )

    def checkpoint(self, number: int, user_id: str, sent_at: int) -> None:
        self.workspace.add_export_row(
            "checkpoint",
            sent_at,
            user_id=user_id,
            company_id="-1",
            series_entry_record_id=str(50_000 + number),
            ruleset_id="8000",
            status_code="2",
            status_name="waiting",
            created_at=sent_at,
            last_processed_at=self.later(sent_at),
            times_processed=self.chance.randint(1, 9),
        )

    def overview(self, number: int, kind: str, title: str, span: int) -> None:
        self.workspace.add_export_row(
            "overview",
            self.end - _DAY,
            ruleset_id=str(8000 + number),
            created_at=self.end - span,
            audience_type="user",
            content_title=title,
            content_id=str(9000 + number),
            content_type=kind,
            state="live",
            last_sent_at=self.end - _DAY,
            receipt_total=10 + number,
            receipt_unique=10,
            open_total=6,
            open_unique=5,
            open_rate="50.0",
        )
