"""Probes of the searches: what they compare, count and sort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone, tzinfo
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tap_intercom.errors import AuthError, ResponseError
from tap_intercom.intercom.pages import total_count
from tap_intercom.probes.probe import Observation, Probe, compared, differs, holds
from tap_intercom.probes.workspace import EVER, SAMPLE_SIZE, NotSeenError, ProbedWorkspace, searched
from tap_intercom.reading.search import PAGING, SearchStream
from tap_intercom.reading.stream import instant_of, list_of
from tap_intercom.reading.stream_run import Record
from tap_intercom.times import DAY_SECONDS

LIST_SIZE = 150
MOST_PAGES = 3
CURSOR_SECONDS = 60
RECENT_SECONDS = DAY_SECONDS
LAST_INSTANT = 2**31 - 1


class ContactDays(Probe):
    """Contact search reduces times to calendar days in the workspace's timezone (API-E4, K1).

    Source: the official description says days of the workspace, older documentation says days of
    UTC, and Preview compares seconds, which is no surprise there.
    """

    name = "contact_days"
    question = "What does contact search compare?"
    assumption = "days of the workspace's timezone"
    endangers = "stream contacts"
    if_not = "Nothing is lost: each search covers two more days on both sides."
    facts = ("API-E4", "API-K1")
    most_requests = 6

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Search for a contact from two instants before its change.

        There is no start of a day between the later instant and the change, and only one of the two
        kinds of days starts between the earlier instant and the change.
        """
        zone = _zone(workspace.me.timezone)
        contacts = searched("contacts")
        for contact in workspace.sample(contacts, "ascending", SAMPLE_SIZE)[:2]:
            changed = instant_of(contact.get("updated_at"))
            starts = None if changed is None else sorted(_starts_of_day(changed, zone))
            if changed is None or starts is None or starts[-1] >= changed:
                continue
            same = ("id", "=", contact.get("id"))

            def finds(instant: int, same: tuple[str, str, object] = same) -> bool:
                return bool(workspace.found(contacts, same, ("updated_at", ">", instant)))

            if not finds(changed - 4 * DAY_SECONDS):
                continue  # it changed meanwhile, or search cannot filter by id
            if finds(starts[-1]):
                is_preview = workspace.settings.api_version == "Preview"
                return compared(is_preview, "exact seconds")
            if len(starts) == 1:
                return holds("whole days; in this workspace, those of UTC are the same")
            is_of_last = finds(starts[-1] - 1)
            is_local = is_of_last == (_start_of_day(changed, zone) == starts[-1])
            if is_local:
                return holds("days of the workspace's timezone")
            return differs("days of UTC")
        raise NotSeenError("no contact shows it")


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name or "")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotSeenError("the workspace's timezone is unknown here") from None


def _starts_of_day(instant: int, zone: tzinfo) -> set[int]:
    """Return when the day of an instant started, in the timezone and in UTC."""
    return {_start_of_day(instant, zone), _start_of_day(instant, timezone.utc)}


def _start_of_day(instant: int, zone: tzinfo) -> int:
    at = datetime.fromtimestamp(instant, zone)
    return int(at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp())


class _ProbeOfSearch(Probe):
    """A question about one search.

    stream: the stream that uses it.
    """

    stream: ClassVar[str]

    def _unchanged(
        self, workspace: ProbedWorkspace, *filters: tuple[str, int]
    ) -> Iterator[tuple[tuple[str, str, object], int]]:
        """Yield a filter for each of two records, and when it changed.

        It is left out if it changed meanwhile, or if the search cannot filter by id.

        filters: an operator, and the seconds from the change to the time that it compares with.
        """
        stream = searched(self.stream)
        for record in workspace.sample(stream, "ascending", SAMPLE_SIZE)[:2]:
            changed = instant_of(record.get("updated_at"))
            if changed is None:
                continue
            same = ("id", "=", record.get("id"))
            around = [("updated_at", operator, changed + seconds) for operator, seconds in filters]
            if workspace.found(stream, same, *around):
                yield same, changed


class _GreaterThan(_ProbeOfSearch):
    """Whether `>` on times includes equality (API-K2). Source: none; the documentation says
    "greater (or equal)".
    """

    assumption = "no"
    if_not = "Nothing is lost: each search starts one second earlier."
    facts = ("API-K2",)
    most_requests = 6

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        stream = searched(self.stream)
        for same, changed in self._unchanged(workspace, (">", -1)):
            includes = workspace.found(stream, same, ("updated_at", ">", changed))
            return compared(not includes, "yes" if includes else "no")
        raise NotSeenError(f"none of the {self.stream} shows it")


