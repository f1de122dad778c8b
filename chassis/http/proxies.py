"""Where a request comes from: past the proxies that are trusted, and by which web page."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from chassis.addresses import Network, parts_of


class Proxies:
    """The proxies whose word is taken for whom they speak; of anyone else it is ignored."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self.trusted = trusted

    def trusts(self, address: str) -> bool:
        """Return whether an address is that of a proxy."""
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self.trusted)

    def client_of(self, environ: dict[str, Any]) -> str:
        """Return the address of the client: the last one that no trusted proxy has."""
        address: str = environ.get("REMOTE_ADDR", "")
        for said in reversed(parts_of(environ.get("HTTP_X_FORWARDED_FOR", ""))):
            if not self.trusts(address):
                break
            address = said
        return address

    def is_encrypted(self, environ: dict[str, Any]) -> bool:
        """Return whether the client speaks TLS, by the word of a trusted proxy."""
        return environ.get("HTTP_X_FORWARDED_PROTO") == "https" and self.trusts(
            environ.get("REMOTE_ADDR", "")
        )
