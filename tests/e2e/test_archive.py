"""The archive of examples/archive: its data, its pages, and that nothing in them runs or loads."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from conftest import START_DATE
from environments import environment_bin
from paths import ROOT

from intercom_sandbox import Sandbox, Workspace, generate

pytestmark = pytest.mark.long

EXAMPLE = ROOT / "examples" / "archive"
KINDS = ("articles", "companies", "contacts", "conversations", "tickets")
STREAMS = (*KINDS, "conversation_parts", "internal_articles", "ticket_parts")
# Elements of the pages themselves and of cleaned texts.
ACTIVE = {
    *("script", "iframe", "frame", "object", "embed", "svg", "math", "form", "input", "button"),
    *("style", "base", "video", "audio", "source", "template", "noscript", "portal"),
}

HOSTILE = (
    "<script>document.title='ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "<img src='{host}/image.png'><img srcset='{host}/set.png 2x'>",
    "<a href='javascript:alert(1)'>one</a><a href='java&#10;script:alert(1)'>two</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>three</a><a href='//evil.example'>four</a>",
    "<iframe src='{host}/frame.html'></iframe><iframe srcdoc='<script>1</script>'></iframe>",
    "<p style=\"background:url('{host}/style.png')\">styled</p>",
    "<style>body {{ background: url('{host}/css.png') }} @import '{host}/more.css';</style>",
    "<svg onload=\"document.title='ran'\"><image href='{host}/svg.png'/><script>1</script></svg>",
    "<math><mtext><table><mglyph><style><img src='{host}/math.png' onerror=alert(1)>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<meta http-equiv='refresh' content='0;url={host}/refresh'>",
    "<base href='{host}/'><link rel='stylesheet' href='{host}/link.css'>",
    "<form action='{host}/form'><input autofocus onfocus=\"document.title='ran'\"></form>",
    "<object data='{host}/object'></object><embed src='{host}/embed'>",
    "<video src='{host}/film.mp4' autoplay poster='{host}/poster.png'></video>",
    "<audio autoplay><source src='{host}/sound.mp3'></audio>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<div id='first' class='message' name='body'>named</div><a ping='{host}/ping' href='#'>p</a>",
    "</div></article></main><h1>outside</h1><!-- <img src='{host}/comment.png'> -->",
)
TEXTS = (
    "<p dir='rtl'>مرحبا بالعالم</p>",
    "<p>👩‍💻 🇮🇪 日本語</p>",
    "<p>1 &lt; 2 &amp; <b>bold</b></p>",
)

SIGNATURE = re.compile(rb"expires=\d+&(amp;)?signature=\w+")

Done = subprocess.CompletedProcess[str]


class Archive:
    """An archive of a sandbox, made by the script in its own environment."""

    def __init__(self, sandbox: Sandbox, folder: Path, name: str = "archive") -> None:
        self.sandbox = sandbox
        self.folder = folder / name
        self._config = folder / "config.json"
        self._bin = environment_bin("archive")

    def run(self, *arguments: str, stdin: str = "") -> Done:
        command = [str(self._bin / "python"), str(EXAMPLE / "archive.py"), *arguments]
        return subprocess.run(
            [*command, str(self.folder)],
            input=stdin,
            capture_output=True,
            text=True,
        )

    def update(self, *arguments: str) -> Done:
        """Read the sandbox; the run must succeed."""
        config = {
            "access_token": self.sandbox.token,
            "start_date": START_DATE,
            "base_url": self.sandbox.url,
        }
        self._config.write_text(json.dumps(config), encoding="utf-8")
        done = self.run("--config", str(self._config), *arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return done

    def take(self, stream: str, keys: list[str], *records: dict[str, Any]) -> None:
        """Add rows as the tap sends them, and write the pages again."""
        schema = {"type": "SCHEMA", "stream": stream, "schema": {}, "key_properties": keys}
        messages = [schema] + [
            {"type": "RECORD", "stream": stream, "record": each} for each in records
        ]
        lines = "".join(json.dumps(each) + "\n" for each in messages)
        assert self.run("--take-rows", stdin=lines).returncode == 0
        done = self.run("--pages-only")
        assert done.returncode == 0, done.stderr

    def rows(self, stream: str) -> list[dict[str, Any]]:
        text = (self.folder / "data" / f"{stream}.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]

    def page(self, kind: str, record_id: str) -> Page:
        return Page(self.folder / kind / f"{record_id}.html")

    def pages(self) -> list[Page]:
        paths = [self.folder / "index.html"]
        for kind in (*KINDS, "indexes"):
            paths += sorted((self.folder / kind).glob("*.html"))
        return [Page(path) for path in paths]

    def contents(self) -> dict[str, str]:
        """The hash of each file, but for what only the next run needs.

        Intercom signs the address of a file again for each answer.
        """
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(
                SIGNATURE.sub(b"", path.read_bytes())
            ).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
            and {"state", ".tap-intercom"}.isdisjoint(path.relative_to(self.folder).parts)
        }


class Page(HTMLParser):
    """A page as a browser would find it: its elements, links, ids and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, *names: str) -> list[str]:
        return [values[name] for _, values in self.tags for name in names if name in values]

    @property
    def ids(self) -> list[str]:
        return self.values("id")

    @property
    def local_links(self) -> list[Path]:
        """The files that it names."""
        return [
            Path(os.path.normpath(self.path.parent / unquote(link)))
            for link in self.values("href", "src")
            if not urlsplit(link).scheme
        ]

    def assert_passive(self) -> None:
        for tag, values in self.tags:
            assert tag not in ACTIVE, (self.path, tag)
            assert not any(name.startswith("on") for name in values), (self.path, values)
            assert not values.keys() & {"style", "srcset", "srcdoc", "ping", "action"}, self.path
            for name in ("src", "href"):
                scheme = urlsplit(values.get(name, "")).scheme
                is_link = tag == "a" and scheme in ("http", "https", "mailto", "tel")
                assert not scheme or is_link, (self.path, tag, values)
            if tag == "a" and urlsplit(values.get("href", "")).scheme:
                assert values["rel"] == "noopener noreferrer"
        heads = [values for tag, values in self.tags if tag == "meta"]
        assert [each["http-equiv"] for each in heads if "http-equiv" in each] == [
            "Content-Security-Policy"
        ]
        policy = next(each["content"] for each in heads if "http-equiv" in each)
        assert policy.startswith("default-src 'none';")
        assert [tag for tag, _ in self.tags].count("link") == 1


