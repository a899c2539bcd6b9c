"""Log in to Intercom through your own OAuth app, and save the access token in the config file.

A person allows the app on Intercom's page, which redirects the browser to an address with a code.
The code is exchanged for a token. Tokens do not expire (API-B1).
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import secrets
import shlex
import sys
import time
import webbrowser
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from tap_intercom import log, messages
from tap_intercom.errors import AuthError, ConfigError, ContractError, ResponseError
from tap_intercom.files import replace_file, with_member
from tap_intercom.intercom.client import Client, Workspace
from tap_intercom.settings import ENVIRONMENT_PREFIX, REGION_URLS, Settings, load

LOGGER = logging.getLogger("tap_intercom")

AUTHORIZE_URLS = {
    "us": "https://app.intercom.com/oauth",
    "eu": "https://app.eu.intercom.com/oauth",
    "au": "https://app.au.intercom.com/oauth",
}
# Apps of every region exchange codes here (API-B1, K26).
EXCHANGE_URL = REGION_URLS["us"]
EXCHANGE_PATH = "/auth/eagle/token"
SIGINT_EXIT_CODE = 130
STDOUT, STDERR = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="JSON file with settings, or ENV; may be repeated, the token goes to the last file",
    )
    parser.add_argument(
        "--no-browser",
        action="store_true",
        help="print the URL of Intercom's page without opening it",
    )
    parser.add_argument(
        "--print-env",
        action="store_true",
        help=f"write `export {ENVIRONMENT_PREFIX}ACCESS_TOKEN=...` to stdout instead of a file; "
        "stdout must not be a terminal",
    )
    parser.add_argument(
        "--authorize-url",
        metavar="URL",
        help="URL of Intercom's page (default: the region's, or the sandbox's if base_url is http://)",
    )


def run(options: argparse.Namespace) -> int:
    """Ask, open the page, take the code and save the token; return the exit code."""
    try:
        return _log_in(options)
    except KeyboardInterrupt:
        _say("")  # ends the line of the question
        LOGGER.warning("login was stopped; nothing changed")
        return SIGINT_EXIT_CODE


def _log_in(options: argparse.Namespace) -> int:
    config = None if options.print_env else _config_file(options.config)
    stdout = _reserved_stdout() if options.print_env else None
    settings = load(options.config, os.environ, now=time.time(), required=())
    log.hide(*settings.secrets)

    app = _app(settings)
    state = secrets.token_urlsafe(24)
    url = _authorize_url(options.authorize_url or _page_of(settings), app, state)
    _say(f"Allow the app to read your workspace, on this page:\n\n  {url}\n")
    if not options.no_browser:
        webbrowser.open(url)
    pasted = _ask("Paste the code, or the whole URL that your browser was sent to")
    token = _exchange(settings, app, code_of(pasted, state))
    workspace = _verified(replace(settings, access_token=token))

    _say(f"Verified: {workspace.name} ({workspace.id}), {workspace.region}, as {workspace.admin}")
    if config is not None:
        _keep(config, token)
        _say(f"The access token is in {config}, which only you can read.")
    if stdout is not None:
        line = f"export {ENVIRONMENT_PREFIX}ACCESS_TOKEN={shlex.quote(token)}\n"
        messages.write(stdout, line.encode())
    return 0


@dataclass(frozen=True)
class App:
    """An app of the Developer Hub; without redirect_uri, Intercom uses its first one."""

    client_id: str
    client_secret: str
    redirect_uri: str | None


def code_of(pasted: str, state: str) -> str:
    """Return the code from pasted text: the code itself, or the redirect address with it.

    Raises AuthError.

    state: the value that the address must contain, or it belongs to another login.
    """
    if "?" not in pasted and "://" not in pasted:
        if not pasted:
            raise AuthError("login: no code was pasted")
        return pasted
    query = dict(parse_qsl(pasted.partition("?")[2].partition("#")[0]))
    if "error" in query:
        raise AuthError(f"login: access was denied on Intercom's page ({query['error']})")
    if "code" not in query:
        raise AuthError("login: the URL contains no code")
    if query.get("state") != state:
        raise AuthError(
            "login: the URL belongs to another login (its state differs); log in again, and paste "
            "the URL that the new page sends you to"
        )
    return query["code"]


def _config_file(sources: list[str]) -> Path:
    """Return the file that gets the token."""
    files = [source for source in sources if source != "ENV"]
    if not files:
        raise ConfigError("config: no file to write the token to; give --config FILE")
    return Path(files[-1])


def _reserved_stdout() -> int:
    """Return a stdout descriptor for the token alone; all else, even a browser's, is on stderr.

    Raises ConfigError if stdout is a terminal, since a token stays in its scroll-back.
    """
    if os.isatty(STDOUT):
        raise ConfigError(
            "--print-env never writes a token to a terminal; "
            'use: eval "$(tap-intercom login --print-env)"'
        )
    descriptor = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    return descriptor


def _app(settings: Settings) -> App:
    """Return the app in the settings, and ask for missing values."""
    client_id = settings.client_id or _ask("Client id of your app")
    client_secret = settings.client_secret or _ask("Client secret (stays hidden)", hidden=True)
    redirect_uri = settings.redirect_uri
    if redirect_uri is None:
        redirect_uri = _ask("Redirect URL (empty: the first of your app)")
    if not client_id or not client_secret:
        raise ConfigError(
            "login: client_id and client_secret are needed: Developer Hub > your app > "
            "Configure > Basic information"
        )
    log.hide(client_secret)
    return App(client_id, client_secret, redirect_uri or None)


def _page_of(settings: Settings) -> str:
    # Only the sandbox has no TLS, and it has the page beside the API; a proxy does not.
    if settings.base_url.startswith("http://"):
        return f"{settings.base_url}/oauth"
    return AUTHORIZE_URLS[settings.region]


def _authorize_url(page: str, app: App, state: str) -> str:
    query = {"client_id": app.client_id, "state": state}
    if app.redirect_uri:
        query["redirect_uri"] = app.redirect_uri
    return f"{page}?{urlencode(query)}"


def _exchange(settings: Settings, app: App, code: str) -> str:
    """Return the access token for a code. Raises AuthError if Intercom does not issue one."""
    is_own_url = settings.base_url not in REGION_URLS.values()
    client = Client(
        replace(
            settings, access_token="", base_url=settings.base_url if is_own_url else EXCHANGE_URL
        )
    )
    form = {"code": code, "client_id": app.client_id, "client_secret": app.client_secret}
    try:
        body = client.post(EXCHANGE_PATH, form).body
    except AuthError as error:
        raise AuthError(f"{error}. Check client_id and client_secret, and log in again.") from error
    except ResponseError as error:
        raise AuthError(
            f"{error}. A code works once and for five minutes: log in again to get a new one."
        ) from error
    token = body.get("access_token") or body.get("token")
    if not isinstance(token, str):
        raise ContractError(f"POST {EXCHANGE_PATH}: the answer contains no access token")
    log.hide(token)
    return token


def _verified(settings: Settings) -> Workspace:
    """Return the workspace of the new token. Raises AuthError if it is not in the region."""
    workspace = Client(settings).open_workspace()
    region = (workspace.region or settings.region).lower()
    if region != settings.region:
        raise AuthError(
            f"login: workspace {workspace.name} ({workspace.id}) is in region {region}, but the "
            f"settings say {settings.region}; set region to {region} and log in again"
        )
    return workspace


def _keep(config: Path, token: str) -> None:
    """Set the token in the config file, which only its owner can read from then on."""
    try:
        text = with_member(config.read_bytes().decode(), "access_token", token)
    except (OSError, ValueError) as error:
        raise ConfigError(f"config: {config} cannot be read: {error}") from error
    replace_file("config", config, text.encode(), mode=0o600)


def _ask(what: str, *, hidden: bool = False) -> str:
    """Ask a person on stderr and return the answer, since stdout is for the token."""
    if hidden and sys.stdin.isatty():
        return getpass.getpass(f"{what}: ").strip()
    print(f"{what}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        _say("")
        raise ConfigError("login: the input ended before an answer; nothing changed")
    return answer.strip()


def _say(text: str) -> None:
    lines = [log.printable(line) for line in text.split("\n")]
    print("\n".join(lines), file=sys.stderr, flush=True)
