"""Signatures of webhooks, as Standard Webhooks has them: HMAC-SHA-256 over id, time and body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"
LENGTH = 32
"""Bytes of a secret; the standard asks for 24 to 64."""


def new_secret() -> str:
    """Make a secret."""
    return PREFIX + base64.b64encode(os.urandom(LENGTH)).decode()


def signed(identity: str, at: int, body: bytes, secrets: Iterable[str]) -> Mapping[str, str]:
    """Give the headers of a message sent at a time (s since 1970), signed by each secret."""
    content = f"{identity}.{at}.".encode() + body
    signatures = (
        hmac.digest(base64.b64decode(secret.removeprefix(PREFIX)), content, hashlib.sha256)
        for secret in secrets
    )
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }
