"""Edits of every table of a sandbox, as people and apps make them."""

from __future__ import annotations

import time

from intercom_sandbox import Workspace
from intercom_sandbox.record_edits import TABLES, add, delete, edit, listed
from intercom_sandbox.resources import RESOURCES

# The first of these that a record has is edited.
TEXTS = ("name", "title", "body", "label", "description", "subject")
# Made with their parents below, or only once.
NOT_ADDED = {
    *("article_statistics", "article_versions", "company_notes", "contact_notes"),
    *("conversation_parts", "data_connector_executions", "office_hours_exceptions", "redirects"),
    *("team_metrics", "ticket_parts"),
    *("custom_object_types", "ip_allowlist"),
    # Attributes are columns, so these are for a test of columns.
    *("company_attributes", "contact_attributes", "conversation_attributes", "ticket_types"),
}
# Others name records of these, and do not change when one of them goes.
NOT_DELETED = {
    *("admins", "teams", "tags", "segments", "company_segments", "custom_object_types"),
    *("ip_allowlist", "team_metrics", "ticket_types", "ticket_states", "article_statistics"),
    *("company_attributes", "contact_attributes", "conversation_attributes"),
    *("company_notes", "conversation_parts", "ticket_parts", "articles", "data_connectors"),
    *("newsfeeds", "help_centers", "office_hours_schedules", "subscription_types"),
}
FIELDS: dict[str, dict[str, object]] = {
    "activity_log_event_types": {"event_type": "app_name_change_by_api"},
    "custom_object_instances": {"type": "Order"},
}
Gone = dict[tuple[str, ...], str]


def add_everywhere(workspace: Workspace) -> None:
    """Add a record to each table."""
    for table in sorted(set(TABLES) - NOT_ADDED):
        add(workspace, table, FIELDS.get(table, {}))
    contact_id = add(workspace, "contacts", {"name": "New"})["id"]
    company_id = add(workspace, "companies", {"name": "New"})["id"]
    conversation_id = add(workspace, "conversations", {"contacts": [contact_id]})["id"]
    ticket_id = add(workspace, "tickets", {"contacts": [contact_id]})["id"]
    workspace.attach_company(contact_id, company_id)
    for table, owner in (
        ("company_notes", {"company_id": company_id}),
        ("contact_notes", {"contact_id": contact_id}),
        ("conversation_parts", {"conversation_id": conversation_id}),
        ("ticket_parts", {"ticket_id": ticket_id}),
    ):
        add(workspace, table, {**owner, "body": "<p>New</p>"})
    article_id = workspace.record_keys("articles")[-1]
    add(workspace, "article_versions", {"article_id": article_id, "title": "New"})
    tag_id = workspace.record_keys("tags")[-1]
    workspace.tag_contact(contact_id, tag_id)
    workspace.tag_company(company_id, tag_id)
    workspace.tag_conversation(conversation_id, tag_id)
    workspace.add_side_conversation(conversation_id)
    workspace.add_call(conversation_id, [{"text": "Hello"}])
    workspace.add_fin_voice_call(conversation_id)
    workspace.load_events(contact_id, [{"event_name": "new", "created_at": int(time.time())}])
    for group, rows in workspace.export_rows.items():
        if rows:
            workspace.add_export_row(group, int(time.time()) - 86_400, **_like(rows[-1]))


def _like(row: dict[str, object]) -> dict[str, object]:
    """Another row, with ids of its own."""
    return {
        name: f"{value}0" if name.endswith("receipt_id") else value
        for name, value in row.items()
        if name != "sent_at"
    }


def edit_everywhere(workspace: Workspace, number: int) -> None:
    """Edit a record of each table, and all contacts, companies, conversations and tickets."""
    text = f"Edit {number}: a\nb\t\"c\" 'd' \\ 🙂"
    for table in TABLES:
        records = listed(workspace, table)
        names = [name for name in TEXTS if records and name in records[0]]
        if names and not table.endswith(("_notes", "_attributes", "_versions")):
            edit(workspace, table, key_in(table, records[0]), {names[0]: text})
    for contact_id in list(workspace.contacts.texts):
        workspace.update_contact(contact_id, name=f"{text} {contact_id}")
    for company_id in list(workspace.companies.texts):
        workspace.update_company(company_id, name=f"{text} {company_id}")
    for conversation_id in list(workspace.conversations.texts):
        workspace.reply(conversation_id, f"<p>{text}</p>")
    for ticket_id in list(workspace.tickets.texts):
        workspace.add_ticket_part(ticket_id, body=text)


def delete_everywhere(workspace: Workspace) -> Gone:
    """Delete a record of each table that has them deleted; gives the rows of `deletions`."""
    contacts = list(workspace.contacts.texts)
    gone: Gone = {("contacts", contacts[-1]): "archived", ("contacts", contacts[-2]): "merged"}
    workspace.archive_contact(contacts[-1])
    tagged = next(each for each in contacts if workspace.contact(each)["tags"]["data"])
    workspace.merge_contacts(contacts[-2], tagged)
    workspace.untag_contact(tagged, workspace.contact(tagged)["tags"]["data"][0]["id"])
    for table in sorted(set(TABLES) - NOT_DELETED):
        records = listed(workspace, table)
        if not records:
            continue
        record = delete(workspace, table, key_in(table, records[-1]))
        if table in ("companies", "contacts", "conversations"):
            gone[table, record["id"]] = "deleted"
    return gone


def key_in(table: str, record: dict[str, object]) -> str:
    names = RESOURCES[table].key if table in RESOURCES else ("id",)
    return "/".join(str(record[name]) for name in names)
