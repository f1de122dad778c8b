"""The client of a request, behind trusted proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from chassis.addresses import Network, parts_of


class Proxies:
    """Trusted proxies. `X-Forwarded-*` headers from other addresses are ignored."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self.trusted = trusted

    def trusts(self, address: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self.trusted)

    def client_of(self, environ: dict[str, Any]) -> str:
        """Return the address of the client: the last one that is not a trusted proxy."""
        address: str = environ.get("REMOTE_ADDR", "")
        for forwarded in reversed(parts_of(environ.get("HTTP_X_FORWARDED_FOR", ""))):
            if not self.trusts(address):
                break
            address = forwarded
        return address

    def is_encrypted(self, environ: dict[str, Any]) -> bool:
        """Return whether the client uses TLS, as a trusted proxy reports."""
        return environ.get("HTTP_X_FORWARDED_PROTO") == "https" and self.trusts(
            environ.get("REMOTE_ADDR", "")
        )
