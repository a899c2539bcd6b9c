"""Sample data: a workspace whose people, companies and conversations look real.

The same seed and sizes give the same records. updated_at is spread evenly over `days`.
"""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

from .export_sample import add_datasets, add_export_rows
from .figures import count_members
from .records import Record
from .resource_sample import Sample
from .resources import add_basic_samples, add_samples
from .sample_details import FILE, DetailSample
from .words import Words, all_words
from .workspace import Workspace

_DAY = 86_400
_ROLES = ("user", "user", "user", "lead")
_PLACES = (
    ("United States", "California", "San Francisco", "USA", "NA"),
    ("Germany", "Land Berlin", "Berlin", "DEU", "EU"),
    ("Ireland", "Leinster", "Dublin", "IRL", "EU"),
    ("Brazil", "São Paulo", "São Paulo", "BRA", "SA"),
    ("Japan", "Tokyo", "Tokyo", "JPN", "AS"),
    ("Australia", "New South Wales", "Sydney", "AUS", "OC"),
)
_BROWSERS = (
    ("chrome", "126.0.0.0", "Windows 10"),
    ("safari", "17.5", "OS X 14.5"),
    ("firefox", "127.0", "Linux"),
)
_PLANS = (("269315", "Pro"), ("269316", "Starter"), ("269317", "Enterprise"))
_INDUSTRIES = ("Software", "Retail", "Manufacturing", "Health care", "Education")
_TIERS = ("free", "team", "business", "enterprise")
_LANGUAGES = ("en", "de", "fr", "pt-BR", "ja")
_PRIORITIES = ("none", "none", "none", "low", "medium", "high", "urgent")
_STATES = ("open", "closed", "closed", "snoozed")
_SOURCE_TYPES = ("conversation", "email", "whatsapp", "sms", "phone_call", "facebook", "unknown")
_DELIVERED_AS = ("customer_initiated", "admin_initiated", "operator_initiated", "automated")
_REMARKS = ("", "Great help, thank you!", "Took too long", "👍")


def generate(
    *,
    seed: int = 1,
    contacts: int = 200,
    companies: int = 40,
    conversations: int = 60,
    parts: int = 500,
    admins: int = 8,
    teams: int = 3,
    tags: int = 30,
    segments: int = 12,
    resources: int = 12,
    tickets: int = 12,
    details: int = 200,
    datasets: int = 0,
    files: bool = False,
    now: float | None = None,
    days: float = 365,
    timezone: str = "America/Los_Angeles",
) -> Workspace:
    """Return a workspace with sample data of these sizes, last edited at `now` (default: now).

    resources: about how many records each other table has; 0 leaves them empty.
    tickets: number of tickets apart from conversations that are tickets.
    details: how many of the newest contacts, companies and conversations may have notes, events,
        calls and the like.
    files: whether the attachments of conversations and tickets, and the recordings of calls, can be
        downloaded.
    datasets: number of rows in each dataset of the reporting export; 0 creates no datasets.
    """
    end = int(time.time() if now is None else now)
    workspace = Workspace(timezone=timezone)
    workspace.clock = lambda: end
    span, words, chance = int(days * _DAY), all_words(), random.Random(seed)

    def sample_of(chance: random.Random, count: int) -> Sample:
        return Sample(workspace, words, chance, count, end, span)

    sizes = {"admins": admins, "teams": teams, "tags": tags, "segments": segments}
    add_basic_samples(partial(sample_of, chance), sizes)
    details_sample = DetailSample(workspace, seed, words.sentences, end)
    details_sample.settings(end - span)
    making = _Making(workspace, chance, words, end, span)
    making.companies(companies)
    making.contacts(contacts)
    count_members(workspace)
    making.conversations(conversations, parts)
    if resources:
        add_samples(sample_of(random.Random(f"resources {seed}"), resources))
        add_export_rows(workspace, seed, 3 * resources, end, span)
    if datasets:
        add_datasets(workspace, seed, datasets, end, span)
    details_sample.tickets([making.instant(number, tickets) for number in range(tickets)])
    details_sample.contacts(details)
    details_sample.companies(details)
    details_sample.conversations(details)
    if files:
        _add_files(workspace)
    workspace.clock = time.time
    return workspace


