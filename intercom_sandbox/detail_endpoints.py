"""The endpoints of tickets, and of the details of contacts, companies and conversations."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import orjson

from .calls import Answer, Call, RefusalError, json_answer
from .options import Permission
from .pages import LINKS_ROOT, numbered_answer, page_size
from .records import Record
from .routes import Route
from .versions import newer_fields, older_note, older_ticket

if TYPE_CHECKING:
    from .api import Api

_CALLS_LIMIT = 20
_EVENTS_PER_PAGE = 50
_MERGES_PER_PAGE = 50


class DetailEndpoints:
    def __init__(self, api: Api) -> None:
        self.api = api
        self.workspace = api.workspace
        self._numbered = partial(numbered_answer, options=api.options)
        reading: tuple[Permission, ...] = ("users_companies_read",)
        conversations: tuple[Permission, ...] = ("conversations",)
        self.routes = [
            Route("GET", "/tickets/{id}", self.ticket, ("tickets",), since=(2, 9)),
            Route("GET", "/contacts/{id}/notes", self.contact_notes, reading),
            Route("GET", "/contacts/{id}/subscriptions", self.contact_subscriptions, reading),
            Route(
                "GET", "/contacts/{id}/merge_history", self.merge_history, reading, since=(2, 16)
            ),
            Route("GET", "/events", self.events, ("events",)),
            Route("GET", "/companies/{id}/notes", self.company_notes, reading, since=(2, 15)),
            Route("GET", "/companies/{id}/contacts", self.company_contacts, reading),
            Route(
                "GET",
                "/conversations/{id}/handling_events",
                self.handling_events,
                conversations,
                since=(2, 15),
            ),
            Route(
                "GET",
                "/conversations/{id}/side_conversations",
                self.side_conversations,
                conversations,
                since=(2, 16),
            ),
            Route("POST", "/calls/search", self.search_calls, conversations, since=(2, 14)),
            *(
                Route(
                    "GET",
                    f"/calls/{{id}}/{kind}",
                    partial(self.recording, kind),
                    conversations,
                    since=(2, 14),
                )
                for kind in ("recording", "fin_recording")
            ),
            Route(
                "GET",
                "/fin_voice/conversation/{id}",
                self.fin_voice_calls,
                conversations,
                since=(2, 15),
            ),
        ]

    # Tickets

    def ticket(self, call: Call, ticket_id: str) -> Answer:
        text = self.workspace.tickets.texts.get(ticket_id)
        if text is None:
            raise RefusalError(404, "ticket_not_found", "Ticket Not Found")
        return Answer(self.ticket_text(call)(ticket_id, text))

    def ticket_text(self, call: Call) -> Callable[[str, bytes], bytes]:
        """Return a function that shows a ticket in the version of the call."""
        version = self.api.version(call)
        newer = newer_fields("ticket_parts", version)

        def render(ticket_id: str, text: bytes) -> bytes:
            if version >= (2, 16):
                return _without(newer, self.workspace.ticket_text(ticket_id, text))
            record = older_ticket(orjson.loads(text), version)
            return _without(newer, self.workspace.ticket_text(ticket_id, orjson.dumps(record)))

        return render

    # Contacts

    def contact_notes(self, call: Call, contact_id: str) -> Answer:
        self.api.contact(call, contact_id)
        version = self.api.version(call)
        notes = [older_note(each, version) for each in self.workspace.contact_notes(contact_id)]
        return self._numbered(call, _texts(notes), 50, 60)

    def contact_subscriptions(self, call: Call, contact_id: str) -> Answer:
        self.api.contact(call, contact_id)
        return json_answer({"type": "list", "data": self.workspace.subscriptions(contact_id)})

    def merge_history(self, call: Call, contact_id: str) -> Answer:
        """Return the merges into a user, newest first unless `order=asc`; leads show none."""
        self.api.contact(call, contact_id)
        if self.workspace.contact(contact_id)["role"] != "user":
            raise RefusalError(404, "not_found", "Contact not found")
        order = call.query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise RefusalError(400, "parameter_invalid", "order must be asc or desc")
        per_page = call.number("per_page", _MERGES_PER_PAGE)
        if per_page > 150:
            raise RefusalError(400, "parameter_invalid", "per_page must be at most 150")
        merges = list(enumerate(self.workspace.merge_history.get(contact_id, ())))
        if order == "desc":
            merges.reverse()
        if "cursor" in call.query:
            last = _position(call.query["cursor"])
            merges = [
                each for each in merges if (each[0] < last if order == "desc" else each[0] > last)
            ]
        shown = merges[:per_page]
        has_more = len(merges) > per_page
        return json_answer(
            {
                "type": "list",
                "data": [merge for _, merge in shown],
                "next_cursor": _cursor(shown[-1][0]) if has_more else None,
                "has_more": has_more,
            }
        )

    def events(self, call: Call) -> Answer:
        """Return the events of a contact, newest first, or their summaries."""
        if call.query.get("type") != "user":
            raise RefusalError(400, "parameter_invalid", "type must be user")
        contact = self._contact_of_events(call)
        contact_id = contact["id"]
        identity = {
            "email": contact["email"],
            "intercom_user_id": contact_id,
            "user_id": contact["external_id"],
        }
        if call.query.get("summary") == "true":
            summaries = self.workspace.event_summaries(contact_id)
            return json_answer({"type": "event.summary", "events": summaries} | identity)
        listed = self.workspace.listed_events(contact_id)
        # `before` counts from the oldest event, since new ones come at the other end.
        gone = len(self.workspace.events.get(contact_id, ())) - len(listed)
        per_page = call.number("per_page", self.api.options.most_rows or _EVENTS_PER_PAGE)
        end = len(listed)
        if "before" in call.query:
            end = max(call.number("before", 1) - gone, 0)
        start = max(end - per_page, 0)
        pages: Record = {"next": None}
        if start > 0:
            query = call.query | {"before": str(gone + start)}
            pages["next"] = f"{LINKS_ROOT}/events?{urlencode(query)}"
        shown = listed[start:end][::-1]
        return json_answer({"type": "event.list", "events": shown, "pages": pages} | identity)

    def _contact_of_events(self, call: Call) -> Record:
        contacts = self.workspace.contacts
        if "intercom_user_id" in call.query:
            contact_id = call.query["intercom_user_id"]
            if contact_id in contacts:
                return contacts.get(contact_id)
            raise RefusalError(404, "not_found", "User Not Found")
        for parameter, field in (("user_id", "external_id"), ("email", "email")):
            wanted = call.query.get(parameter)
            for contact in contacts.records() if wanted else ():
                if contact[field] == wanted:
                    return contact
        raise RefusalError(404, "not_found", "User Not Found")

    # Companies

    def company_notes(self, call: Call, company_id: str) -> Answer:
        self.api.company(call, company_id)
        return self._numbered(call, _texts(self.workspace.company_notes(company_id)), 50, 60)

    def company_contacts(self, call: Call, company_id: str) -> Answer:
        self.api.company(call, company_id)
        render, texts = self.api.contact_text(call), self.workspace.contacts.texts
        rows = [
            render(each, texts[each]) for each in self.workspace.company_contact_ids(company_id)
        ]
        if self.api.options.company_contacts == "numbers":
            return self._numbered(call, rows, 50, 150)
        per_page = page_size(call.number("per_page", 50), 150, self.api.options)
        start = _position(call.query["starting_after"]) if "starting_after" in call.query else 0
        pages: Record = {"type": "pages", "per_page": per_page}
        is_named = self.api.options.company_contacts == "cursor"
        if is_named:
            pages["total_pages"] = -(-len(rows) // per_page)
        if is_named and start + per_page < len(rows):
            pages["next"] = {"starting_after": _cursor(start + per_page)}
        return Answer(
            b'{"type":"list","data":[%s],"pages":%s,"total_count":%d}'
            % (b",".join(rows[start : start + per_page]), orjson.dumps(pages), len(rows))
        )

    # Conversations

    def handling_events(self, call: Call, conversation_id: str) -> Answer:
        self._check_conversation(conversation_id)
        events = self.workspace.handling_events.get(conversation_id, [])
        return json_answer({"handling_events": events})

    def side_conversations(self, call: Call, conversation_id: str) -> Answer:
        self._check_conversation(conversation_id)
        rows = _texts(self.workspace.side_conversations.get(conversation_id, []))
        return self._numbered(
            call, rows, 25, 50, kind="side_conversation.list", rows_key="side_conversations"
        )

    def search_calls(self, call: Call) -> Answer:
        """Return the calls of some conversations, with their transcripts."""
        body = call.json()
        ids = body.get("conversation_ids") if isinstance(body, dict) else None
        if not isinstance(ids, list) or not 1 <= len(ids) <= _CALLS_LIMIT:
            raise RefusalError(
                400,
                "conversation_id_limit_exceeded",
                f"A list of up to {_CALLS_LIMIT} conversation IDs is required",
            )
        wanted = {each for each in map(str, ids) if each in self.workspace.conversations}
        version = self.api.version(call)
        calls = [
            each | self.workspace.call_transcripts[each["id"]]
            for each in self.workspace.truth("calls", version)
            if each["conversation_id"] in wanted
        ]
        return json_answer({"type": "list", "data": calls})

    def recording(self, kind: str, call: Call, call_id: str) -> Answer:
        """Redirect to the file of a recording, whose address works for a while."""
        address = self.workspace.recordings.get(f"/calls/{call_id}/{kind}")
        if address is None:
            raise RefusalError(404, "not_found", "Call recording not found")
        return Answer(b"", 302, {"Location": address})

    def fin_voice_calls(self, call: Call, conversation_id: str) -> Answer:
        self._check_conversation(conversation_id)
        return json_answer(self.workspace.fin_voice_calls.get(conversation_id, []))

    def _check_conversation(self, conversation_id: str) -> None:
        if conversation_id not in self.workspace.conversations:
            raise RefusalError(404, "not_found", "Resource Not Found")


def _without(left_out: set[str], ticket: bytes) -> bytes:
    """Return a ticket without some fields of its parts."""
    if not any(b'"%s":' % name.encode() in ticket for name in left_out):
        return ticket
    record = orjson.loads(ticket)
    for part in record["ticket_parts"]["ticket_parts"]:
        for name in left_out & part.keys():
            del part[name]
    return orjson.dumps(record)


def _texts(records: list[Record]) -> list[bytes]:
    return [orjson.dumps(each) for each in records]


def _cursor(position: int) -> str:
    return base64.b64encode(orjson.dumps({"id": position})).decode()


def _position(cursor: str) -> int:
    try:
        return int(orjson.loads(base64.b64decode(cursor, validate=True))["id"])
    except (binascii.Error, TypeError, ValueError, KeyError):
        raise RefusalError(400, "client_error", "cursor is not a valid cursor") from None
