"""The official description of Intercom's API, version 2.16, where it is at hand.

It is data beside the repository, not part of it: tests that need it are skipped without it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

DESCRIPTION = Path(__file__).resolve().parents[2] / "shared" / "intercom-openapi" / "2.16.yaml"

# Which of its objects each stream's records are.
DESCRIBED_AS = {
    "admins": "admin",
    "companies": "company",
    "company_attributes": "data_attribute",
    "company_segments": "segment",
    "contact_attributes": "data_attribute",
    "contacts": "contact",
    "conversation_parts": "conversation_part",
    # The parts inside a conversation are a stream of their own; lists and searches leave them out.
    "conversations": "conversation_list_item",
    "segments": "segment",
    "tags": "tag",
    "teams": "team",
}


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """The whole document; not to be changed. Skips the test where there is none."""
    if not DESCRIPTION.exists():
        pytest.skip("the official description of version 2.16 is not at hand")
    yaml = pytest.importorskip("yaml")
    with DESCRIPTION.open("rb") as file:
        loaded: dict[str, Any] = yaml.load(file, yaml.CSafeLoader)
    return loaded
