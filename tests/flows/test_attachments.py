"""Files are stored whole, in the run that reads their records, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Output
from runs import NOW, Catalog, Clock, Runs
from warm_tap import SMALL_WINDOWS, WarmTap

from intercom_sandbox import Sandbox, Workspace, generate

DAY = 86_400
# Numbers that let a file fail in a moment.
QUICK = {
    "attachments.download.FILE_SECONDS": 2.0,
    "attachments.download.FIRST_WAIT_SECONDS": 0.01,
    "attachments.download.LONGEST_WAIT_SECONDS": 0.05,
    "attachments.storage.FIRST_WAIT_SECONDS": 0.01,
}
CONVERSATIONS = ("conversations", "conversation_parts", "attachments")


@dataclass
class Kept:
    """Runs that store files, and what is stored."""

    runs: Runs
    folder: Path
    clock: Clock

    @property
    def sandbox(self) -> Sandbox:
        return self.runs.sandbox

    @property
    def workspace(self) -> Workspace:
        return self.runs.sandbox.workspace

    def run(self, *streams: str, code: int = 0, **how: Any) -> Output:
        """A run, some time after the one before it."""
        self.clock.instant += DAY
        output = self.runs.run(*(streams or CONVERSATIONS), **self.how(how))
        assert output.code == code, output.log
        return output

    def how(self, how: dict[str, Any]) -> dict[str, Any]:
        numbers = {**SMALL_WINDOWS, **QUICK, **how.pop("numbers", {})}
        return {"attachments_dir": str(self.folder), **how, "numbers": numbers}

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return self.runs.target.records("attachments")

    @property
    def stored(self) -> dict[str, bytes]:
        """The files that a user sees."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and ".tap-intercom" not in path.parts
        }

    def row(self, **values: Any) -> dict[str, Any]:
        (found,) = [
            row for row in self.rows.values() if all(row[each] == values[each] for each in values)
        ]
        return found

    def downloads(self) -> list[str]:
        return [each.path for each in self.sandbox.requests if each.path.startswith("/files/")]

    def add_conversation(self, *files: dict[str, Any], body: str = "<p>Hi</p>") -> str:
        """A conversation with one file in its source, and one part for each other file."""
        source = {"type": "conversation", "id": "1", "body": body, "attachments": list(files[:1])}
        key = self.workspace.add_conversation(source=source)
        for file in files[1:]:
            self.workspace.reply(key, attachments=[file])
        return key

    def add_file(self, content: bytes, **fields: Any) -> dict[str, Any]:
        return self.workspace.add_file(content=content, **fields)

    def behind(self) -> bool:
        """Whether the bookmark of the files is behind that of the conversations."""
        files = self.runs.bookmarks.get("attachments", {}).get("updated_at", "")
        return bool(files < self.runs.bookmarks["conversations"]["updated_at"])

    def check(self) -> None:
        """Each stored row has its file with exactly its bytes, and each file has its row."""
        stored = self.stored
        paths = {row["path"] for row in self.rows.values() if row["status"] == "stored"}
        assert stored.keys() == paths
        for row in self.rows.values():
            assert (row["path"] is None) == (row["status"] != "stored")
            if row["path"] is not None:
                content = stored[row["path"]]
                assert row["size"] == len(content)
                assert row["sha256"] == hashlib.sha256(content).hexdigest()
                assert row["reason"] is None
            else:
                assert row["reason"]
            assert "signature" not in json.dumps(row)


@pytest.fixture
def kept(
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    warm_tap: WarmTap,
    plain_catalog: Catalog,
) -> Kept:
    clock = Clock()
    sandbox = start_sandbox(Workspace(), clock=clock)
    return Kept(Runs(sandbox, tmp_path, warm_tap, plain_catalog), tmp_path / "files", clock)


def test_files_of_conversations_are_stored_with_their_rows(kept: Kept) -> None:
    contents = [b"", b"one", os.urandom(300_000), b"four"]
    names = ["error.png", "error.png", "../../evil\0.exe", "x" * 300 + ".pdf"]
    files = [kept.add_file(each, name=name) for each, name in zip(contents, names, strict=True)]
    key = kept.add_conversation(*files)
    output = kept.run()
    kept.check()
    assert sorted(kept.stored.values()) == sorted(contents)
    row = kept.row(parent_stream="conversations")
    assert (row["parent_id"], row["conversation_id"], row["ticket_id"]) == (key, key, None)
    assert (row["kind"], row["position"], row["name"]) == ("attachment", 0, "error.png")
    assert row["content_type"] == "image/png"
    assert row["url"].startswith(kept.sandbox.url)
    assert len(kept.rows) == 4
    assert output.count("SCHEMA", "attachments") == 1
    assert "attachments" in kept.runs.bookmarks
    assert "attachments: 4 records, complete" in output.log


