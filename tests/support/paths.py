"""Where the files are that tests look at."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
SUPPORT = TESTS / "support"
SCHEMAS = ROOT / "tap_intercom" / "schemas"
# Data that is not part of the repository: tests that need it are skipped without it.
BESIDE = ROOT.parent / "shared"
