"""Sample data beside the main records: tickets, notes, events, calls and the like.

It has its own random generator, so the main records of a seed stay the same, except for what they
mention: notes, subscriptions, links and pauses.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from .areas.tickets import TICKET_ATTRIBUTES
from .details import iso, note
from .records import Record, without_nulls
from .workspace import Workspace

_DAY = 86_400
_STATES = ("submitted", "in_progress", "waiting_on_customer", "resolved")
_TYPES = (
    ("53", "Bug report", "Customer"),
    ("54", "Refund", "Back-office"),
    ("55", "Outage", "Tracker"),
)
_SEVERITIES = ("Low", "High")
FILE = {
    "type": "upload",
    "name": "error.png",
    "url": "https://downloads.example.com/i/o/2/error.png?expires=1700000000&signature=00fe",
    "content_type": "image/png",
    "filesize": 1024,
    "width": 100,
    "height": 100,
}
_SUBSCRIPTIONS = (
    ("Newsletters", "opt_out", "live", ["email"]),
    ("Product news", "opt_in", "live", ["email"]),
    ("Text messages", "opt_in", "live", ["sms_message"]),
    ("Old digest", "opt_out", "archived", ["email"]),
)
_EVENT_NAMES = ("invited-friend", "placed-order", "updated-plan", "opened página")
_MANY_EVENTS = 120


class DetailSample:
    def __init__(self, workspace: Workspace, seed: int, sentences: Sequence[str], end: int) -> None:
        self.workspace = workspace
        self.chance = random.Random(f"details {seed}")
        self.sentences = sentences
        self.end = end

    def settings(self, start: int) -> None:
        """Add ticket types, ticket states and subscription types, all created at `start`."""
        workspace = self.workspace
        times: Record = {"created_at": start, "updated_at": start}
        for category in _STATES:
            workspace.add_ticket_state(category)
        workspace.add_ticket_state("submitted", internal_label="Old", archived=True)
        for type_id, name, category in _TYPES:
            workspace.add_ticket_type(
                id=type_id,
                name=name,
                category=category,
                is_internal=category != "Customer",
                **times,
            )
            for fields in TICKET_ATTRIBUTES:
                workspace.add_ticket_type_attribute(type_id, **(times | fields))
        for name, consent_type, state, content_types in _SUBSCRIPTIONS:
            translation = {"name": name, "description": f"All about {name}", "locale": "en"}
            workspace.add_subscription_type(
                state=state,
                consent_type=consent_type,
                default_translation=translation,
                translations=[translation],
                content_types=content_types,
            )

    def text(self) -> str:
        return f"<p>{self.chance.choice(self.sentences)}</p>"

    def maybe(self, value: Any, share: float = 0.7) -> Any:
        return value if self.chance.random() < share else None

    def admin(self) -> Record | None:
        """Return an admin in the form of a reference, if there are any."""
        admins = list(self.workspace.admins.values())
        return self.chance.choice(admins) if admins else None

    # Tickets

    def tickets(self, times: Sequence[int]) -> None:
        """Add one ticket for each updated_at."""
        for number, updated_at in enumerate(times):
            self.ticket(number, updated_at)
        self.links(
            [each for each in self.workspace.tickets.texts if each not in self.workspace.ticket_ids]
        )

    def links(self, tickets: Sequence[str]) -> None:
        """Link some tickets and conversations with conversations, as both sides say."""
        workspace = self.workspace
        conversations = list(workspace.conversations.texts)
        for number, ticket_id in enumerate(tickets):
            if number % 4 == 1 and conversations:
                other = self.chance.choice(conversations)
                workspace.load_link(("ticket", ticket_id), ("conversation", other))
        for number, conversation_id in enumerate(conversations):
            if number % 10 == 4:
                other = conversations[number - 3]
                workspace.load_link(("conversation", conversation_id), ("conversation", other))
                if tickets:
                    ticket_id = tickets[number % len(tickets)]
                    workspace.load_link(("conversation", conversation_id), ("ticket", ticket_id))

    def ticket(self, number: int, updated_at: int) -> None:
        workspace, chance, maybe = self.workspace, self.chance, self.maybe
        type_id, _, category = _TYPES[number % len(_TYPES)]
        created_at = updated_at - chance.randint(600, 20 * _DAY)
        states = list(workspace.ticket_states)[:4]
        state_id = chance.choice(states)
        is_snoozed = number % 6 == 4
        contacts = list(workspace.contacts.texts)
        admin = self.admin()
        ticket_id = workspace.add_ticket(
            created_at=created_at,
            updated_at=updated_at,
            category=category,
            ticket_type=type_id,
            ticket_state=state_id,
            previous_ticket_state_id=maybe(states[0]),
            open=state_id != states[3],
            snoozed_until=updated_at + 3 * _DAY if is_snoozed else None,
            contacts=chance.sample(contacts, min(len(contacts), chance.choice((0, 1, 1, 2)))),
            admin_assignee_id=int(admin["id"]) if admin and number % 3 else 0,
            team_assignee_id=int(next(iter(workspace.teams), 0)) if number % 2 else 0,
            is_shared=category == "Customer",
            ticket_attributes={
                "_default_title_": chance.choice(self.sentences),
                "_default_description_": maybe(chance.choice(self.sentences)),
                "Order number": maybe(chance.randint(1, 9999)),
                "Severity": maybe(chance.choice(_SEVERITIES)),
                "Amount": maybe(round(chance.uniform(1, 500), 2)),
                "Urgent": maybe(chance.random() < 0.5),
                "Due": maybe(updated_at + _DAY),
                "Screenshots": [FILE] if number % 5 == 0 else [],
                "Old code": maybe("x1", 0.1),
            },
        )
        size = chance.randint(1, 6)
        span = updated_at - created_at
        parts = [
            self.ticket_part(position, created_at + span * (position + 1) // size, admin)
            for position in range(size)
        ]
        if number % 3 == 0:
            # The newest part often does not move its ticket's updated_at.
            late = min(updated_at + chance.randint(1, 157), self.end)
            parts.append(self.ticket_part(1, late, admin))
        workspace.load_ticket_parts(ticket_id, parts)

    def ticket_part(self, position: int, at: int, admin: Record | None) -> Record:
        fields: Record = {"created_at": at, "updated_at": at}
        if admin:
            names = ("id", "name", "email")
            fields["author"] = {"type": "admin"} | {name: admin[name] for name in names}
        match position % 5:
            case 0:
                fields |= {"body": self.text(), "external_id": self.maybe("ext-1", 0.3)}
                fields["translations"] = {"original": fields["body"], "de": "Hallo"}
            case 1:
                before, after = self.chance.sample(_STATES, 2)
                fields |= {
                    "part_type": "ticket_state_updated_by_admin",
                    "previous_ticket_state": before,
                    "ticket_state": after,
                    "app_package_code": "test-integration",
                }
            case 2:
                fields["part_type"] = "assignment"
                fields["assigned_to"] = {"type": "admin", "id": admin["id"]} if admin else None
            case 3:
                fields |= {
                    "part_type": "ticket_attribute_updated_by_admin",
                    "updated_attribute_data": {
                        "attribute": {"type": "attribute", "id": "204", "label": "Severity"},
                        "value": {"type": "value", "id": "2", "label": "High"},
                    },
                }
            case _:
                fields |= {"part_type": "note", "body": self.text(), "attachments": [FILE]}
        return fields

    # Contacts and companies

    def contacts(self, most: int) -> None:
        """Add details of at most `most` of the newest contacts."""
        for number, contact_id in enumerate(_newest(self.workspace.contacts.texts, most)):
            self.contact(number, contact_id)

    def contact(self, number: int, contact_id: str) -> None:
        workspace, chance = self.workspace, self.chance
        contact = workspace.contact(contact_id)
        for each in contact["notes"]["data"]:
            self.note(each["id"], contact)
        if number % 5 == 1:
            newsletters, news, texts, _ = list(workspace.subscription_types)[:4]
            workspace.update_contact(
                contact_id,
                opted_out_subscription_types=[newsletters] if number % 2 else [],
                opted_in_subscription_types=[news, texts][: chance.randint(0, 2)],
                updated_at=contact["updated_at"],
            )
        if number % 4 == 0:
            count = _MANY_EVENTS if number == 4 else chance.randint(1, 6)
            times = sorted(self.end - chance.randrange(120 * _DAY) for _ in range(count))
            workspace.load_events(
                contact_id, [self.event(position, at) for position, at in enumerate(times)]
            )
        if number % 10 == 2 and contact["role"] == "user":
            merges: list[Record] = []
            for _ in range(chance.randint(1, 3)):
                source_id = f"{chance.getrandbits(96):024x}"
                workspace.merged[source_id] = contact_id
                merges.append(
                    {
                        "type": "merge_history",
                        "source_contact_id": source_id,
                        "source_contact_role": chance.choice(("lead", "user")),
                        "merged_at": contact["updated_at"],
                    }
                )
            workspace.merge_history[contact_id] = merges

    def event(self, position: int, at: int) -> Record:
        fields: Record = {
            "event_name": self.chance.choice(_EVENT_NAMES),
            "created_at": at,
            "metadata": {"position": str(position)} if position % 3 else {},
        }
        if position % 5 != 4:
            fields["id"] = str(UUID(int=self.chance.getrandbits(128)))
        return fields

    def companies(self, most: int) -> None:
        """Add details of at most `most` of the newest companies."""
        for number, company_id in enumerate(_newest(self.workspace.companies.texts, most)):
            if number % 6 == 3:
                company = self.workspace.companies.get(company_id)
                notes = [str(405_000 + 20 * number + each) for each in range(1 + number % 4)]
                for each in notes:
                    self.note(each, company)
                self.workspace.update_company(
                    company_id, notes=notes, updated_at=company["updated_at"]
                )

    def note(self, note_id: str, owner: Record) -> None:
        reference = {"type": owner["type"], "id": owner["id"]}
        admin = without_nulls(self.admin() or {})
        admin.pop("avatar", None)
        at = owner["updated_at"] - self.chance.randrange(30 * _DAY)
        written = {"author": admin or None, "body": self.text()}
        self.workspace.notes[note_id] = note(note_id, reference, at) | written

    # Conversations

    def conversations(self, most: int) -> None:
        """Add details of at most `most` of the newest conversations."""
        for number, conversation_id in enumerate(_newest(self.workspace.conversations.texts, most)):
            self.conversation(number, conversation_id)

    def conversation(self, number: int, conversation_id: str) -> None:
        workspace, chance = self.workspace, self.chance
        conversation = workspace.conversations.get(conversation_id)
        at = conversation["updated_at"]
        admin = self.admin()
        if number % 4 == 0 and admin:
            teammate = {"type": "admin", "id": int(admin["id"]), "name": admin["name"]}
            workspace.load_handling_events(
                conversation_id,
                [
                    {
                        "teammate": teammate | {"email": admin["email"]},
                        "type": "paused",
                        "timestamp": iso(at - 600),
                        "reason": "Paused",
                    },
                    {
                        "teammate": teammate | {"email": self.maybe(admin["email"])},
                        "type": "resumed",
                        "timestamp": iso(at - 60),
                    },
                ],
            )
        if number % 6 == 1:
            for _ in range(chance.randint(1, 3)):
                workspace.load_side_conversation(
                    conversation_id,
                    [
                        {"body": self.text(), "created_at": at - 300 + 60 * each}
                        for each in range(chance.randint(1, 4))
                    ],
                )
        if number % 5 == 2:
            contacts = conversation["contacts"]["contacts"]
            said = [{"speaker": "contact", "text": chance.choice(self.sentences), "at": 0.5}]
            # Calls have times in both forms.
            time: Any = iso(at) if number % 2 else at
            workspace.load_call(
                conversation_id,
                said if number % 3 else None,
                admin_id=admin and admin["id"],
                contact_id=contacts[0]["id"] if contacts else None,
                phone="+14155550123",
                **dict.fromkeys(
                    ("initiated_at", "answered_at", "ended_at", "created_at", "updated_at"), time
                ),
            )
        if number % 10 == 7:
            workspace.load_fin_voice_call(
                conversation_id,
                call_transcript=[{"speaker": "fin", "text": "Hello"}],
                call_summary=chance.choice(self.sentences),
                intent=[{"name": "refund"}],
                intercom_call_id=self.maybe("12"),
            )


def _newest(texts: dict[str, bytes], most: int) -> list[str]:
    ids = list(texts)
    return ids[max(len(ids) - most, 0) :]
