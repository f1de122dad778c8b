"""`python -m bench.load WHAT FILE`: puts a load on a server and prints the results as JSON.

The JSON file has the parameters: `base`, `connections`, `seconds`, `warmup`, and those of the kind
of load. The token is in the environment (TOKEN). A closed load sends a request after each response;
an open one (`steps`) begins a number of operations per second, whether or not earlier ones have
finished.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.load.http import Connection

LATE = 15.0
"""Seconds after which a request counts as timed out."""
MEASURES = ["masks", "disinfectant", "thermometer", "isolation_room"]
SEED = os.environ.get("SEED", str(time.time_ns()))


class Load:
    """A load over a pool of connections, and its results."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        where = urlsplit(parameters["base"])
        token = os.environ.get("TOKEN", "")
        self.free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for _ in range(parameters["connections"]):
            self.free.put_nowait(Connection(where.hostname or "", where.port or 80, token))
        self.keys = itertools.count(1)
        self.turns = itertools.count()
        self.statuses: Counter[str] = Counter()
        self.samples: list[tuple[float, float, str]] = []
        """Start, duration (both s) and name of each operation."""
        self.began = time.monotonic()
        self.rng = random.Random(20200306)

    async def ask(self, method: str, path: str, body: Any = None, what: str = "") -> Any:
        """Send a request on the next free connection; return None if it failed, which is
        counted."""
        headers = {"Idempotency-Key": f"{SEED}-{next(self.keys)}"} if method == "POST" else None
        connection = await self.free.get()
        began = time.monotonic()
        try:
            async with asyncio.timeout(LATE):
                status, answer = await connection.request(method, path, body, headers)
        except TimeoutError:
            connection.close()
            self.statuses["timeout"] += 1
            return None
        except OSError:
            self.statuses["broken"] += 1
            return None
        finally:
            self.free.put_nowait(connection)
        self.statuses[str(status)] += 1
        if status >= 400:
            if self.statuses[str(status)] <= 3:
                print(status, path, answer, file=sys.stderr)
            return None
        name = f"{what or path}{', later' if status == 202 else ''}"
        self.samples.append((began - self.began, time.monotonic() - began, name))
        return answer

    async def act(self, path: str, body: Any, what: str) -> Any:
        """Send a command and return its outcome; waits for a later one (202, counted
        separately)."""
        answer = await self.ask("POST", path, body, what)
        if answer is not None and "command_id" in answer:
            command = f"/v1/commands/{answer['command_id']}"
            record = await self.until(command, lambda it: it["state"] != "pending", "outcome")
            answer = None if record is None or record["state"] != "done" else record
        if answer is None:
            self.statuses["lifecycle broken off"] += 1
        return answer

    # -- kinds of load

    async def filing(self) -> None:
        """File for one enterprise after the other, each once."""
        shops = self.parameters["shops"]
        await self.ask(
            "POST",
            "/v1/filings",
            {
                "enterprise_id": shops[next(self.turns) % len(shops)],
                "reopen_on": self.parameters["day"],
                "headcount": 5,
                "out_of_province": 1,
                "measures": MEASURES,
                "pledge": True,
            },
            "filing",
        )

    async def lifecycle(self) -> None:
        """Take a complaint from the call to the answer, and read it back."""
        began, shop = time.monotonic(), self.rng.choice(self.parameters["shops"])
        call = await self.act(
            "/v1/complaints",
            {
                "track": "report",
                "channel": "12315",
                "content": "店內有人堂食",
                "caller": "王小明",
                "phone": "13800000000",
                "enterprise_id": shop,
            },
            "file",
        )
        if call is None:
            return
        identity = call.get("complaint_id") or call["location"].rpartition("/")[2]
        path = f"/v1/complaints/{identity}"
        if await self.act(f"{path}/acceptance", {"by": "desk-1"}, "accept") is None:
            return
        visits = await self.until(
            f"/v1/visits?complaint_id={identity}", lambda page: page["items"], "find the check"
        )
        if visits is None:
            self.statuses["lifecycle broken off"] += 1
            return
        check = {
            "visit_id": visits["items"][0]["id"],
            "day": self.parameters["day"],
            "agencies": ["market-regulation"],
            "findings": [],
        }
        if await self.act("/v1/visits", check, "check") is None:
            return
        if await self.until(path, lambda it: it["state"] == "answered", "read back") is None:
            self.statuses["lifecycle broken off"] += 1
            return
        self.samples.append((began - self.began, time.monotonic() - began, "lifecycle"))

    async def until(self, path: str, is_so: Callable[[Any], Any], what: str) -> Any:
        """Read until a condition holds; the effects of a response may be in progress."""
        give_up, wait = time.monotonic() + LATE, 0.02
        while time.monotonic() < give_up:
            found = await self.ask("GET", path, None, what)
            if found is not None and is_so(found):
                return found
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, 0.25)
        self.statuses["timeout"] += 1
        return None

    async def reads(self) -> None:
        """Read one of the given paths."""
        what = self.rng.choice([*self.parameters["paths"]])
        await self.ask("GET", self.rng.choice(self.parameters["paths"][what]), None, what)

    # -- amount of load

    async def closed(self, act: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Repeat on each connection as soon as there is a response."""
        over = time.monotonic() + seconds

        async def client() -> None:
            while time.monotonic() < over:
                await act()

        await asyncio.gather(*(client() for _ in range(self.parameters["clients"])))

    async def paced(self, act: Callable[[], Awaitable[None]], steps: list[list[float]]) -> None:
        """Begin operations at a rate, step by step: [rate, seconds]; then wait for the last
        ones."""
        under_way: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        for rate, seconds in steps:
            over = due + seconds
            while due < over:
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                task = asyncio.ensure_future(act())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                due += 1 / rate
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * LATE):
                await asyncio.gather(*under_way)

    async def run(self, what: str) -> dict[str, Any]:
        """Run the load, and return the results without the warm-up."""
        act = getattr(self, what)
        if "steps" in self.parameters:
            self.began = time.monotonic()
            await self.paced(act, self.parameters["steps"])
        else:
            await self.closed(act, self.parameters["warmup"])
            self.statuses.clear()
            self.samples.clear()
            self.began = time.monotonic()
            await self.closed(act, self.parameters["seconds"])
        return {
            "seconds": time.monotonic() - self.began,
            "statuses": dict(self.statuses),
            "turns": next(self.turns),
            "samples": [(round(at, 4), round(took, 5), name) for at, took, name in self.samples],
        }


def main() -> None:
    """Read the parameters, run the load, and print the results."""
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    parameters = json.loads(Path(sys.argv[2]).read_text())
    parameters.setdefault("clients", parameters["connections"])

    async def work() -> dict[str, Any]:
        return await Load(parameters).run(sys.argv[1])

    print("result", json.dumps(asyncio.run(work())), flush=True)


if __name__ == "__main__":
    main()
