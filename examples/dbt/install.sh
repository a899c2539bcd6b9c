#!/bin/sh
# Install the tap, a target and dbt, each in its own environment, because their dependencies conflict.
set -eu
cd "$(dirname "$0")"

install() {
    name=$1
    shift
    "${PYTHON:-python3}" -m venv ".environments/$name"
    ".environments/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
}

install tap '../..[sandbox]'
install target -r ../../tests/targets/duckdb.txt
install dbt -r requirements.txt
