"""A client of the gateway that does not give up: every write is repeated with its key until it is
answered."""

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
"""The status of a request beyond the client's rate, which may be repeated."""


class Refused(Ended):
    """The gateway answered that it will not do this."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem


class Unanswered(Ended):
    """Nobody has answered within the patience of this client."""


class Client:
    """Speaks to a gateway, or to several in turn: one that does not answer is passed over.

    `patience` is how long it goes on asking one thing, in seconds; `token` says who it is.
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
        """Write, under an idempotency key; return the result, however often it had to be asked for.

        Raises `Refused` where the gateway refuses, `Unanswered` when the patience is at its end.
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
        """Read every page of a list."""
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
                    raise Unanswered(f"{base} does not answer: {error}.") from None
            if time.monotonic() > give_up:
                raise Unanswered(f"{base} answers {answer.status} to {method} {path}.")
            pause(wait)
            wait = min(wait * 2, 1.0)
        body = answer.json()
        if answer.status >= 400:
            raise Refused(answer.status, body)
        return answer.status, body
