"""Stored paths are safe on every file system, and different for different files."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_intercom.attachments.links import ATTACHMENT, INLINE_IMAGE, Link
from tap_intercom.attachments.names import safe_id, safe_name, stored_path, with_hash


def link(name: str | None, **fields: object) -> Link:
    usual = {"parent_stream": "conversation_parts", "parent_id": "7", "kind": ATTACHMENT}
    return Link(**{**usual, "position": 0, "url": "https://a.example/x", **fields}, name=name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("error.png", "error.png"),
        ("", "file"),
        ("..", "file"),
        ("...", "file"),
        (".htaccess", "htaccess"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a/b\\c.png", "a_b_c.png"),
        ("nul\0byte.txt", "nulbyte.txt"),
        ("line\nbreak\t.txt", "line break .txt"),
        ("bell\x07.txt", "bell.txt"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("Lpt1.tar.gz", "_Lpt1.tar.gz"),
        ("COM¹", "_COM¹"),
        ("console.txt", "console.txt"),
        ("ends with dots...", "ends with dots"),
        ("ends with space ", "ends with space"),
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
        ("100%#1.txt", "100__1.txt"),
        ("invoice‮gpj.exe", "invoicegpj.exe"),
        ("‏תמונה.png", "תמונה.png"),
        ("صورة.png", "صورة.png"),
        ("é.png", "é.png"),
        ("\ud800lone.png", "lone.png"),
        ("x" * 300 + ".png", "x" * 176 + ".png"),
        ("ж" * 300 + ".pdf", "ж" * 88 + ".pdf"),
        ("x" * 300, "x" * 180),
    ],
)
def test_a_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_every_name_is_one_part_of_a_path_on_every_file_system(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 181
    assert name not in (".", "..")
    assert not re.search(r'[<>:"/\\|?*\0-\x1f]', name)
    assert not name.endswith((" ", "."))


@given(st.text(max_size=50), st.text(max_size=50))
def test_two_ids_never_share_a_folder(one: str, other: str) -> None:
    if one != other:
        assert safe_id(one).lower() != safe_id(other).lower()


def test_files_of_one_name_have_their_own_paths() -> None:
    ways = product(("7", "8"), (ATTACHMENT, INLINE_IMAGE), (0, 1), ("", "Screenshots"))
    paths = {
        stored_path(link("error.png", parent_id=parent, kind=kind, position=position, place=place))
        for parent, kind, position, place in ways
    }
    assert len(paths) == 16


def test_a_path_says_whose_file_it_is() -> None:
    assert stored_path(link("error.png")) == "conversation_parts/7/0-error.png"
    assert stored_path(link(None)) == "conversation_parts/7/0-attachment"
    image = link("a.gif", kind=INLINE_IMAGE, position=2)
    assert stored_path(image) == "conversation_parts/7/inline_image-2-a.gif"


def test_a_path_has_the_kind_of_file_instead_of_a_name() -> None:
    path = stored_path(link("Ada.png"), "image/png", is_named=False)
    assert path == "conversation_parts/7/0-attachment.png"
    assert stored_path(link("Ada"), None, is_named=False) == "conversation_parts/7/0-attachment"
    assert stored_path(link("A"), "x/../y", is_named=False) == "conversation_parts/7/0-attachment"


def test_another_path_keeps_the_ending() -> None:
    assert (
        with_hash("tickets/1/0-a.png", "0123456789abcdef0") == "tickets/1/0-a-0123456789abcdef.png"
    )
    assert with_hash("tickets/1/0-a", "0123456789abcdef0") == "tickets/1/0-a-0123456789abcdef"
