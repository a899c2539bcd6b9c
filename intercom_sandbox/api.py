"""Intercom's endpoints: from a call to an answer. HTTP itself is in `server`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4
from zlib import crc32
from zoneinfo import ZoneInfo

import orjson

from . import fields, search
from .calls import Answer, Call, RefusalError, json_answer
from .detail_endpoints import DetailEndpoints
from .exports import Exports
from .oauth import Authorization
from .options import Options, Permission
from .pages import Cursors, Result, numbered_answer, sort_key
from .records import Record, without_nulls
from .reporting import ReportingExports
from .resource_answers import ResourceAnswers
from .resources import RESOURCES
from .routes import Route
from .tables import Table
from .versions import PREVIEW, newer_fields, version_text
from .workspace import Workspace, plain_text

# Fields of conversations that come on request from 2.16 on.
_ASKED_FOR = {"monitor_evaluations": "include_monitors", "scorecards": "include_scorecards"}
_VERSIONS = frozenset([f"1.{minor}" for minor in range(5)] + [f"2.{minor}" for minor in range(19)])
_COMPANIES_LIST_LIMIT = 10_000
_RESULTS_KEPT = 8


@dataclass
class Scroll:
    """The only scroll over companies that a workspace may have open."""

    token: str
    company_ids: list[str]
    used_at: float
    position: int = 0
    is_dead: bool = False


class Api:
    """The endpoints of one workspace."""

    def __init__(self, workspace: Workspace, options: Options) -> None:
        self.workspace = workspace
        self.options = options
        self.scroll: Scroll | None = None
        self._cursors = Cursors(options, lambda: workspace.clock())
        self._results: dict[object, Result] = {}
        resources = ResourceAnswers(workspace, options, self._cursors, self.version)
        self.details = DetailEndpoints(self)
        exports = self.exports = Exports(workspace, options, self.version)
        reporting = self.reporting = ReportingExports(workspace, options)
        oauth = Authorization(workspace, options)
        reading: tuple[Permission, ...] = ("users_companies_read",)
        exporting: tuple[Permission, ...] = ("export_content_data",)
        datasets: tuple[Permission, ...] = ("export_reporting_data",)
        kind = "reporting_data"
        path = f"/export/{kind}"
        self.routes = [
            Route("GET", "/me", self.me),
            Route("GET", "/contacts/{id}", self.contact, reading),
            Route("GET", "/conversations/{id}", self.conversation, ("conversations",)),
            Route("POST", "/contacts/search", self.search_contacts, reading),
            Route("POST", "/conversations/search", self.search_conversations, ("conversations",)),
            Route("POST", "/tickets/search", self.search_tickets, ("tickets",), since=(2, 10)),
            Route("GET", "/contacts", self.list_contacts, reading),
            Route("GET", "/conversations", self.list_conversations, ("conversations",)),
            Route("GET", "/contacts/{id}/tags", self.contact_tags, reading),
            Route("GET", "/contacts/{id}/companies", self.contact_companies, reading),
            Route("GET", "/contacts/{id}/segments", self.contact_segments, reading),
            Route("GET", "/companies/scroll", self.scroll_companies, reading),
            Route("GET", "/companies", self.list_companies, reading),
            Route("POST", "/companies/list", self.list_companies, ("users_companies_write",)),
            Route("GET", "/companies/{id}", self.company, reading),
            Route("GET", "/companies/{id}/segments", self.company_segments, reading),
            Route("POST", "/auth/eagle/token", oauth.exchange_code),
            Route("GET", "/oauth", oauth.page),
            Route("GET", "/oauth/authorize", oauth.authorize),
            Route("GET", "/oauth/deny", oauth.deny),
            Route("GET", "/articles/{id}", resources.article, ("articles",)),
            Route("POST", "/export/content/data", exports.enqueue, exporting),
            Route("GET", "/export/content/data/{id}", exports.status, exporting),
            Route("POST", "/export/cancel/{id}", exports.cancel, exporting),
            Route("GET", "/download/content/data/{id}", exports.download, exporting),
            Route("GET", f"{path}/get_datasets", reporting.datasets, datasets, since=(2, 14)),
            Route("POST", f"{path}/enqueue", reporting.enqueue, datasets, since=(2, 14)),
            Route("GET", f"{path}/{{id}}", reporting.status, datasets, since=(2, 14)),
            Route("GET", f"/download/{kind}/{{id}}", reporting.download, datasets, since=(2, 14)),
            *(
                Route(
                    "GET",
                    each.path,
                    partial(resources.listed, each),
                    each.permissions,
                    each.since,
                    each.until,
                )
                for each in RESOURCES.values()
                if each.path
            ),
            *self.details.routes,
        ]
        self._fixed = {
            (each.method, each.template): each for each in self.routes if "{" not in each.template
        }

    def route(self, method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
        fixed = self._fixed.get((method, path))
        if fixed:
            return fixed, ()
        for route in self.routes:
            ids = route.match(method, path)
            if ids is not None:
                return route, ids
        return None

    def answer(self, call: Call) -> Answer:
        """Return the answer to a call, as far as Intercom itself decides it."""
        try:
            found = self.route(call.method, call.path)
            if self.options.redirects_to is not None:
                location = f"{self.options.redirects_to}{call.path}"
                return Answer(b"", 301, {"Location": location})
            if found and found[0].template.startswith(("/oauth", "/auth")):
                return found[0].handler(call)
            permissions = self._permissions(call)
            version = self.version(call)
            if not found:
                raise RefusalError(404, "not_found", "The requested resource was not found")
            route, ids = found
            if version > route.until:
                raise RefusalError(
                    400,
                    "intercom_version_invalid",
                    "This endpoint is not in the requested Intercom-Version",
                )
            if version < route.since:
                since = version_text(route.since)
                raise RefusalError(
                    400,
                    "intercom_version_invalid",
                    f"This endpoint needs Intercom-Version {since} or newer",
                )
            if route.permissions and not permissions.intersection(route.permissions):
                raise RefusalError(
                    self.options.refusal_status,
                    "token_unauthorized",
                    "Not authorized to access resource",
                )
            with self.workspace.lock:
                return route.handler(call, *ids)
        except RefusalError as refusal:
            return refusal.answer()

    def expire_cursors(self) -> None:
        """Invalidate every cursor issued so far."""
        self._cursors.expire()

    def _permissions(self, call: Call) -> set[str]:
        permissions = self.options.permissions_of(call.token)
        if permissions is None:
            raise RefusalError(401, "unauthorized", "Access Token Invalid")
        return permissions

    def version(self, call: Call) -> tuple[int, int]:
        """Return the version that the call requests, or the app's own. Raises RefusalError."""
        text = call.headers.get("intercom-version", self.options.app_version)
        if text in ("Preview", "Unstable"):
            return PREVIEW
        if text not in _VERSIONS:
            raise RefusalError(
                400,
                "intercom_version_invalid",
                "The requested version could not be found",
            )
        major, minor = text.split(".")
        return int(major), int(minor)

    # The workspace and its people

    def me(self, call: Call) -> Answer:
        admins = self.workspace.admins
        admin = next(iter(admins.values())) if admins else {"type": "admin", "id": "0"}
        body = {"avatar": {"type": "avatar", "image_url": None}} | without_nulls(admin)
        return json_answer(body | {"email_verified": True, "app": self.workspace.app})

    # Contacts

    def contact(self, call: Call, contact_id: str) -> Answer:
        if contact_id in self.workspace.merged:
            raise self._merged(call, contact_id)
        text = self.workspace.contacts.texts.get(contact_id)
        text = self.workspace.archived.get(contact_id) if text is None else text
        if text is None:
            raise RefusalError(404, "not_found", "User Not Found")
        return Answer(self.contact_text(call)(contact_id, text))

    def _merged(self, call: Call, contact_id: str) -> RefusalError:
        if self.version(call) < (2, 16):
            return RefusalError(404, "not_found", "User Not Found")
        target = contact_id
        for _ in range(3):
            target = self.workspace.merged.get(target, target)
        return RefusalError(
            410,
            "contact_merged",
            "Contact has been merged",
            {"Link": f'</contacts/{target}>; rel="canonical"'},
        )

    def contact_tags(self, call: Call, contact_id: str) -> Answer:
        self.contact(call, contact_id)
        tags = [
            self.workspace.tags.get(each, {"type": "tag", "id": each, "name": each})
            for each in self.workspace.nested_ids(contact_id, "tags")
        ]
        return json_answer({"type": "list", "data": tags})

    def contact_segments(self, call: Call, contact_id: str) -> Answer:
        self.contact(call, contact_id)
        segments = [
            _without_count(self.workspace.segments[each])
            for each in self.workspace.contact_segment_ids.get(contact_id, ())
            if each in self.workspace.segments
        ]
        return json_answer({"type": "list", "data": segments})

    def contact_companies(self, call: Call, contact_id: str) -> Answer:
        self.contact(call, contact_id)
        companies = self.workspace.companies.texts
        ids = self.workspace.nested_ids(contact_id, "companies")
        rows = [companies[each] for each in ids if each in companies]
        return numbered_answer(call, rows, 50, 60, options=self.options)

    # Companies

    def company(self, call: Call, company_id: str) -> Answer:
        if company_id not in self.workspace.companies:
            raise RefusalError(404, "company_not_found", "Company Not Found")
        return Answer(self.workspace.companies.texts[company_id])

    def company_segments(self, call: Call, company_id: str) -> Answer:
        self.company(call, company_id)
        segments = self.workspace.companies.get(company_id).get("segments") or {}
        known = self.workspace.company_segments
        ids = [each["id"] for each in segments.get("segments", ()) if each["id"] in known]
        return json_answer({"type": "list", "data": [_without_count(known[each]) for each in ids]})

    def scroll_companies(self, call: Call) -> Answer:
        """Return one page of the scroll; a second request for it returns the next page."""
        now, token = self.workspace.clock(), call.query.get("scroll_param")
        scroll = self.scroll
        if scroll and now - scroll.used_at > self.options.scroll_ttl:
            scroll = None
        if token is None:
            if scroll:
                raise RefusalError(400, "scroll_exists", "scroll already exists for this workspace")
            scroll = Scroll(str(uuid4()), self._scrolled_ids(), now)
        elif not scroll or scroll.token != token or scroll.is_dead:
            raise RefusalError(404, "not_found", "scroll parameter not found")
        companies = self.workspace.companies.texts
        page: list[bytes] = []
        while scroll.position < len(scroll.company_ids) and (
            len(page) < self.options.scroll_page_size
        ):
            company_id = scroll.company_ids[scroll.position]
            if company_id in companies:
                page.append(companies[company_id])
            scroll.position += 1
        scroll.used_at = now
        self.scroll = None if not page and self.options.scroll_closes_at_end else scroll
        return Answer(
            b'{"type":"list","data":[%s],"pages":null,"total_count":null,"scroll_param":"%s"}'
            % (b",".join(page), scroll.token.encode())
        )

    def _scrolled_ids(self) -> list[str]:
        companies = self.workspace.companies
        ids = [each for _, each in companies.ids]
        if self.options.scroll_without_users:
            return ids
        return [each for each in ids if companies.get(each)["user_count"]]

    def break_scroll(self) -> None:
        """Break the scroll: it cannot go on, but keeps its place until it expires."""
        if self.scroll:
            self.scroll.is_dead = True

    def list_companies(self, call: Call) -> Answer:
        """Return companies with users, by last_request_at; parameters are in the query string."""
        companies = [each for each in self.workspace.companies.records() if each["user_count"]]
        companies.sort(
            key=lambda each: (each.get("last_request_at") or 0, each["id"]),
            reverse=call.query.get("order") != "asc",
        )
        page, per_page = call.number("page", 1), call.number("per_page", 15)
        if page * per_page > _COMPANIES_LIST_LIMIT:
            raise RefusalError(400, "bad_request", "page limit reached, please use scroll API")
        rows = [orjson.dumps(each) for each in companies]
        return numbered_answer(call, rows, 15, 60, options=self.options)

    # Conversations

    def conversation(self, call: Call, conversation_id: str) -> Answer:
        text = self.workspace.conversations.texts.get(conversation_id)
        if text is None:
            raise RefusalError(404, "not_found", "Resource Not Found")
        plain = call.query.get("display_as") == "plaintext"
        text = self._conversation_text(call)(conversation_id, text)
        if plain:
            text = _plain_source(text)
        parts = self.workspace.parts_text(conversation_id, plain=plain)
        is_translated = conversation_id in self.workspace.translated
        if is_translated and call.query.get("include_translations") != "true":
            shown = [each | {"translations": None} for each in orjson.loads(b"[%s]" % parts)]
            parts = orjson.dumps(shown)[1:-1]
        return Answer(
            b'%s,"conversation_parts":{"type":"conversation_part.list","conversation_parts":[%s],'
            b'"total_count":%d}}'
            % (
                text[:-1],
                parts,
                len(self.workspace.parts[conversation_id]),
            )
        )

    # Lists and searches

    def list_contacts(self, call: Call) -> Answer:
        return self._listed(call, self.workspace.contacts, 50, "data", self.contact_text(call))

    def list_conversations(self, call: Call) -> Answer:
        conversations, text = self.workspace.conversations, self._conversation_text(call)
        return self._listed(call, conversations, 20, "conversations", text)

    def search_contacts(self, call: Call) -> Answer:
        body = _search_body(call)
        order = (body.get("sort") or {}).get("order", "descending")
        if self.version(call) >= (2, 16) and order not in ("ascending", "descending"):
            raise RefusalError(
                400,
                "invalid_sort_order",
                f"Invalid sort order '{order}'. Must be one of: ascending, descending",
            )
        render = self.contact_text(call)
        return self._searched(
            body, self.workspace.contacts, 50, "data", self.contact_language(), render
        )

    def search_conversations(self, call: Call) -> Answer:
        return self._searched(
            _search_body(call),
            self.workspace.conversations,
            20,
            "conversations",
            self._exact_language(fields.CONVERSATION_FIELDS),
            self._conversation_text(call),
            without=self._hidden_conversations(call),
        )

    def search_tickets(self, call: Call) -> Answer:
        return self._searched(
            _search_body(call),
            self.workspace.tickets,
            20,
            "tickets",
            self._exact_language(fields.TICKET_FIELDS),
            self.details.ticket_text(call),
        )

    def _hidden_conversations(self, call: Call) -> frozenset[str]:
        sees_tickets = "tickets" in self._permissions(call)
        return frozenset() if sees_tickets else frozenset(self.workspace.ticket_ids)

    def contact_language(self) -> search.Language:
        """Return the search language for contacts: whole days for dates, in most versions."""
        days = {
            "workspace": ZoneInfo(self.workspace.app["timezone"]),
            "utc": ZoneInfo("UTC"),
            "exact": None,
        }[self.options.contact_days]
        attributes = self.workspace.resources.kept("contact_attributes")

        def is_date(field: str) -> bool:
            attribute = attributes.get(field)
            return fields.is_date(field) or bool(attribute and attribute["data_type"] == "date")

        def is_field(field: str) -> bool:
            return field in fields.CONTACT_FIELDS or (
                field.startswith("custom_attributes.") and field in attributes
            )

        return search.Language(is_field, is_date, days, dates_compare_inclusively=days is None)

    def _exact_language(self, names: frozenset[str]) -> search.Language:
        return search.Language(
            lambda field: field in names or field.startswith("ticket_attribute."),
            fields.is_date,
            dates_compare_inclusively=self.options.inclusive_operators,
            greater_includes_equal=self.options.greater_includes_equal,
        )

    def _searched(
        self,
        body: dict[str, Any],
        table: Table,
        default: int,
        records_key: str,
        language: search.Language,
        render: Callable[[str, bytes], bytes],
        without: frozenset[str] | set[str] = frozenset(),
    ) -> Answer:
        try:
            query = search.parse(body["query"], language)
        except search.QueryError as exc:
            raise RefusalError(400, exc.code, str(exc)) from None
        pagination = body.get("pagination") or {}
        sort = body.get("sort") or {}
        field = sort.get("field", "updated_at")
        if not language.is_field(field):
            raise RefusalError(400, "invalid_field", f"{field} is not a sortable field")
        is_descending = not str(sort.get("order", "descending")).startswith("asc")
        result = self._result(table, query, field, is_descending, without)
        per_page = pagination.get("per_page", default)
        return self._page(
            result,
            table.index.texts,
            records_key,
            per_page,
            pagination.get("starting_after"),
            render,
        )

    def _listed(
        self,
        call: Call,
        table: Table,
        default: int,
        records_key: str,
        render: Callable[[str, bytes], bytes],
    ) -> Answer:
        """Return a page of all records, in an order that edits do not change."""
        order = table.ids
        if table is self.workspace.conversations and (hidden := self._hidden_conversations(call)):
            order = [key for key in order if key[1] not in hidden]
        result = Result.of_all(order, is_descending=False)
        per_page, cursor = call.number("per_page", default), call.query.get("starting_after")
        return self._page(result, table.texts, records_key, per_page, cursor, render)

    def _result(
        self,
        table: Table,
        query: search.Query,
        field: str,
        is_descending: bool,
        without: frozenset[str] | set[str],
    ) -> Result:
        index = table.index
        ranges, is_exact = search.time_ranges(query)
        by_time = Result.of_ranges(index.order, ranges, is_descending)
        if is_exact and not without and field == "updated_at" and self.options.sort_honoured:
            return by_time
        sort = field if self.options.sort_honoured else None
        key = (id(table), repr(query), sort, is_descending, index.version, len(without))
        if key not in self._results:
            order: list[tuple[Any, str]] = []
            for updated_at, record_id in by_time.keys(0, len(by_time)):
                if record_id in without:
                    continue
                record = orjson.loads(index.texts[record_id])
                values_of = partial(fields.values_of, self.workspace, record)
                if not is_exact and not search.matches(query, values_of):
                    continue
                if sort is None:
                    order.append((crc32(record_id.encode()), record_id))
                elif sort == "updated_at":
                    order.append((updated_at, record_id))
                else:
                    order.append((sort_key(values_of(sort)), record_id))
            order.sort()
            if len(self._results) >= _RESULTS_KEPT:
                self._results.pop(next(iter(self._results)))
            self._results[key] = Result.of_all(order, is_descending and sort is not None)
        return self._results[key]

    def _page(
        self,
        result: Result,
        texts: dict[str, bytes],
        records_key: str,
        per_page: object,
        starting_after: object,
        render: Callable[[str, bytes], bytes],
    ) -> Answer:
        if not isinstance(per_page, int) or isinstance(per_page, bool) or not 1 <= per_page <= 150:
            raise RefusalError(400, "parameter_invalid", "per_page must be between 1 and 150")
        page, position = self._cursors.page_after(result, starting_after)
        total = len(result)
        keys = result.keys(position, per_page)
        pages: Record = {
            "type": "pages",
            "page": page,
            "per_page": per_page,
            "total_pages": -(-total // per_page),
        }
        if position + len(keys) < total and keys:
            following = self._cursors.text(keys[-1], position + len(keys), page + 1)
            is_text = self.options.next_links == "text"
            after = {"page": page + 1, "starting_after": following}
            pages["next"] = following if is_text else after
        kind = "list" if records_key == "data" else f"{records_key[:-1]}.list"
        rows = b",".join([render(record_id, texts[record_id]) for _, record_id in keys])
        counted = total if self.options.total_counts == "exact" else -(-total // 10) * 10
        return Answer(
            b'{"type":"%s","%s":[%s],"total_count":%d,"pages":%s}'
            % (kind.encode(), records_key.encode(), rows, counted, orjson.dumps(pages))
        )

    # Versions before 2.16

    def contact_text(self, call: Call) -> Callable[[str, bytes], bytes]:
        is_older = self.version(call) < (2, 16)
        with_merges = not is_older and call.query.get("include_merge_history") == "true"
        if not is_older and not with_merges:
            return _unchanged

        def render(contact_id: str, text: bytes) -> bytes:
            record = orjson.loads(text)
            if is_older and record["owner_id"] is not None:
                record["owner_id"] = int(record["owner_id"])
            if with_merges and record["role"] == "user":
                record["merge_history"] = self.workspace.merge_history.get(contact_id, [])
            return orjson.dumps(record)

        return render

    def _conversation_text(self, call: Call) -> Callable[[str, bytes], bytes]:
        version = self.version(call)
        is_older = version < (2, 16)
        newer = [b'"%s":' % name.encode() for name in newer_fields("conversations", version)]
        asked = {
            b'"%s":' % name.encode(): not is_older and call.query.get(parameter) == "true"
            for name, parameter in _ASKED_FOR.items()
        }

        def render(_: str, text: bytes) -> bytes:
            hidden = [key for key, is_asked in asked.items() if key in text and not is_asked]
            hidden += [key for key in newer if key in text]
            missing = [key for key, is_asked in asked.items() if is_asked and key not in text]
            if not hidden and not is_older:
                # A copy of the bytes costs less than parsing and writing a record.
                return b",".join([text[:-1], *(b"%s[]" % key for key in missing)]) + b"}"
            record = orjson.loads(text)
            for key in hidden:
                del record[key.decode().strip('":')]
            for key in missing:
                record[key.decode().strip('":')] = []
            if is_older:
                record["priority"] = "not_priority" if record["priority"] == "none" else "priority"
                for assignee in ("admin_assignee_id", "team_assignee_id"):
                    record[assignee] = record[assignee] or None
            return orjson.dumps(record)

        return render


def _unchanged(_: str, text: bytes) -> bytes:
    return text


def _without_count(segment: Record) -> Record:
    return {name: value for name, value in segment.items() if name != "count"}


def _search_body(call: Call) -> dict[str, Any]:
    body = call.json()
    if not isinstance(body, dict):
        raise RefusalError(400, "bad_request", "The body must be an object")
    if not isinstance(body.get("query"), dict):
        raise RefusalError(400, "parameter_missing", "query is missing")
    for name in ("pagination", "sort"):
        if not isinstance(body.get(name), (dict, type(None))):
            raise RefusalError(400, "parameter_invalid", f"{name} must be an object")
    return body


def _plain_source(text: bytes) -> bytes:
    record = orjson.loads(text)
    source = record["source"]
    if source:
        for name in ("subject", "body"):
            source[name] = source[name] and plain_text(source[name])
    return orjson.dumps(record)
