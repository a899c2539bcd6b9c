"""Probes of all answers: who answers, with which headers, refusals and links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from tap_intercom.errors import AuthError, ResponseError, TapError
from tap_intercom.intercom.rate_limit import WINDOW_SECONDS, date_seconds
from tap_intercom.probes.probe import Observation, Probe, compared, differs, holds
from tap_intercom.probes.shapes import Shape
from tap_intercom.probes.workspace import EVER, Exchange, NotSeenError, ProbedWorkspace, searched
from tap_intercom.reading.stream import Stream
from tap_intercom.streams import STREAMS

RATE_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
# Reset is about six seconds after the end of a window of ten.
LONGEST_RESET_SECONDS = 20
REQUESTS_BEFORE_END = 3
MOST_WINDOWS = 2
# Date has whole seconds, and an answer comes later than it is counted.
EDGE_SECONDS = 1


class HostOfRegion(Probe):
    """The host of the region in the settings answers itself (API-A4, K22). Source: documented; what
    another region's host does is open.
    """

    name = "host"
    question = "Does the host of the region answer for this workspace?"
    assumption = "yes"
    endangers = "settings region and base_url"
    if_not = "Set region to that of the workspace."
    facts = ("API-A4", "API-K22")
    most_requests = 0

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        if workspace.is_redirected:
            return differs("it redirects")
        if workspace.me.mismatch(workspace.settings.region):
            return differs("it answers, but the workspace is in another region")
        return holds("yes")


class Refusals(Probe):
    """A missing permission answers 401 or 403 (API-B2, K20). Source: documented for some
    endpoints only.
    """

    name = "refusals"
    question = "Which status has a request without permission?"
    assumption = "401 or 403"
    endangers = "streams whose permission is missing"
    if_not = "The stream fails, but the message does not name the permission."
    facts = ("API-B2", "API-K20")
    most_requests = 46

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Ask each endpoint for little."""
        permissions: dict[int, set[str]] = {}
        others: list[str] = []
        for stream in _readable(workspace):
            probe = stream.probe(workspace.settings)
            try:
                workspace.send(probe)
            except AuthError as error:
                if not error.is_of_plan:
                    permissions.setdefault(error.status, set()).add(stream.permission)
            except ResponseError as error:
                if error.code != "intercom_version_invalid":
                    others.append(f"{stream.name} {error.status}")
            except TapError:
                continue
        refused = [
            f"{status}: {', '.join(sorted(permissions[status]))}" for status in sorted(permissions)
        ]
        if others:
            return differs("; ".join([f"other statuses: {', '.join(others)}", *refused]))
        if not refused:
            raise NotSeenError("the token may read everything")
        workspace.get("/me")  # a token that is refused everywhere shows nothing
        return holds("; ".join(refused))


def _readable(workspace: ProbedWorkspace) -> Iterator[Stream]:
    """Yield one stream for each endpoint that a token may read."""
    paths: set[str] = set()
    for stream in STREAMS.values():
        if stream.parent is None and stream.is_in(workspace.settings):
            path = stream.probe(workspace.settings).path
            if path not in paths:
                paths.add(path)
                yield stream


class RateLimitHeaders(Probe):
    """Every answer has the three headers of the rate limit (API-C1, K8). Source: documented,
    seen.
    """

    name = "rate_limit_headers"
    question = "Does every answer say what is left of the rate limit?"
    assumption = "yes"
    endangers = "settings rate_limit_share and concurrency"
    if_not = "Without headers, the tap sends at most 150 requests in ten seconds."
    facts = ("API-C1", "API-K8")
    most_requests = 0

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        answers = [each for each in workspace.exchanges if each.shape is not None]
        if not answers:
            raise NotSeenError("there was no answer")
        without = [each for each in answers if not {*RATE_LIMIT_HEADERS} <= each.headers.keys()]
        if without:
            statuses = ", ".join(map(str, sorted({each.status for each in without})))
            return differs(f"{len(without)} of {len(answers)} answers do not (status {statuses})")
        limits = Counter(each.headers[RATE_LIMIT_HEADERS[0]] for each in answers)
        limit = limits.most_common(1)[0][0]
        return holds(f"all {len(answers)} answers; the limit of a window is {limit[:12]}")


class RateLimitReset(Probe):
    """`X-RateLimit-Reset` is about the end of a window of ten seconds (API-C1, K8). Source:
    seen.
    """

    name = "rate_limit_reset"
    question = "How long after an answer is X-RateLimit-Reset?"
    assumption = f"at most {LONGEST_RESET_SECONDS} seconds"
    endangers = "setting rate_limit_share"
    if_not = "The tap waits ten seconds at most, and asks again after each 429."
    facts = ("API-C1", "API-K8")
    most_requests = 0

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        seconds = [at.reset - at.date for at in _moments(workspace.exchanges)]
        if not seconds:
            raise NotSeenError("no answer has the headers")
        bounds = sorted({min(seconds), max(seconds)})
        is_close = bounds[0] >= 0 and bounds[-1] <= LONGEST_RESET_SECONDS
        return compared(is_close, " to ".join(f"{each:.0f}" for each in bounds) + " seconds")


