"""Intercom's answers to calls for resources."""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, gt, le

from .calls import Answer, Call, RefusalError, json_answer
from .options import Options
from .pages import Cursors, Result, numbered_page, page_size
from .records import Record, without_nulls
from .resource import Asked, Resource, TimeFilter
from .resource_store import key_of, milliseconds, order_key
from .resources import RESOURCES
from .versions import Version
from .workspace import Workspace

_COMPARED: dict[str, Callable[[int, int], bool]] = {">": gt, ">=": ge, "<=": le}


class ResourceAnswers:
    """The lists of resources, and the single article."""

    def __init__(
        self,
        workspace: Workspace,
        options: Options,
        cursors: Cursors,
        version_of: Callable[[Call], Version],
    ) -> None:
        self._workspace = workspace
        self._store = workspace.resources
        self._options = options
        self._cursors = cursors
        self._version_of = version_of

    def listed(self, resource: Resource, call: Call, parent_id: str | None = None) -> Answer:
        """Return a page of a list. Raises RefusalError."""
        if parent_id is not None and not self._store.has_parent(resource, parent_id):
            raise RefusalError(404, resource.missing, "Resource Not Found")
        if resource.choose:
            version = self._version_of(call)
            records = resource.choose(Asked(call.query, version, self._options, self._store.all))
        else:
            is_ordered = self._options.sort_honoured
            records = self._store.listed(resource.name, parent_id, is_ordered=is_ordered)
        if not resource.lists_archived and call.query.get("include_archived") != "true":
            records = [each for each in records if not each["archived"]]
        for each in resource.filters:
            records = self._filtered(each, call, records)
        if resource.is_reversible and call.query.get("order") == "asc":
            records.reverse()
        left_out = self._left_out(resource, call)
        for parameter, fields in resource.on_request.items():
            if call.query.get(parameter) != "true":
                left_out.update(fields)
        if resource.omits_null:
            records = list(map(without_nulls, records))
        match resource.paging:
            case "one_object":
                return json_answer(_shown(records[0], left_out))
            case "none":
                if resource.only:
                    return json_answer(
                        {
                            "type": resource.kind,
                            resource.rows: [each[resource.only] for each in records],
                        }
                    )
                around: Record = {}
            case "cursor":
                records, around = self._page_after(resource, call, records)
            case _:
                records, around = self._numbered_page(resource, call, records)
        rows = [_shown(each, left_out) for each in records]
        return json_answer({"type": resource.kind, resource.rows: rows} | around)

    def article(self, call: Call, article_id: str) -> Answer:
        """Return one article with the statistics that the list omits. Raises RefusalError."""
        article = self._store.record("articles", article_id)
        if article is None:
            raise RefusalError(404, "not_found", "Resource Not Found")
        statistics = self._store.record("article_statistics", article_id)
        if statistics:
            left_out = self._left_out(RESOURCES["article_statistics"], call)
            statistics = _shown(statistics, left_out)
        article = _shown(article, self._left_out(RESOURCES["articles"], call))
        return json_answer(article | {"statistics": statistics})

    def _left_out(self, resource: Resource, call: Call) -> set[str]:
        """Return the fields that answers omit in the version of a call."""
        return {*resource.hidden, *resource.omitted(self._version_of(call))}

    def _filtered(self, given: TimeFilter, call: Call, records: list[Record]) -> list[Record]:
        text = call.query.get(given.parameter)
        if text is None:
            if given.is_required:
                raise RefusalError(400, "parameter_missing", f"{given.parameter} is missing")
            if given.default_age is None:
                return records
            text = str(int(self._workspace.clock()) - given.default_age)
        if not text.isdecimal():
            message = f"{given.parameter} must be a Unix timestamp (integer)"
            raise RefusalError(400, "parameter_invalid", message)
        border, compared = int(text) * 1000, _COMPARED[given.selects]
        return [each for each in records if compared(milliseconds(each[given.field]), border)]

    def _numbered_page(
        self, resource: Resource, call: Call, records: list[Record]
    ) -> tuple[list[Record], Record]:
        pages, shown = numbered_page(call, len(records), *resource.sizes, self._options)
        around: Record = {"total_count": len(records)} if resource.is_counted else {}
        if resource.paging == "numbers":
            return records[shown], around | {"pages": pages}
        numbers = {name: pages[name] for name in ("page", "per_page", "total_pages")}
        return records[shown], around | numbers

    def _page_after(
        self, resource: Resource, call: Call, records: list[Record]
    ) -> tuple[list[Record], Record]:
        default, maximum = resource.sizes
        per_page = page_size(call.number("per_page", default), maximum, self._options)
        by_key = {key_of(resource, each): each for each in records}
        order = sorted(order_key(resource, each) for each in records)
        result = Result.of_all(order, is_descending=resource.oldest_first is None)
        page, position = self._cursors.page_after(result, call.query.get("starting_after"))
        keys = result.keys(position, per_page)
        pages: Record = {"type": "pages", "per_page": per_page}
        if keys and position + len(keys) < len(result):
            after = self._cursors.text(keys[-1], position + len(keys), page + 1)
            pages["next"] = {"starting_after": after}
        return [by_key[key] for _, key in keys], {"pages": pages}


def _shown(record: Record, left_out: set[str]) -> Record:
    return {field: value for field, value in record.items() if field not in left_out}
