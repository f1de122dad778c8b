"""Read a JSON document from a file, or from an HTTP server within a time limit."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chassis.http.client import Place, addresses_in, send_request
from chassis.http.line import Deadline

WITHIN = 5.0
"""Seconds for the whole request, whatever the server does."""
LARGEST = 1 << 20
_HEADERS = {"Accept": "application/json", "User-Agent": "Bihuan/1"}


class NotFetched(Exception):
    """The document cannot be fetched, or is not a JSON object; the message has the reason."""


def fetch(where: str) -> dict[str, Any]:
    """Read a JSON object from a path or an HTTP URL; raises `NotFetched`. Redirects are not
    followed."""
    try:
        text = _get(where) if where.startswith(("https://", "http://")) else _read(where)
        document = json.loads(text)
    except Exception as error:  # a server may send anything
        raise NotFetched(f"{where}: {error}") from error
    if not isinstance(document, dict):
        raise NotFetched(f"{where}: not a JSON object")
    return document


def _read(where: str) -> bytes:
    return Path(where).read_bytes()


def _get(where: str) -> bytes:
    deadline = Deadline(WITHIN)
    place = Place.of(urlsplit(where))
    with deadline.cutting_off():
        results = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    addresses = addresses_in(results)  # the settings name it, so its addresses need no check
    with closing(send_request(place, addresses, deadline, LARGEST, headers=_HEADERS)) as answer:
        if answer.status != 200:
            raise ValueError(f"the status is {answer.status}")
        return answer.read(LARGEST)
