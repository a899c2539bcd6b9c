"""The fields of contacts, companies and conversations, built in and custom."""

from __future__ import annotations

from collections.abc import Mapping

from intercom_sandbox.calls import RefusalError
from intercom_sandbox.records import Record
from intercom_sandbox.resource import Asked, Resource
from intercom_sandbox.resource_sample import Sample

_Attributes = tuple[tuple[str, str, Record], ...]
_CONTACT_BUILT_IN = {
    "string": (
        "id role name avatar email email_domain phone external_id language_override browser"
        " browser_version browser_language os location.country location.region location.city"
        " location.country_code location.continent_code referrer utm_campaign utm_content"
        " utm_medium utm_source utm_term ios_app_name ios_app_version ios_device ios_os_version"
        " ios_sdk_version android_app_name android_app_version android_device"
        " android_os_version android_sdk_version"
    ),
    "integer": "owner_id",
    "boolean": "unsubscribed_from_emails marked_email_as_spam has_hard_bounced",
    "date": (
        "created_at signed_up_at updated_at last_seen_at last_contacted_at last_replied_at"
        " last_email_opened_at last_email_clicked_at ios_last_seen_at android_last_seen_at"
    ),
}
_COMPANY_BUILT_IN = {
    "string": "id name company_id app_id plan.id plan.name industry website",
    "integer": "user_count session_count size",
    "float": "monthly_spend",
    "date": "created_at updated_at remote_created_at last_request_at",
}
_CONTACT_CUSTOM: _Attributes = (
    ("Plan", "string", {"options": ["free", "team", "business", "enterprise"]}),
    ("plan", "string", {"description": "The plan's code, from billing"}),
    ("seats", "integer", {}),
    ("score", "float", {}),
    ("is beta user", "boolean", {}),
    ("trial_ends_at", "date", {}),
    ("Größe", "integer", {"label": "Size of the team"}),
    ("old score", "integer", {"archived": True}),
)
_COMPANY_CUSTOM: _Attributes = (
    ("renewal date", "date", {}),
    ("arr", "float", {}),
    ("is_partner", "boolean", {}),
    ("CRM id", "string", {}),
    ("headcount", "integer", {}),
    ("legacy tier", "string", {"archived": True}),
)
_CATEGORIES = [
    {"id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "label": "Bug", "archived": False},
    {"id": "b2c3d4e5-f6a7-8901-bcde-f01234567891", "label": "Idea", "archived": True},
]
_CONVERSATION_CUSTOM: _Attributes = (
    ("Category", "list", {"options": _CATEGORIES}),
    ("Copilot used", "boolean", {}),
    ("CSat Feedback", "string", {"multiline": True}),
    ("Orders", "relationship", {"reference": {"type": "many", "object_type_id": "Order"}}),
    ("Amount", "decimal", {}),
    ("Attempts", "integer", {}),
    ("Due", "datetime", {}),
    ("Screenshots", "files", {}),
    ("Old reason", "string", {"archived": True, "multiline": False}),
)


def _built_in(types: Mapping[str, str]) -> tuple[Record, ...]:
    """What differs between the attributes that every workspace has."""
    return tuple(
        {
            "name": full_name.rpartition(".")[2],
            "full_name": full_name,
            "label": full_name.rpartition(".")[2].replace("_", " ").capitalize(),
            "data_type": data_type,
        }
        for data_type, names in types.items()
        for full_name in names.split()
    )


def _shape(model: str) -> Record:
    """A built-in attribute: without id, times and admin, as real answers show it."""
    return {
        "type": "data_attribute",
        "model": model,
        "name": "",
        "full_name": "",
        "label": "",
        "description": "",
        "data_type": "string",
        "api_writable": False,
        "messenger_writable": False,
        "ui_writable": False,
        "custom": False,
        "archived": False,
    }


def _contact_and_company_attributes(sample: Sample) -> None:
    times = {"created_at": sample.start, "updated_at": sample.start}
    for model, attributes in (("contact", _CONTACT_CUSTOM), ("company", _COMPANY_CUSTOM)):
        for name, data_type, fields in attributes:
            sample.workspace.add_data_attribute(model, name, data_type, **times, **fields)


def _listed_attributes(asked: Asked) -> list[Record]:
    model = asked.query.get("model")
    if model == "conversation" and asked.version < (2, 16):
        return asked.kept("conversation_attributes")
    if model not in (None, "contact", "company"):
        reason = "is not valid"
        if model == "conversation":
            reason = "is no longer supported. Use GET /conversations/attributes instead."
        raise RefusalError(422, "parameter_invalid", f"model={model} {reason}")
    models = (model,) if model else ("contact", "company")
    return [record for each in models for record in asked.kept(f"{each}_attributes")]


CONTACT_ATTRIBUTES = Resource(
    "contact_attributes",
    "/data_attributes",
    ("users_companies_read",),
    key=("full_name",),
    times=(),
    lists_archived=False,
    choose=_listed_attributes,
    shape=_shape("contact"),
    built_in=_built_in(_CONTACT_BUILT_IN),
    is_basic=True,
    sample=_contact_and_company_attributes,
)
COMPANY_ATTRIBUTES = Resource(
    "company_attributes",
    "",
    key=("full_name",),
    times=(),
    shape=_shape("company"),
    built_in=_built_in(_COMPANY_BUILT_IN),
    is_basic=True,
)


def _conversation_attributes(sample: Sample) -> None:
    times = {"created_at": sample.start, "updated_at": sample.start}
    for name, data_type, fields in _CONVERSATION_CUSTOM:
        sample.add("conversation_attributes", name=name, data_type=data_type, **times, **fields)


CONVERSATION_ATTRIBUTES = Resource(
    "conversation_attributes",
    "/conversations/attributes",
    ("conversations",),
    since=(2, 16),
    ids="integer",
    first_id=1,
    lists_archived=False,
    shape={
        "type": "conversation_attribute",
        "id": 0,
        "name": "",
        "description": "",
        "data_type": "string",
        "required": False,
        "visible_to_team_ids": [],
        "archived": False,
        "admin_id": "7000001",
    },
    is_basic=True,
    sample=_conversation_attributes,
)


RESOURCES = (
    CONTACT_ATTRIBUTES,
    COMPANY_ATTRIBUTES,
    CONVERSATION_ATTRIBUTES,
)
