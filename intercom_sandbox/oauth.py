"""Authorization of an app by a person, from the page to the token."""

from __future__ import annotations

import html
from urllib.parse import urlencode
from uuid import uuid4

from .calls import Answer, Call, RefusalError, json_answer
from .options import Options
from .workspace import Workspace

_PAGE = "<!doctype html><title>{title}</title><h1>{title}</h1>{content}"


class Authorization:
    """The codes of one workspace; each can be exchanged once."""

    def __init__(self, workspace: Workspace, options: Options) -> None:
        self.workspace = workspace
        self.options = options
        self._given_at: dict[str, float] = {}

    def page(self, call: Call) -> Answer:
        """Return the page where people allow an app to read their workspace."""
        if call.query.get("client_id") != self.options.client_id:
            return _html_page("Unknown app", "<p>No app has this client_id.</p>", 400)
        query = html.escape(urlencode(self._redirect(call)))
        name = html.escape(self.workspace.app["name"])
        return _html_page(
            f"Connect to {name}",
            f'<p><a id="authorize" href="/oauth/authorize?{query}">Authorize</a></p>'
            f'<p><a id="deny" href="/oauth/deny?{query}">Deny</a></p>',
        )

    def authorize(self, call: Call) -> Answer:
        code = uuid4().hex
        self._given_at[code] = self.workspace.clock()
        return self._redirected(call, {"code": code})

    def deny(self, call: Call) -> Answer:
        return self._redirected(call, {"error": "access_denied"})

    def _redirect(self, call: Call) -> dict[str, str]:
        redirect_uri = call.query.get("redirect_uri") or self.options.redirect_uri
        state = {"state": call.query["state"]} if "state" in call.query else {}
        return {"redirect_uri": redirect_uri} | state

    def _redirected(self, call: Call, outcome: dict[str, str]) -> Answer:
        parameters = self._redirect(call)
        address = parameters.pop("redirect_uri")
        separator = "&" if "?" in address else "?"
        location = f"{address}{separator}{urlencode(outcome | parameters)}"
        return Answer(b"", 302, {"Location": location}, "text/html")

    def exchange_code(self, call: Call) -> Answer:
        form = call.form()
        if (form.get("client_id"), form.get("client_secret")) != (
            self.options.client_id,
            self.options.client_secret,
        ):
            raise RefusalError(401, "unauthorized", "client_id or client_secret is wrong")
        given_at = self._given_at.pop(str(form.get("code")), None)
        if given_at is None or self.workspace.clock() - given_at > self.options.code_lifetime:
            raise RefusalError(400, "bad_request", "The code is wrong, used or expired")
        token = self.options.token
        return json_answer({"token": token, "access_token": token, "token_type": "Bearer"})


def _html_page(title: str, content: str, status: int = 200) -> Answer:
    page = _PAGE.format(title=title, content=content)
    return Answer(page.encode(), status, {}, "text/html")
