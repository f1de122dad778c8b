"""A client of RabbitMQ's management API, for accounts, queues and bindings."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from chassis.settings import Misconfigured
from console.exits import Ended

SECONDS = 15.0
"""Timeout of a request."""


class BrokerUnavailable(Ended):
    """A request to the management API failed; the message is one sentence."""


class Management:
    """Calls the management API as an administrator of the broker.

    `uri` is `http(s)://user:password@host:port`, then the virtual host, by default `/`.
    """

    def __init__(self, uri: str) -> None:
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            raise Misconfigured("BROKER_ADMIN_URI is not a URI.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username:
            raise Misconfigured(
                "BROKER_ADMIN_URI must be http://user:password@host:15672, of RabbitMQ's "
                "management API."
            )
        self.place = f"{parts.hostname}:{port}" if port else parts.hostname
        self.vhost = unquote(parts.path.strip("/")) or "/"
        self._base = f"{parts.scheme}://{self.place}/api/"
        account = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        self._headers = urllib3.make_headers(basic_auth=account)
        self._http = urllib3.PoolManager(timeout=SECONDS, retries=False)

    def get(self, *path: str) -> Any:
        """Return a resource, or None if it does not exist."""
        return self._ask("GET", path)

    def put(self, *path: str, **body: Any) -> None:
        """Create or replace a resource."""
        self._ask("PUT", path, body)

    def post(self, *path: str, **body: Any) -> None:
        """Add something."""
        self._ask("POST", path, body)

    def delete(self, *path: str) -> None:
        """Delete a resource, if it exists."""
        self._ask("DELETE", path)

    def _ask(self, method: str, path: tuple[str, ...], body: dict[str, Any] | None = None) -> Any:
        url = self._base + "/".join(quote(part, safe="") for part in path)
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | {"Content-Type": "application/json"}
        try:
            response = self._http.request(method, url, body=data, headers=headers)
        except HTTPError as error:
            raise BrokerUnavailable(
                f"RabbitMQ's management API at {self.place} does not respond: {_why(error)}."
            ) from None
        if response.status == 404:
            return None
        if response.status in (401, 403):
            raise Misconfigured(
                f"The account of BROKER_ADMIN_URI is not an administrator of {self.place}."
            )
        try:
            content = json.loads(response.data or b"null")
        except ValueError:
            raise BrokerUnavailable(f"The server at {self.place} is not RabbitMQ.") from None
        if response.status >= 300:
            reason = content.get("reason") if isinstance(content, dict) else None
            raise BrokerUnavailable(
                f"RabbitMQ refuses to {method} {url}: {reason or response.status}."
            )
        return content


def _why(error: Exception) -> str:
    """Return the system's error text, or the last sentence of an error without the objects in
    it."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return str(error).rpartition(": ")[2].rstrip(".")
