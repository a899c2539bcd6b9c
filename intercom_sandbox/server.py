"""The HTTP side of the sandbox: a server on loopback, with its limits, faults and controls."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from email.utils import formatdate
from types import TracebackType
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from . import record_edits
from .api import Api
from .calls import Answer, Call, error_answer
from .faults import Fault, Faults
from .options import Options
from .records import Record
from .versions import DEFAULT_VERSION, Version
from .workspace import Workspace

_EDITS = (
    "add_",
    "update_",
    "delete_",
    "merge_",
    "archive_",
    "unarchive_",
    "tag_",
    "untag_",
    "attach_",
    "detach_",
    "redact_",
    "link_",
    "unlink_",
    "subscribe_",
    "unsubscribe_",
    "load_",
    "reply",
    "index_now",
)
_STATUS_CODES = {
    400: "client_error",
    401: "unauthorized",
    403: "api_plan_restricted",
    404: "not_found",
    408: "request_timeout",
    410: "contact_merged",
    422: "parameter_invalid",
    429: "rate_limit_exceeded",
    503: "service_unavailable",
}

Hook = Callable[["Sandbox", str, str, int], object]


class RequestRecord(NamedTuple):
    """One request; `status` is 0 without a whole answer, `time` is by the sandbox's clock."""

    method: str
    path: str
    params: dict[str, str]
    json: Any
    status: int
    time: float
    token: str


class RateLimit:
    """Requests counted in windows."""

    def __init__(self) -> None:
        self.window = 0
        self.used = 0

    def take(self, limit: int, now: float, seconds: int) -> bool:
        """Whether one more request is allowed now, in a window of so many seconds."""
        window = int(now // seconds)
        if window != self.window:
            self.window, self.used = window, 0
        if self.used >= limit:
            return False
        self.used += 1
        return True

    def headers(self, limit: int, seconds: int, reset_after: int) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - self.used),
            "X-RateLimit-Reset": str((self.window + 1) * seconds + reset_after),
        }


