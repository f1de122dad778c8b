"""The departments' accounts on the broker: each has a user, a queue, and nothing else.

A queue of a department is bounded and lets its oldest go, so that one that nobody empties holds up
no publisher. What is missing of an account is made and what differs is changed, so that every step
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
"""Events that a queue holds unless it is told otherwise; the alarms count by it."""
MAX_BYTES = 256 * 1024 * 1024
"""Bytes that a queue holds, however few events they are: a full disk would stop everybody."""
DELIVERIES = 20
"""Attempts at an event before it is moved to the dead letters."""


@dataclass
class Department:
    """An account as the broker has it; what it does not tell, or has not, is None."""

    name: str
    events: list[str] = field(default_factory=list)
    max_length: int | None = None
    messages: int | None = None
    dead: int | None = None
    consumers: int | None = None
    user: str | None = None

    def facts(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self) | {"queue": queue_of(self.name)}


def queue_of(name: str) -> str:
    """Name the queue of a department; its user has the same name."""
    return PREFIX + name


class Accounts:
    """Sees to the accounts on one broker."""

    def __init__(self, broker: Management) -> None:
        self.broker = broker
        self.vhost = broker.vhost

    # -- what there is

    def all(self) -> dict[str, Department]:
        """Give every department of whose account there is anything, by its name."""
        found: dict[str, Department] = {}

        def of(thing: str) -> Department:
            name = thing.removeprefix(PREFIX)
            return found.setdefault(name, Department(name))

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
        for department in found.values():
            department.events.sort()
        return dict(sorted(found.items()))

    @staticmethod
    def _ours(things: Iterable[dict[str, Any]] | None, name: str) -> Iterator[dict[str, Any]]:
        return (thing for thing in things or () if thing[name].startswith(PREFIX))

    # -- what is made so

    def add(
        self, name: str, exchanges: dict[str, str], max_length: int | None, password: str | None
    ) -> list[str]:
        """Make an account as it is to be, and say what was done; raises `BrokerUnavailable`.

        `exchanges` gives the exchange of each event type that it hears. Without `max_length` and
        `password` what there is stays.
        """
        self._need(set(exchanges.values()))
        # The bound goes first, and who may take goes last: no moment leaves a queue unbounded.
        return [
            *self._bound(name, max_length),
            *self._queues(name),
            *self._bindings(name, exchanges),
            *self._user(name, password),
        ]

    def remove(self, name: str) -> None:
        """Take the user away, which ends its connections, then the queues, then their bound."""
        queue = queue_of(name)
        self.broker.delete("users", queue)
        for each in (queue, queue + DEAD):
            self.broker.delete("queues", self.vhost, each)
        self.broker.delete("operator-policies", self.vhost, queue)

    def has_user(self, name: str) -> bool:
        """Tell whether a department has a user, and so a password."""
        return self.broker.get("users", queue_of(name)) is not None

    def _need(self, exchanges: Collection[str]) -> None:
        """Make sure that the services' exchanges are there, which are not ours to declare."""
        for exchange in sorted(exchanges):
            if self.broker.get("exchanges", self.vhost, exchange) is None:
                raise BrokerUnavailable(
                    f"The broker has no exchange {exchange} yet: say bihuan preflight first."
                )

    def _bound(self, name: str, max_length: int | None) -> Iterator[str]:
        """Bound the queues, those that are dead letters' too, by one policy of the operator."""
        queue = queue_of(name)
        place = "operator-policies", self.vhost, queue
        before = self.broker.get(*place)
        was = before["definition"].get("max-length") if before else None
        wanted = {
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
            yield f"it holds at most {wanted['definition']['max-length']:,} events"

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
                yield f"queue {each} was made"
            # Declared all the same: one of another form is refused, by name and argument.
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
            yield f"it hears {kind}"
        for exchange, kind in sorted(there.keys() - wanted):
            self.broker.delete(*self._between(exchange, queue), there[exchange, kind])
            yield f"it hears {kind} no longer"

    def _between(self, exchange: str, queue: str) -> tuple[str, ...]:
        return "bindings", self.vhost, "e", exchange, "q", queue

    def _user(self, name: str, password: str | None) -> Iterator[str]:
        """See to the user, who may take from the queue, and may declare, bind and say nothing."""
        user = queue_of(name)
        before = self.broker.get("users", user)
        if password and not (before and _is_of(password, before["password_hash"])):
            self.broker.put("users", user, password=password, tags="")
            yield f"user {user} has a new password" if before else f"user {user} was made"
        rights = {"configure": "^$", "write": "^$", "read": f"^{re.escape(user)}$"}
        place = "permissions", self.vhost, user
        there = self.broker.get(*place) or {}
        if any(there.get(right) != pattern for right, pattern in rights.items()):
            self.broker.put(*place, **rights)
            yield "it may read its queue, and nothing else"


def _is_of(password: str, hashed: str) -> bool:
    """Tell whether a hash is that of a password: SHA-256 over a salt of four bytes and it."""
    raw = base64.b64decode(hashed)
    return hashlib.sha256(raw[:4] + password.encode()).digest() == raw[4:]
