"""Contacts, with their attributes, segments, events and custom objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from urllib.parse import quote

from tap_intercom.errors import ConfigError, ResponseError
from tap_intercom.intercom.client import Answer, Client
from tap_intercom.intercom.pages import WHOLE, ByCursor, ByTime, Numbered, read_pages
from tap_intercom.reading.children import ChildStream, Parent
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.nested import NestedList, WholeList
from tap_intercom.reading.search import SearchStream
from tap_intercom.reading.stream import EmbeddedStream, Probe, Stream, list_of, record_hash
from tap_intercom.reading.stream_run import Batch, Opening, Record, StreamRun
from tap_intercom.settings import Settings
from tap_intercom.streams.workspace import NOT_DOCUMENTED_AGE
from tap_intercom.versions import PREVIEW

DATA_ATTRIBUTES = "/data_attributes"
USERS_AND_COMPANIES = "Read and list users and companies"
OF_CONTACT = {"contact_id": "id", "contact_updated_at": "updated_at"}
TYPE = "type:"

# Search returns at most ten entries of each of these lists (API-J10).
TAGS = NestedList(
    "tags",
    ("data", "tags"),
    whole=WholeList("/contacts/{id}/tags", keys=("data", "tags"), link="/tags/{id}"),
    counts_hidden=True,
)
COMPANIES = NestedList(
    "companies",
    ("data", "companies"),
    # Real answers use the first key, the documentation the second (API-F2).
    whole=WholeList(
        "/contacts/{id}/companies", Numbered(60), ("data", "companies"), link="/companies/{id}"
    ),
)
NOTES = NestedList(
    "notes",
    ("data", "notes"),
    whole=WholeList("/contacts/{id}/notes", Numbered(50), link="/notes/{id}"),
)
OPTED_IN, OPTED_OUT = (
    NestedList(
        f"opted_{way}_subscription_types",
        whole=WholeList(
            "/contacts/{id}/subscriptions",
            link="/subscription_types/{id}",
            consent_type=f"opt_{way}",
        ),
    )
    for way in ("in", "out")
)
MERGE_HISTORY = NestedList(
    "merge_history",
    is_bare=True,
    whole=WholeList("/contacts/{id}/merge_history", ByCursor(150)),
    # Search sends it without a count, so a long list may be cut.
    uncounted_limit=10,
)


def may_have(notes: NestedList, record: Record) -> bool:
    """Whether a contact or company has notes, or does not say."""
    found = notes.read(record)
    return bool(found.entries or found.missing or notes.total(record) is None)


class ContactTag(EmbeddedStream):
    """Source: POST /contacts/search."""

    summary = "One record per tag on each contact that changed."
    name = "contact_tag"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per changed contact with more than 10 tags"
    key_properties = ("contact_id", "tag_id")
    replication_key = "contact_updated_at"
    from_parent = OF_CONTACT
    nested_list = TAGS
    select = {"tag_id": "id"}


class ContactCompany(EmbeddedStream):
    """Source: POST /contacts/search."""

    summary = "One record per company of each contact that changed."
    advice = (
        "Take this table, not [company_contact](companies.md#company_contact). Both have the same "
        "pairs, but these come inside the contacts. Only a contact with more than 10 companies "
        "needs a request."
    )
    name = "contact_company"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per changed contact with more than 10 companies"
    key_properties = ("contact_id", "company_id")
    replication_key = "contact_updated_at"
    from_parent = OF_CONTACT
    nested_list = COMPANIES
    select = {"company_id": "id"}


class ContactMergeHistory(EmbeddedStream):
    """Source: POST /contacts/search?include_merge_history=true."""

    summary = "One record per contact that was merged into a contact that changed."
    name = "contact_merge_history"
    permission = USERS_AND_COMPANIES
    first_version = (2, 16)
    key_properties = ("contact_id", "source_contact_id")
    replication_key = "contact_updated_at"
    from_parent = OF_CONTACT
    nested_list = MERGE_HISTORY


class ContactNotes(ChildStream):
    """Source: GET /contacts/{id}/notes."""

    summary = "One record per note on each contact that changed."
    name = "contact_notes"
    path = "/contacts/{id}/notes"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per changed contact with notes"
    replication_key = "contact_updated_at"
    instant_field = "created_at"
    from_parent = OF_CONTACT
    paging = Numbered(50)
    html_fields = ("body",)

    def may_have_any(self, parent: Record) -> bool:
        return may_have(NOTES, parent)


class ContactSegment(ChildStream):
    """Source: GET /contacts/{id}/segments."""

    summary = "One record per segment of each contact that changed."
    name = "contact_segment"
    path = "/contacts/{id}/segments"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per changed contact"
    key_properties = ("contact_id", "segment_id")
    replication_key = "contact_updated_at"
    from_parent = OF_CONTACT
    select = {"segment_id": "id", "segment_name": "name"}


class ContactSubscription(ChildStream):
    """Source: GET /contacts/{id}/subscriptions."""

    summary = "One record per subscription of each contact that changed."
    name = "contact_subscription"
    path = "/contacts/{id}/subscriptions"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per changed contact"
    key_properties = ("contact_id", "subscription_type_id")
    replication_key = "contact_updated_at"
    from_parent = OF_CONTACT
    select = {"subscription_type_id": "id", "state": "state", "consent_type": "consent_type"}


class Events(ChildStream):
    """Source: GET /events?type=user, which keeps 90 days (API-F2). Events have no key."""

    summary = "One record per event of the last 90 days, for each user that changed."
    name = "events"
    path = "/events"
    records_key = "events"
    permission = "Read events"
    request_cost = "1 per changed user and page of its events"
    key_properties = ("_sdc_record_hash",)
    replication_key = "contact_updated_at"
    from_parent = OF_CONTACT
    is_append_only = True
    not_sent_again = "events older than 90 days"
    paging = ByTime()

    def may_have_any(self, parent: Record) -> bool:
        return parent.get("role") != "lead"

    def url_params(self, run: StreamRun, parent: Parent) -> dict[str, str]:
        return {"type": "user", "intercom_user_id": str(parent.id)}

    def post_process(self, record: Record) -> Record:
        names = ("contact_id", "event_name", "created_at", "id", "metadata")
        record["_sdc_record_hash"] = record_hash([record.get(name) for name in names])
        return record


class EventSummaries(ChildStream):
    """Source: GET /events?type=user&summary=true."""

    summary = "One record per kind of event of each user that changed, with its count."
    name = "event_summaries"
    path = "/events"
    records_key = "events"
    permission = "Read events"
    request_cost = "1 per changed user"
    key_properties = ("contact_id", "name")
    replication_key = "contact_updated_at"
    from_parent = OF_CONTACT

    def may_have_any(self, parent: Record) -> bool:
        return parent.get("role") != "lead"

    def url_params(self, run: StreamRun, parent: Parent) -> dict[str, str]:
        return {"type": "user", "intercom_user_id": str(parent.id), "summary": "true"}


class Contacts(SearchStream):
    """Source: POST /contacts/search."""

    summary = "One record per contact, user or lead."
    name = "contacts"
    path = "/contacts/search"
    permission = USERS_AND_COMPANIES
    is_selected_by_default = True
    request_cost = (
        "1 per 150 changed contacts, plus about three more days of contacts; "
        "1 per contact with more than 10 tags, companies, notes, subscriptions or merges"
    )
    searches_by_day = True
    attributes = "contact"
    nested = {
        "avatar": "image_url",
        "tags": "data",
        "companies": "data",
        "opted_in_subscription_types": "data",
        "opted_out_subscription_types": "data",
    }
    lists = (TAGS, COMPANIES, NOTES, OPTED_IN, OPTED_OUT, MERGE_HISTORY)
    embedded = (ContactTag(), ContactCompany(), ContactMergeHistory())
    children = (
        ContactNotes(),
        ContactSegment(),
        ContactSubscription(),
        Events(),
        EventSummaries(),
    )

    def url_params(self, run: StreamRun) -> dict[str, str]:
        is_wanted = ContactMergeHistory.name in run.selections or (
            run.shows(self.name, MERGE_HISTORY.name)
        )
        is_known = run.settings.version >= ContactMergeHistory.first_version
        return {"include_merge_history": "true"} if is_wanted and is_known else {}


def with_attribute_hash(_: Stream, record: Record) -> Record:
    """Give the description of an attribute a key, as the `post_process` of its table.

    Built-in attributes have no id, and descriptions change: model and full_name are what stays
    (API-G3).
    """
    identity = f"{record.get('model')}\n{record.get('full_name')}"
    record["_sdc_record_hash"] = hashlib.sha256(identity.encode()).hexdigest()
    return record


def probe_attributes(_: Stream, settings: Settings) -> Probe:
    """Return one probe for the attributes of all models."""
    return Probe(DATA_ATTRIBUTES, {"include_archived": "true"})


def count_attributes(stream: ListStream, answer: Answer) -> int | None:
    """Return how many attributes of a table's model are in the answer to the probe."""
    models = [each.get("model") for each in stream.parse_response(answer)]
    return models.count(stream.params["model"])


