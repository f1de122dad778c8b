"""What every answer says beside its content: security, rates, and pages of other origins."""

import pytest

from chassis.messaging.memory_bus import EmbeddedBus
from services.gateway.access.callers import Caller
from services.gateway.resources.roles import Role
from tests.api.conftest import Sentences, problem
from tests.district import Client, TestDistrict

PAGE = {"Origin": "https://pages.example.org"}
STRANGER = {"Origin": "https://elsewhere.example.org"}
FORWARDED = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/enterprises", 200),
        ("GET", "/v1/enterprises/nobody", 404),
        ("POST", "/v1/enterprises", 422),
        ("DELETE", "/v1/enterprises", 405),
        ("GET", "/nowhere", 404),
    ],
)
def test_every_answer_says_how_a_browser_may_take_it(district, method, path, status):
    answer = district.client.request(method, path, {} if method == "POST" else None)
    assert answer.status == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["Content-Security-Policy"] == policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Server" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers
    assert "RateLimit" not in answer.headers, "there is no limit unless one is set"


def test_who_is_not_known_is_told_in_the_same_way(district):
    answer = Client(district.client.base).request("GET", "/v1/enterprises")
    problem(answer, 401)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_document_may_be_kept_by_who_asked_and_is_asked_for_again(district):
    shop = district.register()
    answer = district.client.request("GET", f"/v1/enterprises/{shop}")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = {"If-None-Match": answer.headers["ETag"]}
    assert district.client.request("GET", f"/v1/enterprises/{shop}", headers=again).status == 304


# -- behind a proxy


def test_only_a_proxy_that_is_trusted_says_that_the_client_speaks_tls(district, make_district):
    assert "Strict-Transport-Security" not in (
        district.client.request("GET", "/livez", headers=FORWARDED).headers
    )
    behind = make_district(trusted_proxies="127.0.0.0/8")
    answer = behind.client.request("GET", "/livez", headers=FORWARDED)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_behind_a_trusted_proxy_each_client_has_a_rate_of_its_own(make_district):
    limits = {"rate_limit": 0.001, "rate_burst": 3}
    behind = make_district(trusted_proxies="127.0.0.1", **limits)
    nobody = Client(behind.client.base)

    def ask(client):
        return nobody.request("GET", "/v1/slips", headers={"X-Forwarded-For": client}).status

    assert [ask("198.51.100.1") for _ in range(4)] == [401, 401, 401, 429]
    assert ask("198.51.100.2") == 401
    assert ask("6.6.6.6, 198.51.100.1") == 429, "what the client makes up is not believed"

    alone = Client(make_district(**limits).client.base)
    said = [f"198.51.100.{number}" for number in range(4)]
    answers = [alone.request("GET", "/", headers={"X-Forwarded-For": one}).status for one in said]
    assert answers == [404, 404, 404, 429]


# -- rates


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A district in which everybody has six requests, and then one in a quarter of an hour."""
    folder = tmp_path_factory.mktemp("limited")
    running = TestDistrict(folder, EmbeddedBus(), rate_limit=0.001, rate_burst=6)
    yield running
    running.stop()


def test_one_request_too_many_is_refused_and_told_when_to_come_back(limited):
    client = limited.client_as(Caller("eager", frozenset({Role.INSPECTOR})))
    answers = [client.request("GET", "/v1/slips") for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 6
    assert answers[0].headers["RateLimit-Policy"] == '"client";q=6;w=6000'
    assert answers[0].headers["RateLimit"] == '"client";r=5;t=1000'
    over = client.request("GET", "/v1/slips")
    assert problem(over, 429)["type"] == "urn:bihuan:problem:too-many-requests"
    assert 990 <= int(over.headers["Retry-After"]) <= 1000
    assert over.headers["RateLimit"].startswith('"client";r=0;t=')
    for _ in range(20):
        assert client.request("GET", "/livez").status == 200, "whoever looks after it may always"
    assert b'bihuan_http_refused_total{status="429"}' in client.request("GET", "/metrics").data


def test_one_caller_uses_up_nothing_of_another_at_the_same_address(limited):
    one, other = (
        limited.client_as(Caller(name, frozenset({Role.INSPECTOR}))) for name in ("one", "other")
    )
    assert [one.request("GET", "/v1/slips").status for _ in range(7)] == [200] * 6 + [429]
    assert other.request("GET", "/v1/slips").status == 200


def test_what_was_refused_for_the_rate_alone_has_done_nothing(limited):
    everybody = frozenset(Role)
    client, one, other = (limited.client_as(Caller(n, everybody)) for n in ("desk", "a", "b"))
    while client.request("GET", "/v1/slips").status == 200:
        pass
    before = one.get("/v1/complaints")["items"]
    problem(client.request("POST", "/v1/complaints", Sentences(limited).complaint()), 429)
    limited.settle()
    assert other.get("/v1/complaints")["items"] == before


# -- pages of other origins


def asks_first(district, path, origin, method="POST"):
    headers = {"Access-Control-Request-Method": method} | origin
    return Client(district.client.base).request("OPTIONS", path, headers=headers)


def names(text):
    return {name.strip() for name in text.split(",")}


def test_a_page_of_a_known_origin_is_told_what_it_may_send(pages):
    answer = asks_first(pages, "/v1/filings", PAGE)
    assert (answer.status, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
    assert names(answer.headers["Access-Control-Allow-Methods"]) == {"GET", "HEAD", "POST"}
    may = names(answer.headers["Access-Control-Allow-Headers"])
    assert may >= {"Authorization", "Idempotency-Key", "If-Match", "Prefer", "Content-Type"}
    assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_page_may_read_the_answers_also_the_refusals(pages):
    for client, status in ((pages.client, 200), (Client(pages.client.base), 401)):
        answer = client.request("GET", "/v1/filings", headers=PAGE)
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        shown = names(answer.headers["Access-Control-Expose-Headers"])
        assert shown >= {"Location", "ETag", "Link", "RateLimit", "RateLimit-Policy", "Retry-After"}


@pytest.mark.parametrize(
    "origin", [STRANGER, {"Origin": "null"}, {"Origin": "http://pages.example.org"}]
)
def test_a_page_of_another_origin_is_allowed_nothing(pages, origin):
    for answer in (
        asks_first(pages, "/v1/filings", origin),
        pages.client.request("GET", "/v1/filings", headers=origin),
    ):
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert "Origin" in answer.headers["Vary"], "a cache must keep the answers apart"
    assert asks_first(pages, "/v1/filings", origin).status == 405


def test_there_are_no_other_origins_unless_they_are_set(district):
    answer = district.client.request("GET", "/v1/filings", headers=PAGE)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert "Origin" not in answer.headers.get("Vary", "")
    assert asks_first(district, "/v1/filings", PAGE).status == 405


def test_a_path_that_is_none_is_allowed_nothing(pages):
    assert asks_first(pages, "/nowhere", PAGE).status == 404


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A district whose API pages of two other origins may use."""
    origins = "https://pages.example.org, http://localhost:3000"
    folder = tmp_path_factory.mktemp("pages")
    running = TestDistrict(folder, EmbeddedBus(), cors_origins=origins)
    yield running
    running.stop()
