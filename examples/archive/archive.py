"""Keep a workspace as an archive: JSON lines, and pages that open from the disk.

Run it again to add what changed since the last run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pages import Pages
from rows import Rows, keep, remove_deleted, write_json_lines

# Without most tables of links, because the records name what they are linked to.
STREAMS = (
    *("admins", "articles", "attachments", "collections", "companies", "company_notes"),
    *("contact_notes", "contacts", "conversation_parts", "conversations", "deletions"),
    *("help_centers", "internal_articles", "segments", "tags", "teams", "ticket_parts"),
    *("ticket_states", "ticket_types", "tickets", "workspace"),
)
# Copies of other tables that discovery leaves out, and that an archive should say in place.
FIELDS = (
    *("company_notes.author.name", "contact_notes.author.name", "tickets.contacts"),
    *("tickets.linked_objects", "tickets.ticket_state.*", "tickets.ticket_type.name"),
)
# With these, a run may have read a part of the workspace, and pages of it are of use.
INCOMPLETE = {3, 4, 5, 130, 143}


class Archive:
    """The folder of an archive. What only the next run needs is in `state`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.files = folder / "files"

    def rows(self) -> Rows:
        return Rows(self.state / "rows.sqlite")

    def read(self, tap: str, configs: list[str], patterns: list[str]) -> int:
        """Run the tap, with this script as its target; gives the exit code."""
        self.state.mkdir(parents=True, exist_ok=True)
        catalog, settings = self.state / "catalog.json", self.state / "settings.json"
        given = [text for config in configs for text in ("--config", config)]
        found = subprocess.run([tap, *given, "--discover"], stdout=subprocess.PIPE)
        if found.returncode:
            return found.returncode
        catalog.write_bytes(found.stdout)
        known = {entry["tap_stream_id"] for entry in json.loads(found.stdout)["streams"]}
        chosen = ["--no-stream", "*"]
        for pattern in (*known.intersection(STREAMS), *patterns):
            chosen += ["--stream", pattern]
        for field in FIELDS:
            chosen += ["--field", field]
        select = [tap, "select", "--catalog", str(catalog), *chosen]
        code = subprocess.run(select, stdout=subprocess.DEVNULL).returncode
        if code:
            return code
        settings.write_text(json.dumps(self._settings("attachments" in known)), encoding="utf-8")
        run = [tap, "run", *given, "--config", str(settings), "--catalog", str(catalog)]
        run += ["--state", str(self.state / "state.json")]
        target = [sys.executable, str(Path(__file__).resolve()), "--take-rows", str(self.folder)]
        return subprocess.run([*run, "--", *target]).returncode

    def _settings(self, has_files: bool) -> dict[str, Any]:
        """What an archive needs beside the settings of the user."""
        settings = {"body_format": "html", "detect_deletes": "table"}
        if has_files:
            settings["attachments_dir"] = str(self.files)
        return settings

    def write(self, *, removes_deleted: bool) -> dict[str, int]:
        """Write the JSON lines and the pages; gives the number of rows of each table."""
        with self.rows() as rows:
            if removes_deleted:
                remove_deleted(rows, self.files)
            counts = write_json_lines(rows, self.folder / "data")
            Pages(rows, self.folder).write_all(counts)
        return counts


def default_tap() -> str:
    """The tap beside this interpreter, where pip puts it, or the one on the path."""
    beside = Path(sys.executable).with_name("tap-intercom")
    return str(beside) if beside.exists() else shutil.which("tap-intercom") or "tap-intercom"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the archive")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--config", action="append", metavar="FILE", help="settings of the tap, or ENV; repeatable"
    )
    source.add_argument(
        "--pages-only", action="store_true", help="write the pages again, and read nothing"
    )
    source.add_argument("--take-rows", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--stream",
        action="append",
        default=[],
        metavar="PATTERN",
        help="read these streams too, such as 'side_conversation*'; repeatable",
    )
    parser.add_argument(
        "--remove-deleted",
        action="store_true",
        help="remove what was deleted in Intercom, instead of marking it",
    )
    parser.add_argument("--tap", default=default_tap(), help="the command tap-intercom")
    options = parser.parse_args()
    # Only its owner may read an archive.
    os.umask(0o077)
    archive = Archive(options.folder.resolve())
    if options.take_rows:
        with archive.rows() as rows:
            keep(sys.stdin, rows, sys.stdout)
        return 0
    code = 0
    if not options.pages_only:
        code = archive.read(options.tap, options.config, options.stream)
    if code not in {0, *INCOMPLETE} or not (archive.state / "rows.sqlite").exists():
        print(f"The archive was not changed; exit code {code or 2}.", file=sys.stderr)
        return code or 2
    counts = archive.write(removes_deleted=options.remove_deleted)
    for stream, count in counts.items():
        print(f"{stream:<30} {count:>10,}")
    if code:
        print(f"The archive is not complete: the tap ended with exit code {code}. Run it again.")
    print(f"Open {archive.folder / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
