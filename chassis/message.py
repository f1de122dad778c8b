"""A message in transit: its envelope, its body as in the outbox, and its payload."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any
from zlib import crc32

from marshmallow import ValidationError

from chassis.ids import moment_of
from contracts.catalogue import contracts
from contracts.message import Command, Contract, Envelope
from contracts.shapes import moment_from_json

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_UNFIT = re.compile(r"(?<!\\)(?:\\\\)*\\u0000|[\ud800-\udfff]")
"""Characters that no database accepts as text, in JSON as `encode` writes it."""


class Undecodable(Exception):
    """The message's type is unknown here, or its body does not match the type."""


def encode(value: Any) -> str:
    """Return a value as compact JSON."""
    return _encode(value)


@dataclass
class Message:
    """One message; `exchange` is `{source}.events` or `{target}.commands`.

    `redelivered` says that a handler may have begun it before, and `returned` how often it came
    back to its queue. `handler` names the only handler that a resent message is for. `marker` is
    the recovery marker of the lost queue for which, or after which, it is resent. `refused` says
    that the bus rejected it when it was last published: a receiver is full or missing. `written_at`
    is when its publisher wrote it (s since 1970), if known.
    """

    envelope: Envelope
    body: str
    exchange: str
    redelivered: bool = False
    returned: int = 0
    seq: int = 0
    handler: str | None = None
    marker: str | None = None
    refused: bool = False
    written_at: float | None = None
    tag: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, payload: Contract, envelope: Envelope, to: str | None = None) -> Message:
        """Return a message with a contract as payload; a command that belongs to no service names
        its receiver."""
        message = cls(
            envelope,
            _encode(payload.to_data()),
            f"{to or payload.service or envelope.source}.commands"
            if isinstance(payload, Command)
            else f"{envelope.source}.events",
        )
        message.__dict__["payload"] = payload
        return message

    def restate(self, payload: Contract) -> None:
        """Replace the payload of a message that has not been written yet."""
        self.body = _encode(payload.to_data())
        self.__dict__["payload"] = payload

    @property
    def id(self) -> str:
        """The message id, by which receivers deduplicate."""
        return self.envelope.id

    @property
    def receipt(self) -> str:
        """The key of its inbox row: its id, and the handler if it is for only one."""
        return f"{self.id} {self.handler}" if self.handler else self.id

    @property
    def born(self) -> float | None:
        """When it was created (s since 1970): by its id, or else as its publisher says."""
        moment = moment_of(self.id)
        return self.written_at if moment is None else moment

    @property
    def stream(self) -> tuple[str, str]:
        """(source, key): order is kept within one stream."""
        return self.envelope.source, self.envelope.partitionkey

    @property
    def is_command(self) -> bool:
        """Whether it is a command, whose sender waits for the outcome."""
        return self.exchange.endswith(".commands")

    @cached_property
    def payload(self) -> Any:
        """The contract in the body. Raises `Undecodable`."""
        kind = contracts().get(self.envelope.type)
        if kind is None:
            raise Undecodable(f"no contract is called {self.envelope.type}")
        try:
            return kind.from_data(_read(self.body))
        except Exception as error:  # the body may hold anything, nested to any depth
            why = error if isinstance(error, ValueError | ValidationError) else repr(error)
            raise Undecodable(f"{self.envelope.type} is not readable: {why}") from error

    @cached_property
    def moment(self) -> Any:
        """When the external cause of this message happened (aware datetime)."""
        return moment_from_json(self.envelope.time)

    def fingerprint(self) -> str:
        """Return a digest of the body, to distinguish a repeat from another message with the same
        id."""
        return blake2b(self.body.encode(), digest_size=8).hexdigest()

    def partition(self, partitions: int) -> int:
        """Return the partition of its key."""
        return partition_of(self.envelope.partitionkey, partitions)


def _read(body: str) -> Any:
    """Parse JSON; raises `ValueError` also for text that no database accepts."""
    value = json.loads(body)
    if "\\u" in body and _UNFIT.search(encode(value)):
        raise ValueError("it holds the character U+0000, or half of a surrogate pair")
    return value


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key, which depends on nothing else."""
    return crc32(key.encode()) % partitions
