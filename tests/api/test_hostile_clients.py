"""Clients that are slow, silent or hostile are cut off, and hold nobody else up."""

import json
import socket
from contextlib import ExitStack
from dataclasses import replace

import eventlet
import pytest

from chassis.http import application, connections
from chassis.messaging.memory_bus import EmbeddedBus
from tests import PATIENCE
from tests.api.conftest import problem
from tests.district import TestDistrict

DRIBBLE = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "
HEAD = b"POST /v1/enterprises HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    running = TestDistrict(
        tmp_path_factory.mktemp("district"),
        EmbeddedBus(),
        headers_within=0.5,
        body_within=0.5,
        connections=260,
        connections_each=230,
    )
    running.begin()
    yield running
    running.stop()


@pytest.fixture
def counted(district):
    """Check at the end that no connection is counted that is not there."""
    yield
    server = district.running.hosts["gateway"].web.connections
    district.client.http.clear()
    with eventlet.Timeout(PATIENCE, TimeoutError(f"{server.open} are still counted")):
        while server.open or server.by_address:
            eventlet.sleep(0.01)


def connected(district):
    return socket.create_connection(("127.0.0.1", district.running.port), timeout=PATIENCE)


def everything(connection):
    """Read until the other side ends."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def refused(answer, status):
    """Read an answer to what was no request: a problem, and the end of the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"Content-Type: application/problem+json" in head
    assert b"Connection: close" in head
    assert b"Server:" not in head
    assert json.loads(body)["status"] == status


def authorized(district):
    return f"Authorization: Bearer {district.client.token}\r\nIdempotency-Key: raw\r\n".encode()


def test_two_hundred_who_dribble_hold_nobody_up_and_are_all_cut_off(district, counted):
    stopped = eventlet.event.Event()

    def dribble(connection):
        connection.sendall(DRIBBLE)
        while not stopped.ready():
            connection.sendall(b"z")
            eventlet.sleep(0.05)

    with ExitStack() as stack:
        slow = [stack.enter_context(connected(district)) for _ in range(200)]
        threads = [eventlet.spawn(dribble, connection) for connection in slow]
        for number in range(20):
            assert district.client.request("GET", "/livez").status == 200, number
        with eventlet.Timeout(PATIENCE):
            answers = list(eventlet.GreenPool(200).imap(everything, slow))
        stopped.send()
        for thread in threads:
            thread.kill()
    for answer in answers:
        refused(answer, 408)


def test_who_says_nothing_at_all_is_cut_off(district, counted):
    with connected(district) as silent, eventlet.Timeout(PATIENCE):
        refused(everything(silent), 408)


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 1000\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n{",
        b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n{",
    ],
)
def test_half_a_body_is_waited_for_so_long_and_no_longer(district, counted, body):
    with connected(district) as half, eventlet.Timeout(PATIENCE):
        half.sendall(HEAD + authorized(district) + body)
        answer = everything(half)
    assert b"HTTP/1.1 408 " in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert b"urn:bihuan:problem:late" in answer


def test_half_a_body_that_nobody_wants_ends_the_connection_too(district, counted):
    with connected(district) as half, eventlet.Timeout(PATIENCE):
        half.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert everything(half).startswith(b"HTTP/1.1 404 ")


def test_a_body_that_arrives_slowly_but_in_time_is_taken(district, counted, say):
    body = json.dumps(say.enterprise()).encode()
    head = HEAD + authorized(district) + f"Content-Length: {len(body)}\r\n\r\n".encode()
    with connected(district) as slow:
        slow.sendall(head)
        for byte in body:
            slow.sendall(bytes([byte]))
            eventlet.sleep(0)
        assert slow.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_who_never_reads_holds_nobody_up_and_is_cut_off(district, counted, monkeypatch):
    server = district.running.hosts["gateway"].web
    monkeypatch.setattr(server._serv, "socket_timeout", 0.5)
    with ExitStack() as stack:
        for _ in range(20):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", district.running.port))
            eventlet.spawn_n(sending, deaf, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        for number in range(20):
            assert district.client.request("GET", "/livez").status == 200, number
        with eventlet.Timeout(PATIENCE):
            while server.connections.open > 1:
                eventlet.sleep(0.01)


def sending(connection, data):
    try:
        connection.sendall(data)
    except OSError:
        return


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-Many: a\r\n" * 150 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + (b"X-All: " + b"a" * 4000 + b"\r\n") * 20 + b"\r\n", 431),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: +5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 1_0\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: many\r\n\r\nhello", 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_with_a_problem(district, counted, sent, status):
    with connected(district) as connection, eventlet.Timeout(PATIENCE):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        refused(everything(connection), status)


def test_what_follows_in_one_go_is_answered_in_order_until_it_is_no_request(district, counted):
    with connected(district) as connection, eventlet.Timeout(PATIENCE):
        asked = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(asked * 3 + b"\0\1garbage " * 50 + b"\r\n\r\n" + asked)
        answers = everything(connection)
    assert answers.count(b"HTTP/1.1 200 ") == 3
    refused(answers[answers.rindex(b"HTTP/1.1 4") :], 400)


def test_one_address_has_only_so_many_connections(district, counted, monkeypatch):
    protocol = district.running.hosts["gateway"].web._serv.protocol
    monkeypatch.setattr(protocol, "bounds", replace(protocol.bounds, headers_within=30.0))
    with ExitStack() as stack:
        held = [stack.enter_context(connected(district)) for _ in range(230)]
        with connected(district) as one_more:
            refused(everything(one_more), 429)
        held[0].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert everything(held[0]).startswith(b"HTTP/1.1 200 ")
    with eventlet.Timeout(PATIENCE):
        while district.running.hosts["gateway"].web.connections.open > 200:
            eventlet.sleep(0.01)
    with connected(district) as another:
        another.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert everything(another).startswith(b"HTTP/1.1 200 ")


def test_all_addresses_together_have_only_so_many_connections():
    bounds = connections.Bounds(1.0, 1.0, 3, 2, is_exempt=lambda address: address == "proxy")
    counted = connections.Connections(bounds)
    assert [counted.begin(a) for a in ("a", "a", "a", "proxy", "b")] == [0, 0, 429, 0, 503]
    counted.end("a")
    assert [counted.begin(a) for a in ("proxy", "proxy")] == [0, 503]
    for address in ("a", "proxy", "proxy"):
        counted.end(address)
    assert (counted.open, counted.by_address) == (0, {})


def test_one_object_is_smaller_than_a_batch_may_be(district, counted, say):
    large = json.dumps(say.enterprise(name="大" * 500_000)).encode()
    for raw in (large, iter([large])):
        said = problem(district.client.request("POST", "/v1/enterprises", raw=raw), 413)
        assert said["detail"] == f"At most {1024 * 1024} bytes."
    rows = "\n".join(json.dumps(say.enterprise(name="大" * 9000)) for _ in range(60)).encode()
    assert len(rows) > 1024 * 1024
    kind = {"Content-Type": "application/x-ndjson"}
    answer = district.client.request("POST", "/v1/enterprises/batch", raw=rows, headers=kind)
    assert answer.json()["rows"] == 60


def test_the_length_that_a_body_claims_is_not_waited_for(district, counted):
    claim = f"Content-Length: {application.LARGEST_BODY * 1000}\r\n\r\n".encode()
    with connected(district) as boaster, eventlet.Timeout(PATIENCE):
        boaster.sendall(HEAD + authorized(district) + claim + b"{" * 100)
        assert everything(boaster).startswith(b"HTTP/1.1 413 ")