def test_a_second_run_downloads_nothing_again(kept: Kept) -> None:
    key = kept.add_conversation(kept.add_file(b"one"), kept.add_file(b"two"))
    kept.run()
    before = kept.stored
    kept.sandbox.clear_requests()
    kept.clock.instant += 60
    new = kept.add_file(b"three")
    kept.workspace.reply(key, attachments=[new])
    kept.run()
    assert len(kept.downloads()) == 1
    assert kept.stored.items() > before.items()
    assert len(kept.rows) == 3
    kept.check()


def test_a_stored_file_that_was_changed_or_removed_is_downloaded_again(kept: Kept) -> None:
    key = kept.add_conversation(kept.add_file(b"one"), kept.add_file(b"two"))
    kept.run()
    one, two = sorted(kept.stored)
    (kept.folder / one).unlink()
    kept.workspace.update_conversation(key, open=False)
    kept.sandbox.clear_requests()
    kept.run()
    assert len(kept.downloads()) == 1
    kept.check()
    assert sorted(kept.stored) == [one, two]


def test_a_file_with_the_place_of_another_one_does_not_replace_it(kept: Kept) -> None:
    one, two = kept.add_file(b"one"), kept.add_file(b"two")
    key = kept.workspace.add_conversation()
    part = kept.workspace.reply(key, attachments=[one, two])
    kept.run()
    kept.clock.instant += 60
    kept.workspace.update_part(key, part, attachments=[two])
    kept.run()
    assert sorted(kept.stored.values()) == [b"one", b"two", b"two"]
    assert kept.row(position=0)["sha256"] == hashlib.sha256(b"two").hexdigest()


FINAL: dict[str, tuple[dict[str, Any], str]] = {
    "403": ({"kind": "status", "status": 403}, "gone"),
    "404": ({"kind": "status", "status": 404}, "gone"),
    "410": ({"kind": "status", "status": 410}, "gone"),
    "longer than it says": (
        {"kind": "answer", "answer": lambda call: (200, {}, b"x" * 2_000)},
        "too_large",
    ),
    "to a private address": (
        {"kind": "status", "status": 302, "headers": {"Location": "https://10.0.0.1/x"}},
        "refused",
    ),
    "500 for ever": ({"kind": "status", "status": 500}, "refused"),
    "short for ever": ({"kind": "truncated"}, "refused"),
    "silent": ({"kind": "slow", "seconds": 5}, "refused"),
}


@pytest.mark.parametrize("name", FINAL)
def test_a_file_that_never_comes_gets_its_status_and_no_file(kept: Kept, name: str) -> None:
    fault, status = FINAL[name]
    kept.add_conversation(kept.add_file(b"broken", name="broken.png"), kept.add_file(b"whole"))
    kept.sandbox.faults.add(**{"path": "broken", "times": None, **fault})
    numbers = {"attachments.download.FILE_SECONDS": 0.5}
    output = kept.run(attachment_max_bytes=1_000, numbers=numbers)
    kept.check()
    assert "broken" not in output.log  # a name is personal
    assert list(kept.stored.values()) == [b"whole"]
    assert kept.row(name="broken.png")["status"] == status
    assert "attachments: 1 files not stored" in output.log
    asked = [each for each in kept.sandbox.requests if "broken" in each.path]
    if status == "gone":
        assert len(asked) == 2
    parts, files = (kept.runs.bookmarks[each] for each in CONVERSATIONS[1:])
    assert files == parts


PASSING: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503, "times": 2},
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}, "times": 2},
    "short": {"kind": "truncated", "times": 2},
    "reset": {"kind": "reset_midway", "times": 2},
    "dead once": {"kind": "status", "status": 403, "times": 1},
    "redirect": {
        "kind": "answer",
        "answer": lambda call: (302, {"Location": f"{call.path}?{query(call)}"}, b""),
        "times": 5,
    },
}


def query(call: Any) -> str:
    return "&".join(f"{name}={value}" for name, value in call.query.items())


@pytest.mark.parametrize("name", PASSING)
def test_a_file_comes_whole_after_a_fault_that_passes(kept: Kept, name: str) -> None:
    content = os.urandom(50_000)
    kept.add_conversation(kept.add_file(content))
    fault = kept.sandbox.faults.add(**{"path": "^/files/", **PASSING[name]})
    output = kept.run()
    assert fault.done == fault.times
    assert list(kept.stored.values()) == [content]
    assert not output.log_lines("WARNING")[1:], output.log
    kept.check()


