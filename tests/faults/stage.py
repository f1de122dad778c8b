"""Where faults strike: private servers, a network between, and two processes of each service.

One process of each service stands on the left and one on the right, as on two machines: each side
has a network of its own to the broker and to the database. A supervisor starts again what has died.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import amqp
from eventlet.semaphore import Semaphore
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from chassis.rabbitmq.frames import reader_of
from chassis.runtime.green import Pool, pause, spawn
from chassis.settings import Settings
from console.admin.tokens import issuer_of, token_of_all
from console.cli.migrate import migrate_all
from console.demo.fleet import Fleet
from console.runtime.district import SERVICES, TOPOLOGY
from console.runtime.process import ChildEnded, Process
from tests import servers
from tests.faults.load import CLIENT
from tests.faults.points import give, told
from tests.proxy import Proxy
from tests.servers.programs import free_ports

SIDES = ("left", "right")
STOP_WITHIN = 20.0
PLAIN = ("tests.faults.points",)
"""What a process runs as a rule: the product, with points at which it can be stopped."""
LATE = 10.0
"""Seconds beyond `STOP_WITHIN` after which a process that was asked to stop has not."""


@dataclass
class Member:
    """One process of a service, however often it is started."""

    name: str
    process: Process
    orders: Path
    lock: Semaphore = field(default_factory=lambda: Semaphore(1))
    """Held by whoever does something to the process, so that the supervisor leaves it alone."""

    @property
    def service(self) -> str:
        """The service that it is a process of."""
        return self.name.partition("-")[0]

    @property
    def lives(self) -> bool:
        """Whether the process runs, or is stopped where it stands."""
        return self.process.process.poll() is None

    def signal(self, number: int) -> None:
        """Send the process a signal, if it is there."""
        with suppress(ProcessLookupError):
            self.process.process.send_signal(number)

    def order(self, **order: Any) -> None:
        """Tell the process what to do at its next point (`tests.faults.points`)."""
        give(self.orders, **order)

    def done(self) -> dict[str, str] | None:
        """Give what the process has done as it was told, and where; None before it has."""
        file = told(self.orders)
        return json.loads(file.read_text()) if file.exists() else None

    def relays(self) -> bool:
        """Tell whether this is the active relay of its service."""
        with suppress(HTTPError, OSError):
            answer = _http.request("GET", f"{self.process.base}/metrics", timeout=2.0)
            return f'bihuan_relay_active{{service="{self.service}"}} 1.0' in answer.data.decode()
        return False


_http = PoolManager(retries=False)


class Stage:
    """A district on servers and networks of its own, and what is done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "harness.jsonl"
        self.exits: list[dict[str, Any]] = []
        self.members: list[Member] = []
        self.locks = {name: Semaphore(1) for name in ("broker", "database", "queues")}
        self.partitions = Settings().partitions
        self.began = time.monotonic()
        self._stack = ExitStack()
        self._watching = True

    def __enter__(self) -> Self:
        """Start everything, and wait until every process is ready."""
        with ExitStack() as stack:
            self._enter(stack)
            self._stack = stack.pop_all()
        return self

    def _enter(self, stack: ExitStack) -> None:
        names = [kind.name for kind in SERVICES]
        self.database = stack.enter_context(
            servers.postgres(self.folder / "servers", databases=names)
        )
        self.broker = stack.enter_context(servers.rabbitmq(self.folder / "servers"))
        self.networks = {
            (side, which): stack.enter_context(Proxy(server.port))
            for side in SIDES
            for which, server in (("broker", self.broker), ("database", self.database))
        }
        key = self.folder / "seal.key"
        key.write_text(secrets.token_hex(32))
        where = {"database_url": self.url, "amqp_uri": self.broker.uri}
        settings = Settings(seal_key_file=str(key), issuer_key_file=str(key), **where)
        self.token = token_of_all(issuer_of(settings), CLIENT)
        migrate_all(settings)
        self.fleet = stack.enter_context(Fleet(settings, self.folder, replicas=0))
        ports = stack.enter_context(free_ports(len(SIDES) * len(names)))
        places = [(name, side) for name in names for side in SIDES]
        stack.callback(self.wake)
        started = Pool().starmap(self._start, [(*p, n) for p, n in zip(places, ports, strict=True)])
        self.members = [*started]
        self.fleet.wait_until_ready()
        watcher = spawn(self._watch)
        stack.callback(watcher.kill)

    def __exit__(self, *error: object) -> None:
        """End everything."""
        self._watching = False
        self._stack.close()

    # -- what there is

    @property
    def url(self) -> str:
        """The URL of the databases, with `{service}` in it, past the networks."""
        return self.database.url("{service}")

    @property
    def gateways(self) -> list[str]:
        """Where the gateways are, which come back at the same place."""
        return [m.process.base for m in self.members if m.service == "gateway"]

    def of(self, service: str) -> list[Member]:
        """Give the processes of a service."""
        return [member for member in self.members if member.service == service]

    def places(self, side: str) -> dict[str, str]:
        """Tell a process of a side where the servers are."""
        broker, database = self.networks[side, "broker"], self.networks[side, "database"]
        return {
            "AMQP_URI": self.broker.at(broker.port),
            "DATABASE_URL": self.database.url("{service}", database.port),
            "STOP_WITHIN": str(STOP_WITHIN),
            "PARTITIONS": str(self.partitions),
        }

    def channel(self) -> Any:
        """Connect to the broker as an operator would, and give a channel that confirms."""
        connection = amqp.Connection(
            f"127.0.0.1:{self.broker.port}",
            confirm_publish=True,
            connect_timeout=5,
            frame_handler=reader_of,
        )
        connection.connect()
        return connection.channel()

    def request(
        self,
        path: str,
        body: dict[str, Any] | str,
        key: str,
        prefer: str = "respond-async",
        bases: list[str] | None = None,
    ) -> dict[str, Any]:
        """Hand a command in, or a batch as NDJSON, and note that it was accepted; gives the answer,
        nothing where there is none."""
        kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
        sent = {"Content-Type": kind, "Prefer": prefer}
        sent["Authorization"] = f"Bearer {self.token}"
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        bases = bases or self.gateways
        for turn in range(200):
            base = bases[turn % len(bases)]
            with suppress(HTTPError, OSError):
                answer = _http.request(
                    "POST",
                    base + path,
                    body=data,
                    headers={**sent, "Idempotency-Key": key},
                    timeout=60.0 if isinstance(body, str) else 15.0,
                )
                if answer.status < 300:
                    self.own_up(name=f"POST {path} {CLIENT} {key}", status=202, digest="")
                    given: dict[str, Any] = answer.json()
                    return given
            pause(0.5)
        return {}

    # -- starting and stopping

    def _start(self, service: str, side: str, port: int) -> Member:
        name = f"{service}-{side}"
        orders = self.folder / f"{name}.orders"
        environ = {**self.places(side), "ORDERS": str(orders)}
        process = self.fleet.start(service, port=port, environ=environ, entry=PLAIN)
        return Member(name, process, orders)

    def start_again(self, member: Member) -> None:
        """Start a process that has ended, until it comes up; its lock is held."""
        while self._watching:
            try:
                member.process.__enter__()
            except ChildEnded as error:
                self.note_exit(member, None, f"did not come up: {error}")
                pause(1)
            else:
                return

    def note_exit(self, member: Member, seconds: float | None, why: str) -> None:
        """Note how a process ended that was asked to, or that nobody had touched."""
        code = member.process.process.poll()
        entry = {"at": self.now, "process": member.name, "code": code, "why": why}
        if seconds is not None:
            entry["seconds"] = round(seconds, 1)
        self.exits.append(entry)
        if code != 0:
            self.say(f"!! {member.name} ended with {code}: {why}")

    def _watch(self) -> None:
        """Start again, after a while, whatever has ended by itself."""
        while self._watching:
            for member in self.members:
                if not member.lives and member.lock.acquire(blocking=False):
                    spawn(self._revive, member)
            pause(0.3)

    def _revive(self, member: Member) -> None:
        try:
            last_words = member.process._last_words()[-300:]
            self.note_exit(member, None, f"by itself: {last_words}")
            self.own_up(amiss=f"{member.name} ended by itself: {last_words}")
            pause(1)
            self.start_again(member)
        finally:
            member.lock.release()

    def stop_in_order(self, member: Member) -> None:
        """Ask a process to stop, and note how it ended; its lock is held."""
        started = time.monotonic()
        member.signal(signal.SIGTERM)
        while member.lives and time.monotonic() < started + STOP_WITHIN + LATE:
            pause(0.05)
        why = "asked to stop"
        if member.lives:
            why = "asked to stop, and did not"
            member.process.kill()
        self.note_exit(member, time.monotonic() - started, why)

    @contextmanager
    def holding(self, member: Member) -> Iterator[Member]:
        """Keep the supervisor and other faults from a process; it runs again at the end."""
        with member.lock:
            yield member
            if not member.lives:
                self.start_again(member)

    def wake(self) -> None:
        """Let every process go on that stands still."""
        for process in self.fleet.processes:
            with suppress(ProcessLookupError, AttributeError):
                process.process.send_signal(signal.SIGCONT)

    def mend(self) -> None:
        """Put everything right that a fault may have left wrong."""
        for network in self.networks.values():
            network.restore()
        self.database.start()
        self.broker.start()
        self.wake()

    # -- telling

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return round(time.monotonic() - self.began, 1)

    def say(self, what: str) -> None:
        """Tell whoever watches."""
        sys.stderr.write(f"{self.now:7.1f}  {what}\n")

    def collect_dead(self) -> None:
        """Write down what the broker has set aside, and why."""
        channel = self.channel()
        for service in HEARS:
            while (dead := channel.basic_get(f"{service}.dead", no_ack=True)) is not None:
                headers = dead.headers if isinstance(dead.headers, dict) else {}
                deaths = headers.get("x-death") or [{}]
                identity = headers.get("cloudEvents_id")
                if isinstance(identity, str):
                    self.own_up(dead=identity, at=service, why=str(deaths[0].get("reason")))
        channel.connection.close()

    def own_up(self, **entry: str | int) -> None:
        """Write down a message that the harness puts in, before it does."""
        with self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


HEARS = TOPOLOGY
"""What each service listens to."""
