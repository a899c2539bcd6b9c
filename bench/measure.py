"""Start the sandbox and taps as processes of their own, and measure what a run of a tap takes."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

from intercom_sandbox.options import PERMISSIONS

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".bench"
TAP = Path(sys.executable).with_name("tap-intercom")
PEER = FOLDER / "peer" / "bin" / "python"
PEER_REQUIREMENT = "tap-intercom==2.2.5"
WINDOW_SECONDS = 10
# Taps are told a limit in any case: without one they must take the lowest that Intercom has.
NO_RATE_LIMIT = 1_000_000
_PIPE_BYTES = 1 << 20
_RECORD = b'"RECORD"'
_MEMORY_SAMPLES = 200

Command = Sequence[str | Path]
Result = TypeVar("Result")


@dataclass
class Run:
    """What one run took, and what the sandbox saw of it.

    steady_rate is in requests a second, over all full windows of ten seconds but the first and
    the last, which a run does not fill; None where no window is left. peak_megabytes is never less
    than what the process that starts the run holds, some 30. memory_megabytes: samples along it.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float
    records: int
    first_record_seconds: float | None
    memory_megabytes: list[float] = field(default_factory=list)
    last_state: dict[str, Any] | None = None
    requests: int = 0
    rate_limited: int = 0
    highest_rate_per_window: int = 0
    steady_rate: float | None = None
    sandbox_cpu_seconds: float = 0.0


class Sandbox:
    """A sandbox in its own process."""

    def __init__(self, config: dict[str, Any], latency: float, rate_limit: int) -> None:
        self.config = config
        self.url: str = config["base_url"]
        self.latency = latency
        self.rate_limit = rate_limit

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.url}/_sandbox/{path}", data, method=method)) as answer:
            return json.load(answer)

    def set_latency(self, seconds: float) -> None:
        self.latency = seconds
        self.call("POST", "options", {"latency": seconds})

    def set_rate_limit(self, requests: int) -> None:
        self.rate_limit = requests
        self.call("POST", "options", {"rate_limit": requests})

    def add_tokens(self, tokens: Sequence[str]) -> None:
        """Accept the tokens of other apps, which may read all that the first one may."""
        self.call("POST", "options", {"other_tokens": {key: list(PERMISSIONS) for key in tokens}})

    def edit(self, operation: str, **arguments: Any) -> None:
        self.call("POST", "edits", {"operation": operation, "arguments": arguments})

    def observe(self, run: Run) -> Run:
        """Add what the sandbox counted since the last call of `forget`."""
        statistics = self.call("GET", "statistics")
        run.requests = statistics["requests"]
        run.rate_limited = statistics["rate_limited"]
        run.highest_rate_per_window = statistics["highest_rate_per_window"]
        run.sandbox_cpu_seconds = statistics["cpu_seconds"]
        if self.rate_limit != NO_RATE_LIMIT:
            run.steady_rate = apart(steady_rate_seen, self)
        return run

    def forget(self) -> None:
        self.call("DELETE", "requests")