PAGE = b"<html>Please log in</html>"


def login_page(call: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "text/html"}, PAGE


def test_a_web_page_in_place_of_a_file_is_not_stored(kept: Kept) -> None:
    """A store behind a login answers like this, with 200."""
    one = kept.add_file(b"one", name="one")
    kept.add_conversation(kept.add_file(b"two", name="two"), body=image(one))
    kept.sandbox.faults.add("answer", "/(one|two)", answer=login_page, times=None)
    output = kept.run(body_format="html")
    assert [row["status"] for row in kept.rows.values()] == ["gone", "gone"]
    assert "sent a web page" in kept.row(kind="attachment")["reason"]
    assert "2 files not stored, since their address is dead" in output.log
    assert kept.stored == {}
    kept.sandbox.faults.clear()
    kept.workspace.update_conversation(kept.row(name="two")["conversation_id"], open=False)
    kept.run(body_format="html")
    assert sorted(kept.stored.values()) == [b"one", b"two"]
    kept.check()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "page", "content_type": "text/html", "filesize": None},
        {"name": "page.html", "content_type": "application/octet-stream", "filesize": None},
        {"name": "page.png", "content_type": "image/png"},
    ],
)
def test_a_file_that_is_a_web_page_is_stored(kept: Kept, fields: dict[str, Any]) -> None:
    """Its size, its type or its name says so."""
    kept.add_conversation(kept.add_file(PAGE, **fields))
    kept.sandbox.faults.add("answer", "/page", answer=login_page, times=None)
    kept.run()
    assert list(kept.stored.values()) == [PAGE]


def test_a_file_that_is_shorter_than_intercom_says_is_read_once_more(kept: Kept) -> None:
    """A server that sends no length says nothing of what is missing."""
    kept.add_conversation(kept.add_file(b"whole", name="short.png"))
    kept.sandbox.faults.add("answer", "short", answer=lambda call: (200, {}, b"who"))
    output = kept.run()
    assert list(kept.stored.values()) == [b"whole"]
    assert "another size" not in output.log
    kept.check()


@pytest.mark.parametrize("size", [1, 9])
def test_a_file_whose_size_is_wrong_in_intercom_is_stored_once_and_reported(
    kept: Kept, size: int
) -> None:
    key = kept.add_conversation(kept.add_file(b"whole", filesize=size), kept.add_file(b"other"))
    output = kept.run()
    text = "1 files stored with another size than Intercom says"
    assert f"{text}: conversations {key} (attachment 0: 5 bytes, not {size})" in output.log
    assert sorted(kept.stored.values()) == [b"other", b"whole"]
    kept.check()
    kept.sandbox.clear_requests()
    kept.workspace.update_conversation(key, open=False)
    kept.run()
    assert not kept.downloads()


