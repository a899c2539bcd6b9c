"""What contacts subscribe to, and objects that a workspace defines for itself."""

from __future__ import annotations

from intercom_sandbox.records import Record
from intercom_sandbox.resource import Resource
from intercom_sandbox.resource_sample import Sample, spread
from intercom_sandbox.versions import PREVIEW


def _subscription_types(sample: Sample) -> None:
    for number, name in enumerate(("Newsletters", "Product news", "Old offers")):
        words = {"name": name, "description": f"All about {name.lower()}", "locale": "en"}
        sample.add(
            "subscription_types",
            state=("live", "draft", "archived")[number],
            consent_type=("opt_out", "opt_in")[number % 2],
            default_translation=words,
            translations=[words, words | {"locale": "de"}],
            content_types=["email"] if number else ["email", "sms_message"],
        )


SUBSCRIPTION_TYPES = Resource(
    "subscription_types",
    "/subscription_types",
    ("users_companies_read",),
    times=(),
    shape={
        "type": "subscription",
        "id": "",
        "state": "live",
        "consent_type": "opt_out",
        "default_translation": {"name": "", "description": "", "locale": "en"},
        "translations": [],
        "content_types": ["email"],
    },
    sample=_subscription_types,
)


def _custom_object_instances(sample: Sample) -> None:
    for number in range(sample.count):
        times = sample.times(number)
        sample.add(
            "custom_object_instances",
            type="Order",
            external_id=f"order-{number + 1}",
            external_created_at=sample.maybe(times["created_at"]),
            external_updated_at=sample.maybe(times["updated_at"]),
            custom_attributes={"order_number": f"ORDER-{number + 1:05}", "total": 149.99},
            **times,
        )


CUSTOM_OBJECT_TYPES = Resource(
    "custom_object_types",
    "",
    times=(),
    shape={"id": ""},
)


CUSTOM_OBJECT_INSTANCES = Resource(
    "custom_object_instances",
    "/custom_object_instances/{id}",
    ("custom_objects",),
    since=(2, 16),
    paging="numbers",
    sizes=(20, 150),
    key=("type", "id"),
    parent="custom_object_types",
    parent_field="type",
    makes_parent=True,
    shape={
        "id": "",
        "type": "",
        "external_id": "",
        "external_created_at": None,
        "external_updated_at": None,
        "custom_attributes": {},
    },
    sample=_custom_object_instances,
)


def _contact_activities(sample: Sample) -> None:
    """What happened to a few contacts; some of them no longer exist."""
    contact_ids = list(sample.workspace.contacts.texts) or ["6329bd9ffe4e2e91dc5d6a1e"]
    count = sample.count * 4
    for number in range(count):
        contact_id = contact_ids[number // 4 % len(contact_ids)]
        gone_id = f"{number:024x}"
        merge: Record = {"merge_source_id": gone_id, "merge_target_id": contact_id}
        kind, fields = (
            ("created", {"role": "lead", "external_id": f"user-{number}"}),
            ("role_updated", {"role": "user", "external_id": f"user-{number}"}),
            ("merged", {"role": "user", **merge}),
            ("deleted", {"role": "user"})
            if number % 8 == 3
            else ("merge_failed", {**merge, "failure_reason": "duplicate_external_id"}),
        )[number % 4]
        instant = spread(sample, number, count)["updated_at"]
        sample.add(
            "contact_activities",
            id=f"{instant * 1000}.{number:06x}",
            event_type=f"contact.{kind}",
            contact_id=gone_id if kind == "deleted" else contact_id,
            created_at=instant,
            **fields,
        )


CONTACT_ACTIVITIES = Resource(
    "contact_activities",
    "/contacts/activities",
    ("users_companies_read",),
    since=PREVIEW,
    paging="cursor",
    sizes=(50, 150),
    oldest_first="created_at",
    times=("created_at",),
    omits_null=True,
    shape={
        "type": "contact_activity",
        "id": "",
        "event_type": "contact.created",
        "contact_id": "",
        "external_id": None,
        "role": None,
        "merge_source_id": None,
        "merge_target_id": None,
        "failure_reason": None,
    },
    sample=_contact_activities,
)


RESOURCES = (
    SUBSCRIPTION_TYPES,
    CUSTOM_OBJECT_TYPES,
    CUSTOM_OBJECT_INSTANCES,
    CONTACT_ACTIVITIES,
)
