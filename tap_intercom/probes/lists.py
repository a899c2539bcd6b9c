"""Probes of the lists: their pages, filters and omissions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from tap_intercom.errors import AuthError, ResponseError
from tap_intercom.intercom.pages import Paging, pages_of, read_pages
from tap_intercom.probes.probe import Observation, Probe, compared, differs, holds
from tap_intercom.probes.workspace import SAMPLE_SIZE, NotSeenError, ProbedWorkspace, searched
from tap_intercom.reading.lists import ListStream
from tap_intercom.reading.stream import instant_of, list_of
from tap_intercom.reading.stream_run import Record
from tap_intercom.streams import STREAMS
from tap_intercom.streams.companies import SEGMENTS, Companies
from tap_intercom.streams.contacts import COMPANIES as COMPANIES_OF_CONTACT
from tap_intercom.streams.conversations import LINKS as LINKS_OF_CONVERSATION
from tap_intercom.streams.tickets import LINKS as LINKS_OF_TICKET

PAGE_SIZES = (10, 20, 25, 50, 60, 100, 150, 250)
MOST_SCROLL_PAGES = 10
MOST_CHECKED_COMPANIES = 3
MOST_DELETED_PAGES = 3
# A ticket of a customer may be a conversation too, with the same id.
NO_CONVERSATIONS = ("Back-office", "Tracker")


class CompanySegmentsListed(Probe):
    """Whether `GET /segments` supports `type=company` (API-K19). Source: documented for old
    versions only.
    """

    name = "company_segments"
    question = "Does /segments?type=company list the segments of companies?"
    assumption = "yes"
    endangers = "stream company_segments"
    if_not = (
        "Only segments that companies name come, with fewer fields, and the companies are read "
        "for that."
    )
    facts = ("API-K19",)
    most_requests = 4

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        stream = STREAMS["company_segments"]
        params = {"type": "company"}
        usual = _ids(stream.parse_response(workspace.get(stream.path)))
        listed = _ids(stream.parse_response(workspace.get(stream.path, params)))
        own = listed - usual
        if own:
            return holds(f"{len(own)} segments come only with type=company")
        if listed:
            return differs("the same segments come with and without type=company")
        if any(SEGMENTS.rows(company) for company in workspace.companies()):
            return differs("no segment comes, although companies have segments")
        raise NotSeenError("companies have no segments")


def _ids(records: list[Record]) -> set[Any]:
    return {record.get("id") for record in records}


class PageSizes(Probe):
    """Which page sizes lists accept whose maximum is not documented (API-D2, K10).

    Source: none. A size above the maximum is refused with `parameter_invalid`, or lowered silently.
    """

    name = "page_sizes"
    question = "What happens to a page size above the maximum?"
    assumption = "accepted, refused as parameter_invalid, or lowered"
    endangers = "setting page_size"
    if_not = "A stream whose page size is refused fails. Set a smaller page_size."
    facts = ("API-D2", "API-K10")
    most_requests = 30

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        largest: list[str] = []
        for stream in _streams_of_unknown_size(workspace):
            try:
                size = _largest_size(workspace, stream)
            except AuthError:
                continue
            except ResponseError as error:
                if error.code == "intercom_version_invalid":
                    continue
                return differs(f"{stream.path}: refused with status {error.status}")
            largest.append(f"{stream.name} {size}")
        if not largest:
            raise NotSeenError("the token may not read any such list")
        return holds(f"largest of {PAGE_SIZES[-1]} or less: {', '.join(largest)}")


def _streams_of_unknown_size(workspace: ProbedWorkspace) -> Iterator[ListStream]:
    for stream in STREAMS.values():
        is_root = stream.parent is None and isinstance(stream, ListStream)
        if is_root and stream.is_in(workspace.settings):
            assert isinstance(stream, ListStream)
            if stream.paging.has_guessed_size:
                yield stream


def _largest_size(workspace: ProbedWorkspace, stream: ListStream) -> int:
    """Return the largest page size that a list accepts, of those that other lists have."""
    low, high = 0, len(PAGE_SIZES)
    while low < high:
        middle = (low + high) // 2 if high < len(PAGE_SIZES) else high - 1
        params = {**stream.params, "page": 1, "per_page": PAGE_SIZES[middle]}
        try:
            answer = workspace.get(stream.path, params)
        except ResponseError as error:
            if error.status not in (400, 422) or error.code != "parameter_invalid":
                raise
            high = middle
            continue
        used = pages_of(answer.body).get("per_page")
        if isinstance(used, int) and used < PAGE_SIZES[middle]:
            return used
        low = middle + 1
    return PAGE_SIZES[low - 1] if low else 0


class ScrollWithoutUsers(Probe):
    """The scroll returns companies without users, unlike the list (API-D3, K12).

    Source: the documentation says it of the list only.
    """

    name = "scroll_without_users"
    question = "Does the scroll return companies without users?"
    assumption = "yes"
    endangers = "stream companies"
    if_not = "Companies without users are missing, and no other source has them."
    facts = ("API-D3", "API-K12")
    most_requests = 16

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        companies, is_complete = self._scrolled(workspace)
        without = sum(company.get("user_count") == 0 for company in companies)
        if without:
            return holds(f"{without} of {len(companies)} companies have no users")
        if not companies:
            raise NotSeenError("the workspace has no companies")
        if not is_complete:
            raise NotSeenError(f"the first {len(companies)} companies all have users")
        known = {str(company.get("id")) for company in companies}
        missing = [each for each in _companies_of_contacts(workspace) if each not in known]
        for company_id in missing[:MOST_CHECKED_COMPANIES]:
            try:
                answer = workspace.get(f"/companies/{company_id}", shown="/companies/{id}")
            except ResponseError:
                continue  # it is gone
            if answer.body.get("user_count") == 0:
                return differs("a company without users did not come")
        raise NotSeenError(f"all {len(companies)} companies have users")

    @staticmethod
    def _scrolled(workspace: ProbedWorkspace) -> tuple[list[Record], bool]:
        """Return the first companies, and whether these are all."""
        companies: list[Record] = []
        params: dict[str, str] = {}
        for _ in range(MOST_SCROLL_PAGES):
            try:
                answer = workspace.get_scroll_page(Companies.path, params)
            except ResponseError as error:
                if error.code != "scroll_exists":
                    raise
                raise NotSeenError("another app reads the companies at present") from None
            page = list_of(answer.body, "data", Companies.path)
            if not page:
                return companies, True
            companies += page
            params = {"scroll_param": str(answer.body.get("scroll_param"))}
        return companies, False


def _companies_of_contacts(workspace: ProbedWorkspace) -> list[str]:
    """Return the ids of companies that some contacts have."""
    found: dict[str, None] = {}
    for order in ("ascending", "descending"):
        for contact in workspace.sample(searched("contacts"), order, 50):
            for company in COMPANIES_OF_CONTACT.rows(contact):
                found[str(company.get("id"))] = None
    return list(found)


class CompanyContactPages(Probe):
    """How `GET /companies/{id}/contacts` continues (API-D1, D2).

    Source: the official description says by a cursor, but it says so of most lists by mistake.
    """

    name = "company_contact_pages"
    question = "How do the contacts of a company continue?"
    assumption = "by the page number or cursor that an answer names"
    endangers = "stream company_contact"
    if_not = (
        "The stream ends with exit code 5 at a company with more than 50 contacts. The stream "
        "contact_company has the same pairs."
    )
    facts = ("API-D1", "API-D2")
    most_requests = 6

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Read the first two pages of one contact each."""
        companies = workspace.companies()
        large = [each for each in companies if (each.get("user_count") or 0) > 1]
        if not large:
            raise NotSeenError("no company has two users")
        path, shown = f"/companies/{large[0].get('id')}/contacts", "/companies/{id}/contacts"
        first = workspace.get(path, {"page": 1, "per_page": 1}, shown)
        following = Paging().step(first.body, None).following
        if following is None:
            return differs("the first page of one contact names no other, although there are more")
        params = {"per_page": 1, following.parameter: following.value}
        second = workspace.get(path, params, shown)
        if _ids(list_of(first.body, "data", shown)) == _ids(list_of(second.body, "data", shown)):
            return differs("the second page is the first one again")
        return holds("by page number" if following.parameter == "page" else "by a cursor")


