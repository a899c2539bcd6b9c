"""The shapes of Intercom's objects, version 2.16, with no values set.

Contacts and conversations send null for unset values; companies and admins omit them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]

NESTED_LIMIT = 10
"""A contact shows at most this many of its tags, companies, notes and subscriptions."""

PARTS_LIMIT = 500
"""A conversation or a ticket shows at most this many of its parts, the newest ones."""

_PATCHED = ("custom_attributes", "ticket_attributes", "source", "author")


def update(record: Record, fields: Record) -> None:
    """Set fields in place; objects that the API allows to patch are patched, not replaced."""
    for field, value in fields.items():
        if isinstance(value, dict) and field in _PATCHED:
            record[field] = (record.get(field) or {}) | value
        else:
            record[field] = value


def without_nulls(record: Record) -> Record:
    return {field: value for field, value in record.items() if value is not None}


def nested_list(kind: str, ids: Sequence[str], url: str, total_count: int | None = None) -> Record:
    """Return a full list inside a contact; `cut_nested_lists` reduces it to what the API sends."""
    return {
        "type": "list",
        "data": [{"id": each, "type": kind, "url": f"/{_plural(kind)}/{each}"} for each in ids],
        "url": url,
        "total_count": len(ids) if total_count is None else total_count,
        "has_more": False,
    }


def _plural(kind: str) -> str:
    return "companies" if kind == "company" else f"{kind}s"


def contact(contact_id: str, workspace_id: str, now: int) -> Record:
    root = f"/contacts/{contact_id}"
    return {
        "type": "contact",
        "id": contact_id,
        "workspace_id": workspace_id,
        "external_id": None,
        "role": "user",
        "email": None,
        "email_domain": None,
        "phone": None,
        "name": None,
        "avatar": None,
        "owner_id": None,
        "social_profiles": {"type": "list", "data": []},
        "has_hard_bounced": False,
        "marked_email_as_spam": False,
        "unsubscribed_from_emails": False,
        "unsubscribed_from_sms": False,
        "sms_consent": False,
        "enabled_push_messaging": None,
        "created_at": now,
        "updated_at": now,
        "signed_up_at": None,
        "last_seen_at": None,
        "last_replied_at": None,
        "last_contacted_at": None,
        "last_email_opened_at": None,
        "last_email_clicked_at": None,
        "language_override": None,
        "browser": None,
        "browser_version": None,
        "browser_language": None,
        "os": None,
        "location": {
            "type": "location",
            "country": None,
            "region": None,
            "city": None,
            "country_code": None,
            "continent_code": None,
        },
        "android_app_name": None,
        "android_app_version": None,
        "android_device": None,
        "android_os_version": None,
        "android_sdk_version": None,
        "android_last_seen_at": None,
        "ios_app_name": None,
        "ios_app_version": None,
        "ios_device": None,
        "ios_os_version": None,
        "ios_sdk_version": None,
        "ios_last_seen_at": None,
        "custom_attributes": {},
        "tags": nested_list("tag", (), f"{root}/tags"),
        "notes": nested_list("note", (), f"{root}/notes"),
        "companies": nested_list("company", (), f"{root}/companies"),
        "opted_out_subscription_types": nested_list("subscription", (), f"{root}/subscriptions"),
        "opted_in_subscription_types": nested_list("subscription", (), f"{root}/subscriptions"),
        "referrer": None,
        "utm_campaign": None,
        "utm_content": None,
        "utm_medium": None,
        "utm_source": None,
        "utm_term": None,
    }


def company(company_id: str, app_id: str, now: int) -> Record:
    root = f"/companies/{company_id}"
    return {
        "type": "company",
        "id": company_id,
        "company_id": company_id,
        "app_id": app_id,
        "name": "",
        "created_at": now,
        "updated_at": now,
        "monthly_spend": 0,
        "session_count": 0,
        "user_count": 0,
        "plan": {},
        "custom_attributes": {},
        "tags": {"type": "tag.list", "tags": []},
        "segments": {"type": "segment.list", "segments": []},
        "notes": {
            "type": "note.list",
            "data": [],
            "total_count": 0,
            "has_more": False,
            "url": f"{root}/notes",
        },
    }


def conversation(conversation_id: str, now: int) -> Record:
    return {
        "type": "conversation",
        "id": conversation_id,
        "title": None,
        "created_at": now,
        "updated_at": now,
        "waiting_since": None,
        "snoozed_until": None,
        "open": True,
        "state": "open",
        "read": False,
        "priority": "none",
        "admin_assignee_id": 0,
        "team_assignee_id": 0,
        "company": None,
        "tags": {"type": "tag.list", "tags": []},
        "conversation_rating": None,
        "source": {
            "type": "conversation",
            "id": None,
            "delivered_as": "customer_initiated",
            "recipients": None,
            "reply_to": None,
            "subject": "",
            "body": "",
            "author": {"type": "user", "id": None, "name": None, "email": None},
            "attachments": [],
            "url": None,
            "redacted": False,
            "email_message_metadata": None,
        },
        "contacts": {"type": "contact.list", "contacts": []},
        "teammates": {"type": "admin.list", "admins": []},
        "custom_attributes": {},
        "first_contact_reply": None,
        "sla_applied": None,
        "statistics": None,
        "linked_objects": {"type": "list", "data": [], "total_count": 0, "has_more": False},
        "topics": {},
        "ticket": None,
        "ai_agent_participated": False,
        "ai_agent": None,
        "sales_agent_participated": False,
        "sales_agent": None,
        "channel": {"initial": "messenger", "current": "messenger"},
        "external_references": [],
    }


def conversation_part(part_id: str, now: int) -> Record:
    return {
        "type": "conversation_part",
        "id": part_id,
        "part_type": "comment",
        "body": None,
        "created_at": now,
        "updated_at": now,
        "notified_at": now,
        "assigned_to": None,
        "author": {
            "type": "user",
            "id": "",
            "name": None,
            "email": "",
            "from_ai_agent": False,
            "is_ai_answer": False,
        },
        "attachments": [],
        "external_id": None,
        "redacted": False,
        "email_message_metadata": None,
        "metadata": {},
        "state": "open",
        "tags": None,
        "event_details": {},
        "translations": None,
        "app_package_code": None,
    }