def assert_whole(archive: Archive) -> None:
    """Each page is passive, each link leads to a file, and each page is reached from the first."""
    pages = archive.pages()
    for page in pages:
        page.assert_passive()
        for path in page.local_links:
            assert path.is_file(), (page.path, path)
            assert path.is_relative_to(archive.folder), (page.path, path)
    links = {page.path: page.local_links for page in pages}
    reached, new = set(), {archive.folder / "index.html"}
    while new:
        path = new.pop()
        reached.add(path)
        new |= {each for each in links[path] if each in links} - reached
    assert reached == links.keys()


@pytest.fixture(scope="module")
def sample() -> Iterator[Sandbox]:
    workspace = generate(
        seed=5, contacts=60, companies=20, conversations=25, parts=160, tickets=8, days=200,
        details=40, files=True,
    )  # fmt: skip
    with Sandbox(workspace) as sandbox:
        yield sandbox


@pytest.fixture
def archive_of(tmp_path: Path) -> Iterator[Callable[[Workspace], Archive]]:
    running: list[Sandbox] = []

    def start(workspace: Workspace) -> Archive:
        sandbox = Sandbox(workspace)
        sandbox.__enter__()
        running.append(sandbox)
        return Archive(sandbox, tmp_path)

    yield start
    for sandbox in running:
        sandbox.__exit__(None, None, None)


