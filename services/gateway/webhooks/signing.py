"""Webhook signatures by Standard Webhooks: HMAC-SHA-256 over id, time and body."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook

LENGTH = 32
"""Length of a secret, in bytes; the standard requires 24 to 64."""


def new_secret() -> str:
    """Return a new random secret."""
    return "whsec_" + base64.b64encode(os.urandom(LENGTH)).decode()


def signed(identity: str, at: int, body: str, secrets: Iterable[str]) -> Mapping[str, str]:
    """Return the headers of a message sent at a time (s since 1970), signed by each secret."""
    time = datetime.fromtimestamp(at, UTC)
    signatures = (Webhook(secret).sign(identity, time, body) for secret in secrets)
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(signatures),
    }
