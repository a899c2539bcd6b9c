"""Try many workspaces on Dagster without an account: three local Intercoms, and `dagster dev`.

It makes a folder with everything that a deployment has, and ends with Ctrl-C.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from contextlib import ExitStack, suppress
from pathlib import Path

from intercom_sandbox import Sandbox, generate

HERE = Path(__file__).resolve().parent
WORKSPACES = ("acme", "globex", "initech")
STREAMS = ("companies", "contacts", "conversation_parts", "conversations", "tags")


def variable_of(workspace: str) -> str:
    return f"{workspace.upper()}_INTERCOM_TOKEN"


def target_jsonl(folder: Path) -> str:
    """The target, installed into its own environment unless it is there."""
    found = shutil.which("target-jsonl")
    if found is None:
        print("Installing target-jsonl", flush=True)
        venv.create(folder / "target", with_pip=True)
        pip = str(folder / "target" / "bin" / "pip")
        subprocess.run([pip, "install", "--quiet", "target-jsonl"], check=True)
        found = str(folder / "target" / "bin" / "target-jsonl")
    return found


def write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def prepare(folder: Path, sandboxes: dict[str, Sandbox], variables: dict[str, str]) -> None:
    """Write the files that definitions.py reads."""
    for name in ("definitions.py", "dagster.yaml"):
        shutil.copy(HERE / name, folder / name)
    registry = {
        name: {
            "token_variable": variable_of(name),
            "settings": {"base_url": sandbox.url},
        }
        for name, sandbox in sandboxes.items()
    }
    write(folder / "workspaces.json", registry)
    write(folder / "config.json", {"start_date": "2020-01-01"})
    for name in sandboxes:
        (folder / "tables" / name).mkdir(parents=True, exist_ok=True)
    tables = f"{folder}/tables/{{workspace}}"
    write(folder / "target.json", {"destination_path": tables, "do_timestamp_file": False})
    first, sandbox = next(iter(sandboxes.items()))
    first_variables = {
        **variables,
        "TAP_INTERCOM_ACCESS_TOKEN": variables[variable_of(first)],
        "TAP_INTERCOM_START_DATE": "2020-01-01",
        "TAP_INTERCOM_BASE_URL": sandbox.url,
    }
    tap = [sys.executable, "-c", "from tap_intercom.cli import run; run()"]
    with (folder / "catalog.json").open("w") as catalog:
        discover = [*tap, "--config", "ENV", "--discover"]
        subprocess.run(discover, env=first_variables, stdout=catalog, check=True)
    chosen = [part for stream in STREAMS for part in ("--stream", stream)]
    select = [*tap, "select", "--catalog", str(folder / "catalog.json"), "--no-stream", "*"]
    subprocess.run([*select, *chosen], env=first_variables, check=True)


def run_until_signal(command: list[str], folder: Path, variables: dict[str, str]) -> None:
    """Run a program; end it with all its children, also if a signal reaches only this one."""
    with (
        subprocess.Popen(command, env=variables, cwd=folder, start_new_session=True) as process,
        suppress(KeyboardInterrupt),
    ):
        try:
            process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("dagster-example"))
    parser.add_argument("--port", default="3000", help="port of the page (default: 3000)")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        sandboxes = {
            name: stack.enter_context(
                Sandbox(generate(seed=seed, contacts=40, conversations=20), token=f"{name}-token")
            )
            for seed, name in enumerate(WORKSPACES, start=1)
        }
        variables = {
            **os.environ,
            **{variable_of(name): sandbox.token for name, sandbox in sandboxes.items()},
            "DAGSTER_HOME": str(folder),
            "TARGET_JSONL": target_jsonl(folder),
        }
        prepare(folder, sandboxes, variables)
        print(f"Open http://127.0.0.1:{options.port}/asset-groups", flush=True)
        # Beside this interpreter, where pip put it.
        dagster = Path(sys.executable).with_name("dagster")
        command = [str(dagster), "dev", "-f", "definitions.py"]
        command += ["-h", "127.0.0.1", "-p", options.port]
        run_until_signal(command, folder, variables)


if __name__ == "__main__":
    main()
