"""Contacts, and what the workspace knows of them in general."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from tap_intercom.client import Answer
from tap_intercom.pages import Numbered
from tap_intercom.settings import Settings
from tap_intercom.streams.base import Probe, Record
from tap_intercom.streams.lists import ListStream
from tap_intercom.streams.search import SearchStream, WholeList

USERS_AND_COMPANIES = "Read and list users and companies"


class Contacts(SearchStream):
    """One record per contact, users and leads alike. Source: POST /contacts/search."""

    name = "contacts"
    path = "/contacts/search"
    permission = USERS_AND_COMPANIES
    is_selected_by_default = True
    cost = (
        "1 for 150 changed contacts, and about three days' worth more; "
        "1 for each with more than 10 tags or companies"
    )
    by_days = True
    attributes = "contact"
    nested = {
        "tags": "data",
        "companies": "data",
        "opted_in_subscription_types": "data",
        "opted_out_subscription_types": "data",
    }
    whole_lists = {
        "tags": WholeList("/contacts/{id}/tags", "data"),
        "companies": WholeList("/contacts/{id}/companies", "data", Numbered(60)),
    }

    def prepare(self, record: Record) -> Record:
        record = super().prepare(record)
        avatar = record.get("avatar")
        if isinstance(avatar, dict):
            record["avatar"] = avatar.get("image_url")
        return record


class AttributeStream(ListStream):
    """Descriptions of the attributes of one model, archived ones too.

    Built-in attributes have no id, and descriptions change: model and full_name are what stays
    (API-G3).
    """

    model: ClassVar[str]
    path = "/data_attributes"
    permission = USERS_AND_COMPANIES
    key_properties = ("_sdc_record_hash",)
    is_selected_by_default = True

    def probe(self, settings: Settings) -> Probe:
        return Probe(self.path, {"include_archived": "true"})

    def count(self, answer: Answer) -> int | None:
        return len([each for each in self.records(answer) if each.get("model") == self.model])

    def prepare(self, record: Record) -> Record:
        identity = f"{record.get('model')}\n{record.get('full_name')}"
        record["_sdc_record_hash"] = hashlib.sha256(identity.encode()).hexdigest()
        return record


class ContactAttributes(AttributeStream):
    """One record per attribute of contacts. Source: GET /data_attributes?model=contact."""

    name = "contact_attributes"
    model = "contact"
    params = {"model": "contact", "include_archived": "true"}


class Segments(ListStream):
    """One record per segment of contacts. Source: GET /segments."""

    name = "segments"
    path = "/segments"
    records_key = "segments"
    replication_key = "updated_at"
    permission = USERS_AND_COMPANIES
    is_selected_by_default = True
    params = {"include_count": "true"}
