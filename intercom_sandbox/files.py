"""Uploaded files: their content, and addresses that are signed and expire."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from urllib.parse import quote

from .calls import Answer, Call, error_answer
from .records import Record

# Records hold this address. An answer replaces it with one of the sandbox that works for a while.
PLACE = b"https://downloads.example.com/"
LIFETIME_SECONDS = 1800
_ADDRESS = re.compile(rb"https://downloads\.example\.com/([^\s\"'<>\\?]+)(\?[^\s\"'<>\\]*)?")
_SECRET = b"sandbox"


@dataclass(frozen=True)
class File:
    content: bytes
    content_type: str


class Files:
    """The files of a workspace. Any thread may call its methods."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._removed: set[str] = set()
        # Part of each signature, so that all addresses can expire at once.
        self._generation = 0

    def __bool__(self) -> bool:
        return bool(self._files)

    def add(
        self,
        content: bytes = b"content",
        name: str = "error.png",
        content_type: str = "image/png",
        **fields: object,
    ) -> Record:
        """Keep a file, and return the attachment that a record shows."""
        key = f"i/{len(self._files) + 1}"
        self._files[key] = File(content, content_type)
        return {
            "type": "upload",
            "name": name,
            "url": f"{PLACE.decode()}{key}/{quote(name, safe='')}",
            "content_type": content_type,
            "filesize": len(content),
            "width": None,
            "height": None,
        } | fields

    def add_known(self, attachment: Record) -> None:
        """Keep content for an attachment that records show already."""
        place = attachment["url"].removeprefix(PLACE.decode()).partition("?")[0]
        content = b"x" * attachment["filesize"]
        self._files[_key(place)] = File(content, attachment["content_type"])

    def remove(self, url: str) -> None:
        """Remove a file; its address stays in the records that show it."""
        self._removed.add(self.key(url))

    def expire(self) -> None:
        """Let all addresses expire that were sent so far."""
        self._generation += 1

    def key(self, url: str) -> str:
        """Return the key of a file by its address, signed or not. Raises KeyError if none is."""
        key = _key(re.sub(r"^https?://[^/]+/(files/)?", "", url).partition("?")[0])
        if key not in self._files:
            raise KeyError(url)
        return key

    def content(self, url: str) -> bytes:
        """Return the content of a file by its address, also of a removed one."""
        return self._files[self.key(url)].content

    def contents(self) -> dict[str, bytes]:
        """Return the content of each file by its key, also of removed ones."""
        return {key: file.content for key, file in self._files.items()}

    def is_removed(self, key: str) -> bool:
        return key in self._removed

    def signed(self, body: bytes, root: str, now: float) -> bytes:
        """Return an answer with addresses that work until they expire."""
        if PLACE not in body:
            return body

        def sign(found: re.Match[bytes]) -> bytes:
            place = found[1].decode()
            expires = int(now) + LIFETIME_SECONDS
            text = f"{root}/files/{place}?expires={expires}&signature={self._sign(place, expires)}"
            return text.encode()

        return _ADDRESS.sub(sign, body)

    def answer(self, call: Call, path: str, now: float) -> Answer:
        """Return a file, as a store of signed addresses does.

        path: as it was sent, with its escapes.
        """
        place = path.removeprefix("/files/")
        if "authorization" in call.headers:
            # A store refuses two ways to sign at once; Intercom's token must not come here.
            return error_answer(400, "invalid_request", "Only one auth mechanism allowed")
        expires = call.query.get("expires", "0")
        is_known = hmac.compare_digest(
            call.query.get("signature", ""), self._sign(place, int(expires))
        )
        if not is_known or int(expires) < now:
            return error_answer(403, "access_denied", "Request has expired")
        file = self._files.get(_key(place))
        if file is None or self.is_removed(_key(place)):
            return error_answer(404, "no_such_key", "The specified key does not exist")
        return Answer(file.content, content_type=file.content_type)

    def _sign(self, place: str, expires: int) -> str:
        text = f"{place}?{expires}#{self._generation}"
        return hmac.new(_SECRET, text.encode(), "sha256").hexdigest()[:32]


def _key(place: str) -> str:
    return place.rpartition("/")[0]
