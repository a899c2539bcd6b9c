"""Who works in the workspace: admins and their teams."""

from __future__ import annotations

from intercom_sandbox.resource import Resource
from intercom_sandbox.resource_sample import Sample


def _admins(sample: Sample) -> None:
    for number in range(sample.count):
        sample.add(
            "admins",
            name=sample.words.name(sample.chance),
            email=f"teammate{number + 1}@example.com",
            job_title=sample.maybe(sample.chance.choice(sample.words.jobs), 0.7),
            away_mode_enabled=number % 4 == 1,
            away_status_reason_id=12345 if number % 4 == 1 else None,
            has_inbox_seat=number % 5 != 4,
            avatar=sample.maybe(
                {"type": "avatar", "image_url": f"https://static.example.com/{number + 1}.png"}, 0.7
            ),
            role=sample.maybe({"type": "role", "id": "1", "name": "Support Agent"}, 0.5),
        )
    if sample.count:
        # The bot is an admin too.
        sample.workspace.update_record(
            "admins",
            sample.keys("admins")[-1],
            name="Fin",
            email=f"operator+{sample.workspace.app['id_code']}@intercom.io",
            has_inbox_seat=False,
            avatar=None,
        )


ADMINS = Resource(
    "admins",
    "/admins",
    ("admins",),
    rows="admins",
    kind="admin.list",
    first_id=7_000_001,
    times=(),
    on_request={"display_avatar": ("avatar",)},
    omits_null=True,
    shape={
        "type": "admin",
        "id": "",
        "name": "Admin {id}",
        "email": "admin{id}@example.com",
        "away_mode_enabled": False,
        "away_mode_reassign": False,
        "has_inbox_seat": True,
        "team_ids": [],
        "team_priority_level": {},
    },
    is_basic=True,
    sample=_admins,
)


def _teams(sample: Sample) -> None:
    """Teams, and what admins say of them."""
    admin_ids = sample.keys("admins")
    for number in range(sample.count):
        members = [int(each) for each in admin_ids[number :: sample.count]]
        has_priorities = number % 2 == 0
        priorities = {"primary_admin_ids": members[:1], "secondary_admin_ids": members[1:]}
        team_id = sample.add(
            "teams",
            name=("Support", "Sales", "Customer Success", "Finance")[number % 4],
            admin_ids=members,
            admin_priority_level=priorities if has_priorities else None,
            assignment_limit=10 if has_priorities else None,
            distribution_method="round_robin" if has_priorities else None,
        )
        level = {"primary_team_ids": [int(team_id)], "secondary_team_ids": []}
        for admin_id in map(str, members):
            sample.workspace.update_record(
                "admins",
                admin_id,
                team_ids=[int(team_id)],
                team_priority_level=level if has_priorities else {},
            )


TEAMS = Resource(
    "teams",
    "/teams",
    ("admins", "users_companies_read"),
    rows="teams",
    kind="team.list",
    first_id=5_000_001,
    times=(),
    shape={
        "type": "team",
        "id": "",
        "name": "Team {id}",
        "admin_ids": [],
        "admin_priority_level": None,
        "assignment_limit": None,
        "distribution_method": None,
    },
    is_basic=True,
    sample=_teams,
)


def _roles(sample: Sample) -> None:
    sample.add("roles", id="1", name="Support Agent", description="Answers conversations")
    sample.add("roles", id="2", name="Owner", description=None)


ROLES = Resource(
    "roles",
    "/roles",
    ("admins",),
    since=(2, 18),
    times=(),
    shape={"type": "role", "id": "", "name": "", "description": None},
    sample=_roles,
)


RESOURCES = (
    ADMINS,
    TEAMS,
    ROLES,
)
