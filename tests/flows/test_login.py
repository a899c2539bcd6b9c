"""Logging in: through a terminal, and end to end with a real browser."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from conftest import RUN, run_tap
from hypothesis import given
from hypothesis import strategies as st
from raw_server import RawServer
from terminal import Terminal

from intercom_sandbox import Sandbox, Workspace
from tap_intercom.commands.login import code_of
from tap_intercom.errors import AuthError
from tap_intercom.files import with_member

APP = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
SECRET_PROMPT = "Client secret (stays hidden): "
PASTE_PROMPT = "browser was sent to: "
WEBDRIVER_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

StartSandbox = Callable[..., Sandbox]


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    return start_sandbox(Workspace())


class Login:
    """A login on a terminal, with a config file of its own."""

    def __init__(self, sandbox: Sandbox, folder: Path, **settings: Any) -> None:
        self.config = folder / "config.json"
        settings = {"base_url": sandbox.url, "redirect_uri": f"{sandbox.url}/landing", **settings}
        self.config.write_text(json.dumps({**APP, **settings}))
        self.before = (self.config.read_bytes(), self.config.stat().st_mode)

    def start(self, *flags: str, **how: Any) -> Terminal:
        return self.start_with_browser("--no-browser", *flags, **how)

    def start_with_browser(self, *flags: str, **how: Any) -> Terminal:
        return Terminal([*RUN, "login", "--config", str(self.config), *flags], **how)

    @property
    def is_untouched(self) -> bool:
        files = os.listdir(self.config.parent)
        now = (self.config.read_bytes(), self.config.stat().st_mode)
        return files == [self.config.name] and now == self.before


@pytest.fixture
def login(sandbox: Sandbox, tmp_path: Path) -> Login:
    return Login(sandbox, tmp_path)


def page_shown(terminal: Terminal) -> str:
    """The address of Intercom's page, as a person would copy it."""
    terminal.read_until(PASTE_PROMPT)
    return next(word for word in terminal.shown.split() if "/oauth?" in word)


def follow(page: str, link: str) -> str:
    """The address that a click on a link of Intercom's page leads to."""
    html = requests.get(page, timeout=10).text
    path = html.split(f'id="{link}" href="')[1].split('"')[0].replace("&amp;", "&")
    answer = requests.get(urljoin(page, path), allow_redirects=False, timeout=10)
    return answer.headers["Location"]


def code_in(address: str) -> str:
    return address.split("code=")[1].split("&")[0]


def test_the_address_that_the_browser_was_sent_to_gives_a_token(login: Login) -> None:
    with login.start() as terminal:
        terminal.type(follow(page_shown(terminal), "authorize") + "\n")
        assert terminal.end() == 0, terminal.shown
    assert json.loads(login.config.read_bytes())["access_token"] == "sandbox-token"


def test_the_login_says_whose_token_it_is(login: Login, sandbox: Sandbox) -> None:
    sandbox.workspace.add_admin(name="Ada Lovelace")
    with login.start() as terminal:
        terminal.type(code_in(follow(page_shown(terminal), "authorize")) + "\n")
        assert terminal.end() == 0, terminal.shown
    workspace = sandbox.workspace.app["id_code"]
    verified = f"Verified: Sandbox ({workspace}), US, as Ada Lovelace"
    assert verified in terminal.shown.splitlines()


def test_a_login_on_this_machine_reaches_no_proxy(login: Login) -> None:
    with RawServer(lambda *ignored: None) as proxy:
        environment = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), proxy.url)
        with login.start(environment=environment) as terminal:
            terminal.type(follow(page_shown(terminal), "authorize") + "\n")
            assert terminal.end() == 0, terminal.shown
    assert proxy.heads == []


def test_the_token_works_in_a_run(login: Login) -> None:
    with login.start() as terminal:
        terminal.type(follow(page_shown(terminal), "authorize") + "\n")
        assert terminal.end() == 0, terminal.shown
    config = json.loads(login.config.read_bytes())
    login.config.write_text(json.dumps({**config, "start_date": "2020-01-01"}))
    assert run_tap("--config", str(login.config), "--discover").code == 0