def test_everything_is_in_the_data_and_on_pages(sample: Sandbox, tmp_path: Path) -> None:
    archive = Archive(sample, tmp_path)
    done = archive.update()
    for stream in STREAMS:
        expected = sorted(each["id"] for each in sample.truth(stream))
        assert sorted(each["id"] for each in archive.rows(stream)) == expected, stream
        assert re.search(rf"^{stream} +{len(expected)}$", done.stdout, re.MULTILINE)
    for kind in ("companies", "contacts", "conversations", "tickets"):
        expected = sorted(f"{each['id']}.html" for each in sample.truth(kind))
        assert sorted(path.name for path in (archive.folder / kind).iterdir()) == expected
    for kind, parts, parent in (
        ("conversations", "conversation_parts", "conversation_id"),
        ("tickets", "ticket_parts", "ticket_id"),
    ):
        truth = sample.truth(parts)
        for record in sample.truth(kind):
            mine = [each for each in truth if each[parent] == record["id"]]
            page = archive.page(kind, record["id"])
            shown = [name for name in page.ids if name.startswith("part-")]
            assert sorted(shown) == sorted(f"part-{each['id']}" for each in mine), page.path
            for each in mine:
                for words in re.findall(
                    r"[A-Za-z ]{4,}", re.sub(r"<[^>]*>", "\n", each.get("body") or "")
                ):
                    assert words.strip() in page.text
    assert_whole(archive)


def test_contacts_and_dates_lead_to_conversations(sample: Sandbox, tmp_path: Path) -> None:
    archive = Archive(sample, tmp_path)
    archive.update()
    for record in sample.truth("conversations"):
        page = archive.page("conversations", record["id"])
        for contact in record["contacts"]["contacts"]:
            person = archive.page("contacts", contact["id"])
            assert page.path in person.local_links
            assert person.path in page.local_links
    dated = [Page(path) for path in (archive.folder / "indexes").glob("dates-*.html")]
    found = [path for page in dated for path in page.local_links if path.parent.name in KINDS]
    assert len(found) == len(sample.truth("conversations")) + len(sample.truth("tickets"))


def test_the_same_data_gives_the_same_bytes(sample: Sandbox, tmp_path: Path) -> None:
    one, other = Archive(sample, tmp_path, "one"), Archive(sample, tmp_path, "other")
    one.update()
    other.update()
    # Times of a full read are no data.
    assert one.contents() == other.contents()
    times = {path: path.stat().st_mtime_ns for path in one.folder.rglob("*.html")}
    one.update()
    assert one.contents() == other.contents()
    assert times == {path: path.stat().st_mtime_ns for path in one.folder.rglob("*.html")}


