"""The resources of all areas: lists apart from contacts, companies, conversations and tickets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .areas import (
    attributes,
    contacts,
    conversations,
    data_connectors,
    groups,
    knowledge,
    teammates,
    tickets,
    workspace,
)
from .resource import Resource
from .resource_sample import Sample

# Samples are made in this order and draw from one sequence of chance: the last changes no other.
AREAS = (
    teammates,
    attributes,
    groups,
    workspace,
    tickets,
    knowledge,
    conversations,
    contacts,
    data_connectors,
)
RESOURCES: dict[str, Resource] = {each.name: each for area in AREAS for each in area.RESOURCES}


def add_basic_samples(sample_of: Callable[[int], Sample], sizes: Mapping[str, int]) -> None:
    """Add what contacts, companies and conversations refer to.

    sample_of: returns a sample with this many records.
    sizes: the numbers of records, by resource.
    """
    for resource in RESOURCES.values():
        if resource.is_basic and resource.sample:
            resource.sample(sample_of(sizes.get(resource.name, 0)))


def add_samples(sample: Sample) -> None:
    """Add some records of every other resource. What is in the workspace is left as it is."""
    for resource in RESOURCES.values():
        if not resource.is_basic and resource.sample:
            resource.sample(sample)
