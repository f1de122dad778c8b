"""The proxy's configuration, tried: an nginx ends TLS before a gateway, and passes all on."""

import re
import ssl
import subprocess

import eventlet
import pytest
import urllib3

from chassis.messaging.memory_bus import EmbeddedBus
from tests import PATIENCE, servers
from tests.api.conftest import Sentences, problem
from tests.conftest import available
from tests.deploy.files import OPS, compose, make_secrets
from tests.district import Client, TestDistrict

CONFIG = OPS / "proxy" / "nginx.conf"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """A folder with what `make secrets` makes."""
    folder = tmp_path_factory.mktemp("secrets") / "secrets"
    make_secrets(folder)
    return folder


@pytest.fixture(scope="module")
def district(tmp_path_factory):
    folder = tmp_path_factory.mktemp("district")
    running = TestDistrict(
        folder, EmbeddedBus(), trusted_proxies="127.0.0.1", rate_limit=50.0, rate_burst=500
    )
    running.begin()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, district, secrets):
    """An nginx before that district, as the deployment has it but for names and places."""
    replaced = {
        "/run/secrets/": f"{secrets}/",
        "http://gateway:8000": f"http://127.0.0.1:{district.running.port}",
    }
    folder = tmp_path_factory.mktemp("nginx")
    with available(servers.nginx(folder, CONFIG.read_text(), replaced, "8443")) as server:
        yield server


@pytest.fixture
def client(proxy, district, secrets):
    """Somebody outside, who trusts the certificate and no other."""
    made = Client(f"https://localhost:{proxy.port}", district.client.token)
    made.http = urllib3.PoolManager(ca_certs=str(secrets / "tls_certificate"), retries=False)
    return made


def test_the_district_is_reached_by_tls(client, district):
    made = client.post("/v1/enterprises", Sentences(district).enterprise())
    answer = client.request("GET", f"/v1/enterprises/{made['enterprise_id']}")
    assert answer.status == 200
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["RateLimit-Policy"] == '"client";q=500;w=10'
    assert answer.headers["ETag"]
    assert not re.search(r"\d", answer.headers["Server"])


def test_what_a_client_sends_for_the_gateway_arrives(client, district):
    shop = district.register("restaurant")
    filing = f"/v1/filings/{district.file(shop)}"
    tag = client.request("GET", filing).headers["ETag"]
    asked = {"decision": "return", "reasons": ["不全"]}
    headers = {"If-Match": tag, "Idempotency-Key": "by-tls"}
    answers = [client.request("POST", f"{filing}/decision", asked, headers) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data


def test_what_a_client_says_of_its_own_address_is_not_believed(client, district, monkeypatch):
    rates = district.running.hosts["gateway"].web.entrance.rates
    asked = []
    monkeypatch.setattr(
        rates, "take", lambda name, take=rates.take: asked.append(name) or take(name)
    )
    client.token = ""
    for word in ("198.51.100.1", "127.0.0.1", "x, y"):
        forged = {"X-Forwarded-For": word, "X-Forwarded-Proto": "http"}
        answer = client.request("GET", "/v1/slips", headers=forged)
        problem(answer, 401)
        assert answer.headers["Strict-Transport-Security"]
    assert asked == ["127.0.0.1"] * 3


def test_a_body_too_large_is_refused_by_the_gateway_in_its_own_words(client):
    raw = b" " * (16 * 1024 * 1024 + 1)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = client.request("POST", "/v1/enterprises/batch", raw=raw, headers=headers)
    said = problem(answer, 413)
    assert said["detail"] == f"At most {16 * 1024 * 1024} bytes."


def test_the_figures_of_the_process_are_not_for_those_outside(client):
    assert client.request("GET", "/metrics").status == 404
    assert client.request("GET", "/livez").status == 200


def test_the_health_of_the_proxy_is_its_own(client):
    assert client.request("GET", "/proxy/livez").data == b"alive\n"
    command = " ".join(compose()["services"]["proxy"]["healthcheck"]["test"])
    assert "/proxy/livez" in command


@pytest.mark.parametrize(("version", "spoken"), [("-tls1_1", False), ("-tls1_2", True)])
def test_old_tls_is_not_spoken(proxy, version, spoken):
    """The client's own bounds are lowered, so that it is the proxy that refuses."""
    where = ["-connect", f"127.0.0.1:{proxy.port}", "-cipher", "ALL:@SECLEVEL=0"]
    done = subprocess.run(
        ["openssl", "s_client", version, *where], input=b"", capture_output=True, check=False
    )
    assert (done.returncode == 0) == spoken, done.stderr


def test_a_stream_of_events_is_passed_on_as_it_comes(tmp_path, secrets):
    """The proxy holds nothing of it back; here a server says one thing and waits for a sign."""
    heard = eventlet.event.Event()
    listening = eventlet.listen(("127.0.0.1", 0))

    def say_and_wait():
        connection, _ = listening.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        heard.wait()
        connection.sendall(b"data: 2\n\n")
        connection.close()

    said = eventlet.spawn(say_and_wait)
    replaced = {
        "/run/secrets/": f"{secrets}/",
        "http://gateway:8000": f"http://127.0.0.1:{listening.getsockname()[1]}",
    }
    with available(servers.nginx(tmp_path, CONFIG.read_text(), replaced, "8443")) as server:
        trusted = str(secrets / "tls_certificate")
        with (
            urllib3.PoolManager(ca_certs=trusted, retries=False) as http,
            eventlet.Timeout(PATIENCE),
        ):
            url = f"https://localhost:{server.port}/v1/events/stream"
            stream = http.request("GET", url, preload_content=False)
            pieces = stream.stream()
            assert next(pieces) == b"data: 1\n\n"
            heard.send()
            assert next(pieces) == b"data: 2\n\n"
            stream.close()
    said.wait()


def test_the_certificate_is_for_this_machine_and_its_key_fits(secrets):
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", secrets / "tls_certificate"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "DNS:localhost, IP Address:127.0.0.1" in shown.stdout
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(secrets / "tls_certificate", secrets / "tls_key")
