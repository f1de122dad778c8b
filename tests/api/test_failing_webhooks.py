"""Webhooks that fail: what waits, what goes on, what is never called, and what a kill costs."""

import ssl

import pytest
from sqlalchemy import func, select, update

from chassis.http import client as http_client
from console.runtime.process import Child
from services.gateway.tables import deliveries, webhooks
from services.gateway.webhooks import deliveries as delivering
from services.gateway.webhooks.dispatcher import DAY, SCHEDULE
from tests import PATIENCE
from tests.api.certificates import certificate
from tests.api.test_feed import feed, stream
from tests.api.webhooks import REGISTERED, history, keys_in_order, shown, since
from tests.district import Client, token_in
from tests.receivers import (
    drop_by_drop,
    half_an_answer,
    hang_up,
    huge,
    never,
    nonsense,
    receiving,
    until,
)


@pytest.fixture(scope="module")
def district(calling_district):
    return calling_district


# what is not taken


def test_the_schedule_is_what_the_standard_recommends(district):
    assert SCHEDULE == (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert district.service("gateway").components.dispatcher.schedule is SCHEDULE


def test_what_fails_holds_back_its_own_key_and_no_other(district, webhook, dispatcher, monkeypatch):
    monkeypatch.setattr(dispatcher, "schedule", (0.3,) * 9)
    failed = {}

    def fail_first(got, _connection):
        """Refuse the first event that comes, twice: of either shop, since both are on their way."""
        key = got.event["partitionkey"]
        failed.setdefault("key", key)
        if key == failed["key"] and failed.setdefault("times", 0) < 2:
            failed["times"] += 1
            return "500 Internal Server Error"
        return "200 OK"

    with receiving(fail_first) as receiver:
        made = webhook(receiver)
        first, second = district.register(), district.register()
        district.file(first)
        expected = since(district, made)
        until(lambda: len(receiver.firsts()) == len(expected))
        came = [got.event for got in receiver.got]
        assert len(came) == len(expected) + 2
        ids = receiver.ids
        (refused,) = {one for one in ids if ids.count(one) == 3}
        last_try = len(ids) - 1 - ids[::-1].index(refused)
        keys = [event["partitionkey"] for event in came]
        assert set(keys[:last_try]) == {first, second}, "the other went on"
        held = [e["id"] for e in came[:last_try] if e["partitionkey"] == failed["key"]]
        assert held == [refused] * 2
        assert keys_in_order(receiver.firsts()) == keys_in_order(expected)
        tried = next(d for d in history(district, made) if d["event"] == refused)
        assert tried["attempts"] == 3
        assert [entry["status"] for entry in tried["history"]] == [500, 500, 200]


def test_what_is_never_taken_is_given_up_and_the_next_of_its_key_goes(
    district, webhook, dispatcher, monkeypatch
):
    monkeypatch.setattr(dispatcher, "schedule", (0.02, 0.02))

    def refuse(got, _connection):
        return "400 Bad Request" if got.event["type"] in REGISTERED else "204 No Content"

    with receiving(refuse) as receiver:
        made = webhook(receiver)
        district.register()
        until(lambda: "policy-issued" in {got.event["type"] for got in receiver.got})
        (given_up,) = history(district, made, "?state=given_up")
        assert (given_up["type"], given_up["attempts"]) == ("enterprise-registered", 3)
        assert given_up["next_try"] is None
        assert [entry["status"] for entry in given_up["history"]] == [400] * 3
        assert shown(district, made)["state"] == "active"

        receiver.behave = lambda _got, _connection: "204 No Content"
        path = f"/v1/webhooks/{made['id']}/redelivery"
        district.client.post(path, {"event": given_up["event"]})
        until(lambda: not history(district, made, "?state=given_up"))
        until(lambda: receiver.ids.count(given_up["event"]) == 4)


def test_a_failure_can_be_seen_and_when_it_is_tried_again(
    district, webhook, dispatcher, monkeypatch
):
    monkeypatch.setattr(dispatcher, "schedule", SCHEDULE)
    with receiving(hang_up) as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        (waiting,) = until(lambda: [d for d in history(district, made) if d["history"]])
    assert (waiting["state"], waiting["attempts"]) == ("waiting", 1)
    (entry,) = waiting["history"]
    assert entry["status"] is None
    assert entry["error"]
    assert waiting["next_try"] > entry["at"]
    assert shown(district, made)["failing_since"] == entry["at"]


def test_one_who_is_gone_is_disabled_and_can_be_enabled(district, webhook):
    with receiving(lambda _got, _connection: "410 Gone") as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: shown(district, made)["state"] == "disabled")
        assert shown(district, made)["reason"] == "It answered 410 Gone."
        district.register()
        assert len(receiver.got) == 1
        receiver.behave = lambda _got, _connection: "204 No Content"
        enabled = district.client.post(f"/v1/webhooks/{made['id']}/enabling")
        assert (enabled["state"], enabled["reason"]) == ("active", None)
        until(lambda: len(receiver.firsts()) == 2)
        assert receiver.firsts() == [e for e in since(district, made) if e["type"] in REGISTERED]


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_one_who_asks_for_a_pause_has_it_and_nothing_is_counted(district, webhook, status):
    with receiving(lambda _got, _connection: f"{status}\r\nRetry-After: 3600") as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: shown(district, made)["paused_until"])
        district.register()
        (tried,) = history(district, made)  # nothing more is taken from the feed meanwhile
        assert (tried["attempts"], len(tried["history"])) == (0, 1)
        assert len(receiver.got) == 1
        receiver.behave = lambda _got, _connection: "204 No Content"
        with district.store("gateway").write() as uow:  # the hour passes
            uow.execute(update(webhooks).where(webhooks.c.id == made["id"]).values(paused_until=0))
            uow.execute(update(deliveries).values(try_at=0.0))
        until(lambda: len(receiver.firsts()) == 2)


