"""How the sandbox behaves where Intercom may behave in more than one way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Permission = str
# What an app may be allowed to read, and what Developer Hub calls it.
PERMISSIONS: dict[Permission, str] = {
    "users_companies_read": "Read and list users and companies",
    "users_companies_write": "Write users and companies",
    "tags": "Read tags",
    "conversations": "Read conversations",
    "tickets": "Read tickets",
    "admins": "Read admins",
    "admin_activity_logs": "Read admin activity logs",
    "articles": "Read and list articles",
    "help_center_redirects": "Help center redirects",
    "news": "Read and list news items and newsfeeds",
    "content_snippets": "Content snippets",
    "content_data": "Read content data",
    # Nobody says what this one is called; its scope is read_dynamic_content.
    "dynamic_content": "Read dynamic content",
    "custom_objects": "Read and write custom object instances",
    # Nobody says what this one is called.
    "data_connectors": "Data connectors",
    "ip_allowlist": "IP allowlist",
    "events": "Read events",
    "export_content_data": "Export content data",
    "export_reporting_data": "Reporting data export",
}


@dataclass
class Options:
    """All may be changed while the sandbox runs. Times are in seconds.

    token, permissions      what a caller needs, and what it may read
    other_tokens            tokens of other apps, each with what it may read and a rate limit of
                            its own
    refusal_status          of a call without the permission: 401 or 403
    app_version             the version of calls without one
    rate_limit              requests in a window; None: no limit and no headers
    rate_limit_window       length of a window
    reset_after             how long after the end of its window X-RateLimit-Reset is
    redirects_to            another host that all answers redirect to
    retry_after             the Retry-After header of a 429
    latency, latency_jitter the duration of every answer, and the maximum random addition
    contact_days            what date filters on contacts are cut to: days of the workspace's
                            timezone, days of UTC, or nothing
    greater_includes_equal  whether `>` on conversations and tickets includes equal times
    inclusive_operators     whether conversations and tickets take `>=` and `<=` on times
    sort_honoured           False: results come in an arbitrary order
    cursors                 a cursor continues after a value, or at a position in the current
                            result, so rows that leave let others slip past
    cursor_lifetime         a cursor is valid for this many later searches
    cursor_seconds          a cursor is valid for this long; None: for ever
    next_links              what follows a page of a search: an object with a cursor, or the cursor
    company_contacts        how the contacts of a company continue: by page number, by cursor, or
                            without saying so
    total_counts            whether a search or its list counts exactly, or up to the next
                            multiple of ten
    large_pages             what happens to a page size above the maximum, except for contacts and
                            conversations: refused by an error that names the parameter or by
                            another one, or lowered
    most_rows               maximum rows on any page; None: no such limit
    search_lag              how long search does not see an edit
    deleted_tickets_listed  whether the list of deleted conversations has deleted tickets
    company_segments_listed whether `/segments?type=company` returns company segments
    scroll_without_users    whether the scroll returns companies without users
    scroll_ttl              a scroll ends this long after its last use
    scroll_closes_at_end    whether the empty page ends the scroll immediately
    export_looks            number of status requests before a job is complete
    exports_refused         how often a job may not start yet, since another app's is pending
    export_result           how jobs end
    content_file            how the file of a content export is packed: all groups in an archive,
                            or only receipts
    content_file_name       the name of each file in the archive, from group, number and time
    reporting_file          how the file of a reporting export is packed
    reporting_bounds        which of the two requested instants a reporting export includes
    reporting_header        the names of its columns: displayed names, or ids
    export_times            how the files write times: Unix seconds, ISO 8601, or with a space
    client_id and so on     the app that OAuth knows; its codes are valid for code_lifetime
    """

    token: str = "sandbox-token"
    permissions: set[str] = field(default_factory=lambda: set(PERMISSIONS))
    other_tokens: dict[str, set[Permission]] = field(default_factory=dict)
    refusal_status: int = 403
    app_version: str = "2.16"
    rate_limit: int | None = 1667
    rate_limit_headers: bool = True
    rate_limit_window: int = 10
    reset_after: int = 0
    redirects_to: str | None = None
    retry_after: int | None = None
    latency: float = 0.0
    latency_jitter: float = 0.0
    date_header: bool = True
    clock_offset_seconds: float = 0.0
    contact_days: Literal["workspace", "utc", "exact"] = "workspace"
    greater_includes_equal: bool = False
    inclusive_operators: bool = True
    sort_honoured: bool = True
    cursors: Literal["value", "position"] = "value"
    cursor_lifetime: int | None = None
    cursor_seconds: float | None = None
    next_links: Literal["object", "text"] = "object"
    company_contacts: Literal["numbers", "cursor", "nameless"] = "numbers"
    total_counts: Literal["exact", "rounded"] = "exact"
    large_pages: Literal["refused", "refused_otherwise", "capped"] = "refused"
    most_rows: int | None = None
    search_lag: float = 0.0
    deleted_tickets_listed: bool = False
    company_segments_listed: bool = True
    scroll_page_size: int = 100
    scroll_without_users: bool = True
    scroll_ttl: float = 60.0
    scroll_closes_at_end: bool = True
    export_looks: int = 2
    exports_refused: int = 0
    export_result: Literal["complete", "failed", "canceled"] = "complete"
    content_file: Literal["zip", "gzip", "plain"] = "zip"
    content_file_name: str = "{group}_{now:%Y%m%d-%H%M%S}.csv"
    reporting_file: Literal["plain", "gzip"] = "plain"
    reporting_bounds: Literal["start", "end", "both", "neither"] = "start"
    reporting_header: Literal["names", "ids", "qualified"] = "names"
    export_times: Literal["seconds", "iso", "space"] = "seconds"
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"
    redirect_uri: str = "https://example.com/oauth/callback"
    code_lifetime: float = 300.0

    def __post_init__(self) -> None:
        self.permissions = set(self.permissions)
        unknown = self.permissions.union(*self.other_tokens.values()) - PERMISSIONS.keys()
        if unknown:
            raise ValueError(f"unknown permissions: {', '.join(sorted(unknown))}")

    def permissions_of(self, token: str) -> set[Permission] | None:
        """Return what a token may read, or None if it is not a token of the workspace."""
        return self.permissions if token == self.token else self.other_tokens.get(token)
