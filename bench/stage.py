"""The environment of the contenders: one broker, one database server, and their processes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import amqp
import psycopg

from chassis.settings import Settings
from console.cli.migrate import migrate_all
from console.demo.fleet import Fleet
from console.runtime.district import SERVICES
from console.runtime.process import _end_with_the_parent
from tests import servers
from tests.servers.programs import wait_until

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-bench" / "bin" / "python"
START_WITHIN = 60.0
FOR_LOADING = {"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "8GB"}
QUIETLY = {"LOG_LEVEL": "warning"}
"""The log of a benchmark is not read, and the peers write none."""


class Ended(Exception):
    """A program has ended, or has not printed the expected line."""


@dataclass
class Scale:
    """The amount of measurements."""

    quick: bool
    rounds: int
    soak: float
    stored: int

    @property
    def points(self) -> list[int]:
        """The amounts of stored rows to measure with, in ascending order."""
        return [self.stored // part for part in ((100, 1) if self.quick else (100, 10, 1))]

    def of(self, whole: float, quick: float) -> float:
        """Return an amount for this scale."""
        return quick if self.quick else whole


class Program:
    """A program of ours or of a peer: started, read, stopped."""

    def __init__(self, command: Sequence[object], log: Path, environ: Mapping[str, str]) -> None:
        self._log = log
        self.said = log.with_suffix(".out")  # a file: a pipe would block green threads
        self._heard = 0
        with log.open("ab") as errors, self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=errors,
                preexec_fn=_end_with_the_parent,  # noqa: PLW1509  (no lock is held by then)
            )

    def hear(self, words: str, seconds: float = START_WITHIN) -> str:
        """Wait for the next line with a prefix, and return the rest of it."""
        give_up = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            lines = self.said.read_text(errors="replace").splitlines(keepends=True)
            while self._heard < len(lines) and lines[self._heard].endswith("\n"):
                self._heard += 1
                if lines[self._heard - 1].startswith(words):
                    return lines[self._heard - 1][len(words) :].strip()
            if ended:
                last = self._log.read_text(errors="replace").strip().splitlines()[-15:]
                raise Ended(f"ended before it printed {words!r}:\n" + "\n".join(last))
            if time.monotonic() > give_up:
                raise Ended(f"not printed within {seconds:g} s: {words!r}; see {self._log}")
            time.sleep(0.02)

    def until(self, condition: Callable[[], Any], seconds: float = START_WITHIN) -> None:
        """Poll every few milliseconds until the program has fulfilled a condition."""
        give_up = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                last = self._log.read_text(errors="replace").strip().splitlines()[-15:]
                raise Ended("ended too early:\n" + "\n".join(last))
            if time.monotonic() > give_up:
                raise Ended(f"not within {seconds:g} s; see {self._log}")
            time.sleep(0.005)

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Return its memory, or with `VmHWM` its peak memory (MB of 10⁶ bytes)."""
        return memory_of(self.process.pid, what)

    def __enter__(self) -> Self:
        """Return the program, which is stopped at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it: by SIGTERM, and after a while by SIGKILL."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def memory_of(pid: int, what: str = "VmRSS") -> float:
    """Return the memory of a process (MB of 10⁶ bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


@dataclass
class Stage:
    """A broker, a database server and a folder, for the length of a run."""

    folder: Path
    scale: Scale
    database: servers.Postgres
    broker: servers.Rabbit
    began: float = field(default_factory=time.monotonic)
    _count: int = 0

    def say(self, words: str) -> None:
        """Print a line of progress."""
        sys.stderr.write(f"{time.monotonic() - self.began:7.1f}  {words}\n")
        sys.stderr.flush()

    # -- the database

    def new_database(self, name: str, template: str = "template1") -> None:
        """Create a database, replacing an old one, as a copy of a template."""
        self.database.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        how = "wal_log" if template == "template1" else "file_copy"
        self.database.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY {how}")

    def connect(self, name: str) -> psycopg.Connection[Any]:
        """Connect to a database, with autocommit."""
        return psycopg.connect(self.database.url(name).replace("+psycopg", ""), autocommit=True)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Disable the write-ahead log for bulk loading, and write the data to the disk; restore it
        afterwards."""
        for name, value in FOR_LOADING.items():
            self.database.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.database.restart()
        yield
        self.database.execute("ALTER SYSTEM RESET ALL")
        self.database.execute("CHECKPOINT")
        self.database.restart()

    # -- programs

    def _log(self, name: str) -> Path:
        self._count += 1
        return self.folder / f"{name}-{self._count}.log"

    def ours(self, module: str, *words: object, **environ: str) -> Program:
        """Run a module of ours."""
        command = [sys.executable, "-m", module, *words]
        return Program(command, self._log(module), QUIETLY | environ)

    def peer(self, *words: object, **environ: str) -> Program:
        """Run a module in the environment of the peers."""
        return Program([PEERS, "-m", *words], self._log(str(words[0])), environ)

    # -- districts

    @contextmanager
    def district(self, *, fresh: bool = True, replicas: int = 1, **environ: str) -> Iterator[Fleet]:
        """Run a distributed district: one or more processes of each service."""
        names = [kind.name for kind in SERVICES]
        if fresh:
            self.empty()
        key = self.folder / "seal.key"
        if not key.exists():
            key.write_text(secrets.token_hex(32))
        settings = Settings.read(
            {},
            database_url=self.database.url("{service}"),
            amqp_uri=self.broker.uri,
            seal_key_file=str(key),
            issuer_key_file=str(key),
        )
        migrate_all(settings)
        folder = self.folder / f"district-{self._count}"
        self._count += 1
        with ExitStack() as stack:
            fleet = stack.enter_context(Fleet(settings, folder, replicas=0))
            for name in names:
                for _ in range(replicas):
                    fleet.start(name, environ=QUIETLY | environ)
            fleet.wait_until_ready()
            yield fleet

    def empty(self) -> None:
        """Delete the databases, exchanges and queues of an earlier district."""
        for kind in SERVICES:
            self.new_database(kind.name)
        with self.channel() as channel:
            for kind in SERVICES:
                forget(channel, kind.name)

    # -- the broker

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """Open a channel to the broker."""
        with amqp.Connection(f"127.0.0.1:{self.broker.port}", connect_timeout=5) as connection:
            yield connection.channel()


def forget(channel: Any, service: str) -> None:
    """Delete the exchanges and queues of a service."""
    for name in (
        f"{service}.dead",
        *(f"{service}.inbox.{n}" for n in range(Settings().partitions)),
    ):
        channel.queue_delete(name)
    for exchange in ("events", "commands", "inbox", "dead"):
        channel.exchange_delete(f"{service}.{exchange}")


def publish(stage: Stage, messages: Sequence[tuple[str, str, amqp.Message]]) -> None:
    """Publish (exchange, routing key, message), and wait until the broker has confirmed all."""
    missing = set(range(1, len(messages) + 1))

    def note(tag: int, multiple: bool) -> None:  # noqa: FBT001  (py-amqp calls it so)
        missing.difference_update([each for each in missing if each <= tag] if multiple else [tag])

    with amqp.Connection(f"127.0.0.1:{stage.broker.port}", connect_timeout=5) as connection:
        channel = connection.channel()
        channel.confirm_select()
        channel.events["basic_ack"].add(note)
        for exchange, key, message in messages:
            channel.basic_publish(message, exchange, key)
        while missing:
            connection.drain_events(timeout=30)


def depth(stage: Stage, queues: Sequence[str]) -> int:
    """Count the messages that are ready in some queues."""
    with stage.channel() as channel:
        return sum(channel.queue_declare(name, passive=True).message_count for name in queues)


def await_depth(stage: Stage, queues: Sequence[str], messages: int) -> None:
    """Wait until some queues hold a number of messages."""
    wait_until(lambda: depth(stage, queues) >= messages, f"{messages} messages are queued", 120)


@contextmanager
def stage(folder: Path, scale: Scale) -> Iterator[Stage]:
    """Start the servers."""
    names = [kind.name for kind in SERVICES]
    with (
        servers.postgres(folder / "servers", databases=names) as database,
        servers.rabbitmq(folder / "servers") as broker,
    ):
        yield Stage(folder, scale, database, broker)


def machine(stage: Stage) -> dict[str, Any]:
    """Return a description of the machine and its software."""
    from importlib.metadata import version

    memory = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    cpu = next(
        (line.partition(":")[2].strip()
         for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        "",
    )  # fmt: skip
    names = ("nameko", "eventlet", "kombu", "SQLAlchemy", "psycopg")
    peers = subprocess.run(
        [PEERS, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True
    )
    wanted = {"nameko", "kombu", "faststream", "sqlalchemy", "asyncpg", "fastapi", "uvicorn"}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9, 1),
        "load_before": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "postgresql": str(stage.database.execute("SHOW server_version")[0][0]),  # type: ignore[index]
        "rabbitmq": stage.broker.ctl("version").strip(),
        "ours": {name: version(name) for name in names},
        "peers": {
            row["name"]: row["version"]
            for row in json.loads(peers.stdout)
            if row["name"].lower() in wanted
        },
    }
