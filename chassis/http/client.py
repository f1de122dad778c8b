"""Speaking to the outside: a POST to an address that somebody else has given, and its answer.

The address may be meant to reach what only this machine can reach. So a host is resolved once for
each connection, every address that it has is judged, and the connection goes to one that was
judged, whatever the name means a moment later. Redirects are not followed. All is bounded in time
and size, whatever the peer does: that is `Line`'s.
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
"""Seconds for one attempt, from the look-up of the name to the end of the answer."""
MOST_READ = 4096
"""Bytes of an answer's body that are read."""
LONGEST_URL = 2000
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_UNFIT = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")
_FUTURE = ipaddress.ip_network("240.0.0.0/4")
_UNICAST = ipaddress.ip_network("2000::/3")
"""What has been given out to be public at all, of IPv6."""

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(Exception):
    """An address that is not spoken to; the message is a part of a sentence that says why."""


@dataclass(frozen=True)
class Answer:
    """What came of an attempt: a status, or an error in words, where there was no answer."""

    status: int | None = None
    error: str = ""
    retry_after: float | None = None
    """Seconds for which the receiver wants to be left alone."""


@dataclass(frozen=True)
class Place:
    """Where a URL leads."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str, *, private: bool) -> Place:
        """Read a URL; raises `Forbidden`."""
        if len(url) > LONGEST_URL or _UNFIT.search(url):
            raise Forbidden(f"is no URL of at most {LONGEST_URL} printable ASCII characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Forbidden(f"is no URL: {error}") from None
        if parts.scheme not in (("https", "http") if private else ("https",)):
            raise Forbidden("must begin with https://")
        if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
            raise Forbidden("names no host")
        if "@" in parts.netloc or parts.fragment:
            raise Forbidden("must hold neither a user nor a fragment")
        return cls.of(parts)

    @classmethod
    def of(cls, parts: SplitResult) -> Place:
        """Take the place out of a URL that is trusted; raises `ValueError`."""
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        default = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname or "", parts.port or default, target)

    @property
    def named(self) -> str:
        """The host and the port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"
        )


def addresses_of(host: str, port: int) -> list[str]:
    """Resolve a host that somebody else has named; raises `OSError`."""
    return addresses_in(dns.addresses_of_stranger(host, port, type=socket.SOCK_STREAM))


def addresses_in(found: Iterable[Any]) -> list[str]:
    """Give the addresses that a look-up has found, each once."""
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def asked(
    place: Place,
    addresses: Sequence[str],
    deadline: Deadline,
    most: int,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Ask the first of a place's addresses that takes a connection: a POST of the body, if there is
    one, or else a GET. Who has the answer closes it. Raises `OSError` and `HTTPException`."""
    line = connected(addresses, place.port, deadline, most)
    try:
        stream = Sealed(line, place.host) if place.scheme == "https" else line
        sent = {**(headers or {}), "Host": place.named, "Connection": "close"}
        return exchange(stream, "GET" if body is None else "POST", place.target, body, sent)
    except BaseException:
        line.close()
        raise


def meant(address: str) -> IP:
    """Give the address that is spoken to in the end, where one is wrapped in another.

    Raises `ValueError` for what is no address.
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
    """Refuse an address that is not everybody's, or no single machine's; raises `Forbidden`.

    Where `private` ones are allowed, those of a machine itself and of its networks are; never those
    of a link, where clouds keep their credentials.
    """
    try:
        ip = meant(address)
    except ValueError:
        raise Forbidden(f"leads to {address}, which is no address") from None
    odd = ip.is_multicast or ip.is_unspecified or ip.is_link_local or ip in _FUTURE
    ours = private and (ip.is_loopback or ip.is_private)
    if odd or not (ours or _is_public(ip)):
        raise Forbidden(f"leads to {address}, which is not a public address")


def _is_public(ip: IP) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        return ip in _UNICAST and ip.is_global
    return ip.is_global


class HttpClient:
    """Posts to places outside; `private` allows those inside too, and http."""

    def __init__(self, *, private: bool = False, within: float = WITHIN) -> None:
        self.private = private
        self.within = within

    def check(self, url: str) -> None:
        """Refuse a URL that would not be spoken to now; raises `Forbidden`."""
        place = Place.parse(url, private=self.private)
        try:
            self._judged(place, Deadline(self.within))
        except (OSError, UnicodeError) as error:
            raise Forbidden(f"names a host that cannot be found: {error}") from None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once; whatever goes wrong is in the answer."""
        deadline = Deadline(self.within)
        try:
            place = Place.parse(url, private=self.private)
            addresses = self._judged(place, deadline)
            sent = asked(place, addresses, deadline, MOST_READ, body=body, headers=headers)
            with closing(sent) as answer:
                with suppress(Exception):  # the status says it all, whatever comes after it
                    answer.read(MOST_READ)
                pause = answer.headers.get("Retry-After", "")
                return Answer(answer.status, retry_after=_seconds(pause))
        except Forbidden as error:
            return Answer(error=f"The URL {error}.")
        except Exception as error:  # a receiver may do anything
            return Answer(error=f"{type(error).__name__}: {error}"[:300])

    def _judged(self, place: Place, deadline: Deadline) -> list[str]:
        """Resolve a host once, and judge every address that it has."""
        with deadline.cutting_off():
            found = addresses_of(place.host, place.port)
        for address in found:
            judge(address, private=self.private)
        if not found:
            raise OSError("it has no address")
        return found


def _seconds(text: str) -> float | None:
    """Read a Retry-After header: so many seconds, or until a moment; None where it says neither."""
    said = text.strip()
    if re.fullmatch(r"[0-9]+", said):
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return None
