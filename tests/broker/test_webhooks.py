"""Webhooks on PostgreSQL: who changes one, and who notes what came of a delivery, take turns."""

from datetime import UTC, datetime
from pathlib import Path

import eventlet
import psycopg
import pytest
from sqlalchemy import insert, select
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from chassis.sealing import Seal
from chassis.storage.store import Store
from services.gateway.access.callers import ENVIRON, Caller
from services.gateway.commands.local import LocalCommands
from services.gateway.resources.roles import Role
from services.gateway.service import Gateway
from services.gateway.tables import (
    ACTIVE,
    DELIVERED,
    DISABLED,
    GIVEN_UP,
    WAITING,
    deliveries,
    webhooks,
)
from services.gateway.webhooks.deliveries import Attempt, Deliveries
from services.gateway.webhooks.endpoints import Webhooks
from tests.broker.conftest import until

OWNER = Caller("tester", frozenset(Role))
HOOK = {
    "id": "hook",
    "owner": OWNER.known_as,
    "url": "https://127.0.0.1/",
    "types": "[]",
    "state": DISABLED,
    "cursor": 2,
    "made_at": 0.0,
    "failing_since": 1.0,
    "paused_until": 0.0,
}
NEXT = {
    "webhook_id": "hook",
    "type": "enterprise-registered",
    "state": WAITING,
    "attempts": 0,
    "since": 0.0,
    "try_at": 9e9,
    "history": "[]",
}


@pytest.fixture
def store(settings):
    """A gateway's database with a webhook that is disabled, and two deliveries that wait."""
    made = Store("gateway", settings.database_of("gateway"), Gateway.metadata)
    rows = [
        NEXT | {"position": number, "event_id": f"event-{number}", "partitionkey": f"key-{number}"}
        for number in (1, 2)
    ]
    with made.write() as uow:
        uow.execute(insert(webhooks), [HOOK])
        uow.execute(insert(deliveries), rows)
    yield made
    made.close()


def enable(store, seal):
    local_commands = LocalCommands(store, seal, lambda _uow: datetime(2020, 2, 10, tzinfo=UTC))
    hooks = Webhooks(store, None, local_commands, seal, None)
    builder = EnvironBuilder(method="POST", json={}, headers={"Idempotency-Key": "once"})
    return hooks.enable(Request(builder.get_environ() | {ENVIRON: OWNER}), "hook")


@pytest.mark.parametrize("state", [WAITING, DELIVERED, GIVEN_UP])
def test_a_webhook_is_enabled_while_one_of_its_deliveries_is_settled(settings, store, state):
    """The first delivery is held while both begin: so each has what it needs first."""
    with store.read() as session:
        row = session.execute(select(deliveries).where(deliveries.c.position == 2)).one()
    seal = Seal.from_file(Path(settings.seal_key_file), create=False)
    address = settings.database_of("gateway").replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as watch, psycopg.connect(address) as holder:

        def waiting(number):
            query = (
                "SELECT count(*) = %s FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return watch.execute(query, [number]).fetchone()[0]

        holder.execute("SELECT 1 FROM deliveries WHERE position = 1 FOR UPDATE")
        enabling = eventlet.spawn(enable, store, seal)
        until(lambda: waiting(1))
        attempt = Attempt(state, 5.0, error="refused", try_at=7e9)
        settling = eventlet.spawn(Deliveries(store).settle, row, attempt)
        until(lambda: waiting(2))
        holder.rollback()
        assert (enabling.wait().status_code, settling.wait()) == (200, True)
    with store.read() as session:
        hook = session.execute(select(webhooks)).one()
        found = session.execute(select(deliveries).order_by(deliveries.c.position)).all()
    assert hook.state == ACTIVE
    assert hook.failing_since == (None if state == DELIVERED else 5.0)
    assert [each.state for each in found] == [WAITING, state]
    assert found[0].try_at < NEXT["try_at"], "what waits is tried at once"


def test_what_came_of_a_delivery_is_noted_once(store):
    """The second that notes something comes too late, and changes its webhook neither."""
    settling = Deliveries(store)
    with store.read() as session:
        row = session.execute(select(deliveries).where(deliveries.c.position == 1)).one()
    assert settling.settle(row, Attempt(DELIVERED, 5.0, 200))
    assert not settling.settle(row, Attempt(WAITING, 6.0, error="refused", try_at=7.0))
    with store.read() as session:
        assert session.scalar(select(webhooks.c.failing_since)) is None
        assert (
            session.scalar(select(deliveries.c.state).order_by(deliveries.c.position)) == DELIVERED
        )
