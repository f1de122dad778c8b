"""The rate limit: a token bucket for each client, in the memory of a process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

CLIENTS = 10_000
"""Maximum number of clients remembered; the least recently active is forgotten first."""


@dataclass(frozen=True)
class Quota:
    """The remaining quota of a client after a request that was `taken`, or rejected.

    `burst` and `left` are requests; `full_in` is the time until the bucket is full again, and
    `next_in` the time until the next request is accepted (s).
    """

    burst: int
    window: int
    left: int
    full_in: float
    next_in: float
    taken: bool

    def headers(self) -> dict[str, str]:
        """Return the headers of draft-ietf-httpapi-ratelimit-headers, and Retry-After."""
        headers = {
            "RateLimit-Policy": f'"client";q={self.burst};w={self.window}',
            "RateLimit": f'"client";r={self.left};t={math.ceil(self.full_in)}',
        }
        if not self.taken:
            headers["Retry-After"] = str(max(1, math.ceil(self.next_in)))
        return headers


class Rates:
    """Token buckets that hold `burst` tokens and gain `rate` per second; a request takes one."""

    def __init__(
        self,
        rate: float,
        burst: int,
        clients: int = CLIENTS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate = rate
        self.burst = burst
        self.clients = clients
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> Quota:
        """Take a token from the bucket of a client, if there is one."""
        now = self._now()
        tokens, since = self._buckets.get(client, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - since) * self.rate)
        taken = tokens >= 1
        if taken:
            tokens -= 1
        self._buckets[client] = tokens, now
        self._buckets.move_to_end(client)
        if len(self._buckets) > self.clients:
            self._buckets.popitem(last=False)
        return Quota(
            burst=self.burst,
            window=math.ceil(self.burst / self.rate),
            left=int(tokens),
            full_in=(self.burst - tokens) / self.rate,
            next_in=max(0.0, (1 - tokens) / self.rate),
            taken=taken,
        )