def test_an_expired_address_is_read_again(kept: Kept) -> None:
    """By the sandbox's clock, half an hour passes between the record and the file."""
    kept.add_conversation(kept.add_file(b"late"))
    hours: list[float] = []

    def late(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if path.startswith("/files/") and not hours:
            hours.append(1)
            kept.clock.instant += 3_600

    kept.sandbox.before_request(late)
    kept.run()
    assert [each.status for each in kept.sandbox.requests if "/files/" in each.path] == [403, 200]
    kept.check()
    assert list(kept.stored.values()) == [b"late"]


def test_a_file_that_was_deleted_is_gone(kept: Kept) -> None:
    file = kept.add_file(b"deleted")
    kept.add_conversation(file, kept.add_file(b"there"))
    kept.workspace.files.remove(file["url"])
    output = kept.run()
    assert kept.row(status="gone")["reason"] == "127.0.0.1 answered 404"
    assert "1 files not stored, since their address is dead" in output.log
    assert list(kept.stored.values()) == [b"there"]


def test_a_file_that_is_replaced_while_its_address_expires_is_not_taken_for_the_old_one(
    kept: Kept,
) -> None:
    """A row says where its bytes come from, also if the place has another file by now."""
    one, two = kept.add_file(b"one"), kept.add_file(b"two")
    key = kept.workspace.add_conversation()
    part = kept.workspace.reply(key, attachments=[one])
    seen: list[str] = []

    def replace(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if path.startswith("/files/") and not seen:
            seen.append(path)
            kept.workspace.files.expire()
            kept.workspace.update_part(key, part, attachments=[two])

    kept.sandbox.before_request(replace)
    output = kept.run()
    for row in output.records("attachments"):
        if row["status"] == "stored":
            content = kept.workspace.files.content(row["url"])
            assert row["sha256"] == hashlib.sha256(content).hexdigest()
    kept.run()
    assert kept.row(position=0)["sha256"] == hashlib.sha256(b"two").hexdigest()
    kept.check()


def test_a_file_that_is_added_after_one_was_deleted_is_another_file(kept: Kept) -> None:
    deleted = kept.add_file(b"deleted")
    kept.add_conversation(deleted, kept.add_file(b"there"))
    kept.workspace.files.remove(deleted["url"])
    kept.add_conversation(kept.add_file(b"new"))
    kept.run()
    assert sorted(kept.stored.values()) == [b"new", b"there"]
    kept.check()


def test_a_host_that_is_down_ends_attachments_only(kept: Kept) -> None:
    for number in range(6):
        kept.add_conversation(kept.add_file(b"%d" % number))
    kept.sandbox.faults.add("status", "^/(files/.*)?$", status=503, times=None)
    numbers = {"attachments.download.FILE_SECONDS": 0.2}
    output = kept.run(code=4, numbers=numbers)
    assert "failed" in output.last_log_line
    assert "answered 503" in output.last_log_line
    assert len(kept.runs.target.records("conversations")) == 6
    assert kept.behind()
    kept.sandbox.faults.clear()
    kept.run()
    kept.check()
    assert sorted(kept.stored.values()) == [b"%d" % number for number in range(6)]


def test_images_at_intercom_wait_for_a_host_that_is_down(kept: Kept) -> None:
    """They are files as attachments are. Those on hosts of other people may be dead for ever."""
    for number in range(3):
        kept.add_conversation(body=image(kept.add_file(b"%d" % number)))
    kept.sandbox.faults.add("status", "^/(files/.*)?$", status=503, times=None)
    numbers = {"attachments.download.FILE_SECONDS": 0.2}
    kept.run(code=4, body_format="html", numbers=numbers)
    assert kept.behind()
    kept.sandbox.faults.clear()
    kept.run(body_format="html")
    kept.check()
    assert sorted(kept.stored.values()) == [b"0", b"1", b"2"]


def test_a_slow_file_delays_neither_requests_nor_rows_of_other_tables(kept: Kept) -> None:
    for number in range(8):
        kept.add_conversation(kept.add_file(b"%d" % number, name=f"{number}.txt"))
        kept.clock.instant += 60
    kept.clock.instant += DAY
    kept.sandbox.faults.add("slow", "/0.txt", seconds=3600)
    run = kept.runs.start(*CONVERSATIONS, **kept.how({"numbers": SLOW}))
    run.read(lambda output: output.count(b'"stream":"conversations","time') == 8)
    assert len([each for each in kept.sandbox.requests if "/conversations/" in each.path]) > 8
    run.kill(signal.SIGKILL)
    output = kept.runs.take(run.wait())
    assert output.code == -signal.SIGKILL
    assert "0.txt" not in {row["name"] for row in kept.rows.values()}
    assert "attachments" not in kept.runs.bookmarks or kept.behind()
    kept.sandbox.faults.clear()
    kept.run()
    kept.check()
    assert len(kept.stored) == 8


def test_a_signal_ends_a_run_that_waits_for_a_file(kept: Kept) -> None:
    kept.add_conversation(kept.add_file(b"late"))
    kept.clock.instant += DAY
    kept.sandbox.faults.add("slow", "^/files/", seconds=3600)
    run = kept.runs.start(*CONVERSATIONS, "tags", **kept.how({"numbers": SLOW}))
    run.read(lambda output: b'"stream":"conversations","time' in output)
    run.kill(signal.SIGTERM)
    output = kept.runs.take(run.wait())
    assert output.code == 128 + signal.SIGTERM
    # Other tables do not wait for the file.
    assert "tags: 0 records, complete" in output.log
    kept.sandbox.faults.clear()
    kept.run()
    assert list(kept.stored.values()) == [b"late"]


SLOW = {"attachments.download.FILE_SECONDS": 90.0}


def test_a_target_that_is_gone_ends_a_run_that_waits_for_a_file(kept: Kept) -> None:
    kept.add_conversation(kept.add_file(b"late"), kept.add_file(b"early"))
    kept.clock.instant += DAY
    kept.sandbox.faults.add("slow", "^/files/i/1/", seconds=3600)
    run = kept.runs.start(*CONVERSATIONS, **kept.how({"numbers": SLOW}))
    read = run.read(lambda output: b'"stream":"conversations","time' in output)
    run.close_stdout()
    output = run.wait(read)
    assert output.code not in (0, -signal.SIGKILL)
    kept.runs.take(output)
    assert set(kept.stored.values()) <= {b"late", b"early"}
    kept.sandbox.faults.clear()
    kept.run()
    kept.check()
    assert sorted(kept.stored.values()) == [b"early", b"late"]


def test_two_runs_share_a_folder(kept: Kept, tmp_path: Path, warm_tap: WarmTap) -> None:
    """Each has every file, and none is downloaded again by a third one."""
    contents = [os.urandom(200_000) for _ in range(12)]
    key = ""
    for content in contents:
        key = kept.add_conversation(kept.add_file(content), kept.add_file(content[:9]))
    kept.clock.instant += DAY
    (tmp_path / "other").mkdir()
    other = Runs(kept.sandbox, tmp_path / "other", warm_tap, kept.runs.catalog)
    both = [each.start(*CONVERSATIONS, **kept.how({})) for each in (kept.runs, other)]
    for runs, run in zip((kept.runs, other), both, strict=True):
        assert runs.take(run.wait()).code == 0
    kept.check()
    assert other.target.records("attachments") == kept.rows
    assert sorted(kept.stored.values()) == sorted([*contents, *(each[:9] for each in contents)])
    kept.sandbox.clear_requests()
    kept.runs.forget()
    kept.workspace.update_conversation(key, open=False)
    kept.run()
    assert not kept.downloads()


@pytest.mark.parametrize("requests_before", [2, 7])
def test_a_killed_run_is_completed_by_the_next(kept: Kept, requests_before: int) -> None:
    contents = [os.urandom(100_000) for _ in range(10)]
    for content in contents:
        kept.add_conversation(kept.add_file(content))
    kept.clock.instant += DAY
    run = kept.runs.start(*CONVERSATIONS, **kept.how({}))
    seen: list[str] = []

    def kill(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if path.startswith("/files/"):
            seen.append(path)
            if len(seen) == requests_before:
                run.kill(signal.SIGKILL)

    kept.sandbox.before_request(kill)
    output = kept.runs.take(run.wait())
    assert output.code == -signal.SIGKILL
    assert set(kept.stored.values()) <= set(contents)
    kept.run()
    kept.check()
    assert sorted(kept.stored.values()) == sorted(contents)
    assert len(kept.rows) == 10


def test_a_bookmark_of_its_own_starts_earlier_than_its_parents(kept: Kept) -> None:
    kept.add_conversation(kept.add_file(b"old"))
    kept.run("conversations", "conversation_parts")
    assert kept.stored == {}
    kept.run()
    assert list(kept.stored.values()) == [b"old"]
    kept.check()


def test_files_alone_are_read_too(kept: Kept) -> None:
    kept.add_conversation(kept.add_file(b"one"), kept.add_file(b"two"))
    output = kept.run("attachments")
    assert {each["stream"] for each in output.messages if each["type"] == "RECORD"} == {
        "attachments"
    }
    kept.check()
    assert len(kept.stored) == 2


# -- Faults that are known before the first request ----------------------------------------------


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (None, "attachments_dir: missing, but the stream attachments is selected"),
        ("nope://x/y", "nope is not a scheme of fsspec"),
        ("abfs://x/y", "pip install adlfs"),
        ("/proc/nowhere/files", "cannot be written"),
    ],
)
def test_a_place_that_cannot_be_used_ends_the_run_before_a_request(
    kept: Kept, place: str | None, text: str
) -> None:
    output = kept.run(code=2, attachments_dir=place)
    assert text in output.last_log_line
    assert len(output.log_lines("CRITICAL")) == 1
    assert not kept.sandbox.requests


def test_files_are_stored_without_their_names_only_if_the_settings_say_so(kept: Kept) -> None:
    kept.add_conversation(kept.add_file(b"x"))
    output = kept.run(code=2, personal_data="drop")
    assert "files are personal data, and personal_data is drop" in output.last_log_line
    assert not kept.sandbox.requests
    kept.run(personal_data="drop", keep_fields={"attachments": ["path"]})
    assert len(kept.stored) == 1
    (row,) = kept.rows.values()
    assert row["path"] in kept.stored
    assert row["path"].endswith("/0-attachment.png")
    assert (row["name"], row["url"], row["status"]) == (None, None, "stored")


def test_a_file_that_was_stored_by_its_name_gets_another_path_once_names_are_personal(
    kept: Kept,
) -> None:
    """The path in its row would be the name that the settings drop."""
    key = kept.add_conversation(kept.add_file(b"x", name="Ada Lovelace.png"))
    kept.run()
    assert "Ada Lovelace" in next(iter(kept.rows.values()))["path"]
    for _ in range(2):
        kept.sandbox.clear_requests()
        kept.workspace.update_conversation(key, open=False)
        output = kept.run(personal_data="drop", keep_fields={"attachments": ["path"]})
        assert b"Ada Lovelace" not in output.stdout
        (row,) = kept.rows.values()
        assert kept.stored[row["path"]] == b"x"
    assert not kept.downloads()


def test_another_place_than_before_is_reported_once(kept: Kept) -> None:
    """The files of the bookmark are in the place before."""
    kept.add_conversation(kept.add_file(b"one"))
    assert "no files of earlier runs" not in kept.run().log
    assert "no files of earlier runs" not in kept.run().log
    kept.folder = kept.folder.with_name("others")
    kept.add_conversation(kept.add_file(b"two"))
    output = kept.run()
    (line,) = [line for line in output.log_lines("WARNING") if "no files of earlier runs" in line]
    assert str(kept.folder) in line
    assert list(kept.stored.values()) == [b"two"]
    assert "no files of earlier runs" not in kept.run().log


def test_a_place_without_any_file_is_no_other_place(kept: Kept) -> None:
    kept.add_conversation()
    for _ in range(2):
        assert "no files of earlier runs" not in kept.run().log


def test_a_full_disk_ends_attachments_only(kept: Kept) -> None:
    kept.add_conversation(kept.add_file(b"x" * 200_000))
    output = kept.run(code=4, largest_file=100_000)
    assert "cannot be written: File too large" in output.last_log_line
    assert kept.stored == {}
    assert kept.behind()
    kept.run()
    kept.check()


def test_a_folder_that_becomes_unwritable_ends_attachments_only(kept: Kept) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    kept.add_conversation(kept.add_file(b"one"))
    incoming = kept.folder / ".tap-intercom" / "incoming"

    def forbid(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if path == "/me":
            incoming.chmod(stat.S_IRUSR | stat.S_IXUSR)

    kept.sandbox.before_request(forbid)
    output = kept.run(code=4)
    assert "failed: Permission denied" in output.last_log_line
    incoming.chmod(stat.S_IRWXU)


# -- Every place that holds files ----------------------------------------------------------------


def image(file: dict[str, Any]) -> str:
    return f'<p>Look: <img src="{file["url"]}" width="20"></p>'


def names_of(kept: Kept) -> set[tuple[str, str, str]]:
    return {(row["parent_stream"], row["kind"], row["name"]) for row in kept.rows.values()}


def test_files_of_tickets_are_stored_in_the_same_table(kept: Kept) -> None:
    files = {name: kept.add_file(name.encode(), name=name) for name in ("a", "b", "c", "d", "e")}
    key = kept.workspace.add_ticket(
        ticket_attributes={
            "Screenshots": [files["a"]],
            "Logs": [files["b"]],
            "_default_description_": image(files["c"]),
        }
    )
    kept.workspace.add_ticket_part(key, attachments=[files["d"]], body=image(files["e"]))
    conversation = kept.add_conversation(kept.add_file(b"of a conversation", name="f"))
    output = kept.run("tickets", "attachments")
    kept.check()
    assert names_of(kept) == {
        ("tickets", "attachment", "a"),
        ("tickets", "attachment", "b"),
        ("tickets", "inline_image", "c"),
        ("ticket_parts", "attachment", "d"),
        ("ticket_parts", "inline_image", "e"),
        ("conversations", "attachment", "f"),
    }
    row = kept.row(name="d")
    assert (row["ticket_id"], row["conversation_id"]) == (key, None)
    assert kept.row(name="f")["conversation_id"] == conversation
    assert output.count("SCHEMA", "attachments") == 1
    assert "attachments_of_tickets" in kept.runs.bookmarks
    kept.sandbox.clear_requests()
    kept.run("tickets", "attachments")
    assert not kept.downloads()


def test_files_of_tickets_are_not_read_without_a_table_of_tickets(kept: Kept) -> None:
    kept.workspace.add_ticket(ticket_attributes={"Logs": [kept.add_file(b"log")]})
    kept.run()
    assert not kept.rows
    kept.run("ticket_parts", "attachments")
    assert list(kept.stored.values()) == [b"log"]


def test_files_of_side_conversations_are_stored(kept: Kept) -> None:
    key = kept.add_conversation()
    one, two = kept.add_file(b"one", name="one"), kept.add_file(b"two", name="two")
    kept.workspace.add_side_conversation(key, [{"attachments": [one], "body": image(two)}])
    kept.run("side_conversation_parts", "attachments")
    kept.check()
    assert names_of(kept) == {
        ("side_conversation_parts", "attachment", "one"),
        ("side_conversation_parts", "inline_image", "two"),
    }
    assert {row["conversation_id"] for row in kept.rows.values()} == {key}


def add_call(kept: Kept, **fields: Any) -> str:
    """A call with a recording, which Intercom's API leads to."""
    key = kept.workspace.add_record("calls", **fields)
    kept.workspace.add_recording(key, content=b"sound")
    url = f"https://api.intercom.io/calls/{key}/recording"
    kept.workspace.update_record("calls", key, recording_url=url)
    return key


def test_recordings_of_calls_are_stored(kept: Kept) -> None:
    key = add_call(kept, conversation_id="5")
    kept.workspace.add_record("calls")
    kept.run("calls", "attachments")
    kept.check()
    (row,) = kept.rows.values()
    assert (row["parent_stream"], row["parent_id"], row["kind"]) == ("calls", key, "recording")
    assert (row["conversation_id"], row["content_type"]) == ("5", "audio/wav")
    assert row["url"] == f"https://api.intercom.io/calls/{key}/recording"
    kept.sandbox.clear_requests()
    kept.run("calls", "attachments")
    assert not kept.downloads()


@pytest.mark.parametrize("status", [400, 500])
def test_a_recording_that_intercom_cannot_send_does_not_block_the_others(
    kept: Kept, status: int
) -> None:
    bad = [add_call(kept) for _ in range(5)][::2]
    path = f"/calls/({'|'.join(bad)})/recording"
    kept.sandbox.faults.add("status", path, status=status, times=None)
    output = kept.run("calls", "attachments", max_retry_seconds=0.2)
    kept.check()
    assert {row["parent_id"] for row in kept.rows.values() if row["status"] == "refused"} == {*bad}
    assert "3 files not stored, since they could not be downloaded" in output.log
    assert list(kept.stored.values()) == [b"sound"] * 2


@pytest.mark.parametrize("inline_images", [False, True])
def test_a_conversation_that_intercom_cannot_send_again_blocks_no_other_one(
    kept: Kept, inline_images: bool
) -> None:
    """It came for its parts; then its addresses are dead, or its HTML is wanted."""
    kept.add_conversation(kept.add_file(b"good"))
    kept.clock.instant += 60
    bad = kept.add_conversation(kept.add_file(b"bad", name="bad.png"))
    kept.sandbox.faults.add("status", "/bad.png", status=404, times=None)
    path = f"^/conversations/{bad}$"
    kept.sandbox.faults.add("status", path, status=500, after=1, times=None)
    output = kept.run(max_retry_seconds=0.2, inline_images=inline_images)
    assert list(kept.stored.values()) == [b"good"]
    assert kept.row(name="bad.png")["status"] == "refused"
    assert (f"inline images of {bad}" in output.log) == inline_images
    kept.check()


def test_recordings_wait_for_an_intercom_that_sends_none(kept: Kept) -> None:
    for _ in range(4):
        add_call(kept)
    kept.sandbox.faults.add("status", "/recording$", status=503, times=None)
    kept.run("calls", "attachments", code=4, max_retry_seconds=0.2)
    assert not kept.rows
    kept.sandbox.faults.clear()
    kept.run("calls", "attachments")
    assert list(kept.stored.values()) == [b"sound"] * 4


def test_a_recording_that_is_no_more_is_gone(kept: Kept) -> None:
    add_call(kept)
    kept.workspace.recordings.clear()
    kept.run("calls", "attachments")
    assert kept.row(status="gone")["reason"] == "Intercom no longer has it"


@pytest.mark.parametrize("settings", [{"body_format": "html"}, {"inline_images": True}])
def test_inline_images_are_stored(kept: Kept, settings: dict[str, Any]) -> None:
    one, two = kept.add_file(b"one", name="one.png"), kept.add_file(b"two", name="two.png")
    key = kept.add_conversation(body=image(one))
    kept.workspace.reply(key, image(two) + "<img src='data:image/png;base64,AAAA'>")
    output = kept.run(**settings)
    kept.check()
    assert names_of(kept) == {
        ("conversations", "inline_image", "one.png"),
        ("conversation_parts", "inline_image", "two.png"),
    }
    assert kept.row(name="one.png")["width"] == 20
    assert not output.log_lines("WARNING")
    asked = [each for each in kept.sandbox.requests if each.path == f"/conversations/{key}"]
    assert len(asked) == (2 if "inline_images" in settings else 1)


def test_inline_images_cost_a_second_request_only_if_they_are_wanted(kept: Kept) -> None:
    key = kept.add_conversation(body=image(kept.add_file(b"one")))
    output = kept.run()
    assert not kept.rows
    assert len([each for each in kept.sandbox.requests if each.path.endswith(key)]) == 1
    (line,) = output.log_lines("WARNING")
    assert "inline images of conversations are not stored" in line
    kept.run(inline_images=True)
    assert list(kept.stored.values()) == [b"one"]


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1/a.png", "http://example.com/a.png", "https://[::1]/a.png", "https://"],
)
def test_an_image_that_may_not_be_asked_for_is_refused(kept: Kept, url: str) -> None:
    kept.add_conversation(body=f'<img src="{url}">')
    kept.run(body_format="html")
    assert kept.row(kind="inline_image")["status"] == "refused"
    kept.check()


@pytest.mark.parametrize("location", ["http://[", "https://a\xff.example/"])
def test_a_redirect_to_anything_harms_one_file_only(kept: Kept, location: str) -> None:
    """Anybody who writes to a workspace can link an image whose host answers like this."""
    bad = kept.add_file(b"bad", name="bad.png")
    kept.add_conversation(kept.add_file(b"good"), body=image(bad))
    kept.sandbox.faults.add("status", "bad", status=302, headers={"Location": location}, times=None)
    kept.run(body_format="html")
    assert kept.row(name="bad.png")["status"] == "refused"
    assert list(kept.stored.values()) == [b"good"]


def test_a_dead_address_of_each_kind_is_read_again(kept: Kept) -> None:
    one, two, three = (kept.add_file(each) for each in (b"one", b"two", b"three"))
    kept.workspace.add_ticket(ticket_attributes={"Logs": [one]})
    key = kept.add_conversation(body=image(two))
    kept.workspace.add_side_conversation(key, [{"attachments": [three]}])
    add_call(kept)
    for path in ("i/1/", "i/2/", "i/3/", "i/4/"):
        kept.sandbox.faults.add("status", path, status=403)
    streams = ("tickets", "side_conversation_parts", "calls", "attachments")
    kept.run(*streams, body_format="html")
    kept.check()
    assert sorted(kept.stored.values()) == [b"one", b"sound", b"three", b"two"]
    assert len(kept.downloads()) == 8


# -- Without the stream --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("streams", "count"),
    [(("conversations", "conversation_parts"), 3), (("conversations",), 1), (("tags",), 0)],
)
def test_a_run_without_attachments_says_how_many_addresses_expire(
    kept: Kept, streams: tuple[str, ...], count: int
) -> None:
    kept.add_conversation(*(kept.add_file(b"%d" % number) for number in range(3)))
    output = kept.run(*streams)
    lines = [line for line in output.log_lines("INFO") if "addresses of files" in line]
    assert len(lines) == bool(count)
    if count:
        assert lines[0].startswith(f"INFO {count} addresses of files are in these records")
        assert "attachments_dir" in lines[0]
    assert not kept.folder.exists()


def test_every_file_of_the_sample_is_stored(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path, warm_tap: WarmTap, plain_catalog: Catalog
) -> None:
    sandbox = start_sandbox(generate(seed=2, now=NOW, files=True), clock=Clock(NOW + DAY))
    runs = Runs(sandbox, tmp_path, warm_tap, plain_catalog)
    kept = Kept(runs, tmp_path / "files", Clock())
    kept.run("conversations", "tickets", "side_conversation_parts", "calls", "attachments")
    kept.check()
    workspace = sandbox.workspace
    files = sum(
        len(workspace.truth(table))
        for table in (
            "conversation_attachment",
            "conversation_part_attachment",
            "ticket_part_attachment",
        )
    )
    by_stream = Counter(row["parent_stream"] for row in kept.rows.values())
    assert by_stream["calls"] == len(workspace.recordings) > 0
    held = by_stream["conversations"] + by_stream["conversation_parts"] + by_stream["ticket_parts"]
    assert held == files
    assert {row["status"] for row in kept.rows.values()} == {"stored"}
