"""The least that a tap in Python can do with a search: parse each page, write a line per record.

`floor.py URL TOKEN STREAM` requests the pages one after the other and times only what follows each
answer. The stream is contacts or conversations.
Prints `{"records", "requests", "cpu_seconds"}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

import orjson

RECORDS_KEYS = {"contacts": "data", "conversations": "conversations"}
BODY = {
    "query": {"field": "updated_at", "operator": ">", "value": 0},
    "sort": {"field": "updated_at", "order": "ascending"},
}


def main(url: str, token: str, stream: str) -> None:
    head = {"type": "RECORD", "stream": stream, "time_extracted": "2026-01-01T00:00:00Z"}
    prefix = orjson.dumps(head)[:-1] + b',"record":'
    records_key = RECORDS_KEYS[stream]
    connection = HTTPConnection(urlsplit(url).netloc)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Intercom-Version": "2.16",
    }
    out = os.open(os.devnull, os.O_WRONLY)
    seconds, records, requests = 0.0, 0, 0
    pagination: dict[str, object] = {"per_page": 150}
    while True:
        body = json.dumps(BODY | {"pagination": pagination})
        connection.request("POST", f"/{stream}/search", body, headers)
        answer = connection.getresponse().read()
        requests += 1
        started = time.process_time()
        page = orjson.loads(answer)
        lines = [prefix + orjson.dumps(record) + b"}\n" for record in page[records_key]]
        os.write(out, b"".join(lines))
        seconds += time.process_time() - started
        records += len(lines)
        following = page["pages"].get("next")
        if not following:
            break
        pagination["starting_after"] = following["starting_after"]
    print(json.dumps({"records": records, "requests": requests, "cpu_seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
