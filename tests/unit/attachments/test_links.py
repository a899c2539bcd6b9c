"""The files that records hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tap_intercom.attachments.links import (
    ATTACHMENT,
    INLINE_IMAGE,
    RECORDING,
    Link,
    images_in,
    links_of_call,
    links_of_conversation,
    links_of_side_conversation,
    links_of_ticket,
    path_of_recording,
    without_signature,
)

ADDRESS = "https://downloads.example.com/i/o/1/error.png"


def file(name: str = "error.png", **fields: Any) -> dict[str, Any]:
    return {
        "type": "upload",
        "name": name,
        "url": f"{ADDRESS}?expires=1700000000&signature=00fe",
        "content_type": "image/png",
        "filesize": 1024,
        "width": 100,
        "height": 50,
    } | fields


def test_the_files_of_a_conversation_are_those_of_its_source_and_its_parts() -> None:
    conversation = {
        "id": 5,
        "updated_at": 17,
        "source": {"attachments": [file("a.png")], "body": "<img src='https://i.example/s.png'>"},
        "conversation_parts": {
            "conversation_parts": [
                {"id": "51", "attachments": [file("b.png"), file("c.png")], "body": None},
                {"id": "52", "attachments": None, "body": '<IMG SRC="https://i.example/p.gif">'},
            ]
        },
    }
    found = list(links_of_conversation(conversation, conversation))
    assert [(each.parent_stream, each.parent_id, each.kind, each.position) for each in found] == [
        ("conversations", "5", ATTACHMENT, 0),
        ("conversation_parts", "51", ATTACHMENT, 0),
        ("conversation_parts", "51", ATTACHMENT, 1),
        ("conversations", "5", INLINE_IMAGE, 0),
        ("conversation_parts", "52", INLINE_IMAGE, 0),
    ]
    assert [each.name for each in found] == ["a.png", "b.png", "c.png", "s.png", "p.gif"]
    assert {(each.conversation_id, each.ticket_id, each.updated_at) for each in found} == {
        ("5", None, 17)
    }
    first = found[0]
    assert (first.size, first.width, first.height) == (1024, 100, 50)
    assert first.content_type == "image/png"
    assert len(list(links_of_conversation(conversation, None))) == 3


def test_the_files_of_a_ticket_are_those_of_its_attributes_and_its_parts() -> None:
    ticket = {
        "id": "9",
        "updated_at": 18,
        "ticket_attributes": {
            "Screenshots": [file("a.png")],
            "Logs": [file("a.png")],
            "Colours": ["red"],
            "One": file("one.png"),
            "Two": {"name": "no file"},
            "_default_title_": "<img src='https://i.example/no.png'>",
            "_default_description_": "<img src='https://i.example/d.png'>",
        },
        "ticket_parts": {
            "ticket_parts": [
                {"id": "91", "attachments": [file()], "body": "<img src='https://i.example/1'>"}
            ]
        },
    }
    found = list(links_of_ticket(ticket))
    assert [(each.parent_stream, each.kind, each.place) for each in found] == [
        ("tickets", ATTACHMENT, "Screenshots"),
        ("tickets", ATTACHMENT, "Logs"),
        ("tickets", ATTACHMENT, "One"),
        ("tickets", INLINE_IMAGE, ""),
        ("ticket_parts", ATTACHMENT, ""),
        ("ticket_parts", INLINE_IMAGE, ""),
    ]
    assert len({each.id for each in found}) == 6
    assert {(each.conversation_id, each.ticket_id) for each in found} == {(None, "9")}


def test_the_files_of_a_side_conversation_belong_to_its_conversation() -> None:
    side = {"conversation_parts": [{"id": "1", "attachments": [file()], "body": "<p>Hi</p>"}]}
    (found,) = links_of_side_conversation(side, "5", 17)
    assert (found.parent_stream, found.parent_id) == ("side_conversation_parts", "1")
    assert (found.conversation_id, found.updated_at) == ("5", 17)


def test_a_call_has_up_to_two_recordings() -> None:
    url = "https://api.intercom.io/calls/4/recording"
    call = {"id": 4, "conversation_id": 5, "updated_at": 19, "recording_url": url}
    (found,) = links_of_call(call)
    assert (found.kind, found.parent_id, found.conversation_id) == (RECORDING, "4", "5")
    assert found.name == "recording"
    both = links_of_call(call | {"fin_recording_url": url.replace("rec", "fin_rec")})
    assert [each.position for each in both] == [0, 1]
    assert path_of_recording(url) == "/calls/4/recording"
    assert path_of_recording("https://a.example/calls/4/a/b") is None


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"id": None, "source": None, "conversation_parts": None},
        {"source": {"attachments": [None, "x", 3]}, "conversation_parts": {"data": [None]}},
        {"conversation_parts": [{"attachments": {"data": []}}]},
    ],
)
def test_odd_records_hold_no_files(odd: dict[str, Any]) -> None:
    assert not list(links_of_conversation(odd, odd))
    assert not list(links_of_ticket(odd | {"ticket_attributes": [], "ticket_parts": None}))


@pytest.mark.parametrize("key", ["data", "attachments"])
def test_files_may_be_in_an_object(key: str) -> None:
    part = {"id": "51", "attachments": {"type": "list", key: [None, file("b.png")]}}
    found = list(links_of_conversation({"id": 5, "conversation_parts": [part]}, None))
    assert [(each.name, each.position) for each in found] == [("b.png", 1)]


def test_a_file_without_an_address_is_still_a_file() -> None:
    (found,) = links_of_conversation({"id": "1", "source": {"attachments": [file(url=None)]}}, None)
    assert found.url == found.source == ""


def test_an_id_does_not_depend_on_the_signature() -> None:
    link = Link("tickets", "1", ATTACHMENT, 0, f"{ADDRESS}?signature=1")
    assert link.id == replace(link, url=f"{ADDRESS}?signature=2", updated_at=3).id
    others = [{"position": 1}, {"parent_id": "2"}, {"place": "x"}, {"kind": INLINE_IMAGE}]
    assert len({link.id, *(replace(link, **each).id for each in others)}) == 5  # type: ignore[arg-type]
    assert link.source == ADDRESS


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@a.example:1/x?signature=1#f", "https://a.example:1/x"),
        ("https://[broken", ""),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert without_signature(url) == shown


def test_only_images_of_the_web_are_found_and_each_once() -> None:
    html = (
        '<p><img src="https://i.example/1.png?a=1&amp;b=2" width="20" height="auto">'
        "<img src=data:image/png;base64,AAAA><img src='cid:1'><img><img src>"
        '<img src="https://i.example/1.png?a=1&amp;b=2"><img src=" http://i.example/2 ">'
        '<img src="//i.example/5.png"><img src="HTTPS://i.example/6.png"><img src="/7.png">'
        '<a href="https://i.example/3.png">3</a><!-- <img src="https://i.example/4.png"> -->'
    )
    found = images_in(html)
    assert [each.url for each in found] == [
        "https://i.example/1.png?a=1&b=2",
        "http://i.example/2",
        "https://i.example/5.png",
        "HTTPS://i.example/6.png",
    ]
    assert (found[0].width, found[0].height) == (20, None)
