"""Stores files with the tap, and downloads the same ones with nothing around it.

    python bench/attachments.py --files 10000

The sizes are from 0 B to 20 MB, most of them small. A machine with few cores is busy at the 50 ms
latency of the goal; with `--latency 0.2` both wait for the server, as on most ways to a store.

Both are processes that use as many connections with the same timeouts, hash each file, write it to
the disk and rename it. The tap also reads the conversations, one request for each, starts up, and
notes what it stored.

Prints for both the seconds, the processor's time for each file, and the server's, which shares the
processor with them. Then the throughput of the tap as a share of the other, its peak memory, and
whether every byte is equal. With --pairs, both take turns, and the share is the median.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LARGEST = 20_000_000
LATENCY_SECONDS = 0.05
# Different contents, which the files share, so that the server needs little memory.
CONTENTS = 100
CHUNK_BYTES = 1_048_576
GOAL = 0.9
# Headers say so: without them the tap is careful.
NO_RATE_LIMIT = 1_000_000
TIMEOUT = urllib3.Timeout(connect=15, read=30)


@dataclass(frozen=True)
class Run:
    """What a process took. user, system, server: the processor's seconds, also the server's."""

    seconds: float
    user: float
    system: float
    server: float
    megabytes: float
    output: bytes

    def line(self, name: str, files: int) -> str:
        user, system, server = (
            1000 * each / files for each in (self.user, self.system, self.server)
        )
        return (
            f"{name:16} {self.seconds:8.1f} s  {user:5.2f} + {system:5.2f} ms a file, "
            f"server {server:5.2f} ms  peak {self.megabytes:.0f} MB"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=LATENCY_SECONDS, help="seconds")
    parser.add_argument("--pairs", type=int, default=1, help="how often both take turns")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--download", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.files, options.latency)
        return 0
    if options.download:
        download(options.download)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="bench-attachments-"))
    try:
        with served(options.files, options.latency) as server:
            return compare(server, folder, options)
    finally:
        shutil.rmtree(folder)


def compare(server: dict[str, Any], folder: Path, options: argparse.Namespace) -> int:
    from tap_intercom.attachments.keeper import DOWNLOADS_AT_ONCE

    files, pairs = options.files, options.pairs
    size = sum(server["sizes"])
    print(
        f"{files:,} files, {size / 1e6:,.0f} MB, {options.latency * 1000:.0f} ms latency, "
        f"{DOWNLOADS_AT_ONCE} connections; processor's time in the process + in the kernel"
    )
    job = json.dumps({"addresses": server["addresses"], "connections": DOWNLOADS_AT_ONCE})
    tap = prepared(server, folder)
    shares, is_equal = [], True
    for pair in range(pairs):
        runs = {}
        # Whoever is second finds a fuller disk.
        for name in ("bare", "tap") if pair % 2 == 0 else ("tap", "bare"):
            place = folder / "files"
            command = [sys.executable, __file__, "--download", str(place)]
            runs[name] = measured(command if name == "bare" else tap, job.encode(), server["url"])
            is_equal = is_equal and hashes_in(place) == server["hashes"]
            clear(place)
            place.rename(folder / f"{name}-{pair}")
        print(runs["bare"].line("bare downloader", files))
        print(runs["tap"].line("tap", files), flush=True)
        shares.append(runs["bare"].seconds / runs["tap"].seconds)
        is_equal = is_equal and rows_in(runs["tap"].output) == server["hashes"]
    share = statistics.median(shares)
    print(
        f"throughput       {share:8.0%}    (goal: at least {GOAL:.0%}; "
        f"from {min(shares):.0%} to {max(shares):.0%})\n"
        f"every byte equal: {'yes' if is_equal else 'NO'}"
    )
    return 0 if is_equal and share >= GOAL else 1


# -- The server ----------------------------------------------------------------------------------


def serve(count: int, latency: float) -> None:
    """Serve conversations with a file each until stdin ends, and print where."""
    from intercom_sandbox import Sandbox, Workspace

    chance = random.Random(1)
    # Evenly spread over the powers of ten, and an empty one.
    sizes = [int(10 ** chance.uniform(0, 7.3)) for _ in range(CONTENTS - 2)]
    contents = [chance.randbytes(size) for size in (0, *sizes, LARGEST)]
    hashes = [hashlib.sha256(each).hexdigest() for each in contents]
    workspace = Workspace()
    files = []
    for number in range(count):
        # One of the largest for each hundred files.
        files.append(workspace.add_file(content=contents[number % CONTENTS], name=f"{number}.bin"))
        workspace.reply(workspace.add_conversation(), attachments=files[-1:])
    with Sandbox(workspace, latency=latency, rate_limit=NO_RATE_LIMIT) as sandbox:
        urls = json.dumps([each["url"] for each in files]).encode()
        addresses = json.loads(workspace.files.signed(urls, sandbox.url, time.time()))
        said = {
            "url": sandbox.url,
            "token": sandbox.token,
            "addresses": addresses,
            "sizes": [each["filesize"] for each in files],
            "hashes": sorted(hashes[number % CONTENTS] for number in range(count)),
        }
        print(json.dumps(said), flush=True)
        sys.stdin.read()


@contextmanager
def served(count: int, latency: float) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", "--files", str(count), "--latency", str(latency)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


def seconds_of(url: str) -> float:
    """Return the processor's time that the server took until now."""
    answer = urllib3.request("GET", f"{url}/_sandbox/statistics")
    return float(answer.json()["cpu_seconds"])


