"""The frames that py-amqp reads from the broker, without the parts it cannot parse.

Any publisher may put any octets into a message's properties and routing key. At invalid UTF-8, an
invalid timestamp or deep nesting py-amqp raises an error, which would end the connection, and again
after each reconnect, with all its deliveries. So such a message is delivered without its
properties, or its key, and the consumer rejects it.
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
"""The flags for no properties."""


def reader_of(connection: Any, callback: Callable[..., Any]) -> Callable[[Any], bool]:
    """Return a frame reader for a connection, in place of py-amqp's."""

    def called(channel: int, method: Any, arguments: Any, content: Any) -> None:
        try:
            callback(channel, method, arguments, content)
        except UnicodeDecodeError:
            if method != Basic.Deliver:
                raise
            callback(channel, method, _without_key(bytes(arguments)), content)

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


def _without_key(arguments: bytes) -> bytes:
    """Return the arguments of a delivery without its routing key: consumer tag, delivery tag, a
    flag, exchange and key, each name preceded by its length."""
    at = 4 + 1 + arguments[4] + 8 + 1
    return arguments[: at + 1 + arguments[at]] + b"\0"