class DeletedOrder(Probe):
    """How `/conversations/deleted` is sorted (API-K14). Source: none; it has a parameter `order`,
    but nobody says what it sorts by.
    """

    name = "deleted_order"
    question = "Does the list of deleted conversations begin with the latest deletion?"
    assumption = "yes"
    endangers = "stream deleted_conversations"
    if_not = "Each run reads the whole list: the tap looks at the order before it stops early."
    facts = ("API-K14",)
    most_requests = 2

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        stream = _deleted_conversations(workspace)
        answer = workspace.get(stream.path, {**stream.params, **stream.paging.params(None)})
        times = [instant_of(each.get("deleted_at")) for each in stream.parse_response(answer)]
        found = [instant for instant in times if instant is not None]
        if len({*found}) < 2:
            raise NotSeenError("fewer than two conversations were deleted")
        is_sorted = found == sorted(found, reverse=True)
        return compared(is_sorted, "yes" if is_sorted else "no")


class DeletedTickets(Probe):
    """`/conversations/deleted` has no tickets (API-K15). Source: none; the documentation speaks of
    conversations only.
    """

    name = "deleted_tickets"
    question = "Are deleted tickets in the list of deleted conversations?"
    assumption = "no"
    endangers = "streams deleted_conversations and deletions"
    if_not = "Both have rows for tickets, as if these were conversations. Nothing is lost."
    facts = ("API-K15",)
    most_requests = 8

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Look for tickets that are gone, although a conversation or ticket is linked to them."""
        stream = _deleted_conversations(workspace)
        missing = _missing_tickets(workspace)
        if not missing:
            raise NotSeenError("no link leads to a deleted ticket")
        pages = list(
            islice(
                read_pages(workspace.get, stream.path, stream.paging, stream.params),
                MOST_DELETED_PAGES,
            )
        )
        deleted = {str(each) for page in pages for each in _ids(stream.parse_response(page))}
        if deleted.intersection(missing):
            return differs("yes")
        if len(pages) == MOST_DELETED_PAGES:
            raise NotSeenError("the list is too long")
        try:
            workspace.get(f"/tickets/{missing[0]}", shown="/tickets/{id}")
        except ResponseError as error:
            if error.status == 404:
                return holds("no")
            raise
        raise NotSeenError("no link leads to a deleted ticket")


def _deleted_conversations(workspace: ProbedWorkspace) -> ListStream:
    """Return the list of deleted conversations. Raises NotSeenError without it."""
    stream = STREAMS["deleted_conversations"]
    assert isinstance(stream, ListStream)
    workspace.expect(stream)
    return stream


def _missing_tickets(workspace: ProbedWorkspace) -> list[str]:
    """Return the ids of linked tickets that search does not find."""
    linked = [
        str(link.get("id"))
        for name, links in (("tickets", LINKS_OF_TICKET), ("conversations", LINKS_OF_CONVERSATION))
        for record in workspace.sample(searched(name), "descending", SAMPLE_SIZE)
        for link in links.rows(record)
        if link.get("type") == "ticket" and link.get("category") in NO_CONVERSATIONS
    ]
    wanted = list(dict.fromkeys(linked))[:SAMPLE_SIZE]
    if not wanted:
        return []
    found = _ids(workspace.found(searched("tickets"), ("id", "IN", wanted), size=SAMPLE_SIZE))
    return [each for each in wanted if each not in found]


PROBES_OF_LISTS = (
    CompanySegmentsListed(),
    PageSizes(),
    ScrollWithoutUsers(),
    CompanyContactPages(),
    DeletedOrder(),
    DeletedTickets(),
)
