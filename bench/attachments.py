"""Stores files with the tap, and downloads the same ones with nothing around it.

    python bench/attachments.py --files 10000

The sizes are from 0 B to 20 MB, most of them small, at 50 ms latency. Both use as many connections,
hash each file and rename it. Prints the seconds of both, the throughput of the tap as a share of
the other, its peak memory, and whether every byte is equal. The tap also reads the conversations.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tap_intercom.attachments.keeper import DOWNLOADS_AT_ONCE  # noqa: E402

LARGEST = 20_000_000
LATENCY = 0.05
# Different contents, which the files share, so that the server needs little memory.
CONTENTS = 100
CHUNK_BYTES = 1_048_576
GOAL = 0.9
# Headers say so: without them the tap is careful.
NO_RATE_LIMIT = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.files)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="bench-attachments-"))
    try:
        with served(options.files) as server:
            bare = downloaded(server["addresses"], folder / "bare")
            stored = stored_by_tap(server, folder)
    finally:
        shutil.rmtree(folder)
    share = bare["seconds"] / stored["seconds"]
    is_equal = bare["hashes"] == stored["hashes"]
    print(
        f"{options.files:,} files, {bare['bytes'] / 1e6:,.0f} MB, {LATENCY * 1000:.0f} ms latency, "
        f"{DOWNLOADS_AT_ONCE} connections\n"
        f"bare downloader  {bare['seconds']:8.1f} s\n"
        f"tap              {stored['seconds']:8.1f} s  peak {stored['megabytes']:.0f} MB\n"
        f"throughput       {share:8.0%}    (goal: at least {GOAL:.0%})\n"
        f"every byte equal: {'yes' if is_equal else 'NO'}"
    )
    return 0 if is_equal and share >= GOAL else 1


# -- The server ----------------------------------------------------------------------------------


def serve(count: int) -> None:
    """Serve conversations with a file each until stdin ends, and print where."""
    from intercom_sandbox import Sandbox, Workspace

    chance = random.Random(1)
    # Evenly spread over the powers of ten, and an empty one.
    sizes = [int(10 ** chance.uniform(0, 7.3)) for _ in range(CONTENTS - 2)]
    contents = [chance.randbytes(size) for size in (0, *sizes, LARGEST)]
    workspace = Workspace()
    files = []
    for number in range(count):
        # One of the largest for each hundred files.
        files.append(workspace.add_file(content=contents[number % CONTENTS], name=f"{number}.bin"))
        workspace.reply(workspace.add_conversation(), attachments=files[-1:])
    with Sandbox(workspace, latency=LATENCY, rate_limit=NO_RATE_LIMIT) as sandbox:
        urls = json.dumps([each["url"] for each in files]).encode()
        addresses = json.loads(workspace.files.signed(urls, sandbox.url, time.time()))
        said = {"url": sandbox.url, "token": sandbox.token, "addresses": addresses}
        print(json.dumps(said), flush=True)
        sys.stdin.read()


@contextmanager
def served(count: int) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", "--files", str(count)],
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


# -- Both ways -----------------------------------------------------------------------------------


def downloaded(addresses: list[str], folder: Path) -> dict[str, Any]:
    """Download each address with a pool of connections, and nothing else."""
    folder.mkdir()
    pool = urllib3.PoolManager(maxsize=DOWNLOADS_AT_ONCE)

    def download(address: str) -> tuple[str, int]:
        found, size = hashlib.sha256(), 0
        path = folder / hashlib.sha256(address.encode()).hexdigest()
        temporary = f"{path}.part"
        response = pool.request("GET", address, preload_content=False)
        assert response.status == 200
        with open(temporary, "wb") as file:
            for piece in response.stream(CHUNK_BYTES):
                found.update(piece)
                size += len(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        response.release_conn()
        os.replace(temporary, path)
        return found.hexdigest(), size

    started = time.monotonic()
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as threads:
        results = list(threads.map(download, addresses))
    return {
        "seconds": time.monotonic() - started,
        "hashes": sorted(each for each, _ in results),
        "bytes": sum(size for _, size in results),
    }


def stored_by_tap(server: dict[str, Any], folder: Path) -> dict[str, Any]:
    config = {
        "access_token": server["token"],
        "base_url": server["url"],
        "start_date": "2020-01-01",
        "attachments_dir": str(folder / "files"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    tap = [sys.executable, "-c", "from tap_intercom.cli import run; run()"]
    tap += ["--config", str(folder / "config.json")]
    catalog = json.loads(run([*tap, "--discover"]))
    for entry in catalog["streams"]:
        (table,) = [each["metadata"] for each in entry["metadata"] if not each["breadcrumb"]]
        table["selected"] = entry["tap_stream_id"] == "attachments"
    (folder / "catalog.json").write_text(json.dumps(catalog))
    started = time.monotonic()
    output = run([*tap, "--catalog", str(folder / "catalog.json")])
    seconds = time.monotonic() - started
    messages = map(json.loads, output.splitlines())
    rows = [each["record"] for each in messages if each["type"] == "RECORD"]
    hashes = []
    for row in {row["id"]: row for row in rows}.values():
        hashes.append(hashlib.sha256((folder / "files" / row["path"]).read_bytes()).hexdigest())
        assert hashes[-1] == row["sha256"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"seconds": seconds, "hashes": sorted(hashes), "megabytes": peak / 1024}


def run(command: list[str]) -> bytes:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
