#!/bin/sh
# Load a local Intercom with sample data into DuckDB, then build and test all models.
set -eu
project=$(cd "$(dirname "$0")" && pwd)
environments=$project/.environments
tap=${TAP:-$environments/tap/bin/tap-intercom}
target=${TARGET:-$environments/target/bin/target-duckdb}
dbt=${DBT:-$environments/dbt/bin/dbt}
data=${DATA:-$project/.data}

mkdir -p "$data"
cd "$data"
rm -f config.json catalog.json state.json* warehouse.duckdb

"$tap" sandbox --write-config config.json &
sandbox=$!
trap 'kill $sandbox' EXIT
trap 'exit 1' INT TERM
while [ ! -s config.json ]; do
    kill -0 $sandbox
    sleep 0.2
done

cat > target.json <<EOF
{"path": "warehouse.duckdb", "database": "warehouse", "default_target_schema": "main", "add_metadata_columns": true}
EOF
"$tap" --config config.json --discover > catalog.json 2> discover.log
"$tap" select --catalog catalog.json --stream articles --stream article_statistics \
    --stream collections --stream help_centers --stream deletions > selection.txt
export TAP_INTERCOM_DETECT_DELETES=table
if ! "$tap" run --config config.json --config ENV --catalog catalog.json --state state.json -- \
    "$target" --config target.json 2> run.log; then
    cat run.log
    exit 1
fi

export INTERCOM_DUCKDB="$data/warehouse.duckdb" DBT_TARGET_PATH="$data/target" DBT_LOG_PATH="$data/logs"
"$dbt" build --project-dir "$project" --profiles-dir "$project"
"$dbt" --quiet show --select first_response_by_team_and_week --limit 5 \
    --project-dir "$project" --profiles-dir "$project"
