"""Packaging of singer-tap-intercom. Settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
INITIALISER = (ROOT / "tap_intercom" / "__init__.py").read_text(encoding="utf-8")

# Each lower bound is tested (make test-lowest) and has wheels for every supported Python.
REQUIREMENTS = [
    "backoff>=2.2.1,<3",
    "msgspec>=0.19,<1",
    "orjson>=3.10.7,<4",
    "pendulum>=3.2.0,<4",
    "requests>=2.32.2,<3",
    "singer-python>=6.0.1,<7",
    "tqdm>=4.66.3,<5",
    # Older ones unpack 1 MB of an answer to 1 GB at once.
    "urllib3>=2.6.0,<3",
]
SANDBOX_REQUIREMENTS = [
    "aiohttp>=3.10.11,<4",
    "Faker>=30.0.0",
]
# The user adds the package of the store: s3fs, gcsfs, adlfs.
REMOTE_REQUIREMENTS = ["fsspec>=2025.2.0"]
# The same for the store of attachments.
FILES_REQUIREMENTS = REMOTE_REQUIREMENTS
DAGSTER_REQUIREMENTS = ["dagster>=1.13,<2"]
DEVELOPMENT_REQUIREMENTS = [
    *SANDBOX_REQUIREMENTS,
    *REMOTE_REQUIREMENTS,
    "coverage>=7.10",
    "hypothesis>=6.100",
    "jsonschema-rs>=0.30",
    "mypy>=1.13",
    "PyYAML>=6.0.1",
    "pytest>=8.2",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "ruff>=0.9",
    "sqlglot>=26.0",
    "types-PyYAML",
    "types-requests",
    "types-tqdm",
]

setup(
    # "tap-intercom" on the package index is another project.
    name="singer-tap-intercom",
    version=re.findall(r'^__version__ = "(.+)"$', INITIALISER, re.MULTILINE)[0],
    description="A Singer tap that extracts a company's Intercom data",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="tap-intercom contributors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["singer", "tap", "intercom", "elt", "meltano"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Database",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["tap_intercom*", "intercom_sandbox*"]),
    package_data={"tap_intercom": ["py.typed", "schemas/*.json"]},
    install_requires=REQUIREMENTS,
    extras_require={
        "sandbox": SANDBOX_REQUIREMENTS,
        "remote": REMOTE_REQUIREMENTS,
        "files": FILES_REQUIREMENTS,
        "dagster": DAGSTER_REQUIREMENTS,
        "dev": DEVELOPMENT_REQUIREMENTS,
    },
    entry_points={"console_scripts": ["tap-intercom = tap_intercom.cli:run"]},
    zip_safe=False,
)
