"""A connection to an untrusted peer: it ends at a deadline, whatever the peer does.

On a socket that always has data, a green thread would never yield, and no timeout would fire. So
every read and write here yields first, then checks the clock, and counts the bytes received.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from chassis.runtime.green import Timeout, pause

CONNECT_WITHIN = 5.0
"""Seconds after which the next address of a host is tried."""
MOST_SAID = 256 * 1024
"""Maximum bytes received beside the body: headers, certificates and so on."""
_RECORD = 16 * 1024


class Deadline:
    """The moment at which an exchange ends."""

    def __init__(self, within: float) -> None:
        self.late = TimeoutError(f"no response within {within:g} s")
        self._until = time.monotonic() + within

    def left(self) -> float:
        """Return the seconds left; raises `TimeoutError` if there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.late
        return left

    def cutting_off(self) -> Timeout:
        """Return a timeout at the deadline, for waits outside of a `Line`."""
        return Timeout(self.left(), self.late)


class Stream(io.RawIOBase):
    """The interface of a socket as http.client uses it."""

    def readable(self) -> bool:
        """Return True, as http.client requires."""
        return True

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a buffered reader of the stream."""
        return io.BufferedReader(self)

    def sendall(self, data: bytes) -> None:
        """Send all the data; raises `OSError`."""
        raise NotImplementedError


class Line(Stream):
    """A TCP connection with a deadline and a maximum number of bytes received."""

    def __init__(self, connection: socket.socket, deadline: Deadline, most: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._most = most

    def readinto(self, buffer: Any) -> int:
        """Read the data there is, or wait for some; raises `OSError`."""
        got: int = self._in_turn(self._connection.recv_into, buffer)
        self._most -= got
        if self._most < 0:
            raise OSError("the response is too large")
        return got

    def sendall(self, data: bytes) -> None:
        """Send all of it; raises `OSError`."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._in_turn(self._connection.send, rest) :]

    def _in_turn(self, act: Callable[[Any], int], data: Any) -> int:
        pause()
        self._connection.settimeout(self._deadline.left())
        try:
            return act(data)
        except TimeoutError:
            raise self._deadline.late from None

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
        super().close()


class Sealed(Stream):
    """TLS over a line, with a certificate that must match the host.

    The TLS layer gets its bytes from the line and reads no socket: it would read on for as long as
    a peer sends records without data.
    """

    def __init__(self, line: Line, host: str) -> None:
        self._line = line
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=host)
        self._talk(self._tls.do_handshake)

    def readinto(self, buffer: Any) -> int:
        """Read the data there is, or wait for some; raises `OSError`."""
        try:
            return int(self._talk(self._tls.read, len(buffer), buffer))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def sendall(self, data: bytes) -> None:
        """Send all of it; raises `OSError`."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._talk(self._tls.write, rest) :]

    def close(self) -> None:
        """Hang up."""
        self._line.close()
        super().close()

    def _talk(self, act: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            try:
                return act(*arguments)
            except ssl.SSLWantReadError:
                pass
            finally:
                if data := self._goes.read():
                    self._line.sendall(data)
            record = bytearray(_RECORD)
            if got := self._line.readinto(record):
                self._came.write(memoryview(record)[:got])
            else:
                self._came.write_eof()


def connected(addresses: Iterable[str], port: int, deadline: Deadline, most: int) -> Line:
    """Connect to the first address that accepts a connection, for a body of at most `most` bytes;
    raises `OSError`."""
    failed = OSError("the host has no address")
    for address in addresses:
        within = min(CONNECT_WITHIN, deadline.left())
        try:
            connection = socket.create_connection((address, port), within)
        except OSError as error:
            failed = error
        else:
            return Line(connection, deadline, MOST_SAID + most)
    raise failed


def exchange(
    stream: Stream, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
) -> HTTPResponse:
    """Send a request and return the response once its headers are there; raises `OSError` and
    `HTTPException`."""
    asking = HTTPConnection("")
    asking.sock = stream
    asking.request(method, target, body, dict(headers))
    answer = HTTPResponse(stream, method=method)  # type: ignore[arg-type]
    answer.begin()
    while 101 < answer.status < 200:  # an interim response
        answer.headers = None  # type: ignore[assignment]
        answer.begin()
    return answer
