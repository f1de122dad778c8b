"""Webhooks: whoever wants to be told is told, signed, in order, until it is taken or given up."""

import base64
import hashlib
import hmac
import json

import pytest
from sqlalchemy import select, update

from services.gateway.tables import audit, webhook_secrets
from services.gateway.webhooks import endpoints as registering
from tests.api.conftest import problem
from tests.api.test_feed import feed
from tests.api.webhooks import REGISTERED, history, keys_in_order, since
from tests.receivers import receiving, until


@pytest.fixture(scope="module")
def district(calling_district):
    return calling_district


# being told


def test_a_subscriber_is_told_of_all_that_happens_signed_and_in_the_order_of_each_key(
    district, webhook
):
    with receiving() as receiver:
        made = webhook(receiver)
        district.visit(district.reopened("restaurant"), ["dine_in"])
        expected = since(district, made)
        until(lambda: len(receiver.firsts()) == len(expected))
        told = [got.verified(made["secret"]) for got in receiver.got]
        assert sorted(told, key=lambda event: event["position"]) == expected
        assert keys_in_order(told) == keys_in_order(expected)
        for got in receiver.got:
            assert got.headers["webhook-id"] == got.event["id"]
            assert got.headers["content-type"].startswith("application/cloudevents+json")
            assert got.headers["user-agent"] == "Bihuan-Webhooks/1"
            assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
        until(lambda: all(d["state"] == "delivered" for d in history(district, made)))
        assert [d["event"] for d in history(district, made)] == [
            event["id"] for event in reversed(expected)
        ]


def test_a_signature_is_what_the_standard_says(district, webhook):
    with receiving() as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: receiver.got)
    (got,) = receiver.got
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    assert len(key) == 32
    identity, moment = got.headers["webhook-id"], got.headers["webhook-timestamp"]
    signed = hmac.new(key, f"{identity}.{moment}.".encode() + got.body, hashlib.sha256).digest()
    assert got.headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"


def test_a_subscriber_is_told_only_of_what_it_wants(district, webhook):
    shop = district.register()
    with receiving() as types, receiving() as one, receiving() as grid:
        webhook(types, types=["filing-submitted", "visit-planned"])
        webhook(one, enterprise=shop)
        webhook(grid, types=REGISTERED, grid="350503004")
        other, there = district.register("restaurant"), district.register(grid="350503004")
        district.file(shop)
        district.file(other)
        until(lambda: len(types.got) >= 3 and len(grid.got) >= 1)
        assert {got.event["type"] for got in types.got} == {"filing-submitted", "visit-planned"}
        assert [got.event["partitionkey"] for got in grid.got] == [there]
        until(lambda: "enterprise-reopened" in {got.event["type"] for got in one.got})
        assert {got.event["partitionkey"] for got in one.got} == {shop}


def test_a_subscriber_may_begin_with_what_has_been(district, webhook):
    everything = feed(district, limit=100)
    with receiving() as receiver:
        webhook(receiver, after=0)
        until(lambda: len(receiver.firsts()) >= len(everything))
        assert keys_in_order(receiver.firsts()) == keys_in_order(feed(district, limit=100))


# registering


def test_a_registration_is_repeatable_and_shows_its_secret_to_nobody_else(district, webhook):
    with receiving() as receiver:
        asked = {"url": receiver.url, "types": REGISTERED}
        made = district.client.post("/v1/webhooks", asked, Idempotency_Key="tax-1")
        assert district.client.post("/v1/webhooks", asked, Idempotency_Key="tax-1") == made
        other = asked | {"types": []}
        key = {"Idempotency-Key": "tax-1"}
        problem(district.client.request("POST", "/v1/webhooks", other, key), 422)
    path = f"/v1/webhooks/{made['id']}"
    assert district.client.get(path) == {n: v for n, v in made.items() if n != "secret"}
    assert district.client.get(path) in district.client.get("/v1/webhooks")["items"]
    assert district.client.get(f"/v1/commands/{made['id']}")["state"] == "done"
    store = district.store("gateway")
    with store.engine.connect() as connection:
        sealed = connection.scalar(
            select(webhook_secrets.c.secret).where(webhook_secrets.c.webhook_id == made["id"])
        )
        (entry,) = connection.execute(select(audit).where(audit.c.about == made["id"])).all()
    assert made["secret"] not in sealed
    assert (entry.what, entry.who) == ("register-webhook", "tester")
    assert json.loads(entry.content) == {"command_id": made["id"], "outcome": "done"}
    district.client.post(f"{path}/disabling")


