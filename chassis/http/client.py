"""The HTTP client for URLs that come from users: a POST and its response.

Such a URL may aim at hosts that only this machine can reach (SSRF). So a host is resolved once for
each connection, all its addresses are checked, and the connection goes to a checked address, even
if the name resolves differently a moment later. Redirects are not followed. `Line` bounds time and
size, whatever the peer does.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from time import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

from chassis.http.line import Deadline, Sealed, connected, exchange
from chassis.runtime import dns

WITHIN = 15.0
"""Seconds for one attempt, from the DNS lookup to the end of the response."""
MOST_READ = 4096
"""Maximum bytes of a response body that are read."""
LONGEST_URL = 2000
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_UNFIT = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")
_FUTURE = ipaddress.ip_network("240.0.0.0/4")
_UNICAST = ipaddress.ip_network("2000::/3")
"""The part of IPv6 that is allocated as global unicast."""

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(Exception):
    """An address that must not be called; the message is a part of a sentence with the reason."""


@dataclass(frozen=True)
class Answer:
    """The outcome of an attempt: a status, or the text of an error if there was no response."""

    status: int | None = None
    error: str = ""
    retry_after: float | None = None
    """Seconds to wait before the next attempt, as the receiver asks."""


@dataclass(frozen=True)
class Place:
    """The destination of a URL."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str, *, private: bool) -> Place:
        """Parse a URL; raises `Forbidden`."""
        if len(url) > LONGEST_URL or _UNFIT.search(url):
            raise Forbidden(f"is not a URL of at most {LONGEST_URL} printable ASCII characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Forbidden(f"is not a URL: {error}") from None
        if parts.scheme not in (("https", "http") if private else ("https",)):
            raise Forbidden("must begin with https://")
        if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
            raise Forbidden("names no host")
        if "@" in parts.netloc or parts.fragment:
            raise Forbidden("must hold neither a user nor a fragment")
        return cls.of(parts)

    @classmethod
    def of(cls, parts: SplitResult) -> Place:
        """Return the place of a trusted URL; raises `ValueError`."""
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        default = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname or "", parts.port or default, target)

    @property
    def named(self) -> str:
        """The host and port as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"
        )


def addresses_of(host: str, port: int) -> list[str]:
    """Resolve a host named by a user; raises `OSError`."""
    return addresses_in(dns.addresses_of_stranger(host, port, type=socket.SOCK_STREAM))


def addresses_in(results: Iterable[Any]) -> list[str]:
    """Return the distinct addresses of a DNS lookup."""
    return list(dict.fromkeys(str(address[0]) for *_, address in results))


def send_request(
    place: Place,
    addresses: Sequence[str],
    deadline: Deadline,
    most: int,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Send a request to the first address that accepts a connection: a POST if there is a body, or
    else a GET. The caller closes the response. Raises `OSError` and `HTTPException`."""
    line = connected(addresses, place.port, deadline, most)
    try:
        stream = Sealed(line, place.host) if place.scheme == "https" else line
        sent = {**(headers or {}), "Host": place.named, "Connection": "close"}
        return exchange(stream, "GET" if body is None else "POST", place.target, body, sent)
    except BaseException:
        line.close()
        raise


def meant(address: str) -> IP:
    """Return the effective address, where one address is embedded in another.

    Raises `ValueError` if it is not an address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if any(ip in net for net in _NAT64) or (ip in _COMPATIBLE and int(ip) > 0xFFFF):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def judge(address: str, *, private: bool) -> None:
    """Reject an address that is not public, or not of a single machine; raises `Forbidden`.

    `private` allows loopback and private networks too, but never link-local addresses, where clouds
    serve their credentials.
    """
    try:
        ip = meant(address)
    except ValueError:
        raise Forbidden(f"leads to {address}, which is not an address") from None
    odd = ip.is_multicast or ip.is_unspecified or ip.is_link_local or ip in _FUTURE
    ours = private and (ip.is_loopback or ip.is_private)
    if odd or not (ours or _is_public(ip)):
        raise Forbidden(f"leads to {address}, which is not a public address")


def _is_public(ip: IP) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        return ip in _UNICAST and ip.is_global
    return ip.is_global


class HttpClient:
    """Posts to public addresses; `private` allows private addresses and http too."""

    def __init__(self, *, private: bool = False, within: float = WITHIN) -> None:
        self.private = private
        self.within = within

    def check(self, url: str) -> None:
        """Reject a URL that must not be called; raises `Forbidden`."""
        place = Place.parse(url, private=self.private)
        try:
            self._judged(place, Deadline(self.within))
        except (OSError, UnicodeError) as error:
            raise Forbidden(f"names a host that cannot be found: {error}") from None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once; every error is in the returned `Answer`."""
        deadline = Deadline(self.within)
        try:
            place = Place.parse(url, private=self.private)
            addresses = self._judged(place, deadline)
            sent = send_request(place, addresses, deadline, MOST_READ, body=body, headers=headers)
            with closing(sent) as answer:
                with suppress(Exception):  # the status is enough, whatever comes after it
                    answer.read(MOST_READ)
                pause = answer.headers.get("Retry-After", "")
                return Answer(answer.status, retry_after=_seconds(pause))
        except Forbidden as error:
            return Answer(error=f"The URL {error}.")
        except Exception as error:  # a receiver may send anything
            return Answer(error=f"{type(error).__name__}: {error}"[:300])

    def _judged(self, place: Place, deadline: Deadline) -> list[str]:
        """Resolve a host once, and check all its addresses."""
        with deadline.cutting_off():
            addresses = addresses_of(place.host, place.port)
        for address in addresses:
            judge(address, private=self.private)
        if not addresses:
            raise OSError("the host has no address")
        return addresses


def _seconds(text: str) -> float | None:
    """Parse a Retry-After header, seconds or a date; return seconds, or None if it is neither."""
    value = text.strip()
    if re.fullmatch(r"[0-9]+", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return None
