"""Which addresses a file may come from: the public web over https, and nothing inside a network.

Anybody who writes to a workspace chooses the address of an image in a message. So a name is looked
up once, each of its addresses is checked, and the connection goes to a checked one.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from tap_intercom.settings import is_loopback

_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedError(Exception):
    """The address of a file is not one to ask."""


class UnknownHostError(Exception):
    """The name of a host has no address at present. is_lasting: nobody has this name."""

    def __init__(self, text: str, *, is_lasting: bool) -> None:
        super().__init__(text)
        self.is_lasting = is_lasting


class Place(NamedTuple):
    """Where to ask for a file: target is path and query."""

    scheme: str
    host: str
    port: int
    target: str


def place_of(url: str, *, allows_loopback: bool) -> Place:
    """Return the parts of an address. Raises RefusedError if it may not be asked.

    allows_loopback: whether this machine may be asked, as for a local Intercom.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        if not host.isascii():
            # As name servers, certificates and requests have it.
            host = host.encode("idna").decode()
    except ValueError:
        raise RefusedError("the address is not a URL") from None
    if not host or not url.isprintable():
        raise RefusedError("the address is not a URL" if url else "there is no address")
    if parts.scheme not in _PORTS:
        raise RefusedError(f"{parts.scheme or 'the address'} is not https")
    if parts.scheme == "http" and not (allows_loopback and is_loopback(host)):
        raise RefusedError("http is not https")
    target = (parts.path or "/").replace(" ", "%20")
    if parts.query:
        target += "?" + parts.query.replace(" ", "%20")
    return Place(parts.scheme, host, port or _PORTS[parts.scheme], target)


def checked_address(place: Place, *, allows_loopback: bool) -> str:
    """Look up a host and return an address to connect to.

    Raises RefusedError if any address of the name is not public, and UnknownHostError.
    """
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise RefusedError("the name of the host is not valid") from None
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"{place.host} has no address: {reason}"
        is_lasting = error.errno == socket.EAI_NONAME
        raise UnknownHostError(text, is_lasting=is_lasting) from error
    addresses = [str(each[4][0]).partition("%")[0] for each in found]
    for address in addresses:
        if not is_public(address) and not (allows_loopback and is_loopback(address)):
            raise RefusedError(f"{place.host} is not a public address")
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether an address is in the public internet, also the one inside a mapped address."""
    address: Address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
