"""The names of hosts: looked up in a thread, by whatever asks for them."""

import socket

import pytest
from eventlet import tpool

from chassis.runtime import dns


@pytest.fixture
def threads(monkeypatch):
    """Collect what is asked in threads."""
    asked = []

    def execute(ask, host, *more, **named):
        asked.append(host)
        return ask(host, *more, **named)

    monkeypatch.setattr(tpool, "execute", execute)
    return asked


def test_a_name_is_looked_up_in_a_thread(threads):
    found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert {address[0] for *_, address in found} <= {"127.0.0.1", "::1"}
    assert threads == ["localhost"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_no_thread(threads, host):
    assert socket.getaddrinfo(host, 80)
    assert threads == []


def test_a_name_that_is_not_there_is_an_error(threads):
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 80)
    assert threads == ["nowhere.invalid"]


def test_a_connection_is_made_by_the_same_look_up(threads):
    assert socket.getaddrinfo is dns.addresses
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
    assert threads == ["localhost"]
