"""Build the package, install it into empty environments, and sync from the sandbox in each.

For each supported Python on this machine: one environment with the lowest dependencies that
setup.py allows, one with the highest. Run by `make release-check`, which installs build and twine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lowest import lowest

ROOT = Path(__file__).parent.parent
PYTHONS = ("python3.10", "python3.11", "python3.12", "python3.13")
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
SMOKE_STREAMS = {"contacts", "conversations", "conversation_parts", "companies"}
SANDBOX_SECONDS = 60


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        wheel = build(Path(folder))
        constraints = Path(folder) / "lowest.txt"
        constraints.write_text("\n".join(lowest(requirements(wheel))))
        tried = 0
        for python in filter(works, PYTHONS):
            for name, options in (("lowest", ["-c", str(constraints)]), ("highest", [])):
                environment = Path(folder) / f"{python}-{name}"
                install(python, environment, wheel, options)
                print(f"{python}, {name} dependencies: {smoke(environment)}", flush=True)
                shutil.rmtree(environment)
                tried += 1
    if not tried:
        print("no supported Python is on this machine")
    return 0 if tried else 1


def build(folder: Path) -> Path:
    """Make sdist and wheel, check their metadata; returns the wheel, made from the sdist."""
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT))
    made = sorted(folder.glob("*.tar.gz")) + sorted(folder.glob("*.whl"))
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, made))
    print(", ".join(path.name for path in made), flush=True)
    return made[-1]


def requirements(wheel: Path) -> list[str]:
    """The `Requires-Dist` lines of a wheel."""
    shown = run(sys.executable, "-m", "zipfile", "-l", str(wheel))
    (name,) = [line.split()[0] for line in shown.splitlines() if "METADATA" in line]
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "zipfile", "-e", str(wheel), folder)
        text = (Path(folder) / name).read_text(encoding="utf-8")
    field = "Requires-Dist: "
    return [line.removeprefix(field) for line in text.splitlines() if line.startswith(field)]


def works(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0
    except OSError:
        return False


def install(python: str, environment: Path, wheel: Path, options: list[str]) -> None:
    run(python, "-m", "venv", str(environment))
    run(str(environment / "bin" / "python"), *PIP, *options, f"{wheel}[sandbox]")


def smoke(environment: Path) -> str:
    """Sync a few streams from the sandbox; returns what arrived. Raises SystemExit."""
    tap = str(environment / "bin" / "tap-intercom")
    config = environment / "config.json"
    with sandbox(tap, config):
        catalog = json.loads(run(tap, "--config", str(config), "--discover"))
        for entry in catalog["streams"]:
            (table,) = [each for each in entry["metadata"] if not each["breadcrumb"]]
            table["metadata"]["selected"] = entry["tap_stream_id"] in SMOKE_STREAMS
        (environment / "catalog.json").write_text(json.dumps(catalog))
        output = run(tap, "--config", str(config), "--catalog", str(environment / "catalog.json"))
    messages = [json.loads(line) for line in output.splitlines()]
    records = [each["stream"] for each in messages if each["type"] == "RECORD"]
    if set(records) != SMOKE_STREAMS or messages[-1]["type"] != "STATE":
        raise SystemExit(f"{tap}: records of {sorted(set(records))} came")
    return f"{run(tap, '--version').strip()}, {len(records)} records"


@contextmanager
def sandbox(tap: str, config: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [tap, "sandbox", "--write-config", str(config)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        process.stderr.readline()  # it is written when the sandbox listens
        yield
    finally:
        process.terminate()
        process.wait(SANDBOX_SECONDS)


def run(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr}")
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
