"""Companies, with their attributes and segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from tap_intercom.errors import ContractError, ResponseError, UnavailableError
from tap_intercom.intercom.client import Answer
from tap_intercom.intercom.pages import Numbered, only_page
from tap_intercom.reading.children import ChildStream, PageReader, RenderedPage
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.nested import NestedList, WholeList
from tap_intercom.reading.passes import read_until_whole
from tap_intercom.reading.scroll import scroll_pages
from tap_intercom.reading.stream import EmbeddedStream, Probe, Stream, updated_at
from tap_intercom.reading.stream_run import Batch, Opening, Record, StreamRun
from tap_intercom.settings import Settings
from tap_intercom.streams.contacts import (
    DATA_ATTRIBUTES,
    USERS_AND_COMPANIES,
    count_attributes,
    may_have,
    probe_attributes,
    with_attribute_hash,
)

WRITE_COMPANIES = "Write users and companies"
LIST_PAGE_SIZE = 60
WITHOUT_USERS = frozenset({"companies without users"})
OF_COMPANIES = frozenset({"segments that only companies name"})
OF_COMPANY = {"company_id": "id", "company_updated_at": "updated_at"}

TAGS = NestedList("tags", ("tags", "data"))
SEGMENTS = NestedList("segments", ("segments", "data"), whole=WholeList("/companies/{id}/segments"))
NOTES = NestedList(
    "notes",
    ("data", "notes"),
    has_all_keys=True,
    whole=WholeList("/companies/{id}/notes", Numbered(50), link="/notes/{id}"),
)


class CompanyTag(EmbeddedStream):
    """Source: GET /companies/scroll."""

    summary = "One record per tag on each company that changed."
    name = "company_tag"
    permission = USERS_AND_COMPANIES
    key_properties = ("company_id", "tag_id")
    replication_key = "company_updated_at"
    from_parent = OF_COMPANY
    nested_list = TAGS
    select = {"tag_id": "id", "tag_name": "name"}


class CompanySegment(EmbeddedStream):
    """Source: GET /companies/scroll."""

    summary = "One record per segment of each company that changed."
    name = "company_segment"
    permission = USERS_AND_COMPANIES
    key_properties = ("company_id", "segment_id")
    replication_key = "company_updated_at"
    from_parent = OF_COMPANY
    nested_list = SEGMENTS
    select = {"segment_id": "id", "segment_name": "name"}


class CompanyNotes(ChildStream):
    """Source: GET /companies/{id}/notes."""

    summary = "One record per note on each company that changed."
    name = "company_notes"
    path = "/companies/{id}/notes"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per changed company with notes"
    first_version = (2, 15)
    replication_key = "company_updated_at"
    instant_field = "created_at"
    from_parent = OF_COMPANY
    paging = Numbered(50)
    html_fields = ("body",)

    def may_have_any(self, parent: Record) -> bool:
        return may_have(NOTES, parent)


class CompanyContact(ChildStream):
    """Source: GET /companies/{id}/contacts."""

    summary = "One record per contact of each company that changed."
    advice = (
        "Take [contact_company](contacts.md#contact_company) instead. It has the same pairs, and "
        "they come inside the contacts. This table needs requests for each company that changed."
    )
    name = "company_contact"
    path = "/companies/{id}/contacts"
    permission = USERS_AND_COMPANIES
    request_cost = "1 per changed company and 50 of its contacts"
    key_properties = ("company_id", "contact_id")
    replication_key = "company_updated_at"
    from_parent = OF_COMPANY
    select = {"contact_id": "id"}
    paging = Numbered(50)


class CompanyLeftovers(NamedTuple):
    """The results of companies for other streams.

    segments: the segments that companies name, by id.
    ids: the ids of companies, if deletes are detected; there may be millions.
    """

    segments: dict[str, Record]
    ids: set[str]


class Companies(Stream):
    """Source: GET /companies/scroll.

    The scroll has no filter by time: every run reads all companies and emits those that changed.
    Companies contain their segments, which company_segments reads from here.
    """

    summary = "One record per company."
    name = "companies"
    path = "/companies/scroll"
    list_path = "/companies/list"
    replication_key = "updated_at"
    permission = USERS_AND_COMPANIES
    is_selected_by_default = True
    request_cost = "1 per page of companies"
    attributes = "company"
    html_fields = ("notes.data[].body", "notes.notes[].body")
    nested = {"tags": "tags", "segments": "segments"}
    lists = (TAGS, SEGMENTS, NOTES)
    embedded = (CompanyTag(), CompanySegment())
    children = (CompanyNotes(), CompanyContact())

    def required_permission(self, settings: Settings) -> str:
        return WRITE_COMPANIES if settings.companies_source == "list" else self.permission

    def covers(self, opening: Opening) -> frozenset[str]:
        """The list omits companies without users (API-D3)."""
        return frozenset() if opening.settings.companies_source == "list" else WITHOUT_USERS

    def leaves_out(self, settings: Settings) -> str | None:
        is_list = settings.companies_source == "list"
        return (
            "companies without users, or more than 10,000 companies (companies_source)"
            if is_list
            else None
        )

    def probe(self, settings: Settings) -> Probe:
        """Return a request to the list.

        A probe of the scroll would block others for a minute (API-D3). The list counts only
        companies with users. Source: GET /companies, which needs the scroll's permission (API-B2),
        or POST /companies/list if that is the source.
        """
        first = {"page": 1, "per_page": 1}
        if settings.companies_source == "list":
            return Probe(self.list_path, first, body={})
        return Probe("/companies", first)

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Read all pages, and leave their segments and all ids to other streams."""
        left = CompanyLeftovers({}, set())
        # Read ahead: a scroll ends one minute after its last use, and children may take longer.
        for pages in run.ahead.run([partial(self._pages, run, left)], 1):
            for page in pages:
                yield from PageReader(self, run).emit(page)
        run.shared.share(self.name, left)
        yield run.complete()

    def _pages(self, run: StreamRun, left: CompanyLeftovers) -> Iterator[RenderedPage]:
        reader = PageReader(self, run)
        is_compared = run.shared.reads("deletions")
        for answer, is_new in _company_pages(run):
            records = self.parse_response(answer)
            _collect_segments(records, left.segments)
            if is_compared:
                left.ids.update(str(record.get("id")) for record in records)
            places = {
                name: [at for at in wanted if is_new(records[at])]
                for name, wanted in reader.places(records).items()
            }
            yield reader.read(answer, places)