def test_a_short_pause_ends_by_itself(district, webhook):
    pauses = iter(["429 Too Many Requests\r\nRetry-After: 1"])
    with receiving(lambda _got, _connection: next(pauses, "204 No Content")) as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: history(district, made, "?state=delivered"))
        assert len(receiver.got) == 2


def test_a_grid_that_the_rules_no_longer_know_is_told_nothing(district, webhook):
    with receiving() as receiver, receiving() as other:
        gone, there = webhook(receiver, types=REGISTERED), webhook(other, types=REGISTERED)
        with district.store("gateway").write() as uow:
            uow.execute(update(webhooks).where(webhooks.c.id == gone["id"]).values(grid="9"))
        district.register()
        until(lambda: other.got)
        end = shown(district, there)["reached"]
        until(lambda: shown(district, gone)["reached"] >= end)
        assert history(district, gone) == []


def test_one_who_takes_nothing_for_days_is_disabled(district, webhook):
    with receiving(lambda _got, _connection: "500 Oh") as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: shown(district, made)["failing_since"])
        with district.store("gateway").write() as uow:  # five days pass
            back = webhooks.c.failing_since - 5 * DAY
            uow.execute(update(webhooks).values(failing_since=back))
        until(lambda: shown(district, made)["state"] == "disabled")
        assert shown(district, made)["reason"] == "It accepted nothing for 5 days."


# receivers that one may fear


def test_a_redirect_is_not_followed(district, webhook):
    with receiving() as elsewhere:
        moved = f"307 Temporary Redirect\r\nLocation: {elsewhere.url}"
        with receiving(lambda _got, _connection: moved) as receiver:
            made = webhook(receiver, types=REGISTERED)
            district.register()
            tried = until(lambda: [d for d in history(district, made) if d["attempts"] > 1])
        assert {entry["status"] for entry in tried[0]["history"]} == {307}
        assert elsewhere.got == []


