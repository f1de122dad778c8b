"""How many requests a client may make: a bucket of tokens for each, in the memory of a process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

CLIENTS = 10_000
"""Clients that are remembered; whoever has not been heard of for longest is forgotten first."""


@dataclass(frozen=True)
class Quota:
    """What is left to a client after a request that was `taken`, or was one too many.

    `burst` and `left` are requests; `full_in` is how long its bucket takes to be full again, and
    `next_in` how long until the next request is taken (s).
    """

    burst: int
    window: int
    left: int
    full_in: float
    next_in: float
    taken: bool

    def headers(self) -> dict[str, str]:
        """Write the quota as draft-ietf-httpapi-ratelimit-headers has it, and Retry-After."""
        made = {
            "RateLimit-Policy": f'"client";q={self.burst};w={self.window}',
            "RateLimit": f'"client";r={self.left};t={math.ceil(self.full_in)}',
        }
        if not self.taken:
            made["Retry-After"] = str(max(1, math.ceil(self.next_in)))
        return made


class Rates:
    """Buckets that hold `burst` tokens and gain `rate` of them a second; a request takes one."""

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
        """Take a token out of a client's bucket, if there is one."""
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
