"""Files come from the public web over https only, and never from inside a network."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tap_intercom.attachments.addresses import (
    Place,
    RefusedError,
    UnknownHostError,
    checked_address,
    is_public,
    place_of,
)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://a.example/x", Place("https", "a.example", 443, "/x")),
        ("https://a.example", Place("https", "a.example", 443, "/")),
        ("https://A.Example.:8443/x?b=c#d", Place("https", "a.example", 8443, "/x?b=c")),
        ("https://a.example/a b?c d", Place("https", "a.example", 443, "/a%20b?c%20d")),
        ("https://user:secret@a.example/", Place("https", "a.example", 443, "/")),
        ("https://例え.jp/é", Place("https", "xn--r8jz45g.jp", 443, "/é")),
        ("http://127.0.0.1:8080/x", Place("http", "127.0.0.1", 8080, "/x")),
        ("http://[::1]/x", Place("http", "::1", 80, "/x")),
    ],
)
def test_an_address_has_parts(url: str, place: Place) -> None:
    assert place_of(url, allows_loopback=True) == place


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "there is no address"),
        ("http://a.example/x", "http is not https"),
        ("http://127.0.0.1/x", "http is not https"),
        ("file:///etc/passwd", "not a URL"),
        ("ftp://a.example/x", "ftp is not https"),
        ("//a.example/x", "not https"),
        ("https:///x", "not a URL"),
        ("https://[broken/x", "not a URL"),
        (f"https://{'é' * 70}.example/", "not a URL"),
        ("https://a.example:99999/", "not a URL"),
        ("https://a.example/x\r\nHost: b.example", "not a URL"),
        ("https://a.example/\0", "not a URL"),
    ],
)
def test_an_address_that_may_not_be_asked_is_refused(url: str, text: str) -> None:
    with pytest.raises(RefusedError, match=text):
        place_of(url, allows_loopback=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_of_the_web_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:a00:1::"),
    ],
)
def test_an_address_inside_a_network_is_not_public(address: str) -> None:
    assert not is_public(address)


def looked_up(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def look_up(*arguments: Any, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


PLACE = Place("https", "a.example", 443, "/")


def test_a_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up(monkeypatch, "8.8.8.8", "8.8.4.4")
    assert checked_address(PLACE, allows_loopback=False) == "8.8.8.8"


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("127.0.0.1",)])
def test_a_name_of_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    looked_up(monkeypatch, *addresses)
    with pytest.raises(RefusedError, match="not a public address"):
        checked_address(PLACE, allows_loopback=False)


def test_this_machine_may_be_asked_only_if_intercom_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up(monkeypatch, "127.0.0.1")
    assert checked_address(PLACE, allows_loopback=True) == "127.0.0.1"
    looked_up(monkeypatch, "10.0.0.1")
    with pytest.raises(RefusedError):
        checked_address(PLACE, allows_loopback=True)


def test_a_name_without_an_address_is_not_refused_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(*arguments: Any, **more: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(UnknownHostError, match="has no address"):
        checked_address(PLACE, allows_loopback=False)
