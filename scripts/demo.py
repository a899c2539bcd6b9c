"""From a local Intercom into a DuckDB file and back to compare: `make demo`.

Discovers, selects every stream, syncs, edits the sandbox, syncs again from the state that the
target gave. Exits 1 when the database and the sandbox do not hold the same number of records.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

Command = list[str | Path]

ROOT = Path(__file__).parent.parent
TAP = Path(sys.executable).with_name("tap-intercom")
TARGET_BIN = ROOT / ".venv-targets" / "duckdb" / "bin"
FOLDER = ROOT / ".demo"
CONFIG = FOLDER / "config.json"
CATALOG = FOLDER / "catalog.json"
STATE = FOLDER / "state.json"
DATABASE = FOLDER / "intercom.duckdb"
TARGET_CONFIG = FOLDER / "target.json"
SELECT = """
import duckdb, json, sys
print(json.dumps(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall()))
"""


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    # The metadata columns keep DuckDB from taking the first row for a header: see the pins in
    # tests/targets/duckdb.txt.
    target_config = {
        "path": str(DATABASE),
        "database": DATABASE.stem,
        "default_target_schema": "main",
        "add_metadata_columns": True,
        "validate_records": True,
    }
    TARGET_CONFIG.write_text(json.dumps(target_config))
    with sandbox() as url:
        streams = discover()
        print(f"\nFirst run: {len(streams)} streams into {DATABASE.relative_to(ROOT)}")
        emitted = sync()
        is_equal = compare(url, streams, emitted)

        name = edit(url)
        print("\nSecond run, from the state of the first: one new contact, one renamed contact,")
        print("one reply, one new tag. Streams without a bookmark are small and sent in full.")
        emitted = sync("--state", str(STATE))
        is_equal = compare(url, streams, emitted) and is_equal
        renamed = select(f"select count(*) from contacts where name = '{name}'")[0][0]
    print("\nEverything arrived." if is_equal and renamed else "\nThe database differs.")
    return 0 if is_equal and renamed else 1


@contextmanager
def sandbox() -> Iterator[str]:
    """Serve a local Intercom; gives its URL."""
    command: Command = [TAP, "sandbox", "--port", "0", "--write-config", CONFIG]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        # Someone must read on, or the sandbox would stop once the pipe is full.
        reader = threading.Thread(target=shutil.copyfileobj, args=(process.stderr, sys.stderr))
        try:
            # It says when it listens, and has written the config by then.
            for line in process.stderr:
                print(line, end="")
                if CONFIG.exists():
                    break
            else:
                raise SystemExit("The sandbox did not start.")
            reader.start()
            yield json.loads(CONFIG.read_text())["base_url"]
        finally:
            process.terminate()
            if reader.ident:
                reader.join()


def discover() -> list[str]:
    """Write the catalog as it is discovered; gives the streams that it selects, the core ones."""
    command: Command = [TAP, "--config", CONFIG, "--discover"]
    with (FOLDER / "discover.log").open("w") as log:
        found = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=True)
    CATALOG.write_bytes(found.stdout)
    marks = {
        stream["tap_stream_id"]: entry["metadata"]
        for stream in json.loads(found.stdout)["streams"]
        for entry in stream["metadata"]
        if not entry["breadcrumb"]
    }
    return [name for name, mark in marks.items() if mark["selected-by-default"]]


def sync(*flags: str) -> Counter[str]:
    """Pipe the tap into the target and keep its last state; gives the records of each stream."""
    emitted: Counter[str] = Counter()
    tap_command: Command = [TAP, "--config", CONFIG, "--catalog", CATALOG, *flags]
    target_command: Command = [TARGET_BIN / "target-duckdb", "--config", TARGET_CONFIG]
    states = FOLDER / "states.jsonl"
    with (
        (FOLDER / "tap.log").open("a") as tap_log,
        (FOLDER / "target.log").open("a") as target_log,
        states.open("w") as out,
        subprocess.Popen(
            target_command, stdin=subprocess.PIPE, stdout=out, stderr=target_log
        ) as target,
        subprocess.Popen(tap_command, stdout=subprocess.PIPE, stderr=tap_log) as tap,
    ):
        assert tap.stdout
        assert target.stdin
        with suppress(BrokenPipeError):
            for line in tap.stdout:
                message = json.loads(line)
                if message["type"] == "RECORD":
                    emitted[message["stream"]] += 1
                target.stdin.write(line)
        with suppress(BrokenPipeError):
            target.stdin.close()
    if tap.returncode or target.returncode:
        raise SystemExit(f"tap {tap.returncode}, target {target.returncode}: see {FOLDER}/*.log")
    STATE.write_text(states.read_text().splitlines()[-1])
    return emitted


def compare(url: str, streams: list[str], emitted: Counter[str]) -> bool:
    """Print a table of records, and return whether the database has as many as the sandbox."""
    print(f"\n{'stream':<22}{'records sent':>14}{'in database':>14}{'in Intercom':>14}")
    is_equal = True
    for stream in streams:
        stored = select(f"select count(*) from {stream}")[0][0]
        true = len(request(f"{url}/_sandbox/truth/{stream}"))
        verdict = "equal" if stored == true else "DIFFERENT"
        is_equal = is_equal and stored == true
        print(f"{stream:<22}{emitted[stream]:>14}{stored:>14}{true:>14}  {verdict}")
    return is_equal


def edit(url: str) -> str:
    """Make a few edits in the sandbox; gives the new name of the contact that was renamed."""

    def do(operation: str, **arguments: Any) -> None:
        request(f"{url}/_sandbox/edits", {"operation": operation, "arguments": arguments})

    name = "Renamed for the demo"
    contact = request(f"{url}/_sandbox/truth/contacts")[0]["id"]
    conversation = request(f"{url}/_sandbox/truth/conversations")[0]["id"]
    do("add_contact", name="New for the demo", role="lead")
    do("update_contact", contact_id=contact, name=name)
    do("reply", conversation_id=conversation)
    do("add_tag", name="Demo")
    return name


def request(url: str, body: object = None) -> Any:
    """The JSON answer to a GET, or to a POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data)) as response:
        return json.load(response)


def select(query: str) -> list[list[Any]]:
    """Rows of the database, which only the target's environment can read."""
    command: Command = [TARGET_BIN / "python", "-c", SELECT, DATABASE, query]
    rows: list[list[Any]] = json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    )
    return rows


if __name__ == "__main__":
    sys.exit(main())