class ContactAttributes(ListStream):
    """Source: GET /data_attributes?model=contact."""

    summary = "One record per attribute of contacts, archived ones too."
    name = "contact_attributes"
    path = DATA_ATTRIBUTES
    params = {"model": "contact", "include_archived": "true"}
    permission = USERS_AND_COMPANIES
    key_properties = ("_sdc_record_hash",)
    is_selected_by_default = True
    probe = probe_attributes
    count = count_attributes
    post_process = with_attribute_hash


class Segments(ListStream):
    """Source: GET /segments."""

    summary = "One record per segment of contacts."
    name = "segments"
    path = "/segments"
    records_key = "segments"
    replication_key = "updated_at"
    permission = USERS_AND_COMPANIES
    is_selected_by_default = True
    params = {"include_count": "true"}


class SubscriptionTypes(ListStream):
    """Source: GET /subscription_types."""

    summary = "One record per kind of message to subscribe to, including drafts and archived ones."
    name = "subscription_types"
    path = "/subscription_types"
    permission = USERS_AND_COMPANIES


class CustomObjectInstances(ListStream):
    """Source: GET /custom_object_instances/{type}.

    Intercom does not list the types: they are those of the setting custom_object_types or, without
    it, those that conversation attributes refer to.
    """

    summary = "One record per instance of each custom object type."
    name = "custom_object_instances"
    path = "/custom_object_instances"
    permission = "Read and write custom object instances"
    request_cost = "1 per type and 150 instances, and 1 for the types"
    first_version = (2, 16)
    key_properties = ("type", "id")
    replication_key = "updated_at"
    paging = Numbered(150)

    def probe(self, settings: Settings) -> Probe:
        types = settings.custom_object_types
        if not types:
            return Probe("/conversations/attributes", {"include_archived": "true"})
        return Probe(f"{self.path}/{quote(types[0], safe='')}", {"per_page": 1})

    def count(self, answer: Answer) -> int | None:
        """Return None: the probe covers one type at most."""
        return None

    def covers(self, opening: Opening) -> frozenset[str]:
        types = opening.settings.custom_object_types or self._referred(opening.client)
        return frozenset(TYPE + each for each in types)

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        named = run.settings.custom_object_types
        for each in sorted(run.covers[self.name] or ()):
            each = each.removeprefix(TYPE)
            path = f"{self.path}/{quote(each, safe='')}"
            try:
                yield from self.read_list(run, run.client.get, path)
            except ResponseError as error:
                if not (named and error.is_gone):
                    raise
                raise ConfigError(
                    f"{error}; check {each!r} in the setting custom_object_types"
                ) from error
        yield run.complete()

    @staticmethod
    def _referred(client: Client) -> list[str]:
        """Return the types that conversation attributes refer to (API-F2)."""
        path = "/conversations/attributes"
        answers = read_pages(client.get, path, WHOLE, {"include_archived": "true"})
        references = [
            attribute.get("reference")
            for answer in answers
            for attribute in list_of(answer.body, "data", path)
        ]
        types = {
            str(each["object_type_id"])
            for each in references
            if isinstance(each, dict) and each.get("object_type_id")
        }
        return sorted(types)


class ContactActivities(ListStream):
    """Source: GET /contacts/activities.

    Intercom cannot filter the log by time, so each run reads all of it (API-L2).
    """

    summary = (
        "One record per contact that was created, deleted or merged, or that got another role."
    )
    name = "contact_activities"
    path = "/contacts/activities"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per 150 entries of the whole log"
    first_version = PREVIEW
    replication_key = "created_at"
    instant_field = "created_at"
    is_append_only = True
    oldest_first = True
    not_sent_again = NOT_DOCUMENTED_AGE
    paging = ByCursor(150)


STREAMS = (
    ContactActivities(),
    ContactAttributes(),
    Contacts(),
    CustomObjectInstances(),
    Segments(),
    SubscriptionTypes(),
)
