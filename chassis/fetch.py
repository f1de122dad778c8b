"""Reading a JSON document from a file, or from an HTTP server within a bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import urllib3

WITHIN = 5.0
"""Seconds for the answer of a server."""
LARGEST = 1 << 20


class NotFetched(Exception):
    """The document cannot be had, or is no JSON object; the message says why."""


def fetch(where: str) -> dict[str, Any]:
    """Read a JSON object from a path, or from an address that begins with http; raises
    `NotFetched`. No redirect is followed."""
    try:
        text = _get(where) if where.startswith(("https://", "http://")) else _read(where)
        found = json.loads(text)
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        raise NotFetched(f"{where}: {error}") from error
    if not isinstance(found, dict):
        raise NotFetched(f"{where}: that is no JSON object")
    return found


def _read(where: str) -> bytes:
    return Path(where).read_bytes()


def _get(where: str) -> bytes:
    answer = urllib3.request(
        "GET", where, timeout=WITHIN, retries=False, redirect=False, preload_content=False
    )
    try:
        if answer.status != 200:
            raise ValueError(f"the answer is {answer.status}")
        return answer.read(LARGEST)
    finally:
        answer.close()
