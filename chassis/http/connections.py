"""Limits of HTTP connections: their number, and the time and size of requests.

A slow or hostile client costs a green thread and a socket for a bounded time, and delays no other
client.
"""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web.server import HttpOnlyProtocol

from chassis import metrics
from chassis.errors import Rejected
from chassis.message import encode

IDLE_SECONDS = 75.0
"""Seconds for which an idle connection is kept open."""
SEND_SECONDS = 30.0
"""Seconds for which a client may stop reading its response."""
LINGER_SECONDS = 2.0
"""Seconds for which a rejected client may go on sending, so that it can read the reason."""
LONGEST_LINE = 8192
"""Maximum bytes of a request line and, in eventlet, of one header."""
SLOWEST = 16 * 1024
"""Minimum bytes of a body per second, once its base time is up."""
MOST_UNREAD = 32 * 1024 * 1024
"""Maximum bytes of an unused body that are read to keep the connection usable."""
_PIECE = 64 * 1024
_REASONS = {
    400: ("Bad Request", "The request is not HTTP/1.1."),
    408: ("Request Timeout", "The request did not arrive in time."),
    414: ("URI Too Long", f"At most {LONGEST_LINE} bytes."),
    429: ("Too Many Requests", "There are too many connections from this address."),
    431: ("Request Header Fields Too Large", "There are too many headers, or one is too long."),
    501: ("Not Implemented", "The only transfer coding supported is chunked."),
    503: ("Service Unavailable", "There are too many connections."),
    505: ("HTTP Version Not Supported", "Use HTTP/1.1."),
}


class Late(Rejected):
    """The body of the request did not arrive in time."""

    status = 408


@dataclass(frozen=True)
class Bounds:
    """Limits of clients: seconds for headers and for a body, and connections in total and from one
    address, unless the address `is_exempt`."""

    headers_within: float
    body_within: float
    connections: int
    connections_each: int
    is_exempt: Callable[[str], bool] = lambda _address: False


class Connections:
    """Counts the open connections."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.open = 0
        self.by_address: Counter[str] = Counter()

    def begin(self, address: str) -> int:
        """Count a new connection; return 0, or the status with which it is refused."""
        if self.open >= self.bounds.connections:
            return 503
        each = self.bounds.connections_each
        if self.by_address[address] >= each and not self.bounds.is_exempt(address):
            return 429
        self.open += 1
        self.by_address[address] += 1
        return 0

    def end(self, address: str) -> None:
        """Count a closed connection."""
        self.open -= 1
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]


def refusal(status: int) -> bytes:
    """Return the bytes of an error response after which the connection is closed."""
    metrics.REFUSED.labels(status).inc()
    title, detail = _REASONS.get(status, _REASONS[400])
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    content = (encode(body) + "\n").encode()
    retry = "Retry-After: 3\r\n" if status in (429, 503) else ""
    head = (
        f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(content)}\r\n{retry}Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


def turn_away(connection: Any, status: int) -> None:
    """Refuse a connection that is not counted, without blocking."""
    try:
        connection.settimeout(0)
        connection.send(refusal(status))
        connection.close()
    except OSError:
        connection.close()  # it is closed, or does not read


class _Body:
    """Reads the body of a request as it arrives, within its time limit.

    The limit is `within` plus the time of its size at the minimum rate; then it raises `Late`.
    """

    def __init__(self, file: Any, within: float, late: Callable[[], None]) -> None:
        self._file = file
        self._until = time.monotonic() + within
        self._late = late
        self.size = 0

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or less when the client ends."""
        pieces = []
        while size > 0:
            piece = self._in_time(self._file.read1, min(size, _PIECE))
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int = LONGEST_LINE) -> bytes:
        """Read a line of at most `size` bytes."""
        return self._in_time(self._file.readline, size)

    def _in_time(self, read: Callable[[int], bytes], size: int) -> bytes:
        if self.size > MOST_UNREAD:
            self._late()
            raise OSError("the body has no end")
        left = self._until + self.size / SLOWEST - time.monotonic()
        try:
            with eventlet.Timeout(max(left, 0.001), Late):
                piece = read(size)
        except Late:
            self._late()
            metrics.REFUSED.labels(408).inc()
            raise
        self.size += len(piece)
        return piece


class Protocol(HttpOnlyProtocol):
    """HTTP/1.1 within limits and without Nagle's delay; malformed requests get a problem too."""

    bounds: Bounds
    _waits_for_headers: Any = None
    _has_served = False

    def setup(self) -> None:
        """Disable Nagle's algorithm."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_one_request(self) -> None:
        """Wait for a request, read its headers in time, and respond to it."""
        if self._has_served and not self._another_comes():
            self.close_connection = True
            return
        self._has_served = True
        self._waits_for_headers = eventlet.Timeout(self.bounds.headers_within)
        try:
            super().handle_one_request()
        except Late:  # while the rest of an unused body was read
            self.close_connection = True
        except eventlet.Timeout as over:
            if over is not self._waits_for_headers:
                raise
            self._refuse(408)
        finally:
            self._waits_for_headers.cancel()

    def _another_comes(self) -> bool:
        self.connection.settimeout(IDLE_SECONDS)
        return bool(self.rfile.peek(1))

    def _read_request_line(self) -> Any:
        line = super()._read_request_line()
        if len(line) >= self.server.url_length_limit:
            self._refuse(414)
            return b""
        return line

    def parse_request(self) -> bool:
        """Parse the headers; reject an ambiguous body length, which could smuggle another
        request."""
        try:
            if not super().parse_request():
                return False
        except (wsgi.HeaderLineTooLong, wsgi.HeadersTooLarge):
            self._refuse(431)
            return False
        lengths = self.headers.get_all("Content-Length", [])
        codings = self.headers.get_all("Transfer-Encoding", [])
        if len(lengths) + len(codings) > 1 or not all(
            re.fullmatch(r"[0-9]{1,15}", length, re.ASCII) for length in lengths
        ):
            self._refuse(400)
            return False
        if any(coding.strip().lower() != "chunked" for coding in codings):
            self._refuse(501)
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Reject requests that the standard library cannot parse, without naming its version."""
        self._refuse(int(code))

    def get_environ(self) -> dict[str, Any]:
        """Return the WSGI environment; the time limit of the body begins."""
        self._waits_for_headers.cancel()
        environ: dict[str, Any] = super().get_environ()
        body = environ["eventlet.input"]
        body.rfile = _Body(body.rfile, self.bounds.body_within, self._end_after_this)
        if (body.content_length or 0) > MOST_UNREAD:
            self._end_after_this()
        return environ

    def _end_after_this(self) -> None:
        self.close_connection = True

    def _refuse(self, status: int) -> None:
        """Send an error and read on for a moment: a reset would discard the response at the
        client."""
        self.close_connection = True
        self._waits_for_headers.cancel()
        self.wfile.write(refusal(status))
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        with eventlet.Timeout(LINGER_SECONDS, exception=False):
            while self.connection.recv(_PIECE):
                pass
