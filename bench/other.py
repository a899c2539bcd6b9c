"""Load contacts and conversations with dlt's REST source: `other.py URL TOKEN DATABASE`.

Its own Python starts it.

dlt belongs to another family: one process reads the API and loads the database.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

PAGE_SIZE = 150


def main(url: str, token: str, database: str) -> None:
    dlt = import_module("dlt")
    source = import_module("dlt.sources.rest_api").rest_api_source(source_config(url, token))
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=f"{database}.dlt",
        destination=dlt.destinations.duckdb(database),
        dataset_name="intercom",
    )
    pipeline.run(source)


def source_config(url: str, token: str) -> dict[str, Any]:
    return {
        "client": {
            "base_url": url,
            "headers": {"Intercom-Version": "2.16"},
            "auth": {"type": "bearer", "token": token},
            "paginator": {
                "type": "cursor",
                "cursor_path": "pages.next.starting_after",
                "cursor_body_path": "pagination.starting_after",
            },
        },
        "resource_defaults": {"primary_key": "id", "write_disposition": "merge"},
        "resources": [searched("contacts"), searched("conversations")],
    }


def searched(stream: str) -> dict[str, Any]:
    return {
        "name": stream,
        "endpoint": {
            "path": f"{stream}/search",
            "method": "POST",
            "data_selector": stream if stream == "conversations" else "data",
            "json": {
                "query": {"field": "updated_at", "operator": ">", "value": 0},
                "pagination": {"per_page": PAGE_SIZE},
            },
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
