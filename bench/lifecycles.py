"""A district with a number of stored lifecycles."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.loading import NUMBER, Templates
from bench.loads import DAY, morning, registration, rest
from bench.stage import Ended, Stage
from chassis.ids import new_id
from console.client import Client
from console.demo.fleet import Fleet

KINDS = ("notice", "closure", "prompt", "problem", "supervision", "feedback")
YOUNG = 5
"""One in this many lifecycles is recent enough to have inbox and outbox rows: with a million
stored, each of the busier services has a million rows."""


def template(stage: Stage) -> Templates:
    """Run one lifecycle, and return the rows it wrote as templates."""
    with stage.district() as fleet:
        client = fleet.client()
        morning(client)
        rest(stage)
        with stage.connect("inspection") as database:
            for kind in KINDS:
                database.execute(
                    "INSERT INTO series VALUES (%s, %s)"
                    " ON CONFLICT (name) DO UPDATE SET last = excluded.last",
                    [f"350503/{kind}/2020", NUMBER - 1],
                )
        templates = Templates(stage.connect)
        whole(client)
        rest(stage)
        templates.take()
    return templates


def whole(client: Client) -> None:
    """Register an enterprise, and complete a complaint about it."""
    shop = client.post("/v1/enterprises", registration(NUMBER), new_id())["enterprise_id"]
    asked = {
        "track": "report",
        "channel": "12315",
        "content": "店內有人堂食",
        "phone": "13800000000",
    }
    asked |= {"caller": "王小明", "enterprise_id": shop}
    call = client.post("/v1/complaints", asked, new_id())["complaint_id"]
    client.post(f"/v1/complaints/{call}/acceptance", {"by": "desk-1"}, new_id())
    (visit,) = wait(lambda: [*client.everything("/v1/visits", complaint_id=call)])
    done = {"visit_id": visit["id"], "day": DAY, "agencies": ["market-regulation"], "findings": []}
    client.post("/v1/visits", done, new_id())
    wait(lambda: client.get(f"/v1/complaints/{call}")["state"] == "answered")


def wait(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Poll until there is a result, and return it."""
    give_up = time.monotonic() + seconds
    while not (result := look()):
        if time.monotonic() > give_up:
            raise Ended("the expected effect has not appeared")
        time.sleep(0.02)
    return result


@contextmanager
def running(stage: Stage) -> Iterator[tuple[Fleet, list[str], list[str]]]:
    """Run the district on the stored data; yield it with some of the shops and the complaints."""
    rng = random.Random(20200306)
    with stage.connect("gateway") as database:
        (count,) = database.execute("SELECT max(position) FROM complaints").fetchone()  # type: ignore[misc]
        some = [rng.randint(1, count) for _ in range(3000)]
        found = []
        for table in ("enterprises", "complaints"):
            query = f"SELECT id FROM {table} WHERE position = ANY(%s)"
            found.append([identity for (identity,) in database.execute(query, [some])])
    with stage.district(fresh=False) as fleet:
        yield fleet, *found


def load(stage: Stage, templates: Templates, target: int) -> None:
    """Load lifecycles until `target` are stored."""
    began = time.monotonic()
    with stage.loading():
        templates.load(target, stage.say, expiring=target // YOUNG)
    stage.say(f"{target:,} lifecycles stored in {time.monotonic() - began:.0f} s")