def _add_files(workspace: Workspace) -> None:
    """Add what the attachments and calls of the sample lead to."""
    for attachment in (_ATTACHMENT, FILE):
        workspace.files.add_known(attachment)
    for call_id, call in workspace.calls.items():
        for kind in ("recording", "fin_recording"):
            if call[f"{kind}_url"] is not None:
                workspace.add_recording(call_id, kind, content=f"{kind} of {call_id}".encode())


class _Making:
    def __init__(
        self, workspace: Workspace, chance: random.Random, words: Words, end: int, span: int
    ) -> None:
        self.workspace = workspace
        self.chance = chance
        self.words = words
        self.end = end
        self.span = span
        self.company_ids: list[str] = []
        self.contact_ids: list[str] = []
        self.contact_names: list[tuple[str, str]] = []

    def instant(self, number: int, count: int) -> int:
        """Return updated_at of one of `count` records: evenly spread, ascending, before the end."""
        return self.end - self.span + (2 * number + 1) * self.span // (2 * count)

    def maybe(self, value: Any, share: float = 0.7) -> Any:
        return value if self.chance.random() < share else None

    def before(self, instant: int, days: int = 30) -> int:
        return instant - int(self.chance.random() * days * _DAY)

    def text(self) -> str:
        """Return an HTML body."""
        chance = self.chance
        paragraphs = [
            f"<p>{chance.choice(self.words.sentences)}</p>" for _ in range(chance.randint(1, 3))
        ]
        extras = (
            "",
            '<p>See <a href="https://example.com/help?a=1&amp;b=2">the guide</a>.</p>',
            "<p>Thanks 🙏<br>Zoë &amp; team</p>",
        )
        return "".join(paragraphs) + chance.choice(extras)

    # Companies and contacts

    def companies(self, count: int) -> None:
        workspace, chance = self.workspace, self.chance
        tag_ids, segment_ids = list(workspace.tags), list(workspace.company_segments)
        for number in range(count):
            updated_at = self.instant(number, count)
            fields: Record = {
                "company_id": f"customer-{number + 1}",
                "name": chance.choice(self.words.companies),
                "created_at": self.before(updated_at, 400),
                "updated_at": updated_at,
                "remote_created_at": self.maybe(self.before(updated_at, 2000)),
                "last_request_at": self.maybe(self.before(updated_at)),
                "size": self.maybe(chance.randint(1, 5000)),
                "website": self.maybe(f"https://customer{number + 1}.example.com"),
                "industry": self.maybe(chance.choice(_INDUSTRIES)),
                "monthly_spend": chance.choice((0, 49, 155.5, 1200)),
                "session_count": chance.randint(0, 900),
                "custom_attributes": {
                    "renewal date": self.maybe(updated_at + 90 * _DAY),
                    "arr": self.maybe(round(chance.uniform(1000, 90000), 2)),
                    "is_partner": self.maybe(chance.random() < 0.2),
                    "CRM id": self.maybe(f"CRM-{number + 1:06}"),
                    "headcount": self.maybe(chance.randint(1, 900)),
                    "legacy tier": self.maybe("gold", 0.1),
                },
                "tags": chance.sample(tag_ids, min(len(tag_ids), chance.choice((0, 0, 1, 2)))),
                "segments": chance.sample(
                    segment_ids, min(len(segment_ids), chance.choice((0, 1)))
                ),
            }
            if chance.random() < 0.7:
                plan_id, plan = chance.choice(_PLANS)
                fields["plan"] = {"type": "plan", "id": plan_id, "name": plan}
            if number % 10 == 9:
                fields["tags"] = fields["segments"] = None
            self.company_ids.append(workspace.add_company(**fields))

    def contacts(self, count: int) -> None:
        workspace = self.workspace
        tag_ids, segment_ids = list(workspace.tags), list(workspace.segments)
        for number in range(count):
            fields = self.contact(number, self.instant(number, count), tag_ids, segment_ids)
            if number == count // 2:
                fields |= {"tags": tag_ids[:25], "companies": self.company_ids[:30]}
            self.contact_ids.append(workspace.add_contact(**fields))
            self.contact_names.append((fields["name"] or "", fields["email"] or ""))

    def contact(
        self, number: int, updated_at: int, tag_ids: list[str], segment_ids: list[str]
    ) -> Record:
        chance, maybe = self.chance, self.maybe
        role = chance.choice(_ROLES)
        created_at = self.before(updated_at, 300)
        name = self.words.name(self.chance)
        email = (
            f"person{number + 1}@{chance.choice(('example.com', 'example.org', 'mail.example'))}"
        )
        fields: Record = {
            "role": role,
            "external_id": f"user-{number + 1}" if role == "user" else None,
            "email": email if role == "user" else maybe(email),
            "name": maybe(name, 0.9),
            "phone": maybe(f"+1415555{number % 10000:04}", 0.4),
            "avatar": {"type": "avatar", "image_url": f"https://static.example.com/p{number}.png"}
            if number % 3 == 0
            else None,
            "owner_id": maybe(chance.choice(list(self.workspace.admins) or [None]), 0.5),
            "has_hard_bounced": chance.random() < 0.03,
            "marked_email_as_spam": chance.random() < 0.02,
            "unsubscribed_from_emails": chance.random() < 0.1,
            "created_at": created_at,
            "updated_at": updated_at,
            "signed_up_at": maybe(created_at, 0.6),
            "last_seen_at": maybe(updated_at - 60, 0.8),
            "last_replied_at": maybe(self.before(updated_at), 0.3),
            "last_contacted_at": maybe(self.before(updated_at), 0.5),
            "last_email_opened_at": maybe(self.before(updated_at), 0.4),
            "last_email_clicked_at": maybe(self.before(updated_at), 0.2),
            "language_override": maybe(chance.choice(_LANGUAGES), 0.2),
            "companies": chance.sample(
                self.company_ids, min(len(self.company_ids), chance.choice((0, 1, 1, 2)))
            ),
            "tags": chance.sample(tag_ids, min(len(tag_ids), chance.choice((0, 0, 1, 3)))),
            "segments": segment_ids[number % 7 :: 7],
            "notes": [str(400_000 + number)] if number % 9 == 0 else [],
            "custom_attributes": {
                "Plan": maybe(chance.choice(_TIERS)),
                "plan": maybe(chance.choice("abc"), 0.3),
                "seats": maybe(chance.randint(1, 90)),
                "score": maybe(round(chance.random() * 10, 2)),
                "is beta user": maybe(chance.random() < 0.5),
                "trial_ends_at": maybe(updated_at + 14 * _DAY, 0.4),
                "Größe": maybe(chance.randint(1, 20), 0.3),
                "old score": maybe(chance.randint(1, 5), 0.1),
            },
        }
        if chance.random() < 0.8:
            browser, version, system = chance.choice(_BROWSERS)
            language = chance.choice(_LANGUAGES)
            fields |= {"browser": browser, "browser_version": version, "os": system}
            fields |= {"browser_language": language, "referrer": "https://www.example.com/"}
            country, region, city, country_code, continent_code = chance.choice(_PLACES)
            fields["location"] = {
                "type": "location",
                "country": country,
                "region": region,
                "city": city,
                "country_code": country_code,
                "continent_code": continent_code,
            }
        if number % 8 == 1:
            fields |= _mobile("ios", "iPhone 15", "17.5.1", updated_at - 120)
        if number % 8 == 2:
            fields |= _mobile("android", "Pixel 8", "14", updated_at - 120)
        if number % 6 == 0:
            profile = {"type": "social_profile", "name": "X", "url": f"https://x.example/p{number}"}
            fields["social_profiles"] = {"type": "list", "data": [profile]}
            fields |= {"utm_campaign": "spring", "utm_medium": "email", "utm_source": "newsletter"}
            fields |= {"utm_content": "button", "utm_term": "help desk", "sms_consent": True}
        if number % 10 == 7:
            fields["companies"] = None
        if number % 50 == 3:
            # Customers send odd values: a date in 2056, one before 2001, a name with accents.
            fields["signed_up_at"] = 2_738_966_400 if number % 100 == 3 else 631_152_000
            fields["name"] = 'D\'Arcy "Ødegård" 👩\u200d💻\nsecond line'
            fields["custom_attributes"] |= {"seats": "twelve", "trial_ends_at": "2030-01-02"}
        return fields

    # Conversations

    def conversations(self, count: int, parts: int) -> None:
        sizes = [0] * count
        for _ in range(parts if count else 0):
            sizes[min(int(self.chance.random() ** 2 * count), count - 1)] += 1
        self.chance.shuffle(sizes)
        for number, size in enumerate(sizes):
            self.conversation(number, size, self.instant(number, count))

    def conversation(self, number: int, size: int, updated_at: int) -> None:
        workspace, chance, maybe = self.workspace, self.chance, self.maybe
        created_at = self.before(updated_at, 20) - 600
        state = chance.choice(_STATES)
        admin_ids, team_ids = list(workspace.admins), list(workspace.teams)
        admin_id = chance.choice(admin_ids) if admin_ids and chance.random() < 0.7 else None
        team_id = chance.choice(team_ids) if team_ids and chance.random() < 0.5 else None
        which = chance.randrange(len(self.contact_ids)) if self.contact_ids else None
        contact_ids = [] if which is None else [self.contact_ids[which]]
        name, email = ("", "") if which is None else self.contact_names[which]
        author_id = contact_ids[0] if contact_ids else None
        author = {"type": "user", "id": author_id, "name": name, "email": email}
        fields: Record = {
            "title": maybe(chance.choice(self.words.sentences), 0.5),
            "created_at": created_at,
            "updated_at": updated_at,
            "waiting_since": maybe(updated_at) if state == "open" else None,
            "snoozed_until": updated_at + 3 * _DAY if state == "snoozed" else None,
            "open": state != "closed",
            "state": state,
            "read": chance.random() < 0.8,
            "priority": chance.choice(_PRIORITIES),
            "admin_assignee_id": int(admin_id or 0),
            "team_assignee_id": int(team_id or 0),
            "contacts": contact_ids,
            "teammates": [admin_id] if admin_id else [],
            "tags": chance.sample(list(workspace.tags), min(len(workspace.tags), number % 3)),
            "source": {
                "type": chance.choice(_SOURCE_TYPES),
                "id": maybe(str(3_000_000 + number), 0.9),
                "delivered_as": chance.choice(_DELIVERED_AS),
                "subject": maybe("<p>Question about my order</p>", 0.4) or "",
                "body": self.text(),
                "author": author,
                "attachments": [_ATTACHMENT] if number % 5 == 0 else [],
                "url": maybe("https://app.example.com/settings"),
                "redacted": False,
            }
            | (_EMAIL if number % 7 == 2 else {}),
            "first_contact_reply": {
                "created_at": created_at,
                "type": "conversation",
                "url": maybe("https://app.example.com/"),
            }
            if number % 4
            else None,
            "custom_attributes": self.conversation_attributes(number, updated_at),
            # The parts say the rest.
            "statistics": maybe({"type": "conversation_statistics"}, 0.9),
            "channel": {"initial": "messenger", "current": chance.choice(("messenger", "email"))},
        }
        fields |= self.extras(number, updated_at, contact_ids, admin_id)
        conversation_id = workspace.add_conversation(**fields)
        span = updated_at - created_at
        workspace.load_parts(
            conversation_id,
            [
                self.part(
                    position, created_at + span * (position + 1) // size, author, admin_ids, state
                )
                for position in range(size)
            ],
        )

    def conversation_attributes(self, number: int, updated_at: int) -> Record:
        chance, maybe = self.chance, self.maybe
        order = {"type": "Order", "id": f"order-{number}", "external_id": f"O-{number}"}
        return {
            name: value
            for name, value in {
                "Category": maybe("Bug", 0.5),
                "Copilot used": maybe(chance.random() < 0.5),
                "CSat Feedback": maybe("Quick, but the answer was\nincomplete", 0.3),
                "Orders": {"type": "Order.list", "instances": [order]} if number % 6 == 0 else None,
                "Amount": maybe(round(chance.uniform(1, 500), 2)),
                "Attempts": maybe(chance.randint(1, 9)),
                "Due": maybe(updated_at + _DAY),
                "Screenshots": [_ATTACHMENT] if number % 7 == 0 else None,
                "Old reason": maybe("moved", 0.1),
            }.items()
            if value is not None
        }

    def extras(
        self, number: int, updated_at: int, contact_ids: list[str], admin_id: str | None
    ) -> Record:
        """Return the fields that only some conversations have."""
        chance = self.chance
        extras: Record = {}
        if number % 5 == 1:
            extras["conversation_rating"] = {
                "rating": chance.randint(1, 5),
                "remark": chance.choice(_REMARKS),
                "created_at": updated_at - 60,
                "updated_at": updated_at,
                "contact": {"type": "contact", "id": contact_ids[0], "external_id": None}
                if contact_ids
                else None,
                "teammate": {"type": "admin", "id": admin_id} if admin_id else None,
            }
        if number % 6 == 2:
            status = chance.choice(("hit", "missed", "cancelled", "active"))
            extras["sla_applied"] = {
                "type": "conversation_sla_summary",
                "sla_name": "First reply",
                "sla_status": status,
            }
        if number % 4 == 3:
            extras |= {"ai_agent_participated": True, "ai_agent": _ai_agent(updated_at)}
        if number % 10 == 5:
            extras |= {
                "sales_agent_participated": True,
                "sales_agent": {
                    "outcome": "qualified",
                    "routing_outcome": "enterprise_sales",
                    "collected_data": {"company.name": "Acme Inc"},
                },
            }
        if number % 10 == 6:
            extras["topics"] = {
                "type": "topic.list",
                "topics": [{"type": "topic", "id": 7, "name": "Billing"}],
                "total_count": 1,
            }
        if number % 10 == 7:
            subtopics = [{"type": "ai_subtopic", "name": "Payment issues", "id": 42}]
            topic = {"type": "ai_topic", "topic_name": "Billing", "subtopics": subtopics}
            extras["ai_topics"] = {"type": "ai_topics", "topics": [topic]}
        if number % 10 == 8:
            ticket_type = {"type": "ticket_type", "id": "53", "name": "Bug report"}
            extras["ticket"] = {
                "type": "ticket",
                "ticket_id": str(1000 + number),
                "category": "Customer",
                "ticket_attributes": {
                    "_default_title_": "Printer on fire",
                    "_default_description_": "<p>It is the one on the 2<sup>nd</sup> floor.</p>",
                    "Due": updated_at + _DAY,
                },
                "ticket_type": ticket_type,
            }
        if number % 10 == 4:
            extras["external_references"] = [{"type": "zendesk_ticket", "id": "3633338"}]
        if number % 10 == 1:
            extras |= {"monitor_evaluations": [_monitor(updated_at)]}
            extras |= {"scorecards": [_scorecard(updated_at, admin_id)]}
        if number % 10 == 2 and self.company_ids:
            company_id = chance.choice(self.company_ids)
            extras["company"] = self.workspace.companies.get(company_id)
        return extras

    def part(
        self, position: int, at: int, contact: Record, admin_ids: list[str], state: str
    ) -> Record:
        chance = self.chance
        kind = chance.choice(_PART_TYPES)
        by_admin = kind != "comment" or position % 2 == 1
        author: Record = contact
        if by_admin and admin_ids:
            admin = self.workspace.admins[chance.choice(admin_ids)]
            is_bot = admin["name"] == "Fin"
            author = {
                "type": "bot" if is_bot else "admin",
                "id": admin["id"],
                "name": admin["name"],
                "email": admin["email"],
                "from_ai_agent": is_bot,
                "is_ai_answer": is_bot and kind == "comment",
            }
        fields: Record = {
            "part_type": kind,
            "body": self.text() if kind in ("comment", "note", "quick_reply") else None,
            "created_at": at,
            "updated_at": at,
            "notified_at": at,
            "author": {"id": "", "email": ""} | {k: v for k, v in author.items() if v is not None},
            "state": "closed" if kind == "close" else "open" if state == "snoozed" else state,
        }
        if kind in ("assignment", "assign_and_reopen") and admin_ids:
            fields["assigned_to"] = {"type": "admin", "id": chance.choice(admin_ids)}
        if kind == "conversation_attribute_updated_by_admin":
            fields["event_details"] = {
                "attribute": {"name": "Category"},
                "value": {"name": "Bug", "previous": self.maybe("Idea")},
            }
        if kind == "custom_action_started":
            fields["event_details"] = {"action": {"name": "Jira Create Issue"}}
            fields["app_package_code"] = "test-integration"
        if kind == "quick_reply":
            fields["metadata"] = _QUICK_REPLY
        if kind == "comment" and position % 7 == 3:
            fields |= {"attachments": [_ATTACHMENT], "external_id": f"ext-{position}"}
            fields["tags"] = [
                {"type": "tag", "id": each, "name": tag["name"]}
                for each, tag in list(self.workspace.tags.items())[:1]
            ]
            fields["email_message_metadata"] = _EMAIL_METADATA
        if kind == "comment" and position % 11 == 9:
            fields |= {"redacted": True, "body": ""}
        return fields


