"""A message on its way: its envelope, its body as in the outbox, and the fact it states."""

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
"""What no database takes as text, in JSON as `encode` writes it."""


class Undecodable(Exception):
    """A message's type is unknown here, or its body is not of that type's shape."""


def encode(value: Any) -> str:
    """Write a JSON value, compactly."""
    return _encode(value)


@dataclass
class Message:
    """One message; `exchange` is `{source}.events` or `{target}.commands`.

    `redelivered` says that it may have been handed to a handler before, and not finished, and
    `returned` how often it came back to its queue. `handler` names the one handler that a message
    sent again is for. `marker` is that of the lost queue for which it is sent again, or after
    which. `refused` says that the bus has not taken it when it was last published: somebody who is
    to have it takes nothing, or is not there. `written_at` is when its publisher wrote it (s since
    1970), where that is known.
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
        """Put a contract into its envelope; a command of no service's own names its receiver."""
        made = cls(
            envelope,
            _encode(payload.to_data()),
            f"{to or payload.service or envelope.source}.commands"
            if isinstance(payload, Command)
            else f"{envelope.source}.events",
        )
        made.__dict__["payload"] = payload
        return made

    def restate(self, payload: Contract) -> None:
        """Say it otherwise, as long as it has not been written."""
        self.body = _encode(payload.to_data())
        self.__dict__["payload"] = payload

    @property
    def id(self) -> str:
        """The message's identity, by which a receiver knows that it has seen it."""
        return self.envelope.id

    @property
    def receipt(self) -> str:
        """What the inbox knows it by: its id, and the handler if it is for one alone."""
        return f"{self.id} {self.handler}" if self.handler else self.id

    @property
    def born(self) -> float | None:
        """When it was made (s since 1970): by its id, or else by what its publisher says."""
        made = moment_of(self.id)
        return self.written_at if made is None else made

    @property
    def stream(self) -> tuple[str, str]:
        """(source, key): within one stream, order is kept."""
        return self.envelope.source, self.envelope.partitionkey

    @property
    def is_command(self) -> bool:
        """Whether somebody waits for its outcome."""
        return self.exchange.endswith(".commands")

    @cached_property
    def payload(self) -> Any:
        """The contract that the body states. Raises `Undecodable`."""
        kind = contracts().get(self.envelope.type)
        if kind is None:
            raise Undecodable(f"no contract is called {self.envelope.type}")
        try:
            return kind.from_data(_read(self.body))
        except Exception as error:  # whatever stands there, and however deep: it cannot be read
            why = error if isinstance(error, ValueError | ValidationError) else repr(error)
            raise Undecodable(f"{self.envelope.type} is not readable: {why}") from error

    @cached_property
    def moment(self) -> Any:
        """The moment at which the outside gave the cause of this message (aware datetime)."""
        return moment_from_json(self.envelope.time)

    def fingerprint(self) -> str:
        """Give a digest of the body, to tell a repeat from another message under the same id."""
        return blake2b(self.body.encode(), digest_size=8).hexdigest()

    def partition(self, partitions: int) -> int:
        """Give the partition of its key."""
        return partition_of(self.envelope.partitionkey, partitions)


def _read(body: str) -> Any:
    """Read JSON; raises `ValueError` also for text that no database takes."""
    said = json.loads(body)
    if "\\u" in body and _UNFIT.search(encode(said)):
        raise ValueError("it holds the character U+0000, or half of a surrogate pair")
    return said


def partition_of(key: str, partitions: int) -> int:
    """Give the partition of a key: a constant function of the two, whatever the broker does."""
    return crc32(key.encode()) % partitions
