"""Break each promise of docs/guarantees.md on purpose, and see that a test notices.

    python tests/mutations/mutate.py [PROMISE ...]      for example 6.4; without one, all

Each entry of mutations.json is applied to a copy of the repository: `old` must be there exactly
once, and becomes `new`. Its `tests` must then fail. Exits with 1 when they pass in spite of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MUTATIONS = Path(__file__).with_name("mutations.json")
COPIED = (
    *("tap_intercom", "intercom_sandbox", "tests", "scripts", "docs", "examples", "plugin"),
    *("pyproject.toml", "setup.py", "README.md"),
)
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
TIMEOUT_SECONDS = 600


def is_noticed(mutation: dict[str, Any]) -> bool:
    """Whether the tests fail with the mutation in place."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, copy / name)
        file = copy / mutation["file"]
        text = file.read_text(encoding="utf-8")
        count = text.count(mutation["old"])
        if count != 1:
            raise SystemExit(f"{mutation['broken']}: found {count} times in {mutation['file']}")
        file.write_text(text.replace(mutation["old"], mutation["new"]), encoding="utf-8")
        tests = subprocess.run(
            [*PYTEST, *mutation["tests"]],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
        )
        if tests.returncode not in (0, 1):
            raise SystemExit(f"{mutation['broken']}: pytest did not run: {tests.stdout.decode()}")
        return tests.returncode == 1


def main(promises: list[str]) -> int:
    mutations = json.loads(MUTATIONS.read_text(encoding="utf-8"))
    wanted = [each for each in mutations if not promises or each["promise"] in promises]
    unnoticed = 0
    for mutation in wanted:
        noticed = is_noticed(mutation)
        unnoticed += not noticed
        verdict = "noticed" if noticed else "NOT NOTICED"
        print(f"{mutation['promise']:>5}  {verdict:<11}  {mutation['broken']}", flush=True)
    print(f"{len(wanted) - unnoticed} of {len(wanted)} noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
