"""Nothing is lost, whatever happens: random histories of a workspace and of the runs on it.

A history edits a small workspace between runs and before single requests of a run, lets requests
fail, ends runs at any line of their output or before any request, changes what is selected and
which settings a run has, and makes Intercom as awkward as it may be. Each run goes on from the last
STATE that the ones before wrote; the last one is left in peace. Then a target that took every line
must hold what the workspace holds. The package `model` says what a history is made of, and what
must hold of each run.

TAP_INTERCOM_HISTORIES sets how many are tried; with it they are new ones each time.
TAP_INTERCOM_SEED tries those of an earlier time again.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from conftest import Tap
from hypothesis import HealthCheck, given, seed, settings
from model.history import History
from model.player import play
from model.strategies import histories_about
from model.subjects import SUBJECTS
from model.workspaces import empty_workspace
from warm_tap import WarmTap

from intercom_sandbox import Sandbox

HISTORIES = int(os.environ.get("TAP_INTERCOM_HISTORIES", "0"))
HISTORIES_OF_A_TEST_RUN = 120
FIRST_SEED = int(os.environ.get("TAP_INTERCOM_SEED", time.time() if HISTORIES else 0))
# So many tests about each subject, so that they can be played side by side.
PARTS = 4 if HISTORIES else 1
WEIGHTS = sum(subject.weight for subject in SUBJECTS.values())

Catalog = dict[str, Any]


@pytest.fixture(scope="session")
def catalog(warm_tap: WarmTap, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalog of a workspace without custom attributes, as discovery writes it."""
    with Sandbox(empty_workspace()) as sandbox:
        tap = Tap(sandbox, tmp_path_factory.mktemp("catalog"))
        text = warm_tap.run("--config", tap.config(), "--discover").stdout
    found: Catalog = json.loads(text)
    return found


# A history that fails is made as small as possible, for at most five minutes.
@pytest.mark.timeout(0 if HISTORIES else 600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("about", SUBJECTS)
def test_nothing_is_lost(warm_tap: WarmTap, catalog: Catalog, about: str, part: int) -> None:
    subject = SUBJECTS[about]
    count = (HISTORIES or HISTORIES_OF_A_TEST_RUN) * subject.weight / WEIGHTS / PARTS

    @seed(FIRST_SEED + part)
    @settings(
        max_examples=max(round(count), 1),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(history=histories_about(subject))
    def check(history: History) -> None:
        play(history, warm_tap, catalog)

    check()
