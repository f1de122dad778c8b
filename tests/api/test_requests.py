"""A request that is no request to this API is refused before anybody looks at what it asks."""

import json
import socket
import struct

import pytest

from chassis.http import application
from tests.api.conftest import problem

A = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        "{}".encode("utf-16"),
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b'{"headcount": NaN}',
        b'{"headcount": -Infinity}',
        b'{"headcount": 1' + b"0" * 5000 + b"}",
        b'{"name": "\x00"}',
        b'{"a":' * 50_000,
        b"[" * 2000 + b"]" * 2000,
    ],
    ids=lambda raw: repr(raw[:16]),
)
def test_a_body_that_is_no_json_object_is_unreadable(district, unchanged, raw):
    problem(district.client.request("POST", "/v1/enterprises", raw=raw), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-ndjson", "multipart/form-data", ""])
def test_another_media_type_is_refused(district, unchanged, say, kind):
    answer = district.client.request(
        "POST", "/v1/enterprises", say.enterprise(), {"Content-Type": kind}
    )
    problem(answer, 415)


def test_a_body_too_large_is_refused(district, unchanged, monkeypatch):
    monkeypatch.setattr(application, "LARGEST_BODY", 1000)
    raw = json.dumps({"name": "大" * 400}).encode()
    problem(district.client.request("POST", "/v1/enterprises", raw=raw), 413)
    problem(district.client.request("POST", "/v1/enterprises", raw=iter([raw, raw])), 413)


@pytest.mark.parametrize("key", [None, "", "   ", '""', "k" * 201, "schlüssel"])
def test_a_post_without_a_fit_key_is_refused(district, unchanged, say, key):
    headers = (
        A
        | {"Authorization": f"Bearer {district.client.token}"}
        | ({} if key is None else {"Idempotency-Key": key.encode("latin1")})
    )
    raw = json.dumps(say.enterprise()).encode()
    for path in ("/v1/enterprises", "/v1/enterprises/batch", "/v1/clock"):
        answer = district.client.http.request(
            "POST", district.client.base + path, body=raw, headers=headers
        )
        problem(answer, 400)


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/filings", "/v1/filing", "/v1//filings"])
def test_an_unknown_route_is_not_found(district, unchanged, path):
    problem(district.client.request("GET", path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/filings", "GET, HEAD, POST"),
        ("PUT", "/v1/patrols/abc", "GET, HEAD"),
        ("GET", "/v1/clock", "POST"),
        ("GET", "/v1/enterprises/abc/roster", "POST"),
        ("POST", "/v1/statistics", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
        ("BREW", "/v1/slips", "GET, HEAD"),
    ],
)
def test_another_method_is_told_which_are_allowed(district, unchanged, method, path, allowed):
    answer = district.client.request(method, path)
    problem(answer, 405)
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=",
        "limit=-1",
        "limit=1e1",
        "limit=%D9%A1",
        "after=garbage",
        "after=-1",
        "after=99999999999999999999",
        "after=" + "9" * 5000,
        "state=open&state=closed",
        "state=%00",
        "limit=1&limit=2",
    ],
    ids=lambda query: query[:30],
)
def test_a_query_that_means_nothing_is_refused(district, query):
    problem(district.client.request("GET", f"/v1/enterprises?{query}"), 400)


def test_a_host_that_is_none_is_refused(district):
    for host in ("a..b", "h" * 300):
        problem(district.client.request("GET", "/livez", headers={"Host": host}), 400)


def test_a_connection_that_breaks_off_ends_nothing_but_itself(district, unchanged):
    port = district.running.port
    for sent in (b"GET /li", b"POST /v1/enterprises HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert district.client.request("GET", "/livez").status == 200
