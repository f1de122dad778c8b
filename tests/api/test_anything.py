"""Whatever is sent, the API answers, and never by failing."""

import itertools
import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from chassis.messaging import parked
from services.gateway.resources import POSTS

keys = itertools.count(1)
ANYTIME = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TEXT = some.text(some.characters(codec=None), max_size=20)
LEAVES = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(),
    some.floats(allow_nan=False),
    TEXT,
    some.sampled_from(
        ["", "\0", "\ud800", "2020-02-10", "0001-01-01", "9999-12-31", "350503004", "shop", "H6210"]
    ),
)
VALUES = some.recursive(
    LEAVES, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3)
)
TAKEN = [p for p in POSTS if not p.of]


def bodies(post):
    """Bodies that are nearly right: the fields of the command, each with anything in it."""
    fields = sorted(post.command.describe())
    named = some.fixed_dictionaries({}, optional=dict.fromkeys(fields, VALUES))
    return some.tuples(named, some.dictionaries(TEXT, VALUES, max_size=1)).map(
        lambda p: p[0] | p[1]
    )


def send(district, path, raw, kind="application/json", **headers):
    headers |= {"Content-Type": kind, "Idempotency-Key": f"any-{next(keys)}"}
    answer = district.client.request("POST", path, headers=headers, raw=raw)
    assert answer.status < 500, (raw, answer.data)
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status
    return answer


@pytest.mark.parametrize("post", TAKEN, ids=lambda post: post.path)
def test_no_body_makes_a_route_fail(district, post):
    @ANYTIME
    @given(bodies(post))
    def check(body):
        assert send(district, post.path, json.dumps(body).encode()).status != 202

    check()


def test_no_nearly_good_enterprise_makes_a_service_fail(district, say):
    good = say.enterprise()

    @ANYTIME
    @given(some.sampled_from(sorted(good)), VALUES)
    def check(field, value):
        body = say.enterprise() | {field: value}
        assert send(district, "/v1/enterprises", json.dumps(body).encode()).status != 202

    check()


def test_no_nearly_good_filing_makes_a_service_fail(district, say):
    shop = district.register("restaurant")

    @ANYTIME
    @given(some.sampled_from(sorted(say.filing(shop))), VALUES)
    def check(field, value):
        answer = send(
            district, "/v1/filings", json.dumps(say.filing(shop) | {field: value}).encode()
        )
        assert answer.status != 202

    check()


@ANYTIME
@given(raw=some.binary(max_size=60))
def test_no_bytes_make_a_route_fail(district, raw):
    send(district, "/v1/enterprises", raw)
    send(district, "/v1/clock", raw)
    send(district, "/v1/medics/batch", raw, "application/x-ndjson")
    send(district, "/v1/medics/batch", raw, "text/csv")


@ANYTIME
@given(cells=some.lists(some.lists(TEXT, max_size=4), max_size=4))
def test_no_cells_make_a_batch_fail(district, cells):
    rows = [["name", "identity", "institution"], *cells]
    text = "\n".join(",".join(row) for row in rows)
    raw = text.encode("utf-8", "replace")
    answer = send(district, "/v1/medics/batch", raw, "text/csv", Prefer="respond-async")
    assert answer.status in {200, 202, 400}


@ANYTIME
@given(path=TEXT, name=TEXT, value=TEXT)
def test_no_address_makes_a_route_fail(district, path, name, value):
    query = urlencode({name: value, "state": value}, errors="surrogatepass")
    named = quote(path, safe="", errors="surrogatepass")
    for target in (f"/v1/filings/{named}?{query}", f"/v1/filings?{query}", f"/{named}"):
        assert district.client.request("GET", target).status < 500


def test_nothing_of_all_this_is_stuck(district):
    district.settle()
    for name in district.running.hosts:
        assert not parked.counts(district.store(name)).get(parked.EXHAUSTED)
        assert not parked.counts(district.store(name)).get(parked.RETRYING)
