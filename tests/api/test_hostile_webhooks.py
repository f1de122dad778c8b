"""What goes wrong for one webhook is a failed attempt of that one, and the end of nothing else."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from chassis.messaging import parked
from services.gateway.tables import webhooks
from services.gateway.webhooks.dispatcher import SCHEDULE
from tests.api.webhooks import REGISTERED, history, shown, since
from tests.receivers import receiving, until
from tests.strangers import stranger


@pytest.fixture(scope="module")
def district(calling_district):
    return calling_district


def test_a_receiver_that_says_wait_for_ever_is_given_up_and_the_process_answers(
    district, webhook, dispatcher, monkeypatch
):
    monkeypatch.setattr(dispatcher.http_client, "within", 0.5)
    with stranger("100 without end") as peer, receiving() as good:
        made, well = webhook(peer, types=REGISTERED), webhook(good, types=REGISTERED)
        district.register()
        assert peer.heard() == "cut off"
        assert district.client.request("GET", "/livez").status == 200
        failed = until(lambda: [d for d in history(district, made) if d["attempts"] > 1])
        assert failed[0]["history"][0]["status"] is None
        until(
            lambda: good.firsts() == [e for e in since(district, well) if e["type"] in REGISTERED]
        )


@pytest.mark.parametrize(
    "pause",
    ["Wed, 21 Oct 20150000000 07:28:00 GMT", "-1", "nan", "soon", "²", "9" * 5000 + " GMT"],
)
def test_a_pause_that_cannot_be_read_is_a_failed_attempt(
    district, webhook, dispatcher, monkeypatch, pause
):
    monkeypatch.setattr(dispatcher, "schedule", SCHEDULE)
    said = f"429 Too Many Requests\r\nRetry-After: {pause}"
    with receiving(lambda _got, _connection: said) as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        (tried,) = until(lambda: [d for d in history(district, made) if d["history"]])
        assert (tried["attempts"], len(tried["history"])) == (1, 1)
        assert tried["next_try"] > tried["history"][0]["at"]
        assert shown(district, made)["paused_until"] is None


@pytest.mark.parametrize(
    "pause", ["9" * 400, "86402", "Fri, 31 Dec 9999 23:59:59 GMT"], ids=["ages", "more", "date"]
)
def test_a_pause_of_ages_is_one_of_a_day(district, webhook, pause):
    said = f"503 Service Unavailable\r\nRetry-After: {pause}"
    with receiving(lambda _got, _connection: said) as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        ends = until(lambda: shown(district, made)["paused_until"])
        assert len(receiver.got) == 1
        (tried,) = history(district, made)
        begins = datetime.fromisoformat(tried["history"][0]["at"])
        assert datetime.fromisoformat(ends) - begins == timedelta(days=1)


@pytest.mark.parametrize("broken", ["http_client.post", "feed.at", "_seal.open"])
def test_whatever_goes_wrong_in_an_attempt_is_a_failed_attempt(
    district, webhook, dispatcher, monkeypatch, broken
):
    monkeypatch.setattr(dispatcher, "schedule", SCHEDULE)

    def fail(*_given):
        raise RuntimeError("nobody has thought of that")

    with receiving() as receiver:
        made = webhook(receiver, types=REGISTERED)
        part, _, name = broken.partition(".")
        monkeypatch.setattr(getattr(dispatcher, part), name, fail)
        district.register()
        (tried,) = until(lambda: [d for d in history(district, made) if d["history"]])
        assert (tried["state"], tried["attempts"], len(tried["history"])) == ("waiting", 1, 1)
        assert tried["history"][0]["error"] == "RuntimeError: nobody has thought of that"
        assert receiver.got == []


@pytest.mark.parametrize("error", [RuntimeError("oh"), OperationalError("", {}, Exception("full"))])
def test_one_whose_attempts_cannot_be_noted_is_left_alone_for_longer_each_time(
    district, webhook, dispatcher, monkeypatch, error
):
    """A full disk, say: what is read is read, and nothing can be written."""
    tries = []

    def pause(number):
        tries.append(number)
        return 0.05 if number < 3 else 3600

    monkeypatch.setattr(parked, "pause", pause)
    with receiving() as bad, receiving() as good:
        made, well = webhook(bad, types=REGISTERED), webhook(good, types=REGISTERED)
        settle = dispatcher.deliveries.settle

        def note(row, attempt):
            if row.webhook_id == made["id"]:
                raise error
            return settle(row, attempt)

        monkeypatch.setattr(dispatcher.deliveries, "settle", note)
        district.register()
        until(lambda: tries == [1, 2, 3])
        district.register()
        until(lambda: len(good.firsts()) == 2)
        assert len(bad.got) == 3
        assert shown(district, well)["failing_since"] is None
        monkeypatch.setattr(dispatcher.deliveries, "settle", settle)
        dispatcher._put_off.clear()
        until(lambda: len(history(district, made, "?state=delivered")) == 2)


def test_a_webhook_that_cannot_be_read_ends_nothing_and_is_not_looked_at_without_end(
    district, webhook, dispatcher, monkeypatch
):
    tries = []
    monkeypatch.setattr(parked, "pause", lambda number: tries.append(number) or 3600)
    with receiving() as good, receiving() as bad:
        broken, well = webhook(bad, types=REGISTERED), webhook(good, types=REGISTERED)
        with district.store("gateway").write() as uow:
            uow.execute(update(webhooks).where(webhooks.c.id == broken["id"]).values(types="oh"))
        district.register()
        until(lambda: tries)
        district.register()
        until(lambda: len(good.firsts()) == 2)
        assert tries == [1]
        assert shown(district, well)["failing_since"] is None
        with district.store("gateway").write() as uow:
            types = f'["{REGISTERED[0]}"]'
            uow.execute(update(webhooks).where(webhooks.c.id == broken["id"]).values(types=types))
        dispatcher._put_off.clear()
        until(lambda: len(bad.firsts()) == 2)


def test_what_is_noted_while_the_next_is_looked_for_is_not_sent_again(
    district, webhook, dispatcher, monkeypatch
):
    due = dispatcher.deliveries.due

    def slowly(identity, now, busy, most):
        """Read what is due, and give it when what is on its way has come back."""
        found = due(identity, now, (), most + len(busy))
        until(lambda: not dispatcher._serving[identity]._busy)
        return [row for row in found if row.partitionkey not in busy][:most]

    monkeypatch.setattr(dispatcher.deliveries, "due", slowly)
    with receiving() as receiver:
        made = webhook(receiver, types=REGISTERED)
        district.register()
        until(lambda: history(district, made, "?state=delivered"))
        until(lambda: not dispatcher._serving)
        assert len(receiver.got) == 1
