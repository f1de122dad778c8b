"""Entity tags and If-Match: optimistic concurrency over HTTP.

A tag identifies a document as the gateway stores it. If the given tag differs, the thing has
changed and the command is rejected here. If it matches, the command carries the document's version,
and the service decides, as it may have a later version.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import Headers

from chassis.errors import Invalid, Rejected, at

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t]*(?:{_TAG})(?:[ \t]*,[ \t]*(?:{_TAG}))*[ \t]*")
NO_THING = "If-Match needs a path that names one thing."
SEEN = "seen_version"


class NotAPrecondition(Rejected):
    """If-Match must be * or entity tags in double quotes, of the thing in the path."""

    status = 400


class PreconditionFailed(Rejected):
    """The thing has changed since the client read it."""

    status = 412


class Contradiction(Invalid):
    """If-Match and the body name different versions."""


def tag_of(document: str) -> str:
    """Return the strong entity tag of a document, without quotes."""
    return hashlib.blake2b(document.encode(), digest_size=12).hexdigest()


def refuse_if_match(headers: Headers) -> None:
    """Reject If-Match where the path names no thing."""
    if "If-Match" in headers:
        raise NotAPrecondition(NO_THING)


def parse_if_match(headers: Headers) -> str | None:
    """Return the If-Match header, or None; raises `NotAPrecondition`."""
    lines = headers.getlist("If-Match")
    text = ", ".join(lines).strip()
    if not lines:
        return None
    if text != "*" and not _TAGS.fullmatch(text):
        raise NotAPrecondition
    return text


def matches(if_match: str, document: str) -> bool:
    """Return whether If-Match matches a document; a weak tag never does."""
    return if_match == "*" or f'"{tag_of(document)}"' in re.findall(_TAG, if_match)


def with_seen(body: dict[str, Any], if_match: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Add the document's version to a body; raises `Contradiction` if the body names another."""
    if if_match == "*":
        return body
    version = shown.get("version", 0)
    if body.get(SEEN) not in (None, version):
        raise Contradiction(errors=[at(SEEN, f"must be {version} by If-Match, or be left out")])
    return {**body, SEEN: version}