class CompanyAttributes(ListStream):
    """Source: GET /data_attributes?model=company."""

    summary = "One record per attribute of companies, archived ones too."
    name = "company_attributes"
    path = DATA_ATTRIBUTES
    params = {"model": "company", "include_archived": "true"}
    permission = USERS_AND_COMPANIES
    key_properties = ("_sdc_record_hash",)
    is_selected_by_default = True
    probe = probe_attributes
    count = count_attributes
    post_process = with_attribute_hash


class CompanySegments(ListStream):
    """Source: GET /segments?type=company, without the segments of contacts, because it is not known
    whether Intercom supports the type (API-K19); and the segments that companies contain.
    """

    summary = "One record per segment of companies."
    name = "company_segments"
    path = "/segments"
    records_key = "segments"
    replication_key = "updated_at"
    permission = USERS_AND_COMPANIES
    is_selected_by_default = True
    request_cost = "2, plus those of companies if only companies name the segments"
    after = ("companies",)

    def covers(self, opening: Opening) -> frozenset[str]:
        """Segments that only companies name come if companies are read."""
        is_told = opening.shared.reads(COMPANIES.name)
        return OF_COMPANIES | COMPANIES.covers(opening) if is_told else frozenset()

    def leaves_out(self, settings: Settings) -> str | None:
        return COMPANIES.leaves_out(settings)

    def count(self, answer: Answer) -> int | None:
        """Return None: the probe counts all segments, without their kind."""
        return None

    def batches(self, run: StreamRun) -> Iterator[Batch]:
        """Read the segments of the list, then those that only companies name, with fewer fields."""
        params = {"type": "company", "include_count": "true"}
        of_contacts = only_page(run.client.get(self.path))
        answer = only_page(run.client.get(self.path, params))
        others = {record.get("id") for record in self.parse_response(of_contacts)}
        listed = {record.get("id") for record in self.parse_response(answer)}
        told = self._carried(run, is_needed=listed <= others)
        named = told or {}
        own = (listed - others) | (listed & named.keys())

        def rich(answer: Answer) -> list[Record]:
            return wanted(
                record for record in self.parse_response(answer) if record.get("id") in own
            )

        def poor(_: Answer) -> list[Record]:
            return wanted(dict(each) for key, each in named.items() if key not in listed)

        def wanted(segments: Iterable[Record]) -> list[Record]:
            return [each for each in segments if run.wants(self.name, updated_at(each))]

        yield run.render(self.name, answer, rich)
        yield run.render(self.name, answer, poor)
        if told is not None:
            yield run.complete()

    def _carried(self, run: StreamRun, is_needed: bool) -> Mapping[str, Record] | None:
        """Return the segments that companies name; read companies if no other source has them.

        Return None if companies failed. The bookmark then stays, since moving it would claim that
        their segments came.
        """
        if run.shared.reads(COMPANIES.name):
            left: CompanyLeftovers | None = run.shared.wait_for(COMPANIES.name)
            if left is not None:
                return left.segments
            if is_needed:
                raise UnavailableError(
                    f"{self.name}: only companies name the segments, and they were not read"
                )
            return None
        found: dict[str, Record] = {}
        if is_needed:
            for answer in read_companies(run):
                _collect_segments(COMPANIES.parse_response(answer), found)
        return found


COMPANIES = Companies()


def read_companies(run: StreamRun) -> Iterator[Answer]:
    """Return every page of companies from the source in the settings."""
    return (answer for answer, _ in _company_pages(run))


CompanyPage = tuple[Answer, Callable[[Record], bool]]
"""A page of companies, and a function that says whether a record is new."""


def _company_pages(run: StreamRun) -> Iterator[CompanyPage]:
    if run.settings.companies_source == "list":
        yield from _list_pages(run)
        return
    patience = run.settings.max_retry_seconds
    for answer in scroll_pages(run.client, Companies.path, Companies.records_key, patience):
        yield answer, lambda record: True


def _collect_segments(companies: list[Record], found: dict[str, Record]) -> None:
    for company in companies:
        for segment in SEGMENTS.rows(company):
            if segment.get("id") is not None:
                found.setdefault(str(segment["id"]), segment)


def _list_pages(run: StreamRun) -> Iterator[CompanyPage]:
    """Yield numbered pages of a list that may change meanwhile, until one pass is complete.

    Source: POST /companies/list, which takes its parameters in the URL (API-D3).
    """

    def send(path: str, params: Mapping[str, Any]) -> Answer:
        try:
            return run.client.post(path, {}, params)
        except ResponseError as error:
            if "scroll" not in str(error):
                raise
            raise ContractError(
                f"{error}. This endpoint ends at 10,000 companies: set companies_source to scroll."
            ) from error

    paging = Numbered(LIST_PAGE_SIZE)
    for answer, tally in read_until_whole(run, COMPANIES, send, Companies.list_path, paging, {}):
        yield answer, tally.is_new


STREAMS = (
    COMPANIES,
    CompanyAttributes(),
    CompanySegments(),
)