@contextmanager
def sandbox(latency: float, rate_limit: int, **sizes: int) -> Iterator[Sandbox]:
    config_path = FOLDER / "sandbox.json"
    config_path.unlink(missing_ok=True)
    command: list[str | Path] = [TAP, "sandbox", "--write-config", config_path]
    command += ["--latency", str(latency), "--rate-limit", str(rate_limit)]
    for name, size in sizes.items():
        command += [f"--{name}", str(size)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            # It says when it listens, and has written the config by then; it says no more after.
            if "listens" not in process.stderr.readline():
                raise SystemExit("The sandbox did not start.")
            yield Sandbox(json.loads(config_path.read_text()), latency, rate_limit)
        finally:
            process.terminate()


def run_ours(server: Sandbox, streams: Sequence[str], name: str, **options: Any) -> Run:
    """`options` are settings, and `state` for a state to start from."""
    state = options.pop("state", None)
    config = write(f"{name}.config.json", server.config | options)
    command: list[str | Path] = [TAP, "--config", config]
    catalog = discover(command, streams, name)
    if state is not None:
        command += ["--state", write(f"{name}.state.json", state)]
    server.forget()
    return server.observe(run([*command, "--catalog", catalog], name))


def run_peer(server: Sandbox, streams: Sequence[str], name: str, **options: Any) -> Run:
    """Like `run_ours`, for the tap of PyPI."""
    state = options.pop("state", None)
    settings = {"user_agent": "bench", **server.config, **options}
    config = write(f"{name}.config.json", settings)
    command: list[str | Path] = [PEER, ROOT / "bench" / "peer.py", server.url, "--config", config]
    catalog = discover(command, streams, name)
    if state is not None:
        command += ["--state", write(f"{name}.state.json", state)]
    server.forget()
    return server.observe(run([*command, "--catalog", catalog], name))


def run_floor(server: Sandbox, stream: str = "contacts") -> dict[str, Any]:
    command: Command = [sys.executable, ROOT / "bench" / "floor.py", server.url]
    token = str(server.config["access_token"])
    figures: dict[str, Any] = json.loads(subprocess.check_output([*command, token, stream]))
    return figures


def discover(command: Command, streams: Sequence[str], name: str) -> Path:
    """A catalog that selects these streams with all their fields."""
    with (FOLDER / f"{name}.log").open("wb") as log:
        catalog = json.loads(subprocess.check_output([*command, "--discover"], stderr=log))
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    return write(f"{name}.catalog.json", catalog)


def write(name: str, document: object) -> Path:
    path = FOLDER / name
    path.write_text(json.dumps(document))
    return path


def run(command: Command, name: str) -> Run:
    """Run a tap to its end, reading what it writes as a target would, but only counting it."""
    records, first_record, last_line, rest = 0, None, b"", b""
    memory: list[float] = []
    with (FOLDER / f"{name}.log").open("ab") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout
    output = process.stdout.fileno()
    fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)  # type: ignore[attr-defined, unused-ignore]
    sampled = 0.0
    while data := os.read(output, _PIPE_BYTES):
        lines, newline, rest = (rest + data).rpartition(b"\n")
        if newline:
            records += lines.count(_RECORD)
            last_line = lines[lines.rfind(b"\n") + 1 :]
        now = time.perf_counter() - started
        if first_record is None and records:
            first_record = now
        if now - sampled >= 0.1:
            memory.append(_resident_megabytes(process.pid))
            sampled = now
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"{name}: exit code {process.returncode}; see {FOLDER}/{name}.log")
    message = json.loads(last_line) if last_line.startswith(b"{") else {}
    return Run(
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_megabytes=usage.ru_maxrss / 1024,
        records=records,
        first_record_seconds=first_record,
        memory_megabytes=memory[:: len(memory) // _MEMORY_SAMPLES + 1],
        last_state=message.get("value"),
    )


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that needs much memory in its own process.

    The system counts what this process holds in the peak of each run that it starts.
    """
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def steady_rate_seen(server: Sandbox) -> float | None:
    """See `Run`. The sandbox notes when it answers, a latency after a request was counted."""
    return steady_rate(
        [request["time"] - server.latency for request in server.call("GET", "requests")]
    )


def steady_rate(times: Sequence[float]) -> float | None:
    """Requests a second over the full windows of ten seconds; None where there is none."""
    if not times:
        return None
    first = int(min(times) // WINDOW_SECONDS) + 1
    end = int(max(times) // WINDOW_SECONDS)
    if end <= first:
        return None
    inside = sum(first <= time // WINDOW_SECONDS < end for time in times)
    return inside / ((end - first) * WINDOW_SECONDS)


def install_peer() -> None:
    """Make the environment of the tap of PyPI, with the Python that runs ours."""
    if (PEER.parent / "tap-intercom").exists():
        return
    subprocess.check_call([sys.executable, "-m", "venv", FOLDER / "peer"])
    install: Command = [PEER, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.check_call([*install, PEER_REQUIREMENT])


def _resident_megabytes(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
