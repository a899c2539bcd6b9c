"""An S3 server for long tests, looked at without any library of the tap. As a pytest plugin, it
gives the URL of one.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
import requests
from conftest import TIMEOUT_SECONDS
from environments import environment_bin
from target_runs import read_until

# The server wants to know whose a request is, and checks no signature.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


class S3Server:
    """A server with one empty bucket."""

    def __init__(self, url: str) -> None:
        self.url = url
        requests.post(f"{url}/moto-api/reset", timeout=TIMEOUT_SECONDS)
        self.send("PUT", "")

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    def send(self, method: str, key: str, content: bytes = b"") -> requests.Response:
        url = f"{self.url}/bucket/{quote(key)}"
        return requests.request(method, url, data=content, headers=SIGNED, timeout=TIMEOUT_SECONDS)

    def read(self, key: str) -> Any:
        """The content of a JSON object."""
        answer = self.send("GET", key)
        answer.raise_for_status()
        return answer.json()

    def names(self) -> list[str]:
        return re.findall("<Key>(.*?)</Key>", self.send("GET", "").content.decode())


@pytest.fixture(scope="module")
def url_of_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = subprocess.Popen(
        [environment_bin("remote") / "moto_server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path_factory.mktemp("server"),
    )
    try:
        url = read_until(process, "Running on ")
        # Its log of requests must not fill the pipe.
        assert process.stderr is not None
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield url
    finally:
        process.kill()
        process.wait()
    drain.wait()
