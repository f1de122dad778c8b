"""Reading a JSON document from a file, or from an HTTP server within a bound."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chassis.http.client import Place, addresses_in, asked
from chassis.http.line import Deadline

WITHIN = 5.0
"""Seconds for all of it, whatever the server does."""
LARGEST = 1 << 20
_HEADERS = {"Accept": "application/json", "User-Agent": "Bihuan/1"}


class NotFetched(Exception):
    """The document cannot be had, or is no JSON object; the message says why."""


def fetch(where: str) -> dict[str, Any]:
    """Read a JSON object from a path, or from an address that begins with http; raises
    `NotFetched`. No redirect is followed."""
    try:
        text = _get(where) if where.startswith(("https://", "http://")) else _read(where)
        found = json.loads(text)
    except Exception as error:  # a server may say anything
        raise NotFetched(f"{where}: {error}") from error
    if not isinstance(found, dict):
        raise NotFetched(f"{where}: that is no JSON object")
    return found


def _read(where: str) -> bytes:
    return Path(where).read_bytes()


def _get(where: str) -> bytes:
    deadline = Deadline(WITHIN)
    place = Place.of(urlsplit(where))
    with deadline.cutting_off():
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    addresses = addresses_in(found)  # it is named by the settings, and no stranger's
    with closing(asked(place, addresses, deadline, LARGEST, headers=_HEADERS)) as answer:
        if answer.status != 200:
            raise ValueError(f"the answer is {answer.status}")
        return answer.read(LARGEST)