def test_only_the_token_changes_in_the_config_file(login: Login) -> None:
    text = login.config.read_text()
    text = '{\r\n\t"access_token" : "old" ,\r\n  "start_date":"2020-01-01",' + text[1:] + "\n\n"
    login.config.write_bytes(text.encode())
    login.config.chmod(0o644)
    with login.start() as terminal:
        terminal.type(follow(page_shown(terminal), "authorize") + "\n")
        assert terminal.end() == 0, terminal.shown
    assert login.config.read_bytes() == text.replace('"old"', '"sandbox-token"').encode()
    assert stat.S_IMODE(login.config.stat().st_mode) == 0o600
    assert os.listdir(login.config.parent) == [login.config.name]


def test_a_link_to_the_config_file_stays_a_link(login: Login, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    login.config.rename(elsewhere)
    login.config.symlink_to(elsewhere)
    with login.start() as terminal:
        terminal.type(follow(page_shown(terminal), "authorize") + "\n")
        assert terminal.end() == 0, terminal.shown
    assert login.config.is_symlink()
    assert json.loads(elsewhere.read_bytes())["access_token"] == "sandbox-token"


def test_what_the_settings_lack_is_asked_for_and_the_secret_stays_hidden(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    login = Login(sandbox, tmp_path, client_id="", client_secret=None, redirect_uri="")
    with login.start() as terminal:
        terminal.read_until("Client id of your app: ")
        terminal.type("sandbox-client\n")
        terminal.read_until(SECRET_PROMPT)
        terminal.type("sandbox-secret\n")
        terminal.read_until("Redirect URL (empty: the first of your app): ")
        terminal.type("\n")
        terminal.type(follow(page_shown(terminal), "authorize") + "\n")
        assert terminal.end() == 0, terminal.shown
    assert "sandbox-client" in terminal.shown
    assert "sandbox-secret" not in terminal.shown
    assert "sandbox-token" not in terminal.shown


def test_the_app_may_come_from_the_environment(sandbox: Sandbox, tmp_path: Path) -> None:
    login = Login(sandbox, tmp_path, client_id=None, client_secret=None)
    environment = {f"TAP_INTERCOM_{name.upper()}": value for name, value in APP.items()}
    with login.start("--config", "ENV", environment=environment) as terminal:
        terminal.type(follow(page_shown(terminal), "authorize") + "\n")
        assert terminal.end() == 0, terminal.shown
    assert "access_token" in json.loads(login.config.read_bytes())


def test_each_login_has_a_state_of_its_own(login: Login) -> None:
    with login.start() as one, login.start() as other:
        assert page_shown(one) != page_shown(other)


def used(page: str) -> str:
    address = follow(page, "authorize")
    form = {**APP, "code": code_in(address)}
    answer = requests.post(urljoin(page, "/auth/eagle/token"), data=form, timeout=10)
    assert answer.status_code == 200
    return address


REFUSALS = {
    "denied consent": (
        {},
        {},
        lambda page: follow(page, "deny"),
        "access was denied on Intercom's page (access_denied)",
    ),
    "wrong state": (
        {},
        {},
        lambda page: follow(page.replace("state=", "state=not"), "authorize"),
        "belongs to another login",
    ),
    "no state": (
        {},
        {},
        lambda page: follow(page, "authorize").partition("&state")[0],
        "belongs to another login",
    ),
    "wrong secret": (
        {"client_secret": "not-the-secret"},
        {},
        lambda page: follow(page, "authorize"),
        "Check client_id and client_secret",
    ),
    "used code": ({}, {}, used, "A code works once and for five minutes"),
    "expired code": (
        {},
        {"code_lifetime": -1},
        lambda page: follow(page, "authorize"),
        "A code works once and for five minutes",
    ),
    "other region": (
        {"region": "eu"},
        {},
        lambda page: follow(page, "authorize"),
        "is in region us, but the settings say eu; set region to us",
    ),
    "nothing": ({}, {}, lambda page: "", "no code was pasted"),
}


@pytest.mark.parametrize(("settings", "options", "paste", "told"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_says_why_and_leaves_the_config_alone(
    start_sandbox: StartSandbox,
    tmp_path: Path,
    settings: dict[str, str],
    options: dict[str, float],
    paste: Callable[[str], str],
    told: str,
) -> None:
    login = Login(start_sandbox(Workspace(), **options), tmp_path, **settings)
    with login.start() as terminal:
        terminal.type(paste(page_shown(terminal)) + "\n")
        assert terminal.end() == 3
    last = terminal.shown.splitlines()[-1]
    assert last.startswith("CRITICAL ")
    assert told in last
    assert "secret" not in terminal.shown.replace("client_secret", "")
    assert login.is_untouched


def test_an_interrupted_login_leaves_the_config_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    login = Login(sandbox, tmp_path, client_secret=None)
    with login.start() as terminal:
        terminal.read_until(SECRET_PROMPT)
        terminal.type("\x03")
        assert terminal.end() == 130
    assert terminal.shown.splitlines()[-1] == "WARNING login was stopped; nothing changed"
    assert login.is_untouched


def test_a_login_without_anybody_to_answer_ends(login: Login) -> None:
    output = run_tap("login", "--config", str(login.config), "--no-browser")
    assert output.code == 2
    assert output.last_log_line.startswith("CRITICAL login: the input ended before an answer")
    assert login.is_untouched


def test_a_login_needs_a_file_to_write_into() -> None:
    output = run_tap("login", "--config", "ENV", "--no-browser")
    assert output.code == 2
    assert "no file to write the token to; give --config FILE" in output.last_log_line


def talking_browser(folder: Path) -> dict[str, str]:
    """The environment of somebody whose browser writes to its stdout; it shows what it opens."""
    program = folder / "browser.sh"
    program.write_text('#!/bin/sh\necho "opened: $1"\n')
    program.chmod(0o700)
    return {"BROWSER": str(program)}


def test_the_page_is_opened_in_the_browser(login: Login, tmp_path: Path) -> None:
    with login.start_with_browser(environment=talking_browser(tmp_path)) as terminal:
        terminal.read_until("opened: ")
        assert terminal.read_until("\n").strip() == page_shown(terminal)


def test_the_environment_gets_the_token_through_a_pipe_and_the_terminal_does_not(
    login: Login, tmp_path_factory: pytest.TempPathFactory
) -> None:
    readable, writable = os.pipe()
    environment = talking_browser(tmp_path_factory.mktemp("browser"))
    with login.start_with_browser(
        "--print-env", stdout=writable, environment=environment
    ) as terminal:
        os.close(writable)
        terminal.read_until("opened: ")
        terminal.type(follow(page_shown(terminal), "authorize") + "\n")
        assert terminal.end() == 0, terminal.shown
    with open(readable, encoding="utf-8") as pipe:
        assert pipe.read() == "export TAP_INTERCOM_ACCESS_TOKEN=sandbox-token\n"
    assert "sandbox-token" not in terminal.shown
    assert login.is_untouched


def test_a_token_is_never_written_to_a_terminal(login: Login) -> None:
    with login.start("--print-env") as terminal:
        assert terminal.end() == 2
    assert "never writes a token to a terminal" in terminal.shown


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ({}, "https://app.intercom.com/oauth?client_id=me&state="),
        ({"region": "eu"}, "https://app.eu.intercom.com/oauth?client_id=me&state="),
        ({"region": "au"}, "https://app.au.intercom.com/oauth?client_id=me&state="),
        (
            {"base_url": "https://proxy.example.com/intercom"},
            "https://app.intercom.com/oauth?client_id=me&state=",
        ),
    ],
    ids=["us", "eu", "au", "proxy"],
)
def test_the_page_is_that_of_the_region(
    sandbox: Sandbox, tmp_path: Path, settings: dict[str, str], page: str
) -> None:
    login = Login(sandbox, tmp_path, **{"base_url": None, "client_id": "me", **settings})
    with login.start() as terminal:
        shown = page_shown(terminal)
    assert shown.startswith(page)
    assert shown.endswith("%2Flanding")


def test_another_page_can_be_named(login: Login) -> None:
    with login.start("--authorize-url", "https://app.example.com/oauth") as terminal:
        assert page_shown(terminal).startswith("https://app.example.com/oauth?client_id=")


# -- What was pasted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pasted",
    [
        "c0de",
        "https://example.com/landing?code=c0de&state=s",
        "https://example.com/landing?state=s&other=1&code=c0de#top",
        "example.com/landing?code=c0de&state=s",
        "?code=c0de&state=s",
    ],
)
def test_a_code_is_found_in_what_was_pasted(pasted: str) -> None:
    assert code_of(pasted, "s") == "c0de"


@pytest.mark.parametrize(
    "pasted", ["https://example.com/", "https://example.com/?state=s", "http://[?code="]
)
def test_an_address_without_a_code_is_refused(pasted: str) -> None:
    with pytest.raises(AuthError, match="contains no code"):
        code_of(pasted, "s")


# -- The text of a config ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{"t": "new"}'),
        ("{\n}\n", '{\n"t": "new"}\n'),
        ('{"a": 1}', '{"t": "new", "a": 1}'),
        ('{\n  "a": 1\n}', '{\n  "t": "new",\n  "a": 1\n}'),
        ('{"a": {"t": 0}, "t": null}', '{"a": {"t": 0}, "t": "new"}'),
        ('{"a": "}\\",", "t" :[1, {"t": 2}] , "b": 3}', '{"a": "}\\",", "t" :"new" , "b": 3}'),
        ('\ufeff{"\\u0074": "old"}', '\ufeff{"\\u0074": "new"}'),
    ],
    ids=["empty", "empty lines", "one line", "lines", "inner", "values", "escaped"],
)
def test_one_member_of_a_text_is_set(before: str, after: str) -> None:
    assert with_member(before, "t", "new") == after


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    members=st.dictionaries(st.sampled_from("tab{") | st.text(), JSON),
    indent=st.sampled_from([None, 0, 2, "\t"]),
    ensure_ascii=st.booleans(),
)
def test_all_other_members_of_a_text_stay(
    members: dict[str, Any], indent: int | str | None, ensure_ascii: bool
) -> None:
    text = json.dumps(members, indent=indent, ensure_ascii=ensure_ascii)
    changed = with_member(text, "t", "new")
    assert json.loads(changed) == {**members, "t": "new"}
    if "t" in members:
        assert list(json.loads(changed)) == list(members)


