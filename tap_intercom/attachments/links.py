"""The files that records of Intercom hold, and what identifies each one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import orjson

ATTACHMENT, INLINE_IMAGE, RECORDING = "attachment", "inline_image", "recording"
# The fields of a call with the address of a recording.
RECORDINGS = ("recording_url", "fin_recording_url")
_RECORDING_PATH = re.compile(r"/calls/[^/]+/[^/]+")

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Link:
    """A file of a record.

    parent_stream, parent_id: the table and the id of the record that holds it.
    place: where in the record the file is, if there is more than one list of files.
    position: its place among the files of one list or body, from 0.
    url: the address, which expires.
    updated_at: when the record that is read with its files changed, as Intercom sends it.
    """

    parent_stream: str
    parent_id: str
    kind: str
    position: int
    url: str
    place: str = ""
    conversation_id: str | None = None
    ticket_id: str | None = None
    name: str | None = None
    content_type: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    updated_at: Any = None

    @cached_property
    def id(self) -> str:
        """A key that stays the same when Intercom signs the address again."""
        values = [self.parent_stream, self.parent_id, self.kind, self.place, self.position]
        return hashlib.sha256(orjson.dumps(values)).hexdigest()

    @property
    def record_id(self) -> str:
        """The id of the record that is requested for the file."""
        return self.conversation_id or self.ticket_id or self.parent_id

    @cached_property
    def source(self) -> str:
        """The address without its signature and without a password."""
        return without_signature(self.url)


def without_signature(url: str) -> str:
    """Return an address without query, fragment, user and password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def links_of_conversation(conversation: Record, images_of: Record | None) -> Iterator[Link]:
    """Yield the files of a conversation's first message and of its parts.

    images_of: the same conversation with HTML bodies; None if inline images are not wanted.
    """
    conversation_id = _text(conversation.get("id"))
    known = {
        "conversation_id": conversation_id,
        "updated_at": conversation.get("updated_at"),
    }
    source = conversation.get("source")
    if isinstance(source, Mapping):
        yield from _attachments(source, "conversations", conversation_id, known)
    for part in _entries(conversation.get("conversation_parts"), "conversation_parts", "data"):
        yield from _attachments(part, "conversation_parts", _text(part.get("id")), known)
    if images_of is None:
        return
    source = images_of.get("source")
    if isinstance(source, Mapping):
        yield from _images(source.get("body"), "conversations", conversation_id, known)
    for part in _entries(images_of.get("conversation_parts"), "conversation_parts", "data"):
        yield from _images(part.get("body"), "conversation_parts", _text(part.get("id")), known)


def links_of_ticket(ticket: Record) -> Iterator[Link]:
    """Yield the files of a ticket's attributes and of its parts."""
    ticket_id = _text(ticket.get("id"))
    known = {"ticket_id": ticket_id, "updated_at": ticket.get("updated_at")}
    attributes = ticket.get("ticket_attributes")
    for name, value in attributes.items() if isinstance(attributes, Mapping) else ():
        entries = value if isinstance(value, list) else [value]
        files = [each for each in entries if _is_file(each)]
        if files:
            yield from _files(files, "tickets", ticket_id, {**known, "place": str(name)})
        elif name == "_default_description_":
            yield from _images(value, "tickets", ticket_id, known)
    for part in _entries(ticket.get("ticket_parts"), "ticket_parts", "data"):
        part_id = _text(part.get("id"))
        yield from _attachments(part, "ticket_parts", part_id, known)
        yield from _images(part.get("body"), "ticket_parts", part_id, known)


def links_of_side_conversation(
    side: Record, conversation_id: str, updated_at: Any
) -> Iterator[Link]:
    """Yield the files of the parts of a side conversation."""
    known = {"conversation_id": conversation_id, "updated_at": updated_at}
    for part in _entries(side.get("conversation_parts"), "conversation_parts", "data"):
        part_id = _text(part.get("id"))
        yield from _attachments(part, "side_conversation_parts", part_id, known)
        yield from _images(part.get("body"), "side_conversation_parts", part_id, known)


def links_of_call(call: Record) -> Iterator[Link]:
    """Yield the recordings of a call."""
    conversation_id = call.get("conversation_id")
    for position, field in enumerate(RECORDINGS):
        url = call.get(field)
        if isinstance(url, str) and url:
            yield Link(
                parent_stream="calls",
                parent_id=_text(call.get("id")),
                kind=RECORDING,
                position=position,
                url=url,
                conversation_id=None if conversation_id is None else str(conversation_id),
                name=urlsplit(url).path.rpartition("/")[2] or RECORDING,
                updated_at=call.get("updated_at"),
            )


def path_of_recording(url: str) -> str | None:
    """Return the path of the API that leads to a recording, or None for any other address."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return path if _RECORDING_PATH.fullmatch(path) else None


def _attachments(
    record: Record, stream: str, record_id: str, known: Mapping[str, Any]
) -> Iterator[Link]:
    yield from _files(
        _list(record.get("attachments"), "data", "attachments"), stream, record_id, known
    )


def _files(
    files: Iterable[Any], stream: str, record_id: str, known: Mapping[str, Any]
) -> Iterator[Link]:
    for position, file in enumerate(files):
        if not isinstance(file, Mapping):
            continue
        url = file.get("url")
        yield Link(
            parent_stream=stream,
            parent_id=record_id,
            kind=ATTACHMENT,
            position=position,
            url=url if isinstance(url, str) else "",
            name=_optional(file.get("name"), str),
            content_type=_optional(file.get("content_type"), str),
            size=_optional(file.get("filesize"), int),
            width=_optional(file.get("width"), int),
            height=_optional(file.get("height"), int),
            **known,
        )


def _images(body: Any, stream: str, record_id: str, known: Mapping[str, Any]) -> Iterator[Link]:
    if not isinstance(body, str) or "<img" not in body.lower():
        return
    for position, image in enumerate(images_in(body)):
        try:
            name = unquote(urlsplit(image.url).path).rpartition("/")[2]
        except ValueError:
            name = ""
        yield Link(
            parent_stream=stream,
            parent_id=record_id,
            kind=INLINE_IMAGE,
            position=position,
            url=image.url,
            name=name or None,
            width=image.width,
            height=image.height,
            **known,
        )


@dataclass(frozen=True)
class Image:
    url: str
    width: int | None
    height: int | None


def images_in(html: str) -> list[Image]:
    """Return the images of an HTML text that are at an address of the web, each one once."""
    parser = _ImageParser()
    parser.feed(html)
    parser.close()
    return list(parser.images.values())


class _ImageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: dict[str, Image] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "img":
            return
        given = dict(attrs)
        url = (given.get("src") or "").strip()
        if url.startswith("//"):
            # Mails have such images, which come from where the page does, over https.
            url = f"https:{url}"
        # Images inside the text itself, or inside the mail, cannot be downloaded.
        if url.lower().startswith(("http://", "https://")):
            image = Image(url, _pixels(given.get("width")), _pixels(given.get("height")))
            self.images.setdefault(url, image)


def _pixels(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 7 else None


def _list(value: Any, *keys: str) -> Sequence[Any]:
    """Return a list that may be inside an object, under one of these keys."""
    if isinstance(value, Mapping):
        lists = [value[key] for key in keys if isinstance(value.get(key), list)]
        return max(lists, key=len, default=())
    return value if isinstance(value, list) else ()


def _entries(value: Any, *keys: str) -> list[Record]:
    """Return the records of such a list."""
    return [each for each in _list(value, *keys) if isinstance(each, Mapping)]


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("url"), str)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _optional(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) and not isinstance(value, bool) else None
