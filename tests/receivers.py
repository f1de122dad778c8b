"""Receivers of webhooks on this machine: obedient ones, and ones that do all that one may fear."""

import json
from contextlib import contextmanager

import eventlet
from eventlet.green import socket, ssl
from standardwebhooks import Webhook

from tests import PATIENCE


def until(fact, seconds=PATIENCE):
    """Wait for a fact, and give it."""
    with eventlet.Timeout(seconds):
        while not (found := fact()):
            eventlet.sleep(0.02)
        return found


class Got:
    """One request: its headers, by their names in small letters, and its body."""

    def __init__(self, target, headers, body):
        self.target = target
        self.headers = headers
        self.body = body
        self.event = json.loads(body)

    def verified(self, secret):
        """Return the event, once the signature has been checked by somebody else's code."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Takes requests as they come; `behave` says what is done with each.

    It gives a status with headers in a line each, or does something to the connection itself and
    gives nothing.
    """

    def __init__(self, behave=lambda _got, _connection: "204 No Content", tls=None):
        self.behave = behave
        self.got = []
        self._tls = tls
        self._socket = eventlet.listen(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = eventlet.spawn(self._accept)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def ids(self):
        return [got.event["id"] for got in self.got]

    def firsts(self):
        """Return each event once, in the order in which it first came."""
        return list({got.event["id"]: got.event for got in self.got}.values())

    def close(self):
        self._thread.kill()
        self._socket.close()

    def _accept(self):
        while True:
            connection, _ = self._socket.accept()
            eventlet.spawn_n(self._serve, connection)

    def _serve(self, connection):
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                target = stream.readline().split()[1].decode()
                headers = dict(self._headers(stream))
                got = Got(target, headers, stream.read(int(headers["content-length"])))
                self.got.append(got)
                if said := self.behave(got, connection):
                    connection.sendall(f"HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n".encode())
        except (OSError, IndexError, ssl.SSLError):
            return  # whoever called has hung up

    @staticmethod
    def _headers(stream):
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            yield name.lower(), value.strip()


@contextmanager
def receiving(*given, **named):
    receiver = Receiver(*given, **named)
    try:
        yield receiver
    finally:
        receiver.close()


def never(_got, _connection):
    """Take the request, and never answer."""
    eventlet.sleep(3600)


def huge(_got, connection):
    """Answer with more than anybody wants to read."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def half_an_answer(_got, connection):
    """Answer that it is well, promise a body, and never send it."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    eventlet.sleep(3600)


def drop_by_drop(_got, connection):
    """Answer a byte at a time, each well before anybody gives up waiting for the next."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 100_000:
        connection.sendall(bytes([byte]))
        eventlet.sleep(0.05)


def hang_up(_got, connection):
    """Close the connection without a word."""
    connection.shutdown(socket.SHUT_RDWR)


def nonsense(_got, connection):
    """Answer with what is no HTTP."""
    connection.sendall(b"\x00\xff nonsense\r\n\r\n")
