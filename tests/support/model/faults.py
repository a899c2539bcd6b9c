"""What goes wrong with requests: `FAULTS`, by name, as `Sandbox.faults` takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Body = dict[str, Any]

SEARCH = "/search$"
JOB = "^/export/(content/data|reporting_data)/[0-9a-f]{16}$"
ENQUEUE = "^/export/(content/data|reporting_data/enqueue)$"
DOWNLOAD = "^/download/"
FILE = "^/files/"
ALL_BUT_FILES = "^/(?!files/)"
GATEWAY_PAGE = "<html>A gateway speaks</html>"
NULL_NESTED_LIST, MISSING_NESTED_LIST = "null nested list", "missing nested list"
# Lists inside records that rows of tables are made of.
NESTED_LISTS = frozenset(
    {
        *("tags", "companies", "segments", "contacts", "teammates", "linked_objects"),
        *("ticket_parts", "conversation_parts"),
    }
)


def _records(body: Any) -> Iterator[Body]:
    """The records of an answer: those of its lists, and the answer, which may be one itself."""
    if not isinstance(body, dict):
        return
    yield body
    lists = [value for value in body.values() if isinstance(value, list)]
    yield from (each for found in lists for each in found if isinstance(each, dict))


def _nested_lists(body: Any) -> Iterator[tuple[Body, str]]:
    """Where lists with something in them are inside of records: the object, and the key."""
    for record in _records(body):
        for name in NESTED_LISTS & record.keys():
            nested = record[name]
            if isinstance(nested, list) and nested:
                yield record, name
            elif isinstance(nested, dict):
                yield from ((nested, key) for key in nested if _is_list(nested[key]))


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _null_nested_lists(body: Any) -> None:
    for place, key in list(_nested_lists(body)):
        place[key] = None


def _drop_nested_lists(body: Any) -> None:
    for place, key in list(_nested_lists(body)):
        del place[key]


def _drop_cursor(body: Any) -> None:
    """Say that there is a next page, and not how to ask for it."""
    pages = body.get("pages") if isinstance(body, dict) else None
    if isinstance(pages, dict) and isinstance(pages.get("next"), dict):
        pages["next"] = {"page": pages["next"].get("page", 2)}


def _drop_count(body: Any) -> None:
    if isinstance(body, dict):
        body.pop("total_count", None)


def _count_pages_as_text(body: Any) -> None:
    pages = body.get("pages") if isinstance(body, dict) else None
    for place in (body, pages):
        if isinstance(place, dict) and isinstance(place.get("total_pages"), int):
            place["total_pages"] = str(place["total_pages"])


def _empty_page(body: Any) -> None:
    """Empty a page that another one follows."""
    if isinstance(body, dict) and isinstance(body.get("pages"), dict) and body["pages"].get("next"):
        body.update({name: [] for name, value in body.items() if isinstance(value, list)})


def _fail_job(body: Any) -> None:
    body["status"] = "failed"


def _redirected(call: Any) -> tuple[int, dict[str, str], bytes]:
    """To where it was asked for."""
    query = "&".join(f"{name}={value}" for name, value in call.query.items())
    return 302, {"Location": f"?{query}"}, b""


def _changed(change: Any, **where: Any) -> dict[str, Any]:
    return {"kind": "changed", "change": change, **where}


GATEWAYS: Mapping[str, dict[str, Any]] = {
    "502": {"kind": "status", "status": 502, "body": GATEWAY_PAGE},
    "520": {"kind": "status", "status": 520, "body": GATEWAY_PAGE},
    "HTML 403": {"kind": "status", "status": 403, "body": GATEWAY_PAGE},
    "HTML 405": {"kind": "status", "status": 405, "body": GATEWAY_PAGE},
    "null body": {"kind": "answer", "answer": lambda call: (200, {}, b"null")},
}
QUIET: Mapping[str, dict[str, Any]] = {
    "null list": {"kind": "null_list"},
    "next without cursor": _changed(_drop_cursor),
    "no count": _changed(_drop_count),
    NULL_NESTED_LIST: _changed(_null_nested_lists),
    MISSING_NESTED_LIST: _changed(_drop_nested_lists),
}
"""Answers that a reader may take for whole."""
COMMON: Mapping[str, dict[str, Any]] = {
    **GATEWAYS,
    **QUIET,
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "0.02"}},
    "429 without headers": {"kind": "status", "status": 429},
    "500": {"kind": "status", "status": 500},
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "reset before": {"kind": "reset_before"},
    "reset midway": {"kind": "reset_midway"},
    "truncated": {"kind": "truncated"},
    "invalid JSON": {"kind": "invalid_json"},
    "error with 200": {"kind": "error_body_200"},
    "repeated cursor": {"kind": "repeated_cursor"},
    "pages as text": _changed(_count_pages_as_text),
}
"""Faults that may meet any request."""
OF_SEARCH: Mapping[str, dict[str, Any]] = {
    "dead cursor": {"kind": "dead_cursor", "path": SEARCH},
    "404 of a search": {"kind": "status", "status": 404, "path": SEARCH},
    # Once, and only where a count says that something is missing: for ever it is what Intercom
    # counts and does not give.
    "empty page": _changed(_empty_page, path=SEARCH, times=1),
}
OF_SCROLL: Mapping[str, dict[str, Any]] = {
    "scroll gone": {"kind": "status", "status": 404, "path": "^/companies/scroll$"},
    "scroll exists": {"kind": "scroll_exists", "path": "^/companies/scroll$"},
}
OF_EXPORTS: Mapping[str, dict[str, Any]] = {
    "failed job": _changed(_fail_job, path=JOB),
    "504 of a job": {"kind": "status", "status": 504, "path": JOB},
    "pending job": {"kind": "status", "status": 429, "path": ENQUEUE},
    "truncated download": {"kind": "truncated", "path": DOWNLOAD},
    "reset download": {"kind": "reset_midway", "path": DOWNLOAD},
    "download that is not there": {"kind": "status", "status": 404, "path": DOWNLOAD},
}
DEAD_FILES: Mapping[str, dict[str, Any]] = {
    f"{status} of a file": {"kind": "status", "status": status, "path": FILE}
    for status in (401, 403, 404, 410)
}
OF_FILES: Mapping[str, dict[str, Any]] = {
    **DEAD_FILES,
    "429 of a file": {
        **{"kind": "status", "status": 429, "path": FILE},
        "headers": {"Retry-After": "0"},
    },
    "503 of a file": {"kind": "status", "status": 503, "path": FILE},
    "file that is not sent": {"kind": "reset_before", "path": FILE},
    "truncated file": {"kind": "truncated", "path": FILE},
    "reset file": {"kind": "reset_midway", "path": FILE},
    "redirected file": {"kind": "answer", "answer": _redirected, "path": FILE},
    "file inside a network": {
        **{"kind": "status", "status": 302, "path": FILE},
        "headers": {"Location": "https://10.0.0.1/file"},
    },
}
DEADLY = frozenset(DEAD_FILES)
FAULTS: Mapping[str, dict[str, Any]] = {
    **{**COMMON, **OF_SEARCH, **OF_SCROLL, **OF_EXPORTS},
    **OF_FILES,
}
