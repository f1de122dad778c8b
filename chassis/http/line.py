"""A connection to somebody whom nobody trusts: it ends at a moment, whatever the peer does.

On a socket on which there is always something to read, a green thread would never let another have
its turn, and no time-out would fire. So whoever reads or writes here lets the others go on first,
each time, and then asks the clock; and what comes is counted.
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
"""Seconds after which another of a host's addresses is tried."""
MOST_SAID = 256 * 1024
"""Bytes that may come beside the body that is wanted: heads, certificates and all."""
_RECORD = 16 * 1024


class Deadline:
    """The moment at which a conversation ends."""

    def __init__(self, within: float) -> None:
        self.late = TimeoutError(f"no answer within {within:g} s")
        self._until = time.monotonic() + within

    def left(self) -> float:
        """Return how many seconds are left; raises `TimeoutError` where there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.late
        return left

    def cutting_off(self) -> Timeout:
        """Cut off at that moment what waits for something else than a line."""
        return Timeout(self.left(), self.late)


class Stream(io.RawIOBase):
    """What http.client takes for a socket."""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return it as something that can be read line by line."""
        return io.BufferedReader(self)

    def sendall(self, data: bytes) -> None:
        """Send all of it; raises `OSError`."""
        raise NotImplementedError


class Line(Stream):
    """A TCP connection that is read and written until the deadline, and no more than so much."""

    def __init__(self, connection: socket.socket, deadline: Deadline, most: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._most = most

    def readinto(self, buffer: Any) -> int:
        """Read what there is, or wait for it; raises `OSError`."""
        got: int = self._in_turn(self._connection.recv_into, buffer)
        self._most -= got
        if self._most < 0:
            raise OSError("more is said than anybody wants to hear")
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
    """TLS on a line, with a peer that must prove to be the host.

    The record layer gets what the line has read, and nothing by itself: it would read on for as
    long as a peer sends what is no data.
    """

    def __init__(self, line: Line, host: str) -> None:
        self._line = line
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=host)
        self._talk(self._tls.do_handshake)

    def readinto(self, buffer: Any) -> int:
        """Read what there is, or wait for it; raises `OSError`."""
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

    def _talk(self, act: Callable[..., Any], *given: Any) -> Any:
        while True:
            try:
                return act(*given)
            except ssl.SSLWantReadError:
                pass
            finally:
                if said := self._goes.read():
                    self._line.sendall(said)
            record = bytearray(_RECORD)
            if got := self._line.readinto(record):
                self._came.write(memoryview(record)[:got])
            else:
                self._came.write_eof()


def connected(addresses: Iterable[str], port: int, deadline: Deadline, most: int) -> Line:
    """Connect to the first of some addresses that takes a connection, for a body of so many bytes
    at the most; raises `OSError`."""
    failed = OSError("it has no address")
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
    """Ask, and give the answer once its head is there; raises `OSError` and `HTTPException`."""
    asking = HTTPConnection("")
    asking.sock = stream
    asking.request(method, target, body, dict(headers))
    answer = HTTPResponse(stream, method=method)  # type: ignore[arg-type]
    answer.begin()
    while 101 < answer.status < 200:  # it is yet to come
        answer.headers = None  # type: ignore[assignment]
        answer.begin()
    return answer