class GreaterThanOfConversations(_GreaterThan):
    __doc__ = _GreaterThan.__doc__
    name = "greater_than_conversations"
    question = "Does > in conversation search include equal times?"
    stream = "conversations"
    endangers = "stream conversations"


class GreaterThanOfTickets(_GreaterThan):
    __doc__ = _GreaterThan.__doc__
    name = "greater_than_tickets"
    question = "Does > in ticket search include equal times?"
    stream = "tickets"
    endangers = "stream tickets"


class _InclusiveOperators(_ProbeOfSearch):
    """Whether a search takes `>=` and `<=` on times (API-K3). Source: not in the table of
    operators; peers use them.
    """

    assumption = "yes"
    if_not = "Nothing is lost: the tap sends only > and <."
    facts = ("API-K3",)
    most_requests = 6

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Search for a record from its change to its change."""
        stream = searched(self.stream)
        for same, changed in self._unchanged(workspace, (">", -1), ("<", 1)):
            try:
                includes = workspace.found(
                    stream, same, ("updated_at", ">=", changed), ("updated_at", "<=", changed)
                )
            except ResponseError as error:
                return differs(f"refused with status {error.status}")
            return compared(bool(includes), "yes" if includes else "they leave out equal times")
        raise NotSeenError(f"none of the {self.stream} shows it")


class InclusiveOperatorsOfConversations(_InclusiveOperators):
    __doc__ = _InclusiveOperators.__doc__
    name = "inclusive_operators_conversations"
    question = "Does conversation search take >= and <=?"
    stream = "conversations"
    endangers = "stream conversations"


class InclusiveOperatorsOfTickets(_InclusiveOperators):
    __doc__ = _InclusiveOperators.__doc__
    name = "inclusive_operators_tickets"
    question = "Does ticket search take >= and <=?"
    stream = "tickets"
    endangers = "stream tickets"


class _Sort(_ProbeOfSearch):
    """Whether a search honours `sort` by `updated_at` (API-J6). Source: described; peers saw
    searches in another order.
    """

    assumption = "yes"
    if_not = "The tap checks the order and reads again: more requests, and exit code 5 at worst."
    facts = ("API-J6",)
    most_requests = 3

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        stream = searched(self.stream)
        up, down = (
            _times(workspace.sample(stream, order, SAMPLE_SIZE))
            for order in ("ascending", "descending")
        )
        if len({*up, *down}) < 2:
            raise NotSeenError("all of them changed in the same second")
        is_up, is_down = up == sorted(up), down == sorted(down, reverse=True)
        if is_up and is_down:
            return holds(f"{len(up)} records came in the order of their times, both ways")
        ways = [way for way, kept in (("ascending", is_up), ("descending", is_down)) if not kept]
        return differs(f"not {' and not '.join(ways)}")


def _times(records: Sequence[Record]) -> list[int]:
    found = (instant_of(record.get("updated_at")) for record in records)
    return [instant for instant in found if instant is not None]


class SortOfContacts(_Sort):
    __doc__ = _Sort.__doc__
    name = "sort_contacts"
    question = "Does contact search honour sort?"
    stream = "contacts"
    endangers = "stream contacts"


class SortOfConversations(_Sort):
    __doc__ = _Sort.__doc__
    name = "sort_conversations"
    question = "Does conversation search honour sort?"
    stream = "conversations"
    endangers = "stream conversations"


class SortOfTickets(_Sort):
    __doc__ = _Sort.__doc__
    name = "sort_tickets"
    question = "Does ticket search honour sort?"
    stream = "tickets"
    endangers = "stream tickets"


class _TotalCount(_ProbeOfSearch):
    """Whether `total_count` of a search is exact (API-K6). Source: none."""

    assumption = "yes"
    if_not = (
        "A count that is too high means warnings of missing records, and more requests. One that "
        "is too low hides records that Intercom left out."
    )
    facts = ("API-K6",)
    most_requests = 7

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Compare counts with what comes, for the oldest records; others may change meanwhile."""
        stream = searched(self.stream)
        records = workspace.sample(stream, "ascending", SAMPLE_SIZE)
        before = _times(records)[-1:] if len(records) == SAMPLE_SIZE else [LAST_INSTANT]
        if not before:
            raise NotSeenError("the records have no times")
        counted, came = self._counts(workspace, stream, before[0])
        if counted != came:
            # A record that changed meanwhile explains one difference, not two.
            counted, came = self._counts(workspace, stream, before[0])
        if counted == came == 0:
            raise NotSeenError("no period has few records")
        return compared(counted == came, f"{counted} were counted, and {came} came")

    def _counts(
        self, workspace: ProbedWorkspace, stream: SearchStream, before: int
    ) -> tuple[int, int]:
        """Return how many records Intercom counts before an instant, and how many come."""
        filters = [EVER, ("updated_at", "<", before)]
        ids: set[object] = set()
        after = None
        for _ in range(MOST_PAGES):
            answer = workspace.search(stream, filters, size=SAMPLE_SIZE, after=after)
            counted = total_count(answer.body)
            if counted is None:
                raise NotSeenError("the answer has no total_count")
            ids.update(record.get("id") for record in stream.parse_response(answer))
            following = PAGING.step(answer.body, None).following
            if following is None:
                return counted, len(ids)
            after = following.value
        raise NotSeenError("the records of one period are too many to count")