@pytest.mark.parametrize("behave", [never, drop_by_drop, hang_up, nonsense])
def test_one_who_does_not_answer_holds_up_nobody_else(
    district, webhook, dispatcher, monkeypatch, behave
):
    monkeypatch.setattr(dispatcher.http_client, "within", 0.3)
    with receiving(behave) as bad, receiving() as good:
        hopeless, well = webhook(bad), webhook(good)
        for _ in range(3):
            district.register()
        expected = since(district, well)
        until(lambda: len(good.firsts()) == len(expected))
        failed = until(lambda: [d for d in history(district, hopeless) if d["attempts"] > 1])
        assert failed[-1]["history"][0]["error"]
        assert shown(district, well)["failing_since"] is None


@pytest.mark.parametrize("behave", [huge, half_an_answer])
def test_of_an_answer_only_the_beginning_counts(district, webhook, dispatcher, monkeypatch, behave):
    monkeypatch.setattr(dispatcher.http_client, "within", 1.0)
    with receiving(behave) as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        (taken,) = until(lambda: history(district, made, "?state=delivered"))
        assert taken["history"][0]["status"] == 200


def test_while_all_is_well_eight_are_tried_at_a_time(district, webhook, dispatcher, monkeypatch):
    """None is answered before eight are there, each of another enterprise."""
    monkeypatch.setattr(dispatcher.http_client, "within", 2 * PATIENCE)
    with receiving() as receiver:
        receiver.behave = lambda _got, _connection: (
            "204 No Content" if until(lambda: len(receiver.got) >= 8) else None
        )
        made = webhook(receiver, types=REGISTERED)
        shops = {district.register() for _ in range(10)}
        until(lambda: len(history(district, made, "?state=delivered")) == 10)
        assert {got.event["partitionkey"] for got in receiver.got} == shops


def test_while_all_fails_one_thing_is_tried_at_a_time(district, webhook, dispatcher, monkeypatch):
    monkeypatch.setattr(dispatcher.http_client, "within", 0.2)
    monkeypatch.setattr(dispatcher, "schedule", SCHEDULE)
    monkeypatch.setattr(
        "services.gateway.webhooks.dispatcher.LOOK_EVERY", 0.02
    )  # also while one is tried
    under_way, together, post = [], [], dispatcher.http_client.post

    def counted(*given):
        under_way.append(given)
        together.append(len(under_way))
        try:
            return post(*given)
        finally:
            under_way.pop()

    monkeypatch.setattr(dispatcher.http_client, "post", counted)
    with receiving(never) as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: shown(district, made)["failing_since"])
        for _ in range(4):
            district.register()
        until(lambda: len(together) == 5)
        assert set(together) == {1}


def test_the_feed_waits_while_too_much_waits_to_be_delivered(
    district, webhook, dispatcher, monkeypatch
):
    monkeypatch.setattr(delivering, "MOST_WAITING", 2)
    monkeypatch.setattr("services.gateway.webhooks.dispatcher.AT_ONCE", 1)
    with receiving(lambda _got, _connection: "500 Oh") as receiver:
        made = webhook(receiver, types=REGISTERED)
        shops = [district.register() for _ in range(5)]
        until(lambda: len(history(district, made)) == 2)
        receiver.behave = lambda _got, _connection: "204 No Content"
        until(lambda: len(history(district, made, "?state=delivered")) == 5)
        taken = history(district, made, "?state=delivered")
        assert [d["partitionkey"] for d in reversed(taken)] == shops


# addresses


def test_of_several_addresses_one_that_answers_is_called(
    district, webhook, dispatcher, monkeypatch
):
    monkeypatch.setattr(http_client, "addresses_of", lambda *_: ["::1", "127.0.0.1"])
    with receiving() as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        (taken,) = until(lambda: history(district, made, "?state=delivered"))
        assert taken["attempts"] == 1