_PART_TYPES = (
    "comment",
    "comment",
    "comment",
    "comment",
    "comment",
    "comment",
    "note",
    "assignment",
    "open",
    "close",
    "snoozed",
    "quick_reply",
    "assign_and_reopen",
    "participant_added",
    "conversation_attribute_updated_by_admin",
    "custom_action_started",
)
_ATTACHMENT = {
    "type": "upload",
    "name": "screenshot.png",
    "url": "https://downloads.example.com/i/o/1/screenshot.png?expires=1700000000&signature=00ff",
    "content_type": "image/png",
    "filesize": 58_712,
    "width": 1280,
    "height": 720,
}
_QUICK_REPLY = {
    "quick_reply_options": [
        {
            "text": "Yes, please",
            "uuid": "123e4567-e89b-12d3-a456-426614174000",
            "translations": {"en": "Yes, please", "fr": "Oui"},
        }
    ],
    "quick_reply_uuid": "123e4567-e89b-12d3-a456-426614174000",
}


_EMAIL_METADATA = {
    "message_id": "<CADKw7xrXzqSn8v3mP8K8Q8yZ6@mail.example.com>",
    "subject": "Question about my order",
    "email_address_headers": [
        {"type": "from", "email_address": "jane@example.com", "name": "Jane"},
        {"type": "to", "email_address": "support@example.com", "name": None},
    ],
}
_EMAIL = {
    "type": "email",
    "delivered_as": "customer_initiated",
    "recipients": [{"type": "to", "email": "support@example.com", "drop_reason": None}],
    "reply_to": [{"email": "jane@example.com", "name": "Jane"}],
    "email_message_metadata": _EMAIL_METADATA | {"history": "<div>On Jan 28, wrote:</div>"},
}


