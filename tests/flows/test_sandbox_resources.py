"""The lists of the local Intercom besides contacts, companies and conversations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from description import DESCRIBED_AS, ENDPOINTS, newest_description
from jsonschema import Draft4Validator, RefResolver  # type: ignore[import-untyped]
from test_sandbox import Caller, code, leaves, nullable, serving

from intercom_sandbox import Workspace, generate
from intercom_sandbox.options import PERMISSIONS
from intercom_sandbox.resource import Resource
from intercom_sandbox.resource_store import milliseconds
from intercom_sandbox.resources import RESOURCES
from intercom_sandbox.versions import PREVIEW, version_text

NOW = 1_780_000_000
# Contacts and tickets refer to these, whatever other records there are.
TICKET_WORDS = ("ticket_types", "ticket_type_attributes", "ticket_states", "calls")
LISTED = [each for each in RESOURCES.values() if each.path]
PAGED = [each for each in LISTED if each.sizes != (0, 0)]
# Parameters without which not all records and fields are listed.
EVERYTHING = {
    "activity_logs": {"created_at_after": "0"},
    "admins": {"display_avatar": "true"},
    "contact_attributes": {"model": "contact", "include_archived": "true"},
    "conversation_attributes": {"include_archived": "true"},
    "data_connector_executions": {"start_ts": "0", "include_bodies": "true"},
    "segments": {"include_count": "true"},
}

every_list = pytest.mark.parametrize("resource", LISTED, ids=lambda each: each.name)
every_paged_list = pytest.mark.parametrize("resource", PAGED, ids=lambda each: each.name)


@pytest.fixture(scope="module")
def sample() -> Iterator[Caller]:
    """The default sample in the newest version, which no test edits."""
    with serving(generate(seed=1, now=NOW), clock=lambda: NOW) as caller:
        caller.session.headers["Intercom-Version"] = "Preview"
        yield caller


def newest(path: str) -> dict[str, str]:
    """The header for the newest version that has a path."""
    ends = {each.path: each.until for each in LISTED if each.until < PREVIEW}
    return {"Intercom-Version": version_text(ends.get(path, PREVIEW))}


def truth(caller: Caller, resource: Resource) -> list[dict[str, Any]]:
    return caller.sandbox.truth(resource.name, PREVIEW)


def paths(caller: Caller, resource: Resource) -> dict[str | None, str]:
    """The path of a list, or its paths by the ids of its parents."""
    if not resource.parent:
        return {None: resource.path}
    parents = caller.sandbox.truth(resource.parent)
    return {each["id"]: resource.path.format(id=each["id"]) for each in parents}


def get(caller: Caller, path: str, **parameters: object) -> dict[str, Any]:
    response = caller.get(path, params=parameters, headers=newest(path))
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def walk(
    caller: Caller, resource: Resource, path: str, per_page: int, **parameters: object
) -> Iterator[dict[str, Any]]:
    """The answers to a list, page by page to its end, each with its shape checked."""
    parameters = {**EVERYTHING.get(resource.name, {}), **parameters, "per_page": per_page}
    seen: list[Any] = []
    number = 1
    while True:
        answer = get(caller, path, **parameters)
        yield answer
        seen += answer[resource.rows]
        pages = answer if resource.paging == "numbers_on_top" else answer["pages"]
        assert pages["per_page"] == per_page
        assert len(answer[resource.rows]) <= per_page
        if resource.paging == "cursor":
            assert "total_count" not in answer
            following = pages.get("next")
            if following is None:
                return
            parameters["starting_after"] = following["starting_after"]
            continue
        assert pages["page"] == number
        assert ("total_count" in answer) == resource.is_counted
        is_last = number >= pages["total_pages"]
        if resource.paging == "numbers":
            assert pages["type"] == "pages"
            assert (pages["next"] is None) == is_last
            if not is_last:
                link = urlsplit(pages["next"])
                assert link.path == path
                wanted = {**parameters, "page": number + 1}
                assert dict(parse_qsl(link.query)) == {k: str(v) for k, v in wanted.items()}
        else:
            assert "pages" not in answer
        if is_last:
            assert answer.get("total_count", len(seen)) == len(seen)
            return
        number += 1
        parameters["page"] = number


def listed(caller: Caller, resource: Resource, path: str, per_page: int = 5) -> list[Any]:
    if resource.paging == "one_object":
        return [get(caller, path)]
    if resource.paging == "none":
        return list(get(caller, path, **EVERYTHING.get(resource.name, {}))[resource.rows])
    pages = walk(caller, resource, path, per_page)
    return [row for answer in pages for row in answer[resource.rows]]


def as_listed(resource: Resource, record: dict[str, Any]) -> Any:
    """A true record as the list shows it."""
    if resource.only:
        return record[resource.only]
    left_out = {*resource.hidden, *resource.from_parent}
    return {field: value for field, value in record.items() if field not in left_out}


# Lists and their pages


@every_list
def test_a_list_gives_all_records_of_its_table(sample: Caller, resource: Resource) -> None:
    records = truth(sample, resource)
    assert records
    for parent_id, path in paths(sample, resource).items():
        expected = [
            as_listed(resource, each)
            for each in records
            if parent_id is None or each[resource.parent_field] == parent_id
        ]
        assert listed(sample, resource, path) == expected


@every_paged_list
def test_sizes_of_pages_have_a_default_and_a_maximum(sample: Caller, resource: Resource) -> None:
    default, maximum = resource.sizes
    path = next(iter(paths(sample, resource).values()))
    parameters = EVERYTHING.get(resource.name, {})
    for size, expected in ((None, default), (maximum, maximum)):
        asked = parameters if size is None else {**parameters, "per_page": str(size)}
        answer = get(sample, path, **asked)
        pages = answer if resource.paging == "numbers_on_top" else answer["pages"]
        assert pages["per_page"] == expected
    for wrong in (maximum + 1, 0, "many"):
        asked = {**parameters, "per_page": str(wrong)}
        response = sample.get(path, params=asked, headers=newest(path))
        assert code(response) == (400, "parameter_invalid")


def test_pages_that_are_too_large_can_be_cut() -> None:
    with serving(generate(seed=1, now=NOW, resources=60), large_pages="capped") as caller:
        assert len(get(caller, "/calls", per_page=100)["data"]) == 25
        assert len(get(caller, "/data_connectors", per_page=100)["data"]) == 3
        answer = get(caller, "/companies", per_page=1000)
        assert answer["pages"]["per_page"] == 60


def test_a_page_beyond_the_last_one_is_empty(sample: Caller) -> None:
    answer = get(sample, "/articles", page=9)
    assert (answer["data"], answer["pages"]["next"]) == ([], None)


@pytest.mark.parametrize(
    "resource",
    [each for each in LISTED if each.newest_first],
    ids=lambda each: each.name,
)
def test_the_newest_come_first(sample: Caller, resource: Resource) -> None:
    assert resource.newest_first
    several = False
    for path in paths(sample, resource).values():
        times = [milliseconds(row[resource.newest_first]) for row in listed(sample, resource, path)]
        assert times == sorted(times, reverse=True)
        several = several or len(set(times)) > 1
    assert several


@every_list
def test_a_missing_permission_is_refused(sample: Caller, resource: Resource) -> None:
    path = next(iter(paths(sample, resource).values()))
    parameters = EVERYTHING.get(resource.name)
    options = sample.sandbox.options
    options.permissions = set(PERMISSIONS) - set(resource.permissions)
    try:
        refused = sample.get(path, params=parameters, headers=newest(path))
        assert code(refused) == (403, "token_unauthorized")
        options.permissions = {resource.permissions[0]}
        assert get(sample, path, **(parameters or {}))
    finally:
        options.permissions = set(PERMISSIONS)


@every_list
def test_lists_came_with_versions(sample: Caller, resource: Resource) -> None:
    path = next(iter(paths(sample, resource).values()))

    def asked(version: tuple[int, int]) -> Any:
        headers = {"Intercom-Version": version_text(version)}
        return sample.get(path, params=EVERYTHING.get(resource.name), headers=headers)

    versions = [*((2, minor) for minor in range(7, 19)), PREVIEW]
    for version in versions:
        if resource.since <= version <= resource.until:
            assert asked(version).status_code == 200
        else:
            assert code(asked(version)) == (400, "intercom_version_invalid")


@pytest.mark.parametrize(
    "resource", [each for each in LISTED if each.parent], ids=lambda each: each.name
)
def test_a_parent_that_is_not_there_is_not_found(sample: Caller, resource: Resource) -> None:
    response = sample.get(resource.path.format(id="0"), params=EVERYTHING.get(resource.name))
    assert code(response) == (404, resource.missing)


# Filters and single records


def test_activity_logs_are_asked_for_by_time(sample: Caller) -> None:
    path = "/admins/activity_logs"
    assert code(sample.get(path)) == (400, "parameter_missing")
    response = sample.get(path, params={"created_at_after": "yesterday"})
    assert code(response) == (400, "parameter_invalid")
    times = [each["created_at"] for each in sample.sandbox.truth("activity_logs")]
    first, last = times[20], times[10]
    answer = get(sample, path, created_at_after=first, created_at_before=last, per_page=250)
    assert [each["created_at"] for each in answer["activity_logs"]] == times[10:21]


def test_macros_are_given_after_an_instant(sample: Caller) -> None:
    times = [each["updated_at"] for each in sample.sandbox.truth("macros")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", each) for each in times)
    answer = get(sample, "/macros", updated_since=milliseconds(times[5]) // 1000)
    assert [each["updated_at"] for each in answer["data"]] == times[:5]
    response = sample.get("/macros", params={"updated_since": "2026-01-01"})
    assert code(response) == (400, "parameter_invalid")


def test_executions_are_those_of_the_last_hour_unless_a_period_is_named(sample: Caller) -> None:
    (connector_id, *_) = [each["id"] for each in sample.sandbox.truth("data_connectors")][1:]
    path = f"/data_connectors/{connector_id}/execution_results"
    runs = [
        each
        for each in sample.sandbox.truth("data_connector_executions")
        if each["data_connector_id"] == connector_id
    ]
    times = [milliseconds(each["created_at"]) // 1000 for each in runs]
    assert [each["id"] for each in get(sample, path)["data"]] == [runs[0]["id"]]
    answer = get(sample, path, start_ts=times[3], end_ts=times[1])
    assert [each["id"] for each in answer["data"]] == [each["id"] for each in runs[1:4]]
    assert "response_body" not in answer["data"][0]
    answer = get(sample, path, start_ts=times[3], include_bodies="true")
    assert answer["data"] == runs[:4]


def test_deleted_conversations_are_listed_in_both_directions(sample: Caller) -> None:
    newest = get(sample, "/conversations/deleted", per_page=60)["conversations"]
    oldest = get(sample, "/conversations/deleted", per_page=60, order="asc")["conversations"]
    assert newest == oldest[::-1]


def test_only_a_single_article_has_statistics(sample: Caller) -> None:
    statistics = {each["article_id"]: each for each in sample.sandbox.truth("article_statistics")}
    for article in truth(sample, RESOURCES["articles"]):
        expected = as_listed(RESOURCES["article_statistics"], statistics[article["id"]])
        assert get(sample, f"/articles/{article['id']}") == {**article, "statistics": expected}
    assert all("statistics" not in each for each in get(sample, "/articles")["data"])
    assert code(sample.get("/articles/0")) == (404, "not_found")


def test_a_newsfeed_lists_its_live_items_only() -> None:
    workspace = Workspace()
    newsfeed_id = workspace.add_record("newsfeeds", name="Customers")
    assigned = [{"newsfeed_id": int(newsfeed_id), "published_at": NOW}]
    live_id = workspace.add_record("news_items", state="live", newsfeed_assignments=assigned)
    workspace.add_record("news_items", state="draft", newsfeed_assignments=assigned)
    workspace.add_record("news_items", state="live")
    with serving(workspace) as caller:
        items = get(caller, f"/news/newsfeeds/{newsfeed_id}/items")["data"]
        assert [each["id"] for each in items] == [live_id]
        assert len(get(caller, "/news/news_items")["data"]) == 3


def test_what_is_inside_of_other_answers_is_told_by_the_truth(sample: Caller) -> None:
    sandbox = sample.sandbox
    (workspace,) = sandbox.truth("workspace")
    assert workspace == get(sample, "/me")["app"]
    attributes = [
        {**each, "ticket_type_id": kind["id"]}
        for kind in get(sample, "/ticket_types")["data"]
        for each in kind["ticket_type_attributes"]["data"]
    ]
    assert sandbox.truth("ticket_type_attributes") == attributes != []
    members = [
        {"team_id": team["id"], "admin_id": str(admin_id)}
        for team in get(sample, "/teams")["teams"]
        for admin_id in team["admin_ids"]
    ]
    assert sandbox.truth("team_admin") == members != []


def test_an_empty_workspace_has_empty_lists() -> None:
    with serving() as caller:
        for resource in LISTED:
            if not resource.parent and resource.paging != "one_object":
                answer = get(caller, resource.path, **EVERYTHING.get(resource.name, {}))
                assert len(answer[resource.rows]) == len(resource.built_in)
                assert answer.get("total_count", 0) == 0
        assert get(caller, "/ip_allowlist") == {
            "type": "ip_allowlist",
            "enabled": False,
            "ip_allowlist": [],
        }


# Edits


def test_an_edit_moves_a_record_to_the_front() -> None:
    now = [NOW]
    with serving(clock=lambda: now[0]) as caller:
        workspace = caller.sandbox.workspace
        made = []
        for _ in range(3):
            now[0] += 60
            made.append(workspace.add_record("articles", title="How to pay"))
        macro_ids = [workspace.add_record("macros", name="Hello") for _ in range(2)]
        assert [each["id"] for each in get(caller, "/articles")["data"]] == made[::-1]
        now[0] += 60
        workspace.update_record("articles", made[0], title="How to pay less")
        workspace.update_record("macros", macro_ids[0], name="Good day")
        first, second, third = get(caller, "/articles")["data"]
        assert [each["id"] for each in (first, second, third)] == [made[0], made[2], made[1]]
        assert (first["title"], first["updated_at"]) == ("How to pay less", now[0])
        assert first["created_at"] == NOW + 60
        macros = get(caller, "/macros")["data"]
        assert [each["id"] for each in macros] == macro_ids
        assert milliseconds(macros[0]["updated_at"]) == now[0] * 1000
        workspace.delete_record("articles", made[0])
        assert [each["id"] for each in get(caller, "/articles")["data"]] == [made[2], made[1]]
        assert code(caller.get(f"/articles/{made[0]}")) == (404, "not_found")


def test_statistics_move_without_their_article() -> None:
    with serving() as caller:
        workspace = caller.sandbox.workspace
        article_id = workspace.add_record("articles", created_at=NOW)
        key = workspace.add_record("article_statistics", article_id=article_id, views=1)
        workspace.update_record("article_statistics", key, views=2)
        article = get(caller, f"/articles/{article_id}")
        assert (article["statistics"]["views"], article["updated_at"]) == (2, NOW)


def test_children_go_with_their_parent() -> None:
    workspace = generate(seed=1, now=NOW)
    article_id = workspace.truth("article_versions")[0]["article_id"]
    workspace.delete_record("articles", article_id)
    workspace.delete_record("teams", next(iter(workspace.teams)))
    for table, field in (("article_versions", "article_id"), ("article_statistics", "article_id")):
        ids = {each[field] for each in workspace.truth(table)}
        assert ids == {each["id"] for each in workspace.truth("articles")}
    assert {each["team_id"] for each in workspace.truth("team_metrics")} == set(workspace.teams)


def test_a_conversation_that_is_deleted_is_listed_as_such() -> None:
    with serving(generate(seed=1, now=NOW, resources=0), clock=lambda: NOW) as caller:
        workspace = caller.sandbox.workspace
        gone = list(workspace.conversations.texts)[5]
        workspace.delete_conversation(gone)
        (deleted,) = get(caller, "/conversations/deleted")["conversations"]
        assert (deleted["id"], deleted["deleted_at"]) == (gone, NOW)
        assert deleted in workspace.truth("deleted_conversations")


def test_a_record_that_moves_is_skipped_by_position_but_not_by_value() -> None:
    for cursors, expected in (("value", {"0", "1", "2", "3"}), ("position", {"0", "1", "3"})):
        workspace = Workspace()
        for number in range(4):
            workspace.add_record("macros", id=str(number), created_at=NOW + number)
        with serving(workspace, cursors=cursors) as caller:
            first = get(caller, "/macros", per_page=1)
            assert [each["id"] for each in first["data"]] == ["3"]
            workspace.delete_record("macros", "3")
            after = first["pages"]["next"]["starting_after"]
            rest = get(caller, "/macros", per_page=50, starting_after=after)
            assert {each["id"] for each in first["data"] + rest["data"]} == expected


def test_cursors_can_die(sample: Caller) -> None:
    after = get(sample, "/macros", per_page=2)["pages"]["next"]["starting_after"]
    sample.sandbox.expire_cursors()
    response = sample.get("/macros", params={"starting_after": after})
    assert code(response) == (400, "client_error")


def test_records_are_edited_over_http() -> None:
    with serving() as caller:
        edit = {"operation": "add_record", "arguments": {"table": "brands", "name": "Acme"}}
        assert caller.post("/_sandbox/edits", edit).status_code == 200
        assert [each["name"] for each in get(caller, "/brands")["data"]] == ["Acme"]


# Sample data


def test_the_sample_is_the_same_for_a_seed_and_leaves_other_records_alone() -> None:
    first, same, without = (
        generate(seed=3, now=NOW, resources=count, details=0) for count in (12, 12, 0)
    )
    for name in RESOURCES:
        assert first.truth(name) == same.truth(name)
        if RESOURCES[name].is_basic:
            assert without.truth(name) == first.truth(name)
        elif name not in ("ip_allowlist", "subscription_types", *TICKET_WORDS):
            assert without.truth(name) == []
    for stream in ("contacts", "companies", "conversations", "conversation_parts", "teams"):
        assert first.truth(stream) == without.truth(stream)


@every_list
def test_keys_tell_records_apart_and_times_are_in_the_period(
    sample: Caller, resource: Resource
) -> None:
    records = truth(sample, resource)
    keys = {tuple(each[field] for field in resource.key) for each in records}
    assert len(keys) == len(records)
    for record in records:
        for field in resource.times:
            assert NOW - 400 * 86_400 <= milliseconds(record[field]) / 1000 <= NOW


# The official description

# Where real answers differ from the schemas: the end of a path, and what is there in practice.
KNOWN_DEVIATIONS = {
    r"pages\.next": "a URL, where pages have numbers",
    r"admins\.\d+\.avatar": "an object",
    r"answered_at": "null for a call that nobody took",
    r"custom_attributes\.[^.]+": "values are of any type, not only text",
    r"metadata\.(before|after)": "may be text",
}
TEMPLATES = {re.sub(r"\{\w+\}", "{id}", each): each for each in ENDPOINTS}


@lru_cache(maxsize=1)
def described() -> dict[str, Any]:
    """What the descriptions and the documentation say of the newest version."""
    loaded: dict[str, Any] = nullable(newest_description())
    return loaded


def faults_against(endpoint: str, answer: object) -> list[str]:
    """What is wrong with the answer of an endpoint, apart from the known deviations."""
    template = TEMPLATES[endpoint].removeprefix("GET ")
    operation = described()["paths"][template]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    validator = Draft4Validator(schema, resolver=RefResolver.from_schema(described()))
    found = []
    for error in leaves(validator.iter_errors(answer)):
        path = ".".join(map(str, error.absolute_path))
        if not any(re.search(rf"(^|\.){each}$", path) for each in KNOWN_DEVIATIONS):
            found.append(f"{path}: {error.message[:200]}")
    return found


@every_list
def test_answers_follow_the_official_description(sample: Caller, resource: Resource) -> None:
    for path in paths(sample, resource).values():
        asked = {"per_page": str(resource.sizes[1])} if resource.sizes[1] else {}
        answer = get(sample, path, **EVERYTHING.get(resource.name, {}), **asked)
        assert faults_against(f"GET {resource.path}", answer) == []


def test_the_single_article_follows_the_official_description(sample: Caller) -> None:
    for article in sample.sandbox.truth("articles"):
        answer = get(sample, f"/articles/{article['id']}")
        assert faults_against("GET /articles/{id}", answer) == []


# Fields that only other answers have.
ELSEWHERE = {"tags": {"applied_at", "applied_by"}}


def fields_of(schema: dict[str, Any]) -> set[str]:
    """The fields of an object, or of all the objects that it may be."""
    if "$ref" in schema:
        schemas = described()["components"]["schemas"]
        return fields_of(schemas[schema["$ref"].rpartition("/")[2]])
    choices = [each for word in ("allOf", "anyOf", "oneOf") for each in schema.get(word, ())]
    return set(schema.get("properties", ())).union(*map(fields_of, choices))


@pytest.mark.parametrize(
    "resource", [each for each in LISTED if not each.only], ids=lambda each: each.name
)
def test_the_sample_has_every_field_of_the_official_description(
    sample: Caller, resource: Resource
) -> None:
    schemas = described()["components"]["schemas"]
    wanted = fields_of(schemas[DESCRIBED_AS[resource.name]])
    records = truth(sample, resource)
    filled = {field for each in records for field, value in each.items() if value is not None}
    assert wanted
    missing = "the sample in intercom_sandbox/areas must fill these fields"
    assert wanted - filled == ELSEWHERE.get(resource.name, set()), missing
