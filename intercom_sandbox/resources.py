"""The resources of all areas: lists apart from contacts, companies and conversations."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from .areas import contacts, conversations, data_connectors, knowledge, tickets, workspace
from .resource import Resource
from .resource_sample import Sample

if TYPE_CHECKING:
    from .workspace import Workspace

# Samples are made in this order and draw from one sequence of chance: the last changes no other.
AREAS = (workspace, tickets, knowledge, conversations, contacts, data_connectors)
RESOURCES: dict[str, Resource] = {each.name: each for area in AREAS for each in area.RESOURCES}


def add_samples(workspace: Workspace, seed: int, count: int, end: int, span: int) -> None:
    """Add some records of every resource, `count` of those that workspaces have many of.

    Their times are in the `span` seconds before `end`. What is in the workspace is left as it is.
    """
    sample = Sample(workspace, random.Random(f"resources {seed}"), count, end, span)
    for resource in RESOURCES.values():
        if resource.sample:
            resource.sample(sample)
