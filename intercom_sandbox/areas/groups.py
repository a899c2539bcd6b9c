"""What people, companies and conversations are grouped by: tags and segments."""

from __future__ import annotations

from intercom_sandbox.records import Record
from intercom_sandbox.resource import Asked, Resource
from intercom_sandbox.resource_sample import Sample

_TOPICS = (
    "Billing",
    "Bug",
    "Feature request",
    "Churn risk",
    "VIP",
    "Onboarding",
    "Refund",
    "Beta",
    "Security",
    "Émigré",
    "Spam",
    "Press",
    "Legal",
    "Partner",
    "日本",
)
_SEGMENTS = ("All users", "Active", "Slipping away", "New", "Active leads", "Big spenders")


def _tags(sample: Sample) -> None:
    for number in range(sample.count):
        name = _TOPICS[number % len(_TOPICS)]
        repeat = number // len(_TOPICS)
        sample.add("tags", name=f"{name} {repeat + 1}" if repeat else name)


TAGS = Resource(
    "tags",
    "/tags",
    ("tags",),
    first_id=9_000_001,
    times=(),
    shape={"type": "tag", "id": "", "name": "Tag {id}"},
    is_basic=True,
    sample=_tags,
)


def _segments(sample: Sample) -> None:
    """Segments of contacts and of companies."""
    for number in range(sample.count):
        name = _SEGMENTS[number % len(_SEGMENTS)]
        sample.workspace.add_segment(
            of_companies=number % 4 == 3,
            name=f"{name} {number + 1}" if number >= len(_SEGMENTS) else name,
            person_type="contact" if number % 4 == 1 else "user",
            **sample.times(number),
            count=sample.chance.randint(0, 500),
        )


def _listed_segments(asked: Asked) -> list[Record]:
    of_companies = asked.query.get("type") == "company" and asked.options.company_segments_listed
    return asked.kept("company_segments" if of_companies else "segments")


_SEGMENT: Record = {
    "type": "segment",
    "id": "",
    "name": "Segment {id}",
    "person_type": "user",
    "count": 0,
}
SEGMENTS = Resource(
    "segments",
    "/segments",
    ("users_companies_read",),
    rows="segments",
    kind="segment.list",
    on_request={"include_count": ("count",)},
    choose=_listed_segments,
    shape=_SEGMENT,
    is_basic=True,
    sample=_segments,
)
COMPANY_SEGMENTS = Resource(
    "company_segments",
    "",
    shape=_SEGMENT,
    is_basic=True,
)


RESOURCES = (
    TAGS,
    SEGMENTS,
    COMPANY_SEGMENTS,
)
