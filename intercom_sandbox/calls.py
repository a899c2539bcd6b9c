"""A call to Intercom and its answer, independent of the HTTP library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import orjson


@dataclass(frozen=True)
class Call:
    """A call; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token if kind == "Bearer" else ""

    def number(self, name: str, default: int) -> int:
        """Return a query parameter that counts from 1. Raises RefusalError."""
        try:
            number = int(self.query.get(name, default))
        except ValueError:
            number = 0
        if number < 1:
            raise RefusalError(400, "parameter_invalid", f"{name} must be a positive integer")
        return number

    def json(self) -> Any:
        """Return the parsed body. Raises RefusalError."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            raise RefusalError(400, "bad_request", "Failed to parse the JSON body") from None

    def form(self) -> dict[str, Any]:
        """Return the fields of a form or JSON object in the body. Raises RefusalError."""
        if "json" not in self.headers.get("content-type", ""):
            return dict(parse_qsl(self.body.decode(errors="replace")))
        body = self.json()
        return body if isinstance(body, dict) else {}


@dataclass(frozen=True)
class Answer:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class RefusalError(Exception):
    """An answer with an error body."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = headers or {}

    def answer(self) -> Answer:
        return error_answer(self.status, self.code, self.message, self.headers)


def error_answer(
    status: int, code: str, message: str | None, headers: dict[str, str] | None = None
) -> Answer:
    body = {
        "type": "error.list",
        "request_id": uuid4().hex[:20],
        "errors": [{"code": code, "message": message}],
    }
    return Answer(orjson.dumps(body), status, headers or {})


def json_answer(record: object) -> Answer:
    return Answer(orjson.dumps(record))
