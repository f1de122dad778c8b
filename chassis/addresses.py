"""Addresses in settings: networks and origins."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks_of(text: str) -> tuple[Network, ...]:
    """Parse a comma-separated list of addresses and networks; raises `ValueError`."""
    return tuple(ipaddress.ip_network(one) for one in parts_of(text))


def origins_of(text: str) -> frozenset[str]:
    """Parse a comma-separated list of web origins; raises `ValueError`."""
    for one in parts_of(text):
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or one != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"{one!r} is not an origin such as https://pages.example.org")
    return frozenset(parts_of(text))


def parts_of(text: str) -> list[str]:
    """Split a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]
