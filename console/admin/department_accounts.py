"""The departments' accounts on the broker: each has one user and one queue.

A department's queue is bounded and drops its oldest messages, so that one without consumers blocks
no publisher. Missing parts of an account are created and differing ones changed, so that every step
may be repeated.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from console.admin.rabbitmq_api import BrokerUnavailable, Management

PREFIX = "department."
DEAD = ".dead"
MAX_LENGTH = 100_000
"""Default maximum number of events in a queue; the alerts rely on it."""
MAX_BYTES = 256 * 1024 * 1024
"""Maximum bytes in a queue, for any number of events: a full disk would stop all services."""
DELIVERIES = 20
"""Deliveries of an event before it is dead-lettered."""


@dataclass
class Department:
    """An account on the broker; unknown and missing parts are None."""

    name: str
    events: list[str] = field(default_factory=list)
    max_length: int | None = None
    messages: int | None = None
    dead: int | None = None
    consumers: int | None = None
    user: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"queue": queue_of(self.name)}


def queue_of(name: str) -> str:
    """Return the name of the queue of a department, which is also its user's name."""
    return PREFIX + name


class Accounts:
    """Manages the departments' accounts on one broker."""

    def __init__(self, broker: Management) -> None:
        self.broker = broker
        self.vhost = broker.vhost

    # -- reading

    def all(self) -> dict[str, Department]:
        """Return every department that has any part of an account, by its name."""
        departments: dict[str, Department] = {}

        def of(thing: str) -> Department:
            name = thing.removeprefix(PREFIX)
            return departments.setdefault(name, Department(name))

        for user in self._ours(self.broker.get("users"), "name"):
            of(user["name"]).user = user["name"]
        for policy in self._ours(self.broker.get("operator-policies", self.vhost), "name"):
            of(policy["name"]).max_length = policy["definition"].get("max-length")
        for queue in self._ours(self.broker.get("queues", self.vhost), "name"):
            if queue["name"].endswith(DEAD):
                of(queue["name"].removesuffix(DEAD)).dead = queue.get("messages")
            else:
                department = of(queue["name"])
                department.messages = queue.get("messages")
                department.consumers = queue.get("consumers")
        for binding in self._ours(self.broker.get("bindings", self.vhost), "destination"):
            if binding["source"]:
                of(binding["destination"]).events.append(binding["routing_key"])
        for department in departments.values():
            department.events.sort()
        return dict(sorted(departments.items()))

    @staticmethod
    def _ours(things: Iterable[dict[str, Any]] | None, name: str) -> Iterator[dict[str, Any]]:
        return (thing for thing in things or () if thing[name].startswith(PREFIX))

    # -- changing

    def add(
        self, name: str, exchanges: dict[str, str], max_length: int | None, password: str | None
    ) -> list[str]:
        """Create or change an account, and return a sentence for each change; raises
        `BrokerUnavailable`.

        `exchanges` maps each event type of its binding to an exchange. Without `max_length` and
        `password` these stay as they are.
        """
        self._need(set(exchanges.values()))
        # The limit comes first, the permissions last: the queue is never without a limit.
        return [
            *self._bound(name, max_length),
            *self._queues(name),
            *self._bindings(name, exchanges),
            *self._user(name, password),
        ]

    def remove(self, name: str) -> None:
        """Delete the user, which ends its connections, then the queues, then their limit."""
        queue = queue_of(name)
        self.broker.delete("users", queue)
        for each in (queue, queue + DEAD):
            self.broker.delete("queues", self.vhost, each)
        self.broker.delete("operator-policies", self.vhost, queue)

    def has_user(self, name: str) -> bool:
        """Return whether a department has a user, and so a password."""
        return self.broker.get("users", queue_of(name)) is not None

    def _need(self, exchanges: Collection[str]) -> None:
        """Make sure that the services' exchanges exist, which are not declared here."""
        for exchange in sorted(exchanges):
            if self.broker.get("exchanges", self.vhost, exchange) is None:
                raise BrokerUnavailable(
                    f"The broker has no exchange {exchange} yet: run `bihuan preflight` first."
                )

    def _bound(self, name: str, max_length: int | None) -> Iterator[str]:
        """Limit the queues, including that of dead letters, by one operator policy."""
        queue = queue_of(name)
        place = "operator-policies", self.vhost, queue
        before = self.broker.get(*place)
        was = before["definition"].get("max-length") if before else None
        wanted: dict[str, Any] = {
            "pattern": f"^{re.escape(queue)}({re.escape(DEAD)})?$",
            "apply-to": "queues",
            "priority": 100,
            "definition": {
                "max-length": max_length or was or MAX_LENGTH,
                "max-length-bytes": MAX_BYTES,
            },
        }
        if before is None or any(before.get(key) != value for key, value in wanted.items()):
            self.broker.put(*place, **wanted)
            yield f"its queue holds at most {wanted['definition']['max-length']:,} events"

    def _queues(self, name: str) -> Iterator[str]:
        queue = queue_of(name)
        base = {"x-queue-type": "quorum", "x-overflow": "drop-head"}
        parked_messages = {
            "x-delivery-limit": DELIVERIES,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue + DEAD,
        }
        for each, arguments in ((queue + DEAD, base), (queue, base | parked_messages)):
            if self.broker.get("queues", self.vhost, each) is None:
                yield f"queue {each} was created"
            # Declared all the same: the broker refuses one with other arguments.
            self.broker.put(
                "queues", self.vhost, each, durable=True, auto_delete=False, arguments=arguments
            )

    def _bindings(self, name: str, exchanges: dict[str, str]) -> Iterator[str]:
        queue = queue_of(name)
        wanted = {(exchange, kind) for kind, exchange in exchanges.items()}
        there = {
            (binding["source"], binding["routing_key"]): binding["properties_key"]
            for binding in self.broker.get("queues", self.vhost, queue, "bindings") or ()
            if binding["source"]
        }
        for exchange, kind in sorted(wanted - there.keys()):
            self.broker.post(*self._between(exchange, queue), routing_key=kind, arguments={})
            yield f"it receives {kind}"
        for exchange, kind in sorted(there.keys() - wanted):
            self.broker.delete(*self._between(exchange, queue), there[exchange, kind])
            yield f"it no longer receives {kind}"

    def _between(self, exchange: str, queue: str) -> tuple[str, ...]:
        return "bindings", self.vhost, "e", exchange, "q", queue

    def _user(self, name: str, password: str | None) -> Iterator[str]:
        """Create or change the user, who may only read the queue: not declare, bind or publish."""
        user = queue_of(name)
        before = self.broker.get("users", user)
        if password and not (before and _is_of(password, before["password_hash"])):
            self.broker.put("users", user, password=password, tags="")
            yield f"user {user} has a new password" if before else f"user {user} was created"
        rights = {"configure": "^$", "write": "^$", "read": f"^{re.escape(user)}$"}
        place = "permissions", self.vhost, user
        there = self.broker.get(*place) or {}
        if any(there.get(right) != pattern for right, pattern in rights.items()):
            self.broker.put(*place, **rights)
            yield "it may only read its queue"


def _is_of(password: str, hashed: str) -> bool:
    """Return whether a hash is that of a password: SHA-256 over a salt of four bytes and the
    password."""
    raw = base64.b64decode(hashed)
    return hashlib.sha256(raw[:4] + password.encode()).digest() == raw[4:]