class TotalCountOfContacts(_TotalCount):
    __doc__ = _TotalCount.__doc__
    name = "total_count_contacts"
    question = "Does contact search count exactly?"
    stream = "contacts"
    endangers = "stream contacts"


class TotalCountOfConversations(_TotalCount):
    __doc__ = _TotalCount.__doc__
    name = "total_count_conversations"
    question = "Does conversation search count exactly?"
    stream = "conversations"
    endangers = "stream conversations"


class TotalCountOfTickets(_TotalCount):
    __doc__ = _TotalCount.__doc__
    name = "total_count_tickets"
    question = "Does ticket search count exactly?"
    stream = "tickets"
    endangers = "stream tickets"


class SearchLag(Probe):
    """How long search does not see a change (API-L3). Source: none; peers read the last minutes
    again.
    """

    name = "search_lag"
    question = "Does search show a change within lookback_seconds?"
    assumption = "yes"
    endangers = "setting lookback_seconds"
    if_not = "Records that search shows later are lost. Set a larger lookback_seconds."
    facts = ("API-L3",)
    most_requests = 5

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Compare the lists of contacts and conversations, which are not indexed, with search."""
        fresh = late = 0
        for name in ("contacts", "conversations"):
            stream = searched(name)
            lookback = max(stream.lookback_seconds, workspace.settings.lookback(name))
            answer = workspace.get(f"/{name}", {"per_page": LIST_SIZE})
            listed = _changes(list_of(answer.body, stream.records_key, f"/{name}"))
            recent = workspace.now - RECENT_SECONDS
            wanted = [each for each in listed if recent < listed[each] <= workspace.now - lookback]
            wanted = sorted(wanted, key=lambda each: listed[each])[-SAMPLE_SIZE:]
            if not wanted:
                continue
            seen = _changes(workspace.found(stream, ("id", "IN", wanted), size=SAMPLE_SIZE))
            fresh += len(wanted)
            late += sum(seen.get(each, 0) < listed[each] for each in wanted)
        if late:
            return differs(f"{late} of {fresh} changes of the last day were not found")
        if fresh:
            return holds(f"{fresh} changes of the last day were all found")
        raise NotSeenError("nothing that the lists begin with changed in the last day")


def _changes(records: Sequence[Record]) -> dict[object, int]:
    """Return when records changed, by id."""
    return {
        record.get("id"): instant
        for record in records
        if (instant := instant_of(record.get("updated_at"))) is not None
    }


class CursorLife(Probe):
    """How long the cursor of a page is valid (API-K27). Source: none."""

    name = "cursor_life"
    question = "Is a page cursor valid for a minute?"
    assumption = "yes"
    endangers = "streams contacts, conversations and tickets"
    if_not = "The tap reads the window again. If that fails too often, the stream fails."
    facts = ("API-K27",)
    most_requests = 6

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        for name in ("conversations", "contacts", "tickets"):
            stream = searched(name)
            if not stream.is_in(workspace.settings):
                continue
            try:
                answer = workspace.search(stream, [EVER])
            except AuthError:
                continue
            following = PAGING.step(answer.body, None).following
            if following is None:
                continue
            for seconds in (0, CURSOR_SECONDS):
                if seconds:
                    workspace.wait(seconds, "it is valid for the next request")
                try:
                    workspace.search(stream, [EVER], after=following.value)
                except ResponseError as error:
                    return differs(f"refused after {seconds} seconds (status {error.status})")
            return holds(f"accepted after {CURSOR_SECONDS} seconds")
        raise NotSeenError("no search has a second page")


PROBES_OF_SEARCHES = (
    ContactDays(),
    GreaterThanOfConversations(),
    GreaterThanOfTickets(),
    InclusiveOperatorsOfConversations(),
    InclusiveOperatorsOfTickets(),
    SortOfContacts(),
    SortOfConversations(),
    SortOfTickets(),
    TotalCountOfContacts(),
    TotalCountOfConversations(),
    TotalCountOfTickets(),
    SearchLag(),
    CursorLife(),
)
