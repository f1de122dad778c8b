"""Entity tags, and If-Match: who acts on a thing says which state of it they have seen.

A tag stands for a document as the gateway keeps it. Where the tag that is given is not that of the
document, the thing has changed, and nothing is asked of its service. Where it is, the document's
version travels along as the one that was seen, and the service decides: it may know more by now.
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
NO_THING = "There is no one thing here that If-Match could be about."
SEEN = "seen_version"


class NotAPrecondition(Rejected):
    """If-Match holds * or entity tags in double quotes, of the thing that the path names."""

    status = 400


class PreconditionFailed(Rejected):
    """The thing has changed since it was seen."""

    status = 412


class Contradiction(Invalid):
    """If-Match and the body do not speak of the same version."""


def tag_of(document: str) -> str:
    """Give the strong entity tag of a document, without quotes."""
    return hashlib.blake2b(document.encode(), digest_size=12).hexdigest()


def refuse_if_match(headers: Headers) -> None:
    """Refuse If-Match where there is no thing whose state could have been seen."""
    if "If-Match" in headers:
        raise NotAPrecondition(NO_THING)


def parse_if_match(headers: Headers) -> str | None:
    """Read If-Match as it stands, if there is one; raises `NotAPrecondition`."""
    lines = headers.getlist("If-Match")
    text = ", ".join(lines).strip()
    if not lines:
        return None
    if text != "*" and not _TAGS.fullmatch(text):
        raise NotAPrecondition
    return text


def matches(asked: str, document: str) -> bool:
    """Tell whether a document is the one that was seen; a weak tag never says so."""
    return asked == "*" or f'"{tag_of(document)}"' in re.findall(_TAG, asked)


def with_seen(body: dict[str, Any], asked: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a body the version that was seen; raises `Contradiction` if it names another."""
    if asked == "*":
        return body
    version = known.get("version", 0)
    if body.get(SEEN) not in (None, version):
        raise Contradiction(errors=[at(SEEN, f"must be {version} by If-Match, or be left out")])
    return {**body, SEEN: version}
