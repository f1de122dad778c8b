"""A client of the gateway with retries: every write is repeated with its idempotency key until
there is a response."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError

from chassis.runtime.green import pause
from console.exits import Ended

TOO_MANY = 429
"""The status of a request above the rate limit, which may be repeated."""


class Refused(Ended):
    """The gateway rejected the request."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem


class Unanswered(Ended):
    """No gateway has responded within the patience of this client."""


class Client:
    """Calls a gateway, or several in turn: one that does not respond is skipped.

    `patience` is how long it repeats one request, in seconds; `token` is its bearer token.
    """

    def __init__(
        self, *bases: str, token: str = "", connections: int = 128, patience: float = 120.0
    ) -> None:
        self.bases = bases
        self.token = token
        self.patience = patience
        self._next = cycle(bases)
        self._http = urllib3.PoolManager(maxsize=connections, retries=False, block=True)

    def post(
        self, path: str, body: dict[str, Any] | bytes, key: str, *, kind: str = "application/json"
    ) -> dict[str, Any]:
        """Write under an idempotency key; return the result, after retries if needed.

        Raises `Refused` if the gateway rejects it, `Unanswered` after the patience.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer = self._ask(
            "POST", path, data, {"Content-Type": kind, "Idempotency-Key": key}
        )
        if status == 202 and "command_id" in answer:
            return self._outcome(answer["command_id"])
        return answer

    def get(self, path: str) -> dict[str, Any]:
        """Read."""
        return self._ask("GET", path, None, {})[1]

    def everything(self, path: str, **filters: str) -> Iterator[dict[str, Any]]:
        """Yield the items of every page of a list."""
        query = "".join(f"&{name}={quote(value)}" for name, value in filters.items())
        after: str | None = ""
        while after is not None:
            page = self.get(f"{path}?limit=100&after={after}{query}")
            yield from page["items"]
            after = page["next"]

    def _outcome(self, command_id: str) -> dict[str, Any]:
        give_up = time.monotonic() + self.patience
        while time.monotonic() < give_up:
            record = self.get(f"/v1/commands/{command_id}")
            if record["state"] == "rejected":
                raise Refused(record["status"], record["problem"])
            if record["state"] == "done":
                result: dict[str, Any] = record.get("result") or record
                return result
            pause(0.1)
        raise Unanswered(f"The command {command_id} was not settled in {self.patience:g} s.")

    def _ask(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        give_up = time.monotonic() + self.patience
        wait = 0.05
        while True:
            try:
                base = next(self._next)
                sent = headers | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
                answer = self._http.request(
                    method, base + path, body=data, headers=sent, timeout=90.0
                )
                if answer.status < 500 and answer.status != TOO_MANY:
                    break
            except HTTPError as error:
                if time.monotonic() > give_up:
                    raise Unanswered(f"{base} does not respond: {error}.") from None
            if time.monotonic() > give_up:
                raise Unanswered(f"{base} responds with {answer.status} to {method} {path}.")
            pause(wait)
            wait = min(wait * 2, 1.0)
        body = answer.json()
        if answer.status >= 400:
            raise Refused(answer.status, body)
        return answer.status, body