# -- Texts ---------------------------------------------------------------------------------------


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server that notes what it is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def dom_in_browser(path: Path, profile: Path) -> str:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [browser, *flags, "--dump-dom", path.as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert done.returncode == 0
    return done.stdout


def hostile(host: str) -> tuple[Workspace, str]:
    """A workspace with hostile texts in every place that a page shows."""
    workspace = Workspace()
    texts = [*(text.format(host=host) for text in HOSTILE), *TEXTS]
    everything = "".join(texts)
    contact_id = workspace.add_contact(
        name=texts[0], email="<b>@example.org", custom_attributes={texts[1]: texts[0]}
    )
    workspace.add_contact_note(contact_id, body=everything)
    company_id = workspace.add_company(name=texts[1], website=texts[3])
    workspace.add_company_note(company_id, body=everything)
    workspace.attach_company(contact_id, company_id)
    conversation_id = workspace.add_conversation(title=texts[1], contacts=[contact_id])
    for text in texts:
        workspace.add_part(conversation_id, body=text)
    workspace.add_part(
        conversation_id,
        body="<p>named</p>",
        author={"type": "admin", "id": "1", "name": texts[0], "email": texts[1]},
    )
    ticket_id = workspace.add_ticket()
    workspace.add_ticket_part(ticket_id, body=everything)
    workspace.add_record("articles", title=texts[0], body=everything, description=texts[1])
    return workspace, conversation_id


def test_hostile_texts_neither_run_nor_load(
    archive_of: Callable[[Workspace], Archive], tmp_path: Path
) -> None:
    with listening() as (host, asked):
        workspace, conversation_id = hostile(host)
        archive = archive_of(workspace)
        archive.update()
        asked.clear()  # the tap stores the images
        assert_whole(archive)
        page = archive.page("conversations", conversation_id)
        for text in ("مرحبا بالعالم", "👩‍💻 🇮🇪 日本語", "1 < 2 & ", "styled", "outside"):
            assert text in page.text
        assert ("p", {"dir": "rtl"}) in page.tags
        for name in ("image image.png", "frame frame.html", "video film.mp4", "sound"):
            assert f"[{name}" in page.text or name == "sound"
        # What a text says must stay inside of its message.
        assert [tag for tag, _ in page.tags].count("main") == 1
        assert page.ids.count("first") == 1

        for each in archive.pages():
            dom = dom_in_browser(each.path, tmp_path / "profile")
            assert "<title>ran</title>" not in dom
            assert "</html>" in dom
        assert asked == []

        # The same texts without cleaning do both, so this test would notice.
        unsafe = tmp_path / "unsafe.html"
        unsafe.write_text("".join(HOSTILE[:3]).format(host=host), encoding="utf-8")
        assert "<title>ran</title>" in dom_in_browser(unsafe, tmp_path / "profile")
        assert "/image.png" in asked


# -- Files ---------------------------------------------------------------------------------------


def file_row(conversation_id: str, part_id: str, number: int, **fields: Any) -> dict[str, Any]:
    """A row as the stream attachments has it."""
    return {
        "id": f"{part_id}-{number}",
        "parent_stream": "conversation_parts",
        "parent_id": part_id,
        "conversation_id": conversation_id,
        "ticket_id": None,
        "position": number,
        "kind": "attachment",
        "name": None,
        "content_type": None,
        "size": 1,
        "sha256": None,
        "path": None,
        "width": None,
        "height": None,
        "url": f"https://downloads.example.org/{part_id}/{number}",
        "status": "stored",
        "reason": None,
        "updated_at": "2026-01-01T00:00:00Z",
        **fields,
    }


def test_files_are_linked_where_a_browser_may_open_them(
    archive_of: Callable[[Workspace], Archive],
) -> None:
    conversation_id, part_id = "1", "2"
    image = "https://downloads.example.org/i/1/shot.png"
    body = (
        f"<p>See <img src='{image}?signature=1' alt='a shot'> and "
        "<a href='https://downloads.example.org/i/2/gone.pdf?signature=2'>this</a> and "
        "<a href='https://downloads.intercomcdn.com/i/3/never.pdf?signature=3'>that</a></p>"
    )
    part = {"id": part_id, "conversation_id": conversation_id, "body": body}
    archive = archive_of(Workspace())
    archive.take("conversations", ["id"], {"id": conversation_id, "updated_at": None})
    archive.take("conversation_parts", ["id"], part)
    files = archive.folder / "files"
    for name in ("a b#%?.png", "page.html", "drawing.svg", "no ending", "مستند.pdf"):
        (files / "c").mkdir(parents=True, exist_ok=True)
        (files / "c" / name).write_bytes(b"<script>1</script>")
    (archive.folder / "outside.png").write_bytes(b"x")
    rows = [
        file_row(conversation_id, part_id, 0, kind="inline_image", url=image, name="shot.png",
                 path="c/a b#%?.png"),
        file_row(conversation_id, part_id, 1, name="page.html", path="c/page.html"),
        file_row(conversation_id, part_id, 2, name="drawing", path="c/drawing.svg"),
        file_row(conversation_id, part_id, 3, name="plain", path="c/no ending"),
        file_row(conversation_id, part_id, 4, name="مستند.pdf", path="c/مستند.pdf"),
        file_row(conversation_id, part_id, 5, name="gone.pdf", status="gone", reason="404",
                 url="https://downloads.example.org/i/2/gone.pdf"),
        file_row(conversation_id, part_id, 6, name="large.bin", status="too_large"),
        file_row(conversation_id, part_id, 7, name="outside", path="../outside.png"),
        file_row(conversation_id, "no such part", 8, name="old.pdf", path="c/مستند.pdf"),
    ]  # fmt: skip
    archive.take("attachments", ["id"], *rows)
    assert_whole(archive)
    page = archive.page("conversations", conversation_id)
    images = [values for tag, values in page.tags if tag == "img"]
    assert images == [{"src": "../files/c/a%20b%23%25%3F.png", "alt": "a shot"}]
    linked = {path.name for path in page.local_links if path.is_relative_to(files)}
    assert linked == {"a b#%?.png", "مستند.pdf"}
    assert len([path for path in page.local_links if path.name == "مستند.pdf"]) == 2
    for text in (
        "page.html: in files/c/page.html, not linked because a browser may run it",
        "drawing: in files/c/drawing.svg",
        "plain: in files/c/no ending",
        "gone.pdf: not in the archive, 404",
        "large.bin: not in the archive, larger than the limit",
        "outside: not in the archive, not found",
        "[file gone.pdf: not in the archive, 404] this",
        "[file never.pdf: not in the archive] that",
    ):
        assert text in page.text, text
    assert "Files: 1 gone, 7 stored, 1 too_large." in Page(archive.folder / "index.html").text


@pytest.mark.skipif(not hasattr(Workspace, "add_file"), reason="the sandbox serves no files")
def test_files_are_stored_in_the_archive(archive_of: Callable[[Workspace], Archive]) -> None:
    workspace: Any = Workspace()
    image = workspace.add_file(content=b"an image", name="a shot.png")
    inline = workspace.add_file(content=b"inline", name="inline.png")
    table = workspace.add_file(content=b"a,b", name="table.csv", content_type="text/csv")
    lost = workspace.add_file(content=b"lost", name="lost.txt", content_type="text/plain")
    source = {"type": "conversation", "id": "1", "body": "<p>Hi</p>", "attachments": [image]}
    conversation_id = workspace.add_conversation(source=source)
    body = f"<p><img src='{inline['url']}'> <a href='{table['url']}'>the table</a></p>"
    part_id = workspace.add_part(conversation_id, body=body, attachments=[table, lost])
    ticket_id = workspace.add_ticket()
    workspace.add_ticket_part(ticket_id, body="<p>Text</p>", attachments=[image])
    workspace.files.remove(lost["url"])
    archive = archive_of(workspace)
    archive.update()
    assert_whole(archive)
    page = archive.page("conversations", conversation_id)
    files = archive.folder / "files"
    linked = {path for path in page.local_links if path.is_relative_to(files)}
    assert {path.read_bytes() for path in linked} == {b"an image", b"inline", b"a,b"}
    assert "lost.txt: not in the archive" in page.text
    ticket = archive.page("tickets", ticket_id)
    linked = {path for path in ticket.local_links if path.is_relative_to(files)}
    assert {path.read_bytes() for path in linked} == {b"an image"}

    workspace.redact_part(conversation_id, part_id)
    archive.update("--remove-deleted")
    assert_whole(archive)
    stored = [path.read_bytes() for path in files.rglob("*") if path.is_file()]
    assert stored.count(b"an image") == 2
    assert not any(b"inline" in each or b"a,b" in each for each in stored)
    assert not any(b"table.csv" in each for each in stored)


# -- Later runs ----------------------------------------------------------------------------------


def test_a_second_run_adds_what_changed(archive_of: Callable[[Workspace], Archive]) -> None:
    workspace = generate(
        seed=6, contacts=20, companies=5, conversations=8, parts=40, tickets=3, files=True
    )
    archive = archive_of(workspace)
    archive.update()
    before = archive.contents()
    conversation, untouched = workspace.truth("conversations")[:2]
    part_id = workspace.reply(conversation["id"], "<p>A secret word</p>")
    archive.update()
    assert "A secret word" in archive.page("conversations", conversation["id"]).text
    unchanged = f"conversations/{untouched['id']}.html"
    assert archive.contents()[unchanged] == before[unchanged]

    workspace.redact_part(conversation["id"], part_id)
    added = workspace.add_conversation()
    archive.update()
    page = archive.page("conversations", conversation["id"])
    assert "Intercom redacted this message." in page.text
    assert archive.page("conversations", added).path.is_file()
    for path in filter(Path.is_file, archive.folder.rglob("*")):
        assert b"secret word" not in path.read_bytes(), path
    assert_whole(archive)


def test_a_killed_run_is_completed_by_the_next(sample: Sandbox, tmp_path: Path) -> None:
    archive, whole = Archive(sample, tmp_path), Archive(sample, tmp_path, "whole")
    whole.update()
    started: list[subprocess.Popen[bytes]] = []

    def kill(sandbox: Sandbox, method: str, path: str, number: int) -> None:
        if started and re.search(r"/conversations/\d+5$", path):
            with suppress(ProcessLookupError):
                os.killpg(started.pop().pid, signal.SIGKILL)

    sample.before_request(kill)
    command = [environment_bin("archive") / "python", EXAMPLE / "archive.py", archive.folder]
    started.append(
        subprocess.Popen(
            [*command, "--config", tmp_path / "config.json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )
    (process,) = started
    assert process.wait() == -signal.SIGKILL
    assert not (archive.folder / "index.html").exists()
    archive.update()
    assert archive.contents() == whole.contents()


@pytest.mark.parametrize("removes", [False, True], ids=["marked", "removed"])
def test_what_intercom_deleted_is_marked_or_removed(
    archive_of: Callable[[Workspace], Archive], removes: bool
) -> None:
    workspace = Workspace()
    # A target that is written to later, so that its merge is no change of the source.
    people = [workspace.add_contact(name=f"Person {number}") for number in range(4)]
    kept, deleted = (
        workspace.add_conversation(title=title, contacts=[people[0]])
        for title in ("This one stays", "That one goes")
    )
    part_id = workspace.add_part(deleted, body="<p>A forgotten word</p>")
    redacted_id = workspace.add_part(kept, body="<p>Text</p>")
    archive = archive_of(workspace)
    archive.update()
    files = archive.folder / "files"
    files.mkdir(exist_ok=True)
    names = ("deleted.txt", "redacted.txt", "kept.txt")
    for name in names:
        (files / name).write_text("content")
    parents = ((deleted, part_id), (kept, redacted_id), (kept, "another"))
    rows = [
        file_row(*parent, 0, name=name, path=name)
        for parent, name in zip(parents, names, strict=True)
    ]
    archive.take("attachments", ["id"], *rows)

    workspace.delete_conversation(deleted)
    workspace.redact_part(kept, redacted_id)
    workspace.delete_contact(people[1])
    workspace.merge_contacts(people[2], people[0])
    workspace.archive_contact(people[3])
    archive.update(*(["--remove-deleted"] if removes else []))
    assert_whole(archive)
    kinds = {each["id"]: each["kind"] for each in archive.rows("deletions")}
    assert kinds == {
        deleted: "deleted", people[1]: "deleted", people[2]: "merged", people[3]: "archived"
    }  # fmt: skip
    there = {
        each["id"] for stream in ("contacts", "conversations") for each in archive.rows(stream)
    }
    gone = {deleted, people[1], people[2]} if removes else set()
    assert there == {kept, deleted, *people} - gone
    assert {each["id"] for each in archive.rows("conversation_parts")} == (
        {redacted_id} if removes else {part_id, redacted_id}
    )
    assert {path.name for path in files.iterdir() if path.is_file()} == (
        {"kept.txt"} if removes else {*names}
    )
    assert "Archived in Intercom" in archive.page("contacts", people[3]).text
    assert "Deleted in Intercom" not in archive.page("conversations", kept).text
    if removes:
        for path in filter(Path.is_file, archive.folder.rglob("*")):
            assert b"forgotten word" not in path.read_bytes(), path
    else:
        assert "Deleted in Intercom" in archive.page("conversations", deleted).text
        assert "A forgotten word" in archive.page("conversations", deleted).text
        merged = archive.page("contacts", people[2])
        assert "Merged in Intercom" in merged.text
        assert archive.folder / "contacts" / f"{people[0]}.html" in merged.local_links


def test_a_contact_that_came_back_is_not_marked(
    archive_of: Callable[[Workspace], Archive],
) -> None:
    workspace = Workspace()
    contact_id = workspace.add_contact(name="Person")
    archive = archive_of(workspace)
    archive.update()
    workspace.archive_contact(contact_id)
    archive.update()
    assert "Archived in Intercom" in archive.page("contacts", contact_id).text
    archive.sandbox.options.clock_offset_seconds += 60
    workspace.unarchive_contact(contact_id)
    workspace.update_contact(contact_id, name="Person again")
    archive.update()
    assert "Archived in Intercom" not in archive.page("contacts", contact_id).text


def test_a_page_names_the_parts_that_intercom_does_not_send(
    archive_of: Callable[[Workspace], Archive],
) -> None:
    workspace = Workspace()
    conversation_id = workspace.add_conversation()
    workspace.load_parts(conversation_id, [{"body": f"<p>{number}</p>"} for number in range(503)])
    archive = archive_of(workspace)
    archive.update()
    page = archive.page("conversations", conversation_id)
    assert sum(name.startswith("part-") for name in page.ids) == 500
    assert "3 older ones are not in the archive" in page.text


def test_a_page_of_an_index_has_at_most_500_links(
    archive_of: Callable[[Workspace], Archive],
) -> None:
    workspace = Workspace()
    for number in range(1001):
        workspace.add_contact(name=f"Person {number:04}")
    archive = archive_of(workspace)
    archive.update()
    pages = sorted((archive.folder / "indexes").glob("contacts-*.html"))
    assert [len([each for each in Page(path).local_links if each.parent.name == "contacts"])
            for path in pages] == [500, 500, 1]  # fmt: skip
    assert_whole(archive)


def test_ids_are_safe_names(archive_of: Callable[[Workspace], Archive]) -> None:
    archive = archive_of(Workspace())
    ids = ["../../up", "a/b", "A", "a", "con", "é", "x" * 300, "x" * 299 + "y", ".", "", "a_b"]
    contacts = [{"id": each, "name": f"n{each}", "updated_at": None} for each in ids]
    archive.take("contacts", ["id"], *contacts)
    names = [path.name for path in (archive.folder / "contacts").iterdir()]
    assert len({name.lower() for name in names}) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,110}\.html", name) for name in names), names
    assert "con.html" not in names
    assert_whole(archive)


def test_half_of_a_surrogate_pair_is_no_obstacle(
    archive_of: Callable[[Workspace], Archive],
) -> None:
    archive, text = archive_of(Workspace()), "half \ud83d a pair"
    person = {"id": "1", "name": text, "companies": [{"id": "2"}], "updated_at": None}
    archive.take("contacts", ["id"], person)
    archive.take("companies", ["id"], {"id": "2", "name": text, "updated_at": None})
    talk = {"id": "3", "title": text, "contacts": [{"id": "1"}], "source": {"body": f"<p>{text}"}}
    archive.take("conversations", ["id"], {**talk, "updated_at": None})
    assert_whole(archive)
    assert archive.rows("contacts") == [person]
    for kind, record_id in (("contacts", "1"), ("companies", "2"), ("conversations", "3")):
        assert archive.page(kind, record_id).text.count("half ? a pair") >= 2


# -- Around it -----------------------------------------------------------------------------------


def test_bad_input_changes_nothing(sample: Sandbox, tmp_path: Path) -> None:
    archive = Archive(sample, tmp_path)
    done = archive.run("--config", str(tmp_path / "missing.json"))
    assert done.returncode == 2
    assert "missing.json" in done.stderr
    assert done.stderr.splitlines()[-1] == "The archive was not changed; exit code 2."
    assert archive.run("--pages-only").returncode == 2
    assert not list(archive.folder.rglob("*.html"))


def test_a_missing_permission_leaves_an_archive_and_its_exit_code(
    archive_of: Callable[[Workspace], Archive],
) -> None:
    workspace = generate(
        seed=7, contacts=5, companies=2, conversations=3, parts=9, tickets=2, files=True
    )
    archive = archive_of(workspace)
    archive.update()
    archive.sandbox.options.permissions.discard("articles")
    workspace.reply(workspace.truth("conversations")[0]["id"], "<p>A new word</p>")
    done = archive.run("--config", str(archive.folder.parent / "config.json"))
    assert done.returncode == 3
    assert "The archive is not complete: the tap ended with exit code 3" in done.stdout
    assert any("A new word" in page.text for page in archive.pages())


def test_the_example_in_its_readme(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(EXAMPLE / "try.sh")],
        env={**os.environ, "PATH": f"{environment_bin('archive')}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    first = tmp_path / "archive-example" / "archive" / "index.html"
    assert done.stdout.splitlines()[-1] == f"Open {first}"
    assert "conversation_parts" in Page(first).text


def test_mypy_accepts_the_example() -> None:
    done = subprocess.run(
        [environment_bin("archive") / "mypy", "--strict", "."],
        cwd=EXAMPLE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stdout