def test_a_name_that_comes_to_lead_inside_is_not_called(district, webhook, dispatcher, monkeypatch):
    """The name is public when it is registered, and this machine when it is called."""
    looked_up = []

    def rebound(host, _port):
        looked_up.append(host)
        return ["1.1.1.1"] if len(looked_up) == 1 else ["127.0.0.1"]

    monkeypatch.setattr(http_client, "addresses_of", rebound)
    monkeypatch.setattr(dispatcher.http_client, "private", False)
    with receiving() as receiver:
        url = f"https://tax.example:{receiver.port}/events"
        made = district.client.post("/v1/webhooks", {"url": url, "types": REGISTERED})
        district.register()
        (tried,) = until(lambda: [d for d in history(district, made) if d["history"]])
        district.client.post(f"/v1/webhooks/{made['id']}/disabling")
        words = "The URL leads to 127.0.0.1, which is not a public address."
        assert tried["history"][0]["error"] == words
        assert receiver.got == []


def test_the_address_that_was_judged_is_called_by_the_name_that_was_given(
    district, webhook, dispatcher, monkeypatch, tmp_path
):
    """Each connection looks the name up once, and the certificate must be the name's."""
    looked_up = []

    def resolve(host, _port):
        looked_up.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(http_client, "addresses_of", resolve)
    paths = {host: certificate(tmp_path / host, host) for host in ("tax.example", "evil.example")}
    monkeypatch.setenv("SSL_CERT_FILE", str(paths["tax.example"].authority))
    for host, states in (("tax.example", "delivered"), ("evil.example", "waiting")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(paths["tax.example"].chain, paths["tax.example"].key)
        asked_for = []
        context.sni_callback = lambda _s, name, _c, asked_for=asked_for: asked_for.append(name)
        with receiving(tls=context) as receiver:
            url = f"https://{host}:{receiver.port}/events"
            looked_up.clear()
            made = district.client.post("/v1/webhooks", {"url": url, "types": REGISTERED})
            district.register()
            tried = until(lambda made=made: [d for d in history(district, made) if d["history"]])
            district.client.post(f"/v1/webhooks/{made['id']}/disabling")
            assert tried[0]["state"] == states, tried
            assert set(asked_for) == {host}
            until(lambda asked_for=asked_for: len(looked_up) == 1 + len(asked_for))
            if states == "delivered":
                assert receiver.got[0].headers["host"] == f"{host}:{receiver.port}"
            else:
                assert receiver.got == []
                assert "Hostname mismatch" in tried[0]["history"][0]["error"]


# going back, going away, being killed


def test_everything_can_be_had_again_from_a_position_on(district, webhook):
    with receiving() as receiver:
        made = webhook(receiver)
        district.register()
        expected = since(district, made)
        until(lambda: len(receiver.got) == len(expected))
        after = expected[0]["position"]
        path = f"/v1/webhooks/{made['id']}/redelivery"
        again = district.client.post(path, {"after": after}, Idempotency_Key="again-1")
        assert again == {"id": made["id"], "after": after}
        until(lambda: len(receiver.got) == 2 * len(expected) - 1)
        assert district.client.post(path, {"after": after}, Idempotency_Key="again-1") == again
        ids = [event["id"] for event in expected]
        assert receiver.ids == ids + ids[1:]
        until(lambda: not history(district, made, "?state=waiting"))


def test_what_is_disabled_goes_on_later_without_a_gap(district, webhook):
    with receiving() as receiver:
        made = webhook(receiver)
        district.register()
        until(lambda: len(receiver.firsts()) == len(since(district, made)))
        district.client.post(f"/v1/webhooks/{made['id']}/disabling")
        before = len(receiver.got)
        district.register()
        assert len(receiver.got) == before
        district.client.post(f"/v1/webhooks/{made['id']}/enabling")
        until(lambda: len(receiver.firsts()) == len(since(district, made)))


def test_who_was_away_for_an_hour_catches_up_each_way_without_a_gap(make_district):
    district = make_district(webhooks_to="private")
    district.begin()
    district.service("gateway").components.dispatcher.schedule = (0.05,) * 9
    with receiving(lambda _got, _connection: "500 Away") as receiver:
        made = district.client.post("/v1/webhooks", {"url": receiver.url})
        with stream(district, f"after={made['reached']}") as open_one:
            shop = district.reopened("restaurant")
            open_one.next()
            last = open_one.last
        page = district.client.get("/v1/events?limit=100")
        district.visit(shop, ["dine_in"])
        district.client.post("/v1/clock", {"at": "2020-02-10T01:00:00+08:00"})
        district.complain(shop)
        receiver.behave = lambda _got, _connection: "204 No Content"
        everything = feed(district)
        ids = [event["id"] for event in everything]
        district.client.post(f"/v1/webhooks/{made['id']}/enabling")
        expected = since(district, made)
        until(lambda: {e["id"] for e in expected} == set(receiver.ids) and not waiting(district))
        rest = district.client.get(f"/v1/events?limit=100&after={page['next']}")["items"]
        assert [event["id"] for event in page["items"] + rest] == ids
        with stream(district, last=last) as open_one:
            missed = [event for event in everything if event["position"] > int(last)]
            assert open_one.some(len(missed)) == missed
    assert keys_in_order(receiver.firsts()) == keys_in_order(expected)
    assert "hour-began" in {event["type"] for event in rest}


def waiting(district):
    with district.store("gateway").engine.connect() as connection:
        undelivered = deliveries.c.state == "waiting"
        return connection.scalar(select(func.count()).where(undelivered))


def test_a_kill_at_any_moment_costs_no_event(tmp_path, monkeypatch):
    """Killed while a request is on its way and others wait; started again on the same data."""
    monkeypatch.setenv("WEBHOOKS_TO", "private")
    with receiving(never) as receiver:
        with Child(tmp_path / "data", 0) as child:
            client = Client(child.base, token_in(tmp_path / "data"))
            client.post("/v1/clock", {"at": "2020-02-10T00:00:00+08:00"})
            made = client.post("/v1/webhooks", {"url": receiver.url, "after": 0})
            for number in range(4):
                register(client, number)
            until(lambda: len(receiver.got) >= 3)
            child.kill()
        receiver.behave = lambda _got, _connection: "204 No Content"
        with Child(tmp_path / "data", 0) as child:
            client = Client(child.base, token_in(tmp_path / "data"))
            until(lambda: client.request("GET", "/readyz").status == 200)
            register(client, 4)
            settled = f"/v1/webhooks/{made['id']}/deliveries?state=waiting"
            until(lambda: len(receiver.firsts()) == len(every(client)))
            until(lambda: not client.get(settled)["items"])
            expected = every(client)
            assert keys_in_order(receiver.firsts()) == keys_in_order(expected)
            assert all(got.verified(made["secret"]) for got in receiver.got)


def every(client):
    return client.get("/v1/events?limit=100")["items"]


def register(client, number):
    from console.demo.synthetic import credit_code

    asked = {
        "credit_code": credit_code(number), "name": "閉環小館", "kind": "sole_trader",
        "size": "micro", "industry": "H6210", "premises": "shop", "grid": "350503003",
    }  # fmt: skip
    client.post("/v1/enterprises", asked, Idempotency_Key=f"shop-{number}")


def test_operations_see_how_deliveries_end_and_how_long_the_oldest_waits(district, webhook):
    with receiving(lambda _got, _connection: "500 Oh") as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: metric(district, 'bihuan_webhook_attempts_total{outcome="failed"}') > 0)
        until(lambda: metric(district, "bihuan_webhook_oldest_seconds") > 0)
        receiver.behave = lambda _got, _connection: "204 No Content"
        until(lambda: history(district, made, "?state=delivered"))
    assert metric(district, 'bihuan_webhook_attempts_total{outcome="delivered"}') > 0


def metric(district, name):
    text = district.client.request("GET", "/metrics").data.decode()
    return next(float(li.rpartition(" ")[2]) for li in text.splitlines() if li.startswith(name))
