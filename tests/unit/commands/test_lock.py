"""The lock of a state file: one run at a time, whatever the file is called."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from tap_intercom.commands.lock import locked, release
from tap_intercom.errors import BusyError, ConfigError


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def assert_busy(state: Path) -> None:
    with pytest.raises(BusyError, match=f"another run uses {state}; nothing was read"):
        take(state)


def take(state: Path) -> None:
    """Take the lock, if it is free, and leave it."""
    with locked(state, wait_seconds=0):
        pass


def test_a_second_run_is_refused_until_the_first_ends(state: Path) -> None:
    with locked(state, wait_seconds=0):
        assert_busy(state)
    take(state)


def test_a_link_has_the_lock_of_its_file(state: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    state.write_text("{}")
    link.symlink_to(state)
    with locked(link, wait_seconds=0):
        assert_busy(state)
        take(tmp_path / "other.json")


def test_a_failed_run_gives_the_lock_back(state: Path) -> None:
    with pytest.raises(KeyError), locked(state, wait_seconds=0):
        raise KeyError("anything")
    take(state)


def test_a_released_lock_is_free_before_the_end(state: Path) -> None:
    with locked(state, wait_seconds=0) as descriptor:
        release(descriptor)
        take(state)


def test_a_run_may_wait_for_the_lock(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(state, wait_seconds=0) as descriptor:
        # The other run ends while this one waits.
        monkeypatch.setattr("time.sleep", lambda seconds: release(descriptor))
        with locked(state, wait_seconds=60):
            pass


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"state.json.lock cannot be created: No such file"):
        take(tmp_path / "missing" / "state.json")


@pytest.mark.parametrize("is_other_supported", [True, False])
def test_a_file_system_may_have_one_kind_of_lock(
    state: Path, monkeypatch: pytest.MonkeyPatch, is_other_supported: bool
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    if is_other_supported:
        take(state)
        return
    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(ConfigError, match="cannot be locked: No locks available"):
        take(state)
    entered = False
    with locked(state, wait_seconds=0, is_optional=True):
        entered = True
    assert entered


def test_a_lock_that_another_run_holds_is_not_optional(state: Path) -> None:
    with locked(state, wait_seconds=0), pytest.raises(BusyError, match="another run uses the URL"):
        locked(state, wait_seconds=0, name="the URL", is_optional=True).__enter__()