@pytest.mark.parametrize(
    ("wrong", "pointers"),
    [
        ({"url": "http://"}, ["#/url"]),
        ({"url": "ftp://127.0.0.1/"}, ["#/url"]),
        ({"url": "http://user@127.0.0.1/"}, ["#/url"]),
        ({"url": "http://169.254.169.254/latest"}, ["#/url"]),
        ({"url": 7, "color": "red"}, ["#/url", "#/color"]),
        ({"types": ["command-settled"]}, ["#/types"]),
        ({"types": "enterprise-registered"}, ["#/types"]),
        ({"grid": "9", "enterprise": "$"}, ["#/grid", "#/enterprise"]),
        ({"after": 10**9}, ["#/after"]),
        ({"after": "0"}, ["#/after"]),
    ],
)
def test_a_registration_that_cannot_be_is_refused_field_by_field(district, wrong, pointers):
    asked = {"url": "http://127.0.0.1:9/"} | wrong
    problem(district.client.request("POST", "/v1/webhooks", asked), 422, *pointers)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "https://127.0.0.1/", "https://[::1]/", "https://10.1.2.3/",
            "https://[::ffff:127.0.0.1]/", "https://0/", "https://2130706433/"],
)  # fmt: skip
def test_nobody_has_an_address_inside_called_unless_told_so(district, monkeypatch, url):
    monkeypatch.setattr(
        district.service("gateway").components.dispatcher.http_client, "private", False
    )
    problem(district.client.request("POST", "/v1/webhooks", {"url": url}), 422, "#/url")


def test_a_post_without_a_key_or_about_nothing_is_refused(district, webhook):
    with receiving() as receiver:
        path = f"/v1/webhooks/{webhook(receiver)['id']}"
    for end in ("/secret", "/disabling", "/enabling", "/redelivery"):
        body = {"after": 0} if end == "/redelivery" else {}
        blank = {"Idempotency-Key": ""}
        problem(district.client.request("POST", path + end, body, blank), 400)
        problem(district.client.request("POST", f"/v1/webhooks/none{end}", body), 404)
        wrong = district.client.request("POST", path + end, {"color": "red"})
        problem(wrong, 422, "#/color")
    problem(district.client.request("GET", "/v1/webhooks/none"), 404)
    problem(district.client.request("GET", "/v1/webhooks/none/deliveries"), 404)
    problem(district.client.request("GET", f"{path}/deliveries?state=lost"), 400)
    problem(district.client.request("POST", f"{path}/redelivery", {}), 422)
    problem(district.client.request("POST", f"{path}/redelivery", {"event": "none"}), 404)


def test_there_are_only_so_many(district, webhook, monkeypatch):
    with receiving() as receiver:
        first = webhook(receiver)
        monkeypatch.setattr(registering, "MOST", 1)
        asked = {"url": receiver.url}
        problem(district.client.request("POST", "/v1/webhooks", asked), 409)
        district.client.post(f"/v1/webhooks/{first['id']}/disabling")
        webhook(receiver)
        path = f"/v1/webhooks/{first['id']}/enabling"
        problem(district.client.request("POST", path, {}), 409)


# secrets


def test_both_secrets_sign_while_one_is_exchanged(district, webhook):
    with receiving() as receiver:
        made = webhook(receiver, types=REGISTERED)
        path = f"/v1/webhooks/{made['id']}/secret"
        fresh = district.client.post(path, Idempotency_Key="rotation-1")
        assert district.client.post(path, Idempotency_Key="rotation-1") == fresh
        assert fresh["earlier_until"]
        assert fresh["secret"] != made["secret"]
        district.register()
        until(lambda: receiver.got)
        (got,) = receiver.got
        assert got.verified(made["secret"]) == got.verified(fresh["secret"]) == got.event

        with district.store("gateway").write() as uow:  # a day passes
            ended = webhook_secrets.c.ends_at.is_not(None)
            uow.execute(update(webhook_secrets).where(ended).values(ends_at=1.0))
        district.register()
        until(lambda: len(receiver.got) == 2)
        assert receiver.got[1].verified(fresh["secret"])
        assert receiver.got[1].headers["webhook-signature"].count("v1,") == 1
