"""The kinds of tickets, and their states."""

from __future__ import annotations

from intercom_sandbox.records import Record
from intercom_sandbox.resource import Kept, Resource
from intercom_sandbox.resource_sample import Sample

TICKET_ATTRIBUTES: tuple[Record, ...] = (
    {
        "name": "_default_title_",
        "default": True,
        "input_options": {"multiline": False},
        "visible_to_contacts": True,
    },
    {
        "name": "_default_description_",
        "default": True,
        "input_options": {"multiline": True},
        "required_to_create": True,
    },
    {
        "name": "Severity",
        "description": "How bad it is",
        "data_type": "list",
        "input_options": {
            "list_options": [
                {"id": "9f1c", "name": "Low", "archived": False},
                {"id": "9f1d", "name": "High", "archived": False},
            ]
        },
    },
    {"name": "Order number", "data_type": "integer", "archived": True},
    {"name": "Amount", "data_type": "decimal", "visible_to_contacts": False},
    {"name": "Urgent", "data_type": "boolean"},
    {"name": "Due", "data_type": "datetime"},
    {
        "name": "Screenshots",
        "data_type": "files",
        "input_options": {"allow_multiple_values": True},
    },
    {"name": "Old code", "data_type": "string", "archived": True},
)
_STATES = (
    ("submitted", "Submitted"),
    ("in_progress", "In progress"),
    ("waiting_on_customer", "Waiting on you"),
    ("resolved", "Resolved"),
)


def _ticket_types(sample: Sample) -> None:
    """Ticket types and states, which name each other; the first type is that of tickets."""
    plain_types = []
    for number, (name, category) in enumerate(
        (("Bug report", "Customer"), ("Refund", "Back-office"), ("Outage", "Tracker"))
    ):
        type_id, times = str(53 + number), sample.times(number, 3)
        attributes = [
            TICKET_TYPE_ATTRIBUTES.shape
            | times
            | {
                "id": str(1650 + 10 * number + order),
                "workspace_id": sample.workspace.app["id_code"],
                "order": order,
                "ticket_type_id": int(type_id),
                **fields,
            }
            for order, fields in enumerate(TICKET_ATTRIBUTES)
        ]
        about = {
            "id": type_id,
            "name": name,
            "description": f"What a {name.lower()} needs",
            "category": category,
            "is_internal": category != "Customer",
            "archived": number == 2,
        }
        sample.add(
            "ticket_types",
            **about,
            **times,
            ticket_type_attributes={"type": "list", "data": attributes},
        )
        plain_types.append({"type": "ticket_type", "icon": "🎟️", **about})
    states = []
    for number, (category, label) in enumerate(_STATES):
        state = {
            "id": str(8269 + number),
            "category": category,
            "internal_label": label,
            "external_label": label,
        }
        sample.add(
            "ticket_states",
            **state,
            archived=False,
            ticket_types={"type": "list", "data": plain_types},
        )
        states.append({"type": "ticket_state", **state})
    for ticket_type in sample.workspace.truth("ticket_types"):
        sample.workspace.update_record(
            "ticket_types",
            ticket_type["id"],
            ticket_states={"type": "list", "data": states},
            updated_at=ticket_type["updated_at"],
        )


TICKET_TYPES = Resource(
    "ticket_types",
    "/ticket_types",
    ("tickets",),
    since=(2, 9),
    newer={"ticket_states": (2, 12)},
    shape={
        "type": "ticket_type",
        "id": "",
        "category": "Customer",
        "name": "",
        "description": "",
        "icon": "🎟️",
        "workspace_id": "",
        "is_internal": False,
        "ticket_type_attributes": {"type": "list", "data": []},
        "ticket_states": {"type": "list", "data": []},
        "archived": False,
    },
    sample=_ticket_types,
)


TICKET_STATES = Resource(
    "ticket_states",
    "/ticket_states",
    ("tickets",),
    since=(2, 12),
    times=(),
    shape={
        "type": "ticket_state",
        "id": "",
        "category": "submitted",
        "internal_label": "",
        "external_label": "",
        "archived": False,
        "ticket_types": {"type": "list", "data": []},
    },
)


def _attributes_of_types(kept: Kept) -> list[Record]:
    return [
        each | {"ticket_type_id": ticket_type["id"]}
        for ticket_type in kept("ticket_types")
        for each in ticket_type["ticket_type_attributes"]["data"]
    ]


TICKET_TYPE_ATTRIBUTES = Resource(
    "ticket_type_attributes",
    "",
    times=(),
    shape={
        "type": "ticket_type_attribute",
        "id": "",
        "workspace_id": "",
        "name": "",
        "description": "",
        "data_type": "string",
        "input_options": None,
        "order": 0,
        "required_to_create": False,
        "required_to_create_for_contacts": False,
        "visible_on_create": True,
        "visible_to_contacts": True,
        "default": False,
        "ticket_type_id": 0,
        "archived": False,
        "created_at": 0,
        "updated_at": 0,
    },
    derive=_attributes_of_types,
)


RESOURCES = (
    TICKET_TYPES,
    TICKET_STATES,
    TICKET_TYPE_ATTRIBUTES,
)
