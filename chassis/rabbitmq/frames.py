"""What py-amqp reads from the broker, with what it cannot read left out.

Anybody may put any octets into a message's properties and routing key. py-amqp's error at those
that are no UTF-8, no moment or nested too deeply would end the connection, and again after each
reconnect, with all that was delivered over it. So such a message comes without its properties, or
its key, and is judged where it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amqp.method_framing import frame_handler
from amqp.spec import Basic

HEADER = 2
"""Type of the frame that holds the size and the properties of a message (AMQP 0-9-1, 4.2.6)."""
SIZE_ENDS = 12
"""Octets of such a frame before the properties: class, weight and size of the body."""
NONE = b"\0\0"
"""The flags of no properties at all."""


def reader_of(connection: Any, callback: Callable[..., Any]) -> Callable[[Any], bool]:
    """Make what reads the frames of a connection, as py-amqp's own does."""

    def called(channel: int, method: Any, given: Any, content: Any) -> None:
        try:
            callback(channel, method, given, content)
        except UnicodeDecodeError:
            if method != Basic.Deliver:
                raise
            callback(channel, method, _without_key(bytes(given)), content)

    read = frame_handler(connection, called)

    def on_frame(frame: Any) -> bool:
        kind, channel, octets = frame
        try:
            return bool(read(frame))
        except Exception:
            if kind != HEADER or bytes(octets[SIZE_ENDS:]) == NONE:
                raise
            return bool(read((kind, channel, bytes(octets[:SIZE_ENDS]) + NONE)))

    return on_frame


def _without_key(given: bytes) -> bytes:
    """Cut the routing key out of what tells of a delivery: the tags of the consumer and of the
    delivery, a flag, the exchange and the key, each name behind its length."""
    at = 4 + 1 + given[4] + 8 + 1
    return given[: at + 1 + given[at]] + b"\0"
