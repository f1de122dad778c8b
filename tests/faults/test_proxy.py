"""The proxy does to a connection what its methods say, and nothing else."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.proxy import ROOT, Proxy

SOON, SILENCE = 10, 0.2
CHILD_OF_A_TEST = """
import os
from tests.proxy import Proxy
with Proxy(1) as proxy:
    print(proxy._process.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SOON)
        yield server


@pytest.fixture
def proxy(listener):
    with Proxy(listener.getsockname()[1]) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy, listener):
    """Return the client's and the server's end of a new connection through the proxy."""
    ends = []

    def pair():
        ends.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=SOON))
        ends.append(listener.accept()[0])
        ends[-1].settimeout(SOON)
        return ends[-2:]

    yield pair
    for end in ends:
        end.close()


def carries(sender, receiver, words=b"words"):
    sender.sendall(words)
    return receives(receiver, words)


def receives(receiver, words=b"words"):
    found = b""
    while len(found) < len(words):
        found += receiver.recv(len(words) - len(found)) or pytest.fail("It was closed.")
    return found == words


def is_silent(end):
    end.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        end.recv(1)
    end.settimeout(SOON)
    return True


def is_closed(end):
    return end.recv(1) == b""


def is_reset(end):
    # Not by recv: a green socket tells a reset as an end.
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


def test_it_carries_both_ways_and_the_end_of_each(connect, proxy):
    client, server = connect()
    assert proxy.connections() == 1
    assert carries(client, server)
    assert carries(server, client)
    client.shutdown(socket.SHUT_WR)
    assert is_closed(server)
    assert carries(server, client)
    server.close()
    assert is_closed(client)


def test_it_carries_more_than_the_buffers_hold(connect):
    client, server = connect()
    much = os.urandom(20_000_000)
    sent = received = 0
    client.settimeout(0)
    while received < len(much):
        with suppress(BlockingIOError):
            sent += client.send(much[sent : sent + 1_000_000])
        chunk = server.recv(1_000_000)
        assert much[received : received + len(chunk)] == chunk
        received += len(chunk)


def test_a_cut_closes_what_is_there_and_nothing_else(connect, proxy):
    client, server = connect()
    proxy.cut()
    assert is_closed(client)
    assert is_closed(server)
    assert proxy.connections() == 0
    client, server = connect()
    assert carries(client, server)
    assert carries(server, client)


def test_a_cut_may_be_a_reset(connect, proxy):
    ends = connect()
    proxy.cut(reset=True)
    assert all(is_reset(end) for end in ends)


def test_refusal_lasts_until_the_network_is_restored(connect, proxy):
    client, server = connect()
    proxy.refuse()
    assert is_closed(client)
    assert is_closed(server)
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.restore()
    client, server = connect()
    assert carries(client, server)


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_a_black_hole_keeps_a_direction_until_the_network_is_restored(connect, proxy, direction):
    old = connect()
    proxy.black_hole(direction)
    kept = []
    for client, server in (old, connect()):
        for way, sender, receiver in (("up", client, server), ("down", server, client)):
            if direction in (way, "both"):
                sender.sendall(b"words")
                assert is_silent(receiver)
                kept.append(receiver)
            else:
                assert carries(sender, receiver)
    proxy.restore()
    assert all(receives(receiver) for receiver in kept)


def test_a_black_hole_hides_that_the_server_has_gone(connect, proxy):
    client, server = connect()
    proxy.black_hole("down")
    server.close()
    assert is_silent(client)
    proxy.restore()
    assert is_closed(client)


def test_a_delay_holds_up_each_chunk_but_not_the_next(connect, proxy):
    client, server = connect()
    proxy.delay(0.3)
    began = time.monotonic()
    for _ in range(5):
        client.sendall(b"word ")
    assert receives(server, b"word " * 5)
    assert 0.3 <= time.monotonic() - began < 1.4
    proxy.restore()
    assert carries(server, client)


def test_a_half_open_connection_is_silent_to_the_client(connect, proxy):
    client, server = connect()
    proxy.half_open()
    assert is_closed(server)
    client.sendall(b"words")
    assert is_silent(client)
    assert proxy.connections() == 1
    new_client, new_server = connect()
    assert carries(new_client, new_server)
    proxy.restore()
    assert is_reset(client)
    assert carries(new_server, new_client)


def test_a_server_that_is_down_closes_the_connection(connect, proxy, listener):
    listener.close()
    address = "127.0.0.1", proxy.port
    reset = suppress(ConnectionResetError)  # which is as good an end, and as soon
    with reset, socket.create_connection(address, timeout=SOON) as client:
        assert is_closed(client)


def test_it_ends_with_its_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILD_OF_A_TEST], cwd=ROOT, stdout=subprocess.PIPE
    )
    proxy = int(parent.stdout.readline())
    parent.stdout.close()
    assert parent.wait() == -signal.SIGKILL
    give_up = time.monotonic() + SOON
    while runs(proxy):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
