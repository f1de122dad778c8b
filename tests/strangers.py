"""Peers that do all that one may fear, each in a process of its own: so it goes on whatever the
test's process is busy with, and can keep it busy.

A peer says its port, and for each connection that it was `cut off`, or that it `gave up` by itself
after `PATIENCE` seconds, long after anybody else should have. It ends with the test's process.
"""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 10.0
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def forever(beginning, again):
    """Say something, and then something else without end."""
    return lambda: itertools.chain([beginning], itertools.repeat(again * (1 + 65536 // len(again))))


def interim(status):
    return forever(b"", b"HTTP/1.1 %d Wait\r\n\r\n" % status)


def slowly(text, pause=0.05):
    def say():
        for byte in text:
            yield bytes([byte])
            time.sleep(pause)

    return say


def once(text):
    return lambda: [text]


SAYINGS = {
    "100 without end": interim(100),
    "102 without end": interim(102),
    "103 without end": interim(103),
    "100 with headers without end": forever(b"", b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n"),
    "headers of 100 without end": forever(b"HTTP/1.1 100 Continue\r\n", b"A: b\r\n"),
    "headers without end": forever(OK, b"A: b\r\n"),
    "a header without end": forever(OK + b"A: ", b"b"),
    "a status without end": forever(b"HTTP/1.1 200 ", b"b"),
    "nothing": once(b""),
    "half a status": once(b"HTTP/1.1 2"),
    "half of the headers": once(OK + b"A: b\r\n"),
    "a byte at a time": slowly(OK + b"A: " + b"b" * 1000),
    "100 a byte at a time": slowly(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "a body without end": forever(OK + b"\r\n", b"b"),
    "chunks without end": forever(CHUNKED, b"1\r\nb\r\n"),
    "a chunk's length without end": forever(CHUNKED, b"1"),
    "trailers without end": forever(CHUNKED + b"0\r\n", b"A: b\r\n"),
    "half a body": once(OK + b"Content-Length: 10\r\n\r\nb"),
    "a length that is none": once(OK + b"Content-Length: -1\r\n\r\n"),
    "a length of many digits": once(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
}


class Stranger:
    """A peer's process, as the test sees it."""

    def __init__(self, process, scheme):
        self._process = process
        self.port = int(self.heard())
        self.url = f"{scheme}://127.0.0.1:{self.port}/events"

    def heard(self):
        """Return the next that it says: of a connection, how it ended."""
        from chassis.runtime.green import in_thread

        return in_thread(self._process.stdout.readline).strip()


@contextmanager
def stranger(deed, *tls, scheme="http"):
    """Run a peer that does to each connection what its name says."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.strangers", deed, *map(str, tls)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        try:
            yield Stranger(process, scheme)
        finally:
            process.kill()


# in the peer's process


def serve(deed, *certificate):
    """Do the same to each connection, until the test's process has gone."""
    threading.Thread(target=_end_with_the_test, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as door:
        _tell(door.getsockname()[1])
        while True:
            threading.Thread(
                target=_meet, args=(door.accept()[0], deed, certificate), daemon=True
            ).start()


def _meet(connection, deed, certificate):
    until = time.monotonic() + PATIENCE
    connection.settimeout(PATIENCE)
    try:
        if certificate:
            connection = _wrapped(connection, deed, certificate)
        for said in _sayings(connection, deed):
            connection.sendall(said)
            if time.monotonic() > until:
                break
        connection.settimeout(max(0.1, until - time.monotonic()))
        while connection.recv(65536):
            pass
        _tell("cut off")
    except TimeoutError:
        _tell("gave up")
    except OSError:  # of TLS too
        _tell("gave up" if time.monotonic() > until else "cut off")
    finally:
        with suppress(OSError):
            connection.close()


def _sayings(connection, deed):
    if deed == "read nothing":
        time.sleep(PATIENCE)
        return []
    if deed == "tickets without end":
        return []
    if deed == "a handshake a byte at a time":
        record = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # a server's greeting begins
        return slowly(record + b"b" * 1000)()
    if deed != "greet nobody":
        connection.recv(65536)
    return SAYINGS.get(deed, once(b""))()


def _wrapped(connection, deed, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if deed == "tickets without end":
        context.num_tickets = 5_000_000
    return context.wrap_socket(connection, server_side=True)


def _end_with_the_test():
    sys.stdin.read()
    os._exit(0)


def _tell(what):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
