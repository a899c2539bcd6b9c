#!/bin/sh
# Make an archive of a local Intercom with sample data.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=${DATA:-archive-example}

mkdir -p "$data"
rm -f "$data/config.json"
tap-intercom sandbox --files --write-config "$data/config.json" &
sandbox=$!
trap 'kill $sandbox' EXIT
trap 'exit 1' INT TERM
while [ ! -s "$data/config.json" ]; do
    kill -0 $sandbox
    sleep 0.2
done
python "$here/archive.py" --config "$data/config.json" "$data/archive"
