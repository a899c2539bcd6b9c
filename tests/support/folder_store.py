"""A store for tests, which several processes share: folder:// is a folder on this machine.

It creates exclusively and replaces atomically, as object stores do. As a program, it runs the
command line of the tap with this store. Environment variables name a file that says what goes
wrong, and the numbers of the tap to replace, so that seconds show what else takes minutes:

    FOLDER_STORE_FAULTS   [{"call": "write", "path": "state.json$", "how": "kill"}]
    FOLDER_STORE_NUMBERS  {"store_lock.POLL_SECONDS": 0.05}
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec

FAULTS, NUMBERS = "FOLDER_STORE_FAULTS", "FOLDER_STORE_NUMBERS"


class FolderStore(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Objects as files."""

    protocol = "folder"
    root_marker = "/"
    creates_exclusively = True

    def cat_file(self, path: str, **how: Any) -> bytes:
        fail_at("read", path)
        return Path(self._strip_protocol(path)).read_bytes()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **how: Any) -> None:
        fail_at("write", path)
        file = Path(self._strip_protocol(path))
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        fresh.write_bytes(value)
        if mode == "create" and self.creates_exclusively:
            try:
                os.link(fresh, file)
            finally:
                fresh.unlink()
        else:
            fresh.replace(file)
        fail_at("written", path)

    def rm_file(self, path: str) -> None:
        fail_at("delete", path)
        Path(self._strip_protocol(path)).unlink()

    def ls(self, path: str, detail: bool = True, **how: Any) -> list[Any]:
        fail_at("list", path)
        files = Path(self._strip_protocol(path)).iterdir()
        names = [str(file) for file in files if not file.name.startswith(".")]
        return [{"name": name, "type": "file"} for name in names] if detail else names

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        os.makedirs(self._strip_protocol(path), exist_ok=exist_ok)


class PlainStore(FolderStore):
    """plain:// always replaces, as stores do that do not know the request."""

    protocol = "plain"
    creates_exclusively = False


def fail_at(call: str, path: str) -> None:
    """Do what the faults say of this call."""
    name = os.environ.get(FAULTS)
    if not name or not os.path.exists(name):
        return
    for fault in json.loads(Path(name).read_text()):
        if fault["call"] == call and re.search(fault["path"], path):
            if fault["how"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault["how"] == "refuse":
                raise PermissionError("Access Denied.")
            raise OSError("We encountered an internal error. Please try again.")


def main() -> None:
    fsspec.register_implementation("folder", FolderStore)
    fsspec.register_implementation("plain", PlainStore)
    for name, number in json.loads(os.environ.get(NUMBERS, "{}")).items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(f"tap_intercom.commands.{module}"), constant, number)
    from tap_intercom.cli import run

    sys.argv[0] = "tap-intercom"
    run()


if __name__ == "__main__":
    main()
