"""What a run writes last, whenever a signal ends it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from intercom_sandbox import Sandbox
from intercom_sandbox.sample import generate
from tap_intercom.errors import Stopped
from tap_intercom.intercom.client import Client
from tap_intercom.intercom.export_jobs import ExportJobs
from tap_intercom.messages import Messages
from tap_intercom.progress import Progress
from tap_intercom.settings import Settings
from tap_intercom.signals import stopping
from tap_intercom.state import State
from tap_intercom.sync import Sync


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (Progress, "__exit__"),
        (ExportJobs, "stop"),
        (Sync, "_write_state"),
        (Progress, "log_summary"),
    ],
)
def test_a_signal_after_the_last_row_leaves_the_state(
    monkeypatch: pytest.MonkeyPatch,
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    holder: type,
    name: str,
) -> None:
    called = getattr(holder, name)
    signals = [signal.SIGINT]

    def interrupted(*arguments: object) -> object:
        result = called(*arguments)
        if signals:
            signal.raise_signal(signals.pop())
        return result

    monkeypatch.setattr(holder, name, interrupted)
    sandbox = start_sandbox(generate(seed=1, contacts=3, conversations=2, parts=4))
    settings = Settings(access_token=sandbox.token, start_date=0, base_url=sandbox.url)
    output = tmp_path / "messages"
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    with stopping() as uninterrupted:
        sync = Sync(Client(settings), settings, State({}), Messages(descriptor), uninterrupted)
        with pytest.raises(Stopped):
            sync.run()
    os.close(descriptor)
    *_, last = map(json.loads, output.read_text().splitlines())
    assert last["type"] == "STATE"
    assert last["value"]["bookmarks"].keys() >= {"contacts", "conversations"}
