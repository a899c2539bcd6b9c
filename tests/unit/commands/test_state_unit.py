"""The unit of a state and its ids: what a run finds, what it leaves, whatever fails on the way."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tap_intercom.commands import state_unit as module
from tap_intercom.commands.state_unit import StateUnit, opened_unit
from tap_intercom.commands.store import Store
from tap_intercom.commands.store_lock import StoreLock
from tap_intercom.errors import BusyError, ConfigError, TapError, UnavailableError
from tap_intercom.files import replace_file

URL = "memory://workspace/state.json"
AT = "/workspace/state.json"
FIRST, SECOND, THIRD = ({"bookmarks": {"contacts": {"updated_at": day}}} for day in "123")
Edit = Callable[[Path], object]


@pytest.fixture(autouse=True)
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The objects of the store, and a folder for the local copies."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    MemoryFileSystem.store.clear()
    yield MemoryFileSystem.store
    MemoryFileSystem.store.clear()


def put(key: str, content: bytes) -> None:
    MemoryFileSystem().pipe_file(f"{AT}{key}", content)


def stored(key: str = "") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(MemoryFileSystem().cat_file(f"{AT}{key}"))
    return document


def stored_ids() -> bytes | None:
    """The ids that belong to the stored state."""
    name = stored().get(module.IDS_MEMBER)
    return None if name is None else bytes(MemoryFileSystem().cat_file(f"{AT}.files/{name}"))


def names_of_ids() -> list[str]:
    return [name for name in MemoryFileSystem.store if "/ids-" in name]


def ids_of(unit: StateUnit) -> Path:
    return Path(f"{unit.path}.ids")


def keep(unit: StateUnit, state: dict[str, Any], ids: bytes | None = None) -> None:
    """Do what a run does: the tap replaces its ids, then the state is saved."""
    if ids is not None:
        replace_file("ids", ids_of(unit), ids)
    replace_file("state", unit.path, json.dumps(state).encode())
    unit.changed()


def run(state: dict[str, Any], ids: bytes | None = None) -> None:
    with opened_unit(URL, 0) as unit:
        keep(unit, state, ids)
        unit.finish()
        assert unit.error is None


def test_the_next_run_finds_what_a_run_left(tmp_path: Path) -> None:
    run(FIRST, b"one")
    assert list(tmp_path.rglob("state.json*")) != []  # the local lock stays
    assert [
        path for path in tmp_path.rglob("*") if path.name in ("state.json", "state.json.ids")
    ] == []
    with opened_unit(URL, 0) as unit:
        assert json.loads(unit.path.read_bytes()) == FIRST
        assert ids_of(unit).read_bytes() == b"one"
        assert ids_of(unit).stat().st_mode & 0o777 == 0o600
        assert unit.path.parent.parent.stat().st_mode & 0o777 == 0o700
        assert unit.name == URL


def test_a_first_run_begins_with_nothing() -> None:
    with opened_unit(URL, 0) as unit:
        assert json.loads(unit.path.read_bytes()) == {}
        assert not ids_of(unit).exists()
    assert AT not in MemoryFileSystem.store


def test_a_run_without_a_new_state_leaves_the_old_one() -> None:
    run(FIRST, b"one")
    before = MemoryFileSystem().cat_file(AT)
    with opened_unit(URL, 0) as unit:
        unit.finish()
    assert MemoryFileSystem().cat_file(AT) == before
    assert stored(".previous") == {}


def test_the_state_from_before_a_run_is_kept_with_its_ids() -> None:
    run(FIRST, b"one")
    run(SECOND, b"two")
    previous = stored(".previous")
    assert MemoryFileSystem().cat_file(f"{AT}.files/{previous[module.IDS_MEMBER]}") == b"one"
    assert previous["bookmarks"] == FIRST["bookmarks"]
    assert (stored()["bookmarks"], stored_ids()) == (SECOND["bookmarks"], b"two")


def test_ids_that_no_state_names_are_deleted() -> None:
    put(".files/ids-left-by-a-killed-run", b"none")
    for number, state in enumerate([FIRST, SECOND, THIRD]):
        run(state, str(number).encode())
    with opened_unit(URL, 0):
        assert len(names_of_ids()) == 2
    assert stored_ids() == b"2"


def test_a_state_file_that_was_copied_to_the_url_brings_its_ids() -> None:
    put("", json.dumps(FIRST).encode())
    put(".ids", b"copied")
    with opened_unit(URL, 0) as unit:
        assert json.loads(unit.path.read_bytes()) == FIRST
        assert ids_of(unit).read_bytes() == b"copied"
        keep(unit, SECOND)
    assert stored_ids() == b"copied"


def test_a_state_that_lost_its_ids_is_still_a_state() -> None:
    run(FIRST, b"one")
    for name in names_of_ids():
        del MemoryFileSystem.store[name]
    with opened_unit(URL, 0) as unit:
        assert json.loads(unit.path.read_bytes()) == FIRST
        assert not ids_of(unit).exists()


def test_ids_of_an_earlier_local_copy_are_not_taken() -> None:
    with opened_unit(URL, 0) as unit:
        ids_of(unit).write_bytes(b"of a run that was killed")
        folder = unit.path.parent
        unit.error = UnavailableError("so that the copies stay")
    assert (folder / "state.json.ids").exists()
    with opened_unit(URL, 0) as unit:
        assert not ids_of(unit).exists()


# -- Uploads -------------------------------------------------------------------------------------


def waits_for(condition: Callable[[], bool]) -> bool:
    """Look until something is so; the tests have a time limit."""
    while not condition():
        threading.Event().wait(0.01)
    return True


def has(state: dict[str, Any]) -> bool:
    return AT in MemoryFileSystem.store and stored()["bookmarks"] == state["bookmarks"]


def test_a_long_run_uploads_each_change_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.01)
    with opened_unit(URL, 0) as unit:
        keep(unit, FIRST, b"ids")
        assert waits_for(lambda: has(FIRST))
        keep(unit, SECOND)
        assert waits_for(lambda: has(SECOND))
    assert stored(".previous") == {}


def test_many_changes_are_one_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = Store.write

    def note(store: Store, key: str, content: bytes) -> None:
        written.append(key)
        write(store, key, content)

    monkeypatch.setattr(Store, "write", note)
    with opened_unit(URL, 0) as unit:
        for number in range(200):
            keep(unit, {"bookmarks": {"contacts": {"updated_at": str(number)}}})
    assert written.count("") <= 2
    assert stored()["bookmarks"]["contacts"]["updated_at"] == "199"


def orders(monkeypatch: pytest.MonkeyPatch, fails_at: int) -> list[str]:
    """Let the store fail at the given write, and all later ones; gives the keys in their order."""
    written: list[str] = []
    write = Store.write

    def fail(store: Store, key: str, content: bytes) -> None:
        if "/lock-" not in key:
            if len(written) >= fails_at:
                raise UnavailableError("--state: the store is away")
            written.append(key)
        write(store, key, content)

    monkeypatch.setattr(Store, "write", fail)
    return written


@pytest.mark.parametrize("fails_at", range(4))
def test_an_upload_that_ends_anywhere_leaves_one_unit(
    monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    run(FIRST, b"one")
    with monkeypatch.context() as patch:
        written = orders(patch, fails_at)
        with opened_unit(URL, 0) as unit:
            keep(unit, SECOND, b"two")
            unit.finish()
            is_whole = fails_at == 3
            assert (unit.error is None) is is_whole
            folder = unit.path.parent
    assert [key.partition("ids-")[0] for key in written] == [".files/", ".previous", ""][:fails_at]
    expected = (SECOND, b"two") if is_whole else (FIRST, b"one")
    assert ({"bookmarks": stored()["bookmarks"]}, stored_ids()) == expected
    with opened_unit(URL, 0) as unit:
        assert (json.loads(unit.path.read_bytes()), ids_of(unit).read_bytes()) == expected
    assert folder == unit.path.parent


def test_what_could_not_be_saved_stays_here_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    orders(monkeypatch, 0)
    with opened_unit(URL, 0) as unit:
        keep(unit, FIRST)
        unit.finish()
        assert isinstance(unit.error, UnavailableError)
        assert str(unit.error).endswith(f"; the newest state is in {unit.path}")
        path = unit.path
    assert json.loads(path.read_bytes()) == FIRST


def test_a_store_that_comes_back_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.01)
    with opened_unit(URL, 0) as unit:
        with monkeypatch.context() as patch:
            failed = threading.Event()

            def fail(*arguments: Any) -> None:
                failed.set()
                raise UnavailableError("--state: the store is away")

            patch.setattr(Store, "write", fail)
            keep(unit, FIRST, b"one")
            assert failed.wait(60)
        unit.finish()
        assert unit.error is None
    assert (stored()["bookmarks"], stored_ids()) == (FIRST["bookmarks"], b"one")


# -- One run at a time ---------------------------------------------------------------------------


def test_a_second_run_on_this_machine_is_refused_at_once() -> None:
    busy = pytest.raises(BusyError, match=f"another run uses {URL}; nothing was read")
    with opened_unit(URL, 0), busy:
        opened_unit(URL, 0).__enter__()
    run(FIRST)


def test_a_run_on_another_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tap_intercom.commands.store_lock.POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with opened_unit(URL, 0):
        other = tmp_path / "other"
        other.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(other))
        with pytest.raises(BusyError, match=f"another run uses {URL}; nothing was read"):
            opened_unit(URL, 0).__enter__()
    run(FIRST)


def test_a_lock_is_left_to_a_target_that_still_runs() -> None:
    with opened_unit(URL, 0) as unit:
        unit.close(is_target_gone=False)
    (name,) = [name for name in MemoryFileSystem.store if "/lock-" in name]
    assert json.loads(MemoryFileSystem().cat_file(name))["is_released"] is False


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_a_run_that_lost_its_lock_ends_and_saves_nothing(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with opened_unit(URL, 0) as unit:
        unit.guard(process)
        put(".files/lock-00000009", b"{}")
        assert process.wait(60) < 0
        keep(unit, FIRST)
        unit.finish()
        assert isinstance(unit.error, BusyError)
        assert "another run took over" in str(unit.error)
    assert AT not in MemoryFileSystem.store


def test_a_run_whose_store_is_away_for_too_long_ends(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes]
) -> None:
    is_answered = threading.Event()
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(module, "LOST_SECONDS", 0.1)
    # A request that gets no answer, rather than an error.
    monkeypatch.setattr(StoreLock, "beat", lambda lock: is_answered.wait(60))
    with opened_unit(URL, 0) as unit:
        unit.guard(process)
        assert process.wait(60) < 0
        is_answered.set()
        assert isinstance(unit.error, UnavailableError)
        assert "another run may take over" in str(unit.error)


def test_processes_that_start_after_the_lock_was_lost_end_too(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with opened_unit(URL, 0) as unit:
        put(".files/lock-00000009", b"{}")
        assert waits_for(lambda: unit.error is not None)
        unit.guard(process)
        assert process.wait(60) < 0


def without_exclusive_creation(patch: pytest.MonkeyPatch) -> None:
    pipe_file = MemoryFileSystem.pipe_file

    def replace(self: Any, path: str, value: bytes, mode: str = "", **how: Any) -> None:
        pipe_file(self, path, value, **how)

    patch.setattr(MemoryFileSystem, "pipe_file", replace)


def test_a_store_without_a_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    without_exclusive_creation(monkeypatch)
    with pytest.raises(ConfigError, match="With --no-lock, nothing keeps two runs apart"):
        opened_unit(URL, 0).__enter__()


def test_a_store_without_a_lock_may_be_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    without_exclusive_creation(monkeypatch)
    for state in (FIRST, SECOND):
        with opened_unit(URL, 0, needs_lock=False) as unit:
            keep(unit, state, b"ids")
    assert (stored()["bookmarks"], stored_ids()) == (SECOND["bookmarks"], b"ids")
    assert [name for name in MemoryFileSystem.store if "lock" in name or "writable" in name] == []


@pytest.mark.parametrize("needs_lock", [True, False])
def test_a_store_that_may_not_be_written_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, needs_lock: bool
) -> None:
    def refuse(*arguments: Any, **how: Any) -> None:
        raise PermissionError("Access Denied.")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(ConfigError, match=f"^--state: {URL} cannot be written: Access Denied$"):
        opened_unit(URL, 0, needs_lock).__enter__()


# -- What is not a state -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; write {} into it for a first run"),
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"[]", "must contain a JSON object"),
        (b'{"access_token": "secret"}', "contains no bookmarks, but access_token"),
    ],
)
def test_an_object_that_is_no_state_is_refused(content: bytes, told: str) -> None:
    put("", content)
    with pytest.raises(ConfigError) as caught:
        opened_unit(URL, 0).__enter__()
    assert str(caught.value).startswith(f"--state: {URL}: ")
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    assert list(MemoryFileSystem.store) == [AT]


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"tap-intercom-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is not a folder of this user; set TMPDIR to another"):
        opened_unit(URL, 0).__enter__()


# -- Local files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
def test_a_local_file_is_used_where_it_is(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(FIRST))
    opened: AbstractContextManager[StateUnit] = opened_unit(f"{scheme}{path}", 0)
    with opened as unit:
        assert (unit.path, unit.name) == (path, str(path))
        with pytest.raises(BusyError):
            opened_unit(str(path), 0).__enter__()
        unit.path.write_text(json.dumps(SECOND))
        unit.changed()
        unit.finish()
        error: TapError | None = unit.error
        assert error is None
    assert json.loads(path.read_bytes()) == SECOND
    assert sorted(each.name for each in tmp_path.iterdir()) == ["state.json", "state.json.lock"]
