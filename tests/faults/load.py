"""The load: a district's clients, who repeat each request with its key until it is answered.

`python -m tests.faults.load RECORD SEED RATE SECONDS GATEWAY…` runs as a process of its own, whose
environment says by `TOKEN` who it is. Every answer goes to the record, a line each. Some requests
are repeated on purpose: afterwards, at the same time, and to the other gateway. SIGTERM ends it;
what has no answer then stays without one.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from console.demo.plan import GRIDS, MEASURES
from console.demo.synthetic import credit_code, identity_number

CLIENT = "everybody"
"""Who all the clients say they are."""
CLIENTS = 40
"""Connections: as many clients as may wait for an answer at once."""
PATIENCE = 15.0
"""Seconds for one answer, before the request is repeated."""
FIRST_DAY = date(2020, 2, 10)
RULES = ("dine_in", "gathering", "no_disinfection_ledger", "supplies_short", "not_cleaned")
WAITS = ({}, {}, {}, {"Prefer": "respond-async"}, {"Prefer": "wait=2"})
CLOCK = "/v1/clock"
AFTERWARDS, AT_ONCE = 0.12, 0.08
"""How many of the requests are repeated on purpose."""


class Load:
    """Clients that all know the same enterprises, complaints and closures."""

    def __init__(self, record: str, seed: str, rate: float, bases: list[str]) -> None:
        self.seed = seed
        self.bases = bases
        self.http = urllib3.PoolManager(maxsize=2 * CLIENTS, num_pools=len(bases), retries=False)
        self.token = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
        self.pause = 1 / rate
        self.over = threading.Event()
        self.ended = threading.Event()
        self.numbers = itertools.count(1)
        self.day = FIRST_DAY
        self.shops: list[str] = []
        self.complaints: list[str] = []
        self.closures: list[str] = []
        self._due = time.monotonic()
        self._lock = threading.Lock()
        self._record = Path(record).open("a", encoding="utf-8")  # noqa: SIM115  (until the end)

    # -- the pace

    def run(self, seconds: float) -> None:
        """Let the clients work for so long, and then let each finish what it has begun."""
        self.clock()
        clients = [
            threading.Thread(target=self.work, args=(random.Random(f"{self.seed}-{n}"),))
            for n in range(CLIENTS)
        ]
        clients.append(threading.Thread(target=self.days))
        for client in clients:
            client.daemon = True
            client.start()
        self.over.wait(seconds)
        self.over.set()
        for client in clients:
            client.join()

    def work(self, rng: random.Random) -> None:
        """Do one thing after the other, at the common pace."""
        while not self.over.wait(self.turn()):
            self.act(rng)

    def turn(self) -> float:
        """Return the seconds until the next thing is to be done."""
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due + self.pause, now)
            return self._due - now

    def days(self) -> None:
        """Let a day pass now and then: what is due falls due."""
        while not self.over.wait(7.0):
            self.day += timedelta(days=1)
            self.clock()

    def clock(self) -> None:
        """Move the clock."""
        at = f"{self.day.isoformat()}T08:00:00+08:00"
        self.ask("POST", CLOCK, f"clock-{self.seed}-{at}", {"at": at})

    # -- what clients do

    def act(self, rng: random.Random) -> None:
        """Do one thing."""
        local_commands = {
            self.register: 20,
            self.batch: 2,
            self.file: 20 if self.shops else 0,
            self.visit: 16 if self.shops else 0,
            self.review: 8 if self.shops else 0,
            self.reinspect: 10 if self.shops else 0,
            self.complain: 8 if self.shops else 0,
            self.answer: 6 if self.complaints else 0,
            self.close: 2 if self.shops else 0,
            self.lift: 2 if self.closures else 0,
            self.medic: 4,
            self.medics: 1,
        }
        (act,) = rng.choices([*local_commands], [*local_commands.values()])
        act(rng)

    def registration(self, rng: random.Random) -> dict[str, Any]:
        """Make an enterprise that nobody has registered."""
        number = next(self.numbers)
        return {
            "credit_code": credit_code(number),
            "name": f"第{number}號店",
            "kind": "sole_trader",
            "size": "micro",
            "industry": "H6210",
            "premises": rng.choice(("shop", "shop", "restaurant")),
            "grid": rng.choice(GRIDS),
        }

    def register(self, rng: random.Random) -> None:
        made = self.post(rng, "/v1/enterprises", self.registration(rng))
        if "enterprise_id" in made:
            self.shops.append(made["enterprise_id"])

    def batch(self, rng: random.Random) -> None:
        rows = [self.registration(rng) for _ in range(rng.randint(3, 15))]
        rows[1]["grid"] = "nowhere"  # a bad row is told why
        self.post(rng, "/v1/enterprises/batch", rows)

    def medic(self, rng: random.Random) -> None:
        self.post(rng, "/v1/medics", self.person())

    def medics(self, rng: random.Random) -> None:
        self.post(rng, "/v1/medics/batch", [self.person() for _ in range(rng.randint(2, 8))])

    def person(self) -> dict[str, Any]:
        number = next(self.numbers)
        return {
            "name": f"醫護{number}",
            "identity": identity_number(number),
            "institution": "豐澤區第1醫療隊",
        }

    def file(self, rng: random.Random) -> None:
        asked = {
            "enterprise_id": self.shop(rng),
            "reopen_on": (self.day + timedelta(days=rng.choice((0, 0, 1)))).isoformat(),
            "headcount": 5,
            "out_of_province": 1,
            "measures": list(MEASURES),
            "pledge": rng.random() < 0.95,
        }
        self.post(rng, "/v1/filings", asked)

    def visit(self, rng: random.Random) -> None:
        found = rng.sample(RULES, rng.choice((0, 1, 1, 2)))
        findings = [{"rule": rule, "rectified_on_the_spot": rng.random() < 0.3} for rule in found]
        self.post(rng, "/v1/visits", {"enterprise_id": self.shop(rng), **self.team(findings)})

    def team(self, findings: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "day": self.day.isoformat(),
            "agencies": ["market-regulation"],
            "findings": findings,
        }

    def review(self, rng: random.Random) -> None:
        """Record a visit that is planned: a review, or a check for a complaint."""
        for visit in self.seen(f"/v1/visits?enterprise_id={self.shop(rng)}&state=planned"):
            found = rng.sample([{"rule": rule} for rule in RULES], rng.choice((0, 0, 1)))
            self.post(rng, "/v1/visits", {"visit_id": visit["id"], **self.team(found)})
            return

    def reinspect(self, rng: random.Random) -> None:
        for notice in self.seen(f"/v1/notices?enterprise_id={self.shop(rng)}&state=open"):
            asked = {"day": self.day.isoformat(), "rectified": rng.random() < 0.8}
            self.post(rng, f"/v1/notices/{notice['id']}/reinspection", asked)
            return

    def complain(self, rng: random.Random) -> None:
        asked = {
            "track": "report",
            "channel": "12315",
            "content": "店內有人堂食",
            "caller": "王小明",
            "phone": "13800000000",
            "enterprise_id": self.shop(rng),
        }
        made = self.post(rng, "/v1/complaints", asked)
        if "complaint_id" in made:
            self.complaints.append(made["complaint_id"])

    def answer(self, rng: random.Random) -> None:
        complaint = rng.choice(self.complaints)
        self.post(rng, f"/v1/complaints/{complaint}/acceptance", {"by": "desk-1"})

    def close(self, rng: random.Random) -> None:
        made = self.post(rng, "/v1/closures", {"enterprise_id": self.shop(rng), "reason": "檢查"})
        if "closure_id" in made:
            self.closures.append(made["closure_id"])

    def lift(self, rng: random.Random) -> None:
        closure = rng.choice(self.closures)
        self.post(rng, f"/v1/closures/{closure}/lifting", {"reason": "無誤", "approver": "head"})

    def shop(self, rng: random.Random) -> str:
        """Choose an enterprise, a late one more often, so that a key's messages follow closely."""
        return self.shops[-1 - int(rng.random() ** 3 * len(self.shops))]

    # -- asking

    def seen(self, path: str) -> list[dict[str, Any]]:
        """Read a page of a list; nothing when nobody answers."""
        try:
            answer = self.http.request(
                "GET", self.bases[0] + path, headers=self.token, timeout=PATIENCE
            )
            items: list[dict[str, Any]] = answer.json()["items"] if answer.status == 200 else []
        except HTTPError:
            return []
        return items

    def post(self, rng: random.Random, path: str, body: Any) -> dict[str, Any]:
        """Write, and now and then write again; return what was answered."""
        key = f"{self.seed}-{rng.getrandbits(64):016x}"
        headers, first, chance = rng.choice(WAITS), rng.randrange(len(self.bases)), rng.random()
        again = threading.Thread(
            target=self.ask, args=("POST", path, key, body, headers, first + 1), daemon=True
        )
        if chance < AT_ONCE:
            again.start()
        made = self.ask("POST", path, key, body, headers, first)
        if AT_ONCE <= chance < AT_ONCE + AFTERWARDS:
            again.start()
        if again.ident:
            again.join()
        return made

    def ask(
        self,
        method: str,
        path: str,
        key: str,
        body: Any,
        headers: dict[str, str] = WAITS[0],
        first: int = 0,
    ) -> dict[str, Any]:
        """Ask one gateway after the other until one answers, and note the answer."""
        is_batch = isinstance(body, list)
        data = "\n".join(map(json.dumps, body)) if is_batch else json.dumps(body)
        kind = "application/x-ndjson" if is_batch else "application/json"
        sent = {"Content-Type": kind, "Idempotency-Key": key, **self.token, **headers}
        for turn in itertools.count(first):
            if self.ended.wait(0.0 if turn == first else min(1.0, 0.1 * (turn - first))):
                break
            try:
                base = self.bases[turn % len(self.bases)]
                answer = self.http.request(
                    method, base + path, body=data.encode(), headers=sent, timeout=PATIENCE
                )
            except HTTPError:
                continue
            if answer.status < 500:
                if path != CLOCK:  # which is no command: a repeat finds it further on
                    self.note(f"{method} {path} {CLIENT} {key}", answer, base)
                made: dict[str, Any] = answer.json()
                return made
        return {}

    def note(self, name: str, answer: Any, base: str) -> None:
        """Write an answer down."""
        entry = {
            "name": name,
            "at": round(time.time(), 3),
            "gateway": urlsplit(base).port,
            "status": answer.status,
            "digest": blake2b(answer.data, digest_size=8).hexdigest(),
        }
        if answer.status >= 400:
            entry["said"] = answer.data.decode(errors="replace")[:300]
        with self._lock:
            self._record.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._record.flush()


def main() -> None:
    """Work until the time is over and everything has its answer, or until SIGTERM."""
    record, seed, rate, seconds, *bases = sys.argv[1:]
    load = Load(record, seed, float(rate), bases)

    def end(*_: object) -> None:
        load.over.set()
        load.ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for the harness
    load.run(float(seconds))


if __name__ == "__main__":
    main()
