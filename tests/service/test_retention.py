"""Old rows go, a few at a time; what may still be sent again is remembered for longer."""

import time

import pytest
from sqlalchemy import func, select, update

from chassis.settings import Misconfigured, Settings
from chassis.storage import retention
from chassis.storage.clock import MARGIN
from chassis.storage.retention import DAY, Retention, remembered_since
from chassis.storage.tables import inbox, outbox
from services.filing.service import Filings
from services.gateway.tables import commands, events
from tests.service.sayings import register

NOW = 2_000_000_000.0


@pytest.fixture
def story(given):
    filing = given(Filings)
    filing.facts(*(register(f"shop-{number}", number) for number in range(1, 31)))
    return filing


def age(store, table, column, days, *which):
    with store.write() as uow:
        uow.execute(update(table).where(*which).values({column.name: NOW - days * DAY}))


def count(store, table):
    with store.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def swept(story):
    settings = Settings.read({}, keep_outbox=14, keep_inbox=30)
    return Retention(story.store, settings, {}, lambda: True).sweep(NOW)


def test_sent_rows_and_receipts_go_when_they_are_old(story, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 7)
    monkeypatch.setattr(retention, "BREATH", 0)
    store, sent = story.store, count(story.store, outbox)
    age(store, outbox, outbox.c.sent_at, 15, outbox.c.seq <= 20)
    age(store, outbox, outbox.c.sent_at, 13, outbox.c.seq > 20)
    age(store, inbox, inbox.c.handled_at, 29)
    assert swept(story) == {"outbox": 20, "inbox": 0}
    assert count(store, outbox) == sent - 20

    handled = count(store, inbox)
    age(store, inbox, inbox.c.handled_at, 31)
    assert swept(story)["inbox"] == handled
    assert remembered_since(store, "gateway") <= NOW - 31 * DAY + MARGIN, "no more has gone"
    assert swept(story) == {"outbox": 0, "inbox": 0}


def test_what_is_not_sent_stays_however_old_it_is(story):
    with story.store.write() as uow:
        uow.execute(update(outbox).values(sent_at=None, written_at=0.0))
    assert swept(story)["outbox"] == 0


def test_an_inbox_that_forgets_before_the_outbox_is_refused():
    with pytest.raises(Misconfigured, match="KEEP_INBOX must be more days than KEEP_OUTBOX"):
        Settings.read({"KEEP_INBOX": "7", "KEEP_OUTBOX": "14"})


def test_a_gateway_forgets_old_requests_and_keeps_every_event(make_district):
    district = make_district()
    district.begin()
    district.register()
    district.settle()
    host = district.running.hosts["gateway"]
    kept = count(host.store, events)
    future = time.time() + 31 * DAY
    retention_of = Retention(
        host.store, host.settings, type(host.service).retention_policies, lambda: True
    )
    with host.store.write() as uow:  # it was settled late
        uow.execute(update(commands).values(settled_at=future - DAY))
    assert retention_of.sweep(future)["commands"] == 0, "a repeat would be another command"
    with host.store.write() as uow:
        uow.execute(update(commands).values(settled_at=future - 31 * DAY))
    assert retention_of.sweep(future)["commands"] == 1
    assert count(host.store, commands) == 0
    assert count(host.store, events) == kept > 0
