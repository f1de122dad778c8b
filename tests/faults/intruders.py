"""Messages that nobody has said, or that are said again: the harness puts them into inboxes."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import amqp
import psycopg
from psycopg.rows import namedtuple_row

from chassis.ids import new_id
from chassis.message import partition_of
from chassis.storage.tables import message_of
from tests.faults.kinds import Missed, kind
from tests.faults.stage import HEARS, Stage

COLUMNS = (
    "seq, id, exchange, source, type, time, partitionkey, correlationid, causationid,"
    " causationtype, traceparent, body"
)
LARGE = 5_000_000


def put_in(
    stage: Stage, receiver: str, body: str | bytes, *, key: str = "", **attributes: str
) -> None:
    """Publish a message to the inbox of one service, and wait until the broker has it."""
    given = {
        "id": new_id(),
        "source": "filing",
        "type": "enterprise-registered",
        "time": "2020-02-10T00:00:00Z",
        "partitionkey": key or new_id(),
        "correlationid": new_id(),
    } | attributes
    headers: dict[str, Any] = {f"cloudEvents_{name}": value for name, value in given.items()}
    headers["exchange"] = f"{given['source']}.events"
    headers["partition"] = partition_of(given["partitionkey"], stage.partitions)
    publish(stage, f"{receiver}.inbox", given["type"], body, headers)


def publish(
    stage: Stage, exchange: str, key: str, body: str | bytes, headers: dict[str, Any]
) -> None:
    """Publish, and wait until the broker has it."""
    channel = stage.channel()
    message = amqp.Message(
        body, content_type="application/json", delivery_mode=2, application_headers=headers
    )
    channel.basic_publish(message, exchange, key)
    channel.connection.close()


def stranger(stage: Stage) -> str:
    """Give an id that must have no effect."""
    made = new_id()
    stage.own_up(stranger=made)
    return made


@kind("malformed", "broker")
def malformed(stage: Stage, rng: Random) -> str:
    receiver = rng.choice(["gateway", "insurance", "inspection"])
    put_in(stage, receiver, rng.choice(['{"enterprise_id": ', "[]", "nothing"]), id=stranger(stage))
    put_in(stage, receiver, b"\xff\xfe", id=stranger(stage))
    return receiver


@kind("unknown-type", "broker")
def unknown(stage: Stage, rng: Random) -> str:
    receiver = rng.choice([*HEARS])
    put_in(stage, receiver, "{}", id=stranger(stage), type="moon-landed")
    return receiver


@kind("future-version", "broker")
def future(stage: Stage, rng: Random) -> str:
    """A field that is not known yet is passed over."""
    made = new_id()
    stage.own_up(guest=made)
    body = {
        "patrol_id": made,
        "agencies": ["market-regulation"],
        "officers": ["FZ-1"],
        "day": "2020-02-10",
        "drones": {"count": 2},
    }
    put_in(
        stage,
        "gateway",
        json.dumps(body),
        id=made,
        key=made,
        source="inspection",
        type="patrol-dispatched",
    )
    return "gateway"


@kind("oversized", "broker")
def oversized(stage: Stage, rng: Random) -> str:
    receiver = rng.choice(["gateway", "insurance", "inspection"])
    put_in(stage, receiver, "x" * LARGE, id=stranger(stage))
    return receiver


@kind("headerless", "broker")
def headerless(stage: Stage, rng: Random) -> str:
    """It goes to the dead letters."""
    queue = f"{rng.choice([*HEARS])}.inbox.{rng.randrange(stage.partitions)}"
    publish(stage, "", queue, "{}", {})
    return queue


@kind("impostor", "broker")
def impostor(stage: Stage, rng: Random) -> str:
    """Another body under an id that was handled: a rejected parked message."""
    receiver, row = rng.choice(handled(stage, rng, 20))
    stage.own_up(impostor=row.id)
    body = json.dumps({**json.loads(row.body), "impostor": True})
    put_in_again(stage, receiver, row._replace(body=body))
    return f"{row.type} at {receiver}"


@kind("duplicated", "broker")
def duplicated(stage: Stage, rng: Random) -> str:
    """Messages that were handled come once more, in any order."""
    rows = handled(stage, rng, 60)
    for receiver, row in rows:
        put_in_again(stage, receiver, row)
    return f"{len(rows)} messages"


def put_in_again(stage: Stage, receiver: str, row: Any) -> None:
    message = message_of(row)
    partition = message.partition(stage.partitions)
    headers = message.envelope.headers() | {"partition": partition, "exchange": message.exchange}
    publish(stage, f"{receiver}.inbox", row.type, row.body, headers)


def handled(stage: Stage, rng: Random, most: int) -> list[tuple[str, Any]]:
    """Choose messages that a receiver has handled already."""
    source = rng.choice(["filing", "inspection", "gateway"])
    receiver = {"gateway": "filing"}.get(source, "gateway")
    addresses = [
        stage.url.format(service=name).replace("+psycopg", "") for name in (source, receiver)
    ]
    with psycopg.connect(addresses[0], row_factory=namedtuple_row, connect_timeout=5) as session:
        query = f"SELECT {COLUMNS} FROM outbox WHERE sent_at > 0 ORDER BY random() LIMIT %s"
        rows = session.execute(query, [3 * most]).fetchall()
    with psycopg.connect(addresses[1], connect_timeout=5) as session:
        query = "SELECT id FROM inbox WHERE id = ANY(%s)"
        known = {row[0] for row in session.execute(query, [[row.id for row in rows]])}
    found = [(receiver, row) for row in rows if row.id in known][:most]
    if not found:
        raise Missed(f"{receiver} has handled nothing of {source} yet")
    return found