class RateLimitWindow(Probe):
    """The limit counts in windows that start at multiples of ten seconds (API-C1, K8). Source:
    documented, seen.
    """

    name = "rate_limit_window"
    question = "When does a window of the rate limit really end?"
    assumption = "at multiples of ten seconds"
    endangers = "setting rate_limit_share"
    if_not = "The tap follows the headers of each answer, and may get more 429 answers."
    facts = ("API-C1", "API-K8")
    most_requests = 8

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        """Use a window, wait for its end, and look what is left then."""
        for _ in range(MOST_WINDOWS):
            verdict = self._judged(workspace)
            if verdict is not None:
                return verdict
            for _ in range(REQUESTS_BEFORE_END):
                workspace.get("/me")
            last = list(_moments(workspace.exchanges))[-1:]
            if not last:
                raise NotSeenError("no answer has the headers")
            rest = WINDOW_SECONDS - last[0].date % WINDOW_SECONDS
            workspace.wait(rest + 2 * EDGE_SECONDS, "no window ended meanwhile")
            workspace.get("/me")
        verdict = self._judged(workspace)
        if verdict is None:
            raise NotSeenError("other apps use the limit at the same time")
        return verdict

    @staticmethod
    def _judged(workspace: ProbedWorkspace) -> Observation | None:
        """Return what the answers so far show, or None."""
        windows = [list(group) for _, group in groupby(_moments(workspace.exchanges), _window)]
        for moments in windows:
            inside = [each for each in moments if each.is_inside]
            if any(after.remaining > before.remaining for before, after in pairwise(inside)):
                return differs("it ended between two multiples of ten seconds")
        went_up = stayed = False
        for earlier, later in pairwise(windows):
            before = earlier[-1]
            after = next((each for each in later if each.is_inside), None)
            # At the start of a minute, a window of a minute would end too.
            is_of_minute = _window(later[0]) * WINDOW_SECONDS % 60 == 0
            if after and not is_of_minute and before.used >= REQUESTS_BEFORE_END:
                is_up = after.remaining > before.remaining
                went_up |= is_up
                # Without the same Reset, other apps may have used the new window.
                stayed |= not is_up and before.reset == after.reset
        if went_up:
            return holds("at a multiple of ten seconds")
        return differs("it did not end after ten seconds") if stayed else None


class _Moment:
    """What one answer says about the rate limit."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Raises KeyError or ValueError without the headers."""
        limit, remaining, reset = (float(headers[name]) for name in RATE_LIMIT_HEADERS)
        date = date_seconds(headers["Date"])
        if date is None:
            raise ValueError
        self.date, self.reset, self.remaining = date, reset, remaining
        self.used = limit - remaining

    @property
    def is_inside(self) -> bool:
        """Whether it is surely not at the edge of a window."""
        return EDGE_SECONDS <= self.date % WINDOW_SECONDS < WINDOW_SECONDS - EDGE_SECONDS


def _window(moment: _Moment) -> float:
    return moment.date // WINDOW_SECONDS


def _moments(exchanges: Sequence[Exchange]) -> Iterator[_Moment]:
    for each in exchanges:
        try:
            yield _Moment(each.headers)
        except (KeyError, ValueError):
            continue


class RetryAfter(Probe):
    """A 429 says when to try again, in `Retry-After` or in the headers of the rate limit (API-C1,
    K9). Source: documented for the latter. The probe never exceeds the limit to see one.
    """

    name = "retry_after"
    question = "Does a 429 say when to try again?"
    assumption = "yes"
    endangers = "setting rate_limit_share"
    if_not = "The tap waits ten seconds after each of them."
    facts = ("API-C1", "API-K9")
    most_requests = 0

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        answers = [each for each in workspace.exchanges if each.status == 429]
        if not answers:
            raise NotSeenError("the limit was never reached")
        names = {name for each in answers for name in each.headers}
        if "Retry-After" in names:
            return holds("in Retry-After")
        is_told = RATE_LIMIT_HEADERS[-1] in names
        return compared(is_told, "in X-RateLimit-Reset" if is_told else "no")


class NextPages(Probe):
    """Which forms `pages.next` has (API-D1, K11). Source: described, but with one form for most
    lists by mistake; seen.
    """

    name = "next_pages"
    question = "What names the next page?"
    assumption = "an object with a cursor in searches, a URL in lists"
    endangers = "streams with more than one page"
    if_not = "The tap follows other known forms too, and ends with exit code 5 at unknown ones."
    facts = ("API-D1", "API-K11")
    most_requests = 3

    def observe(self, workspace: ProbedWorkspace) -> Observation:
        workspace.search(searched("contacts"), [EVER])
        forms: dict[str, set[str]] = {}
        is_usual = True
        for each in workspace.exchanges:
            form = _form_of_next(each.shape) if each.status == 200 else None
            if form is None:
                continue
            is_search = each.path.endswith("/search")
            forms.setdefault("searches" if is_search else "lists", set()).add(form)
            is_usual &= form == CURSOR if is_search else form in (CURSOR, ADDRESS)
        if not forms:
            raise NotSeenError("no list or search has a second page")
        texts = [f"{' or '.join(sorted(forms[place]))} in {place}" for place in sorted(forms)]
        return compared(is_usual, "; ".join(texts))


CURSOR = "an object with a cursor"
ADDRESS = "a URL"


def _form_of_next(shape: Shape | None) -> str | None:
    """Return how an answer names its next page, or None if it names none."""
    pages = shape.get("pages") if isinstance(shape, Mapping) else None
    following = pages.get("next") if isinstance(pages, Mapping) else None
    match following:
        case None | "null" | "empty text":
            return None
        case Mapping():
            return CURSOR if "starting_after" in following else "an object without a cursor"
        case "text of an address":
            return ADDRESS
        case str():
            return f"a bare {following.split()[0]}"
    return "another form"


FIRST_PROBES = (HostOfRegion(),)
PROBES_OF_ANSWERS = (
    Refusals(),
    NextPages(),
    RateLimitWindow(),
    RateLimitReset(),
    RateLimitHeaders(),
    RetryAfter(),
)
