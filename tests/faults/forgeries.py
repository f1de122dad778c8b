"""Messages that no service would write: every attribute of every form, and partitions of other
keys."""

from __future__ import annotations

import json
from itertools import islice
from random import Random
from typing import Any

import amqp

from chassis.ids import new_id
from tests.faults.intruders import stranger
from tests.faults.kinds import kind
from tests.faults.stage import HEARS, Stage
from tests.forged import headers_of, misfits, unreadable

AT_ONCE = 40
"""How many are put in at once."""
BODY = {"agencies": ["market-regulation"], "officers": ["FZ-1"], "day": "2020-02-10"}


def put_in_all(stage: Stage, receiver: str, messages: list[amqp.Message], key: Any = "x") -> None:
    """Publish messages to the inbox of one service, and wait until the broker has them."""
    channel = stage.channel()
    for message in messages:
        channel.basic_publish(message, f"{receiver}.inbox", key)
    channel.connection.close()


def message_with(headers: dict[str, Any], body: str = "{}") -> amqp.Message:
    return amqp.Message(
        body, content_type="application/json", delivery_mode=2, application_headers=headers
    )


@kind("forged", "broker")
def forge(stage: Stage, rng: Random) -> str:
    """Attributes that are no text, too long, of no form or not there: to the dead letters."""
    receiver, found = rng.choice([*HEARS]), [*misfits(stage.partitions)]
    rng.shuffle(found)
    messages = []
    for _, headers in islice(found, AT_ONCE):
        if "cloudEvents_id" in headers and isinstance(headers["cloudEvents_id"], str):
            stage.own_up(stranger=headers["cloudEvents_id"])
        messages.append(message_with(headers))
    put_in_all(stage, receiver, messages)
    return receiver


@kind("unreadable", "broker")
def write_unreadably(stage: Stage, rng: Random) -> str:
    """Properties that no client can read; and a routing key that is no text, of a message that is
    in order."""
    receiver = rng.choice([*HEARS])
    headers = headers_of(stage.partitions, id=stranger(stage))
    put_in_all(stage, receiver, [message for _, message in unreadable(headers)])
    made = new_id()
    stage.own_up(guest=made)
    body = json.dumps({"patrol_id": made, **BODY})
    guest = message_with(headers_of(stage.partitions, id=made, partitionkey=made), body)
    put_in_all(stage, "gateway", [guest], b"\xe9\xff")
    return receiver


@kind("wrong-partition", "broker")
def go_astray(stage: Stage, rng: Random) -> str:
    """The partition is that of another key: nobody holds what it would have to be handled under."""
    receiver, messages = rng.choice([*HEARS]), []
    for _ in range(rng.randint(1, 5)):
        headers = headers_of(stage.partitions, id=stranger(stage))
        headers["partition"] = (
            headers["partition"] + rng.randrange(1, stage.partitions)
        ) % stage.partitions
        messages.append(message_with(headers, json.dumps({"patrol_id": new_id(), **BODY})))
    put_in_all(stage, receiver, messages)
    return receiver
