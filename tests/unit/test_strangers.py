"""Whatever somebody outside does, a request to him ends, and meanwhile the others have turns."""

from contextlib import ExitStack, contextmanager

import eventlet
import pytest
from eventlet.patcher import original

from chassis.http import client, fetch
from chassis.http.client import HttpClient
from chassis.http.fetch import NotFetched
from chassis.runtime import dns
from chassis.runtime.green import Timeout
from tests.api.certificates import certificate
from tests.receivers import until
from tests.strangers import PATIENCE, SAYINGS, stranger

socket = original("socket")
WITHIN = 0.5
TAKEN = {
    "a body without end", "chunks without end", "a chunk's length without end",
    "trailers without end", "half a body", "a length that is none", "a length of many digits",
}  # fmt: skip
"""Where the status is 200, whatever comes after it."""


class Turns:
    """Counts the turns of another green thread."""

    def __init__(self):
        self.taken = 0

    def take(self):
        while True:
            self.taken += 1
            eventlet.sleep(0.005)


@contextmanager
def others():
    turns = Turns()
    thread = eventlet.spawn(turns.take)
    try:
        yield turns
    finally:
        thread.kill()


@pytest.mark.parametrize("deed", SAYINGS)
def test_whatever_a_receiver_says_the_attempt_ends_and_the_others_go_on(deed):
    with stranger(deed) as peer, others() as turns:
        before = turns.taken
        answer = HttpClient(private=True, within=WITHIN).post(peer.url, b"{}", {})
        assert turns.taken > before
        assert peer.heard() == "cut off"
    assert (answer.status == 200) == (deed in TAKEN)
    assert bool(answer.error) == (deed not in TAKEN)


def test_a_receiver_that_reads_nothing_is_left():
    with stranger("read nothing") as peer, others() as turns:
        before = turns.taken
        answer = HttpClient(private=True, within=WITHIN).post(peer.url, b"x" * 50_000_000, {})
        assert turns.taken > before
        assert "no response within 0.5 s" in answer.error


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """Have a certificate of this machine, by an authority that is known."""
    made = certificate(tmp_path / "tls", "here.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    monkeypatch.setattr(client, "addresses_of", lambda *_: ["127.0.0.1"])
    return made.chain, made.key


def secretly(peer):
    return f"https://here.example:{peer.port}/events"


@pytest.mark.parametrize(
    "deed", ["100 without end", "headers without end", "nothing", "chunks without end"]
)
def test_it_is_the_same_with_tls(tls, deed):
    with stranger(deed, *tls) as peer, others() as turns:
        before = turns.taken
        answer = HttpClient(private=True, within=WITHIN).post(secretly(peer), b"{}", {})
        assert turns.taken > before
        assert peer.heard() == "cut off"
    assert (answer.status == 200) == (deed in TAKEN)


@pytest.mark.parametrize("deed", ["a handshake a byte at a time", "greet nobody"])
def test_a_handshake_that_drips_ends_too(tls, deed):
    with stranger(deed) as peer, others() as turns:
        before = turns.taken
        answer = HttpClient(private=True, within=WITHIN).post(secretly(peer), b"{}", {})
        assert turns.taken > before
        assert peer.heard() == "cut off"
    assert "no response within 0.5 s" in answer.error


def test_what_tls_sends_beside_the_answer_is_counted_too(tls):
    with stranger("tickets without end", *tls) as peer, others() as turns:
        before = turns.taken
        answer = HttpClient(private=True, within=WITHIN).post(secretly(peer), b"{}", {})
        assert turns.taken > before
        assert peer.heard() == "cut off"
    assert answer.error


@pytest.fixture
def full():
    """The port of somebody who takes no connection, and refuses none."""
    with socket.socket() as door, ExitStack() as waiting:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(door.getsockname())
        yield door.getsockname()[1]


def test_many_addresses_share_one_deadline(monkeypatch, full):
    """The time-out of the whole must not be taken for that of one address."""
    monkeypatch.setattr(client, "addresses_of", lambda *_: ["127.0.0.1"] * 1000)
    with Timeout(PATIENCE):
        answer = HttpClient(private=True, within=WITHIN).post(
            f"http://here.example:{full}/", b"{}", {}
        )
    assert "no response within 0.5 s" in answer.error


@pytest.mark.parametrize("deed", ["100 without end", "headers without end", "chunks without end"])
def test_keys_are_not_waited_for_without_end(monkeypatch, deed):
    monkeypatch.setattr(fetch, "WITHIN", WITHIN)
    with stranger(deed) as peer, others() as turns:
        before = turns.taken
        with pytest.raises(NotFetched):
            fetch.fetch(peer.url)
        assert turns.taken > before
        assert peer.heard() == "cut off"


def test_a_look_up_that_is_given_up_keeps_its_turn_until_its_thread_is_free(monkeypatch):
    asked, answered = original("threading").Event(), original("threading").Event()

    def ask(_host, *_more, **named):
        if "flags" in named:
            raise OSError  # it is no address
        asked.set()
        answered.wait(PATIENCE)
        return []

    free = dns._STRANGERS.counter
    monkeypatch.setattr(dns, "_ask", ask)
    with pytest.raises(Timeout), Timeout(0.1):
        dns.addresses_of_stranger("slow.example", 80)
    assert asked.is_set()
    assert dns._STRANGERS.counter == free - 1
    answered.set()
    until(lambda: dns._STRANGERS.counter == free)


def test_keys_are_looked_for_while_every_turn_for_strangers_is_taken():
    """It is a server of our own, and tokens wait for what it says."""
    free = dns._STRANGERS.counter
    for _ in range(free):
        dns._STRANGERS.acquire()
    try:
        with pytest.raises(NotFetched, match=r"(?i)refused"):  # nobody listens there
            fetch.fetch("http://localhost:1/jwks")
    finally:
        for _ in range(free):
            dns._STRANGERS.release()
