"""The searchable fields, and where a record keeps them."""

from __future__ import annotations

from typing import Any

from .records import Record
from .workspace import Workspace

_CONTACT = """
    id role name avatar owner_id email email_domain phone formatted_phone external_id created_at
    signed_up_at updated_at last_seen_at last_contacted_at last_replied_at last_email_opened_at
    last_email_clicked_at language_override browser browser_language os location.country
    location.region location.city unsubscribed_from_emails marked_email_as_spam has_hard_bounced
    ios_last_seen_at ios_app_version ios_device ios_app_device ios_os_version ios_app_name
    ios_sdk_version android_last_seen_at android_app_version android_device android_app_name
    andoid_sdk_version segment_id tag_id
    """
CONTACT_FIELDS = frozenset(_CONTACT.split())
_STATISTICS = """
    time_to_assignment time_to_admin_reply time_to_first_close time_to_last_close
    median_time_to_reply first_contact_reply_at first_assignment_at first_admin_reply_at
    first_close_at last_assignment_at last_assignment_admin_reply_at last_contact_reply_at
    last_admin_reply_at last_close_at last_closed_by_id count_reopens count_assignments
    count_conversation_parts
"""
_AI_AGENT = "resolution_state last_answer_type rating rating_remark source_type source_title"
_CONVERSATION = """
    id created_at updated_at source.type source.id source.delivered_as source.subject source.body
    source.author.id source.author.type source.author.name source.author.email source.url
    contact_ids teammate_ids admin_assignee_id team_assignee_id channel_initiated open read state
    waiting_since snoozed_until tag_ids priority ai_agent_participated
    conversation_rating.requested_at conversation_rating.replied_at conversation_rating.score
    conversation_rating.remark conversation_rating.contact_id conversation_rating.admin_d
    """
CONVERSATION_FIELDS = frozenset(
    _CONVERSATION.split()
    + [f"statistics.{name}" for name in _STATISTICS.split()]
    + [f"ai_agent.{name}" for name in _AI_AGENT.split()]
)
_TICKET = """
    id created_at updated_at title description category ticket_type_id contact_ids teammate_ids
    admin_assignee_id team_assignee_id open state snoozed_until
    """
TICKET_FIELDS = frozenset(_TICKET.split())

_PLACES = {
    "andoid_sdk_version": "android_sdk_version",
    "ios_app_device": "ios_device",
    "formatted_phone": "phone",
    "contact_ids": "contacts.contacts.id",
    "teammate_ids": "teammates.admins.id",
    "tag_ids": "tags.tags.id",
    "channel_initiated": "channel.initial",
    "conversation_rating.requested_at": "conversation_rating.created_at",
    "conversation_rating.replied_at": "conversation_rating.updated_at",
    "conversation_rating.score": "conversation_rating.rating",
    "conversation_rating.contact_id": "conversation_rating.contact.id",
    "conversation_rating.admin_d": "conversation_rating.teammate.id",
}
_TICKET_PLACES = {
    "title": "ticket_attributes._default_title_",
    "description": "ticket_attributes._default_description_",
    "ticket_type_id": "ticket_type.id",
    "contact_ids": "contacts.contacts.id",
    "state": "ticket_state.category",
}
_TICKET_CATEGORIES = {"Customer": "request", "Back-office": "task", "Tracker": "tracker"}
_OTHER_DATES = frozenset(("waiting_since", "snoozed_until"))


def is_date(field: str) -> bool:
    """Whether a standard field holds an instant."""
    return field.endswith("_at") or field in _OTHER_DATES


def values_of(workspace: Workspace, record: Record, field: str) -> list[Any]:
    """Return the values of a field; an empty list for null."""
    if field == "tag_id":
        return workspace.nested_ids(record["id"], "tags")
    if field == "segment_id":
        return list(workspace.contact_segment_ids.get(record["id"], ()))
    if field.startswith("custom_attributes."):
        # Names of attributes may contain dots.
        value = record["custom_attributes"].get(field.partition(".")[2])
        return _flat(value)
    if record["type"] == "ticket":
        if field == "category":
            return [_TICKET_CATEGORIES[record["category"]]]
        if field.startswith("ticket_attribute."):
            return _ticket_attribute(record, field.partition(".")[2])
        places = _TICKET_PLACES
    else:
        places = _PLACES
    values: list[Any] = [record]
    for step in places.get(field, field).split("."):
        values = [
            inner for value in values if isinstance(value, dict) for inner in _flat(value.get(step))
        ]
    return values


def _ticket_attribute(ticket: Record, attribute_id: str) -> list[Any]:
    attributes = (ticket["ticket_type"] or {}).get("ticket_type_attributes") or {}
    for attribute in attributes.get("data", ()):
        if attribute["id"] == attribute_id:
            return _flat(ticket["ticket_attributes"].get(attribute["name"]))
    return []


def _flat(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