def _mobile(system: str, device: str, version: str, seen_at: int) -> Record:
    return {
        f"{system}_app_name": "Acme",
        f"{system}_app_version": "5.0.0",
        f"{system}_device": device,
        f"{system}_os_version": version,
        f"{system}_sdk_version": "18.1.0",
        f"{system}_last_seen_at": seen_at,
    }


def _ai_agent(updated_at: int) -> Record:
    return {
        "source_type": "workflow",
        "source_title": "My AI Workflow",
        "last_answer_type": "ai_answer",
        "resolution_state": "assumed_resolution",
        "rating": 4,
        "rating_remark": "Very helpful",
        "created_at": updated_at - 300,
        "updated_at": updated_at,
        "content_sources": {
            "type": "content_source.list",
            "total_count": 1,
            "content_sources": [
                {
                    "content_type": "article",
                    "url": "https://help.example.com/articles/1",
                    "title": "How to pay",
                    "locale": "en",
                }
            ],
        },
    }


def _monitor(updated_at: int) -> Record:
    return {
        "monitor_id": "12345",
        "monitor_name": "Complaints",
        "monitor_type": "prompt",
        "result": "flagged",
        "explanation": "The customer asked for a refund.",
        "evaluated_at": updated_at,
    }


def _scorecard(updated_at: int, admin_id: str | None) -> Record:
    result = {
        "value": "pass",
        "source": "ai",
        "reasoning": "Answered in time",
        "reason_ids": ["101"],
        "other_text": None,
    }
    return {
        "scorecard_id": "67890",
        "scorecard_version_id": "67891",
        "name": "Quality review",
        "scorecard_type": "human",
        "passed": True,
        "score": 0.85,
        "ai_score": 0.9,
        "evaluated_at": updated_at,
        "reviewed_teammate": {"type": "admin", "admin_id": admin_id},
        "evaluators": [{"evaluator_id": "54321", "result": result}],
    }