# -- Both ways -----------------------------------------------------------------------------------


def download(folder: Path) -> None:
    """Download each address of stdin with a pool of connections, and nothing else."""
    job = json.load(sys.stdin)
    folder.mkdir()
    pool = urllib3.PoolManager(maxsize=job["connections"], timeout=TIMEOUT)

    def fetch(address: str) -> str:
        found = hashlib.sha256()
        path = folder / hashlib.sha256(address.encode()).hexdigest()
        temporary = f"{path}.part"
        response = pool.request("GET", address, preload_content=False)
        assert response.status == 200
        with open(temporary, "wb") as file:
            for piece in response.stream(CHUNK_BYTES):
                found.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        response.release_conn()
        os.replace(temporary, path)
        return found.hexdigest()

    with ThreadPoolExecutor(job["connections"]) as threads:
        print("\n".join(threads.map(fetch, job["addresses"])))


def prepared(server: dict[str, Any], folder: Path) -> list[str]:
    """Return the command of a run of the tap that stores all files."""
    config = {
        "access_token": server["token"],
        "base_url": server["url"],
        "start_date": "2020-01-01",
        "attachments_dir": str(folder / "files"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    tap = [sys.executable, "-c", "from tap_intercom.cli import run; run()"]
    tap += ["--config", str(folder / "config.json")]
    catalog = json.loads(measured([*tap, "--discover"]).output)
    for entry in catalog["streams"]:
        (table,) = [each["metadata"] for each in entry["metadata"] if not each["breadcrumb"]]
        table["selected"] = entry["tap_stream_id"] == "attachments"
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return [*tap, "--catalog", str(folder / "catalog.json")]


def measured(command: list[str], given: bytes = b"", server: str | None = None) -> Run:
    served_before = seconds_of(server) if server else 0.0
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
        stdin.write(given)
        stdin.seek(0)
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, cwd=ROOT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
        stdout.seek(0)
        output = stdout.read()
    return Run(
        seconds,
        usage.ru_utime,
        usage.ru_stime,
        seconds_of(server) - served_before if server else 0.0,
        usage.ru_maxrss / 1024,
        output,
    )


# -- What came -----------------------------------------------------------------------------------


def hashes_in(folder: Path) -> list[str]:
    """Return the hashes of all files that a user sees."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if ".tap-intercom" not in path.parts
    )


def clear(folder: Path) -> None:
    """Give the room of all files back, and wait for that.

    They are not deleted: for minutes, the file system would search around what was deleted.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    os.sync()


def rows_in(output: bytes) -> list[str]:
    """Return the hashes that the rows of the tap say."""
    messages = map(json.loads, output.splitlines())
    rows = [each["record"] for each in messages if each["type"] == "RECORD"]
    return sorted(row["sha256"] for row in {row["id"]: row for row in rows}.values())


if __name__ == "__main__":
    sys.exit(main())