class Sandbox:
    """A local Intercom as a context manager; it serves from its own thread.

    options: fields of `options.Options`; they may be changed in `.options` while it runs.
    timezone, region: those of the workspace.
    """

    def __init__(
        self,
        workspace: Workspace | None = None,
        token: str = "sandbox-token",
        *,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        self.workspace = workspace if workspace is not None else Workspace()
        if "timezone" in options:
            self.workspace.app["timezone"] = options.pop("timezone")
        if "region" in options:
            self.workspace.app["region"] = options.pop("region")
        self.options = Options(token=token, **options)
        self.api = Api(self.workspace, self.options)
        self.faults = Faults()
        self.requests: list[RequestRecord] = []
        self.port = port
        self._clock = clock
        self.workspace.clock = self.clock
        self.workspace.search_lag = lambda: self.options.search_lag
        self._hooks: list[Hook] = []
        self._rate_limits: dict[str, RateLimit] = defaultdict(RateLimit)
        self._number = 0
        self._by_route: Counter[str] = Counter()
        self._by_window: Counter[int] = Counter()
        self._refused = 0
        self._cpu_start = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return self.options.token

    def clock(self) -> float:
        """Return this Intercom's present time in Unix seconds."""
        return self._clock() + self.options.clock_offset_seconds

    def truth(self, stream: str, version: Version = DEFAULT_VERSION) -> list[Record]:
        """Return all living records of a stream; see `Workspace.truth`."""
        return self.workspace.truth(stream, version)

    def index_now(self) -> None:
        """Show every edit to search immediately."""
        self.workspace.index_now()

    def expire_cursors(self) -> None:
        """Invalidate every search cursor issued so far."""
        self.api.expire_cursors()

    def end_exports(self) -> None:
        """End every pending export job, as time would."""
        self.api.exports.end_jobs()
        self.api.reporting.end_jobs()

    def before_request(self, hook: Hook) -> None:
        """Run `hook(sandbox, method, path, number)` before each request; numbers start at 1."""
        self._hooks.append(hook)

    def clear_requests(self) -> None:
        self.requests.clear()
        self._by_route.clear()
        self._by_window.clear()
        self._refused = 0
        self._cpu_start = time.process_time()

    def statistics(self) -> Record:
        """Return the requests since the start or `clear_requests`, and this process's CPU time."""
        return {
            "cpu_seconds": time.process_time() - self._cpu_start,
            "requests": sum(self._by_route.values()),
            "requests_by_path": dict(self._by_route),
            "rate_limited": self._refused,
            "highest_rate_per_window": max(self._by_window.values(), default=0),
        }

    # Serving

    def __enter__(self) -> Sandbox:
        listening: Future[None] = Future()

        def run() -> None:
            try:
                asyncio.run(self.serve(lambda: listening.set_result(None)))
            except OSError as exc:
                listening.set_exception(exc)

        self._thread = threading.Thread(target=run, name="sandbox", daemon=True)
        self._thread.start()
        listening.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self._thread:
            self._thread.join(10)

    def stop(self) -> None:
        """Stop serving; any thread or signal handler may call this."""
        if self._loop and self._stop:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def serve(self, when_listening: Callable[[], object]) -> None:
        """Serve until `stop`. Raises OSError if the port is taken."""
        self._stop = asyncio.Event()
        self._cpu_start = time.process_time()
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._handle)
        application.on_response_prepare.append(self._prepare)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024)
            await site.start()
            self.port = runner.addresses[0][1]
            self._loop = asyncio.get_running_loop()
            when_listening()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        if not self.options.date_header:
            response.headers.popall("Date", None)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.path, dict(request.query), headers, body)
        if call.path.startswith("/_sandbox/"):
            return _response(self._control(call))
        self._number += 1
        for hook in self._hooks:
            hook(self, call.method, call.path, self._number)
        faults = self.faults.due(call.method, call.path)
        # The store of the files is another service, with no limit.
        is_file = call.path.startswith("/files/")
        limited = None if is_file else self._limited(call.token)
        limit_headers = self._limit_headers(call.token)
        options = self.options
        seconds = options.latency + random.uniform(0, options.latency_jitter)
        seconds += sum(fault.details["seconds"] for fault in faults if fault.kind == "slow")
        if seconds:
            await asyncio.sleep(seconds)
        if limited:
            self._note(call, limited.status)
            return _response(self._with_headers(limited, limit_headers))
        for each in faults:
            if "edit" in each.details:
                each.details["edit"](self.workspace)
        fault = next((each for each in faults if each.kind not in ("slow", "edit")), None)
        answer = self._answer(call, fault, request.rel_url.raw_path)
        if answer is not None:
            answer = self._with_headers(answer, limit_headers)
        if answer is None or (fault and fault.kind in ("reset_midway", "truncated")):
            self._note(call, 0)
            return await _break_off(
                request, answer, reset=fault is None or fault.kind != "truncated"
            )
        self._note(call, answer.status)
        return _response(answer)

    def _answer(self, call: Call, fault: Fault | None, raw_path: str) -> Answer | None:
        """Return the answer, or None for no answer at all."""
        answer = _instead(call, fault) if fault else None
        if fault and (answer is not None or fault.kind == "reset_before"):
            if call.path == "/companies/scroll" and (answer is None or answer.status >= 500):
                self.api.break_scroll()
            return answer
        answer = self._usual_answer(call, raw_path)
        return _spoilt(call, answer, fault) if fault else answer

    def _usual_answer(self, call: Call, raw_path: str) -> Answer:
        files = self.workspace.files
        if not files:
            return self.api.answer(call)
        if call.path.startswith("/files/"):
            return files.answer(call, raw_path, self.clock())
        answer = self.api.answer(call)
        now = self.clock()
        headers = {
            name: files.signed(value.encode(), self.url, now).decode()
            for name, value in answer.headers.items()
        }
        return replace(answer, body=files.signed(answer.body, self.url, now), headers=headers)

    def _limited(self, token: str) -> Answer | None:
        """Count this request, and return the refusal if it exceeds the limit."""
        now = self.clock()
        seconds = self.options.rate_limit_window
        self._by_window[int(now // seconds)] += 1
        limit = self.options.rate_limit
        if limit is None or self._rate_limits[token].take(limit, now, seconds):
            return None
        self._refused += 1
        answer = error_answer(429, "rate_limit_exceeded", "Exceeded rate limit for this app")
        if self.options.retry_after is not None:
            return replace(answer, headers={"Retry-After": str(self.options.retry_after)})
        return answer

    def _limit_headers(self, token: str) -> dict[str, str]:
        options = self.options
        if options.rate_limit is None or not options.rate_limit_headers:
            return {}
        return self._rate_limits[token].headers(
            options.rate_limit, options.rate_limit_window, options.reset_after
        )

    def _with_headers(self, answer: Answer, limit_headers: dict[str, str]) -> Answer:
        date = {"Date": formatdate(self.clock(), usegmt=True)} if self.options.date_header else {}
        return replace(answer, headers=date | limit_headers | answer.headers)

    def _note(self, call: Call, status: int) -> None:
        found = self.api.route(call.method, call.path)
        self._by_route[found[0].name if found else f"{call.method} {call.path}"] += 1
        try:
            body = orjson.loads(call.body) if call.body else None
        except ValueError:
            body = None
        self.requests.append(
            RequestRecord(
                call.method, call.path, call.query, body, status, self.clock(), call.token
            )
        )

    # Controls over HTTP, for a sandbox in another process

    def _control(self, call: Call) -> Answer:
        try:
            result = self._controlled(call)
        except record_edits.EditError as exc:
            return error_answer(400, "bad_request", str(exc))
        except (KeyError, TypeError, ValueError) as exc:
            return error_answer(400, "bad_request", f"{type(exc).__name__}: {exc}")
        return Answer(orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS))

    def _controlled(self, call: Call) -> object:
        arguments = orjson.loads(call.body) if call.body else {}
        match call.method, call.path.removeprefix("/_sandbox/").split("/"):
            case "GET", ["truth", stream]:
                return self.truth(stream)
            case "GET", ["records", table]:
                return record_edits.listed(self.workspace, table)
            case "POST", ["records", table]:
                return record_edits.add(self.workspace, table, arguments)
            case "PATCH", ["records", table, *key]:
                return record_edits.edit(self.workspace, table, "/".join(key), arguments)
            case "DELETE", ["records", table, *key]:
                return record_edits.delete(self.workspace, table, "/".join(key))
            case "POST", ["merges"]:
                return record_edits.merge(self.workspace, arguments["source"], arguments["target"])
            case "GET", ["requests"]:
                return [record._asdict() for record in self.requests]
            case "DELETE", ["requests"]:
                self.clear_requests()
                return None
            case "GET", ["statistics"]:
                return self.statistics()
            case "POST", ["options"]:
                for name, value in arguments.items():
                    if not hasattr(self.options, name):
                        raise KeyError(name)
                    if name == "permissions":
                        value = set(value)
                    elif name == "other_tokens":
                        value = {token: set(each) for token, each in value.items()}
                    setattr(self.options, name, value)
                return None
            case "POST", ["edits"]:
                return {"result": self._edited(self.workspace, arguments)}
            case "POST", ["faults"]:
                edit = arguments.pop("edit", None)
                if edit:
                    arguments["edit"] = lambda workspace: self._edited(workspace, edit)
                self.faults.add(**arguments)
                return None
            case "DELETE", ["faults"]:
                self.faults.clear()
                return None
        raise KeyError(f"{call.method} {call.path}")

    def _edited(self, workspace: Workspace, edit: Record) -> object:
        operation = edit["operation"]
        if not operation.startswith(_EDITS):
            raise KeyError(operation)
        return getattr(workspace, operation)(**edit.get("arguments", {}))


def _instead(call: Call, fault: Fault) -> Answer | None:
    """Return a fault's answer instead of Intercom's, or None if Intercom answers."""
    details = fault.details
    match fault.kind:
        case "status":
            status = int(details["status"])
            code = details.get("code", _STATUS_CODES.get(status, "server_error"))
            answer = error_answer(status, code, details.get("message", "A fault on cue"))
            body = details.get("body")
            if isinstance(body, str):
                answer = Answer(body.encode(), status, content_type="text/html")
            elif body is not None:
                answer = Answer(orjson.dumps(body), status)
            return replace(answer, headers=details.get("headers", {}))
        case "error_body_200":
            return replace(error_answer(500, "server_error", "A fault on cue"), status=200)
        case "dead_cursor":
            return error_answer(400, "client_error", "starting_after is not a valid cursor")
        case "scroll_exists":
            message = "scroll already exists for this workspace"
            return error_answer(400, "scroll_exists", message)
        case "answer":
            status, headers, body = details["answer"](call)
            others = {name: value for name, value in headers.items() if name != "Content-Type"}
            return Answer(body, status, others, headers.get("Content-Type", "application/json"))
    return None


def _spoilt(call: Call, answer: Answer, fault: Fault) -> Answer:
    """Return Intercom's answer with a fault in it."""
    if answer.status != 200:
        return answer
    match fault.kind:
        case "changed":
            body = orjson.loads(answer.body)
            changed = fault.details["change"](body)
            return replace(answer, body=orjson.dumps(body if changed is None else changed))
        case "invalid_json":
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        case "wrong_content_type":
            return replace(answer, content_type="text/html")
        case "null_list":
            record = orjson.loads(answer.body)
            for name, value in record.items():
                if isinstance(value, list):
                    record[name] = None
            return replace(answer, body=orjson.dumps(record))
        case "repeated_cursor":
            record = orjson.loads(answer.body)
            asked = call.query.get("starting_after")
            if call.body:
                asked = (call.json().get("pagination") or {}).get("starting_after")
            if asked and record.get("pages"):
                record["pages"]["next"] = {"page": 2, "starting_after": asked}
            return replace(answer, body=orjson.dumps(record))
    return answer


def _response(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.body,
        status=answer.status,
        headers=answer.headers,
        content_type=answer.content_type,
    )


async def _break_off(
    request: web.Request, answer: Answer | None, *, reset: bool
) -> web.StreamResponse:
    """Send half of an answer, or nothing, and end the connection."""
    response = web.StreamResponse()
    transport = request.transport
    if answer is not None:
        response.set_status(answer.status)
        response.headers.update(answer.headers)
        response.content_type = answer.content_type
        response.content_length = len(answer.body)
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
        while transport and transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
    if transport is not None:
        if reset:
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.close()
    # Cancelling is how a handler of this server leaves the rest of an answer unsent.
    raise asyncio.CancelledError
