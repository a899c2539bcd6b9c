"""Sample records of the resources of a small support team's workspace."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from typing import Any

from .records import Record
from .resource_shapes import TICKET_TYPE_ATTRIBUTE
from .workspace import Workspace

_DAY = 86_400
_TITLES = (
    "How to pay",
    "Reset your password",
    "Invite your team",
    "Export your data",
    "Change your plan",
    "Rechnung ändern",
    "日本語でのお問い合わせ",
)
_STATES = (
    ("submitted", "Submitted"),
    ("in_progress", "In progress"),
    ("waiting_on_customer", "Waiting on you"),
    ("resolved", "Resolved"),
)
_ACTIVITIES: tuple[tuple[str, str, Record], ...] = (
    ("admin_login_success", "logged in.", {"sign_in_method": "Google"}),
    ("app_name_change", "changed your app name from before to after.",
     {"before": "before", "after": "after"}),
    ("admin_away_mode_change", "switched on away mode.",
     {"away_mode": True, "away_status_reason": "Lunch", "reassign_conversations": False}),
    ("message_state_change", "changed a message from draft to live.",
     {"message": {"id": 123, "title": "Welcome"}, "before": "draft", "after": "live"}),
)  # fmt: skip
_WEEKDAYS = [
    {"start_minute": 1440 * day + 540, "end_minute": 1440 * day + 1020, "day_of_week": day}
    for day in range(5)
]


def add_resources(workspace: Workspace, seed: int, count: int, end: int, span: int) -> None:
    """Add some records of every resource, and `count` of those that are usually many.

    Their times are in the `span` seconds before `end`. Existing data stays unchanged.
    """
    making = _Making(workspace, random.Random(f"resources {seed}"), count, end, span)
    making.settings()
    making.ticket_types()
    making.help_centers()
    making.articles()
    making.news()
    making.content()
    making.conversations()
    making.data_connectors()


class _Making:
    def __init__(
        self, workspace: Workspace, chance: random.Random, count: int, end: int, span: int
    ) -> None:
        self.workspace = workspace
        self.chance = chance
        self.count = count
        self.end = end
        self.span = span
        self.admin_ids = list(workspace.admins) or ["7000001"]
        self.audience_ids: list[int] = []
        self.collection_ids: list[str] = []
        self.help_center_ids: list[str] = []

    def times(self, number: int, of: int) -> Record:
        """Return created_at and updated_at of one of `of` records, spread over the period."""
        updated_at = self.end - self.span + (2 * number + 1) * self.span // (2 * of)
        created_at = updated_at - int(self.chance.random() * 30 * _DAY)
        return {"created_at": created_at, "updated_at": updated_at}

    def maybe(self, value: Any, share: float = 0.6) -> Any:
        return value if self.chance.random() < share else None

    def title(self, number: int) -> str:
        repeat = number // len(_TITLES)
        title = _TITLES[number % len(_TITLES)]
        return f"{title} {repeat + 1}" if repeat else title

    def admin_number(self) -> int:
        return int(self.chance.choice(self.admin_ids))

    # The workspace

    def settings(self) -> None:
        add, workspace = self.workspace.add_record, self.workspace
        for number, (label, emoji) in enumerate((("Lunch", "🍽️"), ("Meeting", "📅"), ("Ill", "🤒"))):
            times = self.times(number, 3)
            add("away_status_reasons", label=label, emoji=emoji, order=number + 1,
                deleted=number == 2, **times)  # fmt: skip
        for number, name in enumerate(("Support hours", "Always")):
            schedule_id = add(
                "office_hours_schedules",
                name=name,
                twenty_four_seven=number == 1,
                time_intervals=[] if number else _WEEKDAYS,
                **self.times(number, 2),
            )
            special = [{"start_minute": 540, "end_minute": 780, "day_of_week": 3}]
            for day in range(number, 2):
                add(
                    "office_hours_exceptions",
                    office_hours_schedule_id=schedule_id,
                    exception_date=f"2026-12-{25 - day}",
                    exception_type="custom_hours" if day else "closed",
                    name=None if day else "Christmas Day",
                    time_intervals=special if day else None,
                    recurring_annually=not day,
                    **self.times(day, 2),
                )
        default_id = workspace.app["id_code"]
        for number, name in enumerate(("Default Brand", "Premium Brand")):
            brand_id = add(
                "brands",
                name=name,
                is_default=number == 0,
                help_center_id=str(101 + number),
                default_address_settings_id=str(101 + number),
                **({"id": default_id} if number == 0 else {}),
                **self.times(number, 2),
            )
            add(
                "email_settings",
                email=f"support@brand{number + 1}.example.com",
                domain=f"brand{number + 1}.example.com",
                brand_id=brand_id,
                verified=number == 0,
                forwarding_enabled=number == 0,
                forwarded_email_last_received_at=None if number else self.end - _DAY,
                **self.times(number, 2),
            )
        workspace.update_record(
            "ip_allowlist", default_id, enabled=True, ip_allowlist=["192.0.2.0/24", "198.51.100.7"]
        )
        for team_id, team in workspace.teams.items():
            for admin_id in map(str, team["admin_ids"]):
                opened = self.chance.randint(0, 9)
                add(
                    "team_metrics",
                    team_id=team_id,
                    admin_id=admin_id,
                    open=opened,
                    idle=self.chance.randint(0, opened),
                    snoozed=self.chance.randint(0, 4),
                )
        for event_type in sorted({activity for activity, _, _ in _ACTIVITIES}):
            add("activity_log_event_types", event_type=event_type)
        for number in range(self.count * 3):
            activity, description, metadata = _ACTIVITIES[number % len(_ACTIVITIES)]
            admin_id = self.chance.choice(self.admin_ids)
            admin = workspace.admins.get(admin_id, {"name": "Somebody", "email": ""})
            add(
                "activity_logs",
                created_at=self.times(number, self.count * 3)["updated_at"],
                activity_type=activity,
                activity_description=f"{admin['name']} {description}",
                performed_by={"type": "admin", "id": admin_id, "email": admin["email"],
                              "ip": f"203.0.113.{number % 250}"},
                metadata=metadata,
            )  # fmt: skip
        for number, name in enumerate(("Newsletters", "Product news", "Old offers")):
            words = {"name": name, "description": f"All about {name.lower()}", "locale": "en"}
            add(
                "subscription_types",
                state=("live", "draft", "archived")[number],
                consent_type=("opt_out", "opt_in")[number % 2],
                default_translation=words,
                translations=[words, words | {"locale": "de"}],
                content_types=["email"] if number else ["email", "sms_message"],
            )

    def ticket_types(self) -> None:
        """Add ticket types and states that refer to each other; tickets have the first type."""
        add, workspace = self.workspace.add_record, self.workspace
        plain_types = []
        for number, (name, category) in enumerate(
            (("Bug report", "Customer"), ("Refund", "Back-office"), ("Outage", "Tracker"))
        ):
            type_id, times = str(53 + number), self.times(number, 3)
            attributes = [
                TICKET_TYPE_ATTRIBUTE
                | times
                | {
                    "id": str(1650 + 10 * number + order),
                    "workspace_id": workspace.app["id_code"],
                    "order": order,
                    "ticket_type_id": int(type_id),
                    **fields,
                }
                for order, fields in enumerate(_TICKET_ATTRIBUTES)
            ]
            about = {
                "id": type_id,
                "name": name,
                "description": f"What a {name.lower()} needs",
                "category": category,
                "is_internal": category != "Customer",
                "archived": number == 2,
            }
            add(
                "ticket_types",
                **about,
                **times,
                ticket_type_attributes={"type": "list", "data": attributes},
            )
            plain_types.append({"type": "ticket_type", "icon": "🎟️", **about})
        states = []
        for number, (category, label) in enumerate(_STATES):
            state = {
                "id": str(8269 + number),
                "category": category,
                "internal_label": label,
                "external_label": label,
            }
            add(
                "ticket_states",
                **state,
                archived=False,
                ticket_types={"type": "list", "data": plain_types},
            )
            states.append({"type": "ticket_state", **state})
        for ticket_type in self.workspace.truth("ticket_types"):
            workspace.update_record(
                "ticket_types",
                ticket_type["id"],
                ticket_states={"type": "list", "data": states},
                updated_at=ticket_type["updated_at"],
            )

    # Knowledge

    def help_centers(self) -> None:
        add = self.workspace.add_record
        for number, name in enumerate(("Acme Help", "Acme Premium Help")):
            help_center_id = add(
                "help_centers",
                identifier=f"acme-{number + 1}",
                display_name=name,
                url=f"https://help{number + 1}.example.com",
                custom_domain=None if number else "help.example.com",
                default=number == 0,
                locales=["en", "de"],
                **self.times(number, 2),
            )
            self.help_center_ids.append(help_center_id)
        for number in range(self.count):
            name = self.title(number)
            is_inner = number % 3 == 2
            collection_id = add(
                "collections",
                name=name,
                description=self.maybe(f"Articles about: {name}"),
                url=self.maybe(f"https://help1.example.com/en/collections/{number + 1}"),
                icon="bookmark",
                order=number + 1,
                parent_id=self.collection_ids[number - 1] if is_inner else None,
                help_center_id=None if is_inner else int(self.help_center_ids[number % 2]),
                translated_content={
                    "type": "group_translated_content",
                    "en": {"type": "group_content", "name": name, "description": "In English"},
                },
                **self.times(number, self.count),
            )
            self.collection_ids.append(collection_id)
        for number in range(self.count):
            add(
                "redirects",
                help_center_id=self.help_center_ids[number % 2],
                from_url=f"https://old.example.com/page-{number + 1}",
                target_type="article" if number % 2 else "collection",
                target_id=str(101 + number),
                **self.times(number, self.count),
            )

    def articles(self) -> None:
        add, chance = self.workspace.add_record, self.chance
        for number in range(self.count * 2):
            title, times = self.title(number), self.times(number, self.count * 2)
            is_live = number % 4 != 3
            admin_number = self.admin_number()
            body = f"<p>{title}: see <b>Settings</b>.</p>"
            text = {
                "title": title,
                "description": f"About: {title}",
                "body": body,
                "author_id": admin_number,
                "state": "published" if is_live else "draft",
            }
            article_id = add(
                "articles",
                **text,
                **times,
                body_markdown=f"{title}: see **Settings**.",
                created_by_id=admin_number,
                updated_by_id=self.maybe(admin_number),
                has_unpublished_changes=number % 5 == 0,
                draft_updated_at=times["updated_at"] if number % 5 == 0 else None,
                url=f"https://help1.example.com/en/articles/{number + 1}" if is_live else None,
                parent_ids=[int(each) for each in chance.sample(self.collection_ids, number % 3)],
                help_center_audience="everyone" if is_live else None,
                scheduled_publish_at=None if is_live else self.end + _DAY,
                scheduled_unpublish_at=self.maybe(self.end + 90 * _DAY, 0.2),
                translated_content={
                    "type": "article_translated_content",
                    "en": {"type": "article_content", "url": "https://help1.example.com", **text},
                },
                tags=self.tags(number),
            )
            views = chance.randint(0, 900)
            add(
                "article_statistics",
                article_id=article_id,
                views=views,
                conversions=views // 9,
                reactions=views // 5,
                happy_reaction_percentage=62.5,
                neutral_reaction_percentage=25.0,
                sad_reaction_percentage=12.5,
                fin_involvements=views // 4,
                fin_resolutions=views // 8,
                fin_resolution_rate=50.0,
            )
            before = None
            for version in range(1 + number % 3):
                before = add(
                    "article_versions",
                    article_id=article_id,
                    title=title,
                    description=self.maybe(f"Version {version + 1}"),
                    author_id=str(admin_number),
                    created_by_id=self.maybe(str(admin_number)),
                    created_via=chance.choice(("web", "api")),
                    from_version_id=before,
                    state="published" if is_live else "draft",
                    created_at=times["created_at"] + version * 3600,
                )
        for number in range(self.count):
            add(
                "internal_articles",
                title=f"Internal: {self.title(number)}",
                body=self.maybe("<p>For teammates only</p>"),
                body_markdown=self.maybe("For teammates only"),
                owner_id=self.admin_number(),
                author_id=self.admin_number(),
                audience_ids=self.maybe([1, 2]),
                **self.times(number, self.count),
            )

    def tags(self, number: int) -> Record:
        tags = list(self.workspace.tags.values())[:2]
        return {"type": "tag.list", "tags": [dict(each) for each in tags[: number % 3]]}

    def news(self) -> None:
        add = self.workspace.add_record
        newsfeed_ids = [
            int(add("newsfeeds", name=name, **self.times(number, 2)))
            for number, name in enumerate(("Customers", "Visitors"))
        ]
        for number in range(self.count):
            times = self.times(number, self.count)
            is_live = number % 3 != 0
            assignments = [
                {"newsfeed_id": each, "published_at": times["updated_at"]}
                for each in newsfeed_ids[: number % 3]
            ]
            add(
                "news_items",
                title=f"What is new: {self.title(number)}",
                body="<p>Hello there,</p>",
                sender_id=self.admin_number(),
                state="live" if is_live else "draft",
                newsfeed_assignments=assignments,
                labels=["Product", "Update"][: number % 3],
                cover_image_url=self.maybe("https://static.example.com/cover.png"),
                reactions=["😆", "😅", None, None],
                deliver_silently=number % 4 == 0,
                **times,
            )

    def content(self) -> None:
        add = self.workspace.add_record
        predicate = {"attribute": "custom_attributes.Plan", "type": "string", "comparison": "eq"}
        role = {"attribute": "role", "type": "role", "comparison": "eq", "value": "user"}
        for number, plan in enumerate(("free", "team", "enterprise")):
            audience_id = add(
                "audiences",
                name=f"Plan {plan}",
                predicates=[predicate | {"value": plan}],
                role_predicates=[role],
                **self.times(number, 3),
            )
            self.audience_ids.append(int(audience_id))
        for number in range(self.count):
            add(
                "content_snippets",
                title=self.maybe(self.title(number), 0.9),
                json_blocks=[{"type": "paragraph", "text": "See Settings."}],
                body_markdown=self.maybe("See **Settings**."),
                audience_ids=self.maybe(self.audience_ids),
                **self.times(number, self.count),
            )
        for number in range(2):
            times = self.times(number, 2)
            source_id = add(
                "content_import_sources",
                url=f"https://docs{number + 1}.example.com",
                sync_behavior=("api", "automatic")[number],
                status=("active", "deactivated")[number],
                last_synced_at=times["updated_at"],
                audience_ids=self.audience_ids[:number],
                **times,
            )
            for page in range(self.count):
                times = self.times(page, self.count)
                add(
                    "external_pages",
                    title=self.title(page),
                    html="<h1>Hello world</h1><p>This is external content</p>",
                    url=f"https://docs{number + 1}.example.com/{page + 1}",
                    source_id=int(source_id),
                    external_id=f"page-{page + 1}",
                    last_ingested_at=times["updated_at"],
                    **times,
                )

    # Around conversations

    def conversations(self) -> None:
        add, chance = self.workspace.add_record, self.chance
        conversation_ids = list(self.workspace.conversations.texts)
        contact_ids = list(self.workspace.contacts.texts)
        team_ids = list(self.workspace.teams)
        for number in range(self.count * 3):
            times = self.times(number, self.count * 3)
            ended_at, answered_at = times["updated_at"], times["updated_at"] - 300
            is_missed = number % 4 == 3
            moments: dict[str, int | None] = {
                "initiated_at": answered_at - 20,
                "answered_at": None if is_missed else answered_at,
                "ended_at": ended_at,
                "created_at": answered_at - 20,
                "updated_at": ended_at,
            }
            # Both kinds of times occur.
            written: Record = dict(moments)
            if number % 2:
                written = {name: at and _iso(at) for name, at in moments.items()}
            conversation_id = chance.choice(conversation_ids or [None])
            url = f"https://api.intercom.io/calls/{101 + number}"
            add(
                "calls",
                conversation_id=conversation_id,
                admin_id=None if is_missed else chance.choice(self.admin_ids),
                contact_id=chance.choice(contact_ids or [None]),
                direction="outbound" if number % 3 == 0 else "inbound",
                ended_reason="missed" if is_missed else "completed",
                phone=self.maybe("+14155550123"),
                recording_url=None if is_missed else f"{url}/recording",
                transcription_url=None if is_missed else f"{url}/transcript",
                fin_recording_url=self.maybe(f"{url}/fin_recording", 0.1),
                fin_transcription_url=self.maybe(f"{url}/fin_transcript", 0.1),
                **written,
            )
        for number in range(self.count):
            some_teams = team_ids[:2] if number % 4 == 1 else []
            add(
                "macros",
                name=self.title(number),
                body='<p>Hi <attribute key="user.name" default="there"/>, see our guide.</p>',
                body_text='Hi {{user.name|fallback:"there"}}, see our guide.',
                visible_to="specific_teams" if some_teams else "everyone",
                visible_to_team_ids=some_teams,
                available_on=["inbox", "messenger"][: 1 + number % 2],
                **self.times(number, self.count),
            )
        for number in range(self.count):
            add(
                "deleted_conversations",
                id=str(215_460_000 + number),
                metrics_retained=number % 3 != 0,
                deleted_at=self.times(number, self.count)["updated_at"],
            )
        for number in range(self.count):
            times = self.times(number, self.count)
            add(
                "custom_object_instances",
                type="Order",
                external_id=f"order-{number + 1}",
                external_created_at=self.maybe(times["created_at"]),
                external_updated_at=self.maybe(times["updated_at"]),
                custom_attributes={"order_number": f"ORDER-{number + 1:05}", "total": 149.99},
                **times,
            )

    def data_connectors(self) -> None:
        add, chance = self.workspace.add_record, self.chance
        for number, name in enumerate(("Order status", "Refunds", "Weather")):
            method = ("get", "post", "get")[number]
            connector_id = add(
                "data_connectors",
                name=name,
                description=self.maybe(f"Asks the shop for: {name}"),
                state="draft" if number == 2 else "live",
                http_method=method,
                direct_fin_usage=number == 0,
                created_by_admin_id=chance.choice(self.admin_ids),
                updated_by_admin_id=chance.choice(self.admin_ids),
                **self.times(number, 3),
            )
            self.workspace.update_record(
                "data_connectors",
                connector_id,
                execution_results_url=f"/data_connectors/{connector_id}/execution_results",
                updated_at=self.times(number, 3)["updated_at"],
            )
            for run in range(0 if number == 2 else self.count):
                failed = run % 5 == 4
                add(
                    "data_connector_executions",
                    data_connector_id=connector_id,
                    http_method=method,
                    success=not failed,
                    http_status=None if failed else 200,
                    error_type="3rd_party_error" if failed else None,
                    error_message="Connection refused" if failed else None,
                    execution_time_ms=chance.randint(40, 900),
                    source_type=chance.choice(("workflow", "inbox", "fin")),
                    source_id=self.maybe("5001"),
                    conversation_id=self.maybe("215470001"),
                    request_url="https://shop.example.com/orders",
                    request_body=self.maybe('{"order": 1}'),
                    response_body=None if failed else '{"state": "sent"}',
                    raw_response_body=None if failed else '{"state": "sent", "id": 1}',
                    # The newest one is within the hour that the API returns by default.
                    created_at=self.end - 600 - run * _DAY,
                )


_TICKET_ATTRIBUTES: tuple[Record, ...] = (
    {
        "name": "_default_title_",
        "default": True,
        "input_options": {"multiline": False},
        "visible_to_contacts": True,
    },
    {
        "name": "_default_description_",
        "default": True,
        "input_options": {"multiline": True},
        "required_to_create": True,
    },
    {
        "name": "Severity",
        "description": "How bad it is",
        "data_type": "list",
        "input_options": {
            "list_options": [
                {"id": "9f1c", "name": "Low", "archived": False},
                {"id": "9f1d", "name": "High", "archived": False},
            ]
        },
    },
    {"name": "Order number", "data_type": "integer", "archived": True},
)


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