# -- A real browser ------------------------------------------------------------------------------


def program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed: apt install chromium chromium-driver")


@contextmanager
def browser(folder: Path) -> Iterator[Callable[..., Any]]:
    """A headless browser: `command(method, path, body)` of its session, by the W3C protocol."""
    chromium, driver = program("chromium", "chromium-browser"), program("chromedriver")
    log = folder / "driver.log"
    with log.open("w") as out:
        process = subprocess.Popen([driver, "--port=0"], stdout=out, stderr=out)
    try:
        root = f"http://127.0.0.1:{port_in(log)}/session"
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder / 'profile'}",
        ]
        options = {"binary": chromium, "args": flags}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = requests.post(root, json=wanted, timeout=60).json()["value"]["sessionId"]

        def command(method: str, path: str = "", body: Mapping[str, Any] | None = None) -> Any:
            answer = requests.request(method, f"{root}/{session}{path}", json=body, timeout=60)
            answer.raise_for_status()
            return answer.json()["value"]

        yield command
        command("DELETE")
    finally:
        process.terminate()
        process.wait()


def port_in(log: Path) -> str:
    """The port that the driver chose."""
    deadline = time.monotonic() + 30
    while "on port " not in (text := log.read_text().partition("successfully")[2]):
        assert time.monotonic() < deadline, log.read_text()
    return text.partition("on port ")[2].partition(".")[0]


def test_a_person_with_a_browser_logs_in(login: Login, tmp_path: Path) -> None:
    with browser(tmp_path) as command, login.start() as terminal:
        command("POST", "/url", {"url": page_shown(terminal)})
        assert command("GET", "/title") == "Connect to Sandbox"
        button = command("POST", "/element", {"using": "css selector", "value": "#authorize"})
        command("POST", f"/element/{button[WEBDRIVER_ELEMENT]}/click", {})
        terminal.type(command("GET", "/url") + "\n")
        assert terminal.end() == 0, terminal.shown
    assert json.loads(login.config.read_bytes())["access_token"] == "sandbox-token"
