"""The Intercoms that are not what the tap assumes, by the probe that finds each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intercom_sandbox.options import PERMISSIONS

OTHER_ANSWERS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "contact_days": ({"contact_days": "utc"}, {"contact_days": "exact"}),
    "greater_than_conversations": ({"greater_includes_equal": True},),
    "greater_than_tickets": ({"greater_includes_equal": True},),
    "inclusive_operators_conversations": ({"inclusive_operators": False},),
    "inclusive_operators_tickets": ({"inclusive_operators": False},),
    "sort_contacts": ({"sort_honoured": False},),
    "sort_conversations": ({"sort_honoured": False},),
    "sort_tickets": ({"sort_honoured": False},),
    "host": ({"redirects_to": "https://api.example.com"},),
    "total_count_contacts": ({"total_counts": "rounded"},),
    "total_count_conversations": ({"total_counts": "rounded"},),
    "total_count_tickets": ({"total_counts": "rounded"},),
    "search_lag": ({"search_lag": 7_200.0},),
    "cursor_life": ({"cursor_seconds": 30.0}, {"cursor_lifetime": 0}),
    "company_segments": ({"company_segments_listed": False},),
    "page_sizes": ({"large_pages": "refused_otherwise"},),
    "scroll_without_users": ({"scroll_without_users": False},),
    "company_contact_pages": ({"company_contacts": "nameless"},),
    "deleted_order": ({"sort_honoured": False},),
    "deleted_tickets": ({"deleted_tickets_listed": True},),
    "refusals": ({"refusal_status": 404, "permissions": PERMISSIONS.keys() - {"tags"}},),
    "next_pages": ({"next_links": "text"},),
    "rate_limit_window": ({"rate_limit_window": 60},),
    "rate_limit_reset": ({"reset_after": 50},),
    "retry_after": ({"rate_limit_headers": False, "retry_after": None},),
    "rate_limit_headers": ({"rate_limit": None}, {"rate_limit_headers": False}),
}
